/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A packed ring whose other side lies.  Each lie has its word; none does harm:
 * no access outside the memory, no buffer given out twice, an error for ever
 * after.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-rig.h"

#define SIZE 8
#define PACKED BIT(VH_RING_F_PACKED)
#define INDIRECT BIT(VH_RING_F_INDIRECT_DESC)
#define A VH_PACKED_F_AVAIL
#define U VH_PACKED_F_USED
#define NEXT VH_DESC_F_NEXT
#define WRITE VH_DESC_F_WRITE
#define TABLE VH_DESC_F_INDIRECT
#define D RIG_GPA /* some address that is there */

static void packed_init(struct rig *rig, uint64_t more)
{
    rig_init(rig, SIZE, PACKED | more, VH_PACKED_BASE_NEW);
}

static void lie_desc(struct vh_packed_desc *desc, uint64_t addr, uint32_t len,
                     unsigned id, unsigned flags)
{
    desc->addr = vh_le64(addr);
    desc->len = vh_le32(len);
    desc->id = vh_le16((uint16_t)id);
    desc->flags = vh_le16((uint16_t)flags);
}

/* The device's side of the ring, written by hand. */

/* Buffers with 16 bytes to read and 100 to write, two descriptors each. */
static void add_buffers(struct rig *rig, char *cookies, unsigned n)
{
    struct vh_sg sg[2] = { { rig_gpa(rig, rig->data), 16 },
                           { rig_gpa(rig, rig->data), 100 } };

    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(vh_ring_add(rig->ring, sg, 1, 1, &cookies[i]), 0);
    }
    vh_ring_publish(rig->ring);
}

static unsigned id_at(const struct rig *rig, unsigned i)
{
    return vh_le16(rig->packed[i].id);
}

static void expect_driver_broken(struct rig *rig, const char *why)
{
    struct vh_ring_used used[4];
    struct vh_sg sg = { D, 1 };
    struct vh_ring_buf buf = { D, &sg, 1 };

    assert_int_equal(vh_ring_take(rig->ring, used, 4), -EPROTO);
    assert_string_equal(rig->ring->broken, why);
    assert_int_equal(vh_ring_add(rig->ring, &sg, 1, 0, &sg), -EPROTO);
    assert_int_equal(vh_ring_put(rig->ring, &buf, 1, true), -EPROTO);
    assert_int_equal(vh_ring_take(rig->ring, used, 4), -EPROTO);
    assert_false(vh_ring_publish(rig->ring));
    assert_false(vh_ring_has_used(rig->ring));
    assert_false(vh_ring_enable_call(rig->ring));
    rig_cleanup(rig);
}

static void test_used_ids_that_are_not_in_flight(void **state)
{
    static const struct {
        unsigned id;
        const char *why;
    } rows[] = {
        { SIZE, "used id out of range" },
        { 0x8000, "used id out of range" },
        { 65535, "used id out of range" },
        { 7, "used id not in flight" }, /* never added */
    };
    char cookies[2];
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        packed_init(&rig, 0);
        add_buffers(&rig, cookies, 2);
        lie_desc(&rig.packed[0], D, 0, rows[i].id, A | U);
        expect_driver_broken(&rig, rows[i].why);
    }
}

/* What was good comes first; and a fault not yet told is something to take. */
static void test_an_id_that_is_used_twice(void **state)
{
    struct vh_ring_used used[4];
    char cookies[3];
    struct rig rig;
    unsigned id;

    (void)state;
    packed_init(&rig, 0);
    add_buffers(&rig, cookies, 3);
    id = id_at(&rig, 2);
    lie_desc(&rig.packed[0], D, 100, id, A | U | VH_DESC_F_WRITE);
    lie_desc(&rig.packed[2], D, 0, id, A | U);
    assert_int_equal(vh_ring_take(rig.ring, used, 4), 1);
    assert_ptr_equal(used[0].cookie, &cookies[1]);
    assert_int_equal(used[0].len, 100);
    assert_true(vh_ring_has_used(rig.ring));
    assert_true(vh_ring_enable_call(rig.ring));
    expect_driver_broken(&rig, "used id not in flight");
}

static void test_used_length_beyond_the_buffer(void **state)
{
    static const uint32_t lengths[] = { 101, 116, UINT32_MAX };
    char cookies[1];
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        packed_init(&rig, 0);
        add_buffers(&rig, cookies, 1);
        lie_desc(&rig.packed[0], D, lengths[i], id_at(&rig, 0),
                 A | U | VH_DESC_F_WRITE);
        expect_driver_broken(
            &rig, "used length beyond the writable part of the buffer");
    }
}

