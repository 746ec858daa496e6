/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is peculiar to the packed layout: what stands in memory, bit by bit,
 * as virtio 1.3, 2.8 has it.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-rig.h"
#include "ring/packed-event.h"
#include "ring/packed.h"

#define PACKED BIT(VH_RING_F_PACKED)
#define EVENT BIT(VH_RING_F_EVENT_IDX)
#define INDIRECT BIT(VH_RING_F_INDIRECT_DESC)
#define A VH_PACKED_F_AVAIL
#define U VH_PACKED_F_USED

static void packed_init(struct rig *rig, uint32_t size, uint64_t more)
{
    rig_init(rig, size, PACKED | more, VH_PACKED_BASE_NEW);
}

static uint16_t flags_at(const struct rig *rig, unsigned i)
{
    return vh_le16(rig->packed[i].flags);
}

static void add_one(struct rig *rig, void *cookie)
{
    struct vh_sg sg = { rig_gpa(rig, rig->data), 8 };

    assert_int_equal(vh_ring_add(rig->ring, &sg, 0, 1, cookie), 0);
}

static uint16_t pop_one(struct rig *rig)
{
    struct iovec iov[4];
    struct vh_chain chain = { .iov = iov, .iov_max = 4 };

    assert_int_equal(vh_devring_pop(rig->dev, &chain), 1);
    return chain.id;
}

static void take_one(struct rig *rig, const void *cookie)
{
    struct vh_ring_used used[1];

    assert_int_equal(vh_ring_take(rig->ring, used, 1), 1);
    assert_ptr_equal(used[0].cookie, cookie);
}

static void expect_desc(const struct rig *rig, unsigned at, uint64_t offset,
                        uint32_t len, unsigned flags)
{
    const struct vh_packed_desc *desc = &rig->packed[at];

    assert_int_equal(vh_le64(desc->addr), rig_gpa(rig, rig->data) + offset);
    assert_int_equal(vh_le32(desc->len), len);
    assert_int_equal(vh_le16(desc->flags), flags);
}

/* 2.8.1, 2.8.6: bits of this lap, then of the next, in one chain. */
static void test_a_chain_across_the_end_of_the_ring(void **state)
{
    struct vh_sg sg[3];
    struct rig rig;
    int a, b;

    (void)state;
    packed_init(&rig, 3, 0);
    for (unsigned i = 0; i < 3; i++) {
        sg[i].addr = rig_gpa(&rig, rig.data) + 16 * i;
        sg[i].len = 5 + i;
    }
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 1, &a), 0);
    assert_int_equal(flags_at(&rig, 0) & (A | U), 0); /* held back */
    vh_ring_publish(rig.ring);
    expect_desc(&rig, 0, 0, 5, A | VH_DESC_F_NEXT);
    expect_desc(&rig, 1, 16, 6, A | VH_DESC_F_WRITE);
    vh_devring_push(rig.dev, pop_one(&rig), 0);
    vh_devring_publish(rig.dev);
    assert_int_equal(flags_at(&rig, 0) & (A | U), A | U);
    take_one(&rig, &a);

    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 2, &b), 0);
    vh_ring_publish(rig.ring);
    expect_desc(&rig, 2, 0, 5, A | VH_DESC_F_NEXT);
    expect_desc(&rig, 0, 16, 6, U | VH_DESC_F_NEXT | VH_DESC_F_WRITE);
    expect_desc(&rig, 1, 32, 7, U | VH_DESC_F_WRITE);
    vh_devring_push(rig.dev, pop_one(&rig), 13);
    vh_devring_publish(rig.dev);
    assert_int_equal(flags_at(&rig, 2), A | U | VH_DESC_F_WRITE);
    assert_int_equal(vh_le32(rig.packed[2].len), 13);
    take_one(&rig, &b);
    assert_int_equal(vh_ring_base(rig.ring), 0x00020002);
    assert_int_equal(vh_devring_base(rig.dev), 0x00020002);
    rig_cleanup(&rig);
}

