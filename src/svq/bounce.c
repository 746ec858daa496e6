/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounce: a queue whose device never sees the guest's memory.
 *
 * What the device reads of a buffer is copied into a slot of ours beforehand,
 * and what it has written there is copied to the guest afterwards.  So the
 * device may be confined to an address space without guest memory, and what
 * goes through is seen as the device saw it: neither the guest nor the device
 * can change it between the copy and the look.
 */
#include <errno.h>
#include <string.h>
#include <vhost/notifier.h>

#include "svq/inside.h"

static uint32_t length(const struct vh_sg *sg, unsigned n)
{
    uint64_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        len += sg[i].len;
    }
    return len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
}

static uint8_t *slot_of(struct vh_svq *svq, uint32_t id)
{
    const struct vh_svq_bounce *bounce = &svq->config.bounce;

    return bounce->mem + (size_t)id * bounce->slot;
}

/* A piece lies in one range, and the map does not change under it. */
static uint8_t *piece(struct vh_svq *svq, const struct vh_sg *sg)
{
    const struct vh_iova_range *range =
        vh_iova_find(svq->config.iova, sg->addr);

    return range ? (uint8_t *)range->hva + (sg->addr - range->iova) : NULL;
}

static int add(struct vh_svq *svq, uint32_t id, uint32_t n_out, uint32_t n_in,
               void *cookie)
{
    const struct vh_svq_bounce *bounce = &svq->config.bounce;
    uint64_t at = bounce->iova + (uint64_t)id * bounce->slot;
    const struct vh_sg sg[2] = { { at, n_out }, { at + n_out, n_in } };

    return vh_ring_add(svq->shadow, n_out > 0 ? sg : &sg[1], n_out > 0,
                       n_in > 0, cookie);
}

int vh_svq_bounce_send(struct vh_svq *svq, struct vh_svq_request *req)
{
    uint32_t n_out = length(req->sg, req->n_out);
    uint32_t n_in = length(req->sg + req->n_out, req->n_in);
    uint8_t *to = slot_of(svq, req->id);

    if ((uint64_t)n_out + n_in > svq->config.bounce.slot) {
        vh_devring_push(svq->guest, req->id, 0);
        return 1;
    }
    for (unsigned i = 0; i < req->n_out; i++) {
        const uint8_t *from = piece(svq, &req->sg[i]);

        if (from) {
            memcpy(to, from, req->sg[i].len);
        } else {
            memset(to, 0, req->sg[i].len);
        }
        to += req->sg[i].len;
    }
    memset(to, 0xff, n_in);
    return add(svq, req->id, n_out, n_in, req);
}

void vh_svq_bounce_back(struct vh_svq *svq, const struct vh_svq_request *req,
                        uint32_t len)
{
    const struct vh_svq_bounce *bounce = &svq->config.bounce;
    const uint8_t *out = slot_of(svq, req->id);
    uint32_t n_out = length(req->sg, req->n_out);
    const uint8_t *in = out + n_out;
    uint32_t left = len;

    for (unsigned i = 0; i < req->n_in && left > 0; i++) {
        const struct vh_sg *sg = &req->sg[req->n_out + i];
        uint32_t n = sg->len < left ? sg->len : left;
        uint8_t *to = piece(svq, sg);

        if (to) {
            memcpy(to, in, n);
        }
        in += n;
        left -= n;
    }
    if (bounce->seen) {
        bounce->seen(bounce->arg, out, n_out, out + n_out, len);
    }
}

int vh_svq_ask(struct vh_svq *svq, const void *out, uint32_t n_out)
{
    uint32_t id = svq->config.guest.size; /* the slot that no buffer has */
    struct vhost_notifier doorbell = { .fd = svq->config.device_kick };
    int r;

    if (n_out >= svq->config.bounce.slot) {
        return -E2BIG;
    }
    memcpy(slot_of(svq, id), out, n_out);
    slot_of(svq, id)[n_out] = 0xff;
    svq->asked = n_out;
    r = add(svq, id, n_out, 1, svq);
    if (r == 0 && vh_ring_publish(svq->shadow) && doorbell.fd >= 0) {
        vhost_notifier_set(&doorbell);
    }
    return r;
}

int vh_svq_answer(struct vh_svq *svq, uint8_t *answer)
{
    const uint8_t *slot = slot_of(svq, svq->config.guest.size);
    struct vh_ring_used used;
    int n = vh_ring_take(svq->shadow, &used, 1);

    if (n > 0) {
        *answer = used.len > 0 ? slot[svq->asked] : 0xff;
    }
    return n;
}
