/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where frames go to and come from.
 *
 *   tap      read when there may be buffers, into a bounce buffer; a frame that
 *            finds none waits there, and the others in the tap
 *   loop     from the sent buffers into those of the same pair's rx, at once
 *   null     nowhere
 *   source   the same frame for ever
 *
 * A tap gives edges: a queue leaves the rounds only after a read that found
 * nothing, or with a frame that waits for buffers.
 * One with several queues spreads flows over those that are attached: they are
 * those that the driver receives from, or frames would vanish in the others.
 */
#include "server/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/net-tap.h"
#include "server/server.h"
#include "util/error.h"
#include "util/fd.h"

#define FLUSH_MAX 4096 /* frames; more than a tap's queue has by default */
#define BOUNCE_LEN (VH_NET_HEADER + VH_NET_FRAME_MAX)

static struct vh_net_pair *pair_of(struct vh_net *net,
                                   const struct vh_squeue *q)
{
    return &net->pairs[q->index / 2];
}

/* Nothing */

static void send_nowhere(struct vh_net *net, struct vh_squeue *q,
                         struct vh_chain *chain)
{
    (void)net;
    (void)q;
    (void)chain;
}

static bool receive_none(struct vh_net *net, struct vh_squeue *q)
{
    (void)net;
    (void)q;
    return false;
}

static void no_change(struct vh_net *net)
{
    (void)net;
}

static int open_plain(struct vh_net *net, const char *arg,
                      struct vhost_error **errp)
{
    net->device.features |=
        VH_NET_BIT(VIRTIO_NET_F_CSUM) | VH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM) |
        VH_NET_BIT(VIRTIO_NET_F_HOST_TSO4) |
        VH_NET_BIT(VIRTIO_NET_F_HOST_TSO6) | VH_NET_BIT(VIRTIO_NET_F_HOST_ECN) |
        VH_NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |
        VH_NET_BIT(VIRTIO_NET_F_GUEST_TSO6) |
        VH_NET_BIT(VIRTIO_NET_F_GUEST_ECN);
    if (*arg) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: nothing follows '%s'", net->name,
                        net->peer->prefix);
    }
    return 0;
}

/* Loop */

static void send_back(struct vh_net *net, struct vh_squeue *q,
                      struct vh_chain *chain)
{
    struct vh_net_pair *pair = pair_of(net, q);
    struct vh_net_frame frame = { .data = { chain->iov, chain->n_out },
                                  .len = chain->out_len - VH_NET_HEADER };

    vh_iov_take(&frame.data, &frame.header, sizeof(frame.header));
    if (!pair->rx || !vh_squeue_is_running(pair->rx) ||
        q->index / 2 >= vh_net_pairs_in_use(net) ||
        vh_net_receive(net, pair->rx, &frame) != VH_NET_DELIVERED) {
        pair->n_dropped++;
    }
}

/* Source */

static int open_source(struct vh_net *net, const char *arg,
                       struct vhost_error **errp)
{
    char *end;
    unsigned long len = strtoul(arg, &end, 10);

    if (arg[0] < '0' || arg[0] > '9' || *end || len < VH_NET_ETH_HEADER ||
        len > UINT16_MAX) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: a frame has from %d to %d bytes", net->name,
                        VH_NET_ETH_HEADER, UINT16_MAX);
    }
    net->pattern = calloc(1, len);
    if (!net->pattern) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    /* To all, from the device, of a type for local experiments. */
    memset(net->pattern, 0xff, 6);
    memcpy(net->pattern + 6, net->options.mac, 6);
    net->pattern[12] = 0x88;
    net->pattern[13] = 0xb5;
    for (unsigned i = 0; i < net->options.pairs; i++) {
        net->pairs[i].iov = (struct iovec){ net->pattern, len };
        net->pairs[i].frame.len = (uint32_t)len;
    }
    return open_plain(net, "", errp);
}

static bool receive_pattern(struct vh_net *net, struct vh_squeue *q)
{
    struct vh_net_pair *pair = pair_of(net, q);

    pair->frame.data = (struct vh_iov){ &pair->iov, 1 };
    return true;
}

/* Tap */

static void tap_is_gone(struct vh_net *net, const struct vh_squeue *q)
{
    if (!net->gone) {
        net->gone = true;
        vh_server_log(q->srv, "%s: the tap has been deleted", net->name);
    }
}

static void send_to_tap(struct vh_net *net, struct vh_squeue *q,
                        struct vh_chain *chain)
{
    struct vh_net_pair *pair = pair_of(net, q);

    if (net->gone) {
        return;
    }
    while (writev(pair->fd, chain->iov, chain->n_out) < 0) {
        if (errno == EBADFD) {
            tap_is_gone(net, q);
        }
        if (errno != EINTR) {
            pair->n_dropped++; /* as a wire does, when the link is down */
            return;
        }
    }
}

static void announce_to_tap(struct vh_net *net, const void *frame, size_t len)
{
    if (!net->gone) {
        (void)!write(net->pairs[0].fd, frame, len); /* as a wire does */
    }
}

