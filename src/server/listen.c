/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The path of the socket.  Removed is only what nobody serves any more, or
 * what we made ourselves: its device and inode say so.
 */
#include "server/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fd.h"

#define BACKLOG 16

static int failed(struct vhost_error **errp, const char *operation,
                  const char *path)
{
    int code = -errno;

    return vh_error(errp, code, operation, VH_NO_QUEUE, "%s: %s", path,
                    strerror(-code));
}

static int new_socket(int *fdp)
{
    *fdp = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return *fdp < 0 ? -errno : 0;
}

/* Does somebody serve there?  Then it is not ours to replace. */
static int remove_stale(const struct sockaddr_un *addr,
                        struct vhost_error **errp)
{
    const char *path = addr->sun_path;
    struct stat st;
    int fd;
    int error;

    if (lstat(path, &st) < 0) {
        return errno == ENOENT ? 0 : failed(errp, "lstat", path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return vh_error(errp, -EEXIST, "bind", VH_NO_QUEUE,
                        "%s: is there, and is not a socket", path);
    }
    if (new_socket(&fd) < 0) {
        return failed(errp, "socket", path);
    }
    error = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0
                ? errno
                : 0;
    vh_fd_close(&fd);
    if (error != ECONNREFUSED) {
        return vh_error(errp, -EADDRINUSE, "bind", VH_NO_QUEUE,
                        "%s: another back end serves there", path);
    }
    return unlink(path) < 0 ? failed(errp, "unlink", path) : 0;
}

static int make_address(struct sockaddr_un *addr, const char *path,
                        struct vhost_error **errp)
{
    size_t len = strlen(path);

    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (len == 0) {
        return vh_error(errp, -EINVAL, "bind", VH_NO_QUEUE,
                        "the path of the socket is empty");
    }
    if (len >= sizeof(addr->sun_path)) {
        return vh_error(errp, -ENAMETOOLONG, "bind", VH_NO_QUEUE,
                        "%s: the path of a socket has at most %zu bytes", path,
                        sizeof(addr->sun_path) - 1);
    }
    memcpy(addr->sun_path, path, len);
    return 0;
}

int vh_server_bind(struct vhost_server *srv, const char *path,
                   struct vhost_error **errp)
{
    struct sockaddr_un addr;
    int r = make_address(&addr, path, errp);

    if (r == 0) {
        r = remove_stale(&addr, errp);
    }
    if (r < 0) {
        return r;
    }
    srv->path = strdup(path);
    if (!srv->path) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    if (new_socket(&srv->listen_fd) < 0) {
        return failed(errp, "socket", path);
    }
    if (bind(srv->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        return failed(errp, "bind", path);
    }
    if (lstat(path, &srv->bound) < 0 || listen(srv->listen_fd, BACKLOG) < 0) {
        return failed(errp, "listen", path);
    }
    r = vh_server_watch(srv, srv->listen_fd, VH_EVENT_LISTEN, 0);
    return r < 0 ? vh_error(errp, r, "epoll_ctl", VH_NO_QUEUE, "%s: %s", path,
                            strerror(-r))
                 : 0;
}

void vh_server_unbind(struct vhost_server *srv)
{
    struct stat st;

    if (srv->path && srv->bound.st_ino != 0 && lstat(srv->path, &st) == 0 &&
        st.st_ino == srv->bound.st_ino && st.st_dev == srv->bound.st_dev) {
        unlink(srv->path);
    }
    vh_fd_close(&srv->listen_fd);
    free(srv->path);
    srv->path = NULL;
}
