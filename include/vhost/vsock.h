/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A socket device behind vhost, for programs without a VM: the program takes
 * the place of a guest, and talks to programs of the host over stream sockets.
 *
 *     vsock = vhost_vsock_open("user:/run/vsock.sock", 3, NULL, &err);
 *     stream = vhost_vsock_connect(vsock, 2, 1234, 1000, &err);
 *     vhost_vsock_send(stream, "hello", 5, 1000, &err);
 *     n = vhost_vsock_receive(stream, buf, sizeof(buf), 1000, &err);
 *     vhost_vsock_hang_up(stream);
 *
 * Nothing is received but in these calls; a device and all its streams belong
 * together.  Threads: one at a time.
 */
#ifndef VHOST_VSOCK_H
#define VHOST_VSOCK_H

#include <stddef.h>
#include <stdint.h>

#include <vhost/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_vsock;
struct vhost_vsock_stream;

/** vhost_vsock_open() - connect, negotiate, start
 * @uri: "user:PATH", the socket of a vhost-user back end
 * @cid: our address; 0: the one that the device tells
 * @options: copied; NULL for defaults
 * @errp: why it failed; the words begin with @uri
 *
 * Return: the device, or NULL, with a code as of vhost_blk_open(); -ENOSYS if
 * @cid is 0 and the device does not tell.
 */
struct vhost_vsock *vhost_vsock_open(const char *uri, uint64_t cid,
                                     const struct vhost_driver_options *options,
                                     struct vhost_error **errp);

/** vhost_vsock_close() - stop and forget a device, and all its streams
 * @vsock: NULL is allowed
 */
void vhost_vsock_close(struct vhost_vsock *vsock);

/** vhost_vsock_get_cid() - our address
 * @vsock: an open device
 *
 * Return: the address.
 */
uint64_t vhost_vsock_get_cid(const struct vhost_vsock *vsock);

/** vhost_vsock_connect() - to a program that listens
 * @vsock: an open device
 * @cid: where it is; 2 is the host
 * @port: where it listens
 * @timeout_ms: give up after so long; -1: never
 * @errp: why it failed
 *
 * Return: the stream, or NULL.  Codes in @errp: -ECONNREFUSED, -ETIMEDOUT, or
 * -EPROTO or -ENOTCONN once the device is of no more use.
 */
struct vhost_vsock_stream *vhost_vsock_connect(struct vhost_vsock *vsock,
                                               uint64_t cid, uint32_t port,
                                               int timeout_ms,
                                               struct vhost_error **errp);

/** vhost_vsock_listen() - let others connect to a port of ours
 * @vsock: an open device
 * @port: of at most eight; nobody listens there yet
 * @errp: why it failed
 *
 * Return: 0; -EADDRINUSE; or -ENOSPC.
 */
int vhost_vsock_listen(struct vhost_vsock *vsock, uint32_t port,
                       struct vhost_error **errp);

/** vhost_vsock_accept() - a stream that somebody began
 * @vsock: an open device
 * @port: where we listen
 * @timeout_ms: give up after so long; -1: never
 * @errp: why it failed
 *
 * Return: the stream, or NULL: -ETIMEDOUT in @errp if nobody came; -EINVAL if
 * we do not listen there.
 */
struct vhost_vsock_stream *vhost_vsock_accept(struct vhost_vsock *vsock,
                                              uint32_t port, int timeout_ms,
                                              struct vhost_error **errp);

/** vhost_vsock_send() - send bytes, and wait until all have left
 * @stream: open
 * @buf: what
 * @len: bytes
 * @timeout_ms: give up after so long without room at the peer; -1: never
 * @errp: why it failed
 *
 * Return: 0; -ECONNRESET or -EPIPE if the peer wants no more; -ETIMEDOUT: then
 * nobody knows how much has left.
 */
int vhost_vsock_send(struct vhost_vsock_stream *stream, const void *buf,
                     size_t len, int timeout_ms, struct vhost_error **errp);

/** vhost_vsock_receive() - take bytes, as soon as there are any
 * @stream: open
 * @buf: filled in
 * @max: room there, not 0
 * @timeout_ms: give up after so long; -1: never
 * @errp: why it failed
 *
 * Return: how many, at most INT_MAX; 0: the peer sends no more; -ETIMEDOUT;
 * -ECONNRESET; or -EPROTO or -ENOTCONN once the device is of no more use.
 */
int vhost_vsock_receive(struct vhost_vsock_stream *stream, void *buf,
                        size_t max, int timeout_ms, struct vhost_error **errp);

/** vhost_vsock_finish() - say that we send no more
 * @stream: open
 * @errp: why it failed
 *
 * Return: 0 or a negative errno.
 */
int vhost_vsock_finish(struct vhost_vsock_stream *stream,
                       struct vhost_error **errp);

/** vhost_vsock_hang_up() - end a stream, and forget it
 * @stream: NULL is allowed
 *
 * What was sent still arrives.  Waits a second for the peer to agree.
 */
void vhost_vsock_hang_up(struct vhost_vsock_stream *stream);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
