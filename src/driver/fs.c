/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking a file system up, and giving it back (virtio 1.3, 5.11 "File System
 * Device").
 *
 * The device has a queue for what must never wait behind other requests, and
 * one or more for these; of the latter one is used, as calls come from one
 * thread.  Most back ends keep the configuration to themselves: then there is
 * no name, and nobody knows how many queues there are.
 */
#include "driver/fs.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_fs.h>

#include "driver/layout.h"
#include "driver/options.h"
#include "ring/layout.h"
#include "util/error.h"

#define DEVICE_ID 26 /* virtio 1.3, 5.11.1 */
#define DEFAULT_QUEUE_SIZE 128
#define DEFAULT_REQUEST_MS 30000
#define DEFAULT_TRANSFER_SIZE ((size_t)1 << 20)
#define TRANSFER_SIZE_MIN 4096
#define TRANSFER_SIZE_MAX ((size_t)16 << 20)
#define QUEUE_SIZE_MIN 8 /* VH_FS_PIECES: the next power of two */
#define TABLE_LEN 12     /* descriptors: an odd number of cache lines */
#define PAGE 4096

#define F(bit) (UINT64_C(1) << (bit))
#define F_VERSION_1 32

static const int feature_bits[] = {
    F_VERSION_1,         VH_RING_F_PACKED,
    VH_RING_F_IN_ORDER,  VH_RING_F_INDIRECT_DESC,
    VH_RING_F_EVENT_IDX, VHOST_INVALID_FEATURE_BIT
};

/* Not in order: a slow request would hold up those behind it. */
static const unsigned best_layouts[] = { VHOST_LAYOUT_PACKED,
                                         VHOST_LAYOUT_SPLIT };

static struct vhost_fs *from_device(struct vh_device *device)
{
    return (struct vhost_fs *)((char *)device -
                               offsetof(struct vhost_fs, device));
}

static void on_lost(struct vh_device *device, const char *reason)
{
    struct vhost_fs *fs = from_device(device);

    if (fs->options.lost) {
        fs->options.lost(fs, reason, fs->options.opaque);
    }
}

/* A call is never asked for on a polling device. */
static uint64_t trim(struct vh_device *device, uint64_t features)
{
    return device->spec.polling ? features & ~F(VH_RING_F_EVENT_IDX) : features;
}

static int take_options(struct vhost_fs_options *to,
                        const struct vhost_fs_options *from,
                        struct vhost_error **errp)
{
    int r = vh_options_copy(to, sizeof(*to), from, errp);

    if (r < 0) {
        return r;
    }
    to->queue_size = to->queue_size ? to->queue_size : DEFAULT_QUEUE_SIZE;
    to->request_ms = to->request_ms ? to->request_ms : DEFAULT_REQUEST_MS;
    if (to->transfer_size == 0) {
        to->transfer_size = DEFAULT_TRANSFER_SIZE;
    }
    if (to->transfer_size < TRANSFER_SIZE_MIN ||
        to->transfer_size > TRANSFER_SIZE_MAX) {
        return vh_error(errp, -EINVAL, "mount", VH_NO_QUEUE,
                        "one request moves from 4096 bytes to 16 MiB, not %zu",
                        to->transfer_size);
    }
    return vh_options_check_ring(to->queue_size, QUEUE_SIZE_MIN, to->layout,
                                 errp);
}

static int read_config(struct vhost_fs *fs, struct vhost_error **errp)
{
    struct virtio_fs_config config;
    int r;

    if (!vh_device_has_config(&fs->device)) {
        return 0;
    }
    r = vhost_dev_get_config(&fs->device.dev, (uint8_t *)&config,
                             sizeof(config), errp);
    if (r < 0) {
        return r;
    }
    memcpy(fs->tag, config.tag, sizeof(config.tag)); /* of 37: ends with NUL */
    fs->request_queues = le32toh(config.num_request_queues);
    if (fs->request_queues == 0) {
        return vh_error(errp, -EPROTO, "GET_CONFIG", VH_NO_QUEUE,
                        "the device says it has no queue for requests");
    }
    return 0;
}

/* What a session needs of the device. */
static int connect_device(struct vhost_fs *fs, struct vh_link link,
                          struct vhost_error **errp)
{
    const struct vhost_fs_options *options = &fs->options;
    const struct vh_device_spec spec = {
        .device_id = DEVICE_ID,
        .feature_bits = feature_bits,
        .trim = trim,
        .queues = VH_FS_QUEUES,
        .num_queues = VH_FS_QUEUES,
        .queue_size = options->queue_size,
        .layout = options->layout,
        .best_layouts = best_layouts,
        .polling = options->polling,
        .spin_us = options->spin_us,
        .pool_size = vh_fs_slots_size(options->transfer_size),
        .huge_pages = options->huge_pages,
        .lost = on_lost,
    };
    int r = vh_device_open(&fs->device, link, &spec, errp);

    return r < 0 ? r : read_config(fs, errp);
}

static int start(struct vhost_fs *fs, struct vhost_error **errp)
{
    bool tables = vh_device_has(&fs->device, VH_RING_F_INDIRECT_DESC);
    int r =
        vh_device_start(&fs->device, tables ? TABLE_LEN : 0, 2 * PAGE, errp);

    if (r == 0 && vh_fs_slots_open(fs) < 0) {
        r = vh_error(errp, -ENOMEM, "mount", VH_NO_QUEUE, "out of memory");
    }
    return r;
}

static int bring_up(struct vhost_fs *fs, struct vh_link link,
                    struct vhost_stream *stream, struct vhost_error **errp)
{
    int r = connect_device(fs, link, errp);

    if (r == 0 && stream) {
        r = vhost_load_backend_state(&fs->device.dev, stream, errp);
    }
    if (r == 0) {
        r = start(fs, errp);
    }
    if (r == 0 && !stream) {
        r = vh_fs_begin_session(fs, errp);
    }
    return r;
}

static struct vhost_fs *new_fs(const struct vhost_fs_options *options,
                               struct vhost_stream *stream,
                               struct vhost_error **errp)
{
    struct vhost_fs *fs = calloc(1, sizeof(*fs));

    if (!fs) {
        vh_error(errp, -ENOMEM, "mount", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    fs->chunk = PAGE; /* for INIT: until more is known */
    if (take_options(&fs->options, options, errp) < 0 ||
        (stream && vh_fs_load_session(fs, stream, errp) < 0)) {
        vh_fs_files_free(fs);
        free(fs);
        return NULL;
    }
    return fs;
}

/* Whatever became of the session, the back end's is not ended by us. */
static void drop(struct vhost_fs *fs)
{
    vh_device_close(&fs->device, vh_fs_slots_busy(fs));
    vh_fs_files_free(fs);
    free(fs);
}

struct vhost_fs *vh_fs_mount_over(struct vh_link link,
                                  const struct vhost_fs_options *options,
                                  struct vhost_stream *stream,
                                  struct vhost_error **errp)
{
    struct vhost_fs *fs = new_fs(options, stream, errp);

    if (!fs) {
        vh_link_free(&link);
        return NULL;
    }
    if (bring_up(fs, link, stream, errp) < 0) {
        drop(fs);
        return NULL;
    }
    return fs;
}

struct vhost_fs *vh_fs_mount(const char *uri,
                             const struct vhost_fs_options *options,
                             struct vhost_stream *stream,
                             struct vhost_error **errp)
{
    struct vhost_fs_options known;
    struct vhost_error *error = NULL;
    struct vhost_fs *fs = NULL;
    struct vh_link link;

    if (take_options(&known, options, &error) == 0 &&
        vh_link_open(&link, uri, known.deadline_ms, &error) == 0) {
        fs = vh_fs_mount_over(link, &known, stream, &error);
    }
    if (!fs) {
        vh_open_failed(uri, error, errp);
    }
    return fs;
}

struct vhost_fs *vhost_fs_mount(const char *uri,
                                const struct vhost_fs_options *options,
                                struct vhost_error **errp)
{
    return vh_fs_mount(uri, options, NULL, errp);
}

void vhost_fs_unmount(struct vhost_fs *fs)
{
    if (fs) {
        vh_fs_end_session(fs);
        drop(fs);
    }
}

void vhost_fs_get_info(const struct vhost_fs *fs, struct vhost_fs_info *info)
{
    *info = (struct vhost_fs_info){
        .request_queues = fs->request_queues,
        .minor = fs->minor,
        .queue_size = fs->options.queue_size,
        .layout = vh_layout_of(fs->device.features),
        .transfer_size = fs->chunk,
        .can_save =
            vhost_supports_device_state((struct vhost_dev *)&fs->device.dev),
    };
    memcpy(info->tag, fs->tag, sizeof(fs->tag));
    for (unsigned i = 0; i < fs->n_files; i++) {
        info->open_files += fs->files[i].is_open;
    }
}

int vhost_fs_get_fd(const struct vhost_fs *fs)
{
    return vhost_dev_get_fd((struct vhost_dev *)&fs->device.dev);
}

int vhost_fs_dispatch(struct vhost_fs *fs, struct vhost_error **errp)
{
    return vh_device_dispatch(&fs->device, errp);
}
