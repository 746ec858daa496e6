/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vsock device.  The kernel serves receive and send; events, of which there
 * is one, "all connections are gone", are for whoever knows that a guest was
 * moved.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <stdio.h>

#include "backend/ops.h"
#include "util/error.h"

#define CID_FIRST 3u /* hypervisor, this host, and the host of a guest */

static int check_cid(struct vhost_kernel *kernel, uint64_t cid,
                     struct vhost_error **errp)
{
    if (cid >= CID_FIRST && cid < UINT32_MAX) {
        return 0;
    }
    return vh_error(errp, -EINVAL, "VSOCK_SET_GUEST_CID", VH_NO_QUEUE,
                    "%s: no guest can have the cid %llu: they go from %u to %u",
                    kernel->name, (unsigned long long)cid, CID_FIRST,
                    UINT32_MAX - 1);
}

static int check(struct vhost_kernel *kernel)
{
    struct vhost_error *error = NULL;

    if (kernel->served != 2 && kernel->served != 3) {
        return vh_kernel_misfit(kernel,
                                "%u queues: vsock has 2, or 3 with that for "
                                "events",
                                kernel->served);
    }
    kernel->served = 2;
    if (kernel->options.guest_cid != 0) {
        check_cid(kernel, kernel->options.guest_cid, &error);
    }
    return vh_be_take_error(kernel->dev, &error);
}

int vh_kernel_vsock_set_guest_cid(struct vhost_dev *dev, uint64_t cid)
{
    struct vhost_kernel *kernel = dev->opaque;
    char hint[80] = "";
    int r;

    if (kernel->class != &vh_kernel_vsock) {
        return vh_kernel_misfit(kernel, "not a vsock device");
    }
    r = vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_VSOCK_SET_GUEST_CID,
                        &cid);
    if (r == -EADDRINUSE) {
        snprintf(hint, sizeof(hint), "another guest has the cid %llu",
                 (unsigned long long)cid);
    }
    return r >= 0 ? 0
                  : vh_kernel_failed(kernel, r, "VSOCK_SET_GUEST_CID",
                                     VH_NO_QUEUE, hint);
}

int vh_kernel_vsock_set_running(struct vhost_dev *dev, int start)
{
    struct vhost_kernel *kernel = dev->opaque;
    int r;

    if (kernel->class != &vh_kernel_vsock) {
        return vh_kernel_misfit(kernel, "not a vsock device");
    }
    r = vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_VSOCK_SET_RUNNING,
                        &start);
    return r >= 0 ? 0
                  : vh_kernel_failed(
                        kernel, r, "VSOCK_SET_RUNNING", VH_NO_QUEUE,
                        r == -EFAULT
                            ? "the kernel does not reach its rings in memory"
                            : "");
}

static int claimed(struct vhost_kernel *kernel)
{
    int stopped = 0;
    int r = vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_VSOCK_SET_RUNNING,
                            &stopped);

    if (r < 0) {
        return vh_kernel_failed(kernel, -ENOTTY, "VSOCK_SET_RUNNING",
                                VH_NO_QUEUE, "not a vhost-vsock node");
    }
    return kernel->options.guest_cid != 0
               ? vh_kernel_vsock_set_guest_cid(kernel->dev,
                                               kernel->options.guest_cid)
               : 0;
}

static int start(struct vhost_kernel *kernel)
{
    if (kernel->options.guest_cid == 0) {
        return vh_kernel_misfit(kernel, "the guest has no cid yet");
    }
    for (unsigned i = 0; i < kernel->served; i++) {
        vh_kernel_prime(kernel, i);
    }
    return vh_kernel_vsock_set_running(kernel->dev, 1);
}

static int stop(struct vhost_kernel *kernel)
{
    return vh_kernel_vsock_set_running(kernel->dev, 0);
}

int vhost_kernel_set_guest_cid(struct vhost_kernel *kernel, uint64_t cid,
                               struct vhost_error **errp)
{
    int r = check_cid(kernel, cid, errp);

    if (r == 0 && (kernel->dev || kernel->class != &vh_kernel_vsock)) {
        r = vh_kernel_enter(kernel, "VSOCK_SET_GUEST_CID", &vh_kernel_vsock,
                            errp);
        if (r == 0) {
            r = vh_kernel_leave(
                kernel, vh_kernel_vsock_set_guest_cid(kernel->dev, cid), errp);
        }
    }
    if (r == 0) {
        kernel->options.guest_cid = cid;
    }
    return r;
}

const struct vh_kernel_class vh_kernel_vsock = {
    .name = "vsock",
    .device_id = 19,
    .node = "/dev/vhost-vsock",
    .module = "vhost_vsock",
    .check = check,
    .claimed = claimed,
    .start = start,
    .stop = stop,
};
