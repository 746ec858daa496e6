/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split layout (virtio 1.3, 2.7), as its two sides share it.  Nothing
 * outside split-*.c knows of avail, used, or next.
 */
#ifndef VH_RING_SPLIT_H
#define VH_RING_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"
#include "ring/devring.h"
#include "ring/endian.h"
#include "ring/layout.h"
#include "ring/ring.h"
#include "util/atomic.h"

/* The three areas, and the two fields that follow their arrays. */
struct vh_split_areas {
    struct vh_desc *desc;
    struct vh_avail *avail;
    struct vh_used *used;
    uint16_t *used_event;  /* NULL without the event index */
    uint16_t *avail_event; /* the same */
    uint16_t mask;         /* index to place in the arrays */
};

/**
 * vh_split_areas() - find the fields
 * @areas: filled in; untouched on failure
 * @size: entries, valid
 * @features: as negotiated
 * @where: addresses of the three areas, desc, driver, device
 *
 * Return: 0; -EINVAL if one is missing, or not aligned as 2.7 asks.
 */
int vh_split_areas(struct vh_split_areas *areas, uint32_t size,
                   uint64_t features, void *const where[3]);

/** vh_split_ring_new() - see vh_ring_new(); the size is valid */
int vh_split_ring_new(struct vh_ring **ringp,
                      const struct vh_ring_config *config);

/** vh_split_devring_new() - see vh_devring_new(); the size is valid */
int vh_split_devring_new(struct vh_devring **ringp,
                         const struct vh_devring_config *config);

/** What a device needs to follow a chain. */
struct vh_split_walk {
    const struct vh_desc *desc;
    uint32_t size;
    bool indirect; /* negotiated */
    struct vh_chain_memory memory;
};

/**
 * vh_split_walk_chain() - turn a chain of descriptors into iovecs
 * @walk: of this ring
 * @head: less than the size
 * @chain: iov and iov_max set; the lengths and counts are filled in
 *
 * Ends after at most as many steps as the tables have entries.
 *
 * Return: NULL, or in words what is wrong with it.
 */
const char *vh_split_walk_chain(const struct vh_split_walk *walk, uint16_t head,
                                struct vh_chain *chain);

/*
 * A descriptor is stored and loaded as two words: little-endian, the second
 * has len in its low half, then flags, then next.  So the other side's later
 * writes can't tear it, and it costs two instructions.
 */
static inline void vh_split_desc_store(struct vh_desc *desc, uint64_t addr,
                                       uint32_t len, uint32_t flags,
                                       uint32_t next)
{
    uint64_t *word = (uint64_t *)desc;

    word[0] = vh_le64(addr);
    word[1] = vh_le64((uint64_t)len | ((uint64_t)(flags | next << 16)) << 32);
}

/*
 * The same, of one descriptor without a next; but one that says so already is
 * left alone: its cache line stays with the device that has read it.
 */
static inline void vh_split_desc_renew(struct vh_desc *desc, uint64_t addr,
                                       uint32_t len, uint32_t flags)
{
    uint64_t *word = (uint64_t *)desc;
    uint64_t rest = vh_le64((uint64_t)len | (uint64_t)flags << 32);

    addr = vh_le64(addr);
    if (VH_READ_ONCE(word[0]) != addr || VH_READ_ONCE(word[1]) != rest) {
        word[0] = addr;
        word[1] = rest;
    }
}

/* In the host's order. */
static inline struct vh_desc vh_split_desc_decode(uint64_t first,
                                                  uint64_t second)
{
    uint64_t rest = vh_le64(second);

    return (struct vh_desc){
        .addr = vh_le64(first),
        .len = (uint32_t)rest,
        .flags = (uint16_t)(rest >> 32),
        .next = (uint16_t)(rest >> 48),
    };
}

/* @desc is aligned to 8. */
static inline struct vh_desc vh_split_desc_load(const struct vh_desc *desc)
{
    const uint64_t *word = (const uint64_t *)desc;

    return vh_split_desc_decode(VH_READ_ONCE(word[0]), VH_READ_ONCE(word[1]));
}

#endif
