/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a front end says about a network device: its MTU, and that a guest has
 * moved here.
 *
 * Switches learn where an address is from what it sends, so a guest that has
 * moved is made known by a frame in its name: a reverse ARP request (RFC 903)
 * for its own address, which nobody need answer.
 */
#include "server/net.h"

#include <endian.h>
#include <errno.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <string.h>
#include <unistd.h>

#include "server/server.h"

#define MTU_MIN 68

struct rarp {
    struct virtio_net_hdr_v1 header;
    struct ether_header ether;
    struct ether_arp arp;
    uint8_t padding[18]; /* to the least that Ethernet carries */
} __attribute__((packed));

static_assert(sizeof(struct rarp) == VH_NET_HEADER + 60, "a least frame");

void vh_net_announce(struct vhost_server_device *device, const uint8_t *mac)
{
    struct vh_net *net = vh_net_of(device);
    struct rarp rarp = {
        .ether.ether_type = htobe16(ETHERTYPE_REVARP),
        .arp.ea_hdr = {
            .ar_hrd = htobe16(ARPHRD_ETHER),
            .ar_pro = htobe16(ETHERTYPE_IP),
            .ar_hln = ETH_ALEN,
            .ar_pln = 4,
            .ar_op = htobe16(ARPOP_RREQUEST),
        },
    };

    memset(rarp.ether.ether_dhost, 0xff, ETH_ALEN);
    memcpy(rarp.ether.ether_shost, mac, ETH_ALEN);
    memcpy(rarp.arp.arp_sha, mac, ETH_ALEN);
    memcpy(rarp.arp.arp_tha, mac, ETH_ALEN);
    if (net->peer->announce) {
        net->peer->announce(net, &rarp, sizeof(rarp));
    }
}

const char *vh_net_set_mtu(struct vhost_server_device *device, uint64_t mtu)
{
    struct vh_net *net = vh_net_of(device);

    if (mtu != 0 && mtu < MTU_MIN) {
        return "an MTU has at least 68";
    }
    if (mtu > net->options.mtu) {
        return "the MTU is more than the network carries";
    }
    net->mtu = (uint16_t)mtu;
    return NULL;
}
