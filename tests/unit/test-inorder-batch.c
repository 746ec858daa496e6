/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device, written by hand, that uses buffers in order and tells of a whole
 * batch with one entry: the id of the batch's last buffer, at the place of its
 * first (virtio 1.3, 2.7.9 and 2.8.11).  Then, one that lies about it.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-rig.h"

#define SIZE 8
#define PACKED BIT(VH_RING_F_PACKED)
#define ORDER BIT(VH_RING_F_IN_ORDER)
#define INDIRECT BIT(VH_RING_F_INDIRECT_DESC)
#define EVENT BIT(VH_RING_F_EVENT_IDX)
#define MAX_BUFS 16

/* A buffer in flight, oldest first. */
struct flight {
    uint32_t in_len;
    uint16_t n_desc;
    uint16_t id; /* as the specification wants the driver to choose it */
};

struct hand {
    struct rig rig;
    struct flight flights[MAX_BUFS];
    unsigned n;
    uint16_t next; /* descriptor that the driver uses next */
    uint16_t used; /* place, or index, of the next used entry */
    bool wrap;
    uint32_t n_taken; /* cookies come back in the order of their numbers */
    uint32_t n_added;
    uint32_t n_new; /* of those, not published */
    char cookies[65536];
};

static void hand_init(struct hand *h, uint32_t size, uint64_t features)
{
    memset(h, 0, sizeof(*h));
    rig_init(&h->rig, size, features, vh_ring_first_base(features));
    h->wrap = true;
}

static bool is_packed(const struct hand *h)
{
    return rig_has(&h->rig, VH_RING_F_PACKED);
}

/* What stands in the ring is what in order asks for: places in turn. */
static void check_place(const struct hand *h, const struct flight *f,
                        uint16_t idx)
{
    if (is_packed(h)) {
        unsigned last = (f->id + f->n_desc - 1u) % h->rig.size;

        assert_int_equal(vh_le16(h->rig.packed[f->id].id), f->id);
        assert_int_equal(vh_le16(h->rig.packed[last].id), f->id);
    } else {
        assert_int_equal(vh_le16(h->rig.avail->ring[idx % h->rig.size]), f->id);
    }
}

static int add(struct hand *h, unsigned n_out, unsigned n_in)
{
    struct vh_sg sg[SIZE];
    struct flight f = { .in_len = n_in * 10, .id = h->next };
    unsigned n = n_out + n_in;
    int r;

    for (unsigned i = 0; i < n; i++) {
        sg[i] = (struct vh_sg){ rig_gpa(&h->rig, h->rig.data), 10 };
    }
    r = vh_ring_add(h->rig.ring, sg, n_out, n_in, &h->cookies[h->n_added]);
    if (r < 0) {
        return r;
    }
    f.n_desc = rig_has(&h->rig, VH_RING_F_INDIRECT_DESC) ? 1 : (uint16_t)n;
    h->next = (uint16_t)((h->next + f.n_desc) % h->rig.size);
    h->flights[h->n++] = f;
    h->n_added++;
    h->n_new++;
    return 0;
}

/* Before, the first descriptor may not be all there. */
static void publish(struct hand *h)
{
    vh_ring_publish(h->rig.ring);
    for (; h->n_new > 0; h->n_new--) {
        check_place(h, &h->flights[h->n - h->n_new],
                    (uint16_t)(h->n_added - h->n_new));
    }
}

/* An entry with any id, that moves the device on by @n_bufs or @n_desc. */
static void use(struct hand *h, uint32_t id, uint32_t len, unsigned n_bufs,
                unsigned n_desc)
{
    if (is_packed(h)) {
        struct vh_packed_desc *desc = &h->rig.packed[h->used];

        desc->len = vh_le32(len);
        desc->id = vh_le16((uint16_t)id);
        desc->flags =
            vh_le16((h->wrap ? VH_PACKED_F_AVAIL | VH_PACKED_F_USED : 0) |
                    (len > 0 ? VH_DESC_F_WRITE : 0));
        h->used = (uint16_t)(h->used + n_desc);
        if (h->used >= h->rig.size) {
            h->used = (uint16_t)(h->used - h->rig.size);
            h->wrap = !h->wrap;
        }
    } else {
        struct vh_used_elem *elem = &h->rig.used->ring[h->used % h->rig.size];

        elem->id = vh_le32(id);
        elem->len = vh_le32(len);
        h->used = (uint16_t)(h->used + n_bufs);
        h->rig.used->idx = vh_le16(h->used);
    }
}

/* The oldest @n, with one entry. */
static void use_batch(struct hand *h, unsigned n, uint32_t last_len)
{
    unsigned n_desc = 0;

    for (unsigned i = 0; i < n; i++) {
        n_desc += h->flights[i].n_desc;
    }
    use(h, h->flights[n - 1].id, last_len, n, n_desc);
}

