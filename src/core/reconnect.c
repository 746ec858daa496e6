/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reconnect: one machine for every kind of device.
 *
 * All of it runs from dispatch, and nothing of it waits: a back end that is
 * taken up and then hangs is one more that is lost, when its deadline passes.
 *
 * To its owner a device that was started stays started.  Inside it is taken
 * down as by a stop, but that nobody is asked: where a split ring stood is
 * read from its used index.  Its restart is the ladder of an ordinary start,
 * from whatever memory, log and masks are by then; so a change in the middle
 * needs nothing of its own.
 *
 * While it is restarted the device is spoken to although it is LOST: that is
 * dev->priv->renewing.
 */
#include "core/core.h"

#include <errno.h>
#include <sys/epoll.h>

#include "backend/ops.h"
#include "util/clock.h"
#include "util/error.h"

#define FIRST_MS 10
#define MAX_MS 1000
#define EAGER_MS 1 /* it was seen to bind, and will listen in a moment */

static const char *reason(const struct vhost_dev *dev)
{
    const struct vhost_error *error = vhost_dev_get_error(dev);

    return error ? vhost_error_message(error) : "unknown";
}

static void unwatch_return(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    if (re->return_fd >= 0) {
        epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_DEL, re->return_fd, NULL);
        re->return_fd = -1;
    }
}

/* Without it there are still the attempts by time. */
static void watch_return(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;
    int fd = vh_be_get_return_fd(dev);

    if (fd >= 0 && vh_core_watch(dev, fd, VH_CORE_RETURN) == 0) {
        re->return_fd = fd;
    }
}

static void try_at(struct vhost_dev *dev, unsigned ms)
{
    dev->priv->reconnect.next = vh_deadline_in(ms);
    vh_core_wake_in(dev, ms);
}

/* Nobody is there, or nobody of use. */
static void try_later(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    dev->priv->renewing = false;
    re->phase = VH_RECONNECT_LOOKING;
    if (re->return_fd < 0) {
        watch_return(dev);
    }
    try_at(dev, re->delay_ms);
    re->delay_ms =
        re->delay_ms * 2 < re->how.max_ms ? re->delay_ms * 2 : re->how.max_ms;
}

static void attempt_failed(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    vh_core_unwatch_backend(dev);
    dev->state = VHOST_DEV_LOST; /* not broken: another may come */
    if (re->how.failed) {
        re->how.failed(dev, reason(dev), re->how.opaque);
    }
    try_later(dev);
}

void vh_core_reconnect_soon(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    if (re->phase == VH_RECONNECT_LOOKING) {
        re->next = 0;
        re->delay_ms = EAGER_MS;
    }
}

/* Down as by a stop, without a word to anybody. */
static void take_down(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    vh_core_ladder_down(dev);
    re->delay_ms = re->how.first_ms;
    re->next = 0;
    re->give_up = re->how.total_ms == VHOST_RECONNECT_FOREVER
                      ? vh_deadline_in(-1)
                      : vh_deadline_in(re->how.total_ms);
    re->phase = VH_RECONNECT_LOOKING;
}

static void give_up(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    unwatch_return(dev);
    re->phase = VH_RECONNECT_OFF;
    re->on = false;
    re->given_up = true;
    vh_core_enter(dev);
    vh_core_silent(dev, "reconnect");
    if (re->how.given_up) {
        re->how.given_up(dev, reason(dev), re->how.opaque);
    }
}

static void look(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;
    int r;

    if (!vh_deadline_passed(re->next)) {
        vh_core_wake_in(dev, (unsigned)vh_deadline_left_ms(re->next));
        return;
    }
    if (vh_deadline_passed(re->give_up)) {
        give_up(dev);
        return;
    }
    vh_core_enter(dev);
    r = vh_be_reconnect(dev, true);
    if (r == 0 || r == -EINPROGRESS) {
        re->phase = VH_RECONNECT_TALKING;
        unwatch_return(dev); /* another one that comes is to wait */
        r = vh_core_watch_backend(dev);
        if (r < 0) {
            attempt_failed(dev);
        }
        vh_core_wake_in(dev, vh_be_get_timeout(dev));
    } else {
        try_later(dev); /* there is nobody: nothing to tell */
    }
}

