/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is peculiar to the split layout, or to edges that test-ring-model does
 * not reach at random.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-rig.h"
#include "ring/event.h"

static void test_a_full_ring_of_the_largest_size_is_seen(void **state)
{
    const uint32_t size = VH_RING_SIZE_MAX;
    struct vh_ring_used *used = calloc(size, sizeof(*used));
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };
    struct vh_sg sg = { .len = 8 };
    struct rig rig;

    (void)state;
    assert_non_null(used);
    rig_init(&rig, size, BIT(VH_RING_F_EVENT_IDX), 40000);
    sg.addr = rig_gpa(&rig, rig.data);
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(vh_ring_add(rig.ring, &sg, 0, 1, &rig), 0);
    }
    assert_int_equal(vh_ring_add(rig.ring, &sg, 0, 1, &rig), -ENOSPC);
    assert_true(vh_ring_publish(rig.ring));
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
        vh_devring_push(rig.dev, chain.id, 8);
    }
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 0);
    assert_true(vh_devring_publish(rig.dev));
    assert_int_equal(vh_ring_take(rig.ring, used, size), size);
    assert_int_equal(vh_ring_take(rig.ring, used, size), 0);
    free(used);
    rig_cleanup(&rig);
}

static void test_nothing_is_seen_before_it_is_published(void **state)
{
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };
    struct vh_ring_used used[1];
    struct vh_sg sg = { .len = 8 };
    struct rig rig;

    (void)state;
    rig_init(&rig, 4, 0, 0);
    sg.addr = rig_gpa(&rig, rig.data);
    assert_int_equal(vh_ring_add(rig.ring, &sg, 1, 0, &sg), 0);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 0);
    assert_true(vh_ring_publish(rig.ring));
    assert_false(vh_ring_publish(rig.ring)); /* nothing new */
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
    vh_devring_push(rig.dev, chain.id, 0);
    assert_int_equal(vh_ring_take(rig.ring, used, 1), 0);
    assert_int_equal(vh_devring_base(rig.dev), 1);
    assert_int_equal(vh_ring_base(rig.ring), 0);
    assert_true(vh_devring_publish(rig.dev));
    assert_false(vh_devring_publish(rig.dev));
    assert_int_equal(vh_ring_take(rig.ring, used, 1), 1);
    assert_ptr_equal(used[0].cookie, &sg);
    rig_cleanup(&rig);
}

static void test_add_tells_not_now_from_never(void **state)
{
    struct vh_sg sg[9] = { { .addr = RIG_GPA, .len = 1 } };
    struct rig rig;

    (void)state;
    rig_init(&rig, 8, BIT(VH_RING_F_INDIRECT_DESC), 0);
    assert_int_equal(vh_ring_add(rig.ring, sg, 9, 0, &rig), -E2BIG);
    assert_int_equal(vh_ring_add(rig.ring, sg, 4, 5, &rig), -E2BIG);
    assert_int_equal(vh_ring_add(rig.ring, sg, ~0u, 2, &rig), -E2BIG);
    for (int i = 0; i < 8; i++) { /* all pieces fit in a table each */
        assert_int_equal(vh_ring_add(rig.ring, sg, 4, 4, &rig), 0);
    }
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 0, &rig), -ENOSPC);
    assert_int_equal(rig.ring->n_inflight, 8);
    rig_cleanup(&rig);
}

static void test_a_buffer_of_4_gib_is_refused(void **state)
{
    struct vh_sg sg[2] = { { RIG_GPA, UINT32_MAX }, { RIG_GPA, 1 } };
    struct rig rig;

    (void)state;
    rig_init(&rig, 8, 0, 0);
    assert_int_equal(vh_ring_add(rig.ring, sg, 0, 2, &rig), -E2BIG);
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 1, &rig), -E2BIG);
    assert_int_equal(rig.ring->n_free, 8);
    assert_int_equal(vh_ring_add(rig.ring, sg, 0, 1, &rig), 0);
    rig_cleanup(&rig);
}