static void forget(struct hand *h, unsigned n)
{
    h->n -= n;
    memmove(h->flights, h->flights + n, h->n * sizeof(h->flights[0]));
    h->n_taken += n;
}

/* Takes @n that were used as one batch, @at_once at a time. */
static void expect_batch(struct hand *h, unsigned n, uint32_t last_len,
                         unsigned at_once)
{
    struct vh_ring_used used[MAX_BUFS];
    unsigned got = 0;

    while (got < n) {
        unsigned want = n - got < at_once ? n - got : at_once;

        assert_true(vh_ring_has_used(h->rig.ring));
        assert_true(vh_ring_enable_call(h->rig.ring));
        assert_int_equal(vh_ring_take(h->rig.ring, used, at_once), want);
        for (unsigned i = 0; i < want; i++, got++) {
            uint32_t len = got == n - 1 ? last_len : h->flights[got].in_len;

            assert_ptr_equal(used[i].cookie, &h->cookies[h->n_taken + got]);
            assert_int_equal(used[i].len, len);
        }
    }
    assert_false(vh_ring_has_used(h->rig.ring));
    assert_int_equal(vh_ring_take(h->rig.ring, used, at_once), 0);
    forget(h, n);
}

static void run_batches(uint32_t size, uint64_t features)
{
    uint64_t random = 31337 + size + features;
    static struct hand h;
    uint32_t n_desc = 0;

    hand_init(&h, size, features);
    while (h.n_added < 3000) {
        unsigned n_out = rig_below(&random, 3);
        unsigned n_in = rig_below(&random, 3) + (n_out == 0);
        unsigned n, at_once;
        uint32_t len;
        int r;

        do {
            r = n_out + n_in > size ? add(&h, 0, 1) : add(&h, n_out, n_in);
        } while (r == 0 && rig_below(&random, 4));
        assert_true(r == 0 || r == -ENOSPC);
        publish(&h);
        if (h.n == 0) {
            continue;
        }
        n = 1 + rig_below(&random, h.n);
        at_once = 1 + rig_below(&random, MAX_BUFS);
        len = rig_below(&random, h.flights[n - 1].in_len + 1);
        use_batch(&h, n, len);
        expect_batch(&h, n, len, at_once);
    }
    for (unsigned i = 0; i < h.n; i++) {
        n_desc += h.flights[i].n_desc;
    }
    assert_int_equal(h.rig.ring->n_free + n_desc, size);
    assert_int_equal(h.rig.ring->n_inflight, h.n);
    rig_cleanup(&h.rig);
}

static void test_a_batch_comes_back_whole(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 3, 7, 8 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (unsigned v = 0; v < 8; v++) {
            uint64_t features = ORDER | (v & 1 ? PACKED : 0) |
                                (v & 2 ? INDIRECT : 0) | (v & 4 ? EVENT : 0);

            if (vh_ring_size_is_valid(sizes[i], features)) {
                run_batches(sizes[i], features);
            }
        }
    }
}

/* Two batches, told at once, and taken across the seam. */
static void test_batches_follow_each_other(void **state)
{
    static struct hand h;
    struct vh_ring_used used[5];

    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        hand_init(&h, SIZE, ORDER | (packed ? PACKED : 0));
        for (int i = 0; i < 5; i++) {
            assert_int_equal(add(&h, 0, 1), 0);
        }
        publish(&h);
        use(&h, 1, 7, 2, 2);
        use(&h, 4, 3, 3, 3);
        assert_int_equal(vh_ring_take(h.rig.ring, used, 3), 3);
        assert_int_equal(used[0].len, 10);
        assert_int_equal(used[1].len, 7);
        assert_int_equal(used[2].len, 10);
        assert_int_equal(vh_ring_take(h.rig.ring, used, 5), 2);
        assert_int_equal(used[0].len, 10);
        assert_int_equal(used[1].len, 3);
        assert_ptr_equal(used[1].cookie, &h.cookies[4]);
        rig_cleanup(&h.rig);
    }
}

/* Our own device: what is finished early waits, and comes in its turn. */
static void test_what_is_finished_early_waits_for_its_turn(void **state)
{
    struct iovec iov[2];
    struct vh_chain chain = { .iov = iov, .iov_max = 2 };
    struct vh_ring_used used[4];
    static struct hand h;
    uint16_t ids[3];

    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        hand_init(&h, SIZE, ORDER | (packed ? PACKED : 0));
        for (int i = 0; i < 3; i++) {
            assert_int_equal(add(&h, 1, 1), 0);
        }
        publish(&h);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(vh_devring_pop(h.rig.dev, &chain), 1);
            ids[i] = chain.id;
        }
        vh_devring_push(h.rig.dev, ids[2], 2);
        assert_false(vh_devring_publish(h.rig.dev));
        vh_devring_push(h.rig.dev, ids[1], 1);
        assert_false(vh_devring_publish(h.rig.dev));
        assert_int_equal(vh_ring_take(h.rig.ring, used, 4), 0);
        vh_devring_push(h.rig.dev, ids[0], 10);
        assert_true(vh_devring_publish(h.rig.dev));
        assert_int_equal(vh_ring_take(h.rig.ring, used, 4), 3);
        for (uint32_t i = 0; i < 3; i++) {
            assert_ptr_equal(used[i].cookie, &h.cookies[i]);
            assert_int_equal(used[i].len, i == 0 ? 10 : i);
        }
        rig_cleanup(&h.rig);
    }
}

