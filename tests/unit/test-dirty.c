/* SPDX-License-Identifier: BSD-3-Clause */
/* Dirty logs, bit by bit: against a model of one bool for each page. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#include "mem/dirty.h"
#include "util/atomic.h"

#define PAGES 70000u
#define CHUNKS ((PAGES + VHOST_LOG_BITS - 1) / VHOST_LOG_BITS)

/* Without seals, where a test says so: as on a kernel that has none. */
static bool no_seals;

int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, unsigned long arg);

int __wrap_fcntl64(int fd, int cmd, unsigned long arg)
{
    if (no_seals && cmd == F_ADD_SEALS) {
        errno = EINVAL;
        return -1;
    }
    return __real_fcntl64(fd, cmd, arg);
}

/* What a sink was told, page by page, and whether it was told as promised. */
struct seen {
    unsigned count[PAGES + 1000];
    uint64_t end; /* of the last range */
    unsigned n_ranges;
};

static void see(void *opaque, uint64_t gpa, uint64_t size)
{
    struct seen *seen = opaque;

    assert_int_equal(gpa % VHOST_LOG_PAGE, 0);
    assert_int_equal(size % VHOST_LOG_PAGE, 0);
    assert_true(size > 0);
    assert_true(seen->n_ranges == 0 || gpa > seen->end);
    seen->end = gpa + size;
    seen->n_ranges++;
    for (uint64_t p = gpa; p < gpa + size; p += VHOST_LOG_PAGE) {
        assert_true(p / VHOST_LOG_PAGE < ARRAY_SIZE(seen->count));
        seen->count[p / VHOST_LOG_PAGE]++;
    }
}

static struct seen *fetch(struct vh_dirty *dirty, uint64_t first, uint64_t n)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    struct vh_dirty_run run = { .sink = see, .opaque = seen };

    assert_non_null(seen);
    vh_dirty_fetch(dirty, first, n, &run);
    vh_dirty_run_end(&run);
    return seen;
}

static struct vh_dirty *make(enum vh_dirty_order order)
{
    struct vh_dirty *dirty = NULL;

    assert_int_equal(vh_dirty_new(&dirty, CHUNKS, order), 0);
    assert_true(dirty->log.size >= CHUNKS);
    return dirty;
}

static bool bit(const struct vh_dirty *dirty, unsigned page)
{
    const uint8_t *bytes = (const uint8_t *)dirty->log.log;

    return bytes[page / 8] >> (page % 8) & 1;
}

/* The bits of a page lie where a back end would look for them. */
static void test_marks_pages_in_an_array_of_bytes(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_BYTES);

    (void)state;
    vh_dirty_mark(dirty, 3, 1);
    vh_dirty_mark(dirty, 62, 5);
    vh_dirty_mark(dirty, 1000, 300);
    for (unsigned p = 0; p < PAGES; p++) {
        bool set = p == 3 || (p >= 62 && p < 67) || (p >= 1000 && p < 1300);

        assert_int_equal(bit(dirty, p), set);
    }
    vh_dirty_free(dirty);
}

static void test_marks_nothing_beyond_its_end(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_BYTES);
    uint64_t pages = dirty->log.size * VHOST_LOG_BITS;
    struct seen *seen;

    (void)state;
    vh_dirty_mark(dirty, pages, 1);
    vh_dirty_mark(dirty, UINT64_MAX, UINT64_MAX);
    vh_dirty_mark(dirty, pages - 1, UINT64_MAX);
    seen = fetch(dirty, 0, pages - 1);
    assert_int_equal(seen->n_ranges, 0);
    free(seen);
    vh_dirty_free(dirty);
}

static unsigned pick(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 8) % n;
}

