/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost bench` of a block device: its options, and what it prints. */
#include <stdio.h>
#include <stdlib.h>

#include <vhost/blk.h>

#include "bench-run.h"
#include "bench.h"
#include "out.h"
#include "size.h"

#define DEPTH_MAX 1024u
#define QUEUES_MAX 64u
#define BLOCK_MAX (UINT64_C(16) << 20)
#define MEMORY_MAX (UINT64_C(1) << 30)

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
    KEY_ALLOW_WRITE,
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
    { 0 },
};
/* clang-format on */

void bench_blk_check(const struct bench_blk *blk, struct argp_state *state)
{
    if (blk->read_percent < 100 && !blk->allow_write) {
        argp_error(state, "writing destroys what is on the device; "
                          "--allow-write if that is meant");
    }
    if (blk->queues * blk->depth * blk->block_size > MEMORY_MAX) {
        argp_error(state, "--queues times --depth times --block-size is more "
                          "than 1 GiB");
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench_blk *blk = state->input;
    const char *name = bench_option_name(options, key);

    switch (key) {
    case KEY_READ:
        blk->read_percent = 100;
        break;
    case KEY_WRITE:
        blk->read_percent = 0;
        break;
    case KEY_MIXED:
        blk->read_percent = cli_need_number(state, name, arg, 99);
        break;
    case KEY_ALLOW_WRITE:
        blk->allow_write = true;
        break;
    case KEY_RANDOM:
    case KEY_SEQUENTIAL:
        blk->random = key == KEY_RANDOM;
        break;
    case KEY_BLOCK_SIZE:
        blk->block_size = cli_need_size(state, name, arg, 512, BLOCK_MAX);
        break;
    case KEY_DEPTH:
        blk->depth = cli_need_number(state, name, arg, DEPTH_MAX);
        break;
    case KEY_QUEUES:
        blk->queues = cli_need_number(state, name, arg, QUEUES_MAX);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    blk->given = name;
    return 0;
}

const struct argp bench_blk_argp = { .options = options, .parser = parse };

static const char *mode_of(const struct bench_blk *blk)
{
    switch (blk->read_percent) {
    case 100:
        return "read";
    case 0:
        return "write";
    default:
        return "mixed";
    }
}

static void print_json(const struct bench *b, const struct vhost_blk_info *info,
                       const struct bench_result *r)
{
    double iops = (double)(r->reads + r->writes) / r->seconds;
    json_object *o = json_object_new_object();

    out_json_text(o, "uri", b->uri);
    out_json_text(o, "mode", mode_of(&b->blk));
    out_json_uint(o, "read_percent", b->blk.read_percent);
    out_json_text(o, "pattern", b->blk.random ? "random" : "sequential");
    out_json_uint(o, "block_size", b->blk.block_size);
    out_json_uint(o, "depth", b->blk.depth);
    out_json_uint(o, "queues", b->blk.queues);
    out_json_uint(o, "queue_size", info->queue_size);
    out_json_text(o, "layout", vhost_layout_name(info->layout));
    out_json_bool(o, "polling", b->polling);
    out_json_double(o, "seconds", r->seconds);
    out_json_uint(o, "reads", r->reads);
    out_json_uint(o, "writes", r->writes);
    out_json_double(o, "iops", iops);
    out_json_double(o, "bytes_per_second", iops * (double)b->blk.block_size);
    json_object_object_add(o, "latency_ns", bench_json_latency(r->latency));
    out_json(o);
}

static void print_text(const struct bench *b, const struct vhost_blk_info *info,
                       const struct bench_result *r)
{
    const struct bench_blk *blk = &b->blk;
    double iops = (double)(r->reads + r->writes) / r->seconds;
    char size[SIZE_TEXT_MAX];

    printf("%s: %s %s, %s, depth %u, %u queue%s%s\n", b->uri,
           blk->random ? "random" : "sequential", mode_of(blk),
           size_format(size, (double)blk->block_size), blk->depth, blk->queues,
           blk->queues > 1 ? "s" : "", b->polling ? ", polling" : "");
    out_row("rings", "%s, %u entries", vhost_layout_name(info->layout),
            info->queue_size);
    out_row("requests a second", "%.0f", iops);
    out_row("rate", "%s/s", size_format(size, iops * (double)blk->block_size));
    bench_print_latency(r->latency);
}

static unsigned queue_size_for(const struct bench *b)
{
    unsigned size = QUEUE_SIZE_MIN;

    if (b->rings.queue_size != 0) {
        return b->rings.queue_size;
    }
    while (size < DESCRIPTORS * b->blk.depth && size < QUEUE_SIZE_MAX) {
        size *= 2;
    }
    return size;
}

static struct vhost_blk *open_disk(const struct bench *b,
                                   struct vhost_blk_info *info)
{
    struct vhost_blk_options o = {
        .size = sizeof(o),
        .queues = b->blk.queues,
        .queue_size = queue_size_for(b),
        .layout = b->rings.layout,
        .polling = b->polling,
        .read_only = b->blk.read_percent == 100,
        .deadline_ms = b->client.deadline_ms,
        .reconnect_ms = b->client.reconnect_ms,
        .huge_pages = b->huge_pages,
        .spin_us = b->spin_us,
    };
    struct vhost_error *err = NULL;
    struct vhost_blk *disk = vhost_blk_open(b->uri, &o, &err);

    if (!disk) {
        out_library_error(err);
        return NULL;
    }
    vhost_blk_get_info(disk, info);
    if (b->blk.block_size % info->block_size != 0) {
        out_error("%s: --block-size must be a multiple of its blocks of %u "
                  "bytes",
                  b->uri, info->block_size);
        vhost_blk_close(disk);
        return NULL;
    }
    return disk;
}

int bench_blk(const struct bench *b)
{
    /* A device that hangs stays open: static, so it is not lost. */
    static struct vhost_blk *disk;
    struct vhost_blk_info info;
    struct bench_result result = { 0 };
    struct bench_job job = {
        .name = b->uri,
        .read_percent = b->blk.read_percent,
        .random = b->blk.random,
        .block_size = b->blk.block_size,
        .depth = b->blk.depth,
        .queues = b->blk.queues,
        .warm_up_ns = b->warm_up_ns,
        .time_ns = b->time_ns,
        .request_ms = b->client.request_ms,
        .quiet = b->quiet,
    };
    bool ok;

    disk = open_disk(b, &info);
    if (!disk) {
        return EXIT_FAILURE;
    }
    job.disk = disk;
    ok = bench_run(&job, &result);
    /* To stop a device that hangs takes one more deadline, and in vain. */
    if (!result.hangs) {
        vhost_blk_close(disk);
    }
    if (!ok) {
        return EXIT_FAILURE;
    }
    if (b->client.json) {
        print_json(b, &info, &result);
    } else {
        print_text(b, &info, &result);
    }
    histogram_free(result.latency);
    return EXIT_SUCCESS;
}
