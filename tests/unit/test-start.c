/* SPDX-License-Identifier: BSD-3-Clause */
/* Start and stop: what is sent, in which order, and what a failure leaves. */
#include "check.h"

#include "lib/core-rig.h"

/* What a start may change, and a failed one may not. */
struct before {
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[FAKE_QUEUES];
    unsigned n_fds;
};

static struct before before(const struct core_rig *rig)
{
    struct before b = { .n_fds = fake_n_fds() };

    memcpy(&b.vdev, &rig->vdev, sizeof(b.vdev));
    memcpy(b.queues, rig->queues, sizeof(b.queues));
    return b;
}

static void assert_as_before(const struct core_rig *rig, const struct before *b)
{
    assert_false(vhost_dev_is_started((struct vhost_dev *)&rig->dev));
    assert_null(rig->dev.vdev);
    assert_int_equal(rig->dev.state, VHOST_DEV_IDLE);
    assert_memory_equal(&rig->vdev, &b->vdev, sizeof(b->vdev));
    assert_memory_equal(rig->queues, b->queues, sizeof(b->queues));
    assert_int_equal(fake_n_fds(), b->n_fds);
    assert_int_equal(fake_running(&rig->fake), 0);
    assert_false(rig->fake.driver_ok);
    assert_false(rig->fake.enabled);
    assert_int_equal(rig->fake.n_posted, 0);
    for (unsigned i = 0; i < rig->n; i++) {
        assert_false(rig->vqs[i].started);
        assert_null(rig->vqs[i].desc);
        assert_null(rig->vqs[i].used);
        /* A kick of a queue that does not run would be lost work. */
        assert_false(vhost_notifier_test_and_clear(
            (struct vhost_notifier *)&rig->kick[i]));
    }
}

static void test_hands_over_each_queue_as_its_owner_describes_it(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_true(vhost_dev_is_started(&rig.dev));
    assert_int_equal(rig.dev.state, VHOST_DEV_STARTED);
    assert_ptr_equal(rig.dev.vdev, &rig.vdev);
    assert_true(rig.vdev.vhost_started);
    assert_null(vhost_dev_get_error(&rig.dev));
    assert_int_equal(fake_running(&rig.fake), 2);
    assert_true(rig.fake.enabled);
    assert_true(rig.fake.driver_ok);
    for (unsigned i = 0; i < 2; i++) {
        const struct fake_queue *q = &rig.fake.q[i];
        uintptr_t at = (uintptr_t)rig.memory.hva + i * RIG_PER_QUEUE;

        assert_int_equal(q->num, RIG_SIZE);
        assert_int_equal(q->base, 100 + i);
        assert_int_equal(q->kick_fd, rig.kick[i].fd);
        assert_int_equal(q->call_fd, rig.call[i].fd);
        assert_int_equal(q->addr.desc_user_addr, at);
        assert_int_equal(q->addr.avail_user_addr, at + 0x400);
        assert_int_equal(q->addr.used_user_addr, at + 0x800);
    }
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(fake_running(&rig.fake), 0);
    assert_false(rig.vdev.vhost_started);
    assert_null(rig.dev.vdev);
    assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
    core_rig_down(&rig);
}

static void
test_sends_memory_before_queues_and_features_before_memory(void **state)
{
    struct core_rig rig;
    struct fake *f = &rig.fake;

    (void)state;
    core_rig_up(&rig, 2);
    fake_forget(f);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(fake_last(f, "set_features"), 0);
    assert_true(fake_last(f, "set_features") < fake_last(f, "set_mem_table"));
    assert_true(fake_last(f, "set_mem_table") <
                fake_last(f, "set_vring_num 0"));
    assert_true(fake_last(f, "set_vring_addr 1") <
                fake_last(f, "set_vring_kick 1"));
    assert_true(fake_last(f, "set_vring_call 1") <
                fake_last(f, "set_vring_enable 1"));
    assert_true(fake_last(f, "set_vring_enable 1") <
                fake_last(f, "dev_start 1"));
    assert_int_equal(fake_last(f, "sync"), (int)f->n_calls - 1);

    fake_forget(f);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_true(fake_last(f, "set_vring_enable 0") <
                fake_last(f, "get_vring_bases 2"));
    /* Status 0 makes a device forget where its rings are. */
    assert_true(fake_last(f, "get_vring_bases 2") <
                fake_last(f, "reset_status"));
    core_rig_down(&rig);
}

