/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two sorted arrays of the same ranges: by iova all of them, by gpa those of
 * the guest.  Neither order has overlaps, so that one search finds the only
 * candidate.  Addresses are chosen first fit: there are as few gaps as there
 * were removals.  A last address is used and no end, which may be 2^64.
 */
#include "mem/iova.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_USED 4096 /* not the page at 0 */

struct sorted {
    struct vh_iova_range **at;
    size_t n;
};

struct vh_iova {
    uint64_t first;
    uint64_t last;
    uint64_t version;
    struct sorted by_iova;
    struct sorted by_gpa;
    size_t room; /* in each */
};

static uint64_t key(const struct vh_iova_range *range, bool gpa)
{
    return gpa ? range->gpa : range->iova;
}

/* How many begin at @address or before. */
static size_t count_before(const struct sorted *sorted, bool gpa,
                           uint64_t address)
{
    size_t low = 0, high = sorted->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (key(sorted->at[middle], gpa) <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct vh_iova_range *find(const struct sorted *sorted, bool gpa,
                                  uint64_t address)
{
    size_t n = count_before(sorted, gpa, address);
    struct vh_iova_range *range = n > 0 ? sorted->at[n - 1] : NULL;

    return range && address - key(range, gpa) < range->size ? range : NULL;
}

static void insert(struct sorted *sorted, size_t at,
                   struct vh_iova_range *range)
{
    memmove(sorted->at + at + 1, sorted->at + at,
            (sorted->n - at) * sizeof(sorted->at[0]));
    sorted->at[at] = range;
    sorted->n++;
}

static void take_out(struct sorted *sorted, size_t at)
{
    sorted->n--;
    memmove(sorted->at + at, sorted->at + at + 1,
            (sorted->n - at) * sizeof(sorted->at[0]));
}

int vh_iova_new(struct vh_iova **iovap, uint64_t first, uint64_t last)
{
    struct vh_iova *iova;

    first = first < FIRST_USED ? FIRST_USED : first;
    if (last < first) {
        return -EINVAL;
    }
    iova = calloc(1, sizeof(*iova));
    if (!iova) {
        return -ENOMEM;
    }
    iova->first = first;
    iova->last = last;
    *iovap = iova;
    return 0;
}

void vh_iova_free(struct vh_iova *iova)
{
    if (!iova) {
        return;
    }
    for (size_t i = 0; i < iova->by_iova.n; i++) {
        free(iova->by_iova.at[i]);
    }
    free(iova->by_iova.at);
    free(iova->by_gpa.at);
    free(iova);
}

static bool is_taken(const struct sorted *sorted, bool gpa, uint64_t address,
                     uint64_t size)
{
    size_t n = count_before(sorted, gpa, address + (size - 1));
    const struct vh_iova_range *range = n > 0 ? sorted->at[n - 1] : NULL;

    return range && key(range, gpa) + (range->size - 1) >= address;
}

/* Rounds up; false if that passes the last address. */
static bool round_up(uint64_t *address, uint64_t align)
{
    uint64_t add = -*address & (align - 1);

    *address += add;
    return *address >= add;
}

/* The first gap that it fits in.  Return: where in the order; or -ENOSPC. */
static int find_gap(const struct vh_iova *iova, uint64_t size, uint64_t align,
                    uint64_t *start, size_t *place)
{
    const struct sorted *sorted = &iova->by_iova;
    uint64_t from = iova->first;

    for (size_t i = 0; i <= sorted->n; i++) {
        const struct vh_iova_range *next = i < sorted->n ? sorted->at[i] : NULL;
        uint64_t last;

        if (next && next->iova <= from) { /* one that was added may be */
            uint64_t end = next->iova + (next->size - 1);

            if (end >= iova->last) {
                break;
            }
            from = end < from ? from : end + 1;
            continue;
        }
        last = next ? next->iova - 1 : iova->last;
        if (round_up(&from, align) && from <= last && size - 1 <= last - from) {
            *start = from;
            *place = i;
            return 0;
        }
        if (!next || next->iova + (next->size - 1) >= iova->last) {
            break;
        }
        from = next->iova + next->size;
    }
    return -ENOSPC;
}

static int make_room(struct vh_iova *iova)
{
    struct sorted *const both[] = { &iova->by_iova, &iova->by_gpa };
    size_t room = iova->room ? 2 * iova->room : 16;

    if (iova->by_iova.n < iova->room) {
        return 0;
    }
    for (unsigned i = 0; i < 2; i++) {
        void *at = reallocarray(both[i]->at, room, sizeof(both[i]->at[0]));

        if (!at) {
            return -ENOMEM;
        }
        both[i]->at = at;
    }
    iova->room = room;
    return 0;
}

static int put(struct vh_iova *iova, const struct vh_iova_range *range,
               size_t place)
{
    struct vh_iova_range *copy =
        make_room(iova) == 0 ? malloc(sizeof(*copy)) : NULL;

    if (!copy) {
        return -ENOMEM;
    }
    *copy = *range;
    insert(&iova->by_iova, place, copy);
    if (range->gpa != VH_IOVA_NO_GPA) {
        insert(&iova->by_gpa, count_before(&iova->by_gpa, true, range->gpa),
               copy);
    }
    iova->version++;
    return 0;
}

int vh_iova_alloc(struct vh_iova *iova, struct vh_iova_range *range,
                  uint64_t align)
{
    bool guests = range->gpa != VH_IOVA_NO_GPA;
    uint64_t start;
    size_t place;
    int r;

    assert(align > 0 && (align & (align - 1)) == 0);
    if (range->size == 0 || (guests && range->gpa > UINT64_MAX - range->size)) {
        return -EINVAL;
    }
    if (guests && is_taken(&iova->by_gpa, true, range->gpa, range->size)) {
        return -EEXIST;
    }
    r = find_gap(iova, range->size, align, &start, &place);
    if (r < 0) {
        return r;
    }
    range->iova = start;
    return put(iova, range, place);
}

int vh_iova_add(struct vh_iova *iova, const struct vh_iova_range *range)
{
    if (range->size == 0 || range->gpa == VH_IOVA_NO_GPA ||
        range->gpa > UINT64_MAX - range->size ||
        range->iova > UINT64_MAX - range->size) {
        return -EINVAL;
    }
    if (is_taken(&iova->by_gpa, true, range->gpa, range->size) ||
        is_taken(&iova->by_iova, false, range->iova, range->size)) {
        return -EEXIST;
    }
    return put(iova, range, count_before(&iova->by_iova, false, range->iova));
}

int vh_iova_remove(struct vh_iova *iova, uint64_t at)
{
    size_t n = count_before(&iova->by_iova, false, at);
    struct vh_iova_range *range = n > 0 ? iova->by_iova.at[n - 1] : NULL;

    if (!range || range->iova != at) {
        return -ENOENT;
    }
    take_out(&iova->by_iova, n - 1);
    if (range->gpa != VH_IOVA_NO_GPA) {
        take_out(&iova->by_gpa,
                 count_before(&iova->by_gpa, true, range->gpa) - 1);
    }
    free(range);
    iova->version++;
    return 0;
}

const struct vh_iova_range *vh_iova_find(const struct vh_iova *iova,
                                         uint64_t at)
{
    return find(&iova->by_iova, false, at);
}

const struct vh_iova_range *vh_iova_find_gpa(const struct vh_iova *iova,
                                             uint64_t gpa)
{
    return find(&iova->by_gpa, true, gpa);
}

const struct vh_iova_range *vh_iova_find_hva(const struct vh_iova *iova,
                                             const void *hva,
                                             const struct vh_iova_range *after)
{
    const struct sorted *sorted = &iova->by_iova;
    size_t i = after ? count_before(sorted, false, after->iova) : 0;

    for (; i < sorted->n; i++) {
        const struct vh_iova_range *range = sorted->at[i];

        if ((uintptr_t)hva - (uintptr_t)range->hva < range->size &&
            (uintptr_t)hva >= (uintptr_t)range->hva) {
            return range;
        }
    }
    return NULL;
}

uint64_t vh_iova_version(const struct vh_iova *iova)
{
    return iova->version;
}
