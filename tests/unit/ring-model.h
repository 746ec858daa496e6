/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a ring promises, and nothing of how: buffers come out in the order that
 * they went in, come back in the order that they were pushed (or, in order, in
 * that one), each once, with what was written; and whoever sleeps is called.
 *
 * The positions of both sides are counted in descriptors, and become a base by
 * division: what wrap counters count, without one.
 */
#ifndef VH_TESTS_RING_MODEL_H
#define VH_TESTS_RING_MODEL_H

#include "ring-rig.h"

#define MAX_SG 12 /* more than RIG_TABLE, so that some tables are too small */

struct buf {
    struct vh_sg sg[MAX_SG];
    unsigned n_out;
    unsigned n_in;
    uint32_t in_len;
    uint32_t written;
    uint32_t n_desc; /* of the ring */
    uint16_t id;     /* as popped */
    bool done;       /* pushed */
    bool dropped;
};

/* A list with as many places as the ring has entries. */
struct list {
    struct buf **at;
    uint32_t size;
    uint32_t first;
    uint32_t n;
};

struct model {
    struct rig rig;
    uint64_t random;
    unsigned max_sg;
    struct buf *bufs;
    struct list idle;
    struct list prepared; /* added, not published */
    struct list avail;    /* published, not popped */
    struct list popped;   /* not pushed */
    struct list pushed;   /* not shown: as pushed; in order: as popped */
    struct list used;     /* shown, not taken */
    uint32_t start;       /* the base that both began at */
    uint64_t pos_popped;  /* descriptors since then; split: buffers */
    uint64_t pos_shown;
    uint64_t pos_taken;
    bool device_sleeps;
    bool driver_sleeps;
    bool kicks_off; /* since the last disable_kick() */
    bool calls_off;
    uint64_t n_added;
    uint64_t n_unwanted; /* kicks and calls while off */
};

static inline struct list list_new(uint32_t size)
{
    struct list list = { .size = size };

    list.at = calloc(size, sizeof(struct buf *));
    assert_non_null(list.at);
    return list;
}

static inline void list_put(struct list *list, struct buf *buf)
{
    assert_true(list->n < list->size);
    list->at[(list->first + list->n++) % list->size] = buf;
}

static inline struct buf *list_first(const struct list *list)
{
    assert_true(list->n > 0);
    return list->at[list->first];
}

static inline struct buf *list_get(struct list *list)
{
    struct buf *buf = list_first(list);

    list->first = (list->first + 1) % list->size;
    list->n--;
    return buf;
}

static inline void list_move(struct list *to, struct list *from)
{
    while (from->n > 0) {
        list_put(to, list_get(from));
    }
}

/* Any one of them: the first takes its place. */
static inline struct buf *list_pick(struct list *list, uint64_t *random)
{
    uint32_t i = (list->first + rig_below(random, list->n)) % list->size;
    struct buf *buf = list->at[i];

    list->at[i] = list->at[list->first];
    list->at[list->first] = buf;
    return list_get(list);
}

/* Half a base, @n descriptors after another half. */
static inline uint32_t model_half(const struct model *m, uint32_t start,
                                  uint64_t n)
{
    uint64_t lap = m->rig.size;
    uint64_t at = (start & 0x7fff) + (start >> 15 & 1 ? 0 : lap) + n;

    return (uint32_t)(at % lap | (at / lap % 2 ? 0 : 0x8000));
}

/* A base, with the device's two positions @avail and @used from the start. */
static inline uint32_t model_base(const struct model *m, uint64_t avail,
                                  uint64_t used)
{
    if (!rig_has(&m->rig, VH_RING_F_PACKED)) {
        return (uint16_t)(m->start + avail);
    }
    return model_half(m, m->start, avail) | model_half(m, m->start >> 16, used)
                                                << 16;
}

/* How far a buffer moves a position. */
static inline uint64_t model_step_of(const struct model *m,
                                     const struct buf *buf)
{
    return rig_has(&m->rig, VH_RING_F_PACKED) ? buf->n_desc : 1;
}

static inline void model_init(struct model *m, uint32_t size, uint64_t features,
                              uint32_t base)
{
    memset(m, 0, sizeof(*m));
    rig_init(&m->rig, size, features, base);
    m->start = base;
    m->random = 88172645463325252u + size + base + features;
    m->max_sg = size < MAX_SG ? size : MAX_SG;
    m->bufs = calloc(size, sizeof(*m->bufs));
    assert_non_null(m->bufs);
    m->idle = list_new(size);
    m->prepared = list_new(size);
    m->avail = list_new(size);
    m->popped = list_new(size);
    m->pushed = list_new(size);
    m->used = list_new(size);
    for (uint32_t i = 0; i < size; i++) {
        list_put(&m->idle, &m->bufs[i]);
    }
}

static inline void model_cleanup(struct model *m)
{
    free(m->bufs);
    free(m->idle.at);
    free(m->prepared.at);
    free(m->avail.at);
    free(m->popped.at);
    free(m->pushed.at);
    free(m->used.at);
    rig_cleanup(&m->rig);
}

#endif
