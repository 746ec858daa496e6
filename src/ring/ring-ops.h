/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver side of a ring as each layout makes it: see ring/ring.h. */
#ifndef VH_RING_RING_OPS_H
#define VH_RING_RING_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/layout.h"

struct vh_ring;

/* One piece of a buffer. */
struct vh_sg {
    uint64_t addr; /* guest-physical */
    uint32_t len;
};

struct vh_ring_used {
    void *cookie;
    uint32_t len; /* bytes that the device wrote, at most the writable ones */
};

/* A buffer of one piece, for vh_ring_put(). */
struct vh_ring_buf {
    uint64_t addr; /* guest-physical */
    void *cookie;
    uint32_t len;
};

struct vh_ring_config {
    uint32_t size;     /* entries */
    uint64_t features; /* VH_RING_F_…, as negotiated */
    void *desc;        /* the three areas, zeroed, in shared memory */
    void *driver;
    void *device;
    /* Tables: as many as entries, in shared memory; NULL: never indirect. */
    void *indirect;
    uint64_t indirect_gpa;
    uint16_t indirect_len; /* struct vh_desc in each */
    uint32_t base;         /* 32 bits: vh_ring_first_base() if it is new */
};

struct vh_ring_ops {
    int (*add)(struct vh_ring *ring, const struct vh_sg *sg, unsigned n_out,
               unsigned n_in, void *cookie);
    int (*put)(struct vh_ring *ring, const struct vh_ring_buf *bufs, unsigned n,
               bool writable);
    bool (*publish)(struct vh_ring *ring);
    int (*take)(struct vh_ring *ring, struct vh_ring_used *used, unsigned max);
    bool (*enable_call)(struct vh_ring *ring);
    void (*disable_call)(struct vh_ring *ring);
    bool (*has_used)(const struct vh_ring *ring);
    uint32_t (*base)(const struct vh_ring *ring);
    unsigned (*drop)(struct vh_ring *ring, void **cookies, unsigned max);
    void (*free)(struct vh_ring *ring);
};

/* What every layout has; each layout's own struct begins with it. */
struct vh_ring {
    const struct vh_ring_ops *ops;
    uint32_t size;
    uint32_t n_free;     /* descriptors */
    uint32_t n_inflight; /* buffers added and not yet taken */
    const char *broken;  /* why, or NULL */
};

#endif
