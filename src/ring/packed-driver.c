/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packed ring, driver side (virtio 1.3, 2.8.21 "Supplying Buffers to The
 * Device" and 2.8.22 "Receiving Used Buffers From The Device").
 *
 *     used  <=  first  <=  next         (on the circle of the ring)
 *     taken     published  prepared
 *     up to     up to      up to
 *
 * Each prepared descriptor is written with its final flags, but for the first
 * one: a device looks at descriptors in ring order, so that those behind stay
 * unseen until publish() writes the word with the flags of that one (2.8.21.1).
 *
 * The device overwrites descriptors, so everything that the driver relies on
 * is in slots of its own, known by buffer id.  A buffer that is not in flight
 * has no cookie, and an id without one is a lie.  Used buffers are counted
 * against those that were published: more of them are not looked for.
 *
 * In order (2.8.11), the id of a buffer is the place of its first descriptor,
 * and the device may write one used descriptor for a batch: it has the id of
 * the batch's last buffer, at the place of its first.  Those before the last
 * count as used completely.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ring/alloc.h"
#include "ring/packed-event.h"
#include "ring/packed.h"

struct slot {
    void *cookie;    /* NULL: no buffer has this id */
    uint32_t in_len; /* bytes that the device may write to it */
    uint16_t n_desc; /* of the ring */
};

struct packed_ring {
    struct vh_ring ring;
    struct vh_packed_areas areas;

    struct vh_packed_pos next;
    struct vh_packed_pos used;
    struct vh_packed_desc *first; /* of those not published */
    uint64_t first_rest;          /* its second word, kept back until then */
    uint32_t n_new_desc;          /* prepared, and not published */
    uint32_t n_new;               /* the same, in buffers */

    bool in_order;
    bool event_idx;
    bool told;           /* take() has reported that the ring is broken */
    bool in_batch;       /* the device has used all up to batch_id */
    uint16_t batch_id;   /* of its last buffer */
    uint32_t batch_len;  /* that the device wrote into that one */
    uint32_t call_event; /* what is in the driver area */

    struct vh_packed_desc *tables; /* indirect ones, table_len entries each */
    uint64_t tables_gpa;
    uint32_t table_len; /* 0: none */

    uint16_t *free_ids; /* a stack: size - n_inflight of them */
    struct slot slots[];
};

static struct packed_ring *packed(struct vh_ring *ring)
{
    return (struct packed_ring *)ring;
}

static uint16_t next_id(const struct packed_ring *p)
{
    return p->in_order ? p->next.at
                       : p->free_ids[p->ring.size - p->ring.n_inflight - 1];
}

/* Writes a descriptor at a place; of the first of a batch only the address. */
static void put_desc(struct packed_ring *p, struct vh_packed_pos pos,
                     uint64_t addr, uint64_t rest)
{
    struct vh_packed_desc *desc = &p->areas.desc[pos.at];

    vh_packed_store_addr(desc, addr);
    if (p->n_new_desc == 0 && pos.at == p->next.at) {
        p->first = desc;
        p->first_rest = rest;
    } else {
        VH_WRITE_ONCE(*vh_packed_rest(desc), rest);
    }
}

/* The last step of adding: nothing before it has changed any account. */
static void commit(struct packed_ring *p, uint32_t n_desc, uint32_t in_len,
                   void *cookie)
{
    uint16_t id = next_id(p);
    struct slot *slot = &p->slots[id];

    slot->cookie = cookie;
    slot->in_len = in_len;
    slot->n_desc = (uint16_t)n_desc;
    p->next = vh_packed_step(p->next, n_desc, p->ring.size);
    p->ring.n_free -= n_desc;
    p->ring.n_inflight++;
    p->n_new_desc += n_desc;
    p->n_new++;
}

/* What add() was given, and what becomes known as descriptors are written. */
struct filling {
    const struct vh_sg *sg;
    unsigned n_out;
    unsigned n;
    uint16_t id;
    uint64_t len;
    uint64_t in_len;
};

static void count(struct filling *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        f->len += f->sg[i].len;
        f->in_len += i < f->n_out ? 0 : f->sg[i].len;
    }
}

