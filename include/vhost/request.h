/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What some devices can be asked besides: each is one request.
 *
 * Threads: the control thread of the device.
 */
#ifndef VHOST_REQUEST_H
#define VHOST_REQUEST_H

#include <stdint.h>

#include <vhost/backend.h>
#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * vhost_dev_migration_done() - the guest now runs here: let the network know
 * @dev: a started network device
 * @mac: its address, 6 bytes
 * @errp: why it failed
 *
 * Have the back end broadcast a RARP, so that switches learn where @mac went.
 * For guests that do not announce themselves (VIRTIO_NET_F_GUEST_ANNOUNCE).
 * Nobody hears whether it did.
 *
 * Return: 0, also if this kind of back end has nothing to do; -ENOTSUP if it
 * can't (VHOST_USER_PROTOCOL_F_RARP is not in use); or a negative errno of
 * the connection.
 */
int vhost_dev_migration_done(struct vhost_dev *dev, const uint8_t *mac,
                             struct vhost_error **errp);

/**
 * vhost_dev_set_mtu() - tell the MTU that the guest is told
 * @dev: a network device
 * @mtu: from 68 on
 * @errp: why it failed
 *
 * Return: 0, also if the back end need not know it; -EINVAL; -EREMOTEIO if it
 * refuses.
 */
int vhost_dev_set_mtu(struct vhost_dev *dev, uint16_t mtu,
                      struct vhost_error **errp);

/**
 * vhost_dev_get_status() - the virtio device status, as the back end has it
 * @dev: an initialised device
 * @status: set
 * @errp: why it failed
 *
 * Return: 0; -ENOTSUP if it has none (VHOST_USER_PROTOCOL_F_STATUS is not in
 * use), -ENOSYS if this kind of back end has none; -EPROTO if it has more than
 * 8 bits.
 */
int vhost_dev_get_status(struct vhost_dev *dev, uint8_t *status,
                         struct vhost_error **errp);

/**
 * vhost_dev_create_crypto_session() - of a crypto device
 * @dev: an initialised device
 * @session: its description, as the back end understands it; replaced by that
 *     which the back end sends back, with the session's number in it
 * @size: of both, in bytes, up to 4096
 * @errp: why it failed
 *
 * What a description is made of differs between implementations, and some put
 * addresses of their own process into it: the bytes go as they are.  To be had
 * only if struct vhost_user_options asks for
 * VHOST_USER_PROTOCOL_F_CRYPTO_SESSION.
 *
 * Return: 0; -ENOTSUP, -ENOSYS if there are no sessions; -E2BIG; -EPROTO if
 * the answer has another size.
 */
int vhost_dev_create_crypto_session(struct vhost_dev *dev, void *session,
                                    uint32_t size, struct vhost_error **errp);

/**
 * vhost_dev_close_crypto_session() - end one
 * @dev: an initialised device
 * @session_id: its number
 * @errp: why it failed
 *
 * Return: 0; -ENOTSUP, -ENOSYS as above.
 */
int vhost_dev_close_crypto_session(struct vhost_dev *dev, uint64_t session_id,
                                   struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
