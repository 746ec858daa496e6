/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue of a device that this program drives: its ring, its doorbell, and
 * how to wait for it.  What goes into the buffers is the class driver's.
 *
 * Threads: one at a time, without locks; open and close in the control
 * thread.
 */
#ifndef VH_DRIVER_VIRTQ_H
#define VH_DRIVER_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/notifier.h>

#include "ring/ring.h"
#include "util/atomic.h"

struct vh_device;

struct vh_virtq {
    struct vh_ring *ring;
    struct vh_device *device;
    unsigned index;
    uint32_t size; /* entries */
    int failed;   /* 0; -EPROTO: ring broken; -ENOTCONN: back end gone */
    bool watched; /* the program polls the call fd itself */
    uint16_t indirect_len;
    unsigned idle;      /* how often vh_virtq_idle() was called */
    int64_t spin_ns;    /* how long to look before a sleep, this time */
    int64_t spin_max;   /* and at most */
    int64_t last_alive; /* when we last asked whether the back end lives */
    struct vhost_notifier kick;
    struct vhost_notifier call; /* fd -1 on a polling device */
    int error_fd;               /* the back end's word of a broken ring; lent */
    bool returns;               /* see hold.h, as for the next two */
    int inside;
    int held;
    int refused;                /* it has said so; the control thread sets it */
    uint64_t desc_gpa;
    uint64_t driver_gpa;
    uint64_t device_gpa;
    void *memory; /* of ring and tables */
    char error[160];
};

/** vh_virtq_memory() - bytes of shared memory that one queue takes */
size_t vh_virtq_memory(const struct vh_device *device, uint16_t indirect_len);

/**
 * vh_virtq_open() - make a queue, of as many entries as the device's are to
 * have; a control queue has fewer
 * @vq: zeroed, but for its notifiers, which are none
 * @device: lent
 * @index: of the queue
 * @indirect_len: descriptors in an indirect table; 0: no tables
 *
 * Return: 0 or a negative errno; vh_virtq_close() in either case.
 */
int vh_virtq_open(struct vh_virtq *vq, struct vh_device *device, unsigned index,
                  uint16_t indirect_len);

/** vh_virtq_renew() - a new ring in the same memory; the back end has let go of
 *     the old one, which vh_ring_drop() has emptied
 *
 * Return: 0 or -ENOMEM: then the queue is broken.
 */
int vh_virtq_renew(struct vh_virtq *vq);

/** vh_virtq_close() - its device is stopped; also after a failed open */
void vh_virtq_close(struct vh_virtq *vq, struct vh_device *device);

/** vh_virtq_fail() - break the queue, with words; the first failure stays
 *
 * Return: the failure that it has now.
 */
int vh_virtq_fail(struct vh_virtq *vq, int code, const char *why);

/** vh_virtq_submit() - publish what was added; 0, or vq->failed */
int vh_virtq_submit(struct vh_virtq *vq);

/** vh_virtq_refuse() - the back end says that the ring is broken; control
 *     thread
 */
static inline void vh_virtq_refuse(struct vh_virtq *vq)
{
    VH_WRITE_ONCE(vq->refused, 1);
}

/** vh_virtq_take() - as vh_ring_take(); a broken ring fails the queue */
int vh_virtq_take(struct vh_virtq *vq, struct vh_ring_used *used, unsigned max);

/**
 * vh_virtq_wait() - wait until it is worth looking at the ring
 * @vq: a queue, whose ring was empty
 * @deadline: at the latest; but never longer than a tenth of a second
 *
 * Return: 0: look; -ENOTCONN: the back end is gone; -EPROTO: it says that the
 * ring is broken.
 */
int vh_virtq_wait(struct vh_virtq *vq, int64_t deadline);

/** vh_virtq_idle() - the ring was found empty: from time to time, ask whether
 *     there is still a back end
 */
void vh_virtq_idle(struct vh_virtq *vq);

/** vh_virtq_watch() - the fd for the program's own loop; -1 when polling */
int vh_virtq_watch(struct vh_virtq *vq);

/** vh_virtq_drain() - before a look at the ring: reset a watched fd */
static inline void vh_virtq_drain(struct vh_virtq *vq)
{
    if (vq->watched) {
        vhost_notifier_test_and_clear(&vq->call);
    }
}

/** vh_virtq_raise() - make a watched fd readable: there is more to take */
static inline void vh_virtq_raise(struct vh_virtq *vq)
{
    if (vq->watched) {
        vhost_notifier_set(&vq->call);
    }
}

/** vh_virtq_arm() - after a look at the ring: have a watched fd set again */
static inline void vh_virtq_arm(struct vh_virtq *vq)
{
    if (vq->watched && vh_ring_enable_call(vq->ring)) {
        vhost_notifier_set(&vq->call);
    }
}

#endif
