/* SPDX-License-Identifier: BSD-3-Clause */
/* The network driver on the embedded back end, in every layout. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#include <linux/virtio_net.h>
#include <vhost/net.h>
#include <vhost/server.h>

#define WAIT_MS 5000
#define BUFFER 2048

static const unsigned layouts[] = {
    VHOST_LAYOUT_AUTO,
    VHOST_LAYOUT_SPLIT,
    VHOST_LAYOUT_SPLIT_IN_ORDER,
    VHOST_LAYOUT_PACKED,
    VHOST_LAYOUT_PACKED_IN_ORDER,
};
#define N_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* A back end in a thread of its own. */
struct rig {
    char path[64];
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    struct vhost_net_device *net;
};

static void *serve(void *arg)
{
    struct rig *rig = arg;

    while (!rig->stop) {
        vhost_server_run(rig->server, 20, NULL);
    }
    return NULL;
}

static void rig_up(struct rig *rig, const char *peer, unsigned pairs,
                   uint64_t hide)
{
    struct vhost_server_net_options net = { .size = sizeof(net),
                                            .pairs = pairs,
                                            .mtu = 1400,
                                            .mac = { 2, 0, 0, 0, 0, 9 } };
    struct vhost_server_options options = { .size = sizeof(options),
                                            .hide_features = hide };
    struct vhost_error *error = NULL;

    memset(rig, 0, sizeof(*rig));
    snprintf(rig->path, sizeof(rig->path), "test-net-%d.sock", (int)getpid());
    rig->server = vhost_server_new(rig->path, vhost_server_net(peer, &net),
                                   &options, &error);
    if (!rig->server) {
        fail_msg("%s", vhost_error_message(error));
    }
    assert_int_equal(pthread_create(&rig->thread, NULL, serve, rig), 0);
}

static void rig_open(struct rig *rig, struct vhost_net_options *options)
{
    struct vhost_error *error = NULL;
    char uri[80];

    options->size = sizeof(*options);
    snprintf(uri, sizeof(uri), "user:%s", rig->path);
    rig->net = vhost_net_open(uri, options, &error);
    if (!rig->net) {
        fail_msg("%s", vhost_error_message(error));
    }
}

static void rig_down(struct rig *rig)
{
    vhost_net_close(rig->net);
    rig->stop = true;
    pthread_join(rig->thread, NULL);
    vhost_server_free(rig->server);
}

static void fill(char *frame, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        frame[i] = (char)(i * 7 + seed);
    }
}

static void send_and_receive(struct rig *rig, unsigned pair, size_t len,
                             unsigned seed)
{
    char sent[9000], got[9000];

    fill(sent, len, seed);
    assert_int_equal(
        vhost_net_write(vhost_net_get_tx(rig->net, pair), sent, len, WAIT_MS),
        0);
    assert_int_equal(vhost_net_read(vhost_net_get_rx(rig->net, pair), got,
                                    sizeof(got), WAIT_MS),
                     len);
    assert_memory_equal(sent, got, len);
}

/* The device has buffers only from the first read on. */
static void first_read(struct rig *rig, unsigned pair)
{
    char frame[64];

    assert_int_equal(vhost_net_read(vhost_net_get_rx(rig->net, pair), frame,
                                    sizeof(frame), 0),
                     -EAGAIN);
}

static void test_frames_come_back_in_every_layout(void **state)
{
    (void)state;
    for (unsigned l = 0; l < N_LAYOUTS; l++) {
        struct vhost_net_options options = { .layout = layouts[l] };
        struct vhost_net_info info;
        struct rig rig;

        rig_up(&rig, "loop:", 1, 0);
        rig_open(&rig, &options);
        vhost_net_get_info(rig.net, &info);
        assert_int_equal(info.layout, layouts[l]
                                          ? layouts[l]
                                          : VHOST_LAYOUT_PACKED_IN_ORDER);
        first_read(&rig, 0);
        for (unsigned i = 0; i < 1000; i++) {
            send_and_receive(&rig, 0, 14 + i * 37 % 8000, i);
        }
        rig_down(&rig);
    }
}

