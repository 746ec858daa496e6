/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk whose bells are messages: kicks go out (VRING_KICK), and calls and
 * errors come in (VRING_CALL, VRING_ERR), by vhost_dev_dispatch().
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "check.h"

#include <vhost/server.h>
#include <vhost/vhost.h>

#include "wire/proto.h"

#define GPA UINT64_C(0x100000)
#define MEMORY 0x10000u
#define N_ENTRIES 64u
#define AVAIL 0x1000u
#define USED 0x2000u
#define BUFFERS 0x4000u
#define SECTOR 512u
#define SECTORS 128u
#define WAIT_MS 5000

struct rig {
    char file[64];
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vq;
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queue;
    struct vhost_notifier kick;
    struct vhost_notifier call;
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    uint16_t next; /* of the available ring */
    unsigned n_errors;
};

static void *run(void *arg)
{
    struct rig *rig = arg;

    while (!rig->stop) {
        vhost_server_run(rig->server, 10, NULL);
    }
    return NULL;
}

static void on_error(struct vhost_vdev *vdev, unsigned queue)
{
    struct rig *rig = vdev->opaque;

    assert_int_equal(queue, 0);
    rig->n_errors++;
}

static const struct vhost_vdev_ops vdev_ops = { .vring_error = on_error };

/* Every sector of the disk says which it is. */
static void make_disk(struct rig *rig)
{
    int fd;

    snprintf(rig->file, sizeof(rig->file), "test-in-band-%d.img",
             (int)getpid());
    fd = open(rig->file, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    for (unsigned i = 0; i < SECTORS; i++) {
        char sector[SECTOR];

        memset(sector, (int)i, sizeof(sector));
        assert_int_equal(write(fd, sector, sizeof(sector)), SECTOR);
    }
    close(fd);
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
}

static void make_front(struct rig *rig, int fd)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_user_options options = {
        .size = sizeof(options),
        .required = VH_PF(INBAND_NOTIFICATIONS),
    };
    struct vhost_error *err = NULL;

    assert_int_equal(vhost_notifier_init(&rig->kick, false), 0);
    assert_int_equal(vhost_notifier_init(&rig->call, false), 0);
    rig->queue = (struct vhost_vdev_queue){ .size = N_ENTRIES,
                                            .desc = GPA,
                                            .avail = GPA + AVAIL,
                                            .used = GPA + USED,
                                            .kick_fd = rig->kick.fd,
                                            .call_fd = rig->call.fd };
    rig->vdev = (struct vhost_vdev){
        .nqueues = 1, .queues = &rig->queue, .ops = &vdev_ops, .opaque = rig
    };
    rig->dev.vqs = &rig->vq;
    rig->dev.nvqs = 1;
    rig->dev.map = rig->map;
    rig->user = vhost_user_new_fd(fd, &options, &err);
    assert_non_null(rig->user);
    if (vhost_dev_init(&rig->dev, rig->user, VHOST_BACKEND_TYPE_USER, 0, &err) <
        0) {
        fail_msg("%s", vhost_error_message(err));
    }
    vhost_ack_features(&rig->dev, bits, UINT64_MAX);
}

static int set_up(void **state)
{
    struct vhost_server_options options = {
        .size = sizeof(options),
        .offer_protocol_features = VH_PF(INBAND_NOTIFICATIONS),
    };
    struct rig *rig = calloc(1, sizeof(*rig));
    int fds[2];

    make_disk(rig);
    make_memory(rig);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    rig->server = vhost_server_new_fd(fds[0], vhost_server_blk(rig->file, NULL),
                                      &options, NULL);
    assert_non_null(rig->server);
    assert_int_equal(pthread_create(&rig->thread, NULL, run, rig), 0);
    make_front(rig, fds[1]);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    vhost_dev_cleanup(&rig->dev);
    vhost_user_free(rig->user);
    rig->stop = true;
    pthread_join(rig->thread, NULL);
    vhost_server_free(rig->server);
    vhost_notifier_cleanup(&rig->kick);
    vhost_notifier_cleanup(&rig->call);
    vhost_memory_map_free(rig->map);
    vhost_memory_free(&rig->memory);
    unlink(rig->file);
    free(rig);
    return 0;
}

