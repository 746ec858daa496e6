/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log of a map: on, off, larger, smaller, and read meanwhile.
 *
 * No bit is lost when the log is replaced, because nothing depends on the
 * moment at which a back end changes over.  The old log is *retired*: as long
 * as anybody holds it, each sync first moves its bits into the current one,
 * and when the last holder lets go they are moved for the last time.  A back
 * end that does not answer goes on holding both.
 *
 *     current   the map's own hold, and one for each back end that writes
 *     retired   those of back ends that may write there still
 *
 * What may be reported is the *view*: the pages of the map's sections at the
 * last commit.  A sync takes the view and works without the lock, so that
 * neither its sink nor its length holds up a commit.
 *
 * If the log can't grow with the map it is given up: every device stops
 * logging, since back ends may not mark beyond its end, and the sync says so.
 * A migration that fails harms less than a device that does.
 */
#include "mem/map-inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

#define SPARE 512 /* chunks: one page of the log, for 128 MiB of memory */

struct range {
    uint64_t first; /* page */
    uint64_t n;
};

struct vh_log_view {
    unsigned refs;
    struct vh_dirty *dirty; /* held */
    size_t n;
    struct range ranges[]; /* rising, and no two touch */
};

void vh_map_log_init(struct vh_map_log *log)
{
    pthread_mutex_init(&log->lock, NULL);
    TAILQ_INIT(&log->retired);
}

/* A dirty log is put with the lock held. */
static void put_dirty(struct vh_map_log *log, struct vh_dirty *dirty)
{
    if (--dirty->log.refcnt > 0) {
        return;
    }
    if (dirty->retired) {
        TAILQ_REMOVE(&log->retired, dirty, entry);
        vh_dirty_move(log->current, dirty);
    }
    vh_dirty_free(dirty);
}

static void put_view(struct vh_map_log *log, struct vh_log_view *view)
{
    if (view && --view->refs == 0) {
        put_dirty(log, view->dirty);
        free(view);
    }
}

/* The sections' pages; those that touch are one range. */
static struct vh_log_view *view_new(const struct vh_mem_snapshot *snapshot)
{
    struct vh_log_view *view =
        calloc(1, sizeof(*view) + snapshot->n * sizeof(view->ranges[0]));

    if (!view) {
        return NULL;
    }
    view->refs = 1;
    for (size_t i = 0; i < snapshot->n; i++) {
        const struct vhost_memory_section *s = &snapshot->sections[i];
        uint64_t first = s->gpa / VHOST_LOG_PAGE;
        uint64_t last = (s->gpa + (s->size - 1)) / VHOST_LOG_PAGE;
        struct range *before = view->n ? &view->ranges[view->n - 1] : NULL;

        if (before && first <= before->first + before->n) {
            before->n = last - before->first + 1;
        } else {
            view->ranges[view->n++] = (struct range){ first, last - first + 1 };
        }
    }
    return view;
}

/* With the lock held. */
static void set_view(struct vh_map_log *log, struct vh_log_view *view)
{
    struct vh_log_view *old = log->view;

    view->dirty = log->current;
    view->dirty->log.refcnt++;
    log->view = view;
    put_view(log, old);
}

/* Back ends see whole pages of the file, and so they may mark them. */
static uint64_t chunks_needed(const struct vh_mem_snapshot *snapshot)
{
    const struct vhost_memory_section *s;
    uint64_t last;

    if (snapshot->n == 0) {
        return 1;
    }
    s = &snapshot->sections[snapshot->n - 1];
    last = s->gpa + (s->size - 1);
    if (s->page_size > 1) {
        last |= s->page_size - 1;
    }
    return last / VHOST_LOG_CHUNK + 1;
}

/* With some to spare, so that it need not be replaced at each change. */
static uint64_t ample(uint64_t chunks)
{
    return (chunks + SPARE - 1) / SPARE * SPARE + SPARE;
}

/* Takes over @dirty and @view. */
static void replace(struct vh_map_log *log, struct vh_dirty *dirty,
                    struct vh_log_view *view)
{
    struct vh_dirty *old;

    pthread_mutex_lock(&log->lock);
    old = log->current;
    log->current = dirty;
    if (old) {
        TAILQ_INSERT_TAIL(&log->retired, old, entry);
        old->retired = true;
    }
    set_view(log, view);
    if (old) {
        put_dirty(log, old);
    }
    pthread_mutex_unlock(&log->lock);
}