static void test_frames_come_back_without_indirect_tables(void **state)
{
    (void)state;
    for (unsigned l = 0; l < N_LAYOUTS; l++) {
        struct vhost_net_options options = { .layout = layouts[l],
                                             .queue_size = 16,
                                             .buffer_size = 700 };
        struct rig rig;

        rig_up(&rig, "loop:", 1, UINT64_C(1) << 28 | UINT64_C(1) << 29);
        rig_open(&rig, &options);
        first_read(&rig, 0);
        for (unsigned i = 0; i < 300; i++) {
            send_and_receive(&rig, 0, 14 + i * 37 % 8000, i);
        }
        rig_down(&rig);
    }
}

static void test_tells_what_the_device_is_like(void **state)
{
    struct vhost_net_options options = { .pairs = 2 };
    struct vhost_net_info info;
    struct rig rig;

    (void)state;
    rig_up(&rig, "loop:", 2, 0);
    rig_open(&rig, &options);
    vhost_net_get_info(rig.net, &info);
    assert_true(info.has_mac && info.link_up && info.control);
    assert_memory_equal(info.mac, ((uint8_t[6]){ 2, 0, 0, 0, 0, 9 }), 6);
    assert_int_equal(info.mtu, 1400);
    assert_int_equal(info.pairs, 2);
    assert_int_equal(info.max_pairs, 2);
    assert_null(vhost_net_get_rx(rig.net, 2));
    assert_null(vhost_net_get_tx(rig.net, 2));
    rig_down(&rig);
}

static void test_every_pair_has_its_own_frames(void **state)
{
    struct vhost_net_options options = { .pairs = 2 };
    struct rig rig;

    (void)state;
    rig_up(&rig, "loop:", 2, 0);
    rig_open(&rig, &options);
    first_read(&rig, 0);
    first_read(&rig, 1);
    for (unsigned i = 0; i < 100; i++) {
        send_and_receive(&rig, i % 2, 100 + i, i);
    }
    rig_down(&rig);
}

static void test_the_control_queue_sets_pairs_and_address(void **state)
{
    static const uint8_t mac[6] = { 2, 1, 1, 1, 1, 1 };
    struct vhost_net_options options = { .pairs = 2 };
    struct vhost_error *error = NULL;
    struct vhost_net_info info;
    struct rig rig;

    (void)state;
    rig_up(&rig, "loop:", 2, 0);
    rig_open(&rig, &options);
    assert_int_equal(vhost_net_set_pairs(rig.net, 1, &error), 0);
    assert_int_equal(vhost_net_set_pairs(rig.net, 2, &error), 0);
    assert_int_equal(vhost_net_set_mac(rig.net, mac, &error), 0);
    vhost_net_get_info(rig.net, &info);
    assert_memory_equal(info.mac, mac, 6);
    assert_int_equal(vhost_net_set_pairs(rig.net, 3, &error), -EINVAL);
    vhost_error_free(error);
    rig_down(&rig);
}

static void test_pairs_are_set_without_a_control_queue_too(void **state)
{
    static const uint8_t mac[6] = { 2, 1, 1, 1, 1, 1 };
    struct vhost_net_options options = { .pairs = 2 };
    struct vhost_error *error = NULL;
    struct vhost_net_info info;
    struct rig rig;

    (void)state;
    rig_up(&rig, "loop:", 2, UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ);
    rig_open(&rig, &options);
    vhost_net_get_info(rig.net, &info);
    assert_false(info.control);
    assert_int_equal(vhost_net_set_pairs(rig.net, 1, &error), 0);
    assert_int_equal(vhost_net_set_pairs(rig.net, 2, &error), 0);
    first_read(&rig, 0);
    send_and_receive(&rig, 0, 64, 1);
    assert_int_equal(vhost_net_set_mac(rig.net, mac, &error), -ENOTSUP);
    vhost_error_free(error);
    rig_down(&rig);
}

