/* SPDX-License-Identifier: BSD-3-Clause */
/* A served network device: frames, headers, room for them, commands. */
#include "server-net-rig.h"

static const uint32_t sizes[] = { 14,   15,   60,   64,    1514, 2036,
                                  2037, 4084, 9014, 61000, 65535 };
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void test_offers_what_a_network_device_has(void **state)
{
    struct net *n = net_serve(state, "loop:", 2, PLAIN);
    struct virtio_net_config config;
    struct vh_msg msg, reply;

    assert_int_equal(rig_get(&n->rig, VH_GET_FEATURES),
                     F(0) | F(1) | F(3) | F(5) | F(7) | F(8) | F(9) | F(11) |
                         F(12) | F(13) | F(15) | F(16) | F(17) | F(22) | F(23) |
                         F(26) | F(28) | F(29) | F(30) | F(32) | F(34) | F(35));
    assert_int_equal(rig_get(&n->rig, VH_GET_QUEUE_NUM), 2);
    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.payload.config.size = 24;
    msg.size = 12 + 24;
    reply = rig_ask(&n->rig, &msg);
    memcpy(&config, reply.payload.config.data, 24);
    assert_memory_equal(config.mac, "\2\0\0\0\0\1", 6);
    assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
    assert_int_equal(config.max_virtqueue_pairs, 2);
    assert_int_equal(config.mtu, 1500);
    assert_int_equal(config.speed, UINT32_MAX);
    assert_int_equal(config.duplex, UINT8_MAX);
}

static void test_frames_come_back_in_one_buffer_or_several(void **state)
{
    struct net *n = net_serve(state, "loop:", 1, MERGEABLE);

    for (unsigned i = 0; i < N_SIZES; i++) {
        unsigned n_buffers = (HEADER + sizes[i] + 2047) / 2048;

        n->posted[0] = 0;
        net_post(n, 0, n_buffers, 2048);
        net_send(n, 0, NULL, sizes[i]);
        net_expect(n, 0, sizes[i], n_buffers);
        assert_true(net_is_silent(n, 0));
        assert_int_equal(net_sent(n, 0), 1);
    }
}

/* And what is too long for its buffer is gone, the buffer is not. */
static void
test_one_buffer_takes_one_frame_where_they_do_not_merge(void **state)
{
    struct net *n = net_serve(state, "loop:", 1, PLAIN);

    net_post(n, 0, 2, 1526);
    net_send(n, 0, NULL, 1515);
    net_send(n, 0, NULL, 1514);
    net_send(n, 0, NULL, 100);
    net_expect(n, 0, 1514, 1);
    net_expect(n, 0, 100, 1);
    assert_true(net_is_silent(n, 0));
    assert_int_equal(net_sent(n, 0), 3);
}

/* Header and frame may be cut anywhere, on both sides. */
static void test_pieces_of_any_length_make_a_frame(void **state)
{
    static const uint32_t cuts[][16] = {
        { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 },
        { 11, 2 },
        { 12 },
        { 13, 1, 700 },
        { 5, 7, 3, 200 },
    };
    struct net *n = net_serve(state, "loop:", 1, MERGEABLE);

    for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        n->posted[0] = 0;
        net_post(n, 0, 1, 12);
        net_post(n, 0, 3, 340);
        net_send_cut(n, 0, NULL, 1000, cuts[i]);
        net_expect(n, 0, 1000, 4);
    }
}

/* Nothing waits for room in a loop; but it is told of. */
static void test_a_loop_drops_what_finds_no_room(void **state)
{
    struct net *n = net_serve(state, "loop:", 1, MERGEABLE);

    net_send(n, 0, NULL, 100);
    assert_int_equal(net_sent(n, 0), 1);
    net_post(n, 0, 1, 2048);
    assert_true(net_is_silent(n, 0));
    net_send(n, 0, NULL, 200);
    net_expect(n, 0, 200, 1);
    rig_get_base(&n->rig, 0);
    assert_non_null(strstr(n->rig.log, "pair 0: frames dropped: 1\n"));
}

