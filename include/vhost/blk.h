/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block device behind vhost, for programs without a VM.
 *
 *     disk = vhost_blk_open("user:/run/disk.sock", NULL, &err);
 *     q = vhost_blk_get_queue(disk, 0);
 *     buf = vhost_blk_alloc(disk, 4096);
 *     vhost_blk_read(q, 0, buf, 4096, cookie);     prepares; nothing moves yet
 *     vhost_blk_submit(q);                         one barrier, one doorbell
 *     n = vhost_blk_wait(q, done, 32, 1, 1000);    within 1000 ms
 *
 * Buffers lie in memory that the back end sees: from vhost_blk_alloc(), or
 * the caller's own after vhost_blk_map().  Data is never copied.
 *
 * Offsets and lengths are bytes, and multiples of the block size.  A request
 * larger than the device takes in one piece is split; it has one completion.
 *
 * Threads: open, close, alloc, free, map, unmap and dispatch belong to one
 * control thread.  Each queue belongs to one thread at a time, without locks.
 * get_info and get_queue are for any thread.
 *
 * Processes: a child of fork(2) shares connection, rings and memory with its
 * parent, so it must leave the device alone: not even close it.  exec(2) closes
 * all fds.
 */
#ifndef VHOST_BLK_H
#define VHOST_BLK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vhost/error.h>
#include <vhost/virtq.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_blk;
struct vhost_blk_queue;

/**
 * struct vhost_blk_options - how to open a block device
 * @size: sizeof(struct vhost_blk_options), or 0 for the fields of this first
 *     version
 * @queues: how many to use; 0: 1
 * @queue_size: entries of each, a power of two from 4 to 32768; 0: 256.  So
 *     many requests can be in flight, or a third of it on a device without
 *     indirect descriptors
 * @layout: an enum vhost_layout; AUTO never takes one in order, where a slow
 *     request holds up those behind it
 * @polling: the program polls for completions: no eventfd is written by the
 *     back end, and vhost_blk_wait() spins
 * @read_only: refuse everything that would change the device
 * @deadline_ms: how long to wait for the answer to a control message; six times
 *     that where it may take long: for changes of memory, and to stop queues
 *     with requests in flight; 0: 5000
 * @pool_size: bytes of memory for vhost_blk_alloc(), reserved but not used
 *     until touched; as much again is added whenever it is exhausted, while
 *     the back end takes further regions; 0: 64 MiB
 * @huge_pages: take that memory from huge pages of the default size; the open
 *     fails if there are not enough
 * @config_changed: the device changed its configuration (resized, …), see
 *     vhost_blk_get_info(); called by vhost_blk_dispatch(); or NULL
 * @lost: the back end is gone, @reason in words; called by
 *     vhost_blk_dispatch(); or NULL
 * @opaque: for the callbacks
 * @spin_us: how long vhost_blk_wait() looks at the ring before it sleeps,
 *     microseconds, at most; less while that leads to nothing; 0: 5;
 *     VHOST_SPIN_NEVER: not at all
 * @reconnect_ms: how long to look for a back end that is gone, milliseconds;
 *     0: not at all; VHOST_RECONNECT_ALWAYS: until the device is closed.
 *     Meanwhile nothing fails: requests wait, and those that the old back end
 *     did not complete are given to the new one, which must serve the same
 *     disk; so some may be carried out twice.  It is looked for by
 *     vhost_blk_dispatch(), and, in the thread that opened the device or that
 *     called that last, by waiting and polling
 * @resumed: after @lost: it is back, and all goes on; called as @lost is, and
 *     by vhost_blk_wait() and _poll() in the thread above; or NULL
 */
struct vhost_blk_options {
    size_t size;
    unsigned queues;
    unsigned queue_size;
    unsigned layout;
    bool polling;
    bool read_only;
    unsigned deadline_ms;
    size_t pool_size;
    bool huge_pages;
    void (*config_changed)(struct vhost_blk *disk, void *opaque);
    void (*lost)(struct vhost_blk *disk, const char *reason, void *opaque);
    void *opaque;
    unsigned spin_us;
    unsigned reconnect_ms;
    void (*resumed)(struct vhost_blk *disk, void *opaque);
};

