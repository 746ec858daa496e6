/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a device of 16 queues stands still while it goes over to shadow
 * queues and back: from its suspend until it has been told that it may go on,
 * and until all buffers that were there are with it again.  The kernel is a
 * made-up one whose calls take no time, so that what is measured is ours.
 *
 * Run with --verbose it tells; how long it takes is no matter of pass or fail.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include <vhost/log.h>

#include "check.h"
#include "lib/fake-vdpa.h"
#include "ring/layout.h"
#include "ring/ring.h"

#define GPA UINT64_C(0x100000)
#define QUEUES 16u
#define SIZE 256u
#define GIVEN 128u /* buffers of each queue, which the device has not begun */
#define ROOM 0x8000u
#define MEMORY (QUEUES * ROOM + 0x10000u)
#define ROUNDS 101u

struct world {
    struct fake_vdpa k; /* first: hooks find the world by it */
    struct vhost_vdpa *vdpa;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[QUEUES];
    struct vh_ring *rings[QUEUES];
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    int64_t suspended, goes_on;
};

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void heard(struct fake_vdpa *k, int what)
{
    struct world *w = (struct world *)k;

    if (what < 0) {
        w->suspended = now_us();
    } else if (what & (int)VH_VDPA_DRIVER_OK) {
        w->goes_on = now_us();
    }
}

static uint32_t stands(struct fake_vdpa *k, unsigned queue)
{
    return k->q[queue].base;
}

static void make_queue(struct world *w, unsigned i)
{
    uint64_t at = GPA + i * ROOM;
    char *ours = (char *)w->memory.hva + i * ROOM;
    const struct vh_ring_config config = { .size = SIZE,
                                           .desc = ours,
                                           .driver = ours + 0x4000,
                                           .device = ours + 0x6000 };
    const struct vh_sg sg = { GPA + QUEUES * ROOM, 4096 };

    assert_int_equal(vh_ring_new(&w->rings[i], &config), 0);
    w->queues[i] = (struct vhost_vdev_queue){
        .size = SIZE,
        .desc = at,
        .avail = at + 0x4000,
        .used = at + 0x6000,
        .kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    for (unsigned b = 0; b < GIVEN; b++) {
        assert_int_equal(vh_ring_add(w->rings[i], &sg, 0, 1, w), 0);
    }
    vh_ring_publish(w->rings[i]);
}

static void begin(struct world *w)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };

    memset(w, 0, sizeof(*w));
    fake_vdpa_up(&w->k);
    w->k.moves = heard;
    w->k.stands = stands;
    w->vdpa = vh_vdpa_new(&fake_vdpa_sys, &w->k, "/dev/vhost-vdpa-0", -1, NULL);
    assert_non_null(w->vdpa);
    w->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&w->memory, MEMORY, 0, NULL), 0);
    w->memory.gpa = GPA;
    vhost_memory_begin(w->map);
    assert_int_equal(vhost_memory_add(w->map, &w->memory), 0);
    assert_int_equal(vhost_memory_commit(w->map, NULL), 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        make_queue(w, i);
    }
    w->vdev = (struct vhost_vdev){ .nqueues = QUEUES, .queues = w->queues };
    w->dev.vqs = w->vqs;
    w->dev.nvqs = QUEUES;
    w->dev.map = w->map;
    assert_int_equal(
        vhost_dev_init(&w->dev, w->vdpa, VHOST_BACKEND_TYPE_VDPA, 0, NULL), 0);
    vhost_ack_features(&w->dev, bits, UINT64_C(1) << 32);
    assert_int_equal(vhost_dev_start(&w->dev, &w->vdev, true), 0);
}

static void end(struct world *w)
{
    assert_int_equal(vhost_dev_stop(&w->dev, &w->vdev, true), 0);
    vhost_dev_cleanup(&w->dev);
    vhost_vdpa_free(w->vdpa);
    for (unsigned i = 0; i < QUEUES; i++) {
        assert_int_equal(w->queues[i].base, 0); /* nothing was begun */
        vh_ring_free(w->rings[i]);
        close(w->queues[i].kick_fd);
        close(w->queues[i].call_fd);
    }
    vhost_memory_map_free(w->map);
    vhost_memory_free(&w->memory);
    fake_vdpa_down(&w->k);
}

/* The buffers that the device can find in a ring that it was given. */
static unsigned with_device(struct world *w, unsigned queue)
{
    uint64_t iova = w->k.q[queue].addr.avail_user_addr;

    for (size_t i = 0; i < w->k.n_maps[0]; i++) {
        const struct fake_map *m = &w->k.maps[0][i];

        if (!m->gone && iova - m->iova < m->size) {
            const uint16_t *avail =
                (const uint16_t *)(uintptr_t)(m->uaddr + (iova - m->iova));

            return (uint16_t)(avail[1] - w->k.q[queue].base);
        }
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void tell(const char *what, int64_t *us)
{
    qsort(us, ROUNDS, sizeof(*us), compare);
    print_message("%s: %lld microseconds, at most %lld\n", what,
                  (long long)us[ROUNDS / 2], (long long)us[ROUNDS - 1]);
}

static void test_16_queues_go_over_and_back(void **state)
{
    static struct world w;
    static int64_t on[ROUNDS], filled[ROUNDS], off[ROUNDS];

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(vhost_log_start(w.map, NULL), 0);
        filled[i] = now_us() - w.suspended;
        on[i] = w.goes_on - w.suspended;
        for (unsigned q = 0; q < QUEUES; q++) {
            assert_int_equal(with_device(&w, q), GIVEN);
        }
        assert_int_equal(vhost_log_stop(w.map, NULL), 0);
        off[i] = w.goes_on - w.suspended;
        for (unsigned q = 0; q < QUEUES; q++) {
            assert_int_equal(with_device(&w, q), GIVEN);
        }
    }
    tell("to shadow queues, until it goes on", on);
    tell("and until all buffers are with it", filled);
    tell("back, until it goes on", off);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_16_queues_go_over_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
