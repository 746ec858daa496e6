/* SPDX-License-Identifier: BSD-3-Clause */
/* Start and stop that never wait: the same steps, the same end. */
#include <poll.h>

#include "check.h"

#include "lib/core-rig.h"

struct heard {
    unsigned n;
    int result;
    char words[160];
    bool stop_next;
    struct core_rig *rig;
};

static void on_done(struct vhost_dev *dev, int result, void *opaque)
{
    struct heard *heard = opaque;
    const struct vhost_error *error = vhost_dev_get_error(dev);

    heard->n++;
    heard->result = result;
    snprintf(heard->words, sizeof(heard->words), "%s",
             error ? vhost_error_message(error) : "");
    if (heard->stop_next) {
        heard->stop_next = false;
        assert_int_equal(
            vhost_dev_stop_async(dev, &heard->rig->vdev, true, on_done, heard),
            0);
    }
}

/* As an owner's loop would, until there is nothing to do any more. */
static unsigned loop(struct core_rig *rig)
{
    struct pollfd pfd = { .fd = vhost_dev_get_fd(&rig->dev), .events = POLLIN };
    unsigned n = 0;

    while (poll(&pfd, 1, 20) > 0) {
        vhost_dev_dispatch(&rig->dev);
        n++;
    }
    return n;
}

static int start(struct core_rig *rig, struct heard *heard)
{
    return vhost_dev_start_async(&rig->dev, &rig->vdev, true, on_done, heard);
}

static int stop(struct core_rig *rig, struct heard *heard)
{
    return vhost_dev_stop_async(&rig->dev, &rig->vdev, true, on_done, heard);
}

static void test_starts_and_stops_without_a_wait(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    rig.fake.slow = rig.fake.slow_left = 3;
    assert_int_equal(start(&rig, &heard), 0);
    assert_false(vhost_dev_is_started(&rig.dev));
    assert_int_equal(heard.n, 0);
    assert_int_equal(loop(&rig), 3);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.result, 0);
    assert_true(vhost_dev_is_started(&rig.dev));
    assert_int_equal(rig.dev.state, VHOST_DEV_STARTED);
    assert_int_equal(fake_running(&rig.fake), 2);

    rig.fake.q[0].base = 7;
    assert_int_equal(stop(&rig, &heard), 0);
    assert_true(vhost_dev_is_started(&rig.dev));
    loop(&rig);
    assert_int_equal(heard.n, 2);
    assert_int_equal(heard.result, 0);
    assert_false(vhost_dev_is_started(&rig.dev));
    assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
    assert_int_equal(rig.queues[0].base, 7);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_FROM_DEVICE);
    core_rig_down(&rig);
}

/* No call of the owner's is held by many queues, and none of these is lost. */
static void test_many_queues_are_posted_a_few_at_a_time(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;
    unsigned n = 0;

    (void)state;
    core_rig_up(&rig, 20);
    fake_forget(&rig.fake);
    assert_int_equal(start(&rig, &heard), 0);
    do {
        unsigned posted = fake_count(&rig.fake, "set_vring_num");

        assert_in_range(posted - n, 0, 8);
        n = posted;
        assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    } while (heard.n == 0);
    assert_in_range(fake_count(&rig.fake, "set_vring_num") - n, 1, 8);
    assert_int_equal(heard.result, 0);
    assert_int_equal(fake_running(&rig.fake), 20);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);

    /* Cancelled when some are posted: those are taken back. */
    heard.n = 0;
    assert_int_equal(start(&rig, &heard), 0);
    assert_int_equal(vhost_dev_cancel(&rig.dev), 0);
    loop(&rig);
    assert_int_equal(heard.result, -ECANCELED);
    assert_int_equal(fake_running(&rig.fake), 0);
    core_rig_down(&rig);
}

static void test_an_end_at_once_is_told_by_dispatch_too(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(start(&rig, &heard), 0);
    assert_int_equal(heard.n, 0);
    assert_int_equal(loop(&rig), 1);
    assert_int_equal(heard.n, 1);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
}