/**
 * struct vhost_blk_info - what the device is like
 * @capacity: bytes
 * @block_size: logical block size in bytes: the unit of offset and length
 * @read_only: it takes no writes
 * @flush: it has a volatile cache, which vhost_blk_flush() empties
 * @discard: vhost_blk_discard() works
 * @write_zeroes: vhost_blk_write_zeroes() works
 * @queues: in use
 * @max_queues: that the device has
 * @queue_size: entries of each queue
 * @max_segments: data buffers in one request to the device
 * @max_segment_size: bytes in each
 * @layout: of the rings, an enum vhost_layout but AUTO
 */
struct vhost_blk_info {
    uint64_t capacity;
    uint32_t block_size;
    bool read_only;
    bool flush;
    bool discard;
    bool write_zeroes;
    unsigned queues;
    unsigned max_queues;
    unsigned queue_size;
    uint32_t max_segments;
    uint32_t max_segment_size;
    uint32_t layout;
    uint64_t reserved[8];
};

/**
 * struct vhost_completion - a request that is done
 * @cookie: as given with the request
 * @result: 0, or a negative errno: -EIO (the device failed it), -ENOTSUP
 *     (it does not know the request), -EPROTO (the device broke the rules)
 */
struct vhost_completion {
    void *cookie;
    int result;
};

/** vhost_blk_open() - connect, negotiate, start
 * @uri: "user:PATH", the socket of a vhost-user back end
 * @options: copied; NULL for defaults
 * @errp: why it failed; the words begin with @uri
 *
 * Return: the device, or NULL.  Codes in @errp: -EINVAL for what is no URI,
 * impossible options, or more queues than the device has; -ENOTSUP for a kind
 * of back end that this build lacks, or a device older than virtio 1.0; -ENOSYS
 * if the back end does not tell the configuration of the device; -EPROTO if
 * that makes no sense; -ETIMEDOUT if the back end does not answer; or those of
 * vhost_dev_init() and vhost_memory_alloc().
 */
struct vhost_blk *vhost_blk_open(const char *uri,
                                 const struct vhost_blk_options *options,
                                 struct vhost_error **errp);

/** vhost_blk_close() - stop and forget a device
 * @disk: its queues must not be used any more; NULL is allowed
 *
 * Requests in flight get no completion, but the device is given time to finish
 * them: within six times options.deadline_ms, and without any in flight within
 * options.deadline_ms, a back end that hangs is given up and disconnected.
 * That one may still write to memory from vhost_blk_map() when it wakes up; any
 * other is done with all buffers, or gone, when this returns.
 */
void vhost_blk_close(struct vhost_blk *disk);

/** vhost_blk_get_info() - what the device is like
 * @disk: an open device
 * @info: filled in
 */
void vhost_blk_get_info(const struct vhost_blk *disk,
                        struct vhost_blk_info *info);

/** vhost_blk_get_queue() - one of the device's queues
 * @disk: an open device
 * @index: from 0 to options.queues - 1
 *
 * Return: the queue, which lives as long as @disk; NULL past the last.
 */
struct vhost_blk_queue *vhost_blk_get_queue(struct vhost_blk *disk,
                                            unsigned index);

/** vhost_blk_alloc() - memory that the back end sees
 * @disk: an open device
 * @size: bytes
 *
 * Return: zeroed or stale memory aligned to 4096 bytes; NULL if memory is
 * short, or the back end takes no further region.
 */
void *vhost_blk_alloc(struct vhost_blk *disk, size_t size);

/** vhost_blk_free() - give back what vhost_blk_alloc() gave
 * @disk: the same device
 * @buf: not part of a request in flight; NULL is allowed
 */
void vhost_blk_free(struct vhost_blk *disk, void *buf);

