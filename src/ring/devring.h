/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtqueue, device side: what a device does to a ring.
 *
 *     pop … pop, push … push, publish
 *
 * pop() takes the next buffer that the driver made available, as iovecs in
 * our own address space; push() prepares its return, publish() shows all that
 * was pushed at once and says whether the driver must be called.
 *
 * Where VIRTIO_F_IN_ORDER is negotiated, buffers may still be pushed in any
 * order: publish() shows those before which none is missing, in order.
 *
 * Trust: whatever the driver wrote is read once, checked, then used.  Chains
 * that loop, lie about their length or point outside memory make the ring
 * broken: pop() gives -EPROTO from then on, and never follows them.
 *
 * Threads: one at a time.
 */
#ifndef VH_RING_DEVRING_H
#define VH_RING_DEVRING_H

#include "ring/devring-ops.h"

/** vh_devring_new() - make the device side; as vh_ring_new()
 *
 * Goes on at the base, and writes used entries after those that are there.
 */
int vh_devring_new(struct vh_devring **ringp,
                   const struct vh_devring_config *config);

static inline void vh_devring_free(struct vh_devring *ring)
{
    if (ring) {
        ring->ops->free(ring);
    }
}

/** vh_devring_pop() - the next available buffer
 * @chain: iov and iov_max set; the rest is filled in
 *
 * Return: 1 taken, 0 none, -EAGAIN if it is not known yet where all of it is,
 * and the ring is as it was; -EPROTO if the ring is (now) broken.  A chain that
 * needs more than iov_max iovecs breaks it too.  Pieces of no length give no
 * iovec.  What was popped before may still be pushed.
 */
static inline int vh_devring_pop(struct vh_devring *ring,
                                 struct vh_chain *chain)
{
    return ring->ops->pop(ring, chain);
}

/** vh_devring_again() - pop a buffer that is held, before the first other pop
 *
 * The base counts those that are held as popped: config->base stands behind
 * them.  Return: 0; -EAGAIN, as of vh_devring_pop(); or -EPROTO if the ring is
 * (now) broken.
 */
static inline int vh_devring_again(struct vh_devring *ring,
                                   const struct vh_held *held,
                                   struct vh_chain *chain)
{
    return ring->ops->again(ring, held, chain);
}

/** vh_devring_push() - prepare to return a buffer
 * @id: of its chain
 * @len: bytes written into it
 */
static inline void vh_devring_push(struct vh_devring *ring, uint16_t id,
                                   uint32_t len)
{
    ring->ops->push(ring, id, len);
}

/** vh_devring_publish() - return them; true if the driver wants a call */
static inline bool vh_devring_publish(struct vh_devring *ring)
{
    return ring->ops->publish(ring);
}

/** vh_devring_enable_kick() - true if there is a buffer already: pop again */
static inline bool vh_devring_enable_kick(struct vh_devring *ring)
{
    return ring->ops->enable_kick(ring);
}

/** vh_devring_disable_kick() - no doorbells wanted; only a hint */
static inline void vh_devring_disable_kick(struct vh_devring *ring)
{
    ring->ops->disable_kick(ring);
}

/** vh_devring_base() - for GET_VRING_BASE: where to go on */
static inline uint32_t vh_devring_base(const struct vh_devring *ring)
{
    return ring->ops->base(ring);
}

/** vh_devring_used() - where the next used entry goes: an index of 16 bits; or
 * for a packed ring, a place and the wrap counter there in bit 15
 */
static inline uint32_t vh_devring_used(const struct vh_devring *ring)
{
    return ring->ops->used(ring);
}

/**
 * vh_devring_put_back() - make what was popped and not pushed available again
 * @ring: made to keep; all that was pushed is published.  Of no other use
 *     after this than vh_devring_base() and vh_devring_free()
 *
 * Whoever goes on at the base finds these buffers there, each once, and none
 * that was pushed, in whatever order they were returned: the driver's area of
 * a split ring, or the descriptors of a packed one, are written again where
 * that takes it.  These are places that the driver does not use until the
 * buffers are returned.  In order: pushed buffers that could not be shown yet
 * are among them.
 *
 * Return: how many were put back.
 */
static inline uint32_t vh_devring_put_back(struct vh_devring *ring)
{
    return ring->ops->put_back(ring);
}

#endif
