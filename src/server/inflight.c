/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the layouts have in common: the buffer, and what was left in it.
 *
 * A buffer that another back end has filled is not trusted more than a driver:
 * what it says is checked, and what it holds goes through the same walk as
 * what comes from the ring.
 *
 * In order, a buffer that is pushed is shown only when none before it is
 * missing.  So it joins the batch then, which is just before that batch is
 * shown; until then whoever comes after us does it once more.
 */
#include "server/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ring/order.h"
#include "server/inflight-region.h"
#include "server/server.h"

#define ALIGN 64

size_t vh_inflight_region(uint32_t size, bool packed)
{
    size_t bytes = packed ? sizeof(struct vh_packed_region) +
                                size * sizeof(struct vh_packed_state)
                          : sizeof(struct vh_split_region) +
                                size * sizeof(struct vh_split_state);

    return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void vh_inflight_unset(struct vh_inflight *inflight)
{
    if (inflight->map) {
        munmap(inflight->map, inflight->map_len);
    }
    inflight->map = NULL;
    vh_shm_free(&inflight->made);
}

static void free_flight(struct vh_qflight *f)
{
    if (f) {
        vh_order_free(f->order);
        free(f->batch);
        free(f->entry_of);
        free(f->left);
        free(f->descs);
        free(f);
    }
}

static struct vh_qflight *new_flight(uint16_t size, bool in_order)
{
    struct vh_qflight *f = calloc(1, sizeof(*f));

    if (!f) {
        return NULL;
    }
    f->size = size;
    f->batch = calloc(size, sizeof(*f->batch));
    f->entry_of = calloc((size_t)size * 4, sizeof(*f->entry_of));
    f->left = calloc(size, sizeof(*f->left));
    f->descs = calloc(size, sizeof(*f->descs));
    f->order = in_order ? vh_order_new(size) : NULL;
    if (!f->batch || !f->entry_of || !f->left || !f->descs ||
        (in_order && !f->order)) {
        free_flight(f);
        return NULL;
    }
    f->next = f->entry_of + size;
    f->last = f->next + size;
    f->num = f->last + size;
    return f;
}

static int by_counter(const void *a, const void *b)
{
    const struct vh_left *x = a;
    const struct vh_left *y = b;

    return (x->counter > y->counter) - (x->counter < y->counter);
}

static const char *recover(struct vh_qflight *f,
                           struct vh_devring_config *config)
{
    const char *wrong = f->is_packed ? vh_flight_packed_recover(f, config)
                                     : vh_flight_split_recover(f, config);

    qsort(f->left, f->n_left, sizeof(*f->left), by_counter);
    if (f->n_left > 0) {
        f->counter = f->left[f->n_left - 1].counter + 1;
    }
    return wrong;
}

int vh_qflight_begin(struct vh_squeue *q, struct vh_devring_config *config)
{
    struct vhost_server *srv = q->srv;
    const struct vh_inflight *inflight = &srv->inflight;
    bool packed = config->features >> VH_RING_F_PACKED & 1;

    if (!inflight->map || q->index >= inflight->n_queues) {
        return 0;
    }
    if (vh_inflight_region(q->size, packed) > inflight->region) {
        srv->session.why = "the in-flight buffer is too small for its queue";
        vh_server_log(srv,
                      "queue %u of %u entries: %zu bytes of the in-flight "
                      "buffer are its, %zu are needed",
                      q->index, q->size, inflight->region,
                      vh_inflight_region(q->size, packed));
        return -EINVAL;
    }
    q->flight = new_flight((uint16_t)q->size,
                           config->features >> VH_RING_F_IN_ORDER & 1);
    if (!q->flight) {
        return -ENOMEM;
    }
    q->flight->is_packed = packed;
    q->flight->split = (void *)(inflight->base + q->index * inflight->region);
    srv->session.why = recover(q->flight, config);
    return srv->session.why ? -EINVAL : 0;
}

void vh_qflight_end(struct vh_squeue *q)
{
    free_flight(q->flight);
    q->flight = NULL;
}

bool vh_qflight_held(struct vh_squeue *q, struct vh_held *held)
{
    struct vh_qflight *f = q->flight;
    uint16_t entry;

    if (!f || f->at_left == f->n_left) {
        return false;
    }
    entry = f->left[f->at_left++].entry;
    *held = (struct vh_held){ .id = entry };
    if (f->is_packed) {
        vh_flight_packed_held(f, entry, held);
    }
    return true;
}

void vh_qflight_not_yet(struct vh_squeue *q)
{
    q->flight->at_left--;
}

void vh_qflight_resumed(struct vh_squeue *q, uint16_t id)
{
    if (q->flight->order) {
        vh_order_add(q->flight->order, id, false);
    }
}

/* Those that are pushed behind one that is not. */
static unsigned n_done(const struct vh_order *order)
{
    unsigned n = 0;

    for (uint32_t i = 0; order && i < order->n; i++) {
        n += order->entries[(order->first + i) % order->size].done;
    }
    return n;
}

unsigned vh_qflight_n_left(const struct vh_squeue *q)
{
    const struct vh_qflight *f = q->flight;

    return f ? f->n_left - f->at_left + n_done(f->order) : 0;
}

const char *vh_qflight_took(struct vh_squeue *q, uint16_t id, uint32_t at)
{
    struct vh_qflight *f = q->flight;
    const char *why =
        f->is_packed
            ? vh_flight_packed_took(f, id, at, vh_devring_base(q->ring))
            : vh_flight_split_took(f, id);

    /* Also one that is lost: the ring shows none behind it. */
    vh_qflight_resumed(q, id);
    return why;
}

static void add_to_batch(struct vh_qflight *f, uint16_t id)
{
    f->batch[f->n_batch++] = f->is_packed ? f->entry_of[id] : id;
    if (!f->is_packed) {
        vh_flight_split_pushed(f, id);
    }
}

void vh_qflight_pushed(struct vh_squeue *q, uint16_t id)
{
    struct vh_qflight *f = q->flight;

    if (f->order) {
        vh_order_done(f->order, id, 0);
    } else {
        add_to_batch(f, id);
    }
}

void vh_qflight_publish(struct vh_squeue *q)
{
    struct vh_order *order = q->flight->order;

    while (order && vh_order_ready(order)) {
        add_to_batch(q->flight, vh_order_take(order).id);
    }
    if (q->flight->is_packed) {
        vh_flight_packed_publish(q->flight);
    }
}

void vh_qflight_published(struct vh_squeue *q)
{
    struct vh_qflight *f = q->flight;

    if (f->is_packed) {
        vh_flight_packed_published(f);
    } else {
        vh_flight_split_published(f, (uint16_t)vh_devring_used(q->ring));
    }
    f->n_batch = 0;
}
