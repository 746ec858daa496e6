/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory map, inside view: who listens, and who holds what.
 *
 * A committed map is a *snapshot*: an immutable, counted, sorted list of
 * sections.  The map holds its current one; each listener (one per device)
 * holds the last one that its back end took.  A section is counted by the
 * snapshots that contain it, and is released when the last of these goes: so
 * it can't be freed under a back end that has not yet let go.
 *
 * A listener that failed may have given half of the change to its back end.
 * It therefore keeps, besides the snapshot that it holds, all that came after
 * it, until a later commit succeeds or it is detached.
 */
#ifndef VH_MEM_MAP_H
#define VH_MEM_MAP_H

#include <stdbool.h>
#include <sys/queue.h>

#include <vhost/memory.h>

struct vh_mem_snapshot; /* see mem/snapshot.h */
struct vh_mem_listener;

struct vh_mem_listener_ops {
    /**
     * @commit: take up a new set of sections
     * Return 0 once the back end has let go of everything that is not in
     * @sections; a negative errno keeps hold of the old ones.  @sections live
     * as long as the listener holds them; the map already has them, and may
     * be asked for translations, but neither edited, attached nor detached.
     */
    int (*commit)(struct vh_mem_listener *listener,
                  const struct vhost_memory_section *sections, size_t n,
                  struct vhost_error **errp);
    /**
     * @commit_later: the same, or begin it, without waiting
     * Return what @commit would, or -EINPROGRESS: then the end is told by
     * vh_memory_map_committed().  NULL: @commit.
     */
    int (*commit_later)(struct vh_mem_listener *listener,
                        const struct vhost_memory_section *sections, size_t n,
                        struct vhost_error **errp);
    /** @slot_limit: how many memory slots the back end has */
    unsigned (*slot_limit)(struct vh_mem_listener *listener);
    /** @slots_used: how many of them the device's table takes up */
    unsigned (*slots_used)(struct vh_mem_listener *listener);
    /**
     * @log: the dirty log is on, or another than before, or off
     * Return 0 once the back end marks what it writes there (it gets the log
     * by vh_memory_map_log_get()), or marks no more; a negative errno leaves
     * it as it was.  NULL: it never writes.
     */
    int (*log)(struct vh_mem_listener *listener, bool on,
               struct vhost_error **errp);
    /**
     * @log_later: the same, or begin it, without waiting
     * Return what @log would, or -EINPROGRESS: then the end is told by
     * vh_memory_map_log_told().  NULL: @log.
     */
    int (*log_later)(struct vh_mem_listener *listener, bool on,
                     struct vhost_error **errp);
    /** @log_blocker: why it can't log, or NULL; absent where @log is */
    const char *(*log_blocker)(struct vh_mem_listener *listener);
};

struct vh_mem_listener {
    const struct vh_mem_listener_ops *ops;
    struct vh_mem_snapshot *held;
    TAILQ_ENTRY(vh_mem_listener) entry;
};

/**
 * vh_memory_map_attach() - listen, and take up the sections of now
 * @map: outside a transaction
 * @listener: caller's memory, ops set; attached on success only
 * @errp: what ops->commit says
 *
 * Return: 0, or what ops->commit returned.  Then nothing is held for the
 * listener, and its back end must be gone before the map changes again.
 */
int vh_memory_map_attach(struct vhost_memory_map *map,
                         struct vh_mem_listener *listener,
                         struct vhost_error **errp);

/** vh_memory_map_committed() - a listener that said -EINPROGRESS has ended
 * @r: as its commit would have returned
 * @error: why it failed, copied
 */
void vh_memory_map_committed(struct vhost_memory_map *map,
                             struct vh_mem_listener *listener, int r,
                             const struct vhost_error *error);

/** vh_memory_map_log_told() - a listener that said -EINPROGRESS of the log has
 * ended
 * @r: as its log would have returned
 * @error: why it failed, copied
 */
void vh_memory_map_log_told(struct vhost_memory_map *map, int r,
                            const struct vhost_error *error);

/** vh_memory_map_detach() - stop listening; what only it held is released */
void vh_memory_map_detach(struct vhost_memory_map *map,
                          struct vh_mem_listener *listener);

/** vh_memory_map_max_slots() - see vhost_get_max_memslots() */
unsigned vh_memory_map_max_slots(const struct vhost_memory_map *map);

/** vh_memory_map_free_slots() - see vhost_get_free_memslots() */
unsigned vh_memory_map_free_slots(const struct vhost_memory_map *map);

/**
 * vh_memory_map_log_get() - hold the dirty log, to write there
 * @map: any map
 *
 * Return: the current log; NULL if it is off, or given up.
 */
struct vhost_log *vh_memory_map_log_get(struct vhost_memory_map *map);

/** vh_memory_map_log_put() - nobody writes there on the caller's behalf any
 * more; NULL is allowed.  What was marked there is not lost, whichever log is
 * current now
 */
void vh_memory_map_log_put(struct vhost_memory_map *map, struct vhost_log *log);

#endif
