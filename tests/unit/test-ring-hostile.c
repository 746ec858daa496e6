/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings of every layout, whose memory anybody writes to at any time: bytes
 * that mean nothing, and words that nearly mean something.  A driver gets no
 * cookie that is not in flight, and none twice; a device gets no address
 * outside memory, and no id twice; once broken is broken for ever.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring-rig.h"

#define MAX_SIZE 16
#define N_COOKIES (2 * MAX_SIZE)
#define N_STEPS 30000
#define MAX_IOV 6

struct mess {
    struct rig rig;
    uint64_t random;
    uint32_t in_len[N_COOKIES];
    bool inflight[N_COOKIES]; /* of the driver */
    bool out[MAX_SIZE];       /* of the device, by id */
    unsigned n_out;
    uint64_t n_taken;
    uint64_t n_popped;
    uint64_t n_broken;
};

static uint8_t *any_byte(struct mess *m)
{
    struct rig *rig = &m->rig;
    struct vh_ring_sizes sizes = vh_ring_sizes(rig->size, rig->features);

    switch (rig_below(&m->random, 4)) {
    case 0:
        return (uint8_t *)rig->desc +
               rig_below(&m->random, (uint32_t)sizes.desc);
    case 1:
        return (uint8_t *)rig->avail +
               rig_below(&m->random, (uint32_t)sizes.driver);
    case 2:
        return (uint8_t *)rig->used +
               rig_below(&m->random, (uint32_t)sizes.device);
    default:
        return (uint8_t *)rig->tables +
               rig_below(&m->random,
                         rig->size * RIG_TABLE * (uint32_t)sizeof(*rig->desc));
    }
}

/* An id, a length and flags that a ring might have, at a place in it. */
static void nearly_packed(struct mess *m)
{
    struct rig *rig = &m->rig;
    uint32_t at = rig_below(&m->random, rig->size);
    struct vh_packed_desc *desc = &rig->packed[at];
    uint32_t flags = rig_below(&m->random, 8) & rig_below(&m->random, 8);

    flags |= rig_below(&m->random, 2) ? VH_PACKED_F_AVAIL : 0;
    flags |= rig_below(&m->random, 2) ? VH_PACKED_F_USED : 0;
    desc->addr = vh_le64(rig_gpa(rig, rig->data));
    desc->len = vh_le32(rig_below(&m->random, 9) * 16);
    desc->id = vh_le16((uint16_t)rig_below(&m->random, rig->size + 1));
    desc->flags = vh_le16((uint16_t)flags);
}

static void nearly_split(struct mess *m)
{
    struct rig *rig = &m->rig;
    uint32_t at = rig_below(&m->random, rig->size);
    uint16_t near = (uint16_t)rig_below(&m->random, 3);
    uint32_t flags = rig_below(&m->random, 8) & rig_below(&m->random, 8);

    switch (rig_below(&m->random, 4)) {
    case 0:
        rig->used->ring[at].id = vh_le32(rig_below(&m->random, rig->size));
        rig->used->ring[at].len = vh_le32(rig_below(&m->random, 20));
        break;
    case 1:
        near = (uint16_t)(near + vh_ring_base(rig->ring));
        rig->used->idx = vh_le16(near);
        break;
    case 2:
        rig->avail->ring[at] =
            vh_le16((uint16_t)rig_below(&m->random, rig->size));
        rig->avail->idx = vh_le16((uint16_t)(vh_le16(rig->avail->idx) + near));
        break;
    default:
        rig->desc[at].addr = vh_le64(rig_gpa(rig, rig->data));
        rig->desc[at].len = vh_le32(rig_below(&m->random, 9) * 16);
        rig->desc[at].flags = vh_le16((uint16_t)flags);
        rig->desc[at].next = vh_le16((uint16_t)at);
    }
}

static void scribble(struct mess *m)
{
    if (rig_below(&m->random, 4) == 0) {
        *any_byte(m) = (uint8_t)rig_random(&m->random);
    } else if (rig_has(&m->rig, VH_RING_F_PACKED)) {
        nearly_packed(m);
    } else {
        nearly_split(m);
    }
}

/* A cookie that is free, or -1. */
static int free_cookie(const struct mess *m)
{
    for (int i = 0; i < N_COOKIES; i++) {
        if (!m->inflight[i]) {
            return i;
        }
    }
    return -1;
}

