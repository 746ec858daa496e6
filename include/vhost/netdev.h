/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device of the kernel with all that belongs to it, as a VMM has it.
 *
 *     struct vhost_net net = { .dev.map = map };
 *     vhost_net_init(&net, &options, 4, 0, &err);      four pairs of queues
 *     vhost_ack_features(&net.dev, …);
 *     vhost_dev_start(&net.dev, &vdev, true);
 *     …
 *     vhost_dev_stop(&net.dev, &vdev, true);
 *     vhost_net_cleanup(&net);
 *
 * It is a struct vhost_dev with its queues and its back end in one; all that is
 * said of those holds.  Pairs whose rings the driver did not set up get no
 * frames; which those are, and the control queue that tells, is the VMM's.
 *
 * vhost/net.h is for programs that are no VMM.
 */
#ifndef VHOST_NETDEV_H
#define VHOST_NETDEV_H

#include <stdint.h>

#include <vhost/kernel.h>
#include <vhost/vhost.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VHOST_NET_PAIRS_MAX 128 /* a tap has no more queues */

/**
 * struct vhost_net - a network device
 * @dev: in: map, and what else is marked "in" but queues and their number;
 *     else zeroed
 * @vqs: two for each pair
 * @pairs: how many
 * @backend: tap or packet socket of the first pair; -1: none yet
 * @nc: the back end
 */
struct vhost_net {
    struct vhost_dev dev;
    struct vhost_virtqueue *vqs;
    unsigned pairs;
    int backend;
    struct vhost_kernel *nc;
    uint64_t reserved[4];
};

/** vhost_net_init() - take up a network device of the kernel
 * @net: zeroed but for what is marked "in"
 * @options: which; of kind VHOST_KERNEL_NET; copied
 * @pairs: of queues, 1 to VHOST_NET_PAIRS_MAX
 * @busyloop_timeout: as of vhost_dev_init()
 * @errp: why it failed
 *
 * Return: 0; -EINVAL for a number of pairs or a kind that can't be; or as
 * vhost_kernel_new() and vhost_dev_init().  On failure nothing is left behind.
 */
int vhost_net_init(struct vhost_net *net,
                   const struct vhost_kernel_options *options, unsigned pairs,
                   uint32_t busyloop_timeout, struct vhost_error **errp);

/** vhost_net_cleanup() - let go of it
 * @net: stopped; already cleaned up is allowed
 */
void vhost_net_cleanup(struct vhost_net *net);

/** vhost_net_attach() - give a pair its tap or packet socket
 * @net: initialised
 * @pair: from 0
 * @fd: lent, as of vhost_net_set_backend(), for both queues; -1: none
 *
 * Return: as vhost_net_set_backend(); then both queues have what they had.
 */
int vhost_net_attach(struct vhost_net *net, unsigned pair, int fd);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
