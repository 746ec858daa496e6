/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arena: hands out pieces of one range of memory.  First fit over a list of
 * free pieces, in address order, joined when neighbours; bookkeeping lies
 * outside the range, since a back end can write to all of it.
 */
#ifndef VH_MEM_ARENA_H
#define VH_MEM_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct vh_arena;

/** vh_arena_new() - over @len bytes from @base; NULL if memory is short */
struct vh_arena *vh_arena_new(void *base, size_t len);

/** vh_arena_free() - forget it; pieces in use are not asked after */
void vh_arena_free(struct vh_arena *arena);

/** vh_arena_alloc() - @size bytes aligned to @align (a power of two), or NULL
 */
void *vh_arena_alloc(struct vh_arena *arena, size_t size, size_t align);

/** vh_arena_release() - give back a piece, which must be one handed out */
void vh_arena_release(struct vh_arena *arena, void *piece);

/** vh_arena_owns() - does the address lie in its range? */
bool vh_arena_owns(const struct vh_arena *arena, const void *addr);

/** vh_arena_is_empty() - is no piece in use? */
bool vh_arena_is_empty(const struct vh_arena *arena);

#endif
