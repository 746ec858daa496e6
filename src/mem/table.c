/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables: what one back end is told of a map.
 *
 * Ranges are compared by their last byte, never by the byte after it: a
 * section may end at 2^64, where that byte has no address.  For the same
 * reason no entry may span all of the 64-bit space, since its size would
 * have no value.
 *
 * A back end of vhost-user maps whole pages of the files, so neighbours may
 * come to overlap when they are rounded.  That does no harm if both say the
 * same about the pages that they share, which then means that they are one
 * range of one file: these merge.  All others would give one guest address
 * two meanings, and no table is made.
 */
#include "mem/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "util/error.h"

#define ROOM 31u /* one section more seldom needs a larger array */
#define DEFAULT_PAGE UINT64_C(4096)
#define LEFT_OUT_ALWAYS (VHOST_MEMORY_READ_ONLY | VHOST_MEMORY_DEVICE)

static uint64_t last_of(const struct vhost_memory_section *s)
{
    return s->gpa + (s->size - 1);
}

static bool counts(const struct vhost_memory_section *s,
                   const struct vh_mem_rules *rules)
{
    if (s->flags & LEFT_OUT_ALWAYS) {
        return false;
    }
    return !rules->shared_file_only ||
           (s->fd >= 0 && !(s->flags & VHOST_MEMORY_PRIVATE));
}

/* What of a section a table keeps: the callbacks stay the map's alone. */
static void put_entry(struct vhost_memory_section *restrict e,
                      const struct vhost_memory_section *restrict s)
{
    *e = (struct vhost_memory_section){
        .gpa = s->gpa,
        .size = s->size,
        .hva = s->hva,
        .fd = s->fd,
        .flags = s->flags,
        .fd_offset = s->fd_offset,
        .page_size = s->page_size ? s->page_size : DEFAULT_PAGE,
    };
}

/*
 * Pages are counted from the host address: guest-physical addresses need not
 * be aligned to them at all.
 */
static int align(struct vhost_memory_section *e, struct vhost_error **errp)
{
    uint64_t mask = e->page_size - 1;
    uint64_t down = (uint64_t)(uintptr_t)e->hva & mask;
    uint64_t span = e->size - 1; /* from the first byte to the last */
    uint64_t last;

    if (e->gpa < down || (e->fd >= 0 && e->fd_offset < down) ||
        __builtin_add_overflow(span, down, &span) ||
        __builtin_add_overflow(e->gpa - down, span | mask, &last) ||
        (span | mask) == UINT64_MAX) {
        return vh_error(errp, -EINVAL, "", VH_NO_QUEUE,
                        "memory section at 0x%" PRIx64 " does not fit into "
                        "whole pages of %" PRIu64 " bytes",
                        e->gpa, e->page_size);
    }
    e->gpa -= down;
    e->fd_offset -= e->fd >= 0 ? down : 0;
    e->hva = (char *)e->hva - down;
    e->size = (span | mask) + 1;
    return 0;
}

/* Would every address that both could hold mean the same byte? */
static bool same_backing(const struct vhost_memory_section *a,
                         const struct vhost_memory_section *b)
{
    uint64_t distance = b->gpa - a->gpa;

    return a->fd == b->fd && a->xen_flags == b->xen_flags &&
           a->xen_domid == b->xen_domid &&
           (uint64_t)(uintptr_t)b->hva - (uint64_t)(uintptr_t)a->hva ==
               distance &&
           (a->fd < 0 || b->fd_offset - a->fd_offset == distance);
}

/* @e begins neither below @prev nor behind a gap. */
static bool merge(struct vhost_memory_section *prev,
                  const struct vhost_memory_section *e)
{
    uint64_t last = last_of(e) > last_of(prev) ? last_of(e) : last_of(prev);

    if (((prev->flags | e->flags) & VHOST_MEMORY_NO_MERGE) ||
        !same_backing(prev, e) || last - prev->gpa == UINT64_MAX) {
        return false;
    }
    prev->size = last - prev->gpa + 1;
    prev->flags |= e->flags;
    return true;
}

/* The entry that was put behind the last of *np: does it stay, or merge? */
static int append(struct vhost_memory_section *table, size_t *np,
                  struct vhost_error **errp)
{
    const struct vhost_memory_section *e = &table[*np];
    struct vhost_memory_section *prev = *np > 0 ? &table[*np - 1] : NULL;

