/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device's side of the rings (virtio 1.3, 2.7 and 2.8), as plain as can be,
 * since nobody times it.  It uses what is available at once and in order.
 *
 * What it may leave out where buffers are used in order, it does as rte_vhost:
 * of frames that were sent over a packed ring, one used descriptor returns all
 * (2.8.7); on a split ring each has its entry.  Received frames always have
 * one each, as each has its length.
 */
#include <err.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <string.h>

#include "alone.h"

#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED (1u << VRING_PACKED_DESC_F_USED)

static void *translate(const struct alone_device *device, uint64_t gpa)
{
    for (unsigned i = 0; i < device->n_regions; i++) {
        const struct alone_region *r = &device->regions[i];

        if (gpa >= r->gpa && gpa - r->gpa < r->size) {
            return r->at + (gpa - r->gpa);
        }
    }
    errx(1, "no memory at %#llx", (unsigned long long)gpa);
}

static void fill(const struct alone_device *device, uint64_t gpa)
{
    struct virtio_net_hdr_v1 header = { .num_buffers = 1 };

    memcpy(translate(device, gpa), &header, sizeof(header));
}

static void check_frame(uint32_t len)
{
    if (len != ALONE_HEADER + ALONE_FRAME) {
        errx(1, "a frame of %u bytes with its header", len);
    }
}

static uint32_t split_len(const struct alone_queue *q, uint16_t head)
{
    const struct vring_desc *desc = q->desc;
    uint32_t len = desc[head].len;

    while (desc[head].flags & VRING_DESC_F_NEXT) {
        head = desc[head].next;
        len += desc[head].len;
    }
    return len;
}

static unsigned split_step(struct alone_device *device, struct alone_queue *q,
                           unsigned max, bool rx)
{
    const struct vring_desc *desc = q->desc;
    const struct vring_avail *avail = q->driver;
    struct vring_used *used = q->device;
    uint16_t end = __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE);
    unsigned n = 0;

    for (; n < max && q->pos != end; n++, q->pos++) {
        uint16_t at = (uint16_t)(q->pos & (q->size - 1));
        uint16_t head = avail->ring[at];

        if (rx) {
            fill(device, desc[head].addr);
        } else {
            check_frame(split_len(q, head));
        }
        used->ring[at].id = head;
        used->ring[at].len = rx ? ALONE_HEADER + ALONE_FRAME : 0;
    }
    __atomic_store_n(&used->idx, q->pos, __ATOMIC_RELEASE);
    return n;
}

static bool packed_is_available(const struct alone_queue *q)
{
    const struct vring_packed_desc *desc = q->desc;
    uint16_t flags = __atomic_load_n(&desc[q->pos].flags, __ATOMIC_ACQUIRE);

    return !!(flags & PACKED_AVAIL) == q->wrap &&
           !!(flags & PACKED_USED) != q->wrap;
}

/* A place in the ring at which to write a used descriptor, and in which lap. */
struct place {
    uint16_t pos;
    bool wrap;
};

/* Goes on past one buffer; its length, and its id, which is in the last. */
static uint32_t packed_pass(struct alone_queue *q, uint16_t *id)
{
    const struct vring_packed_desc *desc = q->desc;
    uint32_t len = 0;
    bool more;

    do {
        more = desc[q->pos].flags & VRING_DESC_F_NEXT;
        len += desc[q->pos].len;
        *id = desc[q->pos].id;
        if (++q->pos == q->size) {
            q->pos = 0;
            q->wrap = !q->wrap;
        }
    } while (more);
    return len;
}

static void packed_use(struct alone_queue *q, struct place at, uint16_t id,
                       uint32_t len)
{
    struct vring_packed_desc *desc = (struct vring_packed_desc *)q->desc;
    uint16_t flags = at.wrap ? PACKED_AVAIL | PACKED_USED : 0;

    desc[at.pos].id = id;
    desc[at.pos].len = len;
    /* Of a buffer that we wrote to; its length means nothing without. */
    flags |= len ? VRING_DESC_F_WRITE : 0;
    __atomic_store_n(&desc[at.pos].flags, flags, __ATOMIC_RELEASE);
}

static unsigned packed_step_tx(struct alone_device *device,
                               struct alone_queue *q)
{
    struct place first = { q->pos, q->wrap };
    uint16_t id = 0;
    unsigned n = 0;

    for (; n < q->size && packed_is_available(q); n++) {
        struct place at = { q->pos, q->wrap };

        check_frame(packed_pass(q, &id));
        if (!device->variant.in_order) {
            packed_use(q, at, id, 0);
        }
    }
    if (n && device->variant.in_order) {
        packed_use(q, first, id, 0);
    }
    return n;
}

static unsigned packed_step_rx(struct alone_device *device,
                               struct alone_queue *q, unsigned max)
{
    const struct vring_packed_desc *desc = q->desc;
    unsigned n = 0;

    for (; n < max && packed_is_available(q); n++) {
        struct place at = { q->pos, q->wrap };
        uint16_t id;

        fill(device, desc[q->pos].addr);
        packed_pass(q, &id);
        packed_use(q, at, id, ALONE_HEADER + ALONE_FRAME);
    }
    return n;
}

void alone_step_quiet(struct alone_device *device)
{
    for (int i = 0; i < ALONE_QUEUES; i++) {
        struct alone_queue *q = &device->queues[i];

        if (device->variant.packed) {
            struct vring_packed_desc_event *event = q->device;

            event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
        } else {
            struct vring_used *used = q->device;

            used->flags = VRING_USED_F_NO_NOTIFY;
        }
    }
}

unsigned alone_step_tx(struct alone_device *device)
{
    struct alone_queue *q = &device->queues[ALONE_TX];

    return device->variant.packed ? packed_step_tx(device, q)
                                  : split_step(device, q, q->size, false);
}

unsigned alone_step_rx(struct alone_device *device, unsigned n)
{
    struct alone_queue *q = &device->queues[ALONE_RX];

    return device->variant.packed ? packed_step_rx(device, q, n)
                                  : split_step(device, q, n, true);
}
