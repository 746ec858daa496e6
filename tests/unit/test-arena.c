/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "mem/arena.h"
#include "mem-model.h"

/* The test is linked with --wrap=calloc: it fails when the test says so. */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

static int calls_until_short; /* of memory; 0: never */

void *__wrap_calloc(size_t n, size_t size)
{
    if (calls_until_short > 0 && --calls_until_short == 0) {
        return NULL;
    }
    return __real_calloc(n, size);
}

/* An arena never touches its range, so any address will do. */
#define BASE ((char *)(uintptr_t)0x10000010)
#define LEN ((size_t)0x10000)

static void test_hands_out_the_lowest_place_that_fits(void **state)
{
    struct vh_arena *arena = vh_arena_new(BASE, LEN);
    char *a = vh_arena_alloc(arena, 32, 1);
    char *b = vh_arena_alloc(arena, 16, 1);
    char *c = vh_arena_alloc(arena, 8, 1);

    (void)state;
    assert_ptr_equal(a, BASE);
    assert_ptr_equal(b, BASE + 32);
    assert_ptr_equal(c, BASE + 48);
    vh_arena_release(arena, a);
    assert_ptr_equal(vh_arena_alloc(arena, 33, 1), BASE + 56);
    assert_ptr_equal(vh_arena_alloc(arena, 16, 1), BASE);
    assert_ptr_equal(vh_arena_alloc(arena, 16, 1), BASE + 16);
    vh_arena_free(arena);
}

static void test_the_whole_range_can_be_had_and_no_byte_more(void **state)
{
    struct vh_arena *arena = vh_arena_new(BASE, LEN);

    (void)state;
    assert_null(vh_arena_alloc(arena, LEN + 1, 1));
    assert_null(vh_arena_alloc(arena, SIZE_MAX, 1));
    assert_null(vh_arena_alloc(arena, 0, 1));
    assert_true(vh_arena_is_empty(arena));
    assert_ptr_equal(vh_arena_alloc(arena, LEN, 1), BASE);
    assert_false(vh_arena_is_empty(arena));
    assert_null(vh_arena_alloc(arena, 1, 1));
    vh_arena_release(arena, BASE);
    assert_true(vh_arena_is_empty(arena));
    assert_ptr_equal(vh_arena_alloc(arena, LEN, 1), BASE);
    vh_arena_free(arena);
}

static void test_an_empty_range_has_nothing(void **state)
{
    struct vh_arena *arena = vh_arena_new(BASE, 0);

    (void)state;
    assert_null(vh_arena_alloc(arena, 1, 1));
    assert_false(vh_arena_owns(arena, BASE));
    assert_true(vh_arena_is_empty(arena));
    vh_arena_free(arena);
    vh_arena_free(NULL);
}

/* The base is not aligned: it is the address that counts. */
static void test_pieces_are_aligned_and_the_rest_is_not_lost(void **state)
{
    struct vh_arena *arena = vh_arena_new(BASE, LEN);
    char *a = vh_arena_alloc(arena, 1, 4096);

    (void)state;
    assert_ptr_equal(a, BASE + 4096 - 16);
    assert_ptr_equal(vh_arena_alloc(arena, 4096 - 16, 1), BASE);
    assert_ptr_equal(vh_arena_alloc(arena, 1, 1), a + 1);
    assert_null(vh_arena_alloc(arena, 1, (size_t)1 << 40));
    vh_arena_free(arena);
}

static void test_neighbours_join_whichever_goes_first(void **state)
{
    static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                     { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        struct vh_arena *arena = vh_arena_new(BASE, 300);

        for (int j = 0; j < 3; j++) {
            assert_ptr_equal(vh_arena_alloc(arena, 100, 1), BASE + 100 * j);
        }
        for (int j = 0; j < 3; j++) {
            vh_arena_release(arena, BASE + 100 * orders[i][j]);
        }
        assert_ptr_equal(vh_arena_alloc(arena, 300, 1), BASE);
        vh_arena_free(arena);
    }
}

static void test_owns_its_range_and_nothing_else(void **state)
{
    struct vh_arena *arena = vh_arena_new(BASE, LEN);

    (void)state;
    assert_true(vh_arena_owns(arena, BASE));
    assert_true(vh_arena_owns(arena, BASE + LEN - 1));
    assert_false(vh_arena_owns(arena, BASE - 1));
    assert_false(vh_arena_owns(arena, BASE + LEN));
    assert_false(vh_arena_owns(arena, NULL));
    vh_arena_free(arena);
}