/* Buffers that were too few are used for what comes next. */
static void test_held_buffers_take_the_next_frames(void **state)
{
    struct net *n = net_serve(state, "loop:", 1, MERGEABLE);

    net_post(n, 0, 3, 1000);
    net_send(n, 0, NULL, 3000);
    assert_true(net_is_silent(n, 0));
    net_send(n, 0, NULL, 500);
    net_expect(n, 0, 500, 1);
    net_send(n, 0, NULL, 1500);
    net_expect(n, 0, 1500, 2);
    assert_true(net_is_silent(n, 0));
}

/* They were the driver's all the time, also if the queue is stopped. */
static void test_held_buffers_are_there_after_a_stop(void **state)
{
    struct net *n = net_serve(state, "loop:", 1, MERGEABLE);
    uint32_t base;

    net_post(n, 0, 4, 1000);
    net_send(n, 0, NULL, 500);
    net_expect(n, 0, 500, 1);
    net_send(n, 0, NULL, 5000); /* three are held for it */
    base = rig_get_base(&n->rig, 0);
    assert_int_equal(base, layout & F(VH_RING_F_PACKED) ? 0x80018001 : 1);
    net_describe(n, 0, base);
    net_send(n, 0, NULL, 2900);
    net_expect(n, 0, 2900, 3);
    assert_true(net_is_silent(n, 0));
}

/* A frame that no number of its buffers could take stops no other. */
static void test_a_frame_too_long_for_the_whole_ring_is_dropped(void **state)
{
    struct net *n = net_serve(state, "source:60000", 1, MERGEABLE);

    net_post(n, 0, SIZE, 64);
    rig_get_base(&n->rig, 0);
    assert_non_null(strstr(n->rig.log, "frames dropped"));
}

static void test_a_source_fills_whatever_room_there_is(void **state)
{
    struct net *n = net_serve(state, "source:60", 1, MERGEABLE);
    static struct frame frame;

    for (unsigned round = 0; round < 20; round++) {
        n->posted[0] = 0;
        net_post(n, 0, 50, 2048);
        for (unsigned i = 0; i < 50; i++) {
            assert_true(net_receive(n, 0, &frame));
            assert_int_equal(frame.len, 60);
            assert_int_equal(frame.header.num_buffers, 1);
            assert_memory_equal(
                frame.data, "\377\377\377\377\377\377\2\0\0\0\0\1\x88\xb5", 14);
        }
        assert_true(net_is_silent(n, 0));
    }
    net_send(n, 0, NULL, 100);
    assert_int_equal(net_sent(n, 0), 1);
}

/* Some came without a doorbell, as nobody asked for one. */
static void test_a_source_sees_room_that_comes_while_it_works(void **state)
{
    struct net *n = net_serve(state, "source:1000", 1, MERGEABLE);
    static struct frame frame;
    unsigned got = 0;

    for (unsigned i = 0; i < 500; i++) {
        struct vh_sg sg = { RIG_GPA + ROOM, 2048 };

        assert_int_equal(vh_ring_add(n->rings[0], &sg, 0, 1, n->rig.mem + ROOM),
                         0);
        if (vh_ring_publish(n->rings[0])) {
            assert_int_equal(write(n->kick[0], &(uint64_t){ 1 }, 8), 8);
        }
        got += net_receive(n, 0, &frame);
    }
    assert_int_equal(got, 500);
}

static void test_nothing_comes_from_null_and_all_goes_there(void **state)
{
    struct net *n = net_serve(state, "null:", 1, MERGEABLE);

    net_post(n, 0, 4, 2048);
    for (unsigned i = 0; i < 100; i++) {
        net_send(n, 0, NULL, 1514);
        assert_int_equal(net_sent(n, 0), 1);
    }
    assert_true(net_is_silent(n, 0));
}

static void test_pairs_do_not_mix(void **state)
{
    struct net *n = net_serve(state, "loop:", 2, MERGEABLE);

    net_post(n, 0, 2, 2048);
    net_post(n, 1, 2, 2048);
    net_send(n, 0, NULL, 100);
    net_send(n, 1, NULL, 200);
    net_expect(n, 0, 100, 1);
    net_expect(n, 1, 200, 1);
    assert_true(net_is_silent(n, 0));
    assert_true(net_is_silent(n, 1));
}

