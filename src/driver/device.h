/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio device that this program drives, of whatever class: a connection,
 * memory that the back end sees, features, queues.
 *
 *     vh_device_open()    connect, negotiate; the configuration can be read
 *     vh_device_start()   queues, memory, go
 *     vh_device_close()   from wherever it stands
 *
 * Threads: control thread, but for vh_device_is_gone() and
 * vh_device_look_alive(), which are for queue threads.
 */
#ifndef VH_DRIVER_DEVICE_H
#define VH_DRIVER_DEVICE_H

#include <pthread.h>
#include <stdbool.h>

#include <vhost/vhost.h>

#include "driver/link.h"
#include "driver/pool.h"
#include "driver/virtq.h"
#include "util/atomic.h"

/**
 * struct vh_device_spec - what a class driver, and its user, want
 * @device_id: virtio device type
 * @feature_bits: that the driver can use; ended by VHOST_INVALID_FEATURE_BIT
 * @trim: of the features that the device offers, those to take; or NULL: all
 * @queues: how many, not 0
 * @num_queues: of those that the back end counts; 0: it is not asked
 * @queue_size: entries of each; @control: the last is a control queue
 * @layout: an enum vhost_layout
 * @best_layouts: see vh_layout_choose()
 * @polling: no calls; @spin_us: see struct vhost_blk_options
 * @pool_size: bytes of memory to hand out
 * @huge_pages: for that memory
 * @lost: the back end is gone, in words; called by vh_device_dispatch()
 * @reconnect_ms: look for it so long; 0: not at all; VHOST_RECONNECT_ALWAYS
 * @renew: it is back: take what is used from the ring of a queue, and make a
 *     new one with the rest; no thread is in it.  0 or a negative errno
 * @resumed: it goes on; called as @lost is
 */
struct vh_device_spec {
    uint32_t device_id;
    const int *feature_bits;
    uint64_t (*trim)(struct vh_device *device, uint64_t features);
    unsigned queues;
    unsigned num_queues;
    uint32_t queue_size;
    unsigned layout;
    const unsigned *best_layouts;
    bool control;
    bool polling;
    unsigned spin_us;
    size_t pool_size;
    bool huge_pages;
    void (*lost)(struct vh_device *device, const char *reason);
    unsigned reconnect_ms;
    int (*renew)(struct vh_device *device, unsigned index);
    void (*resumed)(struct vh_device *device);
};

struct vh_device {
    struct vhost_dev dev;
    struct vhost_vdev vdev;
    struct vh_link link;
    struct vhost_memory_map *map;
    struct vh_pool *pool;
    struct vhost_virtqueue *vqs;
    struct vhost_vdev_queue *rings;
    struct vh_virtq *queues; /* spec.queues of them, once started */
    struct vh_device_spec spec;
    uint64_t offered;  /* of the feature_bits */
    uint64_t features; /* as negotiated */
    bool config_changed;
    int control_fd; /* of our own; its hang-up: the back end is gone */
    int gone;       /* any thread sets it, none clears it */
    bool returns;   /* the back end, if it goes */
    pthread_t control;
};

/**
 * vh_device_open() - connect and negotiate
 * @device: zeroed
 * @link: given, also on failure
 * @spec: copied; its feature_bits are lent
 * @errp: why
 *
 * Return: 0; -ENOTSUP for a device without VIRTIO_F_VERSION_1; -EINVAL if it has
 * too few queues; or as vhost_dev_init().  vh_device_close() in either case.
 */
int vh_device_open(struct vh_device *device, struct vh_link link,
                   const struct vh_device_spec *spec,
                   struct vhost_error **errp);

/**
 * vh_device_reset_queue() - take one queue back, and hand it over as new
 * @device: started
 * @index: of the queue, which its thread does not use
 * @drop: told of each buffer that was in flight
 * @arg: for @drop
 * @errp: why it failed
 *
 * Return: 0 or a negative errno.
 */
int vh_device_reset_queue(struct vh_device *device, unsigned index,
                          void (*drop)(void *arg, void *cookie), void *arg,
                          struct vhost_error **errp);

/**
 * vh_device_start() - set up the queues, and hand them over
 * @device: open
 * @indirect_len: descriptors in an indirect table, where they are negotiated
 * @extra: bytes that the class driver will allocate for each queue
 * @errp: why it failed; vh_device_close() in either case
 */
int vh_device_start(struct vh_device *device, uint16_t indirect_len,
                    size_t extra, struct vhost_error **errp);

/** vh_device_close() - stop, disconnect, give all memory back, from wherever it
 * stands; @busy: requests are in flight, so that stopping may take long */
void vh_device_close(struct vh_device *device, bool busy);

/** vh_device_dispatch() - serve the control channel; 0, or a negative errno once
 * the back end is gone or broken */
int vh_device_dispatch(struct vh_device *device, struct vhost_error **errp);

/* See vhost_blk_map(). */
int vh_device_map(struct vh_device *device, void *addr, size_t size, int fd,
                  uint64_t fd_offset, struct vhost_error **errp);

/* Was a feature negotiated? */
static inline bool vh_device_has(const struct vh_device *device, unsigned bit)
{
    return (device->features >> bit) & 1;
}
/* Does it tell its configuration? */
bool vh_device_has_config(const struct vh_device *device);
/* Is the back end known to be gone? */
static inline bool vh_device_is_gone(const struct vh_device *device)
{
    return VH_READ_ONCE(device->gone) != 0;
}

/* Ask the system. */
bool vh_device_look_alive(struct vh_device *device);

#endif
