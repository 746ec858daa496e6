/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <linux/virtio_blk.h>

#include "check.h"
#include "driver/blk-config.h"

#define BIT(n) (UINT64_C(1) << (n))
#define ALL_BITS                                              \
    (BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) | \
     BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_MQ) |      \
     BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

static const struct virtio_blk_config usual = {
    .capacity = 1 << 20,
    .size_max = 65536,
    .seg_max = 126,
    .blk_size = 4096,
    .num_queues = 4,
    .max_discard_sectors = 1001,
    .discard_sector_alignment = 16,
    .max_write_zeroes_sectors = 1,
    .write_zeroes_may_unmap = 1,
};

static int read_limits(struct vh_blk_limits *limits,
                       const struct virtio_blk_config *config,
                       uint64_t features, struct vhost_error **errp)
{
    uint8_t bytes[VH_BLK_CONFIG_LEN];

    memcpy(bytes, config, sizeof(bytes));
    return vh_blk_limits_read(limits, bytes, features, errp);
}

static void test_fields_count_with_their_feature(void **state)
{
    struct vh_blk_limits l;

    (void)state;
    assert_int_equal(read_limits(&l, &usual, ALL_BITS, NULL), 0);
    assert_int_equal(l.capacity, (1 << 20) * UINT64_C(512));
    assert_int_equal(l.block_size, 4096);
    assert_int_equal(l.max_segments, 126);
    assert_int_equal(l.max_segment_size, 65536);
    assert_int_equal(l.queues, 4);
    assert_true(l.zeroes_may_unmap);
}

static void test_fields_without_their_feature_are_ignored(void **state)
{
    struct vh_blk_limits l;

    (void)state;
    assert_int_equal(read_limits(&l, &usual, 0, NULL), 0);
    assert_int_equal(l.block_size, 512);
    assert_int_equal(l.max_segments, 1);
    assert_int_equal(l.max_segment_size, VH_BLK_PART_MAX);
    assert_int_equal(l.queues, 1);
}

static void test_ranges_are_whole_blocks_and_at_least_one(void **state)
{
    struct vh_blk_limits l;
    struct virtio_blk_config c = usual;

    (void)state;
    assert_int_equal(read_limits(&l, &c, ALL_BITS, NULL), 0);
    assert_int_equal(l.max_discard, 1000 * 512);
    assert_int_equal(l.discard_alignment, 8192);
    assert_int_equal(l.max_zeroes, 4096);

    c.max_discard_sectors = 0; /* no limit of the device's */
    assert_int_equal(read_limits(&l, &c, ALL_BITS, NULL), 0);
    assert_int_equal(l.max_discard, UINT64_C(0xfffffff8) * 512);
}

static void refused(const struct virtio_blk_config *config, const char *words)
{
    struct vhost_error *error = NULL;
    struct vh_blk_limits l = { .queues = 99 };

    assert_int_equal(read_limits(&l, config, ALL_BITS, &error), -EPROTO);
    assert_non_null(strstr(vhost_error_message(error), words));
    assert_int_equal(l.queues, 99);
    vhost_error_free(error);
}

static void test_impossible_block_sizes_are_refused(void **state)
{
    static const uint32_t wrong[] = {
        0, 1, 256, 513, 5000, 131072, 0x80000000u
    };
    struct virtio_blk_config c = usual;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        c.blk_size = htole32(wrong[i]);
        refused(&c, "blocks");
    }
    c.blk_size = htole32(65536);
    assert_int_equal(
        read_limits(&(struct vh_blk_limits){ 0 }, &c, ALL_BITS, NULL), 0);
}

static void test_a_capacity_beyond_63_bits_is_refused(void **state)
{
    struct virtio_blk_config c = usual;
    struct vh_blk_limits l;

    (void)state;
    c.capacity = htole64((UINT64_C(1) << 54) + 1);
    refused(&c, "sectors");
    c.capacity = htole64(UINT64_MAX);
    refused(&c, "sectors");
    c.capacity = 0;
    assert_int_equal(read_limits(&l, &c, ALL_BITS, NULL), 0);
    assert_int_equal(l.capacity, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_count_with_their_feature),
        cmocka_unit_test(test_fields_without_their_feature_are_ignored),
        cmocka_unit_test(test_ranges_are_whole_blocks_and_at_least_one),
        cmocka_unit_test(test_impossible_block_sizes_are_refused),
        cmocka_unit_test(test_a_capacity_beyond_63_bits_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
