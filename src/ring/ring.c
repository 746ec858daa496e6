/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which layout runs: the feature bits say (virtio 1.3, 6 "Reserved Feature
 * Bits").
 */
#include <errno.h>

#include "ring/devring.h"
#include "ring/packed.h"
#include "ring/ring.h"
#include "ring/split.h"

static bool is_packed(uint64_t features)
{
    return features >> VH_RING_F_PACKED & 1;
}

int vh_ring_new(struct vh_ring **ringp, const struct vh_ring_config *config)
{
    if (!vh_ring_size_is_valid(config->size, config->features)) {
        return -EINVAL;
    }
    return is_packed(config->features) ? vh_packed_ring_new(ringp, config)
                                       : vh_split_ring_new(ringp, config);
}

int vh_devring_new(struct vh_devring **ringp,
                   const struct vh_devring_config *config)
{
    if (!vh_ring_size_is_valid(config->size, config->features)) {
        return -EINVAL;
    }
    return is_packed(config->features) ? vh_packed_devring_new(ringp, config)
                                       : vh_split_devring_new(ringp, config);
}
