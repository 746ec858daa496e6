/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A split ring whose other side lies.  Each lie has its word; none does harm:
 * no access outside the memory, no buffer given out twice, an error for ever
 * after.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-rig.h"

#define SIZE 8
#define INDIRECT BIT(VH_RING_F_INDIRECT_DESC)
#define NEXT VH_DESC_F_NEXT
#define WRITE VH_DESC_F_WRITE
#define TABLE VH_DESC_F_INDIRECT

/* The device's side of the ring, written by hand. */

static void lie_used(struct rig *rig, uint16_t at, uint32_t id, uint32_t len)
{
    rig->used->ring[at % rig->size].id = vh_le32(id);
    rig->used->ring[at % rig->size].len = vh_le32(len);
}

static void lie_used_idx(struct rig *rig, uint16_t idx)
{
    rig->used->idx = vh_le16(idx);
}

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

static uint16_t head_of(const struct rig *rig, unsigned i)
{
    return vh_le16(rig->avail->ring[i]);
}

static void expect_driver_broken(struct rig *rig, const char *why)
{
    struct vh_ring_used used[4];
    struct vh_sg sg = { RIG_GPA, 1 };

    assert_int_equal(vh_ring_take(rig->ring, used, 4), -EPROTO);
    assert_string_equal(rig->ring->broken, why);
    assert_int_equal(vh_ring_add(rig->ring, &sg, 1, 0, &sg), -EPROTO);
    assert_int_equal(vh_ring_take(rig->ring, used, 4), -EPROTO);
    assert_false(vh_ring_publish(rig->ring));
    assert_false(vh_ring_has_used(rig->ring));
    assert_false(vh_ring_enable_call(rig->ring));
    rig_cleanup(rig);
}

static void test_used_id_that_no_ring_has(void **state)
{
    static const uint32_t ids[] = { SIZE, 0x10000, UINT32_MAX };
    char cookies[2];
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        rig_init(&rig, SIZE, 0, 0);
        add_buffers(&rig, cookies, 2);
        lie_used(&rig, 0, ids[i], 0);
        lie_used_idx(&rig, 1);
        expect_driver_broken(&rig, "used id out of range");
    }
}

static void test_used_id_that_is_not_in_flight(void **state)
{
    char cookies[2];
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, 0, 0);
    add_buffers(&rig, cookies, 2);
    lie_used(&rig, 0, 7, 0); /* never added */
    lie_used_idx(&rig, 1);
    expect_driver_broken(&rig, "used id not in flight");

    rig_init(&rig, SIZE, 0, 0);
    add_buffers(&rig, cookies, 2);
    lie_used(&rig, 0, (head_of(&rig, 0) + 1u) % SIZE, 0); /* not a head */
    lie_used_idx(&rig, 1);
    expect_driver_broken(&rig, "used id not in flight");
}

/* What was good comes first; and a fault not yet told is something to take. */
static void test_those_before_the_fault_are_returned_first(void **state)
{
    struct vh_ring_used used[4];
    char cookies[3];
    struct rig rig;

    (void)state;
    for (unsigned event = 0; event < 2; event++) {
        rig_init(&rig, SIZE, event ? BIT(VH_RING_F_EVENT_IDX) : 0, 65535);
        add_buffers(&rig, cookies, 3);
        lie_used(&rig, 7, head_of(&rig, 7), 100);
        lie_used(&rig, 0, head_of(&rig, 7), 0); /* the same again */
        lie_used(&rig, 1, head_of(&rig, 0), 0);
        lie_used_idx(&rig, 2);
        assert_int_equal(vh_ring_take(rig.ring, used, 4), 1);
        assert_ptr_equal(used[0].cookie, &cookies[0]);
        assert_int_equal(used[0].len, 100);
        assert_true(vh_ring_has_used(rig.ring));
        assert_true(vh_ring_enable_call(rig.ring));
        assert_int_equal(vh_ring_base(rig.ring), 0);
        expect_driver_broken(&rig, "used id not in flight");
    }
}

