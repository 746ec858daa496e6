/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtio device as its owner describes it: queues, addresses, eventfds.
 *
 * The owner (a VMM, or libvhost's own drivers) fills this in once the
 * device's driver has set it up, and lends it to vhost_dev_start().  What
 * the library changes is marked "out"; the rest it only reads.
 */
#ifndef VHOST_VDEV_H
#define VHOST_VDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;
struct vhost_iommu_ops;
struct vhost_notifier;
struct vhost_vdev;

/** Where the base that a stopped queue reports comes from. */
enum vhost_base_source {
    VHOST_BASE_UNSET = 0,       /* never stopped, or not set up */
    VHOST_BASE_FROM_DEVICE = 1, /* the back end told it */
    VHOST_BASE_RECOVERED = 2,   /* read from the used ring */
    VHOST_BASE_UNKNOWN = 3,     /* the back end is gone, the ring can't tell */
};

/**
 * struct vhost_vdev_queue - one virtqueue
 * @size: entries
 * @base: in and out: where the back end goes on.  Split: the available index
 *     (16 bits); packed: bits 0-14 available index, 15 its wrap counter,
 *     16-30 used index, 31 its wrap counter
 * @base_source: out: where @base comes from, an enum vhost_base_source
 * @desc: descriptor area, guest-physical (IOVA with an IOMMU); 0: not set up
 * @avail: driver area, likewise
 * @used: device area, likewise
 * @kick_fd: eventfd that tells the back end of new buffers; -1: it polls; lent
 * @call_fd: eventfd that tells the driver of used ones; -1: it polls; lent
 */
struct vhost_vdev_queue {
    uint32_t size;
    uint32_t base;
    uint32_t base_source;
    uint32_t flags; /* none yet: 0 */
    uint64_t desc;
    uint64_t avail;
    uint64_t used;
    int kick_fd;
    int call_fd;
    uint64_t reserved[4];
};

/**
 * struct vhost_vdev_ops - what the library asks of the device's owner
 *
 * Each may be NULL.  They are called in the control thread, from inside the
 * libvhost call that is named, and must not call back into the same device.
 */
struct vhost_vdev_ops {
    /**
     * @notifier_begin: a batch of notifier_assign calls begins
     * Called by vhost_dev_enable_notifiers() and _disable_notifiers(), so
     * that a VMM can gather its ioeventfds into one change of its map.
     */
    void (*notifier_begin)(struct vhost_vdev *vdev);

    /**
     * @notifier_assign: route the doorbell of a queue to its kick_fd, or not
     * Called by vhost_dev_enable_notifiers() and _disable_notifiers().
     * Return 0 or a negative errno; a failure undoes those done before.
     */
    int (*notifier_assign)(struct vhost_vdev *vdev, unsigned queue,
                           bool assign);

    /** @notifier_commit: the batch is complete; fds may be closed after it */
    void (*notifier_commit)(struct vhost_vdev *vdev);

    /**
     * @vring_error: the back end raised the error eventfd of a queue
     * Called by vhost_dev_dispatch() while the device is started.
     */
    void (*vring_error)(struct vhost_vdev *vdev, unsigned queue);

    /**
     * @lost: the back end is gone; @reason in words
     * Called by vhost_dev_dispatch(), once, while the device is started.  The
     * owner then calls vhost_dev_stop().
     */
    void (*lost)(struct vhost_vdev *vdev, const char *reason);

    /**
     * @host_notifier: a page that rings the doorbell of a queue, or none
     * The back end gave a page of @size bytes, and whoever writes there has
     * kicked the queue; @page NULL takes it away.  The owner may show it to the
     * guest from this call to the next for the same queue, and is done with the
     * one before when it returns.  Called while the queue is being started, is
     * started or is being stopped, by whatever call talks to the back end, and
     * so in any thread that does: it must not call back into the library.
     * Return 0, or a negative errno: it has no use for it.
     */
    int (*host_notifier)(struct vhost_vdev *vdev, unsigned queue, void *page,
                         size_t size);

    void (*reserved[7])(void);
};

/**
 * struct vhost_vdev - a virtio device
 * @device_id: virtio device type (2: block); 0 if unknown
 * @nqueues: how many @queues there are
 * @queues: lent while the device is started
 * @ops: what the owner can do; NULL: none of it
 * @opaque: the owner's own
 * @big_endian: a legacy device in a big-endian guest
 * @vhost_started: out: a back end runs it
 * @device_iotlb: see vhost_toggle_device_iotlb()
 * @iommu: translates for a device behind an IOMMU; NULL: it is behind none.
 *     Lent while the device is started; see iommu.h
 * @config_notifier: the guest's interrupt for changes of the configuration,
 *     for back ends that raise it themselves (vDPA); NULL: changes are told by
 *     the configuration notifier, see vhost_dev_set_config_notifier().  Lent
 *     while the device is started
 * @dev: out: the device that runs it, while it is started
 */
struct vhost_vdev {
    uint32_t device_id;
    unsigned nqueues;
    struct vhost_vdev_queue *queues;
    const struct vhost_vdev_ops *ops;
    void *opaque;
    bool big_endian;
    bool vhost_started;
    bool device_iotlb;
    const struct vhost_iommu_ops *iommu;
    struct vhost_dev *dev;
    struct vhost_notifier *config_notifier;
    uint64_t reserved[3];
};

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
