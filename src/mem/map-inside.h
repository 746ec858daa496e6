/* SPDX-License-Identifier: BSD-3-Clause */
/* The map itself, for map.c and map-log.c: transactions, and the dirty log. */
#ifndef VH_MEM_MAP_INSIDE_H
#define VH_MEM_MAP_INSIDE_H

#include <pthread.h>

#include "mem/dirty.h"
#include "mem/map.h"
#include "mem/snapshot.h"

struct vh_log_view;

/* Everything here is under the lock. */
struct vh_map_log {
    pthread_mutex_t lock;
    struct vh_dirty *current; /* NULL: off */
    struct vh_log_view *view; /* of current */
    TAILQ_HEAD(, vh_dirty) retired;
    int fault; /* negative errno: given up, and why */
};

/* A commit that did not wait, until all listeners have ended. */
struct vh_map_pending {
    unsigned n; /* listeners */
    int result;
    struct vhost_error *error;
    struct vh_mem_snapshot *old;
    vhost_memory_done_fn *done;
    void *opaque;
};

/* The log is being switched on or off, until all listeners have ended. */
struct vh_map_turn {
    unsigned n; /* listeners */
    bool on;
    int result;
    struct vhost_error *error;
    vhost_memory_done_fn *done; /* NULL: somebody waits */
    void *opaque;
};

struct vhost_memory_map {
    struct vh_mem_snapshot *current;
    struct vh_mem_snapshot *draft; /* NULL: nothing edited */
    bool in_transaction;
    bool committing;
    struct vh_map_pending pending;
    struct vh_map_turn turn;
    struct vh_mem_objects removed; /* by this transaction */
    struct vh_mem_objects dying;   /* nobody holds them any more */
    TAILQ_HEAD(, vh_mem_listener) listeners;
    struct vh_map_log log;
};

void vh_map_log_init(struct vh_map_log *log);

/** vh_map_log_destroy() - nobody listens to the map any more */
void vh_map_log_destroy(struct vh_map_log *log);

/** vh_map_log_before_commit() - room for what the listeners will hear of */
void vh_map_log_before_commit(struct vhost_memory_map *map);

/** vh_map_log_after_commit() - and for no more than that */
void vh_map_log_after_commit(struct vhost_memory_map *map);

/** vh_map_log_attach() - tell a new listener that the log is on, if it is */
int vh_map_log_attach(struct vhost_memory_map *map,
                      struct vh_mem_listener *listener,
                      struct vhost_error **errp);

#endif
