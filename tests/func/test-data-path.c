/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What requests and frames cost besides the work itself: nothing from the heap,
 * no lock, and no system call but the doorbell.  A look at a queue that finds
 * nothing may make one, now and then, to see whether the back end still lives.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "watch.h"

#include <vhost/blk.h>
#include <vhost/net.h>
#include <vhost/server.h>

#define ROUNDS 2000
#define BURST 16
#define BLOCK 4096
#define BUFFER 2048
#define PATIENCE_S 20

struct rig {
    char path[64];
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
};

static void *serve(void *arg)
{
    struct rig *rig = arg;

    while (!rig->stop) {
        vhost_server_run(rig->server, 20, NULL);
    }
    return NULL;
}

static void rig_up(struct rig *rig, struct vhost_server_device *device)
{
    struct vhost_server_options options = { .size = sizeof(options),
                                            .poll_us = 1000 };
    struct vhost_error *error = NULL;

    memset(rig, 0, sizeof(*rig));
    snprintf(rig->path, sizeof(rig->path), "user:test-data-path-%d.sock",
             (int)getpid());
    rig->server =
        vhost_server_new(rig->path + strlen("user:"), device, &options, &error);
    if (!rig->server) {
        fail_msg("%s", vhost_error_message(error));
    }
    assert_int_equal(pthread_create(&rig->thread, NULL, serve, rig), 0);
}

static void rig_down(struct rig *rig)
{
    rig->stop = true;
    pthread_join(rig->thread, NULL);
    vhost_server_free(rig->server);
}

static void nothing_but_doorbells(struct watch_counts counts)
{
    assert_int_equal(counts.allocations, 0);
    assert_int_equal(counts.locks, 0);
    if (counts.system_calls != 0) {
        fail_msg("%u system calls, such as number %ld", counts.system_calls,
                 counts.system_call);
    }
}

/* Disks */

static int poll_disk(struct vhost_blk_queue *q)
{
    struct vhost_completion done[BURST];
    struct watch_counts before = watch_take();
    int r;

    watch_give(before);
    watch_on();
    r = vhost_blk_poll(q, done, BURST);
    if (r == 0) {
        watch_give(before);
    }
    return r;
}

static int post_burst(struct vhost_blk_queue *q, char *memory, unsigned round)
{
    int r = 0;

    for (unsigned i = 0; i < BURST && r == 0; i++) {
        char *at = memory + (size_t)i * BLOCK;

        r = (i + round) % 2 ? vhost_blk_read(q, i * BLOCK, at, BLOCK, at)
                            : vhost_blk_write(q, i * BLOCK, at, BLOCK, at);
    }
    return r < 0 ? r : vhost_blk_submit(q);
}

/* Under watch: nothing may be asserted before it ends. */
static int disk_rounds(struct vhost_blk_queue *q, char *memory)
{
    int r = 0;

    for (unsigned round = 0; round < ROUNDS && r >= 0; round++) {
        watch_on();
        r = post_burst(q, memory, round);
        for (int n = 0; n < BURST && r >= 0; n += r) {
            r = poll_disk(q);
        }
        watch_off();
    }
    return r;
}

static void disk_in(unsigned layout, bool polling)
{
    struct vhost_blk_options options = { .size = sizeof(options),
                                         .layout = layout,
                                         .polling = polling };
    struct vhost_blk *disk;
    struct rig rig;
    char *memory;

    rig_up(&rig, vhost_server_blk("null:1048576", NULL));
    disk = vhost_blk_open(rig.path, &options, NULL);
    assert_non_null(disk);
    memory = vhost_blk_alloc(disk, BURST * BLOCK);
    assert_non_null(memory);
    assert_true(watch_begin());
    watch_take();
    alarm(PATIENCE_S);
    assert_return_code(disk_rounds(vhost_blk_get_queue(disk, 0), memory), 0);
    alarm(0);
    nothing_but_doorbells(watch_take());
    vhost_blk_close(disk);
    rig_down(&rig);
}

static void test_requests_cost_nothing_but_doorbells(void **state)
{
    (void)state;
    for (unsigned l = VHOST_LAYOUT_SPLIT; l <= VHOST_LAYOUT_PACKED_IN_ORDER;
         l++) {
        disk_in(l, true);
        disk_in(l, false);
    }
}

