/* SPDX-License-Identifier: BSD-3-Clause */
/* A device whose back end may go and come back; see again.c. */
#ifndef VH_DRIVER_AGAIN_H
#define VH_DRIVER_AGAIN_H

#include "driver/device.h"

/** vh_again_init() - from now on look for a back end that is gone
 * @device: open
 * @errp: why that can't be
 *
 * Return: 0 or a negative errno.
 */
int vh_again_init(struct vh_device *device, struct vhost_error **errp);

/** vh_again_is_ours() - is this the thread that dispatches? */
bool vh_again_is_ours(const struct vh_device *device);

/** vh_again_help() - the control thread waits in a queue's call: what it would
 * do in its loop if it were there
 * @vq: the queue
 * @ms: at most; < 0: for ever
 */
void vh_again_help(struct vh_virtq *vq, int ms);

/** vh_again_will_do() - what failed, failed because the back end is gone,
 * and another is looked for, which will be asked */
static inline bool vh_again_will_do(const struct vh_device *device)
{
    return device->returns && device->dev.state == VHOST_DEV_LOST;
}

#endif
