/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of the embedded devices, and how a front end may ask for it. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>

#include "server-net-rig.h"

#define SAVE 0
#define LOAD 1
#define NO_FD 0x100
#define NET_LEN 20 /* header and body */
#define STATE_MAX (12 + 4096)

static const uint8_t blk_state[] = { 0x76, 0x68, 0x64, 0x73, 0, 1,
                                     0,    2,    0,    0,    0, 0 };
static const uint8_t net_state[] = { 0x76, 0x68, 0x64, 0x73, 0, 1,    0,
                                     1,    0,    0,    0,    8, 0x52, 0x54,
                                     0,    0xaa, 0xbb, 0xcc, 0, 2 };

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig_init(rig);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_cleanup(*state);
    free(*state);
    return 0;
}

static void serve_net(struct rig *rig, unsigned pairs)
{
    struct vhost_server_net_options options = {
        .size = sizeof(options),
        .pairs = pairs,
        .mac = { 0x52, 0x54, 0, 1, 2, 3 },
    };

    rig_serve_device(rig, vhost_server_net("null:", &options), NULL);
}

static uint64_t ask(struct rig *rig, uint32_t direction, uint32_t phase, int fd)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_DEVICE_STATE_FD);
    msg.size = 8;
    msg.payload.device_state.direction = direction;
    msg.payload.device_state.phase = phase;
    msg.n_fds = 1;
    msg.fds[0] = fd;
    return rig_ask(rig, &msg).payload.u64;
}

static uint64_t check_state(struct rig *rig)
{
    return rig_get(rig, VH_CHECK_DEVICE_STATE);
}

/* Begins; our end of the pipe. */
static int begin(struct rig *rig, uint32_t direction)
{
    int fds[2];
    int theirs = direction == SAVE ? 1 : 0;

    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(ask(rig, direction, 0, fds[theirs]), NO_FD);
    close(fds[theirs]);
    return fds[!theirs];
}

static size_t save(struct rig *rig, uint8_t *data)
{
    int fd = begin(rig, SAVE);
    ssize_t n;
    ssize_t len = 0;

    rig_turn(rig);
    while ((n = read(fd, data + len, (size_t)(STATE_MAX - len))) > 0) {
        len += n;
    }
    assert_int_equal(n, 0); /* the end is there, too */
    close(fd);
    assert_int_equal(check_state(rig), 0);
    return (size_t)len;
}

static uint64_t load(struct rig *rig, const void *data, size_t len)
{
    int fd = begin(rig, LOAD);

    assert_int_equal(write(fd, data, len), len);
    close(fd);
    return check_state(rig);
}

static void test_a_disk_has_only_a_header(void **state)
{
    struct rig *rig = *state;
    uint8_t data[STATE_MAX];

    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, RIG_VERSION_1);
    assert_int_equal(save(rig, data), sizeof(blk_state));
    assert_memory_equal(data, blk_state, sizeof(blk_state));
    assert_int_equal(load(rig, data, sizeof(blk_state)), 0);
}

static void read_mac(struct rig *rig, uint8_t *mac)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.size = 12 + 6;
    msg.payload.config.size = 6;
    memcpy(mac, rig_ask(rig, &msg).payload.config.data, 6);
}

static void test_a_network_device_keeps_what_a_driver_has_set(void **state)
{
    struct rig *rig = *state;
    uint8_t data[STATE_MAX];
    uint8_t mac[6];

    serve_net(rig, 2);
    rig_negotiate(rig, RIG_VERSION_1);
    assert_int_equal(save(rig, data), NET_LEN);
    assert_memory_equal(data + 12, "\x52\x54\0\1\2\3\0\0", 8);
    assert_int_equal(load(rig, net_state, NET_LEN), 0);
    read_mac(rig, mac);
    assert_memory_equal(mac, net_state + 12, 6);
    /* Features come after the state, at the destination. */
    assert_int_equal(
        rig_do_u64(rig, VH_SET_FEATURES, PLAIN | F(VIRTIO_NET_F_CTRL_VQ)), 0);
    assert_int_equal(save(rig, data), NET_LEN);
    assert_memory_equal(data, net_state, NET_LEN);
    /* A reset ends it. */
    rig_do_u64(rig, VH_SET_STATUS, 0);
    assert_int_equal(save(rig, data), NET_LEN);
    assert_memory_equal(data + 12, "\x52\x54\0\1\2\3\0\0", 8);
}

