/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells for back ends that hear no eventfds
 * (VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS): the owner's kick fds are read
 * here, by dispatch, and passed on as messages.
 */
#include "core/core.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/ops.h"
#include "util/error.h"

int vh_core_kick_up(struct vhost_dev *dev, unsigned i, int fd)
{
    struct epoll_event event = { .events = EPOLLIN,
                                 .data.u32 = VH_CORE_KICK + i };
    unsigned queue = (unsigned)dev->vq_index + i;

    if (fd < 0 || !vh_be_wants_kicks(dev) ||
        epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) {
        return 0;
    }
    return vh_be_fail(dev, -errno, "epoll_ctl", (int)queue,
                      "the kick fd of queue %u can't be watched: %s", queue,
                      strerror(errno));
}

void vh_core_kick_down(struct vhost_dev *dev, int fd)
{
    if (fd >= 0 && vh_be_wants_kicks(dev)) {
        epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
}

int vh_core_kick(struct vhost_dev *dev, unsigned i)
{
    unsigned queue = (unsigned)dev->vq_index + i;
    struct vhost_notifier kick = { .fd = -1 };

    if (dev->vdev) {
        kick.fd = dev->vdev->queues[queue].kick_fd;
    }
    if (kick.fd < 0 || !vhost_notifier_test_and_clear(&kick) ||
        !vh_core_talks(dev)) {
        return 0;
    }
    return vh_core_fault(dev, vh_be_vring_kick(dev, queue));
}
