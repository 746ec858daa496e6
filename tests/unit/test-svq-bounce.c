/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue whose device never sees the guest's memory. */
#include "check.h"

#include <errno.h>

#include "svq-rig.h"

#define SLOT 64u
#define SIZE 16u

struct seen {
    unsigned n;
    uint8_t out[SLOT], in[SLOT];
    uint32_t n_out, n_in;
};

static void see(void *arg, const void *out, uint32_t n_out, const void *in,
                uint32_t n_in)
{
    struct seen *seen = arg;

    seen->n++;
    seen->n_out = n_out;
    seen->n_in = n_in;
    assert_true(n_out + n_in <= SLOT);
    memcpy(seen->out, out, n_out);
    memcpy(seen->in, in, n_in);
}

struct rig {
    struct svq_rig svq;
    struct seen seen;
    uint8_t *slots;
};

/* In the second half of the region that is not the guest's. */
static void up(struct rig *rig, uint64_t features)
{
    struct svq_rig *svq = &rig->svq;
    const struct vh_iova_range *range;
    struct vh_svq_config config;

    memset(rig, 0, sizeof(*rig));
    svq_rig_init(svq, SIZE, features, SIZE, features);
    vh_svq_free(svq->svq);
    config = svq_rig_config(svq);
    rig->slots = svq->a + SVQ_REGION + SVQ_REGION / 2;
    range = vh_iova_find_hva(svq->iova, rig->slots, NULL);
    config.bounce = (struct vh_svq_bounce){
        .mem = rig->slots,
        .iova = range->iova + (uint64_t)(rig->slots - (uint8_t *)range->hva),
        .slot = SLOT,
        .seen = see,
        .arg = &rig->seen,
    };
    assert_int_equal(vh_svq_new(&svq->svq, &config), 0);
}

static void down(struct rig *rig)
{
    svq_rig_cleanup(&rig->svq);
}

/* Two pieces to read, two to write, at some place of B. */
static uint64_t give(struct rig *rig, uint8_t with, uint32_t n_out,
                     uint32_t n_in)
{
    uint64_t at = SVQ_GPA_B + 4000; /* over the end of a page */
    struct vh_sg sg[4] = { { at, 2 },
                           { at + 512, n_out - 2 },
                           { at + 1024, 1 },
                           { at + 1536, n_in - 1 } };

    memset(svq_rig_hva(&rig->svq, at), with, 2);
    memset(svq_rig_hva(&rig->svq, at + 512), with + 1, n_out - 2);
    memset(svq_rig_hva(&rig->svq, at + 1024), 0, 1024);
    assert_int_equal(vh_ring_add(rig->svq.driver, sg, 2, 2, rig), 0);
    vh_ring_publish(rig->svq.driver);
    return at;
}

static struct vh_chain take(struct rig *rig, struct iovec *iov)
{
    struct vh_chain chain = { .iov = iov, .iov_max = 4 };

    assert_int_equal(vh_devring_pop(rig->svq.device, &chain), 1);
    assert_int_equal(chain.n_out, 1);
    assert_int_equal(chain.n_in, 1);
    for (unsigned i = 0; i < 2; i++) {
        /* Whatever it is, it is none of the guest's. */
        assert_true((uint8_t *)iov[i].iov_base >= rig->slots);
        assert_true((uint8_t *)iov[i].iov_base + iov[i].iov_len <=
                    rig->slots + (SIZE + 1) * SLOT);
    }
    return chain;
}

