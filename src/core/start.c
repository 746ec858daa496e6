/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start and stop.
 *
 * The rungs of a running device, lowest first.  vhost_dev_start() climbs,
 * vhost_dev_stop() climbs down; a rung that fails to come up leaves nothing
 * of its own behind.  So the way down from a failed start is the way down
 * from a whole one, and there is one place to get the order right.
 *
 * The rungs only post.  The last one, "settled", waits for everything that
 * was posted: a start costs one wait, however many queues there are, and a
 * refusal of any message fails the start there.
 *
 * On the way down the bases are asked for in one go too.  The status goes
 * back only after that, since a reset would make the back end forget them.
 * A back end that is gone or broken hears nothing of it all.
 */
#include "core/iommu.h"
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "backend/ops.h"
#include "util/error.h"
#include "util/trace.h"

/* Posted by one call that may not wait: its caller has other things to do. */
#define QUEUES_AT_ONCE 8u

static int features_up(struct vhost_dev *dev, bool vrings)
{
    uint64_t features[VHOST_FEATURES_WORDS];
    int r;

    (void)vrings;
    vh_core_iommu_settle(dev);
    vh_core_features(dev, features);
    r = vh_be_set_features(dev, features);
    return r < 0 ? r : vh_be_set_backend_cap(dev);
}

static void features_down(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    if (vh_core_talks(dev)) {
        vh_be_reset_status(dev);
    }
}

static int memory_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    if (dev->priv->memory < 0) {
        return vh_be_fail(dev, dev->priv->memory, "memory table", VH_NO_QUEUE,
                          "the back end can't take the memory as it is now: "
                          "see the last commit of its map");
    }
    return dev->mem ? vh_be_set_mem_table(dev, dev->mem) : 0;
}

static void memory_down(struct vhost_dev *dev, bool vrings)
{
    /* The back end may keep the table: a stopped one touches no memory. */
    (void)dev;
    (void)vrings;
}

/* A start that its owner began has been given it by its owner. */
static int inflight_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    return dev->priv->ladder.again ? vh_core_inflight_up(dev) : 0;
}

static void inflight_down(struct vhost_dev *dev, bool vrings)
{
    (void)dev;
    (void)vrings;
}

static int iotlb_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    if (!vhost_dev_has_iommu(dev)) {
        return 0;
    }
    vh_be_set_iotlb_callback(dev, true);
    return vh_core_iommu_tell(dev);
}

/* Not before the rings stand still: what they finish may be missed too. */
static void iotlb_down(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    if (vhost_dev_has_iommu(dev)) {
        vh_be_set_iotlb_callback(dev, false);
    }
}

static int primed_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    return vhost_dev_has_iommu(dev) && vh_core_iommu_asks(dev)
               ? vh_core_iotlb_prime(dev)
               : 0;
}

static void primed_down(struct vhost_dev *dev, bool vrings)
{
    (void)dev;
    (void)vrings;
}

static int log_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    return vh_core_log_up(dev);
}

/* Its last bits are set by the last request: so not before the rings. */
static void log_down(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    vh_core_log_down(dev);
}

static void note(struct vhost_dev *dev, int r)
{
    struct vh_core_ladder *ladder = &dev->priv->ladder;

    vh_core_fault(dev, r);
    if (r < 0 && ladder->result == 0) {
        ladder->result = r;
    }
}

static void queues_down(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    vh_queues_post_stop(dev, dev->vdev, 0, dev->nvqs);
}

static void queues_are_down(struct vhost_dev *dev)
{
    /* A start that failed leaves the bases as its owner had set them. */
    note(dev, vh_queues_stopped(dev, dev->vdev, dev->started));
}

static int queues_up(struct vhost_dev *dev, bool vrings)
{
    struct vh_core_ladder *ladder = &dev->priv->ladder;
    unsigned end = dev->nvqs;

    (void)vrings;
    if (dev->priv->op.later && end - ladder->queue > QUEUES_AT_ONCE) {
        end = ladder->queue + QUEUES_AT_ONCE;
    }
    for (; ladder->queue < end; ladder->queue++) {
        unsigned i = ladder->queue;
        int r = vh_queue_post_start(dev, dev->vdev, &dev->vqs[i],
                                    (unsigned)dev->vq_index + i);

        if (r < 0) {
            return r;
        }
    }
    if (end < dev->nvqs) {
        vh_core_wake_in(dev, 0);
        return -EINPROGRESS;
    }
    return 0;
}

static void enable_down(struct vhost_dev *dev, bool vrings)
{
    if (vrings && vh_core_talks(dev)) {
        note(dev, vh_be_set_vring_enable(dev, false));
    }
}

static int enable_up(struct vhost_dev *dev, bool vrings)
{
    return vrings ? vh_be_set_vring_enable(dev, true) : 0;
}

