/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vhost/notifier.h>
#include <vhost/version.h>

static bool is_readable(const struct vhost_notifier *n)
{
    struct pollfd p = { .fd = vhost_notifier_get_fd(n), .events = POLLIN };

    return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

static void test_starts_as_told(void **state)
{
    struct vhost_notifier n;

    (void)state;
    assert_int_equal(vhost_notifier_init(&n, false), 0);
    assert_false(is_readable(&n));
    assert_false(vhost_notifier_test_and_clear(&n));
    vhost_notifier_cleanup(&n);

    assert_int_equal(vhost_notifier_init(&n, true), 0);
    assert_true(is_readable(&n));
    assert_true(vhost_notifier_test_and_clear(&n));
    assert_false(vhost_notifier_test_and_clear(&n));
    vhost_notifier_cleanup(&n);
}

static void test_set_twice_is_just_set(void **state)
{
    struct vhost_notifier n;

    (void)state;
    assert_int_equal(vhost_notifier_init(&n, false), 0);
    assert_int_equal(vhost_notifier_set(&n), 0);
    assert_int_equal(vhost_notifier_set(&n), 0);
    assert_true(is_readable(&n));
    assert_true(vhost_notifier_test_and_clear(&n));
    assert_false(is_readable(&n));
    assert_false(vhost_notifier_test_and_clear(&n));
    vhost_notifier_cleanup(&n);
}

/* Whoever shares the fd can make it a blocking one. */
static void test_clearing_what_is_not_set_never_blocks(void **state)
{
    struct vhost_notifier n;

    (void)state;
    assert_int_equal(vhost_notifier_init(&n, false), 0);
    assert_int_equal(fcntl(n.fd, F_SETFL, 0), 0);
    alarm(10);
    assert_false(vhost_notifier_test_and_clear(&n));
    assert_int_equal(vhost_notifier_set(&n), 0);
    assert_true(vhost_notifier_test_and_clear(&n));
    alarm(0);
    vhost_notifier_cleanup(&n);
}

static void test_a_full_counter_is_set_and_does_not_block(void **state)
{
    struct vhost_notifier n;
    uint64_t top = UINT64_MAX - 1;

    (void)state;
    assert_int_equal(vhost_notifier_init(&n, false), 0);
    assert_int_equal(write(n.fd, &top, sizeof(top)), sizeof(top));
    assert_int_equal(vhost_notifier_set(&n), 0);
    assert_true(vhost_notifier_test_and_clear(&n));
    assert_false(vhost_notifier_test_and_clear(&n));
    vhost_notifier_cleanup(&n);
}

static void test_the_fd_is_nonblocking_and_closed_on_exec(void **state)
{
    struct vhost_notifier n;

    (void)state;
    assert_int_equal(vhost_notifier_init(&n, false), 0);
    assert_int_equal(fcntl(n.fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(n.fd, F_GETFL) & O_NONBLOCK);
    vhost_notifier_cleanup(&n);
}

static void test_cleans_up_once(void **state)
{
    struct vhost_notifier n;
    int fd;

    (void)state;
    assert_int_equal(vhost_notifier_init(&n, false), 0);
    fd = n.fd;
    vhost_notifier_cleanup(&n);
    assert_int_equal(vhost_notifier_get_fd(&n), -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    vhost_notifier_cleanup(&n);
    assert_int_equal(vhost_notifier_set(&n), -EBADF);
    assert_false(vhost_notifier_test_and_clear(&n));
}

static void test_without_fds_there_is_none(void **state)
{
    struct vhost_notifier n = { .fd = 7 };
    struct rlimit limit;
    struct rlimit none;
    int r;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    r = vhost_notifier_init(&n, true);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(vhost_notifier_get_fd(&n), -1);
}

static void test_the_library_is_as_old_as_its_headers(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof(text), "%d.%d.%d", VHOST_VERSION_MAJOR,
             VHOST_VERSION_MINOR, VHOST_VERSION_PATCH);
    assert_string_equal(vhost_version(), text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_as_told),
        cmocka_unit_test(test_set_twice_is_just_set),
        cmocka_unit_test(test_clearing_what_is_not_set_never_blocks),
        cmocka_unit_test(test_a_full_counter_is_set_and_does_not_block),
        cmocka_unit_test(test_the_fd_is_nonblocking_and_closed_on_exec),
        cmocka_unit_test(test_cleans_up_once),
        cmocka_unit_test(test_without_fds_there_is_none),
        cmocka_unit_test(test_the_library_is_as_old_as_its_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
