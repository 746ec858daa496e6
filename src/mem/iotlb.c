/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sorted array, searched by halves.  To move what lies behind a new entry
 * costs less than to hold a tree together: all of it is 64 KiB.
 *
 * Neighbours that continue each other become one, so that a search for many
 * bytes finds many.
 */
#include "mem/iotlb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The index of the first entry that does not end before @iova. */
static unsigned search(const struct vh_iotlb_map *tlb, uint64_t iova)
{
    unsigned low = 0, high = tlb->n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (tlb->entries[mid].last < iova) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* From @at on there are @gone entries less, and @come more. */
static struct vh_iotlb_entry *make_room(struct vh_iotlb_map *tlb, unsigned at,
                                        unsigned gone, unsigned come)
{
    struct vh_iotlb_entry *from = tlb->entries + at;

    memmove(from + come, from + gone,
            (tlb->n - at - gone) * sizeof(tlb->entries[0]));
    tlb->n = tlb->n - gone + come;
    return from;
}

/* What of @entry is not before @iova. */
static struct vh_iotlb_entry rest_of(const struct vh_iotlb_entry *entry,
                                     uint64_t iova)
{
    struct vh_iotlb_entry rest = *entry;

    rest.hva += iova - entry->iova;
    rest.iova = iova;
    return rest;
}

void vh_iotlb_drop(struct vh_iotlb_map *tlb, uint64_t iova, uint64_t last)
{
    unsigned at = search(tlb, iova);
    unsigned end = at;
    struct vh_iotlb_entry left[2];
    unsigned n_left = 0;

    while (end < tlb->n && tlb->entries[end].iova <= last) {
        end++;
    }
    if (end == at) {
        return;
    }
    if (tlb->entries[at].iova < iova) {
        left[n_left] = tlb->entries[at];
        left[n_left++].last = iova - 1;
    }
    /* A translation of which the middle goes becomes two. */
    if (tlb->entries[end - 1].last > last &&
        tlb->n - (end - at) + n_left < VH_IOTLB_MAX) {
        left[n_left++] = rest_of(&tlb->entries[end - 1], last + 1);
    }
    memcpy(make_room(tlb, at, end - at, n_left), left,
           n_left * sizeof(left[0]));
}

/* Does @b go on where @a ends? */
static bool continues(const struct vh_iotlb_entry *a,
                      const struct vh_iotlb_entry *b)
{
    return a->last + 1 == b->iova && a->access == b->access &&
           (uintptr_t)a->hva + (a->last - a->iova) + 1 == (uintptr_t)b->hva;
}

static void insert(struct vh_iotlb_map *tlb, const struct vh_iotlb_entry *entry)
{
    unsigned at = search(tlb, entry->iova);
    struct vh_iotlb_entry *all = tlb->entries;
    struct vh_iotlb_entry new = *entry;
    unsigned gone = 0;

    if (at < tlb->n && continues(&new, &all[at])) {
        new.last = all[at].last;
        gone++;
    }
    if (at > 0 && continues(&all[at - 1], &new)) {
        new.iova = all[at - 1].iova;
        new.hva = all[at - 1].hva;
        at--;
        gone++;
    }
    *make_room(tlb, at, gone, 1) = new;
}

int vh_iotlb_add(struct vh_iotlb_map *tlb, const struct vh_iotlb_entry *entry)
{
    if (!tlb->entries) {
        tlb->entries = calloc(VH_IOTLB_MAX, sizeof(tlb->entries[0]));
        if (!tlb->entries) {
            return -ENOMEM;
        }
    }
    vh_iotlb_drop(tlb, entry->iova, entry->last);
    if (tlb->n == VH_IOTLB_MAX) {
        /* One after the other: those of a while ago, as a rule. */
        tlb->victim = (tlb->victim + 1) % tlb->n;
        make_room(tlb, tlb->victim, 1, 0);
    }
    insert(tlb, entry);
    return 0;
}

void vh_iotlb_clear(struct vh_iotlb_map *tlb)
{
    free(tlb->entries);
    *tlb = (struct vh_iotlb_map){ .n = 0 };
}

const struct vh_iotlb_entry *vh_iotlb_next(const struct vh_iotlb_map *tlb,
                                           uint64_t iova)
{
    unsigned at = search(tlb, iova);

    return at < tlb->n ? &tlb->entries[at] : NULL;
}

const struct vh_iotlb_entry *vh_iotlb_find(struct vh_iotlb_map *tlb,
                                           uint64_t iova)
{
    const struct vh_iotlb_entry *entry;

    if (tlb->found < tlb->n) {
        entry = &tlb->entries[tlb->found];
        if (entry->iova <= iova && iova <= entry->last) {
            return entry;
        }
    }
    entry = vh_iotlb_next(tlb, iova);
    if (!entry || entry->iova > iova) {
        return NULL;
    }
    tlb->found = (unsigned)(entry - tlb->entries);
    return entry;
}
