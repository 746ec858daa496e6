/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk whose requests lie in memory that has not arrived: the back end waits
 * for each page, and a thread here puts it in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#include <linux/virtio_blk.h>
#include <vhost/postcopy.h>
#include <vhost/server.h>
#include <vhost/vhost.h>

#include "ring/ring.h"
#include "wire/proto.h"

#define PAGE 4096u
#define N_DATA 16u
#define GPA UINT64_C(0x40000000)
#define SIZE 8u
#define HEADERS PAGE    /* and statuses; the ring is in the page before */
#define DATA (2 * PAGE) /* pages that are not there */
#define WAIT_MS 10000

struct world {
    char file[64];
    struct vhost_server *server;
    pthread_t server_thread;
    pthread_t fault_thread;
    atomic_bool stop;
    atomic_bool arrived; /* all pages have */
    atomic_uint n_faults;
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vq;
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queue;
    struct vhost_notifier kick, call;
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct vh_ring *ring;
    uint8_t *mem;
};

static void *serve(void *arg)
{
    struct world *w = arg;

    while (!w->stop) {
        if (vhost_server_run(w->server, 20, NULL) < 0) {
            break;
        }
    }
    return NULL;
}

static uint8_t byte_of(uint64_t gpa, unsigned i)
{
    return (uint8_t)(gpa / PAGE * 7 + i + 1);
}

/* Pages come with bytes that tell where they belong. */
static void *bring_pages(void *arg)
{
    struct world *w = arg;
    struct pollfd pfd = { .fd = vhost_user_postcopy_fd(w->user),
                          .events = POLLIN };

    while (!w->arrived) {
        uint64_t gpa;

        if (poll(&pfd, 1, 20) <= 0) {
            continue;
        }
        while (vhost_user_postcopy_fault(w->user, &gpa) > 0) {
            uint64_t page = gpa & ~(uint64_t)(PAGE - 1);

            for (unsigned i = 0; i < PAGE; i++) {
                w->mem[page - GPA + i] = byte_of(page, i);
            }
            w->n_faults++;
            vhost_user_postcopy_wake(w->user, page, PAGE);
        }
    }
    return NULL;
}

static void serve_disk(struct world *w,
                       const struct vhost_user_options *options)
{
    struct vhost_error *err = NULL;
    int fds[2];
    int fd;

    snprintf(w->file, sizeof(w->file), "test-postcopy-%d.img", (int)getpid());
    fd = open(w->file, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    assert_int_equal(ftruncate(fd, N_DATA * PAGE), 0);
    close(fd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    w->server = vhost_server_new_fd(fds[0], vhost_server_blk(w->file, NULL),
                                    NULL, &err);
    assert_non_null(w->server);
    assert_int_equal(pthread_create(&w->server_thread, NULL, serve, w), 0);
    w->user = vhost_user_new_fd(fds[1], options, &err);
    assert_non_null(w->user);
}

static void init_device(struct world *w)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_error *err = NULL;

    w->map = vhost_memory_map_new();
    w->dev.vqs = &w->vq;
    w->dev.nvqs = 1;
    w->dev.map = w->map;
    if (vhost_dev_init(&w->dev, w->user, VHOST_BACKEND_TYPE_USER, 0, &err) <
        0) {
        fail_msg("%s", vhost_error_message(err));
    }
    vhost_ack_features(&w->dev, bits, UINT64_MAX);
}

/* The ring and the headers are ours, and there; the data is not. */
static void add_memory(struct world *w)
{
    struct vhost_error *err = NULL;
    struct vh_ring_config config = { .size = SIZE,
                                     .features = w->dev.acked_features };

    assert_int_equal(
        vhost_memory_alloc(&w->memory, DATA + N_DATA * PAGE, 0, &err), 0);
    w->memory.gpa = GPA;
    w->mem = w->memory.hva;
    memset(w->mem, 0, DATA);
    vhost_memory_begin(w->map);
    assert_int_equal(vhost_memory_add(w->map, &w->memory), 0);
    assert_int_equal(vhost_memory_commit(w->map, &err), 0);
    config.desc = w->mem;
    config.driver = w->mem + 0x400;
    config.device = w->mem + 0x800;
    assert_int_equal(vh_ring_new(&w->ring, &config), 0);
}

static void start(struct world *w)
{
    assert_int_equal(vhost_notifier_init(&w->kick, false), 0);
    assert_int_equal(vhost_notifier_init(&w->call, false), 0);
    w->queue = (struct vhost_vdev_queue){ .size = SIZE,
                                          .desc = GPA,
                                          .avail = GPA + 0x400,
                                          .used = GPA + 0x800,
                                          .kick_fd = w->kick.fd,
                                          .call_fd = w->call.fd };
    w->vdev = (struct vhost_vdev){ .nqueues = 1, .queues = &w->queue };
    if (vhost_dev_start(&w->dev, &w->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&w->dev)));
    }
}

