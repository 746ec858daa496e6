/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log of a map: on, off, larger and smaller, while threads write
 * what devices would, and another thread syncs.
 *
 * Each page has a version, which its writer raises before he marks the page.
 * Whoever is told of a page notes the version then, as one who sends it would
 * send its contents.  In the end every page's version is known, or a bit was
 * lost; and of a page that nobody writes nobody ever hears.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "mem/dirty.h"
#include "mem/map-inside.h"
#include "util/atomic.h"

#define MIB (UINT64_C(1) << 20)
#define LOW (64 * MIB)           /* always there */
#define HIGH (UINT64_C(3) << 30) /* comes and goes, with a log to match */
#define HIGH_SIZE (32 * MIB)
#define PAGE UINT64_C(0x1000)
#define N_LOW (LOW / PAGE)
#define N_PAGES (N_LOW + HIGH_SIZE / PAGE)
#define N_DEVICES 2
#define ROUNDS 600

struct world;

/* A device, whose back end is a thread where there is a world. */
struct device {
    struct vh_mem_listener listener;
    struct vhost_memory_map *map;
    struct vhost_log *log;
    int fail;               /* what log() returns next */
    struct vhost_log *lost; /* beside the other, after a failure for ever */
    bool for_ever;
    const char *blocker;
    unsigned n_on, n_off;

    struct world *world;
    unsigned index;
    pthread_t thread;
    pthread_mutex_t turn; /* the thread writes only while it has it */
    bool attached;
    uint64_t n_mapped;
    uint64_t n_pages; /* it may write; 0: none */
    bool quit;
};

struct world {
    struct vhost_memory_map *map;
    struct device devices[N_DEVICES];
    uint32_t version[N_PAGES];
    uint32_t known[N_PAGES];
    pthread_mutex_t lock; /* of known */
    pthread_t syncer;
    bool quit;
    uint64_t n_reported;
};

/* Page numbers are ours: those of the high section follow the low one's. */
static uint64_t gpa_of(uint64_t page)
{
    return page < N_LOW ? page * PAGE : HIGH + (page - N_LOW) * PAGE;
}

static bool is_untouched(uint64_t page)
{
    return page % 5 == 0;
}

/* As a back end does it: in an array of bytes. */
static void mark(struct vhost_log *log, uint64_t gpa)
{
    uint8_t *bytes = (uint8_t *)log->log;
    uint64_t page = gpa / PAGE;

    assert_true(page / 8 < log->size * sizeof(vhost_log_chunk_t));
    __atomic_fetch_or(&bytes[page / 8], (uint8_t)(1u << page % 8),
                      __ATOMIC_RELEASE);
}

static void write_some(struct device *d, unsigned *seed)
{
    for (unsigned i = 0; i < 20; i++) {
        uint64_t page;

        *seed = *seed * 1103515245u + 12345u;
        page = (*seed >> 4) % d->n_pages;
        if (is_untouched(page)) {
            continue;
        }
        __atomic_fetch_add(&d->world->version[page], 1, __ATOMIC_RELAXED);
        if (d->log) {
            mark(d->log, gpa_of(page));
        }
    }
}

static void *device_run(void *arg)
{
    struct device *d = arg;
    unsigned seed = d->index + 1;
    bool quit;

    do {
        pthread_mutex_lock(&d->turn);
        if (d->n_pages > 0) {
            write_some(d, &seed);
        }
        quit = d->quit;
        pthread_mutex_unlock(&d->turn);
        sched_yield();
    } while (!quit);
    return NULL;
}

static struct device *device_of(struct vh_mem_listener *listener)
{
    return (struct device *)listener;
}

/* From here on it may write to all that there is. */
static int on_commit(struct vh_mem_listener *listener,
                     const struct vhost_memory_section *sections, size_t n,
                     struct vhost_error **errp)
{
    struct device *d = device_of(listener);

    (void)sections;
    (void)errp;
    pthread_mutex_lock(&d->turn);
    d->n_mapped = n == 0 ? 0 : n == 1 ? N_LOW : N_PAGES;
    d->n_pages = d->attached ? d->n_mapped : 0;
    pthread_mutex_unlock(&d->turn);
    return 0;
}

static void take_log(struct device *d, struct vhost_log *log)
{
    struct vhost_log *old;

    pthread_mutex_lock(&d->turn);
    old = d->log;
    d->log = log;
    pthread_mutex_unlock(&d->turn);
    vh_memory_map_log_put(d->map, old);
}

