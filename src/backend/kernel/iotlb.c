/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device IOTLB.
 *
 * A node that misses a translation lets us read which, and waits with that
 * queue until it is written.  Each node has an IOTLB of its own: an answer goes
 * to the one that asked, for each has but so many entries; what nobody asked
 * for, and what is no longer true, goes to all.
 *
 * A node reads the rings it is to serve at the moment that it is started, and
 * does not wait then: so what it will look at it is told beforehand.
 *
 * One fd stands for all nodes.  They stay in it also while no misses are to be
 * passed on: a node without an IOTLB has nothing to read.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/ops.h"
#include "backend/upcalls.h"
#include "util/atomic.h"
#include "util/error.h"
#include "util/fd.h"

#define BURST 64 /* messages taken from a node before the next has its turn */

/* What comes by read(2), and goes by write(2): which form it has is told by its
 * first word. */
union message {
    uint32_t form;
    struct vhost_msg v1;
    struct vhost_msg_v2 v2;
};

int vh_kernel_iotlb_init(struct vhost_kernel *kernel)
{
    kernel->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (kernel->epoll_fd < 0) {
        return vh_kernel_failed(kernel, -errno, "epoll_create", VH_NO_QUEUE,
                                "");
    }
    for (unsigned i = 0; i < kernel->n_nodes; i++) {
        struct epoll_event event = { .events = EPOLLIN };

        /* A node without an IOTLB can't be polled. */
        if (epoll_ctl(kernel->epoll_fd, EPOLL_CTL_ADD, kernel->nodes[i],
                      &event) < 0 &&
            errno != EPERM) {
            return vh_kernel_failed(kernel, -errno, "epoll_ctl", VH_NO_QUEUE,
                                    "");
        }
    }
    return 0;
}

void vh_kernel_iotlb_cleanup(struct vhost_kernel *kernel)
{
    vh_fd_close(&kernel->epoll_fd);
}

int vh_kernel_get_fd(struct vhost_dev *dev)
{
    return ((const struct vhost_kernel *)dev->opaque)->epoll_fd;
}

void vh_kernel_set_iotlb_callback(struct vhost_dev *dev, int enabled)
{
    ((struct vhost_kernel *)dev->opaque)->iotlb = enabled != 0;
}

/* One that can't be answered is one that its owner knows of, and will answer
 * when he can: it is no failure of the device. */
static int take_message(struct vhost_kernel *kernel, unsigned node,
                        const struct vhost_iotlb_msg *iotlb)
{
    const struct vh_upcalls *upcalls = kernel->dev->upcalls;
    bool write = (iotlb->perm & VHOST_ACCESS_WO) != 0;

    if (iotlb->type != VHOST_IOTLB_MISS &&
        iotlb->type != VHOST_IOTLB_ACCESS_FAIL) {
        return vh_be_fail(kernel->dev, -EPROTO, "IOTLB_MSG", VH_NO_QUEUE,
                          "%s: an IOTLB message of type %u", kernel->name,
                          iotlb->type);
    }
    if (!kernel->iotlb || !upcalls) {
        return 0; /* from before the stop */
    }
    if (iotlb->type == VHOST_IOTLB_ACCESS_FAIL) {
        upcalls->iotlb_fail(kernel->dev, iotlb->iova, write);
        return 0;
    }
    kernel->answering = (int)node;
    upcalls->iotlb_miss(kernel->dev, iotlb->iova, write);
    kernel->answering = -1;
    return 0;
}

static const struct vhost_iotlb_msg *iotlb_of(const union message *message)
{
    switch (message->form) {
    case VHOST_IOTLB_MSG:
        return &message->v1.iotlb;
    case VHOST_IOTLB_MSG_V2:
        return &message->v2.iotlb;
    default:
        return NULL;
    }
}

