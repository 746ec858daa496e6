/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers in a stream: big-endian, as saved state has them. */
#ifndef VH_UTIL_STREAM_H
#define VH_UTIL_STREAM_H

#include <endian.h>

#include <vhost/stream.h>

/** vh_stream_deadline_ms() - see vhost_stream_set_deadline() */
unsigned vh_stream_deadline_ms(const struct vhost_stream *stream);

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
