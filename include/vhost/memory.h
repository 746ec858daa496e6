/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory map: the memory that back ends may read and write.
 *
 * A map is a set of sections, each a range of guest-physical addresses that
 * is backed by memory of this process and, for back ends in other processes,
 * by a file.  One map serves any number of devices; each device derives its
 * own table from it (merged, aligned, within the slots of its back end).
 *
 *     vhost_memory_begin(map);
 *     vhost_memory_add(map, &(struct vhost_memory_section){ … });
 *     vhost_memory_remove(map, gpa, size);
 *     vhost_memory_commit(map, &err);
 *
 * Nothing reaches a device before commit, and each device sees one change
 * however many sections moved.
 *
 * A program without a VM takes its memory from vhost_memory_alloc().
 *
 * The section is not called a region: <linux/vhost_types.h> has a struct
 * vhost_memory_region of its own, and a VMM includes both.
 *
 * Threads: a map belongs to the control thread of its devices.
 */
#ifndef VHOST_MEMORY_H
#define VHOST_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_memory_map;

/* Flags of a section. */
#define VHOST_MEMORY_READ_ONLY (1u << 0) /* ROM: not given to back ends */
#define VHOST_MEMORY_PRIVATE (1u << 1)   /* not MAP_SHARED: this process only */
#define VHOST_MEMORY_NO_MERGE (1u << 2)  /* keep a slot of its own */
#define VHOST_MEMORY_DEVICE (1u << 3)    /* MMIO of a real device: not RAM */

/* Flags of vhost_memory_alloc(). */
#define VHOST_MEMORY_HUGE (1u << 0) /* huge pages, of the default size */

/**
 * struct vhost_memory_section - one range of guest memory
 * @gpa: first guest-physical address
 * @size: bytes, not 0; @gpa + @size may be 2^64 but not more
 * @hva: where this process has it mapped
 * @fd: the file behind it, or -1; lent until the section is released
 * @flags: VHOST_MEMORY_READ_ONLY, _PRIVATE, _NO_MERGE, _DEVICE
 * @fd_offset: where in the file @hva begins
 * @page_size: of the backing file, in bytes; a power of two; 0 means 4096
 * @xen_flags: for VHOST_USER_PROTOCOL_F_XEN_MMAP only: bit 0 foreign memory,
 *     bit 1 grants, bit 8 not to be mapped in advance
 * @xen_domid: the domain that it belongs to
 * @release: called once no back end can touch the section any more, or NULL
 * @opaque: for @release
 */
struct vhost_memory_section {
    uint64_t gpa;
    uint64_t size;
    void *hva;
    int fd;
    uint32_t flags;
    uint64_t fd_offset;
    uint64_t page_size;
    uint32_t xen_flags;
    uint32_t xen_domid;
    void (*release)(void *opaque);
    void *opaque;
    uint64_t reserved[3];
};

/** vhost_memory_map_new() - an empty map
 *
 * Return: the map, or NULL if memory is short.
 */
struct vhost_memory_map *vhost_memory_map_new(void);

/** vhost_memory_map_free() - free a map and release all its sections
 * @map: no device may be attached; NULL is allowed
 */
void vhost_memory_map_free(struct vhost_memory_map *map);

/** vhost_memory_begin() - open a transaction
 * @map: not inside a transaction
 */
void vhost_memory_begin(struct vhost_memory_map *map);

/** vhost_memory_add() - add a section to the open transaction
 * @map: inside a transaction
 * @section: copied; its fd is lent
 *
 * Return: 0; -EINVAL if size is 0, the range passes 2^64 (there, in our memory
 * or in the file) or page_size is not a power of two; -EEXIST if it overlaps a
 * section in guest-physical addresses; -ENOMEM.
 */
int vhost_memory_add(struct vhost_memory_map *map,
                     const struct vhost_memory_section *section);

/** vhost_memory_remove() - take a section out in the open transaction
 * @map: inside a transaction
 * @gpa: where the section begins
 * @size: its whole size
 *
 * Return: 0; -ENOENT if no section is exactly that; -ENOMEM.
 */
int vhost_memory_remove(struct vhost_memory_map *map, uint64_t gpa,
                        uint64_t size);

/** vhost_memory_abort() - forget the open transaction
 * @map: inside a transaction
 *
 * Sections added in it are forgotten, without a call of their release.
 */
void vhost_memory_abort(struct vhost_memory_map *map);

/** vhost_memory_commit() - give the change to every attached device
 * @map: inside a transaction
 * @errp: what the first failing device says
 *
 * The map is changed in any case.  A section that was removed is released
 * (its release callback is called) once every device has let go of it: for a
 * device that took the change, before this returns; for one that failed, and
 * so is broken, when it is cleaned up.
 *
 * Return: 0, or the negative errno of the first device that failed.
 */
int vhost_memory_commit(struct vhost_memory_map *map,
                        struct vhost_error **errp);

/**
 * vhost_memory_done_fn - a commit has come to its end
 * @map: a map
 * @result: what vhost_memory_commit() would have returned
 * @error: its words, lent; NULL if there are none
 * @opaque: as given
 */
typedef void vhost_memory_done_fn(struct vhost_memory_map *map, int result,
                                  const struct vhost_error *error,
                                  void *opaque);

/**
 * vhost_memory_commit_async() - the same, without waiting for any device
 * @map: a map in a transaction
 * @done: called at the end, by vhost_dev_dispatch() of the last device
 * @opaque: for @done
 * @errp: why it failed, if it has ended
 *
 * Until the end, the map is to be translated with, and no more: no transaction
 * is begun, no device attached or detached.  Sections that were removed are
 * released before @done is called.  A device in the middle of another
 * operation (async.h) is waited for; so is a dirty log that has to grow.  See
 * vhost_dev_cancel() for a device that does not answer: it is lost then, and no
 * failure of the commit.
 *
 * Return: -EINPROGRESS: @done will be called; else it has ended, and this is
 * what vhost_memory_commit() returns.
 */
int vhost_memory_commit_async(struct vhost_memory_map *map,
                              vhost_memory_done_fn *done, void *opaque,
                              struct vhost_error **errp);

/** vhost_memory_translate() - guest-physical address to ours
 * @map: any map
 * @gpa: guest-physical address
 * @size: bytes, not 0
 *
 * Return: the address, or NULL if the range does not lie in one section.
 */
void *vhost_memory_translate(struct vhost_memory_map *map, uint64_t gpa,
                             uint64_t size);

/** vhost_memory_alloc() - shared memory that a back end can map too
 * @section: filled in: hva, size, fd, fd_offset, page_size; gpa is left alone
 * @size: bytes, rounded up to whole pages
 * @flags: VHOST_MEMORY_HUGE or 0
 * @errp: why it failed
 *
 * The memory is a memfd, zeroed, and sealed against growing and shrinking.
 *
 * Return: 0; -EINVAL for size 0 or unknown flags; -EFBIG if it passes
 * RLIMIT_FSIZE; -ENOMEM without enough huge pages; or the negative errno of
 * memfd_create(2), ftruncate(2) or mmap(2).
 */
int vhost_memory_alloc(struct vhost_memory_section *section, size_t size,
                       unsigned flags, struct vhost_error **errp);

/** vhost_memory_free() - undo vhost_memory_alloc()
 * @section: its hva becomes NULL and its fd -1; already freed is allowed
 */
void vhost_memory_free(struct vhost_memory_section *section);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