static void test_indirect_needs_tables_and_negotiation(void **state)
{
    struct vh_sg sg[2] = { { RIG_GPA, 1 }, { RIG_GPA, 1 } };
    struct rig rig;

    (void)state;
    rig_init(&rig, 8, 0, 0);
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 1, &rig), 0);
    assert_int_equal(rig.ring->n_free, 6);
    vh_ring_free(rig.ring);

    rig.features = BIT(VH_RING_F_INDIRECT_DESC);
    assert_int_equal(rig_new_driver(&rig), 0);
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 1, &rig), 0);
    assert_int_equal(rig.ring->n_free, 7);
    vh_ring_free(rig.ring);

    rig.tables = NULL;
    assert_int_equal(rig_new_driver(&rig), 0);
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 1, &rig), 0);
    assert_int_equal(rig.ring->n_free, 6);
    rig_cleanup(&rig);
}

/* With flags alone the other side learns of it only from this word. */
static void test_suppression_without_event_index_is_in_the_flags(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, 8, 0, 0);
    vh_ring_disable_call(rig.ring);
    vh_devring_disable_kick(rig.dev);
    assert_int_equal(vh_le16(rig.avail->flags), VH_AVAIL_F_NO_INTERRUPT);
    assert_int_equal(vh_le16(rig.used->flags), VH_USED_F_NO_NOTIFY);
    assert_false(vh_ring_enable_call(rig.ring));
    assert_false(vh_devring_enable_kick(rig.dev));
    assert_int_equal(rig.avail->flags, 0);
    assert_int_equal(rig.used->flags, 0);
    rig_cleanup(&rig);
}

/* 2.7.7.1: with the event index the driver's flags stay 0. */
static void test_suppression_with_event_index_leaves_the_flags(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, 8, BIT(VH_RING_F_EVENT_IDX), 0);
    vh_ring_disable_call(rig.ring);
    vh_devring_disable_kick(rig.dev);
    assert_int_equal(rig.avail->flags, 0);
    assert_int_equal(rig.used->flags, 0);
    rig_cleanup(&rig);
}

/* A device goes on where another one stopped. */
static void test_a_second_device_goes_on_at_the_base(void **state)
{
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };
    struct vh_ring_used used[2];
    struct vh_sg sg = { .len = 8 };
    struct rig rig;
    int a, b;

    (void)state;
    rig_init(&rig, 4, BIT(VH_RING_F_EVENT_IDX), 65535);
    sg.addr = rig_gpa(&rig, rig.data);
    assert_int_equal(vh_ring_add(rig.ring, &sg, 1, 0, &a), 0);
    assert_int_equal(vh_ring_add(rig.ring, &sg, 1, 0, &b), 0);
    assert_true(vh_ring_publish(rig.ring));
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
    vh_devring_push(rig.dev, chain.id, 0);
    vh_devring_publish(rig.dev);

    rig.base = vh_devring_base(rig.dev);
    assert_int_equal(rig.base, 0);
    vh_devring_free(rig.dev);
    assert_int_equal(rig_new_device(&rig), 0);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 0);
    vh_devring_push(rig.dev, chain.id, 0);
    vh_devring_publish(rig.dev);
    assert_int_equal(vh_ring_take(rig.ring, used, 2), 2);
    assert_ptr_equal(used[0].cookie, &a);
    assert_ptr_equal(used[1].cookie, &b);
    rig_cleanup(&rig);
}

#define BURST 4
#define BURSTS 4
#define DESCS (BURST * BURSTS)

/* A device can write to all of the ring. */
static void scribble(struct rig *rig, unsigned at)
{
    rig->desc[at].addr ^= vh_le64(1);
    rig->desc[at + 1].len ^= vh_le32(1);
    rig->desc[at + 2].flags ^= vh_le16(VH_DESC_F_NEXT);
    rig->avail->ring[at + 3] ^= vh_le16(1);
}

