/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the pieces of a buffer, as a driver wrote them, to iovecs of our own;
 * the same for every layout.  Nothing here follows a link: that is for the
 * layouts.
 */
#ifndef VH_RING_CHAIN_H
#define VH_RING_CHAIN_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/devring.h"

struct vh_chain_memory {
    vh_translate_fn *translate;
    void *arg;
    vh_translate_fn *piece;    /* the same for pieces, that nobody here reads */
    vh_translate_fn *writable; /* and for those that are to be written to */
};

/** vh_chain_memory() - as a ring was configured */
static inline struct vh_chain_memory
vh_chain_memory(const struct vh_devring_config *config)
{
    vh_translate_fn *piece =
        config->translate_piece ? config->translate_piece : config->translate;

    return (struct vh_chain_memory){
        .translate = config->translate,
        .arg = config->translate_arg,
        .piece = piece,
        .writable =
            config->translate_writable ? config->translate_writable : piece,
    };
}

/** vh_chain_start() - no piece yet */
static inline void vh_chain_start(struct vh_chain *chain)
{
    chain->n_out = 0;
    chain->n_in = 0;
    chain->out_len = 0;
    chain->in_len = 0;
    chain->unknown = false;
}

/** What is wrong with a chain of which a part is unknown: nothing, yet. */
extern const char vh_chain_unknown[];

/** vh_chain_end() - all pieces are there; NULL or vh_chain_unknown */
static inline const char *vh_chain_end(const struct vh_chain *chain)
{
    return chain->unknown ? vh_chain_unknown : NULL;
}

/** vh_chain_add_scattered() - vh_chain_add() in full; counts iovecs only */
const char *vh_chain_add_scattered(struct vh_chain *chain,
                                   const struct vh_chain_memory *memory,
                                   uint64_t gpa, uint32_t len, bool writable);

/**
 * vh_chain_add() - the next piece
 * @chain: begun by vh_chain_start()
 * @memory: to find it in
 * @gpa: where it begins
 * @len: bytes; a piece of 0 bytes is legal, and adds nothing
 * @writable: by the device
 *
 * Adds an iovec for each region that the piece lies in.  Here for the piece
 * that lies in one, as nearly all do; out of line for the others.  One that is
 * not known yet adds none, and chain->unknown is set: the rest is gone through
 * all the same, so that all that is missing can be asked for at once.
 *
 * Return: NULL, or in words what is wrong with it.
 */
static inline const char *vh_chain_add(struct vh_chain *chain,
                                       const struct vh_chain_memory *memory,
                                       uint64_t gpa, uint32_t len,
                                       bool writable)
{
    unsigned at = (unsigned)chain->n_out + chain->n_in;
    uint64_t got = 0;
    void *hva;

    if (!writable && chain->n_in > 0) {
        return "a readable piece follows a writable one";
    }
    if (((uint64_t)chain->out_len + chain->in_len + len) >> 32) {
        return "a buffer is longer than 4 GiB";
    }
    if (len == 0) {
        return NULL;
    }
    *(writable ? &chain->in_len : &chain->out_len) += len;
    hva = (writable ? memory->writable : memory->piece)(memory->arg, gpa, len,
                                                        &got);
    if (!hva || got < len || at >= chain->iov_max) {
        return vh_chain_add_scattered(chain, memory, gpa, len, writable);
    }
    chain->iov[at] = (struct iovec){ hva, len };
    *(writable ? &chain->n_in : &chain->n_out) += 1;
    return NULL;
}

/** vh_devring_followed() - what became of a chain; the ring breaks by @wrong
 *
 * Return: 0, -EAGAIN, or -EPROTO.
 */
static inline int vh_devring_followed(struct vh_devring *ring,
                                      const char *wrong)
{
    if (wrong == vh_chain_unknown) {
        return -EAGAIN;
    }
    ring->broken = wrong;
    return wrong ? -EPROTO : 0;
}

/**
 * vh_chain_copy() - copy from the driver's memory, each byte read once
 * @memory: to find it in
 * @dst: ours
 * @gpa: of any alignment
 * @len: bytes; they may lie in several regions
 *
 * Return: NULL, or in words what is wrong, which may be vh_chain_unknown.
 */
const char *vh_chain_copy(const struct vh_chain_memory *memory, void *dst,
                          uint64_t gpa, size_t len);

#endif
