/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device whose back ends are killed under traffic: no buffer is lost,
 * none comes back twice, and no frame is broken or comes twice.
 *
 * The back end sends all frames back, in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vhost/net.h>
#include <vhost/server.h>

#include "check.h"

#ifdef __SANITIZE_THREAD__
#define KILLS 8u
#else
#define KILLS 20u
#endif
#define QUEUE 16u
#define BUFFER 700u /* of each to receive into; longer frames take several */
#define STRIDE 4096u
#define TX_BUFFERS (2 * QUEUE)
#define RX_BUFFERS QUEUE
#define WAIT_MS 20000

struct rig {
    char dir[64];
    char socket[128];
    char uri[140];
    pid_t server;
    struct vhost_net_device *net;
    struct vhost_net_rx *rx;
    struct vhost_net_tx *tx;
    _Atomic unsigned n_lost;
    _Atomic unsigned n_resumed;
    _Atomic bool stop;
    char *rx_memory;
    bool posted[RX_BUFFERS];
    unsigned came[RX_BUFFERS]; /* how often since they were counted */
    char *tx_memory;
    bool sending[TX_BUFFERS];
    uint32_t sent;     /* frames */
    uint32_t received; /* the last of them */
    _Atomic unsigned n_received;
    unsigned longest;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* A back end in a process of its own, listening when this returns. */
static void serve(struct rig *rig)
{
    const struct vhost_server_net_options net = { .size = sizeof(net) };
    struct vhost_server *server;
    char byte = 0;
    int ready[2];
    pid_t pid;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        rig->server = pid;
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server = vhost_server_new(rig->socket, vhost_server_net("loop:", &net),
                              NULL, NULL);
    if (!server || write(ready[1], &byte, 1) != 1) {
        _exit(1);
    }
    while (vhost_server_run(server, -1, NULL) >= 0) {
    }
    _exit(0);
}

static void kill_server(struct rig *rig)
{
    if (rig->server > 0) {
        kill(rig->server, SIGKILL);
        waitpid(rig->server, NULL, 0);
        rig->server = 0;
    }
}

static int up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    snprintf(rig->dir, sizeof(rig->dir), "/tmp/test-net-again-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->socket, sizeof(rig->socket), "%s/socket", rig->dir);
    snprintf(rig->uri, sizeof(rig->uri), "user:%s", rig->socket);
    serve(rig);
    *state = rig;
    return 0;
}

static int down(void **state)
{
    struct rig *rig = *state;

    vhost_net_close(rig->net);
    kill_server(rig);
    unlink(rig->socket);
    rmdir(rig->dir);
    free(rig);
    return 0;
}

static void on_lost(struct vhost_net_device *net, const char *reason,
                    void *opaque)
{
    struct rig *rig = opaque;

    (void)net;
    assert_non_null(reason);
    rig->n_lost++;
}

static void on_resumed(struct vhost_net_device *net, void *opaque)
{
    struct rig *rig = opaque;

    (void)net;
    rig->n_resumed++;
}

static void open_net(struct rig *rig, unsigned layout, bool polling,
                     unsigned reconnect_ms)
{
    struct vhost_net_options options = {
        .size = sizeof(options),
        .queue_size = QUEUE,
        .layout = layout,
        .polling = polling,
        .buffer_size = BUFFER,
        .deadline_ms = 2000,
        .lost = on_lost,
        .resumed = on_resumed,
        .reconnect_ms = reconnect_ms,
        .opaque = rig,
    };
    struct vhost_error *error = NULL;

    rig->net = vhost_net_open(rig->uri, &options, &error);
    if (!rig->net) {
        fail_msg("%s", vhost_error_message(error));
    }
    rig->rx = vhost_net_get_rx(rig->net, 0);
    rig->tx = vhost_net_get_tx(rig->net, 0);
    rig->longest = 3000;
}

static void take_memory(struct rig *rig)
{
    rig->rx_memory = vhost_net_alloc(rig->net, RX_BUFFERS * STRIDE);
    rig->tx_memory = vhost_net_alloc(rig->net, TX_BUFFERS * STRIDE);
    assert_non_null(rig->rx_memory);
    assert_non_null(rig->tx_memory);
}

/* A frame: its number and length, and bytes that follow from these. */

static unsigned length_of(const struct rig *rig, uint32_t number)
{
    return 60 + number * 397 % (rig->longest - 60);
}

static void make(const struct rig *rig, char *frame, uint32_t number)
{
    unsigned len = length_of(rig, number);

    memset(frame, (int)(number % 251), len);
    memcpy(frame + 14, &number, sizeof(number));
}

/* Whole, and later than all before. */
static void check_frame(struct rig *rig, const char *frame, size_t len)
{
    uint32_t number;

    assert_true(len >= 60);
    memcpy(&number, frame + 14, sizeof(number));
    assert_int_equal(len, length_of(rig, number));
    for (size_t i = 18; i < len; i++) {
        assert_int_equal((unsigned char)frame[i], number % 251);
    }
    assert_true(number > rig->received);
    rig->received = number;
    rig->n_received++;
}

/* In place. */

static void post_all(struct rig *rig)
{
    for (unsigned i = 0; i < RX_BUFFERS; i++) {
        void *buffer = rig->rx_memory + i * STRIDE;
        int n = rig->posted[i] ? 0 : vhost_net_post(rig->rx, &buffer, 1);

        assert_true(n >= 0);
        rig->posted[i] |= n == 1;
    }
}

static void receive(struct rig *rig, int timeout_ms)
{
    struct vhost_net_packet packets[QUEUE];
    char frame[4096];
    size_t len = 0;
    int n = timeout_ms == 0
                ? vhost_net_receive(rig->rx, packets, QUEUE)
                : vhost_net_receive_wait(rig->rx, packets, QUEUE, timeout_ms);

    if (n < 0) {
        fail_msg("%s: %s", strerror(-n), vhost_net_rx_error(rig->rx));
    }
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)((char *)packets[i].buffer - rig->rx_memory);

