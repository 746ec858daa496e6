/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-flight tracking, as the front end has part in it: it keeps the buffer.
 *
 * What lies in the buffer is the back end's matter, and its file may be made
 * shorter at any time: so it is read by pread(2), which gives less then, and
 * never through the mapping, which gives SIGBUS.
 *
 * Where a packed ring stands is written nowhere else once its back end is
 * dead; so after a loss it is taken from the buffer, whose layout the
 * specification gives (vhost-user, "Inflight I/O tracking", QueueRegionPacked).
 */
#include "core/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/ops.h"
#include "util/fd.h"
#include "util/shm.h"
#include "util/stream.h"

#define SIZE_LIMIT (UINT64_C(1) << 30)
#define CHUNK 65536

/* Of QueueRegionPacked. */
#define PACKED_VERSION 8
#define PACKED_DESC_NUM 10
#define PACKED_OLD_USED_IDX 18
#define PACKED_OLD_WRAP 21
#define PACKED_HEADER 32

int vhost_dev_prepare_inflight(struct vhost_dev *hdev, struct vhost_vdev *vdev)
{
    uint64_t features[VHOST_FEATURES_WORDS];
    int r;

    (void)vdev;
    vh_core_enter(hdev);
    r = vh_core_silent(hdev, "prepare in-flight");
    if (r < 0 || !vh_be_has_inflight(hdev)) {
        return r;
    }
    vh_core_features(hdev, features);
    return vh_core_fault(hdev, vh_be_set_features(hdev, features));
}

int vhost_dev_get_inflight(struct vhost_dev *dev, uint16_t queue_size,
                           struct vhost_inflight *inflight)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "GET_INFLIGHT_FD");
    return r < 0 ? r
                 : vh_core_fault(
                       dev, vh_be_get_inflight_fd(dev, queue_size, inflight));
}

int vhost_dev_set_inflight(struct vhost_dev *dev,
                           struct vhost_inflight *inflight)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "SET_INFLIGHT_FD");
    if (r < 0) {
        return r;
    }
    dev->priv->inflight = inflight->addr ? inflight : NULL;
    return inflight->addr ? vh_core_fault(dev, vh_core_inflight_up(dev)) : 0;
}

int vh_core_inflight_up(struct vhost_dev *dev)
{
    struct vhost_inflight *inflight = dev->priv->inflight;

    return inflight ? vh_be_set_inflight_fd(dev, inflight) : 0;
}

void vhost_dev_free_inflight(struct vhost_inflight *inflight)
{
    if (inflight->addr) {
        munmap(inflight->addr, inflight->size);
    }
    vh_fd_close(&inflight->fd);
    *inflight = (struct vhost_inflight)VHOST_INFLIGHT_INIT;
}

void vhost_dev_reset_inflight(struct vhost_inflight *inflight)
{
    vhost_dev_free_inflight(inflight);
}

/* Return: 0, or -EPROTO if there is not as much. */
static int read_buffer(const struct vhost_inflight *inflight, uint64_t at,
                       void *data, size_t len)
{
    ssize_t n;

    do {
        n = pread(inflight->fd, data, len, (off_t)(inflight->offset + at));
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (size_t)n == len ? 0 : -EPROTO;
}

static int save_bytes(const struct vhost_inflight *inflight,
                      struct vhost_stream *stream)
{
    uint8_t *chunk = malloc(CHUNK);
    int r = chunk ? 0 : -ENOMEM;

    for (uint64_t at = 0; r == 0 && at < inflight->size;) {
        uint64_t left = inflight->size - at;
        size_t len = left < CHUNK ? (size_t)left : CHUNK;

        r = read_buffer(inflight, at, chunk, len);
        if (r == 0) {
            r = vhost_stream_write(stream, chunk, len, NULL);
        }
        at += len;
    }
    free(chunk);
    return r;
}

int vhost_dev_save_inflight(struct vhost_inflight *inflight,
                            struct vhost_stream *stream)
{
    int r;

    if (!inflight->addr) {
        return vh_stream_put_be64(stream, 0, NULL);
    }
    r = vh_stream_put_be64(stream, inflight->size, NULL);
    if (r == 0) {
        r = vh_stream_put_be16(stream, inflight->queue_size, NULL);
    }
    return r < 0 ? r : save_bytes(inflight, stream);
}

/* A buffer of our own, as a back end would have made it. */
static int load_bytes(struct vhost_inflight *inflight, uint64_t size,
                      uint16_t queue_size, struct vhost_stream *stream)
{
    struct vh_shm shm;
    int r = vh_shm_new_sealed_if_possible(&shm, "vhost-inflight", (size_t)size);

    if (r < 0) {
        return r;
    }
    r = vhost_stream_read(stream, shm.addr, (size_t)size, NULL);
    if (r < 0) {
        vh_shm_free(&shm);
        return r;
    }
    vhost_dev_free_inflight(inflight);
    *inflight = (struct vhost_inflight){
        .fd = shm.fd, .addr = shm.addr, .size = size, .queue_size = queue_size
    };
    return 0;
}

int vhost_dev_load_inflight(struct vhost_inflight *inflight,
                            struct vhost_stream *stream)
{
    uint16_t queue_size = 0;
    uint64_t size = 0;
    int r = vh_stream_get_be64(stream, &size, NULL);

    if (r == 0 && size == 0) {
        vhost_dev_free_inflight(inflight);
        return 0;
    }
    if (r == 0 && size > SIZE_LIMIT) {
        return -EPROTO;
    }
    if (r == 0) {
        r = vh_stream_get_be16(stream, &queue_size, NULL);
    }
    if (r == 0 && queue_size == 0) {
        return -EPROTO;
    }
    return r < 0 ? r : load_bytes(inflight, size, queue_size, stream);
}

static uint16_t le16_at(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

bool vh_core_inflight_base(struct vhost_dev *dev, unsigned i, uint32_t *base)
{
    const struct vhost_inflight *inflight = dev->priv->inflight;
    uint8_t header[PACKED_HEADER];
    uint32_t place;

    if (!inflight ||
        read_buffer(inflight, inflight->size / dev->nvqs * i, header,
                    sizeof(header)) < 0 ||
        le16_at(header + PACKED_VERSION) != 1 ||
        le16_at(header + PACKED_DESC_NUM) != inflight->queue_size) {
        return false;
    }
    place = le16_at(header + PACKED_OLD_USED_IDX);
    if (place >= inflight->queue_size) {
        return false;
    }
    place |= (header[PACKED_OLD_WRAP] ? UINT32_C(1) : 0) << 15;
    *base = place | place << 16;
    return true;
}