static void test_a_state_that_is_none_is_refused_in_words(void **state)
{
    struct rig *rig = *state;
    uint8_t bad[STATE_MAX + 1] = { 0 };
    const struct {
        size_t at; /* a byte of a good one, that is changed */
        uint8_t value;
        size_t len;
        const char *words;
    } cases[] = {
        { 0, 0x76, 0, "too short" },
        { 0, 0x76, 11, "too short" },
        { 0, 0x77, NET_LEN, "not the state of a device" },
        { 5, 2, NET_LEN, "another version" },
        { 7, 2, NET_LEN, "another type of device" },
        { 0, 0x76, NET_LEN - 1, "not as long as it says" },
        { 0, 0x76, NET_LEN + 1, "not as long as it says" },
        { 8, 0xff, NET_LEN, "not as long as it says" },
        { 19, 3, NET_LEN, "more queue pairs in use" },
        { 18, 0xff, NET_LEN, "more queue pairs in use" },
        { 0, 0x76, STATE_MAX + 1, "longer than that of any device" },
    };

    serve_net(rig, 2);
    rig_negotiate(rig, RIG_VERSION_1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t mac[6];

        memcpy(bad, net_state, NET_LEN);
        bad[cases[i].at] = cases[i].value;
        rig->log[0] = '\0';
        assert_int_equal(load(rig, bad, cases[i].len), EINVAL);
        if (!strstr(rig->log, cases[i].words)) {
            fail_msg("\"%s\" does not say \"%s\"", rig->log, cases[i].words);
        }
        read_mac(rig, mac);
        assert_memory_equal(mac, "\x52\x54\0\1\2\3", 6); /* as before */
    }
    memcpy(bad, net_state, 12);
    bad[11] = 7; /* consistent, and yet of another length */
    assert_int_equal(load(rig, bad, 19), EINVAL);
    assert_non_null(strstr(rig->log, "has another length"));
}

static void test_a_disk_refuses_a_body(void **state)
{
    struct rig *rig = *state;
    uint8_t bad[13] = { 0 };

    memcpy(bad, blk_state, 12);
    bad[11] = 1;
    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, RIG_VERSION_1);
    assert_int_equal(load(rig, bad, 13), EINVAL);
    assert_non_null(strstr(rig->log, "a block device has no state"));
}

static void test_what_can_not_be_is_refused(void **state)
{
    struct rig *rig = *state;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fds[2];

    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, RIG_VERSION_1);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(ask(rig, 2, 0, fds[1]), NO_FD | EINVAL);
    assert_int_equal(ask(rig, SAVE, 1, fds[1]), NO_FD | EINVAL);
    assert_int_equal(ask(rig, SAVE, 0, null), NO_FD | EINVAL);
    assert_non_null(strstr(rig->log, "neither pipe nor socket"));
    assert_int_equal(ask(rig, SAVE, 0, rig->mem_fd), NO_FD | EINVAL);
    assert_int_equal(check_state(rig), EINVAL);
    assert_non_null(strstr(rig->log, "no state is being transferred"));
    close(fds[0]);
    close(fds[1]);
    close(null);
}

static void test_a_running_device_is_not_suspended(void **state)
{
    struct rig *rig = *state;
    struct vh_mem_region region;
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fds[2];

    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, RIG_VERSION_1);
    region = rig_region();
    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, 8), 0);
    assert_int_equal(
        rig_set_addr(rig, 0, RIG_USER, RIG_USER + 0x1000, RIG_USER + 0x2000),
        0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_KICK, 0, kick), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(ask(rig, SAVE, 0, fds[1]), NO_FD | EINVAL);
    assert_non_null(strstr(rig->log, "not suspended"));
    rig_get_base(rig, 0);
    assert_int_equal(ask(rig, SAVE, 0, fds[1]), NO_FD);
    close(fds[0]);
    close(fds[1]);
    close(kick);
}

/* A pipe that is full, and nobody who reads it: all else goes on. */
static void test_a_slow_reader_waits_for_itself_alone(void **state)
{
    struct rig *rig = *state;
    uint8_t data[65536] = { 0 };
    ssize_t n;
    int fds[2];

    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, RIG_VERSION_1);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0); /* which blocks */
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    while (write(fds[1], data, sizeof(data)) > 0) {
    }
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
    assert_int_equal(ask(rig, SAVE, 0, fds[1]), NO_FD);
    assert_int_equal(rig_get(rig, VH_GET_MAX_MEM_SLOTS), 509);
    close(fds[1]);
    assert_int_equal(rig_turn(rig), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    do {
        while ((n = read(fds[0], data, sizeof(data))) > 0) {
            assert_true(n < 12 || memcmp(data, blk_state, 12) == 0 ||
                        data[0] == 0);
        }
        rig_turn(rig);
    } while (n != 0);
    assert_int_equal(check_state(rig), 0);
    close(fds[0]);
}

static void test_a_slow_writer_waits_for_itself_alone(void **state)
{
    struct rig *rig = *state;
    uint8_t mac[6];
    int fd;

    serve_net(rig, 2);
    rig_negotiate(rig, RIG_VERSION_1);
    fd = begin(rig, LOAD);
    for (unsigned i = 0; i < NET_LEN; i++) {
        assert_int_equal(write(fd, &net_state[i], 1), 1);
        rig_turn(rig);
    }
    assert_int_equal(rig_get(rig, VH_GET_MAX_MEM_SLOTS), 509);
    close(fd);
    assert_int_equal(check_state(rig), 0);
    read_mac(rig, mac);
    assert_memory_equal(mac, net_state + 12, 6);
}

