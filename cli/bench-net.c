/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost bench` of a network device: its options, and what it prints. */
#include <stdio.h>
#include <stdlib.h>

#include <vhost/net.h>

#include "bench-net.h"
#include "bench.h"
#include "out.h"
#include "size.h"

#define FRAME_MIN 14u /* two addresses and a type */
#define BURST_MAX 1024u
#define QUEUE_SIZE_DEFAULT 256u
#define BUFFER_SIZE_DEFAULT 2048u
#define MEMORY_MAX (UINT64_C(1) << 30)
#define PAGE 4096u

enum {
    KEY_TRANSMIT = 1000,
    KEY_RECEIVE,
    KEY_LOOPBACK,
    KEY_FRAME,
    KEY_BURST,
    KEY_MERGEABLE,
    KEY_NO_MERGEABLE,
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "transmit", .key = KEY_TRANSMIT, .doc = "send frames" },
    { .name = "receive", .key = KEY_RECEIVE, .doc = "receive frames" },
    { .name = "loopback", .key = KEY_LOOPBACK,
      .doc = "send frames and receive them back" },
    { .name = "frame", .key = KEY_FRAME, .arg = "SIZE",
      .doc = "bytes of each frame that is sent, 14 to 65550 (default: 64)" },
    { .name = "burst", .key = KEY_BURST, .arg = "N",
      .doc = "frames in one call, up to 1024 (default: 32); with --loopback, "
             "1 measures single round trips" },
    { .name = "mergeable", .key = KEY_MERGEABLE,
      .doc = "let a frame lie in several buffers, if the back end can "
             "(default)" },
    { .name = "no-mergeable", .key = KEY_NO_MERGEABLE,
      .doc = "receive each frame into one buffer" },
    { 0 },
};
/* clang-format on */

static const char *const modes[] = {
    [BENCH_TRANSMIT] = "transmit",
    [BENCH_RECEIVE] = "receive",
    [BENCH_LOOPBACK] = "loopback",
};

static void set_mode(struct bench_net *n, enum bench_net_mode mode,
                     struct argp_state *state)
{
    if (n->mode != BENCH_NOT_NET && n->mode != mode) {
        argp_error(state, "one of --transmit, --receive and --loopback");
    }
    n->mode = mode;
}

static unsigned need_frame(struct argp_state *state, const char *text)
{
    uint64_t size = 0;

    if (size_parse(text, &size) < 0 || size < FRAME_MIN ||
        size > VHOST_NET_FRAME_MAX) {
        argp_error(state, "--frame takes a size from %u to %u, not '%s'",
                   FRAME_MIN, VHOST_NET_FRAME_MAX, text);
    }
    return (unsigned)size;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench_net *n = state->input;
    const char *name = bench_option_name(options, key);

    switch (key) {
    case KEY_TRANSMIT:
    case KEY_RECEIVE:
    case KEY_LOOPBACK:
        set_mode(n, BENCH_TRANSMIT + (unsigned)(key - KEY_TRANSMIT), state);
        return 0;
    case KEY_FRAME:
        n->frame = need_frame(state, arg);
        break;
    case KEY_BURST:
        n->burst = cli_need_number(state, name, arg, BURST_MAX);
        break;
    case KEY_MERGEABLE:
    case KEY_NO_MERGEABLE:
        n->no_mergeable = key == KEY_NO_MERGEABLE;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    n->given = name;
    return 0;
}

const struct argp bench_net_argp = { .options = options, .parser = parse };

/* Loopback counts what came back: the other half of the way has the same. */
static uint64_t frames_of(const struct bench *b,
                          const struct bench_net_result *r)
{
    return b->net.mode == BENCH_TRANSMIT ? r->sent : r->received;
}

static void print_json(const struct bench *b, const struct vhost_net_info *info,
                       const struct bench_net_result *r)
{
    uint64_t frames = frames_of(b, r);
    json_object *o = json_object_new_object();

    out_json_text(o, "uri", b->uri);
    out_json_text(o, "mode", modes[b->net.mode]);
    out_json_uint(o, "frame_bytes", b->net.frame);
    out_json_uint(o, "burst", b->net.burst);
    out_json_uint(o, "queue_size", info->queue_size);
    out_json_text(o, "layout", vhost_layout_name(info->layout));
    out_json_bool(o, "mergeable", info->mergeable);
    out_json_bool(o, "polling", b->polling);
    out_json_double(o, "seconds", r->seconds);
    out_json_uint(o, "frames_sent", r->sent);
    out_json_uint(o, "frames_received", r->received);
    json_object_object_add(o, "frames_dropped",
                           b->net.mode == BENCH_LOOPBACK
                               ? json_object_new_uint64(r->sent - r->received)
                               : NULL);
    out_json_double(o, "frames_per_second", (double)frames / r->seconds);
    out_json_double(o, "bits_per_second", (double)r->bytes * 8 / r->seconds);
    json_object_object_add(
        o, "cycles_per_frame",
        r->cycles > 0 && frames > 0
            ? json_object_new_double((double)r->cycles / (double)frames)
            : NULL);
    json_object_object_add(
        o, "cycles_per_second",
        r->cycles > 0 ? json_object_new_double((double)r->cycles / r->seconds)
                      : NULL);
    json_object_object_add(o, "latency_ns",
                           r->latency ? bench_json_latency(r->latency) : NULL);
    out_json(o);
}

static void print_cycles(const struct bench_net_result *r, uint64_t frames)
{
    if (r->cycles == 0 || frames == 0) {
        out_row("cycles per frame", "not known");
        return;
    }
    out_row("cycles per frame", "%.1f, of %.2f GHz",
            (double)r->cycles / (double)frames,
            (double)r->cycles / r->seconds / 1e9);
}

static void print_text(const struct bench *b, const struct vhost_net_info *info,
                       const struct bench_net_result *r)
{
    uint64_t frames = frames_of(b, r);

    printf("%s: %s", b->uri, modes[b->net.mode]);
    if (b->net.mode != BENCH_RECEIVE) {
        printf(", frames of %u bytes", b->net.frame);
    }
    printf(", bursts of %u%s%s\n", b->net.burst,
           info->mergeable ? ", mergeable" : "", b->polling ? ", polling" : "");
    out_row("rings", "%s, %u entries", vhost_layout_name(info->layout),
            info->queue_size);
    out_row("frames a second", "%.0f (%.3f Mpps)", (double)frames / r->seconds,
            (double)frames / r->seconds / 1e6);
    out_row("rate", "%.3f Gbit/s", (double)r->bytes * 8 / r->seconds / 1e9);
    print_cycles(r, frames);
    if (b->net.mode != BENCH_RECEIVE) {
        out_row("sent", "%llu", (unsigned long long)r->sent);
    }
    if (b->net.mode != BENCH_TRANSMIT) {
        out_row("received", "%llu", (unsigned long long)r->received);
    }
    if (b->net.mode == BENCH_LOOPBACK) {
        out_row("dropped", "%llu", (unsigned long long)(r->sent - r->received));
    }
    if (r->latency) {
        bench_print_latency(r->latency);
    }
}

/* Nothing is a result, but one that needs a word. */
static void tell_of_nothing(const struct bench *b,
                            const struct bench_net_result *r)
{
    if (frames_of(b, r) > 0) {
        return;
    }
    out_error("%s: %s in %.2f seconds", b->uri,
              b->net.mode == BENCH_TRANSMIT  ? "the back end took no frame"
              : b->net.mode == BENCH_RECEIVE ? "no frame came"
                                             : "no frame came back",
              r->seconds);
}

static struct vhost_net_device *open_net(const struct bench *b)
{
    uint64_t entries =
        b->rings.queue_size ? b->rings.queue_size : QUEUE_SIZE_DEFAULT;
    uint64_t room = b->net.frame + VHOST_NET_HEADER;
    struct vhost_net_options o = {
        .size = sizeof(o),
        .queue_size = (unsigned)entries,
        .layout = b->rings.layout,
        .polling = b->polling,
        .no_mergeable = b->net.no_mergeable,
        .huge_pages = b->huge_pages,
        .spin_us = b->spin_us,
        .deadline_ms = b->client.deadline_ms,
    };
    struct vhost_error *err = NULL;
    struct vhost_net_device *net;
    uint64_t memory;

    if (b->net.no_mergeable && room > BUFFER_SIZE_DEFAULT) {
        o.buffer_size = (unsigned)room;
    }
    memory = entries *
             (room + (o.buffer_size ? o.buffer_size : BUFFER_SIZE_DEFAULT));
    /* Two allocations, of whole pages, with room between the buffers. */
    memory += entries * 2 * 128 + 4 * PAGE;
    if (memory > MEMORY_MAX) {
        out_error("%s: so many frames of this size take more than 1 GiB",
                  b->uri);
        return NULL;
    }
    o.pool_size =
        memory > (64u << 20) ? (memory + PAGE - 1) & -(size_t)PAGE : 0;
    net = vhost_net_open(b->uri, &o, &err);
    if (!net) {
        out_library_error(err);
    }
    return net;
}

int bench_net(const struct bench *b)
{
    struct bench_net_result result = { 0 };
    struct vhost_net_info info;
    struct vhost_net_device *net = open_net(b);
    bool ok;

    if (!net) {
        return EXIT_FAILURE;
    }
    vhost_net_get_info(net, &info);
    ok = bench_net_run(b, net, &result);
    vhost_net_close(net);
    if (ok && b->client.json) {
        print_json(b, &info, &result);
    } else if (ok) {
        print_text(b, &info, &result);
    }
    if (ok) {
        tell_of_nothing(b, &result);
    }
    histogram_free(result.latency);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
