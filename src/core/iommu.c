/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device IOTLB: translations go to the back end when it asks for them, or
 * when we know that it will.
 *
 * Whether there is an IOMMU is settled at the start and kept, for an answer
 * that changed in between would leave a running ring with addresses of the
 * other kind.
 *
 * What the owner's translation gives may be larger than what the back end's
 * table has there, and lie in several of its regions: it is cut down to the
 * piece around the address that was asked for.
 *
 * An update is posted and never waited for here: the question may have come
 * while a call for this very device waits.
 *
 * virtio 1.3, 6.2 (VIRTIO_F_ACCESS_PLATFORM); vhost-user specification,
 * "IOMMU support".
 */
#include "core/iommu.h"

#include <errno.h>
#include <string.h>

#include "backend/ops.h"
#include "mem/table.h"
#include "ring/layout.h"
#include "util/error.h"

#define F_ACCESS_PLATFORM 33

bool vhost_dev_has_iommu(struct vhost_dev *dev)
{
    return dev->vdev && dev->priv->iommu;
}

void vh_core_iommu_settle(struct vhost_dev *dev)
{
    dev->priv->iommu =
        dev->vdev && dev->vdev->iommu && vh_core_has(dev, F_ACCESS_PLATFORM);
}

/* The part of @entry around @iova that lies in one region of the back end. */
static int cut_to_region(struct vhost_dev *dev, uint64_t iova,
                         const struct vhost_iommu_entry *entry,
                         struct vhost_iotlb_msg *msg)
{
    uint64_t gpa = entry->gpa + (iova - entry->iova);
    const struct vhost_memory_section *s = vh_mem_table_find(
        dev->mem_sections, (size_t)dev->n_mem_sections, gpa, 1);
    uint64_t before, after; /* bytes of the piece on either side of iova */

    if (!s) {
        return vh_be_fail(dev, -EFAULT, "IOTLB", VH_NO_QUEUE,
                          "iova %#llx leads to %#llx, which is not in memory "
                          "that the back end sees",
                          (unsigned long long)iova, (unsigned long long)gpa);
    }
    before = iova - entry->iova;
    if (before > gpa - s->gpa) {
        before = gpa - s->gpa;
    }
    after = entry->size - (iova - entry->iova);
    if (after > s->size - (gpa - s->gpa)) {
        after = s->size - (gpa - s->gpa);
    }
    *msg = (struct vhost_iotlb_msg){
        .iova = iova - before,
        .size = before + after,
        .uaddr = (uint64_t)(uintptr_t)s->hva + (gpa - before - s->gpa),
        .perm = (uint8_t)entry->access,
        .type = VHOST_IOTLB_UPDATE,
    };
    return 0;
}

static int check_entry(struct vhost_dev *dev, uint64_t iova, bool write,
                       const struct vhost_iommu_entry *entry)
{
    uint32_t wanted = write ? VHOST_IOMMU_WRITE : VHOST_IOMMU_READ;

    if (entry->size == 0 || iova < entry->iova ||
        iova - entry->iova >= entry->size ||
        entry->iova + (entry->size - 1) < entry->iova ||
        entry->gpa + (entry->size - 1) < entry->gpa ||
        entry->access > VHOST_IOMMU_READ_WRITE) {
        return vh_be_fail(
            dev, -EINVAL, "IOTLB", VH_NO_QUEUE,
            "the translation of iova %#llx makes no sense: "
            "%#llx bytes from iova %#llx to %#llx",
            (unsigned long long)iova, (unsigned long long)entry->size,
            (unsigned long long)entry->iova, (unsigned long long)entry->gpa);
    }
    if (!(entry->access & wanted)) {
        return vh_be_fail(dev, -EFAULT, "IOTLB", VH_NO_QUEUE,
                          "the guest allows no %s at iova %#llx",
                          write ? "write" : "read", (unsigned long long)iova);
    }
    return 0;
}

static int translate(struct vhost_dev *dev, uint64_t iova, bool write,
                     struct vhost_iotlb_msg *msg)
{
    struct vhost_iommu_entry entry = { .size = 0 };
    int r = dev->vdev->iommu->translate(dev->vdev, iova, write, &entry);

    if (r < 0) {
        return r == -EINPROGRESS
                   ? r
                   : vh_be_fail(dev, r, "IOTLB", VH_NO_QUEUE,
                                "there is no translation of iova %#llx",
                                (unsigned long long)iova);
    }
    r = check_entry(dev, iova, write, &entry);
    return r < 0 ? r : cut_to_region(dev, iova, &entry, msg);
}

