/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three kinds of streams, each by a table like that of an owner; what all have
 * in common (whole amounts, deadlines, the limit, the first failure that
 * stays) is here once.
 *
 * A stream in memory is one block: [0, at) has been read, [at, end) has not.
 * It is moved to the front only when it would have to grow, so that a long
 * stream that is read as it is written is copied seldom.
 */
#include "util/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/error.h"
#include "util/io.h"

#define DEADLINE_MS 30000
#define ROOM_MIN 4096

struct vhost_stream {
    const struct vhost_stream_ops *ops;
    void *opaque; /* for ops */
    int fd;
    char *block; /* of a stream in memory */
    size_t room;
    size_t at;
    size_t end;
    unsigned deadline_ms;
    uint64_t limit;
    uint64_t n_written;
    int fault;
};

static ssize_t memory_read(void *opaque, void *data, size_t len, int timeout_ms)
{
    struct vhost_stream *stream = opaque;
    size_t have = stream->end - stream->at;

    (void)timeout_ms;
    len = len < have ? len : have;
    if (len > 0) {
        memcpy(data, stream->block + stream->at, len);
        stream->at += len;
    }
    return (ssize_t)len;
}

static int make_room(struct vhost_stream *stream, size_t len)
{
    size_t have = stream->end - stream->at;
    size_t need;
    size_t room;
    char *block;

    if (len <= stream->room - stream->end) {
        return 0;
    }
    if (__builtin_add_overflow(have, len, &need) || need > SIZE_MAX / 4) {
        return -ENOMEM;
    }
    if (stream->at > 0) {
        memmove(stream->block, stream->block + stream->at, have);
        stream->at = 0;
        stream->end = have;
    }
    if (need <= stream->room / 2) {
        return 0; /* else the next few bytes would move it again */
    }
    room = 2 * need < ROOM_MIN ? ROOM_MIN : 2 * need;
    block = realloc(stream->block, room);
    if (!block) {
        return -ENOMEM;
    }
    stream->block = block;
    stream->room = room;
    return 0;
}

static ssize_t memory_write(void *opaque, const void *data, size_t len,
                            int timeout_ms)
{
    struct vhost_stream *stream = opaque;
    int r = make_room(stream, len);

    (void)timeout_ms;
    if (r < 0) {
        return r;
    }
    memcpy(stream->block + stream->end, data, len);
    stream->end += len;
    return (ssize_t)len;
}

static const struct vhost_stream_ops memory_ops = {
    .read = memory_read,
    .write = memory_write,
};

static ssize_t fd_read(void *opaque, void *data, size_t len, int timeout_ms)
{
    const struct vhost_stream *stream = opaque;

    return vh_io_read(stream->fd, data, len, vh_deadline_in(timeout_ms));
}

static ssize_t fd_write(void *opaque, const void *data, size_t len,
                        int timeout_ms)
{
    const struct vhost_stream *stream = opaque;

    return vh_io_write(stream->fd, data, len, vh_deadline_in(timeout_ms));
}

static const struct vhost_stream_ops fd_ops = {
    .read = fd_read,
    .write = fd_write,
};

struct vhost_stream *vhost_stream_new(const struct vhost_stream_ops *ops,
                                      void *opaque)
{
    struct vhost_stream *stream = calloc(1, sizeof(*stream));

    if (stream) {
        stream->ops = ops;
        stream->opaque = opaque;
        stream->fd = -1;
        stream->deadline_ms = DEADLINE_MS;
        stream->limit = UINT64_MAX;
    }
    return stream;
}

struct vhost_stream *vhost_stream_new_memory(const void *data, size_t len)
{
    struct vhost_stream *stream = vhost_stream_new(&memory_ops, NULL);

    if (!stream) {
        return NULL;
    }
    stream->opaque = stream;
    if (len > 0 && memory_write(stream, data, len, 0) < 0) {
        vhost_stream_free(stream);
        return NULL;
    }
    return stream;
}

struct vhost_stream *vhost_stream_new_fd(int fd)
{
    struct vhost_stream *stream = vhost_stream_new(&fd_ops, NULL);

    if (stream) {
        stream->opaque = stream;
        stream->fd = fd;
    }
    return stream;
}

void vhost_stream_free(struct vhost_stream *stream)
{
    if (stream) {
        free(stream->block);
        free(stream);
    }
}

void vhost_stream_set_deadline(struct vhost_stream *stream, unsigned ms)
{
    stream->deadline_ms = ms ? ms : DEADLINE_MS;
}

unsigned vh_stream_deadline_ms(const struct vhost_stream *stream)
{
    return stream->deadline_ms;
}

int vh_stream_get_fd(const struct vhost_stream *stream)
{
    return stream->fd;
}

void vhost_stream_set_limit(struct vhost_stream *stream, uint64_t bytes)
{
    stream->limit = bytes;
}

const void *vhost_stream_get_data(const struct vhost_stream *stream,
                                  size_t *len)
{
    *len = stream->end - stream->at;
    return *len ? stream->block + stream->at : NULL;
}

