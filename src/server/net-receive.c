/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames into the driver's buffers (virtio 1.3, 5.1.6.4 "Processing of
 * Incoming Packets").
 *
 * No more buffers are taken than the frame needs, and none is given back
 * unused: those that turn out too few, or too many, are held for the next
 * frame.  A frame is written only when there is room for all of it, since its
 * header comes first and says how many buffers it has.
 */
#include "server/net.h"

#include <endian.h>
#include <string.h>

/* Would the driver understand it? */
static bool is_wanted(const struct vh_net *net,
                      const struct virtio_net_hdr_v1 *header)
{
    unsigned type = header->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;

    if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
        !vh_net_has(net, VIRTIO_NET_F_GUEST_CSUM)) {
        return false;
    }
    if ((header->gso_type & VIRTIO_NET_HDR_GSO_ECN) &&
        !vh_net_has(net, VIRTIO_NET_F_GUEST_ECN)) {
        return false;
    }
    switch (type) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return true;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return vh_net_has(net, VIRTIO_NET_F_GUEST_TSO4);
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return vh_net_has(net, VIRTIO_NET_F_GUEST_TSO6);
    default:
        return false;
    }
}

/* Can the room not grow any more? */
static bool is_full(const struct vh_net *net, const struct vh_net_room *room,
                    const struct vh_squeue *q)
{
    if (!vh_net_has(net, VIRTIO_NET_F_MRG_RXBUF)) {
        return room->n_chains == 1;
    }
    return room->n_chains == VH_NET_CHAINS || room->n_iov > VH_NET_CHAINS ||
           room->n_chains == q->size;
}

static enum vh_net_received take_chain(struct vh_net_room *room,
                                       struct vh_squeue *q)
{
    struct vh_chain chain = { .iov = room->iov + room->n_iov,
                              .iov_max = VH_SQUEUE_PIECES };

    if (vh_squeue_take(q, &chain) <= 0) {
        return VH_NET_NO_ROOM;
    }
    if (chain.n_out > 0 || chain.in_len < VH_NET_HEADER) {
        vh_squeue_break(q, chain.n_out > 0
                               ? "a buffer to receive into that is to be read"
                               : "a buffer to receive into without room for "
                                 "a header");
        return VH_NET_NO_ROOM;
    }
    room->chains[room->n_chains].id = chain.id;
    room->chains[room->n_chains].len = chain.in_len;
    room->chains[room->n_chains].n_iov = chain.n_in;
    room->n_chains++;
    room->n_iov += chain.n_in;
    room->len += chain.in_len;
    return VH_NET_DELIVERED;
}

/* The first @n buffers are gone. */
static void forget(struct vh_net_room *room, unsigned n)
{
    unsigned n_iov = 0;

    if (n == room->n_chains) {
        room->n_chains = 0;
        room->n_iov = 0;
        room->len = 0;
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        n_iov += room->chains[i].n_iov;
        room->len -= room->chains[i].len;
    }
    room->n_chains -= n;
    room->n_iov -= n_iov;
    memmove(room->chains, room->chains + n,
            room->n_chains * sizeof(room->chains[0]));
    memmove(room->iov, room->iov + n_iov, room->n_iov * sizeof(room->iov[0]));
}

static unsigned chains_for(const struct vh_net_room *room, uint32_t need)
{
    uint64_t len = 0;
    unsigned n;

    for (n = 0; len < need; n++) {
        len += room->chains[n].len;
    }
    return n;
}

static void write_frame(const struct vh_net *net, struct vh_net_room *room,
                        const struct vh_net_frame *frame, unsigned n_chains)
{
    struct vh_iov to = { room->iov, room->n_iov };
    struct virtio_net_hdr_v1 header = frame->header;
    uint32_t left = frame->len;

    header.flags &=
        vh_net_has(net, VIRTIO_NET_F_GUEST_CSUM)
            ? VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID
            : 0;
    header.num_buffers = htole16((uint16_t)n_chains);
    vh_iov_put(&to, &header, sizeof(header));
    for (unsigned i = 0; left > 0 && i < frame->data.n; i++) {
        const struct iovec *iov = &frame->data.iov[i];
        uint32_t step = iov->iov_len < left ? (uint32_t)iov->iov_len : left;

        vh_iov_put(&to, iov->iov_base, step);
        left -= step;
    }
}

static void complete(struct vh_net_room *room, struct vh_squeue *q,
                     uint32_t need, unsigned n_chains)
{
    for (unsigned i = 0; i < n_chains; i++) {
        uint32_t len = room->chains[i].len;

        len = len < need ? len : need;
        need -= len;
        vh_squeue_complete(q, room->chains[i].id, len);
    }
    forget(room, n_chains);
}

enum vh_net_received vh_net_receive(struct vh_net *net, struct vh_squeue *q,
                                    struct vh_net_frame *frame)
{
    struct vh_net_room *room = &net->pairs[q->index / 2].room;
    uint32_t need = VH_NET_HEADER + frame->len;
    unsigned n_chains;

    if (!is_wanted(net, &frame->header)) {
        return VH_NET_DROPPED;
    }
    while (room->len < need) {
        if (is_full(net, room, q)) {
            return VH_NET_DROPPED;
        }
        if (take_chain(room, q) == VH_NET_NO_ROOM) {
            return VH_NET_NO_ROOM;
        }
    }
    n_chains = chains_for(room, need);
    write_frame(net, room, frame, n_chains);
    complete(room, q, need, n_chains);
    return VH_NET_DELIVERED;
}
