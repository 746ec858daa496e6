/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration space of a block device: checked, and in our own terms. */
#ifndef VH_DRIVER_BLK_CONFIG_H
#define VH_DRIVER_BLK_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/error.h>

/* Up to and including write_zeroes_may_unmap and its padding.  Not a byte
 * more: devices exist that answer a longer question with an error. */
#define VH_BLK_CONFIG_LEN 60

#define VH_BLK_SECTOR 512u
#define VH_BLK_PART_MAX (UINT32_C(1) << 30) /* data bytes in one request */

/* What the device takes; bytes. */
struct vh_blk_limits {
    uint64_t capacity;
    uint32_t block_size;
    uint32_t max_segments;
    uint32_t max_segment_size;
    uint64_t max_discard; /* whole blocks, in one request */
    uint64_t discard_alignment;
    uint64_t max_zeroes; /* whole blocks, in one request */
    bool zeroes_may_unmap;
    unsigned queues;
};

/**
 * vh_blk_limits_read() - from the configuration space
 * @limits: filled in; untouched on failure
 * @config: VH_BLK_CONFIG_LEN bytes as the device gave them
 * @features: as negotiated: they say which fields count
 * @errp: which field is impossible
 *
 * Return: 0 or -EPROTO.
 */
int vh_blk_limits_read(struct vh_blk_limits *limits, const uint8_t *config,
                       uint64_t features, struct vhost_error **errp);

#endif
