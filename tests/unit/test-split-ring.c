/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two sides of a split ring against a model.  The model knows what a ring
 * promises, and nothing of how: buffers come out in the order that they went
 * in, come back in the order that they were pushed, each once, with what was
 * written; and whoever sleeps is called.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-rig.h"
#include "ring/event.h"

#define MAX_SG 12
#define MAX_IOV 64

struct buf {
    struct vh_sg sg[MAX_SG];
    unsigned n_out;
    unsigned n_in;
    uint32_t in_len;
    uint32_t written;
    uint16_t id; /* as popped */
};

/* A list with as many places as the ring has entries. */
struct list {
    struct buf **at;
    uint32_t size;
    uint32_t first;
    uint32_t n;
};

struct model {
    struct rig rig;
    uint64_t random;
    unsigned max_sg;
    struct buf *bufs;
    struct list idle;
    struct list prepared; /* added, not published */
    struct list avail;    /* published, not popped */
    struct list popped;
    struct list pushed; /* not published */
    struct list used;   /* published, not taken */
    bool device_sleeps;
    bool driver_sleeps;
    bool kicks_off; /* since the last disable_kick() */
    bool calls_off;
    uint64_t n_added;
    uint64_t n_unwanted; /* kicks and calls while off */
};

static struct list list_new(uint32_t size)
{
    struct list list = { .size = size };

    list.at = calloc(size, sizeof(struct buf *));
    assert_non_null(list.at);
    return list;
}

static void list_put(struct list *list, struct buf *buf)
{
    assert_true(list->n < list->size);
    list->at[(list->first + list->n++) % list->size] = buf;
}

static struct buf *list_get(struct list *list)
{
    struct buf *buf = list->at[list->first];

    assert_true(list->n > 0);
    list->first = (list->first + 1) % list->size;
    list->n--;
    return buf;
}

static void list_move(struct list *to, struct list *from)
{
    while (from->n > 0) {
        list_put(to, list_get(from));
    }
}

/* Any one of them: the first takes its place. */
static struct buf *list_pick(struct list *list, uint64_t *random)
{
    uint32_t i = (list->first + rig_below(random, list->n)) % list->size;
    struct buf *buf = list->at[i];

    list->at[i] = list->at[list->first];
    list->at[list->first] = buf;
    return list_get(list);
}

static void model_init(struct model *m, uint32_t size, uint64_t features,
                       uint32_t base)
{
    memset(m, 0, sizeof(*m));
    rig_init(&m->rig, size, features, base);
    m->random = 88172645463325252u + size + base;
    m->max_sg = size < MAX_SG ? size : MAX_SG;
    m->bufs = calloc(size, sizeof(*m->bufs));
    assert_non_null(m->bufs);
    m->idle = list_new(size);
    m->prepared = list_new(size);
    m->avail = list_new(size);
    m->popped = list_new(size);
    m->pushed = list_new(size);
    m->used = list_new(size);
    for (uint32_t i = 0; i < size; i++) {
        list_put(&m->idle, &m->bufs[i]);
    }
}

static void model_cleanup(struct model *m)
{
    free(m->bufs);
    free(m->idle.at);
    free(m->prepared.at);
    free(m->avail.at);
    free(m->popped.at);
    free(m->pushed.at);
    free(m->used.at);
    rig_cleanup(&m->rig);
}

static void make_buf(struct model *m, struct buf *buf)
{
    unsigned n = 1 + rig_below(&m->random, m->max_sg);

    if (rig_below(&m->random, 2)) {
        n = 1;
    }
    buf->n_out = rig_below(&m->random, n + 1);
    buf->n_in = n - buf->n_out;
    buf->in_len = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t len = 1 + rig_below(&m->random, 600);
        uint32_t offset =
            rig_below(&m->random, (uint32_t)m->rig.data_len - len);

        buf->sg[i].addr = rig_gpa(&m->rig, m->rig.data) + offset;
        buf->sg[i].len = len;
        buf->in_len += i < buf->n_out ? 0 : len;
    }
}

