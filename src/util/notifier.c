/* SPDX-License-Identifier: BSD-3-Clause */
#include <vhost/notifier.h>

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util/fd.h"

int vhost_notifier_init(struct vhost_notifier *notifier, bool active)
{
    notifier->fd = eventfd(active, EFD_NONBLOCK | EFD_CLOEXEC);
    return notifier->fd < 0 ? -errno : 0;
}

void vhost_notifier_cleanup(struct vhost_notifier *notifier)
{
    vh_fd_close(&notifier->fd);
}

int vhost_notifier_set(struct vhost_notifier *notifier)
{
    const uint64_t one = 1;
    ssize_t n;

    do {
        n = write(notifier->fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    /* EAGAIN: the counter is at its top, so the fd is readable already. */
    return n < 0 && errno != EAGAIN ? -errno : 0;
}

bool vhost_notifier_test_and_clear(struct vhost_notifier *notifier)
{
    uint64_t count;
    struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
    ssize_t n;

    do {
        /* O_NONBLOCK is shared with whoever has the fd too, a back end say,
         * which may have cleared it; this flag is our own. */
        n = preadv2(notifier->fd, &iov, 1, -1, RWF_NOWAIT);
        if (n < 0 && errno == EOPNOTSUPP) { /* before Linux 5.8 */
            n = read(notifier->fd, &count, sizeof(count));
        }
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(count);
}

int vhost_notifier_get_fd(const struct vhost_notifier *notifier)
{
    return notifier->fd;
}
