/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving (virtio 1.3, 5.1.6.3 "Setting Up Receive Buffers" and 5.1.6.4
 * "Processing of Incoming Packets").
 *
 * A buffer is one descriptor: header and frame together.  Nothing of it is
 * read here, unless the header has something to say: its cache line comes
 * from another processor, and the program may not want it yet.
 *
 * A frame in several buffers is told by the header of the first.  The device
 * should make all of them used at once, but a burst may end in the middle: the
 * packets of a frame that is not whole are held back until the rest is there.
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <linux/virtio_net.h>

#include "driver/hold.h"
#include "driver/net-again.h"
#include "util/clock.h"

/* Translates as many as fit in one burst.  Return: how many. */
static unsigned find(struct vhost_net_rx *rx, struct vh_ring_buf *bufs,
                     void *const *buffers, unsigned n)
{
    const struct vh_pool *pool = rx->net->device.pool;
    uint32_t size = rx->buffer_size;
    unsigned i;

    n = n < VH_NET_BURST ? n : VH_NET_BURST;
    vh_pool_begin(pool, &rx->hit);
    for (i = 0; i < n; i++) {
        uint64_t gpa;

        if (vh_pool_next(pool, &rx->hit, buffers[i], &gpa) < size) {
            break;
        }
        bufs[i] = (struct vh_ring_buf){ gpa, buffers[i], size };
    }
    return i;
}

int vh_net_rx_put_spare(struct vhost_net_rx *rx)
{
    unsigned done = 0;
    int put = VH_NET_BURST;

    while (done < rx->n_spare && put == VH_NET_BURST) {
        struct vh_ring_buf bufs[VH_NET_BURST];
        unsigned found = find(rx, bufs, rx->spare + done, rx->n_spare - done);

        put = vh_ring_put(rx->vq->ring, bufs, found, true);
        if (put < 0) {
            return vh_virtq_fail(rx->vq, put, "the ring is broken");
        }
        done += (unsigned)put;
    }
    rx->n_spare -= done;
    memmove(rx->spare, rx->spare + done, rx->n_spare * sizeof(rx->spare[0]));
    return 0;
}

int vh_net_rx_put(struct vhost_net_rx *rx, void *const *buffers, unsigned n)
{
    struct vh_ring_buf bufs[VH_NET_BURST];
    unsigned done = 0;
    bool seen = true;
    int r;

    if (rx->vq->failed) {
        return rx->vq->failed;
    }
    n = n < INT_MAX ? n : INT_MAX;
    if (rx->n_spare > 0 && (vh_net_rx_put_spare(rx) < 0 || rx->n_spare > 0)) {
        return vh_virtq_submit(rx->vq);
    }
    while (done < n) {
        unsigned found = find(rx, bufs, buffers + done, n - done);
        int put = vh_ring_put(rx->vq->ring, bufs, found, true);

        if (put < 0) {
            return vh_virtq_fail(rx->vq, put, "the ring is broken");
        }
        done += (unsigned)put;
        if (put != VH_NET_BURST) {
            seen = found > 0;
            break;
        }
    }
    if (done == 0) {
        return n > 0 && !seen ? -EFAULT : 0;
    }
    r = vh_virtq_submit(rx->vq);
    return r < 0 ? r : (int)done;
}

int vhost_net_post(struct vhost_net_rx *rx, void *const *buffers, unsigned n)
{
    if (rx->form == VH_NET_COPYING) {
        return -EBUSY;
    }
    rx->form = VH_NET_IN_PLACE;
    vh_hold_enter(rx->vq);
    return vh_hold_leave(rx->vq, vh_net_rx_put(rx, buffers, n));
}

/* The first buffer of a frame.  Return: NULL, or what is wrong with it. */
static const char *begin_frame(struct vhost_net_rx *rx,
                               struct vhost_net_packet *packet)
{
    const struct virtio_net_hdr_v1 *header = packet->buffer;
    uint8_t flags = VH_READ_ONCE(header->flags);
    uint8_t gso_type = VH_READ_ONCE(header->gso_type);
    uint16_t n = 1;

    if (rx->mergeable) {
        n = le16toh(VH_READ_ONCE(header->num_buffers));
    }
    if (n == 0 || n > rx->vq->ring->size) {
        return "a frame lies in an impossible number of buffers";
    }
    if (flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID) ||
        gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        packet->flags = VHOST_NET_PACKET_HEADER;
    }
    rx->frame_left = n - 1u;
    packet->more = n > 1;
    return NULL;
}

const char *vh_net_rx_convert(struct vhost_net_rx *rx,
                              const struct vh_ring_used *used, unsigned n,
                              struct vhost_net_packet *packets)
{
    bool reads_header = rx->reads_header;

