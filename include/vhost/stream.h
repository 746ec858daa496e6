/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream of bytes that holds saved state: in memory, behind an fd (a file,
 * a pipe, a socket), or wherever the owner's functions put it.
 *
 *     struct vhost_stream *stream = vhost_stream_new_fd(fd);
 *     vhost_save_backend_state(&dev, stream, &err);
 *     vhost_stream_free(stream);
 *
 * Reads and writes are whole: a stream that gives or takes less has failed.
 * A stream that has failed stays so, since nobody knows where it stands.
 * Nothing raises SIGPIPE.
 *
 * Threads: a stream belongs to one at a time.
 */
#ifndef VHOST_STREAM_H
#define VHOST_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_stream;

/** struct vhost_stream_ops - a stream of the owner's own */
struct vhost_stream_ops {
    /**
     * @read: up to @len bytes, not 0; NULL: nothing can be read
     * Waits for the first one up to @timeout_ms.  Return how many came, 0 at
     * the end, or a negative errno: -ETIMEDOUT if none came in time.
     */
    ssize_t (*read)(void *opaque, void *data, size_t len, int timeout_ms);
    /**
     * @write: up to @len bytes, not 0; NULL: nothing can be written
     * Waits for room up to @timeout_ms.  Return how many were taken, or a
     * negative errno: -ETIMEDOUT if none were in time.
     */
    ssize_t (*write)(void *opaque, const void *data, size_t len,
                     int timeout_ms);

    void (*reserved[4])(void);
};

/** vhost_stream_new_memory() - a stream in memory, which grows as it is written
 * @data: what can be read from it at first: @len bytes, copied; NULL if @len
 *     is 0
 * @len: how many
 *
 * What is written is appended, what is read is taken from the front.
 *
 * Return: the stream, or NULL if memory is short.
 */
struct vhost_stream *vhost_stream_new_memory(const void *data, size_t len);

/** vhost_stream_new_fd() - a stream over a file, a pipe or a socket
 * @fd: lent until vhost_stream_free(); whether it blocks makes no difference
 *
 * Return: the stream, or NULL if memory is short.
 */
struct vhost_stream *vhost_stream_new_fd(int fd);

/** vhost_stream_new() - a stream by functions of the owner's
 * @ops: lent until vhost_stream_free()
 * @opaque: for @ops
 *
 * Return: the stream, or NULL if memory is short.
 */
struct vhost_stream *vhost_stream_new(const struct vhost_stream_ops *ops,
                                      void *opaque);

/** vhost_stream_free() - forget a stream
 * @stream: NULL is allowed
 */
void vhost_stream_free(struct vhost_stream *stream);

/** vhost_stream_set_deadline() - how long one read or write may take
 * @stream: a stream
 * @ms: milliseconds for a whole vhost_stream_read() or vhost_stream_write();
 *     0: 30000, as it is at first
 */
void vhost_stream_set_deadline(struct vhost_stream *stream, unsigned ms);

/** vhost_stream_set_limit() - how much may be written
 * @stream: a stream
 * @bytes: in all; UINT64_MAX, as it is at first: without limit
 *
 * What a back end says of its state may be any amount.
 */
void vhost_stream_set_limit(struct vhost_stream *stream, uint64_t bytes);

/** vhost_stream_get_data() - what a stream in memory holds
 * @stream: a stream
 * @len: set: how many bytes are left to be read
 *
 * Return: the bytes, lent until the stream is used again; NULL, and a length
 * of 0, if there are none, or the stream is not in memory.
 */
const void *vhost_stream_get_data(const struct vhost_stream *stream,
                                  size_t *len);

/** vhost_stream_read() - read exactly so many bytes
 * @stream: a stream
 * @data: filled in
 * @len: how many
 * @errp: why it failed
 *
 * Return: 0; -ENODATA if the stream ends before; -ETIMEDOUT; or another
 * negative errno.
 */
int vhost_stream_read(struct vhost_stream *stream, void *data, size_t len,
                      struct vhost_error **errp);

/** vhost_stream_write() - write all of so many bytes
 * @stream: a stream
 * @data: @len bytes
 * @len: how many
 * @errp: why it failed
 *
 * Return: 0; -EPIPE if nobody reads any more; -EFBIG beyond the limit;
 * -ETIMEDOUT; or another negative errno.
 */
int vhost_stream_write(struct vhost_stream *stream, const void *data,
                       size_t len, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
