/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shadow virtqueue: a ring of our own between a guest's and a device.
 *
 *     guest's ring  --forward-->  shadow ring  -->  device
 *                   <-complete--               <--
 *
 * The device never sees the guest's ring, so that all it writes to is known
 * here when it is done: that is how devices without a dirty log migrate.
 * Either ring may have any layout and features of its own; the device has
 * addresses of our choice (mem/iova.h), and what it returns is checked.
 *
 * Nobody is called, and no thread is started: two eventfds say when there is
 * something to do, and vh_svq_run() does it.
 *
 * Threads: one at a time, for each queue.  The IOVA map may change between
 * calls, but not under buffers that the device has.
 */
#ifndef VH_SVQ_SVQ_H
#define VH_SVQ_SVQ_H

#include <stdint.h>

#include "mem/iova.h"
#include "ring/ring.h"

struct vh_svq;

/* Somebody has written to the guest's memory. */
typedef void vh_svq_mark_fn(void *arg, uint64_t gpa, uint64_t len);

/* A buffer that went by way of ours is done: what the device read and wrote. */
typedef void vh_svq_seen_fn(void *arg, const void *out, uint32_t n_out,
                            const void *in, uint32_t n_in);

/**
 * struct vh_svq_bounce - memory of ours that stands in for the guest's
 * @mem: @slot bytes for each entry of the guest's ring, and once more; lent.
 *     NULL: the device sees the guest's own
 * @iova: where the device sees it
 * @slot: bytes; a buffer that has more comes back with nothing written
 * @seen: NULL: nobody is told
 */
struct vh_svq_bounce {
    uint8_t *mem;
    uint64_t iova;
    uint32_t slot;
    vh_svq_seen_fn *seen;
    void *arg;
};

struct vh_svq_guest {
    uint32_t size;
    uint64_t features; /* VH_RING_F_…, as the guest acknowledged them */
    uint64_t desc;     /* the three areas: guest-physical */
    uint64_t driver;
    uint64_t device;
    uint32_t base;
};

struct vh_svq_config {
    struct vh_svq_guest guest;
    struct vh_ring_config shadow; /* addresses of tables: IOVAs */
    const struct vh_iova *iova;   /* lent */
    /* eventfds, lent; -1: none */
    int guest_kick;       /* the guest has made buffers available */
    int guest_call;       /* set when it wants to hear of used ones */
    int device_kick;      /* the device's doorbell */
    int device_call;      /* the device has used some */
    vh_svq_mark_fn *mark; /* NULL: no dirty log; see vh_svq_set_mark() */
    void *mark_arg;
    struct vh_svq_bounce bounce;
};

/**
 * vh_svq_new() - put a shadow ring before a device that does not run
 * @svqp: where to; untouched on failure
 * @config: copied
 *
 * Return: 0; -EINVAL for a ring as in vh_ring_new() and vh_devring_new(), or
 * for a guest that was promised order by a device that keeps none: what is
 * done then could not be told from what is not; -EFAULT if an area of the
 * guest's ring is not in one range of the map; -ENOMEM.
 */
int vh_svq_new(struct vh_svq **svqp, const struct vh_svq_config *config);

/** vh_svq_free() - what was in flight is forgotten; NULL is allowed */
void vh_svq_free(struct vh_svq *svq);

/**
 * vh_svq_run() - forward and complete what there is
 * @svq: a shadow queue
 *
 * To be called once at the start, and when guest_kick or device_call is
 * readable; clears both.  Ends after some rounds of the ring even if there is
 * more; then guest_kick is set, so that a loop comes back.
 *
 * Return: 1 if there is more to do; 0 if not; -EPROTO if either ring is
 * broken: nothing is forwarded any more, ever.
 */
int vh_svq_run(struct vh_svq *svq);

/** vh_svq_broken() - in words, why; NULL if it is not
 * @by_device: filled in: it is the device that broke the rules, not the guest
 */
const char *vh_svq_broken(const struct vh_svq *svq, bool *by_device);

/**
 * vh_svq_set_mark() - the dirty log is on, or off
 * @mark: called for what the device may have written, once it is done; and for
 *     what is written into the guest's ring; NULL: not
 */
void vh_svq_set_mark(struct vh_svq *svq, vh_svq_mark_fn *mark, void *arg);

/** vh_svq_set_call() - the guest is called elsewhere; @fd is lent, -1: not */
void vh_svq_set_call(struct vh_svq *svq, int fd);

/**
 * vh_svq_ask() - a buffer of our own to the device, before any of the guest's
 * @svq: with bounce memory; nothing of it is at the device
 * @out: what it reads: @n_out bytes, copied; less than a slot
 *
 * The device may answer with one byte.  Return: 0; -E2BIG; -EPROTO.
 */
int vh_svq_ask(struct vh_svq *svq, const void *out, uint32_t n_out);

/** vh_svq_answer() - has it?
 * Return: 1, and what it said in *answer; 0: not yet; -EPROTO. */
int vh_svq_answer(struct vh_svq *svq, uint8_t *answer);

/**
 * vh_svq_stop() - complete what the device has finished; put back the rest
 * @svq: of no other use than vh_svq_free() after this; also a broken one
 * @base: filled in: where somebody else goes on in the guest's ring
 *
 * The device has been suspended or reset, and touches nothing any more.  Who
 * goes on must look into the ring at once: the kicks for these buffers have
 * been.
 *
 * Return: how many buffers were put back.
 */
uint32_t vh_svq_stop(struct vh_svq *svq, uint32_t *base);

#endif
