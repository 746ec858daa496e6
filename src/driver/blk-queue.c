/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue of a block device: its slots, and how requests come back.
 *
 * There are as many slots as the ring has entries, made once.  A request to
 * the device is known by a pointer into our private array, which travels
 * through the ring's private state: the device never names it.
 *
 * What the device says of a request is its status byte, read once, after the
 * ring has handed the buffer back.  Before, we put a value there that no
 * device may leave.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <linux/virtio_blk.h>

#include "driver/blk.h"
#include "driver/hold.h"
#include "util/clock.h"

#define BURST 32

static void fifo_init(struct vh_blk_fifo *fifo)
{
    fifo->first = NULL;
    fifo->last = &fifo->first;
}

static void link_slots(struct vhost_blk_queue *q, struct vh_blk_slot *slots,
                       uint64_t gpa, unsigned n)
{
    /* From the last to the first, so that the first is used first. */
    for (unsigned i = n; i-- > 0;) {
        q->reqs[i].slot = &slots[i];
        q->reqs[i].slot_gpa = gpa + i * sizeof(*slots);
        vh_blk_req_put(q, &q->reqs[i]);
    }
}

int vh_blk_queue_open(struct vhost_blk_queue *q, struct vhost_blk *disk,
                      struct vh_virtq *vq)
{
    struct vh_device *device = &disk->device;
    unsigned n = device->spec.queue_size;
    struct vh_blk_slot *slots;
    uint64_t gpa;

    q->vq = vq;
    q->disk = disk;
    q->block_mask = disk->limits.block_size - 1;
    q->max_segments = disk->limits.max_segments;
    q->max_segment_size = disk->limits.max_segment_size;
    q->writable =
        !disk->options.read_only && !vh_device_has(device, VIRTIO_BLK_F_RO);
    q->indirect = vh_device_has(device, VH_RING_F_INDIRECT_DESC);
    fifo_init(&q->local);
    slots = vh_pool_alloc(device->pool, n * sizeof(*slots), sizeof(*slots));
    q->reqs = calloc(n, sizeof(*q->reqs));
    if (!slots || !q->reqs ||
        vh_pool_find(device->pool, &q->hit, slots, &gpa) < n * sizeof(*slots)) {
        return -ENOMEM;
    }
    link_slots(q, slots, gpa, n);
    return device->returns ? vh_blk_keep_init(q, n) : 0;
}

void vh_blk_queue_close(struct vhost_blk_queue *q)
{
    free(q->kept);
    free(q->reqs);
}

static void push(struct vh_blk_fifo *fifo, struct vh_blk_req *req)
{
    req->next = NULL;
    *fifo->last = req;
    fifo->last = &req->next;
}

/* Before those that may not be reported yet. */
static void push_first(struct vh_blk_fifo *fifo, struct vh_blk_req *req)
{
    req->next = fifo->first;
    fifo->first = req;
    if (!req->next) {
        fifo->last = &req->next;
    }
}

int vh_blk_complete_here(struct vhost_blk_queue *q, void *cookie)
{
    struct vh_blk_req *req = q->free;

    if (!req) {
        return -EAGAIN;
    }
    vh_blk_req_get(q);
    req->cookie = cookie;
    req->result = 0;
    push(&q->local, req);
    q->local.n_new++;
    q->n_prepared++;
    return 0;
}

static unsigned reap_local(struct vhost_blk_queue *q,
                           struct vhost_completion *done, unsigned max)
{
    struct vh_blk_fifo *local = &q->local;
    unsigned n = 0;

    while (local->n_ready > 0 && n < max) {
        struct vh_blk_req *req = local->first;

        local->first = req->next;
        if (!local->first) {
            local->last = &local->first;
        }
        local->n_ready--;
        done[n].cookie = req->cookie;
        done[n++].result = req->result;
        vh_blk_req_put(q, req);
    }
    return n;
}

/*
 * What the device says of a request.  The length that comes with it is not
 * asked: back ends exist that leave the status byte out of it, so that each
 * write has length 0 (virtio 1.3, 2.7.8.2, on lengths that are wrong).
 */
static int status_of(const struct vh_blk_req *req)
{
    switch (VH_READ_ONCE(req->slot->status)) {
    case VIRTIO_BLK_S_OK:
        return 0;
    case VIRTIO_BLK_S_IOERR:
        return -EIO;
    case VIRTIO_BLK_S_UNSUPP:
        return -ENOTSUP;
    default:
        return -EPROTO;
    }
}

/* Return: the request of the program that is complete by this; or NULL. */
static struct vh_blk_req *complete(struct vhost_blk_queue *q,
                                   struct vh_blk_req *req)
{
    struct vh_blk_req *head = req->head;
    int result = status_of(req);

