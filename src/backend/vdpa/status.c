/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device status: virtio 1.3, 2.1 "Device Status Field" and 3.1.1 "Driver
 * Requirements: Device Initialization".
 *
 * A bit counts once it has been read back: a device that does not want the
 * features leaves FEATURES_OK out, and one that needs a reset says so.
 *
 * Features may be set once after a reset.  So a device that is stopped, or
 * whose start failed, is reset and stands before them, with ACKNOWLEDGE and
 * DRIVER.  To stop is to suspend, where that can be done, for a reset makes
 * the device forget where its queues stand.
 */
#include "backend/vdpa/vdpa.h"

#include <errno.h>
#include <string.h>

#include "backend/ops.h"
#include "svq/net-state.h"
#include "util/error.h"

#define F_LOG_ALL (UINT64_C(1) << VHOST_F_LOG_ALL)
#define F_ACCESS_PLATFORM (UINT64_C(1) << 33)

static int read_back(struct vhost_vdpa *vdpa)
{
    return vh_vdpa_call(vdpa, "GET_STATUS", VH_NO_QUEUE, VHOST_VDPA_GET_STATUS,
                        &vdpa->status);
}

static int write_status(struct vhost_vdpa *vdpa, uint8_t status)
{
    int r = vh_vdpa_call(vdpa, "SET_STATUS", VH_NO_QUEUE, VHOST_VDPA_SET_STATUS,
                         &status);

    return r < 0 ? r : read_back(vdpa);
}

static int add(struct vhost_vdpa *vdpa, uint8_t bits)
{
    uint8_t wanted = vdpa->status | bits;
    int r = write_status(vdpa, wanted);

    if (r == 0 && (vdpa->status & wanted) != wanted) {
        r = vh_be_fail(vdpa->dev, -EIO, "SET_STATUS", VH_NO_QUEUE,
                       "%s: the device was given status %#x and has %#x",
                       vdpa->name, wanted, vdpa->status);
    }
    return r;
}

/* It reaches nothing any more, and only then is that taken from it. */
static int reset(struct vhost_vdpa *vdpa)
{
    int r = write_status(vdpa, 0);

    vdpa->suspended = false;
    if (r == 0 && vdpa->status != 0) {
        r = vh_be_fail(vdpa->dev, -EIO, "SET_STATUS", VH_NO_QUEUE,
                       "%s: the device does not reset: its status is %#x",
                       vdpa->name, vdpa->status);
    }
    return r;
}

int vh_vdpa_begin(struct vhost_vdpa *vdpa)
{
    int r = reset(vdpa);

    return r < 0 ? r : add(vdpa, VH_VDPA_ACKNOWLEDGE | VH_VDPA_DRIVER);
}

static int refused(struct vhost_vdpa *vdpa, uint64_t features)
{
    return vh_be_fail(vdpa->dev, -EREMOTEIO, "SET_FEATURES", VH_NO_QUEUE,
                      "%s: the device refuses the features %#llx (FEATURES_OK "
                      "does not stay set; its status is %#x): it wants others, "
                      "or more of the %#llx that it offers",
                      vdpa->name, (unsigned long long)features, vdpa->status,
                      (unsigned long long)vdpa->info.features[0]);
}

int vh_vdpa_settle_features(struct vhost_vdpa *vdpa)
{
    uint64_t features = vdpa->features;
    uint8_t wanted = vdpa->status | VH_VDPA_FEATURES_OK;
    int r = vh_vdpa_call(vdpa, "SET_FEATURES", VH_NO_QUEUE, VHOST_SET_FEATURES,
                         &features);

    if (r == 0) {
        r = write_status(vdpa, wanted);
    }
    if (r == 0 && (vdpa->status & wanted) != wanted) {
        r = refused(vdpa, features);
    }
    return r;
}

/* Before a start: shadows, from the first ring on? */
static int choose_shadow(struct vhost_vdpa *vdpa, bool log)
{
    int r;

    if (!log) {
        vdpa->log = NULL;
    }
    vdpa->halted = false;
    vdpa->shadowed = vdpa->always || log;
    r = vh_vdpa_cvq_choose(vdpa);
    if (r < 0 || !vdpa->shadowed) {
        return r;
    }
    vh_vdpa_doorbells_down(vdpa); /* what the driver rings, we have to hear */
    return vh_vdpa_check_shadow(vdpa);
}

/*
 * Whatever the guest sees of it, the device is behind the kernel's IOMMU.  It
 * is never told of VHOST_F_LOG_ALL, which is for its shadow queues.
 */
