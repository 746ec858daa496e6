/* SPDX-License-Identifier: BSD-3-Clause */
/* Private state of a ring: one allocation, at birth. */
#ifndef VH_RING_ALLOC_H
#define VH_RING_ALLOC_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VH_CACHE_LINE 64

/**
 * vh_ring_zalloc() - @size bytes of zeroes, or NULL; free(3) takes them
 *
 * Whole cache lines: the queues of two threads must not share one.
 */
static inline void *vh_ring_zalloc(size_t size)
{
    size_t len = (size + VH_CACHE_LINE - 1) & ~(size_t)(VH_CACHE_LINE - 1);
    void *mem = aligned_alloc(VH_CACHE_LINE, len);

    return mem ? memset(mem, 0, len) : NULL;
}

#endif
