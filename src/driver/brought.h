/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that a program brings: is it fit to be shared? */
#ifndef VH_DRIVER_BROUGHT_H
#define VH_DRIVER_BROUGHT_H

#include <vhost/memory.h>

/**
 * vh_brought_check() - could a back end map this memory too?
 * @section: hva, size, fd and fd_offset; its page_size is filled in
 * @errp: why not
 *
 * Return: 0; -EINVAL if it is not whole pages of the file; -EFAULT if it is
 * not mapped here; or the negative errno of fstat(2) or mmap(2).
 */
int vh_brought_check(struct vhost_memory_section *section,
                     struct vhost_error **errp);

#endif
