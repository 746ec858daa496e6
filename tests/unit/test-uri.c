/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "driver/uri.h"

static void refused(const char *text, int code, const char *words)
{
    struct vhost_error *error = NULL;
    struct vh_uri uri = { .type = VHOST_BACKEND_TYPE_NONE, .path = "kept" };

    assert_int_equal(vh_uri_parse(&uri, text, &error), code);
    assert_int_equal(vhost_error_code(error), code);
    assert_non_null(strstr(vhost_error_message(error), words));
    assert_string_equal(uri.path, "kept");
    vhost_error_free(error);
}

static void test_a_user_uri_gives_the_path_of_a_socket(void **state)
{
    struct vh_uri uri;

    (void)state;
    assert_int_equal(vh_uri_parse(&uri, "user:/run/d.sock", NULL), 0);
    assert_int_equal(uri.type, VHOST_BACKEND_TYPE_USER);
    assert_string_equal(uri.path, "/run/d.sock");
    assert_int_equal(vh_uri_parse(&uri, "user:a:b", NULL), 0);
    assert_string_equal(uri.path, "a:b");
}

static void test_a_kernel_uri_gives_the_device_and_its_fields(void **state)
{
    struct vh_uri uri;

    (void)state;
    assert_int_equal(vh_uri_parse(&uri, "kernel:net?tap=t0", NULL), 0);
    assert_int_equal(uri.type, VHOST_BACKEND_TYPE_KERNEL);
    assert_string_equal(uri.path, "net?tap=t0");
}

static void test_a_vdpa_uri_gives_the_path_of_a_node(void **state)
{
    struct vh_uri uri;

    (void)state;
    assert_int_equal(vh_uri_parse(&uri, "vdpa:/dev/vhost-vdpa-0", NULL), 0);
    assert_int_equal(uri.type, VHOST_BACKEND_TYPE_VDPA);
    assert_string_equal(uri.path, "/dev/vhost-vdpa-0");
}

static void test_anything_else_is_told_which_forms_exist(void **state)
{
    static const char *const wrong[] = { "", "/run/d.sock", "usr:/run/d.sock",
                                         "USER:/run/d.sock", "user" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        refused(wrong[i], -EINVAL, "user:PATH, kernel:DEVICE or vdpa:PATH");
    }
    refused(NULL, -EINVAL, "user:PATH");
}

static void test_a_kind_without_a_path_is_refused(void **state)
{
    (void)state;
    refused("user:", -EINVAL, "a path must follow");
    refused("vdpa:", -EINVAL, "a path must follow");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_user_uri_gives_the_path_of_a_socket),
        cmocka_unit_test(test_a_kernel_uri_gives_the_device_and_its_fields),
        cmocka_unit_test(test_a_vdpa_uri_gives_the_path_of_a_node),
        cmocka_unit_test(test_anything_else_is_told_which_forms_exist),
        cmocka_unit_test(test_a_kind_without_a_path_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
