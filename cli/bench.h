/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost bench`: what its two classes of devices share, and where they part. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "cli.h"
#include "histogram.h"
#include "rings.h"

#include <json-c/json.h>

/**
 * struct bench_blk - options that only block devices have
 * @given: the name of one that was given, or NULL
 */
struct bench_blk {
    const char *given;
    unsigned read_percent;
    bool random;
    bool allow_write;
    uint64_t block_size;
    unsigned depth;
    unsigned queues;
};

enum bench_net_mode {
    BENCH_NOT_NET,
    BENCH_TRANSMIT,
    BENCH_RECEIVE,
    BENCH_LOOPBACK,
};

/**
 * struct bench_net - options that only network devices have
 * @given: the name of one that was given, but for the modes; or NULL
 * @mode: what is measured
 * @frame: bytes of a frame, without header
 * @burst: frames in one call
 * @no_mergeable: each frame in one buffer
 */
struct bench_net {
    const char *given;
    enum bench_net_mode mode;
    unsigned frame;
    unsigned burst;
    bool no_mergeable;
};

/**
 * struct bench - what to measure, and how
 * @spin_us: as vhost_blk_options and vhost_net_options have it
 * @warm_up_ns: run so long before anything counts
 * @time_ns: and then so long
 * @quiet: show no progress
 */
struct bench {
    struct client client;
    struct rings rings;
    const char *uri;
    bool polling;
    bool huge_pages;
    unsigned spin_us;
    uint64_t warm_up_ns;
    uint64_t time_ns;
    bool quiet;
    struct bench_blk blk;
    struct bench_net net;
};

/* Options of one class, as children of the verb's parser; their input is
 * struct bench_blk or struct bench_net. */
extern const struct argp bench_blk_argp;
extern const struct argp bench_net_argp;

/** bench_option_name() - for messages
 * @options: a table ended by zeroes
 * @key: of one of its options
 *
 * Return: the name, or NULL if there is none with that key.
 */
const char *bench_option_name(const struct argp_option *options, int key);

/** bench_blk_check() - do the options fit together? A usage error ends the
 *     program
 */
void bench_blk_check(const struct bench_blk *blk, struct argp_state *state);

/** bench_blk() - measure a block device and print the result
 *
 * Return: the exit status; messages are printed.
 */
int bench_blk(const struct bench *b);

/** bench_net() - the same for a network device */
int bench_net(const struct bench *b);

/** bench_print_latency() - rows of a table */
void bench_print_latency(const struct histogram *latency);

/** bench_json_latency() - an object of nanoseconds
 *
 * Return: given to the caller.
 */
json_object *bench_json_latency(const struct histogram *latency);

#endif