static int on_log(struct vh_mem_listener *listener, bool on,
                  struct vhost_error **errp)
{
    struct device *d = device_of(listener);
    struct vhost_log *log = on ? vh_memory_map_log_get(d->map) : NULL;
    int r = d->fail;

    (void)errp;
    *(on ? &d->n_on : &d->n_off) += 1;
    d->fail = d->for_ever ? d->fail : 0;
    if (r == 0) {
        take_log(d, log);
    } else if (d->for_ever && !d->lost) {
        d->lost = log;
    } else {
        vh_memory_map_log_put(d->map, log);
    }
    return r;
}

static const char *on_blocker(struct vh_mem_listener *listener)
{
    return device_of(listener)->blocker;
}

static const struct vh_mem_listener_ops ops = {
    .commit = on_commit,
    .log = on_log,
    .log_blocker = on_blocker,
};

/* It writes once it has been told of the log, if there is one. */
static void come(struct device *d)
{
    assert_int_equal(vh_memory_map_attach(d->map, &d->listener, NULL), 0);
    pthread_mutex_lock(&d->turn);
    d->attached = true;
    d->n_pages = d->n_mapped;
    pthread_mutex_unlock(&d->turn);
}

static void attach(struct device *d, struct vhost_memory_map *map)
{
    d->map = map;
    d->listener.ops = &ops;
    pthread_mutex_init(&d->turn, NULL);
    come(d);
}

static void detach(struct device *d)
{
    pthread_mutex_lock(&d->turn);
    d->n_pages = 0; /* the back end is gone, before its log is */
    d->attached = false;
    pthread_mutex_unlock(&d->turn);
    take_log(d, NULL);
    vh_memory_map_log_put(d->map, d->lost);
    d->lost = NULL;
    vh_memory_map_detach(d->map, &d->listener);
}

