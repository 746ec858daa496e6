/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole messages with their fds over a socket whose other end may lie. */
#include "check.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "wire-rig.h"
#include "wire/sock.h"

/* The socket under test, the other end, and what was open before. */
struct rig {
    struct vh_sock *sock;
    int peer;
    unsigned n_fds;
};

static int setup(void **state)
{
    static struct rig rig;
    int pair[2];

    rig.n_fds = count_fds();
    make_pair(pair);
    assert_int_equal(vh_sock_new(&rig.sock, pair[0]), 0);
    rig.peer = pair[1];
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    vh_sock_free(rig->sock);
    if (rig->peer >= 0) {
        close(rig->peer);
    }
    assert_int_equal(count_fds(), rig->n_fds);
    return 0;
}

static int receive(struct rig *rig, struct vh_msg *msg, bool bulk)
{
    const char *why = NULL;
    int r = vh_sock_receive(rig->sock, msg, bulk, &why);

    assert_int_equal(r < 0, why != NULL);
    return r;
}

/* The next message is a fault, and so is every later one. */
static void expect_fault(struct rig *rig, bool bulk, int code,
                         const char *words)
{
    for (int i = 0; i < 2; i++) {
        struct vh_msg msg;
        const char *why = NULL;

        assert_int_equal(vh_sock_receive(rig->sock, &msg, bulk, &why), code);
        assert_string_equal(why, words);
    }
}

static struct vh_sock_stats stats_of(const struct rig *rig)
{
    struct vh_sock_stats stats;

    vh_sock_get_stats(rig->sock, &stats);
    return stats;
}

static void queue_u64(struct rig *rig, uint64_t value)
{
    struct vh_msg msg;

    vh_msg_init_u64(&msg, VH_SET_FEATURES, value);
    assert_int_equal(vh_sock_queue(rig->sock, &msg), 0);
}

/* A message with @n times the same fd, which is lent. */
static void queue_fds(struct rig *rig, uint32_t request, unsigned n, int fd)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    msg.n_fds = n;
    for (unsigned i = 0; i < n; i++) {
        msg.fds[i] = fd;
    }
    assert_int_equal(vh_sock_queue(rig->sock, &msg), 0);
}

/* Sending */

static void test_small_messages_go_in_one_call(void **state)
{
    struct rig *rig = *state;
    uint8_t bytes[100 * 20];

    for (unsigned i = 0; i < 100; i++) {
        queue_u64(rig, i);
    }
    assert_true(vh_sock_wants_send(rig->sock));
    assert_int_equal(vh_sock_send(rig->sock), 0);
    assert_false(vh_sock_wants_send(rig->sock));
    assert_int_equal(stats_of(rig).send_calls, 1);
    assert_int_equal(stats_of(rig).messages, 100);
    assert_int_equal(raw_receive(rig->peer, bytes, sizeof(bytes)), 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(bytes[i * 20], VH_SET_FEATURES);
        assert_int_equal(bytes[i * 20 + 12], i);
    }
}

static void test_flags_can_be_added(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;
    uint8_t bytes[20];

    vh_msg_init_u64(&msg, VH_SET_FEATURES, 0x11);
    assert_int_equal(vh_sock_queue_flags(rig->sock, &msg, VH_MSG_F_NEED_REPLY),
                     0);
    assert_int_equal(msg.flags, VH_MSG_VERSION);
    assert_int_equal(vh_sock_send(rig->sock), 0);
    raw_receive(rig->peer, bytes, sizeof(bytes));
    assert_int_equal(bytes[4], VH_MSG_VERSION | VH_MSG_F_NEED_REPLY);
    assert_int_equal(bytes[0], VH_SET_FEATURES);
    assert_int_equal(bytes[8], 8);
    assert_int_equal(bytes[12], 0x11);
}

