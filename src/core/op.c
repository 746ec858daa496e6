/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations that never wait, and those that do.
 *
 * An operation is a function that goes on as far as it goes.  It posts, and
 * calls vh_core_settle() where it needs the answers: in the waiting form that
 * waits; in the other it says -EINPROGRESS, the function returns, and it is
 * called again by dispatch once something has come.  So there is one start
 * and one stop, and the waiting ones are those with a wait around them.
 *
 * What wakes the owner's loop is the back end's fd; and for deadlines, and
 * where a back end is slow to read, a timer on the same epoll fd.
 */
#include "core/core.h"

#include <errno.h>
#include <sys/timerfd.h>

#include "backend/ops.h"
#include "util/error.h"

int vh_core_busy(struct vhost_dev *dev, const char *operation)
{
    if (!dev->priv->op.move) {
        return 0;
    }
    return vh_be_fail(dev, -EBUSY, operation, VH_NO_QUEUE,
                      "%s: another operation is under way: wait for its end, "
                      "or cancel it",
                      operation);
}

void vh_core_wake_in(struct vhost_dev *dev, unsigned ms)
{
    const struct itimerspec in = {
        .it_value = { .tv_sec = ms / 1000,
                      /* all 0 would be: never */
                      .tv_nsec = (long)(ms % 1000) * 1000000 + 1 },
    };

    timerfd_settime(dev->priv->timer_fd, 0, &in, NULL);
}

int vh_core_settle(struct vhost_dev *dev)
{
    int r;

    if (!dev->priv->op.later) {
        return vh_be_sync(dev);
    }
    r = vh_be_try_sync(dev);
    if (r == -EINPROGRESS) {
        vh_core_wake_in(dev, vh_be_get_timeout(dev));
    }
    return r;
}

/* Which may wait, and so has come to its end. */
static int end_run(struct vhost_dev *dev, int r)
{
    dev->priv->op.move = NULL;
    return r;
}

int vh_core_op_run(struct vhost_dev *dev, vh_core_move_fn *move)
{
    dev->priv->op = (struct vh_core_op){ .move = move };
    return end_run(dev, move(dev));
}

/*
 * Words are lost with the next call for the device, and an operation that
 * fails may have many before its end: so those of the failure are kept.
 */
static void move_on(struct vhost_dev *dev)
{
    struct vh_core_op *op = &dev->priv->op;

    op->result = op->move(dev);
    if (!op->error && dev->error) {
        vh_error_copy(&op->error, vhost_dev_get_error(dev));
    }
}

void vh_core_op_nudge(struct vhost_dev *dev)
{
    if (VH_READ_ONCE(dev->priv->op_later)) {
        vh_core_wake_in(dev, 0);
    }
}

void vh_core_forget_error(struct vhost_dev *dev)
{
    vhost_error_free(__atomic_exchange_n(&dev->error, NULL, __ATOMIC_ACQ_REL));
}

void vh_core_enter(struct vhost_dev *dev)
{
    vh_core_forget_error(dev);
    vh_core_op_nudge(dev);
}

/* First nothing is under way, since done() may begin the next. */
static void finish(struct vhost_dev *dev)
{
    struct vh_core_op op = dev->priv->op;
    int r = op.cancelled ? -ECANCELED : op.result;

    dev->priv->op = (struct vh_core_op){ .move = NULL };
    VH_WRITE_ONCE(dev->priv->op_later, false);
    vh_core_forget_error(dev);
    if (r == -ECANCELED) {
        vh_error_clear(&op.error);
        vh_be_fail(dev, r, "cancel", VH_NO_QUEUE, "cancelled by its owner");
    }
    if (r < 0) {
        vh_be_take_error(dev, &op.error);
    }
    vh_error_clear(&op.error);
    op.done(dev, r, op.opaque);
}

void vh_core_op_begin(struct vhost_dev *dev, vh_core_move_fn *move,
                      vhost_dev_done_fn *done, void *opaque)
{
    struct vh_core_op *op = &dev->priv->op;

    *op = (struct vh_core_op){
        .move = move, .later = true, .done = done, .opaque = opaque
    };
    VH_WRITE_ONCE(dev->priv->op_later, true);
    move_on(dev);
    if (op->result != -EINPROGRESS) {
        op->ended = true; /* told by dispatch, as all the others */
        vh_core_wake_in(dev, 0);
    }
}

void vh_core_op_dispatch(struct vhost_dev *dev)
{
    struct vh_core_op *op = &dev->priv->op;

    if (!op->move) {
        return;
    }
    if (!op->ended) {
        move_on(dev);
    }
    if (op->result != -EINPROGRESS) {
        finish(dev);
    }
}

void vh_core_op_drop(struct vhost_dev *dev)
{
    struct vh_core_op *op = &dev->priv->op;

    if (!op->move) {
        return;
    }
    op->cancelled = true;
    /* A start that came to its end, and nobody knows, is to be taken back. */
    op->ended = op->ended && !dev->started;
    vh_core_fault(dev, -ENOTCONN); /* nothing is asked and waited for now */
    while (!op->ended) {
        move_on(dev);
        op->ended = op->result != -EINPROGRESS;
    }
    finish(dev);
}

int vhost_dev_cancel(struct vhost_dev *hdev)
{
    struct vh_core_op *op = &hdev->priv->op;

    if (!op->move) {
        return -ENOENT;
    }
    if (op->cancelled || op->ended) {
        return -EALREADY;
    }
    op->cancelled = true;
    vh_core_wake_in(hdev, 0);
    return 0;
}
