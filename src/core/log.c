/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log, as one device has part in it.
 *
 * The map says when the log is on, and which it is.  A device that is not
 * started only remembers that it is on; then its start hands over the log
 * before any ring, asks for VHOST_F_LOG_ALL, and for the used rings too, so
 * that the first byte is logged.  One that runs is switched over: the log,
 * the feature, each ring again; if one of these is refused, back again.
 *
 * A back end that was told of a log may write there until it is told of
 * another, or stands still.  One that does not answer may do so for ever: its
 * device holds what it was told of until its next start or its cleanup, and
 * the map goes on reading it.
 */
#include "core/log.h"

#include <errno.h>

#include "backend/ops.h"
#include "util/error.h"

static struct vhost_dev *device_of(struct vh_mem_listener *listener)
{
    struct vhost_dev_priv *priv =
        (struct vhost_dev_priv *)((char *)listener -
                                  offsetof(struct vhost_dev_priv, listener));

    return priv->dev;
}

const char *vhost_dev_migration_blocker(const struct vhost_dev *dev)
{
    if (!(dev->features & VH_F_LOG_ALL)) {
        return "its back end does not offer VHOST_F_LOG_ALL";
    }
    if (!vh_be_has_log(dev)) {
        return "this kind of back end has no dirty log";
    }
    if (dev->vhost_ops->backend_type == VHOST_BACKEND_TYPE_USER &&
        !vh_be_requires_shm_log((struct vhost_dev *)dev)) {
        return "its back end does not offer VHOST_USER_PROTOCOL_F_LOG_SHMFD";
    }
    return NULL;
}

/* What the back end was told of last is @log. */
static void adopt(struct vhost_dev *dev, struct vhost_log *log)
{
    dev->log = log;
    dev->log_size = log ? log->size : 0;
}

void vh_core_log_release(struct vhost_dev *dev)
{
    vh_memory_map_log_put(dev->map, dev->priv->log_before);
    dev->priv->log_before = NULL;
    vh_memory_map_log_put(dev->map, dev->log);
    adopt(dev, NULL);
}

/* After words with a back end that went wrong: is it still to be trusted to
 * write to nothing else than it did before? */
static bool answers(struct vhost_dev *dev, int r)
{
    vh_core_fault(dev, r);
    return vh_core_talks(dev);
}

static int post_log(struct vhost_dev *dev, struct vhost_log *log)
{
    return vh_be_set_log_base(dev, (uint64_t)(uintptr_t)log->log, log);
}

static int post_features(struct vhost_dev *dev)
{
    uint64_t features[VHOST_FEATURES_WORDS];

    vh_core_features(dev, features);
    return vh_be_set_features(dev, features);
}

static int post_rings(struct vhost_dev *dev)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < dev->nvqs; i++) {
        if (dev->vqs[i].started) {
            r = vh_queue_post_addr(dev, &dev->vqs[i],
                                   (unsigned)dev->vq_index + i);
        }
    }
    return r;
}

/* Features and rings as dev->log_enabled has them. */
static int post_settings(struct vhost_dev *dev)
{
    int r = post_features(dev);

    return r < 0 ? r : post_rings(dev);
}

int vh_core_log_up(struct vhost_dev *dev)
{
    const char *blocker;
    int r;

    if (!dev->log_enabled) {
        return 0;
    }
    blocker = vhost_dev_migration_blocker(dev);
    if (blocker) {
        return vh_be_fail(dev, -ENOTSUP, "dirty log", VH_NO_QUEUE,
                          "what the device writes has to be logged, but %s",
                          blocker);
    }
    vh_core_log_release(dev); /* of a connection that is no more */
    adopt(dev, vh_memory_map_log_get(dev->map));
    r = dev->log ? post_log(dev, dev->log) : 0;
    if (r < 0) {
        vh_core_log_release(dev); /* it has not been told */
    }
    return r;
}

void vh_core_log_down(struct vhost_dev *dev)
{
    if (vh_core_talks(dev)) {
        vh_core_log_release(dev);
    }
}

/* Posts what is to be said.  What could be posted before a failure is waited
 * for all the same, so that its refusal is not another call's. */