/* Return: 1 if there was a message, 0 if not, or a negative errno. */
static int read_one(struct vhost_kernel *kernel, unsigned node)
{
    const struct vhost_iotlb_msg *iotlb;
    union message message;
    ssize_t n;
    int r;

    memset(&message, 0, sizeof(message));
    n = kernel->sys->read(kernel->sys_ctx, kernel->nodes[node], &message,
                          sizeof(message));
    if (n == -EAGAIN || n == 0 || n == -EINVAL) {
        return 0; /* the last: a node that has no messages at all */
    }
    if (n < 0) {
        return vh_kernel_failed(kernel, (int)n, "read", VH_NO_QUEUE, "");
    }
    iotlb = iotlb_of(&message);
    if ((size_t)n != sizeof(message) || !iotlb) {
        return vh_be_fail(kernel->dev, -EPROTO, "IOTLB_MSG", VH_NO_QUEUE,
                          "%s: a message of %zd bytes and of form %u",
                          kernel->name, n, message.form);
    }
    r = take_message(kernel, node, iotlb);
    return r < 0 ? r : 1;
}

int vh_kernel_dispatch(struct vhost_dev *dev)
{
    struct vhost_kernel *kernel = dev->opaque;

    if (kernel->info.backend_features == 0 && !kernel->iotlb) {
        return 0;
    }
    for (unsigned i = 0; i < kernel->n_nodes; i++) {
        int r = 1;

        for (unsigned k = 0; r == 1 && k < BURST; k++) {
            r = read_one(kernel, i);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int send_one(struct vhost_kernel *kernel, unsigned node,
                    const union message *message)
{
    ssize_t n = kernel->sys->write(kernel->sys_ctx, kernel->nodes[node],
                                   message, sizeof(*message));

    __atomic_add_fetch(&kernel->info.iotlb_messages, 1, __ATOMIC_RELAXED);
    if (n == (ssize_t)sizeof(*message)) {
        return 0;
    }
    return vh_kernel_failed(kernel, n < 0 ? (int)n : -EIO, "IOTLB_MSG",
                            VH_NO_QUEUE, n < 0 ? "" : "written in part");
}

int vh_kernel_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *msg)
{
    struct vhost_kernel *kernel = dev->opaque;
    union message message;
    int r = 0;

    memset(&message, 0, sizeof(message));
    if (kernel->info.acked_backend_features & VH_KERNEL_F_MSG_V2) {
        message.v2.type = VHOST_IOTLB_MSG_V2;
        message.v2.iotlb = *msg;
    } else {
        message.v1.type = VHOST_IOTLB_MSG;
        message.v1.iotlb = *msg;
    }
    /* Only the control thread updates; and only it answers. */
    if (msg->type == VHOST_IOTLB_UPDATE && kernel->answering >= 0) {
        return send_one(kernel, (unsigned)kernel->answering, &message);
    }
    for (unsigned i = 0; r == 0 && i < kernel->n_nodes; i++) {
        r = send_one(kernel, i, &message);
    }
    return r;
}

void vh_kernel_prime(struct vhost_kernel *kernel, unsigned queue)
{
    struct vhost_dev *dev = kernel->dev;
    const struct vhost_virtqueue *vq = &dev->vqs[queue];
    const struct vhost_error *before = vh_load_acquire(&dev->error);
    unsigned per_node = kernel->class->per_node;

    if (!kernel->iotlb || !dev->upcalls || !vq->started) {
        return;
    }
    kernel->answering = (int)(per_node ? queue / per_node : 0);
    dev->upcalls->iotlb_miss(dev, vq->used_phys, true);
    dev->upcalls->iotlb_miss(dev, vq->avail_phys, false);
    dev->upcalls->iotlb_miss(dev, vq->desc_phys, false);
    kernel->answering = -1;
    if (!before) {
        /* What has no translation yet the node fails with, if it matters. */
        vhost_error_free(
            __atomic_exchange_n(&dev->error, NULL, __ATOMIC_ACQ_REL));
    }
}
