/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared memory: a memfd, sealed against growing and shrinking, and its
 * mapping, as one thing.  Sealed, because a peer that could truncate the file
 * could kill us with SIGBUS.
 */
#ifndef VH_UTIL_SHM_H
#define VH_UTIL_SHM_H

#include <stdbool.h>
#include <stddef.h>

struct vh_shm {
    void *addr; /* NULL: none */
    size_t len; /* whole pages */
    size_t page_size;
    int fd;
};

#define VH_SHM_NULL ((struct vh_shm){ .addr = NULL, .fd = -1 })

/**
 * vh_shm_new() - make it, zeroed
 * @shm: filled in; untouched on failure
 * @name: shows in /proc/PID/maps
 * @len: bytes, not 0, rounded up to whole pages
 * @huge: from huge pages of the default size
 *
 * Return: 0, or the negative errno of memfd_create(2), ftruncate(2),
 * fcntl(2) or mmap(2).
 */
int vh_shm_new(struct vh_shm *shm, const char *name, size_t len, bool huge);

/**
 * vh_shm_new_sealed_if_possible() - the same, of small pages, and without
 *     seals where there are none: then a peer may kill us with SIGBUS
 */
int vh_shm_new_sealed_if_possible(struct vh_shm *shm, const char *name,
                                  size_t len);

/** vh_shm_free() - unmap and close; VH_SHM_NULL is allowed, and the result */
void vh_shm_free(struct vh_shm *shm);

#endif