/* Each call that can fail, at once and late, leaves what was before. */
static void test_a_failed_start_leaves_what_was_before(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        struct core_rig rig;
        unsigned k;

        core_rig_up(&rig, 2);
        rig.fake.late = late;
        for (k = 1;; k++) {
            struct heard heard = { .n = 0 };

            fake_forget(&rig.fake);
            rig.fake.slow = rig.fake.slow_left = 2;
            rig.fake.fail_at = k;
            assert_int_equal(start(&rig, &heard), 0);
            loop(&rig);
            assert_int_equal(heard.n, 1);
            if (heard.result == 0) {
                break;
            }
            assert_int_equal(heard.result, -EIO);
            assert_true(heard.words[0] != '\0');
            assert_int_equal(fake_running(&rig.fake), 0);
            assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
            assert_null(rig.dev.vdev);
            assert_int_equal(rig.queues[0].base, 100);
        }
        assert_true(k > 10);
        fake_forget(&rig.fake);
        assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
        core_rig_down(&rig);
    }
}

static void test_one_thing_at_a_time(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    rig.fake.slow = rig.fake.slow_left = 2;
    assert_int_equal(start(&rig, &heard), 0);
    assert_int_equal(start(&rig, &heard), -EBUSY);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), -EBUSY);
    core_rig_assert_error(&rig, -EBUSY, -EBUSY);
    assert_int_equal(vhost_virtqueue_stop(&rig.dev, &rig.vdev, &rig.vqs[0], 0),
                     -EBUSY);
    loop(&rig);
    assert_int_equal(heard.n, 1);
    assert_int_equal(stop(&rig, &heard), 0);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), -EBUSY);
    loop(&rig);
    assert_int_equal(heard.n, 2);
    core_rig_down(&rig);
}

static void test_what_is_told_of_an_end_may_begin_the_next(void **state)
{
    struct core_rig rig;
    struct heard heard = { .stop_next = true, .rig = &rig };

    (void)state;
    core_rig_up(&rig, 2);
    rig.fake.slow = rig.fake.slow_left = 1;
    assert_int_equal(start(&rig, &heard), 0);
    loop(&rig);
    assert_int_equal(heard.n, 2);
    assert_int_equal(heard.result, 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
    core_rig_down(&rig);
}

static void test_a_cancelled_start_is_taken_back(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    assert_int_equal(vhost_dev_cancel(&rig.dev), -ENOENT);
    rig.fake.slow = rig.fake.slow_left = 1000000;
    assert_int_equal(start(&rig, &heard), 0);
    assert_int_equal(fake_running(&rig.fake), 2);
    assert_int_equal(vhost_dev_cancel(&rig.dev), 0);
    assert_int_equal(vhost_dev_cancel(&rig.dev), -EALREADY);
    assert_int_equal(heard.n, 0);
    rig.fake.slow = rig.fake.slow_left = 2;
    loop(&rig);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.result, -ECANCELED);
    assert_non_null(strstr(heard.words, "cancelled"));
    assert_int_equal(fake_running(&rig.fake), 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
}

static void test_a_cancelled_stop_gives_the_connection_up(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    core_rig_set_used_idx(&rig, 1, 123);
    rig.fake.slow = rig.fake.slow_left = 1000000;
    assert_int_equal(stop(&rig, &heard), 0);
    assert_int_equal(vhost_dev_cancel(&rig.dev), 0);
    loop(&rig);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.result, -ECANCELED);
    assert_false(vhost_dev_is_started(&rig.dev));
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    core_rig_down(&rig);
}

static void test_cleanup_ends_what_is_under_way(void **state)
{
    (void)state;
    for (unsigned stopping = 0; stopping < 2; stopping++) {
        struct heard heard = { .n = 0 };
        struct core_rig rig;

        core_rig_up(&rig, 2);
        if (stopping) {
            assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
        }
        rig.fake.slow = rig.fake.slow_left = 1000000;
        assert_int_equal(stopping ? stop(&rig, &heard) : start(&rig, &heard),
                         0);
        core_rig_down(&rig);
        assert_int_equal(heard.n, 1);
        assert_int_equal(heard.result, -ECANCELED);
        assert_null(rig.vdev.dev);
    }
}

