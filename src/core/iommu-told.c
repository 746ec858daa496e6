/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Back ends behind an IOMMU that can't ask: the kernel has no way for a vDPA
 * device to say what it misses.  It would fail at the first address that it
 * has not been told of, so it is told of all there are, and that before it
 * hears of any ring: hardware looks there as soon as it may.
 *
 * An entry may lead to several of the back end's regions, and to what is none:
 * each part that is memory is told by itself.
 */
#include "core/iommu.h"

#include <errno.h>

#include "backend/ops.h"
#include "util/error.h"

bool vh_core_iommu_asks(const struct vhost_dev *dev)
{
    return dev->vhost_ops->backend_type != VHOST_BACKEND_TYPE_VDPA;
}

static bool makes_sense(const struct vhost_iommu_entry *entry)
{
    return entry->size != 0 && entry->iova + (entry->size - 1) >= entry->iova &&
           entry->gpa + (entry->size - 1) >= entry->gpa &&
           entry->access != VHOST_IOMMU_NONE &&
           entry->access <= VHOST_IOMMU_READ_WRITE;
}

/* As far as @entry leads to @section. */
static int tell_part(struct vhost_dev *dev,
                     const struct vhost_iommu_entry *entry,
                     const struct vhost_memory_section *section)
{
    uint64_t last = entry->gpa + (entry->size - 1);
    uint64_t end = section->gpa + (section->size - 1);
    uint64_t from = entry->gpa > section->gpa ? entry->gpa : section->gpa;
    uint64_t to = last < end ? last : end;
    struct vhost_iotlb_msg msg = {
        .iova = entry->iova + (from - entry->gpa),
        .size = to - from + 1,
        .uaddr = (uint64_t)(uintptr_t)section->hva + (from - section->gpa),
        .perm = (uint8_t)entry->access,
        .type = VHOST_IOTLB_UPDATE,
    };

    return from > to ? 0 : vh_be_send_iotlb(dev, &msg);
}

int vhost_iommu_map(struct vhost_vdev *vdev,
                    const struct vhost_iommu_entry *entry)
{
    struct vhost_dev *dev = vdev->dev;
    int r = 0;

    if (!makes_sense(entry)) {
        return -EINVAL;
    }
    if (!dev || !vhost_dev_has_iommu(dev) || !vh_core_talks(dev) ||
        vh_core_iommu_asks(dev)) {
        return 0;
    }
    for (int i = 0; r == 0 && i < dev->n_mem_sections; i++) {
        r = tell_part(dev, entry, &dev->mem_sections[i]);
    }
    return r;
}

int vh_core_iommu_tell(struct vhost_dev *dev)
{
    int r = 0;

    if (!vhost_dev_has_iommu(dev) || vh_core_iommu_asks(dev)) {
        return 0;
    }
    if (dev->vdev->iommu->replay) {
        r = dev->vdev->iommu->replay(dev->vdev);
        if (r < 0) { /* words of the back end's own come first */
            vh_be_fail(dev, r, "IOTLB", VH_NO_QUEUE,
                       "the owner could not tell which translations there are");
        }
        return r;
    }
    return vh_core_iotlb_prime(dev);
}

int vhost_iommu_replay(struct vhost_vdev *vdev)
{
    struct vhost_dev *dev = vdev->dev;
    int r;

    if (!dev || !vhost_dev_has_iommu(dev) || !vh_core_talks(dev)) {
        return 0;
    }
    vh_core_enter(dev);
    r = vh_core_iotlb_forget(dev);
    return r < 0 ? r : vh_core_iommu_tell(dev);
}