/* Runs of all lengths at all places, most of the log clean. */
static void mark_some(struct vh_dirty *dirty, bool *model, unsigned *seed)
{
    unsigned n_runs = pick(seed, 60);

    for (unsigned i = 0; i < n_runs; i++) {
        unsigned first = pick(seed, PAGES);
        unsigned n = 1 + pick(seed, 1u << pick(seed, 11));

        n = n < PAGES - first ? n : PAGES - first;
        vh_dirty_mark(dirty, first, n);
        for (unsigned p = first; p < first + n; p++) {
            model[p] = true;
        }
    }
}

/* Some pages are asked for; those come, and once; the others stay. */
static void check_fetch(struct vh_dirty *dirty, bool *model, unsigned *seed)
{
    unsigned first = pick(seed, PAGES);
    unsigned n = pick(seed, PAGES - first + 1);
    struct seen *seen = fetch(dirty, first, n);

    for (unsigned p = 0; p < PAGES; p++) {
        bool asked = p >= first && p < first + n;

        assert_int_equal(seen->count[p], asked && model[p]);
        model[p] = model[p] && !asked;
        if (!dirty->swapped) {
            assert_int_equal(bit(dirty, p), model[p]);
        }
    }
    free(seen);
}

static void check_fetch_bitmap(struct vh_dirty *dirty, bool *model,
                               unsigned *seed)
{
    unsigned first = pick(seed, PAGES);
    unsigned n = pick(seed, PAGES - first + 1);
    unsigned at = pick(seed, 200);
    /* No room to spare: a sanitizer would see a bit too far. */
    size_t words = (at + n + 63) / 64;
    uint64_t *bitmap = calloc(words ? words : 1, sizeof(*bitmap));

    assert_non_null(bitmap);
    vh_dirty_fetch_bitmap(dirty, first, n, bitmap, at);
    for (unsigned i = 0; i < words * 64; i++) {
        unsigned p = first + i - at;
        bool asked = i >= at && i < at + n;

        assert_int_equal(bitmap[i / 64] >> i % 64 & 1, asked && model[p]);
    }
    for (unsigned p = first; p < first + n; p++) {
        model[p] = false;
    }
    free(bitmap);
}

static void check_model(struct vh_dirty *dirty, unsigned seed)
{
    bool *model = calloc(PAGES, sizeof(*model));

    assert_non_null(model);
    for (unsigned round = 0; round < 120; round++) {
        mark_some(dirty, model, &seed);
        if (round % 2) {
            check_fetch(dirty, model, &seed);
        } else {
            check_fetch_bitmap(dirty, model, &seed);
        }
    }
    free(model);
}

static void test_fetches_what_was_marked(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_BYTES);

    (void)state;
    check_model(dirty, 1);
    vh_dirty_free(dirty);
}

static void test_fetches_native_words(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_WORDS);

    (void)state;
    check_model(dirty, 2);
    vh_dirty_mark(dirty, 5, 1);
    /* As the kernel sets it. */
    assert_true(dirty->log.log[0] & (vhost_log_chunk_t)1 << 5);
    vh_dirty_free(dirty);
}

static void test_fetches_everything_at_once(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_BYTES);
    struct seen *seen;

    (void)state;
    vh_dirty_mark(dirty, 0, PAGES);
    seen = fetch(dirty, 0, PAGES);
    assert_int_equal(seen->n_ranges, 1);
    assert_int_equal(seen->end, (uint64_t)PAGES * VHOST_LOG_PAGE);
    free(seen);
    seen = fetch(dirty, 0, PAGES);
    assert_int_equal(seen->n_ranges, 0);
    free(seen);
    vh_dirty_free(dirty);
}

/* The first chunk that is not clean, from wherever one begins to look. */
static void test_skips_to_the_first_chunk_that_is_dirty(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_BYTES);
    vhost_log_chunk_t *log = dirty->log.log;
    size_t end = 300;

    (void)state;
    for (size_t at = 0; at < end; at++) {
        log[at] = (vhost_log_chunk_t)1 << at % VHOST_LOG_BITS;
        for (size_t i = 0; i < end; i++) {
            assert_int_equal(vh_dirty_skip(log, i, end), i <= at ? at : end);
        }
        assert_int_equal(vh_dirty_skip(log, 0, at), at);
        log[at] = 0;
    }
    vh_dirty_free(dirty);
}

