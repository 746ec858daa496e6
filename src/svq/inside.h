/* SPDX-License-Identifier: BSD-3-Clause */
/* A shadow virtqueue from inside: for svq.c, forward.c and complete.c. */
#ifndef VH_SVQ_INSIDE_H
#define VH_SVQ_INSIDE_H

#include "ring/devring.h"
#include "svq/svq.h"

/* A buffer of the guest's, by its id. */
struct vh_svq_request {
    struct vh_sg *sg; /* max_pieces long; IOVAs */
    uint16_t id;
    uint16_t n_out;
    uint16_t n_in;
};

struct vh_svq {
    struct vh_svq_config config;
    struct vh_devring *guest;
    struct vh_ring *shadow;
    const char *broken; /* by neither ring alone */
    uint32_t asked;     /* bytes; see vh_svq_ask() */

    struct vh_svq_request *parked; /* popped, but there was no room for it */

    struct vh_iova_range last; /* that a piece was in, as long as it is so */
    uint64_t last_version;

    uint16_t max_pieces; /* of a buffer */
    struct iovec *iov;   /* so many */
    struct vh_sg *sg;    /* for all requests; those never used cost nothing */
    struct vh_svq_request requests[];
};

/** vh_svq_is_broken() - by either side */
static inline bool vh_svq_is_broken(const struct vh_svq *svq)
{
    return svq->broken || svq->guest->broken || svq->shadow->broken;
}

/** vh_svq_translate_table() - a vh_translate_fn: to addresses of ours */
void *vh_svq_translate_table(void *svq, uint64_t gpa, uint64_t want,
                             uint64_t *len);

/** vh_svq_translate_piece() - a vh_translate_fn: to addresses of the device */
void *vh_svq_translate_piece(void *svq, uint64_t gpa, uint64_t want,
                             uint64_t *len);

/** vh_svq_forward() - from the guest to the device, while there is room
 * Return: how many.
 */
unsigned vh_svq_forward(struct vh_svq *svq);

/** vh_svq_complete() - from the device to the guest
 * Return: how many.
 */
unsigned vh_svq_complete(struct vh_svq *svq);

/* bounce.c: a buffer by way of memory of ours */

/** vh_svq_bounce_send() - to the device; as vh_ring_add().  1: it is too large,
 * and was returned */
int vh_svq_bounce_send(struct vh_svq *svq, struct vh_svq_request *req);

/** vh_svq_bounce_back() - what the device wrote, to where the guest wants it */
void vh_svq_bounce_back(struct vh_svq *svq, const struct vh_svq_request *req,
                        uint32_t len);

/** vh_svq_mark_buffer() - the device may have written to a buffer */
void vh_svq_mark_buffer(struct vh_svq *svq, const struct vh_svq_request *req);

#endif
