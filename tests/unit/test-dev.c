/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking up a back end, letting go of it, and what it says unasked. */
#include "check.h"

#include <poll.h>
#include <stdlib.h>

#include "lib/core-rig.h"

static bool is_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static void
test_gives_each_queue_somewhere_to_call_before_any_start(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 3);
    assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
    assert_int_equal(rig.dev.max_queues, FAKE_QUEUES);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(rig.fake.q[i].call_fd >= 0);
        assert_int_equal(rig.fake.q[i].call_fd, rig.vqs[i].masked_notifier.fd);
        assert_int_equal(rig.fake.q[i].err_fd, rig.vqs[i].error_notifier.fd);
        assert_ptr_equal(rig.vqs[i].dev, &rig.dev);
    }
    assert_int_equal(fake_count(&rig.fake, "set_owner"), 1);
    assert_int_equal(fake_count(&rig.fake, "set_busyloop"), 0);
    assert_int_equal(fake_count(&rig.fake, "set_features"), 0);
    assert_int_equal(fake_count(&rig.fake, "set_mem_table"), 0);
    core_rig_down(&rig);
}

static void test_fails_clean_at_every_step_of_init(void **state)
{
    struct core_rig rig;
    unsigned k;

    (void)state;
    core_rig_prepare(&rig, 2);
    for (k = 1;; k++) {
        const struct vhost_dev before = rig.dev;
        struct vhost_error *err = NULL;
        unsigned n_fds = fake_n_fds();
        int r;

        fake_forget(&rig.fake);
        rig.fake.fail_at = k;
        r = vhost_dev_init(&rig.dev, &rig.fake, VHOST_BACKEND_TYPE_NONE, 50,
                           &err);
        if (r == 0) {
            assert_null(err);
            break;
        }
        assert_int_equal(r, -EIO);
        assert_int_equal(vhost_error_code(err), -EIO);
        vhost_error_free(err);
        assert_memory_equal(&rig.dev, &before, sizeof(before));
        assert_int_equal(fake_n_fds(), n_fds);
        assert_false(rig.fake.up);
        assert_int_equal(fake_count(&rig.fake, "cleanup"), 1);
        assert_null(rig.vqs[0].dev);
        /* The map has no listener left. */
        assert_int_equal(vhost_get_max_memslots(rig.map), UINT32_MAX);
    }
    /* init, owner, features; call, error and busy loop of each queue */
    assert_int_equal(k - 1, 3 + 2 * 3);
    assert_int_equal(rig.fake.q[1].busyloop, 50);
    core_rig_down(&rig);
}

static void test_cleans_up_after_a_failed_init_and_twice(void **state)
{
    struct core_rig rig;
    static const struct vhost_dev zero;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.fake.fail_at = 3;
    assert_int_equal(core_rig_init(&rig, NULL), -EIO);
    vhost_dev_cleanup(&rig.dev);
    assert_memory_equal(&rig.dev, &zero, sizeof(zero));
    vhost_dev_cleanup(&rig.dev);
    core_rig_down(&rig);
}

static void test_says_how_many_queues_are_needed(void **state)
{
    struct vhost_error *err = NULL;
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 4);
    rig.dev.num_queues = 4;
    rig.fake.queues = 1;
    assert_int_equal(core_rig_init(&rig, &err), -EINVAL);
    assert_string_equal(vhost_error_message(err),
                        "the back end has 1 queue, 4 are needed");
    vhost_error_free(err);

    err = NULL;
    rig.fake.queues = 4;
    assert_int_equal(core_rig_init(&rig, &err), 0);
    core_rig_down(&rig);
}

static void test_knows_which_kinds_this_build_lacks(void **state)
{
    static const VhostBackendType kinds[] = { VHOST_BACKEND_TYPE_NONE,
                                              VHOST_BACKEND_TYPE_MAX,
                                              (VhostBackendType)77 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct vhost_virtqueue vq = { .kick = 0 };
        struct vhost_dev dev = { .vqs = &vq, .nvqs = 1 };
        struct vhost_error *err = NULL;

        assert_int_equal(vhost_dev_init(&dev, NULL, kinds[i], 0, &err),
                         -ENOTSUP);
        assert_int_equal(vhost_error_code(err), -ENOTSUP);
        assert_null(dev.priv);
        vhost_error_free(err);
    }
}

