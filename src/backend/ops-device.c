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

int vh_be_reset_device(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_reset_device
               ? vh_be_done(dev, "RESET_DEVICE", ops->vhost_reset_device(dev))
               : vh_be_absent(dev, -ENOSYS, "RESET_DEVICE");
}