static void test_fds_begin_a_call_and_small_ones_ride_behind(void **state)
{
    struct rig *rig = *state;
    struct vh_sock *other;
    unsigned want[] = { 0, 1, 0, 0, 8, 3, 0 };
    int fd = some_fd();
    struct vh_msg msg;
    const char *why;

    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        if (want[i] == 0) {
            queue_u64(rig, i);
        } else {
            queue_fds(rig, VH_SET_MEM_TABLE, want[i], fd);
        }
    }
    assert_int_equal(vh_sock_send(rig->sock), 0);
    assert_int_equal(stats_of(rig).send_calls, 1);
    assert_int_equal(vh_sock_new(&other, rig->peer), 0);
    rig->peer = -1;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_int_equal(vh_sock_receive(other, &msg, false, &why), 1);
        assert_int_equal(msg.n_fds, want[i]);
        vh_msg_close_fds(&msg);
    }
    assert_int_equal(vh_sock_receive(other, &msg, false, &why), 0);
    vh_sock_free(other);
    close(fd);
}

#define BIG_N 200

#define BIG_N 200
#define BIG_SIZE (VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX)

static void queue_big(struct rig *rig, unsigned which, int fd)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_MEM_TABLE);
    msg.size = VH_MSG_PAYLOAD_MAX;
    msg.n_fds = which % 3;
    msg.fds[0] = fd;
    msg.fds[1] = fd;
    msg.payload.raw[0] = (uint8_t)which;
    msg.payload.raw[VH_MSG_PAYLOAD_MAX - 1] = (uint8_t)(which + 1);
    assert_int_equal(vh_sock_queue(rig->sock, &msg), 0);
}

/* Send what goes, and say whether a message is under way by half. */
static bool send_is_half(struct rig *rig, size_t taken)
{
    int there = 0;

    assert_true(vh_sock_send(rig->sock) >= 0);
    assert_int_equal(ioctl(rig->peer, FIONREAD, &there), 0);
    return (taken + (size_t)there) % BIG_SIZE != 0;
}

/* A socket that has no room for two messages, and is read in small pieces. */
static void test_fds_go_once_however_small_the_pieces(void **state)
{
    static uint8_t bytes[BIG_SIZE];
    struct rig *rig = *state;
    int small = 1;
    int fd = some_fd();
    unsigned halves = 0;

    setsockopt(vh_sock_fd(rig->sock), SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    for (unsigned i = 0; i < BIG_N; i++) {
        queue_big(rig, i, fd);
    }
    for (unsigned i = 0; i < BIG_N; i++) {
        unsigned n_fds = 0;

        for (size_t have = 0; have < BIG_SIZE;) {
            size_t len = BIG_SIZE - have < 700 ? BIG_SIZE - have : 700;

            halves += send_is_half(rig, i * BIG_SIZE + have);
            have += raw_receive_some(rig->peer, bytes + have, len, &n_fds);
        }
        assert_int_equal(n_fds, i % 3);
        assert_int_equal(bytes[0], VH_SET_MEM_TABLE);
        assert_int_equal(bytes[VH_MSG_HDR_SIZE], (uint8_t)i);
        assert_int_equal(bytes[BIG_SIZE - 1], (uint8_t)(i + 1));
    }
    assert_false(vh_sock_wants_send(rig->sock));
    assert_true(halves > 0);
    close(fd);
}

/* Read at most @max bytes of messages that count up from *seen. */
static void read_counted(int sock, size_t max, unsigned *seen)
{
    static uint8_t bytes[20];
    static size_t have;

    while (max-- > 0 && recv(sock, bytes + have, 1, MSG_DONTWAIT) == 1) {
        uint64_t value;

        if (++have < sizeof(bytes)) {
            continue;
        }
        have = 0;
        memcpy(&value, bytes + 12, sizeof(value));
        assert_int_equal(value, (*seen)++);
    }
}

static void test_queueing_goes_on_while_sending_is_stuck(void **state)
{
    struct rig *rig = *state;
    int small = 1;
    unsigned queued = 0;
    unsigned seen = 0;
    bool stuck = false;

    setsockopt(vh_sock_fd(rig->sock), SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    while (queued < 5000) {
        for (int i = 0; i < 50; i++) {
            queue_u64(rig, queued++);
        }
        stuck |= vh_sock_send(rig->sock) == 1;
        read_counted(rig->peer, 777, &seen);
    }
    assert_true(stuck);
    while (seen < queued) {
        assert_true(vh_sock_send(rig->sock) >= 0);
        read_counted(rig->peer, 100000, &seen);
    }
}

static void test_more_than_a_mebibyte_is_too_much(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;
    size_t waiting = 0;
    int r;

    vh_msg_init(&msg, VH_CREATE_CRYPTO_SESSION);
    msg.size = VH_MSG_PAYLOAD_MAX;
    while ((r = vh_sock_queue(rig->sock, &msg)) == 0) {
        waiting += VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX;
    }
    assert_int_equal(r, -ENOBUFS);
    assert_in_range(waiting, 1024 * 1024 - 4108, 1024 * 1024);
}

static void test_a_peer_that_is_gone_raises_no_signal(void **state)
{
    struct rig *rig = *state;

    close(rig->peer);
    rig->peer = -1;
    queue_u64(rig, 1);
    assert_int_equal(vh_sock_send(rig->sock), -ECONNRESET);
    assert_int_equal(vh_sock_send(rig->sock), -ECONNRESET);
}

static void test_lent_fds_stay_with_the_lender(void **state)
{
    struct rig *rig = *state;
    int fd = some_fd();
    struct stat st;

    queue_fds(rig, VH_SET_LOG_FD, 1, fd);
    vh_sock_free(rig->sock);
    rig->sock = NULL;
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
}

/* Receiving */

static void receives_byte_by_byte(struct rig *rig, bool bulk)
{
    uint64_t value = 0x1122334455667788;
    const uint32_t header[] = { VH_GET_FEATURES, 5, 8 };
    uint8_t bytes[20];
    struct vh_msg msg;

    memcpy(bytes, header, 12);
    memcpy(bytes + 12, &value, 8);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            assert_int_equal(receive(rig, &msg, bulk), 0);
            raw_send(rig->peer, bytes + i, 1, 0);
        }
        assert_int_equal(receive(rig, &msg, bulk), 1);
        assert_int_equal(msg.request, VH_GET_FEATURES);
        assert_int_equal(msg.flags, 5);
        assert_int_equal(msg.n_fds, 0);
        assert_int_equal(msg.payload.u64, value);
    }
}