/* One descriptor for each piece, one after the other. */
static void fill_direct(struct packed_ring *p, const struct filling *f)
{
    struct vh_packed_pos pos = p->next;

    for (unsigned i = 0; i < f->n; i++) {
        uint16_t flags = vh_packed_avail_flags(pos.wrap);

        flags |= i < f->n_out ? 0 : VH_DESC_F_WRITE;
        flags |= i + 1 < f->n ? VH_DESC_F_NEXT : 0;
        put_desc(p, pos, f->sg[i].addr,
                 vh_packed_word(f->sg[i].len, f->id, flags));
        pos = vh_packed_step(pos, 1, p->ring.size);
    }
}

/* Each id has a table of its own.  In one, only WRITE says anything (2.8.7). */
static void fill_indirect(struct packed_ring *p, const struct filling *f)
{
    uint32_t first = f->id * p->table_len;
    struct vh_packed_desc *table = p->tables + first;
    uint16_t flags = vh_packed_avail_flags(p->next.wrap);

    for (unsigned i = 0; i < f->n; i++) {
        uint16_t write = i < f->n_out ? 0 : VH_DESC_F_WRITE;

        vh_packed_store_addr(&table[i], f->sg[i].addr);
        *vh_packed_rest(&table[i]) =
            vh_packed_word(f->sg[i].len, (uint16_t)i, write);
    }
    put_desc(p, p->next, p->tables_gpa + first * sizeof(*table),
             vh_packed_word(f->n * (uint32_t)sizeof(*table), f->id,
                            flags | VH_DESC_F_INDIRECT));
}

static int packed_add(struct vh_ring *ring, const struct vh_sg *sg,
                      unsigned n_out, unsigned n_in, void *cookie)
{
    struct packed_ring *p = packed(ring);
    struct filling f = { .sg = sg, .n_out = n_out, .n = n_out + n_in };
    bool indirect = f.n > 1 && f.n <= p->table_len;
    unsigned n_desc = indirect ? 1 : f.n;

    if (ring->broken) {
        return -EPROTO;
    }
    /* No buffer is longer than the ring, indirect or not (2.8.19). */
    if (n_out > ring->size || n_in > ring->size - n_out) {
        return -E2BIG;
    }
    assert(f.n > 0 && cookie);
    count(&f);
    if (f.len > UINT32_MAX) {
        return -E2BIG;
    }
    if (n_desc > ring->n_free) {
        return -ENOSPC;
    }
    f.id = next_id(p);
    if (indirect) {
        fill_indirect(p, &f);
    } else {
        fill_direct(p, &f);
    }
    commit(p, n_desc, (uint32_t)f.in_len, cookie);
    return 0;
}

/*
 * Locals, as each store to the ring might change *p for all C knows.  The
 * first buffer goes by itself, so that the loop need not ask about flags that
 * are kept back.
 */
static inline __attribute__((always_inline)) void
put_some(struct packed_ring *p, const struct vh_ring_buf *bufs, unsigned n,
         uint16_t write, const bool in_order)
{
    struct vh_packed_desc *desc = p->areas.desc;
    struct vh_packed_pos pos = p->next;
    uint32_t size = p->ring.size;
    uint16_t flags = vh_packed_avail_flags(pos.wrap) | write;
    const uint16_t *ids = p->free_ids + size - p->ring.n_inflight;

    for (unsigned i = 0; i < n; i++) {
        uint16_t id = in_order ? pos.at : *--ids;
        struct slot *slot = &p->slots[id];

        slot->cookie = bufs[i].cookie;
        slot->in_len = write ? bufs[i].len : 0;
        slot->n_desc = 1;
        vh_packed_store_addr(&desc[pos.at], bufs[i].addr);
        VH_WRITE_ONCE(*vh_packed_rest(&desc[pos.at]),
                      vh_packed_word(bufs[i].len, id, flags));
        if (++pos.at == size) {
            pos = (struct vh_packed_pos){ 0, !pos.wrap };
            flags ^= VH_PACKED_F_BOTH;
        }
    }
    p->next = pos;
}

