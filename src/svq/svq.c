/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shadow virtqueue's life.
 *
 * While it runs, neither side is asked to notify: both rings are looked at
 * anyway.  Before it ends, both are asked again, and looked at once more
 * (vh_devring_enable_kick(), vh_ring_enable_call()); but not the guest while a
 * buffer is parked, since there is no room for others: the device has the ring
 * full, and will call.
 *
 * The guest's ids name the requests.  No id is out twice (ring/devring.h), so
 * that nothing more is needed to know which request is free.
 */
#include "svq/svq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/notifier.h>

#include "svq/inside.h"

#define ROUNDS 4 /* of the larger ring, until somebody else has a turn */

/* An area of the guest's ring, by our address. */
static void *find_area(struct vh_svq *svq, uint64_t gpa, uint64_t len)
{
    uint64_t got = 0;
    void *at = vh_svq_translate_table(svq, gpa, len, &got);

    return got == len ? at : NULL;
}

static int make_guest(struct vh_svq *svq)
{
    const struct vh_svq_guest *guest = &svq->config.guest;
    struct vh_ring_sizes sizes = vh_ring_sizes(guest->size, guest->features);
    struct vh_devring_config config = {
        .size = guest->size,
        .features = guest->features,
        .desc = find_area(svq, guest->desc, sizes.desc),
        .driver = find_area(svq, guest->driver, sizes.driver),
        .device = find_area(svq, guest->device, sizes.device),
        .base = guest->base,
        .translate = vh_svq_translate_table,
        .translate_arg = svq,
        .translate_piece = vh_svq_translate_piece,
        .keep = true,
    };

    if (!config.desc || !config.driver || !config.device) {
        return -EFAULT;
    }
    return vh_devring_new(&svq->guest, &config);
}

/* Pieces for each request: memory that a guest never uses is never touched. */
static int make_requests(struct vh_svq *svq)
{
    uint32_t n = svq->config.guest.size;

    svq->iov = calloc(svq->max_pieces, sizeof(*svq->iov));
    /* Not cleared: malloc(3) would touch it all to do so, once it has some to
     * use again, and the time is that of a device that stands still. */
    svq->sg = reallocarray(NULL, n, svq->max_pieces * sizeof(*svq->sg));
    if (!svq->iov || !svq->sg) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        svq->requests[i].id = (uint16_t)i;
        svq->requests[i].sg = svq->sg + (size_t)i * svq->max_pieces;
    }
    return 0;
}

static bool is_possible(const struct vh_svq_config *config)
{
    bool ordered = config->guest.features >> VH_RING_F_IN_ORDER & 1;

    if (!vh_ring_size_is_valid(config->guest.size, config->guest.features) ||
        !vh_ring_size_is_valid(config->shadow.size, config->shadow.features)) {
        return false;
    }
    return !ordered || config->shadow.features >> VH_RING_F_IN_ORDER & 1;
}

static uint16_t max_pieces(const struct vh_ring_config *shadow)
{
    bool indirect = shadow->features >> VH_RING_F_INDIRECT_DESC & 1;

    if (indirect && shadow->indirect && shadow->indirect_len > shadow->size) {
        return shadow->indirect_len;
    }
    return (uint16_t)shadow->size;
}

int vh_svq_new(struct vh_svq **svqp, const struct vh_svq_config *config)
{
    struct vh_svq *svq;
    int r;

    if (!is_possible(config)) {
        return -EINVAL;
    }
    svq =
        calloc(1, sizeof(*svq) + config->guest.size * sizeof(svq->requests[0]));
    if (!svq) {
        return -ENOMEM;
    }
    svq->config = *config;
    svq->max_pieces = max_pieces(&config->shadow);
    r = make_requests(svq);
    if (r == 0) {
        r = make_guest(svq);
    }
    if (r == 0) {
        r = vh_ring_new(&svq->shadow, &config->shadow);
    }
    if (r < 0) {
        vh_svq_free(svq);
        return r;
    }
    *svqp = svq;
    return 0;
}

