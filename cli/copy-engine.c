/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A chunk under way is a slot, which goes through phases:
 *
 *     copy     READ -> WRITE -> FREE          a chunk of zeroes: READ -> ZERO
 *     hole             ZERO  -> FREE          (nothing to read)
 *     compare  READ -> READ_BACK -> FREE
 *     at last          FLUSH -> FREE
 *
 * Each phase is one request to one end, but ZERO, which may take several.  A
 * file answers at once and a device later, so a slot runs on until it has
 * posted something; its completion makes it run again.  A slot that found a
 * queue full stays as it is and tries again once something has completed.
 *
 * Slots are started in the order of the source.  Hence, when the first
 * difference shows, all that lies before it is under way already: the engine
 * starts nothing more, waits for the rest, and knows the lowest difference.
 *
 * The buffers are one piece of shared memory, mapped into both devices, so
 * data from device to device is never copied here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/memory.h>

#include "copy-engine.h"
#include "out.h"
#include "system.h"

/* What chunks begin and end at multiples of, at least. */
#define ALIGN_MIN 4096u
#define HOLE_MAX (UINT64_C(1) << 30)
#define SLICE_MS 100
#define REAP_MAX 64u

enum phase { FREE, READ, WRITE, ZERO, READ_BACK, FLUSH };

struct slot {
    enum phase phase;
    bool posted;
    unsigned lane;
    uint64_t offset;
    uint64_t len;  /* of the source */
    uint64_t done; /* ZERO: of len, rounded up to blocks of the target */
    uint64_t step; /* ZERO: under way */
    char *data;
    char *back; /* compare only */
};

struct engine {
    const struct engine_job *job;
    struct engine_result *result;
    struct vhost_memory_section memory;
    struct slot *slots;
    char *zeroes;
    uint64_t align;
    uint64_t chunk;
    uint64_t cursor;
    uint64_t finished;
    uint64_t last_completion;
    bool failed;
};

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static void fail(struct engine *g, const struct end *e, int r)
{
    if (g->failed) {
        return; /* the first error is the cause */
    }
    g->failed = true;
    if (r == -ENODATA) {
        out_error("%s: it became shorter while it was read", e->name);
    } else if (r == -E2BIG) {
        out_error("%s: requests of this size do not fit its queue; try a "
                  "smaller --block-size",
                  e->name);
    } else {
        out_error("%s: %s", e->name, strerror(-r));
    }
}

static struct end *end_of(struct engine *g, const struct slot *s)
{
    return s->phase == READ ? g->job->src : g->job->dst;
}

/* A slot has done its part of the work. */
static void finish(struct engine *g, struct slot *s)
{
    if (s->phase != FLUSH) {
        g->finished += s->len;
        progress_bytes(g->job->progress, g->finished);
    }
    s->phase = FREE;
}

static void compare(struct engine *g, const struct slot *s)
{
    struct engine_result *result = g->result;
    uint64_t i = 0;

    if (memcmp(s->data, s->back, s->len) == 0) {
        return;
    }
    while (s->data[i] == s->back[i]) {
        i++;
    }
    if (!result->differs || s->offset + i < result->mismatch) {
        result->differs = true;
        result->mismatch = s->offset + i;
    }
}

static void after_read(struct engine *g, struct slot *s)
{
    uint64_t padded = round_up(s->len, g->job->dst->block);

    if (g->job->compare) {
        s->phase = READ_BACK;
        return;
    }
    memset(s->data + s->len, 0, padded - s->len);
    s->done = 0;
    s->phase = copy_is_zero(s->data, s->len) ? ZERO : WRITE;
}

/* The request of the slot's phase is done. */
static void next_phase(struct engine *g, struct slot *s)
{
    switch (s->phase) {
    case READ:
        after_read(g, s);
        break;
    case ZERO:
        s->done += s->step;
        if (s->done >= s->len) {
            g->result->zero_bytes += s->len;
            finish(g, s);
        }
        break;
    case READ_BACK:
        compare(g, s);
        finish(g, s);
        break;
    default:
        finish(g, s);
        break;
    }
}

