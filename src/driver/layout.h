/* SPDX-License-Identifier: BSD-3-Clause */
/* Which layout the rings of a device get: an enum vhost_layout and back. */
#ifndef VH_DRIVER_LAYOUT_H
#define VH_DRIVER_LAYOUT_H

#include <stdint.h>

#include <vhost/error.h>
#include <vhost/virtq.h>

/**
 * vh_layout_choose() - take from what the back end offers
 * @layout: an enum vhost_layout, as the user asked
 * @best: what AUTO tries, the best first, ended by VHOST_LAYOUT_SPLIT
 * @features: in: offered; out: without the layout bits that are not used
 * @errp: why it failed
 *
 * Return: 0; -ENOTSUP if the back end does not offer it.
 */
int vh_layout_choose(unsigned layout, const unsigned *best, uint64_t *features,
                     struct vhost_error **errp);

/** vh_layout_of() - the layout that negotiated features stand for */
unsigned vh_layout_of(uint64_t features);

#endif
