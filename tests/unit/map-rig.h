/* SPDX-License-Identifier: BSD-3-Clause */
/* A device, as far as the memory map sees it: a listener that keeps a diary. */
#ifndef VH_TESTS_MAP_RIG_H
#define VH_TESTS_MAP_RIG_H

#include <string.h>

#include "check.h"
#include "mem/map.h"
#include "util/error.h"

#define PAGE UINT64_C(4096)
#define HVA(x) ((void *)(uintptr_t)(x))
#define RIG_SECTIONS 600

struct rig_device {
    struct vh_mem_listener listener;
    int answer; /* of commit */
    int commits;
    struct vhost_memory_section seen[RIG_SECTIONS];
    size_t n;
    unsigned limit;
    unsigned used;
};

static inline struct rig_device *rig_device_of(struct vh_mem_listener *l)
{
    return (struct rig_device *)((char *)l -
                                 offsetof(struct rig_device, listener));
}

static inline int rig_commit(struct vh_mem_listener *l,
                             const struct vhost_memory_section *sections,
                             size_t n, struct vhost_error **errp)
{
    struct rig_device *d = rig_device_of(l);

    d->commits++;
    assert_true(n <= RIG_SECTIONS);
    if (n > 0) {
        memcpy(d->seen, sections, n * sizeof(*sections));
    }
    d->n = n;
    if (d->answer < 0) {
        return vh_error(errp, d->answer, "SET_MEM_TABLE", VH_NO_QUEUE,
                        "device %u refuses", d->limit);
    }
    return 0;
}

static inline unsigned rig_slot_limit(struct vh_mem_listener *l)
{
    return rig_device_of(l)->limit;
}

static inline unsigned rig_slots_used(struct vh_mem_listener *l)
{
    return rig_device_of(l)->used;
}

static const struct vh_mem_listener_ops rig_ops = {
    .commit = rig_commit,
    .slot_limit = rig_slot_limit,
    .slots_used = rig_slots_used,
};

static inline void rig_attach(struct vhost_memory_map *map,
                              struct rig_device *d)
{
    d->listener.ops = &rig_ops;
    assert_int_equal(vh_memory_map_attach(map, &d->listener, NULL), 0);
}

static inline void rig_detach(struct vhost_memory_map *map,
                              struct rig_device *d)
{
    vh_memory_map_detach(map, &d->listener);
}

/* @opaque of a section is the number of times that it was released. */
static inline void rig_release(void *opaque)
{
    (*(int *)opaque)++;
}

static inline struct vhost_memory_section
rig_section(uint64_t gpa, uint64_t size, void *hva, int *released)
{
    return (struct vhost_memory_section){
        .gpa = gpa,
        .size = size,
        .hva = hva,
        .fd = 5,
        .release = released ? rig_release : NULL,
        .opaque = released,
    };
}

#endif
