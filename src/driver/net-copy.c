/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simple form: frames are copied into buffers of ours, and out of them.
 *
 * Frames that have come are taken in bursts, and handed out one by one; their
 * buffers go back to the device together, when the last of a burst has been
 * read.  A frame to send takes as many buffers as it needs.
 *
 * The frames begin cache lines, an odd number of them apart.  Else a short
 * frame lies across two, of which one has the header, that both sides touch:
 * the other side then waits for its line in the middle of a copy, and receives
 * up to a third less.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/hold.h"
#include "driver/net.h"
#include "util/clock.h"

#define BURST 32
#define TX_BUFFER ((size_t)2048)
#define LINE ((size_t)64)
#define LEAD (LINE - VHOST_NET_HEADER)

/* Frames that were taken, and which of them is next. */
struct inbox {
    unsigned at;
    unsigned n;
    unsigned capacity;
    char *memory;
    struct vhost_net_packet packets[];
};

static void inbox_free(const struct vhost_net_device *net, struct inbox *inbox)
{
    if (inbox) {
        vh_pool_release(net->device.pool, inbox->memory);
        free(inbox);
    }
}

static void outbox_free(struct vhost_net_tx *tx)
{
    vh_pool_release(tx->net->device.pool, tx->copies);
    free(tx->free_copies);
    tx->copies = NULL;
    tx->free_copies = NULL;
    tx->n_free_copies = 0;
}

void vh_net_rx_forget(struct vhost_net_rx *rx)
{
    inbox_free(rx->net, rx->inbox);
    rx->inbox = NULL;
    rx->form = VH_NET_UNUSED;
}

void vh_net_tx_forget(struct vhost_net_tx *tx)
{
    outbox_free(tx);
    tx->form = VH_NET_UNUSED;
}

static size_t stride_of(size_t buffer_size)
{
    return ((buffer_size + LINE - 1) & ~(LINE - 1)) | LINE;
}

static char *alloc_buffers(const struct vhost_net_device *net, size_t n,
                           size_t buffer_size)
{
    return vh_pool_alloc(net->device.pool, LEAD + n * stride_of(buffer_size),
                         LINE);
}

/* Buffers for a whole ring, all of them given to the device. */
static int inbox_new(struct vhost_net_rx *rx)
{
    uint32_t n = rx->vq->ring->size;
    size_t stride = stride_of(rx->buffer_size);
    struct inbox *inbox =
        calloc(1, sizeof(*inbox) + n * sizeof(inbox->packets[0]));
    int r = 0;

    if (!inbox) {
        return -ENOMEM;
    }
    inbox->capacity = n;
    inbox->memory = alloc_buffers(rx->net, n, rx->buffer_size);
    if (!inbox->memory) {
        free(inbox);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n && r >= 0; i++) {
        void *buffer = inbox->memory + LEAD + i * stride;

        r = vh_net_rx_put(rx, &buffer, 1);
    }
    if (r < 0) {
        inbox_free(rx->net, inbox);
        return r;
    }
    rx->inbox = inbox;
    rx->form = VH_NET_COPYING;
    return 0;
}

/* Gives the buffers of frames that were read back to the device. */
static int give_back(struct vhost_net_rx *rx)
{
    struct inbox *inbox = rx->inbox;
    void *buffers[BURST];
    unsigned at = 0;

    while (at < inbox->n) {
        unsigned n = inbox->n - at < BURST ? inbox->n - at : BURST;
        int r;

        for (unsigned i = 0; i < n; i++) {
            buffers[i] = inbox->packets[at + i].buffer;
        }
        r = vh_net_rx_put(rx, buffers, n);
        if (r < 0) {
            return r;
        }
        at += n;
    }
    inbox->n = 0;
    inbox->at = 0;
    return 0;
}

/* Return: 1 there is a frame, 0 there is none, or a negative errno. */
static int fetch(struct vhost_net_rx *rx)
{
    struct inbox *inbox = rx->inbox;
    unsigned burst = inbox->capacity < BURST ? inbox->capacity : BURST;
    int n;

    if (inbox->at < inbox->n) {
        return 1;
    }
    n = vh_net_rx_take(rx, inbox->packets, burst);
    if (n == -E2BIG) {
        n = vh_net_rx_take(rx, inbox->packets, inbox->capacity);
    }
    if (n <= 0) {
        return n;
    }
    inbox->n = (unsigned)n;
    return 1;
}

static size_t copy_out(struct inbox *inbox, char *frame, size_t size)
{
    const struct vhost_net_packet *packet;
    size_t len = 0;

    do {
        size_t room = len < size ? size - len : 0;

        packet = &inbox->packets[inbox->at++];
        memcpy(frame + len, vhost_net_data(packet),
               packet->len < room ? packet->len : room);
        len += packet->len;
    } while (packet->more);
    return len;
}

/* As fetch(), until the deadline. */
static int wait_for_frame(struct vhost_net_rx *rx, int timeout_ms)
{
    int64_t deadline = 0; /* not known yet: most calls need no clock */
    int r;

    vh_virtq_drain(rx->vq);
    for (;;) {
        r = fetch(rx);
        if (r != 0) {
            return r;
        }
        if (deadline == 0) {
            deadline = vh_deadline_in(timeout_ms);
        }
        if (vh_deadline_passed(deadline)) {
            return -EAGAIN;
        }
        r = vh_virtq_wait(rx->vq, deadline);
        if (r < 0) {
            int last = fetch(rx);

            return last > 0 ? last : r;
        }
    }
}