static bool is_on(const struct vhost_memory_map *map)
{
    return map->log.current && map->log.fault == 0;
}

static int tell(struct vh_mem_listener *l, bool on, struct vhost_error **errp)
{
    return l->ops->log ? l->ops->log(l, on, errp) : 0;
}

/* All of them, even if one fails. */
static int tell_all(struct vhost_memory_map *map, bool on,
                    struct vhost_error **errp)
{
    struct vh_mem_listener *l;
    int result = 0;

    TAILQ_FOREACH (l, &map->listeners, entry) {
        int r = tell(l, on, result < 0 ? NULL : errp);

        result = result < 0 ? result : r;
    }
    return result;
}

static void give_up(struct vhost_memory_map *map, int why)
{
    pthread_mutex_lock(&map->log.lock);
    map->log.fault = why;
    pthread_mutex_unlock(&map->log.lock);
    tell_all(map, false, NULL);
}

static int resize(struct vhost_memory_map *map, uint64_t chunks)
{
    struct vh_log_view *view = view_new(map->current);
    struct vh_dirty *dirty;
    int r = view ? vh_dirty_new(&dirty, chunks, VH_DIRTY_BYTES) : -ENOMEM;

    if (r < 0) {
        free(view);
        return r;
    }
    replace(&map->log, dirty, view);
    return tell_all(map, true, NULL);
}

static int renew_view(struct vhost_memory_map *map)
{
    struct vh_log_view *view = view_new(map->current);

    if (!view) {
        return -ENOMEM;
    }
    pthread_mutex_lock(&map->log.lock);
    set_view(&map->log, view);
    pthread_mutex_unlock(&map->log.lock);
    return 0;
}

void vh_map_log_before_commit(struct vhost_memory_map *map)
{
    uint64_t needed = chunks_needed(map->current);
    int r;

    if (!is_on(map)) {
        return;
    }
    r = needed > map->log.current->log.size ? resize(map, ample(needed))
                                            : renew_view(map);
    if (r < 0) {
        give_up(map, r);
    }
}

void vh_map_log_after_commit(struct vhost_memory_map *map)
{
    uint64_t wanted = ample(chunks_needed(map->current));

    /* Whoever fails to change over goes on in the larger one, or is gone. */
    if (is_on(map) && map->log.current->log.size > wanted + SPARE) {
        resize(map, wanted);
    }
}

int vh_map_log_attach(struct vhost_memory_map *map,
                      struct vh_mem_listener *listener,
                      struct vhost_error **errp)
{
    return is_on(map) ? tell(listener, true, errp) : 0;
}

/* Nobody but those that hold them knows of the logs after this. */
static void forget(struct vh_map_log *log)
{
    struct vh_dirty *dirty, *current;

    pthread_mutex_lock(&log->lock);
    while ((dirty = TAILQ_FIRST(&log->retired)) != NULL) {
        TAILQ_REMOVE(&log->retired, dirty, entry);
        dirty->retired = false;
    }
    current = log->current;
    log->current = NULL;
    log->fault = 0;
    put_view(log, log->view);
    log->view = NULL;
    if (current) {
        put_dirty(log, current);
    }
    pthread_mutex_unlock(&log->lock);
}

void vh_map_log_destroy(struct vh_map_log *log)
{
    forget(log);
    pthread_mutex_destroy(&log->lock);
}

static int check_listeners(const struct vhost_memory_map *map,
                           struct vhost_error **errp)
{
    struct vh_mem_listener *l;

    TAILQ_FOREACH (l, &map->listeners, entry) {
        const char *why = l->ops->log_blocker ? l->ops->log_blocker(l) : NULL;

        if (why) {
            return vh_error(errp, -ENOTSUP, "log start", VH_NO_QUEUE,
                            "a device can't log what it writes: %s", why);
        }
    }
    return 0;
}

static int make_log(struct vhost_memory_map *map, struct vhost_error **errp)
{
    struct vh_log_view *view = view_new(map->current);
    struct vh_dirty *dirty;
    int r =
        view ? vh_dirty_new(&dirty, chunks_needed(map->current), VH_DIRTY_BYTES)
             : -ENOMEM;

    if (r < 0) {
        free(view);
        return vh_error(errp, r, "log start", VH_NO_QUEUE,
                        "no dirty log for memory up to %#llx: %s",
                        (unsigned long long)chunks_needed(map->current) *
                            VHOST_LOG_CHUNK,
                        strerror(-r));
    }
    replace(&map->log, dirty, view);
    return 0;
}

