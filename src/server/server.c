/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket that front ends connect to, and the rounds of work.
 *
 * One epoll fd joins the listening socket, the connection, the device's
 * completions, and the kick of each queue that runs.  While a front end is
 * served the listening socket is not looked at: others wait in its backlog.
 */
#include "server/server.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vhost/notifier.h>

#include "ring/layout.h"
#include "util/atomic.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"

#define EVENTS 32
#define BACKLOG 16
#define ROUNDS 64 /* in one dispatch, before control is looked at again */

#define BIT(n) (UINT64_C(1) << (n))
#define F_VERSION_1 32

void vh_server_log(const struct vhost_server *srv, const char *fmt, ...)
{
    char line[256];
    va_list args;

    if (!srv->options.log) {
        return;
    }
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    srv->options.log(line, srv->options.opaque);
}

uint64_t vh_server_features(const struct vhost_server *srv)
{
    uint64_t features = BIT(VH_RING_F_INDIRECT_DESC) |
                        BIT(VH_RING_F_EVENT_IDX) | BIT(F_VERSION_1) |
                        VH_F_PROTOCOL_FEATURES | srv->device->features;

    return features & ~srv->options.hide_features;
}

uint64_t vh_server_protocol_features(const struct vhost_server *srv)
{
    return (VH_PF(MQ) | VH_PF(REPLY_ACK) | VH_PF(CONFIG) |
            VH_PF(CONFIGURE_MEM_SLOTS) | VH_PF(STATUS)) &
           ~srv->options.hide_protocol_features;
}