static void talk(struct vhost_dev *dev)
{
    int r = vh_be_reconnect(dev, false);

    if (r == -EINPROGRESS) {
        vh_core_wake_in(dev, vh_be_get_timeout(dev));
        return;
    }
    if (r == 0) {
        dev->priv->renewing = true;
        /* The second channel is part of what was agreed on. */
        r = vh_core_watch_backend(dev);
    }
    if (r == 0) {
        r = vh_core_queues_again(dev);
    }
    if (r < 0) {
        attempt_failed(dev);
        return;
    }
    dev->priv->reconnect.phase = VH_RECONNECT_MAKING_READY;
}

static void resumed(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    unwatch_return(dev);
    re->phase = VH_RECONNECT_OFF;
    dev->priv->renewing = false;
    dev->priv->told = false;
    dev->state = dev->started ? VHOST_DEV_STARTED : VHOST_DEV_IDLE;
    if (re->how.resumed) {
        re->how.resumed(dev, re->how.opaque);
    }
}

static void restarted(struct vhost_dev *dev, int result, void *opaque)
{
    (void)opaque;
    if (result == -ECANCELED) {
        return; /* by break_off(), which goes on itself */
    }
    if (result < 0) {
        attempt_failed(dev);
    } else {
        resumed(dev);
    }
}

static void make_ready(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;
    int r = re->how.ready ? re->how.ready(dev, re->how.opaque) : 0;

    if (r == -EAGAIN && vh_be_is_connected(dev)) {
        vh_core_wake_in(dev, EAGER_MS);
    } else if (r < 0) {
        vh_be_fail(dev, r, "reconnect", VH_NO_QUEUE,
                   "the owner of the device can't go on with it");
        attempt_failed(dev);
    } else if (!dev->started) {
        resumed(dev);
    } else {
        re->phase = VH_RECONNECT_RESTARTING;
        vh_core_restart(dev, restarted);
    }
}

void vh_core_reconnect_break_off(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    if (re->phase == VH_RECONNECT_RESTARTING) {
        re->phase = VH_RECONNECT_LOOKING; /* before it is told of an end */
        vh_core_op_drop(dev);
        vh_core_unwatch_backend(dev);
        try_later(dev);
    }
}

/* Nobody is told: the owner knows, or does not want to. */
static void stop_looking(struct vhost_dev *dev)
{
    unwatch_return(dev);
    vh_core_unwatch_backend(dev);
    dev->priv->renewing = false;
    dev->priv->reconnect.phase = VH_RECONNECT_OFF;
}

int vhost_dev_set_reconnect(struct vhost_dev *hdev,
                            const struct vhost_reconnect *how)
{
    struct vh_reconnect *re = &hdev->priv->reconnect;

    vh_core_enter(hdev);
    if (how && !vh_be_can_reconnect(hdev)) {
        return vh_be_fail(hdev, -ENOTSUP, "reconnect", VH_NO_QUEUE,
                          "a back end of this kind does not come back");
    }
    if (!how && re->phase != VH_RECONNECT_OFF) {
        vh_core_reconnect_break_off(hdev);
        stop_looking(hdev);
    }
    re->on = how != NULL;
    re->given_up = false;
    if (how) {
        re->how = *how;
        re->how.first_ms = how->first_ms ? how->first_ms : FIRST_MS;
        re->how.max_ms = how->max_ms ? how->max_ms : MAX_MS;
    }
    return 0;
}

void vh_core_reconnect_dispatch(struct vhost_dev *dev)
{
    struct vh_reconnect *re = &dev->priv->reconnect;

    if (re->phase == VH_RECONNECT_OFF) {
        if (dev->state != VHOST_DEV_LOST || !re->on || dev->priv->op.move) {
            return; /* what is under way comes to its end first */
        }
        take_down(dev);
    }
    if (re->phase == VH_RECONNECT_LOOKING) {
        look(dev);
    }
    if (re->phase == VH_RECONNECT_TALKING) {
        talk(dev);
    }
    if (re->phase == VH_RECONNECT_MAKING_READY) {
        make_ready(dev);
    }
}
