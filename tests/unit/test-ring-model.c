/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two sides of a ring, of every layout, against a model: random batches,
 * chains, laps, suppression, and now and then another device, a stop and a new
 * beginning at the base, or a reset that takes all buffers back.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-model.h"

#define MAX_IOV 64
#define MAX_BUFS 40 /* at once */

static void make_buf(struct model *m, struct buf *buf, unsigned n)
{
    buf->n_out = rig_below(&m->random, n + 1);
    buf->n_in = n - buf->n_out;
    buf->in_len = 0;
    buf->done = false;
    for (unsigned i = 0; i < n; i++) {
        uint32_t len = 1 + rig_below(&m->random, 600);
        uint32_t offset =
            rig_below(&m->random, (uint32_t)m->rig.data_len - len);

        buf->sg[i].addr = rig_gpa(&m->rig, m->rig.data) + offset;
        buf->sg[i].len = len;
        buf->in_len += i < buf->n_out ? 0 : len;
    }
    buf->n_desc = n;
    if (rig_has(&m->rig, VH_RING_F_INDIRECT_DESC) && n <= RIG_TABLE) {
        buf->n_desc = 1;
    }
}

static void driver_adds(struct model *m)
{
    uint32_t n = rig_below(&m->random, m->rig.size + 2);

    for (uint32_t i = 0; i < n && m->idle.n > 0; i++) {
        struct buf *buf = list_first(&m->idle);
        uint32_t n_free = m->rig.ring->n_free;
        bool several = rig_below(&m->random, 2);
        int r;

        make_buf(m, buf, several ? 1 + rig_below(&m->random, m->max_sg) : 1);
        r = vh_ring_add(m->rig.ring, buf->sg, buf->n_out, buf->n_in, buf);
        if (buf->n_desc > n_free) {
            assert_int_equal(r, -ENOSPC);
            assert_int_equal(m->rig.ring->n_free, n_free);
            return;
        }
        assert_int_equal(r, 0);
        assert_int_equal(m->rig.ring->n_free, n_free - buf->n_desc);
        list_put(&m->prepared, list_get(&m->idle));
        m->n_added++;
    }
}

static void driver_puts(struct model *m)
{
    uint32_t n_free = m->rig.ring->n_free;
    unsigned n = rig_below(&m->random, MAX_BUFS + 1);
    bool writable = rig_below(&m->random, 2);
    struct vh_ring_buf bufs[MAX_BUFS];
    int room;

    for (unsigned i = 0; i < n; i++) { /* some need not be idle: no room */
        struct buf *buf = &m->bufs[0];

        if (i < m->idle.n) {
            buf = m->idle.at[(m->idle.first + i) % m->idle.size];
            make_buf(m, buf, 1);
            buf->n_in = writable;
            buf->n_out = !writable;
            buf->in_len = writable ? buf->sg[0].len : 0;
        }
        bufs[i] = (struct vh_ring_buf){ buf->sg[0].addr, buf, buf->sg[0].len };
    }
    room = vh_ring_put(m->rig.ring, bufs, n, writable);
    assert_int_equal(room, n < n_free ? n : n_free);
    assert_int_equal(m->rig.ring->n_free, n_free - (unsigned)room);
    for (int i = 0; i < room; i++) {
        list_put(&m->prepared, list_get(&m->idle));
    }
    m->n_added += (unsigned)room;
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
    struct vh_ring_used used[MAX_BUFS];
    unsigned max = 1 + rig_below(&m->random, ARRAY_SIZE(used));
    unsigned expect = max < m->used.n ? max : m->used.n;

    assert_int_equal(vh_ring_has_used(m->rig.ring), m->used.n > 0);
    assert_int_equal(vh_ring_take(m->rig.ring, used, max), expect);
    for (unsigned i = 0; i < expect; i++) {
        struct buf *buf = list_get(&m->used);

        assert_ptr_equal(used[i].cookie, buf);
        assert_int_equal(used[i].len, buf->written);
        m->pos_taken += model_step_of(m, buf);
        list_put(&m->idle, buf);
    }
    assert_int_equal(vh_ring_base(m->rig.ring),
                     model_base(m, m->pos_taken, m->pos_taken));
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
        m->pos_popped += model_step_of(m, buf);
        list_put(&m->popped, buf);
        if (rig_has(&m->rig, VH_RING_F_IN_ORDER)) {
            list_put(&m->pushed, buf);
        }
    }
}

