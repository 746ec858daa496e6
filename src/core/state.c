/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a device: the calls that move it, one by one, and what makes it
 * new.  transfer.c has the whole way.
 *
 * vhost-user specification, "Migrating back-end state".
 */
#include "core/share.h"
#include "core/transfer.h"

#include <errno.h>
#include <vhost/state.h>

#include "backend/ops.h"
#include "util/error.h"
#include "util/fd.h"

bool vhost_supports_device_state(struct vhost_dev *dev)
{
    return vh_be_supports_device_state(dev);
}

int vh_core_check_state(struct vhost_dev *dev, const char *operation)
{
    if (dev->started) {
        return vh_be_fail(dev, -EBUSY, operation, VH_NO_QUEUE,
                          "the device is started: its state can be moved only "
                          "while it is stopped");
    }
    return vh_core_silent(dev, operation);
}

/*
 * An answer that contradicts itself, or a stream that does, does not break the
 * device: messages still begin where they should.
 */
static int answered(struct vhost_dev *dev, int r, struct vhost_error **errp)
{
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(dev));
    }
    return r == -EPROTO ? r : vh_core_fault(dev, r);
}

int vhost_set_device_state_fd(struct vhost_dev *dev,
                              VhostDeviceStateDirection direction,
                              VhostDeviceStatePhase phase, int fd,
                              int *reply_fd, struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    *reply_fd = -1;
    r = vh_core_check_state(dev, "SET_DEVICE_STATE_FD");
    if (r < 0) {
        vh_fd_close(&fd);
    } else {
        r = vh_be_set_device_state_fd(dev, direction, phase, fd, reply_fd);
    }
    return answered(dev, r, errp);
}

int vhost_check_device_state(struct vhost_dev *dev, struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = vh_core_check_state(dev, "CHECK_DEVICE_STATE");
    if (r == 0) {
        r = vh_be_check_device_state(dev);
    }
    return answered(dev, r, errp);
}

int vhost_reset_device(struct vhost_dev *hdev)
{
    int r;

    vh_core_enter(hdev);
    if (hdev->started) {
        return vh_be_fail(hdev, -EBUSY, "RESET_DEVICE", VH_NO_QUEUE,
                          "the device is started: stop it first");
    }
    r = vh_core_silent(hdev, "RESET_DEVICE");
    if (r == 0) {
        r = vh_core_fault(hdev, vh_be_reset_device(hdev));
    }
    if (r == 0) {
        vh_core_shmem_clear(hdev); /* nor does the back end know of it now */
    }
    return r;
}
