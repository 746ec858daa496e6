/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the device is told of each queue.
 *
 * It finds rings as it finds buffers: by guest-physical addresses, or what the
 * guest's IOMMU has for them, where other back ends are told ours.
 *
 * What the core says of a queue is kept, so that the queue can be told again
 * after a reset.  Where the device has shadow queues it is kept and no more:
 * what the device is told instead is told when the queue is enabled.
 */
#include "backend/vdpa/entries.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "backend/ops.h"
#include "backend/upcalls.h"
#include "util/error.h"

static struct vh_vdpa_queue *queue_at(const struct vhost_vdpa *vdpa,
                                      unsigned queue)
{
    return &vdpa->queues[queue - (unsigned)vdpa->dev->vq_index];
}

int vh_vdpa_vq_get_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr,
                        struct vhost_virtqueue *vq)
{
    (void)dev;
    addr->desc_user_addr = vq->desc_phys;
    addr->avail_user_addr = vq->avail_phys;
    addr->used_user_addr = vq->used_phys;
    return 0;
}

static bool will_shadow(const struct vhost_vdpa *vdpa, unsigned queue)
{
    return vh_vdpa_is_shadow(vdpa, queue - (unsigned)vdpa->dev->vq_index);
}

/* virtio has no way to say where a ring goes on: hardware may know none. */
static int tell_base(struct vhost_vdpa *vdpa, struct vhost_vring_state *base)
{
    int r = vh_vdpa_ioctl(vdpa, VHOST_SET_VRING_BASE, base);

    if (r == 0) {
        return 0;
    }
    return vh_be_fail(vdpa->dev, r, "SET_VRING_BASE", (int)base->index,
                      "%s: queue %u: SET_VRING_BASE %#x: %s%s", vdpa->name,
                      base->index, base->num, strerror(-r),
                      r == -EOPNOTSUPP
                          ? ": this device begins its rings anew only: have "
                            "the driver reset them, or use shadow queues"
                          : "");
}

static int tell(struct vhost_vdpa *vdpa, unsigned queue, unsigned long request,
                void *arg)
{
    const char *name = request == VHOST_SET_VRING_NUM    ? "SET_VRING_NUM"
                       : request == VHOST_SET_VRING_ADDR ? "SET_VRING_ADDR"
                       : request == VHOST_SET_VRING_KICK ? "SET_VRING_KICK"
                                                         : "SET_VRING_CALL";

    return vh_vdpa_call(vdpa, name, (int)queue, request, arg);
}

int vh_vdpa_tell_queue(struct vhost_vdpa *vdpa, unsigned i,
                       const struct vh_vdpa_queue *q)
{
    unsigned queue = (unsigned)vdpa->dev->vq_index + i;
    struct vhost_vring_state num = { .index = queue, .num = q->num };
    struct vhost_vring_state base = { .index = queue, .num = q->base };
    struct vhost_vring_addr addr = q->addr;
    struct vhost_vring_file kick = { .index = queue, .fd = q->kick };
    struct vhost_vring_file call = { .index = queue, .fd = q->call };
    int r = tell(vdpa, queue, VHOST_SET_VRING_NUM, &num);

    addr.index = queue;
    if (r == 0) {
        r = tell_base(vdpa, &base);
    }
    if (r == 0) {
        r = tell(vdpa, queue, VHOST_SET_VRING_ADDR, &addr);
    }
    if (r == 0) {
        r = tell(vdpa, queue, VHOST_SET_VRING_KICK, &kick);
    }
    return r < 0 ? r : tell(vdpa, queue, VHOST_SET_VRING_CALL, &call);
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
    queue_at(vdpa, ring->index)->num = ring->num;
    return will_shadow(vdpa, ring->index)
               ? 0
               : tell(vdpa, ring->index, VHOST_SET_VRING_NUM, ring);
}