/* Headers pass, of what the driver said that it understands. */
static void test_headers_come_with_what_was_negotiated_only(void **state)
{
    static const struct {
        uint8_t flags;
        uint8_t gso_type;
        uint64_t needs;
    } cases[] = {
        { VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, F(VIRTIO_NET_F_GUEST_CSUM) },
        { 0, VIRTIO_NET_HDR_GSO_TCPV4, F(VIRTIO_NET_F_GUEST_TSO4) },
        { 0, VIRTIO_NET_HDR_GSO_TCPV6, F(VIRTIO_NET_F_GUEST_TSO6) },
        { 0, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
          F(VIRTIO_NET_F_GUEST_TSO4) | F(VIRTIO_NET_F_GUEST_ECN) },
        { 0, VIRTIO_NET_HDR_GSO_UDP, F(63) },
        { 0, 0x55, F(63) },
    };
    const uint64_t offers[] = { 0, F(1), F(1) | F(7), F(1) | F(8),
                                F(1) | F(7) | F(8) | F(9) };
    static struct frame frame;

    for (unsigned o = 0; o < 5; o++) {
        struct net *n = net_serve(state, "loop:", 1, MERGEABLE | offers[o]);

        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct virtio_net_hdr_v1 header = {
                .flags = cases[i].flags,
                .gso_type = cases[i].gso_type,
                .hdr_len = 54,
                .gso_size = 1000,
                .csum_start = 34,
                .csum_offset = 16,
                .num_buffers = 7,
            };
            bool comes = !(cases[i].needs & ~offers[o]);

            n->posted[0] = 0;
            net_post(n, 0, 1, 2048);
            net_send(n, 0, &header, 1000);
            assert_int_equal(net_receive(n, 0, &frame), comes);
            if (comes) {
                header.num_buffers = 1;
                assert_memory_equal(&frame.header, &header, HEADER);
            }
            net_start(n, 0);
        }
        rig_stop(&n->rig);
    }
}

/* A device is told of a buffer that makes no sense, and serves the others. */
static void expect_broken(struct net *n, uint32_t i, const char *why)
{
    char line[128];

    snprintf(line, sizeof(line), "queue %u is broken: %s\n", i, why);
    net_kick(n, i);
    assert_non_null(strstr(n->rig.log, line));
    /* The other pair goes on; and this one, when it is set up anew. */
    n->posted[0] = n->posted[1] = 0;
    net_post(n, 1 - i / 2, 1, 2048);
    net_send(n, 1 - i / 2, NULL, 100);
    net_expect(n, 1 - i / 2, 100, 1);
    rig_get_base(&n->rig, i);
    rig_get_base(&n->rig, i / 2 * 2);
    net_start(n, i);
    net_start(n, i / 2 * 2);
    net_post(n, i / 2, 1, 2048);
    net_send(n, i / 2, NULL, 100);
    net_expect(n, i / 2, 100, 1);
}

static void test_frames_to_send_are_whole_and_not_for_writing(void **state)
{
    struct net *n = net_serve(state, "loop:", 2, MERGEABLE);
    struct vh_sg sg[] = { { RIG_GPA + SENT, 11 }, { RIG_GPA + SENT, 100 } };

    assert_int_equal(vh_ring_add(n->rings[3], sg, 1, 0, n), 0);
    expect_broken(n, 3, "a frame to send that is shorter than its header");
    assert_int_equal(vh_ring_add(n->rings[1], sg, 1, 1, n), 0);
    expect_broken(n, 1, "a frame to send that is to be written");
}

static void test_room_is_for_writing_and_has_a_header(void **state)
{
    struct net *n = net_serve(state, "source:100", 2, MERGEABLE);
    struct vh_sg sg[] = { { RIG_GPA + ROOM, 11 }, { RIG_GPA + ROOM, 100 } };

    assert_int_equal(vh_ring_add(n->rings[0], sg, 0, 1, n), 0);
    net_kick(n, 0);
    assert_non_null(strstr(n->rig.log,
                           "queue 0 is broken: a buffer to receive into "
                           "without room for a header\n"));
    assert_int_equal(vh_ring_add(n->rings[2], sg, 1, 1, n), 0);
    net_kick(n, 2);
    assert_non_null(strstr(n->rig.log,
                           "queue 2 is broken: a buffer to receive into that "
                           "is to be read\n"));
}

