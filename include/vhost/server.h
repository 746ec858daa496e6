/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The embedded vhost-user back end: serve a device from this process.
 *
 *     srv = vhost_server_new("/run/disk.sock",
 *                            vhost_server_blk("disk.img", NULL), NULL, &err);
 *     while (vhost_server_run(srv, -1, &err) >= 0)
 *         ;
 *
 * Rings are little-endian, as those of virtio 1 are: for legacy devices of
 * big-endian guests VHOST_USER_PROTOCOL_F_CROSS_ENDIAN is not offered.
 *
 * One front end at a time; when it goes, the next may come.  What a front
 * end sends is checked before it is used: a bad message ends that
 * connection, and nothing else.
 *
 * Threads: a server belongs to one thread and starts none.
 */
#ifndef VHOST_SERVER_H
#define VHOST_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_server;
struct vhost_server_device;

/** What a server does wrong on purpose. */
enum vhost_server_fault_kind {
    VHOST_SERVER_FAULT_DELAY = 0, /* serve the request, but later */
    VHOST_SERVER_FAULT_DROP = 1,  /* neither serve nor answer it */
    VHOST_SERVER_FAULT_ERROR = 2, /* refuse it */
    VHOST_SERVER_FAULT_CLOSE = 3, /* hang up instead of serving it */
};

/**
 * struct vhost_server_fault - a fault on purpose, to test a front end with
 * @kind: what goes wrong
 * @request: at which request, by its name in the specification without prefix,
 *     such as "SET_MEM_TABLE"; copied; NULL: at any
 * @nth: at the how manyth of those of a connection, from 1; 0: at each
 * @delay_ms: of VHOST_SERVER_FAULT_DELAY, milliseconds, up to a day
 *
 * Requests are served in order: one that is delayed delays those behind it,
 * while the queues go on.  A request with an answer of its own is refused in
 * the words that the protocol has for it, or by zeroes.
 */
struct vhost_server_fault {
    enum vhost_server_fault_kind kind;
    const char *request;
    unsigned nth;
    unsigned delay_ms;
};

/**
 * struct vhost_server_options - how to serve
 * @size: sizeof(struct vhost_server_options), or 0 for the fields of this
 *     first version
 * @hide_features: virtio features not to offer, as bits
 * @hide_protocol_features: protocol features not to offer, as bits
 * @poll_us: how long to look for work before going to sleep, microseconds
 * @log: told of each connection that comes, goes or is ended for a fault;
 *     or NULL
 * @opaque: for @log
 * @faults: @n_faults of them, copied; of several at one request the first
 *     counts; NULL for none
 * @n_faults: how many
 * @offer_protocol_features: protocol features that are on offer only if asked
 *     for, as bits: VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS
 * @offer_features: virtio features, likewise: VIRTIO_F_ACCESS_PLATFORM, which
 *     says that the front end translates addresses; it is not offered without
 *     VHOST_USER_PROTOCOL_F_BACKEND_REQ and _REPLY_ACK
 * @iotlb_timeout_ms: how long to wait for a translation before the buffer or the
 *     ring there counts as a fault of its driver; 0: 10 seconds
 */
struct vhost_server_options {
    size_t size;
    uint64_t hide_features;
    uint64_t hide_protocol_features;
    unsigned poll_us;
    void (*log)(const char *line, void *opaque);
    void *opaque;
    const struct vhost_server_fault *faults;
    unsigned n_faults;
    uint64_t offer_protocol_features;
    uint64_t offer_features;
    unsigned iotlb_timeout_ms;
};

/**
 * struct vhost_server_blk_options - how to serve a file as a block device
 * @size: sizeof(struct vhost_server_blk_options), or 0 for the fields of
 *     this first version
 * @read_only: take no writes, and open the file for reading only
 * @queues: how many; 0: 1; at most 256
 * @queue_size: the largest that is accepted; 0: 1024
 * @block_size: logical, in bytes: 512 or 4096; 0: 512
 * @direct: open the file with O_DIRECT
 * @serial: up to 20 characters, copied; NULL: the name of the file
 */
struct vhost_server_blk_options {
    size_t size;
    bool read_only;
    unsigned queues;
    unsigned queue_size;
    unsigned block_size;
    bool direct;
    const char *serial;
};

