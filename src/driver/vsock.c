/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A socket device: virtio 1.3, 5.10.  Queue 0 receives, queue 1 sends; queue 2
 * is for events, which back ends leave to a VMM.
 *
 * What a peer says is checked here: a packet that is not for us, or not whole,
 * is dropped; one of a stream that is not there is answered with a reset
 * (5.10.6.5); and a peer that sends more than there is room for is reset, as it
 * was told how much there is (5.10.6.3).
 *
 * A packet to be sent is waited for, one at a time.  Buffers to receive into
 * are there meanwhile, and are looked at before each: so neither side waits for
 * the other for good.
 */
#include "driver/vsock.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/error.h"

#define RX 0
#define TX 1
#define HEADER sizeof(struct virtio_vsock_hdr)
#define PIECE (HEADER + VH_VSOCK_PACKET)
#define SLACK 128 /* of one piece, for its alignment */
#define F_CONFIG_LEN 8

static const struct vh_plain_class class = {
    .what = "vsock",
    .device_id = 19, /* virtio 1.3, 5.10.1 */
    .queues = 2,
    .memory = (VH_VSOCK_RX_MAX + 1) * (PIECE + SLACK),
};

/* Streams */

bool vh_vsock_listens(const struct vhost_vsock *vsock, uint32_t port)
{
    for (unsigned i = 0; i < vsock->n_ports; i++) {
        if (vsock->ports[i] == port) {
            return true;
        }
    }
    return false;
}

struct vhost_vsock_stream *vh_vsock_find(const struct vhost_vsock *vsock,
                                         uint64_t cid, uint32_t port,
                                         uint32_t our_port)
{
    struct vhost_vsock_stream *s = vsock->streams;

    while (s && (s->cid != cid || s->port != port || s->our_port != our_port)) {
        s = s->next;
    }
    return s;
}

struct vhost_vsock_stream *vh_vsock_add(struct vhost_vsock *vsock, uint64_t cid,
                                        uint32_t port, uint32_t our_port)
{
    struct vhost_vsock_stream *s = calloc(1, sizeof(*s));

    if (!s) {
        return NULL;
    }
    s->room = malloc(VH_VSOCK_ROOM);
    if (!s->room) {
        free(s);
        return NULL;
    }
    s->vsock = vsock;
    s->cid = cid;
    s->port = port;
    s->our_port = our_port;
    s->next = vsock->streams;
    vsock->streams = s;
    return s;
}

void vh_vsock_drop(struct vhost_vsock_stream *stream)
{
    struct vhost_vsock_stream **at = &stream->vsock->streams;

    while (*at != stream) {
        at = &(*at)->next;
    }
    *at = stream->next;
    free(stream->room);
    free(stream);
}

/* Out */

static int transmit(struct vhost_vsock *vsock,
                    const struct virtio_vsock_hdr *header, const void *data,
                    uint32_t len, struct vhost_error **errp)
{
    struct vh_sg sg = { vsock->tx.gpa, (uint32_t)HEADER + len };

    memcpy(vsock->tx.hva, header, HEADER);
    if (len > 0) {
        memcpy(vsock->tx.hva + HEADER, data, len);
    }
    return (int)vh_plain_do(&vsock->plain, TX, &sg, 1, 0, errp);
}

int vh_vsock_say(struct vhost_vsock_stream *stream, uint16_t op, uint32_t flags,
                 const void *data, uint32_t len, struct vhost_error **errp)
{
    const struct virtio_vsock_hdr header = {
        .src_cid = htole64(stream->vsock->cid),
        .dst_cid = htole64(stream->cid),
        .src_port = htole32(stream->our_port),
        .dst_port = htole32(stream->port),
        .len = htole32(len),
        .type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
        .op = htole16(op),
        .flags = htole32(flags),
        .buf_alloc = htole32(VH_VSOCK_ROOM),
        .fwd_cnt = htole32(stream->taken),
    };

    stream->taken_told = stream->taken;
    return transmit(stream->vsock, &header, data, len, errp);
}