int vh_server_watch(struct vhost_server *srv, int fd, enum vh_server_event kind,
                    unsigned queue)
{
    bool edges = kind == VH_EVENT_KICK || kind == VH_EVENT_DEVICE;
    struct epoll_event event = {
        .events = EPOLLIN | (edges ? (uint32_t)EPOLLET : 0),
        .data.u64 = (uint64_t)kind << 32 | queue,
    };

    return epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void vh_server_unwatch(struct vhost_server *srv, int fd)
{
    if (fd >= 0) {
        epoll_ctl(srv->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
}

void vh_server_stop_queues(struct vhost_server *srv)
{
    for (unsigned i = 0; i < srv->n_queues; i++) {
        vh_squeue_stop(&srv->queues[i]);
    }
}

/* --- the socket --------------------------------------------------------- */

/* Does somebody serve there?  Then it is not ours to replace. */
static int replace_stale(const struct sockaddr_un *addr,
                         struct vhost_error **errp)
{
    struct stat st;
    int fd, r;

    if (lstat(addr->sun_path, &st) < 0) {
        return 0;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return vh_error(errp, -EEXIST, "bind", VH_NO_QUEUE,
                        "%s: is there, and is not a socket", addr->sun_path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return vh_error(errp, -errno, "socket", VH_NO_QUEUE, "%s: %s",
                        addr->sun_path, strerror(errno));
    }
    r = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    r = r < 0 ? errno : 0;
    close(fd);
    if (r != ECONNREFUSED) {
        return vh_error(errp, -EADDRINUSE, "bind", VH_NO_QUEUE,
                        "%s: another back end serves there", addr->sun_path);
    }
    unlink(addr->sun_path);
    return 0;
}

static int bind_socket(struct vhost_server *srv, const char *path,
                       struct vhost_error **errp)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int r;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        return vh_error(errp, -ENAMETOOLONG, "bind", VH_NO_QUEUE,
                        "%s: a socket's path has at most %zu bytes", path,
                        sizeof(addr.sun_path) - 1);
    }
    memcpy(addr.sun_path, path, strlen(path));
    r = replace_stale(&addr, errp);
    if (r < 0) {
        return r;
    }
    srv->listen_fd =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    srv->path = strdup(path);
    if (srv->listen_fd < 0 || !srv->path ||
        bind(srv->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)) <
            0) {
        r = -errno;
        return vh_error(errp, r, "bind", VH_NO_QUEUE, "%s: %s", path,
                        strerror(-r));
    }
    if (lstat(path, &srv->bound) < 0 || listen(srv->listen_fd, BACKLOG) < 0) {
        r = -errno;
        return vh_error(errp, r, "listen", VH_NO_QUEUE, "%s: %s", path,
                        strerror(-r));
    }
    return vh_server_watch(srv, srv->listen_fd, VH_EVENT_LISTEN, 0);
}

static void unbind_socket(struct vhost_server *srv)
{
    struct stat st;

    if (srv->path && lstat(srv->path, &st) == 0 &&
        st.st_ino == srv->bound.st_ino && st.st_dev == srv->bound.st_dev) {
        unlink(srv->path);
    }
    vh_fd_close(&srv->listen_fd);
    free(srv->path);
}

static void accept_one(struct vhost_server *srv)
{
    int fd = accept4(srv->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0 && vh_session_begin(srv, fd) == 0) {
        vh_server_unwatch(srv, srv->listen_fd);
    }
}

/* --- making and freeing ------------------------------------------------- */

static int copy_options(struct vhost_server *srv,
                        const struct vhost_server_options *options)
{
    size_t size;

    if (options) {
        size = options->size ? options->size : sizeof(srv->options);
        memcpy(&srv->options, options,
               size < sizeof(srv->options) ? size : sizeof(srv->options));
    }
    return 0;
}

static int server_init(struct vhost_server *srv, struct vhost_error **errp)
{
    struct vhost_server_device *device = srv->device;
    int r = device->ops->open(device, errp);

    if (r < 0) {
        return r;
    }
    srv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    srv->queues = calloc(device->n_queues, sizeof(*srv->queues));
    if (srv->epoll_fd < 0 || !srv->queues) {
        return vh_error(errp, -ENOMEM, "epoll_create", VH_NO_QUEUE,
                        "%s: no room for its queues", device->what);
    }
    srv->n_queues = device->n_queues;
    for (unsigned i = 0; i < srv->n_queues; i++) {
        vh_squeue_init(&srv->queues[i], srv, i);
    }
    if (device->event_fd >= 0) {
        r = vh_server_watch(srv, device->event_fd, VH_EVENT_DEVICE, 0);
    }
    return r < 0 ? vh_error(errp, r, "epoll_ctl", VH_NO_QUEUE, "%s: %s",
                            device->what, strerror(-r))
                 : 0;
}

static struct vhost_server *server_new(struct vhost_server_device *device,
                                       const struct vhost_server_options *opts,
                                       struct vhost_error **errp)
{
    struct vhost_server *srv = device ? calloc(1, sizeof(*srv)) : NULL;

    if (!srv) {
        vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
        if (device) {
            device->ops->free(device);
        }
        return NULL;
    }
    srv->device = device;
    srv->epoll_fd = -1;
    srv->listen_fd = -1;
    copy_options(srv, opts);
    if (server_init(srv, errp) < 0) {
        vhost_server_free(srv);
        return NULL;
    }
    return srv;
}

struct vhost_server *
vhost_server_new(const char *path, struct vhost_server_device *device,
                 const struct vhost_server_options *options,
                 struct vhost_error **errp)
{
    struct vhost_server *srv = server_new(device, options, errp);

    if (srv && bind_socket(srv, path, errp) < 0) {
        vhost_server_free(srv);
        return NULL;
    }
    return srv;
}

struct vhost_server *
vhost_server_new_fd(int fd, struct vhost_server_device *device,
                    const struct vhost_server_options *options,
                    struct vhost_error **errp)
{
    struct vhost_server *srv = server_new(device, options, errp);
    int r;

    if (!srv) {
        vh_fd_close(&fd);
        return NULL;
    }
    r = vh_session_begin(srv, fd);
    if (r < 0) {
        vh_error(errp, r, "connect", VH_NO_QUEUE, "fd %d: %s", fd,
                 strerror(-r));
        vhost_server_free(srv);
        return NULL;
    }
    return srv;
}

void vhost_server_free(struct vhost_server *srv)
{
    if (!srv) {
        return;
    }
    vh_session_end(srv, "the server ends");
    unbind_socket(srv);
    srv->device->ops->free(srv->device);
    vh_fd_close(&srv->epoll_fd);
    free(srv->queues);
    free(srv);
}

/* --- rounds of work ----------------------------------------------------- */

/* Return: true if anything was done. */
static bool one_round(struct vhost_server *srv)
{
    struct vhost_server_device *device = srv->device;
    bool worked = false;

    for (unsigned i = 0; i < srv->n_queues; i++) {
        if (srv->queues[i].active) {
            worked |= vh_squeue_serve(&srv->queues[i]);
        }
    }
    if (worked) {
        device->ops->submit(device);
    }
    worked |= device->ops->reap(device, false) > 0;
    if (worked) {
        for (unsigned i = 0; i < srv->n_queues; i++) {
            vh_squeue_publish(&srv->queues[i]);
        }
    }
    return worked;
}

/* Return: true if every queue will ring when it has something. */
static bool may_sleep(struct vhost_server *srv)
{
    bool all = true;

    for (unsigned i = 0; i < srv->n_queues; i++) {
        all &= vh_squeue_may_sleep(&srv->queues[i]);
    }
    return all;
}

/* Looks for work without sleeping, for as long as the owner allows. */
static bool spin(struct vhost_server *srv)
{
    int64_t until = vh_clock_ns() + (int64_t)srv->options.poll_us * 1000;
    unsigned n = 0;

    while (++n % 64 != 0 || vh_clock_ns() < until) {
        if (one_round(srv)) {
            return true;
        }
        vh_cpu_relax();
    }
    return false;
}

static void work(struct vhost_server *srv)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (one_round(srv)) {
            continue;
        }
        if ((srv->options.poll_us == 0 || !spin(srv)) && may_sleep(srv)) {
            return;
        }
    }
}

