/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a back end asks of the device: the one table that leads upwards.
 *
 * The core sets dev->upcalls before it takes up the back end.  Entries are
 * called in the thread that waits for the back end, or that dispatches, from
 * inside its call: so they must not wait for the back end themselves, but may
 * post.
 */
#ifndef VH_BACKEND_UPCALLS_H
#define VH_BACKEND_UPCALLS_H

#include <stdbool.h>
#include <stdint.h>

struct vhost_dev;

struct vh_upcalls {
    /** @config_changed: the configuration space is another */
    void (*config_changed)(struct vhost_dev *dev);

    /** @iotlb_miss: tell the translation of @iova; 0 or a negative errno */
    int (*iotlb_miss)(struct vhost_dev *dev, uint64_t iova, bool write);

    /** @iotlb_fail: @iova could not be accessed */
    void (*iotlb_fail)(struct vhost_dev *dev, uint64_t iova, bool write);

    /** @vring_call: as if the call fd of a queue had been written to; -EINVAL
     * if there is no such queue */
    int (*vring_call)(struct vhost_dev *dev, unsigned queue);

    /** @vring_err: the same for its error fd */
    int (*vring_err)(struct vhost_dev *dev, unsigned queue);
};

#endif
