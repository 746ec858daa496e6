/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control queue (virtio 1.3, 5.1.6.5): a command, and one byte in answer.
 *
 * One command at a time, in the control thread, which waits for it no longer
 * than the deadline.  A device that answers later writes into memory that is
 * still ours: but the queue is broken then, as its answers can't be told apart.
 *
 * vhost-user has no control queue of its own; a back end that has one offers
 * its feature and a configuration space.  Without it, pairs are chosen by
 * disabling the rings of the others.
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <linux/virtio_net.h>

#include "backend/user/entries.h"
#include "driver/net.h"
#include "util/clock.h"
#include "util/error.h"

#define COMMAND_MAX 32 /* class, command, data; the answer is behind it */
#define DEFAULT_MS 5000
#define NO_ANSWER 0xff

int vh_net_control_open(struct vhost_net_device *net)
{
    struct vh_pool_hit hit = { 0 };

    net->command = vh_pool_alloc(net->device.pool, COMMAND_MAX + 1, 64);
    if (!net->command || !vh_pool_find(net->device.pool, &hit, net->command,
                                       &net->command_gpa)) {
        return -ENOMEM;
    }
    return 0;
}

static int failed(int r, const char *what, const char *why,
                  struct vhost_error **errp)
{
    return vh_error(errp, r, what, VH_NO_QUEUE, "%s: %s", what, why);
}

/* Waits for the answer to the one command in the ring. */
static int wait_for_answer(struct vhost_net_device *net)
{
    struct vh_virtq *vq = net->control;
    unsigned ms =
        net->options.deadline_ms ? net->options.deadline_ms : DEFAULT_MS;
    int64_t deadline = vh_deadline_in(ms < INT_MAX ? (int)ms : INT_MAX);
    struct vh_ring_used used;

    for (;;) {
        int n = vh_virtq_take(vq, &used, 1);

        if (n != 0) {
            return n < 0 ? n : 0;
        }
        if (vh_deadline_passed(deadline)) {
            return vh_virtq_fail(vq, -ETIMEDOUT, "no answer to a command");
        }
        n = vh_virtq_wait(vq, deadline);
        if (n < 0) {
            return n;
        }
    }
}

static int command(struct vhost_net_device *net, const char *what,
                   const struct virtio_net_ctrl_hdr *header, const void *data,
                   size_t len, struct vhost_error **errp)
{
    uint8_t *answer = net->command + COMMAND_MAX;
    struct vh_sg sg[3] = {
        { net->command_gpa, sizeof(*header) },
        { net->command_gpa + sizeof(*header), (uint32_t)len },
        { net->command_gpa + COMMAND_MAX, 1 },
    };
    unsigned n_out = len > 0 ? 2 : 1;
    int r = net->control->failed;

    if (len == 0) {
        sg[1] = sg[2];
    }
    memcpy(net->command, header, sizeof(*header));
    memcpy(net->command + sizeof(*header), data, len);
    *answer = NO_ANSWER;
    if (r == 0) {
        r = vh_ring_add(net->control->ring, sg, n_out, 1, net);
    }
    if (r == 0) {
        r = vh_virtq_submit(net->control);
    }
    if (r == 0) {
        r = wait_for_answer(net);
    }
    if (r < 0) {
        return failed(r, what,
                      net->control->failed ? net->control->error : strerror(-r),
                      errp);
    }
    return VH_READ_ONCE(*answer) == VIRTIO_NET_OK
               ? 0
               : failed(-EIO, what, "the device refuses", errp);
}

static int need(const struct vhost_net_device *net, const char *what,
                unsigned feature, struct vhost_error **errp)
{
    if (net->control && vh_device_has(&net->device, feature)) {
        return 0;
    }
    return failed(-ENOTSUP, what, "the device has no control queue that can",
                  errp);
}

/* Without a control queue. */
static int enable_rings(struct vhost_net_device *net, unsigned pairs,
                        struct vhost_error **errp)
{
    struct vhost_user *user = vh_link_user(&net->device.link);
    int r = 0;

    if (!user) {
        return failed(-ENOTSUP, "set pairs",
                      "the back end can't switch queues one by one, and the "
                      "device has no control queue",
                      errp);
    }
    for (unsigned i = 0; i < 2 * net->options.pairs && r == 0; i++) {
        r = vh_user_enable_queue(user, i, i < 2 * pairs, errp);
    }
    return r;
}

int vhost_net_set_pairs(struct vhost_net_device *net, unsigned pairs,
                        struct vhost_error **errp)
{
    static const struct virtio_net_ctrl_hdr header = {
        VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET
    };
    uint16_t n = htole16((uint16_t)pairs);

    if (pairs < 1 || pairs > net->options.pairs) {
        return vh_error(errp, -EINVAL, "set pairs", VH_NO_QUEUE,
                        "%u queue pairs asked, the device was opened with %u",
                        pairs, net->options.pairs);
    }
    if (!net->control || !vh_device_has(&net->device, VIRTIO_NET_F_MQ)) {
        return enable_rings(net, pairs, errp);
    }
    return command(net, "set pairs", &header, &n, sizeof(n), errp);
}

int vhost_net_set_mac(struct vhost_net_device *net, const uint8_t *mac,
                      struct vhost_error **errp)
{
    static const struct virtio_net_ctrl_hdr header = {
        VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET
    };
    int r = need(net, "set mac", VIRTIO_NET_F_CTRL_MAC_ADDR, errp);

    if (r == 0) {
        r = command(net, "set mac", &header, mac, sizeof(net->info.mac), errp);
    }
    if (r == 0) {
        memcpy(net->info.mac, mac, sizeof(net->info.mac));
        net->info.has_mac = true;
    }
    return r;
}

int vhost_net_announced(struct vhost_net_device *net, struct vhost_error **errp)
{
    static const struct virtio_net_ctrl_hdr header = {
        VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK
    };
    int r = need(net, "announced", VIRTIO_NET_F_GUEST_ANNOUNCE, errp);

    if (r == 0) {
        r = command(net, "announced", &header, "", 0, errp);
    }
    if (r == 0) {
        net->info.announce = false;
    }
    return r;
}
