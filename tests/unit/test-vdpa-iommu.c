/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vDPA device behind an IOMMU: it can't ask, and so is told of everything,
 * before its rings and while it runs.
 */
#include "lib/vdpa-rig.h"

#define IOVA UINT64_C(0x1100000) /* of RIG_GPA, in most tests */
#define IOMMU (UINT64_C(3) << 32)

struct owner { /* what its guest has mapped */
    struct vhost_iommu_entry entries[4];
    unsigned n;
    unsigned n_replays;
    int fails;
};

static int walk(struct vhost_vdev *vdev, uint64_t iova, bool write,
                struct vhost_iommu_entry *entry)
{
    struct owner *owner = vdev->opaque;

    (void)write;
    for (unsigned i = 0; i < owner->n; i++) {
        *entry = owner->entries[i];
        if (iova >= entry->iova && iova - entry->iova < entry->size) {
            return 0;
        }
    }
    return -EFAULT;
}

static int replay(struct vhost_vdev *vdev)
{
    struct owner *owner = vdev->opaque;
    int r = owner->fails;

    owner->n_replays++;
    for (unsigned i = 0; r == 0 && i < owner->n; i++) {
        r = vhost_iommu_map(vdev, &owner->entries[i]);
    }
    return r;
}

static const struct vhost_iommu_ops with_replay = { .translate = walk,
                                                    .replay = replay };
static const struct vhost_iommu_ops without = { .translate = walk };

static struct vhost_iommu_entry entry_at(uint64_t iova, uint64_t size,
                                         uint64_t gpa)
{
    return (struct vhost_iommu_entry){
        .iova = iova,
        .size = size,
        .gpa = gpa,
        .access = VHOST_IOMMU_READ_WRITE,
    };
}

static void iommu_up(struct vdpa_rig *rig, struct owner *owner,
                     const struct vhost_iommu_ops *ops)
{
    static const int bits[] = { 32, 33, VHOST_INVALID_FEATURE_BIT };

    memset(owner, 0, sizeof(*owner));
    rig_up(rig);
    rig->vdev.iommu = ops;
    rig->vdev.opaque = owner;
    vhost_ack_features(&rig->dev, bits, IOMMU);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        rig->queues[i].desc += IOVA - RIG_GPA;
        rig->queues[i].avail += IOVA - RIG_GPA;
        rig->queues[i].used += IOVA - RIG_GPA;
    }
}

/* Where the device finds @iova; 0: nowhere. */
static uint64_t reach(const struct vdpa_rig *rig, uint64_t iova)
{
    for (size_t i = 0; i < rig->k.n_maps[0]; i++) {
        const struct fake_map *map = &rig->k.maps[0][i];

        if (iova >= map->iova && iova - map->iova < map->size) {
            return map->uaddr + (iova - map->iova);
        }
    }
    return 0;
}

static uint64_t hva(const struct vdpa_rig *rig, uint64_t offset)
{
    return (uint64_t)(uintptr_t)rig->memory.hva + offset;
}

static size_t n_before; /* mappings, as the device was let go */

static void note_maps(struct fake_vdpa *k, int what)
{
    if (what > 0 && ((unsigned)what & VH_VDPA_DRIVER_OK)) {
        n_before = k->n_maps[0];
    }
}

static void test_all_there_is_is_told_before_the_device_goes(void **state)
{
    struct vdpa_rig rig;
    struct owner owner;

    (void)state;
    iommu_up(&rig, &owner, &with_replay);
    owner.entries[0] = entry_at(IOVA, 0x4000, RIG_GPA);
    owner.entries[1] = entry_at(0x7000, 0x1000, RIG_GPA + 0x9000);
    owner.entries[2] = entry_at(0x8000, 0x1000, 0x10); /* no memory */
    owner.n = 3;
    rig.k.moves = note_maps;
    n_before = 0;
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(owner.n_replays, 1);
    assert_int_equal(n_before, 2);
    assert_int_equal(rig.k.n_maps[0], 2);
    assert_int_equal(reach(&rig, IOVA + 0x3fff), hva(&rig, 0x3fff));
    assert_int_equal(reach(&rig, 0x7000), hva(&rig, 0x9000));
    /* A stop takes all back, and the next start tells it again. */
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig.k.n_maps[0], 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(owner.n_replays, 2);
    assert_int_equal(rig.k.n_maps[0], 2);
    rig_down_started(&rig);
}