    if (prev && e->gpa >= prev->gpa && e->gpa - prev->gpa <= prev->size &&
        merge(prev, e)) {
        return 0;
    }
    if (prev && e->gpa <= last_of(prev)) {
        return vh_error(errp, -EINVAL, "", VH_NO_QUEUE,
                        "memory sections at 0x%" PRIx64 " and 0x%" PRIx64
                        " overlap in whole pages of %" PRIu64 " bytes",
                        prev->gpa, e->gpa, e->page_size);
    }
    ++*np;
    return 0;
}

static int fill(struct vhost_memory_section *table, size_t *np,
                const struct vhost_memory_section *sections, size_t n,
                const struct vh_mem_rules *rules, struct vhost_error **errp)
{
    for (size_t i = 0; i < n; i++) {
        int r = 0;

        if (!counts(&sections[i], rules)) {
            continue;
        }
        put_entry(&table[*np], &sections[i]);
        if (rules->align_to_page) {
            r = align(&table[*np], errp);
        }
        if (r == 0) {
            r = append(table, np, errp);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int vh_mem_table_build(struct vhost_memory_section **tablep, size_t *np,
                       const struct vhost_memory_section *sections, size_t n,
                       const struct vh_mem_rules *rules,
                       struct vhost_error **errp)
{
    struct vhost_memory_section *table;
    size_t n_table = 0;
    int r;

    if (n > 0) {
        table = reallocarray(*tablep, (n | ROOM) + 1, sizeof(*table));
        if (!table) {
            return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE,
                            "no memory for a table of %zu sections", n);
        }
        *tablep = table;
    }
    r = fill(*tablep, &n_table, sections, n, rules, errp);
    if (r < 0) {
        return r;
    }
    if (n_table == 0) {
        free(*tablep);
        *tablep = NULL;
    }
    *np = n_table;
    return 0;
}

static bool same_entry(const struct vhost_memory_section *a,
                       const struct vhost_memory_section *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->hva == b->hva &&
           a->fd == b->fd && a->fd_offset == b->fd_offset &&
           a->xen_flags == b->xen_flags && a->xen_domid == b->xen_domid;
}

bool vh_mem_table_same(const struct vhost_memory_section *a, size_t na,
                       const struct vhost_memory_section *b, size_t nb)
{
    if (na != nb) {
        return false;
    }
    for (size_t i = 0; i < na; i++) {
        if (!same_entry(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

const struct vhost_memory_section *
vh_mem_table_find(const struct vhost_memory_section *table, size_t n,
                  uint64_t gpa, uint64_t size)
{
    const struct vhost_memory_section *e = table;

    if (n == 0 || size == 0 || table[0].gpa > gpa) {
        return NULL;
    }
    /* The last of those that begin at or below gpa.  Which half it is in can't
     * be foretold: so that is computed, and not branched on. */
    while (n > 1) {
        size_t half = n / 2;

        e += e[half].gpa <= gpa ? half : 0;
        n -= half;
    }
    return gpa - e->gpa < e->size && size <= e->size - (gpa - e->gpa) ? e
                                                                      : NULL;
}

/*
 * Both walks go through the tables side by side: the other table's cursor
 * only ever moves on, so that a walk takes as many steps as there are entries.
 */
static int remove_missing(const struct vhost_memory_section *old, size_t n_old,
                          const struct vhost_memory_section *new_, size_t n_new,
                          int (*remove)(const struct vhost_memory_section *,
                                        void *),
                          void *arg)
{
    size_t j = n_new;

    for (size_t i = n_old; i > 0; i--) {
        const struct vhost_memory_section *e = &old[i - 1];
        int r;

        while (j > 0 && new_[j - 1].gpa > e->gpa) {
            j--;
        }
        if (j > 0 && same_entry(&new_[j - 1], e)) {
            continue;
        }
        r = remove(e, arg);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int add_missing(const struct vhost_memory_section *old, size_t n_old,
                       const struct vhost_memory_section *new_, size_t n_new,
                       int (*add)(const struct vhost_memory_section *, void *),
                       void *arg)
{
    size_t j = 0;

    for (size_t i = 0; i < n_new; i++) {
        const struct vhost_memory_section *e = &new_[i];
        int r;

        while (j < n_old && old[j].gpa < e->gpa) {
            j++;
        }
        if (j < n_old && same_entry(&old[j], e)) {
            continue;
        }
        r = add(e, arg);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int vh_mem_table_diff(const struct vhost_memory_section *old, size_t n_old,
                      const struct vhost_memory_section *new_, size_t n_new,
                      int (*remove)(const struct vhost_memory_section *,
                                    void *),
                      int (*add)(const struct vhost_memory_section *, void *),
                      void *arg)
{
    int r = remove_missing(old, n_old, new_, n_new, remove, arg);

    return r < 0 ? r : add_missing(old, n_old, new_, n_new, add, arg);
}