/* The loop finds it while it serves the other queue of the pair. */
static void test_bad_room_does_not_break_who_sends(void **state)
{
    struct net *n = net_serve(state, "loop:", 2, MERGEABLE);
    struct vh_sg bad = { RIG_GPA + ROOM, 100 };

    net_post(n, 0, 1, 1000);
    assert_int_equal(vh_ring_add(n->rings[0], &bad, 1, 0, n), 0);
    vh_ring_publish(n->rings[0]);
    net_send(n, 0, NULL, 2000); /* one is held, one is bad */
    assert_non_null(strstr(n->rig.log, "queue 0 is broken"));
    net_send(n, 0, NULL, 2000);
    assert_int_equal(net_sent(n, 0), 2);
    assert_null(strstr(strstr(n->rig.log, "is broken") + 1, "is broken"));
    rig_get_base(&n->rig, 0);
    n->posted[0] = 0;
    net_start(n, 0);
    net_post(n, 0, 1, 1000);
    net_send(n, 0, NULL, 100);
    net_expect(n, 0, 100, 1);
}

/* What is no Ethernet frame goes nowhere. */
static void test_frames_of_no_network_vanish(void **state)
{
    struct net *n = net_serve(state, "loop:", 1, MERGEABLE);

    net_post(n, 0, SIZE, 2048);
    net_send(n, 0, NULL, 0);
    net_send(n, 0, NULL, 13);
    net_send(n, 0, NULL, 65551);
    assert_int_equal(net_sent(n, 0), 3);
    assert_true(net_is_silent(n, 0));
}

/* The control queue */

#define CONTROL (F(VIRTIO_NET_F_CTRL_VQ) | F(VIRTIO_NET_F_CTRL_MAC_ADDR))

/* Return: the answer, or -1 if there is none. */
static int command(struct net *n, uint32_t queue, const void *bytes,
                   uint32_t len)
{
    uint8_t *ack = n->rig.mem + SENT + 0x100;
    struct vh_sg sg[] = { { RIG_GPA + SENT, len },
                          { RIG_GPA + SENT + 0x100, 1 } };
    struct vh_ring_used used;

    memcpy(n->rig.mem + SENT, bytes, len);
    *ack = 0xee;
    assert_int_equal(
        vh_ring_add(n->rings[queue], len ? sg : sg + 1, len ? 1 : 0, 1, n), 0);
    net_kick(n, queue);
    if (vh_ring_take(n->rings[queue], &used, 1) != 1) {
        return -1;
    }
    assert_int_equal(used.len, 1);
    return *ack;
}

static void test_commands_that_make_no_sense_are_answered_so(void **state)
{
    static const struct {
        uint32_t len;
        uint8_t bytes[16];
    } cases[] = {
        { 0, { 0 } },
        { 1, { VIRTIO_NET_CTRL_MQ } },
        { 2, { VIRTIO_NET_CTRL_MQ, 0 } },
        { 3, { VIRTIO_NET_CTRL_MQ, 0, 1 } },
        { 5, { VIRTIO_NET_CTRL_MQ, 0, 1, 0, 0 } },
        { 4, { VIRTIO_NET_CTRL_MQ, 0, 0, 0 } },
        { 4, { VIRTIO_NET_CTRL_MQ, 0, 3, 0 } },
        { 4, { VIRTIO_NET_CTRL_MQ, 0, 1, 1 } },
        { 4, { VIRTIO_NET_CTRL_MQ, 1, 1, 0 } },
        { 7, { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET } },
        { 9, { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET } },
        { 3, { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 } },
        { 16, { 0xff, 0xff } },
    };
    struct net *n =
        net_serve(state, "loop:", 2, MERGEABLE | CONTROL | F(VIRTIO_NET_F_MQ));

    net_start(n, 4);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(command(n, 4, cases[i].bytes, cases[i].len),
                         VIRTIO_NET_ERR);
    }
    assert_int_equal(command(n, 4, (uint8_t[]){ 4, 0, 1, 0 }, 4),
                     VIRTIO_NET_OK);
}

