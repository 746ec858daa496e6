/* SPDX-License-Identifier: BSD-3-Clause */
/* A device behind an IOMMU: what its back end is told, and when. */
#include "check.h"

#include "lib/core-rig.h"

#define IOVA UINT64_C(0xffff000000000000)
#define SIZE(rig) (((rig)->n + 1) * (uint64_t)RIG_PER_QUEUE)

/* The owner's page table: one entry. */
struct owner {
    struct vhost_iommu_entry entry;
    int result;
    unsigned n_asked;
    uint64_t fault_iova;
    bool fault_write;
};

static int owner_translate(struct vhost_vdev *vdev, uint64_t iova, bool write,
                           struct vhost_iommu_entry *entry)
{
    struct owner *owner = vdev->opaque;

    (void)iova;
    (void)write;
    assert_int_equal(entry->size, 0);
    owner->n_asked++;
    *entry = owner->entry;
    return owner->result;
}

static void owner_fault(struct vhost_vdev *vdev, uint64_t iova, bool write)
{
    struct owner *owner = vdev->opaque;

    owner->fault_iova = iova;
    owner->fault_write = write;
}

static const struct vhost_iommu_ops iommu_ops = {
    .translate = owner_translate,
    .fault = owner_fault,
};

/* All of guest memory lies at IOVA. */
static void begin(struct core_rig *rig, struct owner *owner, uint64_t features)
{
    core_rig_prepare(rig, 2);
    rig->fake.offered[0] |= features;
    *owner = (struct owner){ .entry = { .iova = IOVA,
                                        .size = SIZE(rig),
                                        .gpa = RIG_GPA,
                                        .access = VHOST_IOMMU_READ_WRITE } };
    rig->vdev.iommu = &iommu_ops;
    rig->vdev.opaque = owner;
    core_rig_begin(rig);
    for (unsigned i = 0; i < rig->n; i++) {
        uint64_t at = IOVA + i * RIG_PER_QUEUE;

        rig->queues[i].desc = at;
        rig->queues[i].avail = at + 0x400;
        rig->queues[i].used = at + 0x800;
    }
}

static void start(struct core_rig *rig, struct owner *owner)
{
    begin(rig, owner, RIG_F_IOMMU);
    assert_int_equal(vhost_dev_start(&rig->dev, &rig->vdev, true), 0);
    rig->fake.n_iotlb = 0;
    fake_forget(&rig->fake);
}

static void end(struct core_rig *rig)
{
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
    core_rig_down(rig);
}

static void assert_update(const struct vhost_iotlb_msg *msg, uint64_t iova,
                          uint64_t size, const void *at, unsigned perm)
{
    assert_int_equal(msg->type, VHOST_IOTLB_UPDATE);
    assert_true(msg->iova == iova);
    assert_true(msg->size == size);
    assert_true(msg->uaddr == (uintptr_t)at);
    assert_int_equal(msg->perm, perm);
}

static void test_rings_are_given_by_iova_and_told_beforehand(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    begin(&rig, &owner, RIG_F_IOMMU);
    assert_false(vhost_dev_has_iommu(&rig.dev));
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_true(vhost_dev_has_iommu(&rig.dev));
    assert_ptr_equal(rig.vdev.dev, &rig.dev);
    assert_true(rig.fake.features[0] & RIG_F_IOMMU);
    assert_true(rig.fake.q[1].addr.desc_user_addr == IOVA + RIG_PER_QUEUE);
    assert_true(rig.fake.q[1].addr.used_user_addr ==
                IOVA + RIG_PER_QUEUE + 0x800);
    assert_int_equal(rig.fake.n_iotlb, 2 * 3);
    for (unsigned i = 0; i < rig.fake.n_iotlb; i++) {
        assert_update(&rig.fake.iotlb[i], IOVA, SIZE(&rig), rig.memory.hva,
                      VHOST_ACCESS_RW);
    }
    /* Misses may come from the first queue on, until the last stands. */
    assert_true(fake_last(&rig.fake, "iotlb_callback 1") <
                fake_last(&rig.fake, "set_vring_kick"));
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    assert_true(fake_last(&rig.fake, "iotlb_callback 0") >
                fake_last(&rig.fake, "get_vring_bases"));
    assert_false(vhost_dev_has_iommu(&rig.dev));
    assert_null(rig.vdev.dev);
    core_rig_down(&rig);
}

static void test_a_driver_that_wants_no_iommu_gets_none(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    begin(&rig, &owner, 0);
    rig.queues[0].desc = rig.queues[1].desc = 0;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_false(vhost_dev_has_iommu(&rig.dev));
    assert_int_equal(fake_count(&rig.fake, "iotlb"), 0);
    core_rig_assert_error(&rig, vhost_device_iotlb_miss(&rig.dev, IOVA, 0),
                          -EINVAL);
    end(&rig);
}

