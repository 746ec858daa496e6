/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending (virtio 1.3, 5.1.6.2 "Packet Transmission").
 *
 * A frame in one buffer is one descriptor: header and frame together.  The
 * header is written only if it is not what it should be already: a cache line
 * that we leave alone stays with the processor that reads it.
 *
 * A frame of several packets is a chain, or an indirect table.  What comes
 * back for it is a record of ours, with all its buffers; it is told from a
 * buffer of the program by where it lies.
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_net.h>

#include "driver/hold.h"
#include "driver/net.h"
#include "util/clock.h"

static void write_header(const struct vhost_net_packet *packet)
{
    char *header = (char *)vhost_net_data(packet) - VHOST_NET_HEADER;
    const size_t n_at = offsetof(struct virtio_net_hdr_v1, num_buffers);
    uint64_t low;
    uint32_t high;

    if (packet->flags & VHOST_NET_PACKET_HEADER) {
        memset(header + n_at, 0, sizeof(uint16_t)); /* 5.1.6.2.1 */
        return;
    }
    memcpy(&low, header, sizeof(low));
    memcpy(&high, header + sizeof(low), sizeof(high));
    if (low != 0 || high != 0) {
        memset(header, 0, VHOST_NET_HEADER);
    }
}

/* Where the device sees bytes of ours; 0 or -EFAULT. */
static inline int find(struct vhost_net_tx *tx, const char *at, uint32_t len,
                       uint64_t *gpa)
{
    return vh_pool_next(tx->net->device.pool, &tx->hit, at, gpa) < len ? -EFAULT
                                                                       : 0;
}

/* A frame in one packet.  0, or what is wrong with it. */
static inline int prepare(struct vhost_net_tx *tx,
                          const struct vhost_net_packet *packet,
                          struct vh_ring_buf *buf)
{
    const char *header = (char *)packet->buffer + packet->offset;
    uint32_t len = packet->len + VHOST_NET_HEADER;

    if (packet->offset < VHOST_NET_HEADER || len < VHOST_NET_HEADER) {
        return -EINVAL;
    }
    header -= VHOST_NET_HEADER;
    if (find(tx, header, len, &buf->addr) < 0) {
        return -EFAULT;
    }
    buf->cookie = packet->buffer;
    buf->len = len;
    write_header(packet);
    return 0;
}

/*
 * Frames of one packet each, up to a burst.
 * @why: 0, or why it came to an end before the next packet
 * Return: how many were put into the ring.
 */
static unsigned send_single(struct vhost_net_tx *tx,
                            const struct vhost_net_packet *packets, unsigned n,
                            int *why)
{
    struct vh_ring_buf bufs[VH_NET_BURST];
    unsigned i;
    int put;

    n = n < VH_NET_BURST ? n : VH_NET_BURST;
    for (i = 0; i < n && !packets[i].more; i++) {
        *why = prepare(tx, &packets[i], &bufs[i]);
        if (*why < 0) {
            break;
        }
    }
    put = vh_ring_put(tx->vq->ring, bufs, i, false);
    if (put < 0 || (unsigned)put < i) {
        *why = put < 0 ? put : -ENOSPC;
    }
    return put > 0 ? (unsigned)put : 0;
}

static int make_frames(struct vhost_net_tx *tx)
{
    uint32_t n = tx->vq->ring->size;

    if (tx->frames) {
        return 0;
    }
    if (!tx->back) {
        tx->back = calloc(VH_NET_BURST, sizeof(*tx->back));
    }
    tx->frames = tx->back ? calloc(n, sizeof(*tx->frames)) : NULL;
    if (!tx->frames) {
        return -ENOMEM;
    }
    while (n-- > 0) {
        tx->frames[n].next = tx->free;
        tx->free = &tx->frames[n];
    }
    return 0;
}

/* How many packets a frame has; 0: it has no end. */
static unsigned count_parts(const struct vhost_net_packet *packets, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!packets[i].more) {
            return i + 1;
        }
    }
    return 0;
}

