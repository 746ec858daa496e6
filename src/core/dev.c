/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking up a back end, and letting go of it; and what it says unasked.
 *
 * vhost_dev_init() asks for answers only where it can't go on without: the
 * messages for the queues are posted, and go out with the first call that
 * waits.  So 64 queues cost no more waiting than one.
 *
 * Everything that can make the owner's poll() return hangs on one epoll fd:
 * the channel of the back end and the error eventfd of each queue.
 */
#include "core/share.h"
#include "core/transfer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backend/ops.h"
#include "util/error.h"
#include "util/fd.h"

#define FROM_BACKEND UINT32_MAX /* in epoll's data; else: a queue */
#define FROM_CONFIG (UINT32_MAX - 1)
#define FROM_TIMER (UINT32_MAX - 2)
#define EVENTS 16

int vh_core_fault(struct vhost_dev *dev, int r)
{
    if (!vh_core_talks(dev)) {
        return r; /* the back end has said already */
    }
    if (dev->priv && dev->priv->renewing) {
        dev->priv->renewing = vh_be_is_connected(dev) && r != -ENOTCONN;
        return r;
    }
    if (r == -ENOTCONN || r == -ECONNRESET) {
        VH_WRITE_ONCE(dev->state, VHOST_DEV_LOST);
    } else if (r == -EPROTO) {
        VH_WRITE_ONCE(dev->state, VHOST_DEV_BROKEN);
    }
    return r;
}

int vh_core_silent(struct vhost_dev *dev, const char *operation)
{
    enum vhost_dev_state state = VH_READ_ONCE(dev->state);

    if (state == VHOST_DEV_LOST && dev->priv->reconnect.on) {
        return vh_be_fail(dev, -ENOTCONN, operation, VH_NO_QUEUE,
                          "the back end is gone, and is being looked for");
    }
    if (state == VHOST_DEV_LOST && dev->priv->reconnect.given_up) {
        return vh_be_fail(dev, -ENOTCONN, operation, VH_NO_QUEUE,
                          "the back end has not come back within %g s",
                          dev->priv->reconnect.how.total_ms / 1000.0);
    }
    if (state == VHOST_DEV_LOST) {
        return vh_be_fail(dev, -ENOTCONN, operation, VH_NO_QUEUE,
                          "the back end is gone: clean up and init again");
    }
    if (state != VHOST_DEV_BROKEN) {
        return 0;
    }
    return vh_be_fail(dev, -EPROTO, operation, VH_NO_QUEUE,
                      "the device is broken: clean up and init again");
}

static int choose_ops(struct vhost_dev *dev, VhostBackendType type)
{
    if (type != VHOST_BACKEND_TYPE_NONE) {
        dev->vhost_ops = vh_be_ops(type);
    } else if (!dev->vhost_ops) {
        return vh_be_fail(dev, -ENOTSUP, "init", VH_NO_QUEUE,
                          "a back end of no kind needs vhost_ops of the "
                          "caller's own");
    }
    if (!dev->vhost_ops) {
        return vh_be_fail(dev, -ENOTSUP, "init", VH_NO_QUEUE,
                          "there is no kind %d of back ends", (int)type);
    }
    return 0;
}

