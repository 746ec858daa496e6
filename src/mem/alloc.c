/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for programs that have no guest: see vhost_memory_alloc(). */
#include <vhost/memory.h>

#include <errno.h>
#include <string.h>

#include "util/error.h"
#include "util/shm.h"

static int alloc_failed(struct vhost_error **errp, int code, size_t size,
                        bool huge)
{
    const char *hint = "";

    if (huge && code == -ENOMEM) {
        hint = "; are there free huge pages of the default size?";
    }
    return vh_error(errp, code, "memfd_create", VH_NO_QUEUE,
                    "cannot allocate %zu bytes of shared memory%s: %s%s", size,
                    huge ? " in huge pages" : "", strerror(-code), hint);
}

int vhost_memory_alloc(struct vhost_memory_section *section, size_t size,
                       unsigned flags, struct vhost_error **errp)
{
    bool huge = flags & VHOST_MEMORY_HUGE;
    struct vh_shm shm;
    int r;

    if (size == 0 || (flags & ~VHOST_MEMORY_HUGE)) {
        return vh_error(errp, -EINVAL, "", VH_NO_QUEUE,
                        "cannot allocate %zu bytes with flags 0x%x", size,
                        flags);
    }
    r = vh_shm_new(&shm, "vhost-memory", size, huge);
    if (r < 0) {
        return alloc_failed(errp, r, size, huge);
    }
    section->hva = shm.addr;
    section->size = shm.len;
    section->fd = shm.fd;
    section->fd_offset = 0;
    section->page_size = shm.page_size;
    return 0;
}

void vhost_memory_free(struct vhost_memory_section *section)
{
    struct vh_shm shm = {
        .addr = section->hva,
        .len = (size_t)section->size,
        .fd = section->fd,
    };

    /* A section of zeros was never allocated, and fd 0 is not ours. */
    if (section->hva) {
        vh_shm_free(&shm);
    }
    section->hva = NULL;
    section->fd = -1;
}
