/* SPDX-License-Identifier: BSD-3-Clause */
/* Following a buffer in a packed ring that somebody else wrote. */
#ifndef VH_RING_PACKED_WALK_H
#define VH_RING_PACKED_WALK_H

#include "ring/packed.h"

/** What a device needs to follow a buffer. */
struct vh_packed_walk {
    struct vh_packed_desc *desc;
    uint32_t size;
    bool indirect; /* negotiated */
    struct vh_chain_memory memory;
};

/**
 * vh_packed_walk_chain() - turn a buffer's descriptors into iovecs
 * @walk: of this ring
 * @at: place of the first
 * @rest: its second word, as loaded when it was found to be available
 * @chain: iov and iov_max set; id, lengths and counts are filled in
 * @n_desc: filled in: how many descriptors of the ring it takes
 *
 * Ends after at most as many steps as the tables have entries.
 *
 * Return: NULL, or in words what is wrong with it.
 */
const char *vh_packed_walk_chain(const struct vh_packed_walk *walk, uint32_t at,
                                 uint64_t rest, struct vh_chain *chain,
                                 uint32_t *n_desc);

#endif
