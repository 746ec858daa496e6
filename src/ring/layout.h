/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings as the virtio 1.3 specification draws them (2.7 "Split Virtqueues",
 * 2.8 "Packed Virtqueues").
 * All fields are little-endian; see vh_le16() and its kin in ring/endian.h.
 */
#ifndef VH_RING_LAYOUT_H
#define VH_RING_LAYOUT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VH_RING_SIZE_MAX 32768 /* 2.7: a power of two, at most this */

#define VH_DESC_F_NEXT 1
#define VH_DESC_F_WRITE 2
#define VH_DESC_F_INDIRECT 4

#define VH_AVAIL_F_NO_INTERRUPT 1
#define VH_USED_F_NO_NOTIFY 1

/* Feature bits that shape a ring (6 "Reserved Feature Bits"). */
#define VH_RING_F_INDIRECT_DESC 28
#define VH_RING_F_EVENT_IDX 29
#define VH_RING_F_PACKED 34
#define VH_RING_F_IN_ORDER 35

struct vh_desc { /* 2.7.5 */
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

struct vh_avail { /* 2.7.6; after ring[size]: uint16_t used_event */
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[];
};

struct vh_used_elem { /* 2.7.8 */
    uint32_t id;
    uint32_t len;
};

struct vh_used { /* 2.7.8; after ring[size]: uint16_t avail_event */
    uint16_t flags;
    uint16_t idx;
    struct vh_used_elem ring[];
};

static_assert(sizeof(struct vh_desc) == 16, "virtio 1.3, 2.7.5");
static_assert(sizeof(struct vh_avail) == 4, "virtio 1.3, 2.7.6");
static_assert(sizeof(struct vh_used_elem) == 8, "virtio 1.3, 2.7.8");
static_assert(sizeof(struct vh_used) == 4, "virtio 1.3, 2.7.8");

/*
 * A packed descriptor (2.8.13).  It is available if AVAIL is the driver's wrap
 * counter and USED is not; it is used if both are the same as that of the
 * device (2.8.1).
 */
#define VH_PACKED_F_AVAIL (1 << 7)
#define VH_PACKED_F_USED (1 << 15)

struct vh_packed_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags;
};

/* 2.8.14: what a side wants to hear of. */
#define VH_EVENT_F_ENABLE 0
#define VH_EVENT_F_DISABLE 1
#define VH_EVENT_F_DESC 2 /* only with the event index */

struct vh_packed_event {
    uint16_t off_wrap; /* bits 0-14: a place in the ring; 15: a wrap counter */
    uint16_t flags;
};

static_assert(sizeof(struct vh_packed_desc) == 16, "virtio 1.3, 2.8.13");
static_assert(sizeof(struct vh_packed_event) == 4, "virtio 1.3, 2.8.14");

/*
 * A base has 32 bits.  Split: the available index, 16 bits.  Packed: bits 0-14
 * where the device looks next, 15 its wrap counter there; 16-30 where it writes
 * the next used descriptor, 31 its wrap counter there.
 */
#define VH_PACKED_BASE_NEW UINT32_C(0x80008000)

/** vh_ring_first_base() - of a ring that was never used */
static inline uint32_t vh_ring_first_base(uint64_t features)
{
    return features >> VH_RING_F_PACKED & 1 ? VH_PACKED_BASE_NEW : 0;
}

/** Sizes in bytes of the three areas of a ring (2.7 and 2.8). */
struct vh_ring_sizes {
    size_t desc;
    size_t driver;
    size_t device;
};

/** vh_ring_sizes() - of a ring with @size entries and these feature bits */
struct vh_ring_sizes vh_ring_sizes(uint32_t size, uint64_t features);

/** vh_ring_size_is_valid() - may a ring have so many entries? */
bool vh_ring_size_is_valid(uint32_t size, uint64_t features);

#endif
