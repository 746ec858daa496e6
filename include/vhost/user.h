/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost-user connection, as vhost_dev_init() takes it.
 *
 *     struct vhost_user *chr = vhost_user_new(&options, &err);
 *     vhost_dev_init(&dev, chr, VHOST_BACKEND_TYPE_USER, 0, &err);
 *     …
 *     vhost_dev_cleanup(&dev);
 *     vhost_user_free(chr);
 *
 * The object holds where the back end is and how long to wait for it; the
 * connection itself is made by vhost_dev_init() and ended by
 * vhost_dev_cleanup().
 *
 * Threads: as the device that uses it.
 */
#ifndef VHOST_USER_H
#define VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_user;

/**
 * struct vhost_user_options - where the back end is, and how to talk to it
 * @size: sizeof(struct vhost_user_options), or 0 for the fields of this
 *     first version
 * @deadline_ms: how long to wait for an answer; 0: 5000
 * @long_deadline_ms: the same for answers that may take long (stopping a
 *     queue, memory tables); 0: 30000
 * @path: of the Unix socket; copied
 * @listen: bind @path and wait for the back end to connect, where otherwise
 *     we connect to it.  An existing socket at @path is replaced; any other
 *     file is not
 * @required: protocol features that the back end must have, as bits
 * @forbidden: protocol features not to use, as bits
 * @extra: protocol features that are used only if asked for, here or in
 *     @required, as bits: VHOST_USER_PROTOCOL_F_CRYPTO_SESSION, see
 *     vhost_dev_create_crypto_session(); _XEN_MMAP: memory is described as Xen
 *     has it, see struct vhost_memory_section; and _INBAND_NOTIFICATIONS: kicks
 *     and calls of queues are messages, and pass through vhost_dev_dispatch(),
 *     which must be called while queues are at work
 * @host_addresses: tell the back end the addresses of this process where it is
 *     told user addresses, and not guest-physical ones; for back ends that
 *     insist.  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES is not used then
 */
struct vhost_user_options {
    size_t size;
    unsigned deadline_ms;
    unsigned long_deadline_ms;
    const char *path;
    bool listen;
    uint64_t required;
    uint64_t forbidden;
    uint64_t extra;
    bool host_addresses;
};

/**
 * struct vhost_user_info - what the back end offered, and what it has cost
 * @features: virtio feature bits as offered, two words
 * @protocol_features: as offered; 0 without VHOST_USER_F_PROTOCOL_FEATURES
 * @acked_protocol_features: those in use
 * @max_queues: how many it serves
 * @max_mem_slots: how many memory regions it takes
 * @messages: requests sent since the connection was made
 * @replies: replies and acknowledgements received
 * @round_trips: how often a call had to wait for the back end
 * @send_calls: sendmsg(2) calls
 * @recv_calls: recvmsg(2) calls
 * @poll_calls: poll(2) calls
 */
struct vhost_user_info {
    uint64_t features[2];
    uint64_t protocol_features;
    uint64_t acked_protocol_features;
    uint64_t max_queues;
    uint64_t max_mem_slots;
    uint64_t messages;
    uint64_t replies;
    uint64_t round_trips;
    uint64_t send_calls;
    uint64_t recv_calls;
    uint64_t poll_calls;
    uint64_t reserved[8];
};

/** vhost_user_new() - describe a connection by path
 * @options: copied
 * @errp: why it failed
 *
 * With @options->listen the socket is bound and listening on return.
 *
 * Return: the connection, or NULL.
 */
struct vhost_user *vhost_user_new(const struct vhost_user_options *options,
                                  struct vhost_error **errp);

/** vhost_user_new_fd() - describe a connection by a connected socket
 * @fd: given: closed also on failure
 * @options: copied; @options->path is only a name for messages, or NULL;
 *     NULL for default options
 * @errp: why it failed
 *
 * Return: the connection, good for one vhost_dev_init(), or NULL.
 */
struct vhost_user *vhost_user_new_fd(int fd,
                                     const struct vhost_user_options *options,
                                     struct vhost_error **errp);

/** vhost_user_free() - forget a connection
 * @user: not in use by a device; NULL is allowed
 */
void vhost_user_free(struct vhost_user *user);

/** vhost_user_get_info() - what is known of the back end
 * @user: a connection; all is 0 unless a device uses it
 * @info: filled in
 */
void vhost_user_get_info(const struct vhost_user *user,
                         struct vhost_user_info *info);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
