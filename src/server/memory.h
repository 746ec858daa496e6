/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The front end's memory, as this process has it mapped.
 *
 * Regions are sorted by guest-physical address, and overlap neither there nor
 * in user addresses.  A region that reaches beyond its file is refused: to
 * touch it would be a SIGBUS.  A front end that shrinks a file later can still
 * cause one; only sealed files are safe from that.
 */
#ifndef VH_SERVER_MEMORY_H
#define VH_SERVER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/payload.h"

#define VH_SERVER_SLOTS 509

struct vh_mapping {
    struct vh_mem_region region;
    uint8_t *addr;  /* of the region's first byte */
    void *map;      /* what mmap(2) gave */
    size_t map_len; /* with what lies before it in its page */
};

struct vh_memory {
    struct vh_mapping *mappings;
    unsigned n;
    unsigned last; /* where the last search ended */
};

/** vh_memory_add() - map a region
 * @memory: zeroed at first
 * @region: as it came from the front end
 * @fd: lent
 * @why: set on failure: a constant string
 *
 * Return: 0; -ENOSPC; -EINVAL if it is empty, wraps, overlaps, or is longer
 * than its file; -ENOMEM; or the negative errno of fstat(2) or mmap(2).
 */
int vh_memory_add(struct vh_memory *memory, const struct vh_mem_region *region,
                  int fd, const char **why);

/** vh_memory_remove() - unmap a region; -ENOENT if there is none like it */
int vh_memory_remove(struct vh_memory *memory,
                     const struct vh_mem_region *region);

/** vh_memory_clear() - unmap all, and free */
void vh_memory_clear(struct vh_memory *memory);

/** vh_memory_translate() - a vh_translate_fn over a struct vh_memory */
void *vh_memory_translate(void *memory, uint64_t gpa, uint64_t want,
                          uint64_t *len);

/** vh_memory_gpa_of() - one of our addresses in the guest's eyes
 * Return: false, and *gpa is as it was, if it lies in no region. */
bool vh_memory_gpa_of(struct vh_memory *memory, const void *hva, uint64_t *gpa);

/** vh_memory_by_user_addr() - a whole range by user address, or NULL */
void *vh_memory_by_user_addr(const struct vh_memory *memory, uint64_t addr,
                             uint64_t size);

#endif
