/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the sections of a map to the table of one back end: which sections
 * count, how they are aligned, which of them merge.
 *
 * A table is a list of struct vhost_memory_section, sorted by gpa, without
 * overlap in guest-physical addresses.  Its entries have a page_size, and no
 * release: that belongs to the sections of the map alone.
 */
#ifndef VH_MEM_TABLE_H
#define VH_MEM_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <vhost/memory.h>

struct vh_mem_rules {
    bool shared_file_only; /* vhost-user: no fd or private: left out */
    bool align_to_page;    /* vhost-user: whole pages of the backing file */
};

/**
 * vh_mem_table_build() - derive a table
 * @tablep: in: NULL, or an array of malloc() to be used again; out: an array,
 *     *np long; NULL if that is 0.  On failure it stays the caller's, wherever
 *     it is then
 * @np: how many
 * @sections: sorted by gpa, as a map has them
 * @n: how many
 * @rules: of the back end
 * @errp: names the sections that collide
 *
 * Read-only and device sections are left out.  With align_to_page the start
 * goes down to a page of the backing file on the host address (gpa, size and
 * fd_offset with it), and the size up.  A section merges with the one before
 * if it follows without a gap in gpa, hva, fd and file offset (or overlaps it,
 * once rounded, in the very same pages), and neither is VHOST_MEMORY_NO_MERGE.
 *
 * Return: 0; -EINVAL if two others overlap after rounding, or whole pages
 * would pass either end of the address space; -ENOMEM.
 */
int vh_mem_table_build(struct vhost_memory_section **tablep, size_t *np,
                       const struct vhost_memory_section *sections, size_t n,
                       const struct vh_mem_rules *rules,
                       struct vhost_error **errp);

/** vh_mem_table_same() - do both tables say the same to a back end? */
bool vh_mem_table_same(const struct vhost_memory_section *a, size_t na,
                       const struct vhost_memory_section *b, size_t nb);

/**
 * vh_mem_table_find() - the entry that holds a range
 * @table: sorted by gpa
 * @n: how many
 * @gpa: first address
 * @size: bytes, not 0
 *
 * Return: the entry that contains the whole range, or NULL.  Binary search.
 */
const struct vhost_memory_section *
vh_mem_table_find(const struct vhost_memory_section *table, size_t n,
                  uint64_t gpa, uint64_t size);

/**
 * vh_mem_table_diff() - walk two tables at once
 * @old: what the back end has, sorted
 * @n_old: how many
 * @new_: what it shall have, sorted
 * @n_new: how many
 * @remove: called for each entry of @old that is not in @new_, from the last
 *     to the first; a negative return ends the walk
 * @add: then called for each entry of @new_ that is not in @old, in order
 * @arg: for both
 *
 * Return: 0, or the first negative return of a callback.
 */
int vh_mem_table_diff(const struct vhost_memory_section *old, size_t n_old,
                      const struct vhost_memory_section *new_, size_t n_new,
                      int (*remove)(const struct vhost_memory_section *,
                                    void *),
                      int (*add)(const struct vhost_memory_section *, void *),
                      void *arg);

#endif
