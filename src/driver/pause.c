/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back end tells with the stop of a queue where it would go on, and that
 * is where it goes on after the next start: our side of the ring knows nothing
 * of it all.
 */
#include "driver/pause.h"

#include <string.h>

#include "util/error.h"

static int failed(struct vh_device *device, int r, const char *what,
                  struct vhost_error **errp)
{
    const struct vhost_error *error = vhost_dev_get_error(&device->dev);
    const char *why = strerrordesc_np(-r);

    if (error) {
        vh_error_copy(errp, error);
    }
    return vh_error(errp, r, what, VH_NO_QUEUE, "the device can't be %s: %s",
                    what, why ? why : "failed");
}

int vh_device_pause(struct vh_device *device, struct vhost_error **errp)
{
    int r = vhost_dev_stop(&device->dev, &device->vdev, true);

    return r < 0 ? failed(device, r, "paused", errp) : 0;
}

int vh_device_resume(struct vh_device *device, struct vhost_error **errp)
{
    int r = vhost_dev_start(&device->dev, &device->vdev, true);

    return r < 0 ? failed(device, r, "resumed", errp) : 0;
}
