/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shadow queue between an honest guest and an honest device, of all layouts,
 * against a model: random chains, notifications by eventfd alone, the dirty
 * log, and now and then a stop and another shadow queue.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "svq-rig.h"

#define MAX_BUFS 48
#define MAX_SG 8
#if defined(__SANITIZE_THREAD__) /* one thread: only slow there */
#define ROUNDS 60
#else
#define ROUNDS 300
#endif
#define AREA 512 /* of a buffer, within its own pages of B or its alias */

struct buf {
    struct vh_sg sg[MAX_SG];
    unsigned n_out;
    unsigned n_in;
    uint32_t out_len;
    uint32_t in_len;
    uint32_t written;
    uint8_t seed; /* its data begin with, and go on from */
    bool added;
    bool held; /* by the device */
    bool done;
};

struct held {
    struct vh_chain chain;
    struct iovec iov[SVQ_TABLE];
    unsigned which;
};

struct world {
    struct svq_rig rig;
    struct buf bufs[MAX_BUFS];
    struct held held[MAX_BUFS];
    unsigned n_held;
    unsigned n_stops;
    unsigned n_taken;
    bool in_order;
    unsigned seed;
};

static void fill(uint8_t *data, uint32_t len, uint8_t *value)
{
    for (uint32_t i = 0; i < len; i++) {
        data[i] = (*value)++;
    }
}

static bool is_filled(const uint8_t *data, uint32_t len, uint8_t *value)
{
    for (uint32_t i = 0; i < len; i++) {
        if (data[i] != (*value)++) {
            return false;
        }
    }
    return true;
}

/*
 * Buffer @which lies in the page @which of B, or of its alias; some begin at
 * the end of A, and some have a piece of no length.  The first byte says which.
 */
static void make_buf(struct world *w, unsigned which)
{
    struct buf *buf = &w->bufs[which];
    uint64_t region = svq_rig_below(&w->seed, 2) ? SVQ_GPA_ALIAS : SVQ_GPA_B;
    uint64_t at = region + (uint64_t)(which + 1) * SVQ_PAGE;
    unsigned n = 1 + svq_rig_below(&w->seed, MAX_SG);

    *buf = (struct buf){ .n_out = 1 + svq_rig_below(&w->seed, n) };
    buf->n_in = n - buf->n_out;
    for (unsigned i = 0; i < n; i++) {
        uint32_t max = svq_rig_below(&w->seed, 8) ? 24 : AREA;
        uint32_t len = 1 + svq_rig_below(&w->seed, max);

        buf->sg[i] = (struct vh_sg){ at, len };
        at += len;
        *(i < buf->n_out ? &buf->out_len : &buf->in_len) += len;
    }
    if (which == 0) { /* one piece on both sides of a border */
        buf->out_len = AREA;
        buf->in_len = 0;
        buf->n_out = 1;
        buf->n_in = 0;
        buf->sg[0] = (struct vh_sg){ SVQ_GPA_B - AREA / 2, AREA };
    }
}

static void put_out(struct world *w, struct buf *buf, unsigned which)
{
    uint8_t value = (uint8_t)which;
    uint8_t copy[MAX_SG * AREA];
    uint32_t at = 0;

    fill(copy, buf->out_len, &value);
    for (unsigned i = 0; i < buf->n_out; i++) {
        for (uint32_t k = 0; k < buf->sg[i].len; k++) {
            *(uint8_t *)svq_rig_hva(&w->rig, buf->sg[i].addr + k) = copy[at++];
        }
    }
}

static void driver_adds(struct world *w)
{
    for (unsigned i = 0; i < MAX_BUFS; i++) {
        struct buf *buf = &w->bufs[i];

        if (buf->added || svq_rig_below(&w->seed, 3) == 0) {
            continue;
        }
        make_buf(w, i);
        put_out(w, buf, i);
        buf->added = vh_ring_add(w->rig.driver, buf->sg, buf->n_out, buf->n_in,
                                 buf) == 0;
    }
    if (vh_ring_publish(w->rig.driver)) {
        assert_int_equal(eventfd_write(w->rig.guest_kick, 1), 0);
    }
}

static void device_pops(struct world *w)
{
    for (;;) {
        struct held *held = &w->held[w->n_held];
        struct buf *buf;
        uint8_t value;
        int r;

        held->chain =
            (struct vh_chain){ .iov = held->iov, .iov_max = SVQ_TABLE };
        r = vh_devring_pop(w->rig.device, &held->chain);
        assert_in_range(r, 0, 1);
        if (r == 0) {
            return;
        }
        value = *(uint8_t *)held->iov[0].iov_base;
        held->which = value;
        assert_in_range(value, 0, MAX_BUFS - 1);
        buf = &w->bufs[value];
        assert_true(buf->added && !buf->held && !buf->done);
        assert_int_equal(held->chain.out_len, buf->out_len);
        assert_int_equal(held->chain.in_len, buf->in_len);
        for (unsigned i = 0; i < held->chain.n_out; i++) {
            assert_true(is_filled(held->iov[i].iov_base,
                                  (uint32_t)held->iov[i].iov_len, &value));
        }
        buf->held = true;
        w->n_held++;
    }
}

