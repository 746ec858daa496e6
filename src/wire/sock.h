/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A Unix stream socket that carries whole messages, with their fds, and never
 * blocks.
 *
 * Sending: messages are gathered, and go out together.  One that carries fds
 * begins a sendmsg(2) of its own, since fds travel with the first byte of
 * their message; small ones ride behind it.
 *
 * Receiving: normally header, then payload, so that fds are known to belong
 * to the message whose header they came with.  Where no message with fds is
 * due, vh_sock_receive() may read many at once (@bulk); fds that come then
 * are a fault of the peer.
 */
#ifndef VH_WIRE_SOCK_H
#define VH_WIRE_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/codec.h"

struct vh_sock;

struct vh_sock_stats {
    uint64_t messages; /* queued to be sent */
    uint64_t received; /* whole messages */
    uint64_t send_calls;
    uint64_t recv_calls;
};

/** vh_sock_new() - over a connected socket
 * @sockp: where to; untouched on failure
 * @fd: given, also on failure
 *
 * Return: 0 or a negative errno.
 */
int vh_sock_new(struct vh_sock **sockp, int fd);

/** vh_sock_free() - close it; NULL is allowed */
void vh_sock_free(struct vh_sock *sock);

int vh_sock_fd(const struct vh_sock *sock);

/** vh_sock_queue() - add a message to what is to be sent
 * @msg: copied; its fds are lent until they are sent
 *
 * Return: 0, -ENOMEM, or -ENOBUFS if more than 1 MiB is waiting.
 */
int vh_sock_queue(struct vh_sock *sock, const struct vh_msg *msg);

/** vh_sock_queue_flags() - the same, with more flags
 * @flags: added to those of @msg
 */
int vh_sock_queue_flags(struct vh_sock *sock, const struct vh_msg *msg,
                        uint32_t flags);

/** vh_sock_send() - send what is queued, as far as the socket takes it
 *
 * Never raises SIGPIPE.
 *
 * Return: 0 all is sent, 1 something is left, or a negative errno:
 * -ECONNRESET if the peer is gone.
 */
int vh_sock_send(struct vh_sock *sock);

/** vh_sock_send_some() - no more than one system call sends; as vh_sock_send(),
 * but that 0 does not say that it was all */
int vh_sock_send_some(struct vh_sock *sock);

/** vh_sock_wants_send() - is something left to send? */
bool vh_sock_wants_send(const struct vh_sock *sock);

/** vh_sock_receive() - the next message, if it is there
 * @msg: filled in; its fds are given to the caller
 * @bulk: read ahead; no message with fds is due
 * @why: set on failure: a constant string
 *
 * Return: 1 a message, 0 not yet, -ECONNRESET the peer has closed, -EPROTO it
 * broke the framing, -EMFILE this process can't hold the fds that came, or
 * another negative errno.  A failure is final: every later call returns it.
 * After anything but 1, what is in @msg means nothing, and holds no fds.
 */
int vh_sock_receive(struct vh_sock *sock, struct vh_msg *msg, bool bulk,
                    const char **why);

void vh_sock_get_stats(const struct vh_sock *sock, struct vh_sock_stats *stats);

#endif