/*
 * A big-endian host: vhost-user's array of bytes has page 0 in the lowest bit
 * of the first byte, which there is the highest byte of the first word.
 */
static void test_reads_bytes_on_a_big_endian_host(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_WORDS);
    unsigned char *bytes = (unsigned char *)dirty->log.log;
    struct seen *seen;

    (void)state;
    assert_true(vh_dirty_swapped(VH_DIRTY_BYTES, true));
    assert_false(vh_dirty_swapped(VH_DIRTY_WORDS, true));
    assert_false(vh_dirty_swapped(VH_DIRTY_BYTES, false));
    assert_false(vh_dirty_swapped(VH_DIRTY_WORDS, false));
    dirty->swapped = true;
    /* As a load there has them: the first byte comes out on top. */
    bytes[sizeof(vhost_log_chunk_t) - 1] = 1 << 3;
    bytes[sizeof(vhost_log_chunk_t) - 2] = 1 << 2;
    bytes[sizeof(vhost_log_chunk_t)] = 1 << 7;
    seen = fetch(dirty, 0, PAGES);
    assert_int_equal(seen->n_ranges, 3);
    assert_int_equal(seen->count[3], 1);
    assert_int_equal(seen->count[8 + 2], 1);
    assert_int_equal(seen->count[2 * VHOST_LOG_BITS - 1], 1);
    free(seen);
    check_model(dirty, 3);
    vh_dirty_free(dirty);
}

static void test_moves_all_bits_to_another_log(void **state)
{
    struct vh_dirty *from = make(VH_DIRTY_BYTES);
    struct vh_dirty *to = make(VH_DIRTY_WORDS);
    struct seen *seen;

    (void)state;
    to->swapped = true; /* a kernel's log, into that of vhost-user */
    vh_dirty_mark(from, 7, 1);
    vh_dirty_mark(from, 100, 77);
    vh_dirty_mark(to, 8, 1);
    vh_dirty_move(to, from);
    seen = fetch(from, 0, PAGES);
    assert_int_equal(seen->n_ranges, 0);
    free(seen);
    seen = fetch(to, 0, PAGES);
    assert_int_equal(seen->n_ranges, 2);
    assert_int_equal(seen->count[7] + seen->count[8], 2);
    assert_int_equal(seen->count[100] + seen->count[176], 2);
    free(seen);
    vh_dirty_free(from);
    vh_dirty_free(to);
}

static void test_moves_no_further_than_the_other_log_goes(void **state)
{
    struct vh_dirty *from = make(VH_DIRTY_BYTES);
    struct vh_dirty *to = NULL;
    uint64_t pages;

    (void)state;
    assert_int_equal(vh_dirty_new(&to, 1, VH_DIRTY_BYTES), 0);
    pages = to->log.size * VHOST_LOG_BITS;
    assert_true(pages < PAGES);
    vh_dirty_mark(from, pages - 1, 2);
    vh_dirty_move(to, from);
    assert_true(bit(to, (unsigned)pages - 1));
    vh_dirty_free(from);
    vh_dirty_free(to);
}

/*
 * A writer in another thread: each of its bits comes, and comes once.  So many
 * that a fetch in two steps, which loses a bit in millions, is found out.
 */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define DUELS 20000
#else
#define DUELS 1000000
#endif

struct writer {
    struct vh_dirty *dirty;
    unsigned pages;
    unsigned *marked; /* how often, by page */
    bool stop;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    unsigned seed = 99;

    while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
        unsigned page = pick(&seed, w->pages);

