/* SPDX-License-Identifier: BSD-3-Clause */
/* Event suppression in a packed ring (virtio 1.3, 2.8.10 and 2.8.14). */
#ifndef VH_RING_PACKED_EVENT_H
#define VH_RING_PACKED_EVENT_H

#include "ring/event.h"
#include "ring/packed.h"

static inline void vh_packed_event_store(uint32_t *event, uint16_t off_wrap,
                                         uint16_t flags)
{
    VH_WRITE_ONCE(*event, vh_le32(off_wrap | (uint32_t)flags << 16));
}

/**
 * vh_packed_need_event() - does the other side want to hear?
 * @event: of the other side
 * @event_idx: negotiated
 * @now: where we are
 * @n: descriptors that we have written since this was last asked
 * @size: of the ring
 *
 * (2.8.10)
 */
static inline bool vh_packed_need_event(const uint32_t *event, bool event_idx,
                                        struct vh_packed_pos now, uint32_t n,
                                        uint32_t size)
{
    uint32_t word = vh_le32(VH_READ_ONCE(*event));
    uint16_t flags = (uint16_t)(word >> 16);
    uint16_t at = word & 0x7fff;

    if (flags != VH_EVENT_F_DESC || !event_idx) {
        return flags != VH_EVENT_F_DISABLE;
    }
    if ((word >> 15 & 1) != now.wrap) {
        at = (uint16_t)(at - size); /* of the lap before */
    }
    return vh_ring_need_event(at, now.at, (uint16_t)(now.at - n));
}

#endif