static void test_does_without_what_a_back_end_may_lack(void **state)
{
    VhostOps least = {
        .vhost_backend_init = fake_init,
        .vhost_backend_cleanup = fake_cleanup,
        .vhost_backend_memslots_limit = fake_slots,
        .vhost_get_features_ex = fake_get_features,
        .vhost_set_features_ex = fake_set_features,
        .vhost_set_mem_table = fake_set_mem_table,
        .vhost_set_vring_num = fake_vring_num,
        .vhost_set_vring_base = fake_vring_base,
        .vhost_set_vring_addr = fake_vring_addr,
        .vhost_set_vring_kick = fake_vring_kick,
        .vhost_set_vring_call = fake_vring_call,
        .vhost_get_vring_base = fake_get_vring_base,
    };
    struct vhost_error *err = NULL;
    struct core_rig rig;
    uint8_t byte;

    (void)state;
    core_rig_prepare(&rig, 2);
    rig.dev.vhost_ops = &least;
    core_rig_begin(&rig);
    assert_int_equal(rig.vqs[0].error_notifier.fd, -1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(vhost_dev_get_config(&rig.dev, &byte, 1, &err), -ENOSYS);
    assert_int_equal(vhost_error_code(err), -ENOSYS);
    vhost_error_free(err);
    rig.fake.q[1].base = 7;
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.queues[1].base, 7);

    vhost_dev_cleanup(&rig.dev);
    rig.dev =
        (struct vhost_dev){ .vqs = rig.vqs, .nvqs = 2, .vhost_ops = &least };
    assert_int_equal(
        vhost_dev_init(&rig.dev, &rig.fake, VHOST_BACKEND_TYPE_NONE, 50, NULL),
        -EINVAL);
    core_rig_down(&rig);
}

/* What the owner was told. */
struct told {
    unsigned errors[4];
    unsigned lost;
    char reason[128];
};

static void on_vring_error(struct vhost_vdev *vdev, unsigned queue)
{
    struct told *told = vdev->opaque;

    told->errors[queue]++;
}

static void on_lost(struct vhost_vdev *vdev, const char *reason)
{
    struct told *told = vdev->opaque;

    told->lost++;
    snprintf(told->reason, sizeof(told->reason), "%s", reason);
}

static const struct vhost_vdev_ops owner = {
    .vring_error = on_vring_error,
    .lost = on_lost,
};

static void test_tells_the_owner_which_ring_is_broken(void **state)
{
    struct told told = { .lost = 0 };
    struct core_rig rig;
    int fd;

    (void)state;
    core_rig_up(&rig, 2);
    rig.vdev.ops = &owner;
    rig.vdev.opaque = &told;
    fd = vhost_dev_get_fd(&rig.dev);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_false(is_readable(fd));
    assert_int_equal(vhost_notifier_set(&rig.vqs[1].error_notifier), 0);
    assert_true(is_readable(fd));
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(told.errors[0], 0);
    assert_int_equal(told.errors[1], 1);
    assert_false(is_readable(fd));
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(told.errors[1], 1);

    /* Nobody is told of a queue that does not run, but the fd is drained. */
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(vhost_notifier_set(&rig.vqs[0].error_notifier), 0);
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(told.errors[0], 0);
    assert_false(is_readable(fd));
    core_rig_down(&rig);
}

