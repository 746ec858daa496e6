/* SPDX-License-Identifier: BSD-3-Clause */
/* The vDPA back end under the core: taking up a device, start, stop, words. */
#include "lib/vdpa-rig.h"

static void test_a_device_is_asked_what_it_is(void **state)
{
    struct vhost_vdpa_info info;
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.caps |= UINT64_C(1) << 40;
    rig.k.range = (struct vhost_vdpa_iova_range){ 0x1000, 0xffffffff };
    assert_int_equal(rig_init(&rig), 0);
    vhost_vdpa_get_info(rig.vdpa, &info);
    assert_int_equal(info.device_id, 2);
    assert_int_equal(info.config_size, 300);
    assert_int_equal(info.queues, FAKE_QUEUES);
    assert_int_equal(info.max_queue_size, 256);
    assert_int_equal(info.groups, 2);
    assert_int_equal(info.address_spaces, 2);
    assert_int_equal(info.iova_first, 0x1000);
    assert_int_equal(info.iova_last, 0xffffffff);
    assert_int_equal(info.features[0], rig.k.offered);
    /* Only what we know is taken. */
    assert_int_equal(rig.k.acked_caps, FAKE_ALL_CAPS);
    assert_int_equal(info.acked_backend_features, FAKE_ALL_CAPS);
    assert_int_equal(rig.k.status, VH_VDPA_ACKNOWLEDGE | VH_VDPA_DRIVER);
    rig_down(&rig);
}

static void test_an_old_kernel_has_one_group_and_all_addresses(void **state)
{
    static const unsigned long unknown[] = { VHOST_VDPA_GET_IOVA_RANGE,
                                             VHOST_VDPA_GET_CONFIG_SIZE,
                                             VH_VDPA_GET_VQS_COUNT };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        struct vhost_vdpa_info info;
        struct vdpa_rig rig;

        rig_prepare(&rig);
        rig.k.caps = VH_VDPA_F_MSG_V2;
        rig.k.fail_request = unknown[i];
        rig.k.fail_code = -ENOTTY;
        assert_int_equal(rig_init(&rig), 0);
        vhost_vdpa_get_info(rig.vdpa, &info);
        assert_int_equal(info.groups, 1);
        assert_int_equal(info.address_spaces, 1);
        assert_int_equal(info.iova_last, UINT64_MAX);
        assert_int_equal(rig_start(&rig), 0);
        rig_down_started(&rig);
    }
}

static void test_queues_are_told_guest_addresses_and_enabled(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    assert_int_equal(rig_start(&rig), 0);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        const struct fake_vq *q = &rig.k.q[i];

        assert_int_equal(q->num, 8);
        assert_int_equal(q->base, 10 + i);
        assert_int_equal(q->addr.desc_user_addr, RIG_GPA + i * 0x1000);
        assert_int_equal(q->addr.avail_user_addr, rig.queues[i].avail);
        assert_int_equal(q->addr.used_user_addr, rig.queues[i].used);
        assert_int_equal(q->enabled, 1);
    }
    assert_int_equal(rig.k.q[RIG_QUEUES].enabled, 0);
    /* Behind the kernel's IOMMU, whatever the driver sees. */
    assert_int_equal(rig.k.features, UINT64_C(3) << 32);
    assert_int_equal(rig.k.status, 15);
    rig_down_started(&rig);
}

static void test_a_stop_suspends_asks_and_resets(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_stop(&rig), 0);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        assert_int_equal(rig.queues[i].base, 15 + i);
        assert_int_equal(rig.queues[i].base_source, VHOST_BASE_FROM_DEVICE);
    }
    assert_int_equal(rig.k.status, VH_VDPA_ACKNOWLEDGE | VH_VDPA_DRIVER);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.q[0].base, 15);
    rig_down_started(&rig);
}

static void
test_one_that_can_t_be_suspended_is_reset_and_its_ring_read(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.caps &= ~VH_VDPA_F_SUSPEND;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    ((uint8_t *)rig.memory.hva)[0x802] = 7; /* the used index */
    assert_int_equal(rig_stop(&rig), -ENOTSUP);
    rig_expect(vhost_dev_get_error(&rig.dev), -ENOTSUP, "can't be suspended");
    assert_int_equal(rig.queues[0].base, 7);
    assert_int_equal(rig.queues[0].base_source, VHOST_BASE_RECOVERED);
    assert_int_equal(rig.k.status, VH_VDPA_ACKNOWLEDGE | VH_VDPA_DRIVER);
    rig_down(&rig);
}

