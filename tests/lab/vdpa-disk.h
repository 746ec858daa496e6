/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests to a virtio-blk device, each in a buffer of its own. */
#ifndef VH_TESTS_LAB_VDPA_DISK_H
#define VH_TESTS_LAB_VDPA_DISK_H

#include "lab/kernel-guest.h"

#define DISK_DEPTH 16u    /* requests at once: of 3 pieces each */
#define DISK_DATA 2048u   /* bytes of a request */
#define DISK_STATUS 1024u /* where in the buffer its status is */

/** disk_fill() - what block @i has after its @round-th write */
void disk_fill(uint8_t *data, unsigned i, unsigned round);

/** disk_write(), disk_read() - block @i, in buffer @i modulo DISK_DEPTH */
void disk_write(struct guest *g, unsigned i, unsigned round);
void disk_read(struct guest *g, unsigned i);

/** disk_done() - a request that has ended, waited for, and that went well
 * Return: its buffer; -1: none has. */
int disk_done(struct guest *g, unsigned seconds);

/** disk_is() - the block that was read in buffer @i has what it should */
void disk_is(struct guest *g, unsigned i, unsigned round);

/** disk_round_trip() - DISK_DEPTH blocks at once, written, read, compared */
void disk_round_trip(struct guest *g, unsigned round);

/** disk_is_all() - the latter two alone */
void disk_is_all(struct guest *g, unsigned round);

#endif
