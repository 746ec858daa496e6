/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that stands still for a while, with its rings as they are. */
#ifndef VH_DRIVER_PAUSE_H
#define VH_DRIVER_PAUSE_H

#include "driver/device.h"

/**
 * vh_device_pause() - take the queues back from the back end
 * @device: started; what is used in its rings by then stays there to be taken
 * @errp: why it failed; it is stopped nevertheless
 *
 * Return: 0 or a negative errno.
 */
int vh_device_pause(struct vh_device *device, struct vhost_error **errp);

/**
 * vh_device_resume() - hand them over again, where they were left
 * @device: paused
 * @errp: why it failed
 *
 * Return: 0 or a negative errno.
 */
int vh_device_resume(struct vh_device *device, struct vhost_error **errp);

#endif
