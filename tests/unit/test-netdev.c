/* SPDX-License-Identifier: BSD-3-Clause */
/* struct vhost_net: what can be told on a host without such a device. */
#include <errno.h>
#include <string.h>
#include <linux/vhost_types.h>

#include <vhost/netdev.h>

#include "check.h"

/* A node that is a file as any other: all that is before it has been right. */
static void test_it_is_a_device_of_the_kernel(void **state)
{
    struct vhost_kernel_options o = { .size = sizeof(o),
                                      .kind = VHOST_KERNEL_NET,
                                      .path = "/dev/null" };
    struct vhost_net net = { .pairs = 0 };
    struct vhost_error *err = NULL;

    (void)state;
    assert_int_equal(vhost_net_init(&net, &o, 2, 0, &err), -ENOTTY);
    assert_non_null(strstr(vhost_error_message(err), "not a vhost node"));
    vhost_error_free(err);
    assert_null(net.nc);
    assert_null(net.vqs);
    assert_int_equal(net.backend, -1);
    assert_int_equal(net.dev.nvqs, 0);
    vhost_net_cleanup(&net);
}

static void test_what_can_t_be_a_network_device_is_refused(void **state)
{
    struct vhost_kernel_options o = { .kind = VHOST_KERNEL_VSOCK };
    struct vhost_net net = { .pairs = 0 };
    struct vhost_error *err = NULL;

    (void)state;
    assert_int_equal(vhost_net_init(&net, &o, 1, 0, &err), -EINVAL);
    assert_non_null(strstr(vhost_error_message(err), "VHOST_KERNEL_NET"));
    vhost_error_free(err);
    err = NULL;
    o.kind = VHOST_KERNEL_NET;
    assert_int_equal(vhost_net_init(&net, &o, 0, 0, NULL), -EINVAL);
    assert_int_equal(vhost_net_init(&net, &o, 129, 0, &err), -EINVAL);
    assert_non_null(strstr(vhost_error_message(err), "1 to 128"));
    vhost_error_free(err);
    err = NULL;
    o.kind = 9;
    assert_int_equal(vhost_net_init(&net, &o, 1, 0, &err), -EINVAL);
    assert_non_null(strstr(vhost_error_message(err), "no such kind"));
    vhost_error_free(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_a_device_of_the_kernel),
        cmocka_unit_test(test_what_can_t_be_a_network_device_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
