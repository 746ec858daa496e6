/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split ring, device side (virtio 1.3, 2.7.6 to 2.7.10).
 *
 *     last_avail  <=  seen              popped up to; seen of avail->idx
 *     published   <=  used_idx          shown up to; pushed up to
 *
 * The driver writes to descriptors and to its area at any time; what it says
 * is loaded once.  The device area is ours to write, but the driver can write
 * there too, so that our indices are never read back from it, save at birth.
 *
 * A bit for each id says that it was popped and not yet pushed.  To give an id
 * out twice would hand one buffer to two requests: the driver's fault, and the
 * ring is broken.  To push an id that is not out is the device's own fault.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ring/alloc.h"
#include "ring/event.h"
#include "ring/order.h"
#include "ring/split.h"

#define WORD_BITS 64

struct split_devring {
    struct vh_devring ring;
    struct vh_split_areas areas;
    struct vh_split_walk walk;

    uint16_t last_avail;
    uint16_t seen;
    uint16_t used_idx;
    uint16_t published;
    uint16_t event;         /* what is in avail_event */
    uint16_t flags;         /* what is in used->flags */
    struct vh_order *order; /* NULL: any */

    uint64_t out[]; /* bitmap of ids; behind it, one of places to put back */
};

static struct split_devring *split(struct vh_devring *ring)
{
    return (struct split_devring *)ring;
}

static size_t n_words(uint32_t size)
{
    return (size + WORD_BITS - 1) / WORD_BITS;
}

static bool is_out(const struct split_devring *s, uint16_t id)
{
    return (s->out[id / WORD_BITS] >> (id % WORD_BITS)) & 1;
}

static void toggle_out(struct split_devring *s, uint16_t id)
{
    s->out[id / WORD_BITS] ^= UINT64_C(1) << (id % WORD_BITS);
}

/* Is there an entry to read? */
static bool has_avail(struct split_devring *s)
{
    if (s->seen != s->last_avail) {
        return true;
    }
    /* The index before the entries and descriptors that it shows. */
    s->seen = vh_le16(vh_load_acquire(&s->areas.avail->idx));
    if ((uint16_t)(s->seen - s->last_avail) > s->ring.size) {
        s->ring.broken = "available index ahead by more than the ring's size";
        s->seen = s->last_avail;
        return false;
    }
    return s->seen != s->last_avail;
}

static const char *walk(struct split_devring *s, uint16_t head,
                        struct vh_chain *chain)
{
    if (head >= s->ring.size) {
        return "available id out of range";
    }
    if (is_out(s, head)) {
        return "available id already in flight";
    }
    chain->id = head;
    return vh_split_walk_chain(&s->walk, head, chain);
}

static void note_out(struct split_devring *s, const struct vh_chain *chain)
{
    if (s->order) {
        vh_order_add(s->order, chain->id, chain->in_len == 0);
    }
    toggle_out(s, chain->id);
    s->ring.n_inflight++;
}

static int split_pop(struct vh_devring *ring, struct vh_chain *chain)
{
    struct split_devring *s = split(ring);
    const uint16_t *entry;
    int r;

    if (ring->broken || !has_avail(s)) {
        return ring->broken ? -EPROTO : 0;
    }
    entry = &s->areas.avail->ring[s->last_avail & s->areas.mask];
    r = vh_devring_followed(ring,
                            walk(s, vh_le16(VH_READ_ONCE(*entry)), chain));
    if (r < 0) {
        return r;
    }
    note_out(s, chain);
    s->last_avail++;
    return 1;
}

static int split_again(struct vh_devring *ring, const struct vh_held *held,
                       struct vh_chain *chain)
{
    struct split_devring *s = split(ring);

    int r = vh_devring_followed(
        ring, ring->broken ? ring->broken : walk(s, held->id, chain));

    if (r == 0) {
        note_out(s, chain);
    }
    return r;
}

