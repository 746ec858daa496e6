/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A tap of this host, by its fds: one for each queue.  Frames are preceded by
 * a virtio-net header of 12 bytes, little-endian.
 */
#ifndef VH_SERVER_NET_TAP_H
#define VH_SERVER_NET_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/error.h>

/** vh_tap_check_name() - may an interface be called so?
 * Return: NULL, or why not.
 */
const char *vh_tap_check_name(const char *name);

/** vh_tap_open() - one more queue of a tap, which is made if it is not there
 * @name: of the interface
 * @multi: it is to have several queues
 * @fdp: set: does not block
 * @errp: why it failed, in words that name the tap
 */
int vh_tap_open(const char *name, bool multi, int *fdp,
                struct vhost_error **errp);

/** vh_tap_mtu() - its MTU, or 0 */
uint16_t vh_tap_mtu(const char *name);

/** vh_tap_offload() - let it give frames as these features allow
 * @features: of virtio-net: GUEST_CSUM, GUEST_TSO4 …
 * Return: 0 or a negative errno.
 */
int vh_tap_offload(int fd, uint64_t features);

/** vh_tap_attach() - have a queue take part, or not; of one with several */
int vh_tap_attach(int fd, bool on);

#endif
