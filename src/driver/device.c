/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio device that this program drives: here the program is what a VMM
 * and its guest are together.  It owns the memory, sets up the rings, takes
 * the features, and lends all of it to the life cycle of struct vhost_dev.
 *
 * The memory for rings, and for what class drivers put beside them, lies in
 * the first region of the pool: one region is one memory slot, and some back
 * ends have but eight.
 */
#include "driver/device.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ops.h"
#include "backend/user/user.h"
#include "driver/again.h"
#include "driver/layout.h"
#include "util/error.h"
#include "util/fd.h"

#define F_VERSION_1 32
#define BLOCK_SLACK 4096 /* what aligning one block may waste */

static struct vh_device *from_vdev(struct vhost_vdev *vdev)
{
    return vdev->opaque;
}

static void on_lost(struct vhost_vdev *vdev, const char *reason)
{
    struct vh_device *device = from_vdev(vdev);

    if (!device->returns) {
        VH_WRITE_ONCE(device->gone, 1);
    }
    if (device->spec.lost) {
        device->spec.lost(device, reason);
    }
}

static void on_vring_error(struct vhost_vdev *vdev, unsigned queue)
{
    vh_virtq_refuse(&from_vdev(vdev)->queues[queue]);
}

static const struct vhost_vdev_ops vdev_ops = {
    .vring_error = on_vring_error,
    .lost = on_lost,
};

/* Only noted: we are inside a call for this device, and can't ask it. */
static int on_config_changed(struct vhost_dev *dev)
{
    struct vh_device *device =
        (struct vh_device *)((char *)dev - offsetof(struct vh_device, dev));

    device->config_changed = true;
    return 0;
}

static const VhostDevConfigOps config_ops = {
    .vhost_dev_config_notifier = on_config_changed,
};

/* Says why a call for device->dev failed; @what if it left no words. */
static int dev_failed(struct vh_device *device, int r, const char *what,
                      struct vhost_error **errp)
{
    const struct vhost_error *error = vhost_dev_get_error(&device->dev);

    if (error) {
        vh_error_copy(errp, error);
        return r;
    }
    return vh_error(errp, r, what, VH_NO_QUEUE, "%s fails", what);
}

static int no_memory(struct vhost_error **errp)
{
    return vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
}

static int allocate(struct vh_device *device)
{
    unsigned n = device->spec.queues;

    device->vqs = calloc(n, sizeof(*device->vqs));
    device->rings = calloc(n, sizeof(*device->rings));
    device->queues = calloc(n, sizeof(*device->queues));
    device->map = vhost_memory_map_new();
    if (!device->vqs || !device->rings || !device->queues || !device->map) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        device->rings[i].kick_fd = -1;
        device->rings[i].call_fd = -1;
        device->queues[i].kick.fd = -1;
        device->queues[i].call.fd = -1;
    }
    device->pool = vh_pool_new(device->map, device->spec.pool_size,
                               device->spec.huge_pages);
    return device->pool ? 0 : -ENOMEM;
}

static int negotiate(struct vh_device *device, struct vhost_error **errp)
{
    const int *bits = device->spec.feature_bits;
    uint64_t wanted = 0;
    int r;

    for (const int *bit = bits; *bit != VHOST_INVALID_FEATURE_BIT; bit++) {
        wanted |= UINT64_C(1) << *bit;
    }
    device->offered = vhost_get_features(&device->dev, bits, wanted);
    device->features = device->offered;
    if (device->spec.trim) {
        device->features = device->spec.trim(device, device->offered);
    }
    if (!vh_device_has(device, F_VERSION_1)) {
        return vh_error(errp, -ENOTSUP, "open", VH_NO_QUEUE,
                        "the device has no VIRTIO_F_VERSION_1: devices older "
                        "than virtio 1.0 are not supported");
    }
    r = vh_layout_choose(device->spec.layout, device->spec.best_layouts,
                         &device->features, errp);
    if (r == 0) {
        vhost_ack_features(&device->dev, bits, device->features);
    }
    return r;
}

/*
 * One of our own: the back end's room closes its own as it likes, and queue
 * threads must never poll a number that became another file.  The kernel's
 * devices do not go, and have none.
 */
static int open_control(struct vh_device *device, struct vhost_error **errp)
{
    if (!vh_link_user(&device->link)) {
        return 0;
    }
    device->control_fd = vh_fd_dup(vh_be_get_fd(&device->dev));
    if (device->control_fd < 0) {
        return vh_error(errp, device->control_fd, "dup", VH_NO_QUEUE,
                        "the control channel can't be duplicated: %s",
                        strerror(-device->control_fd));
    }
    return 0;
}

/* Its features and configuration would mean other things. */
static int check_kind(struct vh_device *device, struct vhost_error **errp)
{
    uint32_t wanted = device->spec.device_id;
    uint32_t id = wanted;

    /* A vhost-user back end does not tell. */
    if (vh_be_get_device_id(&device->dev, &id) < 0 || id == wanted) {
        return 0;
    }
    return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                    "a device of virtio type %u, and not %u: see `vhost probe`",
                    id, wanted);
}

int vh_device_open(struct vh_device *device, struct vh_link link,
                   const struct vh_device_spec *spec, struct vhost_error **errp)
{
    int r;

    device->link = link;
    device->spec = *spec;
    device->control_fd = -1;
    if (allocate(device) < 0) {
        return no_memory(errp);
    }
    device->dev.vqs = device->vqs;
    device->dev.nvqs = spec->queues;
    device->dev.vq_index_end = (int)spec->queues;
    device->dev.num_queues = (int)spec->num_queues;
    device->dev.map = device->map;
    vhost_dev_set_config_notifier(&device->dev, &config_ops);
    r = vhost_dev_init(&device->dev, link.opaque, link.type, 0, errp);
    if (r < 0) {
        return r;
    }
    r = check_kind(device, errp);
    if (r == 0) {
        r = open_control(device, errp);
    }
    if (r == 0) {
        r = negotiate(device, errp);
    }
    if (r == 0 && spec->reconnect_ms != 0) {
        r = vh_again_init(device, errp);
    }
    return r;
}