static void test_used_length_beyond_the_buffer(void **state)
{
    static const uint32_t lengths[] = { 101, 116, UINT32_MAX };
    char cookies[1];
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        rig_init(&rig, SIZE, 0, 0);
        add_buffers(&rig, cookies, 1);
        lie_used(&rig, 0, head_of(&rig, 0), lengths[i]);
        lie_used_idx(&rig, 1);
        expect_driver_broken(
            &rig, "used length beyond the writable part of the buffer");
    }
}

static void test_used_index_that_runs_away(void **state)
{
    static const uint16_t steps[] = { 3, 9, 32768, 65535 };
    char cookies[2];
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        rig_init(&rig, SIZE, 0, 65530);
        add_buffers(&rig, cookies, 2);
        lie_used_idx(&rig, (uint16_t)(65530 + steps[i]));
        expect_driver_broken(&rig,
                             "used index ahead of what was made available");
    }
}

/* Prepared is not yet available. */
static void test_used_index_of_what_was_not_published(void **state)
{
    struct vh_sg sg = { RIG_GPA, 1 };
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, 0, 0);
    assert_int_equal(vh_ring_add(rig.ring, &sg, 1, 0, &sg), 0);
    lie_used(&rig, 0, 0, 0);
    lie_used_idx(&rig, 1);
    expect_driver_broken(&rig, "used index ahead of what was made available");
}

static void scribble(struct rig *rig, uint64_t *random, size_t len)
{
    uint8_t *desc = (uint8_t *)rig->desc;

    for (size_t i = 0; i < len; i++) {
        desc[i] = (uint8_t)rig_random(random);
    }
}

/* All accounts are the driver's own: no descriptor is lost or found. */
static void test_scribbling_over_descriptors_changes_nothing(void **state)
{
    uint64_t random = 7777;
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, INDIRECT, 0);
    vh_ring_free(rig.ring);
    rig.tables = NULL;
    assert_int_equal(rig_new_driver(&rig), 0);
    for (uint16_t round = 0; round < 200; round++) {
        struct vh_ring_used used[4];
        uint16_t base = (uint16_t)(round * 4);
        char cookies[4];

        add_buffers(&rig, cookies, 4);
        assert_int_equal(rig.ring->n_free, 0);
        scribble(&rig, &random, SIZE * sizeof(struct vh_desc));
        for (uint16_t i = 0; i < 4; i++) {
            uint16_t at = (uint16_t)(base + i);

            lie_used(&rig, at, head_of(&rig, (base + 3u - i) % SIZE), i);
        }
        lie_used_idx(&rig, (uint16_t)(base + 4));
        assert_int_equal(vh_ring_take(rig.ring, used, 4), 4);
        for (int i = 0; i < 4; i++) {
            assert_ptr_equal(used[i].cookie, &cookies[3 - i]);
            assert_int_equal(used[i].len, i);
        }
        assert_int_equal(rig.ring->n_free, SIZE);
    }
    rig_cleanup(&rig);
}

