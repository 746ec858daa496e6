/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pipe whose reader is gone raises SIGPIPE, and no flag of write(2) prevents
 * it as MSG_NOSIGNAL does for a socket.  The signal is sent to the thread that
 * writes: so that thread blocks it, and takes away what its own write has
 * raised.  One that was pending before is somebody else's, and stays.
 *
 * A write to a pipe that blocks may take longer than poll(2) lets expect: it
 * says that there is room, not how much.  RWF_NOWAIT writes what fits; kernels
 * that do not have it for pipes are asked for no more than PIPE_BUF at a time,
 * for which there is room when poll(2) says so.
 */
#include "util/io.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

struct quiet {
    sigset_t before;
    bool was_pending;
};

static void quiet_begin(struct quiet *quiet)
{
    sigset_t pipe_only;
    sigset_t pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    quiet->was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &quiet->before);
}

static void quiet_end(const struct quiet *quiet, bool raised)
{
    const struct timespec now = { 0 };
    sigset_t pipe_only;
    int saved = errno;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (raised && !quiet->was_pending) {
        while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
    errno = saved;
}

/* POLLERR and POLLHUP are for the read or write that follows to explain. */
static int wait_for(int fd, short events, int64_t deadline)
{
    for (;;) {
        struct pollfd pfd = { .fd = fd, .events = events };
        int r = poll(&pfd, 1, vh_deadline_left_ms(deadline));

        if (r > 0) {
            return pfd.revents & POLLNVAL ? -EBADF : 0;
        }
        if (r < 0 && errno != EINTR) {
            return -errno;
        }
        if (vh_deadline_passed(deadline)) {
            return -ETIMEDOUT;
        }
    }
}

/* Between poll(2) and this, another reader may have taken what was there. */
static ssize_t read_some(int fd, void *data, size_t len)
{
    struct iovec iov = { .iov_base = data, .iov_len = len };
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0) {
        return -1;
    }
    switch (st.st_mode & S_IFMT) {
    case S_IFSOCK:
        return recv(fd, data, len, MSG_DONTWAIT);
    case S_IFIFO:
        n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
        return n < 0 && errno == EOPNOTSUPP ? read(fd, data, len) : n;
    default:
        return read(fd, data, len);
    }
}

ssize_t vh_io_read(int fd, void *data, size_t len, int64_t deadline)
{
    for (;;) {
        ssize_t n;
        int r = wait_for(fd, POLLIN, deadline);

        if (r < 0) {
            return r;
        }
        n = read_some(fd, data, len);
        if (n >= 0) {
            return n;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
}

static ssize_t write_pipe(int fd, const void *data, size_t len)
{
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
    struct quiet quiet;
    ssize_t n;

    quiet_begin(&quiet);
    n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP) {
        n = write(fd, data, len < PIPE_BUF ? len : PIPE_BUF);
    }
    quiet_end(&quiet, n < 0 && errno == EPIPE);
    return n;
}

/* Files and disks take all of it; poll(2) knows nothing of them. */
static ssize_t write_some(int fd, const void *data, size_t len)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return -1;
    }
    switch (st.st_mode & S_IFMT) {
    case S_IFSOCK:
        return send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    case S_IFIFO:
        return write_pipe(fd, data, len);
    case S_IFCHR:
        return write(fd, data, len < PIPE_BUF ? len : PIPE_BUF);
    default:
        return write(fd, data, len);
    }
}

ssize_t vh_io_write(int fd, const void *data, size_t len, int64_t deadline)
{
    for (;;) {
        ssize_t n;
        int r = wait_for(fd, POLLOUT, deadline);

        if (r < 0) {
            return r;
        }
        n = write_some(fd, data, len);
        if (n > 0) {
            return n;
        }
        if (n == 0) {
            return -ENOSPC; /* a device that takes no more */
        }
        if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
}

int vh_io_write_all(int fd, const void *data, size_t len, int64_t deadline)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = vh_io_write(fd, at, len, deadline);

        if (n < 0) {
            return (int)n;
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}
