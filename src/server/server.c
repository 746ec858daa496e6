/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making and freeing a server.
 *
 * One epoll fd joins the listening socket, the connection, the device's
 * completions, and the kick of each queue that runs.  While a front end is
 * served the listening socket is not looked at: others wait in its backlog.
 */
#include "server/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <linux/vhost_types.h>

#include "ring/layout.h"
#include "util/error.h"
#include "util/fd.h"

#define BIT(n) (UINT64_C(1) << (n))
#define F_VERSION_1 32
#define F_ACCESS_PLATFORM 33

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
                        BIT(VHOST_F_LOG_ALL) |
                        BIT(VH_RING_F_PACKED) | BIT(VH_RING_F_IN_ORDER) |
                        VH_F_PROTOCOL_FEATURES | srv->device->features;

    /* Whoever can't ask can't translate. */
    if (!(~vh_server_protocol_features(srv) &
          (VH_PF(BACKEND_REQ) | VH_PF(REPLY_ACK)))) {
        features |= srv->options.offer_features & BIT(F_ACCESS_PLATFORM);
    }
    return features & ~srv->options.hide_features;
}

/* clang-format off */
#define IMPLEMENTED (0 \
    | VH_PF(MQ) \
    | VH_PF(LOG_SHMFD) \
    | VH_PF(REPLY_ACK) \
    | VH_PF(BACKEND_REQ) \
    | VH_PF(PAGEFAULT) \
    | VH_PF(CONFIG) \
    | VH_PF(CONFIGURE_MEM_SLOTS) \
    | VH_PF(STATUS) \
    | VH_PF(RESET_DEVICE) \
    | VH_PF(DEVICE_STATE) \
    | VH_PF(GPA_ADDRESSES))

#define ON_REQUEST VH_PF(INBAND_NOTIFICATIONS)
/* clang-format on */

uint64_t vh_server_protocol_features(const struct vhost_server *srv)
{
    return vh_protocol_features_usable(
        (IMPLEMENTED | srv->device->protocol |
         (ON_REQUEST & srv->options.offer_protocol_features)) &
        ~srv->options.hide_protocol_features);
}

int vh_server_watch(struct vhost_server *srv, int fd, enum vh_server_event kind,
                    unsigned queue)
{
    bool edges = kind == VH_EVENT_KICK || kind == VH_EVENT_INPUT ||
                 kind == VH_EVENT_DEVICE;
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

void vh_server_restart_queues(struct vhost_server *srv)
{
    for (unsigned i = 0; i < srv->n_queues; i++) {
        int r = vh_squeue_start(&srv->queues[i]);

        if (r < 0) {
            vh_server_log(srv, "queue %u can't run: %s", i,
                          srv->session.why ? srv->session.why : strerror(-r));
        }
    }
    srv->session.why = NULL;
}

void vh_server_reset_device(struct vhost_server *srv)
{
    srv->transfer.loaded = false;
    if (srv->device->ops->reset) {
        srv->device->ops->reset(srv->device);
    }
}

void vh_server_unkick_queues(struct vhost_server *srv)
{
    for (unsigned i = 0; i < srv->n_queues; i++) {
        vh_squeue_unkick(&srv->queues[i]);
    }
    vh_server_reset_device(srv);
}

static void copy_options(struct vhost_server *srv,
                         const struct vhost_server_options *options)
{
    size_t size;

    if (options) {
        size = options->size ? options->size : sizeof(srv->options);
        memcpy(&srv->options, options,
               size < sizeof(srv->options) ? size : sizeof(srv->options));
    }
}

/* The list is the caller's: it is looked at no more after this. */
static int take_faults(struct vhost_server *srv, struct vhost_error **errp)
{
    int r = vh_faults_copy(&srv->faults, srv->options.faults,
                           srv->options.n_faults, errp);

    srv->options.faults = NULL;
    return r;
}

static int make_fds(struct vhost_server *srv)
{
    srv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    srv->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (srv->epoll_fd < 0 || srv->again_fd < 0) {
        return -errno;
    }
    return vh_server_watch(srv, srv->again_fd, VH_EVENT_AGAIN, 0);
}

static int watch_device(struct vhost_server *srv)
{
    struct vhost_server_device *device = srv->device;
    int r = 0;

    if (device->event_fd >= 0) {
        r = vh_server_watch(srv, device->event_fd, VH_EVENT_DEVICE, 0);
    }
    for (unsigned i = 0; device->input && r == 0 && i < srv->n_queues; i++) {
        int fd = device->input->fd(device, i);

        if (fd >= 0) {
            r = vh_server_watch(srv, fd, VH_EVENT_INPUT, i);
        }
    }
    return r;
}

static int server_init(struct vhost_server *srv, struct vhost_error **errp)
{
    struct vhost_server_device *device = srv->device;
    int r = device->ops->open(device, errp);

    if (r < 0) {
        return r;
    }
    srv->queues = calloc(device->n_queues, sizeof(*srv->queues));
    if (!srv->queues) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    srv->n_queues = device->n_queues;
    for (unsigned i = 0; i < srv->n_queues; i++) {
        vh_squeue_init(&srv->queues[i], srv, i);
    }
    r = make_fds(srv);
    if (r == 0) {
        r = watch_device(srv);
    }
    return r < 0 ? vh_error(errp, r, "epoll_create", VH_NO_QUEUE,
                            "can't make the server's fds: %s", strerror(-r))
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
    srv->again_fd = -1;
    srv->listen_fd = -1;
    srv->log_bell.fd = -1;
    srv->inflight.made = VH_SHM_NULL;
    srv->postcopy.uffd = -1;
    srv->iommu.timer_fd = -1;
    copy_options(srv, opts);
    if (take_faults(srv, errp) < 0 || server_init(srv, errp) < 0) {
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

    if (srv && vh_server_bind(srv, path, errp) < 0) {
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
        vh_error(errp, r, "epoll_ctl", VH_NO_QUEUE,
                 "the fd can't be served: %s", strerror(-r));
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
    vh_server_unbind(srv);
    srv->device->ops->free(srv->device);
    vh_fd_close(&srv->again_fd);
    vh_fd_close(&srv->epoll_fd);
    free(srv->queues);
    vh_faults_free(&srv->faults);
    free(srv);
}

int vhost_server_get_fd(const struct vhost_server *srv)
{
    return srv->epoll_fd;
}
