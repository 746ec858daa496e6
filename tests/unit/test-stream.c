/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/stream.h"

#define MIB (1024 * 1024)

static void test_memory_gives_back_what_was_written(void **state)
{
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    static char out[100000];
    static char in[sizeof(out)];
    size_t len = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(out); i++) {
        out[i] = (char)(i * 7);
    }
    assert_null(vhost_stream_get_data(s, &len));
    assert_int_equal(len, 0);
    assert_int_equal(vhost_stream_write(s, out, 1, NULL), 0);
    assert_int_equal(vhost_stream_write(s, out + 1, sizeof(out) - 1, NULL), 0);
    assert_int_equal(vhost_stream_read(s, in, 10, NULL), 0);
    assert_memory_equal(vhost_stream_get_data(s, &len), out + 10,
                        sizeof(out) - 10);
    assert_int_equal(len, sizeof(out) - 10);
    assert_int_equal(vhost_stream_read(s, in + 10, sizeof(in) - 10, NULL), 0);
    assert_memory_equal(in, out, sizeof(in));
    vhost_stream_free(s);
}

static void test_memory_read_as_it_is_written_loses_nothing(void **state)
{
    struct vhost_stream *s = vhost_stream_new_memory("ab", 2);
    uint32_t wrote = 0;
    uint32_t read = 0;
    uint32_t value = 0;
    char two[2];

    (void)state;
    assert_int_equal(vhost_stream_read(s, two, 2, NULL), 0);
    assert_memory_equal(two, "ab", 2);
    for (unsigned i = 0; i < 20000; i++) {
        for (unsigned k = 0; k < i % 5; k++) {
            assert_int_equal(vh_stream_put_be32(s, wrote++, NULL), 0);
        }
        for (unsigned k = 0; k < i % 3 && read < wrote; k++) {
            assert_int_equal(vh_stream_get_be32(s, &value, NULL), 0);
            assert_int_equal(value, read++);
        }
    }
    while (read < wrote) {
        assert_int_equal(vh_stream_get_be32(s, &value, NULL), 0);
        assert_int_equal(value, read++);
    }
    vhost_stream_free(s);
}

static void test_numbers_are_big_endian(void **state)
{
    struct vhost_stream *s = vhost_stream_new_memory(NULL, 0);
    static const unsigned char want[] = { 1, 2, 3,  4,  5,  6,  7,
                                          8, 9, 10, 11, 12, 13, 14 };
    uint16_t v16 = 0;
    uint32_t v32 = 0;
    uint64_t v64 = 0;
    size_t len;

    (void)state;
    assert_int_equal(vh_stream_put_be16(s, 0x0102, NULL), 0);
    assert_int_equal(vh_stream_put_be32(s, 0x03040506, NULL), 0);
    assert_int_equal(vh_stream_put_be64(s, 0x0708090a0b0c0d0e, NULL), 0);
    assert_memory_equal(vhost_stream_get_data(s, &len), want, sizeof(want));
    assert_int_equal(len, sizeof(want));
    assert_int_equal(vh_stream_get_be16(s, &v16, NULL), 0);
    assert_int_equal(vh_stream_get_be32(s, &v32, NULL), 0);
    assert_int_equal(vh_stream_get_be64(s, &v64, NULL), 0);
    assert_int_equal(v16, 0x0102);
    assert_int_equal(v32, 0x03040506);
    assert_true(v64 == 0x0708090a0b0c0d0e);
    vhost_stream_free(s);
}

static void test_an_early_end_is_told_and_stays(void **state)
{
    struct vhost_stream *s = vhost_stream_new_memory("abc", 3);
    struct vhost_error *err = NULL;
    char data[4];

    (void)state;
    assert_int_equal(vhost_stream_read(s, data, 4, &err), -ENODATA);
    assert_int_equal(vhost_error_code(err), -ENODATA);
    assert_string_equal(vhost_error_message(err),
                        "the stream ends after 3 bytes of 4");
    vhost_error_free(err);
    err = NULL;
    assert_int_equal(vhost_stream_write(s, "x", 1, &err), -ENODATA);
    assert_non_null(err);
    vhost_error_free(err);
    vhost_stream_free(s);
}

