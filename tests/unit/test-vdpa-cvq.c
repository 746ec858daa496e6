/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control queue of a network device that is seen, over a made-up kernel
 * whose device answers commands in a thread.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include <vhost/log.h>

#include "check.h"
#include "lib/fake-vdpa.h"
#include "ring/devring.h"
#include "ring/ring.h"

#define BIT(n) (UINT64_C(1) << (n))
#define GPA UINT64_C(0x100000)
#define MEMORY (64 * 4096u)
#define QUEUES 3u
#define CVQ 2u
#define SIZE 16u
#define SEEN 64u

struct command {
    size_t len;
    uint8_t bytes[32];
};

struct world {
    struct fake_vdpa k; /* first: hooks find the world by it */
    struct vhost_vdpa *vdpa;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[QUEUES];
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct vh_ring *control;
    unsigned n_given;

    /* of the device: read by the test while its thread is not there */
    struct vh_devring *ring;
    pthread_t thread;
    atomic_bool ends;
    atomic_uint refuses; /* so many commands */
    bool runs;
    bool saw_guest_memory;
    struct command seen[SEEN];
    unsigned n_seen;
};

static struct fake_map *map_of(struct world *w, uint64_t iova)
{
    uint32_t asid = w->k.asids[w->k.q[CVQ].group];

    for (size_t i = 0; i < w->k.n_maps[asid]; i++) {
        struct fake_map *m = &w->k.maps[asid][i];

        if (!m->gone && iova - m->iova < m->size) {
            return m;
        }
    }
    return NULL;
}

static void *device_sees(void *arg, uint64_t iova, uint64_t want, uint64_t *len)
{
    struct world *w = arg;
    const struct fake_map *m = map_of(w, iova);
    uint64_t left;

    if (!m) {
        return NULL;
    }
    w->saw_guest_memory |= m->uaddr == (uint64_t)(uintptr_t)w->memory.hva;
    left = m->size - (iova - m->iova);
    *len = left < want ? left : want;
    return (void *)(uintptr_t)(m->uaddr + (iova - m->iova));
}

static void *area(struct world *w, uint64_t iova)
{
    uint64_t len;
    void *at = device_sees(w, iova, 1, &len);

    assert_non_null(at);
    return at;
}

static void answer(struct world *w, struct vh_chain *c)
{
    struct command *command = &w->seen[w->n_seen++ % SEEN];
    struct iovec *iov = c->iov;
    bool refuse = w->refuses > 0;

    command->len = 0;
    for (unsigned i = 0; i < c->n_out; i++) {
        memcpy(command->bytes + command->len, iov[i].iov_base, iov[i].iov_len);
        command->len += iov[i].iov_len;
    }
    w->refuses -= refuse;
    *(uint8_t *)iov[c->n_out].iov_base = refuse;
    vh_devring_push(w->ring, c->id, 1);
}

static void *serve(void *arg)
{
    struct world *w = arg;
    struct vhost_notifier call = { .fd = w->k.q[CVQ].call_fd };
    struct pollfd kick = { .fd = w->k.q[CVQ].kick_fd, .events = POLLIN };
    struct iovec iov[4];

    while (!w->ends) {
        struct vh_chain c = { .iov = iov, .iov_max = 4 };

        while (vh_devring_pop(w->ring, &c) == 1) {
            answer(w, &c);
            c = (struct vh_chain){ .iov = iov, .iov_max = 4 };
        }
        if (vh_devring_publish(w->ring)) {
            vhost_notifier_set(&call);
        }
        poll(&kick, 1, 2);
    }
    return NULL;
}

static void halt(struct world *w)
{
    if (w->runs) {
        w->ends = true;
        pthread_join(w->thread, NULL);
        w->runs = false;
    }
}

static void ring_starts(struct world *w)
{
    const struct fake_vq *q = &w->k.q[CVQ];
    const struct vh_devring_config config = {
        .size = q->num,
        .desc = area(w, q->addr.desc_user_addr),
        .driver = area(w, q->addr.avail_user_addr),
        .device = area(w, q->addr.used_user_addr),
        .base = q->base,
        .translate = device_sees,
        .translate_arg = w,
    };

    assert_int_equal(vh_devring_new(&w->ring, &config), 0);
    w->ends = false;
    w->runs = true;
    assert_int_equal(pthread_create(&w->thread, NULL, serve, w), 0);
}

