/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/blk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "server/queue.h"
#include "util/error.h"
#include "util/fd.h"
#include "wire/proto.h"

#define SECTOR 512u
#define URING_ENTRIES 1024
#define QUEUE_SIZE 1024
#define QUEUE_SIZE_MIN 4 /* header, data and status */
#define PHYSICAL_BLOCK 4096u
#define RANGE_SECTORS_MAX (1u << 21) /* 1 GiB in one discard */
#define BIT(n) (UINT64_C(1) << (n))

static struct vh_blk *blk_of(struct vhost_server_device *device)
{
    return (struct vh_blk *)device;
}

static void blk_free(struct vhost_server_device *device)
{
    struct vh_blk *blk = blk_of(device);

    if (blk->has_uring) {
        io_uring_queue_exit(&blk->uring);
    }
    for (unsigned i = 0; blk->queues && i < device->n_queues; i++) {
        free(blk->queues[i].requests);
    }
    free(blk->queues);
    vh_fd_close(&device->event_fd);
    vh_fd_close(&blk->fd);
    vh_fd_close(&blk->buffered_fd);
    free(blk->path);
    free(blk);
}

/* "null:BYTES".  Return: 1 if it is one, 0 if not, or a negative errno. */
static int open_null(struct vh_blk *blk, struct vhost_error **errp)
{
    char *end;

    if (strncmp(blk->path, "null:", 5) != 0) {
        return 0;
    }
    errno = 0;
    blk->capacity = strtoull(blk->path + 5, &end, 10);
    if (errno || end == blk->path + 5 || *end || blk->capacity >> 62) {
        return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                        "%s: null: wants a size in bytes", blk->path);
    }
    blk->null = true;
    return 1;
}

static int cannot_open(const struct vh_blk *blk, int code,
                       struct vhost_error **errp)
{
    const char *why = strerror(-code);

    if (code == -ENOENT) {
        why = "no such file";
    } else if (code == -EISDIR) {
        why = "is a directory";
    } else if (code == -EINVAL && blk->options.direct) {
        why = "its file system does not do O_DIRECT";
    }
    return vh_error(errp, code, "open", VH_NO_QUEUE, "%s: %s", blk->path, why);
}

/* Without waiting for the other end of a pipe; then as files are used. */
static int open_one(const struct vh_blk *blk, int flags, int *fd)
{
    flags |= blk->options.read_only ? O_RDONLY : O_RDWR;
    *fd = open(blk->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0) {
        return -errno;
    }
    return fcntl(*fd, F_SETFL, flags) < 0 ? -errno : 0;
}

static int check_file(struct vh_blk *blk, struct vhost_error **errp)
{
    struct stat st;

    if (fstat(blk->fd, &st) < 0) {
        return cannot_open(blk, -errno, errp);
    }
    if (S_ISDIR(st.st_mode)) {
        return cannot_open(blk, -EISDIR, errp);
    }
    if (S_ISREG(st.st_mode)) {
        blk->capacity = (uint64_t)st.st_size;
    } else if (!S_ISBLK(st.st_mode) ||
               ioctl(blk->fd, BLKGETSIZE64, &blk->capacity) < 0) {
        return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                        "%s: neither a file nor a block device", blk->path);
    }
    return 0;
}

static int open_uring(struct vh_blk *blk, struct vhost_error **errp)
{
    int r = io_uring_queue_init(URING_ENTRIES, &blk->uring, 0);

    if (r < 0) {
        return vh_error(errp, r, "io_uring_setup", VH_NO_QUEUE,
                        "%s: no io_uring: %s", blk->path, strerror(-r));
    }
    blk->has_uring = true;
    blk->device.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (blk->device.event_fd < 0) {
        return vh_error(errp, -errno, "eventfd", VH_NO_QUEUE, "%s: %s",
                        blk->path, strerror(errno));
    }
    r = io_uring_register_eventfd(&blk->uring, blk->device.event_fd);
    return r < 0 ? vh_error(errp, r, "io_uring_register", VH_NO_QUEUE, "%s: %s",
                            blk->path, strerror(-r))
                 : 0;
}

static int open_file(struct vh_blk *blk, struct vhost_error **errp)
{
    int r = open_one(blk, blk->options.direct ? O_DIRECT : 0, &blk->fd);

    if (r == 0 && blk->options.direct) {
        r = open_one(blk, 0, &blk->buffered_fd);
    }
    if (r < 0) {
        return cannot_open(blk, r, errp);
    }
    r = check_file(blk, errp);
    return r < 0 ? r : open_uring(blk, errp);
}

static int check_options(struct vh_blk *blk, struct vhost_error **errp)
{
    struct vhost_server_blk_options *o = &blk->options;

    o->queues = o->queues ? o->queues : 1;
    o->queue_size = o->queue_size ? o->queue_size : QUEUE_SIZE;
    o->block_size = o->block_size ? o->block_size : SECTOR;
    if (o->queues > VH_QUEUES_MAX) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: %u queues asked, at most %d", blk->path, o->queues,
                        VH_QUEUES_MAX);
    }
    if (o->queue_size < QUEUE_SIZE_MIN ||
        !vh_ring_size_is_valid(o->queue_size, 0)) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: a queue size is a power of two from %d to %d, "
                        "and not %u",
                        blk->path, QUEUE_SIZE_MIN, VH_RING_SIZE_MAX,
                        o->queue_size);
    }
    if (o->block_size != 512 && o->block_size != 4096) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: a block has 512 or 4096 bytes, not %u", blk->path,
                        o->block_size);
    }
    return 0;
}

/* A part of a block at the end can't be addressed. */
static int round_capacity(struct vh_blk *blk, struct vhost_error **errp)
{
    blk->capacity -= blk->capacity % blk->options.block_size;
    return blk->capacity ? 0
                         : vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                                    "%s: is empty, and a disk is not",
                                    blk->path);
}