static int packed_put(struct vh_ring *ring, const struct vh_ring_buf *bufs,
                      unsigned n, bool writable)
{
    struct packed_ring *p = packed(ring);
    uint16_t write = writable ? VH_DESC_F_WRITE : 0;
    unsigned rest;

    if (ring->broken) {
        return -EPROTO;
    }
    n = n < ring->n_free ? n : ring->n_free;
    if (n == 0) {
        return 0;
    }
    rest = n;
    if (p->n_new_desc == 0) {
        struct vh_sg sg = { bufs->addr, bufs->len };

        packed_add(ring, &sg, !writable, writable, bufs->cookie);
        bufs++;
        rest--;
    }
    if (p->in_order) {
        put_some(p, bufs, rest, write, true);
    } else {
        put_some(p, bufs, rest, write, false);
    }
    ring->n_free -= rest;
    ring->n_inflight += rest;
    p->n_new_desc += rest;
    p->n_new += rest;
    return (int)n;
}

static bool packed_publish(struct vh_ring *ring)
{
    struct packed_ring *p = packed(ring);
    uint32_t n = p->n_new_desc;

    if (n == 0 || ring->broken) {
        return false;
    }
    p->n_new_desc = 0;
    p->n_new = 0;
    /* All other descriptors, before the flags that lead to them. */
    vh_store_release(vh_packed_rest(p->first), p->first_rest);
    /*
     * Our flags before our reading of the device's wish; against the device,
     * which writes its wish before it reads our flags for the last time.  One
     * of us sees the other, or the device sleeps on a full ring (2.8.21.3).
     */
    vh_full_barrier();
    return vh_packed_need_event(p->areas.device, p->event_idx, p->next, n,
                                ring->size);
}

/* The second word of the next used descriptor; false if it is not used. */
static inline bool load_used(const struct packed_ring *p,
                             struct vh_packed_pos used, uint64_t *word)
{
    /* The flags before the buffer's contents; id and length come with them. */
    *word = vh_le64(vh_load_acquire(vh_packed_rest(&p->areas.desc[used.at])));
    return (vh_packed_flags(*word) & VH_PACKED_F_BOTH) ==
           vh_packed_used_flags(used.wrap);
}

/* What the device wrote: nothing, if it does not say so (2.8.5). */
static uint32_t used_len(uint64_t word)
{
    return vh_packed_flags(word) & VH_DESC_F_WRITE ? vh_packed_len(word) : 0;
}

static const char *check_used(const struct packed_ring *p, uint16_t id,
                              uint32_t len)
{
    if (id >= p->ring.size) {
        return "used id out of range";
    }
    if (!p->slots[id].cookie) {
        return "used id not in flight";
    }
    if (len > p->slots[id].in_len) {
        return "used length beyond the writable part of the buffer";
    }
    return NULL;
}

/*
 * Past a buffer.  Most have one descriptor; asked apart, that is a branch which
 * the processor foretells, and it need not wait for the slot to know where the
 * next used descriptor is.
 */
static inline struct vh_packed_pos
step_over(struct vh_packed_pos pos, const struct slot *slot, uint32_t size)
{
    if (__builtin_expect(slot->n_desc != 1, 0)) {
        return vh_packed_step(pos, slot->n_desc, size);
    }
    if (__builtin_expect(++pos.at == size, 0)) {
        pos = (struct vh_packed_pos){ 0, !pos.wrap };
    }
    return pos;
}

