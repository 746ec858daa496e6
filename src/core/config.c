/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/core.h"

#include <errno.h>

#include "backend/ops.h"
#include "util/error.h"

#define CONFIG_MAX 256 /* vhost-user specification, "Virtio device config" */

/*
 * An answer that is no answer to the question does not break the device: the
 * back end serves its queues all the same, and whoever asked knows.
 */
static int answered(struct vhost_dev *dev, int r)
{
    return r == -EPROTO ? r : vh_core_fault(dev, r);
}

int vhost_dev_get_config(struct vhost_dev *hdev, uint8_t *config,
                         uint32_t config_len, struct vhost_error **errp)
{
    int r;

    vh_core_enter(hdev);
    if (config_len > CONFIG_MAX) {
        r = vh_be_fail(hdev, -E2BIG, "GET_CONFIG", VH_NO_QUEUE,
                       "%u bytes of configuration asked, at most %u",
                       config_len, CONFIG_MAX);
    } else {
        r = answered(hdev, vh_be_get_config(hdev, config, config_len));
    }
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(hdev));
    }
    return r;
}

int vhost_dev_set_config(struct vhost_dev *dev, const uint8_t *data,
                         uint32_t offset, uint32_t size, uint32_t flags)
{
    vh_core_enter(dev);
    if (size > CONFIG_MAX || offset > CONFIG_MAX - size) {
        return vh_be_fail(dev, -E2BIG, "SET_CONFIG", VH_NO_QUEUE,
                          "%u bytes at %u pass the %u of a configuration", size,
                          offset, CONFIG_MAX);
    }
    return answered(dev, vh_be_set_config(dev, data, offset, size, flags));
}

void vhost_dev_set_config_notifier(struct vhost_dev *dev,
                                   const VhostDevConfigOps *ops)
{
    dev->config_ops = ops;
}
