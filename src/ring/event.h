/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Event index: when does the other side want to hear of us?
 * (virtio 1.3, 2.7.7 "Used Buffer Notification Suppression" and
 * 2.7.10 "Available Buffer Notification Suppression")
 */
#ifndef VH_RING_EVENT_H
#define VH_RING_EVENT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * vh_ring_need_event() - did an index step over the one asked for?
 * @event: the other side wants to hear once the entry with this index is there
 * @new_: the index now
 * @old: the index when this was last asked, at most 32768 before @new_
 *
 * True if old <= event < new_, on the circle of 65536.
 */
static inline bool vh_ring_need_event(uint16_t event, uint16_t new_,
                                      uint16_t old)
{
    return (uint16_t)(new_ - event - 1) < (uint16_t)(new_ - old);
}

#endif
