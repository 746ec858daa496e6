/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies of the descriptors of buffers that are out, oldest buffer first.
 *
 * A used descriptor is written over the ones of some other buffer, if buffers
 * are returned in another order than they came in.  So who may have to make
 * them available again keeps copies.  There are never more than the ring has
 * descriptors: room for them all is made at birth.
 */
#ifndef VH_RING_PACKED_KEPT_H
#define VH_RING_PACKED_KEPT_H

#include "ring/packed.h"

struct vh_packed_kept;

/** vh_packed_kept_new() - of a ring with @size entries; NULL if memory is short
 */
struct vh_packed_kept *vh_packed_kept_new(uint32_t size);

void vh_packed_kept_free(struct vh_packed_kept *kept);

/** vh_packed_kept_add() - copy those of a buffer
 * @id: of the buffer, not kept yet
 * @desc: of a ring with @size entries
 * @at: the buffer's first
 * @n: how many
 */
void vh_packed_kept_add(struct vh_packed_kept *kept, uint16_t id,
                        const struct vh_packed_desc *desc, uint32_t at,
                        uint32_t n);

/** vh_packed_kept_drop() - the buffer was returned */
void vh_packed_kept_drop(struct vh_packed_kept *kept, uint16_t id);

/** vh_packed_kept_write() - make all of them available
 * @desc: of the ring
 * @pos: where the first goes
 */
void vh_packed_kept_write(const struct vh_packed_kept *kept,
                          struct vh_packed_desc *desc,
                          struct vh_packed_pos pos);

#endif
