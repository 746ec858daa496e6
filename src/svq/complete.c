/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Complete: what the device has used, back to the guest.
 *
 * The shadow ring has checked the device's ids and lengths.  It may have
 * written more than the length that it tells (virtio 1.3, 2.7.8.2), so that
 * all it could write to is dirty.
 */
#include <vhost/notifier.h>

#include "svq/inside.h"

#define BURST 64

void vh_svq_mark_buffer(struct vh_svq *svq, const struct vh_svq_request *req)
{
    for (unsigned i = 0; i < req->n_in; i++) {
        const struct vh_sg *sg = &req->sg[req->n_out + i];
        const struct vh_iova_range *range =
            vh_iova_find(svq->config.iova, sg->addr);

        /* A piece lies in one range. */
        if (range) {
            svq->config.mark(svq->config.mark_arg,
                             range->gpa + (sg->addr - range->iova), sg->len);
        }
    }
}

unsigned vh_svq_complete(struct vh_svq *svq)
{
    struct vhost_notifier call = { .fd = svq->config.guest_call };
    struct vh_ring_used used[BURST];
    int n = vh_ring_take(svq->shadow, used, BURST);

    for (int i = 0; i < n; i++) {
        const struct vh_svq_request *req = used[i].cookie;

        if ((const void *)req == svq) {
            continue; /* an answer that nobody waits for any more */
        }
        if (svq->config.bounce.mem) {
            vh_svq_bounce_back(svq, req, used[i].len);
        }
        if (svq->config.mark) {
            vh_svq_mark_buffer(svq, req);
        }
        vh_devring_push(svq->guest, req->id, used[i].len);
    }
    /* Also what was done without the device. */
    if (vh_devring_publish(svq->guest) && call.fd >= 0) {
        vhost_notifier_set(&call);
    }
    return n > 0 ? (unsigned)n : 0;
}