/* One has ended with @r; the first failure is kept, with its words. */
static void told(struct vh_map_turn *turn, int r,
                 const struct vhost_error *error)
{
    if (r < 0 && turn->result == 0) {
        turn->result = r;
        vh_error_copy(&turn->error, error);
    }
}

/* Return: whether some have not ended. */
static bool tell_turn(struct vhost_memory_map *map)
{
    struct vh_map_turn *turn = &map->turn;
    struct vh_mem_listener *l;

    TAILQ_FOREACH (l, &map->listeners, entry) {
        struct vhost_error *error = NULL;
        int r = turn->done && l->ops->log_later
                    ? l->ops->log_later(l, turn->on, &error)
                    : tell(l, turn->on, &error);

        if (r == -EINPROGRESS) {
            turn->n++;
        } else {
            told(turn, r, error);
        }
        vh_error_clear(&error);
    }
    return turn->n > 0;
}

/*
 * All have ended, or nobody had to.  One that can't log ends it for all.
 * Return: -EINPROGRESS, or the result.
 */
static int end_turn(struct vhost_memory_map *map, struct vhost_error **errp)
{
    struct vh_map_turn turn;

    if (map->turn.on && map->turn.result < 0) {
        map->turn.on = false;
        if (tell_turn(map)) {
            return -EINPROGRESS;
        }
    }
    turn = map->turn;
    if (!turn.on) {
        forget(&map->log);
    }
    map->turn = (struct vh_map_turn){ .n = 0 };
    map->committing = false;
    vh_error_move(errp, &turn.error);
    vh_error_clear(&turn.error);
    return turn.result;
}

static int begin_turn(struct vhost_memory_map *map, const struct vh_map_turn *t,
                      struct vhost_error **errp)
{
    map->turn = *t;
    map->committing = true;
    return tell_turn(map) ? -EINPROGRESS : end_turn(map, errp);
}

void vh_memory_map_log_told(struct vhost_memory_map *map, int r,
                            const struct vhost_error *error)
{
    vhost_memory_done_fn *done = map->turn.done;
    void *opaque = map->turn.opaque;
    struct vhost_error *why = NULL;

    told(&map->turn, r, error);
    if (--map->turn.n > 0) {
        return;
    }
    r = end_turn(map, &why);
    if (r != -EINPROGRESS) {
        done(map, r, why, opaque);
    }
    vh_error_clear(&why);
}

static int log_start(struct vhost_memory_map *map, const struct vh_map_turn *t,
                     struct vhost_error **errp)
{
    int r;

    assert(!map->in_transaction && !map->committing);
    if (map->log.current) {
        return map->log.fault < 0
                   ? vh_error(errp, map->log.fault, "log start", VH_NO_QUEUE,
                              "the log was given up: stop it first")
                   : 0;
    }
    r = check_listeners(map, errp);
    if (r == 0) {
        r = make_log(map, errp);
    }
    return r < 0 ? r : begin_turn(map, t, errp);
}

static int log_stop(struct vhost_memory_map *map, const struct vh_map_turn *t,
                    struct vhost_error **errp)
{
    assert(!map->in_transaction && !map->committing);
    return map->log.current ? begin_turn(map, t, errp) : 0;
}

int vhost_log_start(struct vhost_memory_map *map, struct vhost_error **errp)
{
    return log_start(map, &(struct vh_map_turn){ .on = true }, errp);
}

int vhost_log_stop(struct vhost_memory_map *map, struct vhost_error **errp)
{
    return log_stop(map, &(struct vh_map_turn){ .on = false }, errp);
}

int vhost_log_start_async(struct vhost_memory_map *map,
                          vhost_memory_done_fn *done, void *opaque,
                          struct vhost_error **errp)
{
    const struct vh_map_turn turn = { .on = true,
                                      .done = done,
                                      .opaque = opaque };

    return log_start(map, &turn, errp);
}

int vhost_log_stop_async(struct vhost_memory_map *map,
                         vhost_memory_done_fn *done, void *opaque,
                         struct vhost_error **errp)
{
    const struct vh_map_turn turn = { .done = done, .opaque = opaque };