static void test_refused_features_are_named_and_can_be_tried_again(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    rig.k.refuses_features = true;
    assert_int_equal(rig_start(&rig), -EREMOTEIO);
    rig_expect(vhost_dev_get_error(&rig.dev), -EREMOTEIO,
               "refuses the features 0x300000000");
    assert_int_equal(rig.k.status, VH_VDPA_ACKNOWLEDGE | VH_VDPA_DRIVER);
    rig.k.refuses_features = false;
    assert_int_equal(rig_start(&rig), 0);
    rig_down_started(&rig);
}

static void test_a_ring_that_can_t_go_on_is_told_with_what_to_do(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    rig.k.begins_anew = true;
    assert_int_equal(rig_start(&rig), -EOPNOTSUPP);
    rig_expect(vhost_dev_get_error(&rig.dev), -EOPNOTSUPP,
               "have the driver reset them, or use shadow queues");
    rig.queues[0].base = rig.queues[1].base = 0;
    assert_int_equal(rig_start(&rig), 0);
    rig_down_started(&rig);
}

static void test_a_node_with_an_owner_is_told(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.fail_request = VHOST_SET_OWNER;
    rig.k.fail_code = -EBUSY;
    rig_refused(&rig, -EBUSY, "claimed already");
}

static void test_what_is_no_vdpa_device_is_told_by_name(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.open_error = -ENOENT;
    rig_refused(&rig, -ENOENT, "bound to the driver vhost_vdpa?");
    rig_prepare(&rig);
    rig.k.open_error = -EACCES;
    rig_refused(&rig, -EACCES, "read and write access");
    rig_prepare(&rig);
    rig.k.open_error = -EBUSY;
    rig_refused(&rig, -EBUSY, "another program");
    rig_prepare(&rig);
    rig.k.fail_request = VHOST_VDPA_GET_DEVICE_ID;
    rig.k.fail_code = -ENOTTY;
    rig_refused(&rig, -ENODEV, "not a vhost-vdpa node");
    rig_prepare(&rig);
    rig.k.fail_request = VHOST_VDPA_GET_DEVICE_ID;
    rig.k.fail_code = -EPERM; /* as of /dev/vhost-net */
    rig_refused(&rig, -ENODEV, "not a vhost-vdpa node");
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.config_size = UINT32_MAX;
    rig_refused(&rig, -E2BIG, "4294967295 bytes");
    rig_prepare(&rig);
    rig.k.range = (struct vhost_vdpa_iova_range){ 2, 1 };
    rig_refused(&rig, -EPROTO, "nothing");
    rig_prepare(&rig);
    rig.k.groups = UINT32_MAX;
    rig_refused(&rig, -EPROTO, "groups");
    rig_prepare(&rig);
    rig.k.queues = 1;
    rig_refused(&rig, -EINVAL, "has 1 queues, 2 are needed");
    rig_prepare(&rig);
    rig.k.caps = 0;
    rig_refused(&rig, -ENOTSUP, "IOTLB_MSG_V2");
    rig_prepare(&rig);
    rig.k.never_resets = true;
    rig.k.status = 64;
    rig_refused(&rig, -EIO, "does not reset: its status is 0x40");
}

/* Every ioctl of init and start, failed in turn. */
static void
test_each_call_that_fails_leaves_words_and_nothing_behind(void **state)
{
    static const struct {
        unsigned long request;
        const char *words;
    } calls[] = {
        { VHOST_VDPA_GET_DEVICE_ID, "Input/output" },
        { VHOST_GET_BACKEND_FEATURES, "GET_BACKEND_FEATURES" },
        { VHOST_SET_BACKEND_FEATURES, "SET_BACKEND_FEATURES" },
        { VHOST_VDPA_GET_IOVA_RANGE, "GET_IOVA_RANGE" },
        { VHOST_VDPA_GET_CONFIG_SIZE, "GET_CONFIG_SIZE" },
        { VH_VDPA_GET_VQS_COUNT, "GET_VQS_COUNT" },
        { VHOST_VDPA_GET_VRING_NUM, "GET_VRING_NUM" },
        { VH_VDPA_GET_GROUP_NUM, "GET_GROUP_NUM" },
        { VH_VDPA_GET_AS_NUM, "GET_AS_NUM" },
        { VHOST_VDPA_SET_STATUS, "SET_STATUS" },
        { VHOST_VDPA_GET_STATUS, "GET_STATUS" },
        { VHOST_SET_OWNER, "SET_OWNER" },
        { VHOST_GET_FEATURES, "GET_FEATURES" },
        { VHOST_SET_VRING_CALL, "SET_VRING_CALL" },
    }, starts[] = {
        { VHOST_SET_FEATURES, "SET_FEATURES" },
        { VHOST_SET_VRING_NUM, "SET_VRING_NUM" },
        { VHOST_SET_VRING_BASE, "SET_VRING_BASE" },
        { VHOST_SET_VRING_ADDR, "SET_VRING_ADDR" },
        { VHOST_SET_VRING_KICK, "SET_VRING_KICK" },
        { VHOST_SET_VRING_CALL, "SET_VRING_CALL" },
        { VHOST_VDPA_SET_VRING_ENABLE, "SET_VRING_ENABLE" },
        { VHOST_VDPA_SET_CONFIG_CALL, "SET_CONFIG_CALL" },
    };
    struct vdpa_rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        rig_prepare(&rig);
        rig.k.fail_request = calls[i].request;
        rig.k.fail_code = -EIO;
        rig_refused(&rig, -EIO, calls[i].words);
    }
    rig_up(&rig);
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        rig.k.fail_request = starts[i].request;
        rig.k.fail_code = -EIO;
        assert_int_equal(rig_start(&rig), -EIO);
        rig_expect(vhost_dev_get_error(&rig.dev), -EIO, starts[i].words);
        assert_int_equal(rig.k.status, VH_VDPA_ACKNOWLEDGE | VH_VDPA_DRIVER);
        rig.k.fail_request = 0;
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_stop(&rig), 0);
    }
    rig_down(&rig);
}

