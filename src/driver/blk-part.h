/* SPDX-License-Identifier: BSD-3-Clause */
/* A request on its way to a device, and what is kept of it for another. */
#ifndef VH_DRIVER_BLK_PART_H
#define VH_DRIVER_BLK_PART_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_blk.h>

#include "ring/ring.h"

/* Data segments in one request: an indirect table of 15 cache lines.  An odd
 * number of lines spreads the first line of each table over all sets of the
 * cache, and a request seldom has more than that first line. */
#define VH_BLK_SEGMENTS_MAX 58

struct vh_blk_req;
struct vh_device;
struct vhost_blk_queue;

/* One request to the device, but for its slot. */
struct vh_blk_part {
    uint32_t type;
    uint64_t sector;
    unsigned n_data;
    bool to_device; /* the data */
    /* Of those that carry one as their data: it lies in the slot. */
    uint64_t range_sector;
    uint32_t range_sectors;
    uint32_t range_flags;
    /* Room for header and status around the data. */
    struct vh_sg sg[VH_BLK_SEGMENTS_MAX + 2];
};

/** vh_blk_has_range() - of a type whose data is a range */
static inline bool vh_blk_has_range(uint32_t type)
{
    return type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES;
}

/** vh_blk_put_part() - give a request to the ring; as vh_ring_add() */
int vh_blk_put_part(struct vhost_blk_queue *q, struct vh_blk_req *req,
                    struct vh_blk_part *part);

/*
 * What it takes to give a request to another back end.  The slot would not do:
 * the old one may have written there.
 */
struct vh_blk_kept {
    uint32_t type;
    uint16_t n_data;
    bool to_device;
    uint64_t sector;
    uint64_t range_sector; /* as in the slot, for those two */
    uint32_t range_sectors;
    uint32_t range_flags;
    struct vh_sg sg[]; /* max_segments of them */
};

/* blk-again.c */

/** vh_blk_keep_init() - room for what has to be kept; 0 or -ENOMEM */
int vh_blk_keep_init(struct vhost_blk_queue *q, unsigned n);

/** vh_blk_keep() - @req is on its way as @part */
void vh_blk_keep(struct vhost_blk_queue *q, const struct vh_blk_req *req,
                 const struct vh_blk_part *part);

/** vh_blk_renew() - see struct vh_device_spec */
int vh_blk_renew(struct vh_device *device, unsigned index);

#endif
