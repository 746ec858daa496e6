/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtqueue, driver side: what a driver does to a ring, whatever its layout.
 *
 *     add … add, publish, take … take
 *
 * add() prepares a buffer, and nothing moves; publish() makes everything
 * prepared visible at once (one barrier) and says whether the doorbell must
 * be rung; take() collects what the device has used, any number at a time.
 * One table of operations per layout; the driver above does not know which one
 * runs.  Addresses are guest-physical (or IOVA).
 *
 * Trust: the device's side of the ring is read once, checked, then used.  An
 * id that is not in flight, or a length beyond the buffer, makes the ring
 * broken: take() gives -EPROTO from then on.  The driver's own state is kept
 * in private memory, since the device can write to the descriptors too.
 * Threads: one at a time.  After vh_ring_new() nothing allocates or locks.
 */
#ifndef VH_RING_RING_H
#define VH_RING_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/ring-ops.h"

/**
 * vh_ring_new() - make the driver side of a ring
 * @ringp: where to; untouched on failure
 * @config: copied; its memory is lent
 * Return: 0; -EINVAL for a size that no ring can have, or areas not aligned
 * (2.7, 2.8), or a base that no such ring has; -ENOMEM.
 */
int vh_ring_new(struct vh_ring **ringp, const struct vh_ring_config *config);

static inline void vh_ring_free(struct vh_ring *ring)
{
    if (ring) {
        ring->ops->free(ring);
    }
}

/**
 * vh_ring_add() - prepare a buffer
 * @ring: a ring
 * @sg: first what the device reads, then what it writes
 * @n_out: pieces that it reads
 * @n_in: pieces that it writes; together at least 1
 * @cookie: comes back from vh_ring_take(); not NULL
 *
 * Several pieces take one indirect descriptor, where there are tables for it.
 * Return: 0; -ENOSPC if there are not enough descriptors now; -E2BIG if there
 * never will be, or for 4 GiB or more; -EPROTO if the ring is broken.
 */
static inline int vh_ring_add(struct vh_ring *ring, const struct vh_sg *sg,
                              unsigned n_out, unsigned n_in, void *cookie)
{
    return ring->ops->add(ring, sg, n_out, n_in, cookie);
}

/**
 * vh_ring_put() - prepare many buffers of one piece each
 * @ring: a ring
 * @bufs: what vh_ring_add() would be given, one by one
 * @n: how many
 * @writable: the device writes them all; else it reads them all
 *
 * Return: how many there was room for, from the first on; -EPROTO if the ring
 * is broken.
 */
static inline int vh_ring_put(struct vh_ring *ring,
                              const struct vh_ring_buf *bufs, unsigned n,
                              bool writable)
{
    return ring->ops->put(ring, bufs, n, writable);
}

/** vh_ring_publish() - show it all; true if the device wants its doorbell */
static inline bool vh_ring_publish(struct vh_ring *ring)
{
    return ring->ops->publish(ring);
}

/** vh_ring_take() - collect used buffers
 * Return: how many, 0 if none, -EPROTO if the ring is (now) broken; those
 * taken before the fault are returned first.
 */
static inline int vh_ring_take(struct vh_ring *ring, struct vh_ring_used *used,
                               unsigned max)
{
    return ring->ops->take(ring, used, max);
}

/** vh_ring_enable_call() - ask to be called at the next used buffer
 * Return: true if there is one already: then take it, as no call may come.
 */
static inline bool vh_ring_enable_call(struct vh_ring *ring)
{
    return ring->ops->enable_call(ring);
}

/** vh_ring_disable_call() - ask not to be called; only a hint */
static inline void vh_ring_disable_call(struct vh_ring *ring)
{
    ring->ops->disable_call(ring);
}

/** vh_ring_has_used() - is there something to take?  Also: an error, once */
static inline bool vh_ring_has_used(const struct vh_ring *ring)
{
    return ring->ops->has_used(ring);
}

/**
 * vh_ring_drop() - take back what the device holds, as it has let go of the
 *     ring; also of a broken one
 * @ring: of no other use after this than vh_ring_drop() and vh_ring_free()
 * @cookies: of the buffers, in no order
 * @max: room there
 *
 * Return: how many; 0: there are no more.
 */
static inline unsigned vh_ring_drop(struct vh_ring *ring, void **cookies,
                                    unsigned max)
{
    return ring->ops->drop(ring, cookies, max);
}

/** vh_ring_base() - where the device would go on, 32 bits */
static inline uint32_t vh_ring_base(const struct vh_ring *ring)
{
    return ring->ops->base(ring);
}

#endif
