/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packed ring, device side (virtio 1.3, 2.8).
 *
 *     first  <=  used  <=  avail        (on the circle of the ring)
 *     published  written   popped
 *     up to      up to     up to
 *
 * A used descriptor is written over one that was popped: over the first of
 * the buffer that would be due there, which need not be the buffer returned.
 * Of those written since the last publish(), the first one's word with the
 * flags is kept back; a driver looks in ring order, and sees none of the others
 * before.
 *
 * The driver's ids are checked against slots of ours: a buffer is out if its
 * slot counts descriptors.  To give an id out twice would hand one buffer to
 * two requests: the driver's fault, and the ring is broken.  So it is if more
 * descriptors are out than the ring has.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ring/alloc.h"
#include "ring/order.h"
#include "ring/packed-event.h"
#include "ring/packed-kept.h"
#include "ring/packed-walk.h"

struct packed_devring {
    struct vh_devring ring;
    struct vh_packed_areas areas;
    struct vh_packed_walk walk;

    struct vh_packed_pos avail;
    struct vh_packed_pos used;
    struct vh_packed_desc *first; /* of those not published */
    uint64_t first_rest;          /* its second word, kept back until then */
    uint32_t n_new_desc;          /* written, and not published */
    uint32_t n_out_desc;          /* popped, and not written back */
    uint32_t kick_event;          /* what is in the device area */
    bool event_idx;
    struct vh_order *order;      /* NULL: any */
    struct vh_packed_kept *kept; /* NULL: never put back */

    uint16_t out[]; /* by id: descriptors of a buffer that is out, or 0 */
};

static struct packed_devring *packed(struct vh_devring *ring)
{
    return (struct packed_devring *)ring;
}

/* The second word of the next descriptor; false if it is not available. */
static bool load_avail(const struct packed_devring *p, uint64_t *word)
{
    struct vh_packed_desc *desc = &p->areas.desc[p->avail.at];

    /* The flags before the address and all further descriptors. */
    *word = vh_le64(vh_load_acquire(vh_packed_rest(desc)));
    return (vh_packed_flags(*word) & VH_PACKED_F_BOTH) ==
           vh_packed_avail_flags(p->avail.wrap);
}

/* A buffer of @n_desc descriptors was followed: may it be out? */
static const char *note_out(struct packed_devring *p,
                            const struct vh_chain *chain, uint32_t n_desc)
{
    if (chain->id >= p->ring.size) {
        return "available id out of range";
    }
    if (p->out[chain->id] != 0) {
        return "available id already in flight";
    }
    if (n_desc > p->ring.size - p->n_out_desc) {
        return "more descriptors available than the ring has";
    }
    p->out[chain->id] = (uint16_t)n_desc;
    p->n_out_desc += n_desc;
    if (p->order) {
        vh_order_add(p->order, chain->id, chain->in_len == 0);
    }
    p->ring.n_inflight++;
    return NULL;
}

static const char *pop_one(struct packed_devring *p, uint64_t word,
                           struct vh_chain *chain)
{
    uint32_t n_desc;
    const char *wrong =
        vh_packed_walk_chain(&p->walk, p->avail.at, word, chain, &n_desc);

    if (!wrong) {
        wrong = note_out(p, chain, n_desc);
    }
    if (!wrong) {
        if (p->kept) {
            vh_packed_kept_add(p->kept, chain->id, p->areas.desc, p->avail.at,
                               n_desc);
        }
        p->avail = vh_packed_step(p->avail, n_desc, p->ring.size);
    }
    return wrong;
}

static int packed_pop(struct vh_devring *ring, struct vh_chain *chain)
{
    struct packed_devring *p = packed(ring);
    uint64_t word;
    int r;

    if (!ring->broken && !load_avail(p, &word)) {
        return 0;
    }
    r = vh_devring_followed(ring, ring->broken ? ring->broken
                                               : pop_one(p, word, chain));
    return r < 0 ? r : 1;
}

/* Their descriptors may be overwritten by now: so copies are followed, as if
 * they were a ring of their own. */
static const char *follow_copies(struct packed_devring *p,
                                 const struct vh_held *held,
                                 struct vh_chain *chain)
{
    struct vh_packed_walk walk = p->walk;
    struct vh_packed_desc *copies;
    const char *wrong;
    uint32_t n_desc;

