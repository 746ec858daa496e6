/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts of `vhost probe`: the configuration of a block device, decoded; and what
 * this machine has. */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>
#include <linux/virtio_blk.h>

/* What is read of it: the fields that every back end of today has. */
#define PROBE_BLK_CONFIG_LEN 60

/**
 * struct probe_blk - the configuration in bytes and in our byte order
 *
 * What the features do not cover is 0.
 */
struct probe_blk {
    uint64_t capacity;
    uint64_t block_size;
    uint64_t physical_block_size;
    uint64_t min_io_size;
    uint64_t opt_io_size;
    uint64_t queues;
    uint64_t seg_max;
    uint64_t size_max;
    bool read_only;
    bool has_cache_mode;
    bool writeback;
    bool has_discard;
    uint64_t discard_max;
    uint64_t discard_segments;
    uint64_t discard_alignment;
    bool has_zeroes;
    uint64_t zeroes_max;
    uint64_t zeroes_segments;
    bool zeroes_may_unmap;
};

/** probe_blk_decode() - bytes to meaning
 * @blk: filled in
 * @config: as read from the device
 * @features: as the device offers them, bits 0 to 63
 */
void probe_blk_decode(struct probe_blk *blk,
                      const struct virtio_blk_config *config,
                      uint64_t features);

/** probe_blk_print() - as rows of a table */
void probe_blk_print(const struct probe_blk *blk);

/** probe_blk_json() - as a JSON object, which the caller owns */
json_object *probe_blk_json(const struct probe_blk *blk);

/** probe_host() - print which devices of the kernel this machine has
 *
 * Return: EXIT_SUCCESS, also if there are none.
 */
int probe_host(bool json);

#endif