/* 2.8.7: one descriptor of the ring; of those in the table, WRITE counts. */
static void test_a_table_stands_for_its_buffer(void **state)
{
    struct vh_sg sg[3] = { { RIG_GPA, 1 }, { RIG_GPA, 2 }, { RIG_GPA, 3 } };
    const struct vh_packed_desc *table;
    struct rig rig;

    (void)state;
    packed_init(&rig, 4, INDIRECT);
    assert_int_equal(vh_ring_add(rig.ring, sg, 2, 1, &rig), 0);
    vh_ring_publish(rig.ring);
    assert_int_equal(rig.ring->n_free, 3);
    assert_int_equal(flags_at(&rig, 0), A | VH_DESC_F_INDIRECT);
    assert_int_equal(vh_le32(rig.packed[0].len), 48);
    table = (const void *)(rig.mem + (vh_le64(rig.packed[0].addr) - RIG_GPA));
    assert_int_equal(vh_le32(table[1].len), 2);
    assert_int_equal(vh_le16(table[1].flags) & VH_DESC_F_WRITE, 0);
    assert_int_equal(vh_le16(table[2].flags) & VH_DESC_F_WRITE,
                     VH_DESC_F_WRITE);
    assert_int_equal(vh_le16(table[2].flags) & VH_DESC_F_INDIRECT, 0);
    rig_cleanup(&rig);
}

static void expect_event(const struct vh_packed_event *event, unsigned flags,
                         unsigned off_wrap)
{
    assert_int_equal(vh_le16(event->flags), flags);
    if (flags == VH_EVENT_F_DESC) {
        assert_int_equal(vh_le16(event->off_wrap), off_wrap);
    }
}

/* 2.8.14; DESC is for those who negotiated the event index. */
static void test_wishes_stand_in_the_event_structures(void **state)
{
    struct rig rig;

    (void)state;
    for (int event = 0; event < 2; event++) {
        packed_init(&rig, 3, event ? EVENT : 0);
        expect_event(rig.driver_event, VH_EVENT_F_ENABLE, 0);
        expect_event(rig.device_event, VH_EVENT_F_ENABLE, 0);
        vh_ring_disable_call(rig.ring);
        vh_devring_disable_kick(rig.dev);
        expect_event(rig.driver_event, VH_EVENT_F_DISABLE, 0);
        expect_event(rig.device_event, VH_EVENT_F_DISABLE, 0);
        for (unsigned i = 0; i < 4; i++) { /* the fourth, of the next lap */
            unsigned off_wrap = i < 3 ? 0x8000 + i : 0;
            unsigned flags = event ? VH_EVENT_F_DESC : VH_EVENT_F_ENABLE;

            assert_false(vh_ring_enable_call(rig.ring));
            assert_false(vh_devring_enable_kick(rig.dev));
            expect_event(rig.driver_event, flags, off_wrap);
            expect_event(rig.device_event, flags, off_wrap);
            add_one(&rig, &rig);
            assert_true(vh_ring_publish(rig.ring));
            vh_devring_push(rig.dev, pop_one(&rig), 0);
            assert_true(vh_devring_publish(rig.dev));
            take_one(&rig, &rig);
        }
        rig_cleanup(&rig);
    }
}