static void test_no_more_is_written_than_the_limit(void **state)
{
    struct vhost_stream *s = vhost_stream_new_memory("old", 3);
    struct vhost_error *err = NULL;
    size_t len;

    (void)state;
    vhost_stream_set_limit(s, 10);
    assert_int_equal(vhost_stream_write(s, "0123456789", 10, NULL), 0);
    assert_int_equal(vhost_stream_write(s, "x", 1, &err), -EFBIG);
    assert_non_null(strstr(vhost_error_message(err), "10 bytes"));
    vhost_error_free(err);
    vhost_stream_get_data(s, &len);
    assert_int_equal(len, 13);
    vhost_stream_free(s);

    s = vhost_stream_new_memory(NULL, 0);
    assert_int_equal(vhost_stream_write(s, "0123", 4, NULL), 0);
    vhost_stream_set_limit(s, 2); /* less than there is already */
    assert_int_equal(vhost_stream_write(s, "x", 1, NULL), -EFBIG);
    vhost_stream_free(s);
}

struct reader {
    int fd;
    size_t total;
    size_t got;
    int wrong;
};

static void *read_slowly(void *arg)
{
    struct reader *r = arg;
    static char buf[3000];
    sigset_t all;
    ssize_t n;

    /* Signals are for the writer: they would end this loop. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while ((n = read(r->fd, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            r->wrong += buf[i] != (char)((r->got + (size_t)i) % 251);
        }
        r->got += (size_t)n;
    }
    return NULL;
}

static void write_through(int wfd, int rfd)
{
    struct vhost_stream *s = vhost_stream_new_fd(wfd);
    struct reader reader = { .fd = rfd, .total = 3 * MIB };
    char *data = malloc(reader.total);
    pthread_t thread;

    for (size_t i = 0; i < reader.total; i++) {
        data[i] = (char)(i % 251);
    }
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_int_equal(vhost_stream_write(s, data, reader.total, NULL), 0);
    vhost_stream_free(s);
    assert_true(fcntl(wfd, F_GETFD) >= 0); /* it was lent */
    close(wfd);
    pthread_join(thread, NULL);
    assert_int_equal(reader.got, reader.total);
    assert_int_equal(reader.wrong, 0);
    close(rfd);
    free(data);
}

static void test_pipes_and_sockets_carry_more_than_they_hold(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    write_through(fds[1], fds[0]);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    write_through(fds[1], fds[0]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    write_through(fds[1], fds[0]);
}

static void test_a_file_is_read_and_written_where_it_stands(void **state)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    struct vhost_stream *s = vhost_stream_new_fd(fd);
    char data[5];

    (void)state;
    assert_int_equal(vhost_stream_write(s, "hello", 5, NULL), 0);
    assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
    assert_int_equal(vhost_stream_read(s, data, 4, NULL), 0);
    assert_memory_equal(data, "ello", 4);
    assert_int_equal(vhost_stream_read(s, data, 1, NULL), -ENODATA);
    vhost_stream_free(s);
    close(fd);
}

static void expect_late(int fd, bool reads)
{
    struct vhost_stream *s = vhost_stream_new_fd(fd);
    struct vhost_error *err = NULL;
    char *data = calloc(1, MIB);
    int r;

    vhost_stream_set_deadline(s, 20);
    r = reads ? vhost_stream_read(s, data, MIB, &err)
              : vhost_stream_write(s, data, MIB, &err);
    assert_int_equal(r, -ETIMEDOUT);
    assert_non_null(strstr(vhost_error_message(err), "0.02 s"));
    vhost_error_free(err);
    vhost_stream_free(s);
    free(data);
}

/* The fds block: without care the calls would never return. */
static void test_who_does_not_come_is_not_waited_for(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    expect_late(fds[0], true);
    expect_late(fds[1], false);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    expect_late(fds[0], true);
    expect_late(fds[1], false);
    close(fds[0]);
    close(fds[1]);
}

static atomic_int n_signals;

static void count_signal(int sig)
{
    int saved = errno;

    (void)sig;
    n_signals++;
    errno = saved;
}

static void expect_broken(int fd)
{
    struct vhost_stream *s = vhost_stream_new_fd(fd);

    assert_int_equal(vhost_stream_write(s, "x", 1, NULL), -EPIPE);
    vhost_stream_free(s);
}

