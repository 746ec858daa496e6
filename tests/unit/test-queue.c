/* SPDX-License-Identifier: BSD-3-Clause */
/* One queue: handed over, taken back, masked. */
#include "check.h"

#include "lib/core-rig.h"

/* Starting with queue 0 as it is fails with @code, and words about it. */
static void assert_refused(struct core_rig *rig, int code, const char *words)
{
    core_rig_assert_error(rig, vhost_dev_start(&rig->dev, &rig->vdev, true),
                          code);
    assert_int_equal(vhost_error_queue(rig->dev.error), 0);
    assert_non_null(strstr(vhost_error_message(rig->dev.error), words));
    assert_false(rig->vqs[0].started);
    assert_null(rig->vqs[0].desc);
    assert_null(rig->vqs[0].avail);
    assert_null(rig->vqs[0].used);
    assert_int_equal(fake_count(&rig->fake, "set_vring"), 0);
}

static void test_refuses_rings_that_are_not_in_memory(void **state)
{
    struct core_rig rig;
    struct vhost_vdev_queue good;
    uint64_t end;

    (void)state;
    core_rig_up(&rig, 1);
    good = rig.queues[0];
    end = RIG_GPA + rig.memory.size;

    fake_forget(&rig.fake);
    rig.queues[0].desc = end - 16; /* one of eight entries */
    assert_refused(&rig, -ENOMEM, "descriptor area");
    rig.queues[0] = good;
    rig.queues[0].avail = RIG_GPA - 2;
    assert_refused(&rig, -ENOMEM, "driver area");
    rig.queues[0] = good;
    rig.queues[0].used = UINT64_MAX - 3;
    assert_refused(&rig, -ENOMEM, "device area");

    /* To the last byte it is allowed. */
    rig.queues[0] = good;
    rig.queues[0].desc = end - 16 * RIG_SIZE;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

/* The areas of a ring of eight that just fit before the end of memory. */
static void test_counts_the_bytes_of_a_ring_as_its_features_say(void **state)
{
    static const struct {
        uint64_t features;
        unsigned desc, avail, used;
    } cases[] = {
        { RIG_F_VERSION_1, 128, 4 + 16, 4 + 64 },
        { RIG_F_VERSION_1 | RIG_F_EVENT_IDX, 128, 4 + 16 + 2, 4 + 64 + 2 },
        { RIG_F_VERSION_1 | RIG_F_PACKED, 128, 4, 4 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct core_rig rig;

        core_rig_prepare(&rig, 1);
        rig.fake.offered[0] = cases[i].features;
        core_rig_begin(&rig);
        assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
        assert_int_equal(rig.vqs[0].num, 8);
        assert_int_equal(rig.vqs[0].desc_size, cases[i].desc);
        assert_int_equal(rig.vqs[0].avail_size, cases[i].avail);
        assert_int_equal(rig.vqs[0].used_size, cases[i].used);
        assert_int_equal(rig.vqs[0].desc_phys, rig.queues[0].desc);
        assert_int_equal(rig.vqs[0].avail_phys, rig.queues[0].avail);
        assert_int_equal(rig.vqs[0].used_phys, rig.queues[0].used);
        vhost_dev_stop(&rig.dev, &rig.vdev, true);
        core_rig_down(&rig);
    }
}

static void test_refuses_rings_that_are_not_aligned(void **state)
{
    struct core_rig rig;
    struct vhost_vdev_queue good;

    (void)state;
    core_rig_up(&rig, 1);
    good = rig.queues[0];
    fake_forget(&rig.fake);
    rig.queues[0].desc += 8;
    assert_refused(&rig, -EINVAL, "aligned to 16");
    rig.queues[0] = good;
    rig.queues[0].avail += 1;
    assert_refused(&rig, -EINVAL, "aligned to 2");
    rig.queues[0] = good;
    rig.queues[0].used += 2;
    assert_refused(&rig, -EINVAL, "aligned to 4");
    rig.queues[0] = good;
    rig.queues[0].desc += 16;
    rig.queues[0].avail += 2;
    rig.queues[0].used += 4;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

/* Its driver area is an event suppression structure of 32 bits (2.8). */
static void test_a_packed_ring_has_another_alignment(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.fake.offered[0] = RIG_F_VERSION_1 | RIG_F_PACKED;
    core_rig_begin(&rig);
    fake_forget(&rig.fake);
    rig.queues[0].avail += 2;
    assert_refused(&rig, -EINVAL, "aligned to 4");
    rig.queues[0].avail += 2;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

static void test_refuses_sizes_that_no_ring_has(void **state)
{
    static const uint32_t sizes[] = { 0, 3, 32769, 65536 };
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    fake_forget(&rig.fake);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        rig.queues[0].size = sizes[i];
        assert_refused(&rig, -EINVAL, "entries");
    }
    core_rig_down(&rig);
}

static void test_leaves_a_queue_alone_that_is_not_set_up(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    rig.queues[0].desc = 0;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_false(rig.vqs[0].started);
    assert_int_equal(fake_running(&rig.fake), 1);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_UNSET);
    assert_int_equal(rig.queues[0].base, 100);
    assert_int_equal(rig.queues[1].base_source, VHOST_BASE_FROM_DEVICE);
    core_rig_down(&rig);
}

static void test_takes_the_base_from_where_it_can_be_known(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 3);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.q[0].base = 5;
    rig.fake.q[2].base = 0x10000; /* more than a split ring can have */
    rig.fake.fail_base_of = 1;
    core_rig_set_used_idx(&rig, 1, 0x1234);
    core_rig_set_used_idx(&rig, 2, 0xff);
    assert_true(vhost_dev_stop(&rig.dev, &rig.vdev, true) < 0);
    assert_non_null(vhost_dev_get_error(&rig.dev));
    assert_int_equal(rig.queues[0].base, 5);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_FROM_DEVICE);
    assert_int_equal(rig.queues[1].base, 0x1234);
    assert_int_equal(rig.queues[1].base_source, VHOST_BASE_RECOVERED);
    assert_int_equal(rig.queues[2].base, 0xff);
    assert_int_equal(rig.queues[2].base_source, VHOST_BASE_RECOVERED);
    core_rig_down(&rig);
}

