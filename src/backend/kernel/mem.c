/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory, and the log of what is written there.
 *
 * Each node has a table of its own, of our addresses; the kernel keeps none of
 * the old one once it has taken the new.  The log is one for all nodes: bits
 * are set by atomic operations, each in a native word.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <stdio.h>

#include "util/error.h"

unsigned vh_kernel_memslots_limit(struct vhost_dev *dev)
{
    return ((const struct vhost_kernel *)dev->opaque)->info.max_mem_slots;
}

int vh_kernel_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem)
{
    struct vhost_kernel *kernel = dev->opaque;

    for (unsigned i = 0; i < kernel->n_nodes; i++) {
        int r =
            vh_kernel_ioctl(kernel, kernel->nodes[i], VHOST_SET_MEM_TABLE, mem);
        char hint[120] = "";

        if (r == -E2BIG) {
            snprintf(hint, sizeof(hint),
                     "%u regions are more than the kernel takes: see the "
                     "parameter max_mem_regions of the module vhost",
                     mem->nregions);
        }
        if (r < 0) {
            return vh_kernel_failed(kernel, r, "SET_MEM_TABLE", VH_NO_QUEUE,
                                    hint);
        }
    }
    return 0;
}

int vh_kernel_set_log_base(struct vhost_dev *dev, uint64_t base,
                           struct vhost_log *log)
{
    (void)log;
    return vh_kernel_call_all(dev->opaque, "SET_LOG_BASE", VHOST_SET_LOG_BASE,
                              &base);
}
