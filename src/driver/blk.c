/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening and closing a block device (virtio 1.3, 5.2 "Block Device"), and
 * what the control thread does with it.
 *
 * The device's limits are read once, between the negotiation and the start:
 * the queues are shaped after them.  Of a configuration that changes later,
 * only the capacity is taken up.
 */
#include "driver/again.h"
#include "driver/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_blk.h>

#include "driver/layout.h"
#include "driver/options.h"
#include "ring/layout.h"
#include "util/error.h"

#define DEVICE_ID 2 /* virtio 1.3, 5.2.1 */
#define DEFAULT_QUEUE_SIZE 256
#define DEFAULT_POOL_SIZE ((size_t)64 << 20)
#define QUEUE_SIZE_MIN 4 /* header, data, status: the next power of two */
#define QUEUES_MAX 65535
#define PAGE 4096

#define F_VERSION_1 32

/* A call is never asked for on a polling device, so that the event index
 * would only be one more cache line to write. */
#define COMMON_BITS                                                           \
    F_VERSION_1, VH_RING_F_PACKED, VH_RING_F_IN_ORDER,                        \
        VH_RING_F_INDIRECT_DESC, VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_SEG_MAX, \
        VIRTIO_BLK_F_RO, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH,           \
        VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES
static const int polling_bits[] = { COMMON_BITS, VHOST_INVALID_FEATURE_BIT };
static const int calling_bits[] = { COMMON_BITS, VH_RING_F_EVENT_IDX,
                                    VHOST_INVALID_FEATURE_BIT };

/* Not in order: a slow request would hold up those behind it. */
static const unsigned best_layouts[] = { VHOST_LAYOUT_PACKED,
                                         VHOST_LAYOUT_SPLIT };

static struct vhost_blk *from_device(struct vh_device *device)
{
    return (struct vhost_blk *)((char *)device -
                                offsetof(struct vhost_blk, device));
}

static void on_lost(struct vh_device *device, const char *reason)
{
    struct vhost_blk *disk = from_device(device);

    if (disk->options.lost) {
        disk->options.lost(disk, reason, disk->options.opaque);
    }
}

static void on_resumed(struct vh_device *device)
{
    struct vhost_blk *disk = from_device(device);

    if (disk->options.resumed) {
        disk->options.resumed(disk, disk->options.opaque);
    }
}

static int take_options(struct vhost_blk_options *to,
                        const struct vhost_blk_options *from,
                        struct vhost_error **errp)
{
    int r = vh_options_copy(to, sizeof(*to), from, errp);

    if (r < 0) {
        return r;
    }
    to->queues = to->queues ? to->queues : 1;
    to->queue_size = to->queue_size ? to->queue_size : DEFAULT_QUEUE_SIZE;
    to->pool_size = to->pool_size ? to->pool_size : DEFAULT_POOL_SIZE;
    if (to->queues > QUEUES_MAX) {
        return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                        "more than %d queues", QUEUES_MAX);
    }
    return vh_options_check_ring(to->queue_size, QUEUE_SIZE_MIN, to->layout,
                                 errp);
}

static int read_limits(struct vhost_blk *disk, struct vh_blk_limits *limits,
                       struct vhost_error **errp)
{
    uint8_t config[VH_BLK_CONFIG_LEN];
    int r =
        vhost_dev_get_config(&disk->device.dev, config, sizeof(config), errp);

    if (r < 0) {
        return r;
    }
    return vh_blk_limits_read(limits, config, disk->device.features, errp);
}

/* Takes up what the device said when it was opened. */
static int shape(struct vhost_blk *disk, struct vhost_error **errp)
{
    struct vh_blk_limits *limits = &disk->limits;
    uint32_t segments = disk->options.queue_size - 2;
    int r = read_limits(disk, limits, errp);

    if (r < 0) {
        return r;
    }
    if (disk->options.queues > limits->queues) {
        return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                        "%u queues asked, the device has %u",
                        disk->options.queues, limits->queues);
    }
    /* 2.7.5.3.1: no chain is longer than the queue, indirect or not. */
    if (segments > VH_BLK_SEGMENTS_MAX) {
        segments = VH_BLK_SEGMENTS_MAX;
    }
    if (limits->max_segments > segments) {
        limits->max_segments = segments;
    }
    VH_WRITE_ONCE(disk->capacity, limits->capacity);
    return 0;
}

/* Descriptors in an indirect table: an odd number of cache lines; see
 * VH_BLK_SEGMENTS_MAX. */
static uint16_t table_len(const struct vhost_blk *disk)
{
    unsigned lines = (disk->limits.max_segments + 2 + 3) / 4;

    if (!vh_device_has(&disk->device, VH_RING_F_INDIRECT_DESC)) {
        return 0;
    }
    return (uint16_t)((lines | 1) * 4);
}

static int open_queues(struct vhost_blk *disk, struct vhost_error **errp)
{
    size_t len = disk->options.queues * sizeof(*disk->queues);

    disk->queues = aligned_alloc(_Alignof(struct vhost_blk_queue), len);
    if (disk->queues) {
        memset(disk->queues, 0, len);
    }
    for (unsigned i = 0; i < disk->options.queues; i++) {
        if (!disk->queues || vh_blk_queue_open(&disk->queues[i], disk,
                                               &disk->device.queues[i]) < 0) {
            return vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE,
                            "out of memory");
        }
    }
    return 0;
}