/* The queue of the virtio device is not the one of this vhost device. */
static void test_recovers_the_base_of_the_very_queue(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 4);
    rig.dev.vq_index = 2;
    rig.dev.nvqs = 2;
    core_rig_begin(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    for (unsigned i = 0; i < 4; i++) {
        core_rig_set_used_idx(&rig, i, (uint16_t)(50 + i));
    }
    rig.fake.fail_base_of = 3;
    core_rig_assert_error(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true),
                          -EIO);
    assert_int_equal(vhost_error_queue(rig.dev.error), 3);
    assert_int_equal(rig.queues[2].base, 102);
    assert_int_equal(rig.queues[2].base_source, VHOST_BASE_FROM_DEVICE);
    assert_int_equal(rig.queues[3].base, 53);
    assert_int_equal(rig.queues[3].base_source, VHOST_BASE_RECOVERED);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(rig.vqs[i].started);
        assert_null(rig.vqs[i].used);
    }
    core_rig_down(&rig);
}

static void test_a_batch_refused_as_a_whole_tells_no_base(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.bases_refused = true;
    core_rig_set_used_idx(&rig, 0, 9);
    core_rig_assert_error(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true),
                          -ENOMEM);
    assert_int_equal(rig.queues[0].base, 9);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_RECOVERED);
    core_rig_down(&rig);
}

/* Where a lost device stood is read from its rings: they must be there. */
static void test_keeps_the_rings_of_a_lost_device_until_it_stops(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.dev.state = VHOST_DEV_LOST;
    core_rig_set_used_idx(&rig, 0, 21);
    vhost_memory_begin(rig.map);
    assert_int_equal(
        vhost_memory_remove(rig.map, rig.memory.gpa, rig.memory.size), 0);
    assert_int_equal(vhost_memory_commit(rig.map, NULL), -ENOMEM);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    fake_forget(&rig.fake);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), -ENOTCONN);
    assert_int_equal(rig.queues[0].base, 21);
    assert_int_equal(rig.fake.n_calls, 0);
    core_rig_down(&rig);
}

