/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's part in the dirty log: what its back end is told, and when. */
#include "lib/core-rig.h"

#define F_LOG_ALL (UINT64_C(1) << 26)
#define N_QUEUES 3
#define FAR (UINT64_C(4) << 30)

static void begin_with(struct core_rig *rig, uint64_t features)
{
    core_rig_prepare(rig, N_QUEUES);
    rig->fake.offered[0] |= features;
    core_rig_begin(rig);
}

static void begin(struct core_rig *rig)
{
    begin_with(rig, F_LOG_ALL);
}

static void start(struct core_rig *rig)
{
    assert_int_equal(vhost_dev_start(&rig->dev, &rig->vdev, true), 0);
}

static void stop(struct core_rig *rig)
{
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
}

static void log_on(struct core_rig *rig)
{
    struct vhost_error *err = NULL;

    if (vhost_log_start(rig->map, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
}

/* Does the back end log everything, and to where it should? */
static void assert_logs(const struct core_rig *rig, bool logs)
{
    const struct fake *f = &rig->fake;

    assert_int_equal(!!(f->features[0] & F_LOG_ALL), logs);
    assert_int_equal(rig->dev.log_enabled, logs);
    assert_int_equal(rig->dev.log != NULL, logs);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        assert_int_equal(f->q[i].addr.flags, logs);
        if (logs) {
            assert_int_equal(f->q[i].addr.log_guest_addr, rig->queues[i].used);
        }
    }
    if (logs) {
        assert_ptr_equal(f->log, rig->dev.log);
        assert_int_equal(f->log_base, (uintptr_t)rig->dev.log->log);
        assert_int_equal(rig->dev.log_size, rig->dev.log->size);
    }
}

static void change(struct core_rig *rig, bool add)
{
    static unsigned char memory[4096];
    struct vhost_memory_section s = {
        .gpa = FAR, .size = sizeof(memory), .hva = memory, .fd = -1
    };

    vhost_memory_begin(rig->map);
    assert_int_equal(add ? vhost_memory_add(rig->map, &s)
                         : vhost_memory_remove(rig->map, FAR, sizeof(memory)),
                     0);
    assert_int_equal(vhost_memory_commit(rig->map, NULL), 0);
}

static void ignore(void *opaque, uint64_t gpa, uint64_t size)
{
    (void)opaque;
    (void)gpa;
    (void)size;
}

static void test_says_why_a_device_can_not_be_migrated(void **state)
{
    struct core_rig rig;

    (void)state;
    begin_with(&rig, 0);
    assert_non_null(
        strstr(vhost_dev_migration_blocker(&rig.dev), "VHOST_F_LOG_ALL"));
    assert_int_equal(vhost_log_start(rig.map, NULL), -ENOTSUP);
    core_rig_down(&rig);
    begin(&rig);
    assert_null(vhost_dev_migration_blocker(&rig.dev));
    core_rig_down(&rig);
}

static void test_back_ends_without_a_log_can_not_be_migrated(void **state)
{
    VhostOps without = fake_ops;
    struct core_rig rig;

    (void)state;
    without.vhost_set_log_base = NULL;
    core_rig_prepare(&rig, N_QUEUES);
    rig.fake.offered[0] |= F_LOG_ALL;
    rig.dev.vhost_ops = &without;
    core_rig_begin(&rig);
    assert_non_null(
        strstr(vhost_dev_migration_blocker(&rig.dev), "no dirty log"));
    core_rig_down(&rig);
}

static void test_a_device_that_is_not_started_hears_of_it_later(void **state)
{
    struct core_rig rig;

    (void)state;
    begin(&rig);
    fake_forget(&rig.fake);
    log_on(&rig);
    assert_int_equal(rig.fake.n_calls, 0);
    start(&rig);
    assert_logs(&rig, true);
    /* Before any ring: from the first byte on. */
    assert_true(fake_last(&rig.fake, "set_log_base") >
                fake_last(&rig.fake, "set_mem_table"));
    assert_true(fake_last(&rig.fake, "set_log_base") <
                fake_last(&rig.fake, "set_vring_num 0"));
    stop(&rig);
    assert_null(rig.dev.log);
    assert_int_equal(vhost_log_stop(rig.map, NULL), 0);
    start(&rig);
    assert_logs(&rig, false);
    stop(&rig);
    core_rig_down(&rig);
}

static void test_a_device_that_comes_while_it_is_on_logs(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, N_QUEUES);
    rig.fake.offered[0] |= F_LOG_ALL;
    log_on(&rig);
    core_rig_begin(&rig);
    start(&rig);
    assert_logs(&rig, true);
    stop(&rig);
    core_rig_down(&rig); /* with the log on */
}

