/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksums that a frame's header vouches for, and the frame does not have. */
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/virtio_net.h>

/** checksum_leave_to_host() - have the host complete the checksum of a frame
 * @header: of the frame; on success it says that the checksum is to be done,
 *     and where
 * @frame: from its Ethernet header on; the checksum of its TCP or UDP becomes
 *     that of the pseudo header
 * @len: bytes of it that are there, not more than the frame has
 *
 * For IPv4 and IPv6, with or without VLAN tags; of fragments and of IPv6
 * extension headers nothing is known.
 *
 * Return: false if it is no frame like that: nothing is changed.
 */
bool checksum_leave_to_host(struct virtio_net_hdr_v1 *header, void *frame,
                            size_t len);

#endif