static void bounces(uint64_t features)
{
    struct vh_ring_used used;
    struct iovec iov[4];
    struct rig rig;

    up(&rig, features);
    for (uint8_t k = 1; k < 60; k++) {
        uint64_t at = give(&rig, k, 10, 5);
        struct vh_chain chain;
        uint8_t *read;

        vh_svq_run(rig.svq.svq);
        /* What the guest writes now comes too late. */
        memset(svq_rig_hva(&rig.svq, at), 0xee, 2);
        chain = take(&rig, iov);
        read = iov[0].iov_base;
        assert_int_equal(iov[0].iov_len, 10);
        assert_int_equal(read[0], k);
        assert_int_equal(read[1], k);
        assert_int_equal(read[2], k + 1);
        assert_int_equal(read[9], k + 1);
        assert_int_equal(iov[1].iov_len, 5);
        memcpy(iov[1].iov_base, "abcde", 5);
        vh_devring_push(rig.svq.device, chain.id, 4);
        vh_devring_publish(rig.svq.device);
        vh_svq_run(rig.svq.svq);
        assert_int_equal(vh_ring_take(rig.svq.driver, &used, 1), 1);
        assert_int_equal(used.len, 4);
        assert_memory_equal(svq_rig_hva(&rig.svq, at + 1024), "a\0", 2);
        assert_memory_equal(svq_rig_hva(&rig.svq, at + 1536), "bcd\0", 4);
        assert_int_equal(rig.seen.n, k);
        assert_int_equal(rig.seen.n_out, 10);
        assert_int_equal(rig.seen.out[0], k);
        assert_int_equal(rig.seen.n_in, 4);
        assert_memory_equal(rig.seen.in, "abcd", 4);
        assert_int_equal(rig.svq.dirty[1][(4000 + 1024) / SVQ_PAGE], 1);
    }
    down(&rig);
}

static void test_a_split_queue_bounces(void **state)
{
    (void)state;
    bounces(0);
}

static void test_a_packed_queue_bounces(void **state)
{
    (void)state;
    bounces(BIT(VH_RING_F_PACKED));
}

static void test_what_is_too_large_comes_back_untouched(void **state)
{
    struct vh_ring_used used;
    struct iovec iov[4];
    struct vh_chain chain = { .iov = iov, .iov_max = 4 };
    struct rig rig;
    uint64_t at;

    (void)state;
    up(&rig, 0);
    at = give(&rig, 1, SLOT - 4, 5);
    vh_svq_run(rig.svq.svq);
    assert_int_equal(vh_devring_pop(rig.svq.device, &chain), 0);
    assert_int_equal(vh_ring_take(rig.svq.driver, &used, 1), 1);
    assert_int_equal(used.len, 0);
    assert_int_equal(*(uint8_t *)svq_rig_hva(&rig.svq, at + 1024), 0);
    assert_int_equal(rig.seen.n, 0);
    give(&rig, 1, SLOT - 5, 5); /* the largest that goes */
    vh_svq_run(rig.svq.svq);
    take(&rig, iov);
    down(&rig);
}

static void test_a_question_of_our_own_goes_first(void **state)
{
    struct vh_ring_used used;
    struct iovec iov[4];
    struct vh_chain chain;
    uint8_t answer = 77;
    struct rig rig;

    (void)state;
    up(&rig, 0);
    give(&rig, 1, 10, 5);
    assert_int_equal(vh_svq_ask(rig.svq.svq, "hello", 5), 0);
    assert_int_equal(vh_svq_answer(rig.svq.svq, &answer), 0);
    chain = take(&rig, iov);
    assert_int_equal(iov[0].iov_len, 5);
    assert_memory_equal(iov[0].iov_base, "hello", 5);
    *(uint8_t *)iov[1].iov_base = 3;
    vh_devring_push(rig.svq.device, chain.id, 1);
    vh_devring_publish(rig.svq.device);
    assert_int_equal(vh_svq_answer(rig.svq.svq, &answer), 1);
    assert_int_equal(answer, 3);
    assert_int_equal(rig.seen.n, 0);
    vh_svq_run(rig.svq.svq);
    chain = take(&rig, iov); /* and then the guest's */
    assert_int_equal(iov[0].iov_len, 10);
    vh_devring_push(rig.svq.device, chain.id, 0);
    vh_devring_publish(rig.svq.device);
    vh_svq_run(rig.svq.svq);
    assert_int_equal(vh_ring_take(rig.svq.driver, &used, 1), 1);
    assert_int_equal(vh_svq_ask(rig.svq.svq, rig.slots, SLOT), -E2BIG);
    down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_split_queue_bounces),
        cmocka_unit_test(test_a_packed_queue_bounces),
        cmocka_unit_test(test_what_is_too_large_comes_back_untouched),
        cmocka_unit_test(test_a_question_of_our_own_goes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