int vh_vdpa_set_features(struct vhost_dev *dev, uint64_t features)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    bool log = (features & F_LOG_ALL) != 0;
    int r;

    if ((vdpa->status & VH_VDPA_DRIVER_OK) || vdpa->halted) {
        return vh_vdpa_log_changed(vdpa, log);
    }
    features &= ~F_LOG_ALL;
    vdpa->iommu = (features & F_ACCESS_PLATFORM) != 0;
    vdpa->features = features | (vdpa->info.features[0] & F_ACCESS_PLATFORM);
    r = choose_shadow(vdpa, log);
    if (r < 0) {
        return r;
    }
    r = vh_vdpa_settle_features(vdpa);
    if (r < 0) {
        vh_vdpa_begin(vdpa); /* so that it can be tried with others */
    }
    return r;
}

int vh_vdpa_suspend(struct vhost_vdpa *vdpa)
{
    int r = 0;

    if (!vdpa->suspended) {
        r = vh_vdpa_call(vdpa, "SUSPEND", VH_NO_QUEUE, VH_VDPA_SUSPEND, NULL);
        vdpa->suspended = r == 0;
    }
    return r;
}

/* One that can't stand still must not go on after the stop either. */
int vh_vdpa_stand_still(struct vhost_vdpa *vdpa)
{
    int r =
        vh_vdpa_has(vdpa, VH_VDPA_F_SUSPEND) ? vh_vdpa_suspend(vdpa) : -ENOTSUP;

    return r < 0 ? reset(vdpa) : 0;
}

int vh_vdpa_go(struct vhost_vdpa *vdpa)
{
    int r = vh_vdpa_groups_start(vdpa);

    if (r == 0) {
        r = vh_vdpa_cvq_group(vdpa);
    }
    if (r == 0) {
        vh_vdpa_doorbells_up(vdpa);
        r = add(vdpa, VH_VDPA_DRIVER_OK);
    }
    if (r == 0) {
        r = vh_vdpa_cvq_restore(vdpa);
    }
    if (r == 0) {
        vh_vdpa_svqs_run(vdpa);
    }
    return r;
}

int vh_vdpa_dev_start(struct vhost_dev *dev, bool started)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    if (!started) {
        vdpa->halted = false; /* the start is over that this was the end of */
        return vh_vdpa_stand_still(vdpa);
    }
    return vh_vdpa_go(vdpa);
}

static int begin_anew(struct vhost_vdpa *vdpa)
{
    int r = reset(vdpa);
    int unmapped = vh_vdpa_after_reset(vdpa);

    if (r == 0) {
        r = add(vdpa, VH_VDPA_ACKNOWLEDGE | VH_VDPA_DRIVER);
    }
    return r < 0 ? r : unmapped;
}

int vh_vdpa_reset_device(struct vhost_dev *dev)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    if (vdpa->net) {
        vh_net_state_clear(vdpa->net);
    }
    return begin_anew(vdpa);
}

/* By a stop: what the driver has set it expects to find again. */
void vh_vdpa_reset_status(struct vhost_dev *dev)
{
    begin_anew(dev->opaque);
}

int vh_vdpa_get_status(struct vhost_dev *dev, uint8_t *status)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    int r = read_back(vdpa);

    if (r == 0) {
        *status = vdpa->status;
    }
    return r;
}

static int lacks(const struct vhost_vdpa *vdpa, const char *what,
                 struct vhost_error **errp)
{
    return vh_error(errp, -ENOTSUP, what, VH_NO_QUEUE,
                    "%s: the device can't: VHOST_BACKEND_F_%s is not offered",
                    vdpa->name, what);
}

int vhost_vdpa_suspend(struct vhost_vdpa *vdpa, struct vhost_error **errp)
{
    int r = 0;

    if (!vh_vdpa_has(vdpa, VH_VDPA_F_SUSPEND)) {
        return lacks(vdpa, "SUSPEND", errp);
    }
    if (!(vdpa->status & VH_VDPA_DRIVER_OK)) {
        return vh_error(errp, -EINVAL, "SUSPEND", VH_NO_QUEUE,
                        "%s: the device is not started", vdpa->name);
    }
    if (!vdpa->suspended) {
        r = vh_vdpa_ioctl(vdpa, VH_VDPA_SUSPEND, NULL);
    }
    if (r < 0) {
        return vh_error(errp, r, "SUSPEND", VH_NO_QUEUE, "%s: SUSPEND: %s",
                        vdpa->name, strerror(-r));
    }
    vdpa->suspended = true;
    return 0;
}

int vhost_vdpa_resume(struct vhost_vdpa *vdpa, struct vhost_error **errp)
{
    int r = 0;

    if (!vh_vdpa_has(vdpa, VH_VDPA_F_RESUME)) {
        return lacks(vdpa, "RESUME", errp);
    }
    if (vdpa->suspended) {
        r = vh_vdpa_ioctl(vdpa, VH_VDPA_RESUME, NULL);
    }
    if (r < 0) {
        return vh_error(errp, r, "RESUME", VH_NO_QUEUE, "%s: RESUME: %s",
                        vdpa->name, strerror(-r));
    }
    vdpa->suspended = false;
    return 0;
}
