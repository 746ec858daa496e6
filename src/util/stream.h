/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers in a stream: big-endian, as saved state has them. */
#ifndef VH_UTIL_STREAM_H
#define VH_UTIL_STREAM_H

#include <endian.h>

#include <vhost/stream.h>

/** vh_stream_deadline_ms() - see vhost_stream_set_deadline() */
unsigned vh_stream_deadline_ms(const struct vhost_stream *stream);

/** vh_stream_get_fd() - what is behind it; -1: no fd */
int vh_stream_get_fd(const struct vhost_stream *stream);

/**
 * vh_stream_try_read(), vh_stream_try_write() - without waiting
 * @done, @len: so many of so many bytes have gone before, and are in @data
 *
 * Return: how many; 0: none just now; or a negative errno as
 * vhost_stream_read() and vhost_stream_write(), of which the stream has failed.
 */
ssize_t vh_stream_try_read(struct vhost_stream *stream, void *data, size_t done,
                           size_t len, struct vhost_error **errp);
ssize_t vh_stream_try_write(struct vhost_stream *stream, const void *data,
                            size_t done, size_t len, struct vhost_error **errp);

/* Each returns 0 or the failure of the stream; a get leaves *value untouched
 * then. */

static inline int vh_stream_put_be16(struct vhost_stream *stream,
                                     uint16_t value, struct vhost_error **errp)
{
    value = htobe16(value);
    return vhost_stream_write(stream, &value, sizeof(value), errp);
}

static inline int vh_stream_put_be32(struct vhost_stream *stream,
                                     uint32_t value, struct vhost_error **errp)
{
    value = htobe32(value);
    return vhost_stream_write(stream, &value, sizeof(value), errp);
}

static inline int vh_stream_put_be64(struct vhost_stream *stream,
                                     uint64_t value, struct vhost_error **errp)
{
    value = htobe64(value);
    return vhost_stream_write(stream, &value, sizeof(value), errp);
}

static inline int vh_stream_get_be16(struct vhost_stream *stream,
                                     uint16_t *value, struct vhost_error **errp)
{
    uint16_t raw;
    int r = vhost_stream_read(stream, &raw, sizeof(raw), errp);

    if (r == 0) {
        *value = be16toh(raw);
    }
    return r;
}

static inline int vh_stream_get_be32(struct vhost_stream *stream,
                                     uint32_t *value, struct vhost_error **errp)
{
    uint32_t raw;
    int r = vhost_stream_read(stream, &raw, sizeof(raw), errp);

    if (r == 0) {
        *value = be32toh(raw);
    }
    return r;
}

static inline int vh_stream_get_be64(struct vhost_stream *stream,
                                     uint64_t *value, struct vhost_error **errp)
{
    uint64_t raw;
    int r = vhost_stream_read(stream, &raw, sizeof(raw), errp);

    if (r == 0) {
        *value = be64toh(raw);
    }
    return r;
}

#endif
