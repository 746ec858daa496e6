/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order in which a device side took buffers, where it must return them in
 * that order (VIRTIO_F_IN_ORDER; virtio 1.3, 2.7.9 and 2.8.11) though it
 * finishes them in another.
 *
 * A buffer that the device only reads is used completely whatever happens, so
 * no used entry of its own is due to it, if one behind it is returned at the
 * same time.
 */
#ifndef VH_RING_ORDER_H
#define VH_RING_ORDER_H

#include <stdbool.h>
#include <stdint.h>

struct vh_order_entry {
    uint32_t len; /* that was written into it */
    uint16_t id;
    bool read_only;
    bool done;
};

struct vh_order {
    uint32_t size;
    uint32_t first; /* the oldest */
    uint32_t n;     /* taken, and not returned yet */
    uint16_t *places;
    struct vh_order_entry entries[];
};

/** vh_order_new() - for ids and counts below @size; NULL: no memory */
struct vh_order *vh_order_new(uint32_t size);

/** vh_order_free() - NULL is allowed */
void vh_order_free(struct vh_order *order);

/** vh_order_add() - a buffer was taken; its id is not in there yet */
static inline void vh_order_add(struct vh_order *order, uint16_t id,
                                bool read_only)
{
    uint32_t at = order->first + order->n++;

    at = at < order->size ? at : at - order->size;
    order->places[id] = (uint16_t)at;
    order->entries[at] =
        (struct vh_order_entry){ .id = id, .read_only = read_only };
}

/** vh_order_done() - the device has finished one that was added */
static inline void vh_order_done(struct vh_order *order, uint16_t id,
                                 uint32_t len)
{
    struct vh_order_entry *entry = &order->entries[order->places[id]];

    entry->len = len;
    entry->done = true;
}

/** vh_order_ready() - is the oldest one done? */
static inline bool vh_order_ready(const struct vh_order *order)
{
    return order->n > 0 && order->entries[order->first].done;
}

/** vh_order_take() - the oldest one, which is ready */
static inline struct vh_order_entry vh_order_take(struct vh_order *order)
{
    struct vh_order_entry entry = order->entries[order->first];

    order->first = order->first + 1 < order->size ? order->first + 1 : 0;
    order->n--;
    return entry;
}

#endif
