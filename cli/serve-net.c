/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost serve net`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>
#include <vhost/server.h>

#include "cli.h"
#include "out.h"
#include "serve.h"
#include "size.h"

#define PAIRS_MAX 128u
#define MTU_MIN 68
#define MTU_MAX UINT16_MAX

enum {
    KEY_TAP = 1100,
    KEY_PEER,
    KEY_QUEUES,
    KEY_QUEUE_SIZE,
    KEY_MAC,
    KEY_MTU,
};

struct serve_net {
    struct serve common;
    char *peer;
    struct vhost_server_net_options net;
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "tap", .key = KEY_TAP, .arg = "NAME",
      .doc = "frames go to this tap of the host and come from it; made if it "
             "is not there" },
    { .name = "peer", .key = KEY_PEER, .arg = "PEER",
      .doc = "instead of a tap: loop: for frames that come back, null: for "
             "none, source:LEN for frames of LEN bytes without end" },
    { .name = "queues", .key = KEY_QUEUES, .arg = "N",
      .doc = "how many queue pairs, up to 128 (default: 1)" },
    { .name = "queue-size", .key = KEY_QUEUE_SIZE, .arg = "N",
      .doc = "the largest queue that is accepted, a power of two "
             "(default: 1024)" },
    { .name = "mac", .key = KEY_MAC, .arg = "ADDRESS",
      .doc = "of the device, as 02:00:00:00:00:01 (default: a random one)" },
    { .name = "mtu", .key = KEY_MTU, .arg = "N",
      .doc = "that the device tells (default: that of the tap, or 1500)" },
    { 0 },
};
/* clang-format on */

static void set_peer(struct argp_state *state, struct serve_net *s,
                     const char *prefix, const char *arg)
{
    if (s->peer) {
        argp_error(state, "one --tap or --peer is enough");
    }
    if (asprintf(&s->peer, "%s%s", prefix, arg) < 0) {
        argp_failure(state, EXIT_FAILURE, 0, "out of memory");
    }
}

static void set_mac(struct argp_state *state, struct serve_net *s,
                    const char *arg)
{
    static const uint8_t none[6];
    uint8_t *mac = s->net.mac;
    int len = 0;

    if (sscanf(arg, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1],
               &mac[2], &mac[3], &mac[4], &mac[5], &len) != 6 ||
        arg[len] || len != 17) {
        argp_error(state, "--mac takes an address as 02:00:00:00:00:01");
    }
    if (mac[0] & 1 || memcmp(mac, none, 6) == 0) {
        argp_error(state, "--mac %s is no address of a single device", arg);
    }
}

static void set_mtu(struct argp_state *state, struct serve_net *s,
                    const char *arg)
{
    uint64_t mtu;

    if (size_parse_number(arg, MTU_MIN, MTU_MAX, &mtu) < 0) {
        argp_error(state, "--mtu takes a number from %d to %d", MTU_MIN,
                   MTU_MAX);
    }
    s->net.mtu = (uint16_t)mtu;
}

static void check(const struct serve_net *s, struct argp_state *state)
{
    if (!s->peer) {
        argp_error(state, "where do frames go? --tap NAME is required");
    }
    if (!s->common.socket) {
        argp_error(state, "where? --socket PATH is required");
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct serve_net *s = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->common;
        return 0;
    case KEY_TAP:
        set_peer(state, s, "tap:", arg);
        return 0;
    case KEY_PEER:
        set_peer(state, s, "", arg);
        return 0;
    case KEY_QUEUES:
        s->net.pairs = cli_need_number(state, "queues", arg, PAIRS_MAX);
        return 0;
    case KEY_QUEUE_SIZE:
        s->net.queue_size = (unsigned)cli_need_size(state, "queue-size", arg, 4,
                                                    SERVE_QUEUE_SIZE_MAX);
        return 0;
    case KEY_MAC:
        set_mac(state, s, arg);
        return 0;
    case KEY_MTU:
        set_mtu(state, s, arg);
        return 0;
    case ARGP_KEY_END:
        check(s, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { .argp = &serve_argp }, { 0 } };

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "--tap NAME --socket PATH",
    .doc = "Serve a network device to one vhost-user front end at a time.\v"
           "SIGINT and SIGTERM end it.  A tap that it made goes with it.",
};

int serve_net_main(int argc, char **argv)
{
    struct serve_net s = {
        .common = { .device_id = VIRTIO_ID_NET,
                    .options = { .size = sizeof(s.common.options) } },
        .net = { .size = sizeof(s.net) },
    };
    int r;

    argp_parse(&argp, argc, argv, 0, NULL, &s);
    r = serve_run(&s.common, vhost_server_net(s.peer, &s.net), s.peer);
    free(s.peer);
    return r;
}
