/* SPDX-License-Identifier: BSD-3-Clause */
/* The checked calls that concern the device as a whole; see ops.c. */
#include "backend/ops.h"

#include <errno.h>

#include "util/error.h"
#include "util/fd.h"

bool vh_be_supports_device_state(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_supports_device_state &&
           ops->vhost_supports_device_state(dev);
}

int vh_be_set_device_state_fd(struct vhost_dev *dev,
                              VhostDeviceStateDirection direction,
                              VhostDeviceStatePhase phase, int fd,
                              int *reply_fd)
{
    const VhostOps *ops = dev->vhost_ops;

    if (!ops->vhost_set_device_state_fd) {
        vh_fd_close(&fd);
        return vh_be_absent(dev, -ENOSYS, "SET_DEVICE_STATE_FD");
    }
    return vh_be_done(
        dev, "SET_DEVICE_STATE_FD",
        ops->vhost_set_device_state_fd(dev, direction, phase, fd, reply_fd));
}

int vh_be_check_device_state(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_check_device_state
               ? vh_be_done(dev, "CHECK_DEVICE_STATE",
                            ops->vhost_check_device_state(dev))
               : vh_be_absent(dev, -ENOSYS, "CHECK_DEVICE_STATE");
}

int vh_be_post_device_state_fd(struct vhost_dev *dev,
                               VhostDeviceStateDirection direction, int fd,
                               struct vhost_device_state_answer *answer)
{
    const VhostOps *ops = dev->vhost_ops;
    int own;

    *answer = (struct vhost_device_state_answer){ .reply_fd = -1 };
    if (ops->vhost_post_device_state_fd) {
        return vh_be_done(dev, "SET_DEVICE_STATE_FD",
                          ops->vhost_post_device_state_fd(
                              dev, direction,
                              VHOST_TRANSFER_STATE_PHASE_STOPPED, fd, answer));
    }
    own = vh_fd_dup(fd);
    return own < 0
               ? vh_be_done(dev, "SET_DEVICE_STATE_FD", own)
               : vh_be_set_device_state_fd(dev, direction,
                                           VHOST_TRANSFER_STATE_PHASE_STOPPED,
                                           own, &answer->reply_fd);
}

int vh_be_post_check_device_state(struct vhost_dev *dev,
                                  struct vhost_device_state_answer *answer)
{
    const VhostOps *ops = dev->vhost_ops;

    *answer = (struct vhost_device_state_answer){ .reply_fd = -1 };
    return ops->vhost_post_check_device_state
               ? vh_be_done(dev, "CHECK_DEVICE_STATE",
                            ops->vhost_post_check_device_state(dev, answer))
               : vh_be_check_device_state(dev);
}

int vh_be_reset_device(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_reset_device
               ? vh_be_done(dev, "RESET_DEVICE", ops->vhost_reset_device(dev))
               : vh_be_absent(dev, -ENOSYS, "RESET_DEVICE");
}

int vh_be_migration_done(struct vhost_dev *dev, const uint8_t *mac)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_migration_done
               ? vh_be_done(dev, "SEND_RARP",
                            ops->vhost_migration_done(dev, mac))
               : 0;
}

int vh_be_net_set_mtu(struct vhost_dev *dev, uint16_t mtu)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_net_set_mtu ? vh_be_done(dev, "NET_SET_MTU",
                                               ops->vhost_net_set_mtu(dev, mtu))
                                  : 0;
}

int vh_be_net_set_backend(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_net_set_backend
               ? vh_be_done(dev, "NET_SET_BACKEND",
                            ops->vhost_net_set_backend(dev, file))
               : vh_be_absent(dev, -ENOSYS, "NET_SET_BACKEND");
}

int vh_be_get_status(struct vhost_dev *dev, uint8_t *status)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_status
               ? vh_be_done(dev, "GET_STATUS",
                            ops->vhost_get_status(dev, status))
               : vh_be_absent(dev, -ENOSYS, "GET_STATUS");
}

int vh_be_crypto_create_session(struct vhost_dev *dev, void *session,
                                uint32_t size)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_crypto_create_session
               ? vh_be_done(
                     dev, "CREATE_CRYPTO_SESSION",
                     ops->vhost_crypto_create_session(dev, session, size))
               : vh_be_absent(dev, -ENOSYS, "CREATE_CRYPTO_SESSION");
}

int vh_be_crypto_close_session(struct vhost_dev *dev, uint64_t session_id)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_crypto_close_session
               ? vh_be_done(dev, "CLOSE_CRYPTO_SESSION",
                            ops->vhost_crypto_close_session(dev, session_id))
               : vh_be_absent(dev, -ENOSYS, "CLOSE_CRYPTO_SESSION");
}

int vh_be_get_shared_object(struct vhost_dev *dev, const uint8_t *uuid, int *fd)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_shared_object
               ? vh_be_done(dev, "GET_SHARED_OBJECT",
                            ops->vhost_get_shared_object(dev, uuid, fd))
               : vh_be_absent(dev, -ENOSYS, "GET_SHARED_OBJECT");
}

uint64_t vh_be_get_shmem_size(struct vhost_dev *dev, uint8_t id)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_shmem_size ? ops->vhost_get_shmem_size(dev, id) : 0;
}

bool vh_be_wants_kicks(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_wants_kicks && ops->vhost_wants_kicks(dev);
}

int vh_be_vring_kick(struct vhost_dev *dev, unsigned queue)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_vring_kick ? vh_be_done(dev, "VRING_KICK",
                                              ops->vhost_vring_kick(dev, queue))
                                 : vh_be_absent(dev, -ENOSYS, "VRING_KICK");
}

bool vh_be_has_inflight(const struct vhost_dev *dev)
{
    return dev->vhost_ops->vhost_get_inflight_fd != NULL;
}

int vh_be_get_inflight_fd(struct vhost_dev *dev, uint16_t queue_size,
                          struct vhost_inflight *inflight)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_inflight_fd
               ? vh_be_done(
                     dev, "GET_INFLIGHT_FD",
                     ops->vhost_get_inflight_fd(dev, queue_size, inflight))
               : 0;
}

int vh_be_set_inflight_fd(struct vhost_dev *dev,
                          struct vhost_inflight *inflight)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_set_inflight_fd
               ? vh_be_done(dev, "SET_INFLIGHT_FD",
                            ops->vhost_set_inflight_fd(dev, inflight))
               : 0;
}

bool vh_be_keeps_memory(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_keeps_memory && ops->vhost_keeps_memory(dev);
}

/* Nothing is asked of it: so there are no words for its absence. */
int vh_be_get_device_id(struct vhost_dev *dev, uint32_t *id)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_device_id
               ? vh_be_done(dev, "GET_DEVICE_ID",
                            ops->vhost_get_device_id(dev, id))
               : -ENOSYS;
}

bool vh_be_has_config_call(const struct vhost_dev *dev)
{
    return dev->vhost_ops->vhost_set_config_call != NULL;
}

int vh_be_set_config_call(struct vhost_dev *dev, int fd)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_set_config_call
               ? vh_be_done(dev, "SET_CONFIG_CALL",
                            ops->vhost_set_config_call(dev, fd))
               : 0;
}
