/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A running device goes over to shadow queues when a dirty log is turned on,
 * and back when it is turned off.
 *
 * No device takes other rings while it runs, and the kernel has no call that
 * would say so to a suspended one: so it is suspended, for it to tell where it
 * stands, and reset.  Then it is told all that it was told at its start, with
 * the other rings, and goes on.  With VHOST_BACKEND_F_IOTLB_PERSIST it keeps
 * guest memory meanwhile.
 *
 * Where all queues stand is known before anything is undone.  A device that
 * then does not come up is halted: the core's second attempt, back to where it
 * came from, finds what is needed in the queues.
 */
#include "backend/vdpa/entries.h"

#include <errno.h>

#include "backend/ops.h"
#include "util/error.h"

bool vh_vdpa_can_log(const struct vhost_vdpa *vdpa)
{
    return vdpa->always || vh_vdpa_has(vdpa, VH_VDPA_F_SUSPEND);
}

int vh_vdpa_set_log_base(struct vhost_dev *dev, uint64_t base,
                         struct vhost_log *log)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    (void)base;
    vdpa->log = log;
    return 0;
}

/* Of a device that stands still. */
static int read_bases(struct vhost_vdpa *vdpa)
{
    unsigned first = (unsigned)vdpa->dev->vq_index;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < vdpa->n_queues; i++) {
        struct vhost_vring_state ring = { .index = first + i };

        if (vdpa->queues[i].running && !vdpa->queues[i].svq) {
            r = vh_vdpa_call(vdpa, "GET_VRING_BASE", (int)ring.index,
                             VHOST_GET_VRING_BASE, &ring);
            vdpa->queues[i].base = ring.num;
        }
    }
    return r;
}

/* It does not tell where it stands: let it go on, as if nobody had asked. */
static int go_on(struct vhost_vdpa *vdpa, int r)
{
    if (vdpa->suspended && (!vh_vdpa_has(vdpa, VH_VDPA_F_RESUME) ||
                            vh_vdpa_ioctl(vdpa, VH_VDPA_RESUME, NULL) < 0)) {
        return vh_be_fail(vdpa->dev, -EPROTO, "shadow queues", VH_NO_QUEUE,
                          "%s: the device is suspended, does not tell where "
                          "its queues stand, and can't be resumed",
                          vdpa->name);
    }
    vdpa->suspended = false;
    return r;
}

/* From the device's own queues: nothing of it is undone if it fails. */
static int halt_queues(struct vhost_vdpa *vdpa)
{
    int r;

    if (!vh_vdpa_has(vdpa, VH_VDPA_F_SUSPEND)) {
        return vh_be_fail(vdpa->dev, -ENOTSUP, "shadow queues", VH_NO_QUEUE,
                          "%s: a device that can't be suspended goes over to "
                          "shadow queues only at its start",
                          vdpa->name);
    }
    r = vh_vdpa_suspend(vdpa);
    if (r == 0) {
        r = read_bases(vdpa);
        r = r < 0 ? go_on(vdpa, r) : 0;
    }
    return r;
}

static int halt(struct vhost_vdpa *vdpa)
{
    int r;

    r = vdpa->shadowed ? vh_vdpa_stand_still(vdpa) : halt_queues(vdpa);
    for (unsigned i = 0; r == 0 && i < vdpa->n_queues; i++) {
        vh_vdpa_svq_down(vdpa, i, &vdpa->queues[i].base);
    }
    vdpa->halted = r == 0;
    return r;
}

/* Those that ran, run again. */
static int queues_up(struct vhost_vdpa *vdpa)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < vdpa->n_queues; i++) {
        bool runs = vdpa->queues[i].running;

        if (runs && !vh_vdpa_is_shadow(vdpa, i)) {
            r = vh_vdpa_tell_queue(vdpa, i, &vdpa->queues[i]);
        }
        if (runs && r == 0) {
            r = vh_vdpa_queue_up(vdpa, i);
            vdpa->queues[i].running = true; /* it is to, whatever happens */
        }
    }
    return r;
}

