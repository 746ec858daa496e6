/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffer of in-flight tracking as it lies in shared memory: vhost-user
 * specification, QueueRegionSplit and QueueRegionPacked, in the byte order of
 * the host.  Others write there too: what is read from it is checked.
 */
#ifndef VH_SERVER_INFLIGHT_REGION_H
#define VH_SERVER_INFLIGHT_REGION_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/devring.h"

#define VH_REGION_VERSION 1
#define VH_REGION_NONE UINT16_MAX

struct vh_split_state {
    uint8_t inflight;
    uint8_t padding[5];
    uint16_t next;
    uint64_t counter;
};

struct vh_split_region {
    uint64_t features;
    uint16_t version;
    uint16_t desc_num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    struct vh_split_state desc[];
};

struct vh_packed_state {
    uint8_t inflight;
    uint8_t padding;
    uint16_t next;
    uint16_t last;
    uint16_t num;
    uint64_t counter;
    uint16_t id;
    uint16_t flags;
    uint32_t len;
    uint64_t addr;
};

struct vh_packed_region {
    uint64_t features;
    uint16_t version;
    uint16_t desc_num;
    uint16_t free_head;
    uint16_t old_free_head;
    uint16_t used_idx;
    uint16_t old_used_idx;
    uint8_t used_wrap_counter;
    uint8_t old_used_wrap_counter;
    uint8_t padding[7];
    struct vh_packed_state desc[];
};

static_assert(sizeof(struct vh_split_state) == 16, "split state");
static_assert(sizeof(struct vh_split_region) == 16, "split region");
static_assert(sizeof(struct vh_packed_state) == 32, "packed state");
static_assert(sizeof(struct vh_packed_region) == 32, "packed region");

/* One that was left. */
struct vh_left {
    uint64_t counter;
    uint16_t entry; /* of its state; for a split ring also its id */
};

/**
 * struct vh_qflight - one queue's part, and what we know ourselves
 * @shared: what @split or @packed is of
 * @ring: a packed ring's descriptors
 * @counter: of the next buffer
 * @n_out: taken and not shown to be given back: descriptors of a packed ring,
 *     buffers of a split one.  There are never more than the ring has, unless
 *     its driver makes available what it has not got back
 * @batch: entries that are pushed and not published
 * @entry_of, @next, @last, @num: a packed ring's entries: that of an id; those
 *     of one buffer
 * @free_head: the first free one; of a split ring: of the last batch
 * @order: of a ring whose buffers are returned in order: those that were taken
 *     and not shown to be given back.  NULL: of others
 * @left: in the order of their counters; from @at_left on to be popped again
 */
struct vh_qflight {
    union {
        struct vh_split_region *split;
        struct vh_packed_region *packed;
    };
    bool is_packed;
    uint16_t size;
    const struct vh_packed_desc *ring;
    uint64_t counter;
    uint16_t used;
    bool wrap;
    uint32_t n_out;
    uint16_t *batch;
    unsigned n_batch;
    uint16_t *entry_of;
    uint16_t *next;
    uint16_t *last;
    uint16_t *num;
    uint16_t free_head;
    struct vh_order *order;
    struct vh_left *left;
    unsigned n_left;
    unsigned at_left;
    struct vh_desc *descs; /* of the one that is being popped again */
};

/* inflight-split.c, inflight-packed.c.  Those that return words: NULL, or what
 * is wrong, with the region or with the driver. */
const char *vh_flight_split_recover(struct vh_qflight *f,
                                    struct vh_devring_config *config);
const char *vh_flight_split_took(struct vh_qflight *f, uint16_t id);
void vh_flight_split_pushed(struct vh_qflight *f, uint16_t id);
void vh_flight_split_published(struct vh_qflight *f, uint16_t used);

const char *vh_flight_packed_recover(struct vh_qflight *f,
                                     struct vh_devring_config *config);
void vh_flight_packed_held(struct vh_qflight *f, uint16_t entry,
                           struct vh_held *held);
const char *vh_flight_packed_took(struct vh_qflight *f, uint16_t id,
                                  uint32_t at, uint32_t behind);
void vh_flight_packed_publish(struct vh_qflight *f);
void vh_flight_packed_published(struct vh_qflight *f);

#endif