/* The entry at the used index, for @n buffers. */
static void write_used(struct split_devring *s, uint16_t id, uint32_t len,
                       unsigned n)
{
    struct vh_used_elem *elem =
        &s->areas.used->ring[s->used_idx & s->areas.mask];

    VH_WRITE_ONCE(elem->id, vh_le32(id));
    VH_WRITE_ONCE(elem->len, vh_le32(len));
    s->used_idx = (uint16_t)(s->used_idx + n);
}

static void split_push(struct vh_devring *ring, uint16_t id, uint32_t len)
{
    struct split_devring *s = split(ring);

    assert(id < ring->size && is_out(s, id));
    ring->n_inflight--;
    if (s->order) {
        vh_order_done(s->order, id, len);
        return;
    }
    write_used(s, id, len, 1);
    toggle_out(s, id);
}

/* What may be returned in order.  One that is only read is told by the next:
 * the used entry of a batch has the place of its first (2.7.9). */
static void write_in_order(struct split_devring *s)
{
    unsigned n = 0;

    while (vh_order_ready(s->order)) {
        struct vh_order_entry entry = vh_order_take(s->order);

        toggle_out(s, entry.id);
        n++;
        if (!entry.read_only || !vh_order_ready(s->order)) {
            write_used(s, entry.id, entry.len, n);
            n = 0;
        }
    }
}

static bool driver_wants_call(const struct split_devring *s, uint16_t old)
{
    if (s->areas.used_event) {
        uint16_t event = vh_le16(VH_READ_ONCE(*s->areas.used_event));

        return vh_ring_need_event(event, s->published, old);
    }
    return !(vh_le16(VH_READ_ONCE(s->areas.avail->flags)) &
             VH_AVAIL_F_NO_INTERRUPT);
}

static bool split_publish(struct vh_devring *ring)
{
    struct split_devring *s = split(ring);
    uint16_t old = s->published;

    if (s->order) {
        write_in_order(s);
    }
    if (old == s->used_idx) {
        return false;
    }
    s->published = s->used_idx;
    /* The buffers' contents and used entries, before the index of them. */
    vh_store_release(&s->areas.used->idx, vh_le16(s->published));
    /*
     * Our index before our reading of the driver's wish; against the driver,
     * which writes its wish before it reads the index for the last time.  One
     * of us sees the other, or the driver waits for what is there.
     */
    vh_full_barrier();
    return driver_wants_call(s, old);
}

static void set_flags(struct split_devring *s, uint16_t flags)
{
    if (s->flags != flags) {
        s->flags = flags;
        VH_WRITE_ONCE(s->areas.used->flags, vh_le16(flags));
    }
}

static void set_event(struct split_devring *s, uint16_t event)
{
    if (s->event != event) {
        s->event = event;
        VH_WRITE_ONCE(*s->areas.avail_event, vh_le16(event));
    }
}

static bool split_enable_kick(struct vh_devring *ring)
{
    struct split_devring *s = split(ring);

    /* No more buffers, ever: pop() has said so when it broke. */
    if (ring->broken) {
        return false;
    }
    if (s->areas.avail_event) {
        set_event(s, s->last_avail);
    } else {
        set_flags(s, 0);
    }
    /*
     * Our wish before our last reading of the index; against the driver, which
     * writes the index before it reads our wish.
     */
    vh_full_barrier();
    return vh_le16(VH_READ_ONCE(s->areas.avail->idx)) != s->last_avail;
}

static void split_disable_kick(struct vh_devring *ring)
{
    struct split_devring *s = split(ring);

    if (!s->areas.avail_event) {
        set_flags(s, VH_USED_F_NO_NOTIFY);
    } else if (s->event == s->last_avail) {
        /* Not passed yet: set it as far off as the circle allows. */
        set_event(s, (uint16_t)(s->last_avail - 1));
    }
}

static uint32_t split_base(const struct vh_devring *ring)
{
    return ((const struct split_devring *)ring)->last_avail;
}

static uint32_t split_used(const struct vh_devring *ring)
{
    return ((const struct split_devring *)ring)->used_idx;
}