/* Buffers in one piece of memory, and an array of their addresses. */
static char *make_buffers(struct rig *rig, void **buffers, unsigned n)
{
    char *memory = vhost_net_alloc(rig->net, n * (size_t)BUFFER);

    assert_non_null(memory);
    for (unsigned i = 0; i < n; i++) {
        buffers[i] = memory + i * (size_t)BUFFER;
    }
    return memory;
}

static unsigned collect(struct vhost_net_rx *rx,
                        struct vhost_net_packet *packets, unsigned n)
{
    unsigned got = 0;

    while (got < n) {
        int r = vhost_net_receive_wait(rx, packets + got, n - got, WAIT_MS);

        assert_true(r > 0);
        got += (unsigned)r;
    }
    return got;
}

static void test_bursts_in_place_bring_every_buffer_back(void **state)
{
    enum { N = 32 };

    (void)state;
    for (unsigned l = 0; l < N_LAYOUTS; l++) {
        struct vhost_net_options options = { .layout = layouts[l],
                                             .queue_size = 64 };
        struct vhost_net_packet out[N], in[N];
        void *rx_buffers[N], *tx_buffers[N];
        struct vhost_net_rx *rx;
        struct vhost_net_tx *tx;
        struct rig rig;

        rig_up(&rig, "loop:", 1, 0);
        rig_open(&rig, &options);
        rx = vhost_net_get_rx(rig.net, 0);
        tx = vhost_net_get_tx(rig.net, 0);
        make_buffers(&rig, rx_buffers, N);
        make_buffers(&rig, tx_buffers, N);
        for (unsigned round = 0; round < 50; round++) {
            unsigned n = 1 + round % N, sent = 0;

            assert_int_equal(vhost_net_post(rx, rx_buffers, n), n);
            for (unsigned i = 0; i < n; i++) {
                out[i] = (struct vhost_net_packet){ .buffer = tx_buffers[i],
                                                    .len = 60 + i,
                                                    .offset = 64 };
                fill(vhost_net_data(&out[i]), 60 + i, round + i);
            }
            assert_int_equal(vhost_net_send(tx, out, n), n);
            collect(rx, in, n);
            for (unsigned i = 0; i < n; i++) {
                assert_ptr_equal(in[i].buffer, rx_buffers[i]);
                assert_int_equal(in[i].len, 60 + i);
                assert_memory_equal(vhost_net_data(&in[i]),
                                    vhost_net_data(&out[i]), 60 + i);
            }
            while (sent < n) {
                int r = vhost_net_sent_wait(tx, tx_buffers + sent, n - sent,
                                            WAIT_MS);

                assert_true(r > 0);
                sent += (unsigned)r;
            }
        }
        rig_down(&rig);
    }
}

static void test_a_frame_of_several_packets_arrives_as_one(void **state)
{
    struct vhost_net_options options = { .queue_size = 64 };
    struct vhost_net_packet out[3], in[8];
    void *buffers[8], *back[8];
    char want[300], got[300];
    struct rig rig;
    struct vhost_net_tx *tx;
    unsigned n = 0;

    (void)state;
    rig_up(&rig, "loop:", 1, 0);
    rig_open(&rig, &options);
    tx = vhost_net_get_tx(rig.net, 0);
    make_buffers(&rig, buffers, 8);
    assert_int_equal(vhost_net_post(vhost_net_get_rx(rig.net, 0), buffers, 4),
                     4);
    fill(want, sizeof(want), 3);
    for (unsigned i = 0; i < 3; i++) {
        out[i] = (struct vhost_net_packet){ .buffer = buffers[4 + i],
                                            .len = 100,
                                            .offset = i == 0 ? 12 : 0,
                                            .more = i < 2 };
        memcpy(vhost_net_data(&out[i]), want + 100 * i, 100);
    }
    assert_int_equal(vhost_net_send(tx, out, 3), 3);
    collect(vhost_net_get_rx(rig.net, 0), in, 1);
    assert_int_equal(in[0].len, 300);
    memcpy(got, vhost_net_data(&in[0]), 300);
    assert_memory_equal(want, got, 300);
    while (n < 3) {
        int r = vhost_net_sent_wait(tx, back + n, 1, WAIT_MS);

        assert_int_equal(r, 1);
        n++;
    }
    assert_int_equal(vhost_net_sent(tx, back, 8), 0);
    rig_down(&rig);
}