static void test_a_packed_ring_keeps_no_index_to_recover(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 2);
    rig.fake.offered[0] |= RIG_F_PACKED;
    core_rig_begin(&rig);
    rig.queues[0].base = 0x80058003;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.q[0].base, 0x80058003);
    rig.fake.q[1].base = 0x80018001; /* all 32 bits are the base */
    rig.fake.fail_base_of = 0;
    core_rig_assert_error(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true),
                          -EIO);
    assert_int_equal(rig.queues[0].base, 0x80058003);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_UNKNOWN);
    assert_int_equal(rig.queues[1].base, 0x80018001);
    core_rig_down(&rig);
}

static void test_tells_the_byte_order_of_a_legacy_ring(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.vdev.big_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    core_rig_begin(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    /* With VERSION_1 rings are little-endian, whoever has the guest. */
    assert_int_equal(fake_count(&rig.fake, "set_vring_endian"), 0);

    rig.dev.acked_features = 0;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(fake_count(&rig.fake, rig.vdev.big_endian
                                               ? "set_vring_endian 0 1"
                                               : "set_vring_endian 0 0"),
                     1);
    core_rig_set_used_idx(&rig, 0, 0x0102);
    rig.fake.fail_base_of = 0;
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    assert_int_equal(rig.queues[0].base, rig.vdev.big_endian ? 0x0201 : 0x0102);
    core_rig_down(&rig);
}

static void test_keeps_the_calls_of_a_masked_queue(void **state)
{
    struct core_rig rig;
    struct fake_queue *q = &rig.fake.q[1];

    (void)state;
    core_rig_up(&rig, 2);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    fake_forget(&rig.fake);
    assert_int_equal(vhost_virtqueue_mask(&rig.dev, &rig.vdev, 1, true), 0);
    assert_int_equal(q->call_fd, rig.vqs[1].masked_notifier.fd);
    /* Else the back end may still write the old fd. */
    assert_int_equal(rig.fake.n_waits, 1);
    assert_int_equal(rig.fake.n_posted, 0);
    assert_int_equal(rig.fake.q[0].call_fd, rig.call[0].fd);

    vhost_notifier_set(&(struct vhost_notifier){ .fd = q->call_fd });
    assert_int_equal(vhost_virtqueue_mask(&rig.dev, &rig.vdev, 1, false), 0);
    assert_int_equal(q->call_fd, rig.call[1].fd);
    assert_true(vhost_virtqueue_pending(&rig.dev, 1));
    assert_false(vhost_virtqueue_pending(&rig.dev, 1));
    assert_false(vhost_virtqueue_pending(&rig.dev, 0));
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

static void test_a_masked_queue_stays_masked_over_a_restart(void **state)
{
    struct core_rig rig;
    int masked_fd;

    (void)state;
    core_rig_up(&rig, 1);
    masked_fd = rig.vqs[0].masked_notifier.fd;
    assert_int_equal(vhost_virtqueue_mask(&rig.dev, &rig.vdev, 0, true), 0);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.q[0].call_fd, masked_fd);
    vhost_notifier_set(&(struct vhost_notifier){ .fd = masked_fd });
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.q[0].call_fd, masked_fd);
    /* The driver has not heard of that call, nor will anyone repeat it. */
    assert_int_equal(vhost_virtqueue_mask(&rig.dev, &rig.vdev, 0, false), 0);
    assert_true(vhost_virtqueue_pending(&rig.dev, 0));
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
}

static void test_a_mask_that_fails_changes_nothing(void **state)
{
    (void)state;
    for (unsigned k = 1; k <= 2; k++) {
        struct core_rig rig;

        core_rig_up(&rig, 1);
        fake_forget(&rig.fake);
        rig.fake.fail_at = k;
        assert_int_equal(vhost_virtqueue_mask(&rig.dev, &rig.vdev, 0, true),
                         -EIO);
        assert_false(rig.vqs[0].masked);
        core_rig_down(&rig);
    }
}