static bool receive_from_tap(struct vh_net *net, struct vh_squeue *q)
{
    struct vh_net_pair *pair = pair_of(net, q);
    ssize_t len;

    do {
        len = net->gone ? 0 : read(pair->fd, pair->bounce, BOUNCE_LEN);
    } while (len < 0 && errno == EINTR);
    if (len < 0 && errno == EBADFD) {
        tap_is_gone(net, q);
    }
    if (len < VH_NET_HEADER) {
        return false;
    }
    memcpy(&pair->frame.header, pair->bounce, VH_NET_HEADER);
    pair->iov = (struct iovec){ pair->bounce + VH_NET_HEADER,
                                (size_t)len - VH_NET_HEADER };
    pair->frame.data = (struct vh_iov){ &pair->iov, 1 };
    pair->frame.len = (uint32_t)(len - VH_NET_HEADER);
    return true;
}

static void rearrange_tap(struct vh_net *net)
{
    unsigned in_use = vh_net_pairs_in_use(net);

    /* It belongs to the interface; any of its queues will do. */
    if (!net->gone) {
        vh_tap_offload(net->pairs[0].fd, net->negotiated);
    }
    for (unsigned i = 0; i < net->options.pairs; i++) {
        struct vh_net_pair *pair = &net->pairs[i];
        bool wanted = pair->rx && i < in_use;

        if (net->options.pairs > 1 && wanted != pair->attached &&
            vh_tap_attach(pair->fd, wanted) == 0) {
            pair->attached = wanted;
        }
    }
}

static void flush_tap(struct vh_net *net)
{
    for (unsigned i = 0; i < net->options.pairs; i++) {
        struct vh_net_pair *pair = &net->pairs[i];

        for (unsigned n = 0; n < FLUSH_MAX; n++) {
            if (read(pair->fd, pair->bounce, BOUNCE_LEN) < 0) {
                break;
            }
        }
    }
}

/* What the kernel can do for us with headers, it tells by refusing. */
static uint64_t tap_features(int fd)
{
    uint64_t guest = VH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM) |
                     VH_NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |
                     VH_NET_BIT(VIRTIO_NET_F_GUEST_TSO6) |
                     VH_NET_BIT(VIRTIO_NET_F_GUEST_ECN);

    if (vh_tap_offload(fd, guest) < 0) {
        guest = 0;
    }
    vh_tap_offload(fd, 0);
    /* Any header is taken from us, and made good by the host. */
    return guest | VH_NET_BIT(VIRTIO_NET_F_CSUM) |
           VH_NET_BIT(VIRTIO_NET_F_HOST_TSO4) |
           VH_NET_BIT(VIRTIO_NET_F_HOST_TSO6) |
           VH_NET_BIT(VIRTIO_NET_F_HOST_ECN);
}

static int open_tap(struct vh_net *net, const char *name,
                    struct vhost_error **errp)
{
    const char *why = vh_tap_check_name(name);

    if (why) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE, "%s: %s",
                        net->name, why);
    }
    for (unsigned i = 0; i < net->options.pairs; i++) {
        struct vh_net_pair *pair = &net->pairs[i];
        int r = vh_tap_open(name, net->options.pairs > 1, &pair->fd, errp);

        if (r < 0) {
            return r;
        }
        pair->attached = true;
        pair->bounce = malloc(BOUNCE_LEN);
        if (!pair->bounce) {
            return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE,
                            "out of memory");
        }
    }
    net->device.features |= tap_features(net->pairs[0].fd);
    if (net->options.mtu == 0) {
        net->options.mtu = vh_tap_mtu(name);
    }
    return 0;
}

/* All of them */

static const struct vh_net_peer peers[] = {
    /* clang-format off */
    { "tap:", open_tap, send_to_tap, receive_from_tap, rearrange_tap,
      flush_tap, announce_to_tap },
    { "loop:", open_plain, send_back, receive_none, no_change, no_change,
      NULL },
    { "null:", open_plain, send_nowhere, receive_none, no_change, no_change,
      NULL },
    { "source:", open_source, send_nowhere, receive_pattern, no_change,
      no_change, NULL },
    /* clang-format on */
};

int vh_net_open_peer(struct vh_net *net, struct vhost_error **errp)
{
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        size_t len = strlen(peers[i].prefix);

        if (strncmp(net->name, peers[i].prefix, len) == 0) {
            net->peer = &peers[i];
            return net->peer->open(net, net->name + len, errp);
        }
    }
    return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                    "%s: no such peer; there are tap:NAME, loop:, null: and "
                    "source:LEN",
                    net->name);
}

void vh_net_close_peer(struct vh_net *net)
{
    for (unsigned i = 0; net->pairs && i < net->options.pairs; i++) {
        vh_fd_close(&net->pairs[i].fd);
        free(net->pairs[i].bounce);
    }
    free(net->pattern);
}