/* The question may be seen before the bytes that came with it. */
static void test_the_end_counts_that_is_there_when_it_is_asked_for(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;
    const char *why;
    int fd;

    serve_net(rig, 2);
    rig_negotiate(rig, RIG_VERSION_1);
    fd = begin(rig, LOAD);
    vh_msg_init(&msg, VH_CHECK_DEVICE_STATE);
    assert_int_equal(vh_sock_queue(rig->sock, &msg), 0);
    assert_int_equal(vh_sock_send(rig->sock), 0);
    assert_int_equal(write(fd, net_state, NET_LEN), NET_LEN);
    close(fd);
    rig_turn(rig);
    assert_int_equal(vh_sock_receive(rig->sock, &msg, false, &why), 1);
    assert_true(msg.payload.u64 == 0);
}

static void test_a_transfer_that_has_not_ended_has_failed(void **state)
{
    struct rig *rig = *state;
    int fd;

    serve_net(rig, 2);
    rig_negotiate(rig, RIG_VERSION_1);
    fd = begin(rig, LOAD);
    assert_int_equal(write(fd, net_state, NET_LEN), NET_LEN);
    assert_int_equal(check_state(rig), EINVAL);
    assert_non_null(strstr(rig->log, "has not ended"));
    close(fd);
    /* The reader left: no signal, and words. */
    fd = begin(rig, SAVE);
    close(fd);
    fd = begin(rig, SAVE); /* the next one takes its place */
    assert_int_equal(read(fd, (uint8_t[64]){ 0 }, 64), NET_LEN);
    close(fd);
    assert_int_equal(check_state(rig), 0);
}

static void test_a_reader_that_left_is_no_signal(void **state)
{
    struct rig *rig = *state;
    int fds[2];

    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, RIG_VERSION_1);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    assert_int_equal(ask(rig, SAVE, 0, fds[1]), NO_FD);
    assert_int_equal(check_state(rig), EINVAL);
    assert_non_null(strstr(rig->log, "could not be written"));
    close(fds[1]);
}

static void test_a_front_end_that_leaves_takes_its_pipe_along(void **state)
{
    struct rig *rig = *state;
    int before;
    int fd;

    before = rig_count_fds();
    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, RIG_VERSION_1);
    fd = begin(rig, LOAD);
    assert_int_equal(write(fd, blk_state, 4), 4);
    rig_stop(rig);
    close(fd);
    assert_int_equal(rig_count_fds(), before);
}

static void test_a_reset_disables_the_rings_and_forgets(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;
    uint8_t data[STATE_MAX];

    serve_net(rig, 2);
    rig_negotiate(rig, RIG_VERSION_1);
    assert_int_equal(load(rig, net_state, NET_LEN), 0);
    rig_do_u64(rig, VH_SET_STATUS, 11);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_BASE, 0, 77), 0);
    vh_msg_init(&msg, VH_RESET_DEVICE);
    assert_int_equal(rig_do(rig, &msg), 0);
    assert_int_equal(rig_get(rig, VH_GET_STATUS), 0);
    assert_int_equal(rig_get_base(rig, 0), 0);
    assert_int_equal(save(rig, data), NET_LEN);
    assert_memory_equal(data + 12, "\x52\x54\0\1\2\3\0\0", 8);
}

static void test_neither_is_there_without_its_feature(void **state)
{
    struct vhost_server_options options = {
        .size = sizeof(options),
        .hide_protocol_features = VH_PF(DEVICE_STATE) | VH_PF(RESET_DEVICE),
    };
    struct rig *rig = *state;
    struct vh_msg msg;

    rig_serve(rig, NULL, NULL, &options);
    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES,
                    RIG_PROTOCOL & ~options.hide_protocol_features);
    rig_say(rig, &msg);
    vh_msg_init(&msg, VH_RESET_DEVICE);
    assert_int_equal(rig_do(rig, &msg), ENOTSUP);
    vh_msg_init(&msg, VH_CHECK_DEVICE_STATE);
    rig_say(rig, &msg);
    assert_true(rig_is_gone(rig));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_disk_has_only_a_header),
        TEST(test_a_network_device_keeps_what_a_driver_has_set),
        TEST(test_a_state_that_is_none_is_refused_in_words),
        TEST(test_a_disk_refuses_a_body),
        TEST(test_what_can_not_be_is_refused),
        TEST(test_a_running_device_is_not_suspended),
        TEST(test_a_slow_reader_waits_for_itself_alone),
        TEST(test_a_slow_writer_waits_for_itself_alone),
        TEST(test_the_end_counts_that_is_there_when_it_is_asked_for),
        TEST(test_a_transfer_that_has_not_ended_has_failed),
        TEST(test_a_reader_that_left_is_no_signal),
        TEST(test_a_front_end_that_leaves_takes_its_pipe_along),
        TEST(test_a_reset_disables_the_rings_and_forgets),
        TEST(test_neither_is_there_without_its_feature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
