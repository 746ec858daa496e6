/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "check.h"
#include "histogram.h"

static void test_empty_has_zero_everywhere(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    assert_int_equal(histogram_count(h), 0);
    assert_int_equal(histogram_min(h), 0);
    assert_int_equal(histogram_max(h), 0);
    assert_int_equal(histogram_percentile(h, 50), 0);
    assert_int_equal(histogram_percentile(h, 100), 0);
    assert_true(histogram_mean(h) == 0);
    histogram_free(h);
}

static void test_small_values_are_exact(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    for (uint64_t v = 1; v <= 1000; v++) {
        histogram_record(h, v);
    }
    assert_int_equal(histogram_count(h), 1000);
    assert_int_equal(histogram_min(h), 1);
    assert_int_equal(histogram_max(h), 1000);
    assert_true(histogram_mean(h) == 500.5);
    assert_int_equal(histogram_percentile(h, 0), 1);
    assert_int_equal(histogram_percentile(h, 0.1), 1);
    assert_int_equal(histogram_percentile(h, 50), 500);
    assert_int_equal(histogram_percentile(h, 90), 900);
    assert_int_equal(histogram_percentile(h, 99), 990);
    assert_int_equal(histogram_percentile(h, 99.9), 999);
    assert_int_equal(histogram_percentile(h, 100), 1000);
    histogram_free(h);
}

/* The median of {v, v, huge} is the top of v's bucket, whatever v. */
static void check_precision_at(uint64_t v)
{
    struct histogram *h = histogram_new();
    uint64_t got;

    histogram_record(h, v);
    histogram_record(h, v);
    histogram_record(h, HISTOGRAM_LIMIT);
    got = histogram_percentile(h, 50);
    assert_true(got >= v);
    assert_true(got - v <= v / 1000);
    histogram_free(h);
}

static void test_every_magnitude_keeps_three_digits(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 41; bit++) {
        uint64_t v = UINT64_C(1) << bit;

        check_precision_at(v - 1);
        check_precision_at(v);
        check_precision_at(v + 1);
        check_precision_at(v + v / 3);
    }
    check_precision_at(HISTOGRAM_LIMIT - 1);
}

/* Two values in neighbouring buckets never change places. */
static void test_percentiles_rise(void **state)
{
    struct histogram *h = histogram_new();
    uint64_t last = 0;

    (void)state;
    for (uint64_t v = 1; v < HISTOGRAM_LIMIT / 2; v += 1 + v / 7) {
        histogram_record(h, v);
    }
    for (double p = 0; p <= 100; p += 0.5) {
        uint64_t got = histogram_percentile(h, p);

        assert_true(got >= last);
        last = got;
    }
    assert_int_equal(last, histogram_max(h));
    histogram_free(h);
}

static void test_what_is_above_the_limit_still_counts(void **state)
{
    struct histogram *h = histogram_new();

    (void)state;
    histogram_record(h, 10);
    histogram_record(h, UINT64_MAX);
    assert_int_equal(histogram_count(h), 2);
    assert_int_equal(histogram_percentile(h, 50), 10);
    assert_true(histogram_max(h) == UINT64_MAX);
    assert_true(histogram_percentile(h, 100) == UINT64_MAX);
    histogram_free(h);
}

static void test_a_merge_is_as_if_one_had_counted_all(void **state)
{
    struct histogram *all = histogram_new();
    struct histogram *odd = histogram_new();
    struct histogram *even = histogram_new();
    struct histogram *empty = histogram_new();

    (void)state;
    for (uint64_t v = 1; v < 100000; v++) {
        histogram_record(all, v * 37);
        histogram_record(v % 2 == 1 ? odd : even, v * 37);
    }
    histogram_merge(even, odd);
    histogram_merge(even, empty);
    assert_int_equal(histogram_count(even), histogram_count(all));
    assert_int_equal(histogram_min(even), histogram_min(all));
    assert_int_equal(histogram_max(even), histogram_max(all));
    assert_true(histogram_mean(even) == histogram_mean(all));
    for (double p = 0; p <= 100; p += 0.1) {
        assert_int_equal(histogram_percentile(even, p),
                         histogram_percentile(all, p));
    }
    histogram_free(all);
    histogram_free(odd);
    histogram_free(even);
    histogram_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_has_zero_everywhere),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_every_magnitude_keeps_three_digits),
        cmocka_unit_test(test_percentiles_rise),
        cmocka_unit_test(test_what_is_above_the_limit_still_counts),
        cmocka_unit_test(test_a_merge_is_as_if_one_had_counted_all),
    };

    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