static void device_finishes(struct world *w, unsigned at)
{
    struct held *held = &w->held[at];
    struct buf *buf = &w->bufs[held->which];
    uint8_t value = (uint8_t)(held->which + 100);

    for (unsigned i = 0; i < held->chain.n_in; i++) {
        struct iovec *iov = &held->iov[held->chain.n_out + i];

        fill(iov->iov_base, (uint32_t)iov->iov_len, &value);
    }
    /* In order, no length is known but that of the last. */
    buf->written =
        w->in_order ? buf->in_len : svq_rig_below(&w->seed, buf->in_len + 1);
    buf->held = false;
    buf->done = true;
    vh_devring_push(w->rig.device, held->chain.id, buf->written);
    w->n_held--;
    for (; at < w->n_held; at++) {
        w->held[at] = w->held[at + 1];
        w->held[at].chain.iov = w->held[at].iov;
    }
}

static void device_works(struct world *w, bool all)
{
    unsigned n;

    device_pops(w);
    n = all ? w->n_held : svq_rig_below(&w->seed, w->n_held + 1);
    for (; n > 0; n--) {
        device_finishes(w,
                        w->in_order ? 0 : svq_rig_below(&w->seed, w->n_held));
    }
    if (vh_devring_publish(w->rig.device)) {
        assert_int_equal(eventfd_write(w->rig.device_call, 1), 0);
    }
}

static void assert_dirty(struct world *w, const struct vh_sg *sg)
{
    bool alias = sg->addr >= SVQ_GPA_ALIAS;
    uint64_t at = sg->addr - (alias ? SVQ_GPA_ALIAS : SVQ_GPA_B);

    assert_true(w->rig.dirty[alias ? 2 : 1][at / SVQ_PAGE]);
    assert_true(w->rig.dirty[alias ? 2 : 1][(at + sg->len - 1) / SVQ_PAGE]);
}

static void driver_takes(struct world *w)
{
    struct vh_ring_used used[MAX_BUFS];
    int n = vh_ring_take(w->rig.driver, used, MAX_BUFS);

    assert_true(n >= 0);
    w->n_taken += (unsigned)n;
    for (int i = 0; i < n; i++) {
        struct buf *buf = used[i].cookie;
        uint8_t value = (uint8_t)(buf - w->bufs + 100);

        assert_true(buf->added && buf->done);
        assert_int_equal(used[i].len, buf->written);
        for (unsigned k = 0; k < buf->n_in; k++) {
            const struct vh_sg *sg = &buf->sg[buf->n_out + k];

            assert_true(
                is_filled(svq_rig_hva(&w->rig, sg->addr), sg->len, &value));
            assert_dirty(w, sg);
        }
        buf->added = buf->done = false;
    }
    memset(w->rig.dirty, 0, sizeof(w->rig.dirty));
}

/* What the device has told is done, the rest is to be done once more. */
static void another_shadow(struct world *w)
{
    unsigned n_out = 0, n_done = 0;
    uint32_t n;

    for (unsigned i = 0; i < MAX_BUFS; i++) {
        w->bufs[i].held = false;
        n_out += w->bufs[i].added;
        n_done += w->bufs[i].done;
    }
    n = svq_rig_stop(&w->rig);
    assert_true(n <= n_out - n_done);
    w->n_held = 0;
    w->n_stops++;
    svq_rig_start(&w->rig);
    vh_svq_run(w->rig.svq); /* the kicks have been */
}

/* Like a loop: only when an eventfd says so, or with more to do. */
static void loop(struct world *w)
{
    uint64_t count;
    bool woken = eventfd_read(w->rig.guest_kick, &count) == 0;

    woken |= eventfd_read(w->rig.device_call, &count) == 0;
    while (woken && (woken = vh_svq_run(w->rig.svq)) != 0) {
    }
}

static void all_come_back(struct world *w)
{
    for (unsigned i = 0; i < 2 * MAX_BUFS; i++) {
        loop(w);
        device_works(w, true);
    }
    loop(w);
    driver_takes(w);
    for (unsigned i = 0; i < MAX_BUFS; i++) {
        assert_false(w->bufs[i].added);
    }
}

static void go(uint32_t guest_size, uint64_t guest, uint32_t shadow_size,
               uint64_t shadow)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->seed = guest_size + shadow_size;
    w->in_order = shadow >> VH_RING_F_IN_ORDER & 1;
    svq_rig_init(&w->rig, guest_size, guest, shadow_size, shadow);
    vh_svq_run(w->rig.svq);
    /* No doorbell is looked at: the device looks at its ring itself. */
    for (unsigned i = 0; i < ROUNDS; i++) {
        driver_adds(w);
        loop(w);
        device_works(w, false);
        if (svq_rig_below(&w->seed, 5) == 0) {
            another_shadow(w);
        }
        loop(w);
        driver_takes(w);
    }
    all_come_back(w);
    assert_true(w->n_taken > ROUNDS && w->n_stops > ROUNDS / 15);
    svq_rig_cleanup(&w->rig);
    free(w);
}

