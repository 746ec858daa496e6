/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device is to the server: it takes buffers, and gives them back, at
 * once or later.
 */
#ifndef VH_SERVER_DEVICE_H
#define VH_SERVER_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/error.h>
#include <vhost/server.h>

#include "ring/devring.h"

struct vh_squeue;

struct vh_server_device_ops {
    /** @open: get ready; also whatever may fail with words */
    int (*open)(struct vhost_server_device *device, struct vhost_error **errp);
    /** @free: close it; requests are finished; also after a failed open */
    void (*free)(struct vhost_server_device *device);
    /** @get_config: @size bytes of the configuration space, zero filled */
    void (*get_config)(struct vhost_server_device *device, uint8_t *config,
                       uint32_t size);
    /**
     * @queue_start: ready for a ring of queue->size entries, under the features
     *     of the session
     * Return 0, -ENOMEM, or -EINVAL, with session.why.
     */
    int (*queue_start)(struct vhost_server_device *device,
                       struct vh_squeue *queue);
    /** @announce: a guest with this address is here now; or NULL */
    void (*announce)(struct vhost_server_device *device, const uint8_t *mac);
    /**
     * @set_mtu: what the guest is told; 0: what the device has; or NULL
     * Return NULL, or in words why not.
     */
    const char *(*set_mtu)(struct vhost_server_device *device, uint64_t mtu);
    /** @save: its state; @body has VH_STATE_BODY_MAX bytes.  Return how many */
    size_t (*save)(const struct vhost_server_device *device, uint8_t *body);
    /**
     * @load: take over a state that somebody calls its own
     * Return NULL, or in words what is wrong with it: then nothing has changed.
     */
    const char *(*load)(struct vhost_server_device *device, const uint8_t *body,
                        size_t len);
    /**
     * @refresh: look again at what it serves; or NULL
     * Return 0, or a negative errno, in words; then it is as it was.
     */
    int (*refresh)(struct vhost_server_device *device,
                   struct vhost_error **errp);

    /** @reset: forget what a driver has told; no queue runs; or NULL */
    void (*reset)(struct vhost_server_device *device);
    /**
     * @serve: take a buffer, whose iovecs may change after the call
     * Return NULL, or in words what is wrong with it: the ring is broken then.
     */
    const char *(*serve)(struct vhost_server_device *device,
                         struct vh_squeue *queue, struct vh_chain *chain);
    /**
     * @submit: the round is over: begin what was taken
     * Return false if not all of it could be begun.
     */
    bool (*submit)(struct vhost_server_device *device);
    /**
     * @let_go: a queue is to stop without its requests: vh_squeue_leave() for
     *     each that can be called back, now or in a reap to come; or NULL
     */
    void (*let_go)(struct vhost_server_device *device, struct vh_squeue *queue);
    /**
     * @reap: hand back what is done, by vh_squeue_complete()
     * @wait: wait until something is done, if anything is under way.
     * Return how many were handed back since the last reap.
     */
    unsigned (*reap)(struct vhost_server_device *device, bool wait);
    /**
     * @arm: before a sleep: let event_fd speak, until the next submit
     * Return true if something is done already.
     */
    bool (*arm)(struct vhost_server_device *device);
};

/*
 * Queues that are fed: their buffers stay in the ring until something comes
 * from outside that is to lie in them.
 */
struct vh_server_input_ops {
    /** @is_fed: is it one, under the features that queue_start() saw? */
    bool (*is_fed)(struct vhost_server_device *device, unsigned queue);
    /** @fd: that gives an edge when input comes; -1: none */
    int (*fd)(struct vhost_server_device *device, unsigned queue);
    /** @wake: it did.  Return false if other input waits for buffers still */
    bool (*wake)(struct vhost_server_device *device, unsigned queue);
    /**
     * @feed: the queue's turn: take buffers by vh_squeue_take() for what there
     *     is, and complete them
     * Return true if anything was done.
     */
    bool (*feed)(struct vhost_server_device *device, struct vh_squeue *queue);
    /** @has_input: feed() had some, and missed buffers */
    bool (*has_input)(struct vhost_server_device *device, unsigned queue);
    /**
     * @stop: the ring goes away
     * Return how many buffers were taken and not completed: the last ones.
     */
    unsigned (*stop)(struct vhost_server_device *device,
                     struct vh_squeue *queue);
};

/*
 * What a device shares with the front end: asked for only if the device offers
 * SHARED_OBJECT or SHMEM.
 */
struct vh_server_share_ops {
    /** @object: the file of an object, an fd that is lent; -1: there is none */
    int (*object)(struct vhost_server_device *device, const uint8_t *uuid);
    /** @shmem_size: of a shared memory region; 0: there is none */
    uint64_t (*shmem_size)(struct vhost_server_device *device, uint8_t id);
};

/* What every device has; each one's own struct begins with it. */
struct vhost_server_device {
    const struct vh_server_device_ops *ops;
    const struct vh_server_input_ops *input; /* NULL: no queue is fed */
    const struct vh_server_share_ops *share; /* NULL: it shares nothing */
    uint16_t type;                           /* VIRTIO_ID_… */
    uint64_t features;                       /* of its type; set by open */
    uint64_t protocol;                       /* protocol features, likewise */
    unsigned n_queues;
    unsigned n_queues_told; /* what GET_QUEUE_NUM answers */
    uint32_t queue_size_max;
    int event_fd;     /* an edge when reap() has something; -1: never */
    const char *what; /* for messages, set by open */
};

#endif