/* Also those that are pushed, but not shown as an older one is missing. */
static uint32_t count_out(const struct split_devring *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < n_words(s->ring.size); i++) {
        n += (uint32_t)__builtin_popcountll(s->out[i]);
    }
    return n;
}

/* Is the entry at @idx of a buffer that is out?  Then it is placed. */
static bool place(struct split_devring *s, uint16_t idx)
{
    uint16_t *entry = &s->areas.avail->ring[idx & s->areas.mask];
    uint16_t id = vh_le16(VH_READ_ONCE(*entry));

    if (id >= s->ring.size || !is_out(s, id)) {
        return false;
    }
    toggle_out(s, id);
    return true;
}

/*
 * As many entries as are out were popped last, but they need not be the same
 * buffers: younger ones may have been returned before.  What has its entry
 * there keeps it; the others take the places of those that were returned.
 */
static uint32_t split_put_back(struct vh_devring *ring)
{
    struct split_devring *s = split(ring);
    uint64_t *placed = s->out + n_words(ring->size);
    uint32_t n = count_out(s);
    uint16_t first = (uint16_t)(s->last_avail - n);
    uint16_t id = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (place(s, (uint16_t)(first + i))) {
            placed[i / WORD_BITS] |= UINT64_C(1) << (i % WORD_BITS);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (placed[i / WORD_BITS] >> (i % WORD_BITS) & 1) {
            continue;
        }
        while (!is_out(s, id)) {
            id++;
        }
        toggle_out(s, id);
        VH_WRITE_ONCE(s->areas.avail->ring[(first + i) & s->areas.mask],
                      vh_le16(id));
    }
    s->last_avail = s->seen = first;
    ring->n_inflight = 0;
    ring->broken = "its buffers were put back";
    return n;
}

static void split_free(struct vh_devring *ring)
{
    vh_order_free(split(ring)->order);
    free(ring);
}

static const struct vh_devring_ops split_device_ops = {
    .pop = split_pop,
    .again = split_again,
    .push = split_push,
    .publish = split_publish,
    .enable_kick = split_enable_kick,
    .disable_kick = split_disable_kick,
    .base = split_base,
    .used = split_used,
    .put_back = split_put_back,
    .free = split_free,
};

/*
 * A ring may come to us in use, from another back end: then used->idx is where
 * that one stopped, and base is where we go on.
 */
static void init_indices(struct split_devring *s, uint16_t base)
{
    s->last_avail = s->seen = base;
    s->used_idx = vh_le16(VH_READ_ONCE(s->areas.used->idx));
    s->published = s->used_idx;
    VH_WRITE_ONCE(s->areas.used->flags, 0);
    if (s->areas.avail_event) {
        s->event = base;
        VH_WRITE_ONCE(*s->areas.avail_event, vh_le16(base));
    }
}

int vh_split_devring_new(struct vh_devring **ringp,
                         const struct vh_devring_config *config)
{
    void *const where[] = { config->desc, config->driver, config->device };
    uint32_t size = config->size;
    struct vh_split_areas areas;
    struct split_devring *s;
    int r = vh_split_areas(&areas, size, config->features, where);

    if (r < 0) {
        return r;
    }
    s = vh_ring_zalloc(sizeof(*s) + 2 * n_words(size) * sizeof(s->out[0]));
    if (!s) {
        return -ENOMEM;
    }
    s->ring.ops = &split_device_ops;
    s->ring.size = size;
    s->areas = areas;
    s->walk = (struct vh_split_walk){
        .desc = areas.desc,
        .size = size,
        .indirect = (config->features >> VH_RING_F_INDIRECT_DESC) & 1,
        .memory = vh_chain_memory(config),
    };
    init_indices(s, (uint16_t)config->base);
    if (config->features >> VH_RING_F_IN_ORDER & 1) {
        s->order = vh_order_new(size);
        if (!s->order) {
            free(s);
            return -ENOMEM;
        }
    }
    *ringp = &s->ring;
    return 0;
}