static void begin(struct vhost_dev *dev, bool on)
{
    struct vh_core_log_turn *turn = &dev->priv->log_turn;
    bool change = on && dev->log_enabled;

    *turn = (struct vh_core_log_turn){ .step = change ? VH_LOG_CHANGE
                                               : on   ? VH_LOG_ON
                                                      : VH_LOG_OFF };
    if (change) {
        turn->next = vh_memory_map_log_get(dev->map);
        turn->result = turn->next ? post_log(dev, turn->next) : 0;
        return;
    }
    dev->log_enabled = on;
    turn->result = on ? vh_core_log_up(dev) : 0;
    if (turn->result == 0) {
        turn->result = post_settings(dev);
    }
}

/* Another log than before. */
static int changed(struct vhost_dev *dev, int r)
{
    struct vhost_log *log = dev->priv->log_turn.next;

    if (!log) {
        return r;
    }
    if (r == 0) {
        vh_memory_map_log_put(dev->map, dev->log);
        adopt(dev, log);
    } else if (answers(dev, r)) {
        vh_memory_map_log_put(dev->map, log);
    } else {
        dev->priv->log_before = dev->log;
        adopt(dev, log);
    }
    return r;
}

/* What was posted has been answered.  Return: the result; or -EAGAIN: more has
 * been posted. */
static int answered(struct vhost_dev *dev, int r)
{
    struct vh_core_log_turn *turn = &dev->priv->log_turn;

    switch (turn->step) {
    case VH_LOG_CHANGE:
        return changed(dev, r);
    case VH_LOG_ON:
        if (r == 0) {
            return 0;
        }
        dev->log_enabled = false;
        if (answers(dev, r)) {
            turn->step = VH_LOG_BACK;
            turn->result = r;
            answers(dev, post_settings(dev));
            return -EAGAIN;
        }
        break;
    case VH_LOG_BACK:
        answers(dev, r);
        r = turn->result;
        break;
    default:
        answers(dev, r);
        break;
    }
    vh_core_log_down(dev);
    return r;
}

/* @settle: waits for what was posted, or says -EINPROGRESS */
static int go_on(struct vhost_dev *dev, int (*settle)(struct vhost_dev *dev))
{
    struct vh_core_log_turn *turn = &dev->priv->log_turn;
    int r;

    do {
        int settled = vh_core_talks(dev) ? settle(dev) : 0;

        if (settled == -EINPROGRESS) {
            return settled;
        }
        r = turn->step != VH_LOG_BACK && turn->result < 0 ? turn->result
                                                          : settled;
        r = answered(dev, r);
    } while (r == -EAGAIN);
    return r;
}

static int move_log(struct vhost_dev *dev)
{
    if (dev->priv->op.cancelled) {
        vh_core_fault(dev, -ENOTCONN); /* nobody is asked any more */
    }
    return go_on(dev, vh_core_settle);
}

static void log_done(struct vhost_dev *dev, int r, void *opaque)
{
    (void)opaque;
    if (r == -ECANCELED) {
        r = 0; /* it is lost: its successor is told what holds then */
    }
    vh_memory_map_log_told(dev->map, r,
                           r < 0 ? vhost_dev_get_error(dev) : NULL);
}

/* There is nobody to tell; but what nobody answers for may write unlogged. */
static int note(struct vhost_dev *dev, bool on)
{
    if (on && !dev->log_enabled && dev->started &&
        dev->state == VHOST_DEV_BROKEN) {
        return vh_core_silent(dev, "dirty log");
    }
    dev->log_enabled = on;
    return 0;
}

static int log_changed(struct vhost_dev *dev, bool on, bool later,
                       struct vhost_error **errp)
{
    int r = 0;

    vh_core_enter(dev);
    if (!(dev->started || vh_core_is_starting(dev)) || !vh_core_talks(dev)) {
        r = note(dev, on);
    } else if (on || dev->log_enabled) {
        begin(dev, on);
        if (later && !dev->priv->op.move) {
            vh_core_op_begin(dev, move_log, log_done, NULL);
            return -EINPROGRESS;
        }
        r = go_on(dev, vh_be_sync);
    }
    if (r < 0) {
        vh_core_start_fails(dev, r);
        vh_error_copy(errp, vhost_dev_get_error(dev));
    }
    return r;
}

int vh_core_log_changed(struct vh_mem_listener *listener, bool on,
                        struct vhost_error **errp)
{
    return log_changed(device_of(listener), on, false, errp);
}

int vh_core_log_changed_later(struct vh_mem_listener *listener, bool on,
                              struct vhost_error **errp)
{
    return log_changed(device_of(listener), on, true, errp);
}

const char *vh_core_log_blocker(struct vh_mem_listener *listener)
{
    return vhost_dev_migration_blocker(device_of(listener));
}
