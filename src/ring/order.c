/* SPDX-License-Identifier: BSD-3-Clause */
/* One allocation: entries, and behind them where each id has its own. */
#include "ring/order.h"

#include <stdlib.h>

#include "ring/alloc.h"

struct vh_order *vh_order_new(uint32_t size)
{
    size_t entries = size * sizeof(struct vh_order_entry);
    struct vh_order *order = vh_ring_zalloc(sizeof(*order) + entries +
                                            size * sizeof(order->places[0]));

    if (order) {
        order->size = size;
        order->places = (uint16_t *)(order->entries + size);
    }
    return order;
}

void vh_order_free(struct vh_order *order)
{
    free(order);
}
