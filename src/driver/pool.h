/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pool: the memory of a program that its back end sees, and where in
 * guest-physical addresses each byte of it lies.
 *
 * Memory is of two kinds: regions that the pool allocates, and hands out in
 * pieces, and regions that the program brings.  Guest-physical addresses are
 * made up: they grow from VH_POOL_GPA, are never used twice, and say nothing
 * of our own addresses.
 *
 * Threads: everything belongs to the control thread, but vh_pool_find(),
 * which may run in any thread at any time; each brings a hit of its own.
 */
#ifndef VH_DRIVER_POOL_H
#define VH_DRIVER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/memory.h>

#include "driver/pool-find.h"

#define VH_POOL_GPA (UINT64_C(1) << 32)

/**
 * vh_pool_new() - a pool without memory
 * @map: where its regions are added; lent until vh_pool_free()
 * @grow: bytes of each region that it allocates, at least
 * @huge: from huge pages
 *
 * Return: the pool, or NULL if memory is short.
 */
struct vh_pool *vh_pool_new(struct vhost_memory_map *map, size_t grow,
                            bool huge);

/**
 * vh_pool_free() - forget the pool, and give back the memory it allocated
 * @pool: its map has been freed, so that no back end holds a region any more;
 *     NULL is allowed
 */
void vh_pool_free(struct vh_pool *pool);

/**
 * vh_pool_reserve() - add a region of at least @size bytes to hand out
 * @pool: a pool
 * @size: bytes, not 0
 * @errp: why it failed
 *
 * Return: 0; -ENOSPC if the back end takes no further region; or what
 * vhost_memory_alloc() or vhost_memory_commit() returned.
 */
int vh_pool_reserve(struct vh_pool *pool, size_t size,
                    struct vhost_error **errp);

/** vh_pool_alloc() - a piece, from a new region if need be; NULL: none */
void *vh_pool_alloc(struct vh_pool *pool, size_t size, size_t align);

/** vh_pool_release() - give back a piece; NULL is allowed */
void vh_pool_release(struct vh_pool *pool, void *piece);

/** vh_pool_map() - see vhost_blk_map() */
int vh_pool_map(struct vh_pool *pool,
                const struct vhost_memory_section *brought,
                struct vhost_error **errp);

/** vh_pool_unmap() - see vhost_blk_unmap() */
int vh_pool_unmap(struct vh_pool *pool, void *addr, struct vhost_error **errp);

#endif
