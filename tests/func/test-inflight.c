/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's disk whose back end is killed: rings and requests are the guest's,
 * and nobody makes them available again.  With the in-flight buffer the next
 * back end finishes what the last had taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <vhost/server.h>
#include <vhost/vhost.h>

#include "check.h"
#include "lib/disk-guest.h"
#include "wire/proto.h"

#define KILLS 30u

static void serve(struct disk_guest *guest)
{
    const struct vhost_server_options options = {
        .size = sizeof(options),
        .hide_protocol_features = guest->hide,
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
    struct disk_guest *guest = calloc(1, sizeof(*guest));

    assert_non_null(guest);
    disk_guest_init(guest, serve, NULL);
    *state = guest;
    return 0;
}

static int down(void **state)
{
    disk_guest_cleanup(*state);
    free(*state);
    return 0;
}

static void test_a_split_ring_outlives_its_back_ends(void **state)
{
    disk_guest_outlive(*state, 0, KILLS);
}

static void test_a_packed_ring_outlives_its_back_ends(void **state)
{
    disk_guest_outlive(*state, UINT64_C(1) << 34, KILLS);
}

static void test_rings_in_order_outlive_their_back_ends(void **state)
{
    disk_guest_outlive(*state, UINT64_C(1) << 35, KILLS / 2);
}

static void test_packed_rings_in_order_do_too(void **state)
{
    disk_guest_outlive(*state, UINT64_C(3) << 34, KILLS / 2);
}

static void test_the_buffer_goes_through_a_stream(void **state)
{
    struct disk_guest *guest = *state;
    struct vhost_inflight copy = VHOST_INFLIGHT_INIT;
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);

    disk_guest_begin(guest, 0);
    disk_guest_submit_all(guest);
    disk_guest_drain(guest);
    assert_int_equal(vhost_dev_stop(&guest->dev, &guest->vdev, true), 0);
    assert_int_equal(vhost_dev_save_inflight(&guest->inflight, stream), 0);
    assert_int_equal(vhost_dev_load_inflight(&copy, stream), 0);
    assert_int_equal(copy.size, guest->inflight.size);
    assert_int_equal(copy.queue_size, DISK_GUEST_RING);
    assert_memory_equal(copy.addr, guest->inflight.addr, copy.size);
    /* And the next back end takes the copy. */
    vhost_dev_free_inflight(&guest->inflight);
    guest->inflight = copy;
    disk_guest_start(guest);
    disk_guest_submit_all(guest);
    disk_guest_drain(guest);
    disk_guest_verify(guest);
    vhost_stream_free(stream);
}

static void test_no_buffer_goes_through_a_stream_too(void **state)
{
    struct vhost_inflight none = VHOST_INFLIGHT_INIT;
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);

    (void)state;
    assert_int_equal(vhost_dev_save_inflight(&none, stream), 0);
    assert_int_equal(vhost_dev_load_inflight(&none, stream), 0);
    assert_null(none.addr);
    vhost_stream_free(stream);
}

static void test_a_stream_that_lies_leaves_the_buffer_as_it_was(void **state)
{
    static const unsigned char huge[10] = { 0x7f, 1, 2, 3 };
    static const unsigned char short_one[12] = { 0, 0, 0, 0, 0, 0, 1, 0, 0, 8 };
    static const unsigned char no_entries[10] = { 0, 0, 0, 0, 0, 0, 1, 0 };
    struct vhost_inflight none = VHOST_INFLIGHT_INIT;
    struct vhost_stream *stream;

    (void)state;
    stream = vhost_stream_new_memory(huge, sizeof(huge));
    assert_int_equal(vhost_dev_load_inflight(&none, stream), -EPROTO);
    vhost_stream_free(stream);
    stream = vhost_stream_new_memory(short_one, sizeof(short_one));
    assert_true(vhost_dev_load_inflight(&none, stream) < 0);
    vhost_stream_free(stream);
    stream = vhost_stream_new_memory(no_entries, sizeof(no_entries));
    assert_int_equal(vhost_dev_load_inflight(&none, stream), -EPROTO);
    vhost_stream_free(stream);
    assert_null(none.addr);
    assert_int_equal(none.fd, -1);
}

static void test_without_the_feature_there_is_no_buffer(void **state)
{
    struct disk_guest *guest = *state;

    guest->hide = VH_PF(INFLIGHT_SHMFD);
    disk_guest_begin(guest, 0);
    assert_null(guest->inflight.addr);
    disk_guest_submit_all(guest);
    disk_guest_drain(guest);
    disk_guest_verify(guest);
}

/* What a stop leaves in flight is finished by the next start. */
static void test_a_stop_by_force_loses_nothing(void **state)
{
    struct disk_guest *guest = *state;

    disk_guest_begin(guest, UINT64_C(1) << 34);
    assert_true(guest->dev.protocol_features &
                VH_PF(GET_VRING_BASE_SKIP_DRAIN));
    for (unsigned i = 0; i < 20; i++) {
        disk_guest_submit_all(guest);
        assert_int_equal(vhost_dev_force_stop(&guest->dev, &guest->vdev, true),
                         0);
        disk_guest_reap(guest);
        disk_guest_start(guest);
        disk_guest_drain(guest);
    }
    disk_guest_verify(guest);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_split_ring_outlives_its_back_ends),
        TEST(test_a_packed_ring_outlives_its_back_ends),
        TEST(test_the_buffer_goes_through_a_stream),
        cmocka_unit_test(test_no_buffer_goes_through_a_stream_too),
        cmocka_unit_test(test_a_stream_that_lies_leaves_the_buffer_as_it_was),
        TEST(test_without_the_feature_there_is_no_buffer),
        TEST(test_rings_in_order_outlive_their_back_ends),
        TEST(test_packed_rings_in_order_do_too),
        TEST(test_a_stop_by_force_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
