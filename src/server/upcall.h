/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests of this back end to its front end, on the second channel.
 *
 * Nothing here waits: a request is sent, or queued, and its answer is handed
 * to a function in a later turn of the server's loop.
 */
#ifndef VH_SERVER_UPCALL_H
#define VH_SERVER_UPCALL_H

#include "wire/codec.h"
#include "wire/due.h"
#include "wire/sock.h"

struct vhost_server;
struct vh_squeue;

#define VH_SIDE_FDS_MAX 64

/* The channel; all zero: there is none. */
struct vh_side {
    struct vh_sock *sock;
    struct vh_due_list due;
    bool blocked;             /* something waits for room */
    int fds[VH_SIDE_FDS_MAX]; /* ours, of what is not sent yet */
    unsigned n_fds;
};

/**
 * vh_server_ask() - send a request
 * @srv: a server
 * @msg: copied, its fds too
 * @done: handed the answer, or told that there will be none: see
 *     vh_chan_done_fn.  NULL: no ack is asked for.  It may ask again
 * @arg: for @done
 *
 * Without VHOST_USER_PROTOCOL_F_REPLY_ACK, nobody will say what became of a
 * request that has no answer of its own: @done is told 0, at once.
 *
 * Return: 0; -ENOTCONN without a second channel; -ENOTSUP if what the request
 * belongs to is not in use; -ENOBUFS, -EMFILE, -ENOMEM: @done is not called.
 */
int vh_server_ask(struct vhost_server *srv, const struct vh_msg *msg,
                  vh_chan_done_fn *done, void *arg);

/** vh_server_on_side() - answers, or room for requests */
void vh_server_on_side(struct vhost_server *srv);

/** vh_server_close_side() - no more requests of ours */
void vh_server_close_side(struct vhost_server *srv);

/** vh_server_ring() - tell of a queue in band, if that is how
 * @request: VH_BACK_VRING_CALL or VH_BACK_VRING_ERR
 *
 * One is on its way at a time; those that come meanwhile are one more after it.
 */
void vh_server_ring(struct vh_squeue *q, uint32_t request);

#endif