static int blk_open(struct vhost_server_device *device,
                    struct vhost_error **errp)
{
    struct vh_blk *blk = blk_of(device);
    int r = check_options(blk, errp);

    if (r == 0) {
        r = open_null(blk, errp);
    }
    if (r == 0) {
        r = open_file(blk, errp);
    }
    if (r < 0) {
        return r;
    }
    r = round_capacity(blk, errp);
    if (r < 0) {
        return r;
    }
    device->what = blk->path;
    device->n_queues = blk->options.queues;
    device->n_queues_told = device->n_queues;
    device->queue_size_max = blk->options.queue_size;
    device->features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
                       BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
                       BIT(VIRTIO_BLK_F_MQ);
    device->protocol = VH_PF(INFLIGHT_SHMFD) |
                       VH_PF(GET_VRING_BASE_INFLIGHT) |
                       VH_PF(GET_VRING_BASE_SKIP_DRAIN);
    device->features |=
        blk->options.read_only
            ? BIT(VIRTIO_BLK_F_RO)
            : BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
    blk->queues = calloc(device->n_queues, sizeof(*blk->queues));
    return blk->queues ? 0
                       : vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE,
                                  "out of memory");
}

static void blk_get_config(struct vhost_server_device *device, uint8_t *config,
                           uint32_t size)
{
    const struct vh_blk *blk = blk_of(device);
    uint32_t in_ring = device->queue_size_max - 2;
    uint32_t seg_max = in_ring < VH_BLK_SEG_MAX ? in_ring : VH_BLK_SEG_MAX;
    struct virtio_blk_config c = {
        .capacity = htole64(blk->capacity / SECTOR),
        .seg_max = htole32(seg_max),
        .blk_size = htole32(blk->options.block_size),
        .physical_block_exp = (uint8_t)(__builtin_ctz(PHYSICAL_BLOCK) -
                                        __builtin_ctz(blk->options.block_size)),
        .min_io_size =
            htole16((uint16_t)(PHYSICAL_BLOCK / blk->options.block_size)),
        .num_queues = htole16((uint16_t)device->n_queues),
        .max_discard_sectors = htole32(RANGE_SECTORS_MAX),
        .max_discard_seg = htole32(1),
        .discard_sector_alignment = htole32(blk->options.block_size / SECTOR),
        .max_write_zeroes_sectors = htole32(RANGE_SECTORS_MAX),
        .max_write_zeroes_seg = htole32(1),
        .write_zeroes_may_unmap = 1,
    };

    memset(config, 0, size);
    memcpy(config, &c, sizeof(c) < size ? sizeof(c) : size);
}

static int blk_queue_start(struct vhost_server_device *device,
                           struct vh_squeue *queue)
{
    struct vh_blk_queue *q = &blk_of(device)->queues[queue->index];
    struct vh_blk_request *requests;
    uint32_t size = queue->size;

    if (q->n == size) {
        return 0;
    }
    requests = calloc(size, sizeof(*requests));
    if (!requests) {
        return -ENOMEM;
    }
    free(q->requests);
    q->requests = requests;
    q->n = size;
    return 0;
}

/* All that it knows is in the file: there is nothing for a state to hold. */
static size_t blk_save(const struct vhost_server_device *device, uint8_t *body)
{
    (void)device;
    (void)body;
    return 0;
}

static const char *blk_load(struct vhost_server_device *device,
                            const uint8_t *body, size_t len)
{
    (void)device;
    (void)body;
    return len == 0 ? NULL : "a block device has no state";
}

static int blk_refresh(struct vhost_server_device *device,
                       struct vhost_error **errp)
{
    struct vh_blk *blk = blk_of(device);
    uint64_t before = blk->capacity;
    int r;

    if (blk->fd < 0) {
        return 0; /* null: has no file to look at */
    }
    r = check_file(blk, errp);
    if (r == 0) {
        r = round_capacity(blk, errp);
    }
    if (r < 0) {
        blk->capacity = before;
    }
    return r;
}

static const struct vh_server_device_ops blk_ops = {
    .open = blk_open,
    .free = blk_free,
    .get_config = blk_get_config,
    .refresh = blk_refresh,
    .save = blk_save,
    .load = blk_load,
    .queue_start = blk_queue_start,
    .serve = vh_blk_serve,
    .submit = vh_blk_submit,
    .let_go = vh_blk_let_go,
    .reap = vh_blk_reap,
    .arm = vh_blk_arm,
};

static void set_serial(struct vh_blk *blk, const char *serial)
{
    const char *slash = strrchr(blk->path, '/');

    if (!serial) {
        serial = slash ? slash + 1 : blk->path;
    }
    memcpy(blk->serial, serial, strnlen(serial, sizeof(blk->serial)));
}

struct vhost_server_device *
vhost_server_blk(const char *path,
                 const struct vhost_server_blk_options *options)
{
    struct vh_blk *blk = calloc(1, sizeof(*blk));
    size_t size = sizeof(blk->options);

    if (!blk) {
        return NULL;
    }
    blk->path = strdup(path);
    if (!blk->path) {
        free(blk);
        return NULL;
    }
    blk->device.ops = &blk_ops;
    blk->device.type = VIRTIO_ID_BLOCK;
    blk->device.event_fd = -1;
    blk->fd = -1;
    blk->buffered_fd = -1;
    blk->waiting_end = &blk->waiting;
    if (options) {
        if (options->size && options->size < size) {
            size = options->size;
        }
        memcpy(&blk->options, options, size);
    }
    set_serial(blk, blk->options.serial);
    blk->options.serial = NULL; /* the caller's */
    return &blk->device;
}