static void test_a_running_device_is_switched_over_and_back(void **state)
{
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    assert_logs(&rig, false);
    fake_forget(&rig.fake);
    log_on(&rig);
    assert_logs(&rig, true);
    assert_int_equal(rig.fake.n_waits, 1); /* however many queues */
    assert_true(fake_last(&rig.fake, "set_log_base") <
                fake_last(&rig.fake, "set_features"));
    assert_int_equal(vhost_log_stop(rig.map, NULL), 0);
    assert_logs(&rig, false);
    stop(&rig);
    core_rig_down(&rig);
}

static void test_queues_that_do_not_run_are_left_alone(void **state)
{
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    assert_int_equal(vhost_virtqueue_stop(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
                     0);
    fake_forget(&rig.fake);
    log_on(&rig);
    assert_int_equal(fake_count(&rig.fake, "set_vring_addr"), N_QUEUES - 1);
    assert_int_equal(fake_count(&rig.fake, "set_vring_addr 1"), 0);
    assert_int_equal(vhost_virtqueue_start(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
                     0);
    assert_logs(&rig, true);
    stop(&rig);
    core_rig_down(&rig);
}

/* A packed ring's used entries lie in its descriptor area. */
static void test_packed_rings_count_from_their_descriptors(void **state)
{
    struct core_rig rig;

    (void)state;
    begin_with(&rig, F_LOG_ALL | RIG_F_PACKED);
    log_on(&rig);
    start(&rig);
    assert_int_equal(rig.fake.q[2].addr.log_guest_addr, rig.queues[2].desc);
    stop(&rig);
    core_rig_down(&rig);
}

/* Each step refused in turn, at once or later: no log, and it can be tried
 * again. */
static void check_refusals(bool late)
{
    struct core_rig rig;
    unsigned at;
    int r;

    begin(&rig);
    start(&rig);
    rig.fake.late = late;
    for (at = 1;; at++) {
        fake_forget(&rig.fake);
        rig.fake.fail_at = at;
        r = vhost_log_start(rig.map, NULL);
        if (r == 0) {
            break;
        }
        assert_int_equal(r, -EIO);
        assert_int_equal(rig.dev.state, VHOST_DEV_STARTED);
        assert_int_equal(rig.fake.n_posted, 0);
        assert_logs(&rig, false);
        assert_int_equal(vhost_log_sync(rig.map, ignore, NULL, NULL), -EINVAL);
    }
    assert_int_equal(at, N_QUEUES + 2 + 2); /* and the log, features, wait */
    assert_logs(&rig, true);
    rig.fake.fail_at = 0;
    stop(&rig);
    core_rig_down(&rig);
}

static void test_a_refusal_at_any_step_is_undone(void **state)
{
    (void)state;
    check_refusals(false);
    check_refusals(true);
}

static void test_a_refused_end_ends_it_all_the_same(void **state)
{
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    log_on(&rig);
    fake_forget(&rig.fake);
    rig.fake.fail_at = 2;
    assert_int_equal(vhost_log_stop(rig.map, NULL), -EIO);
    assert_false(rig.dev.log_enabled);
    assert_null(rig.dev.log);
    log_on(&rig);
    assert_logs(&rig, true);
    stop(&rig);
    core_rig_down(&rig);
}

static void test_each_step_of_a_start_that_logs_may_fail(void **state)
{
    struct core_rig rig;
    unsigned at;
    int r;

    (void)state;
    begin(&rig);
    log_on(&rig);
    for (at = 1;; at++) {
        fake_forget(&rig.fake);
        rig.fake.fail_at = at;
        r = vhost_dev_start(&rig.dev, &rig.vdev, true);
        if (r == 0) {
            break;
        }
        assert_null(rig.dev.log);
        assert_true(rig.dev.log_enabled);
    }
    assert_true(at > 10);
    rig.fake.fail_at = 0;
    assert_logs(&rig, true);
    stop(&rig);
    core_rig_down(&rig);
}

/* The larger log before the memory that needs it, the smaller one after. */
static void test_another_log_comes_with_another_size(void **state)
{
    const struct vhost_log *first;
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    log_on(&rig);
    first = rig.dev.log;
    fake_forget(&rig.fake);
    change(&rig, true);
    assert_logs(&rig, true);
    assert_true(rig.dev.log != first);
    assert_true(rig.dev.log->size > FAR / VHOST_LOG_CHUNK);
    assert_true(fake_last(&rig.fake, "set_log_base") <
                fake_last(&rig.fake, "set_mem_table"));
    assert_int_equal(fake_count(&rig.fake, "set_features"), 0);
    fake_forget(&rig.fake);
    change(&rig, false);
    assert_logs(&rig, true);
    assert_true(rig.dev.log->size < FAR / VHOST_LOG_CHUNK);
    assert_true(fake_last(&rig.fake, "set_log_base") >
                fake_last(&rig.fake, "set_mem_table"));
    stop(&rig);
    core_rig_down(&rig);
}

/* The guest goes on, unlogged, and the migration hears of it. */
static void test_a_refused_larger_log_ends_the_logging(void **state)
{
    struct vhost_error *err = NULL;
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    log_on(&rig);
    fake_forget(&rig.fake);
    rig.fake.fail_at = 1;
    change(&rig, true);
    assert_int_equal(rig.dev.state, VHOST_DEV_STARTED);
    assert_logs(&rig, false);
    assert_int_equal(vhost_log_sync(rig.map, ignore, NULL, &err), -EIO);
    vhost_error_free(err);
    stop(&rig);
    start(&rig);
    assert_logs(&rig, false);
    assert_int_equal(vhost_log_stop(rig.map, NULL), 0);
    log_on(&rig);
    assert_logs(&rig, true);
    stop(&rig);
    core_rig_down(&rig);
}

static void test_a_refused_smaller_log_leaves_the_larger_one(void **state)
{
    const struct vhost_log *large;
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    change(&rig, true);
    log_on(&rig);
    large = rig.dev.log;
    fake_forget(&rig.fake);
    rig.fake.fail_at = 3; /* the table, and that it is settled, first */
    change(&rig, false);
    assert_int_equal(fake_count(&rig.fake, "set_log_base"), 1);
    assert_ptr_equal(rig.dev.log, large);
    assert_int_equal(vhost_log_sync(rig.map, ignore, NULL, NULL), 0);
    stop(&rig);
    core_rig_down(&rig);
}

/* Nobody knows where it writes: both logs are kept until it is cleaned up. */
static void test_a_back_end_that_is_lost_keeps_what_it_was_told(void **state)
{
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    log_on(&rig);
    fake_forget(&rig.fake);
    rig.fake.fail_at = 2;
    rig.fake.fail_code = -ENOTCONN;
    change(&rig, true);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    assert_non_null(rig.dev.log);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    assert_non_null(rig.dev.log);
    assert_int_equal(vhost_log_stop(rig.map, NULL), 0);
    core_rig_down(&rig);
}

static void test_a_broken_device_writes_unlogged(void **state)
{
    struct core_rig rig;

    (void)state;
    begin(&rig);
    start(&rig);
    rig.dev.state = VHOST_DEV_BROKEN;
    assert_int_equal(vhost_log_start(rig.map, NULL), -EPROTO);
    rig.dev.state = VHOST_DEV_LOST; /* as if it were dead */
    log_on(&rig);
    assert_null(rig.dev.log);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

static void test_a_start_is_refused_where_the_log_is_on(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, N_QUEUES);
    log_on(&rig);
    core_rig_begin(&rig);
    core_rig_assert_error(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true),
                          -ENOTSUP);
    assert_non_null(
        strstr(vhost_error_message(vhost_dev_get_error(&rig.dev)), "LOG_ALL"));
    assert_int_equal(vhost_log_stop(rig.map, NULL), 0);
    start(&rig);
    stop(&rig);
    core_rig_down(&rig);
}

static void on_started(struct vhost_dev *dev, int result, void *opaque)
{
    (void)dev;
    *(int *)opaque = result;
}

/* Its features and rings were posted without: so it is switched over. */
static void test_a_start_under_way_logs_too(void **state)
{
    struct core_rig rig;
    int result = 1;

    (void)state;
    begin(&rig);
    rig.fake.slow = rig.fake.slow_left = 3;
    assert_int_equal(
        vhost_dev_start_async(&rig.dev, &rig.vdev, true, on_started, &result),
        0);
    assert_logs(&rig, false);
    log_on(&rig);
    for (unsigned i = 0; i < 10 && result > 0; i++) {
        vhost_dev_dispatch(&rig.dev);
    }
    assert_int_equal(result, 0);
    assert_logs(&rig, true);
    stop(&rig);
    core_rig_down(&rig);
}

struct ended {
    unsigned n;
    int result;
    char words[160];
};

static void on_log(struct vhost_memory_map *map, int result,
                   const struct vhost_error *error, void *opaque)
{
    struct ended *ended = opaque;

    (void)map;
    ended->n++;
    ended->result = result;
    snprintf(ended->words, sizeof(ended->words), "%s",
             error ? vhost_error_message(error) : "");
}

static int switch_log(struct core_rig *rig, bool on, struct ended *ended)
{
    *ended = (struct ended){ .n = 0 };
    return on ? vhost_log_start_async(rig->map, on_log, ended, NULL)
              : vhost_log_stop_async(rig->map, on_log, ended, NULL);
}

static void until_ended(struct core_rig *rig, const struct ended *ended)
{
    for (unsigned i = 0; i < 20 && ended->n == 0; i++) {
        vhost_dev_dispatch(&rig->dev);
    }
    assert_int_equal(ended->n, 1);
}

static void test_the_log_is_switched_without_a_wait(void **state)
{
    struct core_rig rig;
    struct ended ended;

    (void)state;
    begin(&rig);
    start(&rig);
    for (unsigned i = 0; i < 2; i++) {
        rig.fake.slow = rig.fake.slow_left = 3;
        assert_int_equal(switch_log(&rig, true, &ended), -EINPROGRESS);
        assert_int_equal(vhost_dev_stop_async(&rig.dev, &rig.vdev, true,
                                              on_started, &ended.result),
                         -EBUSY);
        until_ended(&rig, &ended);
        assert_int_equal(ended.result, 0);
        assert_logs(&rig, true);
        assert_int_equal(switch_log(&rig, true, &ended), 0); /* it is on */
        assert_int_equal(switch_log(&rig, false, &ended), -EINPROGRESS);
        until_ended(&rig, &ended);
        assert_int_equal(ended.result, 0);
        assert_logs(&rig, false);
    }
    stop(&rig);
    /* A device that stands still has nobody to wait for. */
    assert_int_equal(switch_log(&rig, true, &ended), 0);
    assert_true(rig.dev.log_enabled);
    assert_int_equal(switch_log(&rig, false, &ended), 0);
    core_rig_down(&rig);
}

/* Each call that can fail, at once and late: then nobody logs. */
static void test_a_log_that_is_refused_later_is_off(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        struct core_rig rig;
        struct ended ended;
        unsigned k;

        begin(&rig);
        start(&rig);
        rig.fake.late = late;
        for (k = 1;; k++) {
            fake_forget(&rig.fake);
            rig.fake.slow = rig.fake.slow_left = 2;
            rig.fake.fail_at = k;
            assert_int_equal(switch_log(&rig, true, &ended), -EINPROGRESS);
            until_ended(&rig, &ended);
            if (ended.result == 0) {
                break;
            }
            assert_int_equal(ended.result, -EIO);
            assert_true(ended.words[0] != '\0');
            assert_false(rig.dev.log_enabled);
            assert_null(rig.dev.log);
            assert_int_equal(vhost_log_sync(rig.map, NULL, NULL, NULL),
                             -EINVAL);
            assert_true(vhost_dev_is_started(&rig.dev));
        }
        assert_true(k > 4);
        fake_forget(&rig.fake);
        assert_logs(&rig, true);
        stop(&rig);
        core_rig_down(&rig);
    }
}