/* Three buffers of two descriptors, at 0, 2 and 4: then a lie. */
struct lie {
    uint32_t id;
    uint32_t len;
    unsigned n; /* by which the device moves on, in buffers */
    int taken;  /* before it is found out */
};

static void expect_found_out(struct hand *h, int taken)
{
    struct vh_ring_used used[MAX_BUFS];
    void *cookies[MAX_BUFS];
    struct vh_sg sg = { RIG_GPA, 1 };
    int n = vh_ring_take(h->rig.ring, used, MAX_BUFS);

    if (taken > 0) {
        assert_int_equal(n, taken);
        for (int i = 0; i < n; i++) {
            assert_ptr_equal(used[i].cookie, &h->cookies[i]);
        }
        assert_true(vh_ring_has_used(h->rig.ring));
        n = vh_ring_take(h->rig.ring, used, MAX_BUFS);
    }
    assert_int_equal(n, -EPROTO);
    assert_non_null(h->rig.ring->broken);
    assert_false(vh_ring_has_used(h->rig.ring));
    assert_int_equal(vh_ring_take(h->rig.ring, used, 1), -EPROTO);
    assert_int_equal(vh_ring_add(h->rig.ring, &sg, 1, 0, h), -EPROTO);
    assert_int_equal(vh_ring_drop(h->rig.ring, cookies, MAX_BUFS),
                     h->n - (unsigned)taken);
}

static void test_ids_that_end_no_batch(void **state)
{
    static const struct lie lies[] = {
        { SIZE, 0, 1, 0 },                  /* no ring has it */
        { 65535, 0, 1, 0 },                 /* the same */
        { 1, 0, 1, 0 },                     /* in the middle of a buffer */
        { 3, 0, 2, 0 },     { 7, 0, 3, 0 }, /* never added */
        { 4, 11, 3, 0 },                    /* longer than its writable part */
    };
    static struct hand h;

    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
            hand_init(&h, SIZE, ORDER | (packed ? PACKED : 0));
            for (int b = 0; b < 3; b++) {
                assert_int_equal(add(&h, 1, 1), 0);
            }
            publish(&h);
            use(&h, lies[i].id, lies[i].len, lies[i].n, 2 * lies[i].n);
            expect_found_out(&h, lies[i].taken);
            rig_cleanup(&h.rig);
        }
    }
}

/* The last buffer is prepared, not published: nobody can have used it. */
static void test_a_batch_that_runs_past_what_was_published(void **state)
{
    static struct hand h;

    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        hand_init(&h, SIZE, ORDER | (packed ? PACKED : 0));
        assert_int_equal(add(&h, 1, 1), 0);
        assert_int_equal(add(&h, 1, 1), 0);
        publish(&h);
        assert_int_equal(add(&h, 1, 1), 0);
        use(&h, 4, 0, 2, 4); /* moves on by two, names the third */
        expect_found_out(&h, 2);
        rig_cleanup(&h.rig);
    }
}

/* The split used index counts what the entry does not. */
static void test_a_batch_that_runs_past_the_used_index(void **state)
{
    static struct hand h;

    (void)state;
    hand_init(&h, SIZE, ORDER);
    for (int b = 0; b < 3; b++) {
        assert_int_equal(add(&h, 1, 1), 0);
    }
    publish(&h);
    use(&h, 4, 0, 2, 0);
    expect_found_out(&h, 2);
    rig_cleanup(&h.rig);
}

/* The same id again, in the place that follows. */
static void test_a_batch_told_twice(void **state)
{
    static struct hand h;

    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        hand_init(&h, SIZE, ORDER | (packed ? PACKED : 0));
        for (int b = 0; b < 3; b++) {
            assert_int_equal(add(&h, 1, 1), 0);
        }
        publish(&h);
        use(&h, 2, 10, 2, 4);
        use(&h, 2, 10, 1, 2);
        expect_found_out(&h, 2);
        rig_cleanup(&h.rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_comes_back_whole),
        cmocka_unit_test(test_batches_follow_each_other),
        cmocka_unit_test(test_what_is_finished_early_waits_for_its_turn),
        cmocka_unit_test(test_ids_that_end_no_batch),
        cmocka_unit_test(test_a_batch_that_runs_past_what_was_published),
        cmocka_unit_test(test_a_batch_that_runs_past_the_used_index),
        cmocka_unit_test(test_a_batch_told_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