static void test_a_message_may_come_byte_by_byte(void **state)
{
    receives_byte_by_byte(*state, false);
    receives_byte_by_byte(*state, true);
    assert_int_equal(stats_of(*state).received, 6);
}

static void test_two_pieces_at_every_boundary(void **state)
{
    struct rig *rig = *state;
    const uint32_t header[] = { VH_POSTCOPY_ADVISE, 5, 8 };
    uint8_t bytes[20] = { 0 };

    memcpy(bytes, header, 12);
    for (size_t cut = 1; cut < sizeof(bytes); cut++) {
        struct vh_msg msg;

        raw_send(rig->peer, bytes, cut, 2);
        assert_int_equal(receive(rig, &msg, false), 0);
        raw_send(rig->peer, bytes + cut, sizeof(bytes) - cut, 0);
        assert_int_equal(receive(rig, &msg, false), 1);
        assert_int_equal(msg.n_fds, 2);
        vh_msg_close_fds(&msg);
    }
}

static void test_fds_come_close_on_exec(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;

    raw_message(rig->peer, VH_SET_MEM_TABLE, 1, NULL, 0, VH_MSG_FDS_MAX);
    assert_int_equal(receive(rig, &msg, false), 1);
    assert_int_equal(msg.n_fds, VH_MSG_FDS_MAX);
    for (unsigned i = 0; i < msg.n_fds; i++) {
        assert_int_equal(fcntl(msg.fds[i], F_GETFD), FD_CLOEXEC);
    }
    vh_msg_close_fds(&msg);
}

static void test_fd_0_is_an_fd(void **state)
{
    struct rig *rig = *state;
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 3);
    struct vh_msg msg;

    raw_message(rig->peer, VH_SET_LOG_FD, 1, NULL, 0, 1);
    close(0);
    assert_int_equal(receive(rig, &msg, false), 1);
    assert_int_equal(msg.n_fds, 1);
    assert_int_equal(msg.fds[0], 0);
    vh_msg_close_fds(&msg);
    assert_int_equal(fcntl(0, F_GETFD), -1);
    if (saved >= 0) {
        assert_int_equal(dup2(saved, 0), 0);
        close(saved);
    }
}