static int fail(struct vhost_stream *stream, struct vhost_error **errp,
                int code, const char *operation, size_t done, size_t len)
{
    const char *words = strerrordesc_np(-code);

    stream->fault = code;
    switch (code) {
    case -ENODATA:
        return vh_error(errp, code, operation, VH_NO_QUEUE,
                        "the stream ends after %zu bytes of %zu", done, len);
    case -ETIMEDOUT:
        return vh_error(errp, code, operation, VH_NO_QUEUE,
                        "the stream has moved %zu bytes of %zu within %g s",
                        done, len, stream->deadline_ms / 1000.0);
    case -EPIPE:
        return vh_error(errp, code, operation, VH_NO_QUEUE,
                        "nobody reads the stream any more");
    default:
        return vh_error(errp, code, operation, VH_NO_QUEUE, "the stream: %s",
                        words ? words : "failed");
    }
}

static int check(struct vhost_stream *stream, bool able, const char *operation,
                 struct vhost_error **errp)
{
    if (stream->fault != 0) {
        return vh_error(errp, stream->fault, operation, VH_NO_QUEUE,
                        "the stream has failed before");
    }
    if (!able) {
        return vh_error(errp, -EBADF, operation, VH_NO_QUEUE,
                        "the stream is not made for it");
    }
    return 0;
}

/* What an owner's function gave: a length beyond what was asked for is a bug
 * of its own that must not become one of ours. */
static int moved(ssize_t n, size_t want)
{
    if (n < 0) {
        return n == -EAGAIN ? -ETIMEDOUT : (int)n;
    }
    return (size_t)n <= want ? 0 : -EINVAL;
}

int vhost_stream_read(struct vhost_stream *stream, void *data, size_t len,
                      struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(stream->deadline_ms);
    size_t done = 0;
    int r = check(stream, stream->ops->read, "read", errp);

    if (r < 0) {
        return r;
    }
    while (done < len) {
        ssize_t n =
            stream->ops->read(stream->opaque, (char *)data + done, len - done,
                              vh_deadline_left_ms(deadline));

        if (n == -EINTR && !vh_deadline_passed(deadline)) {
            continue;
        }
        r = n == 0 ? -ENODATA : moved(n, len - done);
        if (r < 0) {
            return fail(stream, errp, r, "read", done, len);
        }
        done += (size_t)n;
    }
    return 0;
}

static int check_write(struct vhost_stream *stream, size_t len,
                       struct vhost_error **errp)
{
    int r = check(stream, stream->ops->write, "write", errp);

    if (r < 0) {
        return r;
    }
    if (stream->n_written > stream->limit ||
        len > stream->limit - stream->n_written) {
        stream->fault = -EFBIG;
        return vh_error(errp, -EFBIG, "write", VH_NO_QUEUE,
                        "more than the %llu bytes that the stream may hold",
                        (unsigned long long)stream->limit);
    }
    return 0;
}

/* What a function gave that was not to wait: how many, 0, or a failure. */
static ssize_t tried(struct vhost_stream *stream, ssize_t n, size_t done,
                     size_t len, struct vhost_error **errp)
{
    int r = moved(n, len - done);

    if (r == -ETIMEDOUT || r == -EINTR) {
        return 0;
    }
    return r < 0 ? fail(stream, errp, r, "device state", done, len) : n;
}

ssize_t vh_stream_try_read(struct vhost_stream *stream, void *data, size_t done,
                           size_t len, struct vhost_error **errp)
{
    ssize_t n = check(stream, stream->ops->read, "read", errp);

    if (n < 0) {
        return n;
    }
    n = stream->ops->read(stream->opaque, (char *)data + done, len - done, 0);
    return tried(stream, n == 0 ? -ENODATA : n, done, len, errp);
}

ssize_t vh_stream_try_write(struct vhost_stream *stream, const void *data,
                            size_t done, size_t len, struct vhost_error **errp)
{
    ssize_t n = check_write(stream, len - done, errp);

    if (n < 0) {
        return n;
    }
    n = stream->ops->write(stream->opaque, (const char *)data + done,
                           len - done, 0);
    n = tried(stream, n == 0 ? -EIO : n, done, len, errp);
    stream->n_written += n > 0 ? (size_t)n : 0;
    return n;
}

int vhost_stream_write(struct vhost_stream *stream, const void *data,
                       size_t len, struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(stream->deadline_ms);
    size_t done = 0;
    int r = check_write(stream, len, errp);

    if (r < 0) {
        return r;
    }
    while (done < len) {
        ssize_t n =
            stream->ops->write(stream->opaque, (const char *)data + done,
                               len - done, vh_deadline_left_ms(deadline));

        if (n == -EINTR && !vh_deadline_passed(deadline)) {
            continue;
        }
        r = n == 0 ? -EIO : moved(n, len - done);
        if (r < 0) {
            return fail(stream, errp, r, "write", done, len);
        }
        done += (size_t)n;
        stream->n_written += (size_t)n;
    }
    return 0;
}