/* Starts the request of the slot's phase. */
static int start(struct engine *g, struct slot *s)
{
    struct end *e = end_of(g, s);
    struct end_io io = { .lane = s->lane, .offset = s->offset, .cookie = s };
    uint64_t padded = round_up(s->len, e->block);

    switch (s->phase) {
    case READ:
        return end_read(e, &io, s->data, padded);
    case WRITE:
        return end_write(e, &io, s->data, padded);
    case ZERO:
        io.offset += s->done;
        s->step = padded - s->done;
        return end_zero(e, &io, g->zeroes, g->chunk, &s->step);
    case READ_BACK:
        return end_read(e, &io, s->back, padded);
    case FLUSH:
        return end_flush(e, &io);
    default:
        return -EINVAL;
    }
}

/* Lets a slot run until it has posted something or is free. */
static void run_slot(struct engine *g, struct slot *s)
{
    while (s->phase != FREE && !g->failed) {
        struct end *e = end_of(g, s);
        int r = start(g, s);

        if (r == -EAGAIN) {
            return;
        }
        if (r < 0) {
            fail(g, e, r);
            return;
        }
        if (r == 0) {
            s->posted = true;
            return;
        }
        next_phase(g, s);
    }
}

static void complete(struct engine *g, const struct vhost_completion *done)
{
    struct slot *s = done->cookie;
    struct end *e = end_of(g, s);

    s->posted = false;
    if (done->result == -ENOTSUP && s->phase == ZERO && e->can_zero) {
        /* It offers what it can't do: from now on zeroes are written. */
        e->can_zero = false;
    } else if (done->result < 0) {
        fail(g, e, done->result);
    } else {
        next_phase(g, s);
    }
}

/* Gives a free slot the next piece of the source. */
static void claim(struct engine *g, struct slot *s)
{
    bool is_hole = false;
    uint64_t end = end_segment(g->job->src, g->cursor, g->align, &is_hole);
    uint64_t max = is_hole && !g->job->compare ? HOLE_MAX : g->chunk;
    uint64_t len = end - g->cursor;

    s->offset = g->cursor;
    s->len = len < max ? len : max;
    s->done = 0;
    g->cursor += s->len;
    if (!is_hole) {
        s->phase = READ;
    } else if (g->job->compare) {
        memset(s->data, 0, s->len);
        s->phase = READ_BACK;
    } else {
        s->phase = ZERO;
    }
}

/* Is there something left to start? */
static bool has_more(const struct engine *g)
{
    return g->cursor < g->job->src->size && !g->result->differs;
}

static void run_slots(struct engine *g)
{
    for (unsigned i = 0; i < g->job->depth && !g->failed; i++) {
        struct slot *s = &g->slots[i];

        if (s->phase != FREE && !s->posted) {
            run_slot(g, s);
        }
        while (s->phase == FREE && has_more(g) && !g->failed) {
            claim(g, s);
            run_slot(g, s);
        }
    }
}

static bool is_over(const struct engine *g)
{
    if (has_more(g)) {
        return false;
    }
    for (unsigned i = 0; i < g->job->depth; i++) {
        if (g->slots[i].phase != FREE) {
            return false;
        }
    }
    return true;
}

static unsigned reap(struct engine *g, struct end *e)
{
    struct vhost_completion done[REAP_MAX];
    int n = end_reap(e, done, REAP_MAX);

    if (n < 0) {
        g->failed = true;
        return 0;
    }
    for (int i = 0; i < n; i++) {
        complete(g, &done[i]);
    }
    return (unsigned)n;
}

static void check_time(struct engine *g)
{
    struct end *e = g->job->src->in_flight > 0 ? g->job->src : g->job->dst;
    uint64_t limit = (uint64_t)g->job->request_ms * 1000000u;

    if (system_now() - g->last_completion > limit) {
        g->failed = true;
        e->hangs = true;
        out_error("%s: none of its requests completed within %u ms", e->name,
                  g->job->request_ms);
    }
}