static unsigned take_some(struct packed_ring *p, struct vh_ring_used *out,
                          unsigned n)
{
    struct vh_packed_pos used = p->used;
    uint32_t size = p->ring.size;
    uint16_t *ids = p->free_ids + size - p->ring.n_inflight;
    unsigned n_desc = 0;
    uint64_t word;
    unsigned i;

    for (i = 0; i < n && load_used(p, used, &word); i++) {
        uint16_t id = vh_packed_id(word);
        uint32_t len = used_len(word);
        const char *wrong = check_used(p, id, len);
        struct slot *slot;

        if (wrong) {
            p->ring.broken = wrong;
            break;
        }
        slot = &p->slots[id];
        out[i] = (struct vh_ring_used){ slot->cookie, len };
        n_desc += slot->n_desc;
        used = step_over(used, slot, size);
        slot->cookie = NULL;
        *ids++ = id;
    }
    p->used = used;
    p->ring.n_free += n_desc;
    p->ring.n_inflight -= i;
    return i;
}

/* Finds the end of a batch.  Return: is there one? */
static bool begin_batch(struct packed_ring *p, struct vh_packed_pos used)
{
    uint64_t word;

    if (!load_used(p, used, &word)) {
        return false;
    }
    p->batch_id = vh_packed_id(word);
    p->batch_len = used_len(word);
    p->ring.broken = check_used(p, p->batch_id, p->batch_len);
    p->in_batch = !p->ring.broken;
    return p->in_batch;
}

/*
 * The end of a batch is in flight, so that steps from one buffer in flight to
 * the next arrive there.  Were it not published yet, the count of those that
 * are would end first.
 */
static unsigned take_in_order(struct packed_ring *p, struct vh_ring_used *out,
                              unsigned n, bool all)
{
    struct vh_packed_pos used = p->used;
    uint32_t size = p->ring.size;
    unsigned n_desc = 0;
    unsigned i;

    for (i = 0; i < n && (p->in_batch || begin_batch(p, used)); i++) {
        struct slot *slot = &p->slots[used.at];
        uint32_t len = slot->in_len;

        if (used.at == p->batch_id) {
            len = p->batch_len;
            p->in_batch = false;
        }
        out[i] = (struct vh_ring_used){ slot->cookie, len };
        n_desc += slot->n_desc;
        used = step_over(used, slot, size);
        slot->cookie = NULL;
    }
    if (all && i == n && p->in_batch) {
        p->ring.broken = "a batch runs past what was made available";
    }
    p->used = used;
    p->ring.n_free += n_desc;
    p->ring.n_inflight -= i;
    return i;
}

static int packed_take(struct vh_ring *ring, struct vh_ring_used *used,
                       unsigned max)
{
    struct packed_ring *p = packed(ring);
    unsigned shown = ring->n_inflight - p->n_new;
    unsigned n = max < shown ? max : shown;

    if (ring->broken) {
        n = 0;
    } else if (p->in_order) {
        n = take_in_order(p, used, n, n == shown);
    } else {
        n = take_some(p, used, n);
    }
    if (n == 0 && ring->broken) {
        p->told = true;
        return -EPROTO;
    }
    return (int)n;
}

/* As in a split ring: there is an error to take, once. */
static bool packed_has_used(const struct vh_ring *ring)
{
    const struct packed_ring *p = (const struct packed_ring *)ring;
    uint64_t word;

    if (ring->broken) {
        return !p->told;
    }
    return ring->n_inflight > p->n_new &&
           (p->in_batch || load_used(p, p->used, &word));
}

static void set_event(struct packed_ring *p, uint16_t off_wrap, uint16_t flags)
{
    uint32_t event = off_wrap | (uint32_t)flags << 16;

    if (p->call_event != event) {
        p->call_event = event;
        vh_packed_event_store(p->areas.driver, off_wrap, flags);
    }
}