static void test_a_back_end_that_goes_ends_a_start(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    rig.fake.slow = rig.fake.slow_left = 2;
    rig.fake.late = true;
    rig.fake.fail_code = -ENOTCONN;
    rig.fake.fail_at = rig.fake.n_fallible + 3;
    assert_int_equal(start(&rig, &heard), 0);
    loop(&rig);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.result, -ENOTCONN);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    assert_false(vhost_dev_is_started(&rig.dev));
    core_rig_down(&rig);
}

/* Memory */

struct committed {
    unsigned n;
    int result;
    unsigned n_released;
    unsigned released_before; /* done() was called */
    char words[160];
};

static void on_committed(struct vhost_memory_map *map, int result,
                         const struct vhost_error *error, void *opaque)
{
    struct committed *c = opaque;

    (void)map;
    c->n++;
    c->result = result;
    c->released_before = c->n_released;
    snprintf(c->words, sizeof(c->words), "%s",
             error ? vhost_error_message(error) : "");
}

static void on_release(void *opaque)
{
    ((struct committed *)opaque)->n_released++;
}

/* A second section comes, or goes. */
static int change(struct core_rig *rig, struct committed *c, bool come)
{
    static struct vhost_memory_section more;
    struct vhost_error *err = NULL;
    int r;

    vhost_memory_begin(rig->map);
    if (come) {
        assert_int_equal(vhost_memory_alloc(&more, 0x10000, 0, &err), 0);
        more.gpa = RIG_GPA + 0x1000000;
        more.release = on_release;
        more.opaque = c;
        assert_int_equal(vhost_memory_add(rig->map, &more), 0);
    } else {
        assert_int_equal(vhost_memory_remove(rig->map, more.gpa, more.size), 0);
    }
    r = vhost_memory_commit_async(rig->map, on_committed, c, &err);
    vhost_error_free(err);
    if (!come) {
        if (rig->dev.priv) {
            loop(rig);
        }
        vhost_memory_free(&more);
    }
    return r;
}

static void test_memory_comes_and_goes_without_a_wait(void **state)
{
    struct committed c = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.slow = rig.fake.slow_left = 2;
    assert_int_equal(change(&rig, &c, true), -EINPROGRESS);
    assert_int_equal(c.n, 0);
    loop(&rig);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.result, 0);
    assert_int_equal(rig.fake.n_regions, 2);
    assert_int_equal(change(&rig, &c, false), -EINPROGRESS);
    assert_int_equal(c.n, 2);
    assert_int_equal(c.result, 0);
    assert_int_equal(c.n_released, 1);
    assert_int_equal(c.released_before, 1);
    assert_int_equal(rig.fake.n_regions, 1);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
}

static void change_memory(struct core_rig *rig, int result)
{
    static char more[0x1000];
    struct vhost_memory_section section = {
        .gpa = 0x40000000, .size = sizeof(more), .hva = more, .fd = -1
    };
    struct vhost_error *error = NULL;

    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, &section), 0);
    assert_int_equal(vhost_memory_commit(rig->map, &error), result);
    assert_int_equal(error != NULL, result < 0);
    vhost_error_free(error);
}

static void remove_memory(struct core_rig *rig)
{
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_remove(rig->map, 0x40000000, 0x1000), 0);
    assert_int_equal(vhost_memory_commit(rig->map, NULL), 0);
}

/* Else its rings would run over a table that the map has left behind. */
static void test_a_start_under_way_hears_of_changes(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;
    unsigned regions;

    (void)state;
    core_rig_up(&rig, 2);
    rig.fake.slow = rig.fake.slow_left = 3;
    assert_int_equal(start(&rig, &heard), 0);
    regions = rig.fake.n_regions;
    change_memory(&rig, 0);
    assert_int_equal(rig.fake.n_regions, regions + 1);
    loop(&rig);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.result, 0);
    assert_true(vhost_dev_is_started(&rig.dev));
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    remove_memory(&rig);
    core_rig_down(&rig);
}