/* Who takes them one by one, when poll() says so, gets them all, in order. */
static void test_buffers_of_a_frame_come_back_one_by_one(void **state)
{
    struct vhost_net_options options = { .queue_size = 64 };
    struct vhost_net_packet out[7];
    void *buffers[8], *back;
    struct rig rig;
    struct vhost_net_tx *tx;
    struct pollfd fd = { .events = POLLIN };

    (void)state;
    rig_up(&rig, "loop:", 1, 0);
    rig_open(&rig, &options);
    tx = vhost_net_get_tx(rig.net, 0);
    fd.fd = vhost_net_tx_fd(tx);
    make_buffers(&rig, buffers, 8);
    for (unsigned i = 0; i < 7; i++) { /* of 3, 1 and 3 packets */
        out[i] =
            (struct vhost_net_packet){ .buffer = buffers[i],
                                       .len = 100,
                                       .offset = i % 4 == 0 || i == 3 ? 12 : 0,
                                       .more = i % 4 < 2 };
        memset(vhost_net_data(&out[i]), 0x55, 100);
    }
    assert_int_equal(vhost_net_send(tx, out, 7), 7);
    for (unsigned i = 0; i < 7;) {
        int r;

        assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
        r = vhost_net_sent(tx, &back, 1);
        assert_true(r >= 0);
        if (r > 0) {
            assert_ptr_equal(back, buffers[i]);
            i++;
        }
    }
    assert_int_equal(vhost_net_sent(tx, &back, 1), 0);
    assert_int_equal(poll(&fd, 1, 0), 0);
    rig_down(&rig);
}

static void test_what_cannot_be_sent_is_refused(void **state)
{
    struct vhost_net_options options = { .queue_size = 64 };
    char outside[256];
    void *buffers[2];
    struct vhost_net_packet packet;
    struct vhost_net_tx *tx;
    struct rig rig;

    (void)state;
    rig_up(&rig, "null:", 1, 0);
    rig_open(&rig, &options);
    tx = vhost_net_get_tx(rig.net, 0);
    make_buffers(&rig, buffers, 2);
    packet = (struct vhost_net_packet){ buffers[0], 64, 11, 0, 0 };
    assert_int_equal(vhost_net_send(tx, &packet, 1), -EINVAL);
    packet = (struct vhost_net_packet){ buffers[0], 64, 12, 1, 0 };
    assert_int_equal(vhost_net_send(tx, &packet, 1), -EINVAL);
    packet = (struct vhost_net_packet){ buffers[0], UINT32_MAX, 12, 0, 0 };
    assert_int_equal(vhost_net_send(tx, &packet, 1), -EINVAL);
    packet = (struct vhost_net_packet){ outside, 64, 12, 0, 0 };
    assert_int_equal(vhost_net_send(tx, &packet, 1), -EFAULT);
    assert_int_equal(vhost_net_write(tx, outside, 64, 0), -EBUSY);
    buffers[1] = outside;
    assert_int_equal(vhost_net_post(vhost_net_get_rx(rig.net, 0), buffers, 2),
                     1);
    assert_int_equal(
        vhost_net_post(vhost_net_get_rx(rig.net, 0), buffers + 1, 1), -EFAULT);
    assert_int_equal(
        vhost_net_read(vhost_net_get_rx(rig.net, 0), outside, 1, 0), -EBUSY);
    rig_down(&rig);
}