static void test_an_owner_without_an_iommu_hides_the_feature(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.fake.offered[0] |= RIG_F_IOMMU;
    core_rig_begin(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_false(rig.fake.features[0] & RIG_F_IOMMU);
    end(&rig);
}

static void
test_a_page_that_is_not_mapped_yet_does_not_stop_a_start(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    begin(&rig, &owner, RIG_F_IOMMU);
    owner.result = -EFAULT;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.n_iotlb, 0);
    assert_null(vhost_dev_get_error(&rig.dev));
    end(&rig);
}

static void test_a_miss_is_answered_by_the_piece_in_one_region(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    start(&rig, &owner);
    /* The translation begins before the memory, and ends behind it. */
    owner.entry = (struct vhost_iommu_entry){ .iova = 0x10000,
                                              .size = 0x100000,
                                              .gpa = RIG_GPA - 0x3000,
                                              .access = VHOST_IOMMU_READ };
    assert_int_equal(vhost_device_iotlb_miss(&rig.dev, 0x13123, 0), 0);
    assert_int_equal(rig.fake.n_iotlb, 1);
    assert_update(&rig.fake.iotlb[0], 0x13000, SIZE(&rig), rig.memory.hva,
                  VHOST_ACCESS_RO);
    assert_int_equal(rig.fake.n_waits, 1);

    /* It begins within. */
    owner.entry = (struct vhost_iommu_entry){ .iova = 0x10000,
                                              .size = 0x1000,
                                              .gpa = RIG_GPA + 0x1000,
                                              .access = VHOST_IOMMU_WRITE };
    assert_int_equal(vhost_device_iotlb_miss(&rig.dev, 0x10fff, 1), 0);
    assert_update(&rig.fake.iotlb[1], 0x10000, 0x1000,
                  (char *)rig.memory.hva + 0x1000, VHOST_ACCESS_WO);

    /* The last byte of all. */
    owner.entry = (struct vhost_iommu_entry){ .iova = UINT64_MAX - 0xfff,
                                              .size = 0x1000,
                                              .gpa = RIG_GPA,
                                              .access = VHOST_IOMMU_READ };
    assert_int_equal(vhost_device_iotlb_miss(&rig.dev, UINT64_MAX, 0), 0);
    assert_update(&rig.fake.iotlb[2], UINT64_MAX - 0xfff, 0x1000,
                  rig.memory.hva, VHOST_ACCESS_RO);
    end(&rig);
}

static void test_a_miss_that_leads_nowhere_is_not_answered(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    start(&rig, &owner);
    owner.result = -EFAULT;
    core_rig_assert_error(&rig, vhost_device_iotlb_miss(&rig.dev, IOVA, 0),
                          -EFAULT);
    owner.result = -EINPROGRESS;
    assert_int_equal(vhost_device_iotlb_miss(&rig.dev, IOVA, 0), -EINPROGRESS);

    owner.result = 0;
    owner.entry.gpa = RIG_GPA + SIZE(&rig);
    core_rig_assert_error(&rig, vhost_device_iotlb_miss(&rig.dev, IOVA, 0),
                          -EFAULT);
    owner.entry.gpa = RIG_GPA;
    owner.entry.access = VHOST_IOMMU_READ;
    core_rig_assert_error(&rig, vhost_device_iotlb_miss(&rig.dev, IOVA, 1),
                          -EFAULT);
    owner.entry.access = VHOST_IOMMU_NONE;
    core_rig_assert_error(&rig, vhost_device_iotlb_miss(&rig.dev, IOVA, 0),
                          -EFAULT);
    assert_int_equal(rig.fake.n_iotlb, 0);
    end(&rig);
}

static void test_a_translation_that_makes_no_sense_is_refused(void **state)
{
    static const struct vhost_iommu_entry entries[] = {
        { .iova = IOVA, .size = 0, .gpa = RIG_GPA, .access = 3 },
        { .iova = IOVA + 1, .size = 0x1000, .gpa = RIG_GPA, .access = 3 },
        { .iova = IOVA - 0x1000, .size = 0x1000, .gpa = RIG_GPA, .access = 3 },
        { .iova = IOVA, .size = UINT64_MAX, .gpa = RIG_GPA, .access = 3 },
        { .iova = IOVA,
          .size = 0x2000,
          .gpa = UINT64_MAX - 0xfff,
          .access = 3 },
        { .iova = IOVA, .size = 0x1000, .gpa = RIG_GPA, .access = 4 },
    };
    struct core_rig rig;
    struct owner owner;

    (void)state;
    start(&rig, &owner);
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        owner.entry = entries[i];
        core_rig_assert_error(&rig, vhost_device_iotlb_miss(&rig.dev, IOVA, 0),
                              -EINVAL);
    }
    assert_int_equal(rig.fake.n_iotlb, 0);
    end(&rig);
}

