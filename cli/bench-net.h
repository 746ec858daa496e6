/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine of `vhost bench` for network devices: one thread, one queue pair.
 */
#ifndef CLI_BENCH_NET_H
#define CLI_BENCH_NET_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/net.h>

#include "bench.h"

/* The most buffers that one frame is looked for in. */
#define BENCH_NET_PARTS_MAX 64u

/**
 * struct bench_net_result - what came out, in the measured time
 * @sent: frames that the back end took; loopback: that were given to it
 * @received: whole frames; loopback: of those that were sent
 * @bytes: of the frames that count for the rate, without headers
 * @seconds: how long it was
 * @cycles: of the time stamp counter in it; 0: not known
 * @latency: of single round trips, in nanoseconds; NULL if they were not
 *     single; histogram_free() it
 */
struct bench_net_result {
    uint64_t sent;
    uint64_t received;
    uint64_t bytes;
    double seconds;
    uint64_t cycles;
    struct histogram *latency;
};

/** bench_net_run() - measure
 * @b: what and how
 * @net: opened
 * @result: zeroed; filled in if all went well
 *
 * Return: false after a message.
 */
bool bench_net_run(const struct bench *b, struct vhost_net_device *net,
                   struct bench_net_result *result);

#endif