static void test_waits_once_however_many_queues_there_are(void **state)
{
    static const unsigned counts[] = { 1, 4, 64 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
        struct core_rig rig;

        core_rig_up(&rig, counts[i]);
        assert_int_equal(rig.fake.n_waits, 0); /* nor does init */
        assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
        assert_int_equal(rig.fake.n_waits, 1);
        assert_int_equal(fake_running(&rig.fake), counts[i]);
        fake_forget(&rig.fake);
        assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
        /* the bases; and what resets the status */
        assert_int_equal(rig.fake.n_waits, 2);
        core_rig_down(&rig);
    }
}

static void test_leaves_the_rings_disabled_if_asked(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, false), 0);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, false), 0);
    assert_int_equal(fake_count(&rig.fake, "set_vring_enable"), 0);
    core_rig_down(&rig);
}

static void test_kicks_each_queue_once_after_the_start(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 3);
    rig.queues[1].desc = 0; /* not set up */
    core_rig_begin(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(vhost_notifier_test_and_clear(&rig.kick[i]), i != 1);
    }
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

/*
 * Each call of a start fails in turn, at once or where its answer is waited
 * for, until the start has no more calls.
 */
static unsigned fail_each_call(bool late, bool vrings)
{
    struct core_rig rig;
    unsigned k;

    core_rig_up(&rig, 3);
    for (k = 1;; k++) {
        struct before b = before(&rig);
        int r;

        assert_true(k < FAKE_CALLS);
        fake_forget(&rig.fake);
        rig.fake.fail_at = k;
        rig.fake.late = late;
        r = vhost_dev_start(&rig.dev, &rig.vdev, vrings);
        if (r == 0) {
            break;
        }
        core_rig_assert_error(&rig, r, -EIO);
        assert_as_before(&rig, &b);

        /* and it can be started again */
        fake_forget(&rig.fake);
        assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, vrings), 0);
        assert_null(vhost_dev_get_error(&rig.dev));
        assert_int_equal(fake_running(&rig.fake), 3);
        assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, vrings), 0);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(rig.queues[i].base, 100 + i);
            rig.queues[i].base_source = VHOST_BASE_UNSET;
            vhost_notifier_test_and_clear(&rig.kick[i]);
        }
    }
    vhost_dev_stop(&rig.dev, &rig.vdev, vrings);
    core_rig_down(&rig);
    return k - 1;
}

static void test_fails_clean_at_every_rung(void **state)
{
    /* features, capabilities, memory; 5 a queue; enable, start, sync */
    (void)state;
    assert_int_equal(fail_each_call(false, true), 3 + 3 * 5 + 3);
    assert_int_equal(fail_each_call(false, false), 3 + 3 * 5 + 2);
}

static void test_fails_clean_wherever_a_posted_call_is_refused(void **state)
{
    (void)state;
    assert_int_equal(fail_each_call(true, true), 3 + 3 * 5 + 3);
}

static void test_keeps_the_first_error_if_the_way_down_fails_too(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    fake_forget(&rig.fake);
    rig.fake.fail_at = 3 + 2 * 5 + 2; /* dev_start */
    rig.fake.bases_refused = true;
    core_rig_assert_error(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true),
                          -EIO);
    assert_string_equal(vhost_error_operation(vhost_dev_get_error(&rig.dev)),
                        "dev_start");
    assert_false(rig.dev.started);
    assert_int_equal(rig.queues[0].base, 100);
    core_rig_down(&rig);
}

