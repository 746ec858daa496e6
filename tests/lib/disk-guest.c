/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/disk-guest.h"

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_blk.h>

#include "check.h"
#include "wire/proto.h"

unsigned disk_guest_pick(struct disk_guest *guest, unsigned n)
{
    guest->seed = guest->seed * 1103515245u + 12345u;
    return (guest->seed >> 16) % n;
}

static void *hva(const struct disk_guest *guest, uint64_t gpa)
{
    return (char *)guest->memory.hva + (gpa - DISK_GUEST_GPA);
}

void disk_guest_kill(struct disk_guest *guest)
{
    if (guest->server > 0) {
        kill(guest->server, SIGKILL);
        waitpid(guest->server, NULL, 0);
        guest->server = 0;
    }
}

void disk_guest_init(struct disk_guest *guest,
                     void (*serve)(struct disk_guest *guest), void *arg)
{
    int fd;

    *guest = (struct disk_guest){ .serve = serve,
                                  .serve_arg = arg,
                                  .kick = { .fd = -1 },
                                  .call = { .fd = -1 },
                                  .inflight = VHOST_INFLIGHT_INIT,
                                  .seed = 7 };
    snprintf(guest->dir, sizeof(guest->dir), "/tmp/disk-guest-XXXXXX");
    assert_non_null(mkdtemp(guest->dir));
    snprintf(guest->image, sizeof(guest->image), "%s/image", guest->dir);
    snprintf(guest->socket, sizeof(guest->socket), "%s/socket", guest->dir);
    fd = open(guest->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)DISK_GUEST_PLACES * DISK_GUEST_DATA),
                     0);
    close(fd);
}

void disk_guest_cleanup(struct disk_guest *guest)
{
    if (vhost_dev_is_started(&guest->dev)) {
        vhost_dev_stop(&guest->dev, &guest->vdev, true);
    }
    vhost_dev_cleanup(&guest->dev);
    vhost_dev_free_inflight(&guest->inflight);
    vhost_user_free(guest->user);
    disk_guest_kill(guest);
    vh_ring_free(guest->ring);
    vhost_memory_map_free(guest->map);
    vhost_memory_free(&guest->memory);
    vhost_notifier_cleanup(&guest->kick);
    vhost_notifier_cleanup(&guest->call);
    unlink(guest->image);
    unlink(guest->socket);
    rmdir(guest->dir);
}

static void make_ring(struct disk_guest *guest, uint64_t features)
{
    const struct vh_ring_config config = {
        .size = DISK_GUEST_RING,
        .features = features,
        .desc = hva(guest, DISK_GUEST_GPA),
        .driver = hva(guest, DISK_GUEST_GPA + 0x1000),
        .device = hva(guest, DISK_GUEST_GPA + 0x2000),
        .base = vh_ring_first_base(features),
    };

    assert_int_equal(vh_ring_new(&guest->ring, &config), 0);
    vh_ring_disable_call(guest->ring); /* looked at in a loop */
    guest->queue = (struct vhost_vdev_queue){ .size = DISK_GUEST_RING,
                                              .base = config.base,
                                              .desc = DISK_GUEST_GPA,
                                              .avail = DISK_GUEST_GPA + 0x1000,
                                              .used = DISK_GUEST_GPA + 0x2000,
                                              .kick_fd = guest->kick.fd,
                                              .call_fd = guest->call.fd };
    for (unsigned i = 0; i < DISK_GUEST_DEPTH; i++) {
        guest->requests[i].gpa =
            DISK_GUEST_GPA + 0x10000 + i * (DISK_GUEST_DATA + 64);
    }
}

static void make_memory(struct disk_guest *guest)
{
    struct vhost_error *err = NULL;

    guest->map = vhost_memory_map_new();
    assert_int_equal(
        vhost_memory_alloc(&guest->memory, DISK_GUEST_MEMORY, 0, &err), 0);
    guest->memory.gpa = DISK_GUEST_GPA;
    vhost_memory_begin(guest->map);
    assert_int_equal(vhost_memory_add(guest->map, &guest->memory), 0);
    assert_int_equal(vhost_memory_commit(guest->map, &err), 0);
    assert_int_equal(vhost_notifier_init(&guest->kick, false), 0);
    assert_int_equal(vhost_notifier_init(&guest->call, false), 0);
}

static void on_resumed(struct vhost_dev *dev, void *opaque)
{
    (void)dev;
    ((struct disk_guest *)opaque)->n_resumed++;
}

void disk_guest_start(struct disk_guest *guest)
{
    assert_int_equal(vhost_dev_prepare_inflight(&guest->dev, &guest->vdev), 0);
    if (!guest->inflight.addr) {
        assert_int_equal(vhost_dev_get_inflight(&guest->dev, DISK_GUEST_RING,
                                                &guest->inflight),
                         0);
    }
    assert_int_equal(vhost_dev_set_inflight(&guest->dev, &guest->inflight), 0);
    assert_int_equal(vhost_dev_start(&guest->dev, &guest->vdev, true), 0);
}

