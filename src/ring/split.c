/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where things lie in a split ring: virtio 1.3, 2.7.
 *
 * Alignment is checked here, once: the data path loads and stores whole words.
 */
#include <errno.h>

#include "ring/split.h"

#define DESC_ALIGN 16
#define AVAIL_ALIGN 2
#define USED_ALIGN 4

static bool is_aligned(const void *p, uintptr_t align)
{
    return p && ((uintptr_t)p & (align - 1)) == 0;
}

int vh_split_areas(struct vh_split_areas *areas, uint32_t size,
                   uint64_t features, void *const where[3])
{
    bool event = (features >> VH_RING_F_EVENT_IDX) & 1;
    struct vh_avail *avail = where[1];
    struct vh_used *used = where[2];

    if (!is_aligned(where[0], DESC_ALIGN) || !is_aligned(avail, AVAIL_ALIGN) ||
        !is_aligned(used, USED_ALIGN)) {
        return -EINVAL;
    }
    *areas = (struct vh_split_areas){
        .desc = where[0],
        .avail = avail,
        .used = used,
        .used_event = event ? &avail->ring[size] : NULL,
        .avail_event = event ? (uint16_t *)&used->ring[size] : NULL,
        .mask = (uint16_t)(size - 1),
    };
    return 0;
}
