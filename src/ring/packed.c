/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where things lie in a packed ring: virtio 1.3, 2.8.
 *
 * Alignment is checked here, once: the data path loads and stores whole words.
 */
#include <errno.h>

#include "ring/packed.h"

#define DESC_ALIGN 16
#define EVENT_ALIGN 4

static bool is_aligned(const void *p, uintptr_t align)
{
    return p && ((uintptr_t)p & (align - 1)) == 0;
}

int vh_packed_areas(struct vh_packed_areas *areas, void *const where[3])
{
    if (!is_aligned(where[0], DESC_ALIGN) ||
        !is_aligned(where[1], EVENT_ALIGN) ||
        !is_aligned(where[2], EVENT_ALIGN)) {
        return -EINVAL;
    }
    *areas = (struct vh_packed_areas){
        .desc = where[0],
        .driver = where[1],
        .device = where[2],
    };
    return 0;
}

static struct vh_packed_pos pos_of(uint32_t half)
{
    return (struct vh_packed_pos){ half & 0x7fff, half >> 15 & 1 };
}

bool vh_packed_base_read(uint32_t base, uint32_t size,
                         struct vh_packed_pos *avail,
                         struct vh_packed_pos *used)
{
    *avail = pos_of(base & 0xffff);
    *used = pos_of(base >> 16);
    return avail->at < size && used->at < size;
}