static void test_rings_are_told_before_the_device_goes_at_least(void **state)
{
    struct vdpa_rig rig;
    struct owner owner;

    (void)state;
    iommu_up(&rig, &owner, &without);
    owner.entries[0] = entry_at(IOVA, 0x2000, RIG_GPA);
    owner.entries[1] = entry_at(0x7000, 0x1000, RIG_GPA + 0x9000);
    owner.n = 2;
    rig.k.moves = note_maps;
    n_before = 0;
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(n_before, 1);
    assert_int_equal(reach(&rig, IOVA), hva(&rig, 0));
    assert_int_equal(reach(&rig, 0x7000), 0);
    rig_down_started(&rig);
}

static void test_what_the_guest_maps_later_is_told_at_once(void **state)
{
    struct vhost_iommu_entry entry = entry_at(0x50000, 0x2000, RIG_GPA);
    struct vdpa_rig rig;
    struct owner owner;
    unsigned writes;

    (void)state;
    iommu_up(&rig, &owner, &with_replay);
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), 0); /* no device */
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.n_maps[0], 0);
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), 0);
    assert_int_equal(reach(&rig, 0x51000), hva(&rig, 0x1000));
    writes = rig.k.n_writes;
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), 0);
    assert_int_equal(rig.k.n_writes, writes); /* it is there */
    entry.gpa += 0x8000;
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), 0);
    assert_int_equal(reach(&rig, 0x51000), hva(&rig, 0x9000));
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, 0x50000, 0x1000, VHOST_IOMMU_UNMAP),
        0);
    assert_int_equal(reach(&rig, 0x50000), 0);
    assert_int_equal(reach(&rig, 0x51000), hva(&rig, 0x9000));
    rig_down_started(&rig);
}

static void test_an_entry_over_several_regions_is_told_in_parts(void **state)
{
    /* A page before memory, all of it, and what lies behind a gap. */
    struct vhost_iommu_entry entry =
        entry_at(0x900000, 0x40000, RIG_GPA - 0x1000);
    struct vdpa_rig rig;
    struct owner owner;

    (void)state;
    iommu_up(&rig, &owner, &with_replay);
    assert_int_equal(rig_memory(&rig, RIG_GPA + 0x20000, 0x80000, true), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), 0);
    assert_int_equal(rig.k.n_maps[0], 2);
    assert_int_equal(reach(&rig, 0x900fff), 0);
    assert_int_equal(reach(&rig, 0x901000), hva(&rig, 0));
    assert_int_equal(reach(&rig, 0x910fff), hva(&rig, 0xffff));
    assert_int_equal(reach(&rig, 0x911000), 0);
    assert_int_equal(reach(&rig, 0x921000), RIG_HVA + RIG_GPA + 0x20000);
    assert_int_equal(reach(&rig, 0x93ffff), RIG_HVA + RIG_GPA + 0x3efff);
    assert_int_equal(reach(&rig, 0x940000), 0);
    rig_down_started(&rig);
}