        assert_int_equal(at % STRIDE, 0);
        assert_true(rig->posted[at / STRIDE]); /* and so not twice */
        rig->posted[at / STRIDE] = false;
        rig->came[at / STRIDE]++;
        memcpy(frame + len, vhost_net_data(&packets[i]), packets[i].len);
        len += packets[i].len;
        if (!packets[i].more) {
            check_frame(rig, frame, len);
            len = 0;
        }
    }
    assert_int_equal(len, 0);
    post_all(rig);
}

static unsigned take_sent(struct rig *rig, int timeout_ms)
{
    void *buffers[5];
    unsigned busy = 0;
    int n;

    do {
        n = vhost_net_sent_wait(rig->tx, buffers, 5, timeout_ms);
        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
            size_t at = (size_t)((char *)buffers[i] - rig->tx_memory);

            assert_true(rig->sending[at / STRIDE]);
            rig->sending[at / STRIDE] = false;
        }
        timeout_ms = 0;
    } while (n > 0);
    for (unsigned i = 0; i < TX_BUFFERS; i++) {
        busy += rig->sending[i];
    }
    return busy;
}

/* Every third frame in two buffers.  Return: was there room? */
static bool send_one(struct rig *rig)
{
    struct vhost_net_packet packets[2];
    unsigned need = rig->sent % 3 == 0 ? 2 : 1;
    unsigned found = 0;
    char frame[4096];
    unsigned len;

    for (unsigned i = 0; i < TX_BUFFERS && found < need; i++) {
        if (!rig->sending[i]) {
            packets[found++].buffer = rig->tx_memory + i * STRIDE;
        }
    }
    if (found < need) {
        return false;
    }
    len = length_of(rig, rig->sent + 1);
    make(rig, frame, rig->sent + 1);
    for (unsigned i = 0; i < need; i++) {
        unsigned part = i + 1 < need ? 40 : len;

        packets[i].offset = i == 0 ? VHOST_NET_HEADER : 0;
        packets[i].len = part;
        packets[i].more = i + 1 < need;
        packets[i].flags = 0;
        memcpy(vhost_net_data(&packets[i]),
               frame + length_of(rig, rig->sent + 1) - len, part);
        len -= part;
    }
    found = (unsigned)vhost_net_send(rig->tx, packets, need);
    if (found == 0) {
        return false;
    }
    assert_int_equal(found, need);
    for (unsigned i = 0; i < need; i++) {
        rig->sending[((char *)packets[i].buffer - rig->tx_memory) / STRIDE] =
            true;
    }
    rig->sent++;
    return true;
}

