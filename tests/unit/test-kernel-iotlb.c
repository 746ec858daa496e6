/* SPDX-License-Identifier: BSD-3-Clause */
/* The device IOTLB of the kernel back end: misses in, translations out. */
#include "lib/kernel-rig.h"

#define IOVA UINT64_C(0x40000000)

static unsigned n_faults;
static bool no_translation;

/* One page at a time; what is below IOVA has none. */
static int translate(struct vhost_vdev *vdev, uint64_t iova, bool write,
                     struct vhost_iommu_entry *entry)
{
    (void)vdev, (void)write;
    if (iova < IOVA || no_translation) {
        return -EFAULT;
    }
    *entry =
        (struct vhost_iommu_entry){ .iova = iova & ~UINT64_C(0xfff),
                                    .size = 0x1000,
                                    .gpa = RIG_GPA + (iova & ~UINT64_C(0xfff)) -
                                           IOVA,
                                    .access = VHOST_IOMMU_READ_WRITE };
    return 0;
}

static void fault(struct vhost_vdev *vdev, uint64_t iova, bool write)
{
    (void)vdev, (void)iova, (void)write;
    n_faults++;
}

static const struct vhost_iommu_ops iommu = { .translate = translate,
                                              .fault = fault };

static void iommu_up(struct kernel_rig *rig, bool v2)
{
    rig_prepare(rig, VHOST_KERNEL_NET, 4);
    rig->k.caps = v2 ? VH_KERNEL_F_MSG_V2 : 0;
    rig->driver[0] |= RIG_IOMMU;
    rig->vdev.iommu = &iommu;
    for (unsigned i = 0; i < 4; i++) {
        rig->queues[i].desc += IOVA - RIG_GPA;
        rig->queues[i].avail += IOVA - RIG_GPA;
        rig->queues[i].used += IOVA - RIG_GPA;
    }
    no_translation = false;
    n_faults = 0;
    assert_int_equal(rig_init(rig), 0);
}

static void ask(struct kernel_rig *rig, unsigned node, uint64_t iova,
                uint8_t type, bool v2)
{
    struct fake_node *n = &rig->k.nodes[node];
    struct vhost_msg_v2 *msg = &n->asks[n->n_asks++];

    memset(msg, 0, sizeof(*msg));
    assert_int_equal(eventfd_write(n->fd, 1), 0);
    msg->type = v2 ? VHOST_IOTLB_MSG_V2 : VHOST_IOTLB_MSG;
    msg->iotlb = (struct vhost_iotlb_msg){ .iova = iova,
                                           .perm = VHOST_ACCESS_WO,
                                           .type = type };
}

static void forget_sent(struct kernel_rig *rig)
{
    rig->k.nodes[0].n_sent = rig->k.nodes[1].n_sent = 0;
}

static void test_rings_are_known_before_they_run(void **state)
{
    struct kernel_rig rig;

    (void)state;
    iommu_up(&rig, true);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.nodes[1].q[0].addr.used_user_addr, IOVA + 0x2800);
    assert_true(rig.k.nodes[1].features[0] & RIG_IOMMU);
    for (unsigned i = 0; i < 2; i++) {
        const struct vhost_iotlb_msg *first = &rig.k.nodes[i].sent[0].iotlb;

        assert_true(rig.k.nodes[i].n_sent >= 6);
        assert_int_equal(first->type, VHOST_IOTLB_UPDATE);
        assert_int_equal(first->iova, IOVA + i * 0x2000);
        assert_int_equal(first->uaddr, (uintptr_t)rig.memory.hva + i * 0x2000);
    }
    rig_down(&rig);
}

static void test_a_miss_is_answered_to_the_node_that_asked(void **state)
{
    (void)state;
    for (int v2 = 0; v2 < 2; v2++) {
        struct kernel_rig rig;
        const struct vhost_msg_v2 *sent;

        iommu_up(&rig, v2);
        assert_int_equal(rig_start(&rig), 0);
        forget_sent(&rig);
        ask(&rig, 1, IOVA + 0x5678, VHOST_IOTLB_MISS, v2);
        assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
        assert_int_equal(rig.k.nodes[0].n_sent, 0);
        assert_int_equal(rig.k.nodes[1].n_sent, 1);
        sent = &rig.k.nodes[1].sent[0];
        assert_int_equal(sent->type, v2 ? VHOST_IOTLB_MSG_V2 : VHOST_IOTLB_MSG);
        assert_int_equal(sent->iotlb.type, VHOST_IOTLB_UPDATE);
        assert_int_equal(sent->iotlb.iova, IOVA + 0x5000);
        assert_int_equal(sent->iotlb.size, 0x1000);
        assert_int_equal(sent->iotlb.perm, VHOST_ACCESS_RW);
        assert_int_equal(sent->iotlb.uaddr, (uintptr_t)rig.memory.hva + 0x5000);
        rig_down(&rig);
    }
}

