/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of a dirty log, and what is done to it: mark, fetch and clear.
 *
 *     page  = gpa / VHOST_LOG_PAGE      4 KiB, whatever the host uses
 *     chunk = page / VHOST_LOG_BITS     one machine word
 *
 * Writers, in this process and in others, set bits at any time; a bit is
 * fetched and cleared in one step, so that none is lost and none comes twice.
 *
 * Order of bits.  vhost-user's log is an array of bytes, and the kernel's one
 * of native words.  On little-endian hosts that is the same.
 *
 * Threads: all functions but new and free, any.
 */
#ifndef VH_MEM_DIRTY_H
#define VH_MEM_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include <vhost/log.h>

#include "util/shm.h"

enum vh_dirty_order {
    VH_DIRTY_BYTES,
    VH_DIRTY_WORDS,
};

struct vh_dirty {
    struct vhost_log log; /* refcnt belongs to mem/map-log.c, as does entry */
    struct vh_shm shm;
    bool swapped; /* a word as loaded has its bytes the wrong way round */
    bool retired; /* in the list of map-log.c */
    TAILQ_ENTRY(vh_dirty) entry;
};

/* A range that may grow yet. */
struct vh_dirty_run {
    vhost_log_sink_fn *sink;
    void *opaque;
    uint64_t first; /* page */
    uint64_t n;     /* 0: none */
};

/**
 * vh_dirty_new() - a clean log
 * @dirtyp: where to; untouched on failure
 * @chunks: not 0; it may be given some more
 * @order: of its bits
 *
 * A memfd, sealed against growing and shrinking where that can be done.
 *
 * Return: 0; -EFBIG; or the negative errno of memfd_create(2), ftruncate(2)
 * or mmap(2).
 */
int vh_dirty_new(struct vh_dirty **dirtyp, uint64_t chunks,
                 enum vh_dirty_order order);

void vh_dirty_free(struct vh_dirty *dirty);

/** vh_dirty_swapped() - must words be turned round on a host like this?
 * @big_endian: the host's
 */
static inline bool vh_dirty_swapped(enum vh_dirty_order order, bool big_endian)
{
    return order == VH_DIRTY_BYTES && big_endian;
}

/** vh_dirty_mark() - set the bits of @n pages; those beyond the log have none
 */
void vh_dirty_mark(struct vh_dirty *dirty, uint64_t first, uint64_t n);

/** vh_dirty_move() - fetch and clear all of @from into @to, as far as it goes
 */
void vh_dirty_move(struct vh_dirty *to, struct vh_dirty *from);

/** vh_dirty_fetch() - fetch and clear the bits of @n pages
 * @run: ranges go to its sink as they end; the last one stays in it
 */
void vh_dirty_fetch(struct vh_dirty *dirty, uint64_t first, uint64_t n,
                    struct vh_dirty_run *run);

/** vh_dirty_run_end() - there is no more: the sink is told of the last one */
void vh_dirty_run_end(struct vh_dirty_run *run);

/** vh_dirty_fetch_bitmap() - the same into a bitmap
 * @bitmap: page @first is its bit @at, as in vhost_log_sync_bitmap()
 */
void vh_dirty_fetch_bitmap(struct vh_dirty *dirty, uint64_t first, uint64_t n,
                           uint64_t *bitmap, uint64_t at);

/** vh_dirty_skip() - the first chunk from @i on, before @end, that is not 0;
 * or @end.  In dirty-skip.c
 */
size_t vh_dirty_skip(const vhost_log_chunk_t *log, size_t i, size_t end);

#endif
