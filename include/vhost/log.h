/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty log: which guest pages have the devices written?
 *
 * A memory map has one log, shared by all devices attached to it: one bit for
 * each page of VHOST_LOG_PAGE bytes of guest-physical addresses.  While it is
 * on, devices set bits at any time; a sync fetches and clears them.
 *
 *     vhost_log_start(map, &err);         from now on no write is missed
 *     … send all of the memory …
 *     vhost_log_sync(map, sink, me, &err); what was written since, again and
 *     …                                    again, in ranges of whole pages
 *     vhost_dev_stop(dev, vdev, true);
 *     vhost_log_sync(map, sink, me, &err); the last ones
 *     vhost_log_stop(map, &err);
 *
 * A bit may be reported once too often, but never too seldom: a clean page
 * sent again costs a little time, a dirty one that is not destroys the guest.
 * No page outside the map's sections is reported.
 *
 * Devices may be started, stopped, attached and detached, and the map may
 * grow and shrink, while the log is on.  Whatever the owner of the memory
 * writes himself he knows, or marks by vhost_log_mark().
 *
 * Threads: start and stop belong to the control thread of the map; sync and
 * mark may be called from any, while devices run and the map changes.
 */
#ifndef VHOST_LOG_H
#define VHOST_LOG_H

#include <stdint.h>

#include <vhost/error.h>
#include <vhost/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;

/* One bit of the dirty log is one page of this many bytes. */
#define VHOST_LOG_PAGE 0x1000
typedef unsigned long vhost_log_chunk_t;
#define VHOST_LOG_BITS (8 * sizeof(vhost_log_chunk_t))
#define VHOST_LOG_CHUNK (VHOST_LOG_PAGE * VHOST_LOG_BITS)

/** struct vhost_log - one bit for each guest page that a device wrote
 * @size: in chunks
 * @refcnt: the map, and devices that write to it
 * @fd: shared file, or -1
 * @log: our mapping of it: an array of bytes, page p is bit p % 8 of byte p / 8
 */
struct vhost_log {
    unsigned long long size;
    int refcnt;
    int fd;
    vhost_log_chunk_t *log;
};

/**
 * vhost_log_sink_fn - takes a range of dirty pages
 * @opaque: as given
 * @gpa: a multiple of VHOST_LOG_PAGE
 * @size: the same; not 0
 *
 * Ranges come in rising order, and no two of them touch.  Called without a
 * lock; it may call the library.
 */
typedef void vhost_log_sink_fn(void *opaque, uint64_t gpa, uint64_t size);

/**
 * vhost_log_start() - log what devices write from now on
 * @map: any map, outside a transaction
 * @errp: why it failed
 *
 * Returns when every started device logs.  Does nothing if the log is on.
 *
 * Return: 0; -ENOTSUP if a device that is attached can't log (see
 * vhost_dev_migration_blocker()); -EPROTO if one is broken; -EFBIG if no log
 * could be so large; the negative errno of memfd_create(2) or mmap(2); or that
 * of the first device that failed.  Then no device logs.
 */
int vhost_log_start(struct vhost_memory_map *map, struct vhost_error **errp);

/**
 * vhost_log_stop() - log no more, and forget what was not fetched
 * @map: any map, outside a transaction
 * @errp: what the first failing device says
 *
 * The log is off in any case.  Does nothing if it is.
 *
 * Return: 0, or the negative errno of the first device that failed.
 */
int vhost_log_stop(struct vhost_memory_map *map, struct vhost_error **errp);

/**
 * vhost_log_start_async() - the same, without waiting for any device
 * @map: any map, outside a transaction
 * @done: called at the end, by vhost_dev_dispatch() of the last device
 * @opaque: for @done
 * @errp: why it failed, if it has ended
 *
 * Until the end no transaction is begun, no device attached or detached, and
 * the log not fetched.  A device in the middle of another operation (async.h)
 * is waited for; see vhost_dev_cancel() for one that does not answer: it is
 * lost then, and no failure of this.
 *
 * Return: -EINPROGRESS: @done will be called; else it has ended, and this is
 * what vhost_log_start() returns.
 */
int vhost_log_start_async(struct vhost_memory_map *map,
                          vhost_memory_done_fn *done, void *opaque,
                          struct vhost_error **errp);

/**
 * vhost_log_stop_async() - the same for vhost_log_stop()
 * @map: any map, outside a transaction
 * @done: called at the end, by vhost_dev_dispatch() of the last device
 * @opaque: for @done
 * @errp: what the first failing device says, if it has ended
 *
 * Return: as vhost_log_start_async().
 */
int vhost_log_stop_async(struct vhost_memory_map *map,
                         vhost_memory_done_fn *done, void *opaque,
                         struct vhost_error **errp);

/**
 * vhost_log_sync() - fetch and clear
 * @map: any map
 * @sink: told of each range
 * @opaque: for @sink
 * @errp: why it failed
 *
 * All that was logged when it was called is reported, unless another thread
 * fetches at the same time: each bit goes to one of them.
 *
 * Return: 0; -EINVAL if the log is off; or why it is not whole since a change
 * of the map: then all memory must be taken for dirty, until
 * vhost_log_stop() and vhost_log_start().
 */
int vhost_log_sync(struct vhost_memory_map *map, vhost_log_sink_fn *sink,
                   void *opaque, struct vhost_error **errp);

/**
 * vhost_log_sync_bitmap() - fetch and clear a part, into a bitmap
 * @map: any map
 * @bitmap: bits are set, none is cleared: that of page i from @gpa on is
 *     bit i % 64 of word i / 64; not atomically
 * @gpa: of the first page: a multiple of VHOST_LOG_PAGE
 * @pages: how many
 * @errp: why it failed
 *
 * Return: as vhost_log_sync(); -EINVAL also for a bad @gpa or @pages.
 */
int vhost_log_sync_bitmap(struct vhost_memory_map *map, uint64_t *bitmap,
                          uint64_t gpa, uint64_t pages,
                          struct vhost_error **errp);

/**
 * vhost_log_mark() - somebody else than a device has written
 * @map: any map
 * @gpa: where; called after the write
 * @size: bytes
 *
 * Does nothing while the log is off, nor for what lies outside the map.
 */
void vhost_log_mark(struct vhost_memory_map *map, uint64_t gpa, uint64_t size);

/**
 * vhost_dev_migration_blocker() - why can't the device be migrated?
 * @dev: between vhost_dev_init() and vhost_dev_cleanup()
 *
 * Return: NULL if it can; else words, constant.
 */
const char *vhost_dev_migration_blocker(const struct vhost_dev *dev);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