static void test_a_log_of_a_device_that_is_cancelled_goes_on(void **state)
{
    struct core_rig rig;
    struct ended ended;

    (void)state;
    begin(&rig);
    start(&rig);
    rig.fake.slow = rig.fake.slow_left = 1000;
    assert_int_equal(switch_log(&rig, true, &ended), -EINPROGRESS);
    assert_int_equal(vhost_dev_cancel(&rig.dev), 0);
    until_ended(&rig, &ended);
    assert_int_equal(ended.result, 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    assert_int_equal(vhost_log_stop(rig.map, NULL), 0);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_why_a_device_can_not_be_migrated),
        cmocka_unit_test(test_back_ends_without_a_log_can_not_be_migrated),
        cmocka_unit_test(test_a_device_that_is_not_started_hears_of_it_later),
        cmocka_unit_test(test_a_device_that_comes_while_it_is_on_logs),
        cmocka_unit_test(test_a_running_device_is_switched_over_and_back),
        cmocka_unit_test(test_queues_that_do_not_run_are_left_alone),
        cmocka_unit_test(test_packed_rings_count_from_their_descriptors),
        cmocka_unit_test(test_a_refusal_at_any_step_is_undone),
        cmocka_unit_test(test_a_refused_end_ends_it_all_the_same),
        cmocka_unit_test(test_each_step_of_a_start_that_logs_may_fail),
        cmocka_unit_test(test_another_log_comes_with_another_size),
        cmocka_unit_test(test_a_refused_larger_log_ends_the_logging),
        cmocka_unit_test(test_a_refused_smaller_log_leaves_the_larger_one),
        cmocka_unit_test(test_a_back_end_that_is_lost_keeps_what_it_was_told),
        cmocka_unit_test(test_a_broken_device_writes_unlogged),
        cmocka_unit_test(test_a_start_is_refused_where_the_log_is_on),
        cmocka_unit_test(test_a_start_under_way_logs_too),
        cmocka_unit_test(test_the_log_is_switched_without_a_wait),
        cmocka_unit_test(test_a_log_that_is_refused_later_is_off),
        cmocka_unit_test(test_a_log_of_a_device_that_is_cancelled_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
