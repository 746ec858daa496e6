/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A draft is a snapshot that only the open transaction knows.  It has the list
 * that others will read from the first edit on, changed with each: so a commit
 * needs no memory, can't fail for want of it, and copies nothing.
 */
#include "mem/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8

struct vh_mem_object *
vh_mem_object_new(const struct vhost_memory_section *section)
{
    struct vh_mem_object *object = calloc(1, sizeof(*object));

    if (object) {
        object->section = *section;
        object->refs = 1;
    }
    return object;
}

void vh_mem_object_put(struct vh_mem_object *object,
                       struct vh_mem_objects *dying)
{
    assert(object->refs > 0);
    if (--object->refs > 0) {
        return;
    }
    if (object->committed) {
        TAILQ_INSERT_TAIL(dying, object, entry);
    } else {
        free(object);
    }
}

/* One by one: a callback may open a transaction and let more of them die. */
void vh_mem_objects_release(struct vh_mem_objects *dying)
{
    struct vh_mem_object *object;

    while ((object = TAILQ_FIRST(dying)) != NULL) {
        struct vhost_memory_section section = object->section;

        TAILQ_REMOVE(dying, object, entry);
        free(object);
        if (section.release) {
            section.release(section.opaque);
        }
    }
}

static int set_capacity(struct vh_mem_snapshot *s, size_t capacity)
{
    struct vh_mem_object **objects;
    struct vhost_memory_section *sections;

    objects = reallocarray(s->objects, capacity, sizeof(*objects));
    if (!objects) {
        return -ENOMEM;
    }
    s->objects = objects;
    sections = reallocarray(s->sections, capacity, sizeof(*sections));
    if (!sections) {
        return -ENOMEM;
    }
    s->sections = sections;
    s->capacity = capacity;
    return 0;
}

static void snapshot_free(struct vh_mem_snapshot *s)
{
    free(s->objects);
    free(s->sections);
    free(s);
}

struct vh_mem_snapshot *vh_mem_snapshot_new(size_t capacity)
{
    struct vh_mem_snapshot *s = calloc(1, sizeof(*s));

    if (!s) {
        return NULL;
    }
    s->refs = 1;
    if (set_capacity(s, capacity ? capacity : FIRST_CAPACITY) < 0) {
        snapshot_free(s);
        return NULL;
    }
    return s;
}

struct vh_mem_snapshot *vh_mem_snapshot_copy(const struct vh_mem_snapshot *from)
{
    struct vh_mem_snapshot *s = vh_mem_snapshot_new(from->n);

    if (!s) {
        return NULL;
    }
    for (size_t i = 0; i < from->n; i++) {
        s->objects[i] = from->objects[i];
        s->objects[i]->refs++;
    }
    memcpy(s->sections, from->sections, from->n * sizeof(*s->sections));
    s->n = from->n;
    return s;
}

struct vh_mem_snapshot *vh_mem_snapshot_get(struct vh_mem_snapshot *snapshot)
{
    snapshot->refs++;
    return snapshot;
}

/* A loop, not a recursion: the successors may be many. */
void vh_mem_snapshot_put(struct vh_mem_snapshot *snapshot,
                         struct vh_mem_objects *dying)
{
    while (snapshot) {
        struct vh_mem_snapshot *next = snapshot->next;

        assert(snapshot->refs > 0);
        if (--snapshot->refs > 0) {
            return;
        }
        for (size_t i = 0; i < snapshot->n; i++) {
            vh_mem_object_put(snapshot->objects[i], dying);
        }
        snapshot_free(snapshot);
        snapshot = next;
    }
}

size_t vh_mem_snapshot_lower_bound(const struct vh_mem_snapshot *draft,
                                   uint64_t gpa)
{
    size_t low = 0;
    size_t high = draft->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (draft->objects[middle]->section.gpa < gpa) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int vh_mem_snapshot_reserve(struct vh_mem_snapshot *draft)
{
    if (draft->n < draft->capacity) {
        return 0;
    }
    return set_capacity(draft, draft->capacity * 2);
}

void vh_mem_snapshot_insert(struct vh_mem_snapshot *draft, size_t at,
                            struct vh_mem_object *object)
{
    assert(at <= draft->n && draft->n < draft->capacity);
    memmove(&draft->objects[at + 1], &draft->objects[at],
            (draft->n - at) * sizeof(*draft->objects));
    memmove(&draft->sections[at + 1], &draft->sections[at],
            (draft->n - at) * sizeof(*draft->sections));
    draft->objects[at] = object;
    draft->sections[at] = object->section;
    draft->n++;
}

struct vh_mem_object *vh_mem_snapshot_take(struct vh_mem_snapshot *draft,
                                           size_t at)
{
    struct vh_mem_object *object;

    assert(at < draft->n);
    object = draft->objects[at];
    draft->n--;
    memmove(&draft->objects[at], &draft->objects[at + 1],
            (draft->n - at) * sizeof(*draft->objects));
    memmove(&draft->sections[at], &draft->sections[at + 1],
            (draft->n - at) * sizeof(*draft->sections));
    return object;
}

void vh_mem_snapshot_freeze(struct vh_mem_snapshot *draft)
{
    for (size_t i = 0; i < draft->n; i++) {
        draft->objects[i]->committed = true;
    }
}

bool vh_mem_snapshot_same(const struct vh_mem_snapshot *a,
                          const struct vh_mem_snapshot *b)
{
    return a->n == b->n &&
           (a->n == 0 ||
            memcmp(a->objects, b->objects, a->n * sizeof(*a->objects)) == 0);
}
