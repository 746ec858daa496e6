/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a back end asks of us; see backend/upcalls.h for where that may be.
 *
 * A change of the configuration is only noted here, and told by dispatch.
 *
 * A call or an error of a queue that comes as a message ends in the eventfd
 * that it would have come by: whoever hears of them need not know the way.
 */
#include "core/iommu.h"
#include "core/share.h"

#include <errno.h>

#include "backend/upcalls.h"

/* The owner will want to read it, which he can't do from inside a call. */
static void config_changed(struct vhost_dev *dev)
{
    vhost_notifier_set(&dev->priv->config_news);
}

static int iotlb_miss(struct vhost_dev *dev, uint64_t iova, bool write)
{
    int r = vh_core_iotlb_post(dev, iova, write);

    /* The owner will come back to it. */
    return r == -EINPROGRESS ? 0 : r;
}

static struct vhost_virtqueue *find_queue(struct vhost_dev *dev, unsigned queue)
{
    unsigned i = queue - (unsigned)dev->vq_index;

    return i < dev->nvqs ? &dev->vqs[i] : NULL;
}

static int vring_call(struct vhost_dev *dev, unsigned queue)
{
    struct vhost_virtqueue *vq = find_queue(dev, queue);
    struct vhost_notifier call = { .fd = -1 };

    if (!vq || !vq->started) {
        return -EINVAL;
    }
    /* Not priv->masking, under which another thread may wait for us. */
    pthread_mutex_lock(&dev->priv->calling);
    call.fd =
        vq->masked ? vq->masked_notifier.fd : dev->vdev->queues[queue].call_fd;
    if (call.fd >= 0) {
        vhost_notifier_set(&call);
    }
    pthread_mutex_unlock(&dev->priv->calling);
    return 0;
}

static int vring_err(struct vhost_dev *dev, unsigned queue)
{
    struct vhost_virtqueue *vq = find_queue(dev, queue);

    if (!vq || vq->error_notifier.fd < 0) {
        return -EINVAL;
    }
    vhost_notifier_set(&vq->error_notifier);
    return 0;
}

static void disconnected(struct vhost_dev *dev)
{
    vh_core_host_notifiers_clear(dev);
    vh_core_objects_clear(dev);
    vh_core_shmem_clear(dev);
}

const struct vh_upcalls vh_core_upcalls = {
    .config_changed = config_changed,
    .iotlb_miss = iotlb_miss,
    .iotlb_fail = vh_core_iotlb_fault,
    .vring_call = vring_call,
    .vring_err = vring_err,
    .host_notifier = vh_core_host_notifier,
    .object_add = vh_core_object_add,
    .object_is = vh_core_object_is,
    .object_remove = vh_core_object_remove,
    .object_lookup = vh_core_object_lookup,
    .shmem_map = vh_core_shmem_map,
    .shmem_unmap = vh_core_shmem_unmap,
    .disconnected = disconnected,
};