/* The oldest burst comes back, and is put again in the same order. */
static void turn_round(struct rig *rig, unsigned at, bool scribbles)
{
    struct vh_ring_used used[BURST];
    struct vh_ring_buf bufs[BURST];
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };

    for (unsigned i = 0; i < BURST; i++) {
        assert_int_equal(vh_devring_pop(rig->dev, &chain), 1);
        vh_devring_push(rig->dev, chain.id, 0);
    }
    if (scribbles) {
        scribble(rig, at);
    }
    vh_devring_publish(rig->dev);
    assert_int_equal(vh_ring_take(rig->ring, used, BURST), BURST);
    for (unsigned i = 0; i < BURST; i++) {
        bufs[i] = (struct vh_ring_buf){ rig_gpa(rig, used[i].cookie),
                                        used[i].cookie, 8 };
    }
    assert_int_equal(vh_ring_put(rig->ring, bufs, BURST, true), BURST);
    vh_ring_publish(rig->ring);
}

/*
 * Then nothing is written but the index; and what a device has changed is made
 * right again.
 */
static void test_buffers_that_go_round_meet_the_same_descriptors(void **state)
{
    static const uint64_t layouts[] = { 0, BIT(VH_RING_F_IN_ORDER) };
    struct vh_desc descs[DESCS];
    uint16_t entries[DESCS];
    struct rig rig;

    (void)state;
    for (unsigned l = 0; l < 2; l++) {
        rig_init(&rig, DESCS, layouts[l], 0);
        for (unsigned i = 0; i < DESCS; i++) {
            struct vh_ring_buf buf = { .cookie = rig.data + 8 * i, .len = 8 };

            buf.addr = rig_gpa(&rig, buf.cookie);
            assert_int_equal(vh_ring_put(rig.ring, &buf, 1, true), 1);
        }
        vh_ring_publish(rig.ring);
        memcpy(descs, rig.desc, sizeof(descs));
        memcpy(entries, rig.avail->ring, sizeof(entries));
        for (unsigned i = 0; i < 3 * BURSTS; i++) {
            turn_round(&rig, i % BURSTS * BURST, i >= BURSTS);
            assert_memory_equal(descs, rig.desc, sizeof(descs));
            assert_memory_equal(entries, rig.avail->ring, sizeof(entries));
        }
        rig_cleanup(&rig);
    }
}

/*
 * Buffers that the first device popped and lost stay in flight; those of the
 * second one follow what was used, not what was made available.
 */
static void test_used_entries_follow_those_of_the_first_device(void **state)
{
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };
    struct vh_ring_used used[3];
    struct vh_sg sg = { .len = 8 };
    struct rig rig;
    int a, b, c;

    (void)state;
    rig_init(&rig, 4, 0, 0);
    sg.addr = rig_gpa(&rig, rig.data);
    assert_int_equal(vh_ring_add(rig.ring, &sg, 1, 0, &a), 0);
    assert_int_equal(vh_ring_add(rig.ring, &sg, 1, 0, &b), 0);
    vh_ring_publish(rig.ring);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
    vh_devring_push(rig.dev, chain.id, 0);
    vh_devring_publish(rig.dev);

    rig.base = vh_devring_base(rig.dev);
    assert_int_equal(rig.base, 2);
    vh_devring_free(rig.dev);
    assert_int_equal(rig_new_device(&rig), 0);
    assert_int_equal(vh_ring_add(rig.ring, &sg, 1, 0, &c), 0);
    vh_ring_publish(rig.ring);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
    vh_devring_push(rig.dev, chain.id, 0);
    vh_devring_publish(rig.dev);
    assert_int_equal(vh_ring_take(rig.ring, used, 3), 2);
    assert_ptr_equal(used[0].cookie, &b);
    assert_ptr_equal(used[1].cookie, &c);
    assert_int_equal(rig.ring->n_inflight, 1);
    rig_cleanup(&rig);
}

static void check_sizes(uint32_t n, uint64_t features, size_t desc,
                        size_t driver, size_t device)
{
    struct vh_ring_sizes sizes = vh_ring_sizes(n, features);

    assert_int_equal(sizes.desc, desc);
    assert_int_equal(sizes.driver, driver);
    assert_int_equal(sizes.device, device);
}