static int open_queues(struct vh_device *device, uint16_t indirect_len,
                       struct vhost_error **errp)
{
    for (unsigned i = 0; i < device->spec.queues; i++) {
        struct vh_virtq *vq = &device->queues[i];
        int r = vh_virtq_open(vq, device, i, indirect_len);

        if (r < 0) {
            return vh_error(errp, r, "open", (int)i,
                            "queue %u can't be made: %s", i, strerror(-r));
        }
        vq->returns = device->returns;
        vq->error_fd = device->vqs[i].error_notifier.fd;
        device->rings[i] = (struct vhost_vdev_queue){
            .size = vq->size,
            .base = vh_ring_first_base(device->features),
            .desc = vq->desc_gpa,
            .avail = vq->driver_gpa,
            .used = vq->device_gpa,
            .kick_fd = vq->kick.fd,
            .call_fd = vq->call.fd,
        };
    }
    return 0;
}

int vh_device_start(struct vh_device *device, uint16_t indirect_len,
                    size_t extra, struct vhost_error **errp)
{
    size_t each =
        vh_virtq_memory(device, indirect_len) + extra + 2 * BLOCK_SLACK;
    int r = vh_pool_reserve(device->pool,
                            device->spec.pool_size + each * device->spec.queues,
                            errp);

    if (r < 0) {
        return r;
    }
    r = open_queues(device, indirect_len, errp);
    if (r < 0) {
        return r;
    }
    device->vdev = (struct vhost_vdev){
        .device_id = device->spec.device_id,
        .nqueues = device->spec.queues,
        .queues = device->rings,
        .ops = &vdev_ops,
        .opaque = device,
    };
    r = vhost_dev_start(&device->dev, &device->vdev, true);
    return r < 0 ? dev_failed(device, r, "start", errp) : 0;
}

/* A ring that the back end has let go of: what was in flight, and a new one. */
static int renew_queue(struct vh_device *device, unsigned index,
                       void (*drop)(void *arg, void *cookie), void *arg)
{
    struct vh_virtq *vq = &device->queues[index];
    void *cookies[32];
    unsigned n;

    while ((n = vh_ring_drop(vq->ring, cookies, 32)) > 0) {
        while (n > 0) {
            drop(arg, cookies[--n]);
        }
    }
    device->rings[index].base = vh_ring_first_base(device->features);
    return vh_virtq_renew(vq);
}

int vh_device_reset_queue(struct vh_device *device, unsigned index,
                          void (*drop)(void *arg, void *cookie), void *arg,
                          struct vhost_error **errp)
{
    struct vhost_dev *dev = &device->dev;
    struct vhost_virtqueue *vq = &device->vqs[index];
    int r = vhost_virtqueue_stop(dev, &device->vdev, vq, index);

    if (r == 0) {
        r = renew_queue(device, index, drop, arg);
    }
    if (r == 0) {
        r = vhost_virtqueue_start(dev, &device->vdev, vq, index);
    }
    return r < 0 ? dev_failed(device, r, "reset", errp) : 0;
}

void vh_device_close(struct vh_device *device, bool busy)
{
    if (vhost_dev_is_started(&device->dev)) {
        struct vhost_user *user = vh_link_user(&device->link);

        if (!busy && user) {
            vh_user_hurry(user);
        }
        vhost_dev_stop(&device->dev, &device->vdev, true);
    }
    vh_fd_close(&device->control_fd);
    vhost_dev_cleanup(&device->dev);
    vh_link_free(&device->link);
    for (unsigned i = 0; device->pool && i < device->spec.queues; i++) {
        vh_virtq_close(&device->queues[i], device);
    }
    vhost_memory_map_free(device->map);
    vh_pool_free(device->pool);
    free(device->queues);
    free(device->rings);
    free(device->vqs);
}

int vh_device_map(struct vh_device *device, void *addr, size_t size, int fd,
                  uint64_t fd_offset, struct vhost_error **errp)
{
    if (device->dev.state == VHOST_DEV_LOST && !device->returns) {
        return vh_error(errp, -ENOTCONN, "map", VH_NO_QUEUE,
                        "the back end is gone, and sees no memory any more");
    }
    return vh_pool_map(device->pool,
                       &(struct vhost_memory_section){
                           .size = size,
                           .hva = addr,
                           .fd = fd,
                           .fd_offset = fd_offset,
                       },
                       errp);
}

bool vh_device_has_config(const struct vh_device *device)
{
    return vh_link_has_config(&device->link);
}

int vh_device_dispatch(struct vh_device *device, struct vhost_error **errp)
{
    int r = vhost_dev_dispatch(&device->dev);

    VH_WRITE_ONCE(device->control, pthread_self());
    if (r < 0) {
        VH_WRITE_ONCE(device->gone, 1);
        return dev_failed(device, r, "dispatch", errp);
    }
    return 0;
}

bool vh_device_look_alive(struct vh_device *device)
{
    struct pollfd control = { .fd = device->control_fd, .events = POLLRDHUP };

    if (vh_device_is_gone(device)) {
        return false;
    }
    if (device->returns) {
        return true; /* until the control thread gives up */
    }
    if (poll(&control, 1, 0) > 0) {
        VH_WRITE_ONCE(device->gone, 1);
        return false;
    }
    return true;
}