/* The event index: once, when its place is passed. */
static void test_the_event_index_is_heard_once(void **state)
{
    struct rig rig;

    (void)state;
    packed_init(&rig, 5, EVENT);
    for (unsigned lap = 0; lap < 4; lap++) {
        uint16_t ids[3];

        assert_false(vh_devring_enable_kick(rig.dev));
        assert_false(vh_ring_enable_call(rig.ring));
        for (unsigned i = 0; i < 3; i++) {
            add_one(&rig, &rig);
            assert_int_equal(vh_ring_publish(rig.ring), i == 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            ids[i] = pop_one(&rig);
        }
        for (unsigned i = 0; i < 3; i++) {
            vh_devring_push(rig.dev, ids[i], 0);
            assert_int_equal(vh_devring_publish(rig.dev), i == 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            take_one(&rig, &rig);
        }
    }
    rig_cleanup(&rig);
}

/* A wish without meaning is no reason to be silent. */
static void test_wishes_that_mean_nothing_are_heard(void **state)
{
    struct vh_packed_pos now = { 3, true };
    uint32_t reserved = vh_le32(0x80000000 | 3u << 16);
    uint32_t desc = vh_le32(7 | VH_EVENT_F_DESC << 16);

    (void)state;
    assert_true(vh_packed_need_event(&reserved, true, now, 1, 8));
    assert_true(vh_packed_need_event(&desc, false, now, 1, 8));
    assert_false(vh_packed_need_event(&desc, true, now, 1, 8));
}

/* Against the meaning: is the place asked for one of the last @n? */
static void test_need_event_means_what_it_says(void **state)
{
    (void)state;
    for (uint32_t size = 1; size < 9; size++) {
        for (uint32_t i = 0; i < 2 * size * 2 * size * (size + 1); i++) {
            uint32_t at = i % (2 * size); /* on a circle of two laps */
            uint32_t want = i / (2 * size) % (2 * size);
            uint32_t n = i / (2 * size) / (2 * size);
            struct vh_packed_pos now = { (uint16_t)(at % size), at < size };
            uint32_t word = want % size | (want < size ? 0x8000u : 0);
            uint32_t back = (at + 2 * size - 1 - want) % (2 * size);
            uint32_t event = vh_le32(word | VH_EVENT_F_DESC << 16);

            assert_int_equal(vh_packed_need_event(&event, true, now, n, size),
                             back < n);
            event = vh_le32(word | VH_EVENT_F_DISABLE << 16);
            assert_false(vh_packed_need_event(&event, true, now, n, size));
            event = vh_le32(word | VH_EVENT_F_ENABLE << 16);
            assert_true(vh_packed_need_event(&event, true, now, n, size));
        }
    }
}

/* In any order: the place is that of the buffer due, the id of the one used. */
static void test_a_used_buffer_takes_the_place_that_is_due(void **state)
{
    struct vh_sg sg[2] = { { RIG_GPA, 1 }, { RIG_GPA, 1 } };
    uint16_t first, second;
    struct rig rig;
    int a, b;

    (void)state;
    packed_init(&rig, 4, 0);
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 1, &a), 0);
    add_one(&rig, &b);
    vh_ring_publish(rig.ring);
    first = pop_one(&rig);
    second = pop_one(&rig);
    vh_devring_push(rig.dev, second, 3);
    vh_devring_publish(rig.dev);
    assert_int_equal(vh_le16(rig.packed[0].id), second);
    assert_int_equal(flags_at(&rig, 0), A | U | VH_DESC_F_WRITE);
    vh_devring_push(rig.dev, first, 0);
    vh_devring_publish(rig.dev);
    assert_int_equal(vh_le16(rig.packed[1].id), first);
    assert_int_equal(flags_at(&rig, 1), A | U);
    take_one(&rig, &b);
    take_one(&rig, &a);
    assert_int_equal(rig.ring->n_free, 4);
    rig_cleanup(&rig);
}

/* A buffer is lost with the first device; the base has both positions. */
static void test_a_second_device_knows_where_to_write(void **state)
{
    struct rig rig;
    int a, b, c;

    (void)state;
    packed_init(&rig, 3, 0);
    add_one(&rig, &a);
    add_one(&rig, &b);
    vh_ring_publish(rig.ring);
    pop_one(&rig);
    vh_devring_push(rig.dev, pop_one(&rig), 0);
    vh_devring_publish(rig.dev);
    rig.base = vh_devring_base(rig.dev);
    assert_int_equal(rig.base, 0x80018002);

    vh_devring_free(rig.dev);
    assert_int_equal(rig_new_device(&rig), 0);
    add_one(&rig, &c);
    vh_ring_publish(rig.ring);
    vh_devring_push(rig.dev, pop_one(&rig), 0);
    vh_devring_publish(rig.dev);
    assert_int_equal(vh_devring_base(rig.dev), 0x80020000);
    take_one(&rig, &b);
    take_one(&rig, &c);
    assert_int_equal(rig.ring->n_inflight, 1);
    rig_cleanup(&rig);
}

