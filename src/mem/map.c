/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory map and its transactions.
 *
 * Between begin and commit there is, from the first edit on, a draft: a copy
 * of the current snapshot.  What is taken out of the draft goes to a list of
 * its own until the transaction ends.  From there it can come back: a section
 * that is removed and added again, identical to the last field, is the same
 * section, has one release, and moves nothing in any back end.
 *
 * Owners are told of a release last of all, when the map is whole again: they
 * may call it.
 */
#include "mem/map-inside.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "mem/table.h"
#include "util/error.h"

struct vhost_memory_map *vhost_memory_map_new(void)
{
    struct vhost_memory_map *map = calloc(1, sizeof(*map));

    if (!map) {
        return NULL;
    }
    map->current = vh_mem_snapshot_new(0);
    if (!map->current) {
        free(map);
        return NULL;
    }
    TAILQ_INIT(&map->removed);
    TAILQ_INIT(&map->dying);
    TAILQ_INIT(&map->listeners);
    vh_map_log_init(&map->log);
    return map;
}

void vhost_memory_map_free(struct vhost_memory_map *map)
{
    if (!map) {
        return;
    }
    assert(TAILQ_EMPTY(&map->listeners));
    if (map->in_transaction) {
        vhost_memory_abort(map);
    }
    vh_map_log_destroy(&map->log);
    vh_mem_snapshot_put(map->current, &map->dying);
    vh_mem_objects_release(&map->dying);
    free(map);
}

void vhost_memory_begin(struct vhost_memory_map *map)
{
    assert(!map->in_transaction && !map->committing);
    map->in_transaction = true;
}

static int open_draft(struct vhost_memory_map *map)
{
    assert(map->in_transaction);
    if (!map->draft) {
        map->draft = vh_mem_snapshot_copy(map->current);
    }
    return map->draft ? 0 : -ENOMEM;
}

static bool range_passes_end(uint64_t first, uint64_t size)
{
    return size - 1 > UINT64_MAX - first;
}

static bool is_valid(const struct vhost_memory_section *s)
{
    return s->size > 0 && (s->page_size & (s->page_size - 1)) == 0 &&
           !range_passes_end(s->gpa, s->size) &&
           !range_passes_end((uint64_t)(uintptr_t)s->hva, s->size) &&
           (s->fd < 0 || !range_passes_end(s->fd_offset, s->size));
}

/* The draft has no overlaps, so the two neighbours of the place tell all. */
static bool is_taken(const struct vh_mem_snapshot *draft, size_t at,
                     const struct vhost_memory_section *s)
{
    if (at < draft->n && draft->objects[at]->section.gpa - s->gpa < s->size) {
        return true;
    }
    if (at > 0) {
        const struct vhost_memory_section *before =
            &draft->objects[at - 1]->section;

        return s->gpa - before->gpa < before->size;
    }
    return false;
}

static bool is_identical(const struct vhost_memory_section *a,
                         const struct vhost_memory_section *b)
{
    return vh_mem_table_same(a, 1, b, 1) && a->flags == b->flags &&
           a->page_size == b->page_size && a->release == b->release &&
           a->opaque == b->opaque;
}

static struct vh_mem_object *
take_back(struct vhost_memory_map *map,
          const struct vhost_memory_section *section)
{
    struct vh_mem_object *object;

    TAILQ_FOREACH (object, &map->removed, entry) {
        if (is_identical(&object->section, section)) {
            TAILQ_REMOVE(&map->removed, object, entry);
            return object;
        }
    }
    return NULL;
}

int vhost_memory_add(struct vhost_memory_map *map,
                     const struct vhost_memory_section *section)
{
    struct vh_mem_object *object;
    size_t at;

    assert(map->in_transaction);
    if (!is_valid(section)) {
        return -EINVAL;
    }
    if (open_draft(map) < 0) {
        return -ENOMEM;
    }
    at = vh_mem_snapshot_lower_bound(map->draft, section->gpa);
    if (is_taken(map->draft, at, section)) {
        return -EEXIST;
    }
    if (vh_mem_snapshot_reserve(map->draft) < 0) {
        return -ENOMEM;
    }
    object = take_back(map, section);
    if (!object) {
        object = vh_mem_object_new(section);
    }
    if (!object) {
        return -ENOMEM;
    }
    vh_mem_snapshot_insert(map->draft, at, object);
    return 0;
}

int vhost_memory_remove(struct vhost_memory_map *map, uint64_t gpa,
                        uint64_t size)
{
    struct vh_mem_object *object;
    size_t at;

    if (open_draft(map) < 0) {
        return -ENOMEM;
    }
    at = vh_mem_snapshot_lower_bound(map->draft, gpa);
    if (at == map->draft->n || map->draft->objects[at]->section.gpa != gpa ||
        map->draft->objects[at]->section.size != size) {
        return -ENOENT;
    }
    object = vh_mem_snapshot_take(map->draft, at);
    TAILQ_INSERT_TAIL(&map->removed, object, entry);
    return 0;
}

/*
 * After a commit the owner is owed the release even of what came and went
 * within it; after an abort, of nothing that came.
 */
static void end_transaction(struct vhost_memory_map *map, bool committed)
{
    struct vh_mem_object *object;

    while ((object = TAILQ_FIRST(&map->removed)) != NULL) {
        TAILQ_REMOVE(&map->removed, object, entry);
        object->committed |= committed;
        vh_mem_object_put(object, &map->dying);
    }
    map->in_transaction = false;
}

void vhost_memory_abort(struct vhost_memory_map *map)
{
    assert(map->in_transaction);
    vh_mem_snapshot_put(map->draft, &map->dying);
    map->draft = NULL;
    end_transaction(map, false);
    assert(TAILQ_EMPTY(&map->dying));
}

