/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's disk whose back end is killed: rings and requests are the guest's,
 * and nobody makes them available again.  With the in-flight buffer the next
 * back end finishes what the last had taken.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_blk.h>

#include <vhost/server.h>
#include <vhost/vhost.h>

#include "check.h"
#include "ring/ring.h"
#include "wire/proto.h"

#define GPA UINT64_C(0x40000000)
#define MEMORY (UINT64_C(8) << 20)
#define RING 128u /* entries */
#define DATA 16384u
#define DEPTH 40u /* three descriptors each */
#define PLACES 200u
#define KILLS 30u
#define WAIT_MS 20000

struct request {
    bool busy;
    unsigned place;
    unsigned char stamp;
    uint64_t gpa; /* header, status, data */
};

struct rig {
    char dir[64];
    char image[128];
    char socket[128];
    uint64_t hide; /* protocol features, at the back end */
    pid_t server;
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vq;
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queue;
    struct vhost_notifier kick;
    struct vhost_notifier call;
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct vh_ring *ring;
    struct vhost_inflight inflight;
    struct request requests[DEPTH];
    unsigned char content[PLACES];
    bool touched[PLACES];
    unsigned seed;
    unsigned n_resumed;
    unsigned n_done;
};

static unsigned pick(struct rig *rig, unsigned n)
{
    rig->seed = rig->seed * 1103515245u + 12345u;
    return (rig->seed >> 16) % n;
}

static void *hva(const struct rig *rig, uint64_t gpa)
{
    return (char *)rig->memory.hva + (gpa - GPA);
}

static void serve(struct rig *rig)
{
    const struct vhost_server_options options = {
        .size = sizeof(options),
        .hide_protocol_features = rig->hide,
    };
    struct vhost_server *server;
    char byte = 0;
    int ready[2];

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    rig->server = fork();
    assert_true(rig->server >= 0);
    if (rig->server > 0) {
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server = vhost_server_new(rig->socket, vhost_server_blk(rig->image, NULL),
                              &options, NULL);
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
    int fd;

    assert_non_null(rig);
    snprintf(rig->dir, sizeof(rig->dir), "/tmp/test-inflight-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->image, sizeof(rig->image), "%s/image", rig->dir);
    snprintf(rig->socket, sizeof(rig->socket), "%s/socket", rig->dir);
    fd = open(rig->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)PLACES * DATA), 0);
    close(fd);
    rig->inflight = (struct vhost_inflight)VHOST_INFLIGHT_INIT;
    rig->seed = 7;
    *state = rig;
    return 0;
}

static int down(void **state)
{
    struct rig *rig = *state;

    if (vhost_dev_is_started(&rig->dev)) {
        vhost_dev_stop(&rig->dev, &rig->vdev, true);
    }
    vhost_dev_cleanup(&rig->dev);
    vhost_dev_free_inflight(&rig->inflight);
    vhost_user_free(rig->user);
    kill_server(rig);
    vh_ring_free(rig->ring);
    vhost_memory_map_free(rig->map);
    vhost_memory_free(&rig->memory);
    vhost_notifier_cleanup(&rig->kick);
    vhost_notifier_cleanup(&rig->call);
    unlink(rig->image);
    unlink(rig->socket);
    rmdir(rig->dir);
    free(rig);
    return 0;
}

static void make_ring(struct rig *rig, uint64_t features)
{
    const struct vh_ring_config config = {
        .size = RING,
        .features = features,
        .desc = hva(rig, GPA),
        .driver = hva(rig, GPA + 0x1000),
        .device = hva(rig, GPA + 0x2000),
        .base = vh_ring_first_base(features),
    };

    assert_int_equal(vh_ring_new(&rig->ring, &config), 0);
    vh_ring_disable_call(rig->ring); /* looked at in a loop */
    rig->queue = (struct vhost_vdev_queue){ .size = RING,
                                            .base = config.base,
                                            .desc = GPA,
                                            .avail = GPA + 0x1000,
                                            .used = GPA + 0x2000,
                                            .kick_fd = rig->kick.fd,
                                            .call_fd = rig->call.fd };
    for (unsigned i = 0; i < DEPTH; i++) {
        rig->requests[i].gpa = GPA + 0x10000 + i * (DATA + 64);
    }
}

