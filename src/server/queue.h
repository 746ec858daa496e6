/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One queue of the embedded back end.
 *
 * It runs once the front end has given size, addresses and a kick, and has
 * enabled it; then it has a ring.  A ring that the driver broke stays, and is
 * served no more, until the front end stops the queue.
 */
#ifndef VH_SERVER_QUEUE_H
#define VH_SERVER_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/devring.h"
#include "server/bell.h"

#define VH_SQUEUE_TURN 64    /* buffers, so that every queue gets its turn */
#define VH_SQUEUE_PIECES 256 /* of one buffer */

struct vh_qflight;
struct vh_qiommu;
struct vhost_server;

struct vh_squeue {
    struct vhost_server *srv;
    unsigned index;
    uint32_t size;
    uint32_t base;
    bool has_base; /* else it is that of a new ring */
    uint64_t desc; /* user addresses, or what vh_server_find() knows */
    uint64_t avail;
    uint64_t used;
    uint64_t log_addr; /* guest-physical, of a split ring's used area */
    bool log_used;     /* mark there what is written to the ring */
    bool has_addr;
    bool kicked; /* SET_VRING_KICK has come */
    bool enabled;
    bool in_band; /* kicks are messages */
    int kick_fd;  /* -1: none, we poll, unless @in_band */
    struct vh_sbell call;
    struct vh_sbell err;
    struct vh_devring *ring; /* NULL: not running */
    struct vh_qflight *flight; /* NULL: nobody asked for it */
    struct vh_qlog *log;     /* NULL: what is written is not logged */
    struct vh_qiommu *iommu; /* NULL: addresses are not translated */
    bool awaits;             /* a translation, to run or to go on */
    unsigned n_lost;         /* taken from it, and never to be answered */
    unsigned n_left;         /* taken, and left to who comes after us */
    bool fed;                /* see struct vh_server_input_ops */
    bool active;             /* takes part in the rounds */
    bool paused;             /* disabled, and not stopped */
    bool pushed;             /* something is to be published */
};

void vh_squeue_init(struct vh_squeue *q, struct vhost_server *srv,
                    unsigned index);

/** vh_squeue_start() - run, if all that is needed is there
 *
 * Return: 0, also if it is not; -EINVAL if the ring does not lie in memory or
 * can't be as described; -ENOMEM.
 */
int vh_squeue_start(struct vh_squeue *q);

/** vh_squeue_stop() - finish its requests, keep the base, forget the ring */
void vh_squeue_stop(struct vh_squeue *q);

/** vh_squeue_suspend() - the same, but what can be called back is left in the
 * in-flight buffer, if there is one; then wait for the next SET_VRING_KICK */
void vh_squeue_suspend(struct vh_squeue *q);

/** vh_squeue_disable() - take no more; vh_squeue_start() goes on when enabled
 *
 * Without an in-flight buffer a stop.  With one nobody waits: whoever wants the
 * queue back says whether what is under way is to be finished. */
void vh_squeue_disable(struct vh_squeue *q);

/** vh_squeue_reset() - stop, close its fds, forget everything */
void vh_squeue_reset(struct vh_squeue *q);

/** vh_squeue_kick() - SET_VRING_KICK: run, as vh_squeue_start()
 * @fd: given; -1: nobody will ring, poll
 */
int vh_squeue_kick(struct vh_squeue *q, int fd);

/** vh_squeue_unkick() - stop, and wait for the next SET_VRING_KICK */
void vh_squeue_unkick(struct vh_squeue *q);

/** vh_squeue_base() - where it would go on; while it does not run */
uint32_t vh_squeue_base(const struct vh_squeue *q);

/** vh_squeue_is_running() - it has a ring, and that is not broken */
static inline bool vh_squeue_is_running(const struct vh_squeue *q)
{
    return q->ring && !q->ring->broken;
}

/** vh_squeue_wake() - back into the rounds, if it runs */
void vh_squeue_wake(struct vh_squeue *q);

/** vh_squeue_take() - a device takes the next buffer of a running queue
 *
 * Return: 1 taken; 0 none; -EAGAIN if the queue has left the rounds, until it is
 * known where the buffer is; -EPROTO if the queue is (now) broken.
 */
int vh_squeue_take(struct vh_squeue *q, struct vh_chain *chain);

/** vh_squeue_break() - a buffer that was taken is not as it must be
 * @why: constant words; the buffer is lost
 */
void vh_squeue_break(struct vh_squeue *q, const char *why);

/** vh_squeue_serve() - its turn in a round
 *
 * Return: true if it took a buffer.
 */
bool vh_squeue_serve(struct vh_squeue *q);

/** vh_squeue_touched() - a device may have written anywhere in a buffer, and
 * not only in the first bytes of it that it may write to */
void vh_squeue_touched(struct vh_squeue *q, uint16_t id);

/** vh_squeue_complete() - a device gives a buffer back */
void vh_squeue_complete(struct vh_squeue *q, uint16_t id, uint32_t len);

/** vh_squeue_leave() - a device has let go of a buffer */
void vh_squeue_leave(struct vh_squeue *q);

/** vh_squeue_publish() - show what was given back, and call if wanted */
void vh_squeue_publish(struct vh_squeue *q);

/** vh_squeue_may_sleep() - ask for the doorbell, if there is one
 *
 * Return: false if there is something to do already.  A queue that has to be
 * polled stays active.
 */
bool vh_squeue_may_sleep(struct vh_squeue *q);

#endif
