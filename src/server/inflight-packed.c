/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-flight tracking of a packed ring: vhost-user specification,
 * "QueueRegionPacked".
 *
 * Used descriptors are written over available ones, so each buffer's are
 * copied to entries of the region, which come from a list of free ones.  Every
 * change is made to free_head and used_idx first, and counts once the old_
 * fields have followed, or once the used descriptor at old_used_idx is shown.
 *
 * Unlike the specification's text, entries are freed when their batch is
 * published and not when they are pushed: a buffer that is taken in between
 * would else get, and commit, an entry that is still needed.
 *
 * Our own lists are private; those in the region follow them, and are read
 * only once, when a queue starts.
 */
#include "server/inflight-region.h"

#include "ring/packed.h"
#include "util/atomic.h"

struct pos {
    uint16_t at;
    bool wrap;
};

static struct pos step(struct pos pos, uint32_t n, uint16_t size)
{
    uint32_t at = pos.at + n;

    return at >= size ? (struct pos){ (uint16_t)(at - size), !pos.wrap }
                      : (struct pos){ (uint16_t)at, pos.wrap };
}

static uint32_t base_of(struct pos avail, struct pos used)
{
    return (uint32_t)(avail.at | avail.wrap << 15) |
           (uint32_t)(used.at | used.wrap << 15) << 16;
}

static void store_committed(struct vh_qflight *f)
{
    struct vh_packed_region *region = f->packed;

    VH_WRITE_ONCE(region->old_free_head, f->free_head);
    VH_WRITE_ONCE(region->old_used_wrap_counter, f->wrap);
    vh_store_release(&region->old_used_idx, f->used);
}

static void store_begun(struct vh_qflight *f)
{
    struct vh_packed_region *region = f->packed;

    VH_WRITE_ONCE(region->free_head, f->free_head);
    VH_WRITE_ONCE(region->used_wrap_counter, f->wrap);
    vh_store_release(&region->used_idx, f->used);
}

/* All entries that are not @taken, one after the other. */
static void make_free_list(struct vh_qflight *f, const uint16_t *taken)
{
    uint16_t head = VH_REGION_NONE;

    for (unsigned i = f->size; i-- > 0;) {
        if (!taken || !taken[i]) {
            f->next[i] = head;
            head = (uint16_t)i;
            VH_WRITE_ONCE(f->packed->desc[i].inflight, 0);
            VH_WRITE_ONCE(f->packed->desc[i].next, f->next[i]);
        }
    }
    f->free_head = head;
}

static void init(struct vh_qflight *f, uint32_t base)
{
    f->used = base >> 16 & 0x7fff;
    f->wrap = base >> 31;
    make_free_list(f, NULL);
    f->packed->features = 0;
    f->packed->desc_num = f->size;
    store_begun(f);
    store_committed(f);
    vh_store_release(&f->packed->version, VH_REGION_VERSION);
}

/* Where the last one stood: was its last batch shown? */
static const char *settle(struct vh_qflight *f)
{
    struct vh_packed_region *region = f->packed;
    struct pos old = { VH_READ_ONCE(region->old_used_idx),
                       VH_READ_ONCE(region->old_used_wrap_counter) };
    struct pos now = { VH_READ_ONCE(region->used_idx),
                       VH_READ_ONCE(region->used_wrap_counter) };
    bool shown = false;

    if (old.at >= f->size || now.at >= f->size) {
        return "an in-flight buffer with an index beyond the ring";
    }
    if (old.at != now.at || old.wrap != now.wrap) {
        const struct vh_packed_desc *desc = &f->ring[old.at];
        uint64_t word =
            vh_le64(VH_READ_ONCE(((const uint64_t *)(const void *)desc)[1]));

        shown = (vh_packed_flags(word) & VH_PACKED_F_BOTH) !=
                vh_packed_avail_flags(old.wrap);
    }
    f->free_head = VH_READ_ONCE(region->old_free_head);
    if (shown) {
        f->free_head = VH_READ_ONCE(region->free_head);
        old = now;
    }
    f->used = old.at;
    f->wrap = old.wrap;
    return NULL;
}

/* Marks the entries of the free list; they are in flight no more. */
static void mark_free(struct vh_qflight *f, uint16_t *state)
{
    uint16_t at = f->free_head;

    for (unsigned n = 0; n < f->size && at < f->size && !state[at]; n++) {
        state[at] = 2;
        at = VH_READ_ONCE(f->packed->desc[at].next);
    }
}

/* The entries of a buffer that was left: marks them as taken. */
static const char *mark_taken(struct vh_qflight *f, uint16_t *state,
                              uint16_t head, uint32_t *total)
{
    uint16_t n = VH_READ_ONCE(f->packed->desc[head].num);
    uint16_t at = head;

    if (n == 0) {
        return "an in-flight buffer with a request of no descriptors";
    }
    for (; n > 0; n--) {
        if (at >= f->size || state[at]) {
            return "an in-flight buffer whose entries do not hang together";
        }
        state[at] = 1;
        ++*total;
        f->next[at] = VH_READ_ONCE(f->packed->desc[at].next);
        f->last[head] = at;
        f->num[head]++;
        at = f->next[at];
    }
    return NULL;
}

