/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "check.h"
#include "size.h"

static void test_sizes_are_read(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } cases[] = {
        { "0", 0 },
        { "512", 512 },
        { "4K", 4096 },
        { "4k", 4096 },
        { "4KiB", 4096 },
        { "1M", 1 << 20 },
        { "2GiB", UINT64_C(2) << 30 },
        { "3T", UINT64_C(3) << 40 },
        { "18446744073709551615", UINT64_MAX },
        { "16777215T", UINT64_C(16777215) << 40 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t size = 77;

        assert_int_equal(size_parse(cases[i].text, &size), 0);
        assert_true(size == cases[i].size);
    }
}

static void test_garbage_is_refused(void **state)
{
    static const char *const cases[] = {
        "",    "K",   "-1", "+1",    " 1",  "1 ",   "0x10", "1.5G",
        "4KB", "4Ki", "4X", "4KiBx", "4iB", "4K4K", "ten",  "1e3",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t size = 77;

        assert_int_equal(size_parse(cases[i], &size), -EINVAL);
        assert_int_equal(size, 77);
    }
}

static void test_overflow_is_refused(void **state)
{
    static const char *const cases[] = {
        "18446744073709551616",
        "99999999999999999999999",
        "16777216T",
        "18446744073709551615K",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t size = 77;

        assert_int_equal(size_parse(cases[i], &size), -ERANGE);
        assert_int_equal(size, 77);
    }
}

static void test_numbers_have_limits(void **state)
{
    uint64_t n = 77;

    (void)state;
    assert_int_equal(size_parse_number("0", 1, 8, &n), -ERANGE);
    assert_int_equal(size_parse_number("9", 1, 8, &n), -ERANGE);
    assert_int_equal(size_parse_number("8K", 1, 9000, &n), -EINVAL);
    assert_int_equal(size_parse_number("-8", 1, 9000, &n), -EINVAL);
    assert_int_equal(n, 77);
    assert_int_equal(size_parse_number("8", 1, 8, &n), 0);
    assert_int_equal(n, 8);
}

static void test_sizes_are_written(void **state)
{
    char text[SIZE_TEXT_MAX];

    (void)state;
    assert_string_equal(size_format(text, 0), "0 B");
    assert_string_equal(size_format(text, 1023), "1023 B");
    assert_string_equal(size_format(text, 1024), "1.0 KiB");
    assert_string_equal(size_format(text, 256 << 20), "256.0 MiB");
    assert_string_equal(size_format(text, 18446744073709551615.0), "16.0 EiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_read),
        cmocka_unit_test(test_garbage_is_refused),
        cmocka_unit_test(test_overflow_is_refused),
        cmocka_unit_test(test_numbers_have_limits),
        cmocka_unit_test(test_sizes_are_written),
    };

    return cmocka_run_group_tests_name("size", tests, NULL, NULL);
}
