/* SPDX-License-Identifier: BSD-3-Clause */
/* Which bits reach the driver, and which the back end. */
#include "check.h"

#include "lib/core-rig.h"

#define BIT(n) (UINT64_C(1) << (n))

static const int table[] = { 5,  6,  28,  32,
                             33, 64, 100, VHOST_INVALID_FEATURE_BIT };

static void test_offers_no_bit_that_the_back_end_lacks(void **state)
{
    struct vhost_dev dev = { .features = BIT(5) | BIT(32) };

    /* 7 is not in the table: it is the device model's own affair */
    (void)state;
    assert_int_equal(
        vhost_get_features(&dev, table, BIT(5) | BIT(6) | BIT(7) | BIT(32)),
        BIT(5) | BIT(7) | BIT(32));
    assert_int_equal(vhost_get_features(&dev, table, 0), 0);
}

static void test_offers_bits_above_63_too(void **state)
{
    struct vhost_dev dev = { .features_array = { BIT(5), BIT(100 - 64) } };
    uint64_t features[2] = { BIT(5) | BIT(6),
                             BIT(0) | BIT(100 - 64) | BIT(63) };

    (void)state;
    vhost_get_features_ex(&dev, table, features);
    assert_int_equal(features[0], BIT(5));
    assert_int_equal(features[1], BIT(100 - 64) | BIT(63));
}

static void test_acknowledges_only_what_all_three_agree_on(void **state)
{
    struct vhost_dev dev = { .features = BIT(5) | BIT(7) | BIT(32) };

    (void)state;
    vhost_ack_features(&dev, table, BIT(5) | BIT(6) | BIT(7));
    assert_int_equal(dev.acked_features, BIT(5));
}

/* The end of a table is no bit, and what stands in it may be wrong. */
static void test_takes_no_bit_from_beyond_its_words(void **state)
{
    static const int bits[] = { 5,   128,
                                200, VHOST_INVALID_FEATURE_BIT,
                                6,   VHOST_INVALID_FEATURE_BIT };
    static const int none[] = { VHOST_INVALID_FEATURE_BIT };
    struct {
        struct vhost_dev dev;
        uint64_t features[2];
        uint64_t canary[2];
    } a = { .dev.features_array = { BIT(5) | BIT(6), 0 },
            .features = { BIT(5) | BIT(6), 0 },
            .canary = { ~UINT64_C(0), ~UINT64_C(0) } };

    (void)state;
    vhost_ack_features_ex(&a.dev, bits, a.features);
    assert_int_equal(a.dev.acked_features_array[0], BIT(5));
    assert_int_equal(a.dev.acked_features_array[1], 0);
    a.dev.features_array[0] = 0;
    vhost_get_features_ex(&a.dev, bits, a.features);
    assert_int_equal(a.features[0], BIT(6));
    assert_int_equal(a.canary[0] & a.canary[1], ~UINT64_C(0));
    assert_int_equal(vhost_get_features(&a.dev, none, BIT(5)), BIT(5));
    vhost_ack_features(&a.dev, none, BIT(5));
    assert_int_equal(a.dev.acked_features, 0);
}

static void test_forgets_what_the_driver_takes_back(void **state)
{
    struct vhost_dev dev = { .features_array = { ~UINT64_C(0), BIT(0) } };
    const uint64_t both[2] = { BIT(5) | BIT(32), BIT(0) | BIT(1) };

    (void)state;
    vhost_ack_features_ex(&dev, table, both);
    assert_int_equal(dev.acked_features_array[0], BIT(5) | BIT(32));
    assert_int_equal(dev.acked_features_array[1], BIT(0));
    vhost_ack_features(&dev, table, BIT(32));
    assert_int_equal(dev.acked_features_array[0], BIT(32));
    assert_int_equal(dev.acked_features_array[1], 0);
}

static void test_keeps_the_bits_of_vhost_from_the_driver(void **state)
{
    static const int own[] = { 26, 27, 30, 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_dev dev = { .features = ~UINT64_C(0) };
    uint64_t all = ~UINT64_C(0);

    (void)state;
    assert_int_equal(vhost_get_features(&dev, own, all),
                     ~(BIT(26) | BIT(27) | BIT(30)));
    vhost_ack_features(&dev, own, all);
    assert_int_equal(dev.acked_features, BIT(32));
}

static void test_sends_its_own_bits_but_no_iommu_without_one(void **state)
{
    struct core_rig rig;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.fake.offered[0] = BIT(5) | BIT(30) | BIT(32) | BIT(33);
    rig.fake.offered[1] = BIT(0);
    core_rig_begin(&rig);
    rig.dev.backend_features = BIT(30);
    vhost_ack_features_ex(&rig.dev, table, rig.fake.offered);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.features[0], BIT(5) | BIT(30) | BIT(32));
    assert_int_equal(rig.fake.features[1], BIT(0));
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers_no_bit_that_the_back_end_lacks),
        cmocka_unit_test(test_offers_bits_above_63_too),
        cmocka_unit_test(test_acknowledges_only_what_all_three_agree_on),
        cmocka_unit_test(test_takes_no_bit_from_beyond_its_words),
        cmocka_unit_test(test_forgets_what_the_driver_takes_back),
        cmocka_unit_test(test_keeps_the_bits_of_vhost_from_the_driver),
        cmocka_unit_test(test_sends_its_own_bits_but_no_iommu_without_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