static int device_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    return vh_be_dev_start(dev, true);
}

static void device_down(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    if (vh_core_talks(dev)) {
        note(dev, vh_be_dev_start(dev, false));
    }
}

static int config_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    return vh_core_config_up(dev);
}

static void config_down(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    vh_core_config_down(dev);
}

static int settled_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    return vh_core_settle(dev);
}

static void settled_down(struct vhost_dev *dev, bool vrings)
{
    (void)dev;
    (void)vrings;
}

/*
 * @after: what is left to do on the way down once all that was posted has been
 *     answered; NULL: nothing, and no wait
 * @in_part: one that fails to come up may stand in part
 */
static const struct rung {
    const char *name;
    int (*up)(struct vhost_dev *dev, bool vrings);
    void (*down)(struct vhost_dev *dev, bool vrings);
    void (*after)(struct vhost_dev *dev);
    bool in_part;
} rungs[] = {
    /* clang-format off */
    { "features",     features_up, features_down, NULL,            false },
    { "memory table", memory_up,   memory_down,   NULL,            false },
    { "in flight",    inflight_up, inflight_down, NULL,            false },
    { "dirty log",    log_up,      log_down,      NULL,            false },
    { "IOTLB",        iotlb_up,    iotlb_down,    NULL,            false },
    { "virtqueues",   queues_up,   queues_down,   queues_are_down, true  },
    { "vring enable", enable_up,   enable_down,   NULL,            true  },
    { "device start", device_up,   device_down,   NULL,            false },
    { "IOTLB primed", primed_up,   primed_down,   NULL,            false },
    { "config fd",    config_up,   config_down,   NULL,            false },
    { "settled",      settled_up,  settled_down,  NULL,            false },
    /* clang-format on */
};

#define N_RUNGS (sizeof(rungs) / sizeof(rungs[0]))

/* Waits for the answers, if there is anybody to give some. */
static int settle(struct vhost_dev *dev)
{
    int r = vh_core_talks(dev) ? vh_core_settle(dev) : 0;

    if (r != -EINPROGRESS) {
        note(dev, r);
    }
    return r == -EINPROGRESS ? r : 0;
}

/* Return: 0 at the top; -EINPROGRESS; or why it went no higher. */
static int climb_up(struct vhost_dev *dev)
{
    struct vh_core_ladder *ladder = &dev->priv->ladder;

    while (ladder->at < N_RUNGS) {
        const struct rung *rung = &rungs[ladder->at];
        int r = rung->up(dev, ladder->vrings);

        if (r == -EINPROGRESS) {
            return r;
        }
        vh_trace3(start_rung, dev, rung->name, r);
        if (r < 0) {
            ladder->at += rung->in_part;
            return r;
        }
        ladder->at++;
    }
    return 0;
}

/* Called off in the middle of a rung, by the owner or by a failure. */
static int climb_no_more(struct vhost_dev *dev)
{
    struct vh_core_ladder *ladder = &dev->priv->ladder;

    ladder->at += ladder->at < N_RUNGS && rungs[ladder->at].in_part;
    if (dev->priv->op.cancelled) {
        return -ECANCELED;
    }
    return vh_be_fail(dev, ladder->failed, "start", VH_NO_QUEUE,
                      "the back end refused something while its memory or its "
                      "dirty log was changed as well");
}

/* Goes on to the end whatever fails.  Return: 0 or -EINPROGRESS. */
static int climb_down(struct vhost_dev *dev)
{
    struct vh_core_ladder *ladder = &dev->priv->ladder;

    while (ladder->at > 0) {
        const struct rung *rung = &rungs[ladder->at - 1];

        if (!ladder->asked) {
            rung->down(dev, ladder->vrings);
            ladder->asked = rung->after != NULL;
        }
        if (ladder->asked) {
            if (settle(dev) == -EINPROGRESS) {
                return -EINPROGRESS;
            }
            rung->after(dev);
            ladder->asked = false;
        }
        ladder->at--;
    }
    /* What was posted on the way must not stay behind. */
    return settle(dev);
}

static void kick_all(const struct vhost_dev *dev)
{
    for (unsigned i = 0; i < dev->nvqs; i++) {
        vh_queue_kick(dev->vdev, &dev->vqs[i], (unsigned)dev->vq_index + i);
    }
}

static void started(struct vhost_dev *dev)
{
    dev->started = true;
    dev->state = VHOST_DEV_STARTED;
    dev->vdev->vhost_started = true;
    kick_all(dev);
}

/* The owner's again, as it was before the start. */
static void let_go(struct vhost_dev *dev)
{
    dev->vdev->vhost_started = false;
    dev->vdev->dev = NULL;
    dev->vdev = NULL;
    dev->started = false;
}