/* For what is no stream of ours. */
static int answer_reset(struct vhost_vsock *vsock,
                        const struct virtio_vsock_hdr *to,
                        struct vhost_error **errp)
{
    const struct virtio_vsock_hdr header = {
        .src_cid = to->dst_cid,
        .dst_cid = to->src_cid,
        .src_port = to->dst_port,
        .dst_port = to->src_port,
        .type = to->type,
        .op = htole16(VIRTIO_VSOCK_OP_RST),
    };

    if (le16toh(to->op) == VIRTIO_VSOCK_OP_RST) {
        return 0;
    }
    return transmit(vsock, &header, NULL, 0, errp);
}

/* In */

static unsigned n_waiting(const struct vhost_vsock *vsock)
{
    unsigned n = 0;

    for (const struct vhost_vsock_stream *s = vsock->streams; s; s = s->next) {
        n += s->waits;
    }
    return n;
}

static void learn(struct vhost_vsock_stream *s,
                  const struct virtio_vsock_hdr *header)
{
    s->peer_room = le32toh(header->buf_alloc);
    s->peer_taken = le32toh(header->fwd_cnt);
}

static int on_request(struct vhost_vsock *vsock,
                      const struct virtio_vsock_hdr *header,
                      struct vhost_error **errp)
{
    uint32_t our_port = le32toh(header->dst_port);
    struct vhost_vsock_stream *s = NULL;

    if (vh_vsock_listens(vsock, our_port) &&
        n_waiting(vsock) < VH_VSOCK_WAITING) {
        s = vh_vsock_add(vsock, le64toh(header->src_cid),
                         le32toh(header->src_port), our_port);
    }
    if (!s) {
        return answer_reset(vsock, header, errp);
    }
    learn(s, header);
    s->state = VH_VSOCK_OPEN;
    s->waits = true;
    return vh_vsock_say(s, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0, errp);
}

/* Return: false if there is not so much room. */
static bool keep(struct vhost_vsock_stream *s, const uint8_t *data,
                 uint32_t len)
{
    uint32_t used = s->got - s->taken;
    uint32_t at = s->got % VH_VSOCK_ROOM;
    uint32_t first = len < VH_VSOCK_ROOM - at ? len : VH_VSOCK_ROOM - at;

    if (len > VH_VSOCK_ROOM - used) {
        return false;
    }
    memcpy(s->room + at, data, first);
    memcpy(s->room, data + first, len - first);
    s->got += len;
    return true;
}

static int on_stream(struct vhost_vsock_stream *s,
                     const struct virtio_vsock_hdr *header, const uint8_t *data,
                     struct vhost_error **errp)
{
    uint32_t flags = le32toh(header->flags);

