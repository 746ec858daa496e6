/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 4 KiB random reads through libvhost, as fast as they go:
 *
 *     blk-load SOCKET DEPTH eventfd|polling SECONDS|REQUESTSx
 *
 * Prints requests per second; with a count ("10000x") that many requests, for
 * counting instructions.  blkio-load.c is the same program over libblkio: the
 * loops must stay alike, since the two are compared.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vhost/blk.h>

#define BLOCK 4096u
#define DEPTH_MAX 256

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_offset(uint64_t blocks)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % blocks * BLOCK;
}

static void read_one(struct vhost_blk_queue *q, char *buf, uint64_t blocks)
{
    int r = vhost_blk_read(q, next_offset(blocks), buf, BLOCK, buf);

    if (r < 0) {
        errx(1, "read: %s", strerror(-r));
    }
}

static double load(struct vhost_blk *disk, unsigned depth, double seconds,
                   uint64_t limit)
{
    struct vhost_blk_queue *q = vhost_blk_get_queue(disk, 0);
    char *buf = vhost_blk_alloc(disk, (size_t)depth * BLOCK);
    struct vhost_completion done[DEPTH_MAX];
    struct vhost_blk_info info = { 0 };
    uint64_t n = 0, blocks;
    double start = now(), end = start + seconds;

    vhost_blk_get_info(disk, &info);
    blocks = info.capacity / BLOCK;
    for (unsigned i = 0; i < depth; i++) {
        read_one(q, buf + i * BLOCK, blocks);
    }
    while (limit ? n < limit : n % 64 >= depth || now() < end) {
        int got;

        vhost_blk_submit(q);
        got = vhost_blk_wait(q, done, depth, 1, -1);
        if (got < 0) {
            errx(1, "%s", vhost_blk_queue_error(q));
        }
        for (int i = 0; i < got; i++) {
            if (done[i].result) {
                errx(1, "read: %s", strerror(-done[i].result));
            }
            read_one(q, done[i].cookie, blocks);
        }
        n += (unsigned)got;
    }
    return (double)n / (now() - start);
}

int main(int argc, char **argv)
{
    struct vhost_blk_options options = { .size = sizeof(options) };
    struct vhost_error *error = NULL;
    struct vhost_blk *disk;
    char uri[256], *rest;
    unsigned depth;
    double amount;

    if (argc != 5) {
        errx(2,
             "usage: blk-load SOCKET DEPTH eventfd|polling SECONDS|REQUESTSx");
    }
    depth = (unsigned)atoi(argv[2]);
    options.polling = strcmp(argv[3], "polling") == 0;
    amount = strtod(argv[4], &rest);
    if (depth < 1 || depth > DEPTH_MAX) {
        errx(2, "depth is 1 to %d", DEPTH_MAX);
    }
    snprintf(uri, sizeof(uri), "user:%s", argv[1]);
    disk = vhost_blk_open(uri, &options, &error);
    if (!disk) {
        errx(1, "%s", vhost_error_message(error));
    }
    printf("%.0f\n", load(disk, depth, *rest == 'x' ? 0 : amount,
                          *rest == 'x' ? (uint64_t)amount : 0));
    vhost_blk_close(disk);
    return 0;
}
