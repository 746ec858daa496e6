/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which layout runs: the feature bits say (virtio 1.3, 6 "Reserved Feature
 * Bits").  A bit that changes the ring, and that this build cannot obey, must
 * stop it here: the peer would read the ring otherwise than we write it.
 */
#include <errno.h>

#include "ring/devring.h"
#include "ring/ring.h"
#include "ring/split.h"

#define NOT_BUILT \
    (UINT64_C(1) << VH_RING_F_PACKED | UINT64_C(1) << VH_RING_F_IN_ORDER)

static int check(uint32_t size, uint64_t features)
{
    if (!vh_ring_size_is_valid(size, features)) {
        return -EINVAL;
    }
    return features & NOT_BUILT ? -ENOTSUP : 0;
}

int vh_ring_new(struct vh_ring **ringp, const struct vh_ring_config *config)
{
    int r = check(config->size, config->features);

    return r < 0 ? r : vh_split_ring_new(ringp, config);
}

int vh_devring_new(struct vh_devring **ringp,
                   const struct vh_devring_config *config)
{
    int r = check(config->size, config->features);

    return r < 0 ? r : vh_split_devring_new(ringp, config);
}