static void driver_adds(struct model *m)
{
    uint32_t n = rig_below(&m->random, m->rig.size + 2);

    for (uint32_t i = 0; i < n && m->idle.n > 0; i++) {
        struct buf *buf = m->idle.at[m->idle.first];
        uint32_t n_free = m->rig.ring->n_free;
        int r;

        make_buf(m, buf);
        r = vh_ring_add(m->rig.ring, buf->sg, buf->n_out, buf->n_in, buf);
        if (r == -ENOSPC) {
            assert_true(n_free < buf->n_out + buf->n_in);
            assert_int_equal(m->rig.ring->n_free, n_free);
            return;
        }
        assert_int_equal(r, 0);
        list_put(&m->prepared, list_get(&m->idle));
        m->n_added++;
    }
}

static void driver_publishes(struct model *m)
{
    bool kick = vh_ring_publish(m->rig.ring);

    if (m->prepared.n == 0) {
        assert_false(kick);
        return;
    }
    if (m->device_sleeps) {
        assert_true(kick);
        m->device_sleeps = false;
    }
    m->n_unwanted += kick && m->kicks_off;
    list_move(&m->avail, &m->prepared);
}

static void driver_takes(struct model *m)
{
    struct vh_ring_used used[40];
    unsigned max = 1 + rig_below(&m->random, ARRAY_SIZE(used));
    unsigned expect = max < m->used.n ? max : m->used.n;

    assert_int_equal(vh_ring_has_used(m->rig.ring), m->used.n > 0);
    assert_int_equal(vh_ring_take(m->rig.ring, used, max), expect);
    for (unsigned i = 0; i < expect; i++) {
        struct buf *buf = list_get(&m->used);

        assert_ptr_equal(used[i].cookie, buf);
        assert_int_equal(used[i].len, buf->written);
        list_put(&m->idle, buf);
    }
}

/* The iovecs are the pieces, cut where regions end. */
static void check_pieces(const struct model *m, const struct buf *buf,
                         const struct iovec *iov, unsigned n_iov)
{
    unsigned n_sg = buf->n_out + buf->n_in;
    unsigned at = 0;

    for (unsigned i = 0; i < n_sg; i++) {
        uint64_t gpa = buf->sg[i].addr;
        uint64_t end = gpa + buf->sg[i].len;

        while (gpa < end) {
            assert_true(at < n_iov);
            assert_int_equal(rig_gpa(&m->rig, iov[at].iov_base), gpa);
            assert_true(gpa % RIG_REGION + iov[at].iov_len <= RIG_REGION);
            gpa += iov[at++].iov_len;
        }
        assert_int_equal(gpa, end);
    }
    assert_int_equal(at, n_iov);
}

static void device_pops(struct model *m)
{
    uint32_t n = 1 + rig_below(&m->random, m->rig.size + 1);

    m->device_sleeps = false;
    for (uint32_t i = 0; i < n; i++) {
        struct iovec iov[MAX_IOV];
        struct vh_chain chain = { .iov = iov, .iov_max = MAX_IOV };
        struct buf *buf;

        assert_int_equal(vh_devring_pop(m->rig.dev, &chain), m->avail.n > 0);
        if (m->avail.n == 0) {
            return;
        }
        buf = list_get(&m->avail);
        assert_int_equal(chain.in_len, buf->in_len);
        assert_int_equal(chain.n_in > 0, buf->n_in > 0);
        check_pieces(m, buf, iov, (unsigned)chain.n_out + chain.n_in);
        buf->id = chain.id;
        list_put(&m->popped, buf);
    }
}

static void device_pushes(struct model *m)
{
    uint32_t n = rig_below(&m->random, m->popped.n + 1);

    while (n-- > 0) {
        struct buf *buf = list_pick(&m->popped, &m->random);

        buf->written = rig_below(&m->random, buf->in_len + 1);
        vh_devring_push(m->rig.dev, buf->id, buf->written);
        list_put(&m->pushed, buf);
    }
}

static void device_publishes(struct model *m)
{
    bool call = vh_devring_publish(m->rig.dev);

    if (m->pushed.n == 0) {
        assert_false(call);
        return;
    }
    if (m->driver_sleeps) {
        assert_true(call);
        m->driver_sleeps = false;
    }
    m->n_unwanted += call && m->calls_off;
    list_move(&m->used, &m->pushed);
}

static void switch_calls(struct model *m)
{
    m->calls_off = rig_below(&m->random, 2);
    if (m->calls_off) {
        vh_ring_disable_call(m->rig.ring);
        m->driver_sleeps = false;
    } else {
        bool more = vh_ring_enable_call(m->rig.ring);

        assert_int_equal(more, m->used.n > 0);
        m->driver_sleeps = !more;
    }
}

