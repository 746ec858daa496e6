/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration space of a block device (virtio 1.3, 5.2.4 "Device
 * configuration layout").  A field counts only with its feature; what the
 * device may leave out gets the value that binds us most, or least where no
 * limit is the rule.
 */
#include "driver/blk-config.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <linux/virtio_blk.h>

#include "util/error.h"

#define BLOCK_SIZE_MAX 65536u
#define END_OF(field)                            \
    (offsetof(struct virtio_blk_config, field) + \
     sizeof(((struct virtio_blk_config *)0)->field))

static_assert(END_OF(write_zeroes_may_unmap) + 3 == VH_BLK_CONFIG_LEN,
              "virtio 1.3, 5.2.4");

static bool has(uint64_t features, unsigned bit)
{
    return (features >> bit) & 1;
}

/* How many bytes a discard or a write zeroes may cover: whole blocks. */
static uint64_t range_limit(uint32_t sectors, uint32_t block_size)
{
    uint64_t bytes = (uint64_t)(sectors ? sectors : UINT32_MAX) * VH_BLK_SECTOR;

    bytes -= bytes % block_size;
    return bytes ? bytes : block_size;
}

static int check(uint64_t sectors, uint32_t block_size,
                 struct vhost_error **errp)
{
    if (sectors > (UINT64_C(1) << 63) / VH_BLK_SECTOR) {
        return vh_error(errp, -EPROTO, "GET_CONFIG", VH_NO_QUEUE,
                        "the device says it has %llu sectors: too many",
                        (unsigned long long)sectors);
    }
    if (block_size < VH_BLK_SECTOR || block_size > BLOCK_SIZE_MAX ||
        (block_size & (block_size - 1)) != 0) {
        return vh_error(errp, -EPROTO, "GET_CONFIG", VH_NO_QUEUE,
                        "the device says its blocks have %u bytes: not a "
                        "power of two from 512 to 65536",
                        block_size);
    }
    return 0;
}

int vh_blk_limits_read(struct vh_blk_limits *limits, const uint8_t *config,
                       uint64_t features, struct vhost_error **errp)
{
    struct virtio_blk_config c = { 0 };
    struct vh_blk_limits l = { .queues = 1,
                               .block_size = VH_BLK_SECTOR,
                               .max_segments = 1,
                               .max_segment_size = VH_BLK_PART_MAX };
    uint32_t size_max;
    int r;

    memcpy(&c, config, VH_BLK_CONFIG_LEN);
    if (has(features, VIRTIO_BLK_F_BLK_SIZE)) {
        l.block_size = le32toh(c.blk_size);
    }
    r = check(le64toh(c.capacity), l.block_size, errp);
    if (r < 0) {
        return r;
    }
    l.capacity = le64toh(c.capacity) * VH_BLK_SECTOR;
    if (has(features, VIRTIO_BLK_F_SEG_MAX) && le32toh(c.seg_max) > 1) {
        l.max_segments = le32toh(c.seg_max);
    }
    size_max = le32toh(c.size_max);
    if (has(features, VIRTIO_BLK_F_SIZE_MAX) && size_max > 0 &&
        size_max < l.max_segment_size) {
        l.max_segment_size = size_max;
    }
    if (has(features, VIRTIO_BLK_F_MQ) && le16toh(c.num_queues) > 1) {
        l.queues = le16toh(c.num_queues);
    }
    l.max_discard = range_limit(le32toh(c.max_discard_sectors), l.block_size);
    l.discard_alignment =
        (uint64_t)le32toh(c.discard_sector_alignment) * VH_BLK_SECTOR;
    l.max_zeroes =
        range_limit(le32toh(c.max_write_zeroes_sectors), l.block_size);
    l.zeroes_may_unmap = c.write_zeroes_may_unmap != 0;
    *limits = l;
    return 0;
}
