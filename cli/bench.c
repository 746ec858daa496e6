/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost bench`: how fast is a block device? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/blk.h>

#include "bench.h"
#include "cli.h"
#include "out.h"
#include "size.h"
#include "system.h"

#define DEPTH_MAX 1024u
#define QUEUES_MAX 64u
#define BLOCK_MAX (UINT64_C(16) << 20)
#define MEMORY_MAX (UINT64_C(1) << 30)
#define SECONDS_MAX 86400u

/* Descriptors of one request: header, data, status; data may be split. */
#define DESCRIPTORS 4u
#define QUEUE_SIZE_MIN 256u
#define QUEUE_SIZE_MAX 1024u

enum {
    KEY_READ = 1000,
    KEY_WRITE,
    KEY_MIXED,
    KEY_RANDOM,
    KEY_SEQUENTIAL,
    KEY_BLOCK_SIZE,
    KEY_DEPTH,
    KEY_QUEUES,
    KEY_TIME,
    KEY_POLLING,
    KEY_ALLOW_WRITE,
    KEY_NO_PROGRESS,
};

struct bench {
    struct client client;
    const char *uri;
    bool polling;
    bool allow_write;
    unsigned seconds;
    struct bench_job job;
    struct bench_result result;
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "read", .key = KEY_READ, .doc = "reads only (default)" },
    { .name = "write", .key = KEY_WRITE, .doc = "writes only" },
    { .name = "mixed", .key = KEY_MIXED, .arg = "PERCENT",
      .doc = "both, PERCENT of them reads" },
    { .name = "allow-write", .key = KEY_ALLOW_WRITE,
      .doc = "required with --write and --mixed: DESTROYS what is on the "
             "device" },
    { .name = "random", .key = KEY_RANDOM,
      .doc = "at random offsets (default)" },
    { .name = "sequential", .key = KEY_SEQUENTIAL,
      .doc = "one block after the other" },
    { .name = "block-size", .key = KEY_BLOCK_SIZE, .arg = "SIZE",
      .doc = "of each request, 512 to 16M (default: 4K)" },
    { .name = "depth", .key = KEY_DEPTH, .arg = "N",
      .doc = "requests in flight on each queue, up to 1024 (default: 32)" },
    { .name = "queues", .key = KEY_QUEUES, .arg = "N",
      .doc = "queues to use, one thread each, up to 64 (default: 1)" },
    { .name = "time", .key = KEY_TIME, .arg = "SECONDS",
      .doc = "how long to measure, after a warm-up (default: 5)" },
    { .name = "polling", .key = KEY_POLLING,
      .doc = "spin for completions, where otherwise the back end wakes us" },
    { .name = "no-progress", .key = KEY_NO_PROGRESS,
      .doc = "show no progress, even on a terminal" },
    { 0 },
};
/* clang-format on */

static const struct argp_child children[] = { { .argp = &client_argp }, { 0 } };

static void check(const struct bench *b, struct argp_state *state)
{
    if (!b->uri || !client_uri_path(b->uri)) {
        argp_error(state, "which device? A URI begins with 'user:'");
    }
    if (b->job.read_percent < 100 && !b->allow_write) {
        argp_error(state, "writing destroys what is on the device; "
                          "--allow-write if that is meant");
    }
    if (b->job.queues * b->job.depth * b->job.block_size > MEMORY_MAX) {
        argp_error(state, "--queues times --depth times --block-size is more "
                          "than 1 GiB");
    }
}

static error_t parse_flag(struct bench *b, int key)
{
    switch (key) {
    case KEY_READ:
        b->job.read_percent = 100;
        return 0;
    case KEY_WRITE:
        b->job.read_percent = 0;
        return 0;
    case KEY_RANDOM:
    case KEY_SEQUENTIAL:
        b->job.random = key == KEY_RANDOM;
        return 0;
    case KEY_POLLING:
        b->polling = true;
        return 0;
    case KEY_ALLOW_WRITE:
        b->allow_write = true;
        return 0;
    case KEY_NO_PROGRESS:
        b->job.quiet = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench *b = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &b->client;
        return 0;
    case KEY_MIXED:
        b->job.read_percent = cli_need_number(state, "mixed", arg, 99);
        return 0;
    case KEY_BLOCK_SIZE:
        b->job.block_size =
            cli_need_size(state, "block-size", arg, 512, BLOCK_MAX);
        return 0;
    case KEY_DEPTH:
        b->job.depth = cli_need_number(state, "depth", arg, DEPTH_MAX);
        return 0;
    case KEY_QUEUES:
        b->job.queues = cli_need_number(state, "queues", arg, QUEUES_MAX);
        return 0;
    case KEY_TIME:
        b->seconds = cli_need_number(state, "time", arg, SECONDS_MAX);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            return ARGP_ERR_UNKNOWN;
        }
        b->uri = arg;
        return 0;
    case ARGP_KEY_END:
        check(b, state);
        return 0;
    default:
        return parse_flag(b, key);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "URI",
    .doc = "Measure a block device: requests and bytes a second, and how long "
           "requests take.\vURI is user:PATH, the socket of a vhost-user back "
           "end.",
};

static const char *mode_of(const struct bench *b)
{
    switch (b->job.read_percent) {
    case 100:
        return "read";
    case 0:
        return "write";
    default:
        return "mixed";
    }
}

static void print_json(const struct bench *b)
{
    const struct bench_job *job = &b->job;
    const struct bench_result *r = &b->result;
    double iops = (double)(r->reads + r->writes) / r->seconds;
    json_object *o = json_object_new_object();
    json_object *latency = json_object_new_object();

    out_json_text(o, "uri", b->uri);
    out_json_text(o, "mode", mode_of(b));
    out_json_uint(o, "read_percent", job->read_percent);
    out_json_text(o, "pattern", job->random ? "random" : "sequential");
    out_json_uint(o, "block_size", job->block_size);
    out_json_uint(o, "depth", job->depth);
    out_json_uint(o, "queues", job->queues);
    out_json_bool(o, "polling", b->polling);
    out_json_double(o, "seconds", r->seconds);
    out_json_uint(o, "reads", r->reads);
    out_json_uint(o, "writes", r->writes);
    out_json_double(o, "iops", iops);
    out_json_double(o, "bytes_per_second", iops * (double)job->block_size);
    out_json_uint(latency, "min", histogram_min(r->latency));
    out_json_double(latency, "mean", histogram_mean(r->latency));
    out_json_uint(latency, "p50", histogram_percentile(r->latency, 50));
    out_json_uint(latency, "p90", histogram_percentile(r->latency, 90));
    out_json_uint(latency, "p99", histogram_percentile(r->latency, 99));
    out_json_uint(latency, "p99_9", histogram_percentile(r->latency, 99.9));
    out_json_uint(latency, "max", histogram_max(r->latency));
    json_object_object_add(o, "latency_ns", latency);
    out_json(o);
}

static void print_latency(const char *label, double ns)
{
    char text[OUT_DURATION_MAX];

    out_row(label, "%s", out_duration(text, ns));
}

static void print_text(const struct bench *b)
{
    const struct bench_job *job = &b->job;
    const struct bench_result *r = &b->result;
    double iops = (double)(r->reads + r->writes) / r->seconds;
    char size[SIZE_TEXT_MAX];

    printf("%s: %s %s, %s, depth %u, %u queue%s%s\n", b->uri,
           job->random ? "random" : "sequential", mode_of(b),
           size_format(size, (double)job->block_size), job->depth, job->queues,
           job->queues > 1 ? "s" : "", b->polling ? ", polling" : "");
    out_row("requests a second", "%.0f", iops);
    out_row("rate", "%s/s", size_format(size, iops * (double)job->block_size));
    print_latency("latency, mean", histogram_mean(r->latency));
    print_latency("50 %", (double)histogram_percentile(r->latency, 50));
    print_latency("90 %", (double)histogram_percentile(r->latency, 90));
    print_latency("99 %", (double)histogram_percentile(r->latency, 99));
    print_latency("99.9 %", (double)histogram_percentile(r->latency, 99.9));
    print_latency("most", (double)histogram_max(r->latency));
}

static struct vhost_blk *open_disk(const struct bench *b)
{
    struct vhost_blk_options o = {
        .size = sizeof(o),
        .queues = b->job.queues,
        .queue_size = QUEUE_SIZE_MIN,
        .polling = b->polling,
        .read_only = b->job.read_percent == 100,
        .deadline_ms = b->client.deadline_ms,
    };
    struct vhost_error *err = NULL;
    struct vhost_blk_info info;
    struct vhost_blk *disk;

    while (o.queue_size < DESCRIPTORS * b->job.depth &&
           o.queue_size < QUEUE_SIZE_MAX) {
        o.queue_size *= 2;
    }
    disk = vhost_blk_open(b->uri, &o, &err);
    if (!disk) {
        out_library_error(err);
        return NULL;
    }
    vhost_blk_get_info(disk, &info);
    if (b->job.block_size % info.block_size != 0) {
        out_error("%s: --block-size must be a multiple of its blocks of %u "
                  "bytes",
                  b->uri, info.block_size);
        vhost_blk_close(disk);
        return NULL;
    }
    return disk;
}

int bench_main(int argc, char **argv)
{
    /* A device that hangs stays open: static, so it is not lost. */
    static struct bench b = {
        .client = CLIENT_DEFAULTS,
        .seconds = 5,
        .job = { .read_percent = 100,
                 .random = true,
                 .block_size = 4096,
                 .depth = 32,
                 .queues = 1 },
    };
    bool ok;

    argp_parse(&argp, argc, argv, 0, NULL, &b);
    system_catch_signals();
    b.job.name = b.uri;
    b.job.request_ms = b.client.request_ms;
    b.job.time_ns = b.seconds * UINT64_C(1000000000);
    /* A tenth, but no less than it takes for caches and clocks to settle. */
    b.job.warm_up_ns = b.job.time_ns / 10;
    if (b.job.warm_up_ns < 200000000u) {
        b.job.warm_up_ns = 200000000u;
    }
    b.job.disk = open_disk(&b);
    if (!b.job.disk) {
        return EXIT_FAILURE;
    }
    ok = bench_run(&b.job, &b.result);
    /* To stop a device that hangs takes one more deadline, and in vain. */
    if (!b.result.hangs) {
        vhost_blk_close(b.job.disk);
    }
    if (!ok) {
        return EXIT_FAILURE;
    }
    if (b.client.json) {
        print_json(&b);
    } else {
        print_text(&b);
    }
    histogram_free(b.result.latency);
    return EXIT_SUCCESS;
}
