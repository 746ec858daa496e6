/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device of the kernel: a struct vhost_dev with what it needs.
 */
#include <vhost/netdev.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vhost_types.h>

#include "util/error.h"

static void drop(struct vhost_net *net)
{
    vhost_kernel_free(net->nc);
    free(net->vqs);
    net->nc = NULL;
    net->vqs = NULL;
    net->pairs = 0;
    net->backend = -1;
}

static int check(const struct vhost_kernel_options *options, unsigned pairs,
                 struct vhost_error **errp)
{
    if (options->kind != VHOST_KERNEL_NET) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "a struct vhost_net is of kind VHOST_KERNEL_NET");
    }
    if (pairs == 0 || pairs > VHOST_NET_PAIRS_MAX) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%u pairs of queues: a device has 1 to %d", pairs,
                        VHOST_NET_PAIRS_MAX);
    }
    return 0;
}

static int take_up(struct vhost_net *net, unsigned pairs, uint32_t busyloop,
                   struct vhost_error **errp)
{
    net->vqs = calloc(2 * (size_t)pairs, sizeof(*net->vqs));
    if (!net->vqs) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    net->pairs = pairs;
    net->dev.vqs = net->vqs;
    net->dev.nvqs = 2 * pairs;
    net->dev.vq_index_end = net->dev.vq_index + (int)net->dev.nvqs;
    return vhost_dev_init(&net->dev, net->nc, VHOST_BACKEND_TYPE_KERNEL,
                          busyloop, errp);
}

int vhost_net_init(struct vhost_net *net,
                   const struct vhost_kernel_options *options, unsigned pairs,
                   uint32_t busyloop_timeout, struct vhost_error **errp)
{
    const struct vhost_dev before = net->dev;
    struct vhost_error *error = NULL;
    int r;

    net->nc = vhost_kernel_new(options, &error);
    r = net->nc ? check(options, pairs, &error) : vhost_error_code(error);
    if (r == 0) {
        r = take_up(net, pairs, busyloop_timeout, &error);
    }
    if (r < 0) {
        net->dev = before;
        drop(net);
        vh_error_move(errp, &error);
        return r;
    }
    net->backend = vhost_kernel_get_tap(net->nc, 0);
    return 0;
}

void vhost_net_cleanup(struct vhost_net *net)
{
    vhost_dev_cleanup(&net->dev);
    drop(net);
}

static int set_one(struct vhost_net *net, unsigned queue, int fd)
{
    struct vhost_vring_file file = {
        .index = (unsigned)net->dev.vq_index + queue,
        .fd = fd,
    };

    return vhost_net_set_backend(&net->dev, &file);
}

/* The second lets go first: of a pair, both are of one kind or none. */
static int set_both(struct vhost_net *net, unsigned pair, int fd)
{
    int r = set_one(net, 2 * pair + 1, -1);

    if (r == 0) {
        r = set_one(net, 2 * pair, fd);
    }
    return r == 0 ? set_one(net, 2 * pair + 1, fd) : r;
}

int vhost_net_attach(struct vhost_net *net, unsigned pair, int fd)
{
    int was = vhost_kernel_get_tap(net->nc, pair);
    int r = set_both(net, pair, fd);

    if (r < 0 && pair < net->pairs) {
        struct vhost_error *why = net->dev.error;

        /* The words are of the failure, and not of the way back. */
        net->dev.error = NULL;
        set_both(net, pair, was);
        vhost_error_free(net->dev.error);
        net->dev.error = why;
    } else if (r == 0 && pair == 0) {
        net->backend = fd;
    }
    return r;
}