static bool sigpipe_is_pending(void)
{
    sigset_t set;

    sigpending(&set);
    return sigismember(&set, SIGPIPE);
}

static void test_a_reader_that_left_raises_no_signal(void **state)
{
    struct sigaction action = { .sa_handler = count_signal };
    struct sigaction old;
    sigset_t set;
    int fds[2];

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    assert_int_equal(sigaction(SIGPIPE, &action, &old), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    n_signals = 0;
    expect_broken(fds[1]);
    assert_int_equal(n_signals, 0);
    assert_false(sigpipe_is_pending());

    /* One that somebody else has raised is not taken away. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    expect_broken(fds[1]);
    assert_true(sigpipe_is_pending());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    assert_int_equal(n_signals, 1);
    close(fds[1]);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    close(fds[0]);
    expect_broken(fds[1]);
    assert_int_equal(n_signals, 1);
    close(fds[1]);
    sigaction(SIGPIPE, &old, NULL);
}

static void test_signals_do_not_cut_a_write_short(void **state)
{
    struct sigaction action = { .sa_handler = count_signal };
    struct sigaction old;
    timer_t timer;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
                              .sigev_signo = SIGALRM };
    struct itimerspec every = { .it_interval.tv_nsec = 200000,
                                .it_value.tv_nsec = 200000 };
    int fds[2];

    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
    n_signals = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        write_through(fds[1], fds[0]);
    }
    timer_delete(timer);
    assert_true(n_signals > 0);
    sigaction(SIGALRM, &old, NULL);
}

struct owner {
    char data[64];
    size_t n;
    unsigned calls;
    ssize_t strange; /* what to answer instead; 0: nothing */
    int timeout_ms;
};

static ssize_t owner_write(void *opaque, const void *data, size_t len,
                           int timeout_ms)
{
    struct owner *o = opaque;

    (void)len;
    o->timeout_ms = timeout_ms;
    if (o->calls++ % 2) {
        return -EINTR;
    }
    if (o->strange) {
        return o->strange;
    }
    o->data[o->n++] = *(const char *)data; /* one at a time */
    return 1;
}

static const struct vhost_stream_ops owner_ops = { .write = owner_write };

static int owner_try(ssize_t strange)
{
    struct owner owner = { .strange = strange };
    struct vhost_stream *s = vhost_stream_new(&owner_ops, &owner);
    int r = vhost_stream_write(s, "abc", 3, NULL);

    vhost_stream_free(s);
    return r;
}

static void test_an_owners_functions_are_called_until_all_is_done(void **state)
{
    struct owner owner = { 0 };
    struct vhost_stream *s = vhost_stream_new(&owner_ops, &owner);
    struct vhost_error *err = NULL;
    char data[1];

    (void)state;
    vhost_stream_set_deadline(s, 5000);
    assert_int_equal(vhost_stream_write(s, "hello", 5, NULL), 0);
    assert_memory_equal(owner.data, "hello", 5);
    assert_int_equal(owner.n, 5);
    assert_true(owner.timeout_ms > 0 && owner.timeout_ms <= 5000);
    assert_int_equal(vhost_stream_read(s, data, 1, &err), -EBADF);
    vhost_error_free(err);
    vhost_stream_free(s);

    assert_int_equal(owner_try(-EIO), -EIO);
    assert_int_equal(owner_try(-EAGAIN), -ETIMEDOUT);
    assert_int_equal(owner_try(4), -EINVAL); /* more than it was given */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_gives_back_what_was_written),
        cmocka_unit_test(test_memory_read_as_it_is_written_loses_nothing),
        cmocka_unit_test(test_numbers_are_big_endian),
        cmocka_unit_test(test_an_early_end_is_told_and_stays),
        cmocka_unit_test(test_no_more_is_written_than_the_limit),
        cmocka_unit_test(test_pipes_and_sockets_carry_more_than_they_hold),
        cmocka_unit_test(test_a_file_is_read_and_written_where_it_stands),
        cmocka_unit_test(test_who_does_not_come_is_not_waited_for),
        cmocka_unit_test(test_a_reader_that_left_raises_no_signal),
        cmocka_unit_test(test_signals_do_not_cut_a_write_short),
        cmocka_unit_test(test_an_owners_functions_are_called_until_all_is_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
