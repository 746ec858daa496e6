/* SPDX-License-Identifier: BSD-3-Clause */
#include <vhost/vhost.h>

#include "mem/map.h"

unsigned int vhost_get_max_memslots(struct vhost_memory_map *map)
{
    return vh_memory_map_max_slots(map);
}

unsigned int vhost_get_free_memslots(struct vhost_memory_map *map)
{
    return vh_memory_map_free_slots(map);
}