/* What came meanwhile nobody has seen. */
static void kick_all(const struct vhost_vdpa *vdpa)
{
    for (unsigned i = 0; i < vdpa->n_queues; i++) {
        struct vhost_notifier kick = { .fd = vdpa->queues[i].kick };

        if (vdpa->queues[i].running && kick.fd >= 0) {
            vhost_notifier_set(&kick);
        }
    }
}

static int restart(struct vhost_vdpa *vdpa)
{
    int fd = vdpa->config_fd;
    int r = vh_vdpa_begin(vdpa);

    if (r == 0) {
        r = vh_vdpa_after_reset(vdpa);
    }
    if (r == 0) {
        r = vh_vdpa_set_mem_table(vdpa->dev, vdpa->dev->mem);
    }
    if (r == 0) {
        r = vh_vdpa_settle_features(vdpa);
    }
    if (r == 0) {
        r = queues_up(vdpa);
    }
    if (r == 0 && fd >= 0) {
        r = vh_vdpa_call(vdpa, "SET_CONFIG_CALL", VH_NO_QUEUE,
                         VHOST_VDPA_SET_CONFIG_CALL, &fd);
    }
    /* Last of all: what has gone on can't be begun again. */
    return r < 0 ? r : vh_vdpa_go(vdpa);
}

/* What came up of shadows in a restart that failed has done nothing yet. */
static void take_down(struct vhost_vdpa *vdpa)
{
    vh_vdpa_begin(vdpa);
    for (unsigned i = 0; i < vdpa->n_queues; i++) {
        vh_vdpa_svq_down(vdpa, i, &vdpa->queues[i].base);
    }
}

/* One that came up, but not as it was before, has moved on. */
static void ran_on(struct vhost_vdpa *vdpa)
{
    if ((vdpa->status & VH_VDPA_DRIVER_OK) && vh_vdpa_suspend(vdpa) == 0) {
        read_bases(vdpa);
    }
}

static int go_over(struct vhost_vdpa *vdpa, bool shadowed)
{
    bool suspended = vdpa->suspended; /* by the owner */
    int r = 0;

    if (!vh_vdpa_cvq_is_seen(vdpa)) {
        return vh_be_fail(vdpa->dev, -ENOTSUP, "shadow queues", VH_NO_QUEUE,
                          "%s: by the reset that this takes the device would "
                          "forget what its driver has set by the control "
                          "queue, which nobody has seen: ask for "
                          "shadow_control_queue, or for shadow queues from the "
                          "start",
                          vdpa->name);
    }
    if (!vdpa->halted) {
        r = halt(vdpa);
    }
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&vdpa->svq_lock);
    vdpa->shadowed = shadowed;
    pthread_mutex_unlock(&vdpa->svq_lock);
    if (shadowed) {
        vh_vdpa_doorbells_down(vdpa);
    }
    r = restart(vdpa);
    vdpa->halted = r < 0;
    if (r < 0) {
        ran_on(vdpa);
        take_down(vdpa);
        return r;
    }
    kick_all(vdpa);
    return suspended ? vh_vdpa_suspend(vdpa) : 0;
}

static int refuse(struct vhost_vdpa *vdpa, const char *why)
{
    return vh_be_fail(vdpa->dev, -ENOTSUP, "shadow queues", VH_NO_QUEUE,
                      "%s: no shadow queues, as %s", vdpa->name, why);
}

int vh_vdpa_check_shadow(struct vhost_vdpa *vdpa)
{
    if (vdpa->iommu) {
        return refuse(vdpa, "its driver is behind an IOMMU");
    }
    for (uint32_t i = 0; i < vdpa->info.groups; i++) {
        if (vdpa->asids[i] != 0) {
            return refuse(vdpa, "queues of it are in another address space "
                                "than 0");
        }
    }
    return 0;
}

int vh_vdpa_log_changed(struct vhost_vdpa *vdpa, bool on)
{
    bool shadowed = vdpa->always || on;
    int r = shadowed ? vh_vdpa_check_shadow(vdpa) : 0;

    if (r == 0 && (shadowed != vdpa->shadowed || vdpa->halted)) {
        r = go_over(vdpa, shadowed);
    }
    if (!on) {
        vdpa->log = NULL; /* the last marks were of the shadows' stop */
    }
    vh_vdpa_svqs_mark(vdpa);
    return r;
}