    if (held->n == 0 || held->n > p->ring.size) {
        return "a held buffer of an impossible length";
    }
    copies = calloc(held->n, sizeof(*copies));
    if (!copies) {
        return "no memory for a held buffer";
    }
    for (uint32_t i = 0; i < held->n; i++) {
        copies[i].addr = vh_le64(held->descs[i].addr);
        *vh_packed_rest(&copies[i]) =
            vh_packed_word(held->descs[i].len, held->id, held->descs[i].flags);
    }
    walk.desc = copies;
    walk.size = held->n;
    wrong = vh_packed_walk_chain(&walk, 0, vh_le64(*vh_packed_rest(&copies[0])),
                                 chain, &n_desc);
    /* The ring is as far on as it was when they were popped. */
    if (!wrong) {
        wrong = note_out(p, chain, held->n);
    }
    if (!wrong && p->kept) {
        vh_packed_kept_add(p->kept, chain->id, copies, 0, held->n);
    }
    free(copies);
    return wrong;
}

static int packed_again(struct vh_devring *ring, const struct vh_held *held,
                        struct vh_chain *chain)
{
    return vh_devring_followed(
        ring, ring->broken ? ring->broken
                           : follow_copies(packed(ring), held, chain));
}

/* One used descriptor, for @n_desc descriptors of the ring. */
static void write_used(struct packed_devring *p, uint16_t id, uint32_t len,
                       uint32_t n_desc)
{
    struct vh_packed_desc *desc = &p->areas.desc[p->used.at];
    uint16_t flags = vh_packed_used_flags(p->used.wrap);

    flags |= len > 0 ? VH_DESC_F_WRITE : 0;
    if (p->n_new_desc == 0) {
        p->first = desc;
        p->first_rest = vh_packed_word(len, id, flags);
    } else {
        VH_WRITE_ONCE(*vh_packed_rest(desc), vh_packed_word(len, id, flags));
    }
    p->used = vh_packed_step(p->used, n_desc, p->ring.size);
    p->n_new_desc += n_desc;
    p->n_out_desc -= n_desc;
}

static void packed_push(struct vh_devring *ring, uint16_t id, uint32_t len)
{
    struct packed_devring *p = packed(ring);

    assert(id < ring->size && p->out[id] != 0);
    ring->n_inflight--;
    if (p->order) {
        vh_order_done(p->order, id, len);
        return;
    }
    if (p->kept) {
        vh_packed_kept_drop(p->kept, id);
    }
    write_used(p, id, len, p->out[id]);
    p->out[id] = 0;
}

/* What may be returned in order.  One that is only read is told by the next:
 * the used descriptor of a batch has the place of its first (2.8.11). */
static void write_in_order(struct packed_devring *p)
{
    uint32_t n_desc = 0;

    while (vh_order_ready(p->order)) {
        struct vh_order_entry entry = vh_order_take(p->order);

        n_desc += p->out[entry.id];
        p->out[entry.id] = 0;
        if (!entry.read_only || !vh_order_ready(p->order)) {
            write_used(p, entry.id, entry.len, n_desc);
            n_desc = 0;
        }
    }
}

static bool packed_publish(struct vh_devring *ring)
{
    struct packed_devring *p = packed(ring);
    uint32_t n;

    if (p->order) {
        write_in_order(p);
    }
    n = p->n_new_desc;
    if (n == 0) {
        return false;
    }
    p->n_new_desc = 0;
    /* The buffers' contents and the other used descriptors, before this. */
    vh_store_release(vh_packed_rest(p->first), p->first_rest);
    /*
     * Our flags before our reading of the driver's wish; against the driver,
     * which writes its wish before it reads our flags for the last time.  One
     * of us sees the other, or the driver waits for what is there.
     */
    vh_full_barrier();
    return vh_packed_need_event(p->areas.driver, p->event_idx, p->used, n,
                                ring->size);
}

static void set_event(struct packed_devring *p, uint16_t off_wrap,
                      uint16_t flags)
{
    uint32_t event = off_wrap | (uint32_t)flags << 16;

    if (p->kick_event != event) {
        p->kick_event = event;
        vh_packed_event_store(p->areas.device, off_wrap, flags);
    }
}