static void driver_adds(struct mess *m)
{
    unsigned n_out = rig_below(&m->random, 3);
    unsigned n_in = rig_below(&m->random, 3);
    struct vh_sg sg[4];
    int i = free_cookie(m);
    int r;

    n_in += n_out + n_in == 0;
    for (unsigned k = 0; k < n_out + n_in; k++) {
        sg[k].addr = rig_gpa(&m->rig, m->rig.data);
        sg[k].len = 16;
    }
    assert_true(i >= 0);
    r = vh_ring_add(m->rig.ring, sg, n_out, n_in, &m->inflight[i]);
    if (r == 0) {
        m->inflight[i] = true;
        m->in_len[i] = n_in * 16;
    } else {
        assert_true(r == -ENOSPC || r == -E2BIG || r == -EPROTO);
    }
    assert_int_equal(r == -EPROTO, m->rig.ring->broken != NULL);
}

static void driver_puts(struct mess *m)
{
    struct vh_ring_buf bufs[MAX_SIZE];
    int which[MAX_SIZE];
    unsigned n = 0;
    int r;

    for (int i = 0; i < N_COOKIES && n < m->rig.size; i++) {
        if (!m->inflight[i]) {
            bufs[n] = (struct vh_ring_buf){ rig_gpa(&m->rig, m->rig.data),
                                            &m->inflight[i], 16 };
            which[n++] = i;
        }
    }
    r = vh_ring_put(m->rig.ring, bufs, n, true);
    assert_int_equal(r < 0, m->rig.ring->broken != NULL);
    for (int i = 0; i < r; i++) {
        m->inflight[which[i]] = true;
        m->in_len[which[i]] = 16;
    }
}

static ptrdiff_t came_back(struct mess *m, void *cookie)
{
    ptrdiff_t at = (bool *)cookie - m->inflight;

    assert_in_range(at, 0, N_COOKIES - 1);
    assert_true(m->inflight[at]);
    m->inflight[at] = false;
    return at;
}

static void driver_takes(struct mess *m)
{
    struct vh_ring_used used[4];
    bool broken = m->rig.ring->broken;
    int n = vh_ring_take(m->rig.ring, used, 1 + rig_below(&m->random, 4));

    for (int i = 0; i < n; i++) {
        ptrdiff_t at = came_back(m, used[i].cookie);

        assert_in_range(used[i].len, 0, m->in_len[at]);
        m->n_taken++;
    }
    if (broken) {
        assert_int_equal(n, -EPROTO);
    }
    assert_true(n >= 0 || (n == -EPROTO && m->rig.ring->broken));
}

/* All that is in flight comes back from a drop; then a new ring. */
static void driver_begins_again(struct mess *m)
{
    void *cookies[3];
    unsigned n;

    while ((n = vh_ring_drop(m->rig.ring, cookies, 3)) > 0) {
        for (unsigned i = 0; i < n; i++) {
            came_back(m, cookies[i]);
        }
    }
    for (int i = 0; i < N_COOKIES; i++) {
        assert_false(m->inflight[i]);
    }
    assert_int_equal(m->rig.ring->n_inflight, 0);
    vh_ring_free(m->rig.ring);
    assert_int_equal(rig_new_driver(&m->rig), 0);
    m->n_broken++;
}

static void driver_step(struct mess *m)
{
    struct vh_ring *ring = m->rig.ring;
    uint32_t n_inflight = 0;

    switch (rig_below(&m->random, 7)) {
    case 0:
        driver_adds(m);
        break;
    case 1:
        driver_puts(m);
        break;
    case 2:
        vh_ring_publish(ring);
        break;
    case 3:
    case 4:
        driver_takes(m);
        break;
    case 5:
        vh_ring_enable_call(ring);
        break;
    default:
        vh_ring_disable_call(ring);
    }
    for (int i = 0; i < N_COOKIES; i++) {
        n_inflight += m->inflight[i];
    }
    assert_int_equal(ring->n_inflight, n_inflight);
    assert_true(n_inflight + ring->n_free <= m->rig.size);
    if (ring->broken && rig_below(&m->random, 8) == 0) {
        driver_begins_again(m);
    }
}

static void device_pops(struct mess *m)
{
    struct iovec iov[MAX_IOV];
    struct vh_chain chain = { .iov = iov, .iov_max = MAX_IOV };
    bool broken = m->rig.dev->broken;
    int r = vh_devring_pop(m->rig.dev, &chain);
    uint64_t total = 0;

    assert_int_equal(r < 0, m->rig.dev->broken != NULL);
    if (r != 1) {
        assert_true(r == 0 || r == -EPROTO);
        return;
    }
    assert_false(broken);
    assert_in_range(chain.id, 0, m->rig.size - 1);
    assert_false(m->out[chain.id]);
    assert_in_range(chain.n_out + chain.n_in, 0, MAX_IOV);
    for (int i = 0; i < chain.n_out + chain.n_in; i++) {
        size_t offset = (size_t)((uint8_t *)iov[i].iov_base - m->rig.mem);

        assert_true(offset < m->rig.mem_len);
        assert_true(iov[i].iov_len <= m->rig.mem_len - offset);
        total += iov[i].iov_len;
    }
    assert_int_equal(total, (uint64_t)chain.out_len + chain.in_len);
    m->out[chain.id] = true;
    m->n_out++;
    m->n_popped++;
}