/* Networks */

static int poll_tx(struct vhost_net_tx *tx)
{
    struct watch_counts before = watch_take();
    void *sent[BURST];
    int r;

    watch_give(before);
    watch_on();
    r = vhost_net_sent(tx, sent, BURST);
    if (r == 0) {
        watch_give(before);
    }
    return r;
}

static int poll_rx(struct vhost_net_rx *rx)
{
    struct watch_counts before = watch_take();
    struct vhost_net_packet packets[BURST];
    int r;

    watch_give(before);
    watch_on();
    r = vhost_net_receive(rx, packets, BURST);
    if (r == 0) {
        watch_give(before);
    }
    return r;
}

static int net_round(struct vhost_net_tx *tx, struct vhost_net_rx *rx,
                     void **out, void **in)
{
    struct vhost_net_packet packets[BURST];
    int n_sent = 0, n_got = 0, r = vhost_net_post(rx, in, BURST);

    for (unsigned i = 0; i < BURST; i++) {
        packets[i] = (struct vhost_net_packet){ .buffer = out[i],
                                                .offset = VHOST_NET_HEADER,
                                                .len = 64 };
    }
    if (r == BURST) {
        r = vhost_net_send(tx, packets, BURST);
    }
    while (r >= 0 && (n_sent < BURST || n_got < BURST)) {
        r = poll_tx(tx);
        n_sent += r > 0 ? r : 0;
        r = r < 0 ? r : poll_rx(rx);
        n_got += r > 0 ? r : 0;
    }
    return r;
}

static void net_in(unsigned layout, bool polling)
{
    struct vhost_net_options options = { .size = sizeof(options),
                                         .layout = layout,
                                         .polling = polling };
    struct vhost_net_device *net;
    void *out[BURST], *in[BURST];
    struct rig rig;
    int r = 0;

    rig_up(&rig, vhost_server_net("loop:", NULL));
    net = vhost_net_open(rig.path, &options, NULL);
    assert_non_null(net);
    for (unsigned i = 0; i < BURST; i++) {
        out[i] = vhost_net_alloc(net, BUFFER);
        in[i] = vhost_net_alloc(net, BUFFER);
        assert_true(out[i] && in[i]);
        memset(out[i], 0, BUFFER);
    }
    assert_true(watch_begin());
    watch_take();
    alarm(PATIENCE_S);
    for (unsigned round = 0; round < ROUNDS && r >= 0; round++) {
        watch_on();
        r = net_round(vhost_net_get_tx(net, 0), vhost_net_get_rx(net, 0), out,
                      in);
        watch_off();
    }
    alarm(0);
    assert_return_code(r, 0);
    nothing_but_doorbells(watch_take());
    vhost_net_close(net);
    rig_down(&rig);
}

static void test_frames_cost_nothing_but_doorbells(void **state)
{
    (void)state;
    for (unsigned l = VHOST_LAYOUT_SPLIT; l <= VHOST_LAYOUT_PACKED_IN_ORDER;
         l++) {
        net_in(l, true);
        net_in(l, false);
    }
}

/* The watch itself */

static void test_the_watch_sees_what_it_is_to_see(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct watch_counts counts;
    void *volatile p;
    long pid;

    (void)state;
    assert_true(watch_begin());
    watch_take();
    watch_on();
    p = malloc(10);
    free(p);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    pid = syscall(SYS_getppid);
    watch_on();
    (void)!write(-1, "", 0);
    watch_off();
    counts = watch_take();
    assert_int_equal(pid, getppid());
    assert_int_equal(counts.allocations, 2);
    assert_int_equal(counts.locks, 1);
    assert_int_equal(counts.system_calls, 1);
    assert_int_equal(counts.system_call, SYS_getppid);
    assert_int_equal(counts.doorbells, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_watch_sees_what_it_is_to_see),
        cmocka_unit_test(test_requests_cost_nothing_but_doorbells),
        cmocka_unit_test(test_frames_cost_nothing_but_doorbells),
    };

    if (!watch_begin()) {
        print_message("this kernel does not show system calls\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