/* A device that is restarted is its owner's matter as long as it is lost. */
static int move_start(struct vhost_dev *dev)
{
    struct vh_core_ladder *ladder = &dev->priv->ladder;

    if (!ladder->down) {
        bool off = dev->priv->op.cancelled || ladder->failed < 0;
        int r = off ? climb_no_more(dev) : climb_up(dev);

        if (r == 0) {
            started(dev);
            return 0;
        }
        if (r == -EINPROGRESS) {
            return r;
        }
        note(dev, r);
        ladder->down = true;
    }
    if (climb_down(dev) == -EINPROGRESS) {
        return -EINPROGRESS;
    }
    if (!ladder->again) {
        let_go(dev);
    }
    return ladder->result;
}

bool vh_core_is_starting(const struct vhost_dev *dev)
{
    return dev->priv->op.move == move_start && !dev->priv->ladder.down &&
           dev->priv->ladder.at > 0;
}

void vh_core_start_fails(struct vhost_dev *dev, int r)
{
    if (vh_core_is_starting(dev)) {
        dev->priv->ladder.failed = r;
    }
}

void vh_core_ladder_down(struct vhost_dev *dev)
{
    if (dev->started) {
        dev->priv->ladder = (struct vh_core_ladder){ .at = N_RUNGS,
                                                     .down = true,
                                                     .again = true };
        climb_down(dev); /* nobody is there to wait for */
    }
}

void vh_core_restart(struct vhost_dev *dev, vhost_dev_done_fn *done)
{
    dev->priv->ladder =
        (struct vh_core_ladder){ .vrings = dev->priv->vrings, .again = true };
    vh_core_op_begin(dev, move_start, done, NULL);
}

/* What can be known at once. */
static int begin_start(struct vhost_dev *dev, struct vhost_vdev *vdev,
                       bool vrings)
{
    int r;

    assert(dev->priv);
    vh_core_enter(dev);
    r = vh_core_busy(dev, "start");
    if (r == 0) {
        /* Not before: what is under way may have ended, and nobody knows. */
        assert(!dev->started);
        r = vh_core_silent(dev, "start");
    }
    if (r < 0) {
        return r;
    }
    dev->vdev = vdev;
    vdev->dev = dev;
    dev->priv->device_iotlb = vdev->device_iotlb;
    dev->priv->vrings = vrings;
    dev->priv->drain = true;
    dev->priv->ladder = (struct vh_core_ladder){ .vrings = vrings };
    return 0;
}

int vhost_dev_start(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                    bool vrings)
{
    int r = begin_start(hdev, vdev, vrings);

    return r < 0 ? r : vh_core_op_run(hdev, move_start);
}

int vhost_dev_start_async(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                          bool vrings, vhost_dev_done_fn *done, void *opaque)
{
    int r = begin_start(hdev, vdev, vrings);

    if (r == 0) {
        vh_core_op_begin(hdev, move_start, done, opaque);
    }
    return r;
}

static int move_stop(struct vhost_dev *dev)
{
    if (dev->priv->op.cancelled) {
        vh_core_fault(dev, -ENOTCONN); /* nobody is asked any more */
    }
    if (climb_down(dev) == -EINPROGRESS) {
        return -EINPROGRESS;
    }
    let_go(dev);
    if (vh_core_talks(dev)) {
        dev->state = VHOST_DEV_IDLE;
    }
    return dev->priv->ladder.result;
}

static int begin_stop(struct vhost_dev *dev, struct vhost_vdev *vdev,
                      bool vrings, bool drain)
{
    int r;

    vh_core_enter(dev);
    vh_core_reconnect_break_off(dev);
    r = vh_core_busy(dev, "stop");
    if (r == 0) {
        assert(dev->started && dev->vdev == vdev);
        (void)vdev; /* without assertions */
        dev->priv->drain = drain;
        dev->priv->ladder = (struct vh_core_ladder){ .at = N_RUNGS,
                                                     .down = true,
                                                     .vrings = vrings };
    }
    return r;
}

int vhost_dev_stop(struct vhost_dev *hdev, struct vhost_vdev *vdev, bool vrings)
{
    int r = begin_stop(hdev, vdev, vrings, true);

    return r < 0 ? r : vh_core_op_run(hdev, move_stop);
}

int vhost_dev_force_stop(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                         bool vrings)
{
    int r = begin_stop(hdev, vdev, vrings, false);

    return r < 0 ? r : vh_core_op_run(hdev, move_stop);
}

int vhost_dev_stop_async(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                         bool vrings, vhost_dev_done_fn *done, void *opaque)
{
    int r = begin_stop(hdev, vdev, vrings, true);

    if (r == 0) {
        vh_core_op_begin(hdev, move_stop, done, opaque);
    }
    return r;
}