    return log_stop(map, &turn, errp);
}

struct vhost_log *vh_memory_map_log_get(struct vhost_memory_map *map)
{
    struct vhost_log *log = NULL;

    pthread_mutex_lock(&map->log.lock);
    if (is_on(map)) {
        log = &map->log.current->log;
        log->refcnt++;
    }
    pthread_mutex_unlock(&map->log.lock);
    return log;
}

void vh_memory_map_log_put(struct vhost_memory_map *map, struct vhost_log *log)
{
    if (log) {
        pthread_mutex_lock(&map->log.lock);
        put_dirty(&map->log, (struct vh_dirty *)log);
        pthread_mutex_unlock(&map->log.lock);
    }
}

/* All that is retired goes into the current one, and the view is held. */
static int begin_sync(struct vh_map_log *log, struct vh_log_view **viewp,
                      struct vhost_error **errp)
{
    struct vh_dirty *dirty;
    int r = 0;

    pthread_mutex_lock(&log->lock);
    if (!log->current) {
        r = vh_error(errp, -EINVAL, "log sync", VH_NO_QUEUE,
                     "the dirty log is off");
    } else if (log->fault < 0) {
        r = vh_error(errp, log->fault, "log sync", VH_NO_QUEUE,
                     "the dirty log was given up at a change of the memory: "
                     "all of it must be taken for dirty");
    } else {
        TAILQ_FOREACH (dirty, &log->retired, entry) {
            vh_dirty_move(log->current, dirty);
        }
        *viewp = log->view;
        log->view->refs++;
    }
    pthread_mutex_unlock(&log->lock);
    return r;
}

static void end_sync(struct vh_map_log *log, struct vh_log_view *view)
{
    pthread_mutex_lock(&log->lock);
    put_view(log, view);
    pthread_mutex_unlock(&log->lock);
}

int vhost_log_sync(struct vhost_memory_map *map, vhost_log_sink_fn *sink,
                   void *opaque, struct vhost_error **errp)
{
    struct vh_dirty_run run = { .sink = sink, .opaque = opaque };
    struct vh_log_view *view = NULL;
    int r = begin_sync(&map->log, &view, errp);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < view->n; i++) {
        vh_dirty_fetch(view->dirty, view->ranges[i].first, view->ranges[i].n,
                       &run);
    }
    vh_dirty_run_end(&run);
    end_sync(&map->log, view);
    return 0;
}

int vhost_log_sync_bitmap(struct vhost_memory_map *map, uint64_t *bitmap,
                          uint64_t gpa, uint64_t pages,
                          struct vhost_error **errp)
{
    const uint64_t all = UINT64_MAX / VHOST_LOG_PAGE + 1;
    uint64_t begin = gpa / VHOST_LOG_PAGE;
    struct vh_log_view *view = NULL;
    int r;

    if (gpa % VHOST_LOG_PAGE != 0 || pages > all - begin) {
        return vh_error(errp, -EINVAL, "log sync", VH_NO_QUEUE,
                        "%llu pages from %#llx on are no pages",
                        (unsigned long long)pages, (unsigned long long)gpa);
    }
    r = begin_sync(&map->log, &view, errp);
    for (size_t i = 0; r == 0 && i < view->n; i++) {
        uint64_t first = view->ranges[i].first;
        uint64_t end = first + view->ranges[i].n;

        first = first > begin ? first : begin;
        end = end < begin + pages ? end : begin + pages;
        if (first < end) {
            vh_dirty_fetch_bitmap(view->dirty, first, end - first, bitmap,
                                  first - begin);
        }
    }
    if (r == 0) {
        end_sync(&map->log, view);
    }
    return r;
}

void vhost_log_mark(struct vhost_memory_map *map, uint64_t gpa, uint64_t size)
{
    uint64_t last = size - 1 > UINT64_MAX - gpa ? UINT64_MAX : gpa + size - 1;
    uint64_t first = gpa / VHOST_LOG_PAGE;

    pthread_mutex_lock(&map->log.lock);
    if (map->log.current && size > 0) {
        vh_dirty_mark(map->log.current, first,
                      last / VHOST_LOG_PAGE - first + 1);
    }
    pthread_mutex_unlock(&map->log.lock);
}
