/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots: who keeps which section alive.  Private to mem/map.c.
 *
 * Counted are sections, by the snapshots that list them, and snapshots, by
 * the map, by listeners, and by the snapshot that came before.  The last is
 * what makes failures safe: a back end that failed to take a change may have
 * taken half of it, so its listener, which still holds the snapshot of
 * before, must hold all that it was offered since.
 *
 * Threads: the map's.
 */
#ifndef VH_MEM_SNAPSHOT_H
#define VH_MEM_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include <vhost/memory.h>

struct vh_mem_object {
    struct vhost_memory_section section;
    unsigned refs;
    bool committed; /* only then is its release owed to the caller */
    TAILQ_ENTRY(vh_mem_object) entry;
};

TAILQ_HEAD(vh_mem_objects, vh_mem_object);

struct vh_mem_snapshot {
    unsigned refs;
    size_t n;
    size_t capacity;
    struct vh_mem_object **objects;        /* sorted by gpa */
    struct vhost_memory_section *sections; /* the same */
    struct vh_mem_snapshot *next;          /* what replaced it, or NULL */
};

/** vh_mem_object_new() - a copy of @section, counted once; NULL: no memory */
struct vh_mem_object *
vh_mem_object_new(const struct vhost_memory_section *section);

/**
 * vh_mem_object_put() - count one less
 * @object: at 0 it is forgotten; if it was committed, put on @dying instead
 * @dying: see vh_mem_objects_release()
 */
void vh_mem_object_put(struct vh_mem_object *object,
                       struct vh_mem_objects *dying);

/** vh_mem_objects_release() - tell the owners of all, which may call back */
void vh_mem_objects_release(struct vh_mem_objects *dying);

/** vh_mem_snapshot_new() - an empty one, counted once; NULL: no memory */
struct vh_mem_snapshot *vh_mem_snapshot_new(size_t capacity);

/** vh_mem_snapshot_copy() - a draft with the sections of @from, or NULL */
struct vh_mem_snapshot *
vh_mem_snapshot_copy(const struct vh_mem_snapshot *from);

/** vh_mem_snapshot_get() - count one more */
struct vh_mem_snapshot *vh_mem_snapshot_get(struct vh_mem_snapshot *snapshot);

/** vh_mem_snapshot_put() - count one less; NULL is allowed */
void vh_mem_snapshot_put(struct vh_mem_snapshot *snapshot,
                         struct vh_mem_objects *dying);

/** vh_mem_snapshot_lower_bound() - index of the first that begins at or above
 */
size_t vh_mem_snapshot_lower_bound(const struct vh_mem_snapshot *draft,
                                   uint64_t gpa);

/** vh_mem_snapshot_reserve() - make room for one more; 0 or -ENOMEM */
int vh_mem_snapshot_reserve(struct vh_mem_snapshot *draft);

/** vh_mem_snapshot_insert() - into reserved room; takes over the count */
void vh_mem_snapshot_insert(struct vh_mem_snapshot *draft, size_t at,
                            struct vh_mem_object *object);

/** vh_mem_snapshot_take() - out of it again; hands over the count */
struct vh_mem_object *vh_mem_snapshot_take(struct vh_mem_snapshot *draft,
                                           size_t at);

/** vh_mem_snapshot_freeze() - the draft is final: list its sections */
void vh_mem_snapshot_freeze(struct vh_mem_snapshot *draft);

/** vh_mem_snapshot_same() - do both list the same objects? */
bool vh_mem_snapshot_same(const struct vh_mem_snapshot *a,
                          const struct vh_mem_snapshot *b);

#endif
