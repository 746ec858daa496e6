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

static int iotlb_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    if (vhost_dev_has_iommu(dev)) {
        vh_be_set_iotlb_callback(dev, true);
    }
    return 0;
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
    return vhost_dev_has_iommu(dev) ? vh_core_iotlb_prime(dev) : 0;
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
    vh_core_fault(dev, r);
    if (r < 0 && dev->priv->stop_result == 0) {
        dev->priv->stop_result = r;
    }
}

static void queues_down(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    note(dev,
         vh_queues_stop(dev, dev->vdev, 0, dev->nvqs, !dev->priv->unwinding));
}

static int queues_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    for (unsigned i = 0; i < dev->nvqs; i++) {
        int r = vh_queue_post_start(dev, dev->vdev, &dev->vqs[i],
                                    (unsigned)dev->vq_index + i);

        if (r < 0) {
            vh_core_fault(dev, r);
            vh_queues_stop(dev, dev->vdev, 0, dev->nvqs, false);
            return r;
        }
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
    int r = vrings ? vh_be_set_vring_enable(dev, true) : 0;

    if (r < 0) {
        vh_core_fault(dev, r);
        enable_down(dev, vrings); /* some rings may be enabled by now */
    }
    return r;
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

static int settled_up(struct vhost_dev *dev, bool vrings)
{
    (void)vrings;
    return vh_be_sync(dev);
}

static void settled_down(struct vhost_dev *dev, bool vrings)
{
    (void)dev;
    (void)vrings;
}

static const struct rung {
    const char *name;
    int (*up)(struct vhost_dev *dev, bool vrings);
    void (*down)(struct vhost_dev *dev, bool vrings);
} rungs[] = {
    /* clang-format off */
    { "features",     features_up, features_down },
    { "memory table", memory_up,   memory_down   },
    { "dirty log",    log_up,      log_down      },
    { "IOTLB",        iotlb_up,    iotlb_down    },
    { "virtqueues",   queues_up,   queues_down   },
    { "vring enable", enable_up,   enable_down   },
    { "device start", device_up,   device_down   },
    { "IOTLB primed", primed_up,   primed_down   },
    { "settled",      settled_up,  settled_down  },
    /* clang-format on */
};

#define N_RUNGS (sizeof(rungs) / sizeof(rungs[0]))

static void climb_down(struct vhost_dev *dev, bool vrings, size_t from)
{
    while (from-- > 0) {
        rungs[from].down(dev, vrings);
    }
    /* What was posted on the way must not stay behind. */
    if (vh_core_talks(dev)) {
        note(dev, vh_be_sync(dev));
    }
}

static void kick_all(const struct vhost_dev *dev)
{
    for (unsigned i = 0; i < dev->nvqs; i++) {
        vh_queue_kick(dev->vdev, &dev->vqs[i], (unsigned)dev->vq_index + i);
    }
}

int vhost_dev_start(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                    bool vrings)
{
    int r;

    assert(!hdev->started && hdev->priv);
    vh_core_enter(hdev);
    r = vh_core_silent(hdev, "start");
    if (r < 0) {
        return r;
    }
    hdev->vdev = vdev;
    vdev->dev = hdev;
    hdev->priv->device_iotlb = vdev->device_iotlb;
    for (size_t i = 0; i < N_RUNGS; i++) {
        r = rungs[i].up(hdev, vrings);
        vh_trace3(start_rung, hdev, rungs[i].name, r);
        if (r < 0) {
            vh_core_fault(hdev, r);
            hdev->priv->unwinding = true;
            climb_down(hdev, vrings, i);
            hdev->priv->unwinding = false;
            hdev->vdev = NULL;
            vdev->dev = NULL;
            return r;
        }
    }
    hdev->started = true;
    hdev->state = VHOST_DEV_STARTED;
    vdev->vhost_started = true;
    kick_all(hdev);
    return 0;
}

int vhost_dev_stop(struct vhost_dev *hdev, struct vhost_vdev *vdev, bool vrings)
{
    int r;

    assert(hdev->started && hdev->vdev == vdev);
    vh_core_enter(hdev);
    hdev->priv->stop_result = 0;
    climb_down(hdev, vrings, N_RUNGS);
    r = hdev->priv->stop_result;
    hdev->vdev = NULL;
    vdev->dev = NULL;
    hdev->started = false;
    vdev->vhost_started = false;
    if (vh_core_talks(hdev)) {
        hdev->state = VHOST_DEV_IDLE;
    }
    return r;
}
