/* SPDX-License-Identifier: BSD-3-Clause */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void vh_fd_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0) {
        /*
         * Linux frees the number even when close(2) is interrupted: a second
         * try could close what another thread has just opened.
         */
        close(*fd);
        *fd = -1;
    }
    errno = saved;
}

void vh_fd_close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        vh_fd_close(&fds[i]);
    }
}

int vh_fd_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return copy < 0 ? -errno : copy;
}

int vh_fd_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -errno;
    }
    return 0;
}
