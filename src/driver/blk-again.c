/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that a dead back end has not completed, for the one after it.
 *
 * What each of them was is kept beside it, in private memory: the descriptors
 * of a packed ring are overwritten by those that are used, and of all that lies
 * in shared memory the dead one may have made what it liked.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/blk.h"

#define BURST 32

int vh_blk_keep_init(struct vhost_blk_queue *q, unsigned n)
{
    q->kept_size =
        sizeof(struct vh_blk_kept) +
        (q->max_segments ? q->max_segments : 1) * sizeof(struct vh_sg);
    q->kept = calloc(n, q->kept_size);
    return q->kept ? 0 : -ENOMEM;
}

static struct vh_blk_kept *kept_of(const struct vhost_blk_queue *q,
                                   const struct vh_blk_req *req)
{
    return (struct vh_blk_kept *)(q->kept +
                                  (size_t)(req - q->reqs) * q->kept_size);
}

void vh_blk_keep(struct vhost_blk_queue *q, const struct vh_blk_req *req,
                 const struct vh_blk_part *part)
{
    struct vh_blk_kept *kept = kept_of(q, req);

    kept->type = part->type;
    kept->n_data = (uint16_t)part->n_data;
    kept->to_device = part->to_device;
    kept->sector = part->sector;
    if (vh_blk_has_range(part->type)) {
        kept->range_sector = part->range_sector;
        kept->range_sectors = part->range_sectors;
        kept->range_flags = part->range_flags;
    }
    memcpy(kept->sg, part->sg + 1, part->n_data * sizeof(part->sg[0]));
}

static int put_again(struct vhost_blk_queue *q, struct vh_blk_req *req)
{
    const struct vh_blk_kept *kept = kept_of(q, req);
    struct vh_blk_part part = {
        .type = kept->type,
        .sector = kept->sector,
        .n_data = kept->n_data,
        .to_device = kept->to_device,
        .range_sector = kept->range_sector,
        .range_sectors = kept->range_sectors,
        .range_flags = kept->range_flags,
    };

    memcpy(part.sg + 1, kept->sg, kept->n_data * sizeof(part.sg[0]));
    return vh_blk_put_part(q, req, &part);
}

/* What the dead one had completed is reported, and not done again. */
static void take_used(struct vhost_blk_queue *q)
{
    struct vh_ring_used used[BURST];
    int n;

    while ((n = vh_ring_take(q->vq->ring, used, BURST)) > 0) {
        vh_blk_taken(q, used, (unsigned)n);
    }
}

static void take_rest(struct vhost_blk_queue *q)
{
    void *cookies[BURST];
    unsigned n;

    while ((n = vh_ring_drop(q->vq->ring, cookies, BURST)) > 0) {
        while (n > 0) {
            struct vh_blk_req *req = cookies[--n];

            req->next = q->again;
            q->again = req;
        }
    }
}

int vh_blk_renew(struct vh_device *device, unsigned index)
{
    struct vhost_blk *disk =
        (struct vhost_blk *)((char *)device -
                             offsetof(struct vhost_blk, device));
    struct vhost_blk_queue *q = &disk->queues[index];
    int r;

    take_used(q);
    take_rest(q);
    r = vh_virtq_renew(q->vq);
    while (r == 0 && q->again) {
        struct vh_blk_req *req = q->again;

        q->again = req->next;
        r = put_again(q, req);
        if (r < 0) {
            q->again = req; /* for the next attempt */
        }
    }
    if (r == 0) {
        vh_ring_publish(q->vq->ring); /* the start kicks */
        if (q->local.n_ready > 0) {
            vh_virtq_raise(q->vq);
        }
    }
    return r;
}
