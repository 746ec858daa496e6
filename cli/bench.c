/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vhost bench`: how fast is a device?
 *
 * A block device, unless one of the modes of a network device is asked for:
 * a vhost-user back end does not tell its class, and to take one for the other
 * would send frames to a disk.  So an option of the other class is an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/virtq.h>

#include "bench.h"
#include "out.h"
#include "size.h"
#include "system.h"

#define SECOND UINT64_C(1000000000)
#define TIME_MIN (SECOND / 100)
#define TIME_MAX (86400 * SECOND)
#define SPIN_US_MAX 1000000u

/* A tenth, but no less than it takes for caches and clocks to settle. */
#define WARM_UP_PART 10
#define WARM_UP_MIN (SECOND / 5)

enum {
    KEY_TIME = 1000,
    KEY_POLLING,
    KEY_EVENTFD,
    KEY_SPIN_US,
    KEY_HUGE_PAGES,
    KEY_NO_PROGRESS,
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "time", .key = KEY_TIME, .arg = "SECONDS",
      .doc = "how long to measure, after a warm-up (default: 5)" },
    { .name = "polling", .key = KEY_POLLING,
      .doc = "spin for completions and frames" },
    { .name = "eventfd", .key = KEY_EVENTFD,
      .doc = "sleep until the back end wakes us (default)" },
    { .name = "spin-us", .key = KEY_SPIN_US, .arg = "N|never",
      .doc = "look for N microseconds before going to sleep (default: 5)" },
    { .name = "huge-pages", .key = KEY_HUGE_PAGES,
      .doc = "take memory for data from huge pages" },
    { .name = "no-progress", .key = KEY_NO_PROGRESS,
      .doc = "show no progress, even on a terminal" },
    { 0 },
};

static const struct argp_child children[] = {
    { .argp = &bench_blk_argp, .header = "Block devices:", .group = 1 },
    { .argp = &bench_net_argp, .header = "Network devices:", .group = 2 },
    { .argp = &rings_argp },
    { .argp = &reconnect_argp },
    { 0 },
};
/* clang-format on */

/* Seconds, with up to nine digits after the point. */
static int parse_seconds(const char *text, uint64_t *nsp)
{
    char digits[32];
    size_t whole = strcspn(text, ".");
    size_t fraction = text[whole] == '.' ? strlen(text + whole + 1) : 0;

    if (whole == 0 || whole > 9 || fraction > 9 ||
        (text[whole] == '.' && fraction == 0)) {
        return -1;
    }
    snprintf(digits, sizeof(digits), "%.*s%s%.*s", (int)whole, text,
             fraction > 0 ? text + whole + 1 : "", (int)(9 - fraction),
             "000000000");
    return size_parse_number(digits, TIME_MIN, TIME_MAX, nsp);
}

static uint64_t need_time(struct argp_state *state, const char *text)
{
    uint64_t ns = 0;

    if (parse_seconds(text, &ns) < 0) {
        argp_error(state,
                   "--time takes seconds from 0.01 to 86400, such as 5 or "
                   "0.2, not '%s'",
                   text);
    }
    return ns;
}

static unsigned need_spin(struct argp_state *state, const char *text)
{
    uint64_t us = 0;

    if (strcmp(text, "never") == 0) {
        return VHOST_SPIN_NEVER;
    }
    if (size_parse_number(text, 1, SPIN_US_MAX, &us) < 0) {
        argp_error(state,
                   "--spin-us takes a number from 1 to %u, or never, "
                   "not '%s'",
                   SPIN_US_MAX, text);
    }
    return (unsigned)us;
}

static void check(const struct bench *b, struct argp_state *state)
{
    if (!b->uri || !client_uri_path(b->uri)) {
        argp_error(state, "which device? A URI begins with 'user:'");
    }
    if (b->net.mode == BENCH_NOT_NET && b->net.given) {
        argp_error(state,
                   "--%s is for network devices: with --transmit, "
                   "--receive or --loopback",
                   b->net.given);
    }
    if (b->net.mode != BENCH_NOT_NET && b->blk.given) {
        argp_error(state,
                   "--%s is for block devices: not with --transmit, "
                   "--receive or --loopback",
                   b->blk.given);
    }
    if (b->polling && b->spin_us != 0) {
        argp_error(state, "--polling never sleeps: --spin-us has no meaning");
    }
    if (b->net.mode == BENCH_NOT_NET) {
        bench_blk_check(&b->blk, state);
    }
}

static error_t parse_flag(struct bench *b, int key)
{
    switch (key) {
    case KEY_POLLING:
    case KEY_EVENTFD:
        b->polling = key == KEY_POLLING;
        return 0;
    case KEY_HUGE_PAGES:
        b->huge_pages = true;
        return 0;
    case KEY_NO_PROGRESS:
        b->quiet = true;
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
        state->child_inputs[0] = &b->blk;
        state->child_inputs[1] = &b->net;
        state->child_inputs[2] = &b->rings;
        state->child_inputs[3] = &b->client;
        return 0;
    case KEY_TIME:
        b->time_ns = need_time(state, arg);
        return 0;
    case KEY_SPIN_US:
        b->spin_us = need_spin(state, arg);
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
           "requests take; or, with --transmit, --receive or --loopback, a "
           "network device: frames and bits a second, and cycles for each."
           "\vURI is user:PATH, the socket of a vhost-user back end.",
};

const char *bench_option_name(const struct argp_option *o, int key)
{
    while (o->name && o->key != key) {
        o++;
    }
    return o->name;
}

static void print_duration(const char *label, double ns)
{
    char text[OUT_DURATION_MAX];

    out_row(label, "%s", out_duration(text, ns));
}

void bench_print_latency(const struct histogram *h)
{
    print_duration("latency, mean", histogram_mean(h));
    print_duration("50 %", (double)histogram_percentile(h, 50));
    print_duration("90 %", (double)histogram_percentile(h, 90));
    print_duration("99 %", (double)histogram_percentile(h, 99));
    print_duration("99.9 %", (double)histogram_percentile(h, 99.9));
    print_duration("most", (double)histogram_max(h));
}

json_object *bench_json_latency(const struct histogram *h)
{
    json_object *o = json_object_new_object();

    out_json_uint(o, "min", histogram_min(h));
    out_json_double(o, "mean", histogram_mean(h));
    out_json_uint(o, "p50", histogram_percentile(h, 50));
    out_json_uint(o, "p90", histogram_percentile(h, 90));
    out_json_uint(o, "p99", histogram_percentile(h, 99));
    out_json_uint(o, "p99_9", histogram_percentile(h, 99.9));
    out_json_uint(o, "max", histogram_max(h));
    return o;
}

int bench_main(int argc, char **argv)
{
    struct bench b = {
        .client = CLIENT_DEFAULTS,
        .time_ns = 5 * SECOND,
        .blk = { .read_percent = 100,
                 .random = true,
                 .block_size = 4096,
                 .depth = 32,
                 .queues = 1 },
        .net = { .frame = 64, .burst = 32 },
    };

    argp_parse(&argp, argc, argv, 0, NULL, &b);
    system_catch_signals();
    b.warm_up_ns = b.time_ns / WARM_UP_PART;
    if (b.warm_up_ns < WARM_UP_MIN) {
        b.warm_up_ns = WARM_UP_MIN;
    }
    return b.net.mode == BENCH_NOT_NET ? bench_blk(&b) : bench_net(&b);
}