static void start(struct rig *rig)
{
    if (vhost_dev_start(&rig->dev, &rig->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&rig->dev)));
    }
}

static void *at(struct rig *rig, uint32_t offset)
{
    return (char *)rig->memory.hva + offset;
}

static char *data_of(struct rig *rig, unsigned slot)
{
    return at(rig, BUFFERS + slot * 1024);
}

static void describe(struct rig *rig, unsigned i, const void *buf, uint32_t len,
                     uint16_t flags)
{
    struct vring_desc *desc = at(rig, 0);
    uint64_t offset = (uint64_t)((const char *)buf - (char *)rig->memory.hva);

    desc[i] = (struct vring_desc){ .addr = htole64(GPA + offset),
                                   .len = htole32(len),
                                   .flags = htole16(flags),
                                   .next = htole16((uint16_t)(i + 1)) };
}

static void publish(struct rig *rig, uint16_t head)
{
    struct vring_avail *avail = at(rig, AVAIL);

    avail->ring[rig->next++ % N_ENTRIES] = htole16(head);
    __atomic_store_n(&avail->idx, htole16(rig->next), __ATOMIC_RELEASE);
}

/* Ask for a sector, into the place of a slot, by three descriptors. */
static void post_read(struct rig *rig, unsigned slot, unsigned sector)
{
    char *data = data_of(rig, slot);
    struct virtio_blk_outhdr *header = (void *)(data + SECTOR);
    unsigned head = slot * 3;

    *header = (struct virtio_blk_outhdr){ .type = htole32(VIRTIO_BLK_T_IN),
                                          .sector = htole64(sector) };
    data[SECTOR + 64] = (char)0xff;
    describe(rig, head, header, sizeof(*header), VRING_DESC_F_NEXT);
    describe(rig, head + 1, data, SECTOR,
             VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
    describe(rig, head + 2, data + SECTOR + 64, 1, VRING_DESC_F_WRITE);
    publish(rig, (uint16_t)head);
}

static uint16_t n_used(struct rig *rig)
{
    const struct vring_used *used = at(rig, USED);

    return le16toh(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE));
}

static void dispatch(struct rig *rig)
{
    if (vhost_dev_dispatch(&rig->dev) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&rig->dev)));
    }
}

/* Turn the loop until @bell has been rung. */
static bool hears(struct rig *rig, struct vhost_notifier *bell, int ms)
{
    struct pollfd pfds[] = {
        { .fd = vhost_dev_get_fd(&rig->dev), .events = POLLIN },
        { .fd = bell->fd, .events = POLLIN },
    };

    while (!(pfds[1].revents & POLLIN)) {
        if (poll(pfds, 2, ms) <= 0) {
            return false;
        }
        dispatch(rig);
    }
    return vhost_notifier_test_and_clear(bell);
}

/* Reads n sectors, and waits by calls alone. */
static void read_some(struct rig *rig, struct vhost_notifier *bell, unsigned n)
{
    uint16_t want = (uint16_t)(rig->next + n);

    for (unsigned i = 0; i < n; i++) {
        post_read(rig, i, i + 7);
    }
    vhost_notifier_set(&rig->kick);
    while (n_used(rig) != want) {
        assert_true(hears(rig, bell, WAIT_MS));
    }
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(data_of(rig, i)[SECTOR + 64], VIRTIO_BLK_S_OK);
        assert_int_equal(data_of(rig, i)[SECTOR - 1], i + 7);
    }
}

