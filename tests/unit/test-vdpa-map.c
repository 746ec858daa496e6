/* SPDX-License-Identifier: BSD-3-Clause */
/* Which memory a vDPA device reaches, and what it costs to tell it. */
#include "lib/vdpa-rig.h"

#define GIB (UINT64_C(1) << 30)

/* What the device reaches of one address; NULL: nothing. */
static const struct fake_map *reach(const struct vdpa_rig *rig, uint64_t iova)
{
    for (size_t i = 0; i < rig->k.n_maps[0]; i++) {
        const struct fake_map *m = &rig->k.maps[0][i];

        if (iova >= m->iova && iova - m->iova < m->size) {
            return m;
        }
    }
    return NULL;
}

static void test_64_gib_cost_a_message_a_region_and_two(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    for (unsigned i = 1; i <= 64; i++) {
        assert_int_equal(rig_memory(&rig, i * 2 * GIB, GIB, true), 0);
    }
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    print_message("64 GiB in 64 regions, and one: %u write calls\n",
                  rig.k.n_writes);
    assert_int_equal(rig.k.n_maps[0], 65);
    assert_int_equal(rig.k.n_writes, 65 + 2);
    assert_int_equal(rig.k.n_batches, 1);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    print_message("stopped and started: %u more\n", rig.k.n_writes - 67);
    assert_int_equal(rig.k.n_writes, 65 + 2);
    rig_down_started(&rig);
}

static void test_a_device_that_forgets_is_told_again(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.caps &= ~(VH_VDPA_F_PERSIST | VH_VDPA_F_BATCH);
    assert_int_equal(rig_init(&rig), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_start(&rig), 0);
        assert_non_null(reach(&rig, RIG_GPA));
        assert_false(reach(&rig, RIG_GPA)->gone);
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig.k.n_maps[0], 0);
    }
    rig_down(&rig);
}

static void test_only_what_changes_is_sent_while_it_runs(void **state)
{
    struct vdpa_rig rig;
    unsigned before;

    (void)state;
    rig_up(&rig);
    assert_int_equal(rig_start(&rig), 0);
    before = rig.k.n_writes;
    assert_int_equal(rig_memory(&rig, GIB, GIB, true), 0);
    assert_int_equal(rig.k.n_writes, before + 3);
    assert_int_equal(reach(&rig, GIB)->uaddr, RIG_HVA + GIB);
    assert_int_equal(rig_memory(&rig, GIB, GIB, false), 0);
    assert_int_equal(rig.k.n_writes, before + 6);
    assert_null(reach(&rig, GIB));
    assert_non_null(reach(&rig, RIG_GPA));
    rig_down_started(&rig);
}

static void test_memory_that_goes_while_stopped_is_let_go_at_once(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    assert_int_equal(rig_memory(&rig, GIB, GIB, true), 0);
    assert_int_equal(rig.k.n_writes, 0); /* before the first start: nothing */
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_stop(&rig), 0);
    assert_non_null(reach(&rig, GIB));
    assert_int_equal(rig_memory(&rig, GIB, GIB, false), 0);
    assert_null(reach(&rig, GIB));
    rig_down(&rig);
}

static void test_memory_out_of_reach_is_told_with_the_range(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    rig.k.range = (struct vhost_vdpa_iova_range){ RIG_GPA, GIB - 1 };
    assert_int_equal(rig_memory(&rig, GIB, GIB, true), 0);
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), -ERANGE);
    rig_expect(vhost_dev_get_error(&rig.dev), -ERANGE,
               "the device reaches 0x100000 to 0x3fffffff");
    assert_int_equal(rig.k.n_writes, 0);
    assert_int_equal(rig_memory(&rig, GIB, GIB, false), 0);
    assert_int_equal(rig_start(&rig), 0);
    rig_down_started(&rig);
}

static void
test_a_map_that_fails_leaves_nothing_and_says_of_limits(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    assert_int_equal(rig_memory(&rig, GIB, GIB, true), 0);
    rig.k.fail_write = 3;
    rig.k.fail_code = -ENOMEM;
    assert_int_equal(rig_start(&rig), -ENOMEM);
    rig_expect(vhost_dev_get_error(&rig.dev), -ENOMEM, "RLIMIT_MEMLOCK");
    assert_int_equal(rig.k.n_maps[0], 0);
    assert_false(rig.k.batch);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.n_maps[0], 2);
    rig_down_started(&rig);
}