void disk_guest_begin(struct disk_guest *guest, uint64_t features)
{
    static const int bits[] = { 28, 32, 34, 35, VHOST_INVALID_FEATURE_BIT };
    const struct vhost_user_options options = {
        .path = guest->socket,
        .deadline_ms = 2000,
        .extra =
            VH_PF(GET_VRING_BASE_INFLIGHT) | VH_PF(GET_VRING_BASE_SKIP_DRAIN),
    };
    const struct vhost_reconnect how = { .resumed = on_resumed,
                                         .opaque = guest };
    struct vhost_error *err = NULL;

    features |= UINT64_C(1) << 32;
    guest->serve(guest);
    make_memory(guest);
    make_ring(guest, features);
    guest->user = vhost_user_new(&options, &err);
    guest->dev.vqs = &guest->vq;
    guest->dev.nvqs = 1;
    guest->dev.map = guest->map;
    if (vhost_dev_init(&guest->dev, guest->user, VHOST_BACKEND_TYPE_USER, 0,
                       &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    guest->vdev = (struct vhost_vdev){ .nqueues = 1, .queues = &guest->queue };
    vhost_ack_features(&guest->dev, bits, features);
    assert_int_equal(vhost_dev_set_reconnect(&guest->dev, &how), 0);
    disk_guest_start(guest);
}

/* One write of a place that no other write is for. */
static bool submit(struct disk_guest *guest, struct disk_request *req)
{
    struct virtio_blk_outhdr *header = hva(guest, req->gpa);
    struct vh_sg sg[3] = { { req->gpa, sizeof(*header) },
                           { req->gpa + 64, DISK_GUEST_DATA },
                           { req->gpa + 32, 1 } };
    unsigned place = disk_guest_pick(guest, DISK_GUEST_PLACES);

    if (req->busy || guest->touched[place]) {
        return false;
    }
    req->place = place;
    req->stamp = (unsigned char)(1 + disk_guest_pick(guest, 255));
    header->type = htole32(VIRTIO_BLK_T_OUT);
    header->sector = htole64((uint64_t)place * DISK_GUEST_DATA / 512);
    *(unsigned char *)hva(guest, req->gpa + 32) = 0xff;
    memset(hva(guest, req->gpa + 64), req->stamp, DISK_GUEST_DATA);
    if (vh_ring_add(guest->ring, sg, 2, 1, req) < 0) {
        return false;
    }
    req->busy = guest->touched[place] = true;
    return true;
}

void disk_guest_submit_all(struct disk_guest *guest)
{
    for (unsigned i = 0; i < DISK_GUEST_DEPTH; i++) {
        submit(guest, &guest->requests[i]);
    }
    if (vh_ring_publish(guest->ring)) {
        vhost_notifier_set(&guest->kick);
    }
}

void disk_guest_reap(struct disk_guest *guest)
{
    struct vh_ring_used used[DISK_GUEST_DEPTH];
    int n = vh_ring_take(guest->ring, used, DISK_GUEST_DEPTH);

    if (n < 0) {
        fail_msg("%s", guest->ring->broken);
    }
    for (int i = 0; i < n; i++) {
        struct disk_request *req = used[i].cookie;

        assert_true(req->busy);
        assert_int_equal(*(unsigned char *)hva(guest, req->gpa + 32), 0);
        req->busy = guest->touched[req->place] = false;
        guest->content[req->place] = req->stamp;
        guest->n_done++;
    }
}

static unsigned n_busy(const struct disk_guest *guest)
{
    unsigned n = 0;

    for (unsigned i = 0; i < DISK_GUEST_DEPTH; i++) {
        n += guest->requests[i].busy;
    }
    return n;
}

void disk_guest_drain(struct disk_guest *guest)
{
    struct pollfd pfd = { .fd = vhost_dev_get_fd(&guest->dev),
                          .events = POLLIN };
    time_t end = time(NULL) + DISK_GUEST_WAIT_MS / 1000;

    while (n_busy(guest) > 0) {
        if (poll(&pfd, 1, 1) > 0) {
            assert_int_equal(vhost_dev_dispatch(&guest->dev), 0);
        }
        disk_guest_reap(guest);
        if (time(NULL) > end) {
            fail_msg("%u requests are lost", n_busy(guest));
        }
    }
}

void disk_guest_verify(struct disk_guest *guest)
{
    unsigned char found[DISK_GUEST_DATA];
    unsigned char expected[DISK_GUEST_DATA];
    int fd = open(guest->image, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    for (unsigned i = 0; i < DISK_GUEST_PLACES; i++) {
        assert_int_equal(
            pread(fd, found, DISK_GUEST_DATA, (off_t)i * DISK_GUEST_DATA),
            DISK_GUEST_DATA);
        memset(expected, guest->content[i], DISK_GUEST_DATA);
        assert_memory_equal(found, expected, DISK_GUEST_DATA);
    }
    close(fd);
}

void disk_guest_outlive(struct disk_guest *guest, uint64_t features,
                        unsigned kills)
{
    disk_guest_begin(guest, features);
    assert_non_null(guest->inflight.addr);
    for (unsigned k = 0; k < kills; k++) {
        struct timespec nap = { .tv_nsec = disk_guest_pick(guest, 500) * 1000 };

        disk_guest_submit_all(guest);
        nanosleep(&nap, NULL);
        if (k % 3 == 0) {
            disk_guest_reap(guest);
            disk_guest_submit_all(guest);
        }
        disk_guest_kill(guest);
        guest->serve(guest);
        disk_guest_drain(guest);
    }
    assert_true(guest->n_resumed >= kills / 2);
    assert_true(guest->n_done >= kills * DISK_GUEST_DEPTH / 2);
    disk_guest_verify(guest);
}