static void wait_for_work(struct engine *g)
{
    struct pollfd fds[2 * (END_QUEUES_MAX + 1)];
    unsigned n = end_add_fds(g->job->src, fds);

    n += end_add_fds(g->job->dst, fds + n);
    /* The slice is short: a lost signal of the device must not stall us. */
    if (poll(fds, n, SLICE_MS) < 0 && errno != EINTR) {
        fail(g, g->job->dst, -errno);
    }
    if (!end_check(g->job->src) || !end_check(g->job->dst)) {
        g->failed = true;
    }
}

/* Runs all slots until they are free and the source is at its end. */
static void run_all(struct engine *g)
{
    g->last_completion = system_now();
    for (;;) {
        run_slots(g);
        if (g->failed || is_over(g)) {
            return;
        }
        if (system_interrupted()) {
            out_error("interrupted");
            g->failed = true;
        } else if (reap(g, g->job->src) + reap(g, g->job->dst) > 0) {
            g->last_completion = system_now();
        } else if (!g->failed) {
            check_time(g);
            wait_for_work(g);
        }
    }
}

/* Lets both ends see the buffers. */
static bool map_memory(struct engine *g, struct end *e)
{
    struct vhost_error *err = NULL;

    if (e->disk && vhost_blk_map(e->disk, g->memory.hva, g->memory.size,
                                 g->memory.fd, g->memory.fd_offset, &err) < 0) {
        out_library_error(err);
        return false;
    }
    return true;
}

static void unmap_memory(struct engine *g, struct end *e)
{
    if (e->disk) {
        vhost_blk_unmap(e->disk, g->memory.hva, NULL);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Chunks are whole blocks of both ends, and no larger than one request. */
static bool choose_chunk(struct engine *g)
{
    const struct engine_job *job = g->job;
    uint64_t chunk =
        least(job->chunk, least(job->src->max_request, job->dst->max_request));

    g->align = ALIGN_MIN;
    while (g->align < job->src->block || g->align < job->dst->block) {
        g->align *= 2;
    }
    if (g->align % job->src->block != 0 || g->align % job->dst->block != 0) {
        out_error("%s: blocks of %u bytes are not supported", job->dst->name,
                  job->dst->block);
        return false;
    }
    chunk &= ~(g->align - 1);
    g->chunk = chunk > 0 ? chunk : g->align;
    return true;
}

static bool prepare(struct engine *g)
{
    const struct engine_job *job = g->job;
    size_t buffers = (job->compare ? 2 : 1) * (size_t)job->depth + 1;
    struct vhost_error *err = NULL;
    char *p;

    if (!choose_chunk(g)) {
        return false;
    }
    g->slots = calloc(job->depth, sizeof(*g->slots));
    if (!g->slots) {
        out_error("out of memory");
        return false;
    }
    if (vhost_memory_alloc(&g->memory, buffers * g->chunk, 0, &err) < 0) {
        out_library_error(err);
        return false;
    }
    p = g->memory.hva;
    g->zeroes = p;
    for (unsigned i = 0; i < job->depth; i++) {
        g->slots[i].lane = i;
        g->slots[i].data = p += g->chunk;
        g->slots[i].back = job->compare ? p += g->chunk : NULL;
    }
    return map_memory(g, job->src) && map_memory(g, job->dst);
}

bool engine_run(const struct engine_job *job, struct engine_result *result)
{
    struct engine g = { .job = job, .result = result, .memory.fd = -1 };

    *result = (struct engine_result){ 0 };
    g.failed = !prepare(&g);
    if (!g.failed) {
        run_all(&g);
    }
    if (!g.failed && !job->compare) {
        g.slots[0].phase = FLUSH;
        run_all(&g);
    }
    free(g.slots);
    if (g.failed) {
        /* Requests in flight may use the memory still, and a device that
         * hangs would not let go of it: it stays until the program ends. */
        return false;
    }
    unmap_memory(&g, job->src);
    unmap_memory(&g, job->dst);
    vhost_memory_free(&g.memory);
    return true;
}