static void switch_kicks(struct model *m)
{
    m->kicks_off = rig_below(&m->random, 2);
    if (m->kicks_off) {
        vh_devring_disable_kick(m->rig.dev);
        m->device_sleeps = false;
    } else {
        bool more = vh_devring_enable_kick(m->rig.dev);

        assert_int_equal(more, m->avail.n > 0);
        m->device_sleeps = !more;
    }
}

static void model_step(struct model *m)
{
    static void (*const steps[])(struct model *) = {
        driver_adds,   driver_publishes, driver_takes, device_pops,
        device_pushes, device_publishes, switch_calls, switch_kicks,
    };
    struct rig *rig = &m->rig;

    steps[rig_below(&m->random, ARRAY_SIZE(steps))](m);
    assert_null(rig->ring->broken);
    assert_null(rig->dev->broken);
    assert_int_equal(rig->ring->n_inflight, m->rig.size - m->idle.n);
    assert_int_equal(rig->dev->n_inflight, m->popped.n);
}

/* What is left comes back, and every descriptor is free again. */
static void model_drain(struct model *m)
{
    driver_publishes(m);
    while (m->rig.ring->n_inflight > 0) {
        device_pops(m);
        device_pushes(m);
        device_publishes(m);
        driver_takes(m);
    }
    assert_int_equal(m->rig.ring->n_free, m->rig.size);
    assert_int_equal(vh_devring_base(m->rig.dev), vh_ring_base(m->rig.ring));
}

static void run_model(uint32_t size, uint64_t features, uint32_t base,
                      uint64_t n_buffers)
{
    struct model m;

    model_init(&m, size, features, base);
    while (m.n_added < n_buffers) {
        model_step(&m);
    }
    model_drain(&m);
    assert_int_equal(vh_ring_base(m.rig.ring),
                     (uint16_t)(m.n_added + m.rig.base));
    /* Suppression is only a hint, but a hint that mostly works. */
    assert_true(m.n_unwanted <= 2 + 2 * m.n_added / 65536);
    model_cleanup(&m);
}

static const uint64_t feature_sets[] = {
    0,
    BIT(VH_RING_F_INDIRECT_DESC),
    BIT(VH_RING_F_EVENT_IDX),
    BIT(VH_RING_F_INDIRECT_DESC) | BIT(VH_RING_F_EVENT_IDX),
};

static void test_keeps_its_promises_at_every_size(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 4, 256, 32768 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (size_t f = 0; f < ARRAY_SIZE(feature_sets); f++) {
            run_model(sizes[i], feature_sets[f], 0, 2000);
            run_model(sizes[i], feature_sets[f], 65530, 2000);
        }
    }
}

static void test_keeps_its_promises_when_indices_wrap(void **state)
{
    (void)state;
    for (size_t f = 0; f < ARRAY_SIZE(feature_sets); f++) {
        run_model(16, feature_sets[f], 0xffff0003, 140000);
    }
    run_model(32768, feature_sets[3], 32767, 140000);
}

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
    odd.features = BIT(VH_RING_F_PACKED);
    expect_both_refuse(&odd, -ENOTSUP);
    odd.features = BIT(VH_RING_F_IN_ORDER);
    expect_both_refuse(&odd, -ENOTSUP);
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
        cmocka_unit_test(test_keeps_its_promises_at_every_size),
        cmocka_unit_test(test_keeps_its_promises_when_indices_wrap),
        cmocka_unit_test(test_a_full_ring_of_the_largest_size_is_seen),
        cmocka_unit_test(test_nothing_is_seen_before_it_is_published),
        cmocka_unit_test(test_add_tells_not_now_from_never),
        cmocka_unit_test(test_a_buffer_of_4_gib_is_refused),
        cmocka_unit_test(test_indirect_needs_tables_and_negotiation),
        cmocka_unit_test(test_suppression_without_event_index_is_in_the_flags),
        cmocka_unit_test(test_suppression_with_event_index_leaves_the_flags),
        cmocka_unit_test(test_a_second_device_goes_on_at_the_base),
        cmocka_unit_test(test_used_entries_follow_those_of_the_first_device),
        cmocka_unit_test(test_areas_are_as_large_as_specified),
        cmocka_unit_test(test_sizes_that_no_ring_can_have),
        cmocka_unit_test(test_new_refuses_what_it_cannot_obey),
        cmocka_unit_test(test_event_index_is_stepped_over_on_the_circle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