static void device_pushes(struct model *m)
{
    uint32_t n = rig_below(&m->random, m->popped.n + 1);

    while (n-- > 0) {
        struct buf *buf = list_pick(&m->popped, &m->random);

        buf->written = rig_below(&m->random, buf->in_len + 1);
        buf->done = true;
        vh_devring_push(m->rig.dev, buf->id, buf->written);
        if (!rig_has(&m->rig, VH_RING_F_IN_ORDER)) {
            list_put(&m->pushed, buf);
        }
    }
}

static void device_publishes(struct model *m)
{
    bool call = vh_devring_publish(m->rig.dev);
    uint32_t n = 0;

    for (; m->pushed.n > 0 && list_first(&m->pushed)->done; n++) {
        struct buf *buf = list_get(&m->pushed);

        m->pos_shown += model_step_of(m, buf);
        list_put(&m->used, buf);
    }
    assert_int_equal(vh_devring_base(m->rig.dev),
                     model_base(m, m->pos_popped, m->pos_shown));
    if (n == 0) {
        assert_false(call);
        return;
    }
    if (m->driver_sleeps) {
        assert_true(call);
        m->driver_sleeps = false;
    }
    m->n_unwanted += call && m->calls_off;
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

static void check_counts(const struct model *m)
{
    const struct rig *rig = &m->rig;

    assert_null(rig->ring->broken);
    assert_null(rig->dev->broken);
    assert_int_equal(rig->ring->n_inflight, m->rig.size - m->idle.n);
    assert_int_equal(rig->dev->n_inflight, m->popped.n);
}

static void model_step(struct model *m)
{
    static void (*const steps[])(
        struct model *) = { driver_adds,      driver_puts,  driver_publishes,
                            driver_takes,     device_pops,  device_pushes,
                            device_publishes, switch_calls, switch_kicks };

    steps[rig_below(&m->random, ARRAY_SIZE(steps))](m);
    check_counts(m);
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

/* Another device goes on where this one has got to, the driver unaware. */
static void change_device(struct model *m)
{
    while (m->popped.n > 0) {
        device_pushes(m);
    }
    device_publishes(m);
    m->rig.base = vh_devring_base(m->rig.dev);
    vh_devring_free(m->rig.dev);
    assert_int_equal(rig_new_device(&m->rig), 0);
    assert_int_equal(vh_devring_base(m->rig.dev), m->rig.base);
    m->device_sleeps = m->kicks_off = false;
}

/* A new ring of the same memory. */
static void begin_again(struct model *m, uint32_t base)
{
    vh_ring_free(m->rig.ring);
    vh_devring_free(m->rig.dev);
    m->rig.base = base;
    assert_int_equal(rig_new_driver(&m->rig), 0);
    assert_int_equal(rig_new_device(&m->rig), 0);
    assert_int_equal(vh_ring_base(m->rig.ring), base);
    assert_int_equal(vh_devring_base(m->rig.dev), base);
    m->start = base;
    m->pos_popped = m->pos_shown = m->pos_taken = 0;
    m->device_sleeps = m->driver_sleeps = false;
    m->kicks_off = m->calls_off = false;
}

static void stop_and_go_on(struct model *m)
{
    model_drain(m);
    begin_again(m, vh_ring_base(m->rig.ring));
}

/* Any base that a driver may begin at. */
static uint32_t any_base(struct model *m)
{
    uint32_t half;

    if (!rig_has(&m->rig, VH_RING_F_PACKED)) {
        return rig_below(&m->random, 65536);
    }
    half =
        rig_below(&m->random, m->rig.size) | rig_below(&m->random, 2) * 0x8000;
    return half | half << 16;
}

static void reset(struct model *m)
{
    void *cookies[MAX_BUFS];
    unsigned n;

    for (uint32_t i = 0; i < m->idle.n; i++) {
        m->idle.at[(m->idle.first + i) % m->idle.size]->dropped = true;
    }
    do {
        unsigned max = 1 + rig_below(&m->random, MAX_BUFS);

        n = vh_ring_drop(m->rig.ring, cookies, max);
        assert_in_range(n, 0, max);
        for (unsigned i = 0; i < n; i++) {
            struct buf *buf = cookies[i];

            assert_false(buf->dropped);
            buf->dropped = true;
        }
    } while (n > 0);
    assert_int_equal(m->rig.ring->n_inflight, 0);
    m->idle.n = m->prepared.n = m->avail.n = 0;
    m->popped.n = m->pushed.n = m->used.n = 0;
    for (uint32_t i = 0; i < m->rig.size; i++) {
        assert_true(m->bufs[i].dropped);
        m->bufs[i].dropped = false;
        list_put(&m->idle, &m->bufs[i]);
    }
    memset(m->rig.mem, 0, m->rig.mem_len);
    begin_again(m, any_base(m));
}

static void model_turn(struct model *m)
{
    static void (*const turns[])(struct model *) = { change_device,
                                                     stop_and_go_on, reset };

    turns[rig_below(&m->random, ARRAY_SIZE(turns))](m);
    check_counts(m);
}

static void run_model(uint32_t size, uint64_t features, uint32_t base,
                      uint64_t n_buffers, unsigned turn_every)
{
    struct model m;

    model_init(&m, size, features, base);
    for (unsigned i = 1; m.n_added < n_buffers; i++) {
        model_step(&m);
        if (turn_every && i % turn_every == 0) {
            model_turn(&m);
        }
    }
    model_drain(&m);
    /* Suppression is only a hint, but a hint that mostly works. */
    if (!turn_every) {
        assert_true(m.n_unwanted <= 2 + 2 * m.n_added / 65536);
    }
    model_cleanup(&m);
}

static uint64_t features_of(size_t layout, unsigned variant)
{
    uint64_t features = rig_layouts[layout];

    features |= variant & 1 ? BIT(VH_RING_F_INDIRECT_DESC) : 0;
    return features | (variant & 2 ? BIT(VH_RING_F_EVENT_IDX) : 0);
}

/* Of every layout, with and without tables and the event index. */
static void run_variants(uint32_t size, uint64_t n_buffers, unsigned turn_every)
{
    for (size_t layout = 0; layout < RIG_LAYOUTS; layout++) {
        for (unsigned variant = 0; variant < 4; variant++) {
            uint64_t features = features_of(layout, variant);
            uint32_t base = vh_ring_first_base(features);

            if (vh_ring_size_is_valid(size, features)) {
                run_model(size, features, base, n_buffers, turn_every);
            }
        }
    }
}

static void test_keeps_its_promises_at_every_size(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 3, 4, 5, 7, 16, 100, 256, 32768 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        run_variants(sizes[i], 3000, 0);
    }
}

static void test_keeps_its_promises_across_stops_and_resets(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 3, 7, 8, 100, 256 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        run_variants(sizes[i], 6000, 50);
    }
}

