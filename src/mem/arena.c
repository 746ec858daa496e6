/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The range is cut into pieces, each either free or in use, that follow each
 * other without a gap and are chained in the order of their addresses.  Free
 * pieces have a second chain, in the same order, for the search; pieces in
 * use are found by address in a hash table, for the release.
 *
 * No two free pieces are neighbours: a release joins them.  So a release only
 * ever gives nodes back, and can't fail.
 */
#include "mem/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>

#define FIRST_BUCKETS 64 /* a power of two, as all that follow */

struct piece {
    uintptr_t addr;
    size_t len; /* not 0 */
    bool in_use;
    TAILQ_ENTRY(piece) by_addr;
    TAILQ_ENTRY(piece) by_free; /* if free */
    SLIST_ENTRY(piece) by_hash; /* if in use */
};

TAILQ_HEAD(piece_list, piece);
SLIST_HEAD(bucket, piece);

struct vh_arena {
    uintptr_t base;
    size_t len;
    struct piece_list pieces;
    struct piece_list holes;
    struct bucket *buckets;
    size_t n_buckets;
    size_t n_in_use;
};

static struct bucket *bucket_of(struct bucket *buckets, size_t n,
                                uintptr_t addr)
{
    /* Addresses differ in the middle bits: a multiplication mixes them up. */
    uint64_t hash = (uint64_t)addr * UINT64_C(0x9e3779b97f4a7c15);

    return &buckets[(hash >> 32) & (n - 1)];
}

static struct piece *piece_new(uintptr_t addr, size_t len)
{
    struct piece *p = calloc(1, sizeof(*p));

    if (p) {
        p->addr = addr;
        p->len = len;
    }
    return p;
}

struct vh_arena *vh_arena_new(void *base, size_t len)
{
    struct vh_arena *arena = calloc(1, sizeof(*arena));
    struct piece *all = NULL;

    if (!arena) {
        return NULL;
    }
    TAILQ_INIT(&arena->pieces);
    TAILQ_INIT(&arena->holes);
    arena->base = (uintptr_t)base;
    arena->len = len;
    arena->n_buckets = FIRST_BUCKETS;
    arena->buckets = calloc(FIRST_BUCKETS, sizeof(*arena->buckets));
    if (len > 0) {
        all = piece_new(arena->base, len);
    }
    if (!arena->buckets || (len > 0 && !all)) {
        free(all);
        free(arena->buckets);
        free(arena);
        return NULL;
    }
    if (all) {
        TAILQ_INSERT_TAIL(&arena->pieces, all, by_addr);
        TAILQ_INSERT_TAIL(&arena->holes, all, by_free);
    }
    return arena;
}

void vh_arena_free(struct vh_arena *arena)
{
    struct piece *p;

    if (!arena) {
        return;
    }
    while ((p = TAILQ_FIRST(&arena->pieces)) != NULL) {
        TAILQ_REMOVE(&arena->pieces, p, by_addr);
        free(p);
    }
    free(arena->buckets);
    free(arena);
}

/* A table that stays small for want of memory is slow, not wrong. */
static void grow_buckets(struct vh_arena *arena)
{
    size_t n = arena->n_buckets * 2;
    struct bucket *buckets = calloc(n, sizeof(*buckets));

    if (!buckets) {
        return;
    }
    for (size_t i = 0; i < arena->n_buckets; i++) {
        struct piece *p;

        while ((p = SLIST_FIRST(&arena->buckets[i])) != NULL) {
            SLIST_REMOVE_HEAD(&arena->buckets[i], by_hash);
            SLIST_INSERT_HEAD(bucket_of(buckets, n, p->addr), p, by_hash);
        }
    }
    free(arena->buckets);
    arena->buckets = buckets;
    arena->n_buckets = n;
}

/* How many bytes of the hole lie before the first aligned address in it. */
static size_t padding_of(const struct piece *hole, size_t align)
{
    return -hole->addr & (align - 1);
}

static struct piece *first_fit(const struct vh_arena *arena, size_t size,
                               size_t align)
{
    struct piece *hole;

    TAILQ_FOREACH (hole, &arena->holes, by_free) {
        size_t padding = padding_of(hole, align);

        if (padding < hole->len && size <= hole->len - padding) {
            return hole;
        }
    }
    return NULL;
}

