/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 4 KiB random reads through libblkio, as fast as they go; see blk-load.c,
 * whose loop this one mirrors.
 */
#include <blkio.h>
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void ok(int r)
{
    if (r < 0) {
        errx(1, "%s", blkio_get_error_msg());
    }
}

static double load(struct blkio *b, struct blkioq *q, unsigned depth,
                   double seconds, uint64_t limit)
{
    struct blkio_completion done[DEPTH_MAX];
    struct blkio_mem_region region;
    uint64_t n = 0, blocks;
    double start, end;
    char *buf;

    ok(blkio_alloc_mem_region(b, &region, (size_t)depth * BLOCK));
    ok(blkio_map_mem_region(b, &region));
    ok(blkio_get_uint64(b, "capacity", &blocks));
    blocks /= BLOCK;
    buf = region.addr;
    start = now();
    end = start + seconds;
    for (unsigned i = 0; i < depth; i++) {
        blkioq_read(q, next_offset(blocks), buf + i * BLOCK, BLOCK,
                    buf + i * BLOCK, 0);
    }
    while (limit ? n < limit : n % 64 >= depth || now() < end) {
        int got = blkioq_do_io(q, done, 1, (int)depth, NULL);

        ok(got);
        for (int i = 0; i < got; i++) {
            if (done[i].ret) {
                errx(1, "read: %s", strerror(-done[i].ret));
            }
            blkioq_read(q, next_offset(blocks), done[i].user_data, BLOCK,
                        done[i].user_data, 0);
        }
        n += (unsigned)got;
    }
    return (double)n / (now() - start);
}

int main(int argc, char **argv)
{
    struct blkio *b;
    char *rest;
    unsigned depth;
    double amount;
    bool poll;

    if (argc != 5) {
        errx(
            2,
            "usage: blkio-load SOCKET DEPTH eventfd|polling SECONDS|REQUESTSx");
    }
    depth = (unsigned)atoi(argv[2]);
    poll = strcmp(argv[3], "polling") == 0;
    amount = strtod(argv[4], &rest);
    if (depth < 1 || depth > DEPTH_MAX) {
        errx(2, "depth is 1 to %d", DEPTH_MAX);
    }
    ok(blkio_create("virtio-blk-vhost-user", &b));
    ok(blkio_set_str(b, "path", argv[1]));
    ok(blkio_connect(b));
    ok(blkio_set_int(b, "num-queues", !poll));
    ok(blkio_set_int(b, "num-poll-queues", poll));
    ok(blkio_start(b));
    printf("%.0f\n",
           load(b, poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0),
                depth, *rest == 'x' ? 0 : amount,
                *rest == 'x' ? (uint64_t)amount : 0));
    blkio_destroy(&b);
    return 0;
}