/** vhost_blk_map() - let the back end see memory of the caller
 * @disk: an open device
 * @addr: page aligned, mapped MAP_SHARED from @fd
 * @size: bytes, whole pages
 * @fd: the file, open for reading and writing; may be closed afterwards
 * @fd_offset: where in the file @addr begins
 * @errp: why it failed
 *
 * Return: 0; -EINVAL if @addr, @size or @fd_offset is not in whole pages of the
 * file, or the file is shorter; -EFAULT if nothing is mapped at @addr; -EEXIST
 * if the back end sees part of it already; -ENOSPC if it takes no further
 * region; the negative errno of mmap(2), such as -EACCES, if the file can't be
 * mapped for writing too; -ENOTCONN once the back end is gone; or another
 * negative errno: then the device is broken, since nobody knows what the back
 * end maps.
 */
int vhost_blk_map(struct vhost_blk *disk, void *addr, size_t size, int fd,
                  uint64_t fd_offset, struct vhost_error **errp);

/** vhost_blk_unmap() - undo vhost_blk_map()
 * @disk: the same device
 * @addr: as mapped; no request in flight uses it
 * @errp: why it failed
 *
 * Return: 0, -ENOENT if @addr was not mapped, or another negative errno.
 */
int vhost_blk_unmap(struct vhost_blk *disk, void *addr,
                    struct vhost_error **errp);

/** vhost_blk_read() - prepare a read
 * @q: queue
 * @offset: on the device, in bytes
 * @buf: where the data goes
 * @len: bytes, not 0
 * @cookie: comes back in the completion
 *
 * Return: 0; -EAGAIN if the queue is full (reap, then try again); -EINVAL if
 * offset or length is no multiple of the block size; -ERANGE past the end of
 * the device; -EFAULT if the back end does not see the buffer; -E2BIG if the
 * request could not fit an empty queue, or one block of it lies in more pieces
 * than info.max_segments; -EROFS for what would change a
 * read-only device; -ENOTSUP if the device lacks the request; -EPROTO or
 * -ENOTCONN once the queue is broken.
 */
int vhost_blk_read(struct vhost_blk_queue *q, uint64_t offset, void *buf,
                   size_t len, void *cookie);

/** vhost_blk_write() - prepare a write
 * @q: queue
 * @offset: on the device, in bytes
 * @buf: where the data comes from; unchanged until it completes
 * @len: bytes, not 0
 * @cookie: comes back in the completion
 *
 * Return: as vhost_blk_read().
 */
int vhost_blk_write(struct vhost_blk_queue *q, uint64_t offset, const void *buf,
                    size_t len, void *cookie);

/** vhost_blk_readv() - prepare a read into several buffers
 * @q: queue
 * @offset: on the device, in bytes
 * @iov: copied; the buffers are not
 * @iovcnt: how many
 * @cookie: comes back in the completion
 *
 * Return: as vhost_blk_read().
 */
int vhost_blk_readv(struct vhost_blk_queue *q, uint64_t offset,
                    const struct iovec *iov, unsigned iovcnt, void *cookie);

/** vhost_blk_writev() - prepare a write from several buffers
 * @q: queue
 * @offset: on the device, in bytes
 * @iov: copied; the buffers are not
 * @iovcnt: how many
 * @cookie: comes back in the completion
 *
 * Return: as vhost_blk_read().
 */
int vhost_blk_writev(struct vhost_blk_queue *q, uint64_t offset,
                     const struct iovec *iov, unsigned iovcnt, void *cookie);

/** vhost_blk_flush() - prepare a flush of the device's cache
 * @q: queue
 * @cookie: comes back in the completion
 *
 * What was completed before it is submitted is durable when it completes.  On
 * a device without a volatile cache it completes without being sent.
 *
 * Return: 0, or -EAGAIN, -EPROTO or -ENOTCONN as vhost_blk_read().
 */
int vhost_blk_flush(struct vhost_blk_queue *q, void *cookie);

/** vhost_blk_discard() - prepare to tell the device that a range is unused
 * @q: queue
 * @offset: on the device, in bytes
 * @len: bytes, not 0
 * @cookie: comes back in the completion
 *
 * Return: as vhost_blk_read(); -ENOTSUP if the device can't.
 */
