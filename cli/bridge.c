/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost bridge`: a tap of this host at the front end of a network device. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/virtio_net.h>
#include <vhost/net.h>

#include "bridge-pump.h"
#include "cli.h"
#include "out.h"
#include "rings.h"
#include "size.h"
#include "system.h"
#include "tap.h"

#define F(bit) (UINT64_C(1) << (bit))

/* Frames for the device: what the tap may leave undone, if the device does it.
 * Frames for the tap: the host does what the device left undone. */
#define OFFLOADS                                               \
    (F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_HOST_TSO4) |        \
     F(VIRTIO_NET_F_HOST_TSO6) | F(VIRTIO_NET_F_HOST_ECN) |    \
     F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_GUEST_TSO4) | \
     F(VIRTIO_NET_F_GUEST_TSO6) | F(VIRTIO_NET_F_GUEST_ECN))

enum { KEY_TAP = 1000, KEY_OFFLOADS, KEY_NO_OFFLOADS };

struct options {
    struct client client;
    struct rings rings;
    const char *uri;
    const char *tap;
    bool offloads;
    bool verbose;
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "tap", .key = KEY_TAP, .arg = "NAME",
      .doc = "the tap of this host, made if it is not there; required" },
    { .name = "offloads", .key = KEY_OFFLOADS,
      .doc = "leave checksums and segments to the receiver, where both sides "
             "can (default)" },
    { .name = "no-offloads", .key = KEY_NO_OFFLOADS,
      .doc = "move only whole frames with their checksums" },
    { .name = "verbose", .key = 'v',
      .doc = "tell of frames on standard error, once a second" },
    { 0 },
};
/* clang-format on */

static const struct argp_child children[] = {
    { .argp = &rings_argp },
    { .argp = &reconnect_argp },
    { 0 },
};

static void check(const struct options *o, struct argp_state *state)
{
    const char *why;

    if (!o->uri || !client_uri_path(o->uri)) {
        argp_error(state, "which device? A URI begins with 'user:'");
    }
    if (!o->tap) {
        argp_error(state, "to which tap? --tap NAME is required");
    }
    why = tap_name_error(o->tap);
    if (why) {
        argp_error(state, "--tap '%s': %s", o->tap, why);
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->rings;
        state->child_inputs[1] = &o->client;
        return 0;
    case KEY_TAP:
        o->tap = arg;
        return 0;
    case KEY_OFFLOADS:
    case KEY_NO_OFFLOADS:
        o->offloads = key == KEY_OFFLOADS;
        return 0;
    case 'v':
        o->verbose = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            return ARGP_ERR_UNKNOWN;
        }
        o->uri = arg;
        return 0;
    case ARGP_KEY_END:
        check(o, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "URI --tap NAME",
    .doc = "Join a network device and a tap of this host: frames go both "
           "ways.\vURI is user:PATH, the socket of a vhost-user back end.  "
           "SIGINT and SIGTERM end it.",
};

static struct vhost_net_device *open_net(const struct options *o,
                                         uint32_t buffer_size)
{
    struct vhost_net_options options_net = {
        .size = sizeof(options_net),
        .queue_size = o->rings.queue_size,
        .layout = o->rings.layout,
        .buffer_size = buffer_size,
        .offloads = o->offloads ? OFFLOADS : 0,
        .deadline_ms = o->client.deadline_ms,
        .reconnect_ms = o->client.reconnect_ms,
        .pool_size = bridge_memory(o->rings.queue_size, buffer_size),
    };
    struct vhost_error *err = NULL;
    struct vhost_net_device *net = vhost_net_open(o->uri, &options_net, &err);

    if (!net) {
        out_library_error(err);
    }
    return net;
}

/* Where a frame can't lie in several buffers, each has room for any: they are
 * known to be needed only after the first time. */
static struct vhost_net_device *open_for_any_frame(const struct options *o)
{
    struct vhost_net_device *net = open_net(o, 2048);
    struct vhost_net_info info;

    if (!net) {
        return NULL;
    }
    vhost_net_get_info(net, &info);
    if (info.mergeable) {
        return net;
    }
    vhost_net_close(net);
    return open_net(o, BRIDGE_BUFFER_SIZE);
}

static void json_way(json_object *o, const char *key,
                     const struct bridge_way *way)
{
    json_object *w = json_object_new_object();

    out_json_uint(w, "frames", way->frames);
    out_json_uint(w, "bytes", way->bytes);
    out_json_uint(w, "dropped", way->dropped);
    json_object_object_add(o, key, w);
}

static void print_json(const struct options *o,
                       const struct vhost_net_info *info,
                       const struct bridge_counts *c)
{
    json_object *j = json_object_new_object();

    out_json_text(j, "uri", o->uri);
    out_json_text(j, "tap", o->tap);
    out_json_uint(j, "queue_size", info->queue_size);
    out_json_text(j, "layout", vhost_layout_name(info->layout));
    out_json_bool(j, "mergeable", info->mergeable);
    out_json_bool(j, "offloads", (info->features & OFFLOADS) != 0);
    json_way(j, "to_device", &c->to_device);
    json_way(j, "to_tap", &c->to_tap);
    out_json_uint(j, "lost", c->lost);
    out_json(j);
}

static void print_way(const char *label, const struct bridge_way *way)
{
    char size[SIZE_TEXT_MAX];

    out_row(label, "%" PRIu64 " frames, %s, %" PRIu64 " dropped", way->frames,
            size_format(size, (double)way->bytes), way->dropped);
}

static bool join(const struct options *o, struct bridge *b)
{
    struct bridge_counts counts = { 0 };
    struct vhost_net_info info;
    bool ok;

    vhost_net_get_info(b->net, &info);
    if (!tap_set_offloads(b->tap_fd, info.features)) {
        out_error("tap %s: it can't leave checksums and segments to others; "
                  "--no-offloads works",
                  o->tap);
        return false;
    }
    if (!o->client.json) {
        printf("bridging %s and tap %s: %s, %u entries%s%s\n", o->uri, o->tap,
               vhost_layout_name(info.layout), info.queue_size,
               info.mergeable ? ", mergeable" : "",
               info.features & OFFLOADS ? ", offloads" : "");
        if (system_flush() < 0) {
            return false;
        }
    }
    ok = bridge_run(b, &counts);
    if (o->client.json) {
        print_json(o, &info, &counts);
    } else {
        print_way("to the device", &counts.to_device);
        print_way("to the tap", &counts.to_tap);
        if (counts.lost > 0) {
            out_row("lost", "%" PRIu64 " frames with back ends that went",
                    counts.lost);
        }
    }
    return ok;
}

int bridge_main(int argc, char **argv)
{
    struct options o = { .client = CLIENT_DEFAULTS, .offloads = true };
    struct bridge b = { .tap_fd = -1 };
    bool ok;

    argp_parse(&argp, argc, argv, 0, NULL, &o);
    system_catch_signals();
    b.uri = o.uri;
    b.tap = o.tap;
    b.verbose = o.verbose;
    b.tap_fd = tap_open(o.tap);
    if (b.tap_fd < 0) {
        return EXIT_FAILURE;
    }
    b.net = open_for_any_frame(&o);
    ok = b.net && join(&o, &b);
    vhost_net_close(b.net);
    close(b.tap_fd);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