static void test_counts_queues_as_the_virtio_device_does(void **state)
{
    struct told told = { .lost = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 4);
    rig.dev.vq_index = 2;
    rig.dev.nvqs = 2;
    core_rig_begin(&rig);
    rig.vdev.ops = &owner;
    rig.vdev.opaque = &told;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    vhost_notifier_set(&(struct vhost_notifier){ .fd = rig.fake.q[3].err_fd });
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(told.errors[1], 0);
    assert_int_equal(told.errors[3], 1);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

static void lose(int code, enum vhost_dev_state expected)
{
    struct vhost_notifier channel;
    struct told told = { .lost = 0 };
    struct core_rig rig;
    int fd;

    assert_int_equal(vhost_notifier_init(&channel, false), 0);
    core_rig_prepare(&rig, 1);
    rig.fake.fd = channel.fd;
    core_rig_begin(&rig);
    rig.vdev.ops = &owner;
    rig.vdev.opaque = &told;
    fd = vhost_dev_get_fd(&rig.dev);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(fake_count(&rig.fake, "dispatch"), 0);

    vhost_notifier_set(&channel); /* readable for good, as a closed socket */
    rig.fake.dispatched = code;
    core_rig_assert_error(&rig, vhost_dev_dispatch(&rig.dev), code);
    assert_int_equal(rig.dev.state, expected);
    assert_int_equal(told.lost, 1);
    assert_true(told.reason[0] != '\0');
    /* The owner's loop must not spin until it has cleaned up. */
    assert_false(is_readable(fd));
    assert_true(vhost_dev_dispatch(&rig.dev) < 0);
    assert_int_equal(told.lost, 1);
    assert_true(vhost_dev_stop(&rig.dev, &rig.vdev, true) < 0);
    assert_int_equal(rig.dev.state, expected);
    core_rig_down(&rig);
    vhost_notifier_cleanup(&channel);
}

static void test_tells_the_owner_once_that_the_back_end_is_gone(void **state)
{
    (void)state;
    lose(-ENOTCONN, VHOST_DEV_LOST);
    lose(-ECONNRESET, VHOST_DEV_LOST);
    lose(-EPROTO, VHOST_DEV_BROKEN);
}

static void test_tells_of_a_loss_that_another_call_found(void **state)
{
    struct told told = { .lost = 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    rig.vdev.ops = &owner;
    rig.vdev.opaque = &told;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    fake_forget(&rig.fake);
    rig.fake.fail_at = 1;
    rig.fake.fail_code = -ECONNRESET;
    core_rig_assert_error(
        &rig, vhost_dev_set_config(&rig.dev, (const uint8_t *)"", 0, 1, 0),
        -ECONNRESET);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    assert_int_equal(told.lost, 0);
    assert_int_equal(vhost_dev_dispatch(&rig.dev), -ENOTCONN);
    assert_int_equal(told.lost, 1);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

static void test_two_devices_know_nothing_of_each_other(void **state)
{
    struct told told_a = { .lost = 0 }, told_b = { .lost = 0 };
    struct core_rig a, b;

    (void)state;
    core_rig_prepare(&a, 2);
    core_rig_prepare(&b, 2);
    core_rig_begin(&a);
    core_rig_begin(&b);
    a.vdev.ops = b.vdev.ops = &owner;
    a.vdev.opaque = &told_a;
    b.vdev.opaque = &told_b;
    assert_int_equal(vhost_dev_start(&a.dev, &a.vdev, true), 0);
    assert_int_equal(vhost_dev_start(&b.dev, &b.vdev, true), 0);
    vhost_notifier_set(&a.vqs[1].error_notifier);
    assert_int_equal(vhost_dev_dispatch(&b.dev), 0);
    assert_int_equal(told_a.errors[1] + told_b.errors[1], 0);
    assert_int_equal(vhost_dev_dispatch(&a.dev), 0);
    assert_int_equal(told_a.errors[1], 1);

    fake_forget(&a.fake);
    a.fake.fail_at = 1;
    a.fake.fail_code = -ECONNRESET;
    core_rig_assert_error(
        &a, vhost_dev_set_config(&a.dev, (const uint8_t *)"", 0, 1, 0),
        -ECONNRESET);
    assert_int_equal(vhost_dev_dispatch(&a.dev), -ENOTCONN);
    assert_int_equal(vhost_dev_dispatch(&b.dev), 0);
    assert_null(vhost_dev_get_error(&b.dev));
    assert_int_equal(told_b.lost, 0);
    assert_int_equal(vhost_dev_stop(&b.dev, &b.vdev, true), 0);
    /* Words live until the next call for the same device. */
    assert_int_equal(vhost_error_code(vhost_dev_get_error(&a.dev)), -ENOTCONN);
    vhost_dev_stop(&a.dev, &a.vdev, true);
    vhost_dev_cleanup(&a.dev);
    core_rig_down(&b);
    core_rig_down(&a);
}

static void test_an_odd_failure_of_dispatch_loses_nothing(void **state)
{
    struct vhost_notifier channel;
    struct told told = { .lost = 0 };
    struct core_rig rig;

    (void)state;
    assert_int_equal(vhost_notifier_init(&channel, true), 0);
    core_rig_prepare(&rig, 1);
    rig.fake.fd = channel.fd;
    core_rig_begin(&rig);
    rig.vdev.ops = &owner;
    rig.vdev.opaque = &told;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.dispatched = -ENOMEM;
    core_rig_assert_error(&rig, vhost_dev_dispatch(&rig.dev), -ENOMEM);
    assert_int_equal(rig.dev.state, VHOST_DEV_STARTED);
    assert_int_equal(told.lost, 0);
    rig.fake.dispatched = 0;
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_null(vhost_dev_get_error(&rig.dev));
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
    vhost_notifier_cleanup(&channel);
}

static void test_reads_and_writes_the_configuration(void **state)
{
    struct vhost_error *err = NULL;
    uint8_t config[300] = { 0 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_get_config(&rig.dev, config, 60, &err), 0);
    assert_null(err);
    assert_int_equal(config[59], 0x5a);
    assert_int_equal(config[60], 0);

    assert_int_equal(vhost_dev_set_config(&rig.dev, config, 32, 1, 0), 0);
    assert_int_equal(fake_count(&rig.fake, "set_config 32+1 flags 0"), 1);
    assert_int_equal(vhost_dev_set_config(&rig.dev, config, 0, 256, 1), 0);
    assert_int_equal(fake_count(&rig.fake, "set_config"), 2);

    fake_forget(&rig.fake);
    rig.fake.fail_at = 1;
    rig.fake.fail_code = -EPROTO;
    err = NULL;
    assert_int_equal(vhost_dev_get_config(&rig.dev, config, 8, &err), -EPROTO);
    assert_int_equal(vhost_error_code(err), -EPROTO);
    assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
    vhost_error_free(err);
    core_rig_down(&rig);
}

static int on_config(struct vhost_dev *dev)
{
    (void)dev;
    return 0;
}

/* It is set before the init: a failed one must not take it away. */
static void test_keeps_the_config_notifier_over_a_failed_init(void **state)
{
    static const VhostDevConfigOps ops = { on_config };
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 1);
    vhost_dev_set_config_notifier(&rig.dev, &ops);
    rig.fake.fail_at = 2;
    assert_int_equal(core_rig_init(&rig, NULL), -EIO);
    assert_ptr_equal(rig.dev.config_ops, &ops);
    core_rig_begin(&rig);
    assert_ptr_equal(rig.dev.config_ops, &ops);
    core_rig_down(&rig);
    assert_null(rig.dev.config_ops);
}

/* The owner's side of the doorbells. */
struct doorbells {
    bool open;
    unsigned batches;
    bool assigned[4];
    int refuse; /* queue; -1: none */
};

static void on_begin(struct vhost_vdev *vdev)
{
    struct doorbells *d = vdev->opaque;

    assert_false(d->open);
    d->open = true;
}

static int on_assign(struct vhost_vdev *vdev, unsigned queue, bool assign)
{
    struct doorbells *d = vdev->opaque;

    assert_true(d->open);
    if (assign && d->refuse == (int)queue) {
        return -EBUSY;
    }
    d->assigned[queue] = assign;
    return 0;
}

static void on_commit(struct vhost_vdev *vdev)
{
    struct doorbells *d = vdev->opaque;

    assert_true(d->open);
    d->open = false;
    d->batches++;
}

static void test_routes_all_doorbells_or_none(void **state)
{
    static const struct vhost_vdev_ops ops = { .notifier_begin = on_begin,
                                               .notifier_assign = on_assign,
                                               .notifier_commit = on_commit };
    struct doorbells d = { .refuse = -1 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 3);
    assert_int_equal(vhost_dev_enable_notifiers(&rig.dev, &rig.vdev), 0);
    rig.vdev.ops = &ops;
    rig.vdev.opaque = &d;
    assert_int_equal(vhost_dev_enable_notifiers(&rig.dev, &rig.vdev), 0);
    assert_true(d.assigned[0] && d.assigned[1] && d.assigned[2]);
    assert_int_equal(d.batches, 1);
    vhost_dev_disable_notifiers(&rig.dev, &rig.vdev);
    assert_false(d.assigned[0] || d.assigned[1] || d.assigned[2]);
    assert_int_equal(d.batches, 2);

    for (d.refuse = 0; d.refuse < 3; d.refuse++) {
        core_rig_assert_error(
            &rig, vhost_dev_enable_notifiers(&rig.dev, &rig.vdev), -EBUSY);
        assert_int_equal(vhost_error_queue(rig.dev.error), d.refuse);
        assert_false(d.assigned[0] || d.assigned[1] || d.assigned[2]);
        assert_false(d.open);
    }
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_gives_each_queue_somewhere_to_call_before_any_start),
        cmocka_unit_test(test_fails_clean_at_every_step_of_init),
        cmocka_unit_test(test_cleans_up_after_a_failed_init_and_twice),
        cmocka_unit_test(test_says_how_many_queues_are_needed),
        cmocka_unit_test(test_knows_which_kinds_this_build_lacks),
        cmocka_unit_test(test_does_without_what_a_back_end_may_lack),
        cmocka_unit_test(test_tells_the_owner_which_ring_is_broken),
        cmocka_unit_test(test_counts_queues_as_the_virtio_device_does),
        cmocka_unit_test(test_tells_the_owner_once_that_the_back_end_is_gone),
        cmocka_unit_test(test_tells_of_a_loss_that_another_call_found),
        cmocka_unit_test(test_two_devices_know_nothing_of_each_other),
        cmocka_unit_test(test_an_odd_failure_of_dispatch_loses_nothing),
        cmocka_unit_test(test_reads_and_writes_the_configuration),
        cmocka_unit_test(test_keeps_the_config_notifier_over_a_failed_init),
        cmocka_unit_test(test_routes_all_doorbells_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