int vhost_blk_discard(struct vhost_blk_queue *q, uint64_t offset, uint64_t len,
                      void *cookie);

/** vhost_blk_write_zeroes() - prepare to make a range read as zeroes
 * @q: queue
 * @offset: on the device, in bytes
 * @len: bytes, not 0
 * @unmap: the device may free the space
 * @cookie: comes back in the completion
 *
 * Return: as vhost_blk_read(); -ENOTSUP if the device can't.
 */
int vhost_blk_write_zeroes(struct vhost_blk_queue *q, uint64_t offset,
                           uint64_t len, bool unmap, void *cookie);

/** vhost_blk_get_id() - prepare to read the device's serial number
 * @q: queue
 * @id: 20 bytes that the back end sees; no final NUL if it is that long
 * @cookie: comes back in the completion
 *
 * Return: 0, or -EAGAIN, -EFAULT, -EPROTO or -ENOTCONN as vhost_blk_read().
 */
int vhost_blk_get_id(struct vhost_blk_queue *q, char *id, void *cookie);

/** vhost_blk_submit() - give everything prepared to the device
 * @q: queue
 *
 * Without a doorbell, if the device does not ask for one.
 *
 * Return: 0, or a negative errno once the queue is broken.
 */
int vhost_blk_submit(struct vhost_blk_queue *q);

/** vhost_blk_poll() - take completions, without waiting
 * @q: queue
 * @done: filled in
 * @max: room in @done
 *
 * What was done before the back end went is reported first.
 *
 * Return: how many, 0 if none; -EPROTO if the device broke the rules of the
 * ring, or says that we did, -ENOTCONN if it is gone; see
 * vhost_blk_queue_error().
 */
int vhost_blk_poll(struct vhost_blk_queue *q, struct vhost_completion *done,
                   unsigned max);

/** vhost_blk_wait() - take completions, waiting for them
 * @q: queue
 * @done: filled in
 * @max: room in @done
 * @min: return once there are so many; at most @max and the number submitted
 * @timeout_ms: give up after so long; -1: never
 *
 * A back end that dies ends the wait at once; one that hangs, only the
 * timeout.
 *
 * A signal of the back end that is lost delays a completion, never more than
 * a tenth of a second: the ring itself is looked at that often.
 *
 * Return: how many, which is less than @min only after the timeout; or as
 * vhost_blk_poll() if there are none and the queue is broken.
 */
int vhost_blk_wait(struct vhost_blk_queue *q, struct vhost_completion *done,
                   unsigned max, unsigned min, int timeout_ms);

/** vhost_blk_queue_fd() - readable when there may be completions
 * @q: queue
 *
 * Drained by vhost_blk_poll() and vhost_blk_wait(), and readable again after
 * them if they left something.  From the first call of this function on, each
 * of them asks the device for the next signal; a program that does not poll
 * the fd itself should not ask for it.  An event loop should also call
 * vhost_blk_poll() a few times a second, against lost signals.
 *
 * Return: the fd, lent; -1 on a polling device.
 */
int vhost_blk_queue_fd(struct vhost_blk_queue *q);

/** vhost_blk_queue_error() - why a queue is broken
 * @q: queue
 *
 * Return: words that live as long as the queue, or NULL if it is not.
 */
const char *vhost_blk_queue_error(const struct vhost_blk_queue *q);

/** vhost_blk_get_fd() - readable when vhost_blk_dispatch() has work
 * @disk: an open device
 *
 * Return: the fd, lent.
 */
int vhost_blk_get_fd(const struct vhost_blk *disk);

/** vhost_blk_dispatch() - serve the control channel, without waiting
 * @disk: an open device
 * @errp: why it is of no more use
 *
 * Calls lost of the options.
 *
 * Return: 0, or a negative errno once the back end is gone or broken.
 */
int vhost_blk_dispatch(struct vhost_blk *disk, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
