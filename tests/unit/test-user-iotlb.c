/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes over the wire for a device IOTLB. */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <linux/vhost_types.h>

#include "lib/user-rig.h"

#define HVA UINT64_C(0x7f0000000000)
#define GPA UINT64_C(0x100000)
#define F_IOMMU (UINT64_C(1) << 33)

static const struct peer acks = {
    .features = RIG_F_VERSION_1 | F_IOMMU | VH_F_PROTOCOL_FEATURES,
    .protocol = VH_PF(REPLY_ACK),
};

static struct vhost_memory_section sections[] = {
    { .gpa = 0, .size = 0x1000, .hva = (void *)(uintptr_t)(HVA + 0x100000) },
    { .gpa = GPA, .size = 0x4000, .hva = (void *)(uintptr_t)HVA },
};

static void up_with(struct rig *rig, const struct peer_rule *rules, size_t n)
{
    *rig = (struct rig){ .peer = acks };
    rig->peer.rules = rules;
    rig->peer.n_rules = n;
    assert_int_equal(rig_up(rig), 0);
    rig->dev.mem_sections = sections;
    rig->dev.n_mem_sections = ARRAY_SIZE(sections);
}

static void up(struct rig *rig)
{
    up_with(rig, NULL, 0);
}

static int update(struct rig *rig, uint64_t hva, uint64_t size)
{
    struct vhost_iotlb_msg msg = { .iova = 0x5000,
                                   .size = size,
                                   .uaddr = hva,
                                   .perm = VHOST_ACCESS_WO,
                                   .type = VHOST_IOTLB_UPDATE };
    int r = vh_be_send_iotlb(&rig->dev, &msg);

    return r < 0 ? r : vh_be_sync(&rig->dev);
}

static void
test_an_update_has_the_table_s_address_and_waits_for_its_ack(void **state)
{
    const struct peer_entry *entry;
    struct vh_iotlb iotlb;
    struct rig rig;

    (void)state;
    up(&rig);
    assert_int_equal(update(&rig, HVA + 0x1000, 0x3000), 0);
    rig_down(&rig);
    entry = peer_find(&rig.peer, VH_IOTLB_MSG, 0);
    assert_non_null(entry);
    assert_int_equal(entry->size, 32);
    assert_true(entry->flags & VH_MSG_F_NEED_REPLY);
    memcpy(&iotlb, &entry->u64, sizeof(iotlb));
    assert_true(iotlb.iova == 0x5000);
    assert_true(iotlb.size == 0x3000);
    assert_true(iotlb.user_addr == GPA + 0x1000);
    assert_int_equal(iotlb.perm, VHOST_ACCESS_WO);
    assert_int_equal(iotlb.type, VHOST_IOTLB_UPDATE);
    rig_free(&rig);
}

static void test_an_invalidation_needs_no_memory(void **state)
{
    struct vhost_iotlb_msg msg = { .iova = UINT64_MAX - 0xfff,
                                   .size = 0x1000,
                                   .type = VHOST_IOTLB_INVALIDATE };
    const struct peer_entry *entry;
    struct vh_iotlb iotlb;
    struct rig rig;

    (void)state;
    up(&rig);
    assert_int_equal(vh_be_send_iotlb(&rig.dev, &msg), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    entry = peer_find(&rig.peer, VH_IOTLB_MSG, 0);
    memcpy(&iotlb, &entry->u64, sizeof(iotlb));
    assert_true(iotlb.iova == UINT64_MAX - 0xfff);
    assert_true(iotlb.user_addr == 0);
    assert_int_equal(iotlb.type, VHOST_IOTLB_INVALIDATE);
    rig_free(&rig);
}

static void test_an_update_beyond_a_region_is_not_sent(void **state)
{
    struct rig rig;

    (void)state;
    up(&rig);
    assert_int_equal(update(&rig, HVA + 0x1000, 0x3001), -EFAULT);
    assert_int_equal(update(&rig, HVA - 1, 1), -EFAULT);
    assert_int_equal(update(&rig, HVA + 0x4000, 1), -EFAULT);
    assert_non_null(strstr(rig_words(&rig), "not in memory"));
    rig_down(&rig);
    assert_int_equal(peer_count(&rig.peer, VH_IOTLB_MSG), 0);
    rig_free(&rig);
}

static void test_a_refused_update_is_told(void **state)
{
    static const struct peer_rule rules[] = { { .request = VH_IOTLB_MSG,
                                                .act = PEER_REFUSE } };
    struct rig rig;

    (void)state;
    up_with(&rig, rules, 1);
    assert_int_equal(update(&rig, HVA, 0x1000), -EREMOTEIO);
    assert_non_null(strstr(rig_words(&rig), "IOTLB_MSG"));
    rig_down(&rig);
    rig_free(&rig);
}

static void
test_a_back_end_that_can_not_ask_is_not_shown_the_feature(void **state)
{
    uint64_t features[2] = { 0 };
    struct rig rig;

    (void)state;
    up(&rig);
    assert_int_equal(vh_be_get_features(&rig.dev, features), 0);
    assert_false(features[0] & F_IOMMU);
    features[0] = RIG_F_VERSION_1 | F_IOMMU;
    assert_int_equal(vh_be_set_features(&rig.dev, features), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    assert_true(peer_find(&rig.peer, VH_SET_FEATURES, 0)->u64 ==
                (RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES));
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_an_update_has_the_table_s_address_and_waits_for_its_ack),
        cmocka_unit_test(test_an_invalidation_needs_no_memory),
        cmocka_unit_test(test_an_update_beyond_a_region_is_not_sent),
        cmocka_unit_test(test_a_refused_update_is_told),
        cmocka_unit_test(
            test_a_back_end_that_can_not_ask_is_not_shown_the_feature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