/* What @l holds is @map's current snapshot now. */
static void taken_up(struct vhost_memory_map *map, struct vh_mem_listener *l)
{
    vh_mem_snapshot_put(l->held, &map->dying);
    l->held = vh_mem_snapshot_get(map->current);
}

/* One listener has ended with @r; the first failure is kept, with its words. */
static void ended(struct vhost_memory_map *map, struct vh_mem_listener *l,
                  int r, const struct vhost_error *error)
{
    struct vh_map_pending *p = &map->pending;

    if (r == 0) {
        taken_up(map, l);
    } else if (p->result == 0) {
        p->result = r;
        vh_error_copy(&p->error, error);
    }
}

/* Takes over @snapshot, and every listener hears of it, come what may.
 * Return: how many have not ended. */
static unsigned publish(struct vhost_memory_map *map,
                        struct vh_mem_snapshot *snapshot, bool later)
{
    struct vh_mem_listener *l;

    map->pending.old = map->current;
    map->current = snapshot;
    map->pending.old->next = vh_mem_snapshot_get(snapshot);
    map->committing = true;
    vh_map_log_before_commit(map);
    TAILQ_FOREACH (l, &map->listeners, entry) {
        bool begin = later && l->ops->commit_later;
        struct vhost_error *error = NULL;
        int r = (begin ? l->ops->commit_later : l->ops->commit)(
            l, snapshot->sections, snapshot->n, &error);

        if (r == -EINPROGRESS) {
            map->pending.n++;
        } else {
            ended(map, l, r, error);
        }
        vh_error_clear(&error);
    }
    return map->pending.n;
}

/* All have.  Return: the first failure, its words in @errp. */
static int end_commit(struct vhost_memory_map *map, struct vhost_error **errp)
{
    struct vh_map_pending p = map->pending;

    map->pending = (struct vh_map_pending){ .n = 0 };
    if (p.old) {
        vh_map_log_after_commit(map);
        vh_mem_snapshot_put(p.old, &map->dying);
    }
    map->committing = false;
    end_transaction(map, true);
    vh_mem_objects_release(&map->dying);
    vh_error_move(errp, &p.error);
    vh_error_clear(&p.error);
    return p.result;
}

/* Return: whether some have not ended. */
static bool begin_commit(struct vhost_memory_map *map, bool later)
{
    struct vh_mem_snapshot *draft = map->draft;

    assert(map->in_transaction);
    map->draft = NULL;
    if (draft && !vh_mem_snapshot_same(draft, map->current)) {
        vh_mem_snapshot_freeze(draft);
        return publish(map, draft, later) > 0;
    }
    vh_mem_snapshot_put(draft, &map->dying);
    return false;
}

int vhost_memory_commit(struct vhost_memory_map *map, struct vhost_error **errp)
{
    begin_commit(map, false);
    return end_commit(map, errp);
}

int vhost_memory_commit_async(struct vhost_memory_map *map,
                              vhost_memory_done_fn *done, void *opaque,
                              struct vhost_error **errp)
{
    if (!begin_commit(map, true)) {
        return end_commit(map, errp);
    }
    map->pending.done = done;
    map->pending.opaque = opaque;
    return -EINPROGRESS;
}

void vh_memory_map_committed(struct vhost_memory_map *map,
                             struct vh_mem_listener *listener, int r,
                             const struct vhost_error *error)
{
    vhost_memory_done_fn *done = map->pending.done;
    void *opaque = map->pending.opaque;
    struct vhost_error *why = NULL;

    ended(map, listener, r, error);
    if (--map->pending.n == 0) {
        r = end_commit(map, &why);
        done(map, r, why, opaque);
        vh_error_clear(&why);
    }
}

void *vhost_memory_translate(struct vhost_memory_map *map, uint64_t gpa,
                             uint64_t size)
{
    const struct vhost_memory_section *s =
        vh_mem_table_find(map->current->sections, map->current->n, gpa, size);

    return s ? (char *)s->hva + (gpa - s->gpa) : NULL;
}

int vh_memory_map_attach(struct vhost_memory_map *map,
                         struct vh_mem_listener *listener,
                         struct vhost_error **errp)
{
    int r;

    assert(!map->in_transaction && !map->committing);
    r = listener->ops->commit(listener, map->current->sections, map->current->n,
                              errp);
    if (r == 0) {
        r = vh_map_log_attach(map, listener, errp);
    }
    if (r < 0) {
        return r;
    }
    listener->held = vh_mem_snapshot_get(map->current);
    TAILQ_INSERT_TAIL(&map->listeners, listener, entry);
    return 0;
}

void vh_memory_map_detach(struct vhost_memory_map *map,
                          struct vh_mem_listener *listener)
{
    assert(!map->committing);
    TAILQ_REMOVE(&map->listeners, listener, entry);
    vh_mem_snapshot_put(listener->held, &map->dying);
    listener->held = NULL;
    vh_mem_objects_release(&map->dying);
}

unsigned vh_memory_map_max_slots(const struct vhost_memory_map *map)
{
    struct vh_mem_listener *l;
    unsigned least = UINT_MAX;

    TAILQ_FOREACH (l, &map->listeners, entry) {
        unsigned limit = l->ops->slot_limit(l);

        least = limit < least ? limit : least;
    }
    return least;
}

unsigned vh_memory_map_free_slots(const struct vhost_memory_map *map)
{
    struct vh_mem_listener *l;
    unsigned least = UINT_MAX;

    TAILQ_FOREACH (l, &map->listeners, entry) {
        unsigned limit = l->ops->slot_limit(l);
        unsigned used = l->ops->slots_used(l);
        unsigned left = limit > used ? limit - used : 0;

        least = left < least ? left : least;
    }
    return least;
}