    if (result < 0 && head->result == 0) {
        head->result = result;
    }
    if (req != head) {
        vh_blk_req_put(q, req);
    }
    return --head->left == 0 ? head : NULL;
}

/* Completes what the ring handed back; at most as many completions. */
static unsigned finish(struct vhost_blk_queue *q,
                       const struct vh_ring_used *used, unsigned n_used,
                       struct vhost_completion *done)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_used; i++) {
        struct vh_blk_req *head = complete(q, used[i].cookie);

        if (head) {
            done[n].cookie = head->cookie;
            done[n].result = head->result;
            n++;
            vh_blk_req_put(q, head);
        }
    }
    return n;
}

void vh_blk_taken(struct vhost_blk_queue *q, const struct vh_ring_used *used,
                  unsigned n_used)
{
    for (unsigned i = 0; i < n_used; i++) {
        struct vh_blk_req *head = complete(q, used[i].cookie);

        if (head) {
            push_first(&q->local, head);
            q->local.n_ready++;
        }
    }
}

static unsigned reap(struct vhost_blk_queue *q, struct vhost_completion *done,
                     unsigned max)
{
    struct vh_ring_used used[BURST];
    unsigned n = q->local.n_ready ? reap_local(q, done, max) : 0;

    while (n < max) {
        unsigned want = max - n < BURST ? max - n : BURST;
        int got = vh_virtq_take(q->vq, used, want);

        if (got <= 0) {
            break;
        }
        n += finish(q, used, (unsigned)got, done + n);
        if ((unsigned)got < want) {
            break;
        }
    }
    /* A device may complete what is prepared but was not submitted to it. */
    q->n_inflight -= n < q->n_inflight ? n : q->n_inflight;
    return n;
}

/* Sees to it that a watched fd tells of what comes, or is there already. */
static void rearm(struct vhost_blk_queue *q)
{
    if (q->local.n_ready > 0) {
        vh_virtq_raise(q->vq);
    } else {
        vh_virtq_arm(q->vq);
    }
}

static int submit(struct vhost_blk_queue *q)
{
    struct vh_blk_fifo *local = &q->local;

    if (q->n_prepared == 0) {
        return q->vq->failed;
    }
    q->n_inflight += q->n_prepared;
    q->n_prepared = 0;
    if (local->n_new > 0) {
        local->n_ready += local->n_new;
        local->n_new = 0;
        vh_virtq_raise(q->vq);
    }
    return vh_virtq_submit(q->vq);
}

int vhost_blk_submit(struct vhost_blk_queue *q)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, submit(q));
}

static int look(struct vhost_blk_queue *q, struct vhost_completion *done,
                unsigned max)
{
    unsigned n;

    max = max < INT_MAX ? max : INT_MAX;
    vh_virtq_drain(q->vq);
    n = reap(q, done, max);
    if (n == 0) {
        vh_virtq_idle(q->vq);
    }
    rearm(q);
    return n > 0 ? (int)n : q->vq->failed;
}

int vhost_blk_poll(struct vhost_blk_queue *q, struct vhost_completion *done,
                   unsigned max)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, look(q, done, max));
}

static int wait(struct vhost_blk_queue *q, struct vhost_completion *done,
                unsigned max, unsigned min, int timeout_ms)
{
    int64_t deadline = 0; /* not known yet: most calls need no clock */
    unsigned n = 0;

    max = max < INT_MAX ? max : INT_MAX;
    min = min < max ? min : max;
    min = min < q->n_inflight ? min : q->n_inflight;
    vh_virtq_drain(q->vq);
    for (;;) {
        n += reap(q, done + n, max - n);
        /* The failure is looked at after the ring: what was done before the
         * back end went is reported. */
        if (n >= min || q->vq->failed) {
            break;
        }
        if (deadline == 0) {
            deadline = vh_deadline_in(timeout_ms);
        }
        if (vh_deadline_passed(deadline)) {
            break;
        }
        if (vh_virtq_wait(q->vq, deadline) < 0) {
            n += reap(q, done + n, max - n);
            break;
        }
    }
    if (n == 0) {
        vh_virtq_idle(q->vq); /* it may have had no time to wait at all */
    }
    rearm(q);
    return n > 0 ? (int)n : q->vq->failed;
}

int vhost_blk_wait(struct vhost_blk_queue *q, struct vhost_completion *done,
                   unsigned max, unsigned min, int timeout_ms)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, wait(q, done, max, min, timeout_ms));
}

int vhost_blk_queue_fd(struct vhost_blk_queue *q)
{
    return vh_virtq_watch(q->vq);
}

const char *vhost_blk_queue_error(const struct vhost_blk_queue *q)
{
    return q->vq->failed ? q->vq->error : NULL;
}
