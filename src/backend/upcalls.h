/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a back end asks of the device: the one table that leads upwards.
 *
 * The core sets dev->upcalls before it takes up the back end.  Entries are
 * called in the thread that waits for the back end, or that dispatches, from
 * inside its call: so they must not wait for the back end themselves, but may
 * post.  Nor may they wait for a lock under which another thread waits for it.
 *
 * Return, where not told: 0, or a negative errno, with which the request is
 * refused.
 */
#ifndef VH_BACKEND_UPCALLS_H
#define VH_BACKEND_UPCALLS_H

#include <stdbool.h>
#include <stdint.h>

struct vhost_dev;

/* A piece of a file at a place in a shared memory region. */
struct vh_shmem_piece {
    uint8_t id; /* of the region */
    bool writable;
    int fd; /* lent; -1 where a piece is only named */
    uint64_t fd_offset;
    uint64_t offset; /* in the region */
    uint64_t len;
};

struct vh_upcalls {
    /** @config_changed: the configuration space is another */
    void (*config_changed)(struct vhost_dev *dev);

    /** @iotlb_miss: tell the translation of @iova */
    int (*iotlb_miss)(struct vhost_dev *dev, uint64_t iova, bool write);

    /** @iotlb_fail: @iova could not be accessed */
    void (*iotlb_fail)(struct vhost_dev *dev, uint64_t iova, bool write);

    /** @vring_call: as if the call fd of a queue had been written to; -EINVAL
     * if there is no such queue */
    int (*vring_call)(struct vhost_dev *dev, unsigned queue);

    /** @vring_err: the same for its error fd */
    int (*vring_err)(struct vhost_dev *dev, unsigned queue);

    /** @host_notifier: a page of doorbell for a queue; @fd is lent, -1: take
     * the one there was away */
    int (*host_notifier)(struct vhost_dev *dev, unsigned queue, int fd,
                         uint64_t offset, uint64_t size);

    /** @object_add: it has an object by this name; what that is, object_is()
     * will tell */
    int (*object_add)(struct vhost_dev *dev, const uint8_t *uuid);

    /** @object_is: the file of an object that was added; @fd is given, -1: the
     * back end does not give it */
    void (*object_is)(struct vhost_dev *dev, const uint8_t *uuid, int fd);

    /** @object_remove: the object that it had added is no more */
    int (*object_remove)(struct vhost_dev *dev, const uint8_t *uuid);

    /** @object_lookup: return its file, an fd that is given, or a negative
     * errno */
    int (*object_lookup)(struct vhost_dev *dev, const uint8_t *uuid);

    /** @shmem_map, @shmem_unmap: show a piece of a file to the driver */
    int (*shmem_map)(struct vhost_dev *dev, const struct vh_shmem_piece *piece);
    int (*shmem_unmap)(struct vhost_dev *dev,
                       const struct vh_shmem_piece *piece);

    /** @disconnected: what it shared is to be let go */
    void (*disconnected)(struct vhost_dev *dev);
};

#endif