int vh_core_iotlb_post(struct vhost_dev *dev, uint64_t iova, bool write)
{
    struct vhost_iotlb_msg msg;
    int r;

    if (!vhost_dev_has_iommu(dev)) {
        return vh_be_fail(dev, -EINVAL, "IOTLB", VH_NO_QUEUE,
                          "the device is not started, or has no IOMMU");
    }
    r = translate(dev, iova, write, &msg);
    return r < 0 ? r : vh_be_send_iotlb(dev, &msg);
}

void *vh_core_iommu_hva(struct vhost_dev *dev, uint64_t iova, uint64_t size)
{
    struct vhost_iotlb_msg msg = { .iova = 0 };

    if (translate(dev, iova, false, &msg) < 0 ||
        msg.size - (iova - msg.iova) < size) {
        return NULL;
    }
    return (void *)(uintptr_t)(msg.uaddr + (iova - msg.iova));
}

void vh_core_iotlb_fault(struct vhost_dev *dev, uint64_t iova, bool write)
{
    if (vhost_dev_has_iommu(dev) && dev->vdev->iommu->fault) {
        dev->vdev->iommu->fault(dev->vdev, iova, write);
    }
}

int vhost_device_iotlb_miss(struct vhost_dev *dev, uint64_t iova, int write)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_silent(dev, "IOTLB");
    if (r == 0) {
        r = vh_core_iotlb_post(dev, iova, write != 0);
    }
    if (r == 0) {
        r = vh_core_fault(dev, vh_be_sync(dev));
    }
    return r;
}

/*
 * The device writes to its used ring, and looks at the others, before anything
 * else: what it would ask for first it is told beforehand.  A page that the
 * guest has not mapped yet is no reason not to start.
 */
int vh_core_iotlb_prime(struct vhost_dev *dev)
{
    for (unsigned i = 0; i < dev->nvqs; i++) {
        const struct vhost_vdev_queue *q =
            &dev->vdev->queues[(unsigned)dev->vq_index + i];
        const struct {
            uint64_t iova;
            bool write;
        } areas[] = { { q->desc, vh_core_has(dev, VH_RING_F_PACKED) },
                      { q->avail, false },
                      { q->used, true } };

        for (size_t k = 0; q->desc != 0 && k < 3; k++) {
            struct vhost_iotlb_msg msg;
            int r = translate(dev, areas[k].iova, areas[k].write, &msg);

            r = r < 0 ? 0 : vh_be_send_iotlb(dev, &msg);
            if (r < 0) {
                return r;
            }
        }
    }
    vh_core_enter(dev); /* of those that have no translation yet */
    return 0;
}

static int invalidate(struct vhost_dev *dev, uint64_t iova, uint64_t size)
{
    struct vhost_iotlb_msg msg = {
        .iova = iova,
        .size = size,
        .type = VHOST_IOTLB_INVALIDATE,
    };
    int r = vh_be_send_iotlb(dev, &msg);

    return r < 0 ? r : vh_be_sync(dev);
}

/* A cache that is asked to forget would ask again: one that can't must not. */
static bool heeds_device_unmap(const struct vhost_dev *dev)
{
    return dev->priv->device_iotlb && vh_core_iommu_asks(dev);
}

int vhost_iommu_invalidate(struct vhost_vdev *vdev, uint64_t iova,
                           uint64_t size, enum vhost_iommu_unmap kind)
{
    struct vhost_dev *dev = vdev->dev;

    if (size == 0 || iova + (size - 1) < iova) {
        return -EINVAL;
    }
    if (!dev || !vhost_dev_has_iommu(dev) || !vh_core_talks(dev) ||
        (kind == VHOST_IOMMU_DEVICE_UNMAP) != heeds_device_unmap(dev)) {
        return 0;
    }
    return invalidate(dev, iova, size);
}

int vh_core_iotlb_forget(struct vhost_dev *dev)
{
    /* In halves: no size says 2^64. */
    int low = invalidate(dev, 0, UINT64_C(1) << 63);
    int high = invalidate(dev, UINT64_C(1) << 63, UINT64_C(1) << 63);

    return low < 0 ? low : high;
}

void vhost_toggle_device_iotlb(struct vhost_vdev *vdev)
{
    struct vhost_dev *dev = vdev->dev;

    if (!dev || dev->priv->device_iotlb == vdev->device_iotlb) {
        return;
    }
    dev->priv->device_iotlb = vdev->device_iotlb;
    if (vhost_dev_has_iommu(dev) && vh_core_talks(dev) &&
        vh_core_iommu_asks(dev)) {
        vh_core_iotlb_forget(dev);
    }
}
