/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that is lost while something else goes on: its successor is lost
 * at any message, the dirty log is on, or begins, and memory comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <vhost/server.h>
#include <vhost/vhost.h>

#include "check.h"
#include "lib/disk-guest.h"

struct lost {
    struct disk_guest guest;
    unsigned dies_at; /* the message at which the next one hangs up; 0: none */
    bool dirty[DISK_GUEST_DEPTH];
};

static void serve(struct disk_guest *guest)
{
    const struct lost *lost = (const struct lost *)guest;
    const struct vhost_server_fault fault = { .kind = VHOST_SERVER_FAULT_CLOSE,
                                              .nth = lost->dies_at };
    const struct vhost_server_options options = {
        .size = sizeof(options),
        .faults = &fault,
        .n_faults = lost->dies_at ? 1 : 0,
    };
    struct vhost_server *server;
    char byte = 0;
    int ready[2];

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    guest->server = fork();
    assert_true(guest->server >= 0);
    if (guest->server > 0) {
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server = vhost_server_new(
        guest->socket, vhost_server_blk(guest->image, NULL), &options, NULL);
    if (!server || write(ready[1], &byte, 1) != 1) {
        _exit(1);
    }
    while (vhost_server_run(server, -1, NULL) >= 0) {
    }
    _exit(0);
}

static int up(void **state)
{
    struct lost *lost = calloc(1, sizeof(*lost));

    assert_non_null(lost);
    disk_guest_init(&lost->guest, serve, NULL);
    *state = lost;
    return 0;
}

static int down(void **state)
{
    struct lost *lost = *state;

    disk_guest_cleanup(&lost->guest);
    free(lost);
    return 0;
}

/* As its owner's loop would, for a while. */
static void attend(struct disk_guest *guest, int ms)
{
    struct pollfd pfd = { .fd = vhost_dev_get_fd(&guest->dev),
                          .events = POLLIN };

    for (; ms > 0; ms -= 2) {
        if (poll(&pfd, 1, 2) > 0) {
            assert_int_equal(vhost_dev_dispatch(&guest->dev), 0);
        }
    }
}

static void lose_twice(struct lost *lost, uint64_t features)
{
    struct disk_guest *guest = &lost->guest;

    disk_guest_begin(guest, features);
    for (unsigned at = 1; at < 32; at++) {
        disk_guest_submit_all(guest);
        disk_guest_kill(guest);
        lost->dies_at = at;
        serve(guest);
        attend(guest, 10);
        disk_guest_kill(guest);
        lost->dies_at = 0;
        serve(guest);
        disk_guest_drain(guest);
    }
    disk_guest_verify(guest);
}

static void test_a_second_loss_at_any_message_of_a_split_ring(void **state)
{
    lose_twice(*state, 0);
}

static void test_a_second_loss_at_any_message_of_a_packed_ring(void **state)
{
    lose_twice(*state, UINT64_C(1) << 34);
}

static void note_dirty(void *opaque, uint64_t gpa, uint64_t size)
{
    struct lost *lost = opaque;

    for (unsigned i = 0; i < DISK_GUEST_DEPTH; i++) {
        uint64_t status = lost->guest.requests[i].gpa + 32;

        lost->dirty[i] |= status >= gpa && status < gpa + size;
    }
}

/* The device has written the status of each request that there was. */
static void assert_logged(struct lost *lost)
{
    struct vhost_error *err = NULL;

    assert_int_equal(vhost_log_sync(lost->guest.map, note_dirty, lost, &err),
                     0);
    for (unsigned i = 0; i < DISK_GUEST_DEPTH; i++) {
        assert_true(lost->dirty[i] || lost->guest.requests[i].stamp == 0);
        lost->dirty[i] = false;
        lost->guest.requests[i].stamp = 0;
    }
}

static void test_the_dirty_log_goes_on_with_the_next_back_end(void **state)
{
    struct lost *lost = *state;
    struct disk_guest *guest = &lost->guest;
    struct vhost_error *err = NULL;

    disk_guest_begin(guest, 0);
    assert_int_equal(vhost_log_start(guest->map, &err), 0);
    for (unsigned k = 0; k < 5; k++) {
        disk_guest_submit_all(guest);
        disk_guest_kill(guest);
        serve(guest);
        disk_guest_drain(guest);
        assert_logged(lost);
    }
    assert_int_equal(vhost_log_stop(guest->map, &err), 0);
    disk_guest_verify(guest);
}

static void test_the_dirty_log_may_begin_while_nobody_is_there(void **state)
{
    struct lost *lost = *state;
    struct disk_guest *guest = &lost->guest;
    struct vhost_error *err = NULL;

    disk_guest_begin(guest, UINT64_C(1) << 34);
    disk_guest_kill(guest);
    attend(guest, 10);
    assert_int_equal(guest->dev.state, VHOST_DEV_LOST);
    assert_int_equal(vhost_log_start(guest->map, &err), 0);
    serve(guest);
    disk_guest_submit_all(guest);
    disk_guest_drain(guest);
    assert_logged(lost);
    assert_int_equal(vhost_log_stop(guest->map, &err), 0);
}

static void test_memory_may_come_while_nobody_is_there(void **state)
{
    struct lost *lost = *state;
    struct disk_guest *guest = &lost->guest;
    struct vhost_memory_section more = { .gpa = 0 };
    struct vhost_error *err = NULL;

    disk_guest_begin(guest, 0);
    assert_int_equal(guest->dev.n_mem_sections, 1);
    disk_guest_kill(guest);
    attend(guest, 10);
    assert_int_equal(vhost_memory_alloc(&more, 1 << 20, 0, &err), 0);
    more.gpa = DISK_GUEST_GPA + 2 * DISK_GUEST_MEMORY;
    vhost_memory_begin(guest->map);
    assert_int_equal(vhost_memory_add(guest->map, &more), 0);
    assert_int_equal(vhost_memory_commit(guest->map, &err), 0);
    serve(guest);
    disk_guest_submit_all(guest);
    disk_guest_drain(guest);
    assert_int_equal(guest->dev.n_mem_sections, 2);
    vhost_memory_begin(guest->map);
    assert_int_equal(vhost_memory_remove(guest->map, more.gpa, more.size), 0);
    assert_int_equal(vhost_memory_commit(guest->map, &err), 0);
    vhost_memory_free(&more);
    disk_guest_submit_all(guest);
    disk_guest_drain(guest);
    disk_guest_verify(guest);
}

/* The owner stops a device that is being looked for, and it ends there. */
static void test_a_device_may_be_stopped_while_nobody_is_there(void **state)
{
    struct lost *lost = *state;
    struct disk_guest *guest = &lost->guest;

    disk_guest_begin(guest, 0);
    disk_guest_kill(guest);
    attend(guest, 10);
    assert_true(vhost_dev_stop(&guest->dev, &guest->vdev, true) <= 0);
    assert_false(vhost_dev_is_started(&guest->dev));
    assert_int_equal(guest->queue.base_source, VHOST_BASE_RECOVERED);
    assert_int_equal(vhost_dev_start(&guest->dev, &guest->vdev, true),
                     -ENOTCONN);
    serve(guest);
    for (unsigned i = 0; i < 500 && guest->dev.state != VHOST_DEV_IDLE; i++) {
        attend(guest, 2);
    }
    assert_int_equal(guest->dev.state, VHOST_DEV_IDLE);
    disk_guest_start(guest);
    disk_guest_submit_all(guest);
    disk_guest_drain(guest);
    disk_guest_verify(guest);
}

/* From then on it is lost for good, and costs its owner's loop nothing. */
static void test_the_search_may_be_called_off(void **state)
{
    struct lost *lost = *state;
    struct disk_guest *guest = &lost->guest;
    struct pollfd pfd = { .events = POLLIN };

    disk_guest_begin(guest, 0);
    disk_guest_kill(guest);
    attend(guest, 10);
    assert_int_equal(vhost_dev_set_reconnect(&guest->dev, NULL), 0);
    serve(guest);
    pfd.fd = vhost_dev_get_fd(&guest->dev);
    for (unsigned i = 0; i < 10; i++) { /* what was set to be heard */
        if (poll(&pfd, 1, 20) > 0) {
            vhost_dev_dispatch(&guest->dev);
        }
    }
    assert_int_equal(poll(&pfd, 1, 30), 0);
    assert_int_equal(vhost_dev_dispatch(&guest->dev), -ENOTCONN);
    assert_int_equal(guest->dev.state, VHOST_DEV_LOST);
    assert_int_equal(guest->n_resumed, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_second_loss_at_any_message_of_a_split_ring),
        TEST(test_a_second_loss_at_any_message_of_a_packed_ring),
        TEST(test_the_dirty_log_goes_on_with_the_next_back_end),
        TEST(test_the_dirty_log_may_begin_while_nobody_is_there),
        TEST(test_memory_may_come_while_nobody_is_there),
        TEST(test_a_device_may_be_stopped_while_nobody_is_there),
        TEST(test_the_search_may_be_called_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