static void test_a_queue_that_was_reset_goes_on(void **state)
{
    (void)state;
    for (unsigned l = 0; l < N_LAYOUTS; l++) {
        struct vhost_net_options options = { .layout = layouts[l] };
        struct vhost_error *error = NULL;
        struct rig rig;

        rig_up(&rig, "loop:", 1, 0);
        rig_open(&rig, &options);
        first_read(&rig, 0);
        for (unsigned i = 0; i < 300; i++) {
            send_and_receive(&rig, 0, 100, i);
            if (i % 100 == 50) {
                assert_int_equal(
                    vhost_net_reset_rx(rig.net, vhost_net_get_rx(rig.net, 0),
                                       &error),
                    0);
                assert_int_equal(
                    vhost_net_reset_tx(rig.net, vhost_net_get_tx(rig.net, 0),
                                       &error),
                    0);
                first_read(&rig, 0);
            }
        }
        rig_down(&rig);
    }
}

static void test_a_layout_that_is_not_offered_is_refused_in_words(void **state)
{
    struct vhost_net_options options = { .size = sizeof(options),
                                         .layout = VHOST_LAYOUT_PACKED };
    struct vhost_error *error = NULL;
    struct rig rig;
    char uri[80];

    (void)state;
    rig_up(&rig, "loop:", 1, UINT64_C(1) << 34);
    snprintf(uri, sizeof(uri), "user:%s", rig.path);
    assert_null(vhost_net_open(uri, &options, &error));
    assert_int_equal(vhost_error_code(error), -ENOTSUP);
    assert_non_null(strstr(vhost_error_message(error), "VIRTIO_F_RING_PACKED"));
    vhost_error_free(error);
    rig_down(&rig);
}

static void test_impossible_options_are_refused(void **state)
{
    static const struct vhost_net_options impossible[] = {
        { .buffer_size = 63 },
        { .buffer_size = 65563 },
        { .layout = 5 },
        { .queue_size = 3 },
        { .pairs = 32768 },
        { .queue_size = 100 },
        { .offloads = UINT64_C(1) << 32 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        struct vhost_error *error = NULL;

        assert_null(vhost_net_open("user:nowhere", &impossible[i], &error));
        assert_int_equal(vhost_error_code(error), -EINVAL);
        vhost_error_free(error);
    }
}

static void test_a_back_end_that_dies_is_noticed(void **state)
{
    struct vhost_net_options options = { .queue_size = 64 };
    struct vhost_error *error = NULL;
    struct rig rig;
    char frame[100];

    (void)state;
    rig_up(&rig, "loop:", 1, 0);
    rig_open(&rig, &options);
    first_read(&rig, 0);
    rig.stop = true;
    pthread_join(rig.thread, NULL);
    vhost_server_free(rig.server);
    assert_int_equal(vhost_net_read(vhost_net_get_rx(rig.net, 0), frame,
                                    sizeof(frame), WAIT_MS),
                     -ENOTCONN);
    assert_non_null(vhost_net_rx_error(vhost_net_get_rx(rig.net, 0)));
    assert_true(vhost_net_dispatch(rig.net, &error) < 0);
    vhost_error_free(error);
    vhost_net_close(rig.net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_come_back_in_every_layout),
        cmocka_unit_test(test_frames_come_back_without_indirect_tables),
        cmocka_unit_test(test_tells_what_the_device_is_like),
        cmocka_unit_test(test_every_pair_has_its_own_frames),
        cmocka_unit_test(test_the_control_queue_sets_pairs_and_address),
        cmocka_unit_test(test_pairs_are_set_without_a_control_queue_too),
        cmocka_unit_test(test_bursts_in_place_bring_every_buffer_back),
        cmocka_unit_test(test_a_frame_of_several_packets_arrives_as_one),
        cmocka_unit_test(test_buffers_of_a_frame_come_back_one_by_one),
        cmocka_unit_test(test_what_cannot_be_sent_is_refused),
        cmocka_unit_test(test_a_queue_that_was_reset_goes_on),
        cmocka_unit_test(test_a_layout_that_is_not_offered_is_refused_in_words),
        cmocka_unit_test(test_impossible_options_are_refused),
        cmocka_unit_test(test_a_back_end_that_dies_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