static void test_a_disk_is_read_with_bells_that_are_messages(void **state)
{
    struct rig *rig = *state;

    /* What was there before the start needs no kick of its own. */
    post_read(rig, 0, 99);
    start(rig);
    while (n_used(rig) != 1) {
        assert_true(hears(rig, &rig->call, WAIT_MS));
    }
    assert_int_equal(data_of(rig, 0)[0], 99);
    for (unsigned round = 0; round < 200; round++) {
        read_some(rig, &rig->call, 1 + round % 8);
    }
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
    assert_int_equal(rig->queue.base, rig->next);
    start(rig);
    read_some(rig, &rig->call, 4);
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
}

static void test_a_queue_that_is_not_kicked_rests(void **state)
{
    struct rig *rig = *state;
    uint8_t config[8];

    start(rig);
    read_some(rig, &rig->call, 1);
    /*
     * No bell is on its way any more: this is answered after all of them; and
     * again, after the server has looked at the queue for them and gone back to
     * sleep.
     */
    dispatch(rig);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(vhost_dev_get_config(&rig->dev, config, 8, NULL), 0);
    }
    vhost_notifier_test_and_clear(&rig->call);
    post_read(rig, 0, 3);
    assert_false(hears(rig, &rig->call, 50));
    assert_int_equal((uint16_t)(n_used(rig) + 1), rig->next);
    vhost_notifier_set(&rig->kick);
    assert_true(hears(rig, &rig->call, WAIT_MS));
    assert_int_equal(n_used(rig), rig->next);
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
}

static void test_calls_of_a_masked_queue_are_kept(void **state)
{
    struct rig *rig = *state;

    start(rig);
    assert_int_equal(vhost_virtqueue_mask(&rig->dev, &rig->vdev, 0, true), 0);
    read_some(rig, &rig->vq.masked_notifier, 2);
    vhost_notifier_set(&rig->vq.masked_notifier);
    assert_false(vhost_notifier_test_and_clear(&rig->call));
    assert_int_equal(vhost_virtqueue_mask(&rig->dev, &rig->vdev, 0, false), 0);
    assert_true(vhost_virtqueue_pending(&rig->dev, 0));
    read_some(rig, &rig->call, 2);
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
}

/* One thread masks and unmasks, while another hears calls: nothing is lost,
 * and neither waits for the other for ever. */
struct masker {
    struct rig *rig;
    atomic_bool stop;
};

static void *mask_and_unmask(void *arg)
{
    struct masker *m = arg;
    struct rig *rig = m->rig;

    while (!m->stop) {
        assert_int_equal(vhost_virtqueue_mask(&rig->dev, &rig->vdev, 0, true),
                         0);
        assert_int_equal(vhost_virtqueue_mask(&rig->dev, &rig->vdev, 0, false),
                         0);
        if (vhost_virtqueue_pending(&rig->dev, 0)) {
            vhost_notifier_set(&rig->call);
        }
    }
    return NULL;
}

static void test_masking_loses_no_call(void **state)
{
    struct rig *rig = *state;
    struct masker m = { .rig = rig };
    pthread_t thread;

    start(rig);
    assert_int_equal(pthread_create(&thread, NULL, mask_and_unmask, &m), 0);
    for (unsigned round = 0; round < 2000; round++) {
        read_some(rig, &rig->call, 1 + round % 4);
    }
    m.stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
}

static void test_an_error_of_a_ring_is_told_with_its_queue(void **state)
{
    struct pollfd pfd = { .events = POLLIN };
    struct rig *rig = *state;

    start(rig);
    publish(rig, N_ENTRIES); /* there is no such descriptor */
    vhost_notifier_set(&rig->kick);
    pfd.fd = vhost_dev_get_fd(&rig->dev);
    while (rig->n_errors == 0) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
        dispatch(rig);
    }
    assert_int_equal(rig->n_errors, 1);
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_disk_is_read_with_bells_that_are_messages),
        TEST(test_a_queue_that_is_not_kicked_rests),
        TEST(test_calls_of_a_masked_queue_are_kept),
        TEST(test_masking_loses_no_call),
        TEST(test_an_error_of_a_ring_is_told_with_its_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
