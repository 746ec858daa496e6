/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Describing a device: its options, with a copy of all that they point to.
 *
 * What is wrong with them on their own is told here, before anything is opened;
 * what they have to do with the queues is told by the class, later.
 */
#include "backend/kernel/kernel.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

#define NODES_MAX 4096u

static const struct vh_kernel_class *const classes[] = {
    [VHOST_KERNEL_NET] = &vh_kernel_net,
    [VHOST_KERNEL_VSOCK] = &vh_kernel_vsock,
    [VHOST_KERNEL_SCSI] = &vh_kernel_scsi,
};

static int invalid(struct vhost_error **errp, const char *what)
{
    return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE, "%s", what);
}

/* What this version does not know of must be 0: it can't be done. */
static int check_size(const struct vhost_kernel_options *options,
                      struct vhost_error **errp)
{
    const unsigned char *bytes = (const unsigned char *)options;

    for (size_t i = sizeof(*options); i < options->size; i++) {
        if (bytes[i] != 0) {
            return vh_error(errp, -E2BIG, "options", VH_NO_QUEUE,
                            "options of a later version of the library");
        }
    }
    return 0;
}

static int check_class(const struct vhost_kernel_options *o,
                       struct vhost_error **errp)
{
    if (o->kind != VHOST_KERNEL_NET && (o->tap || o->n_backends)) {
        return invalid(errp, "taps and packet sockets are for network devices");
    }
    if (o->kind != VHOST_KERNEL_VSOCK && o->guest_cid) {
        return invalid(errp, "only a vsock device has a guest_cid");
    }
    if (o->kind != VHOST_KERNEL_SCSI && (o->wwpn || o->tpgt || o->workers)) {
        return invalid(errp, "only a SCSI device has a wwpn, tpgt and workers");
    }
    return 0;
}

static int check_net(const struct vhost_kernel_options *o,
                     struct vhost_error **errp)
{
    if (o->tap && o->n_backends) {
        return invalid(errp, "a tap by its name, or open ones: not both");
    }
    if (o->tap && (o->tap[0] == '\0' || strlen(o->tap) >= IFNAMSIZ)) {
        return invalid(errp, "the name of a tap has 1 to 15 characters");
    }
    return 0;
}

static int check(const struct vhost_kernel_options *o,
                 struct vhost_error **errp)
{
    int r = check_size(o, errp);

    if (r == 0 && (o->kind >= sizeof(classes) / sizeof(classes[0]) ||
                   !classes[o->kind])) {
        r = invalid(errp, "no such kind of device: there are VHOST_KERNEL_NET, "
                          "_VSOCK and _SCSI");
    }
    if (r == 0 && o->fork > VHOST_KERNEL_FORK_KTHREAD) {
        r = invalid(errp, "no such enum vhost_kernel_fork");
    }
    if (r == 0 && (o->n_nodes > NODES_MAX || o->n_backends > NODES_MAX)) {
        r = invalid(errp, "more nodes or backends than any device has");
    }
    if (r == 0) {
        r = check_class(o, errp);
    }
    return r == 0 ? check_net(o, errp) : r;
}

static bool copy_text(const char **text)
{
    *text = *text ? strdup(*text) : NULL;
    return *text != NULL;
}

static bool copy_fds(const int **fds, unsigned n)
{
    int *copy = n > 0 ? malloc(n * sizeof(*copy)) : NULL;

    if (copy) {
        memcpy(copy, *fds, n * sizeof(*copy));
    }
    *fds = copy;
    return copy != NULL;
}

/* Each pointer is a copy, or NULL, afterwards. */
static bool copy_options(struct vhost_kernel_options *to,
                         const struct vhost_kernel_options *from)
{
    bool whole = true;

    *to = *from;
    whole &= copy_text(&to->path) || !from->path;
    whole &= copy_text(&to->tap) || !from->tap;
    whole &= copy_text(&to->wwpn) || !from->wwpn;
    whole &= copy_fds(&to->nodes, to->n_nodes) || !from->n_nodes;
    whole &= copy_fds(&to->backends, to->n_backends) || !from->n_backends;
    return whole;
}

static void close_given(const struct vh_sys *sys, void *ctx, const int *nodes,
                        unsigned n)
{
    for (unsigned i = 0; nodes && i < n; i++) {
        if (nodes[i] >= 0) {
            sys->close(ctx, nodes[i]);
        }
    }
}

static void destroy(struct vhost_kernel *kernel)
{
    pthread_mutex_destroy(&kernel->lock);
    free((void *)kernel->options.path);
    free((void *)kernel->options.tap);
    free((void *)kernel->options.wwpn);
    free((void *)kernel->options.nodes);
    free((void *)kernel->options.backends);
    free(kernel->name);
    free(kernel);
}

static struct vhost_kernel *make(const struct vhost_kernel_options *options)
{
    struct vhost_kernel *kernel = calloc(1, sizeof(*kernel));
    const char *path;
    bool whole;

    if (!kernel) {
        return NULL;
    }
    pthread_mutex_init(&kernel->lock, NULL);
    whole = copy_options(&kernel->options, options);
    kernel->class = classes[options->kind];
    path = options->path ? options->path : kernel->class->node;
    if (asprintf(&kernel->name, "kernel:%s", path) < 0) {
        kernel->name = NULL;
        whole = false;
    }
    if (!whole) {
        destroy(kernel);
        return NULL;
    }
    kernel->info.kind = options->kind;
    kernel->epoll_fd = -1;
    kernel->answering = -1;
    return kernel;
}

struct vhost_kernel *vh_kernel_new(const struct vh_sys *sys, void *sys_ctx,
                                   const struct vhost_kernel_options *options,
                                   struct vhost_error **errp)
{
    struct vhost_kernel *kernel = NULL;

    if (check(options, errp) == 0) {
        kernel = make(options);
        if (!kernel) {
            vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
        }
    }
    if (!kernel) {
        close_given(sys, sys_ctx, options->nodes, options->n_nodes);
        return NULL;
    }
    kernel->sys = sys;
    kernel->sys_ctx = sys_ctx;
    return kernel;
}

struct vhost_kernel *
vhost_kernel_new(const struct vhost_kernel_options *options,
                 struct vhost_error **errp)
{
    if (!options) {
        invalid(errp, "no options are given");
        return NULL;
    }
    return vh_kernel_new(&vh_sys_host, NULL, options, errp);
}

void vhost_kernel_free(struct vhost_kernel *kernel)
{
    if (!kernel) {
        return;
    }
    close_given(kernel->sys, kernel->sys_ctx, kernel->options.nodes,
                kernel->options.n_nodes);
    destroy(kernel);
}
