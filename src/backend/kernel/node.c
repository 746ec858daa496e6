/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening nodes.
 *
 * They do not block: a read is for messages that may not be there.  Nodes that
 * were given are made so by an ioctl that every file knows.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "backend/ops.h"
#include "util/error.h"

#define LIMIT_PATH "/sys/module/vhost/parameters/max_mem_regions"
#define LIMIT_DEFAULT 64

static int open_failed(struct vhost_kernel *kernel, int r)
{
    const char *module = kernel->class->module;
    char hint[160] = "";

    if (r == -ENOENT) {
        snprintf(hint, sizeof(hint),
                 "there is no such node: is the module %s loaded?  modprobe %s",
                 module, module);
    } else if (r == -ENXIO || r == -ENODEV) {
        snprintf(hint, sizeof(hint),
                 "nothing is behind the node: the module %s is missing, or "
                 "can't be loaded; modprobe %s says why",
                 module, module);
    } else if (r == -EACCES || r == -EPERM) {
        snprintf(hint, sizeof(hint),
                 "read and write access to the node is needed");
    }
    return vh_kernel_failed(kernel, r, "open", VH_NO_QUEUE, hint);
}

static int open_one(struct vhost_kernel *kernel)
{
    const char *path =
        kernel->options.path ? kernel->options.path : kernel->class->node;
    int fd = kernel->sys->open(kernel->sys_ctx, path, O_RDWR | O_NONBLOCK);

    return fd < 0 ? open_failed(kernel, fd) : fd;
}

/* One that was given is ours from now on, and is not there for a second time.
 */
static int take_one(struct vhost_kernel *kernel, unsigned i)
{
    int *given = (int *)kernel->options.nodes;
    int fd = i < kernel->options.n_nodes ? given[i] : -1;
    int one = 1;
    int r;

    if (fd < 0) {
        return vh_be_fail(kernel->dev, -EBADF, "open", VH_NO_QUEUE,
                          "%s: %u of its nodes are needed, %u were given, each "
                          "good for one init",
                          kernel->name, i + 1, kernel->options.n_nodes);
    }
    given[i] = -1;
    r = vh_kernel_ioctl(kernel, fd, FIONBIO, &one);
    if (r < 0) {
        kernel->sys->close(kernel->sys_ctx, fd);
        return vh_kernel_failed(kernel, r, "FIONBIO", VH_NO_QUEUE, "");
    }
    return fd;
}

int vh_kernel_open_nodes(struct vhost_kernel *kernel)
{
    unsigned per_node = kernel->class->per_node;
    unsigned n = per_node ? kernel->served / per_node : 1;

    kernel->nodes = malloc(n * sizeof(*kernel->nodes));
    kernel->taps = malloc(n * sizeof(*kernel->taps));
    if (!kernel->nodes || !kernel->taps) {
        return vh_be_fail(kernel->dev, -ENOMEM, "malloc", VH_NO_QUEUE,
                          "out of memory");
    }
    for (unsigned i = 0; i < n; i++) {
        int fd = kernel->options.nodes ? take_one(kernel, i) : open_one(kernel);

        if (fd < 0) {
            return fd;
        }
        kernel->nodes[i] = fd;
        kernel->taps[i] = -1;
        kernel->n_nodes++;
    }
    return 0;
}

/* The kernel stops what runs, and lets go of all memory, when one is closed. */
void vh_kernel_close_nodes(struct vhost_kernel *kernel)
{
    for (unsigned i = 0; i < kernel->n_nodes; i++) {
        kernel->sys->close(kernel->sys_ctx, kernel->nodes[i]);
        if (kernel->taps[i] >= 0) {
            kernel->sys->close(kernel->sys_ctx, kernel->taps[i]);
        }
    }
    free(kernel->nodes);
    free(kernel->taps);
    kernel->nodes = kernel->taps = NULL;
    kernel->n_nodes = 0;
}

/* A kernel that does not tell has the number that it has unless told. */
int vh_kernel_read_limit(struct vhost_kernel *kernel)
{
    char text[24] = "";
    int fd = kernel->sys->open(kernel->sys_ctx, LIMIT_PATH, O_RDONLY);
    long limit = 0;

    if (fd >= 0) {
        ssize_t n =
            kernel->sys->read(kernel->sys_ctx, fd, text, sizeof(text) - 1);

        kernel->sys->close(kernel->sys_ctx, fd);
        limit = n > 0 ? strtol(text, NULL, 10) : 0;
    }
    kernel->info.max_mem_slots =
        limit > 0 && limit <= INT32_MAX ? (uint32_t)limit : LIMIT_DEFAULT;
    return 0;
}