static ssize_t read_frame(struct vhost_net_rx *rx, void *frame, size_t size,
                          int timeout_ms)
{
    ssize_t r = 0;

    if (rx->form == VH_NET_IN_PLACE) {
        return -EBUSY;
    }
    if (rx->vq->failed) {
        return rx->vq->failed;
    }
    if (rx->form == VH_NET_UNUSED) {
        r = inbox_new(rx);
    }
    if (r == 0) {
        r = wait_for_frame(rx, timeout_ms);
    }
    if (r > 0) {
        r = (ssize_t)copy_out(rx->inbox, frame, size);
    }
    if (rx->inbox &&
        (rx->inbox->at < rx->inbox->n || rx->kept_at < rx->n_kept)) {
        vh_virtq_raise(rx->vq);
        return r;
    }
    if (rx->inbox) {
        give_back(rx); /* a failure breaks the queue: the next call tells */
    }
    vh_virtq_arm(rx->vq);
    return r;
}

ssize_t vhost_net_read(struct vhost_net_rx *rx, void *frame, size_t size,
                       int timeout_ms)
{
    ssize_t r;

    vh_hold_enter(rx->vq);
    r = read_frame(rx, frame, size, timeout_ms);
    vh_hold_leave(rx->vq, 0);
    return r;
}

static int outbox_new(struct vhost_net_tx *tx)
{
    uint32_t n = tx->vq->ring->size;
    char *memory = alloc_buffers(tx->net, n, TX_BUFFER);

    tx->free_copies = calloc(n, sizeof(*tx->free_copies));
    tx->copies = memory;
    if (!memory || !tx->free_copies) {
        outbox_free(tx);
        return -ENOMEM;
    }
    while (n-- > 0) {
        tx->free_copies[tx->n_free_copies++] =
            memory + LEAD + n * stride_of(TX_BUFFER);
    }
    tx->form = VH_NET_COPYING;
    return 0;
}

static int reclaim(struct vhost_net_tx *tx)
{
    unsigned room = tx->vq->ring->size - tx->n_free_copies;
    int n = room == 0
                ? 0
                : vh_net_tx_take(tx, tx->free_copies + tx->n_free_copies, room);

    if (n > 0) {
        tx->n_free_copies += (unsigned)n;
    }
    return n;
}

/* Into buffers from the top of the stack, which stay there until they are
 * sent.  Return: how many. */
static unsigned copy_in(const struct vhost_net_tx *tx, const char *frame,
                        size_t len, struct vhost_net_packet *packets)
{
    unsigned n = 0;

    do {
        uint16_t offset = n == 0 ? VHOST_NET_HEADER : 0;
        size_t room = TX_BUFFER - offset;
        size_t part = len < room ? len : room;

        packets[n] = (struct vhost_net_packet){
            .buffer = tx->free_copies[tx->n_free_copies - 1 - n],
            .len = (uint32_t)part,
            .offset = offset,
            .more = part < len,
        };
        memcpy(vhost_net_data(&packets[n]), frame, part);
        frame += part;
        len -= part;
        n++;
    } while (len > 0);
    return n;
}

/* Return: 1 sent, 0 no room, or a negative errno. */
static int try_to_send(struct vhost_net_tx *tx, const char *frame, size_t len)
{
    struct vhost_net_packet packets[VH_NET_PARTS_MAX];
    unsigned need =
        (unsigned)((len + VHOST_NET_HEADER + TX_BUFFER - 1) / TX_BUFFER);
    int n = reclaim(tx);

    if (n < 0 || tx->n_free_copies < need) {
        return n < 0 ? n : 0;
    }
    copy_in(tx, frame, len, packets);
    n = vh_net_tx_put(tx, packets, need);
    if (n > 0) {
        tx->n_free_copies -= need;
        return 1;
    }
    return n == -E2BIG ? -EMSGSIZE : n;
}

static int write_frame(struct vhost_net_tx *tx, const void *frame, size_t len,
                       int timeout_ms)
{
    int64_t deadline = 0; /* not known yet: most calls need no clock */
    int r = tx->vq->failed;

    if (tx->form == VH_NET_IN_PLACE) {
        return -EBUSY;
    }
    if (len == 0 || len > VHOST_NET_FRAME_MAX ||
        len + VHOST_NET_HEADER > tx->vq->ring->size * TX_BUFFER) {
        return -EMSGSIZE;
    }
    if (r == 0 && tx->form == VH_NET_UNUSED) {
        r = outbox_new(tx);
    }
    vh_virtq_drain(tx->vq);
    while (r == 0) {
        r = try_to_send(tx, frame, len);
        if (r != 0) {
            break;
        }
        if (deadline == 0) {
            deadline = vh_deadline_in(timeout_ms);
        }
        r = vh_deadline_passed(deadline) ? -EAGAIN
                                         : vh_virtq_wait(tx->vq, deadline);
    }
    vh_virtq_arm(tx->vq);
    return r > 0 ? 0 : r;
}

int vhost_net_write(struct vhost_net_tx *tx, const void *frame, size_t len,
                    int timeout_ms)
{
    vh_hold_enter(tx->vq);
    return vh_hold_leave(tx->vq, write_frame(tx, frame, len, timeout_ms));
}
