/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An end of a copy: a file or a block device, with one face.
 *
 * Reads and writes of a device are posted and come back from end_reap(); those
 * of a file are done when the call returns.  A call says which: 1 done, 0
 * posted, -EAGAIN if the device's queue is full, or another negative errno.
 * Functions that return bool or a pointer have said on standard error why
 * they failed.
 *
 * Threads: one for both ends.
 */
#ifndef CLI_COPY_END_H
#define CLI_COPY_END_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/blk.h>

#include "cli.h"

#define END_QUEUES_MAX 64u

/**
 * struct end - one end of a copy
 * @name: as given by the user
 * @size: bytes
 * @block: offsets and lengths are multiples of it; 1 for a file
 * @max_request: the largest read or write; UINT64_MAX for a file
 * @in_flight: requests posted and not yet reaped
 * @disk: the device, or NULL for a file
 * @queues: how many it uses; a request goes to lane % queues
 * @hangs: it left requests unanswered
 * @can_zero: the device knows write zeroes
 * @zero_max: the largest range that it took in one request
 * @fd: the file, or -1
 * @is_regular: not a block device of the host
 * @is_created: by us, to be removed if the copy fails
 * @is_empty: just truncated: what is not written reads as zeroes
 * @extent_begin, @extent_end, @extent_is_hole: what of a file was looked at
 *     last
 */
struct end {
    const char *name;
    uint64_t size;
    uint32_t block;
    uint64_t max_request;
    unsigned in_flight;
    struct vhost_blk *disk;
    unsigned queues;
    bool hangs;
    bool can_zero;
    uint64_t zero_max;
    int fd;
    bool is_regular;
    bool is_created;
    bool is_empty;
    uint64_t extent_begin;
    uint64_t extent_end;
    bool extent_is_hole;
};

/** struct end_io - one request: which queue, where, and what comes back */
struct end_io {
    unsigned lane;
    uint64_t offset;
    void *cookie;
};

/** end_is_same() - do two names mean one file, or one device? */
bool end_is_same(const char *a, const char *b);

/** end_open() - open a file or a device; a file as target is created
 * @e: filled in
 * @name: lent until end_close()
 * @client: deadlines
 * @queues: for a device
 * @is_target: will be written
 */
bool end_open(struct end *e, const char *name, const struct client *client,
              unsigned queues, bool is_target);

/** end_prepare() - make a target ready for @size bytes
 *
 * A file is emptied and gets its size; a device stays as it is.
 */
bool end_prepare(struct end *e, uint64_t size);

/** end_close() - close it
 * @failed: the copy failed: a file that we created is removed
 */
bool end_close(struct end *e, bool failed);

int end_read(struct end *e, const struct end_io *io, void *buf, size_t len);
int end_write(struct end *e, const struct end_io *io, const void *buf,
              size_t len);

/** end_zero() - make a range read as zeroes, or the beginning of it
 * @zeroes: @zeroes_len zero bytes that a device sees
 * @lenp: in: how much is wanted; out: how much this request is for
 */
int end_zero(struct end *e, const struct end_io *io, const void *zeroes,
             size_t zeroes_len, uint64_t *lenp);

/** end_flush() - make durable what was written; posted as the others */
int end_flush(struct end *e, const struct end_io *io);

/** end_segment() - how far data, or a hole, goes on
 * @pos: below e->size
 * @align: segments begin and end at multiples of it; a power of two
 * @is_holep: true if it reads as zeroes and need not be read
 *
 * Return: its end, at most e->size.
 */
uint64_t end_segment(struct end *e, uint64_t pos, uint64_t align,
                     bool *is_holep);

/** end_reap() - take completions, without waiting
 *
 * Return: how many, or a negative errno after a message.
 */
int end_reap(struct end *e, struct vhost_completion *done, unsigned max);

/** end_add_fds() - what to poll for completions and for loss
 * @fds: room for END_QUEUES_MAX + 1
 *
 * Return: how many.
 */
unsigned end_add_fds(const struct end *e, struct pollfd *fds);

/** end_check() - serve the control channel of a device
 *
 * Return: false after a message: it is gone.
 */
bool end_check(struct end *e);

/** copy_is_zero() - is this all zeroes? */
bool copy_is_zero(const void *buf, size_t len);

#endif