/* A device that answers at random gets no cookie that is not in flight. */
static void test_random_answers_return_each_buffer_once(void **state)
{
    uint64_t random = 4711;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        bool out[SIZE] = { false };
        struct vh_ring_used used[SIZE];
        struct vh_sg sg = { RIG_GPA, 16 };
        bool cookies[SIZE];
        struct rig rig;
        uint16_t idx;
        int n;

        rig_init(&rig, SIZE, 0, 0);
        for (int i = 0; i < SIZE; i++) {
            assert_int_equal(vh_ring_add(rig.ring, &sg, 0, 1, &cookies[i]), 0);
            out[i] = true;
        }
        vh_ring_publish(rig.ring);
        for (uint16_t i = 0; i < SIZE; i++) {
            lie_used(&rig, i, rig_below(&random, SIZE + 1),
                     rig_below(&random, 18));
        }
        idx = (uint16_t)rig_below(&random, SIZE + 2);
        lie_used_idx(&rig, idx);
        do {
            n = vh_ring_take(rig.ring, used, 1 + rig_below(&random, SIZE));
            for (int i = 0; i < n; i++) {
                ptrdiff_t at = (bool *)used[i].cookie - cookies;

                assert_in_range(at, 0, SIZE - 1);
                assert_true(out[at]);
                out[at] = false;
                assert_in_range(used[i].len, 0, 16);
            }
        } while (n > 0);
        assert_int_equal(rig.ring->n_free + rig.ring->n_inflight, SIZE);
        assert_int_equal(n, rig.ring->broken ? -EPROTO : 0);
        rig_cleanup(&rig);
    }
}

/* The driver's side of the ring, written by hand. */

#define D RIG_GPA /* some address that is there */

static void lie_desc(struct vh_desc *desc, uint64_t addr, uint32_t len,
                     uint16_t flags, uint16_t next)
{
    desc->addr = vh_le64(addr);
    desc->len = vh_le32(len);
    desc->flags = vh_le16(flags);
    desc->next = vh_le16(next);
}

static void lie_avail(struct rig *rig, uint16_t head)
{
    uint16_t idx = vh_le16(rig->avail->idx);

    rig->avail->ring[idx % rig->size] = vh_le16(head);
    rig->avail->idx = vh_le16((uint16_t)(idx + 1));
}

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

