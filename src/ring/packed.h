/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packed layout (virtio 1.3, 2.8), as its two sides share it.  Nothing
 * outside packed-*.c knows of wrap counters.
 *
 * A descriptor is stored and loaded as two words: little-endian, the second
 * has len in its low half, then id, then flags.  So whoever sees the flags has
 * id and length with them, from one load.
 */
#ifndef VH_RING_PACKED_H
#define VH_RING_PACKED_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"
#include "ring/devring.h"
#include "ring/endian.h"
#include "ring/layout.h"
#include "ring/ring.h"
#include "util/atomic.h"

/* Both bits of a descriptor's flags that say whose it is. */
#define VH_PACKED_F_BOTH (VH_PACKED_F_AVAIL | VH_PACKED_F_USED)

/* A place in the ring, and the wrap counter there. */
struct vh_packed_pos {
    uint16_t at;
    bool wrap;
};

/* The three areas. */
struct vh_packed_areas {
    struct vh_packed_desc *desc;
    uint32_t *driver; /* struct vh_packed_event, in one word */
    uint32_t *device;
};

/** vh_packed_areas() - as vh_split_areas() */
int vh_packed_areas(struct vh_packed_areas *areas, void *const where[3]);

/** vh_packed_ring_new() - see vh_ring_new(); the size is valid */
int vh_packed_ring_new(struct vh_ring **ringp,
                       const struct vh_ring_config *config);

/** vh_packed_devring_new() - see vh_devring_new(); the size is valid */
int vh_packed_devring_new(struct vh_devring **ringp,
                          const struct vh_devring_config *config);

/** vh_packed_base_read() - take a base apart
 * @base: 32 bits, see VH_PACKED_BASE_NEW
 * @size: of the ring
 * @avail: filled in
 * @used: filled in
 *
 * Return: false if it points outside the ring.
 */
bool vh_packed_base_read(uint32_t base, uint32_t size,
                         struct vh_packed_pos *avail,
                         struct vh_packed_pos *used);

/* A place as 15 bits and a wrap counter. */
static inline uint16_t vh_packed_off_wrap(struct vh_packed_pos pos)
{
    return (uint16_t)(pos.at | pos.wrap << 15);
}

static inline uint32_t vh_packed_base(struct vh_packed_pos avail,
                                      struct vh_packed_pos used)
{
    return vh_packed_off_wrap(avail) | (uint32_t)vh_packed_off_wrap(used) << 16;
}

/* @n is at most the size. */
static inline struct vh_packed_pos vh_packed_step(struct vh_packed_pos pos,
                                                  uint32_t n, uint32_t size)
{
    uint32_t at = pos.at + n;

    if (at < size) {
        return (struct vh_packed_pos){ (uint16_t)at, pos.wrap };
    }
    return (struct vh_packed_pos){ (uint16_t)(at - size), !pos.wrap };
}

/* @n is at most the size. */
static inline struct vh_packed_pos vh_packed_step_back(struct vh_packed_pos pos,
                                                       uint32_t n,
                                                       uint32_t size)
{
    if (n <= pos.at) {
        return (struct vh_packed_pos){ (uint16_t)(pos.at - n), pos.wrap };
    }
    return (struct vh_packed_pos){ (uint16_t)(pos.at + size - n), !pos.wrap };
}

/* What the driver writes to make a descriptor available (2.8.1). */
static inline uint16_t vh_packed_avail_flags(bool wrap)
{
    return wrap ? VH_PACKED_F_AVAIL : VH_PACKED_F_USED;
}

/* What the device writes to make it used. */
static inline uint16_t vh_packed_used_flags(bool wrap)
{
    return wrap ? VH_PACKED_F_BOTH : 0;
}

static inline void vh_packed_store_addr(struct vh_packed_desc *desc,
                                        uint64_t addr)
{
    *(uint64_t *)desc = vh_le64(addr);
}

static inline uint64_t *vh_packed_rest(struct vh_packed_desc *desc)
{
    return (uint64_t *)desc + 1;
}

static inline uint64_t vh_packed_word(uint32_t len, uint16_t id, uint16_t flags)
{
    return vh_le64(len | (uint64_t)id << 32 | (uint64_t)flags << 48);
}

/* The second word, in the host's order. */
static inline uint32_t vh_packed_len(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint16_t vh_packed_id(uint64_t word)
{
    return (uint16_t)(word >> 32);
}

static inline uint16_t vh_packed_flags(uint64_t word)
{
    return (uint16_t)(word >> 48);
}

#endif