static void up(struct world *w, uint64_t forbidden)
{
    struct vhost_user_options options = { .size = sizeof(options),
                                          .forbidden = forbidden };
    struct vhost_error *err = NULL;

    memset(w, 0, sizeof(*w));
    serve_disk(w, &options);
    init_device(w);
    if (vhost_user_postcopy_advise(w->user, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    assert_int_equal(vhost_user_postcopy_listen(w->user, &err), 0);
    assert_int_equal(pthread_create(&w->fault_thread, NULL, bring_pages, w), 0);
    add_memory(w);
    start(w);
}

static void down(struct world *w)
{
    struct vhost_error *err = NULL;

    assert_int_equal(vhost_dev_stop(&w->dev, &w->vdev, true), 0);
    w->arrived = true;
    pthread_join(w->fault_thread, NULL);
    assert_int_equal(vhost_user_postcopy_end(w->user, &err), 0);
    assert_int_equal(vhost_user_postcopy_fd(w->user), -1);
    vhost_dev_cleanup(&w->dev);
    vhost_user_free(w->user);
    w->stop = true;
    pthread_join(w->server_thread, NULL);
    vhost_server_free(w->server);
    vh_ring_free(w->ring);
    vhost_memory_map_free(w->map);
    vhost_memory_free(&w->memory);
    vhost_notifier_cleanup(&w->kick);
    vhost_notifier_cleanup(&w->call);
    unlink(w->file);
}

/* One request over data page @page, and its end. */
static void request(struct world *w, uint32_t type, unsigned page)
{
    struct virtio_blk_outhdr header = { .type = type,
                                        .sector = page * (PAGE / 512) };
    const struct vh_sg sg[] = {
        { .addr = GPA + HEADERS, .len = sizeof(header) },
        { .addr = GPA + DATA + page * PAGE, .len = PAGE },
        { .addr = GPA + HEADERS + 64, .len = 1 },
    };
    struct pollfd pfd = { .fd = w->call.fd, .events = POLLIN };
    struct vh_ring_used used;

    memcpy(w->mem + HEADERS, &header, sizeof(header));
    w->mem[HEADERS + 64] = 0xff;
    if (type == VIRTIO_BLK_T_OUT) {
        assert_int_equal(vh_ring_add(w->ring, sg, 2, 1, w), 0);
    } else {
        assert_int_equal(vh_ring_add(w->ring, sg, 1, 2, w), 0);
    }
    vh_ring_enable_call(w->ring);
    vh_ring_publish(w->ring);
    vhost_notifier_set(&w->kick);
    while (vh_ring_take(w->ring, &used, 1) == 0) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
        vhost_notifier_test_and_clear(&w->call);
    }
    assert_int_equal(w->mem[HEADERS + 64], VIRTIO_BLK_S_OK);
}

static void write_all_then_read_some(uint64_t forbidden)
{
    uint8_t page[PAGE];
    struct world w;
    int fd;

    up(&w, forbidden);
    for (unsigned p = 0; p < N_DATA / 2; p++) {
        request(&w, VIRTIO_BLK_T_OUT, p);
    }
    /* Each was waited for, and what reached the disk is what arrived. */
    assert_int_equal(w.n_faults, N_DATA / 2);
    fd = open(w.file, O_RDONLY | O_CLOEXEC);
    assert_return_code(fd, errno);
    for (unsigned p = 0; p < N_DATA / 2; p++) {
        assert_int_equal(pread(fd, page, PAGE, p * PAGE), PAGE);
        for (unsigned i = 0; i < PAGE; i++) {
            assert_int_equal(page[i], byte_of(GPA + DATA + p * PAGE, i));
        }
    }
    close(fd);
    /* A page that the device is to write has to arrive first, too. */
    request(&w, VIRTIO_BLK_T_IN, N_DATA - 1);
    assert_int_equal(w.n_faults, N_DATA / 2 + 1);
    assert_int_equal(w.mem[DATA + (N_DATA - 1) * PAGE + 5], 0);
    down(&w);
}

static void test_requests_wait_for_pages_of_slots(void **state)
{
    (void)state;
    write_all_then_read_some(0);
}

static void test_requests_wait_for_pages_of_a_table(void **state)
{
    (void)state;
    write_all_then_read_some(VH_PF(CONFIGURE_MEM_SLOTS));
}

static void test_memory_may_come_and_go_meanwhile(void **state)
{
    struct vhost_memory_section more = { .gpa = 0 };
    struct vhost_error *err = NULL;
    struct world w;

    (void)state;
    up(&w, 0);
    request(&w, VIRTIO_BLK_T_OUT, 0);
    assert_int_equal(vhost_memory_alloc(&more, 4 * PAGE, 0, &err), 0);
    more.gpa = GPA * 2;
    vhost_memory_begin(w.map);
    assert_int_equal(vhost_memory_add(w.map, &more), 0);
    assert_int_equal(vhost_memory_commit(w.map, &err), 0);
    assert_int_equal(vhost_user_postcopy_wake(w.user, more.gpa, 4 * PAGE), 0);
    request(&w, VIRTIO_BLK_T_OUT, 1);
    vhost_memory_begin(w.map);
    assert_int_equal(vhost_memory_remove(w.map, more.gpa, more.size), 0);
    assert_int_equal(vhost_memory_commit(w.map, &err), 0);
    assert_int_equal(vhost_user_postcopy_wake(w.user, more.gpa, PAGE), -ENOENT);
    request(&w, VIRTIO_BLK_T_OUT, 2);
    assert_int_equal(w.n_faults, 3);
    vhost_memory_free(&more);
    down(&w);
}

static void test_out_of_order_it_is_refused_in_words(void **state)
{
    struct vhost_user_options options = { .size = sizeof(options) };
    struct vhost_error *err = NULL;
    struct world w;
    uint64_t gpa;

    (void)state;
    memset(&w, 0, sizeof(w));
    serve_disk(&w, &options);
    assert_int_equal(vhost_user_postcopy_advise(w.user, &err), -ENOTCONN);
    vhost_error_free(err);
    init_device(&w);
    assert_int_equal(vhost_user_postcopy_fd(w.user), -1);
    assert_int_equal(vhost_user_postcopy_fault(w.user, &gpa), -EINVAL);
    assert_int_equal(vhost_user_postcopy_wake(w.user, GPA, PAGE), -EINVAL);
    err = NULL;
    assert_int_equal(vhost_user_postcopy_listen(w.user, &err), -EINVAL);
    assert_non_null(strstr(vhost_error_message(err), "not advised"));
    vhost_error_free(err);
    err = NULL;
    assert_int_equal(vhost_user_postcopy_end(w.user, &err), 0);
    assert_int_equal(vhost_user_postcopy_advise(w.user, &err), 0);
    assert_int_equal(vhost_user_postcopy_fault(w.user, &gpa), 0);
    assert_int_equal(vhost_user_postcopy_advise(w.user, &err), -EBUSY);
    vhost_error_free(err);
    err = NULL;
    /* The connection goes, and what was advised goes with it. */
    vhost_dev_cleanup(&w.dev);
    assert_int_equal(vhost_user_postcopy_fd(w.user), -1);
    vhost_user_free(w.user);
    w.stop = true;
    pthread_join(w.server_thread, NULL);
    vhost_server_free(w.server);
    vhost_memory_map_free(w.map);
    unlink(w.file);
}

static void test_a_back_end_without_it_says_so(void **state)
{
    struct vhost_user_options options = { .size = sizeof(options),
                                          .forbidden = VH_PF(PAGEFAULT) };
    struct vhost_error *err = NULL;
    struct world w;

    (void)state;
    memset(&w, 0, sizeof(w));
    serve_disk(&w, &options);
    init_device(&w);
    assert_int_equal(vhost_user_postcopy_advise(w.user, &err), -ENOTSUP);
    assert_non_null(strstr(vhost_error_message(err), "PAGEFAULT"));
    vhost_error_free(err);
    vhost_dev_cleanup(&w.dev);
    vhost_user_free(w.user);
    w.stop = true;
    pthread_join(w.server_thread, NULL);
    vhost_server_free(w.server);
    vhost_memory_map_free(w.map);
    unlink(w.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_wait_for_pages_of_slots),
        cmocka_unit_test(test_requests_wait_for_pages_of_a_table),
        cmocka_unit_test(test_memory_may_come_and_go_meanwhile),
        cmocka_unit_test(test_out_of_order_it_is_refused_in_words),
        cmocka_unit_test(test_a_back_end_without_it_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