int vh_vdpa_set_vring_base(struct vhost_dev *dev,
                           struct vhost_vring_state *ring)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    queue_at(vdpa, ring->index)->base = ring->num;
    return will_shadow(vdpa, ring->index) ? 0 : tell_base(vdpa, ring);
}

/* A queue that runs stays where it is: only the log's flag is another. */
int vh_vdpa_set_vring_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    struct vh_vdpa_queue *q = queue_at(vdpa, addr->index);

    q->addr = *addr;
    q->addr.flags = 0;
    q->addr.log_guest_addr = 0;
    return will_shadow(vdpa, addr->index) || q->running
               ? 0
               : tell(vdpa, addr->index, VHOST_SET_VRING_ADDR, addr);
}

int vh_vdpa_set_vring_kick(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    queue_at(vdpa, file->index)->kick = file->fd;
    return will_shadow(vdpa, file->index)
               ? 0
               : tell(vdpa, file->index, VHOST_SET_VRING_KICK, file);
}

int vh_vdpa_set_vring_call(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    struct vh_vdpa_queue *q = queue_at(vdpa, file->index);
    int r = 0;

    pthread_mutex_lock(&vdpa->svq_lock);
    q->call = file->fd;
    if (q->svq) {
        vh_svq_set_call(q->svq, file->fd);
    } else if (!will_shadow(vdpa, file->index)) {
        r = tell(vdpa, file->index, VHOST_SET_VRING_CALL, file);
    }
    pthread_mutex_unlock(&vdpa->svq_lock);
    return r;
}

static int enable(struct vhost_vdpa *vdpa, unsigned queue)
{
    struct vhost_vring_state state = { .index = queue, .num = 1 };

    return vh_vdpa_call(vdpa, "SET_VRING_ENABLE", (int)queue,
                        VHOST_VDPA_SET_VRING_ENABLE, &state);
}

int vh_vdpa_queue_up(struct vhost_vdpa *vdpa, unsigned i)
{
    int r = vh_vdpa_is_shadow(vdpa, i) ? vh_vdpa_svq_up(vdpa, i) : 0;

    if (r == 0) {
        r = enable(vdpa, (unsigned)vdpa->dev->vq_index + i);
    }
    vdpa->queues[i].running = r == 0;
    return r;
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
            r = vh_vdpa_queue_up(vdpa, i);
        }
    }
    return r;
}

/* A device that moves on would make any answer untrue; what a shadow knows is
 * true of one that was reset, too. */
int vh_vdpa_get_vring_base(struct vhost_dev *dev,
                           struct vhost_vring_state *ring)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    struct vh_vdpa_queue *q = queue_at(vdpa, ring->index);
    bool moves = (vdpa->status & VH_VDPA_DRIVER_OK) && !vdpa->suspended;

    if (will_shadow(vdpa, ring->index) && !moves) {
        vh_vdpa_svq_down(vdpa, ring->index - (unsigned)dev->vq_index, &q->base);
        q->running = false;
        ring->num = q->base;
        return 0;
    }
    q->running = false;
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

    if (vdpa->shadowed || vdpa->doorbells || !owner || !owner->host_notifier ||
        !dev->upcalls) {
        return;
    }
    vdpa->doorbells = true;
    for (unsigned i = 0; i < dev->nvqs; i++) {
        unsigned queue = (unsigned)dev->vq_index + i;

        if (vh_vdpa_is_shadow(vdpa, i)) {
            continue;
        }
        if (dev->upcalls->host_notifier(dev, queue, vdpa->fd, queue * page,
                                        page) < 0) {
            return;
        }
    }
}

void vh_vdpa_doorbells_down(struct vhost_vdpa *vdpa)
{
    struct vhost_dev *dev = vdpa->dev;

    if (!vdpa->doorbells) {
        return;
    }
    vdpa->doorbells = false;
    for (unsigned i = 0; i < dev->nvqs; i++) {
        dev->upcalls->host_notifier(dev, (unsigned)dev->vq_index + i, -1, 0, 0);
    }
}