static void test_a_queue_larger_than_the_device_takes_is_refused(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    rig.k.vring_size = 4; /* of each queue, beside the largest of all */
    assert_int_equal(rig_start(&rig), -E2BIG);
    rig_expect(vhost_dev_get_error(&rig.dev), -E2BIG, "the device takes 4");
    rig.k.vring_size = 0;
    rig.queues[1].size = 512;
    assert_int_equal(rig_start(&rig), -E2BIG);
    rig_expect(vhost_dev_get_error(&rig.dev), -E2BIG, "the device takes 256");
    rig_down(&rig);
}

static void test_config_of_any_size_but_no_more_than_there_is(void **state)
{
    uint8_t data[400];
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    rig.k.config[299] = 9;
    memset(data, 0xee, sizeof(data));
    assert_int_equal(vhost_dev_get_config(&rig.dev, data, 300, &rig.err), 0);
    assert_int_equal(data[299], 9);
    assert_int_equal(data[300], 0xee);
    assert_int_equal(vhost_dev_get_config(&rig.dev, data, 301, &rig.err),
                     -E2BIG);
    rig_expect(rig.err, -E2BIG, "the configuration has 300");
    data[0] = 4;
    assert_int_equal(vhost_dev_set_config(&rig.dev, data, 299, 1, 0), 0);
    assert_int_equal(rig.k.config[299], 4);
    assert_int_equal(vhost_dev_set_config(&rig.dev, data, 299, 2, 0), -E2BIG);
    assert_int_equal(vhost_dev_set_config(&rig.dev, data, UINT32_MAX, 2, 0),
                     -E2BIG);
    rig_down(&rig);
}

static void test_suspend_and_resume_of_a_started_device(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    assert_int_equal(vhost_vdpa_suspend(rig.vdpa, NULL), -EINVAL);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(vhost_vdpa_suspend(rig.vdpa, &rig.err), 0);
    assert_true(rig.k.suspended);
    assert_int_equal(vhost_vdpa_resume(rig.vdpa, &rig.err), 0);
    assert_false(rig.k.suspended);
    rig_down_started(&rig);

    rig_prepare(&rig);
    rig.k.caps &= ~(VH_VDPA_F_SUSPEND | VH_VDPA_F_RESUME);
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(vhost_vdpa_suspend(rig.vdpa, NULL), -ENOTSUP);
    assert_int_equal(vhost_vdpa_resume(rig.vdpa, &rig.err), -ENOTSUP);
    rig_expect(rig.err, -ENOTSUP, "VHOST_BACKEND_F_RESUME");
    rig_down(&rig);
}

static void test_a_group_keeps_its_address_space_over_a_reset(void **state)
{
    struct vhost_vdpa_mapping mapping = {
        .asid = 1, .access = 3, .iova = 0x5000, .size = 0x1000
    };
    struct vdpa_rig rig;
    uint32_t group;

    (void)state;
    rig_up(&rig);
    mapping.addr = rig.memory.hva;
    assert_int_equal(vhost_vdpa_get_group(rig.vdpa, 1, &group, NULL), 0);
    assert_int_equal(group, 1);
    assert_int_equal(vhost_vdpa_set_group_asid(rig.vdpa, 1, 1, NULL), 0);
    assert_int_equal(vhost_vdpa_map(rig.vdpa, &mapping, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig.k.asids[0], 0);
        assert_int_equal(rig.k.asids[1], 1);
        assert_int_equal(vhost_vdpa_set_group_asid(rig.vdpa, 1, 0, NULL),
                         -EBUSY);
        assert_int_equal(rig_stop(&rig), 0);
    }
    assert_int_equal(rig.k.n_maps[1], 1);
    assert_int_equal(vhost_vdpa_unmap(rig.vdpa, &mapping, NULL), 0);
    assert_int_equal(rig.k.n_maps[1], 0);
    assert_int_equal(vhost_vdpa_set_group_asid(rig.vdpa, 2, 0, NULL), -EINVAL);
    assert_int_equal(vhost_vdpa_set_group_asid(rig.vdpa, 0, 2, NULL), -EINVAL);
    mapping.asid = 0;
    assert_int_equal(vhost_vdpa_map(rig.vdpa, &mapping, NULL), -EINVAL);
    rig_down(&rig);
}

