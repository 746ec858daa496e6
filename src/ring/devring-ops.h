/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side of a ring as each layout makes it: see ring/devring.h. */
#ifndef VH_RING_DEVRING_OPS_H
#define VH_RING_DEVRING_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ring/layout.h"

struct vh_devring;

/*
 * Guest-physical address to ours.  Gives the address and sets *len to how
 * many of the @want bytes lie there in one piece (at least 1).  NULL: there is
 * nothing, and *len is untouched; or it is not known yet what there is, and
 * *len is set to for how many bytes: then the buffer is to be popped again.
 */
typedef void *vh_translate_fn(void *arg, uint64_t gpa, uint64_t want,
                              uint64_t *len);

struct vh_devring_config {
    uint32_t size;
    uint64_t features;
    void *desc;
    void *driver;
    void *device;
    uint32_t base;
    vh_translate_fn *translate;
    void *translate_arg;
    /* For the pieces of buffers, where these are not to be addresses of ours,
     * and iov_base is none; NULL: as translate, which tables always are. */
    vh_translate_fn *translate_piece;
    /* The same for those that are to be written to; NULL: as all pieces. */
    vh_translate_fn *translate_writable;
    bool keep; /* vh_devring_put_back() will be called */
};

/* A buffer as the driver described it. */
struct vh_chain {
    uint16_t id;      /* for push(): a head, or a packed ring's buffer id */
    uint16_t n_out;   /* iovecs to read from */
    uint16_t n_in;    /* iovecs to write to, after the others */
    uint32_t out_len; /* bytes */
    uint32_t in_len;
    struct iovec *iov; /* caller's array, iov_max long */
    uint16_t iov_max;
    bool unknown; /* where a piece of it is; for those who follow it */
};

/* A buffer that a device before this one had popped, and did not push. */
struct vh_held {
    uint16_t id;                 /* of its chain */
    uint16_t n;                  /* a packed ring: how many descriptors */
    const struct vh_desc *descs; /* and copies of them; next means nothing */
};

struct vh_devring_ops {
    int (*pop)(struct vh_devring *ring, struct vh_chain *chain);
    int (*again)(struct vh_devring *ring, const struct vh_held *held,
                 struct vh_chain *chain);
    void (*push)(struct vh_devring *ring, uint16_t id, uint32_t len);
    bool (*publish)(struct vh_devring *ring);
    bool (*enable_kick)(struct vh_devring *ring);
    void (*disable_kick)(struct vh_devring *ring);
    uint32_t (*base)(const struct vh_devring *ring);
    uint32_t (*used)(const struct vh_devring *ring);
    uint32_t (*put_back)(struct vh_devring *ring);
    void (*free)(struct vh_devring *ring);
};

struct vh_devring {
    const struct vh_devring_ops *ops;
    uint32_t size;
    uint32_t n_inflight; /* popped and not yet pushed */
    const char *broken;  /* why, or NULL */
};

#endif
