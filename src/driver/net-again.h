/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues of a network device that another back end takes over; net-again.c. */
#ifndef VH_DRIVER_NET_AGAIN_H
#define VH_DRIVER_NET_AGAIN_H

#include "driver/net.h"

/** vh_net_rx_convert() - from what the ring gave to packets
 *
 * Return: NULL, or what is wrong with it.
 */
const char *vh_net_rx_convert(struct vhost_net_rx *rx,
                              const struct vh_ring_used *used, unsigned n,
                              struct vhost_net_packet *packets);

/** vh_net_rx_put_spare() - buffers that wait for room, as many as there is room
 * for; not published.  Return: 0, or a negative errno */
int vh_net_rx_put_spare(struct vhost_net_rx *rx);

/** vh_net_rx_take_kept() - as vh_net_rx_take(), of those that are kept: there
 * are some */
int vh_net_rx_take_kept(struct vhost_net_rx *rx,
                        struct vhost_net_packet *packets, unsigned max);

/** vh_net_rx_forget_kept() - what came and was not taken, and what waits */
void vh_net_rx_forget_kept(struct vhost_net_rx *rx);

/** vh_net_again_init() - room for what a back end leaves; 0 or -ENOMEM */
int vh_net_again_init(struct vhost_net_device *net);

/** vh_net_again_free() - also after a failed init */
void vh_net_again_free(struct vhost_net_device *net);

/** vh_net_renew() - see struct vh_device_spec */
int vh_net_renew(struct vh_device *device, unsigned index);

#endif