/** vhost_server_blk() - a block device over a file or a block device
 * @path: copied; "null:SIZE" with a size in bytes is a device without data,
 *     for measuring: reads give whatever was in the buffer, writes vanish
 * @options: copied; NULL for defaults
 *
 * Nothing is opened yet: vhost_server_new() does, and reports.
 *
 * Return: the device, or NULL if memory is short.
 */
struct vhost_server_device *
vhost_server_blk(const char *path,
                 const struct vhost_server_blk_options *options);

/**
 * struct vhost_server_net_options - how to serve a network device
 * @size: sizeof(struct vhost_server_net_options), or 0 for the fields of this
 *     first version
 * @pairs: queue pairs, each an rx and a tx, at most 128; 0: 1
 * @queue_size: the largest that is accepted; 0: 1024
 * @mac: the address that the device tells; all zeroes: a random one
 * @mtu: that it tells; 0: that of the tap, or 1500
 */
struct vhost_server_net_options {
    size_t size;
    unsigned pairs;
    unsigned queue_size;
    uint8_t mac[6];
    uint16_t mtu;
};

/** vhost_server_net() - a network device
 * @peer: copied; where its frames go to and come from:
 *     "tap:NAME": a tap of this host, made if it is not there; with several
 *         pairs, a queue of it for each
 *     "loop:": what is sent on a pair comes back on it
 *     "null:": what is sent vanishes, nothing comes
 *     "source:LEN": what is sent vanishes, frames of LEN bytes come as fast as
 *         they are taken, for measuring
 * @options: copied; NULL for defaults
 *
 * Nothing is opened yet: vhost_server_new() does, and reports.
 *
 * Return: the device, or NULL if memory is short.
 */
struct vhost_server_device *
vhost_server_net(const char *peer,
                 const struct vhost_server_net_options *options);

/** vhost_server_new() - bind a socket and get ready
 * @path: of the socket; a stale socket there is replaced, a live one is not
 * @device: given, also on failure; NULL fails with -ENOMEM
 * @options: copied; NULL for defaults
 * @errp: why it failed
 *
 * Return: the server, or NULL.
 */
struct vhost_server *
vhost_server_new(const char *path, struct vhost_server_device *device,
                 const struct vhost_server_options *options,
                 struct vhost_error **errp);

/** vhost_server_new_fd() - serve one front end over a connected socket
 * @fd: given, also on failure
 * @device: given, also on failure; NULL fails with -ENOMEM
 * @options: copied; NULL for defaults
 * @errp: why it failed
 *
 * As vhost_server_new(); vhost_server_run() fails with -ENOTCONN once the
 * front end has gone.
 */
struct vhost_server *
vhost_server_new_fd(int fd, struct vhost_server_device *device,
                    const struct vhost_server_options *options,
                    struct vhost_error **errp);

/** vhost_server_free() - end the connection, unbind, free
 * @srv: NULL is allowed
 */
void vhost_server_free(struct vhost_server *srv);

/** vhost_server_config_changed() - what is served is not what it was
 * @srv: a server
 * @errp: why it failed
 *
 * The device looks at it again: a block device at the size of its file.  The
 * front end is told, if it wants to be (VHOST_USER_PROTOCOL_F_BACKEND_REQ and
 * _CONFIG).
 *
 * Return: 0, or the negative errno of looking; then the device is as it was.
 */
int vhost_server_config_changed(struct vhost_server *srv,
                                struct vhost_error **errp);

/** vhost_server_get_fd() - readable when vhost_server_dispatch() has work
 * @srv: a server
 *
 * Return: the fd, lent.
 */
int vhost_server_get_fd(const struct vhost_server *srv);

/** vhost_server_dispatch() - do what there is to do, without waiting
 * @srv: a server
 * @errp: why it failed
 *
 * Return: 0 or a negative errno.
 */
int vhost_server_dispatch(struct vhost_server *srv, struct vhost_error **errp);

/** vhost_server_run() - wait for work and do it
 * @srv: a server
 * @timeout_ms: return after so long if there is none; -1: never
 * @errp: why it failed
 *
 * Returns after each round of work, so that a loop around it can stop.  A
 * signal ends the wait: the call returns 0.  It may also return 0 sooner than
 * asked, with nothing done: a loop goes on.
 *
 * Return: 1 if there was work, 0 if not, or a negative errno.
 */
int vhost_server_run(struct vhost_server *srv, int timeout_ms,
                     struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