        /* Not again before it was fetched, or two marks are one bit. */
        if (!(__atomic_load_n(&w->dirty->log.log[page / VHOST_LOG_BITS],
                              __ATOMIC_ACQUIRE) >>
                  page % VHOST_LOG_BITS &
              1)) {
            w->marked[page]++;
            vh_dirty_mark(w->dirty, page, 1);
        }
    }
    return NULL;
}

static void count(void *opaque, uint64_t gpa, uint64_t size)
{
    unsigned *counts = opaque;

    for (uint64_t p = gpa; p < gpa + size; p += VHOST_LOG_PAGE) {
        counts[p / VHOST_LOG_PAGE]++;
    }
}

static void check_writer(uint64_t part)
{
    struct writer w = { .pages = 320 };
    unsigned *fetched = calloc(PAGES, sizeof(*fetched));
    struct vh_dirty_run run = { .sink = count, .opaque = fetched };
    pthread_t thread;

    w.dirty = make(VH_DIRTY_BYTES);
    w.marked = calloc(PAGES, sizeof(*w.marked));
    assert_non_null(fetched);
    assert_non_null(w.marked);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (unsigned i = 0; i < DUELS; i++) {
        for (uint64_t p = 0; p < w.pages; p += part) {
            vh_dirty_fetch(w.dirty, p, part, &run);
        }
        vh_dirty_run_end(&run);
    }
    __atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    vh_dirty_fetch(w.dirty, 0, PAGES, &run);
    vh_dirty_run_end(&run);
    assert_memory_equal(fetched, w.marked, PAGES * sizeof(*fetched));
    free(fetched);
    free(w.marked);
    vh_dirty_free(w.dirty);
}

static void test_loses_and_invents_nothing_while_another_writes(void **state)
{
    (void)state;
    check_writer(PAGES); /* whole chunks */
    check_writer(30);    /* each chunk in parts */
}

static void test_is_a_sealed_file_of_its_size(void **state)
{
    struct vh_dirty *dirty = make(VH_DIRTY_BYTES);
    int seals = fcntl(dirty->log.fd, F_GET_SEALS);

    (void)state;
    assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_int_equal(lseek(dirty->log.fd, 0, SEEK_END),
                     dirty->log.size * sizeof(vhost_log_chunk_t));
    vh_dirty_free(dirty);
}

static void test_does_without_seals_where_there_are_none(void **state)
{
    struct vh_dirty *dirty;

    (void)state;
    no_seals = true;
    dirty = make(VH_DIRTY_BYTES);
    no_seals = false;
    assert_int_equal(fcntl(dirty->log.fd, F_GET_SEALS), 0);
    check_model(dirty, 4);
    vh_dirty_free(dirty);
}

static void test_says_no_to_sizes_that_can_not_be(void **state)
{
    struct vh_dirty *dirty = NULL;

    (void)state;
    assert_int_equal(vh_dirty_new(&dirty, UINT64_MAX / 2, VH_DIRTY_BYTES),
                     -EFBIG);
    assert_true(vh_dirty_new(&dirty, UINT64_C(1) << 46, VH_DIRTY_BYTES) < 0);
    assert_null(dirty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks_pages_in_an_array_of_bytes),
        cmocka_unit_test(test_marks_nothing_beyond_its_end),
        cmocka_unit_test(test_fetches_what_was_marked),
        cmocka_unit_test(test_fetches_native_words),
        cmocka_unit_test(test_fetches_everything_at_once),
        cmocka_unit_test(test_skips_to_the_first_chunk_that_is_dirty),
        cmocka_unit_test(test_reads_bytes_on_a_big_endian_host),
        cmocka_unit_test(test_moves_all_bits_to_another_log),
        cmocka_unit_test(test_moves_no_further_than_the_other_log_goes),
        cmocka_unit_test(test_loses_and_invents_nothing_while_another_writes),
        cmocka_unit_test(test_is_a_sealed_file_of_its_size),
        cmocka_unit_test(test_does_without_seals_where_there_are_none),
        cmocka_unit_test(test_says_no_to_sizes_that_can_not_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