/* Whose refusal it was that the change was told, nobody knows. */
static void test_a_refusal_told_to_a_change_fails_the_start_too(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    rig.fake.late = true;
    rig.fake.slow = rig.fake.slow_left = 3;
    fake_forget(&rig.fake);
    rig.fake.fail_at = 3;
    assert_int_equal(start(&rig, &heard), 0);
    change_memory(&rig, -EIO);
    loop(&rig);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.result, -EIO);
    assert_non_null(strstr(heard.words, "refused something"));
    assert_false(vhost_dev_is_started(&rig.dev));
    assert_int_equal(fake_running(&rig.fake), 0);
    remove_memory(&rig);
    core_rig_down(&rig);
}

/* Somebody else reads the answers: the loop is not left waiting for them. */
static void test_an_answer_read_by_another_call_wakes_the_loop(void **state)
{
    struct heard heard = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    rig.fake.timeout = 60000;
    rig.fake.slow = rig.fake.slow_left = 1;
    assert_int_equal(start(&rig, &heard), 0);
    assert_int_equal(loop(&rig), 0); /* nothing comes by itself */
    assert_int_equal(heard.n, 0);
    assert_int_equal(vhost_virtqueue_mask(&rig.dev, &rig.vdev, 1, true), 0);
    loop(&rig);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.result, 0);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
}

static void test_what_waits_for_nobody_ends_at_once(void **state)
{
    struct committed c = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1); /* and is not started */
    assert_int_equal(change(&rig, &c, true), 0);
    assert_int_equal(change(&rig, &c, false), 0);
    assert_int_equal(c.n, 0);
    assert_int_equal(c.n_released, 1);
    core_rig_down(&rig);
}

static void test_a_change_that_is_refused_breaks_the_device(void **state)
{
    struct committed c = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.slow = rig.fake.slow_left = 1;
    rig.fake.late = true;
    rig.fake.fail_at = rig.fake.n_fallible + 1;
    assert_int_equal(change(&rig, &c, true), -EINPROGRESS);
    loop(&rig);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.result, -EIO);
    assert_true(c.words[0] != '\0');
    assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    vhost_dev_cleanup(&rig.dev);
    change(&rig, &c, false);
    assert_int_equal(c.n_released, 1);
    core_rig_down(&rig);
}

static void test_a_device_that_is_cancelled_holds_up_no_change(void **state)
{
    struct committed c = { .n = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.slow = rig.fake.slow_left = 1000000;
    assert_int_equal(change(&rig, &c, true), -EINPROGRESS);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), -EBUSY);
    assert_int_equal(vhost_dev_cancel(&rig.dev), 0);
    loop(&rig);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.result, 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    assert_int_equal(change(&rig, &c, false), 0);
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_and_stops_without_a_wait),
        cmocka_unit_test(test_many_queues_are_posted_a_few_at_a_time),
        cmocka_unit_test(test_an_end_at_once_is_told_by_dispatch_too),
        cmocka_unit_test(test_a_failed_start_leaves_what_was_before),
        cmocka_unit_test(test_one_thing_at_a_time),
        cmocka_unit_test(test_what_is_told_of_an_end_may_begin_the_next),
        cmocka_unit_test(test_a_cancelled_start_is_taken_back),
        cmocka_unit_test(test_a_cancelled_stop_gives_the_connection_up),
        cmocka_unit_test(test_cleanup_ends_what_is_under_way),
        cmocka_unit_test(test_a_back_end_that_goes_ends_a_start),
        cmocka_unit_test(test_memory_comes_and_goes_without_a_wait),
        cmocka_unit_test(test_a_start_under_way_hears_of_changes),
        cmocka_unit_test(test_a_refusal_told_to_a_change_fails_the_start_too),
        cmocka_unit_test(test_an_answer_read_by_another_call_wakes_the_loop),
        cmocka_unit_test(test_what_waits_for_nobody_ends_at_once),
        cmocka_unit_test(test_a_change_that_is_refused_breaks_the_device),
        cmocka_unit_test(test_a_device_that_is_cancelled_holds_up_no_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