/* A buffer of one piece that came by put() has a length too. */
static void test_used_length_beyond_a_buffer_that_was_put(void **state)
{
    struct rig rig;

    (void)state;
    for (unsigned writable = 0; writable < 2; writable++) {
        struct vh_ring_buf bufs[2] = { { D, &rig, 9 }, { D, &rig, 7 } };
        struct vh_ring_used used[1];

        packed_init(&rig, 0);
        assert_int_equal(vh_ring_put(rig.ring, bufs, 2, writable), 2);
        vh_ring_publish(rig.ring);
        lie_desc(&rig.packed[0], D, writable ? 9 : 0, id_at(&rig, 0),
                 A | U | VH_DESC_F_WRITE);
        assert_int_equal(vh_ring_take(rig.ring, used, 1), 1);
        lie_desc(&rig.packed[1], D, writable ? 8 : 1, id_at(&rig, 1),
                 A | U | VH_DESC_F_WRITE);
        expect_driver_broken(
            &rig, "used length beyond the writable part of the buffer");
    }
}

/* Without WRITE the length is what the driver had left there (2.8.5). */
static void test_a_length_that_is_none_is_ignored(void **state)
{
    char cookies[2];
    struct vh_ring_used used[2];
    struct rig rig;

    (void)state;
    packed_init(&rig, 0);
    add_buffers(&rig, cookies, 2);
    lie_desc(&rig.packed[0], D, UINT32_MAX, id_at(&rig, 0), A | U);
    lie_desc(&rig.packed[2], D, 5, id_at(&rig, 2), A | U);
    assert_int_equal(vh_ring_take(rig.ring, used, 2), 2);
    assert_int_equal(used[0].len, 0);
    assert_int_equal(used[1].len, 0);
    rig_cleanup(&rig);
}

/* Prepared is not yet available: what is marked there is not looked at. */
static void test_used_marks_on_what_was_not_published(void **state)
{
    struct vh_ring_buf bufs[3] = { { D, bufs, 9 },
                                   { D, bufs, 9 },
                                   { D, bufs, 9 } };
    struct vh_ring_used used[SIZE];
    struct rig rig;

    (void)state;
    packed_init(&rig, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        lie_desc(&rig.packed[i], D, 0, i, A | U);
    }
    assert_int_equal(vh_ring_take(rig.ring, used, SIZE), 0);
    assert_int_equal(vh_ring_put(rig.ring, bufs, 3, true), 3);
    for (unsigned i = 0; i < SIZE; i++) {
        lie_desc(&rig.packed[i], D, 0, i, A | U);
    }
    assert_false(vh_ring_has_used(rig.ring));
    assert_false(vh_ring_enable_call(rig.ring));
    assert_int_equal(vh_ring_take(rig.ring, used, SIZE), 0);
    assert_int_equal(rig.ring->n_inflight, 3);
    assert_null(rig.ring->broken);
    rig_cleanup(&rig);
}

/* The whole ring is marked: what is in flight comes back once, no more. */
static void test_a_ring_that_is_all_used(void **state)
{
    struct vh_ring_used used[SIZE];
    char cookies[3];
    struct rig rig;
    unsigned ids[3];

    (void)state;
    packed_init(&rig, 0);
    add_buffers(&rig, cookies, 3);
    for (unsigned i = 0; i < 3; i++) {
        ids[i] = id_at(&rig, 2 * i);
    }
    for (unsigned i = 0; i < SIZE; i++) {
        lie_desc(&rig.packed[i], D, 0, ids[i / 2 % 3], A | U);
    }
    assert_int_equal(vh_ring_take(rig.ring, used, SIZE), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(used[i].cookie, &cookies[i]);
    }
    assert_int_equal(vh_ring_take(rig.ring, used, SIZE), 0);
    assert_int_equal(rig.ring->n_free, SIZE);
    rig_cleanup(&rig);
}

/* The driver's side of the ring, written by hand. */