static void test_bulk_reads_many_in_one_call(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;

    for (unsigned i = 0; i < 100; i++) {
        raw_u64(rig->peer, VH_SET_FEATURES, 5, i);
    }
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(receive(rig, &msg, true), 1);
        assert_int_equal(msg.payload.u64, i);
    }
    assert_int_equal(stats_of(rig).recv_calls, 1);
    assert_int_equal(receive(rig, &msg, true), 0);
}

static void test_exact_reading_takes_up_what_bulk_has_left(void **state)
{
    struct rig *rig = *state;
    const uint32_t begun[] = { VH_SET_OWNER, 1 };
    const uint32_t rest[] = { 0 };
    struct vh_msg msg;

    raw_u64(rig->peer, VH_SET_FEATURES, 5, 1);
    raw_u64(rig->peer, VH_SET_FEATURES, 5, 2);
    raw_send(rig->peer, begun, sizeof(begun), 0);
    assert_int_equal(receive(rig, &msg, true), 1);
    assert_int_equal(receive(rig, &msg, false), 1);
    assert_int_equal(msg.payload.u64, 2);
    assert_int_equal(receive(rig, &msg, false), 0);
    raw_send(rig->peer, rest, sizeof(rest), 0);
    raw_message(rig->peer, VH_SET_LOG_FD, 1, NULL, 0, 1);
    assert_int_equal(receive(rig, &msg, false), 1);
    assert_int_equal(msg.request, VH_SET_OWNER);
    assert_int_equal(receive(rig, &msg, false), 1);
    assert_int_equal(msg.request, VH_SET_LOG_FD);
    assert_int_equal(msg.n_fds, 1);
    vh_msg_close_fds(&msg);
}

static void test_the_largest_payload_arrives_whole(void **state)
{
    struct rig *rig = *state;
    uint8_t payload[VH_MSG_PAYLOAD_MAX];
    struct vh_msg msg;

    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)(i * 7);
    }
    for (int i = 0; i < 20; i++) { /* more than the buffer holds */
        raw_message(rig->peer, VH_CREATE_CRYPTO_SESSION, 1, payload,
                    sizeof(payload), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(receive(rig, &msg, i % 7 != 0), 1);
        assert_memory_equal(msg.payload.raw, payload, sizeof(payload));
    }
}

/* Lies */

static void test_one_fd_too_many_is_a_fault(void **state)
{
    raw_message(((struct rig *)*state)->peer, VH_SET_MEM_TABLE, 1, NULL, 0, 9);
    expect_fault(*state, false, -EPROTO, "too many fds with one message");
}

static void test_fds_beyond_count_are_a_fault(void **state)
{
    raw_message(((struct rig *)*state)->peer, VH_SET_MEM_TABLE, 1, NULL, 0,
                RIG_FDS_MAX);
    expect_fault(*state, false, -EPROTO, "too many fds with one message");
}

static void test_fds_in_two_pieces_of_a_header_add_up(void **state)
{
    struct rig *rig = *state;
    const uint32_t header[] = { VH_SET_MEM_TABLE, 1, 0 };

    raw_send(rig->peer, header, 4, 8);
    raw_send(rig->peer, header + 1, 8, 1);
    expect_fault(rig, false, -EPROTO, "too many fds with one message");
}

static void test_fds_with_the_payload_are_a_fault(void **state)
{
    struct rig *rig = *state;
    const uint32_t header[] = { VH_SET_FEATURES, 1, 8 };

    raw_send(rig->peer, header, sizeof(header), 2);
    raw_send(rig->peer, "12345678", 8, 1);
    expect_fault(rig, false, -EPROTO, "fds where none may come");
}

static void test_fds_in_bulk_are_a_fault(void **state)
{
    struct rig *rig = *state;

    raw_message(rig->peer, VH_SET_LOG_FD, 1, NULL, 0, 3);
    expect_fault(rig, true, -EPROTO, "fds where none may come");
}

static void test_an_impossible_size_is_a_fault(void **state)
{
    const uint32_t header[] = { VH_SET_FEATURES, 1, VH_MSG_PAYLOAD_MAX + 1 };

    raw_send(((struct rig *)*state)->peer, header, sizeof(header), 1);
    expect_fault(*state, false, -EPROTO, "a payload of impossible size");
}

