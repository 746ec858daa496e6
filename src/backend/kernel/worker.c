/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers: the threads of the kernel that serve queues.  Each node has one from
 * the start; some kinds can have more, and share their queues among them.
 *
 * A node that knows nothing of workers takes the argument for a queue, and
 * fails with whatever it has for that; so only what it says of itself when it
 * does know (a worker that is busy, or is not there) is passed on as it is.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <string.h>

#include "backend/ops.h"
#include "util/error.h"

#define FIRST_REQUEST_QUEUE 2u /* SCSI: after control and event */

static int worker_failed(struct vhost_kernel *kernel, int r,
                         const char *operation, int queue)
{
    if (r == -ENOTTY || r == -ENOBUFS) {
        return vh_kernel_failed(kernel, -ENOTSUP, operation, queue,
                                "more workers than one take a vhost-scsi node, "
                                "and Linux 6.5");
    }
    return vh_kernel_failed(kernel, r, operation, queue,
                            r == -EBUSY ? "a queue is attached to it" : "");
}

int vh_kernel_op_new_worker(struct vhost_dev *dev, uint32_t *id)
{
    struct vhost_kernel *kernel = dev->opaque;
    struct vh_kernel_worker worker = { .id = 0 };
    int r = vh_kernel_ioctl(kernel, kernel->nodes[0], VH_KERNEL_NEW_WORKER,
                            &worker);

    if (r < 0) {
        return worker_failed(kernel, r, "NEW_WORKER", VH_NO_QUEUE);
    }
    *id = worker.id;
    return 0;
}

int vh_kernel_op_free_worker(struct vhost_dev *dev, uint32_t id)
{
    struct vhost_kernel *kernel = dev->opaque;
    const struct vh_kernel_worker worker = { .id = id };
    int r = vh_kernel_ioctl(kernel, kernel->nodes[0], VH_KERNEL_FREE_WORKER,
                            &worker);

    return r >= 0 ? 0 : worker_failed(kernel, r, "FREE_WORKER", VH_NO_QUEUE);
}

static int check_queue(struct vhost_kernel *kernel, unsigned queue)
{
    unsigned i = queue - (unsigned)kernel->dev->vq_index;

    return i < kernel->served
               ? 0
               : vh_kernel_misfit(kernel, "the kernel has no queue %u", queue);
}

int vh_kernel_op_attach_worker(struct vhost_dev *dev, unsigned queue,
                               uint32_t id)
{
    struct vhost_kernel *kernel = dev->opaque;
    struct vh_kernel_vring_worker state = { .index = queue, .id = id };
    int r = check_queue(kernel, queue);

    if (r < 0) {
        return r;
    }
    r = vh_kernel_vring(kernel, VH_KERNEL_ATTACH_WORKER, &state);
    return r == 0 ? 0
                  : worker_failed(kernel, r, "ATTACH_VRING_WORKER", (int)queue);
}

int vh_kernel_op_get_worker(struct vhost_dev *dev, unsigned queue, uint32_t *id)
{
    struct vhost_kernel *kernel = dev->opaque;
    struct vh_kernel_vring_worker state = { .index = queue };
    int r = check_queue(kernel, queue);

    if (r < 0) {
        return r;
    }
    r = vh_kernel_vring(kernel, VH_KERNEL_GET_WORKER, &state);
    if (r < 0) {
        return worker_failed(kernel, r, "GET_VRING_WORKER", (int)queue);
    }
    *id = state.id;
    return 0;
}

int vh_kernel_workers_up(struct vhost_kernel *kernel)
{
    unsigned n = kernel->options.workers;
    unsigned queues = kernel->served - FIRST_REQUEST_QUEUE;

    for (unsigned w = 0; w < n && w < queues; w++) {
        uint32_t id = 0;
        int r = vh_kernel_op_new_worker(kernel->dev, &id);

        for (unsigned q = w; r == 0 && q < queues; q += n) {
            r = vh_kernel_op_attach_worker(
                kernel->dev,
                (unsigned)kernel->dev->vq_index + FIRST_REQUEST_QUEUE + q, id);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int vhost_kernel_new_worker(struct vhost_kernel *kernel, uint32_t *idp,
                            struct vhost_error **errp)
{
    int r = vh_kernel_enter(kernel, "NEW_WORKER", NULL, errp);

    return r < 0 ? r
                 : vh_kernel_leave(
                       kernel, vh_kernel_op_new_worker(kernel->dev, idp), errp);
}

int vhost_kernel_free_worker(struct vhost_kernel *kernel, uint32_t id,
                             struct vhost_error **errp)
{
    int r = vh_kernel_enter(kernel, "FREE_WORKER", NULL, errp);

    return r < 0 ? r
                 : vh_kernel_leave(
                       kernel, vh_kernel_op_free_worker(kernel->dev, id), errp);
}

int vhost_kernel_attach_worker(struct vhost_kernel *kernel, unsigned queue,
                               uint32_t id, struct vhost_error **errp)
{
    int r = vh_kernel_enter(kernel, "ATTACH_VRING_WORKER", NULL, errp);

    return r < 0
               ? r
               : vh_kernel_leave(
                     kernel, vh_kernel_op_attach_worker(kernel->dev, queue, id),
                     errp);
}

int vhost_kernel_get_worker(struct vhost_kernel *kernel, unsigned queue,
                            uint32_t *idp, struct vhost_error **errp)
{
    int r = vh_kernel_enter(kernel, "GET_VRING_WORKER", NULL, errp);

    return r < 0 ? r
                 : vh_kernel_leave(
                       kernel, vh_kernel_op_get_worker(kernel->dev, queue, idp),
                       errp);
}