static void test_a_command_without_room_for_its_answer_breaks(void **state)
{
    struct net *n =
        net_serve(state, "loop:", 2, MERGEABLE | CONTROL | F(VIRTIO_NET_F_MQ));
    struct vh_sg sg = { RIG_GPA + SENT, 4 };

    net_start(n, 4);
    assert_int_equal(vh_ring_add(n->rings[4], &sg, 1, 0, n), 0);
    net_kick(n, 4);
    assert_non_null(
        strstr(n->rig.log, "queue 4 is broken: a control command "));
}

static void test_the_driver_says_how_many_pairs_receive(void **state)
{
    struct net *n = net_serve(state, "source:100", 2,
                              MERGEABLE | CONTROL | F(VIRTIO_NET_F_MQ));

    net_start(n, 4);
    net_post(n, 0, 1, 1000);
    net_post(n, 1, 1, 1000);
    assert_false(net_is_silent(n, 0));
    assert_true(net_is_silent(n, 1));
    assert_int_equal(command(n, 4, (uint8_t[]){ 4, 0, 2, 0 }, 4),
                     VIRTIO_NET_OK);
    assert_false(net_is_silent(n, 1));
    assert_int_equal(command(n, 4, (uint8_t[]){ 4, 0, 1, 0 }, 4),
                     VIRTIO_NET_OK);
    net_post(n, 1, 1, 1000);
    assert_true(net_is_silent(n, 1));
}

static uint8_t last_of_mac(struct net *n)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.payload.config.size = 6;
    msg.size = 12 + 6;
    return rig_ask(&n->rig, &msg).payload.config.data[5];
}

/* A driver that knows of one pair only has its control queue behind that. */
static void test_an_address_can_be_set_until_the_reset(void **state)
{
    struct net *n = net_serve(state, "loop:", 1, MERGEABLE | CONTROL);

    net_start(n, 2);
    assert_int_equal(command(n, 2, (uint8_t[]){ 1, 1, 2, 0, 0, 0, 0, 0x77 }, 8),
                     VIRTIO_NET_OK);
    assert_int_equal(last_of_mac(n), 0x77);
    /* Not negotiated. */
    assert_int_equal(command(n, 2, (uint8_t[]){ 4, 0, 1, 0 }, 4),
                     VIRTIO_NET_ERR);
    assert_int_equal(rig_do_u64(&n->rig, VH_SET_STATUS, 0), 0);
    assert_int_equal(last_of_mac(n), 1);
}

static void test_its_place_is_that_of_a_pair_where_there_is_none(void **state)
{
    struct net *n = net_serve(state, "loop:", 2, MERGEABLE);

    assert_int_equal(rig_do_state(&n->rig, VH_SET_VRING_NUM, 4, SIZE), 0);
    assert_int_equal(rig_set_addr(&n->rig, 4, RIG_USER + 4 * AREA,
                                  RIG_USER + 4 * AREA + 0x1000,
                                  RIG_USER + 4 * AREA + 0x2000),
                     0);
    assert_int_equal(rig_do_state(&n->rig, VH_SET_VRING_ENABLE, 4, 1), 0);
    assert_int_not_equal(rig_do_fd(&n->rig, VH_SET_VRING_KICK, 4, n->kick[4]),
                         0);
    assert_non_null(strstr(n->rig.log, "there is no control queue"));
}

