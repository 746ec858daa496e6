/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the device is told of each queue.
 *
 * It finds rings as it finds buffers: by guest-physical addresses, or what the
 * guest's IOMMU has for them, where other back ends are told ours.
 *
 * choose_addr(), choose_kick(), choose_call() and choose_base() are the one
 * place where a queue of the device becomes the queue of the guest: whoever
 * puts another in between does it there.
 */
#include "backend/vdpa/entries.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "backend/ops.h"
#include "backend/upcalls.h"
#include "util/error.h"

static void choose_addr(struct vhost_vring_addr *addr,
                        const struct vhost_virtqueue *vq)
{
    addr->desc_user_addr = vq->desc_phys;
    addr->avail_user_addr = vq->avail_phys;
    addr->used_user_addr = vq->used_phys;
}

static int choose_kick(const struct vhost_vring_file *file)
{
    return file->fd;
}

static int choose_call(const struct vhost_vring_file *file)
{
    return file->fd;
}

static uint32_t choose_base(const struct vhost_vring_state *ring)
{
    return ring->num;
}

int vh_vdpa_vq_get_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr,
                        struct vhost_virtqueue *vq)
{
    (void)dev;
    choose_addr(addr, vq);
    return 0;
}

/* The kernel takes any number, and a device may believe it. */
int vh_vdpa_set_vring_num(struct vhost_dev *dev, struct vhost_vring_state *ring)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    struct vhost_vring_state most = { .index = ring->index };

    if (vh_vdpa_ioctl(vdpa, VH_VDPA_GET_VRING_SIZE, &most) < 0) {
        most.num = vdpa->info.max_queue_size; /* an older kernel */
    }
    if (most.num != 0 && ring->num > most.num) {
        return vh_be_fail(dev, -E2BIG, "SET_VRING_NUM", (int)ring->index,
                          "%s: queue %u: %u entries, the device takes %u",
                          vdpa->name, ring->index, ring->num, most.num);
    }
    return vh_vdpa_call(vdpa, "SET_VRING_NUM", (int)ring->index,
                        VHOST_SET_VRING_NUM, ring);
}

int vh_vdpa_set_vring_base(struct vhost_dev *dev,
                           struct vhost_vring_state *ring)
{
    struct vhost_vring_state own = { .index = ring->index,
                                     .num = choose_base(ring) };

    return vh_vdpa_call(dev->opaque, "SET_VRING_BASE", (int)ring->index,
                        VHOST_SET_VRING_BASE, &own);
}

int vh_vdpa_set_vring_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr)
{
    return vh_vdpa_call(dev->opaque, "SET_VRING_ADDR", (int)addr->index,
                        VHOST_SET_VRING_ADDR, addr);
}

int vh_vdpa_set_vring_kick(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    struct vhost_vring_file own = { .index = file->index,
                                    .fd = choose_kick(file) };

    return vh_vdpa_call(dev->opaque, "SET_VRING_KICK", (int)file->index,
                        VHOST_SET_VRING_KICK, &own);
}

int vh_vdpa_set_vring_call(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    struct vhost_vring_file own = { .index = file->index,
                                    .fd = choose_call(file) };

    return vh_vdpa_call(dev->opaque, "SET_VRING_CALL", (int)file->index,
                        VHOST_SET_VRING_CALL, &own);
}

static int enable(struct vhost_vdpa *vdpa, unsigned queue)
{
    struct vhost_vring_state state = { .index = queue, .num = 1 };

    return vh_vdpa_call(vdpa, "SET_VRING_ENABLE", (int)queue,
                        VHOST_VDPA_SET_VRING_ENABLE, &state);
}

/*
 * A driver of virtio has no way to disable a queue but to reset it (virtio
 * 1.3, 4.1.4.3.2): that comes with the reset of the device.
 */
int vh_vdpa_set_vring_enable(struct vhost_dev *dev, int on)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    int r = 0;

    if (!on) {
        return 0;
    }
    if ((vdpa->status & VH_VDPA_DRIVER_OK) &&
        !vh_vdpa_has(vdpa, VH_VDPA_F_ENABLE_LATE)) {
        return vh_be_fail(dev, -ENOTSUP, "SET_VRING_ENABLE", VH_NO_QUEUE,
                          "%s: the device takes no queue once it is started "
                          "(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK is not "
                          "offered)",
                          vdpa->name);
    }
    for (unsigned i = 0; r == 0 && i < dev->nvqs; i++) {
        if (dev->vqs[i].started) {
            r = enable(vdpa, (unsigned)dev->vq_index + i);
        }
    }
    return r;
}

/* A device that moves on would make any answer untrue. */
int vh_vdpa_get_vring_base(struct vhost_dev *dev,
                           struct vhost_vring_state *ring)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    if (!vdpa->suspended) {
        return vh_be_fail(dev, -ENOTSUP, "GET_VRING_BASE", (int)ring->index,
                          "%s: queue %u: only a suspended device says where it "
                          "stands, and this one can't be suspended",
                          vdpa->name, ring->index);
    }
    return vh_vdpa_call(vdpa, "GET_VRING_BASE", (int)ring->index,
                        VHOST_GET_VRING_BASE, ring);
}

/* The page of queue i is at page i of the node; without one there are kicks. */
void vh_vdpa_doorbells_up(struct vhost_vdpa *vdpa)
{
    struct vhost_dev *dev = vdpa->dev;
    const struct vhost_vdev_ops *owner = dev->vdev ? dev->vdev->ops : NULL;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    if (vdpa->doorbells || !owner || !owner->host_notifier || !dev->upcalls) {
        return;
    }
    vdpa->doorbells = true;
    for (unsigned i = 0; i < dev->nvqs; i++) {
        unsigned queue = (unsigned)dev->vq_index + i;

        if (dev->upcalls->host_notifier(dev, queue, vdpa->fd, queue * page,
                                        page) < 0) {
            return;
        }
    }
}