/* As when it is switched on: what was one to one goes, and others come. */
static void test_an_iommu_that_is_switched_on_is_told_anew(void **state)
{
    struct vdpa_rig rig;
    struct owner owner;

    (void)state;
    iommu_up(&rig, &owner, &with_replay);
    owner.entries[0] = entry_at(RIG_GPA, RIG_SIZE, RIG_GPA);
    owner.n = 1;
    assert_int_equal(vhost_iommu_replay(&rig.vdev), 0); /* no device */
    assert_int_equal(owner.n_replays, 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(reach(&rig, RIG_GPA), hva(&rig, 0));
    owner.entries[0] = entry_at(IOVA, 0x3000, RIG_GPA);
    assert_int_equal(vhost_iommu_replay(&rig.vdev), 0);
    assert_int_equal(owner.n_replays, 2);
    assert_int_equal(reach(&rig, RIG_GPA), 0);
    assert_int_equal(reach(&rig, IOVA), hva(&rig, 0));
    rig_down_started(&rig);
}

/* That is the cache of a device: this one has none, and would not ask again. */
static void test_a_device_iotlb_is_none_of_its_business(void **state)
{
    struct vdpa_rig rig;
    struct owner owner;

    (void)state;
    iommu_up(&rig, &owner, &with_replay);
    owner.entries[0] = entry_at(IOVA, 0x3000, RIG_GPA);
    owner.n = 1;
    assert_int_equal(rig_start(&rig), 0);
    rig.vdev.device_iotlb = true;
    vhost_toggle_device_iotlb(&rig.vdev);
    assert_int_equal(reach(&rig, IOVA), hva(&rig, 0));
    assert_int_equal(vhost_iommu_invalidate(&rig.vdev, IOVA, 0x1000,
                                            VHOST_IOMMU_DEVICE_UNMAP),
                     0);
    assert_int_equal(reach(&rig, IOVA), hva(&rig, 0));
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, IOVA, 0x1000, VHOST_IOMMU_UNMAP), 0);
    assert_int_equal(reach(&rig, IOVA), 0);
    rig_down_started(&rig);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    struct vhost_iommu_entry entry;
    struct vdpa_rig rig;
    struct owner owner;

    (void)state;
    iommu_up(&rig, &owner, &with_replay);
    assert_int_equal(rig_start(&rig), 0);
    entry = entry_at(0x1000, 0, RIG_GPA);
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), -EINVAL);
    entry = entry_at(UINT64_MAX - 0xfff, 0x2000, RIG_GPA);
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), -EINVAL);
    entry = entry_at(0x1000, 0x1000, RIG_GPA);
    entry.access = VHOST_IOMMU_NONE;
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), -EINVAL);
    entry.access = VHOST_IOMMU_READ;
    entry.gpa += 0x10;
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), -EINVAL);
    rig_expect(vhost_dev_get_error(&rig.dev), -EINVAL, "whole pages");
    rig_down_started(&rig);
}

static void test_a_replay_that_fails_fails_the_start(void **state)
{
    struct vdpa_rig rig;
    struct owner owner;

    (void)state;
    iommu_up(&rig, &owner, &with_replay);
    owner.entries[0] = entry_at(IOVA, 0x3000, RIG_GPA);
    owner.n = 1;
    owner.fails = -EIO;
    assert_int_equal(rig_start(&rig), -EIO);
    rig_expect(vhost_dev_get_error(&rig.dev), -EIO, "could not tell");
    owner.fails = 0;
    rig.k.fail_write = rig.k.n_writes + 1;
    rig.k.fail_code = -ENOMEM;
    assert_int_equal(rig_start(&rig), -ENOMEM);
    rig_expect(vhost_dev_get_error(&rig.dev), -ENOMEM, "RLIMIT_MEMLOCK");
    assert_int_equal(rig.k.n_maps[0], 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.n_maps[0], 1);
    rig_down_started(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_there_is_is_told_before_the_device_goes),
        cmocka_unit_test(test_rings_are_told_before_the_device_goes_at_least),
        cmocka_unit_test(test_what_the_guest_maps_later_is_told_at_once),
        cmocka_unit_test(test_an_entry_over_several_regions_is_told_in_parts),
        cmocka_unit_test(test_an_iommu_that_is_switched_on_is_told_anew),
        cmocka_unit_test(test_a_device_iotlb_is_none_of_its_business),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_a_replay_that_fails_fails_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
