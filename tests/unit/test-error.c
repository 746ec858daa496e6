/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

/* The test is linked with --wrap=malloc. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static bool memory_is_short;

void *__wrap_malloc(size_t size)
{
    return memory_is_short ? NULL : __real_malloc(size);
}

static void test_no_error_reads_as_success(void **state)
{
    (void)state;
    assert_string_equal(vhost_error_message(NULL), "success");
    assert_string_equal(vhost_error_operation(NULL), "");
    assert_int_equal(vhost_error_code(NULL), 0);
    assert_int_equal(vhost_error_queue(NULL), -1);
    vhost_error_free(NULL);
}

static void test_keeps_all_that_it_was_told(void **state)
{
    struct vhost_error *err = NULL;
    char operation[] = "SET_VRING_KICK";

    (void)state;
    assert_int_equal(
        vh_error(&err, -EIO, operation, 3, "queue %d: %s", 3, "100% lost"),
        -EIO);
    operation[0] = 'X'; /* it was copied */
    assert_int_equal(vhost_error_code(err), -EIO);
    assert_int_equal(vhost_error_queue(err), 3);
    assert_string_equal(vhost_error_operation(err), "SET_VRING_KICK");
    assert_string_equal(vhost_error_message(err), "queue 3: 100% lost");
    vhost_error_free(err);
}

static void test_no_operation_reads_as_an_empty_one(void **state)
{
    struct vhost_error *err = NULL;

    (void)state;
    vh_error(&err, -EIO, NULL, VH_NO_QUEUE, "it failed");
    assert_string_equal(vhost_error_operation(err), "");
    vhost_error_free(err);
}

static void test_the_first_error_wins(void **state)
{
    struct vhost_error *err = NULL;
    struct vhost_error *late = NULL;

    (void)state;
    vh_error(&err, -EIO, "read", VH_NO_QUEUE, "cause");
    assert_int_equal(vh_error(&err, -EPERM, "close", 1, "aftermath"), -EPERM);
    vh_error(&late, -EPIPE, "write", VH_NO_QUEUE, "later");
    vh_error_copy(&err, late);
    vh_error_move(&err, &late);
    assert_null(late);
    assert_int_equal(vhost_error_code(err), -EIO);
    assert_string_equal(vhost_error_message(err), "cause");
    vhost_error_free(err);
}

static void test_nowhere_to_put_it_is_fine(void **state)
{
    struct vhost_error *none = NULL;
    struct vhost_error *err = NULL;

    (void)state;
    assert_int_equal(vh_error(NULL, -EIO, "", VH_NO_QUEUE, "lost"), -EIO);
    vh_error_prefix(NULL, "lost");
    vh_error_prefix(&none, "lost");
    vh_error_move(NULL, &none);
    vh_error_copy(NULL, NULL);
    vh_error_copy(&none, NULL);
    vh_error_clear(&none);
    assert_null(none);
    vh_error(&err, -EIO, "", VH_NO_QUEUE, "freed");
    vh_error_copy(NULL, err);
    vh_error_move(NULL, &err); /* a leak checker sees if it is not freed */
    assert_null(err);
}

static void test_moves_and_copies_whole(void **state)
{
    struct vhost_error *from = NULL;
    struct vhost_error *moved = NULL;
    struct vhost_error *copy = NULL;

    (void)state;
    vh_error(&from, -EIO, "read", 2, "cause");
    vh_error_copy(&copy, from);
    vh_error_move(&moved, &from);
    assert_null(from);
    assert_string_equal(vhost_error_message(moved), "cause");
    vh_error_clear(&moved);
    assert_null(moved);
    assert_int_equal(vhost_error_code(copy), -EIO);
    assert_int_equal(vhost_error_queue(copy), 2);
    assert_string_equal(vhost_error_operation(copy), "read");
    assert_string_equal(vhost_error_message(copy), "cause");
    vhost_error_free(copy);
}

static void test_prefixes_pile_up(void **state)
{
    struct vhost_error *err = NULL;

    (void)state;
    vh_error(&err, -EIO, "read", VH_NO_QUEUE, "cause %%");
    vh_error_prefix(&err, "queue %d", 4);
    vh_error_prefix(&err, "user:%s", "disk.sock");
    assert_string_equal(vhost_error_message(err),
                        "user:disk.sock: queue 4: cause %");
    assert_int_equal(vhost_error_code(err), -EIO);
    vhost_error_free(err);
}

static void test_a_message_has_no_limit(void **state)
{
    static char text[100001];
    struct vhost_error *err = NULL;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    vh_error(&err, -E2BIG, "", VH_NO_QUEUE, "%s", text);
    vh_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(vhost_error_message(err)),
                     2 * (sizeof(text) - 1) + 2);
    vhost_error_free(err);
}

static void test_short_of_memory_is_an_error_like_any_other(void **state)
{
    struct vhost_error *err = NULL;
    struct vhost_error *copy = NULL;
    int code;

    (void)state;
    memory_is_short = true;
    code = vh_error(&err, -EIO, "read", 2, "cause");
    memory_is_short = false;
    assert_int_equal(code, -EIO);
    assert_non_null(err);
    assert_int_equal(vhost_error_code(err), -ENOMEM);
    assert_int_equal(vhost_error_queue(err), VH_NO_QUEUE);
    assert_non_null(strstr(vhost_error_message(err), "memory"));
    assert_string_not_equal(vhost_error_operation(err), "");
    vh_error(&err, -EPERM, "late", 1, "aftermath");
    vh_error_prefix(&err, "prefix");
    assert_int_equal(vhost_error_code(err), -ENOMEM);
    vh_error_copy(&copy, err);
    assert_string_equal(vhost_error_message(copy), vhost_error_message(err));
    vhost_error_free(copy);
    vhost_error_free(err);
    vhost_error_free(err); /* a constant may be freed by all who have it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_error_reads_as_success),
        cmocka_unit_test(test_keeps_all_that_it_was_told),
        cmocka_unit_test(test_no_operation_reads_as_an_empty_one),
        cmocka_unit_test(test_the_first_error_wins),
        cmocka_unit_test(test_nowhere_to_put_it_is_fine),
        cmocka_unit_test(test_moves_and_copies_whole),
        cmocka_unit_test(test_prefixes_pile_up),
        cmocka_unit_test(test_a_message_has_no_limit),
        cmocka_unit_test(test_short_of_memory_is_an_error_like_any_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