static void test_short_of_memory_the_range_stays_whole(void **state)
{
    struct vh_arena *arena = NULL;
    int n = 0;

    (void)state;
    while (!arena) {
        calls_until_short = ++n;
        arena = vh_arena_new(BASE, LEN);
        calls_until_short = 0;
    }
    assert_int_equal(n, 4);
    /* One hole before the piece, and one behind it, need a node each. */
    for (n = 1; n <= 2; n++) {
        calls_until_short = n;
        assert_null(vh_arena_alloc(arena, 1, 4096));
        assert_int_equal(calls_until_short, 0);
        assert_true(vh_arena_is_empty(arena));
    }
    assert_ptr_equal(vh_arena_alloc(arena, LEN, 1), BASE);
    vh_arena_free(arena);
}

/* A table of addresses that can't grow is slow, not wrong. */
static void test_short_of_memory_all_pieces_are_still_found(void **state)
{
    struct vh_arena *arena = vh_arena_new(BASE, LEN);

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        /* The node of the piece, then the table. */
        calls_until_short = 2;
        assert_ptr_equal(vh_arena_alloc(arena, 16, 1), BASE + 16 * i);
        calls_until_short = 0;
    }
    for (size_t i = 0; i < 200; i++) {
        vh_arena_release(arena, BASE + 16 * i);
    }
    assert_true(vh_arena_is_empty(arena));
    vh_arena_free(arena);
}

/* The model: for each byte of a small range, is it in use? */
#define BYTES 2048
#define RUNS 60
#define STEPS 1500

struct piece {
    size_t at;
    size_t size;
};

struct model {
    bool in_use[BYTES];
    struct piece pieces[BYTES];
    unsigned n;
};

/* The lowest place, or BYTES. */
static size_t place_for(const struct model *m, size_t size, size_t align)
{
    for (size_t at = 0; at + size <= BYTES; at++) {
        size_t len = 0;

        if (((uintptr_t)BASE + at) % align != 0) {
            continue;
        }
        while (len < size && !m->in_use[at + len]) {
            len++;
        }
        if (len == size) {
            return at;
        }
    }
    return BYTES;
}

static void alloc_one(struct vh_arena *arena, struct model *m)
{
    size_t size = 1 + model_random(model_random(8) ? 12 : 200);
    size_t align = (size_t)1 << model_random(8);
    size_t at = place_for(m, size, align);
    char *p = vh_arena_alloc(arena, size, align);

    MODEL_CHECK(p == (at == BYTES ? NULL : BASE + at));
    if (p) {
        memset(&m->in_use[at], true, size);
        m->pieces[m->n++] = (struct piece){ .at = at, .size = size };
    }
}

static void release_one(struct vh_arena *arena, struct model *m)
{
    unsigned i = model_random(m->n);
    struct piece p = m->pieces[i];

    vh_arena_release(arena, BASE + p.at);
    memset(&m->in_use[p.at], false, p.size);
    m->pieces[i] = m->pieces[--m->n];
}

static void test_random_use_is_that_of_the_model(void **state)
{
    static struct model m;
    unsigned most = 0;

    (void)state;
    for (unsigned run = 0; run < RUNS; run++) {
        struct vh_arena *arena = vh_arena_new(BASE, BYTES);

        memset(&m, 0, sizeof(m));
        model_start(run);
        for (int i = 0; i < STEPS; i++) {
            /* Fill it up, then let it run empty, and again. */
            if (m.n > 0 && model_random(8) < ((i / 300) % 2 ? 6 : 2)) {
                release_one(arena, &m);
            } else {
                alloc_one(arena, &m);
            }
            most = m.n > most ? m.n : most;
            MODEL_CHECK(vh_arena_is_empty(arena) == (m.n == 0));
        }
        while (m.n > 0) {
            release_one(arena, &m);
        }
        MODEL_CHECK(vh_arena_alloc(arena, BYTES, 1) == BASE);
        vh_arena_free(arena);
    }
    assert_true(most > 128); /* or the table of addresses never grew twice */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_out_the_lowest_place_that_fits),
        cmocka_unit_test(test_the_whole_range_can_be_had_and_no_byte_more),
        cmocka_unit_test(test_an_empty_range_has_nothing),
        cmocka_unit_test(test_pieces_are_aligned_and_the_rest_is_not_lost),
        cmocka_unit_test(test_neighbours_join_whichever_goes_first),
        cmocka_unit_test(test_owns_its_range_and_nothing_else),
        cmocka_unit_test(test_short_of_memory_the_range_stays_whole),
        cmocka_unit_test(test_short_of_memory_all_pieces_are_still_found),
        cmocka_unit_test(test_random_use_is_that_of_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
