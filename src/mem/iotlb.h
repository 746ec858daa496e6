/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device's IOTLB: what is known of the translations that somebody else
 * makes.  It may forget any of them, since he can be asked again; those that
 * he takes back it must forget.
 *
 * Threads: one at a time.
 */
#ifndef VH_MEM_IOTLB_H
#define VH_MEM_IOTLB_H

#include <stdbool.h>
#include <stdint.h>

#define VH_IOTLB_MAX 2048 /* translations */

enum {
    VH_IOTLB_READ = 1,
    VH_IOTLB_WRITE = 2,
};

struct vh_iotlb_entry {
    uint64_t iova;
    uint64_t last; /* of the addresses: all of them may be in one */
    uint8_t *hva;  /* of the first */
    unsigned access;
};

/* All zero: it knows of nothing. */
struct vh_iotlb_map {
    struct vh_iotlb_entry *entries; /* in order, and they do not overlap */
    unsigned n;
    unsigned found;  /* where the last search ended */
    unsigned victim; /* who has to go next */
};

/**
 * vh_iotlb_add() - learn a translation
 * @tlb: an IOTLB
 * @entry: copied; what was known of its addresses is forgotten, and where there
 *     is no room, another translation
 *
 * Return: 0 or -ENOMEM.
 */
int vh_iotlb_add(struct vh_iotlb_map *tlb, const struct vh_iotlb_entry *entry);

/** vh_iotlb_drop() - forget what is known of addresses
 * @iova: the first
 * @last: the last one; others of the same translation stay, if there is room
 */
void vh_iotlb_drop(struct vh_iotlb_map *tlb, uint64_t iova, uint64_t last);

/** vh_iotlb_clear() - forget all, and free */
void vh_iotlb_clear(struct vh_iotlb_map *tlb);

/** vh_iotlb_find() - the translation that holds an address, lent until the
 * IOTLB changes; or NULL
 */
const struct vh_iotlb_entry *vh_iotlb_find(struct vh_iotlb_map *tlb,
                                           uint64_t iova);

/** vh_iotlb_next() - the first translation of which something is not before
 * an address, lent; or NULL
 */
const struct vh_iotlb_entry *vh_iotlb_next(const struct vh_iotlb_map *tlb,
                                           uint64_t iova);

#endif