static void test_only_whole_pages_are_mapped(void **state)
{
    struct vdpa_rig rig;

    (void)state;
    rig_prepare(&rig);
    assert_int_equal(rig_memory(&rig, GIB + 0x800, 0x2000, true), 0);
    assert_int_equal(rig_memory(&rig, 2 * GIB + 0x10, 0x20, true), 0);
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.n_maps[0], 2);
    assert_int_equal(reach(&rig, GIB + 0x1000)->iova, GIB + 0x1000);
    assert_int_equal(reach(&rig, GIB + 0x1000)->size, 0x1000);
    rig_down_started(&rig);
}

/* The driver's addresses are what they lead to, plus 16 MiB. */
static int walk(struct vhost_vdev *vdev, uint64_t iova, bool write,
                struct vhost_iommu_entry *entry)
{
    (void)vdev, (void)write;
    *entry = (struct vhost_iommu_entry){ .iova = iova & ~UINT64_C(0x3fff),
                                         .size = 0x4000,
                                         .access = VHOST_IOMMU_READ_WRITE };
    entry->gpa = entry->iova - 0x1000000;
    return 0;
}

static void test_translations_are_cut_and_put_back_behind_an_iommu(void **state)
{
    static const struct vhost_iommu_ops ops = { .translate = walk };
    static const int bits[] = { 32, 33, VHOST_INVALID_FEATURE_BIT };
    uint64_t iova = RIG_GPA + 0x1000000;
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    rig.vdev.iommu = &ops;
    vhost_ack_features(&rig.dev, bits, UINT64_C(3) << 32);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        rig.queues[i].desc += 0x1000000;
        rig.queues[i].avail += 0x1000000;
        rig.queues[i].used += 0x1000000;
    }
    assert_int_equal(rig_start(&rig), 0);
    assert_null(reach(&rig, RIG_GPA));
    assert_int_equal(rig.k.n_maps[0], 1);
    assert_int_equal(reach(&rig, iova)->size, 0x4000);
    /* One page of four: what is before and behind it stays. */
    assert_int_equal(vhost_iommu_invalidate(&rig.vdev, iova + 0x1000, 0x1000,
                                            VHOST_IOMMU_UNMAP),
                     0);
    assert_int_equal(rig.k.n_maps[0], 2);
    assert_int_equal(reach(&rig, iova)->size, 0x1000);
    assert_null(reach(&rig, iova + 0x1000));
    assert_int_equal(reach(&rig, iova + 0x2000)->uaddr,
                     (uint64_t)(uintptr_t)rig.memory.hva + 0x2000);
    assert_int_equal(vhost_device_iotlb_miss(&rig.dev, iova + 0x1000, 1), 0);
    assert_int_equal(rig.k.n_maps[0], 1);
    assert_int_equal(reach(&rig, iova)->size, 0x4000);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig.k.n_maps[0], 0);
    rig_down(&rig);
}

static void test_the_configuration_interrupt_can_be_masked(void **state)
{
    struct vhost_notifier guest;
    struct vdpa_rig rig;

    (void)state;
    rig_up(&rig);
    assert_int_equal(vhost_notifier_init(&guest, false), 0);
    rig.vdev.config_notifier = &guest;
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.config_fd, guest.fd);
    assert_true(
        vhost_notifier_test_and_clear(&guest)); /* it may have changed */
    assert_int_equal(vhost_config_mask(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.k.config_fd, rig.vqs[0].masked_config_notifier.fd);
    vhost_notifier_set(&rig.vqs[0].masked_config_notifier);
    assert_int_equal(vhost_config_mask(&rig.dev, &rig.vdev, false), 0);
    assert_int_equal(rig.k.config_fd, guest.fd);
    assert_true(vhost_config_pending(&rig.dev));
    assert_false(vhost_config_pending(&rig.dev));
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig.k.config_fd, -1);
    rig_down(&rig);
    vhost_notifier_cleanup(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_64_gib_cost_a_message_a_region_and_two),
        cmocka_unit_test(test_a_device_that_forgets_is_told_again),
        cmocka_unit_test(test_only_what_changes_is_sent_while_it_runs),
        cmocka_unit_test(test_memory_that_goes_while_stopped_is_let_go_at_once),
        cmocka_unit_test(test_memory_out_of_reach_is_told_with_the_range),
        cmocka_unit_test(
            test_a_map_that_fails_leaves_nothing_and_says_of_limits),
        cmocka_unit_test(test_only_whole_pages_are_mapped),
        cmocka_unit_test(
            test_translations_are_cut_and_put_back_behind_an_iommu),
        cmocka_unit_test(test_the_configuration_interrupt_can_be_masked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