static const char *collect(struct vh_qflight *f, uint16_t *state,
                           uint32_t *total)
{
    const char *wrong = NULL;

    mark_free(f, state);
    for (uint16_t i = 0; i < f->size && !wrong; i++) {
        struct vh_packed_state *entry = &f->packed->desc[i];

        if (!state[i] && VH_READ_ONCE(entry->inflight) == 1) {
            wrong = mark_taken(f, state, i, total);
            f->left[f->n_left++] =
                (struct vh_left){ .counter = VH_READ_ONCE(entry->counter),
                                  .entry = i };
        }
    }
    for (unsigned i = 0; i < f->size; i++) {
        state[i] = state[i] == 1;
    }
    return wrong;
}

const char *vh_flight_packed_recover(struct vh_qflight *f,
                                     struct vh_devring_config *config)
{
    uint16_t version = VH_READ_ONCE(f->packed->version);
    uint16_t *state = f->batch; /* of no other use yet, and zeroed */
    uint32_t total = 0;
    struct pos used;
    const char *wrong;

    f->ring = config->desc;
    if (version == 0) {
        init(f, config->base);
        return NULL;
    }
    if (version != VH_REGION_VERSION ||
        VH_READ_ONCE(f->packed->desc_num) != f->size) {
        return "an in-flight buffer of another version, or size of queue";
    }
    wrong = settle(f);
    if (!wrong) {
        wrong = collect(f, state, &total);
    }
    if (wrong) {
        return wrong;
    }
    make_free_list(f, state);
    store_begun(f);
    store_committed(f);
    f->n_out = total;
    used = (struct pos){ f->used, f->wrap };
    config->base = base_of(step(used, total, f->size), used);
    return NULL;
}

void vh_flight_packed_held(struct vh_qflight *f, uint16_t entry,
                           struct vh_held *held)
{
    uint16_t at = entry;

    held->n = f->num[entry];
    held->descs = f->descs;
    for (uint16_t i = 0; i < held->n; i++) {
        const struct vh_packed_state *state = &f->packed->desc[at];

        f->descs[i] = (struct vh_desc){ .addr = VH_READ_ONCE(state->addr),
                                        .len = VH_READ_ONCE(state->len),
                                        .flags = VH_READ_ONCE(state->flags) };
        held->id = VH_READ_ONCE(state->id); /* the last one's counts */
        at = f->next[at];
    }
    if (held->id < f->size) {
        f->entry_of[held->id] = entry;
    }
}

/* From one to the other; they are not the same. */
static uint32_t distance(struct pos from, struct pos to, uint16_t size)
{
    return to.wrap == from.wrap ? (uint32_t)(to.at - from.at)
                                : (uint32_t)(to.at + size - from.at);
}

const char *vh_flight_packed_took(struct vh_qflight *f, uint16_t id,
                                  uint32_t at, uint32_t behind)
{
    struct pos pos = { at & 0x7fff, at >> 15 & 1 };
    struct pos end = { behind & 0x7fff, behind >> 15 & 1 };
    uint16_t n = (uint16_t)distance(pos, end, f->size);
    uint16_t entry = f->free_head;
    struct vh_packed_state *head;

    /* So many entries are free; and there is one. */
    if (n > f->size - f->n_out) {
        return "more descriptors available than the ring has";
    }
    f->n_out += n;
    head = &f->packed->desc[entry];
    f->entry_of[id] = entry;
    VH_WRITE_ONCE(head->counter, f->counter);
    f->counter++;
    vh_store_release(&head->inflight, 1);
    for (uint16_t i = 0; i < n; i++) {
        struct vh_packed_state *state = &f->packed->desc[entry];
        const uint64_t *desc = (const uint64_t *)(const void *)&f->ring[pos.at];
        uint64_t word = vh_le64(VH_READ_ONCE(desc[1]));

        state->addr = vh_le64(VH_READ_ONCE(desc[0]));
        state->len = vh_packed_len(word);
        state->flags = vh_packed_flags(word);
        state->id = id;
        f->last[f->entry_of[id]] = entry;
        entry = f->next[entry];
        pos = step(pos, 1, f->size);
    }
    f->num[f->entry_of[id]] = n;
    VH_WRITE_ONCE(head->last, f->last[f->entry_of[id]]);
    VH_WRITE_ONCE(head->num, n);
    f->free_head = entry;
    VH_WRITE_ONCE(f->packed->free_head, entry);
    vh_store_release(&f->packed->old_free_head, entry);
    return NULL;
}

void vh_flight_packed_publish(struct vh_qflight *f)
{
    struct pos used = { f->used, f->wrap };

    for (unsigned i = 0; i < f->n_batch; i++) {
        uint16_t entry = f->batch[i];
        uint16_t last = f->last[entry];

        f->next[last] = f->free_head;
        VH_WRITE_ONCE(f->packed->desc[last].next, f->free_head);
        f->free_head = entry;
        used = step(used, f->num[entry], f->size);
    }
    f->used = used.at;
    f->wrap = used.wrap;
    store_begun(f);
}

void vh_flight_packed_published(struct vh_qflight *f)
{
    for (unsigned i = 0; i < f->n_batch; i++) {
        VH_WRITE_ONCE(f->packed->desc[f->batch[i]].inflight, 0);
        f->n_out -= f->num[f->batch[i]];
    }
    store_committed(f);
}