    learn(s, header);
    switch (le16toh(header->op)) {
    case VIRTIO_VSOCK_OP_RESPONSE:
        if (s->state == VH_VSOCK_CONNECTING) {
            s->state = VH_VSOCK_OPEN;
            return 0;
        }
        break;
    case VIRTIO_VSOCK_OP_RST:
        s->state = VH_VSOCK_RESET;
        return 0;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        s->no_more_in |= (flags & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
        s->no_room |= (flags & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0;
        return 0;
    case VIRTIO_VSOCK_OP_RW:
        if (s->state == VH_VSOCK_OPEN && !s->no_more_in &&
            keep(s, data, le32toh(header->len))) {
            return 0;
        }
        break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        return 0;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        return vh_vsock_say(s, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0, errp);
    default:
        break;
    }
    s->state = VH_VSOCK_RESET;
    return answer_reset(s->vsock, header, errp);
}

static int on_packet(struct vhost_vsock *vsock, const uint8_t *packet,
                     uint32_t len, struct vhost_error **errp)
{
    struct virtio_vsock_hdr header;
    struct vhost_vsock_stream *s;

    if (len < HEADER) {
        return 0;
    }
    memcpy(&header, packet, HEADER);
    if (le32toh(header.len) > len - HEADER ||
        le64toh(header.dst_cid) != vsock->cid) {
        return 0;
    }
    s = vh_vsock_find(vsock, le64toh(header.src_cid), le32toh(header.src_port),
                      le32toh(header.dst_port));
    if (le16toh(header.type) != VIRTIO_VSOCK_TYPE_STREAM ||
        (s && s->state == VH_VSOCK_RESET)) {
        return answer_reset(vsock, &header, errp);
    }
    if (s) {
        return on_stream(s, &header, packet + HEADER, errp);
    }
    return le16toh(header.op) == VIRTIO_VSOCK_OP_REQUEST
               ? on_request(vsock, &header, errp)
               : answer_reset(vsock, &header, errp);
}

static int post(struct vhost_vsock *vsock, struct vh_piece *rx,
                struct vhost_error **errp)
{
    struct vh_sg sg = { rx->gpa, PIECE };

    return vh_plain_put(&vsock->plain, RX, &sg, 0, 1, rx, errp);
}

int vh_vsock_pump(struct vhost_vsock *vsock, int64_t deadline,
                  struct vhost_error **errp)
{
    struct vh_ring_used used;
    struct vh_piece *rx;
    int r = vh_plain_take(&vsock->plain, RX, &used, deadline, errp);

    if (r <= 0) {
        return r;
    }
    rx = used.cookie;
    r = on_packet(vsock, rx->hva, used.len, errp);
    if (r == 0) {
        r = post(vsock, rx, errp);
    }
    return r < 0 ? r : 1;
}

/* The device */

static int take_address(struct vhost_vsock *vsock, uint64_t cid,
                        struct vhost_error **errp)
{
    struct vh_device *device = &vsock->plain.device;
    uint64_t told = 0;
    int r;

    vsock->cid = cid;
    if (cid != 0) {
        return 0;
    }
    if (!vh_device_has_config(device)) {
        return vh_error(errp, -ENOSYS, "open", VH_NO_QUEUE,
                        "the device does not tell our address: give one");
    }
    r = vhost_dev_get_config(&device->dev, (uint8_t *)&told, F_CONFIG_LEN,
                             errp);
    vsock->cid = le64toh(told);
    return r;
}

static int set_up(struct vhost_vsock *vsock, uint64_t cid,
                  struct vhost_error **errp)
{
    unsigned most = vsock->plain.options.queue_size;
    int r = take_address(vsock, cid, errp);

    vsock->last_port = (uint32_t)vh_clock_ns();
    vsock->n_rx = most < VH_VSOCK_RX_MAX ? most : VH_VSOCK_RX_MAX;
    if (r == 0) {
        r = vh_plain_alloc(&vsock->plain, PIECE, &vsock->tx, errp);
    }
    for (unsigned i = 0; i < vsock->n_rx && r == 0; i++) {
        r = vh_plain_alloc(&vsock->plain, PIECE, &vsock->rx[i], errp);
        if (r == 0) {
            r = post(vsock, &vsock->rx[i], errp);
        }
    }
    return r;
}

struct vhost_vsock *vhost_vsock_open(const char *uri, uint64_t cid,
                                     const struct vhost_driver_options *options,
                                     struct vhost_error **errp)
{
    struct vhost_vsock *vsock = calloc(1, sizeof(*vsock));

    if (!vsock) {
        vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    if (vh_plain_open(&vsock->plain, &class, uri, options, errp) < 0) {
        free(vsock);
        return NULL;
    }
    if (set_up(vsock, cid, errp) < 0) {
        vhost_vsock_close(vsock);
        return NULL;
    }
    return vsock;
}

void vhost_vsock_close(struct vhost_vsock *vsock)
{
    if (!vsock) {
        return;
    }
    while (vsock->streams) {
        vh_vsock_drop(vsock->streams);
    }
    vh_plain_close(&vsock->plain);
    free(vsock);
}

uint64_t vhost_vsock_get_cid(const struct vhost_vsock *vsock)
{
    return vsock->cid;
}
