/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IOVA map: where a device sees what, for a device whose addresses are ours to
 * choose (a shadow virtqueue).
 *
 * A range stands for a piece of guest memory, or for memory of our own that no
 * guest has an address for.  What a guest's address becomes is found by the
 * address, never by where the memory lies in this process: there the same
 * bytes may be at two guest-physical addresses (aliases), and two regions may
 * share a file.  Each alias is a range of its own.
 *
 * Threads: one at a time.
 */
#ifndef VH_MEM_IOVA_H
#define VH_MEM_IOVA_H

#include <stddef.h>
#include <stdint.h>

#define VH_IOVA_NO_GPA UINT64_MAX

struct vh_iova_range {
    uint64_t iova;
    uint64_t gpa; /* VH_IOVA_NO_GPA: not the guest's */
    void *hva;
    uint64_t size;
};

struct vh_iova;

/**
 * vh_iova_new() - a map without ranges
 * @iovap: where to; untouched on failure
 * @first: the lowest address that the device can use; the page at 0 is left
 *     out, so that 0 is never an address
 * @last: the highest one
 *
 * Return: 0; -EINVAL if nothing lies between; -ENOMEM.
 */
int vh_iova_new(struct vh_iova **iovap, uint64_t first, uint64_t last);

/** vh_iova_free() - forget it, and all ranges; NULL is allowed */
void vh_iova_free(struct vh_iova *iova);

/**
 * vh_iova_alloc() - choose addresses for a range
 * @iova: a map
 * @range: copied; iova is filled in
 * @align: of the address, a power of two
 *
 * Return: 0; -EINVAL if it has no size, or passes the end of an address space;
 * -EEXIST if guest-physical addresses of it are taken; -ENOSPC; -ENOMEM.
 */
int vh_iova_alloc(struct vh_iova *iova, struct vh_iova_range *range,
                  uint64_t align);

/**
 * vh_iova_add() - a range of the guest's at an address that is given
 * @iova: a map
 * @range: copied; it may lie outside the addresses that vh_iova_alloc() has
 *     to choose from
 *
 * Return: 0; -EINVAL as vh_iova_alloc(), or if it is not the guest's; -EEXIST
 * if addresses of either kind are taken; -ENOMEM.
 */
int vh_iova_add(struct vh_iova *iova, const struct vh_iova_range *range);

/** vh_iova_remove() - give back the range that begins at @at
 * Return: 0; -ENOENT.
 */
int vh_iova_remove(struct vh_iova *iova, uint64_t at);

/** vh_iova_find() - the range that holds a device's address, lent until the
 * map changes; or NULL
 */
const struct vh_iova_range *vh_iova_find(const struct vh_iova *iova,
                                         uint64_t at);

/** vh_iova_find_gpa() - the range that holds a guest's address, or NULL */
const struct vh_iova_range *vh_iova_find_gpa(const struct vh_iova *iova,
                                             uint64_t gpa);

/** vh_iova_find_hva() - the next range that holds an address of ours
 * @after: the one before, in order of iova; NULL: from the first on
 *
 * Walks all ranges: several may hold it.
 */
const struct vh_iova_range *vh_iova_find_hva(const struct vh_iova *iova,
                                             const void *hva,
                                             const struct vh_iova_range *after);

/** vh_iova_version() - changes whenever the map does */
uint64_t vh_iova_version(const struct vh_iova *iova);

#endif