static int add_frame(struct vhost_net_tx *tx,
                     const struct vhost_net_packet *packets, unsigned n)
{
    struct vh_sg sg[VH_NET_PARTS_MAX];
    struct vh_net_frame *frame = tx->free;
    int r;

    if (packets[0].offset < VHOST_NET_HEADER) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < n; i++) {
        uint32_t before = i == 0 ? VHOST_NET_HEADER : 0;
        const char *at = vhost_net_data(&packets[i]);

        sg[i].len = packets[i].len + before;
        if (sg[i].len < before ||
            find(tx, at - before, sg[i].len, &sg[i].addr) < 0) {
            return -EFAULT;
        }
        frame->buffers[i] = packets[i].buffer;
    }
    write_header(packets);
    frame->n = n;
    frame->at = 0;
    r = vh_ring_add(tx->vq->ring, sg, n, 0, frame);
    if (r == 0) {
        tx->free = frame->next;
    }
    return r;
}

/* A frame of several packets.  As send_single(). */
static unsigned send_frame(struct vhost_net_tx *tx,
                           const struct vhost_net_packet *packets, unsigned n,
                           int *why)
{
    unsigned parts = count_parts(packets, n);

    *why = make_frames(tx);
    if (*why == 0 && parts == 0) {
        *why = -EINVAL;
    } else if (*why == 0 && parts > VH_NET_PARTS_MAX) {
        *why = -E2BIG;
    } else if (*why == 0 && !tx->free) {
        *why = -ENOSPC;
    }
    if (*why == 0) {
        *why = add_frame(tx, packets, parts);
    }
    return *why == 0 ? parts : 0;
}

int vh_net_tx_put(struct vhost_net_tx *tx,
                  const struct vhost_net_packet *packets, unsigned n)
{
    unsigned done = 0;
    int why = tx->vq->failed;

    n = n < INT_MAX ? n : INT_MAX;
    if (tx->n_back - tx->back_at > VH_NET_BURST) {
        return why; /* first these, of a back end that went */
    }
    vh_pool_begin(tx->net->device.pool, &tx->hit);
    while (done < n && why == 0) {
        done += packets[done].more
                    ? send_frame(tx, packets + done, n - done, &why)
                    : send_single(tx, packets + done, n - done, &why);
    }
    if (done == 0) {
        return why == -ENOSPC ? 0 : why;
    }
    tx->n_inflight += done;
    why = vh_virtq_submit(tx->vq);
    return why < 0 ? why : (int)done;
}

int vhost_net_send(struct vhost_net_tx *tx,
                   const struct vhost_net_packet *packets, unsigned n)
{
    if (tx->form == VH_NET_COPYING) {
        return -EBUSY;
    }
    tx->form = VH_NET_IN_PLACE;
    vh_hold_enter(tx->vq);
    return vh_hold_leave(tx->vq, vh_net_tx_put(tx, packets, n));
}

static bool is_frame(const struct vhost_net_tx *tx, const void *cookie)
{
    uintptr_t at = (uintptr_t)cookie - (uintptr_t)tx->frames;

    return tx->frames && at < tx->vq->ring->size * sizeof(*tx->frames);
}

static void put_frame(struct vhost_net_tx *tx, struct vh_net_frame *frame)
{
    frame->next = tx->free;
    tx->free = frame;
}

void vh_net_tx_drop(struct vhost_net_tx *tx, void *cookie)
{
    if (is_frame(tx, cookie)) {
        put_frame(tx, cookie);
    }
}

void vh_net_tx_forget_sent(struct vhost_net_tx *tx)
{
    if (tx->partial) {
        put_frame(tx, tx->partial);
        tx->partial = NULL;
    }
    while (tx->back_at < tx->n_back) {
        vh_net_tx_drop(tx, tx->back[tx->back_at++]);
    }
}

/* Buffers of a frame, as many as there is room for; the rest stays. */
static unsigned take_partial(struct vhost_net_tx *tx, void **buffers,
                             unsigned max)
{
    struct vh_net_frame *frame = tx->partial;
    unsigned n = 0;

    while (n < max && frame->at < frame->n) {
        buffers[n++] = frame->buffers[frame->at++];
    }
    if (frame->at == frame->n) {
        put_frame(tx, frame);
        tx->partial = NULL;
    }
    return n;
}