static const uint64_t orders[] = { 0, BIT(VH_RING_F_PACKED) };
static const uint64_t more[] = {
    0,
    BIT(VH_RING_F_INDIRECT_DESC),
    BIT(VH_RING_F_EVENT_IDX),
    BIT(VH_RING_F_INDIRECT_DESC) | BIT(VH_RING_F_EVENT_IDX),
};

static void each_layout_over_each(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        uint64_t guest = orders[i & 1] | more[i >> 2 & 3];
        uint64_t shadow = orders[i >> 1 & 1] | more[i >> 4];

        go(32, guest, 32, shadow);
        go(32, guest, 16, shadow); /* chains longer than it has free */
        go(16, guest, 64, shadow);
    }
}

static void each_layout_over_each_in_order(void **state)
{
    const uint64_t ordered = BIT(VH_RING_F_IN_ORDER);

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        uint64_t guest = orders[i & 1] | more[i >> 2 & 3];
        uint64_t shadow = orders[i >> 1 & 1] | more[i >> 4] | ordered;

        go(32, guest | ordered, 16, shadow);
        go(16, guest, 64, shadow);
    }
}

static void a_guest_in_order_needs_a_device_in_order(void **state)
{
    struct svq_rig rig;
    struct vh_svq_config config;
    struct vh_svq *svq = NULL;

    (void)state;
    svq_rig_init(&rig, 16, 0, 16, 0);
    config = svq_rig_config(&rig);
    config.guest.features = BIT(VH_RING_F_IN_ORDER);
    assert_int_equal(vh_svq_new(&svq, &config), -EINVAL);
    assert_null(svq);
    svq_rig_cleanup(&rig);
}

static void areas_outside_memory_are_refused(void **state)
{
    struct svq_rig rig;
    struct vh_svq_config config;
    struct vh_svq *svq = NULL;

    (void)state;
    svq_rig_init(&rig, 16, 0, 16, 0);
    config = svq_rig_config(&rig);
    config.guest.device = SVQ_GPA_ALIAS + SVQ_REGION - 8;
    assert_int_equal(vh_svq_new(&svq, &config), -EFAULT);
    config.guest.device = 0;
    assert_int_equal(vh_svq_new(&svq, &config), -EFAULT);
    svq_rig_cleanup(&rig);
}

/* Three at once are one doorbell and one call, and none while it is awake. */
static void notifications_are_few(void **state)
{
    struct vh_sg sg = { SVQ_GPA_B, 8 };
    struct vh_chain chain = { .iov_max = 4 };
    struct vh_ring_used used[4];
    struct iovec iov[4];
    struct svq_rig rig;

    (void)state;
    svq_rig_init(&rig, 16, BIT(VH_RING_F_EVENT_IDX), 16,
                 BIT(VH_RING_F_EVENT_IDX));
    assert_int_equal(vh_svq_run(rig.svq), 0);
    assert_false(svq_rig_was_set(rig.device_kick));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(vh_ring_add(rig.driver, &sg, 1, 0, &sg), 0);
    }
    assert_true(vh_ring_publish(rig.driver));
    assert_int_equal(vh_svq_run(rig.svq), 0);
    assert_true(svq_rig_was_set(rig.device_kick));
    chain.iov = iov;
    vh_devring_disable_kick(rig.device);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(vh_devring_pop(rig.device, &chain), 1);
        vh_devring_push(rig.device, chain.id, 0);
    }
    assert_true(vh_devring_publish(rig.device));
    vh_ring_disable_call(rig.driver);
    assert_int_equal(vh_svq_run(rig.svq), 0);
    assert_false(svq_rig_was_set(rig.guest_call));
    assert_int_equal(vh_ring_take(rig.driver, used, 4), 3);
    assert_int_equal(vh_ring_add(rig.driver, &sg, 1, 0, &sg), 0);
    assert_true(vh_ring_publish(rig.driver)); /* it sleeps again */
    assert_int_equal(vh_svq_run(rig.svq), 0);
    assert_false(svq_rig_was_set(rig.device_kick));
    assert_false(vh_ring_enable_call(rig.driver));
    assert_int_equal(vh_devring_pop(rig.device, &chain), 1);
    vh_devring_push(rig.device, chain.id, 0);
    assert_true(vh_devring_publish(rig.device));
    assert_int_equal(vh_svq_run(rig.svq), 0);
    assert_true(svq_rig_was_set(rig.guest_call));
    svq_rig_cleanup(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_layout_over_each),
        cmocka_unit_test(each_layout_over_each_in_order),
        cmocka_unit_test(a_guest_in_order_needs_a_device_in_order),
        cmocka_unit_test(areas_outside_memory_are_refused),
        cmocka_unit_test(notifications_are_few),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
