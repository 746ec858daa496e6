/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that hands frames to a virtual machine may spare itself their
 * checksums and set VIRTIO_NET_HDR_F_DATA_VALID: a driver then takes them
 * unchecked.  A tap knows no such flag: the host would check, and drop them.
 * What a tap does know is a checksum that is still to be done, whose field
 * holds the sum of the pseudo header: the host trusts it while the frame
 * stays, and completes it when the frame leaves.
 */
#include "checksum.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#define VLAN_TAG 4
#define TCP_CHECK 16
#define UDP_CHECK 6

/* The header behind IP: its protocol, where it is, and its length on the wire.
 */
struct upper {
    uint8_t protocol;
    size_t at;
    uint32_t len;
    uint32_t addresses; /* their sum */
};

static uint32_t sum16(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2) {
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    }
    return sum;
}

static bool parse_ipv4(const uint8_t *frame, size_t at, size_t len,
                       struct upper *u)
{
    struct iphdr ip;
    size_t header;

    if (len < at + sizeof(ip)) {
        return false;
    }
    memcpy(&ip, frame + at, sizeof(ip));
    header = (size_t)ip.ihl * 4;
    if (ip.version != 4 || header < sizeof(ip) || ntohs(ip.tot_len) < header ||
        (ntohs(ip.frag_off) & (IP_MF | IP_OFFMASK))) {
        return false;
    }
    u->protocol = ip.protocol;
    u->at = at + header;
    u->len = (uint32_t)(ntohs(ip.tot_len) - header);
    u->addresses = sum16(frame + at + offsetof(struct iphdr, saddr), 8);
    return true;
}

static bool parse_ipv6(const uint8_t *frame, size_t at, size_t len,
                       struct upper *u)
{
    struct ip6_hdr ip;

    if (len < at + sizeof(ip)) {
        return false;
    }
    memcpy(&ip, frame + at, sizeof(ip));
    if (ip.ip6_vfc >> 4 != 6) {
        return false;
    }
    u->protocol = ip.ip6_nxt;
    u->at = at + sizeof(ip);
    u->len = ntohs(ip.ip6_plen);
    u->addresses = sum16(frame + at + offsetof(struct ip6_hdr, ip6_src), 32);
    return true;
}

static bool parse(const uint8_t *frame, size_t len, struct upper *u)
{
    size_t at = ETH_HLEN;
    uint16_t type = 0;

    for (; len >= at; at += VLAN_TAG) {
        type = (uint16_t)(frame[at - 2] << 8 | frame[at - 1]);
        if (type != ETH_P_8021Q && type != ETH_P_8021AD) {
            break;
        }
    }
    if (type == ETH_P_IP) {
        return parse_ipv4(frame, at, len, u);
    }
    return type == ETH_P_IPV6 && parse_ipv6(frame, at, len, u);
}

bool checksum_leave_to_host(struct virtio_net_hdr_v1 *header, void *frame,
                            size_t len)
{
    uint8_t *bytes = frame;
    struct upper u = { .protocol = 0 };
    uint16_t offset;
    uint32_t sum;

    if (!parse(bytes, len, &u) ||
        (u.protocol != IPPROTO_TCP && u.protocol != IPPROTO_UDP)) {
        return false;
    }
    offset = u.protocol == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
    if (len < u.at + offset + 2 || u.len < (uint32_t)offset + 2) {
        return false;
    }
    sum = u.addresses + u.protocol + u.len;
    while (sum > UINT16_MAX) {
        sum = (sum & UINT16_MAX) + (sum >> 16);
    }
    bytes[u.at + offset] = (uint8_t)(sum >> 8);
    bytes[u.at + offset + 1] = (uint8_t)sum;
    header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->csum_start = htole16((uint16_t)u.at);
    header->csum_offset = htole16(offset);
    return true;
}