static int bring_up(struct vhost_blk *disk, struct vh_link link,
                    struct vhost_error **errp)
{
    const struct vhost_blk_options *options = &disk->options;
    const struct vh_device_spec spec = {
        .device_id = DEVICE_ID,
        .feature_bits = options->polling ? polling_bits : calling_bits,
        .queues = options->queues,
        .num_queues = options->queues,
        .queue_size = options->queue_size,
        .layout = options->layout,
        .best_layouts = best_layouts,
        .polling = options->polling,
        .spin_us = options->spin_us,
        .pool_size = options->pool_size,
        .huge_pages = options->huge_pages,
        .lost = on_lost,
        .reconnect_ms = options->reconnect_ms,
        .renew = vh_blk_renew,
        .resumed = on_resumed,
    };
    int r = vh_device_open(&disk->device, link, &spec, errp);

    if (r == 0) {
        r = shape(disk, errp);
    }
    if (r == 0) {
        r = vh_device_start(&disk->device, table_len(disk),
                            options->queue_size * sizeof(struct vh_blk_slot),
                            errp);
    }
    if (r == 0) {
        r = open_queues(disk, errp);
    }
    return r;
}

struct vhost_blk *vh_blk_open_over(struct vh_link link,
                                   const struct vhost_blk_options *options,
                                   struct vhost_error **errp)
{
    struct vhost_blk *disk = calloc(1, sizeof(*disk));

    if (!disk) {
        vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
        vh_link_free(&link);
        return NULL;
    }
    if (take_options(&disk->options, options, errp) < 0) {
        vh_link_free(&link);
        free(disk);
        return NULL;
    }
    if (bring_up(disk, link, errp) < 0) {
        vhost_blk_close(disk);
        return NULL;
    }
    return disk;
}

struct vhost_blk *vhost_blk_open(const char *uri,
                                 const struct vhost_blk_options *options,
                                 struct vhost_error **errp)
{
    struct vhost_blk_options known;
    struct vhost_error *error = NULL;
    struct vhost_blk *disk = NULL;
    struct vh_link link;

    if (take_options(&known, options, &error) == 0 &&
        vh_link_open(&link, uri, known.deadline_ms, &error) == 0) {
        disk = vh_blk_open_over(link, &known, &error);
    }
    if (!disk) {
        vh_open_failed(uri, error, errp);
    }
    return disk;
}

static bool is_busy(const struct vhost_blk *disk)
{
    unsigned n = 0;

    for (unsigned i = 0; disk->queues && i < disk->options.queues; i++) {
        n += disk->queues[i].n_inflight;
    }
    return n > 0;
}

void vhost_blk_close(struct vhost_blk *disk)
{
    if (!disk) {
        return;
    }
    vh_device_close(&disk->device, is_busy(disk));
    for (unsigned i = 0; disk->queues && i < disk->options.queues; i++) {
        vh_blk_queue_close(&disk->queues[i]);
    }
    free(disk->queues);
    free(disk);
}

void vhost_blk_get_info(const struct vhost_blk *disk,
                        struct vhost_blk_info *info)
{
    const struct vh_device *device = &disk->device;
    const struct vh_blk_limits *limits = &disk->limits;

    *info = (struct vhost_blk_info){
        .capacity = VH_READ_ONCE(disk->capacity),
        .block_size = limits->block_size,
        .read_only =
            disk->options.read_only || vh_device_has(device, VIRTIO_BLK_F_RO),
        .flush = vh_device_has(device, VIRTIO_BLK_F_FLUSH),
        .discard = vh_device_has(device, VIRTIO_BLK_F_DISCARD),
        .write_zeroes = vh_device_has(device, VIRTIO_BLK_F_WRITE_ZEROES),
        .queues = disk->options.queues,
        .max_queues = limits->queues,
        .queue_size = disk->options.queue_size,
        .max_segments = limits->max_segments,
        .max_segment_size = limits->max_segment_size,
        .layout = vh_layout_of(device->features),
    };
}

struct vhost_blk_queue *vhost_blk_get_queue(struct vhost_blk *disk,
                                            unsigned index)
{
    return index < disk->options.queues ? &disk->queues[index] : NULL;
}

void *vhost_blk_alloc(struct vhost_blk *disk, size_t size)
{
    return vh_pool_alloc(disk->device.pool, size, PAGE);
}

void vhost_blk_free(struct vhost_blk *disk, void *buf)
{
    vh_pool_release(disk->device.pool, buf);
}

int vhost_blk_map(struct vhost_blk *disk, void *addr, size_t size, int fd,
                  uint64_t fd_offset, struct vhost_error **errp)
{
    return vh_device_map(&disk->device, addr, size, fd, fd_offset, errp);
}

int vhost_blk_unmap(struct vhost_blk *disk, void *addr,
                    struct vhost_error **errp)
{
    return vh_pool_unmap(disk->device.pool, addr, errp);
}

int vhost_blk_get_fd(const struct vhost_blk *disk)
{
    return vhost_dev_get_fd((struct vhost_dev *)&disk->device.dev);
}

int vhost_blk_dispatch(struct vhost_blk *disk, struct vhost_error **errp)
{
    struct vh_blk_limits now;
    int r = vh_device_dispatch(&disk->device, errp);

    if (r < 0 || !disk->device.config_changed) {
        return r;
    }
    disk->device.config_changed = false;
    r = read_limits(disk, &now, errp);
    if (r < 0 && vh_again_will_do(&disk->device)) {
        vh_error_clear(errp);
        return 0;
    }
    if (r < 0) {
        return r;
    }
    VH_WRITE_ONCE(disk->capacity, now.capacity);
    if (disk->options.config_changed) {
        disk->options.config_changed(disk, disk->options.opaque);
    }
    return 0;
}