static void test_another_version_is_a_fault(void **state)
{
    const uint32_t header[] = { VH_SET_FEATURES, 2, 0 };

    raw_send(((struct rig *)*state)->peer, header, sizeof(header), 1);
    expect_fault(*state, false, -EPROTO, "a message of unknown version");
}

/* Not the peer's fault, and told from one. */
static void test_fds_without_room_for_them_are_not_lost_in_silence(void **state)
{
    struct rig *rig = *state;
    struct rlimit saved;
    struct rlimit tight;
    struct vh_msg msg;
    const char *why = NULL;
    int next = some_fd();
    int r;

    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
    raw_message(rig->peer, VH_SET_MEM_TABLE, 1, NULL, 0, 4);
    tight = saved;
    tight.rlim_cur = (rlim_t)next + 2;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    r = vh_sock_receive(rig->sock, &msg, false, &why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
    assert_int_equal(r, -EMFILE);
    assert_string_equal(why, "no room for the fds of a message");
}

/* The end */

static void hang_up(struct rig *rig)
{
    close(rig->peer);
    rig->peer = -1;
}

static void test_a_peer_may_close_between_messages(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;

    raw_u64(rig->peer, VH_SET_FEATURES, 5, 1);
    hang_up(rig);
    assert_int_equal(receive(rig, &msg, true), 1);
    expect_fault(rig, true, -ECONNRESET, "closed");
}

static void test_closing_in_the_middle_is_told(void **state)
{
    struct rig *rig = *state;
    const uint32_t header[] = { VH_SET_FEATURES, 1, 8 };

    raw_send(rig->peer, header, sizeof(header), 2);
    hang_up(rig);
    expect_fault(rig, false, -ECONNRESET, "closed in the middle of a message");
}

/* Unread bytes make the kernel say ECONNRESET rather than end of file. */
static void test_a_peer_that_does_not_read_may_close(void **state)
{
    struct rig *rig = *state;

    queue_u64(rig, 1);
    assert_int_equal(vh_sock_send(rig->sock), 0);
    hang_up(rig);
    expect_fault(rig, false, -ECONNRESET, "closed");
}

static void test_fds_of_half_a_message_are_closed_with_the_socket(void **state)
{
    struct rig *rig = *state;
    const uint32_t header[] = { VH_SET_MEM_TABLE, 1, 8 };
    struct vh_msg msg;

    raw_send(rig->peer, header, sizeof(header), 8);
    assert_int_equal(receive(rig, &msg, false), 0);
    assert_int_equal(count_fds(), rig->n_fds + 2 + 8);
}

static void test_nothing_is_freed_for_nothing(void **state)
{
    (void)state;
    vh_sock_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_small_messages_go_in_one_call),
        TEST(test_flags_can_be_added),
        TEST(test_fds_begin_a_call_and_small_ones_ride_behind),
        TEST(test_fds_go_once_however_small_the_pieces),
        TEST(test_queueing_goes_on_while_sending_is_stuck),
        TEST(test_more_than_a_mebibyte_is_too_much),
        TEST(test_a_peer_that_is_gone_raises_no_signal),
        TEST(test_lent_fds_stay_with_the_lender),
        TEST(test_a_message_may_come_byte_by_byte),
        TEST(test_two_pieces_at_every_boundary),
        TEST(test_fds_come_close_on_exec),
        TEST(test_fd_0_is_an_fd),
        TEST(test_bulk_reads_many_in_one_call),
        TEST(test_exact_reading_takes_up_what_bulk_has_left),
        TEST(test_the_largest_payload_arrives_whole),
        TEST(test_one_fd_too_many_is_a_fault),
        TEST(test_fds_beyond_count_are_a_fault),
        TEST(test_fds_in_two_pieces_of_a_header_add_up),
        TEST(test_fds_with_the_payload_are_a_fault),
        TEST(test_fds_in_bulk_are_a_fault),
        TEST(test_an_impossible_size_is_a_fault),
        TEST(test_another_version_is_a_fault),
        TEST(test_fds_without_room_for_them_are_not_lost_in_silence),
        TEST(test_a_peer_may_close_between_messages),
        TEST(test_closing_in_the_middle_is_told),
        TEST(test_a_peer_that_does_not_read_may_close),
        TEST(test_fds_of_half_a_message_are_closed_with_the_socket),
        TEST(test_nothing_is_freed_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