/* Cut @piece, a hole, in two holes; the new one begins @at bytes later. */
static void split(struct vh_arena *arena, struct piece *piece, size_t at,
                  struct piece *rest)
{
    rest->addr = piece->addr + at;
    rest->len = piece->len - at;
    piece->len = at;
    TAILQ_INSERT_AFTER(&arena->pieces, piece, rest, by_addr);
    TAILQ_INSERT_AFTER(&arena->holes, piece, rest, by_free);
}

/*
 * Make a hole of just that place and size out of @hole; NULL: no memory.
 * Nothing is cut before there are nodes for every piece.
 */
static struct piece *carve(struct vh_arena *arena, struct piece *hole,
                           size_t padding, size_t size)
{
    bool has_rest = size < hole->len - padding;
    struct piece *middle = padding > 0 ? piece_new(0, 0) : hole;
    struct piece *rest = has_rest ? piece_new(0, 0) : NULL;

    if (!middle || (has_rest && !rest)) {
        if (middle != hole) {
            free(middle);
        }
        free(rest);
        return NULL;
    }
    if (middle != hole) {
        split(arena, hole, padding, middle);
    }
    if (rest) {
        split(arena, middle, size, rest);
    }
    return middle;
}

void *vh_arena_alloc(struct vh_arena *arena, size_t size, size_t align)
{
    struct piece *p;

    assert(align > 0 && (align & (align - 1)) == 0);
    p = size > 0 ? first_fit(arena, size, align) : NULL;
    p = p ? carve(arena, p, padding_of(p, align), size) : NULL;
    if (!p) {
        return NULL;
    }
    TAILQ_REMOVE(&arena->holes, p, by_free);
    p->in_use = true;
    arena->n_in_use++;
    if (arena->n_in_use > arena->n_buckets) {
        grow_buckets(arena);
    }
    SLIST_INSERT_HEAD(bucket_of(arena->buckets, arena->n_buckets, p->addr), p,
                      by_hash);
    return (void *)p->addr;
}

static struct piece *take_in_use(struct vh_arena *arena, uintptr_t addr)
{
    struct bucket *bucket = bucket_of(arena->buckets, arena->n_buckets, addr);
    struct piece *p;

    SLIST_FOREACH (p, bucket, by_hash) {
        if (p->addr == addr) {
            SLIST_REMOVE(bucket, p, piece, by_hash);
            return p;
        }
    }
    return NULL;
}

static void insert_hole(struct vh_arena *arena, struct piece *p)
{
    struct piece *after;

    TAILQ_FOREACH (after, &arena->holes, by_free) {
        if (after->addr > p->addr) {
            TAILQ_INSERT_BEFORE(after, p, by_free);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&arena->holes, p, by_free);
}

/* Join @p and the piece behind it, which is in no chain of holes by now. */
static void swallow_next(struct vh_arena *arena, struct piece *p)
{
    struct piece *next = TAILQ_NEXT(p, by_addr);

    p->len += next->len;
    TAILQ_REMOVE(&arena->pieces, next, by_addr);
    free(next);
}

/* A hole beside it knows the place in the chain of holes: no search then. */
void vh_arena_release(struct vh_arena *arena, void *piece)
{
    struct piece *p = take_in_use(arena, (uintptr_t)piece);
    struct piece *before;
    struct piece *next;

    assert(p);
    p->in_use = false;
    arena->n_in_use--;
    before = TAILQ_PREV(p, piece_list, by_addr);
    next = TAILQ_NEXT(p, by_addr);
    if (before && !before->in_use) {
        swallow_next(arena, before);
        p = before;
    } else if (next && !next->in_use) {
        TAILQ_INSERT_BEFORE(next, p, by_free);
    } else {
        insert_hole(arena, p);
    }
    if (next && !next->in_use) {
        TAILQ_REMOVE(&arena->holes, next, by_free);
        swallow_next(arena, p);
    }
}

bool vh_arena_owns(const struct vh_arena *arena, const void *addr)
{
    return (uintptr_t)addr - arena->base < arena->len;
}

bool vh_arena_is_empty(const struct vh_arena *arena)
{
    return arena->n_in_use == 0;
}