static void test_keeps_its_promises_when_indices_wrap(void **state)
{
    (void)state;
    for (unsigned variant = 0; variant < 4; variant++) {
        run_model(16, features_of(0, variant), 65530, 140000, 0);
        run_model(16, features_of(1, variant), 65530, 140000, 0);
    }
    run_model(32768, features_of(0, 3), 32767, 140000, 0);
    run_model(32768, features_of(1, 3), 32767, 140000, 0);
    run_model(32768, features_of(2, 2), VH_PACKED_BASE_NEW, 140000, 0);
    run_model(32768, features_of(3, 3), VH_PACKED_BASE_NEW, 140000, 0);
}

/* Of a split ring only 16 bits count; of a packed one, all 32. */
static void test_begins_at_every_base(void **state)
{
    struct model m;

    (void)state;
    for (size_t layout = 0; layout < RIG_LAYOUTS; layout++) {
        model_init(&m, 4, features_of(layout, 2),
                   vh_ring_first_base(rig_layouts[layout]));
        for (int i = 0; i < 300; i++) {
            model_drain(&m);
            begin_again(&m, any_base(&m));
            for (int step = 0; step < 20; step++) {
                model_step(&m);
            }
        }
        model_cleanup(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_its_promises_at_every_size),
        cmocka_unit_test(test_keeps_its_promises_across_stops_and_resets),
        cmocka_unit_test(test_keeps_its_promises_when_indices_wrap),
        cmocka_unit_test(test_begins_at_every_base),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
