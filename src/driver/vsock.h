/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket driver, inside view: see <vhost/vsock.h> for what it promises.
 *
 *   vsock.c           the device, and packets in and out
 *   vsock-stream.c    what a program does with a stream
 */
#ifndef VH_DRIVER_VSOCK_H
#define VH_DRIVER_VSOCK_H

#include <stdbool.h>
#include <linux/virtio_vsock.h>

#include <vhost/vsock.h>

#include "driver/plain.h"

#define VH_VSOCK_ROOM \
    65536u /* bytes of each stream that wait for the program */
#define VH_VSOCK_PACKET 4096 /* bytes of data in one */
#define VH_VSOCK_RX_MAX 32
#define VH_VSOCK_PORTS 8
#define VH_VSOCK_WAITING 16 /* streams that nobody has accepted */

enum vh_vsock_state { VH_VSOCK_CONNECTING, VH_VSOCK_OPEN, VH_VSOCK_RESET };

/*
 * A stream.  Counters run modulo 2^32 (virtio 1.3, 5.10.6.3): what was sent
 * less what the peer has taken is on its way or in the peer's buffer.
 */
struct vhost_vsock_stream {
    struct vhost_vsock *vsock;
    struct vhost_vsock_stream *next;
    uint64_t cid; /* the peer's */
    uint32_t port;
    uint32_t our_port;
    enum vh_vsock_state state;
    bool waits;      /* to be accepted */
    bool no_more_in; /* the peer sends no more */
    bool no_room;    /* the peer takes no more */
    bool finished;   /* we send no more */
    uint32_t sent;
    uint32_t peer_room;
    uint32_t peer_taken;
    uint32_t taken;      /* by the program */
    uint32_t taken_told; /* to the peer */
    uint32_t got;        /* taken, and in @room */
    uint8_t *room;       /* a ring of VH_VSOCK_ROOM */
};

struct vhost_vsock {
    struct vh_plain plain;
    uint64_t cid;
    uint32_t last_port; /* of ours, given to a stream */
    unsigned n_rx;
    struct vh_piece rx[VH_VSOCK_RX_MAX];
    struct vh_piece tx;
    struct vhost_vsock_stream *streams;
    uint32_t ports[VH_VSOCK_PORTS]; /* where we listen */
    unsigned n_ports;
};

/** vh_vsock_listens() - do we, at that port? */
bool vh_vsock_listens(const struct vhost_vsock *vsock, uint32_t port);

/** vh_vsock_add() - a stream, in no state; NULL if memory is short */
struct vhost_vsock_stream *vh_vsock_add(struct vhost_vsock *vsock, uint64_t cid,
                                        uint32_t port, uint32_t our_port);

/** vh_vsock_drop() - forget a stream, without a word to the peer */
void vh_vsock_drop(struct vhost_vsock_stream *stream);

/** vh_vsock_find() - by the addresses of both ends; NULL: none */
struct vhost_vsock_stream *vh_vsock_find(const struct vhost_vsock *vsock,
                                         uint64_t cid, uint32_t port,
                                         uint32_t our_port);

/** vh_vsock_say() - send a packet of a stream
 * @op: an enum virtio_vsock_op
 * @flags: of it
 * @data: @len bytes, at most VH_VSOCK_PACKET
 *
 * Return: 0 or a negative errno.
 */
int vh_vsock_say(struct vhost_vsock_stream *stream, uint16_t op, uint32_t flags,
                 const void *data, uint32_t len, struct vhost_error **errp);

/** vh_vsock_pump() - wait for a packet, and deal with it
 *
 * Return: 1; 0 if none came by @deadline; or a negative errno.
 */
int vh_vsock_pump(struct vhost_vsock *vsock, int64_t deadline,
                  struct vhost_error **errp);

#endif