static bool packed_enable_call(struct vh_ring *ring)
{
    struct packed_ring *p = packed(ring);

    if (p->event_idx) {
        set_event(p, vh_packed_off_wrap(p->used), VH_EVENT_F_DESC);
    } else {
        set_event(p, 0, VH_EVENT_F_ENABLE);
    }
    /*
     * Our wish before our last reading of the flags; against the device, which
     * writes the flags before it reads our wish (2.8.22).
     */
    vh_full_barrier();
    return packed_has_used(ring);
}

static void packed_disable_call(struct vh_ring *ring)
{
    set_event(packed(ring), 0, VH_EVENT_F_DISABLE);
}

static uint32_t packed_base(const struct vh_ring *ring)
{
    const struct packed_ring *p = (const struct packed_ring *)ring;

    return vh_packed_base(p->used, p->used);
}

static unsigned packed_drop(struct vh_ring *ring, void **cookies, unsigned max)
{
    struct packed_ring *p = packed(ring);
    unsigned n = 0;

    ring->broken = "its buffers were taken back";
    for (uint32_t i = 0; i < ring->size && n < max; i++) {
        if (p->slots[i].cookie) {
            cookies[n++] = p->slots[i].cookie;
            p->slots[i].cookie = NULL;
        }
    }
    ring->n_inflight -= n;
    return n;
}

static void packed_free(struct vh_ring *ring)
{
    free(ring);
}

static const struct vh_ring_ops packed_driver_ops = {
    .add = packed_add,
    .put = packed_put,
    .publish = packed_publish,
    .take = packed_take,
    .enable_call = packed_enable_call,
    .disable_call = packed_disable_call,
    .has_used = packed_has_used,
    .base = packed_base,
    .drop = packed_drop,
    .free = packed_free,
};

/*
 * No descriptor is available or used: each has both bits as the lap before
 * left them.  In zeroed memory that is so in a first lap only.
 */
static void init_flags(struct packed_ring *p)
{
    for (uint32_t i = 0; i < p->ring.size; i++) {
        bool wrap = i < p->next.at ? p->next.wrap : !p->next.wrap;

        p->areas.desc[i].flags = vh_le16(vh_packed_used_flags(wrap));
    }
    *p->areas.driver = 0;
    *p->areas.device = 0;
}

int vh_packed_ring_new(struct vh_ring **ringp,
                       const struct vh_ring_config *config)
{
    void *const where[] = { config->desc, config->driver, config->device };
    uint32_t size = config->size;
    struct vh_packed_pos avail, used;
    struct vh_packed_areas areas;
    struct packed_ring *p;
    int r = vh_packed_areas(&areas, where);

    if (r < 0) {
        return r;
    }
    /* Nothing is in flight in a ring that we begin. */
    if (!vh_packed_base_read(config->base, size, &avail, &used) ||
        avail.at != used.at || avail.wrap != used.wrap) {
        return -EINVAL;
    }
    p = vh_ring_zalloc(sizeof(*p) +
                       size * (sizeof(p->slots[0]) + sizeof(*p->free_ids)));
    if (!p) {
        return -ENOMEM;
    }
    p->ring.ops = &packed_driver_ops;
    p->ring.size = size;
    p->ring.n_free = size;
    p->areas = areas;
    p->next = avail;
    p->used = used;
    p->in_order = config->features >> VH_RING_F_IN_ORDER & 1;
    p->event_idx = config->features >> VH_RING_F_EVENT_IDX & 1;
    p->free_ids = (uint16_t *)(p->slots + size);
    for (uint32_t i = 0; i < size; i++) {
        p->free_ids[i] = (uint16_t)(size - 1 - i);
    }
    if (config->features >> VH_RING_F_INDIRECT_DESC & 1 && config->indirect) {
        p->tables = config->indirect;
        p->tables_gpa = config->indirect_gpa;
        p->table_len = config->indirect_len;
    }
    init_flags(p);
    *ringp = &p->ring;
    return 0;
}
