/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the back end sees an address of ours: the side of the pool that is for
 * queue threads.
 */
#ifndef VH_DRIVER_POOL_FIND_H
#define VH_DRIVER_POOL_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "util/atomic.h"

struct vh_pool;

/* A range that the back end sees. */
struct vh_pool_range {
    uint64_t hva;
    uint64_t size;
    uint64_t gpa;
};

/* What the last vh_pool_find() of a thread found; zeroed at first. */
struct vh_pool_hit {
    uint64_t generation;
    struct vh_pool_range range;
};

/* First in struct vh_pool: what a hit is checked against. */
struct vh_pool_head {
    uint64_t generation; /* changes when a range goes or comes */
};

/** vh_pool_search() - the slow half of vh_pool_find() */
bool vh_pool_search(const struct vh_pool *pool, struct vh_pool_hit *hit,
                    uint64_t hva);

/**
 * vh_pool_find() - where does the back end see an address?
 * @pool: a pool
 * @hit: of this thread
 * @addr: ours
 * @gpa: filled in; 0 if there is none
 *
 * Return: how many bytes from there on lie in one piece; 0 if the back end
 * does not see @addr.
 */
static inline uint64_t vh_pool_find(const struct vh_pool *pool,
                                    struct vh_pool_hit *hit, const void *addr,
                                    uint64_t *gpa)
{
    const struct vh_pool_head *head = (const struct vh_pool_head *)pool;
    uint64_t hva = (uintptr_t)addr;
    uint64_t at = hva - hit->range.hva;

    /*
     * Acquire: pairs with the release that ends a change, so that a thread
     * which was told of an unmap never uses the range again.
     */
    if (at >= hit->range.size ||
        hit->generation != vh_load_acquire(&head->generation)) {
        if (!vh_pool_search(pool, hit, hva)) {
            *gpa = 0;
            return 0;
        }
        at = hva - hit->range.hva;
    }
    *gpa = hit->range.gpa + at;
    return hit->range.size - at;
}

/**
 * vh_pool_begin() - before a burst of vh_pool_next()
 * @pool: a pool
 * @hit: of this thread
 *
 * What an unmap that this thread was told of has taken away is forgotten; to
 * ask once a burst is enough, as nobody is told in the middle of a call.
 */
static inline void vh_pool_begin(const struct vh_pool *pool,
                                 struct vh_pool_hit *hit)
{
    const struct vh_pool_head *head = (const struct vh_pool_head *)pool;

    if (hit->generation != vh_load_acquire(&head->generation)) {
        hit->range.size = 0;
    }
}

/** vh_pool_next() - vh_pool_find(), in a burst */
static inline uint64_t vh_pool_next(const struct vh_pool *pool,
                                    struct vh_pool_hit *hit, const void *addr,
                                    uint64_t *gpa)
{
    uint64_t at = (uintptr_t)addr - hit->range.hva;

    if (__builtin_expect(at >= hit->range.size, 0)) {
        return vh_pool_find(pool, hit, addr, gpa);
    }
    *gpa = hit->range.gpa + at;
    return hit->range.size - at;
}

#endif
