/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells: whether they reach the back end is the owner's doing; here it is
 * asked, queue by queue, in one batch, so that a VMM changes its map once.
 */
#include "core/core.h"

#include <assert.h>
#include <stddef.h>

#include "backend/ops.h"

static int assign(struct vhost_vdev *vdev, unsigned queue, bool on)
{
    return vdev->ops->notifier_assign
               ? vdev->ops->notifier_assign(vdev, queue, on)
               : 0;
}

static void begin(struct vhost_vdev *vdev)
{
    if (vdev->ops->notifier_begin) {
        vdev->ops->notifier_begin(vdev);
    }
}

static void commit(struct vhost_vdev *vdev)
{
    if (vdev->ops->notifier_commit) {
        vdev->ops->notifier_commit(vdev);
    }
}

int vhost_dev_enable_notifiers(struct vhost_dev *hdev, struct vhost_vdev *vdev)
{
    unsigned first = (unsigned)hdev->vq_index;
    unsigned i;
    int r = 0;

    assert(!hdev->started);
    vh_core_enter(hdev);
    if (!vdev->ops) {
        return 0;
    }
    begin(vdev);
    for (i = 0; i < hdev->nvqs; i++) {
        r = assign(vdev, first + i, true);
        if (r < 0) {
            vh_be_fail(hdev, r, "notifier_assign", (int)(first + i),
                       "the doorbell of queue %u can't be routed to the back "
                       "end",
                       first + i);
            break;
        }
    }
    while (r < 0 && i-- > 0) {
        assign(vdev, first + i, false);
    }
    commit(vdev);
    return r;
}

void vhost_dev_disable_notifiers(struct vhost_dev *hdev,
                                 struct vhost_vdev *vdev)
{
    assert(!hdev->started);
    vh_core_enter(hdev);
    if (!vdev->ops) {
        return;
    }
    begin(vdev);
    for (unsigned i = 0; i < hdev->nvqs; i++) {
        assign(vdev, (unsigned)hdev->vq_index + i, false);
    }
    commit(vdev);
}