static bool packed_enable_kick(struct vh_devring *ring)
{
    struct packed_devring *p = packed(ring);
    uint64_t word;

    /* No more buffers, ever: pop() has said so when it broke. */
    if (ring->broken) {
        return false;
    }
    if (p->event_idx) {
        set_event(p, vh_packed_off_wrap(p->avail), VH_EVENT_F_DESC);
    } else {
        set_event(p, 0, VH_EVENT_F_ENABLE);
    }
    /*
     * Our wish before our last reading of the flags; against the driver, which
     * writes the flags before it reads our wish.
     */
    vh_full_barrier();
    return load_avail(p, &word);
}

static void packed_disable_kick(struct vh_devring *ring)
{
    set_event(packed(ring), 0, VH_EVENT_F_DISABLE);
}

static uint32_t packed_base(const struct vh_devring *ring)
{
    const struct packed_devring *p = (const struct packed_devring *)ring;

    return vh_packed_base(p->avail, p->used);
}

static uint32_t packed_used(const struct vh_devring *ring)
{
    const struct packed_devring *p = (const struct packed_devring *)ring;

    return vh_packed_off_wrap(p->used);
}

/*
 * As many descriptors as are out lie between the used place and that of the
 * next to pop; but of other buffers, if younger ones were returned before.
 * In order, they are the very ones.
 */
static uint32_t packed_put_back(struct vh_devring *ring)
{
    struct packed_devring *p = packed(ring);
    uint32_t n = 0;

    for (uint32_t i = 0; i < ring->size; i++) {
        n += p->out[i] != 0;
    }
    p->avail = vh_packed_step_back(p->avail, p->n_out_desc, ring->size);
    if (!p->order) {
        vh_packed_kept_write(p->kept, p->areas.desc, p->avail);
    }
    ring->n_inflight = 0;
    ring->broken = "its buffers were put back";
    return n;
}

static void packed_free(struct vh_devring *ring)
{
    vh_packed_kept_free(packed(ring)->kept);
    vh_order_free(packed(ring)->order);
    free(ring);
}

static const struct vh_devring_ops packed_device_ops = {
    .pop = packed_pop,
    .again = packed_again,
    .push = packed_push,
    .publish = packed_publish,
    .enable_kick = packed_enable_kick,
    .disable_kick = packed_disable_kick,
    .base = packed_base,
    .used = packed_used,
    .put_back = packed_put_back,
    .free = packed_free,
};

static void init(struct packed_devring *p,
                 const struct vh_devring_config *config,
                 const struct vh_packed_areas *areas)
{
    p->ring.ops = &packed_device_ops;
    p->ring.size = config->size;
    p->areas = *areas;
    p->walk = (struct vh_packed_walk){
        .desc = areas->desc,
        .size = config->size,
        .indirect = config->features >> VH_RING_F_INDIRECT_DESC & 1,
        .memory = vh_chain_memory(config),
    };
    p->event_idx = config->features >> VH_RING_F_EVENT_IDX & 1;
    VH_WRITE_ONCE(*areas->device, 0);
}

int vh_packed_devring_new(struct vh_devring **ringp,
                          const struct vh_devring_config *config)
{
    void *const where[] = { config->desc, config->driver, config->device };
    uint32_t size = config->size;
    struct vh_packed_pos avail, used;
    struct vh_packed_areas areas;
    struct packed_devring *p;
    int r = vh_packed_areas(&areas, where);

    if (r < 0) {
        return r;
    }
    if (!vh_packed_base_read(config->base, size, &avail, &used)) {
        return -EINVAL;
    }
    p = vh_ring_zalloc(sizeof(*p) + size * sizeof(p->out[0]));
    if (!p) {
        return -ENOMEM;
    }
    init(p, config, &areas);
    p->avail = avail;
    p->used = used;
    if (config->features >> VH_RING_F_IN_ORDER & 1) {
        p->order = vh_order_new(size);
        r = p->order ? 0 : -ENOMEM;
    } else if (config->keep) {
        p->kept = vh_packed_kept_new(size);
        r = p->kept ? 0 : -ENOMEM;
    }
    if (r < 0) {
        packed_free(&p->ring);
        return r;
    }
    *ringp = &p->ring;
    return 0;
}
