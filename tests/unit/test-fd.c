/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/fd.h"

static void test_close_empties_the_field_and_keeps_errno(void **state)
{
    int fd = dup(1);
    int was = fd;

    (void)state;
    errno = EXDEV;
    vh_fd_close(&fd);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(was, F_GETFD), -1);
    errno = EXDEV;
    vh_fd_close(&fd); /* none */
    assert_int_equal(errno, EXDEV);
}

static void test_fd_0_is_one_like_any_other(void **state)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 3);
    int zero = 0;

    (void)state;
    vh_fd_close(&zero);
    assert_int_equal(fcntl(0, F_GETFD), -1);
    zero = vh_fd_dup(1);
    assert_int_equal(zero, 0);
    vh_fd_close(&zero);
    if (saved >= 0) {
        dup2(saved, 0);
        close(saved);
    }
}

static void test_closes_all_and_skips_holes(void **state)
{
    int fds[3] = { dup(1), -1, dup(1) };
    int last = fds[2];

    (void)state;
    vh_fd_close_all(fds, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fds[i], -1);
    }
    assert_int_equal(fcntl(last, F_GETFD), -1);
}

static void test_a_duplicate_is_closed_on_exec(void **state)
{
    int fd = vh_fd_dup(1);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    vh_fd_close(&fd);
    assert_int_equal(vh_fd_dup(-1), -EBADF);
}

static void test_nonblock_leaves_other_flags(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_DIRECT), 0);
    assert_int_equal(vh_fd_set_nonblock(fds[1]), 0);
    assert_int_equal(fcntl(fds[1], F_GETFL), O_WRONLY | O_DIRECT | O_NONBLOCK);
    vh_fd_close_all(fds, 2);
    assert_int_equal(vh_fd_set_nonblock(-1), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_empties_the_field_and_keeps_errno),
        cmocka_unit_test(test_fd_0_is_one_like_any_other),
        cmocka_unit_test(test_closes_all_and_skips_holes),
        cmocka_unit_test(test_a_duplicate_is_closed_on_exec),
        cmocka_unit_test(test_nonblock_leaves_other_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
