/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <limits.h>
#include <time.h>

#include "util/clock.h"

/* The test is linked with --wrap=clock_gettime: time stands still. */
int __wrap_clock_gettime(clockid_t id, struct timespec *now);

static struct timespec fixed = { .tv_sec = 1000, .tv_nsec = 999999999 };

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    assert_int_equal(id, CLOCK_MONOTONIC);
    *now = fixed;
    return 0;
}

#define NOW INT64_C(1000999999999)
#define MS INT64_C(1000000)

static void test_time_is_in_nanoseconds(void **state)
{
    (void)state;
    assert_int_equal(vh_clock_ns(), NOW);
}

static void test_a_deadline_is_that_far_away(void **state)
{
    (void)state;
    assert_int_equal(vh_deadline_in(0), NOW);
    assert_int_equal(vh_deadline_in(2500), NOW + 2500 * MS);
    assert_int_equal(vh_deadline_left_ms(vh_deadline_in(2500)), 2500);
}

static void test_never_is_never_reached(void **state)
{
    (void)state;
    assert_true(vh_deadline_in(-1) == VH_DEADLINE_NEVER);
    assert_true(vh_deadline_in(INT64_MIN) == VH_DEADLINE_NEVER);
    assert_true(vh_deadline_in(INT64_MAX) == VH_DEADLINE_NEVER);
    assert_true(vh_deadline_in(INT64_MAX / MS) == VH_DEADLINE_NEVER);
    assert_int_equal(vh_deadline_left_ms(VH_DEADLINE_NEVER), -1);
    assert_false(vh_deadline_passed(VH_DEADLINE_NEVER));
}

static void test_what_is_left_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(vh_deadline_left_ms(NOW + 1), 1);
    assert_int_equal(vh_deadline_left_ms(NOW + MS), 1);
    assert_int_equal(vh_deadline_left_ms(NOW + MS + 1), 2);
}

static void test_the_past_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(vh_deadline_left_ms(NOW), 0);
    assert_int_equal(vh_deadline_left_ms(NOW - 1), 0);
    assert_int_equal(vh_deadline_left_ms(0), 0);
    assert_int_equal(vh_deadline_left_ms(INT64_MIN), 0);
    assert_true(vh_deadline_passed(NOW));
    assert_true(vh_deadline_passed(INT64_MIN));
    assert_false(vh_deadline_passed(NOW + 1));
}

static void test_a_far_deadline_fits_an_int(void **state)
{
    (void)state;
    assert_int_equal(vh_deadline_left_ms(INT64_MAX - 1), INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_is_in_nanoseconds),
        cmocka_unit_test(test_a_deadline_is_that_far_away),
        cmocka_unit_test(test_never_is_never_reached),
        cmocka_unit_test(test_what_is_left_is_rounded_up),
        cmocka_unit_test(test_the_past_leaves_nothing),
        cmocka_unit_test(test_a_far_deadline_fits_an_int),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