static void change(struct vhost_memory_map *map, bool add, uint64_t gpa,
                   uint64_t size)
{
    struct vhost_memory_section s = { .gpa = gpa, .size = size, .fd = -1 };

    vhost_memory_begin(map);
    assert_int_equal(add ? vhost_memory_add(map, &s)
                         : vhost_memory_remove(map, gpa, size),
                     0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
}

static struct vhost_memory_map *map_new(void)
{
    struct vhost_memory_map *map = vhost_memory_map_new();

    assert_non_null(map);
    change(map, true, 0, LOW);
    return map;
}

/* The model */

static void know(struct world *w, uint64_t page)
{
    uint32_t version;

    pthread_mutex_lock(&w->lock);
    version = __atomic_load_n(&w->version[page], __ATOMIC_RELAXED);
    if ((int32_t)(version - w->known[page]) > 0) {
        w->known[page] = version;
    }
    pthread_mutex_unlock(&w->lock);
}

/* As at the start of a migration: everything is sent. */
static void know_all(struct world *w)
{
    for (uint64_t page = 0; page < N_PAGES; page++) {
        know(w, page);
    }
}

static void hear(void *opaque, uint64_t gpa, uint64_t size)
{
    struct world *w = opaque;

    for (uint64_t at = gpa; at < gpa + size; at += PAGE) {
        uint64_t page = at < HIGH ? at / PAGE : N_LOW + (at - HIGH) / PAGE;

        assert_true(at < LOW || at >= HIGH);
        assert_true(page < N_PAGES);
        assert_false(is_untouched(page));
        know(w, page);
        __atomic_fetch_add(&w->n_reported, 1, __ATOMIC_RELAXED);
    }
}

static void sync_bitmap(struct world *w)
{
    uint64_t bitmap[N_PAGES / 64 + 1] = { 0 };
    uint64_t from = 7; /* no multiple of anything */

    if (vhost_log_sync_bitmap(w->map, bitmap, from * PAGE, N_LOW - from,
                              NULL) == 0) {
        for (uint64_t i = 0; i < N_LOW - from; i++) {
            if (bitmap[i / 64] >> i % 64 & 1) {
                hear(w, (from + i) * PAGE, PAGE);
            }
        }
    }
}

static void *sync_run(void *arg)
{
    struct world *w = arg;

    while (!vh_load_acquire(&w->quit)) {
        int r = vhost_log_sync(w->map, hear, w, NULL);

        assert_true(r == 0 || r == -EINVAL);
        sync_bitmap(w);
    }
    return NULL;
}

static void check_known(struct world *w, uint64_t n_pages)
{
    assert_int_equal(vhost_log_sync(w->map, hear, w, NULL), 0);
    for (uint64_t page = 0; page < n_pages; page++) {
        if (w->known[page] != w->version[page]) {
            fail_msg("page %llu: version %u is known, %u is there",
                     (unsigned long long)page, w->known[page],
                     w->version[page]);
        }
    }
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    pthread_mutex_init(&w->lock, NULL);
    w->map = map_new();
    for (unsigned i = 0; i < N_DEVICES; i++) {
        w->devices[i].world = w;
        w->devices[i].index = i;
        attach(&w->devices[i], w->map);
        assert_int_equal(pthread_create(&w->devices[i].thread, NULL, device_run,
                                        &w->devices[i]),
                         0);
    }
    assert_int_equal(pthread_create(&w->syncer, NULL, sync_run, w), 0);
    return w;
}

static void world_end(struct world *w, bool high)
{
    bool on = w->map->log.current != NULL;

    for (unsigned i = 0; i < N_DEVICES; i++) {
        struct device *d = &w->devices[i];

        pthread_mutex_lock(&d->turn);
        d->quit = true;
        pthread_mutex_unlock(&d->turn);
        pthread_join(d->thread, NULL);
    }
    vh_store_release(&w->quit, true);
    pthread_join(w->syncer, NULL);
    if (on) {
        check_known(w, high ? N_PAGES : N_LOW);
    }
    assert_true(w->n_reported > 0);
    for (unsigned i = 0; i < N_DEVICES; i++) {
        if (w->devices[i].attached) {
            detach(&w->devices[i]);
        }
    }
    vhost_memory_map_free(w->map);
    free(w);
}

static void come_or_go(struct device *d)
{
    if (d->attached) {
        detach(d);
    } else {
        come(d);
    }
}

/* Bits of memory that has gone are nobody's concern. */
static void forget_high(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    for (uint64_t page = N_LOW; page < N_PAGES; page++) {
        w->known[page] = w->version[page];
    }
    pthread_mutex_unlock(&w->lock);
}

static void run_world(bool starts_and_stops)
{
    struct world *w = world_new();
    bool high = false;
    unsigned seed = 5;
    bool on = true;

    assert_int_equal(vhost_log_start(w->map, NULL), 0);
    know_all(w);
    for (unsigned i = 0; i < ROUNDS; i++) {
        seed = seed * 1103515245u + 12345u;
        switch ((seed >> 8) % (starts_and_stops ? 4 : 3)) {
        case 0:
        case 1:
            high = !high;
            change(w->map, high, HIGH, HIGH_SIZE);
            if (!high) {
                forget_high(w);
            }
            break;
        case 2:
            come_or_go(&w->devices[1]);
            break;
        default:
            on = !on;
            assert_int_equal(on ? vhost_log_start(w->map, NULL)
                                : vhost_log_stop(w->map, NULL),
                             0);
            if (on) {
                know_all(w);
            }
        }
        sched_yield();
    }
    world_end(w, high);
}

static void test_loses_nothing_while_the_map_grows_and_shrinks(void **state)
{
    (void)state;
    run_world(false);
}

static void test_loses_nothing_while_the_log_goes_on_and_off(void **state)
{
    (void)state;
    run_world(true);
}

/* One step after the other */

struct heard {
    uint64_t gpa[8];
    uint64_t size[8];
    unsigned n;
};

static void note(void *opaque, uint64_t gpa, uint64_t size)
{
    struct heard *h = opaque;

    assert_true(h->n < ARRAY_SIZE(h->gpa));
    h->gpa[h->n] = gpa;
    h->size[h->n++] = size;
}

static struct heard sync_now(struct vhost_memory_map *map)
{
    struct heard h = { .n = 0 };

    assert_int_equal(vhost_log_sync(map, note, &h, NULL), 0);
    return h;
}

static void test_is_off_at_first(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct vhost_error *err = NULL;
    struct heard h = { .n = 0 };

    (void)state;
    assert_int_equal(vhost_log_sync(map, note, &h, &err), -EINVAL);
    assert_non_null(strstr(vhost_error_message(err), "is off"));
    vhost_error_free(err);
    assert_int_equal(vhost_log_stop(map, NULL), 0);
    vhost_log_mark(map, 0, PAGE);
    assert_null(vh_memory_map_log_get(map));
    vhost_memory_map_free(map);
}

static void test_reports_what_the_owner_marks_and_no_more(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct heard h;

    (void)state;
    assert_int_equal(vhost_log_start(map, NULL), 0);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    vhost_log_mark(map, PAGE - 1, 2);
    vhost_log_mark(map, 5 * PAGE, 0);
    vhost_log_mark(map, LOW - 1, UINT64_MAX); /* to the end of everything */
    h = sync_now(map);
    assert_int_equal(h.n, 2);
    assert_int_equal(h.gpa[0], 0);
    assert_int_equal(h.size[0], 2 * PAGE);
    assert_int_equal(h.gpa[1], LOW - PAGE);
    assert_int_equal(h.size[1], PAGE);
    assert_int_equal(sync_now(map).n, 0);
    vhost_memory_map_free(map); /* with the log on */
}

static void test_a_range_goes_on_from_one_section_to_the_next(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct heard h;

    (void)state;
    /* The second begins in the middle of a page, and of a chunk. */
    change(map, true, LOW, PAGE / 2);
    change(map, true, LOW + PAGE / 2, PAGE);
    change(map, true, LOW + 9 * PAGE, PAGE);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    vhost_log_mark(map, LOW - PAGE, 20 * PAGE);
    h = sync_now(map);
    assert_int_equal(h.n, 2);
    assert_int_equal(h.gpa[0], LOW - PAGE);
    assert_int_equal(h.size[0], 3 * PAGE);
    assert_int_equal(h.gpa[1], LOW + 9 * PAGE);
    assert_int_equal(h.size[1], PAGE);
    vhost_memory_map_free(map);
}

static void test_refuses_bitmaps_of_no_pages(void **state)
{
    struct vhost_memory_map *map = map_new();
    uint64_t bitmap[1] = { 0 };

    (void)state;
    assert_int_equal(vhost_log_start(map, NULL), 0);
    assert_int_equal(vhost_log_sync_bitmap(map, bitmap, 1, 1, NULL), -EINVAL);
    assert_int_equal(
        vhost_log_sync_bitmap(map, bitmap, PAGE, UINT64_MAX / PAGE + 1, NULL),
        -EINVAL);
    vhost_log_mark(map, 64 * PAGE, 2 * PAGE);
    assert_int_equal(vhost_log_sync_bitmap(map, bitmap, PAGE, 64, NULL), 0);
    assert_int_equal(bitmap[0], UINT64_C(1) << 63);
    assert_int_equal(sync_now(map).gpa[0], 65 * PAGE);
    vhost_memory_map_free(map);
}

static void test_a_device_that_can_not_log_prevents_the_start(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct device able = { .fail = 0 };
    struct device unable = { .blocker = "it has no pencil" };
    struct vhost_error *err = NULL;

    (void)state;
    attach(&able, map);
    attach(&unable, map);
    assert_int_equal(vhost_log_start(map, &err), -ENOTSUP);
    assert_non_null(strstr(vhost_error_message(err), "no pencil"));
    vhost_error_free(err);
    assert_int_equal(able.n_on, 0);
    detach(&unable);
    detach(&able);
    vhost_memory_map_free(map);
}

static void test_a_start_that_fails_leaves_no_log(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct device a = { .fail = 0 };
    struct device b = { .fail = -EREMOTEIO };
    struct heard h = { .n = 0 };

    (void)state;
    attach(&a, map);
    attach(&b, map);
    assert_int_equal(vhost_log_start(map, NULL), -EREMOTEIO);
    assert_null(a.log);
    assert_int_equal(a.n_off, 1);
    assert_int_equal(vhost_log_sync(map, note, &h, NULL), -EINVAL);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    assert_non_null(a.log);
    assert_ptr_equal(a.log, b.log);
    detach(&a);
    detach(&b);
    vhost_memory_map_free(map);
}

static void test_a_log_that_can_not_grow_is_given_up(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct device d = { .fail = 0 };
    struct vhost_error *err = NULL;
    struct heard h = { .n = 0 };

    (void)state;
    attach(&d, map);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    d.fail = -EREMOTEIO;
    change(map, true, HIGH, HIGH_SIZE);
    assert_null(d.log); /* it marks no more: there may be no room */
    assert_int_equal(vhost_log_sync(map, note, &h, &err), -EREMOTEIO);
    assert_non_null(strstr(vhost_error_message(err), "taken for dirty"));
    vhost_error_free(err);
    assert_int_equal(vhost_log_start(map, NULL), -EREMOTEIO);
    assert_null(vh_memory_map_log_get(map));
    assert_int_equal(vhost_log_stop(map, NULL), 0);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    assert_non_null(d.log);
    assert_int_equal(sync_now(map).n, 0);
    detach(&d);
    vhost_memory_map_free(map);
}

static void test_a_log_that_can_not_be_made_is_given_up(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct device d = { .fail = 0 };
    struct heard h = { .n = 0 };

    (void)state;
    attach(&d, map);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    change(map, true, UINT64_MAX - PAGE + 1, PAGE);
    assert_null(d.log);
    assert_true(vhost_log_sync(map, note, &h, NULL) < 0);
    assert_int_equal(vhost_log_stop(map, NULL), 0);
    assert_true(vhost_log_start(map, NULL) < 0);
    assert_null(map->log.current);
    detach(&d);
    vhost_memory_map_free(map);
}

/* Who did not hear of the smaller log marks in the larger one, and is heard. */
static void test_an_old_log_is_read_until_nobody_writes_there(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct device slow = { .fail = 0 };
    struct device quick = { .fail = 0 };

    (void)state;
    change(map, true, HIGH, HIGH_SIZE);
    attach(&slow, map);
    attach(&quick, map);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    slow.fail = -ETIMEDOUT;
    slow.for_ever = true;
    change(map, false, HIGH, HIGH_SIZE);
    assert_non_null(slow.lost);
    assert_ptr_equal(slow.lost, quick.log);
    assert_ptr_not_equal(slow.log, quick.log);
    assert_true(slow.log->size > quick.log->size);
    mark(slow.log, 3 * PAGE);
    mark(slow.log, HIGH);
    mark(quick.log, 4 * PAGE);
    assert_int_equal(sync_now(map).size[0], 2 * PAGE);
    assert_int_equal(sync_now(map).n, 0);
    mark(slow.log, 5 * PAGE);
    detach(&slow);
    assert_true(TAILQ_EMPTY(&map->log.retired));
    assert_int_equal(sync_now(map).gpa[0], 5 * PAGE);
    detach(&quick);
    vhost_memory_map_free(map);
}

static void test_small_changes_keep_the_log(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct device d = { .fail = 0 };

    (void)state;
    attach(&d, map);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    change(map, true, LOW, MIB);
    change(map, true, LOW + 2 * MIB, MIB);
    change(map, false, LOW, MIB);
    assert_int_equal(d.n_on, 1);
    change(map, true, HIGH, HIGH_SIZE);
    assert_int_equal(d.n_on, 2);
    change(map, true, HIGH + HIGH_SIZE, HIGH_SIZE);
    assert_int_equal(d.n_on, 2);
    detach(&d);
    vhost_memory_map_free(map);
}

static void test_has_room_for_whole_pages_of_the_file(void **state)
{
    struct vhost_memory_map *map = map_new();
    struct vhost_memory_section s = {
        .gpa = HIGH, .size = PAGE, .fd = -1, .page_size = UINT64_C(1) << 30
    };

    (void)state;
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_add(map, &s), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    assert_true(map->log.current->log.size >=
                (HIGH + s.page_size) / VHOST_LOG_CHUNK);
    vhost_memory_map_free(map);
}

static void test_an_empty_map_has_a_log_too(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();

    (void)state;
    assert_non_null(map);
    assert_int_equal(vhost_log_start(map, NULL), 0);
    vhost_log_mark(map, 0, PAGE);
    assert_int_equal(sync_now(map).n, 0);
    change(map, true, 4 * PAGE, LOW);
    vhost_log_mark(map, 4 * PAGE, PAGE);
    assert_int_equal(sync_now(map).gpa[0], 4 * PAGE);
    assert_int_equal(vhost_log_stop(map, NULL), 0);
    vhost_memory_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_off_at_first),
        cmocka_unit_test(test_reports_what_the_owner_marks_and_no_more),
        cmocka_unit_test(test_a_range_goes_on_from_one_section_to_the_next),
        cmocka_unit_test(test_refuses_bitmaps_of_no_pages),
        cmocka_unit_test(test_a_device_that_can_not_log_prevents_the_start),
        cmocka_unit_test(test_a_start_that_fails_leaves_no_log),
        cmocka_unit_test(test_a_log_that_can_not_grow_is_given_up),
        cmocka_unit_test(test_a_log_that_can_not_be_made_is_given_up),
        cmocka_unit_test(test_an_old_log_is_read_until_nobody_writes_there),
        cmocka_unit_test(test_small_changes_keep_the_log),
        cmocka_unit_test(test_has_room_for_whole_pages_of_the_file),
        cmocka_unit_test(test_an_empty_map_has_a_log_too),
        cmocka_unit_test(test_loses_nothing_while_the_map_grows_and_shrinks),
        cmocka_unit_test(test_loses_nothing_while_the_log_goes_on_and_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