/* The next of what the ring gave back.  Return: is there one? */
static bool next_back(struct vhost_net_tx *tx, void **cookie)
{
    if (tx->back_at == tx->n_back) {
        struct vh_ring_used used[VH_NET_BURST];
        int n = vh_virtq_take(tx->vq, used, VH_NET_BURST);

        tx->back_at = 0;
        tx->n_back = n > 0 ? (unsigned)n : 0;
        for (unsigned i = 0; i < tx->n_back; i++) {
            tx->back[i] = used[i].cookie;
        }
    }
    if (tx->back_at == tx->n_back) {
        return false;
    }
    *cookie = tx->back[tx->back_at++];
    return true;
}

/*
 * With frames of several packets about: each may need more room than one place,
 * so what the ring gave may have to wait for the next call.
 */
static unsigned take_mixed(struct vhost_net_tx *tx, void **buffers,
                           unsigned max)
{
    unsigned n = 0;

    while (n < max) {
        void *cookie;

        if (tx->partial) {
            n += take_partial(tx, buffers + n, max - n);
            continue;
        }
        if (!next_back(tx, &cookie)) {
            break;
        }
        if (is_frame(tx, cookie)) {
            tx->partial = cookie;
        } else {
            buffers[n++] = cookie;
        }
    }
    return n;
}

static unsigned take_single(struct vhost_net_tx *tx, void **buffers,
                            unsigned max)
{
    struct vh_ring_used used[VH_NET_BURST];
    unsigned n = 0;

    while (n < max) {
        unsigned want = max - n < VH_NET_BURST ? max - n : VH_NET_BURST;
        int got = vh_virtq_take(tx->vq, used, want);

        if (got <= 0) {
            break;
        }
        for (int i = 0; i < got; i++) {
            buffers[n++] = used[i].cookie;
        }
        if ((unsigned)got < want) {
            break;
        }
    }
    return n;
}

int vh_net_tx_take(struct vhost_net_tx *tx, void **buffers, unsigned max)
{
    unsigned n;

    max = max < INT_MAX ? max : INT_MAX;
    n = tx->frames || tx->back_at < tx->n_back ? take_mixed(tx, buffers, max)
                                               : take_single(tx, buffers, max);
    if (n == 0) {
        vh_virtq_idle(tx->vq);
        return tx->vq->failed;
    }
    /* A device may return what was prepared but not given to it. */
    tx->n_inflight -= n < tx->n_inflight ? n : tx->n_inflight;
    return (int)n;
}

static int look(struct vhost_net_tx *tx, void **buffers, unsigned max)
{
    int n;

    if (tx->form == VH_NET_COPYING) {
        return -EBUSY;
    }
    vh_virtq_drain(tx->vq);
    n = vh_net_tx_take(tx, buffers, max);
    if (tx->partial || tx->back_at < tx->n_back) {
        vh_virtq_raise(tx->vq); /* no call comes for what the ring gave */
    } else {
        vh_virtq_arm(tx->vq);
    }
    return n;
}

int vhost_net_sent(struct vhost_net_tx *tx, void **buffers, unsigned max)
{
    vh_hold_enter(tx->vq);
    return vh_hold_leave(tx->vq, look(tx, buffers, max));
}

static int wait(struct vhost_net_tx *tx, void **buffers, unsigned max,
                int timeout_ms)
{
    int n = look(tx, buffers, max);
    int64_t deadline;

    if (n != 0 || max == 0) {
        return n;
    }
    deadline = vh_deadline_in(timeout_ms);
    while (n == 0 && tx->n_inflight > 0 && !vh_deadline_passed(deadline)) {
        int r = vh_virtq_wait(tx->vq, deadline);

        n = look(tx, buffers, max);
        if (r < 0) {
            break;
        }
    }
    return n;
}

int vhost_net_sent_wait(struct vhost_net_tx *tx, void **buffers, unsigned max,
                        int timeout_ms)
{
    vh_hold_enter(tx->vq);
    return vh_hold_leave(tx->vq, wait(tx, buffers, max, timeout_ms));
}

int vhost_net_tx_fd(struct vhost_net_tx *tx)
{
    vh_hold_enter(tx->vq);
    return vh_hold_leave(tx->vq, vh_virtq_watch(tx->vq));
}

const char *vhost_net_tx_error(const struct vhost_net_tx *tx)
{
    return tx->vq->failed ? tx->vq->error : NULL;
}