static void make_memory(struct rig *rig)
{
    struct vhost_error *err = NULL;

    rig->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&rig->memory, MEMORY, 0, &err), 0);
    rig->memory.gpa = GPA;
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, &rig->memory), 0);
    assert_int_equal(vhost_memory_commit(rig->map, &err), 0);
    assert_int_equal(vhost_notifier_init(&rig->kick, false), 0);
    assert_int_equal(vhost_notifier_init(&rig->call, false), 0);
}

static void on_resumed(struct vhost_dev *dev, void *opaque)
{
    (void)dev;
    ((struct rig *)opaque)->n_resumed++;
}

static void start(struct rig *rig)
{
    assert_int_equal(vhost_dev_prepare_inflight(&rig->dev, &rig->vdev), 0);
    if (!rig->inflight.addr) {
        assert_int_equal(
            vhost_dev_get_inflight(&rig->dev, RING, &rig->inflight), 0);
    }
    assert_int_equal(vhost_dev_set_inflight(&rig->dev, &rig->inflight), 0);
    assert_int_equal(vhost_dev_start(&rig->dev, &rig->vdev, true), 0);
}

static void begin(struct rig *rig, uint64_t features)
{
    static const int bits[] = { 28, 32, 34, 35, VHOST_INVALID_FEATURE_BIT };
    const struct vhost_user_options options = {
        .path = rig->socket,
        .deadline_ms = 2000,
        .extra = VH_PF(GET_VRING_BASE_INFLIGHT) |
                 VH_PF(GET_VRING_BASE_SKIP_DRAIN),
    };
    const struct vhost_reconnect how = { .resumed = on_resumed,
                                         .opaque = rig };
    struct vhost_error *err = NULL;

    features |= UINT64_C(1) << 32;
    serve(rig);
    make_memory(rig);
    make_ring(rig, features);
    rig->user = vhost_user_new(&options, &err);
    rig->dev.vqs = &rig->vq;
    rig->dev.nvqs = 1;
    rig->dev.map = rig->map;
    if (vhost_dev_init(&rig->dev, rig->user, VHOST_BACKEND_TYPE_USER, 0,
                       &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    rig->vdev = (struct vhost_vdev){ .nqueues = 1, .queues = &rig->queue };
    vhost_ack_features(&rig->dev, bits, features);
    assert_int_equal(vhost_dev_set_reconnect(&rig->dev, &how), 0);
    start(rig);
}

/* One write of a place that no other write is for. */
static bool submit(struct rig *rig, struct request *req)
{
    struct virtio_blk_outhdr *header = hva(rig, req->gpa);
    struct vh_sg sg[3] = { { req->gpa, sizeof(*header) },
                           { req->gpa + 64, DATA },
                           { req->gpa + 32, 1 } };
    unsigned place = pick(rig, PLACES);

    if (req->busy || rig->touched[place]) {
        return false;
    }
    req->place = place;
    req->stamp = (unsigned char)(1 + pick(rig, 255));
    header->type = htole32(VIRTIO_BLK_T_OUT);
    header->sector = htole64((uint64_t)place * DATA / 512);
    *(unsigned char *)hva(rig, req->gpa + 32) = 0xff;
    memset(hva(rig, req->gpa + 64), req->stamp, DATA);
    if (vh_ring_add(rig->ring, sg, 2, 1, req) < 0) {
        return false;
    }
    req->busy = rig->touched[place] = true;
    return true;
}

static void submit_all(struct rig *rig)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        submit(rig, &rig->requests[i]);
    }
    if (vh_ring_publish(rig->ring)) {
        vhost_notifier_set(&rig->kick);
    }
}

static void reap(struct rig *rig)
{
    struct vh_ring_used used[DEPTH];
    int n = vh_ring_take(rig->ring, used, DEPTH);

    if (n < 0) {
        fail_msg("%s", rig->ring->broken);
    }
    for (int i = 0; i < n; i++) {
        struct request *req = used[i].cookie;

        assert_true(req->busy);
        assert_int_equal(*(unsigned char *)hva(rig, req->gpa + 32), 0);
        req->busy = rig->touched[req->place] = false;
        rig->content[req->place] = req->stamp;
        rig->n_done++;
    }
}

static unsigned n_busy(const struct rig *rig)
{
    unsigned n = 0;

    for (unsigned i = 0; i < DEPTH; i++) {
        n += rig->requests[i].busy;
    }
    return n;
}

