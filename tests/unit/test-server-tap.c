/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A served network device over a tap, in a network of its own, from whose
 * side frames are sent and received by a packet socket.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "server-net-rig.h"

#define TYPE 0x88b5 /* for local experiments: nobody else uses it */
#define WAIT_MS 10000

static int host = -1; /* the packet socket */

static int make_network(void **state)
{
    int flags = CLONE_NEWNET | (geteuid() == 0 ? 0 : CLONE_NEWUSER);

    (void)state;
    if (access("/dev/net/tun", R_OK | W_OK) < 0) {
        print_message("skipped: no /dev/net/tun\n");
        exit(77);
    }
    if (unshare(flags) < 0) {
        print_message("skipped: no network namespace can be made\n");
        exit(77);
    }
    return 0;
}

static void set_link(bool up)
{
    struct ifreq ifr = { .ifr_name = "t0",
                         .ifr_flags = (short)(up ? IFF_UP : 0) };

    assert_int_equal(ioctl(host, SIOCSIFFLAGS, &ifr), 0);
}

static struct net *tap_serve(void **state, unsigned pairs, uint64_t features)
{
    struct net *n = net_serve(state, "tap:t0", pairs, features);
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(TYPE),
                              .sll_ifindex = (int)if_nametoindex("t0") };

    assert_true(at.sll_ifindex > 0);
    host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
    assert_true(host >= 0);
    set_link(true); /* first, or the socket is told that it is down */
    assert_int_equal(bind(host, (struct sockaddr *)&at, sizeof(at)), 0);
    return n;
}

static int tap_tear_down(void **state)
{
    if (host >= 0) {
        close(host);
    }
    host = -1;
    return net_tear_down(state);
}

static void make_frame(uint8_t *frame, uint32_t len, uint8_t seed)
{
    net_fill(frame, len, seed);
    memset(frame, 0xff, 6);
    frame[6] = 2;
    frame[12] = TYPE >> 8;
    frame[13] = TYPE & 0xff;
}

static void host_send(uint32_t len, uint8_t seed)
{
    uint8_t frame[2000];

    make_frame(frame, len, seed);
    assert_int_equal(send(host, frame, len, 0), len);
}

/* The next of ours; others of the host's are passed over. */
static bool next_frame(struct net *n, uint32_t pair, struct frame *frame)
{
    while (net_receive(n, pair, frame)) {
        if (frame->data[12] == TYPE >> 8 && frame->data[13] == (TYPE & 0xff)) {
            return true;
        }
    }
    return false;
}

static void expect_from_host(struct net *n, uint32_t pair, uint32_t len,
                             uint8_t seed)
{
    static struct frame frame;
    uint8_t want[2000];

    make_frame(want, len, seed);
    assert_true(next_frame(n, pair, &frame));
    assert_int_equal(frame.len, len);
    assert_memory_equal(frame.data, want, len);
}

static void driver_send(struct net *n, uint32_t pair, uint32_t len,
                        uint8_t seed)
{
    uint32_t i = 2 * pair + 1;
    struct vh_sg sg = { RIG_GPA + SENT, HEADER + len };

    memset(n->rig.mem + SENT, 0, HEADER);
    make_frame(n->rig.mem + SENT + HEADER, len, seed);
    assert_int_equal(vh_ring_add(n->rings[i], &sg, 1, 0, n), 0);
    net_kick(n, i);
    assert_int_equal(net_sent(n, pair), 1);
}

static void expect_at_host(uint32_t len, uint8_t seed)
{
    struct pollfd pfd = { .fd = host, .events = POLLIN };
    uint8_t frame[2000], want[2000];

    make_frame(want, len, seed);
    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
    assert_int_equal(recv(host, frame, sizeof(frame), 0), len);
    assert_memory_equal(frame, want, len);
}

static void test_frames_go_both_ways(void **state)
{
    struct net *n = tap_serve(state, 1, MERGEABLE);

    for (uint8_t i = 0; i < 50; i++) {
        n->posted[0] = 0;
        net_start(n, 0);
        net_post(n, 0, 20, 512);
        driver_send(n, 0, 60 + i * 29u, i);
        expect_at_host(60 + i * 29u, i);
        host_send(60 + i * 29u, i);
        expect_from_host(n, 0, 60 + i * 29u, i);
    }
}

/* They wait in the tap, and are woken for by the doorbell. */
static void test_frames_wait_for_room(void **state)
{
    struct net *n = tap_serve(state, 1, PLAIN);
    static struct frame frame;

    for (uint8_t i = 0; i < 20; i++) {
        host_send(100, i);
    }
    rig_turn(&n->rig);
    for (uint8_t i = 0; i < 20; i++) {
        do { /* frames of others take buffers too */
            net_post(n, 0, 1, 2048);
        } while (!next_frame(n, 0, &frame));
        assert_int_equal(frame.data[14], (uint8_t)(i * 31 + 14 * 7));
    }
}