static void on_kick(struct vhost_server *srv, unsigned queue)
{
    struct vh_squeue *q = &srv->queues[queue];

    if (q->ring && !q->ring->broken && !q->active) {
        vh_devring_disable_kick(q->ring);
        q->active = true;
    }
}

static void on_event(struct vhost_server *srv, uint64_t data)
{
    switch (data >> 32) {
    case VH_EVENT_LISTEN:
        accept_one(srv);
        break;
    case VH_EVENT_SESSION:
        if (srv->session.sock) {
            vh_session_dispatch(srv);
            if (!srv->session.sock && srv->listen_fd >= 0) {
                vh_server_watch(srv, srv->listen_fd, VH_EVENT_LISTEN, 0);
            }
        }
        break;
    case VH_EVENT_KICK:
        on_kick(srv, (unsigned)data);
        break;
    default:
        break; /* the round looks at the device in any case */
    }
}

static bool any_active(const struct vhost_server *srv)
{
    for (unsigned i = 0; i < srv->n_queues; i++) {
        if (srv->queues[i].active) {
            return true;
        }
    }
    return false;
}

/* Return: 1 there was work, 0 none, or a negative errno. */
static int wait_and_work(struct vhost_server *srv, int timeout_ms,
                         struct vhost_error **errp)
{
    struct epoll_event events[EVENTS];
    int n;

    if (srv->listen_fd < 0 && srv->served) {
        return vh_error(errp, -ENOTCONN, "run", VH_NO_QUEUE,
                        "the front end has gone");
    }
    n = epoll_wait(srv->epoll_fd, events, EVENTS,
                   any_active(srv) ? 0 : timeout_ms);
    if (n < 0 && errno != EINTR) {
        return vh_error(errp, -errno, "epoll_wait", VH_NO_QUEUE, "%s",
                        strerror(errno));
    }
    if (n <= 0 && !any_active(srv)) {
        return 0;
    }
    for (int i = 0; i < n; i++) {
        on_event(srv, events[i].data.u64);
    }
    work(srv);
    return 1;
}

int vhost_server_get_fd(const struct vhost_server *srv)
{
    return srv->epoll_fd;
}

int vhost_server_dispatch(struct vhost_server *srv, struct vhost_error **errp)
{
    int r = wait_and_work(srv, 0, errp);

    return r < 0 ? r : 0;
}

int vhost_server_run(struct vhost_server *srv, int timeout_ms,
                     struct vhost_error **errp)
{
    return wait_and_work(srv, timeout_ms, errp);
}