static void drain(struct rig *rig)
{
    struct pollfd pfd = { .fd = vhost_dev_get_fd(&rig->dev), .events = POLLIN };
    time_t end = time(NULL) + WAIT_MS / 1000;

    while (n_busy(rig) > 0) {
        if (poll(&pfd, 1, 1) > 0) {
            assert_int_equal(vhost_dev_dispatch(&rig->dev), 0);
        }
        reap(rig);
        if (time(NULL) > end) {
            fail_msg("%u requests are lost", n_busy(rig));
        }
    }
}

static void verify(struct rig *rig)
{
    unsigned char found[DATA];
    unsigned char expected[DATA];
    int fd = open(rig->image, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    for (unsigned i = 0; i < PLACES; i++) {
        assert_int_equal(pread(fd, found, DATA, (off_t)i * DATA), DATA);
        memset(expected, rig->content[i], DATA);
        assert_memory_equal(found, expected, DATA);
    }
    close(fd);
}

static void outlive(struct rig *rig, uint64_t features)
{
    begin(rig, features);
    assert_non_null(rig->inflight.addr);
    for (unsigned k = 0; k < KILLS; k++) {
        struct timespec nap = { .tv_nsec = pick(rig, 500) * 1000 };

        submit_all(rig);
        nanosleep(&nap, NULL);
        if (k % 3 == 0) {
            reap(rig);
            submit_all(rig);
        }
        kill_server(rig);
        serve(rig);
        drain(rig);
    }
    assert_true(rig->n_resumed >= KILLS / 2);
    assert_true(rig->n_done >= KILLS * DEPTH / 2);
    verify(rig);
}

static void test_a_split_ring_outlives_its_back_ends(void **state)
{
    outlive(*state, 0);
}

static void test_a_packed_ring_outlives_its_back_ends(void **state)
{
    outlive(*state, UINT64_C(1) << 34);
}

static void test_the_buffer_goes_through_a_stream(void **state)
{
    struct rig *rig = *state;
    struct vhost_inflight copy = VHOST_INFLIGHT_INIT;
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);

    begin(rig, 0);
    submit_all(rig);
    drain(rig);
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
    assert_int_equal(vhost_dev_save_inflight(&rig->inflight, stream), 0);
    assert_int_equal(vhost_dev_load_inflight(&copy, stream), 0);
    assert_int_equal(copy.size, rig->inflight.size);
    assert_int_equal(copy.queue_size, RING);
    assert_memory_equal(copy.addr, rig->inflight.addr, copy.size);
    /* And the next back end takes the copy. */
    vhost_dev_free_inflight(&rig->inflight);
    rig->inflight = copy;
    start(rig);
    submit_all(rig);
    drain(rig);
    verify(rig);
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
    struct rig *rig = *state;

    rig->hide = VH_PF(INFLIGHT_SHMFD);
    begin(rig, 0);
    assert_null(rig->inflight.addr);
    submit_all(rig);
    drain(rig);
    verify(rig);
}

static void test_rings_in_order_are_not_tracked(void **state)
{
    struct rig *rig = *state;

    begin(rig, UINT64_C(1) << 35);
    assert_null(rig->inflight.addr);
    submit_all(rig);
    drain(rig);
    verify(rig);
}

/* What a stop leaves in flight is finished by the next start. */
static void test_a_stop_by_force_loses_nothing(void **state)
{
    struct rig *rig = *state;

    begin(rig, UINT64_C(1) << 34);
    assert_true(rig->dev.protocol_features &
                VH_PF(GET_VRING_BASE_SKIP_DRAIN));
    for (unsigned i = 0; i < 20; i++) {
        submit_all(rig);
        assert_int_equal(vhost_dev_force_stop(&rig->dev, &rig->vdev, true), 0);
        reap(rig);
        start(rig);
        drain(rig);
    }
    verify(rig);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_split_ring_outlives_its_back_ends),
        TEST(test_a_packed_ring_outlives_its_back_ends),
        TEST(test_the_buffer_goes_through_a_stream),
        cmocka_unit_test(test_no_buffer_goes_through_a_stream_too),
        cmocka_unit_test(
            test_a_stream_that_lies_leaves_the_buffer_as_it_was),
        TEST(test_without_the_feature_there_is_no_buffer),
        TEST(test_rings_in_order_are_not_tracked),
        TEST(test_a_stop_by_force_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