static void heard(struct fake_vdpa *k, int what)
{
    struct world *w = (struct world *)k;

    if (what <= 0) {
        halt(w);
    }
    if (what == 0) {
        vh_devring_free(w->ring);
        w->ring = NULL;
    } else if (what > 0 && (what & (int)VH_VDPA_DRIVER_OK) && !w->ring) {
        ring_starts(w);
    }
}

static uint32_t stands(struct fake_vdpa *k, unsigned queue)
{
    struct world *w = (struct world *)k;

    return queue == CVQ ? vh_devring_base(w->ring) : k->q[queue].base;
}

static void make_queue(struct world *w, unsigned i)
{
    uint64_t at = GPA + 3 * i * 4096;

    w->queues[i] = (struct vhost_vdev_queue){
        .size = SIZE,
        .desc = at,
        .avail = at + 4096,
        .used = at + 8192,
        .kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
}

static void begin(struct world *w, bool wanted, unsigned apart)
{
    static const int bits[] = { 17, 32, VHOST_INVALID_FEATURE_BIT };
    struct vh_ring_config config = { .size = SIZE };
    char *at;

    memset(w, 0, sizeof(*w));
    fake_vdpa_up(&w->k);
    w->k.offered |= BIT(17);
    w->k.device_id = 1;
    w->k.apart = apart;
    w->k.moves = heard;
    w->k.stands = stands;
    w->vdpa = vh_vdpa_new(&fake_vdpa_sys, &w->k, "/dev/vhost-vdpa-0", -1, NULL);
    assert_non_null(w->vdpa);
    w->vdpa->wants_cvq = wanted;
    w->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&w->memory, MEMORY, 0, NULL), 0);
    w->memory.gpa = GPA;
    vhost_memory_begin(w->map);
    assert_int_equal(vhost_memory_add(w->map, &w->memory), 0);
    assert_int_equal(vhost_memory_commit(w->map, NULL), 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        make_queue(w, i);
    }
    at = (char *)w->memory.hva + 3 * CVQ * 4096;
    config.desc = at;
    config.driver = at + 4096;
    config.device = at + 8192;
    assert_int_equal(vh_ring_new(&w->control, &config), 0);
    w->vdev = (struct vhost_vdev){ .nqueues = QUEUES, .queues = w->queues };
    w->dev.vqs = w->vqs;
    w->dev.nvqs = QUEUES;
    w->dev.map = w->map;
    assert_int_equal(
        vhost_dev_init(&w->dev, w->vdpa, VHOST_BACKEND_TYPE_VDPA, 0, NULL), 0);
    vhost_ack_features(&w->dev, bits, BIT(17) | BIT(32));
}

static void end(struct world *w)
{
    vhost_dev_cleanup(&w->dev);
    vhost_vdpa_free(w->vdpa);
    halt(w);
    vh_devring_free(w->ring);
    vh_ring_free(w->control);
    for (unsigned i = 0; i < QUEUES; i++) {
        close(w->queues[i].kick_fd);
        close(w->queues[i].call_fd);
    }
    vhost_memory_map_free(w->map);
    vhost_memory_free(&w->memory);
    fake_vdpa_down(&w->k);
}

static void start(struct world *w)
{
    if (vhost_dev_start(&w->dev, &w->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&w->dev)));
    }
}

static void stop(struct world *w)
{
    assert_int_equal(vhost_dev_stop(&w->dev, &w->vdev, true), 0);
}