void vh_svq_free(struct vh_svq *svq)
{
    if (svq) {
        vh_devring_free(svq->guest);
        vh_ring_free(svq->shadow);
        free(svq->iov);
        free(svq->sg);
        free(svq);
    }
}

const char *vh_svq_broken(const struct vh_svq *svq, bool *by_device)
{
    *by_device = svq->shadow->broken != NULL;
    if (svq->shadow->broken) {
        return svq->shadow->broken;
    }
    return svq->guest->broken ? svq->guest->broken : svq->broken;
}

void vh_svq_set_mark(struct vh_svq *svq, vh_svq_mark_fn *mark, void *arg)
{
    svq->config.mark = mark;
    svq->config.mark_arg = arg;
}

void vh_svq_set_call(struct vh_svq *svq, int fd)
{
    svq->config.guest_call = fd;
}

/* What a device writes to in a ring; @put_back: and what putting back does. */
static void mark_ring(struct vh_svq *svq, bool put_back)
{
    const struct vh_svq_guest *guest = &svq->config.guest;
    struct vh_ring_sizes sizes = vh_ring_sizes(guest->size, guest->features);
    void *arg = svq->config.mark_arg;

    if (!svq->config.mark) {
        return;
    }
    svq->config.mark(arg, guest->device, sizes.device);
    if (guest->features >> VH_RING_F_PACKED & 1) {
        svq->config.mark(arg, guest->desc, sizes.desc);
    } else if (put_back) {
        svq->config.mark(arg, guest->driver, sizes.driver);
    }
}

static void clear(int fd)
{
    struct vhost_notifier notifier = { .fd = fd };

    if (fd >= 0) {
        vhost_notifier_test_and_clear(&notifier);
    }
}

/* Moves what there is.  Return: false if there may be more. */
static bool move(struct vh_svq *svq, uint32_t budget)
{
    while (budget > 0 && !vh_svq_is_broken(svq)) {
        unsigned n = vh_svq_complete(svq);

        n += vh_svq_forward(svq);
        if (n == 0) {
            return true;
        }
        budget -= n < budget ? n : budget;
    }
    return false;
}

/* Asks to be notified.  Return: there is something already. */
static bool sleep_now(struct vh_svq *svq)
{
    bool more = vh_ring_enable_call(svq->shadow);

    return (!svq->parked && vh_devring_enable_kick(svq->guest)) || more;
}

int vh_svq_run(struct vh_svq *svq)
{
    uint32_t ours = svq->config.guest.size, its = svq->config.shadow.size;
    uint32_t budget = ROUNDS * (ours > its ? ours : its);
    struct vhost_notifier again = { .fd = svq->config.guest_kick };
    bool more;

    /* Before the rings are looked at: what comes later sets them anew. */
    clear(svq->config.guest_kick);
    clear(svq->config.device_call);
    vh_devring_disable_kick(svq->guest);
    vh_ring_disable_call(svq->shadow);
    more = !move(svq, budget) || sleep_now(svq);
    mark_ring(svq, false);
    if (vh_svq_is_broken(svq)) {
        return -EPROTO;
    }
    if (more && again.fd >= 0) {
        vhost_notifier_set(&again);
    }
    return more;
}

/* What the device has not finished, it may have written to. */
static void take_back(struct vh_svq *svq)
{
    void *cookies[32];
    unsigned n;

    while ((n = vh_ring_drop(svq->shadow, cookies, 32)) > 0) {
        for (unsigned i = 0; i < n && svq->config.mark; i++) {
            if (cookies[i] != svq) {
                vh_svq_mark_buffer(svq, cookies[i]);
            }
        }
    }
}

uint32_t vh_svq_stop(struct vh_svq *svq, uint32_t *base)
{
    uint32_t n;

    while (vh_svq_complete(svq) > 0) {
    }
    take_back(svq);
    n = vh_devring_put_back(svq->guest);
    mark_ring(svq, true);
    *base = vh_devring_base(svq->guest);
    return n;
}