static void test_areas_are_as_large_as_specified(void **state)
{
    uint64_t event = BIT(VH_RING_F_EVENT_IDX);
    uint64_t packed = BIT(VH_RING_F_PACKED);

    (void)state;
    check_sizes(1, 0, 16, 6, 12);
    check_sizes(256, 0, 4096, 516, 2052);
    check_sizes(256, event, 4096, 518, 2054);
    check_sizes(32768, event, 524288, 65542, 262150);
    check_sizes(100, packed, 1600, 4, 4);
    check_sizes(100, packed | event, 1600, 4, 4);
}

static void test_sizes_that_no_ring_can_have(void **state)
{
    uint64_t packed = BIT(VH_RING_F_PACKED);

    (void)state;
    for (uint32_t n = 1; n <= 32768; n *= 2) {
        assert_true(vh_ring_size_is_valid(n, 0));
    }
    assert_false(vh_ring_size_is_valid(0, 0));
    assert_false(vh_ring_size_is_valid(3, 0));
    assert_false(vh_ring_size_is_valid(65536, 0));
    assert_true(vh_ring_size_is_valid(3, packed));
    assert_true(vh_ring_size_is_valid(32768, packed));
    assert_false(vh_ring_size_is_valid(32769, packed));
    assert_false(vh_ring_size_is_valid(0, packed));
}

static void expect_both_refuse(struct rig *rig, int error)
{
    struct rig copy = *rig;

    copy.ring = NULL;
    copy.dev = NULL;
    assert_int_equal(rig_new_driver(&copy), error);
    assert_int_equal(rig_new_device(&copy), error);
    assert_null(copy.ring);
    assert_null(copy.dev);
}

static void test_new_refuses_what_it_cannot_obey(void **state)
{
    struct rig rig, odd;

    (void)state;
    rig_init(&rig, 8, 0, 0);
    odd = rig;
    odd.size = 7;
    expect_both_refuse(&odd, -EINVAL);
    odd.size = 0;
    expect_both_refuse(&odd, -EINVAL);
    odd = rig;
    odd.desc = (void *)((uint8_t *)rig.desc + 8);
    expect_both_refuse(&odd, -EINVAL);
    odd = rig;
    odd.avail = (void *)((uint8_t *)rig.avail + 1);
    expect_both_refuse(&odd, -EINVAL);
    odd = rig;
    odd.used = (void *)((uint8_t *)rig.used + 2);
    expect_both_refuse(&odd, -EINVAL);
    odd.used = NULL;
    expect_both_refuse(&odd, -EINVAL);
    rig_cleanup(&rig);
}

/* Against the meaning: is the event one of the steps from old to new? */
static void test_event_index_is_stepped_over_on_the_circle(void **state)
{
    static const uint16_t starts[] = { 0, 1, 100, 32767, 65530, 65535 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        for (uint16_t n = 0; n < 20; n++) {
            uint16_t old = starts[i];
            uint16_t new_ = (uint16_t)(old + n);

            for (int d = -30; d < 30; d++) {
                bool inside = d >= 0 && d < n;

                assert_int_equal(
                    vh_ring_need_event((uint16_t)(old + d), new_, old), inside);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_ring_of_the_largest_size_is_seen),
        cmocka_unit_test(test_nothing_is_seen_before_it_is_published),
        cmocka_unit_test(test_add_tells_not_now_from_never),
        cmocka_unit_test(test_a_buffer_of_4_gib_is_refused),
        cmocka_unit_test(test_indirect_needs_tables_and_negotiation),
        cmocka_unit_test(test_suppression_without_event_index_is_in_the_flags),
        cmocka_unit_test(test_suppression_with_event_index_leaves_the_flags),
        cmocka_unit_test(test_a_second_device_goes_on_at_the_base),
        cmocka_unit_test(test_buffers_that_go_round_meet_the_same_descriptors),
        cmocka_unit_test(test_used_entries_follow_those_of_the_first_device),
        cmocka_unit_test(test_areas_are_as_large_as_specified),
        cmocka_unit_test(test_sizes_that_no_ring_can_have),
        cmocka_unit_test(test_new_refuses_what_it_cannot_obey),
        cmocka_unit_test(test_event_index_is_stepped_over_on_the_circle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
