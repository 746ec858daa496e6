/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk moves from one embedded back end to another: its queue is stopped
 * here, its state saved, loaded there, and the queue goes on where it was.
 */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <vhost/server.h>
#include <vhost/vhost.h>

#include "lib/core-rig.h"
#include "util/atomic.h"

#define TURN_MS 5
#define GIVE_UP 4000 /* turns */
#define HEADER 0x600 /* of a request, in the queue's page; its status behind \
                      */

struct back_end {
    struct vhost_server *server;
    struct vhost_user *user;
    pthread_t thread;
    atomic_bool stop;
};

static void *run(void *arg)
{
    struct back_end *b = arg;

    while (!b->stop && vhost_server_run(b->server, TURN_MS, NULL) >= 0) {
    }
    return NULL;
}

static void begin(struct back_end *b, bool host_addresses)
{
    struct vhost_user_options options = { .size = sizeof(options),
                                          .host_addresses = host_addresses };
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    b->stop = false;
    b->server = vhost_server_new_fd(
        fds[0], vhost_server_blk("null:1048576", NULL), NULL, NULL);
    assert_non_null(b->server);
    b->user = vhost_user_new_fd(fds[1], &options, NULL);
    assert_non_null(b->user);
    assert_int_equal(pthread_create(&b->thread, NULL, run, b), 0);
}

static void end(struct back_end *b)
{
    vhost_user_free(b->user);
    b->stop = true;
    pthread_join(b->thread, NULL);
    vhost_server_free(b->server);
}

static void start(struct core_rig *rig, struct back_end *b)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_error *err = NULL;

    rig->dev = (struct vhost_dev){
        .vqs = rig->vqs,
        .nvqs = 1,
        .map = rig->map,
    };
    memset(rig->vqs, 0, sizeof(rig->vqs));
    if (vhost_dev_init(&rig->dev, b->user, VHOST_BACKEND_TYPE_USER, 0, &err)) {
        fail_msg("%s", vhost_error_message(err));
    }
    vhost_ack_features(&rig->dev, bits, UINT64_C(1) << 32);
}

static void run_queue(struct core_rig *rig)
{
    if (vhost_dev_start(&rig->dev, &rig->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&rig->dev)));
    }
}

/* One more flush, by hand; returns once it is done. */
static void flush(struct core_rig *rig)
{
    uint8_t *page = rig->memory.hva;
    struct vring_desc *desc = (void *)page;
    struct vring_avail *avail = (void *)(page + 0x400);
    struct vring_used *used = (void *)(page + 0x800);
    struct virtio_blk_outhdr *header = (void *)(page + HEADER);
    uint8_t *status = page + HEADER + sizeof(*header);
    uint16_t idx = avail->idx;

    header->type = VIRTIO_BLK_T_FLUSH;
    *status = 0xff;
    desc[0] = (struct vring_desc){ .addr = RIG_GPA + HEADER,
                                   .len = sizeof(*header),
                                   .flags = VRING_DESC_F_NEXT,
                                   .next = 1 };
    desc[1] = (struct vring_desc){ .addr = RIG_GPA + HEADER + sizeof(*header),
                                   .len = 1,
                                   .flags = VRING_DESC_F_WRITE };
    avail->ring[idx % RIG_SIZE] = 0;
    vh_store_release(&avail->idx, (uint16_t)(idx + 1));
    assert_int_equal(vhost_notifier_set(&rig->kick[0]), 0);
    for (unsigned i = 0; vh_load_acquire(&used->idx) != avail->idx; i++) {
        if (i == GIVE_UP) {
            fail_msg("the request is not done: %u of %u", used->idx,
                     avail->idx);
        }
        usleep(TURN_MS * 1000);
    }
    assert_int_equal(*status, VIRTIO_BLK_S_OK);
}

static void move(bool host_addresses)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);
    struct vhost_error *err = NULL;
    struct back_end from, to;
    struct core_rig rig;
    size_t left;

    core_rig_prepare(&rig, 1);
    rig.queues[0].base = 0;
    begin(&from, host_addresses);
    start(&rig, &from);
    run_queue(&rig);
    flush(&rig);
    flush(&rig);
    assert_int_equal(vhost_save_backend_state(&rig.dev, stream, &err), -EBUSY);
    vhost_error_free(err);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.queues[0].base, 2);
    assert_int_equal(vhost_save_backend_state(&rig.dev, stream, NULL), 0);
    /* Nobody took it over: it goes on here. */
    run_queue(&rig);
    flush(&rig);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_cleanup(&rig.dev);
    end(&from);

    begin(&to, host_addresses);
    start(&rig, &to);
    assert_int_equal(vhost_load_backend_state(&rig.dev, stream, NULL), 0);
    assert_null(vhost_stream_get_data(stream, &left));
    run_queue(&rig);
    flush(&rig);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.queues[0].base, 4);
    /* And as new after a reset. */
    assert_int_equal(vhost_reset_device(&rig.dev), 0);
    run_queue(&rig);
    flush(&rig);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_cleanup(&rig.dev);
    end(&to);
    vhost_stream_free(stream);
    core_rig_down(&rig);
}

static void test_a_disk_goes_on_at_another_back_end(void **state)
{
    (void)state;
    move(false);
}

static void test_and_with_the_addresses_of_this_process(void **state)
{
    (void)state;
    move(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_disk_goes_on_at_another_back_end),
        cmocka_unit_test(test_and_with_the_addresses_of_this_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