static void test_a_mask_does_not_outlive_the_device(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    assert_int_equal(vhost_virtqueue_mask(&rig.dev, &rig.vdev, 0, true), 0);
    vhost_dev_cleanup(&rig.dev);
    assert_false(rig.vqs[0].masked);
    rig.dev = (struct vhost_dev){
        .vqs = rig.vqs, .nvqs = 1, .map = rig.map, .vhost_ops = &fake_ops
    };
    core_rig_begin(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.q[0].call_fd, rig.call[0].fd);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

static void test_the_stop_of_one_queue_may_find_the_back_end_gone(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    core_rig_set_used_idx(&rig, 1, 9);
    fake_forget(&rig.fake);
    rig.fake.fail_at = 1;
    rig.fake.fail_code = -ECONNRESET;
    core_rig_assert_error(
        &rig, vhost_virtqueue_stop(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
        -ECONNRESET);
    assert_int_equal(rig.queues[1].base, 9);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    core_rig_assert_error(
        &rig, vhost_virtqueue_start(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
        -ENOTCONN);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

static void
test_hands_a_queue_without_call_fd_to_a_driver_that_polls(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 1);
    rig.queues[0].call_fd = -1;
    rig.queues[0].kick_fd = -1;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.q[0].call_fd, -1);
    assert_int_equal(rig.fake.q[0].kick_fd, -1);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

/* The driver resets one queue (RING_RESET) while the others go on. */
static void test_takes_back_one_queue_and_hands_it_over_again(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_up(&rig, 2);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.q[1].base = 77;
    assert_int_equal(vhost_virtqueue_stop(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
                     0);
    assert_int_equal(rig.queues[1].base, 77);
    assert_true(rig.fake.q[0].runs);
    assert_false(rig.fake.q[1].runs);
    assert_true(rig.dev.started);

    for (unsigned k = 1; k <= 6; k++) { /* each call; and the wait */
        fake_forget(&rig.fake);
        rig.fake.fail_at = k;
        core_rig_assert_error(
            &rig, vhost_virtqueue_start(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
            -EIO);
        assert_false(rig.vqs[1].started);
        assert_false(rig.fake.q[1].runs);
        assert_true(rig.vqs[0].started);
        assert_int_equal(rig.queues[1].base, 77);
    }
    fake_forget(&rig.fake);
    vhost_notifier_test_and_clear(&rig.kick[1]);
    assert_int_equal(vhost_virtqueue_start(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
                     0);
    assert_true(rig.fake.q[1].runs);
    assert_int_equal(rig.fake.q[1].base, 77);
    assert_int_equal(rig.fake.n_posted, 0);
    assert_true(vhost_notifier_test_and_clear(&rig.kick[1]));
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_rings_that_are_not_in_memory),
        cmocka_unit_test(test_counts_the_bytes_of_a_ring_as_its_features_say),
        cmocka_unit_test(test_refuses_rings_that_are_not_aligned),
        cmocka_unit_test(test_a_packed_ring_has_another_alignment),
        cmocka_unit_test(test_refuses_sizes_that_no_ring_has),
        cmocka_unit_test(test_leaves_a_queue_alone_that_is_not_set_up),
        cmocka_unit_test(test_takes_the_base_from_where_it_can_be_known),
        cmocka_unit_test(test_recovers_the_base_of_the_very_queue),
        cmocka_unit_test(test_a_batch_refused_as_a_whole_tells_no_base),
        cmocka_unit_test(test_keeps_the_rings_of_a_lost_device_until_it_stops),
        cmocka_unit_test(test_a_packed_ring_keeps_no_index_to_recover),
        cmocka_unit_test(test_tells_the_byte_order_of_a_legacy_ring),
        cmocka_unit_test(test_keeps_the_calls_of_a_masked_queue),
        cmocka_unit_test(test_a_masked_queue_stays_masked_over_a_restart),
        cmocka_unit_test(test_a_mask_that_fails_changes_nothing),
        cmocka_unit_test(test_a_mask_does_not_outlive_the_device),
        cmocka_unit_test(test_the_stop_of_one_queue_may_find_the_back_end_gone),
        cmocka_unit_test(
            test_hands_a_queue_without_call_fd_to_a_driver_that_polls),
        cmocka_unit_test(test_takes_back_one_queue_and_hands_it_over_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
