/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sizes of rings: virtio 1.3, 2.7 "Split Virtqueues" and 2.8 "Packed
 * Virtqueues".
 *
 * The two bytes at the end of both split areas exist only with the event
 * index.  A back end that maps exactly what it was told would fault, or one
 * that checks would refuse, if they were always or never counted.
 */
#include "ring/layout.h"

#define PACKED_EVENT_SIZE 4 /* 2.8.14 "Event Suppression Structure Format" */

static bool has(uint64_t features, unsigned bit)
{
    return (features >> bit) & 1;
}

struct vh_ring_sizes vh_ring_sizes(uint32_t size, uint64_t features)
{
    size_t n = size;
    size_t event = has(features, VH_RING_F_EVENT_IDX) ? sizeof(uint16_t) : 0;

    if (has(features, VH_RING_F_PACKED)) {
        return (struct vh_ring_sizes){
            .desc = n * sizeof(struct vh_desc),
            .driver = PACKED_EVENT_SIZE,
            .device = PACKED_EVENT_SIZE,
        };
    }
    return (struct vh_ring_sizes){
        .desc = n * sizeof(struct vh_desc),
        .driver = sizeof(struct vh_avail) + n * sizeof(uint16_t) + event,
        .device =
            sizeof(struct vh_used) + n * sizeof(struct vh_used_elem) + event,
    };
}

bool vh_ring_size_is_valid(uint32_t size, uint64_t features)
{
    if (size == 0 || size > VH_RING_SIZE_MAX) {
        return false;
    }
    return has(features, VH_RING_F_PACKED) || (size & (size - 1)) == 0;
}