static void test_a_stop_goes_on_to_the_end_whatever_fails(void **state)
{
    struct core_rig rig;
    unsigned k;

    (void)state;
    core_rig_up(&rig, 2);
    for (k = 1;; k++) {
        int r;

        assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
        fake_forget(&rig.fake);
        rig.fake.fail_at = k;
        r = vhost_dev_stop(&rig.dev, &rig.vdev, true);
        assert_false(rig.dev.started);
        assert_false(rig.vdev.vhost_started);
        assert_null(rig.dev.vdev);
        assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
        assert_int_equal(fake_count(&rig.fake, "dev_start 0"), 1);
        assert_int_equal(fake_count(&rig.fake, "set_vring_enable 0"), 1);
        assert_int_equal(fake_count(&rig.fake, "get_vring_bases 2"), 1);
        assert_int_equal(fake_count(&rig.fake, "reset_status"), 1);
        if (r == 0) {
            break;
        }
        core_rig_assert_error(&rig, r, -EIO);
        rig.queues[0].base = 100;
        rig.queues[1].base = 101;
    }
    /* dev_start, enable, the bases, what settles them, what settles the rest */
    assert_int_equal(k - 1, 5);
    core_rig_down(&rig);
}

static void test_says_nothing_to_a_back_end_that_is_gone(void **state)
{
    struct core_rig rig;
    unsigned before_stop;

    (void)state;
    core_rig_up(&rig, 2);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    core_rig_set_used_idx(&rig, 0, 7);
    core_rig_set_used_idx(&rig, 1, 0xfffe);
    rig.dev.state = VHOST_DEV_LOST;
    before_stop = rig.fake.n_calls;
    core_rig_assert_error(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true),
                          -ENOTCONN);
    assert_int_equal(rig.fake.n_calls, before_stop);
    assert_int_equal(rig.queues[0].base, 7);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_RECOVERED);
    assert_int_equal(rig.queues[1].base, 0xfffe);
    assert_false(rig.dev.started);

    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    core_rig_assert_error(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true),
                          -ENOTCONN);
    core_rig_assert_error(
        &rig, vhost_virtqueue_start(&rig.dev, &rig.vdev, &rig.vqs[0], 0),
        -ENOTCONN);
    assert_int_equal(rig.fake.n_calls, before_stop);
    core_rig_down(&rig);
}

static void test_says_nothing_to_a_back_end_that_is_broken(void **state)
{
    struct core_rig rig;
    unsigned before_stop;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.dev.state = VHOST_DEV_BROKEN;
    before_stop = rig.fake.n_calls;
    core_rig_assert_error(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true),
                          -EPROTO);
    assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
    core_rig_assert_error(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true),
                          -EPROTO);
    assert_int_equal(rig.fake.n_calls, before_stop);
    core_rig_down(&rig);
}

static void on_release(void *opaque)
{
    ++*(unsigned *)opaque;
}

/* It was not told to stop: who knows what it still reads and writes? */
static void test_a_broken_device_holds_its_memory_until_cleanup(void **state)
{
    struct vhost_memory_section extra;
    unsigned released = 0;
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    memset(&extra, 0, sizeof(extra));
    assert_int_equal(vhost_memory_alloc(&extra, 0x1000, 0, NULL), 0);
    extra.gpa = UINT64_C(0x40000000);
    extra.release = on_release;
    extra.opaque = &released;
    vhost_memory_begin(rig.map);
    assert_int_equal(vhost_memory_add(rig.map, &extra), 0);
    assert_int_equal(vhost_memory_commit(rig.map, NULL), 0);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.dev.state = VHOST_DEV_BROKEN;
    vhost_dev_stop(&rig.dev, &rig.vdev, true);

    vhost_memory_begin(rig.map);
    assert_int_equal(vhost_memory_remove(rig.map, extra.gpa, extra.size), 0);
    assert_int_equal(vhost_memory_commit(rig.map, NULL), -EPROTO);
    assert_int_equal(released, 0);
    vhost_dev_cleanup(&rig.dev);
    assert_int_equal(released, 1);
    vhost_memory_free(&extra);
    core_rig_down(&rig);
}

