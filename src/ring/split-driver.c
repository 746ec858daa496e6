/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split ring, driver side (virtio 1.3, 2.7.13 "Supplying Buffers to The
 * Device" and 2.7.14 "Receiving Used Buffers From The Device").
 *
 * The device can write to all of the ring.  So the driver keeps what it must
 * rely on in slots of its own, one a descriptor, and from shared memory reads
 * only what the device has to say: used entries, the used index, and whether
 * it wants to be notified.
 *
 *     last_used   <=  seen   <=  published  <=  avail_idx    (mod 65536)
 *     taken up to     of used    shown to       prepared
 *                     idx        the device     up to
 *
 * A used index beyond "published" is a lie.  It is not a lie that used entries
 * name an id which is prepared but not yet published, if others are in flight:
 * that the device has completed what it has not seen is not worth a walk over
 * each batch, and harms no one but the driver's buffer, which the device could
 * write to before.
 *
 * Free descriptors form a stack: the one used last is still in the cache.  A
 * burst leaves it in the order in which the burst before came to lie there, so
 * that buffers which go round get the same descriptors and the same places in
 * the ring every time.  What says already what it should is not written again:
 * its cache line need not travel to the device anew.  In order (2.7.9),
 * descriptors are used in ring order instead.  The device may write one used
 * entry for a batch: it has the id of the batch's last buffer, at the place of
 * its first. Those before the last count as used completely.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ring/alloc.h"
#include "ring/event.h"
#include "ring/split.h"

struct slot {
    void *cookie;    /* of the chain that begins here; NULL: none does */
    uint32_t in_len; /* bytes that the device may write to it */
    uint16_t n_desc; /* of the ring, in that chain */
    uint16_t next;   /* in its chain */
};

struct split_ring {
    struct vh_ring ring;
    struct vh_split_areas areas;

    uint16_t avail_idx;
    uint16_t published;
    uint16_t seen;
    uint16_t last_used;
    uint16_t event; /* what is in used_event */
    uint16_t flags; /* what is in avail->flags */
    bool told;      /* take() has reported that the ring is broken */

    bool in_order;
    bool in_batch;      /* the device has used all up to batch_id */
    uint16_t head;      /* in order: of the oldest buffer in flight */
    uint16_t next;      /* in order: descriptor to be used next */
    uint16_t batch_id;  /* of the last buffer of the batch */
    uint32_t batch_len; /* that the device wrote into that one */

    struct vh_desc *tables; /* indirect ones, table_len entries each */
    uint64_t tables_gpa;
    uint32_t table_len; /* 0: none */

    uint16_t *free_descs; /* a stack: n_free of them; not in order */
    struct slot slots[];
};

static struct split_ring *split(struct vh_ring *ring)
{
    return (struct split_ring *)ring;
}

/* The free descriptor that would be the @i-th to be used. */
static uint16_t free_desc(const struct split_ring *s, unsigned i)
{
    return s->in_order ? (uint16_t)(s->next + i) & s->areas.mask
                       : s->free_descs[s->ring.n_free - 1 - i];
}

/* The last step of adding: nothing before it has changed any account. */
static void commit(struct split_ring *s, unsigned n_desc, uint32_t in_len,
                   void *cookie)
{
    uint16_t head = free_desc(s, 0);
    struct slot *slot = &s->slots[head];

    slot->cookie = cookie;
    slot->in_len = in_len;
    slot->n_desc = (uint16_t)n_desc;
    s->next = (uint16_t)(s->next + n_desc) & s->areas.mask;
    s->ring.n_free -= n_desc;
    s->ring.n_inflight++;
    s->areas.avail->ring[s->avail_idx++ & s->areas.mask] = vh_le16(head);
}

/* What add() was given, and what becomes known as descriptors are written. */
struct filling {
    const struct vh_sg *sg;
    unsigned n_out;
    unsigned n;
    uint64_t len;
    uint64_t in_len;
};

static inline void fill(struct filling *f, unsigned i, struct vh_desc *desc,
                        uint16_t next)
{
    uint32_t len = f->sg[i].len;
    uint32_t flags = i + 1 < f->n ? VH_DESC_F_NEXT : 0;

    f->len += len;
    if (i >= f->n_out) {
        flags |= VH_DESC_F_WRITE;
        f->in_len += len;
    }
    vh_split_desc_store(desc, f->sg[i].addr, len, flags, next);
}

/* One descriptor for each piece, linked. */
static void fill_direct(struct split_ring *s, struct filling *f)
{
    uint16_t at = free_desc(s, 0);

    for (unsigned i = 0; i < f->n; i++) {
        uint16_t next = i + 1 < f->n ? free_desc(s, i + 1) : 0;

        fill(f, i, &s->areas.desc[at], next);
        s->slots[at].next = next;
        at = next;
    }
}

/* Each descriptor has a table of its own, so none must be looked for. */
static void fill_indirect(struct split_ring *s, struct filling *f)
{
    uint16_t head = free_desc(s, 0);
    uint32_t first = head * s->table_len;
    struct vh_desc *table = s->tables + first;

    for (unsigned i = 0; i < f->n; i++) {
        fill(f, i, &table[i], (uint16_t)(i + 1));
    }
    vh_split_desc_store(&s->areas.desc[head],
                        s->tables_gpa + first * sizeof(*table),
                        f->n * (uint32_t)sizeof(*table), VH_DESC_F_INDIRECT, 0);
}

/*
 * Not inlined, so that what follows for several pieces costs a buffer of one
 * piece no register.
 */
static __attribute__((noinline)) int add_pieces(struct split_ring *s,
                                                const struct vh_sg *sg,
                                                unsigned n_out, unsigned n_in,
                                                void *cookie)
{
    struct filling f = { .sg = sg, .n_out = n_out, .n = n_out + n_in };
    uint32_t size = s->ring.size;
    bool indirect = f.n <= s->table_len;
    unsigned n_desc = indirect ? 1 : f.n;

    if (s->ring.broken) {
        return -EPROTO;
    }
    /* Not even an indirect table may be longer than the ring (2.7.5.3.1). */
    if (n_out > size || n_in > size - n_out) {
        return -E2BIG;
    }
    assert(f.n > 0 && cookie);
    if (n_desc > s->ring.n_free) {
        return -ENOSPC;
    }
    if (indirect) {
        fill_indirect(s, &f);
    } else {
        fill_direct(s, &f);
    }
    if (f.len > UINT32_MAX) {
        return -E2BIG;
    }
    commit(s, n_desc, (uint32_t)f.in_len, cookie);
    return 0;
}

static int split_add(struct vh_ring *ring, const struct vh_sg *sg,
                     unsigned n_out, unsigned n_in, void *cookie)
{
    struct split_ring *s = split(ring);

    if ((n_out | n_in) != 1 || n_out == n_in) {
        return add_pieces(s, sg, n_out, n_in, cookie);
    }
    if (ring->broken) {
        return -EPROTO;
    }
    if (ring->n_free == 0) {
        return -ENOSPC;
    }
    assert(cookie);
    vh_split_desc_store(&s->areas.desc[free_desc(s, 0)], sg->addr, sg->len,
                        n_in ? VH_DESC_F_WRITE : 0, 0);
    commit(s, 1, n_in ? sg->len : 0, cookie);
    return 0;
}

/* Locals, as each store to the ring might change *s for all C knows. */
static inline __attribute__((always_inline)) void
put_some(struct split_ring *s, const struct vh_ring_buf *bufs, unsigned n,
         uint32_t flags, const bool in_order)
{
    uint16_t at = s->avail_idx, mask = s->areas.mask;
    uint16_t *entries = s->areas.avail->ring;
    struct vh_desc *desc = s->areas.desc;
    const uint16_t *free_descs = s->free_descs + s->ring.n_free - n;
    uint16_t next = s->next;

    for (unsigned i = 0; i < n; i++) {
        uint16_t head = in_order ? next++ & mask : free_descs[i];
        uint16_t entry = vh_le16(head);
        struct slot *slot = &s->slots[head];

        slot->cookie = bufs[i].cookie;
        slot->in_len = flags ? bufs[i].len : 0;
        slot->n_desc = 1;
        vh_split_desc_renew(&desc[head], bufs[i].addr, bufs[i].len, flags);
        if (VH_READ_ONCE(entries[at & mask]) != entry) {
            entries[at & mask] = entry;
        }
        at++;
    }
    s->avail_idx = at;
    s->next = next & mask;
}

static int split_put(struct vh_ring *ring, const struct vh_ring_buf *bufs,
                     unsigned n, bool writable)
{
    struct split_ring *s = split(ring);
    uint32_t flags = writable ? VH_DESC_F_WRITE : 0;

    if (ring->broken) {
        return -EPROTO;
    }
    n = n < ring->n_free ? n : ring->n_free;
    if (s->in_order) {
        put_some(s, bufs, n, flags, true);
    } else {
        put_some(s, bufs, n, flags, false);
    }
    ring->n_free -= n;
    ring->n_inflight += n;
    return (int)n;
}

static bool device_wants_kick(const struct split_ring *s, uint16_t old)
{
    if (s->areas.avail_event) {
        uint16_t event = vh_le16(VH_READ_ONCE(*s->areas.avail_event));

        return vh_ring_need_event(event, s->published, old);
    }
    return !(vh_le16(VH_READ_ONCE(s->areas.used->flags)) & VH_USED_F_NO_NOTIFY);
}

static bool split_publish(struct vh_ring *ring)
{
    struct split_ring *s = split(ring);
    uint16_t old = s->published;

    if (old == s->avail_idx || ring->broken) {
        return false;
    }
    s->published = s->avail_idx;
    /* Descriptors and avail entries, before the index that shows them. */
    vh_store_release(&s->areas.avail->idx, vh_le16(s->published));
    /*
     * Our index before our reading of the device's wish; against the device,
     * which writes its wish before it reads the index for the last time.  One
     * of us sees the other, or the device sleeps on a full ring (2.7.13.3).
     */
    vh_full_barrier();
    return device_wants_kick(s, old);
}

/* How many used entries may be read, at most @max; 0 if the index lies. */
static unsigned count_used(struct split_ring *s, unsigned max)
{
    uint16_t n = (uint16_t)(s->seen - s->last_used);

    if (n < max) {
        /* The index before the entries that it shows. */
        s->seen = vh_le16(vh_load_acquire(&s->areas.used->idx));
        n = (uint16_t)(s->seen - s->last_used);
        if (n > (uint16_t)(s->published - s->last_used)) {
            s->ring.broken = "used index ahead of what was made available";
            s->seen = s->last_used;
            return 0;
        }
    }
    return n < max ? n : max;
}

static const char *check_used(const struct split_ring *s, uint32_t id,
                              uint32_t len)
{
    if (id >= s->ring.size) {
        return "used id out of range";
    }
    if (!s->slots[id].cookie) {
        return "used id not in flight";
    }
    if (len > s->slots[id].in_len) {
        return "used length beyond the writable part of the buffer";
    }
    return NULL;
}

/* Puts a chain of several on the stack.  Return: its new top. */
static uint16_t *release_chain(struct split_ring *s, uint16_t id,
                               uint16_t *free_descs)
{
    for (unsigned i = s->slots[id].n_desc; i > 0; i--) {
        *free_descs++ = id;
        id = s->slots[id].next;
    }
    return free_descs;
}

/* Locals, as each store through @used might change *s for all C knows. */
static unsigned take_some(struct split_ring *s, struct vh_ring_used *used,
                          unsigned n)
{
    const struct vh_used_elem *elems = s->areas.used->ring;
    uint16_t at = s->last_used, mask = s->areas.mask;
    uint16_t *free_descs = s->free_descs + s->ring.n_free;
    unsigned i;

    for (i = 0; i < n; i++) {
        const struct vh_used_elem *elem = &elems[at & mask];
        uint32_t id = vh_le32(VH_READ_ONCE(elem->id));
        uint32_t len = vh_le32(VH_READ_ONCE(elem->len));
        const char *wrong = check_used(s, id, len);
        struct slot *slot;

        if (wrong) {
            s->ring.broken = wrong;
            break;
        }
        slot = &s->slots[id];
        used[i] = (struct vh_ring_used){ slot->cookie, len };
        slot->cookie = NULL;
        if (__builtin_expect(slot->n_desc == 1, 1)) {
            *free_descs++ = (uint16_t)id;
        } else {
            free_descs = release_chain(s, (uint16_t)id, free_descs);
        }
        at++;
    }
    s->last_used = at;
    s->ring.n_free = (uint32_t)(free_descs - s->free_descs);
    s->ring.n_inflight -= i;
    return i;
}

/* Finds the end of a batch.  Return: does it make sense? */
static bool begin_batch(struct split_ring *s, uint16_t at)
{
    const struct vh_used_elem *elem = &s->areas.used->ring[at & s->areas.mask];
    uint32_t id = vh_le32(VH_READ_ONCE(elem->id));

    s->batch_len = vh_le32(VH_READ_ONCE(elem->len));
    s->ring.broken = check_used(s, id, s->batch_len);
    s->batch_id = (uint16_t)id;
    s->in_batch = !s->ring.broken;
    return s->in_batch;
}

/*
 * The end of a batch is in flight, so that steps from one buffer in flight to
 * the next arrive there; and the used index counts them all.
 */
static unsigned take_in_order(struct split_ring *s, struct vh_ring_used *used,
                              unsigned n)
{
    uint16_t head = s->head, mask = s->areas.mask;
    unsigned n_desc = 0;
    unsigned i;

    for (i = 0; i < n; i++) {
        struct slot *slot = &s->slots[head];
        uint32_t len = slot->in_len;

        if (!s->in_batch && !begin_batch(s, (uint16_t)(s->last_used + i))) {
            break;
        }
        if (head == s->batch_id) {
            len = s->batch_len;
            s->in_batch = false;
        }
        used[i] = (struct vh_ring_used){ slot->cookie, len };
        n_desc += slot->n_desc;
        /* Apart: a branch foretold, where the sum would wait for the slot. */
        if (__builtin_expect(slot->n_desc == 1, 1)) {
            head = (head + 1) & mask;
        } else {
            head = (uint16_t)(head + slot->n_desc) & mask;
        }
        slot->cookie = NULL;
    }
    s->last_used = (uint16_t)(s->last_used + i);
    s->head = head;
    s->ring.n_free += n_desc;
    s->ring.n_inflight -= i;
    if (s->in_batch && s->last_used == s->seen) {
        s->ring.broken = "a batch runs past the used index";
    }
    return i;
}

static int split_take(struct vh_ring *ring, struct vh_ring_used *used,
                      unsigned max)
{
    struct split_ring *s = split(ring);
    unsigned n = ring->broken ? 0 : count_used(s, max);

    n = s->in_order ? take_in_order(s, used, n) : take_some(s, used, n);
    if (n == 0 && ring->broken) {
        s->told = true;
        return -EPROTO;
    }
    return (int)n;
}

/*
 * A broken ring has something to take, until the caller has been told: or it
 * would wait for a call, where take() has an error to give.  And not for ever:
 * a caller that takes while there is something must come to an end.
 */
static bool split_has_used(const struct vh_ring *ring)
{
    const struct split_ring *s = (const struct split_ring *)ring;

    if (ring->broken) {
        return !s->told;
    }
    return vh_le16(VH_READ_ONCE(s->areas.used->idx)) != s->last_used;
}

static void set_event(struct split_ring *s, uint16_t event)
{
    if (s->event != event) {
        s->event = event;
        VH_WRITE_ONCE(*s->areas.used_event, vh_le16(event));
    }
}

static void set_flags(struct split_ring *s, uint16_t flags)
{
    if (s->flags != flags) {
        s->flags = flags;
        VH_WRITE_ONCE(s->areas.avail->flags, vh_le16(flags));
    }
}

static bool split_enable_call(struct vh_ring *ring)
{
    struct split_ring *s = split(ring);

    if (s->areas.used_event) {
        set_event(s, s->last_used);
    } else {
        set_flags(s, 0);
    }
    /*
     * Our wish before our last reading of the index; against the device, which
     * writes the index before it reads our wish (2.7.14.1).
     */
    vh_full_barrier();
    return split_has_used(ring);
}

static void split_disable_call(struct vh_ring *ring)
{
    struct split_ring *s = split(ring);

    if (!s->areas.used_event) {
        set_flags(s, VH_AVAIL_F_NO_INTERRUPT);
    } else if (s->event == s->last_used) {
        /* Not passed yet: set it as far off as the circle allows. */
        set_event(s, (uint16_t)(s->last_used - 1));
    }
}

static uint32_t split_base(const struct vh_ring *ring)
{
    return ((const struct split_ring *)ring)->last_used;
}

static unsigned split_drop(struct vh_ring *ring, void **cookies, unsigned max)
{
    struct split_ring *s = split(ring);
    unsigned n = 0;

    ring->broken = "its buffers were taken back";
    for (uint32_t i = 0; i < ring->size && n < max; i++) {
        if (s->slots[i].cookie) {
            cookies[n++] = s->slots[i].cookie;
            s->slots[i].cookie = NULL;
        }
    }
    ring->n_inflight -= n;
    return n;
}

static void split_free(struct vh_ring *ring)
{
    free(ring);
}

static const struct vh_ring_ops split_driver_ops = {
    .add = split_add,
    .put = split_put,
    .publish = split_publish,
    .take = split_take,
    .enable_call = split_enable_call,
    .disable_call = split_disable_call,
    .has_used = split_has_used,
    .base = split_base,
    .drop = split_drop,
    .free = split_free,
};

static void init_tables(struct split_ring *s,
                        const struct vh_ring_config *config)
{
    if ((config->features >> VH_RING_F_INDIRECT_DESC) & 1 && config->indirect) {
        s->tables = config->indirect;
        s->tables_gpa = config->indirect_gpa;
        s->table_len = config->indirect_len;
    }
}

/* The device takes all indices from the ring: they begin where it does. */
static void init_areas(struct split_ring *s, uint16_t base)
{
    s->avail_idx = s->published = s->seen = s->last_used = base;
    s->areas.avail->flags = 0;
    s->areas.used->idx = vh_le16(base);
    if (s->areas.used_event) {
        s->event = base;
        *s->areas.used_event = vh_le16(base);
    }
    vh_store_release(&s->areas.avail->idx, vh_le16(base));
}

int vh_split_ring_new(struct vh_ring **ringp,
                      const struct vh_ring_config *config)
{
    void *const where[] = { config->desc, config->driver, config->device };
    uint32_t size = config->size;
    struct vh_split_areas areas;
    struct split_ring *s;
    int r = vh_split_areas(&areas, size, config->features, where);

    if (r < 0) {
        return r;
    }
    s = vh_ring_zalloc(sizeof(*s) +
                       size * (sizeof(s->slots[0]) + sizeof(*s->free_descs)));
    if (!s) {
        return -ENOMEM;
    }
    s->ring.ops = &split_driver_ops;
    s->ring.size = size;
    s->ring.n_free = size;
    s->areas = areas;
    s->free_descs = (uint16_t *)(s->slots + size);
    for (uint32_t i = 0; i < size; i++) {
        s->free_descs[i] = (uint16_t)(size - 1 - i);
    }
    s->in_order = config->features >> VH_RING_F_IN_ORDER & 1;
    init_tables(s, config);
    init_areas(s, (uint16_t)config->base);
    *ringp = &s->ring;
    return 0;
}
