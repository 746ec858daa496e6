/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connected socket, from either end, within a deadline.
 *
 * connect(2) on a Unix socket succeeds or fails at once, but for a listener
 * whose backlog is full: a blocking socket then waits without end, and a
 * non-blocking one gets EAGAIN and no event when there is room.  So that is
 * tried again every few milliseconds.
 */
#include "backend/user/user.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"

#define BACKLOG_RETRY_MS 10
#define PATH_LEN_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static int fail(const struct vhost_user *user, struct vhost_error **errp,
                int code, const char *operation, const char *words)
{
    return vh_error(errp, code, operation, VH_NO_QUEUE, "%s: %s", user->name,
                    words);
}

static int fail_errno(const struct vhost_user *user, struct vhost_error **errp,
                      int code, const char *operation)
{
    const char *words = strerrordesc_np(-code);

    return vh_error(errp, code, operation, VH_NO_QUEUE, "%s: %s: %s",
                    user->name, operation, words ? words : "failed");
}

static int set_path(const struct vhost_user *user, struct sockaddr_un *addr,
                    struct vhost_error **errp)
{
    size_t len = strlen(user->path);

    if (len > PATH_LEN_MAX) {
        return vh_error(errp, -ENAMETOOLONG, "connect", VH_NO_QUEUE,
                        "%s: a path of %zu bytes, a socket's has at most %zu",
                        user->name, len, PATH_LEN_MAX);
    }
    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(addr->sun_path, user->path, len);
    return 0;
}

/* A regular file refuses a connection just as a socket without listener. */
static int fail_connect(const struct vhost_user *user, int code,
                        struct vhost_error **errp)
{
    struct stat st;

    switch (code) {
    case -ENOENT:
        return fail(user, errp, code, "connect", "no such socket");
    case -ECONNREFUSED:
        if (stat(user->path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
            return fail(user, errp, -ENOTSOCK, "connect", "not a socket");
        }
        return fail(user, errp, code, "connect",
                    "nobody listens on it (connection refused)");
    case -EPROTOTYPE:
        return fail(user, errp, code, "connect", "not a stream socket");
    case -EACCES:
        return fail(user, errp, code, "connect", "permission denied");
    case -ETIMEDOUT:
        return vh_error(errp, code, "connect", VH_NO_QUEUE,
                        "%s: its queue of connections has been full for %g s",
                        user->name, user->options.deadline_ms / 1000.0);
    default:
        return fail_errno(user, errp, code, "connect");
    }
}

static int try_connect(int fd, const struct sockaddr_un *addr, int64_t deadline)
{
    for (;;) {
        int err;
        int left;

        if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0) {
            return 0;
        }
        err = errno;
        if (err != EAGAIN && err != EINTR) {
            return -err;
        }
        left = vh_deadline_left_ms(deadline);
        if (left == 0) {
            return -ETIMEDOUT;
        }
        if (err == EAGAIN) {
            poll(NULL, 0, left < BACKLOG_RETRY_MS ? left : BACKLOG_RETRY_MS);
        }
    }
}

static int connect_path(struct vhost_user *user, unsigned deadline_ms, int *fdp,
                        struct vhost_error **errp)
{
    struct sockaddr_un addr;
    int r = set_path(user, &addr, errp);
    int fd;

    if (r < 0) {
        return r;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return fail_errno(user, errp, -errno, "socket");
    }
    r = try_connect(fd, &addr, vh_deadline_in(deadline_ms));
    if (r < 0) {
        vh_fd_close(&fd);
        return fail_connect(user, r, errp);
    }
    *fdp = fd;
    return 0;
}

/* A back end that has hung up while it waited is not seen here but in the
 * first reply; ECONNABORTED is for the next one in the queue to overcome. */
static int accept_back_end(struct vhost_user *user, unsigned deadline_ms,
                           int *fdp, struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(deadline_ms);

    for (;;) {
        struct pollfd pfd = { .fd = user->listen_fd, .events = POLLIN };
        int fd =
            accept4(user->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            *fdp = fd;
            return 0;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            return fail_errno(user, errp, -errno, "accept");
        }
        if (vh_deadline_passed(deadline)) {
            return vh_error(errp, -ETIMEDOUT, "accept", VH_NO_QUEUE,
                            "%s: no back end has connected within %g s",
                            user->name, user->options.deadline_ms / 1000.0);
        }
        poll(&pfd, 1, vh_deadline_left_ms(deadline));
    }
}

int vh_user_connect(struct vhost_user *user, unsigned deadline_ms, int *fdp,
                    struct vhost_error **errp)
{
    if (user->listen_fd >= 0) {
        return accept_back_end(user, deadline_ms, fdp, errp);
    }
    if (user->path) {
        return connect_path(user, deadline_ms, fdp, errp);
    }
    if (user->socket_fd < 0) {
        return fail(user, errp, -ENOTCONN, "connect",
                    "the socket has been used, and there is no path to "
                    "connect to again");
    }
    *fdp = user->socket_fd;
    user->socket_fd = -1;
    return 0;
}

/* Only a socket is replaced: any other file is somebody's data. */
static int remove_stale(const struct vhost_user *user,
                        struct vhost_error **errp)
{
    struct stat st;

    if (lstat(user->path, &st) < 0) {
        return 0;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return fail(user, errp, -EEXIST, "bind",
                    "a file is there that is not a socket");
    }
    if (unlink(user->path) < 0 && errno != ENOENT) {
        return fail_errno(user, errp, -errno, "unlink");
    }
    return 0;
}

int vh_user_listen(struct vhost_user *user, struct vhost_error **errp)
{
    struct sockaddr_un addr;
    int r = set_path(user, &addr, errp);

    if (r == 0) {
        r = remove_stale(user, errp);
    }
    if (r < 0) {
        return r;
    }
    user->listen_fd =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (user->listen_fd < 0) {
        return fail_errno(user, errp, -errno, "socket");
    }
    if (bind(user->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        r = fail_errno(user, errp, -errno, "bind");
        vh_fd_close(&user->listen_fd);
        return r;
    }
    if (stat(user->path, &user->bound) < 0 || listen(user->listen_fd, 1) < 0) {
        return fail_errno(user, errp, -errno, "listen");
    }
    return 0;
}
