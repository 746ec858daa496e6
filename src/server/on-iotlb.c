/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translations from the front end: vhost-user specification, "IOMMU support".
 *
 * What is taken back is not touched any more when the answer goes: a ring
 * that lies there has stopped, and asks anew; a buffer that does is finished,
 * or was given back.  Other buffers are not waited for: a guest may take back
 * a page for each request that is done.
 *
 * A translation that differs from the one before is both: what was is taken
 * back first.
 */
#include "server/handlers.h"

#include <errno.h>
#include <linux/vhost_types.h>

/* Its ring is there; or it holds a buffer there which nobody will finish. */
static bool must_stop(const struct vh_squeue *q, uint64_t iova, uint64_t last)
{
    return q->ring && !q->ring->broken &&
           (vh_qiommu_is_at(q, iova, last) ||
            (q->fed && vh_qiommu_reaches(q, iova, last)));
}

/* Those that were given up are not to be finished. */
static bool must_wait(const struct vh_squeue *q, uint64_t iova, uint64_t last)
{
    return q->ring && q->ring->n_inflight > q->n_lost + q->n_left &&
           (vh_qiommu_reaches(q, iova, last) ||
            (q->ring->broken && vh_qiommu_is_at(q, iova, last)));
}

static void take_back(struct vhost_server *srv, uint64_t iova, uint64_t last)
{
    struct vhost_server_device *device = srv->device;

    vh_iotlb_drop(&srv->iommu.tlb, iova, last);
    device->ops->submit(device);
    for (unsigned i = 0; i < srv->n_queues; i++) {
        struct vh_squeue *q = &srv->queues[i];

        if (must_stop(q, iova, last)) {
            vh_squeue_stop(q);
            q->awaits = true;
            srv->iommu.news = true;
        }
        while (must_wait(q, iova, last)) {
            device->ops->reap(device, true);
        }
    }
    for (unsigned i = 0; i < srv->n_queues; i++) {
        vh_squeue_publish(&srv->queues[i]);
    }
}

/* Is something known that the new translation does not say? */
static bool differs(const struct vhost_server *srv,
                    const struct vh_iotlb_entry *new)
{
    const struct vh_iotlb_entry *old =
        vh_iotlb_next(&srv->iommu.tlb, new->iova);

    for (; old && old->iova <= new->last;
         old = old->last == UINT64_MAX
                   ? NULL
                   : vh_iotlb_next(&srv->iommu.tlb, old->last + 1)) {
        if ((uintptr_t)old->hva - old->iova !=
                (uintptr_t) new->hva - new->iova ||
            (old->access & ~new->access)) {
            return true;
        }
    }
    return false;
}

static int update(struct vhost_server *srv, const struct vh_iotlb *m)
{
    struct vh_iotlb_entry new = {
        .iova = m->iova,
        .last = m->iova + (m->size - 1),
        .access = m->perm,
    };
    int r = -EFAULT;

    if (m->perm < VHOST_ACCESS_RO || m->perm > VHOST_ACCESS_RW) {
        return -EINVAL;
    }
    new.hva = vh_server_find(srv, m->user_addr, m->size);
    if (!new.hva) {
        srv->session.why = "a translation that leads out of memory";
    } else {
        if (differs(srv, &new)) {
            take_back(srv, new.iova, new.last);
        }
        r = vh_iotlb_add(&srv->iommu.tlb, &new);
    }
    vh_iommu_answered(srv, new.iova, new.last, r < 0 ? 0 : new.access);
    return r;
}

int vh_on_iotlb_msg(struct vhost_server *srv, struct vh_msg *msg,
                    struct vh_msg *reply)
{
    const struct vh_iotlb *m = &msg->payload.iotlb;

    (void)reply;
    if (m->size == 0 || m->iova + (m->size - 1) < m->iova) {
        return -EINVAL;
    }
    switch (m->type) {
    case VHOST_IOTLB_UPDATE:
        return update(srv, m);
    case VHOST_IOTLB_INVALIDATE:
        take_back(srv, m->iova, m->iova + (m->size - 1));
        return 0;
    default: /* the others are ours to say */
        return -EINVAL;
    }
}
