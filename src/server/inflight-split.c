/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-flight tracking of a split ring: vhost-user specification,
 * "QueueRegionSplit".
 *
 * The one moment that counts is the store of the used index.  Before it the
 * batch is a list that ends in what was pushed before; after it the states of
 * the batch are cleared, and used_idx follows.  Whoever finds used_idx behind
 * the index of the ring knows by the difference how much of the list is done.
 */
#include "server/inflight-region.h"

#include "ring/split.h"
#include "util/atomic.h"

static void init(struct vh_split_region *region, uint16_t size, uint16_t used)
{
    for (unsigned i = 0; i < size; i++) {
        VH_WRITE_ONCE(region->desc[i].inflight, 0);
    }
    region->features = 0;
    region->desc_num = size;
    region->used_idx = used;
    vh_store_release(&region->version, VH_REGION_VERSION);
}

/* The last batch was shown to the driver, but not noted here. */
static void end_batch(struct vh_split_region *region, uint16_t size,
                      uint16_t used)
{
    uint16_t n = (uint16_t)(used - VH_READ_ONCE(region->used_idx));
    uint16_t at = VH_READ_ONCE(region->last_batch_head);

    if (n > size) {
        n = 0; /* another ring lies there now: nothing of it is known */
    }
    for (; n > 0 && at < size; n--) {
        VH_WRITE_ONCE(region->desc[at].inflight, 0);
        at = VH_READ_ONCE(region->desc[at].next);
    }
    vh_store_release(&region->used_idx, used);
}

static void collect(struct vh_qflight *f)
{
    for (uint16_t i = 0; i < f->size; i++) {
        struct vh_split_state *state = &f->split->desc[i];

        if (VH_READ_ONCE(state->inflight) == 1) {
            f->left[f->n_left++] =
                (struct vh_left){ .counter = VH_READ_ONCE(state->counter),
                                  .entry = i };
        }
    }
}

const char *vh_flight_split_recover(struct vh_qflight *f,
                                    struct vh_devring_config *config)
{
    const struct vh_used *used_ring = config->device;
    uint16_t used = vh_le16(VH_READ_ONCE(used_ring->idx));
    uint16_t version = VH_READ_ONCE(f->split->version);

    if (version == 0) {
        init(f->split, f->size, used);
        return NULL;
    }
    if (version != VH_REGION_VERSION ||
        VH_READ_ONCE(f->split->desc_num) != f->size) {
        return "an in-flight buffer of another version, or size of queue";
    }
    if (VH_READ_ONCE(f->split->used_idx) != used) {
        end_batch(f->split, f->size, used);
    }
    collect(f);
    f->n_out = f->n_left;
    config->base = (uint16_t)(used + f->n_left);
    return NULL;
}

const char *vh_flight_split_took(struct vh_qflight *f, uint16_t id)
{
    struct vh_split_state *state = &f->split->desc[id];

    if (f->n_out == f->size) {
        return "more buffers available than the ring has";
    }
    f->n_out++;
    VH_WRITE_ONCE(state->counter, f->counter);
    f->counter++;
    vh_store_release(&state->inflight, 1);
    return NULL;
}

void vh_flight_split_pushed(struct vh_qflight *f, uint16_t id)
{
    /* What is first is our own word; nobody else's makes us a list. */
    VH_WRITE_ONCE(f->split->desc[id].next, f->free_head);
    f->free_head = id;
    vh_store_release(&f->split->last_batch_head, id);
}

void vh_flight_split_published(struct vh_qflight *f, uint16_t used)
{
    for (unsigned i = 0; i < f->n_batch; i++) {
        VH_WRITE_ONCE(f->split->desc[f->batch[i]].inflight, 0);
    }
    f->n_out -= f->n_batch;
    vh_store_release(&f->split->used_idx, used);
}