/* The guest's driver.  Return: what the device answered. */
static uint8_t set(struct world *w, const char *bytes, uint32_t len)
{
    uint64_t at = GPA + 40 * 4096 + w->n_given++ % 16 * 64;
    uint8_t *ours = (uint8_t *)w->memory.hva + (at - GPA);
    const struct vh_sg sg[3] = { { at, 2 },
                                 { at + 2, len - 2 },
                                 { at + 60, 1 } };
    struct vhost_notifier kick = { .fd = w->queues[CVQ].kick_fd };
    struct vh_ring_used used;

    memcpy(ours, bytes, len);
    ours[60] = 0x55;
    assert_int_equal(vh_ring_add(w->control, sg, 2, 1, w), 0);
    vh_ring_publish(w->control);
    vhost_notifier_set(&kick);
    while (vh_ring_take(w->control, &used, 1) == 0) {
        struct pollfd p = { .fd = vhost_dev_get_fd(&w->dev), .events = POLLIN };

        poll(&p, 1, 10);
        assert_int_equal(vhost_dev_dispatch(&w->dev), 0);
    }
    return ours[60];
}

#define MAC "\1\1\2\0\0\0\0\7"
#define VLAN "\2\0\5\0"
#define PAIRS "\4\0\1\0"

static void set_all(struct world *w)
{
    assert_int_equal(set(w, MAC, 8), 0);
    assert_int_equal(set(w, VLAN, 4), 0);
    assert_int_equal(set(w, PAIRS, 4), 0);
}

static void is_seen(const struct world *w, unsigned i, const char *bytes,
                    size_t len)
{
    assert_true(i < w->n_seen);
    assert_int_equal(w->seen[i].len, len);
    assert_memory_equal(w->seen[i].bytes, bytes, len);
}

/* From the @first command that it heard on: all that was set. */
static void all_seen(const struct world *w, unsigned first)
{
    is_seen(w, first, MAC, 8);
    is_seen(w, first + 1, VLAN, 4);
    is_seen(w, first + 2, PAIRS, 4);
}