static void step(struct rig *rig, bool polling)
{
    for (unsigned i = 0; i < 6 && send_one(rig); i++) {
    }
    receive(rig, polling ? 0 : 2);
    take_sent(rig, 0);
    if (polling) {
        assert_int_equal(vhost_net_dispatch(rig->net, NULL), 0);
    }
}

/* Each of its buffers is still known to the queue. */
static void all_rx_buffers_come(struct rig *rig, bool polling, int64_t deadline)
{
    unsigned came;

    memset(rig->came, 0, sizeof(rig->came));
    do {
        step(rig, polling);
        came = 0;
        for (unsigned i = 0; i < RX_BUFFERS; i++) {
            came += rig->came[i] > 0;
        }
        assert_true(now_ms() < deadline);
    } while (came < RX_BUFFERS);
}

static void run_alone(struct rig *rig, unsigned layout, bool polling)
{
    struct vhost_net_info info;

    open_net(rig, layout, polling, VHOST_RECONNECT_ALWAYS);
    take_memory(rig);
    post_all(rig);
    for (unsigned k = 0; k < KILLS; k++) {
        int64_t deadline = now_ms() + WAIT_MS;
        unsigned until = rig->n_received + 1 + k * 29 % 200;
        unsigned before = rig->n_resumed;

        while (rig->n_received < until) {
            step(rig, polling);
            assert_true(now_ms() < deadline);
        }
        kill_server(rig);
        take_sent(rig, 0);
        send_one(rig); /* nobody will send it */
        if (k % 2) {
            step(rig, polling); /* it may notice before the next is there */
        }
        serve(rig);
        while (rig->n_resumed == before) {
            step(rig, polling);
            assert_true(now_ms() < deadline);
        }
        all_rx_buffers_come(rig, polling, deadline);
    }
    for (int64_t deadline = now_ms() + WAIT_MS; take_sent(rig, 10) > 0;) {
        assert_true(now_ms() < deadline);
    }
    vhost_net_get_info(rig->net, &info);
    assert_true(info.frames_lost >= KILLS / 2);
    assert_true(rig->n_resumed >= KILLS);
    assert_true(rig->n_lost >= KILLS);
}

static void test_a_split_device_outlives_its_back_ends(void **state)
{
    run_alone(*state, VHOST_LAYOUT_SPLIT, false);
}

static void test_a_packed_device_outlives_its_back_ends(void **state)
{
    run_alone(*state, VHOST_LAYOUT_PACKED, false);
}

static void test_a_device_in_order_outlives_its_back_ends(void **state)
{
    run_alone(*state, VHOST_LAYOUT_PACKED_IN_ORDER, false);
}

static void test_a_polling_device_outlives_its_back_ends(void **state)
{
    run_alone(*state, VHOST_LAYOUT_AUTO, true);
}

/* Copies: its calls look for the back end, and wait for it. */
static void copy_one(struct rig *rig)
{
    char frame[4096];
    ssize_t n;

    make(rig, frame, rig->sent + 1);
    assert_int_equal(
        vhost_net_write(rig->tx, frame, length_of(rig, rig->sent + 1), WAIT_MS),
        0);
    rig->sent++;
    n = vhost_net_read(rig->rx, frame, sizeof(frame), 20);
    if (n != -EAGAIN) {
        assert_true(n > 0);
        check_frame(rig, frame, (size_t)n);
    }
}

static void test_copied_frames_outlive_back_ends(void **state)
{
    struct rig *rig = *state;

    open_net(rig, VHOST_LAYOUT_AUTO, false, VHOST_RECONNECT_ALWAYS);
    for (unsigned k = 0; k < KILLS; k++) {
        int64_t deadline = now_ms() + WAIT_MS;
        unsigned until = rig->n_received + 10 + k % 7;
        unsigned before = rig->n_resumed;

        while (rig->n_received < until) {
            copy_one(rig);
            assert_true(now_ms() < deadline);
        }
        kill_server(rig);
        serve(rig);
        while (rig->n_resumed == before) {
            copy_one(rig);
            assert_true(now_ms() < deadline);
        }
    }
    assert_true(rig->n_lost >= KILLS);
}

