/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the pieces of a buffer, as a driver wrote them, to iovecs of our own;
 * the same for every layout.  Nothing here follows a link: that is for the
 * layouts.
 */
#ifndef VH_RING_CHAIN_H
#define VH_RING_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/devring.h"

struct vh_chain_memory {
    vh_translate_fn *translate;
    void *arg;
};

/** vh_chain_start() - no piece yet */
void vh_chain_start(struct vh_chain *chain);

/**
 * vh_chain_add() - the next piece
 * @chain: begun by vh_chain_start()
 * @memory: to find it in
 * @gpa: where it begins
 * @len: bytes; a piece of 0 bytes is legal, and adds nothing
 * @writable: by the device
 *
 * Adds an iovec for each region that the piece lies in.
 *
 * Return: NULL, or in words what is wrong with it.
 */
const char *vh_chain_add(struct vh_chain *chain,
                         const struct vh_chain_memory *memory, uint64_t gpa,
                         uint32_t len, bool writable);

/**
 * vh_chain_copy() - copy from the driver's memory, each byte read once
 * @memory: to find it in
 * @dst: ours
 * @gpa: of any alignment
 * @len: bytes; they may lie in several regions
 *
 * Return: false if part of it is not there.
 */
bool vh_chain_copy(const struct vh_chain_memory *memory, void *dst,
                   uint64_t gpa, size_t len);

#endif
