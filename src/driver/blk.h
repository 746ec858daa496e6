/* SPDX-License-Identifier: BSD-3-Clause */
/* The block driver, inside view: see <vhost/blk.h> for what it promises. */
#ifndef VH_DRIVER_BLK_H
#define VH_DRIVER_BLK_H

#include <vhost/blk.h>

#include "driver/blk-config.h"
#include "driver/blk-part.h"
#include "driver/device.h"

/*
 * What the device reads and writes of one request, but for the data; in shared
 * memory.  One cache line each, so that the status that the device writes
 * never shares a line with another request's header.
 */
struct vh_blk_slot {
    uint32_t type; /* struct virtio_blk_outhdr */
    uint32_t ioprio;
    uint64_t sector;
    uint64_t range_sector; /* struct virtio_blk_discard_write_zeroes */
    uint32_t range_sectors;
    uint32_t range_flags;
    uint8_t status;
    uint8_t pad[31];
};

/*
 * One request to the device: a whole request of the program, or a part of it.
 * Private memory: the device knows nothing of it, and can't change it.
 */
struct vh_blk_req {
    struct vh_blk_slot *slot;
    uint64_t slot_gpa;
    struct vh_blk_req *next; /* in a list of the queue */
    struct vh_blk_req *head; /* the first part, which has the fields below */
    void *cookie;
    uint32_t left; /* parts that are not done */
    int result;    /* of the first part that failed */
};

/* First in, first out. */
struct vh_blk_fifo {
    struct vh_blk_req *first;
    struct vh_blk_req **last;
    unsigned n_ready; /* may be reported */
    unsigned n_new;   /* not before submit */
};

struct vhost_blk_queue {
    struct vh_virtq *vq;
    struct vh_blk_req *free;
    unsigned n_free;
    unsigned n_prepared; /* requests of the program, not submitted yet */
    unsigned n_inflight; /* submitted, and not yet reported */
    uint32_t block_mask;
    uint32_t max_segment_size;
    unsigned max_segments;
    bool writable;
    bool indirect;
    struct vh_pool_hit hit;
    const struct vhost_blk *disk;
    struct vh_blk_fifo local; /* done without the device */
    struct vh_blk_req *reqs;
    char *kept; /* a struct vh_blk_kept for each; NULL: nothing is kept */
    size_t kept_size;
    struct vh_blk_req *again; /* for the next ring */
} __attribute__((aligned(64)));

struct vhost_blk {
    struct vh_device device;
    struct vhost_blk_options options;
    struct vh_blk_limits limits;
    uint64_t capacity; /* bytes; queue threads read it while it changes */
    struct vhost_blk_queue *queues;
};

/**
 * vh_blk_open_over() - as vhost_blk_open(), over a back end
 * @link: given, also on failure
 * @options: copied; NULL for defaults
 * @errp: why it failed
 *
 * Return: the device, or NULL.
 */
struct vhost_blk *vh_blk_open_over(struct vh_link link,
                                   const struct vhost_blk_options *options,
                                   struct vhost_error **errp);

/** vh_blk_queue_open() - slots and limits of a queue; 0 or -ENOMEM */
int vh_blk_queue_open(struct vhost_blk_queue *q, struct vhost_blk *disk,
                      struct vh_virtq *vq);

/** vh_blk_queue_close() - free what is not in shared memory */
void vh_blk_queue_close(struct vhost_blk_queue *q);

/** vh_blk_complete_here() - a request that needs no device; 0 or -EAGAIN */
int vh_blk_complete_here(struct vhost_blk_queue *q, void *cookie);

/** vh_blk_taken() - the ring handed back: to be reported by the next look */
void vh_blk_taken(struct vhost_blk_queue *q, const struct vh_ring_used *used,
                  unsigned n_used);

/* Between the files of the driver; hot, so they are here. */

static inline struct vh_blk_req *vh_blk_req_get(struct vhost_blk_queue *q)
{
    struct vh_blk_req *req = q->free;

    q->free = req->next;
    q->n_free--;
    return req;
}

static inline void vh_blk_req_put(struct vhost_blk_queue *q,
                                  struct vh_blk_req *req)
{
    req->next = q->free;
    q->free = req;
    q->n_free++;
}

#endif