    for (unsigned i = 0; i < n; i++) {
        struct vhost_net_packet *packet = &packets[i];
        const char *wrong;

        *packet = (struct vhost_net_packet){
            .buffer = used[i].cookie,
            .len = used[i].len - VHOST_NET_HEADER,
            .offset = VHOST_NET_HEADER,
        };
        if (rx->frame_left > 0) {
            packet->len = used[i].len;
            packet->offset = 0;
            packet->more = --rx->frame_left > 0;
            continue;
        }
        if (used[i].len < VHOST_NET_HEADER) {
            return "a frame is shorter than its header";
        }
        if (!reads_header) {
            continue;
        }
        wrong = begin_frame(rx, packet);
        if (wrong) {
            return wrong;
        }
    }
    return NULL;
}

/* Bursts from the ring, up to @max.  Return: how many; less than 0: broken. */
static int take(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                unsigned max)
{
    struct vh_ring_used used[VH_NET_BURST];
    unsigned n = 0;

    while (n < max) {
        unsigned want = max - n < VH_NET_BURST ? max - n : VH_NET_BURST;
        int got = vh_virtq_take(rx->vq, used, want);
        const char *wrong;

        if (got <= 0) {
            break;
        }
        wrong = vh_net_rx_convert(rx, used, (unsigned)got, packets + n);
        if (wrong) {
            return vh_virtq_fail(rx->vq, -EPROTO, wrong);
        }
        n += (unsigned)got;
        if ((unsigned)got < want) {
            break;
        }
    }
    return (int)n;
}

/* Puts the frame aside that is not whole.  Return: packets that remain. */
static int hold_back(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                     unsigned n, unsigned max)
{
    unsigned whole = n;

    while (whole > 0 && packets[whole - 1].more) {
        whole--;
    }
    rx->n_held = n - whole;
    memcpy(rx->held, packets + whole, rx->n_held * sizeof(*packets));
    return whole == 0 && rx->n_held == max ? -E2BIG : (int)whole;
}

int vh_net_rx_take(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                   unsigned max)
{
    unsigned held = rx->n_held;
    int n;

    max = max < INT_MAX ? max : INT_MAX;
    if (rx->kept_at < rx->n_kept) {
        return max > 0 ? vh_net_rx_take_kept(rx, packets, max) : 0;
    }
    if (held > 0) {
        if (held >= max) {
            return -E2BIG;
        }
        memcpy(packets, rx->held, held * sizeof(*packets));
        rx->n_held = 0;
    }
    n = take(rx, packets + held, max - held);
    if (n < 0) {
        return n;
    }
    n += (int)held;
    if (rx->frame_left > 0) {
        n = hold_back(rx, packets, (unsigned)n, max);
    }
    if (n == 0) {
        vh_virtq_idle(rx->vq);
        return rx->vq->failed;
    }
    return n;
}

static int look(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                unsigned max)
{
    int n;

    if (rx->form == VH_NET_COPYING) {
        return -EBUSY;
    }
    vh_virtq_drain(rx->vq);
    n = vh_net_rx_take(rx, packets, max);
    if (rx->kept_at < rx->n_kept) {
        vh_virtq_raise(rx->vq); /* no call comes for what is kept */
    } else {
        vh_virtq_arm(rx->vq);
    }
    return n;
}

int vhost_net_receive(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                      unsigned max)
{
    vh_hold_enter(rx->vq);
    return vh_hold_leave(rx->vq, look(rx, packets, max));
}

static int wait(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                unsigned max, int timeout_ms)
{
    int n = look(rx, packets, max);
    int64_t deadline;

    if (n != 0 || max == 0) {
        return n;
    }
    deadline = vh_deadline_in(timeout_ms);
    while (n == 0 && !vh_deadline_passed(deadline)) {
        int r = vh_virtq_wait(rx->vq, deadline);

        n = look(rx, packets, max);
        if (r < 0) {
            break;
        }
    }
    return n;
}

int vhost_net_receive_wait(struct vhost_net_rx *rx,
                           struct vhost_net_packet *packets, unsigned max,
                           int timeout_ms)
{
    vh_hold_enter(rx->vq);
    return vh_hold_leave(rx->vq, wait(rx, packets, max, timeout_ms));
}

int vhost_net_rx_fd(struct vhost_net_rx *rx)
{
    vh_hold_enter(rx->vq);
    return vh_hold_leave(rx->vq, vh_virtq_watch(rx->vq));
}

const char *vhost_net_rx_error(const struct vhost_net_rx *rx)
{
    return rx->vq->failed ? rx->vq->error : NULL;
}