static void log_on(struct world *w)
{
    struct vhost_error *err = NULL;

    if (vhost_log_start(w->map, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
}

static void test_it_is_alone_and_sees_nothing_of_the_guest(void **state)
{
    static struct world w;

    (void)state;
    begin(&w, true, CVQ);
    start(&w);
    assert_true(w.vdpa->alone);
    assert_false(w.vdpa->shadowed);
    assert_int_equal(w.k.asids[0], 0);
    assert_int_equal(w.k.asids[1], 1);
    set_all(&w);
    stop(&w);
    assert_int_equal(w.n_seen, 3);
    all_seen(&w, 0);
    assert_false(w.saw_guest_memory);
    assert_int_equal(w.queues[CVQ].base, 3);
    assert_int_equal(w.k.n_maps[1], 0); /* nor is anything left there */
    end(&w);
}

static void test_what_was_set_is_set_again_by_a_switch(void **state)
{
    static struct world w;

    (void)state;
    begin(&w, true, CVQ);
    start(&w);
    set_all(&w);
    log_on(&w);
    assert_true(w.vdpa->shadowed);
    assert_int_equal(set(&w, MAC, 8), 0); /* and on it goes */
    assert_int_equal(vhost_log_stop(w.map, NULL), 0);
    assert_false(w.vdpa->shadowed);
    assert_int_equal(set(&w, VLAN, 4), 0);
    stop(&w);
    assert_int_equal(w.n_seen, 3 + 3 + 1 + 3 + 1);
    all_seen(&w, 3);
    is_seen(&w, 6, MAC, 8);
    is_seen(&w, 7, VLAN, 4); /* in the order of the last ones */
    is_seen(&w, 8, PAIRS, 4);
    is_seen(&w, 9, MAC, 8);
    is_seen(&w, 10, VLAN, 4);
    assert_false(w.saw_guest_memory);
    end(&w);
}

static void test_a_stop_keeps_it_and_a_reset_of_the_driver_s_does_not(void **s)
{
    static struct world w;

    (void)s;
    begin(&w, true, CVQ);
    start(&w);
    set_all(&w);
    stop(&w);
    start(&w);
    stop(&w);
    assert_int_equal(w.n_seen, 6);
    all_seen(&w, 3);
    assert_int_equal(vhost_reset_device(&w.dev), 0);
    start(&w);
    stop(&w);
    assert_int_equal(w.n_seen, 6);
    end(&w);
}

static void test_what_the_device_refused_is_not_set_again(void **state)
{
    static struct world w;

    (void)state;
    begin(&w, true, CVQ);
    start(&w);
    w.refuses = 1;
    assert_int_equal(set(&w, MAC, 8), 1);
    assert_int_equal(set(&w, VLAN, 4), 0);
    stop(&w);
    start(&w);
    stop(&w);
    assert_int_equal(w.n_seen, 3);
    is_seen(&w, 2, VLAN, 4);
    end(&w);
}

static void test_a_device_that_refuses_it_goes_back(void **state)
{
    static struct world w;
    struct vhost_error *err = NULL;

    (void)state;
    begin(&w, true, CVQ);
    start(&w);
    set_all(&w);
    w.refuses = 1;
    assert_int_equal(vhost_log_start(w.map, &err), -EIO);
    assert_non_null(
        strstr(vhost_error_message(err), "refuses what its driver had set"));
    vhost_error_free(err);
    assert_int_equal(w.dev.state, VHOST_DEV_STARTED);
    assert_false(w.vdpa->shadowed);
    assert_int_equal(set(&w, MAC, 8), 0);
    stop(&w);
    assert_int_equal(w.n_seen, 3 + 1 + 3 + 1);
    all_seen(&w, 4);
    end(&w);
}

static void is_refused(bool wanted, unsigned apart)
{
    static struct world w;
    struct vhost_error *err = NULL;

    begin(&w, wanted, apart);
    start(&w);
    assert_false(w.vdpa->alone);
    assert_int_equal(vhost_log_start(w.map, &err), -ENOTSUP);
    assert_non_null(strstr(vhost_error_message(err), "shadow_control_queue"));
    vhost_error_free(err);
    assert_int_equal(w.dev.state, VHOST_DEV_STARTED);
    stop(&w);
    end(&w);
}

static void test_one_that_nobody_sees_keeps_the_device_as_it_is(void **state)
{
    (void)state;
    is_refused(false, CVQ);
    is_refused(true, 0); /* in the group of another */
}

/* virtio 1.3, 5.1.2: behind the first pair, unless several may be in use. */
static void test_it_is_found_where_the_features_put_it(void **state)
{
    static const struct {
        uint64_t features;
        unsigned n_queues, at;
    } cases[] = {
        { BIT(17), 3, 2 },
        { BIT(17), 9, 2 },
        { BIT(17) | BIT(22), 9, 8 },
        { BIT(17) | BIT(60), 9, 8 },
        { BIT(17) | BIT(22), 8, UINT_MAX }, /* it has been left out */
        { BIT(17), 2, UINT_MAX },
        { BIT(17), 1, UINT_MAX },
        { BIT(17) | BIT(22), 1, UINT_MAX },
        { 0, 3, UINT_MAX },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhost_vdpa vdpa = { .info.device_id = 1,
                                   .features = cases[i].features,
                                   .n_queues = cases[i].n_queues };

        assert_int_equal(vh_vdpa_cvq_choose(&vdpa), 0);
        assert_int_equal(vdpa.cvq, cases[i].at);
        vdpa.info.device_id = 2;
        assert_int_equal(vh_vdpa_cvq_choose(&vdpa), 0);
        assert_int_equal(vdpa.cvq, UINT_MAX);
    }
}

static void test_shadows_from_the_start_see_it_too(void **state)
{
    static struct world w;

    (void)state;
    begin(&w, true, 0);
    w.vdpa->always = true;
    start(&w);
    assert_false(w.vdpa->alone);
    set_all(&w);
    log_on(&w);
    stop(&w);
    start(&w);
    assert_int_equal(vhost_log_stop(w.map, NULL), 0);
    stop(&w);
    assert_int_equal(w.n_seen, 6);
    all_seen(&w, 3);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_alone_and_sees_nothing_of_the_guest),
        cmocka_unit_test(test_what_was_set_is_set_again_by_a_switch),
        cmocka_unit_test(
            test_a_stop_keeps_it_and_a_reset_of_the_driver_s_does_not),
        cmocka_unit_test(test_what_the_device_refused_is_not_set_again),
        cmocka_unit_test(test_a_device_that_refuses_it_goes_back),
        cmocka_unit_test(test_one_that_nobody_sees_keeps_the_device_as_it_is),
        cmocka_unit_test(test_it_is_found_where_the_features_put_it),
        cmocka_unit_test(test_shadows_from_the_start_see_it_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
