/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saved state that somebody may have written: the in-flight buffer and its
 * form on a stream, in whatever pieces a stream gives it.
 */
#include <errno.h>

#include <vhost/inflight.h>
#include <vhost/stream.h>

#include "fuzz/bytes.h"
#include "util/stream.h"

struct pieces {
    struct bytes bytes;
    uint8_t most;  /* at a time, and */
    uint8_t fails; /* at the how manyth read */
    unsigned n;
};

static ssize_t give(void *opaque, void *data, size_t len, int timeout_ms)
{
    struct pieces *p = opaque;
    size_t n = (size_t)p->most + 1;

    (void)timeout_ms;
    if (p->fails && ++p->n == p->fails) {
        return -EIO;
    }
    n = n < len ? n : len;
    n = n < p->bytes.left ? n : p->bytes.left;
    take(&p->bytes, data, n);
    return (ssize_t)n;
}

static const struct vhost_stream_ops ops = { .read = give };

/* What was loaded is saved as it was. */
static void save_again(struct vhost_inflight *inflight, const uint8_t *from,
                       size_t from_len)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);
    const void *data;
    size_t len;

    CLAIM(stream);
    CLAIM(vhost_dev_save_inflight(inflight, stream) == 0);
    data = vhost_stream_get_data(stream, &len);
    CLAIM(len <= from_len && memcmp(data, from, len) == 0);
    vhost_stream_free(stream);
}

static void load(struct vhost_stream *stream, const uint8_t *data, size_t len)
{
    struct vhost_inflight inflight = VHOST_INFLIGHT_INIT;

    if (vhost_dev_load_inflight(&inflight, stream) == 0) {
        save_again(&inflight, data, len);
    } else {
        CLAIM(!inflight.addr && inflight.fd == -1);
    }
    vhost_dev_free_inflight(&inflight);
}

static void numbers(struct vhost_stream *stream)
{
    struct vhost_error *error = NULL;
    uint64_t a;
    uint16_t b;
    int r;

    do {
        r = vh_stream_get_be64(stream, &a, &error);
        r = r < 0 ? r : vh_stream_get_be16(stream, &b, &error);
        CLAIM((r < 0) == (error != NULL));
    } while (r == 0);
    vhost_error_free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pieces p = { .bytes = { data, size } };
    uint8_t how = take_u8(&p.bytes);
    struct vhost_stream *stream;
    const uint8_t *from;
    size_t len;

    p.most = take_u8(&p.bytes);
    p.fails = how & 1 ? how >> 4 : 0;
    from = p.bytes.at;
    len = p.bytes.left;
    stream = how & 2 ? vhost_stream_new_memory(from, len)
                     : vhost_stream_new(&ops, &p);
    CLAIM(stream);
    if (how & 4) {
        numbers(stream);
    } else {
        load(stream, from, len);
    }
    vhost_stream_free(stream);
    return 0;
}
