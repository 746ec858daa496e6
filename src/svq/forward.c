/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forward: the guest's chains, as the pieces that they consist of, into the
 * shadow ring.
 *
 * A piece goes from a guest-physical address to an IOVA at once: an address of
 * ours between the two would not say which of two aliases was meant.  Our own
 * addresses are for the guest's indirect tables alone, which we read.
 *
 * A buffer that finds no room stays parked, popped from the one ring and not
 * in the other, and is the next to be tried: so the order remains.
 */
#include <errno.h>
#include <vhost/notifier.h>

#include "svq/inside.h"

#define BURST 64 /* buffers that the device learns of at once */

static uint64_t at_most(uint64_t len, uint64_t want)
{
    return len < want ? len : want;
}

void *vh_svq_translate_table(void *arg, uint64_t gpa, uint64_t want,
                             uint64_t *len)
{
    struct vh_svq *svq = arg;
    const struct vh_iova_range *range = vh_iova_find_gpa(svq->config.iova, gpa);

    if (!range) {
        return NULL;
    }
    *len = at_most(range->size - (gpa - range->gpa), want);
    return (uint8_t *)range->hva + (gpa - range->gpa);
}

void *vh_svq_translate_piece(void *arg, uint64_t gpa, uint64_t want,
                             uint64_t *len)
{
    struct vh_svq *svq = arg;
    const struct vh_iova_range *range;
    uint64_t version = vh_iova_version(svq->config.iova);
    uint64_t offset = gpa - svq->last.gpa;

    if (svq->last_version != version || offset >= svq->last.size) {
        range = vh_iova_find_gpa(svq->config.iova, gpa);
        if (!range || range->iova > UINTPTR_MAX - range->size) {
            return NULL;
        }
        svq->last = *range;
        svq->last_version = version;
        offset = gpa - range->gpa;
    }
    *len = at_most(svq->last.size - offset, want);
    return (void *)(uintptr_t)(svq->last.iova + offset);
}

/* The next of the guest's, or NULL. */
static struct vh_svq_request *next_request(struct vh_svq *svq)
{
    struct vh_chain chain = { .iov = svq->iov, .iov_max = svq->max_pieces };
    struct vh_svq_request *req;

    if (svq->parked) {
        req = svq->parked;
        svq->parked = NULL;
        return req;
    }
    if (vh_devring_pop(svq->guest, &chain) <= 0) {
        return NULL;
    }
    req = &svq->requests[chain.id];
    req->n_out = chain.n_out;
    req->n_in = chain.n_in;
    for (unsigned i = 0; i < (unsigned)chain.n_out + chain.n_in; i++) {
        req->sg[i].addr = (uintptr_t)svq->iov[i].iov_base;
        req->sg[i].len = (uint32_t)svq->iov[i].iov_len;
    }
    return req;
}

/* Return: false if it has to wait, or if a ring is broken. */
static bool send(struct vh_svq *svq, struct vh_svq_request *req)
{
    int r = 0;

    if (req->n_out == 0 && req->n_in == 0) {
        /* Nothing to read or write, which no shadow ring could say: done. */
        vh_devring_push(svq->guest, req->id, 0);
    } else if (svq->config.bounce.mem) {
        r = vh_svq_bounce_send(svq, req);
    } else {
        r = vh_ring_add(svq->shadow, req->sg, req->n_out, req->n_in, req);
    }
    if (r < 0) {
        svq->parked = req;
    }
    if (r == -E2BIG) {
        svq->broken = "a buffer has more pieces than the device's ring takes";
    }
    return r >= 0;
}

unsigned vh_svq_forward(struct vh_svq *svq)
{
    struct vhost_notifier doorbell = { .fd = svq->config.device_kick };
    unsigned n = 0;

    while (n < BURST && !vh_svq_is_broken(svq)) {
        struct vh_svq_request *req = next_request(svq);

        if (!req || !send(svq, req)) {
            break;
        }
        n++;
    }
    if (n > 0 && vh_ring_publish(svq->shadow) && doorbell.fd >= 0) {
        vhost_notifier_set(&doorbell);
    }
    return n;
}