static void test_add_tells_not_now_from_never(void **state)
{
    struct vh_sg sg[9] = { { .addr = RIG_GPA, .len = 1 } };
    struct vh_sg huge[2] = { { RIG_GPA, UINT32_MAX }, { RIG_GPA, 1 } };
    struct rig rig;

    (void)state;
    packed_init(&rig, 7, INDIRECT);
    assert_int_equal(vh_ring_add(rig.ring, sg, 8, 0, &rig), -E2BIG);
    assert_int_equal(vh_ring_add(rig.ring, sg, 4, 4, &rig), -E2BIG);
    assert_int_equal(vh_ring_add(rig.ring, sg, ~0u, 2, &rig), -E2BIG);
    assert_int_equal(vh_ring_add(rig.ring, huge, 0, 2, &rig), -E2BIG);
    assert_int_equal(vh_ring_add(rig.ring, huge, 1, 1, &rig), -E2BIG);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(vh_ring_add(rig.ring, sg, 4, 3, &rig), 0);
    }
    assert_int_equal(vh_ring_add(rig.ring, sg, 1, 0, &rig), -ENOSPC);
    rig_cleanup(&rig);
}

static void expect_refused(const struct rig *rig, bool driver, bool device)
{
    struct rig copy = *rig;

    copy.ring = NULL;
    copy.dev = NULL;
    assert_int_equal(rig_new_driver(&copy), driver ? -EINVAL : 0);
    assert_int_equal(rig_new_device(&copy), device ? -EINVAL : 0);
    vh_ring_free(copy.ring);
    vh_devring_free(copy.dev);
}

static void test_new_refuses_what_it_cannot_obey(void **state)
{
    static const uint32_t outside[] = { 0x80078007, 0x80008007, 0x80078000,
                                        0xffffffff };
    struct rig rig, odd;

    (void)state;
    packed_init(&rig, 7, 0);
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
        odd = rig;
        odd.base = outside[i];
        expect_refused(&odd, true, true);
    }
    odd = rig;
    odd.size = 0;
    expect_refused(&odd, true, true);
    odd.size = 32769;
    expect_refused(&odd, true, true);
    odd = rig;
    odd.desc = (void *)((uint8_t *)rig.desc + 8);
    expect_refused(&odd, true, true);
    odd = rig;
    odd.avail = (void *)((uint8_t *)rig.avail + 2);
    expect_refused(&odd, true, true);
    odd = rig;
    odd.used = (void *)((uint8_t *)rig.used + 2);
    expect_refused(&odd, true, true);
    odd = rig; /* a ring that begins has nothing in flight */
    odd.base = 0x80008001;
    expect_refused(&odd, true, false);
    odd.base = 0x80000000;
    expect_refused(&odd, true, false);
    odd.base = 0x00060006;
    expect_refused(&odd, false, false);
    rig_cleanup(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chain_across_the_end_of_the_ring),
        cmocka_unit_test(test_a_table_stands_for_its_buffer),
        cmocka_unit_test(test_wishes_stand_in_the_event_structures),
        cmocka_unit_test(test_the_event_index_is_heard_once),
        cmocka_unit_test(test_wishes_that_mean_nothing_are_heard),
        cmocka_unit_test(test_need_event_means_what_it_says),
        cmocka_unit_test(test_a_used_buffer_takes_the_place_that_is_due),
        cmocka_unit_test(test_a_second_device_knows_where_to_write),
        cmocka_unit_test(test_add_tells_not_now_from_never),
        cmocka_unit_test(test_new_refuses_what_it_cannot_obey),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
