/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine of `vhost bench` for block devices: one thread a queue, each with
 * its own counts.
 */
#ifndef CLI_BENCH_RUN_H
#define CLI_BENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/blk.h>

#include "histogram.h"

/**
 * struct bench_job - what to measure
 * @disk: opened, with @queues queues
 * @read_percent: how many of a hundred requests are reads
 * @random: at random offsets; else one after the other
 * @block_size: of each request
 * @depth: requests in flight on each queue
 * @warm_up_ns: run so long before anything counts
 * @time_ns: and then so long
 * @request_ms: fail after so long without any completion
 * @quiet: show no progress
 */
struct bench_job {
    struct vhost_blk *disk;
    const char *name;
    unsigned read_percent;
    bool random;
    uint64_t block_size;
    unsigned depth;
    unsigned queues;
    uint64_t warm_up_ns;
    uint64_t time_ns;
    unsigned request_ms;
    bool quiet;
};

/**
 * struct bench_result - what came out
 * @latency: of all requests, in nanoseconds; histogram_free() it
 * @reads, @writes: how many were completed in the measured time
 * @seconds: how long that was
 * @hangs: set also on failure: the device left requests unanswered
 */
struct bench_result {
    struct histogram *latency;
    uint64_t reads;
    uint64_t writes;
    double seconds;
    bool hangs;
};

/** bench_run() - measure
 * @job: what
 * @result: zeroed; filled in if all went well
 *
 * Return: false after a message.
 */
bool bench_run(const struct bench_job *job, struct bench_result *result);

#endif