/* The back end goes away at call @k of a start.  False: there is no such. */
static bool lose_at(unsigned k, int code, enum vhost_dev_state expected)
{
    struct core_rig rig;
    int r;

    core_rig_up(&rig, 2);
    fake_forget(&rig.fake);
    rig.fake.fail_at = k;
    rig.fake.fail_code = code;
    r = vhost_dev_start(&rig.dev, &rig.vdev, true);
    if (r < 0) {
        core_rig_assert_error(&rig, r, code);
        assert_int_equal(rig.dev.state, expected);
        assert_false(rig.dev.started);
        assert_null(rig.dev.vdev);
        /* What is lost is not spoken to on the way down. */
        assert_int_equal(rig.fake.n_calls, k);
        assert_int_equal(rig.queues[0].base, 100);
    } else {
        vhost_dev_stop(&rig.dev, &rig.vdev, true);
    }
    core_rig_down(&rig);
    return r < 0;
}

static void test_a_start_that_loses_the_back_end_says_no_more(void **state)
{
    unsigned k = 1;

    (void)state;
    while (lose_at(k, -ENOTCONN, VHOST_DEV_LOST)) {
        k++;
    }
    assert_int_equal(k - 1, 3 + 2 * 5 + 3);
    assert_true(lose_at(7, -ECONNRESET, VHOST_DEV_LOST));
    assert_true(lose_at(7, -EPROTO, VHOST_DEV_BROKEN));
}

static void test_serves_the_queues_from_its_first_one_on(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 4);
    rig.dev.vq_index = 2;
    rig.dev.nvqs = 2;
    core_rig_begin(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_false(rig.fake.q[0].runs || rig.fake.q[1].runs);
    assert_true(rig.fake.q[2].runs && rig.fake.q[3].runs);
    assert_int_equal(rig.fake.q[3].base, 103);
    rig.fake.q[3].base = 200;
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.queues[3].base, 200);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_UNSET);
    assert_int_equal(rig.queues[2].base_source, VHOST_BASE_FROM_DEVICE);
    core_rig_down(&rig);
}

static void test_refuses_a_virtio_device_with_too_few_queues(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 3);
    rig.vdev.nqueues = 2;
    core_rig_assert_error(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true),
                          -EINVAL);
    assert_int_equal(fake_running(&rig.fake), 0);
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_over_each_queue_as_its_owner_describes_it),
        cmocka_unit_test(
            test_sends_memory_before_queues_and_features_before_memory),
        cmocka_unit_test(test_waits_once_however_many_queues_there_are),
        cmocka_unit_test(test_leaves_the_rings_disabled_if_asked),
        cmocka_unit_test(test_kicks_each_queue_once_after_the_start),
        cmocka_unit_test(test_fails_clean_at_every_rung),
        cmocka_unit_test(test_fails_clean_wherever_a_posted_call_is_refused),
        cmocka_unit_test(test_keeps_the_first_error_if_the_way_down_fails_too),
        cmocka_unit_test(test_a_stop_goes_on_to_the_end_whatever_fails),
        cmocka_unit_test(test_says_nothing_to_a_back_end_that_is_gone),
        cmocka_unit_test(test_says_nothing_to_a_back_end_that_is_broken),
        cmocka_unit_test(test_a_broken_device_holds_its_memory_until_cleanup),
        cmocka_unit_test(test_a_start_that_loses_the_back_end_says_no_more),
        cmocka_unit_test(test_serves_the_queues_from_its_first_one_on),
        cmocka_unit_test(test_refuses_a_virtio_device_with_too_few_queues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
