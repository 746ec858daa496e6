/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A SCSI device: the kernel's own target, of which configfs knows the name.
 *
 * Setting the endpoint starts all queues at once, clearing it waits for what is
 * under way and stops them; so a target that is not there is only told of by
 * the start.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/ops.h"
#include "util/error.h"

#define QUEUES_MIN 3u /* control, event, and one for requests */

static int check(struct vhost_kernel *kernel)
{
    const char *wwpn = kernel->options.wwpn;

    if (kernel->served < QUEUES_MIN) {
        return vh_kernel_misfit(kernel,
                                "%u queues: SCSI has control, event, and at "
                                "least one for requests",
                                kernel->served);
    }
    if (wwpn &&
        (*wwpn == '\0' ||
         strlen(wwpn) >= sizeof(((struct vhost_scsi_target *)0)->vhost_wwpn))) {
        return vh_kernel_misfit(kernel, "a wwpn has 1 to 223 characters");
    }
    return 0;
}

int vh_kernel_scsi_get_abi(struct vhost_dev *dev, int *version)
{
    struct vhost_kernel *kernel = dev->opaque;
    int r;

    if (kernel->class != &vh_kernel_scsi) {
        return vh_kernel_misfit(kernel, "not a SCSI device");
    }
    r = vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_SCSI_GET_ABI_VERSION,
                        version);
    return r >= 0 ? 0
                  : vh_kernel_failed(kernel, -ENOTTY, "SCSI_GET_ABI_VERSION",
                                     VH_NO_QUEUE, "not a vhost-scsi node");
}

static int claimed(struct vhost_kernel *kernel)
{
    int version = 0;
    int r = vh_kernel_scsi_get_abi(kernel->dev, &version);

    if (r == 0 && version > VH_KERNEL_SCSI_ABI) {
        r = vh_be_fail(kernel->dev, -ENOTSUP, "SCSI_GET_ABI_VERSION",
                       VH_NO_QUEUE,
                       "%s: the kernel speaks version %d of the interface, "
                       "this library version %d",
                       kernel->name, version, VH_KERNEL_SCSI_ABI);
    }
    kernel->info.scsi_abi = (uint32_t)version;
    return r;
}

int vh_kernel_scsi_set_endpoint(struct vhost_dev *dev,
                                struct vhost_scsi_target *target)
{
    struct vhost_kernel *kernel = dev->opaque;
    char hint[360] = "";
    int r;

    if (kernel->class != &vh_kernel_scsi) {
        return vh_kernel_misfit(kernel, "not a SCSI device");
    }
    r = vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_SCSI_SET_ENDPOINT,
                        target);
    if (r == -EEXIST || r == -ENODEV || r == -ENOENT) {
        snprintf(hint, sizeof(hint),
                 "there is no target vhost/%.223s/tpgt_%u with a nexus in "
                 "configfs, or another device uses it",
                 target->vhost_wwpn, target->vhost_tpgt);
    } else if (r == -EFAULT) {
        snprintf(hint, sizeof(hint),
                 "the kernel does not reach its rings in memory");
    }
    return r >= 0 ? 0
                  : vh_kernel_failed(kernel, r, "SCSI_SET_ENDPOINT",
                                     VH_NO_QUEUE, hint);
}

int vh_kernel_scsi_clear_endpoint(struct vhost_dev *dev,
                                  struct vhost_scsi_target *target)
{
    struct vhost_kernel *kernel = dev->opaque;
    int r;

    if (kernel->class != &vh_kernel_scsi) {
        return vh_kernel_misfit(kernel, "not a SCSI device");
    }
    r = vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_SCSI_CLEAR_ENDPOINT,
                        target);
    return r >= 0 ? 0
                  : vh_kernel_failed(kernel, r, "SCSI_CLEAR_ENDPOINT",
                                     VH_NO_QUEUE, "");
}

static struct vhost_scsi_target target_of(const struct vhost_kernel *kernel)
{
    struct vhost_scsi_target target = {
        .abi_version = VH_KERNEL_SCSI_ABI,
        .vhost_tpgt = kernel->options.tpgt,
    };

    snprintf(target.vhost_wwpn, sizeof(target.vhost_wwpn), "%s",
             kernel->options.wwpn);
    return target;
}

static int start(struct vhost_kernel *kernel)
{
    struct vhost_scsi_target target;

    if (!kernel->options.wwpn) {
        return vh_kernel_misfit(kernel, "no wwpn says which target");
    }
    target = target_of(kernel);
    return vh_kernel_scsi_set_endpoint(kernel->dev, &target);
}

static int stop(struct vhost_kernel *kernel)
{
    struct vhost_scsi_target target = target_of(kernel);

    return vh_kernel_scsi_clear_endpoint(kernel->dev, &target);
}

static int events_missed(struct vhost_kernel *kernel, const char *operation,
                         unsigned long request, uint32_t *missed,
                         struct vhost_error **errp)
{
    int r = vh_kernel_enter(kernel, operation, &vh_kernel_scsi, errp);

    return r < 0 ? r
                 : vh_kernel_leave(
                       kernel,
                       vh_kernel_call(kernel, 0, operation, request, missed),
                       errp);
}

int vhost_kernel_get_events_missed(struct vhost_kernel *kernel,
                                   uint32_t *missedp, struct vhost_error **errp)
{
    return events_missed(kernel, "SCSI_GET_EVENTS_MISSED",
                         VHOST_SCSI_GET_EVENTS_MISSED, missedp, errp);
}

int vhost_kernel_set_events_missed(struct vhost_kernel *kernel, uint32_t missed,
                                   struct vhost_error **errp)
{
    return events_missed(kernel, "SCSI_SET_EVENTS_MISSED",
                         VHOST_SCSI_SET_EVENTS_MISSED, &missed, errp);
}

const struct vh_kernel_class vh_kernel_scsi = {
    .name = "SCSI",
    .device_id = 8,
    .node = "/dev/vhost-scsi",
    .module = "vhost_scsi",
    .check = check,
    .claimed = claimed,
    .start = start,
    .stop = stop,
};