static void test_old_headers_are_refused(void **state)
{
    struct net *n = *state;
    struct vh_mem_region all = rig_region();

    rig_serve_device(&n->rig, vhost_server_net("loop:", NULL), NULL);
    rig_negotiate(&n->rig, VH_F_PROTOCOL_FEATURES);
    assert_int_equal(rig_set_table(&n->rig, &all, 1), 0);
    assert_int_equal(rig_do_state(&n->rig, VH_SET_VRING_NUM, 0, SIZE), 0);
    assert_int_equal(rig_set_addr(&n->rig, 0, RIG_USER, RIG_USER + 0x1000,
                                  RIG_USER + 0x2000),
                     0);
    assert_int_equal(rig_do_fd(&n->rig, VH_SET_VRING_KICK, 0, n->kick[0]), 0);
    assert_int_not_equal(rig_do_state(&n->rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    assert_non_null(strstr(n->rig.log, "VIRTIO_F_VERSION_1"));
}

/* Options */

static void refused(const char *peer, struct vhost_server_net_options options,
                    const char *words)
{
    struct vhost_error *err = NULL;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    assert_null(vhost_server_new_fd(fds[0], vhost_server_net(peer, &options),
                                    NULL, &err));
    assert_non_null(strstr(vhost_error_message(err), words));
    assert_non_null(strstr(vhost_error_message(err), peer));
    vhost_error_free(err);
    close(fds[1]);
}

static void test_bad_options_are_refused_in_words(void **state)
{
    struct vhost_server_net_options none = { .size = sizeof(none) };
    struct vhost_server_net_options bad = none;
    int fds = rig_count_fds();

    (void)state;
    refused("", none, "tap:NAME, loop:, null: and source:LEN");
    refused("tape:x", none, "no such peer");
    refused("loop", none, "no such peer");
    refused("loop:x", none, "nothing follows");
    refused("source:", none, "from 14 to 65535 bytes");
    refused("source:13", none, "from 14 to 65535 bytes");
    refused("source:65536", none, "from 14 to 65535 bytes");
    refused("source:-1", none, "from 14 to 65535 bytes");
    refused("source:99999999999999999999", none, "from 14 to 65535 bytes");
    refused("source:64k", none, "from 14 to 65535 bytes");
    refused("tap:", none, "is empty");
    refused("tap:abcdefghijklmnop", none, "at most 15 characters");
    refused("tap:a/b", none, "no interface");
    refused("tap:tap%d", none, "no interface");
    bad.pairs = 129;
    refused("loop:", bad, "at most 128");
    bad = none;
    bad.queue_size = 100;
    refused("loop:", bad, "a power of two");
    bad = none;
    bad.mtu = 67;
    refused("loop:", bad, "at least 68");
    bad = none;
    bad.mac[0] = 1;
    refused("loop:", bad, "multicast");
    assert_int_equal(rig_count_fds(), fds);
}

int main(void)
{
#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, net_set_up, net_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_offers_what_a_network_device_has),
        TEST(test_frames_come_back_in_one_buffer_or_several),
        TEST(test_one_buffer_takes_one_frame_where_they_do_not_merge),
        TEST(test_pieces_of_any_length_make_a_frame),
        TEST(test_a_loop_drops_what_finds_no_room),
        TEST(test_held_buffers_take_the_next_frames),
        TEST(test_held_buffers_are_there_after_a_stop),
        TEST(test_a_frame_too_long_for_the_whole_ring_is_dropped),
        TEST(test_a_source_fills_whatever_room_there_is),
        TEST(test_a_source_sees_room_that_comes_while_it_works),
        TEST(test_nothing_comes_from_null_and_all_goes_there),
        TEST(test_pairs_do_not_mix),
        TEST(test_headers_come_with_what_was_negotiated_only),
        TEST(test_frames_to_send_are_whole_and_not_for_writing),
        TEST(test_room_is_for_writing_and_has_a_header),
        TEST(test_bad_room_does_not_break_who_sends),
        TEST(test_frames_of_no_network_vanish),
        TEST(test_commands_that_make_no_sense_are_answered_so),
        TEST(test_a_command_without_room_for_its_answer_breaks),
        TEST(test_the_driver_says_how_many_pairs_receive),
        TEST(test_an_address_can_be_set_until_the_reset),
        TEST(test_its_place_is_that_of_a_pair_where_there_is_none),
        TEST(test_old_headers_are_refused),
        TEST(test_bad_options_are_refused_in_words),
    };
    const uint64_t in_order = F(VH_RING_F_IN_ORDER);
    const uint64_t packed = F(VH_RING_F_PACKED);
    const uint64_t layouts[] = { 0, in_order, packed, packed | in_order };
    int failed = 0;

    for (unsigned i = 0; i < 4; i++) {
        layout = layouts[i];
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