/* Nobody rings: it is the tap that wakes it, each time. */
static void test_a_frame_wakes_one_who_has_room(void **state)
{
    struct net *n = tap_serve(state, 1, MERGEABLE);
    struct pollfd pfd = { .fd = vhost_server_get_fd(n->rig.server),
                          .events = POLLIN };

    net_post(n, 0, SIZE, 2048);
    for (uint8_t i = 0; i < 20; i++) {
        rig_turn(&n->rig);
        host_send(100, i);
        assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
        expect_from_host(n, 0, 100, i);
    }
}

/* What came for the last driver is not for this one. */
static void test_a_reset_forgets_frames(void **state)
{
    struct net *n = tap_serve(state, 1, MERGEABLE);
    static struct frame frame;

    for (unsigned i = 0; i < 3; i++) {
        host_send(100, 1);
    }
    rig_turn(&n->rig);
    assert_int_equal(rig_do_u64(&n->rig, VH_SET_STATUS, 0), 0);
    net_start(n, 0);
    net_post(n, 0, 8, 2048);
    assert_false(next_frame(n, 0, &frame));
    host_send(100, 2);
    expect_from_host(n, 0, 100, 2);
}

static void test_frames_vanish_while_the_link_is_down(void **state)
{
    struct net *n = tap_serve(state, 1, MERGEABLE);

    set_link(false);
    driver_send(n, 0, 100, 1);
    set_link(true);
    driver_send(n, 0, 100, 2);
    recv(host, (uint8_t[1]){ 0 }, 1, MSG_DONTWAIT); /* that it was down */
    expect_at_host(100, 2);
}

static void test_a_tap_that_is_deleted_is_told_of_once(void **state)
{
    struct net *n = tap_serve(state, 1, MERGEABLE);
    const char *told;

    net_post(n, 0, 8, 2048);
    if (system("ip link del t0 2>/dev/null") != 0) {
        skip();
    }
    rig_turn(&n->rig);
    driver_send(n, 0, 100, 1);
    driver_send(n, 0, 100, 2);
    net_post(n, 0, 8, 2048);
    told = strstr(n->rig.log, "tap:t0: the tap has been deleted\n");
    assert_non_null(told);
    assert_null(strstr(strchr(told, '\n'), "deleted"));
}

/* Only those in use are given frames: none is lost in the others. */
static void test_frames_come_to_the_pairs_in_use(void **state)
{
    struct net *n = tap_serve(state, 2, MERGEABLE);

    rig_get_base(&n->rig, 0);
    net_post(n, 1, 40, 2048);
    for (uint8_t i = 0; i < 20; i++) {
        host_send(100, i);
        expect_from_host(n, 1, 100, i);
    }
    net_start(n, 0);
    rig_get_base(&n->rig, 2);
    net_post(n, 0, 40, 2048);
    for (uint8_t i = 0; i < 20; i++) {
        host_send(100, i);
        expect_from_host(n, 0, 100, i);
    }
}

/* RFC 903: who am I?  Nobody answers, but switches learn who asks. */
static void test_a_guest_that_has_moved_is_announced(void **state)
{
    static const uint8_t want[60] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 1, 2, 3, 0x80, 0x35,
        0,    1,    8,    0,    6,    4,    0, 3, 2, 0, 0, 1, 2,    3,
        0,    0,    0,    0,    2,    0,    0, 1, 2, 3, 0, 0, 0,    0,
    };
    struct net *n = tap_serve(state, 1, PLAIN);
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_RARP),
                              .sll_ifindex = (int)if_nametoindex("t0") };
    int sniff = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_RARP));
    struct pollfd pfd = { .fd = sniff, .events = POLLIN };
    uint8_t frame[100];
    struct vh_msg msg;

    assert_int_equal(bind(sniff, (struct sockaddr *)&at, sizeof(at)), 0);
    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES, RIG_NET_ACKED | VH_PF(RARP));
    rig_say(&n->rig, &msg);
    vh_msg_init_u64(&msg, VH_SEND_RARP, 0);
    memcpy(&msg.payload, want + 6, 6);
    assert_int_equal(rig_do(&n->rig, &msg), 0);
    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
    assert_int_equal(recv(sniff, frame, sizeof(frame), 0), sizeof(want));
    assert_memory_equal(frame, want, sizeof(want));
    close(sniff);
}

int main(void)
{
#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, net_set_up, tap_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_frames_go_both_ways),
        TEST(test_a_guest_that_has_moved_is_announced),
        TEST(test_frames_wait_for_room),
        TEST(test_a_frame_wakes_one_who_has_room),
        TEST(test_a_reset_forgets_frames),
        TEST(test_frames_vanish_while_the_link_is_down),
        TEST(test_a_tap_that_is_deleted_is_told_of_once),
        TEST(test_frames_come_to_the_pairs_in_use),
    };

    return cmocka_run_group_tests(tests, make_network, NULL);
}