static void expect_device_broken(struct rig *rig, const char *why)
{
    struct iovec iov[10];
    struct vh_chain chain = { .iov = iov, .iov_max = ARRAY_SIZE(iov) };
    uint32_t base = vh_devring_base(rig->dev);

    assert_int_equal(vh_devring_pop(rig->dev, &chain), -EPROTO);
    assert_string_equal(rig->dev->broken, why);
    assert_int_equal(vh_devring_pop(rig->dev, &chain), -EPROTO);
    assert_false(vh_devring_enable_kick(rig->dev));
    assert_int_equal(vh_devring_base(rig->dev), base);
    rig_cleanup(rig);
}

/* What a buffer may not be. */
struct desc_row {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t id;
};

struct chain_case {
    const char *why;
    uint64_t features;
    struct desc_row ring[3];
    struct desc_row table[2];
};

#define T 1 /* stands for the address of the table */

/* clang-format off */
static const struct chain_case chain_cases[] = {
    { "a readable piece follows a writable one", 0,
      { { D, 1, A | NEXT | WRITE, 0 }, { D, 1, A, 0 } }, { { 0 } } },
    { "a buffer is longer than 4 GiB", 0,
      { { D, 1, A | NEXT, 0 }, { D, UINT32_MAX, A | WRITE, 0 } }, { { 0 } } },
    { "a piece of a buffer lies outside memory", 0,
      { { D - 1, 1, A, 0 } }, { { 0 } } },
    { "a piece of a buffer lies outside memory", 0,
      { { UINT64_MAX - 7, 7, A, 0 } }, { { 0 } } },
    { "a piece of a buffer wraps around the address space", 0,
      { { UINT64_MAX - 7, 9, A, 0 } }, { { 0 } } },
    { "a buffer has more pieces than the device takes", 0,
      { { D, 11 * RIG_REGION, A, 0 } }, { { 0 } } },
    { "available id out of range", 0,
      { { D, 1, A, SIZE } }, { { 0 } } },
    { "available id out of range", 0, /* the last one's counts */
      { { D, 1, A | NEXT, 0 }, { D, 1, A, 65535 } }, { { 0 } } },
    { "an indirect table, which was not negotiated", 0,
      { { T, 16, A | TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table inside a chain", INDIRECT,
      { { T, 16, A | TABLE | NEXT, 0 }, { D, 1, A, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table inside a chain", INDIRECT,
      { { D, 1, A | NEXT, 0 }, { T, 16, A | TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table inside an indirect table", INDIRECT,
      { { T, 32, A | TABLE, 0 } }, { { D, 1, 0, 0 }, { T, 16, TABLE, 0 } } },
    { "an indirect table of an impossible length", INDIRECT,
      { { T, 0, A | TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table of an impossible length", INDIRECT,
      { { T, 15, A | TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table of an impossible length", INDIRECT,
      { { T, 17, A | TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table of an impossible length", INDIRECT,
      { { T, 16 * 32769, A | TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table outside memory", INDIRECT,
      { { 0, 16, A | TABLE, 0 } }, { { 0 } } },
    { "an indirect table that wraps around the address space", INDIRECT,
      { { UINT64_MAX - 14, 16, A | TABLE, 0 } }, { { 0 } } },
    { "a readable piece follows a writable one", INDIRECT,
      { { T, 32, A | TABLE, 0 } }, { { D, 1, WRITE, 0 }, { D, 1, 0, 0 } } },
};
/* clang-format on */

static void lay_rows(struct rig *rig, struct vh_packed_desc *desc,
                     const struct desc_row *rows, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t addr =
            rows[i].addr == T ? rig_gpa(rig, rig->tables) : rows[i].addr;

        lie_desc(&desc[i], addr, rows[i].len, rows[i].id, rows[i].flags);
    }
}

static void test_buffers_that_lie(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(chain_cases); i++) {
        const struct chain_case *c = &chain_cases[i];
        struct rig rig;

        packed_init(&rig, c->features);
        lay_rows(&rig, rig.packed, c->ring, 3);
        lay_rows(&rig, (void *)rig.tables, c->table, 2);
        expect_device_broken(&rig, c->why);
    }
}

static void test_a_chain_that_goes_round_and_on(void **state)
{
    struct rig rig;

    (void)state;
    for (uint32_t len = 0; len < 2; len++) {
        packed_init(&rig, 0);
        for (unsigned i = 0; i < SIZE; i++) {
            lie_desc(&rig.packed[i], D, len, 0, A | NEXT);
        }
        expect_device_broken(&rig,
                             "a chain of descriptors is longer than the ring");
    }
}

static uint16_t pop_one(struct rig *rig)
{
    struct iovec iov[SIZE];
    struct vh_chain chain = { .iov = iov, .iov_max = SIZE };

    assert_int_equal(vh_devring_pop(rig->dev, &chain), 1);
    return chain.id;
}

static void expect_still_pushed(struct rig *rig, uint16_t id)
{
    assert_int_equal(rig->dev->n_inflight, 1);
    vh_devring_push(rig->dev, id, 0);
    assert_true(vh_devring_publish(rig->dev));
    assert_int_equal(rig->dev->n_inflight, 0);
}

/* What is out can still be returned. */
static void test_available_id_that_is_in_flight(void **state)
{
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };
    struct rig rig;

    (void)state;
    packed_init(&rig, 0);
    lie_desc(&rig.packed[0], D, 1, 3, A);
    lie_desc(&rig.packed[1], D, 1, 3, A);
    assert_int_equal(pop_one(&rig), 3);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), -EPROTO);
    assert_string_equal(rig.dev->broken, "available id already in flight");
    expect_still_pushed(&rig, 3);
    rig_cleanup(&rig);
}

/* The next lap begins, though nothing of this one has been returned. */
static void test_wrap_counters_that_run_ahead(void **state)
{
    struct iovec iov[SIZE];
    struct vh_chain chain = { .iov = iov, .iov_max = SIZE };
    struct rig rig;

    (void)state;
    packed_init(&rig, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        lie_desc(&rig.packed[i], D, 1, 0, i + 1 < SIZE ? A | NEXT : A);
    }
    assert_int_equal(pop_one(&rig), 0);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 0);
    lie_desc(&rig.packed[0], D, 1, 1, U);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), -EPROTO);
    assert_string_equal(rig.dev->broken,
                        "more descriptors available than the ring has");
    expect_still_pushed(&rig, 0);
    rig_cleanup(&rig);
}

/* A table of no alignment, and one that lies in two regions. */
static void test_a_table_may_lie_anywhere(void **state)
{
    static const size_t offsets[] = { 0, 1, RIG_REGION - 16, RIG_REGION - 24 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        struct iovec iov[2];
        struct vh_chain chain = { .iov = iov, .iov_max = 2 };
        struct vh_packed_desc table[2];
        struct rig rig;

        packed_init(&rig, INDIRECT);
        lie_desc(&table[0], D + 5, 2, 9, NEXT); /* only WRITE counts */
        lie_desc(&table[1], D + 32, 4, 65535, WRITE | NEXT);
        memcpy(rig.data + offsets[i], table, sizeof(table));
        lie_desc(&rig.packed[0], rig_gpa(&rig, rig.data + offsets[i]), 32, 6,
                 A | TABLE | WRITE);
        assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
        assert_int_equal(chain.id, 6);
        assert_int_equal(chain.out_len, 2);
        assert_int_equal(chain.in_len, 4);
        assert_int_equal(rig_gpa(&rig, iov[0].iov_base), D + 5);
        rig_cleanup(&rig);
    }
}

static void test_an_indirect_table_half_outside_memory(void **state)
{
    struct rig rig;
    struct vh_packed_desc *last;

    (void)state;
    packed_init(&rig, INDIRECT);
    last = (struct vh_packed_desc *)(rig.mem + rig.mem_len) - 1;
    lie_desc(last, D, 1, 0, 0);
    lie_desc(&rig.packed[0], rig_gpa(&rig, last), 32, 0, A | TABLE);
    expect_device_broken(&rig, "an indirect table outside memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_used_ids_that_are_not_in_flight),
        cmocka_unit_test(test_an_id_that_is_used_twice),
        cmocka_unit_test(test_used_length_beyond_the_buffer),
        cmocka_unit_test(test_used_length_beyond_a_buffer_that_was_put),
        cmocka_unit_test(test_a_length_that_is_none_is_ignored),
        cmocka_unit_test(test_used_marks_on_what_was_not_published),
        cmocka_unit_test(test_a_ring_that_is_all_used),
        cmocka_unit_test(test_buffers_that_lie),
        cmocka_unit_test(test_a_chain_that_goes_round_and_on),
        cmocka_unit_test(test_available_id_that_is_in_flight),
        cmocka_unit_test(test_wrap_counters_that_run_ahead),
        cmocka_unit_test(test_a_table_may_lie_anywhere),
        cmocka_unit_test(test_an_indirect_table_half_outside_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
