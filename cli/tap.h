/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A tap of this host: an Ethernet interface whose other end is an fd.
 *
 * Each frame that is read from it or written to it has a virtio-net header of
 * VHOST_NET_HEADER bytes before it, little-endian as virtio 1.x has it.
 */
#ifndef CLI_TAP_H
#define CLI_TAP_H

#include <stdbool.h>
#include <stdint.h>

/** tap_name_error() - can an interface be called so?
 * @name: as given
 *
 * Return: why not, in words; NULL if it can.
 */
const char *tap_name_error(const char *name);

/** tap_open() - attach to a tap, which is made if it is not there
 * @name: of the interface, checked by tap_name_error()
 *
 * A tap that was made vanishes with the fd.  It is not configured.
 *
 * Return: an fd that does not block; -1 after a message.
 */
int tap_open(const char *name);

/** tap_set_offloads() - what headers of frames may ask of the reader
 * @fd: of the tap
 * @features: that a reader negotiated, bits of virtio 1.3, 5.1.3: of the ones
 *     that stand for frames to the device, VIRTIO_NET_F_CSUM and
 *     VIRTIO_NET_F_HOST_…
 *
 * Without, the host computes checksums and cuts segments itself.
 *
 * Return: false if the tap can't.
 */
bool tap_set_offloads(int fd, uint64_t features);

#endif