static void device_pushes(struct mess *m)
{
    uint32_t id = rig_below(&m->random, m->rig.size);

    for (uint32_t i = 0; i < m->rig.size; i++) {
        if (m->out[id]) {
            vh_devring_push(m->rig.dev, (uint16_t)id,
                            rig_below(&m->random, 17));
            m->out[id] = false;
            m->n_out--;
            return;
        }
        id = id + 1 < m->rig.size ? id + 1 : 0;
    }
}

static void device_begins_again(struct mess *m)
{
    while (m->n_out > 0) { /* what was popped before can still be pushed */
        device_pushes(m);
    }
    vh_devring_publish(m->rig.dev);
    m->rig.base = vh_devring_base(m->rig.dev);
    vh_devring_free(m->rig.dev);
    assert_int_equal(rig_new_device(&m->rig), 0);
    if (!rig_has(&m->rig, VH_RING_F_PACKED)) {
        m->rig.avail->idx = vh_le16((uint16_t)m->rig.base);
    }
    m->n_broken++;
}

static void device_step(struct mess *m)
{
    switch (rig_below(&m->random, 6)) {
    case 0:
    case 1:
        device_pops(m);
        break;
    case 2:
        device_pushes(m);
        break;
    case 3:
        vh_devring_publish(m->rig.dev);
        break;
    case 4:
        vh_devring_enable_kick(m->rig.dev);
        break;
    default:
        vh_devring_disable_kick(m->rig.dev);
    }
    assert_int_equal(m->rig.dev->n_inflight, m->n_out);
    if (m->rig.dev->broken && rig_below(&m->random, 8) == 0) {
        device_begins_again(m);
    }
}

/* What has happened, lest all of it be nothing. */
struct sums {
    uint64_t taken;
    uint64_t popped;
    uint64_t broken;
};

/* One step in @every is somebody else's. */
static void make_mess(uint32_t size, uint64_t features, unsigned sides,
                      uint32_t every, struct sums *sums)
{
    uint32_t base = vh_ring_first_base(features);
    struct mess m = { .random = 1234567 + size + features };

    rig_init(&m.rig, size, features, base);
    for (int i = 0; i < N_STEPS; i++) {
        if (rig_below(&m.random, every) == 0) {
            scribble(&m);
        } else if (sides == 1 || (sides == 3 && i % 2)) {
            driver_step(&m);
        } else {
            device_step(&m);
        }
        /* A driver begins a ring where it stopped, whatever a device did. */
        if (sides == 1) {
            m.rig.base = vh_ring_base(m.rig.ring);
        } else if (sides == 3) {
            m.rig.base = base;
        }
    }
    sums->taken += m.n_taken;
    sums->popped += m.n_popped;
    sums->broken += m.n_broken;
    rig_cleanup(&m.rig);
}

static void mess_of_layout(uint64_t layout, unsigned sides)
{
    static const uint32_t sizes[] = { 1, 2, 3, 7, 8, 16 };
    struct sums sums = { .taken = 0 };

    for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
        for (unsigned v = 0; v < 8; v++) {
            uint64_t features = layout;

            features |= v & 1 ? BIT(VH_RING_F_EVENT_IDX) : 0;
            features |= v & 2 ? BIT(VH_RING_F_INDIRECT_DESC) : 0;
            if (vh_ring_size_is_valid(sizes[n], features)) {
                make_mess(sizes[n], features, sides, v & 4 ? 2 : 12, &sums);
            }
        }
    }
    assert_true(sums.broken > 100);
    assert_true(!(sides & 1) || sums.taken > 1000);
    assert_true(!(sides & 2) || sums.popped > 1000);
}

static void all_messes(unsigned sides)
{
    for (size_t i = 0; i < RIG_LAYOUTS; i++) {
        mess_of_layout(rig_layouts[i], sides);
    }
}

static void test_a_driver_keeps_its_accounts_whatever_is_written(void **state)
{
    (void)state;
    all_messes(1);
}

static void test_a_device_keeps_its_accounts_whatever_is_written(void **state)
{
    (void)state;
    all_messes(2);
}

static void test_both_keep_their_accounts_whatever_is_written(void **state)
{
    (void)state;
    all_messes(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_driver_keeps_its_accounts_whatever_is_written),
        cmocka_unit_test(test_a_device_keeps_its_accounts_whatever_is_written),
        cmocka_unit_test(test_both_keep_their_accounts_whatever_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