/* What a chain of descriptors may not be. */
struct desc_row {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

struct chain_case {
    const char *why;
    uint64_t features;
    struct desc_row ring[4];
    struct desc_row table[4];
};

#define T 1 /* stands for the address of the table */

/* clang-format off */
static const struct chain_case chain_cases[] = {
    { "a chain of descriptors loops", 0,
      { { D, 1, NEXT, 1 }, { D, 1, NEXT, 0 } }, { { 0 } } },
    { "a chain of descriptors loops", 0, { { D, 1, NEXT, 0 } }, { { 0 } } },
    { "a chain of descriptors loops", 0, { { D, 0, NEXT, 0 } }, { { 0 } } },
    { "a descriptor's next is outside its table", 0,
      { { D, 1, NEXT, SIZE } }, { { 0 } } },
    { "a descriptor's next is outside its table", 0,
      { { D, 1, NEXT, 65535 } }, { { 0 } } },
    { "a readable piece follows a writable one", 0,
      { { D, 1, NEXT | WRITE, 1 }, { D, 1, 0, 0 } }, { { 0 } } },
    { "a buffer is longer than 4 GiB", 0,
      { { D, 1, NEXT, 1 }, { D, UINT32_MAX, WRITE, 0 } }, { { 0 } } },
    { "a piece of a buffer lies outside memory", 0,
      { { D - 1, 1, 0, 0 } }, { { 0 } } },
    { "a piece of a buffer lies outside memory", 0,
      { { 0, 1, 0, 0 } }, { { 0 } } },
    { "a piece of a buffer lies outside memory", 0,
      { { UINT64_MAX - 7, 7, 0, 0 } }, { { 0 } } },
    { "a piece of a buffer wraps around the address space", 0,
      { { UINT64_MAX - 7, 9, 0, 0 } }, { { 0 } } },
    { "a buffer has more pieces than the device takes", 0,
      { { D, 11 * RIG_REGION, 0, 0 } }, { { 0 } } },
    { "an indirect table, which was not negotiated", 0,
      { { T, 16, TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table that does not end its chain", INDIRECT,
      { { T, 16, TABLE | NEXT, 1 }, { D, 1, 0, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table inside an indirect table", INDIRECT,
      { { T, 32, TABLE, 0 } }, { { D, 1, NEXT, 1 }, { T, 16, TABLE, 0 } } },
    { "an indirect table of an impossible length", INDIRECT,
      { { T, 0, TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table of an impossible length", INDIRECT,
      { { T, 15, TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table of an impossible length", INDIRECT,
      { { T, 16 * 32769, TABLE, 0 } }, { { D, 1, 0, 0 } } },
    { "an indirect table outside memory", INDIRECT,
      { { 0, 16, TABLE, 0 } }, { { 0 } } },
    { "an indirect table that wraps around the address space", INDIRECT,
      { { UINT64_MAX - 14, 16, TABLE, 0 } }, { { 0 } } },
    { "a chain of descriptors loops", INDIRECT,
      { { T, 32, TABLE, 0 } }, { { D, 1, NEXT, 1 }, { D, 1, NEXT, 0 } } },
    { "a descriptor's next is outside its table", INDIRECT,
      { { T, 32, TABLE, 0 } }, { { D, 1, NEXT, 2 } } },
    { "a readable piece follows a writable one", INDIRECT,
      { { D, 1, WRITE | NEXT, 1 }, { T, 16, TABLE, 0 } }, { { D, 1, 0, 0 } } },
};
/* clang-format on */

static void lay_rows(struct rig *rig, struct vh_desc *desc,
                     const struct desc_row *rows)
{
    for (int i = 0; i < 4; i++) {
        uint64_t addr =
            rows[i].addr == T ? rig_gpa(rig, rig->tables) : rows[i].addr;

        lie_desc(&desc[i], addr, rows[i].len, rows[i].flags, rows[i].next);
    }
}

static void test_chains_that_lie(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(chain_cases); i++) {
        const struct chain_case *c = &chain_cases[i];
        struct rig rig;

        rig_init(&rig, SIZE, c->features, 0);
        lay_rows(&rig, rig.desc, c->ring);
        lay_rows(&rig, rig.tables, c->table);
        lie_avail(&rig, 0);
        expect_device_broken(&rig, c->why);
    }
}

/* The end of memory is the end of a table, whatever its length says. */
static void test_an_indirect_table_half_outside_memory(void **state)
{
    struct rig rig;
    struct vh_desc *last;

    (void)state;
    rig_init(&rig, SIZE, INDIRECT, 0);
    last = (struct vh_desc *)(rig.mem + rig.mem_len) - 1;
    lie_desc(last, D, 1, NEXT, 1);
    lie_desc(&rig.desc[0], rig_gpa(&rig, last), 32, TABLE, 0);
    lie_avail(&rig, 0);
    expect_device_broken(&rig, "an indirect table outside memory");
}

static void test_available_id_that_no_ring_has(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, 0, 0);
    lie_avail(&rig, SIZE);
    expect_device_broken(&rig, "available id out of range");
}

static void test_available_id_that_is_in_flight(void **state)
{
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, 0, 0);
    lie_desc(&rig.desc[3], D, 1, 0, 0);
    lie_avail(&rig, 3);
    lie_avail(&rig, 3);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), 1);
    assert_int_equal(vh_devring_pop(rig.dev, &chain), -EPROTO);
    assert_string_equal(rig.dev->broken, "available id already in flight");

    /* What is out can still be returned. */
    assert_int_equal(rig.dev->n_inflight, 1);
    vh_devring_push(rig.dev, 3, 0);
    assert_true(vh_devring_publish(rig.dev));
    assert_int_equal(rig.dev->n_inflight, 0);
    rig_cleanup(&rig);
}

static void test_available_index_that_runs_away(void **state)
{
    static const uint16_t steps[] = { SIZE + 1, 32768, 65535 };
    struct rig rig;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        rig_init(&rig, SIZE, 0, 65530);
        rig.avail->idx = vh_le16((uint16_t)(65530 + steps[i]));
        expect_device_broken(
            &rig, "available index ahead by more than the ring's size");
    }
}

/* What is odd and still legal, or harmless, is taken. */

static void pop_one(struct rig *rig, struct vh_chain *chain)
{
    lie_avail(rig, 0);
    assert_int_equal(vh_devring_pop(rig->dev, chain), 1);
}

static void test_pieces_of_no_length_add_nothing(void **state)
{
    struct iovec iov[2];
    struct vh_chain chain = { .iov = iov, .iov_max = 2 };
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, 0, 0);
    lie_desc(&rig.desc[0], 0, 0, NEXT, 1);
    lie_desc(&rig.desc[1], D, 5, NEXT, 2);
    lie_desc(&rig.desc[2], D, 0, NEXT | WRITE, 3);
    lie_desc(&rig.desc[3], D, 6, WRITE, 0);
    pop_one(&rig, &chain);
    assert_int_equal(chain.n_out, 1);
    assert_int_equal(chain.n_in, 1);
    assert_int_equal(chain.out_len, 5);
    assert_int_equal(chain.in_len, 6);
    rig_cleanup(&rig);
}

/* 2.7.5.3.2: direct descriptors, and then a table; its WRITE says nothing. */
static void test_a_table_may_follow_direct_descriptors(void **state)
{
    struct iovec iov[3];
    struct vh_chain chain = { .iov = iov, .iov_max = 3 };
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, INDIRECT, 0);
    lie_desc(&rig.desc[0], D, 1, NEXT, 5);
    lie_desc(&rig.desc[5], rig_gpa(&rig, rig.tables), 48, TABLE | WRITE, 0);
    lie_desc(&rig.tables[0], D, 2, NEXT, 2);
    lie_desc(&rig.tables[2], D, 4, WRITE, 0);
    pop_one(&rig, &chain);
    assert_int_equal(chain.out_len, 3);
    assert_int_equal(chain.in_len, 4);
    rig_cleanup(&rig);
}

/* More entries than the ring has: the caller's array is the limit. */
static void test_a_table_longer_than_the_ring_is_taken(void **state)
{
    struct iovec iov[12];
    struct vh_chain chain = { .iov = iov, .iov_max = 12 };
    struct rig rig;

    (void)state;
    rig_init(&rig, SIZE, INDIRECT, 0);
    lie_desc(&rig.desc[0], rig_gpa(&rig, rig.tables), 12 * 16, TABLE, 0);
    for (uint16_t i = 0; i < 12; i++) {
        lie_desc(&rig.tables[i], D, 1, i < 11 ? NEXT : 0, (uint16_t)(i + 1));
    }
    pop_one(&rig, &chain);
    assert_int_equal(chain.n_out, 12);
    rig_cleanup(&rig);
}

static void take_table_at(size_t offset)
{
    struct iovec iov[3];
    struct vh_chain chain = { .iov = iov, .iov_max = 3 };
    struct vh_desc table[3];
    struct rig rig;

    rig_init(&rig, SIZE, INDIRECT, 0);
    lie_desc(&table[0], D, 1, NEXT, 1);
    lie_desc(&table[1], D + 16, 2, NEXT, 2);
    lie_desc(&table[2], D + 32, 4, WRITE, 0);
    memcpy(rig.data + offset, table, sizeof(table));
    lie_desc(&rig.desc[0], rig_gpa(&rig, rig.data + offset), sizeof(table),
             TABLE, 0);
    pop_one(&rig, &chain);
    assert_int_equal(chain.n_out, 2);
    assert_int_equal(chain.n_in, 1);
    assert_int_equal(rig_gpa(&rig, iov[1].iov_base), D + 16);
    assert_int_equal(chain.out_len, 3);
    assert_int_equal(chain.in_len, 4);
    rig_cleanup(&rig);
}

static void test_a_table_may_lie_anywhere(void **state)
{
    (void)state;
    take_table_at(0);
    take_table_at(1); /* no alignment is asked for */
    take_table_at(RIG_REGION - 16);
    take_table_at(RIG_REGION - 24); /* an entry in two regions */
    take_table_at(RIG_REGION - 3);
}

/* Anything at all in the driver's areas: what is popped lies in memory. */
static void check_chain(const struct rig *rig, const struct vh_chain *chain)
{
    unsigned n = (unsigned)chain->n_out + chain->n_in;
    uint64_t total = 0;

    assert_in_range(n, 0, chain->iov_max);
    for (unsigned i = 0; i < n; i++) {
        uint8_t *at = chain->iov[i].iov_base;

        assert_true(at >= rig->mem);
        assert_true(chain->iov[i].iov_len <=
                    (size_t)(rig->mem + rig->mem_len - at));
        total += chain->iov[i].iov_len;
    }
    assert_int_equal(total, (uint64_t)chain->out_len + chain->in_len);
}

static void lie_at_random(struct rig *rig, uint64_t *random)
{
    for (uint32_t i = 0; i < 2 * SIZE; i++) {
        struct vh_desc *desc =
            i < SIZE ? &rig->desc[i] : &rig->tables[i - SIZE];
        uint32_t flags = rig_below(random, 8) & rig_below(random, 8);
        uint64_t addr = flags & TABLE ? rig_gpa(rig, rig->tables) : D;

        if (rig_below(random, 20) == 0) {
            addr = ((uint64_t)rig_random(random) << 32) | rig_random(random);
        }
        lie_desc(desc, addr + rig_below(random, 64),
                 rig_below(random, 30) ? rig_below(random, 9) * 16
                                       : rig_random(random),
                 (uint16_t)flags, (uint16_t)rig_below(random, SIZE + 1));
    }
    for (uint32_t i = 0; i < 3; i++) {
        lie_avail(rig, (uint16_t)rig_below(random, SIZE));
    }
}

static void test_random_drivers_do_no_harm(void **state)
{
    uint64_t random = 99991;
    unsigned n_popped = 0, n_broken = 0;

    (void)state;
    for (int round = 0; round < 10000; round++) {
        struct iovec iov[6];
        struct vh_chain chain = { .iov = iov, .iov_max = 6 };
        struct rig rig;
        int r;

        rig_init(&rig, SIZE, INDIRECT, 0);
        rig.whole = rig_below(&random, 2);
        lie_at_random(&rig, &random);
        while ((r = vh_devring_pop(rig.dev, &chain)) == 1) {
            check_chain(&rig, &chain);
            n_popped++;
        }
        n_broken += r < 0;
        assert_int_equal(r, rig.dev->broken ? -EPROTO : 0);
        rig_cleanup(&rig);
    }
    assert_true(n_popped > 1000 && n_broken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_used_id_that_no_ring_has),
        cmocka_unit_test(test_used_id_that_is_not_in_flight),
        cmocka_unit_test(test_those_before_the_fault_are_returned_first),
        cmocka_unit_test(test_used_length_beyond_the_buffer),
        cmocka_unit_test(test_used_index_that_runs_away),
        cmocka_unit_test(test_used_index_of_what_was_not_published),
        cmocka_unit_test(test_scribbling_over_descriptors_changes_nothing),
        cmocka_unit_test(test_random_answers_return_each_buffer_once),
        cmocka_unit_test(test_chains_that_lie),
        cmocka_unit_test(test_an_indirect_table_half_outside_memory),
        cmocka_unit_test(test_available_id_that_no_ring_has),
        cmocka_unit_test(test_available_id_that_is_in_flight),
        cmocka_unit_test(test_available_index_that_runs_away),
        cmocka_unit_test(test_pieces_of_no_length_add_nothing),
        cmocka_unit_test(test_a_table_may_follow_direct_descriptors),
        cmocka_unit_test(test_a_table_longer_than_the_ring_is_taken),
        cmocka_unit_test(test_a_table_may_lie_anywhere),
        cmocka_unit_test(test_random_drivers_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
