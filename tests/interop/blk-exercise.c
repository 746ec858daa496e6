/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exercises a block device through the public API of libvhost:
 *
 *     blk-exercise URI QUEUES
 *
 * Each queue owns a stripe of the disk, and in it: writes, flushes, reads
 * back, discards, writes zeroes, reads back.  Ends with status 0 if every
 * request did what it should.  Part of what the device holds is overwritten.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/blk.h>

#define CHUNK 65536u
#define ROUNDS 32u
#define WAIT_MS 10000

static void ok(int r, const char *what)
{
    if (r != 0) {
        errx(1, "%s: %s", what, strerror(-r));
    }
}

/* Submits, and waits for @n completions that all have to be good. */
static void finish(struct vhost_blk_queue *q, unsigned n, const char *what)
{
    ok(vhost_blk_submit(q), what);
    while (n > 0) {
        struct vhost_completion done[ROUNDS];
        int got = vhost_blk_wait(q, done, ROUNDS, 1, WAIT_MS);

        if (got <= 0) {
            errx(1, "%s: %s", what, got ? strerror(-got) : "no answer");
        }
        for (int i = 0; i < got; i++) {
            ok(done[i].result, what);
        }
        n -= (unsigned)got;
    }
}

static void expect(const uint8_t *buf, uint8_t value, const char *what)
{
    for (size_t i = 0; i < CHUNK; i++) {
        if (buf[i] != value) {
            errx(1, "%s: byte %zu is %#x, not %#x", what, i, buf[i], value);
        }
    }
}

static void write_and_read_back(struct vhost_blk_queue *q, uint8_t *buf,
                                uint64_t base, uint8_t seed)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        memset(buf + i * CHUNK, (int)(seed + i), CHUNK);
        ok(vhost_blk_write(q, base + i * CHUNK, buf + i * CHUNK, CHUNK, NULL),
           "write");
    }
    finish(q, ROUNDS, "write");
    ok(vhost_blk_flush(q, NULL), "flush");
    finish(q, 1, "flush");

    memset(buf, 0, ROUNDS * CHUNK);
    for (unsigned i = 0; i < ROUNDS; i++) {
        ok(vhost_blk_read(q, base + i * CHUNK, buf + i * CHUNK, CHUNK, NULL),
           "read");
    }
    finish(q, ROUNDS, "read");
    for (unsigned i = 0; i < ROUNDS; i++) {
        expect(buf + i * CHUNK, (uint8_t)(seed + i), "read back");
    }
}

static void clear_and_read_back(struct vhost_blk_queue *q, uint8_t *buf,
                                uint64_t base)
{
    ok(vhost_blk_discard(q, base, CHUNK, NULL), "discard");
    ok(vhost_blk_write_zeroes(q, base + CHUNK, CHUNK, false, NULL), "zeroes");
    ok(vhost_blk_write_zeroes(q, base + 2 * CHUNK, CHUNK, true, NULL),
       "zeroes, unmapping");
    finish(q, 3, "discard and write zeroes");

    ok(vhost_blk_read(q, base + CHUNK, buf, CHUNK, NULL), "read");
    ok(vhost_blk_read(q, base + 2 * CHUNK, buf + CHUNK, CHUNK, NULL), "read");
    finish(q, 2, "read");
    expect(buf, 0, "after write zeroes");
    expect(buf + CHUNK, 0, "after write zeroes that unmaps");
}

int main(int argc, char **argv)
{
    struct vhost_blk_options options = { .size = sizeof(options) };
    struct vhost_error *error = NULL;
    struct vhost_blk *disk;
    uint8_t *buf;

    if (argc != 3) {
        errx(2, "usage: blk-exercise URI QUEUES");
    }
    options.queues = (unsigned)atoi(argv[2]);
    disk = vhost_blk_open(argv[1], &options, &error);
    if (!disk) {
        errx(1, "%s", vhost_error_message(error));
    }
    buf = vhost_blk_alloc(disk, (size_t)ROUNDS * CHUNK);
    if (!buf) {
        errx(1, "no memory that the back end sees");
    }
    for (unsigned i = 0; i < options.queues; i++) {
        struct vhost_blk_queue *q = vhost_blk_get_queue(disk, i);
        uint64_t base = (uint64_t)i * ROUNDS * CHUNK;

        write_and_read_back(q, buf, base, (uint8_t)(40 * i + 1));
        clear_and_read_back(q, buf, base);
    }
    vhost_blk_close(disk);
    return 0;
}