static void *send_all_the_time(void *arg)
{
    struct rig *rig = arg;

    while (!rig->stop) {
        if (!send_one(rig)) {
            take_sent(rig, 5);
        }
    }
    while (take_sent(rig, 10) > 0) {
    }
    return NULL;
}

static void *receive_all_the_time(void *arg)
{
    struct rig *rig = arg;

    while (!rig->stop) {
        receive(rig, 5);
    }
    return NULL;
}

/* Two threads have the queues; this one the device, and kills its back ends. */
static void test_a_device_with_threads_for_its_queues(void **state)
{
    struct rig *rig = *state;
    pthread_t sender, receiver;

    open_net(rig, VHOST_LAYOUT_AUTO, false, VHOST_RECONNECT_ALWAYS);
    take_memory(rig);
    post_all(rig);
    assert_int_equal(pthread_create(&sender, NULL, send_all_the_time, rig), 0);
    assert_int_equal(pthread_create(&receiver, NULL, receive_all_the_time, rig),
                     0);
    for (unsigned k = 0; k < KILLS; k++) {
        int64_t deadline = now_ms() + WAIT_MS;
        unsigned before = rig->n_resumed;
        unsigned until;

        kill_server(rig);
        serve(rig);
        until = rig->n_received + 20;
        while (rig->n_resumed == before || rig->n_received < until) {
            struct pollfd pfd = { .fd = vhost_net_get_fd(rig->net),
                                  .events = POLLIN };

            poll(&pfd, 1, 5);
            assert_int_equal(vhost_net_dispatch(rig->net, NULL), 0);
            assert_true(now_ms() < deadline);
        }
    }
    rig->stop = true;
    assert_int_equal(pthread_join(sender, NULL), 0);
    assert_int_equal(pthread_join(receiver, NULL), 0);
}

/* The thread that dispatches has a queue, too, and must not wait for itself. */
static void test_the_control_thread_has_a_queue(void **state)
{
    struct rig *rig = *state;
    pthread_t receiver;

    open_net(rig, VHOST_LAYOUT_AUTO, false, VHOST_RECONNECT_ALWAYS);
    take_memory(rig);
    post_all(rig);
    assert_int_equal(pthread_create(&receiver, NULL, receive_all_the_time, rig),
                     0);
    for (unsigned k = 0; k < KILLS; k++) {
        int64_t deadline = now_ms() + WAIT_MS;
        unsigned before = rig->n_resumed;
        unsigned until;

        kill_server(rig);
        serve(rig);
        until = rig->n_received + 20;
        while (rig->n_resumed == before || rig->n_received < until) {
            assert_int_equal(vhost_net_dispatch(rig->net, NULL), 0);
            if (!send_one(rig)) {
                take_sent(rig, 5);
            }
            assert_true(now_ms() < deadline);
        }
    }
    rig->stop = true;
    assert_int_equal(pthread_join(receiver, NULL), 0);
}

static void test_who_finds_nobody_gives_up(void **state)
{
    struct rig *rig = *state;
    int64_t deadline = now_ms() + WAIT_MS;
    char frame[4096];

    open_net(rig, VHOST_LAYOUT_AUTO, false, 50);
    kill_server(rig);
    while (vhost_net_read(rig->rx, frame, sizeof(frame), 20) == -EAGAIN) {
        vhost_net_dispatch(rig->net, NULL);
        assert_true(now_ms() < deadline);
    }
    assert_int_equal(vhost_net_read(rig->rx, frame, sizeof(frame), 20),
                     -ENOTCONN);
    assert_non_null(vhost_net_rx_error(rig->rx));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        T(test_a_split_device_outlives_its_back_ends),
        T(test_a_packed_device_outlives_its_back_ends),
        T(test_a_device_in_order_outlives_its_back_ends),
        T(test_a_polling_device_outlives_its_back_ends),
        T(test_copied_frames_outlive_back_ends),
        T(test_a_device_with_threads_for_its_queues),
        T(test_the_control_thread_has_a_queue),
        T(test_who_finds_nobody_gives_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
