/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a dead back end leaves of the queues of a network device, for the one
 * after it.
 *
 * A network may lose frames, and whoever sends them knows how to live with it;
 * of one that comes twice he may not.  So what was being sent is not sent
 * again: its buffers go back to the program as if it had been, and are counted.
 *
 * Frames that had come are handed out as ever.  All other buffers to receive
 * into go to the new back end, but those for which its ring has no room: the
 * packets of half a frame, whose places the program may have filled meanwhile.
 * These are given to it before any of the program's.
 *
 * How much there can be.  While buffers wait for room nothing else is posted,
 * so they are at most a ring full and half a frame; and nothing is sent while
 * more than a burst waits to be returned, so that is at most a ring full and a
 * burst, however often back ends die.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/net-again.h"

int vh_net_again_init(struct vhost_net_device *net)
{
    size_t n = net->options.queue_size;

    for (unsigned i = 0; i < net->options.pairs; i++) {
        struct vhost_net_rx *rx = &net->rx[i];
        struct vhost_net_tx *tx = &net->tx[i];

        rx->kept = calloc(n, sizeof(rx->kept[0]));
        rx->spare = calloc(2 * n, sizeof(rx->spare[0]));
        tx->back = calloc(n + VH_NET_BURST, sizeof(tx->back[0]));
        if (!rx->kept || !rx->spare || !tx->back) {
            return -ENOMEM;
        }
    }
    return 0;
}

void vh_net_again_free(struct vhost_net_device *net)
{
    for (unsigned i = 0; i < net->options.pairs; i++) {
        free(net->rx[i].kept);
        free(net->rx[i].spare);
        free(net->tx[i].back);
    }
}

void vh_net_rx_forget_kept(struct vhost_net_rx *rx)
{
    rx->kept_at = 0;
    rx->n_kept = 0;
    rx->n_spare = 0;
}

int vh_net_rx_take_kept(struct vhost_net_rx *rx,
                        struct vhost_net_packet *packets, unsigned max)
{
    const struct vhost_net_packet *from = rx->kept + rx->kept_at;
    unsigned left = rx->n_kept - rx->kept_at;
    unsigned n = left < max ? left : max;

    while (n > 0 && from[n - 1].more) {
        n--;
    }
    if (n == 0) {
        return -E2BIG;
    }
    memcpy(packets, from, n * sizeof(packets[0]));
    rx->kept_at += n;
    return (int)n;
}

static void spare(struct vhost_net_rx *rx,
                  const struct vhost_net_packet *packets, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rx->spare[rx->n_spare++] = packets[i].buffer;
    }
}

/* Into one burst at the end of those that are kept, after half a frame that was
 * held back.  Return: is there more? */
static bool keep_burst(struct vhost_net_rx *rx)
{
    struct vhost_net_packet packets[VH_NET_BURST];
    unsigned room = rx->net->options.queue_size - rx->n_kept;
    struct vh_ring_used used[VH_NET_BURST];
    int n;

    n = vh_ring_take(rx->vq->ring, used,
                     room < VH_NET_BURST ? room : VH_NET_BURST);
    if (n <= 0) {
        return false;
    }
    if (vh_net_rx_convert(rx, used, (unsigned)n, packets)) {
        for (int i = 0; i < n; i++) {
            rx->spare[rx->n_spare++] = used[i].cookie;
        }
        return false;
    }
    memcpy(rx->kept + rx->n_kept, packets, (unsigned)n * sizeof(packets[0]));
    rx->n_kept += (unsigned)n;
    return true;
}

/* Whole frames that had come, as far as there is room for them. */
static void keep_frames(struct vhost_net_rx *rx)
{
    unsigned whole;

    if (rx->kept_at > 0) {
        rx->n_kept -= rx->kept_at;
        memmove(rx->kept, rx->kept + rx->kept_at,
                rx->n_kept * sizeof(rx->kept[0]));
        rx->kept_at = 0;
    }
    if (rx->n_held <= rx->net->options.queue_size - rx->n_kept) {
        for (unsigned i = 0; i < rx->n_held; i++) {
            rx->kept[rx->n_kept++] = rx->held[i];
        }
        while (keep_burst(rx)) {
        }
    } else {
        spare(rx, rx->held, rx->n_held);
    }
    rx->n_held = 0;
    rx->frame_left = 0;
    whole = rx->n_kept;
    while (whole > 0 && rx->kept[whole - 1].more) {
        whole--;
    }
    spare(rx, rx->kept + whole, rx->n_kept - whole);
    rx->n_kept = whole;
}

static void drop_posted(struct vhost_net_rx *rx)
{
    void *cookies[VH_NET_BURST];
    unsigned n;

    while ((n = vh_ring_drop(rx->vq->ring, cookies, VH_NET_BURST)) > 0) {
        memcpy(rx->spare + rx->n_spare, cookies, n * sizeof(cookies[0]));
        rx->n_spare += n;
    }
}

static int renew_rx(struct vhost_net_rx *rx)
{
    int r;

    keep_frames(rx);
    drop_posted(rx);
    r = vh_virtq_renew(rx->vq);
    if (r == 0) {
        r = vh_net_rx_put_spare(rx);
    }
    if (r == 0) {
        vh_ring_publish(rx->vq->ring); /* the start kicks */
    }
    return r;
}

/* What had been sent, and then what never will be. */
static void take_back(struct vhost_net_tx *tx)
{
    struct vhost_net_device *net = tx->device;
    struct vh_ring_used used[VH_NET_BURST];
    int n;
    unsigned lost;

    tx->n_back -= tx->back_at;
    memmove(tx->back, tx->back + tx->back_at, tx->n_back * sizeof(tx->back[0]));
    tx->back_at = 0;
    while ((n = vh_ring_take(tx->vq->ring, used, VH_NET_BURST)) > 0) {
        for (int i = 0; i < n; i++) {
            tx->back[tx->n_back++] = used[i].cookie;
        }
    }
    while ((lost = vh_ring_drop(tx->vq->ring, tx->back + tx->n_back,
                                VH_NET_BURST)) > 0) {
        tx->n_back += lost;
        __atomic_fetch_add(&net->n_lost, lost, __ATOMIC_RELAXED);
    }
}

int vh_net_renew(struct vh_device *device, unsigned index)
{
    struct vhost_net_device *net =
        (struct vhost_net_device *)((char *)device -
                                    offsetof(struct vhost_net_device, device));
    struct vh_virtq *vq = &device->queues[index];
    int r;

    if (index % 2 == 0) {
        r = renew_rx(&net->rx[index / 2]);
    } else {
        take_back(&net->tx[index / 2]);
        r = vh_virtq_renew(vq);
    }
    /* Whoever sleeps would sleep on: no call comes for what waits here. */
    if (r == 0 && vq->call.fd >= 0) {
        vhost_notifier_set(&vq->call);
    }
    return r;
}
