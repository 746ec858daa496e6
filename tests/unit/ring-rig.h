/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring with both its sides in one process, over memory that looks like a
 * guest's: addresses begin at RIG_GPA, and every RIG_REGION bytes another
 * region begins, so that what is one piece to the driver may be two to the
 * device.
 */
#ifndef VH_TESTS_RING_RIG_H
#define VH_TESTS_RING_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ring/devring.h"
#include "ring/endian.h"
#include "ring/layout.h"
#include "ring/ring.h"

#define RIG_GPA UINT64_C(0x100000000)
#define RIG_REGION 8192
#define RIG_TABLE 8 /* entries of an indirect table */

#define BIT(n) (UINT64_C(1) << (n))

struct rig {
    uint32_t size;
    uint64_t features;
    uint8_t *mem; /* all of it */
    size_t mem_len;
    struct vh_desc *desc;
    struct vh_avail *avail;
    struct vh_used *used;
    struct vh_packed_desc *packed; /* the same areas as a packed ring's */
    struct vh_packed_event *driver_event;
    struct vh_packed_event *device_event;
    struct vh_desc *tables;
    uint8_t *data;
    size_t data_len;
    uint32_t base;
    bool whole; /* one region */
    struct vh_ring *ring;
    struct vh_devring *dev;
};

/* Every layout: where the tests go through all of them. */
static const uint64_t rig_layouts[] = {
    0,
    BIT(VH_RING_F_IN_ORDER),
    BIT(VH_RING_F_PACKED),
    BIT(VH_RING_F_PACKED) | BIT(VH_RING_F_IN_ORDER),
};

#define RIG_LAYOUTS (sizeof(rig_layouts) / sizeof(rig_layouts[0]))

static inline bool rig_has(const struct rig *rig, unsigned feature)
{
    return rig->features >> feature & 1;
}

static inline uint64_t rig_gpa(const struct rig *rig, const void *hva)
{
    return RIG_GPA + (uint64_t)((const uint8_t *)hva - rig->mem);
}

static inline void *rig_translate(void *arg, uint64_t gpa, uint64_t want,
                                  uint64_t *len)
{
    struct rig *rig = arg;
    uint64_t offset = gpa - RIG_GPA;
    uint64_t left;

    if (gpa < RIG_GPA || offset >= rig->mem_len) {
        return NULL;
    }
    left = rig->mem_len - offset;
    if (!rig->whole && left > RIG_REGION - offset % RIG_REGION) {
        left = RIG_REGION - offset % RIG_REGION;
    }
    *len = left < want ? left : want;
    return rig->mem + offset;
}

static inline int rig_new_driver(struct rig *rig)
{
    struct vh_ring_config config = {
        .size = rig->size,
        .features = rig->features,
        .desc = rig->desc,
        .driver = rig->avail,
        .device = rig->used,
        .indirect = rig->tables,
        .indirect_gpa = rig_gpa(rig, rig->tables),
        .indirect_len = RIG_TABLE,
        .base = rig->base,
    };

    return vh_ring_new(&rig->ring, &config);
}

static inline int rig_new_device(struct rig *rig)
{
    struct vh_devring_config config = {
        .size = rig->size,
        .features = rig->features,
        .desc = rig->desc,
        .driver = rig->avail,
        .device = rig->used,
        .base = rig->base,
        .translate = rig_translate,
        .translate_arg = rig,
    };

    return vh_devring_new(&rig->dev, &config);
}

/* The areas, in this order, each in regions of its own. */
static inline size_t rig_round(size_t len)
{
    return (len + RIG_REGION - 1) / RIG_REGION * RIG_REGION;
}

static inline void rig_init(struct rig *rig, uint32_t size, uint64_t features,
                            uint32_t base)
{
    struct vh_ring_sizes sizes = vh_ring_sizes(size, features);
    size_t tables_len = (size_t)size * RIG_TABLE * sizeof(struct vh_desc);
    size_t at = 0;

    memset(rig, 0, sizeof(*rig));
    rig->size = size;
    rig->features = features;
    rig->base = base;
    rig->data_len = rig_round(65536);
    rig->mem_len = rig_round(sizes.desc) + rig_round(sizes.driver) +
                   rig_round(sizes.device) + rig_round(tables_len) +
                   rig->data_len;
    rig->mem = aligned_alloc(RIG_REGION, rig->mem_len);
    assert_non_null(rig->mem);
    memset(rig->mem, 0, rig->mem_len);
    rig->desc = (void *)(rig->mem + at);
    at += rig_round(sizes.desc);
    rig->avail = (void *)(rig->mem + at);
    at += rig_round(sizes.driver);
    rig->used = (void *)(rig->mem + at);
    at += rig_round(sizes.device);
    rig->packed = (void *)rig->desc;
    rig->driver_event = (void *)rig->avail;
    rig->device_event = (void *)rig->used;
    rig->tables = (void *)(rig->mem + at);
    at += rig_round(tables_len);
    rig->data = rig->mem + at;
    assert_int_equal(rig_new_driver(rig), 0);
    assert_int_equal(rig_new_device(rig), 0);
}

static inline void rig_cleanup(struct rig *rig)
{
    vh_ring_free(rig->ring);
    vh_devring_free(rig->dev);
    free(rig->mem);
}

/* Numbers that look random and are the same in every run. */
static inline uint32_t rig_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

/* From 0 to @n - 1. */
static inline uint32_t rig_below(uint64_t *state, uint32_t n)
{
    return rig_random(state) % n;
}

#endif
