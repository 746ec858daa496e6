/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A libblkio program that exercises a vhost-user-blk back end:
 *
 *     blkio-exercise SOCKET QUEUES eventfd|polling
 *
 * Ends with status 0 if every request did what it should.  The first 4 KiB of
 * the disk are left full of 0xa5.
 */
#include <blkio.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536u
#define ROUNDS 64

static struct blkio *b;
static uint8_t *buf;

static void ok(int r, const char *what)
{
    if (r < 0) {
        errx(1, "%s: %s", what, blkio_get_error_msg());
    }
}

/* Waits for one request, and wants it to have worked. */
static void complete(struct blkioq *q, const char *what)
{
    struct blkio_completion done;
    int n = blkioq_do_io(q, &done, 1, 1, NULL);

    if (n != 1) {
        errx(1, "%s: %d completions", what, n);
    }
    if (done.ret != 0) {
        errx(1, "%s: %s", what, strerror(-done.ret));
    }
}

static void expect(uint8_t value, size_t len, const char *what)
{
    for (size_t i = 0; i < len; i++) {
        if (buf[i] != value) {
            errx(1, "%s: byte %zu is %#x, not %#x", what, i, buf[i], value);
        }
    }
}

static void exercise(struct blkioq *q, uint64_t base)
{
    for (int i = 0; i < ROUNDS; i++) {
        memset(buf, i + 1, CHUNK);
        blkioq_write(q, base + (uint64_t)i * CHUNK, buf, CHUNK, NULL, 0);
        complete(q, "write");
    }
    blkioq_flush(q, NULL, 0);
    complete(q, "flush");
    for (int i = 0; i < ROUNDS; i++) {
        memset(buf, 0, CHUNK);
        blkioq_read(q, base + (uint64_t)i * CHUNK, buf, CHUNK, NULL, 0);
        complete(q, "read");
        expect((uint8_t)(i + 1), CHUNK, "read back");
    }
    blkioq_write_zeroes(q, base, CHUNK, NULL, 0);
    complete(q, "write zeroes");
    blkioq_read(q, base, buf, CHUNK, NULL, 0);
    complete(q, "read");
    expect(0, CHUNK, "after write zeroes");
    blkioq_discard(q, base + CHUNK, CHUNK, NULL, 0);
    complete(q, "discard");
}

int main(int argc, char **argv)
{
    struct blkio_mem_region region;
    uint64_t capacity;
    bool poll;
    int queues;

    if (argc != 4) {
        errx(2, "usage: blkio-exercise SOCKET QUEUES eventfd|polling");
    }
    queues = atoi(argv[2]);
    poll = strcmp(argv[3], "polling") == 0;

    ok(blkio_create("virtio-blk-vhost-user", &b), "create");
    ok(blkio_set_str(b, "path", argv[1]), "path");
    ok(blkio_connect(b), "connect");
    ok(blkio_get_uint64(b, "capacity", &capacity), "capacity");
    if (capacity != 64u << 20) {
        errx(1, "capacity is %llu", (unsigned long long)capacity);
    }
    ok(blkio_set_int(b, "num-queues", poll ? 0 : queues), "num-queues");
    ok(blkio_set_int(b, "num-poll-queues", poll ? queues : 0), "poll queues");
    ok(blkio_start(b), "start");
    ok(blkio_alloc_mem_region(b, &region, CHUNK), "alloc");
    ok(blkio_map_mem_region(b, &region), "map");
    buf = region.addr;

    for (int i = 0; i < queues; i++) {
        struct blkioq *q =
            poll ? blkio_get_poll_queue(b, i) : blkio_get_queue(b, i);

        exercise(q, (uint64_t)i * ROUNDS * CHUNK);
        if (i == queues - 1) {
            memset(buf, 0xa5, 4096);
            blkioq_write(q, 0, buf, 4096, NULL, 0);
            complete(q, "last write");
        }
    }
    blkio_destroy(&b);
    return 0;
}