/* It asks for what it needs: what is mapped ahead is none of its business. */
static void test_one_that_asks_is_not_told_ahead(void **state)
{
    const struct vhost_iommu_entry entry = {
        .iova = IOVA, .size = 0x1000, .gpa = RIG_GPA, .access = VHOST_IOMMU_READ
    };
    struct kernel_rig rig;

    (void)state;
    iommu_up(&rig, true);
    assert_int_equal(rig_start(&rig), 0);
    forget_sent(&rig);
    assert_int_equal(vhost_iommu_map(&rig.vdev, &entry), 0);
    assert_int_equal(rig.k.nodes[0].n_sent, 0);
    assert_int_equal(vhost_iommu_replay(&rig.vdev), 0);
    assert_int_equal(rig.k.nodes[0].n_sent, 2);
    assert_int_equal(rig.k.nodes[0].sent[1].iotlb.type, VHOST_IOTLB_INVALIDATE);
    rig_down(&rig);
}

static void test_what_is_taken_back_is_taken_from_all(void **state)
{
    struct kernel_rig rig;

    (void)state;
    iommu_up(&rig, true);
    assert_int_equal(rig_start(&rig), 0);
    forget_sent(&rig);
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, IOVA, 0x3000, VHOST_IOMMU_UNMAP), 0);
    assert_int_equal(vhost_device_iotlb_miss(&rig.dev, IOVA, 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rig.k.nodes[i].n_sent, 2);
        assert_int_equal(rig.k.nodes[i].sent[0].iotlb.type,
                         VHOST_IOTLB_INVALIDATE);
        assert_int_equal(rig.k.nodes[i].sent[0].iotlb.size, 0x3000);
        assert_int_equal(rig.k.nodes[i].sent[1].iotlb.type, VHOST_IOTLB_UPDATE);
    }
    rig_down(&rig);
}

static void test_what_has_no_translation_is_not_answered(void **state)
{
    struct kernel_rig rig;

    (void)state;
    iommu_up(&rig, true);
    assert_int_equal(rig_start(&rig), 0);
    forget_sent(&rig);
    ask(&rig, 0, 0x1000, VHOST_IOTLB_MISS, true);
    ask(&rig, 0, IOVA, VHOST_IOTLB_MISS, true);
    ask(&rig, 0, 0x1000, VHOST_IOTLB_ACCESS_FAIL, true);
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(rig.k.nodes[0].n_sent, 1);
    assert_int_equal(n_faults, 1);
    rig_down(&rig);
}

static void
test_a_start_without_translations_is_no_failure_of_ours(void **state)
{
    struct kernel_rig rig;

    (void)state;
    iommu_up(&rig, true);
    no_translation = true;
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.nodes[0].n_sent, 0);
    assert_null(vhost_dev_get_error(&rig.dev));
    assert_int_equal(rig_stop(&rig), 0);
    /* What is asked after the stop is too late. */
    no_translation = false;
    ask(&rig, 0, IOVA, VHOST_IOTLB_MISS, true);
    assert_int_equal(vhost_dev_dispatch(&rig.dev), 0);
    assert_int_equal(rig.k.nodes[0].n_asks, 0);
    assert_int_equal(rig.k.nodes[0].n_sent, 0);
    rig_down(&rig);
}

static void test_a_message_that_makes_no_sense_breaks_the_device(void **state)
{
    struct kernel_rig rig;

    (void)state;
    iommu_up(&rig, true);
    assert_int_equal(rig_start(&rig), 0);
    ask(&rig, 0, IOVA, VHOST_IOTLB_UPDATE, true);
    assert_int_equal(vhost_dev_dispatch(&rig.dev), -EPROTO);
    rig_expect(vhost_dev_get_error(&rig.dev), -EPROTO, "of type 2");
    assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
    rig_down(&rig);
}

static void test_a_write_that_fails_has_words(void **state)
{
    struct kernel_rig rig;

    (void)state;
    iommu_up(&rig, true);
    assert_int_equal(rig_start(&rig), 0);
    rig.k.fail_at = rig.k.n_calls + 2;
    assert_int_equal(vhost_device_iotlb_miss(&rig.dev, IOVA, 1), -EIO);
    rig_expect(vhost_dev_get_error(&rig.dev), -EIO, "IOTLB_MSG");
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rings_are_known_before_they_run),
        cmocka_unit_test(test_a_miss_is_answered_to_the_node_that_asked),
        cmocka_unit_test(test_one_that_asks_is_not_told_ahead),
        cmocka_unit_test(test_what_is_taken_back_is_taken_from_all),
        cmocka_unit_test(test_what_has_no_translation_is_not_answered),
        cmocka_unit_test(
            test_a_start_without_translations_is_no_failure_of_ours),
        cmocka_unit_test(test_a_message_that_makes_no_sense_breaks_the_device),
        cmocka_unit_test(test_a_write_that_fails_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
