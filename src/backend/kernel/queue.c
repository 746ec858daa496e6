/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which node serves a queue, and what it is told.
 *
 * A queue of the device that the kernel has no idea of (the events of a vsock)
 * is one on which nothing happens: it takes everything, and where it stands is
 * where it was told to begin.
 *
 * Where a queue stands can be asked of a running one, and is not true for long:
 * so one that is stopped by itself is detached first.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <string.h>

#include "backend/ops.h"
#include "util/error.h"

int vh_kernel_vring(struct vhost_kernel *kernel, unsigned long request,
                    void *arg)
{
    uint32_t *index = arg; /* first in each of the kernel's structures */
    uint32_t queue = *index - (uint32_t)kernel->dev->vq_index;
    uint32_t was = *index;
    unsigned per_node = kernel->class->per_node;
    unsigned node = per_node ? queue / per_node : 0;
    int r;

    if (queue >= kernel->served) {
        return 0;
    }
    *index = per_node ? queue % per_node : queue;
    r = vh_kernel_ioctl(kernel, kernel->nodes[node], request, arg);
    *index = was;
    return r < 0 ? r : 0;
}

static int call(struct vhost_dev *dev, const char *operation,
                unsigned long request, void *arg)
{
    int queue = (int)*(uint32_t *)arg;
    int r = vh_kernel_vring(dev->opaque, request, arg);

    return r == 0 ? 0 : vh_kernel_failed(dev->opaque, r, operation, queue, "");
}

static struct vh_kernel_queue *find(struct vhost_dev *dev, uint32_t index)
{
    struct vhost_kernel *kernel = dev->opaque;
    uint32_t queue = index - (uint32_t)dev->vq_index;

    return queue < kernel->served ? &kernel->queues[queue] : NULL;
}

int vh_kernel_set_vring_num(struct vhost_dev *dev,
                            struct vhost_vring_state *ring)
{
    return call(dev, "SET_VRING_NUM", VHOST_SET_VRING_NUM, ring);
}

int vh_kernel_set_vring_base(struct vhost_dev *dev,
                             struct vhost_vring_state *ring)
{
    return call(dev, "SET_VRING_BASE", VHOST_SET_VRING_BASE, ring);
}

int vh_kernel_set_vring_endian(struct vhost_dev *dev,
                               struct vhost_vring_state *ring)
{
    int queue = (int)ring->index;
    int r = vh_kernel_vring(dev->opaque, VHOST_SET_VRING_ENDIAN, ring);

    if (r == -ENOTTY || r == -EINVAL) {
        return vh_kernel_failed(dev->opaque, -ENOTSUP, "SET_VRING_ENDIAN",
                                queue,
                                "a legacy device of another byte order takes a "
                                "kernel with CONFIG_VHOST_CROSS_ENDIAN_LEGACY");
    }
    return r == 0 ? 0
                  : vh_kernel_failed(dev->opaque, r, "SET_VRING_ENDIAN", queue,
                                     "");
}

int vh_kernel_set_vring_addr(struct vhost_dev *dev,
                             struct vhost_vring_addr *addr)
{
    return call(dev, "SET_VRING_ADDR", VHOST_SET_VRING_ADDR, addr);
}

/* The last thing that makes a ring of a queue. */
int vh_kernel_set_vring_kick(struct vhost_dev *dev,
                             struct vhost_vring_file *file)
{
    struct vh_kernel_queue *queue = find(dev, file->index);
    int r = call(dev, "SET_VRING_KICK", VHOST_SET_VRING_KICK, file);

    if (queue && r == 0) {
        queue->ready = true;
    }
    return r;
}

int vh_kernel_set_vring_call(struct vhost_dev *dev,
                             struct vhost_vring_file *file)
{
    return call(dev, "SET_VRING_CALL", VHOST_SET_VRING_CALL, file);
}

int vh_kernel_set_vring_err(struct vhost_dev *dev,
                            struct vhost_vring_file *file)
{
    return call(dev, "SET_VRING_ERR", VHOST_SET_VRING_ERR, file);
}

int vh_kernel_set_busyloop(struct vhost_dev *dev,
                           struct vhost_vring_state *ring)
{
    int queue = (int)ring->index;
    int r =
        vh_kernel_vring(dev->opaque, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, ring);

    return r == 0 ? 0
                  : vh_kernel_failed(
                        dev->opaque, r, "SET_VRING_BUSYLOOP_TIMEOUT", queue,
                        r == -ENOTTY ? "this device does not poll" : "");
}

static int let_go(struct vhost_kernel *kernel, unsigned queue)
{
    if (!kernel->running) {
        return 0;
    }
    if (kernel->class == &vh_kernel_net) {
        return vh_kernel_net_detach(kernel, queue);
    }
    return vh_be_fail(kernel->dev, -ENOTSUP, "GET_VRING_BASE",
                      (int)queue + kernel->dev->vq_index,
                      "%s: its queues run and stop all together", kernel->name);
}

int vh_kernel_get_vring_base(struct vhost_dev *dev,
                             struct vhost_vring_state *ring)
{
    struct vhost_kernel *kernel = dev->opaque;
    struct vh_kernel_queue *queue = find(dev, ring->index);
    int r;

    if (!queue) {
        ring->num = dev->vdev ? dev->vdev->queues[ring->index].base : 0;
        return 0;
    }
    r = let_go(kernel, (unsigned)(queue - kernel->queues));
    queue->ready = queue->ready && r < 0;
    return r < 0 ? r : call(dev, "GET_VRING_BASE", VHOST_GET_VRING_BASE, ring);
}