static void test_what_the_guest_takes_back_is_invalidated_at_once(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    start(&rig, &owner);
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, IOVA, 0x3000, VHOST_IOMMU_UNMAP), 0);
    assert_int_equal(rig.fake.n_iotlb, 1);
    assert_int_equal(rig.fake.iotlb[0].type, VHOST_IOTLB_INVALIDATE);
    assert_true(rig.fake.iotlb[0].iova == IOVA);
    assert_true(rig.fake.iotlb[0].size == 0x3000);
    assert_int_equal(rig.fake.n_waits, 1);
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, IOVA, 0, VHOST_IOMMU_UNMAP), -EINVAL);
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, UINT64_MAX, 2, VHOST_IOMMU_UNMAP),
        -EINVAL);
    assert_int_equal(rig.fake.n_iotlb, 1);
    end(&rig);
    /* Nobody runs it: nobody has to be told. */
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, IOVA, 0x3000, VHOST_IOMMU_UNMAP), 0);
}

static void test_only_the_kind_of_invalidation_in_force_counts(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    start(&rig, &owner);
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, IOVA, 1, VHOST_IOMMU_DEVICE_UNMAP),
        0);
    assert_int_equal(rig.fake.n_iotlb, 0);
    rig.vdev.device_iotlb = true;
    vhost_toggle_device_iotlb(&rig.vdev);
    /* All that the back end knew. */
    assert_int_equal(rig.fake.n_iotlb, 2);
    assert_true(rig.fake.iotlb[0].iova == 0);
    assert_true(rig.fake.iotlb[1].iova + (rig.fake.iotlb[1].size - 1) ==
                UINT64_MAX);
    assert_true(rig.fake.iotlb[0].size == rig.fake.iotlb[1].iova);
    vhost_toggle_device_iotlb(&rig.vdev);
    assert_int_equal(rig.fake.n_iotlb, 2);
    vhost_iommu_invalidate(&rig.vdev, IOVA, 1, VHOST_IOMMU_UNMAP);
    assert_int_equal(rig.fake.n_iotlb, 2);
    vhost_iommu_invalidate(&rig.vdev, IOVA, 1, VHOST_IOMMU_DEVICE_UNMAP);
    assert_int_equal(rig.fake.n_iotlb, 3);
    end(&rig);
}

static void test_a_refused_update_fails_the_start(void **state)
{
    struct vhost_vdev before;
    struct core_rig rig;
    struct owner owner;

    (void)state;
    begin(&rig, &owner, RIG_F_IOMMU);
    before = rig.vdev;
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    for (unsigned at = 1; at <= rig.fake.n_fallible; at++) {
        rig.queues[0].base = rig.queues[1].base = 0;
        rig.queues[0].base_source = rig.queues[1].base_source = 0;
        rig.fake.n_iotlb = 0;
        fake_forget(&rig.fake);
        rig.fake.fail_at = at;
        if (vhost_dev_start(&rig.dev, &rig.vdev, true) == 0) {
            break;
        }
        assert_false(rig.fake.iotlb_on);
        assert_int_equal(fake_running(&rig.fake), 0);
        assert_memory_equal(&rig.vdev, &before, sizeof(before));
    }
    rig.fake.fail_at = 0;
    end(&rig);
}

static void
test_where_a_silent_back_end_stood_is_read_from_the_ring(void **state)
{
    struct core_rig rig;
    struct owner owner;

    (void)state;
    start(&rig, &owner);
    rig.fake.fail_base_of = 1;
    core_rig_set_used_idx(&rig, 1, 4711);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), -EIO);
    assert_int_equal(rig.queues[1].base, 4711);
    assert_int_equal(rig.queues[1].base_source, VHOST_BASE_RECOVERED);
    rig.fake.fail_base_of = -1;

    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    rig.fake.fail_base_of = 1;
    owner.result = -EFAULT;
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), -EIO);
    assert_int_equal(rig.queues[1].base_source, VHOST_BASE_UNKNOWN);
    rig.fake.fail_base_of = -1;
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rings_are_given_by_iova_and_told_beforehand),
        cmocka_unit_test(test_a_driver_that_wants_no_iommu_gets_none),
        cmocka_unit_test(test_an_owner_without_an_iommu_hides_the_feature),
        cmocka_unit_test(
            test_a_page_that_is_not_mapped_yet_does_not_stop_a_start),
        cmocka_unit_test(test_a_miss_is_answered_by_the_piece_in_one_region),
        cmocka_unit_test(test_a_miss_that_leads_nowhere_is_not_answered),
        cmocka_unit_test(test_a_translation_that_makes_no_sense_is_refused),
        cmocka_unit_test(test_what_the_guest_takes_back_is_invalidated_at_once),
        cmocka_unit_test(test_only_the_kind_of_invalidation_in_force_counts),
        cmocka_unit_test(test_a_refused_update_fails_the_start),
        cmocka_unit_test(
            test_where_a_silent_back_end_stood_is_read_from_the_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
