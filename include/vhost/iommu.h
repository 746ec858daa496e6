/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio device behind an IOMMU: the back end's device IOTLB.
 *
 * The driver of such a device (VIRTIO_F_ACCESS_PLATFORM acknowledged) gives IO
 * virtual addresses, in rings and for rings.  The back end asks for what it
 * does not know; the library has the owner translate it, and tells the back
 * end where in its memory that is.  When the guest takes a translation back,
 * the owner says so by vhost_iommu_invalidate().
 *
 *     vdev.iommu = &(struct vhost_iommu_ops){ .translate = walk_page_tables };
 *     vhost_dev_start(&dev, &vdev, true);
 *     …
 *     vhost_iommu_invalidate(&vdev, iova, size, VHOST_IOMMU_UNMAP);
 *
 * A vDPA device can't ask: it has to be told of each translation before the
 * driver uses it.  Its owner has a replay too, which tells of all that there
 * are when the device starts, and vhost_iommu_map() for those that come later.
 */
#ifndef VHOST_IOMMU_H
#define VHOST_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;
struct vhost_vdev;

/** What an access may do; as VHOST_ACCESS_… of <linux/vhost_types.h>. */
enum vhost_iommu_access {
    VHOST_IOMMU_NONE = 0,
    VHOST_IOMMU_READ = 1,
    VHOST_IOMMU_WRITE = 2,
    VHOST_IOMMU_READ_WRITE = 3,
};

/** Which kind of invalidation the guest asked for; see
 * vhost_toggle_device_iotlb().
 */
enum vhost_iommu_unmap {
    VHOST_IOMMU_UNMAP = 0,        /* of the IOMMU */
    VHOST_IOMMU_DEVICE_UNMAP = 1, /* of the device's own IOTLB */
};

/**
 * struct vhost_iommu_entry - a translation
 * @iova: where it begins
 * @size: bytes, not 0; @iova + @size may be 2^64 but not more
 * @gpa: guest-physical address of its first byte; one that is not in the
 *     memory map in whole is used as far as it is
 * @access: an enum vhost_iommu_access: what the guest allows
 */
struct vhost_iommu_entry {
    uint64_t iova;
    uint64_t size;
    uint64_t gpa;
    uint32_t access;
    uint32_t reserved;
};

/**
 * struct vhost_iommu_ops - what the library asks of the owner
 *
 * Called in the control thread, from vhost_dev_dispatch() or from inside
 * another call for the device while that waits, and must not call back into
 * the device, vhost_iommu_invalidate() and vhost_iommu_map() apart.
 */
struct vhost_iommu_ops {
    /**
     * @translate: which translation holds @iova?  Required.
     * @write: the access is a write; one that the guest does not allow is for
     *     the library to refuse
     * @entry: zeroed; filled in.  The larger, the fewer questions
     * Return 0; -EFAULT if there is none, which the back end is not told: it
     * asks again or gives up; -EINPROGRESS if it takes long: the owner calls
     * vhost_device_iotlb_miss() when he knows.
     */
    int (*translate)(struct vhost_vdev *vdev, uint64_t iova, bool write,
                     struct vhost_iommu_entry *entry);

    /** @fault: the back end could not access @iova; or NULL */
    void (*fault)(struct vhost_vdev *vdev, uint64_t iova, bool write);

    /**
     * @replay: tell of every translation that there is, by vhost_iommu_map();
     * or NULL: those that the rings begin in are asked for, and no more
     * Called for back ends that can't ask (vDPA): when the device starts,
     * before any ring, and by vhost_iommu_replay().
     * Return 0, or a negative errno, which fails that call.
     */
    int (*replay)(struct vhost_vdev *vdev);

    void (*reserved[3])(void);
};

/**
 * vhost_dev_has_iommu() - does the device speak in IO virtual addresses?
 * @dev: a device
 *
 * That is settled when it starts, and holds until it has stopped: its owner
 * gave vdev->iommu, and its driver acknowledged VIRTIO_F_ACCESS_PLATFORM.
 *
 * Return: true if it does; false while it is not started.
 */
bool vhost_dev_has_iommu(struct vhost_dev *dev);

/**
 * vhost_device_iotlb_miss() - tell the back end of the translation of @iova
 * @dev: a started device with an IOMMU
 * @iova: any address in it
 * @write: the back end wants to write there
 *
 * Done by the library when the back end asks; by the owner after -EINPROGRESS,
 * or ahead of time.
 *
 * Return: 0; what the owner's translate failed with; -EFAULT if the guest does
 * not allow the access, or if it leads to no memory of the map; -EINVAL if the
 * device is not started or has no IOMMU; or what the back end failed with.
 */
int vhost_device_iotlb_miss(struct vhost_dev *dev, uint64_t iova, int write);

/**
 * vhost_iommu_invalidate() - the guest has taken translations back
 * @vdev: the virtio device
 * @iova: where they begin
 * @size: bytes, not 0; @iova + @size may be 2^64 but not more
 * @kind: by which request of the guest; those of the kind that is not in force
 *     are none of the back end's business.  One that can't ask heeds
 *     VHOST_IOMMU_UNMAP alone, always
 *
 * On return the back end does not use them any more.  Any thread, but not
 * against the start or the stop of the device.
 *
 * Return: 0, also if no device runs or has an IOMMU; -EINVAL for a range that
 * can't be; or what the back end failed with.
 */
int vhost_iommu_invalidate(struct vhost_vdev *vdev, uint64_t iova,
                           uint64_t size, enum vhost_iommu_unmap kind);

/**
 * vhost_iommu_map() - the guest has made a translation
 * @vdev: the virtio device
 * @entry: copied; parts of it that lead to no memory of the map are left out
 *
 * For back ends that can't ask (vDPA).  One that is there already is replaced
 * where it says something else.  Any thread, but not against the start or the
 * stop of the device, unless from inside @replay.
 *
 * Return: 0, also if no device runs, or its back end asks for what it needs;
 * -EINVAL for an entry that makes no sense, or allows no access; or what the
 * back end failed with: then it may have none of them, see
 * vhost_iommu_replay().
 */
int vhost_iommu_map(struct vhost_vdev *vdev,
                    const struct vhost_iommu_entry *entry);

/**
 * vhost_iommu_replay() - all translations are others from now on
 * @vdev: the virtio device
 *
 * As when the guest switches its IOMMU on or off, or gives the device to
 * another set of tables.  All that the back end knows is taken back; one that
 * can't ask is then told what @replay tells.
 *
 * Return: 0, also if no device runs or has an IOMMU; what @replay or the back
 * end failed with.
 */
int vhost_iommu_replay(struct vhost_vdev *vdev);

/**
 * vhost_toggle_device_iotlb() - the guest has turned address translation
 * services of the device on or off
 * @vdev: the virtio device; its device_iotlb says which
 *
 * With them the guest invalidates the device's own IOTLB by a request of its
 * own (VHOST_IOMMU_DEVICE_UNMAP), without them whatever it unmaps from the
 * IOMMU counts.  All that the back end knows is invalidated, since nobody can
 * tell which requests fell in between; but not what one knows that can't ask.
 */
void vhost_toggle_device_iotlb(struct vhost_vdev *vdev);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