static void test_queues_enabled_late_need_a_device_that_allows_it(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.caps &= ~VH_VDPA_F_ENABLE_LATE;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, false), 0);
    assert_int_equal(vdpa_ops.vhost_set_vring_enable(&rig.dev, 1), -ENOTSUP);
    assert_int_equal(rig.k.q[0].enabled, 0);
    rig_down_started(&rig);
    rig_up(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, false), 0);
    assert_int_equal(vdpa_ops.vhost_set_vring_enable(&rig.dev, 1), 0);
    assert_int_equal(rig.k.q[1].enabled, 1);
    rig_down_started(&rig);
}

static unsigned n_pages;

static int take_page(struct vhost_vdev *vdev, unsigned queue, void *page,
                     size_t size)
{
    (void)vdev, (void)queue, (void)size;
    n_pages += page != NULL;
    n_pages -= page == NULL;
    return 0;
}

static void test_doorbell_pages_are_the_owner_s_while_it_runs(void **state)
{
    static const struct vhost_vdev_ops ops = { .host_notifier = take_page };
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    rig.vdev.ops = &ops;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(n_pages, RIG_QUEUES);
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(n_pages, 0);
    }
    rig_down(&rig);
}

static void test_options_are_checked(void **state)
{
    struct {
        struct vhost_vdpa_options known;
        uint64_t later;
    } options = { .known = { .size = sizeof(options), .path = "/dev/null" } };
    struct vhost_error *err = NULL;
    struct vhost_vdpa *vdpa = vhost_vdpa_new(&options.known, &err);

    (void)state;
    assert_non_null(vdpa);
    vhost_vdpa_free(vdpa);
    options.later = 1;
    assert_null(vhost_vdpa_new(&options.known, &err));
    rig_expect(err, -E2BIG, "later version");
    vhost_error_free(err);
    err = NULL;
    assert_null(vhost_vdpa_new(NULL, &err));
    rig_expect(err, -EINVAL, "no path");
    vhost_error_free(err);
    assert_null(vhost_vdpa_new_fd(-1, NULL, NULL));
}

static void test_a_node_of_another_kind_is_refused_by_the_host_too(void **state)
{
    const struct vhost_vdpa_options options = { .path = "/dev/null" };
    struct vhost_vdpa *vdpa = vhost_vdpa_new(&options, NULL);
    struct vhost_virtqueue vq = { .num = 0 };
    struct vhost_dev dev = { .vqs = &vq, .nvqs = 1 };
    struct vhost_error *err = NULL;

    (void)state;
    assert_int_equal(
        vhost_dev_init(&dev, vdpa, VHOST_BACKEND_TYPE_VDPA, 0, &err), -ENODEV);
    rig_expect(err, -ENODEV, "vdpa:/dev/null: not a vhost-vdpa node");
    vhost_error_free(err);
    vhost_vdpa_free(vdpa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_device_is_asked_what_it_is),
        cmocka_unit_test(test_an_old_kernel_has_one_group_and_all_addresses),
        cmocka_unit_test(test_queues_are_told_guest_addresses_and_enabled),
        cmocka_unit_test(test_a_stop_suspends_asks_and_resets),
        cmocka_unit_test(
            test_one_that_can_t_be_suspended_is_reset_and_its_ring_read),
        cmocka_unit_test(
            test_refused_features_are_named_and_can_be_tried_again),
        cmocka_unit_test(test_a_ring_that_can_t_go_on_is_told_with_what_to_do),
        cmocka_unit_test(test_a_node_with_an_owner_is_told),
        cmocka_unit_test(test_what_is_no_vdpa_device_is_told_by_name),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(
            test_each_call_that_fails_leaves_words_and_nothing_behind),
        cmocka_unit_test(test_a_queue_larger_than_the_device_takes_is_refused),
        cmocka_unit_test(test_config_of_any_size_but_no_more_than_there_is),
        cmocka_unit_test(test_suspend_and_resume_of_a_started_device),
        cmocka_unit_test(test_a_group_keeps_its_address_space_over_a_reset),
        cmocka_unit_test(test_queues_enabled_late_need_a_device_that_allows_it),
        cmocka_unit_test(test_doorbell_pages_are_the_owner_s_while_it_runs),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(
            test_a_node_of_another_kind_is_refused_by_the_host_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