static int priv_new(struct vhost_dev *dev)
{
    struct vhost_dev_priv *priv = calloc(1, sizeof(*priv));

    if (!priv) {
        return vh_be_fail(dev, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    dev->priv = priv;
    dev->upcalls = &vh_core_upcalls;
    priv->dev = dev;
    priv->epoll_fd = -1;
    priv->timer_fd = -1;
    priv->reconnect.return_fd = -1;
    priv->config_news.fd = -1;
    pthread_mutex_init(&priv->masking, NULL);
    pthread_mutex_init(&priv->calling, NULL);
    pthread_mutex_init(&priv->sharing, NULL);
    priv->states = calloc(dev->nvqs, sizeof(*priv->states));
    priv->results = calloc(dev->nvqs, sizeof(*priv->results));
    if (!priv->states || !priv->results ||
        vh_core_host_notifiers_new(dev) < 0) {
        return vh_be_fail(dev, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    priv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (priv->epoll_fd < 0) {
        return vh_be_fail(dev, -errno, "epoll_create", VH_NO_QUEUE,
                          "no epoll fd: %s", strerror(errno));
    }
    return 0;
}

static void priv_free(struct vhost_dev_priv *priv)
{
    if (!priv) {
        return;
    }
    vh_fd_close(&priv->timer_fd);
    vh_fd_close(&priv->epoll_fd);
    vhost_notifier_cleanup(&priv->config_news);
    pthread_mutex_destroy(&priv->sharing);
    pthread_mutex_destroy(&priv->calling);
    pthread_mutex_destroy(&priv->masking);
    free(priv->host_notifiers);
    free(priv->states);
    free(priv->results);
    free(priv);
}

int vh_core_watch(struct vhost_dev *dev, int fd, uint32_t what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = what };

    if (fd < 0 ||
        epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
        errno == EEXIST) {
        return 0;
    }
    return vh_be_fail(dev, -errno, "epoll_ctl", VH_NO_QUEUE,
                      "fd %d can't be watched: %s", fd, strerror(errno));
}

int vh_core_watch_backend(struct vhost_dev *dev)
{
    int r = vh_core_watch(dev, vh_be_get_fd(dev), FROM_BACKEND);

    return r < 0 ? r
                 : vh_core_watch(dev, vh_be_get_request_fd(dev), FROM_BACKEND);
}

/* A dead fd must not keep its loop spinning. */
void vh_core_unwatch_backend(struct vhost_dev *dev)
{
    epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_DEL, vh_be_get_fd(dev), NULL);
    epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_DEL, vh_be_get_request_fd(dev),
              NULL);
}

/* Devices have queues beyond those that MQ counts: so nvqs is no measure. */
static int check_queues(struct vhost_dev *dev)
{
    if (dev->max_queues != 0 && (uint64_t)dev->num_queues > dev->max_queues) {
        return vh_be_fail(dev, -EINVAL, "init", VH_NO_QUEUE,
                          "the back end has %llu %s, %d are needed",
                          (unsigned long long)dev->max_queues,
                          dev->max_queues == 1 ? "queue" : "queues",
                          dev->num_queues);
    }
    return 0;
}

static int queues_init(struct vhost_dev *dev, uint32_t busyloop_timeout)
{
    struct vhost_dev_priv *priv = dev->priv;
    int r = 0;

    for (unsigned i = 0; i < dev->nvqs && r == 0; i++) {
        r = vh_queue_up(dev, i);
        if (r == 0) {
            priv->n_ready++;
            r = vh_core_watch(dev, dev->vqs[i].error_notifier.fd, i);
        }
    }
    for (unsigned i = 0; i < dev->nvqs && r == 0 && busyloop_timeout; i++) {
        r = vh_be_set_vring_busyloop_timeout(dev, (unsigned)dev->vq_index + i,
                                             busyloop_timeout);
    }
    return r;
}

static int watch_config(struct vhost_dev *dev)
{
    int r = vhost_notifier_init(&dev->priv->config_news, false);

    if (r < 0) {
        return vh_be_fail(dev, r, "eventfd", VH_NO_QUEUE,
                          "no eventfd for the configuration: %s", strerror(-r));
    }
    return vh_core_watch(dev, dev->priv->config_news.fd, FROM_CONFIG);
}

static int watch_timer(struct vhost_dev *dev)
{
    struct vhost_dev_priv *priv = dev->priv;

    priv->timer_fd =
        timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (priv->timer_fd < 0) {
        return vh_be_fail(dev, -errno, "timerfd_create", VH_NO_QUEUE,
                          "no timer: %s", strerror(errno));
    }
    return vh_core_watch(dev, priv->timer_fd, FROM_TIMER);
}

/* What a back end that has been taken up needs to become a device. */
static int device_init(struct vhost_dev *dev, uint32_t busyloop_timeout)
{
    int r = vh_be_set_owner(dev);

    if (r == 0) {
        r = vh_be_get_features(dev, dev->features_array);
    }
    if (r == 0) {
        r = check_queues(dev);
    }
    if (r == 0) {
        r = queues_init(dev, busyloop_timeout);
    }
    if (r == 0) {
        r = vh_core_watch_backend(dev);
    }
    if (r == 0) {
        r = watch_config(dev);
    }
    if (r == 0) {
        r = watch_timer(dev);
    }
    if (r == 0) {
        r = vh_core_memory_attach(dev);
    }
    return r;
}

/* Takes down what stands, however far it came. */
static void device_down(struct vhost_dev *dev)
{
    if (dev->priv) {
        vh_core_memory_detach(dev);
        vh_be_cleanup(dev);
        /* After the channel: what it had not sent yet may carry these fds. */
        while (dev->priv->n_ready > 0) {
            vh_queue_down(dev, --dev->priv->n_ready);
        }
        vh_core_shmem_free(dev);
        vh_core_transfer_free(dev); /* an answer may have been due */
    }
    priv_free(dev->priv);
    vhost_error_free(dev->error);
}

/* A failed init leaves what the caller had set, so that it can try again. */
static void undo_init(struct vhost_dev *dev, const struct vhost_dev *before)
{
    device_down(dev);
    *dev = *before;
}

int vhost_dev_init(struct vhost_dev *hdev, void *opaque,
                   VhostBackendType backend_type, uint32_t busyloop_timeout,
                   struct vhost_error **errp)
{
    const struct vhost_dev before = *hdev;
    int r;

    assert(hdev->vqs && hdev->nvqs > 0 && hdev->vq_index >= 0);
    assert(!hdev->priv && !hdev->error);
    r = choose_ops(hdev, backend_type);
    if (r < 0) {
        vh_error_move(errp, &hdev->error);
        return r;
    }
    r = priv_new(hdev);
    if (r == 0) {
        r = vh_be_init(hdev, opaque);
    } else {
        priv_free(hdev->priv); /* the back end has not been touched */
        hdev->priv = NULL;
    }
    if (r == 0) {
        r = device_init(hdev, busyloop_timeout);
    }
    if (r < 0) {
        vh_error_move(errp, &hdev->error);
        undo_init(hdev, &before);
        return r;
    }
    hdev->state = VHOST_DEV_IDLE;
    return 0;
}

void vhost_dev_cleanup(struct vhost_dev *hdev)
{
    if (hdev->priv) {
        vh_core_op_drop(hdev);
    }
    assert(!hdev->started);
    device_down(hdev);
    memset(hdev, 0, sizeof(*hdev));
}

const struct vhost_error *vhost_dev_get_error(const struct vhost_dev *hdev)
{
    /* What a thread that masks has put there is whole. */
    return vh_load_acquire(&hdev->error);
}

int vhost_dev_get_fd(struct vhost_dev *hdev)
{
    return hdev->priv->epoll_fd;
}

/* Tells the owner, once. */
static void tell_lost(struct vhost_dev *dev)
{
    const struct vhost_vdev_ops *ops = dev->vdev ? dev->vdev->ops : NULL;

    if (dev->priv->told) {
        return;
    }
    dev->priv->told = true;
    vh_core_unwatch_backend(dev);
    if (ops && ops->lost) {
        ops->lost(dev->vdev, vhost_error_message(vhost_dev_get_error(dev)));
    }
}

static int from_backend(struct vhost_dev *dev)
{
    return vh_core_fault(dev, vh_be_dispatch(dev));
}

static void from_queue(struct vhost_dev *dev, unsigned i)
{
    const struct vhost_vdev_ops *ops = dev->vdev ? dev->vdev->ops : NULL;

    if (vhost_notifier_test_and_clear(&dev->vqs[i].error_notifier) && ops &&
        ops->vring_error) {
        ops->vring_error(dev->vdev, (unsigned)dev->vq_index + i);
    }
}

static void tell_config(struct vhost_dev *dev)
{
    const VhostDevConfigOps *ops = dev->config_ops;

    if (vhost_notifier_test_and_clear(&dev->priv->config_news) && ops &&
        ops->vhost_dev_config_notifier) {
        ops->vhost_dev_config_notifier(dev);
    }
}

static int from_anywhere(struct vhost_dev *dev, uint32_t what)
{
    int r;

    switch (what) {
    case FROM_BACKEND:
        return from_backend(dev);
    case FROM_CONFIG:
    case VH_CORE_TRANSFER:
        return 0; /* is looked at in any case */
    case VH_CORE_RETURN:
        vh_core_reconnect_soon(dev);
        return 0;
    case FROM_TIMER:
        /* Whatever is late is looked at in any case too. */
        (void)!read(dev->priv->timer_fd, &(uint64_t){ 0 }, sizeof(uint64_t));
        return 0;
    default:
        break;
    }
    if (what < VH_CORE_KICK) {
        from_queue(dev, what);
        return 0;
    }
    r = vh_core_kick(dev, what - VH_CORE_KICK);
    return r < 0 ? r : from_backend(dev); /* which sends it */
}

/* Nobody is there to be asked, and the owner knows. */
static bool is_known(const struct vhost_dev *dev)
{
    const struct vh_reconnect *re = &dev->priv->reconnect;

    return (re->on && dev->priv->told) || re->given_up;
}

int vhost_dev_dispatch(struct vhost_dev *hdev)
{
    struct epoll_event events[EVENTS];
    int n, r = 0;

    vh_core_forget_error(hdev);
    n = epoll_wait(hdev->priv->epoll_fd, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        int one = from_anywhere(hdev, events[i].data.u32);

        r = r < 0 ? r : one;
    }
    tell_config(hdev); /* of what was noted just now, or earlier */
    if (r == 0 && !vh_core_talks(hdev) && !is_known(hdev)) {
        /* Another call found out; whoever talks to the back end knows why. */
        r = vh_be_dispatch(hdev);
        r = r < 0 ? r : vh_core_silent(hdev, "dispatch");
    }
    vh_core_op_dispatch(hdev);
    if (!vh_core_talks(hdev)) {
        tell_lost(hdev);
    }
    vh_core_reconnect_dispatch(hdev);
    if (hdev->priv->reconnect.on && hdev->state != VHOST_DEV_BROKEN) {
        return 0;
    }
    return hdev->priv->reconnect.given_up ? vh_core_silent(hdev, "dispatch")
                                          : r;
}
