/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a back end leaves in the in-flight buffer when it dies: at every step,
 * with both layouts, what was taken and not shown is found again, in order.
 */
#include "check.h"

#include "ring-rig.h"
#include "server/inflight-region.h"
#include "server/inflight.h"

#define SIZE 8u
#define PIECES 3u
#define STEPS 3000u

/* A buffer that is out, in the order in which it was taken. */
struct taken {
    uint16_t id;
    uint16_t n; /* pieces */
    uint32_t first_len;
};

struct life {
    struct rig rig;
    bool packed;
    bool in_order; /* what is shown, and so joins a batch */
    uint8_t *region;
    size_t region_len;
    struct vh_qflight f;
    uint16_t store[SIZE * 5];
    struct vh_left left[SIZE];
    struct vh_desc descs[SIZE];
    /* the model */
    struct taken out[SIZE];
    unsigned n_out;
    uint16_t pushed[SIZE];
    unsigned n_pushed;
    unsigned seed;
    unsigned cookies;
};

static unsigned pick(struct life *life, unsigned n)
{
    life->seed = life->seed * 1103515245u + 12345u;
    return (life->seed >> 16) % n;
}

static struct vh_devring_config config_of(struct rig *rig)
{
    return (struct vh_devring_config){ .size = SIZE,
                                       .features = rig->features,
                                       .desc = rig->desc,
                                       .driver = rig->avail,
                                       .device = rig->used,
                                       .base = rig->base,
                                       .translate = rig_translate,
                                       .translate_arg = rig };
}

static void flight_init(struct life *life, struct vh_qflight *f,
                        uint16_t *store, struct vh_left *left,
                        struct vh_desc *descs, void *region)
{
    memset(store, 0, sizeof(life->store));
    *f = (struct vh_qflight){ .split = region,
                              .is_packed = life->packed,
                              .size = SIZE,
                              .batch = store,
                              .entry_of = store + SIZE,
                              .next = store + 2 * SIZE,
                              .last = store + 3 * SIZE,
                              .num = store + 4 * SIZE,
                              .left = left,
                              .descs = descs };
}

static const char *recover(struct vh_qflight *f,
                           struct vh_devring_config *config)
{
    const char *wrong = f->is_packed ? vh_flight_packed_recover(f, config)
                                     : vh_flight_split_recover(f, config);

    /* As the server sorts. */
    for (unsigned i = 0; i < f->n_left; i++) {
        for (unsigned k = i + 1; k < f->n_left; k++) {
            if (f->left[k].counter < f->left[i].counter) {
                struct vh_left swap = f->left[i];

                f->left[i] = f->left[k];
                f->left[k] = swap;
            }
        }
    }
    return wrong;
}

/* Another back end, over a copy of all that is shared: what does it find? */
static void crash_now(struct life *life, unsigned step)
{
    struct rig copy = life->rig;
    uint8_t *region = malloc(life->region_len);
    uint16_t store[SIZE * 5];
    struct vh_left left[SIZE];
    struct vh_desc descs[SIZE];
    struct vh_devring_config config;
    struct vh_devring *ring;
    struct vh_qflight f;
    ptrdiff_t moved;

    assert_non_null(region);
    copy.mem = aligned_alloc(RIG_REGION, copy.mem_len);
    assert_non_null(copy.mem);
    memcpy(copy.mem, life->rig.mem, copy.mem_len);
    memcpy(region, life->region, life->region_len);
    moved = copy.mem - life->rig.mem;
    config = config_of(&copy);
    config.desc = (uint8_t *)config.desc + moved;
    config.driver = (uint8_t *)config.driver + moved;
    config.device = (uint8_t *)config.device + moved;
    flight_init(life, &f, store, left, descs, region);
    assert_null(recover(&f, &config));
    if (f.n_left != life->n_out) {
        fail_msg("step %u: %u were out, %u are found", step, life->n_out,
                 f.n_left);
    }
    assert_int_equal(vh_devring_new(&ring, &config), 0);
    assert_int_equal((uint16_t)vh_devring_base(ring),
                     (uint16_t)vh_devring_base(life->rig.dev));
    if (life->n_pushed == 0) {
        assert_int_equal(vh_devring_used(ring), vh_devring_used(life->rig.dev));
    }
    for (unsigned i = 0; i < f.n_left; i++) {
        struct vh_held held = { .id = left[i].entry };
        struct iovec iov[2 * PIECES];
        struct vh_chain chain = { .iov = iov, .iov_max = 2 * PIECES };

        if (life->packed) {
            vh_flight_packed_held(&f, left[i].entry, &held);
        }
        assert_int_equal(vh_devring_again(ring, &held, &chain), 0);
        assert_int_equal(chain.id, life->out[i].id);
        assert_int_equal(chain.n_out + chain.n_in, life->out[i].n);
        assert_int_equal(iov[0].iov_len, life->out[i].first_len);
    }
    vh_devring_free(ring);
    free(copy.mem);
    free(region);
}

static void life_begin(struct life *life, uint64_t features, unsigned seed)
{
    struct vh_devring_config config;
    bool packed = features >> VH_RING_F_PACKED & 1;

    memset(life, 0, sizeof(*life));
    life->packed = packed;
    life->in_order = features >> VH_RING_F_IN_ORDER & 1;
    life->seed = seed;
    rig_init(&life->rig, SIZE, features, vh_ring_first_base(features));
    life->rig.whole = true;
    life->region_len = vh_inflight_region(SIZE, packed);
    life->region = calloc(1, life->region_len);
    assert_non_null(life->region);
    flight_init(life, &life->f, life->store, life->left, life->descs,
                life->region);
    config = config_of(&life->rig);
    assert_null(recover(&life->f, &config));
}

static void life_end(struct life *life)
{
    rig_cleanup(&life->rig);
    free(life->region);
}

static void add(struct life *life)
{
    struct vh_sg sg[PIECES];
    unsigned n = 1 + pick(life, PIECES);

    for (unsigned i = 0; i < n; i++) {
        sg[i] = (struct vh_sg){ .addr = rig_gpa(&life->rig, life->rig.data) +
                                        pick(life, 60000),
                                .len = 1 + pick(life, 100) };
    }
    if (vh_ring_add(life->rig.ring, sg, n / 2, n - n / 2, life) == 0) {
        life->cookies++;
    }
}

static const char *took(struct life *life, uint16_t id, uint32_t at,
                        uint32_t behind)
{
    return life->packed ? vh_flight_packed_took(&life->f, id, at, behind)
                        : vh_flight_split_took(&life->f, id);
}

static void take(struct life *life, unsigned step)
{
    struct iovec iov[2 * PIECES];
    struct vh_chain chain = { .iov = iov, .iov_max = 2 * PIECES };
    uint32_t at = vh_devring_base(life->rig.dev);

    if (vh_devring_pop(life->rig.dev, &chain) == 0) {
        return;
    }
    assert_null(took(life, chain.id, at, vh_devring_base(life->rig.dev)));
    life->out[life->n_out++] =
        (struct taken){ .id = chain.id,
                        .n = (uint16_t)(chain.n_out + chain.n_in),
                        .first_len = (uint32_t)iov[0].iov_len };
    crash_now(life, step);
}

static bool is_pushed(const struct life *life, uint16_t id)
{
    for (unsigned i = 0; i < life->n_pushed; i++) {
        if (life->pushed[i] == id) {
            return true;
        }
    }
    return false;
}

static void add_to_batch(struct life *life, uint16_t id)
{
    life->f.batch[life->f.n_batch++] = life->packed ? life->f.entry_of[id] : id;
    if (!life->packed) {
        vh_flight_split_pushed(&life->f, id);
    }
}

static void push(struct life *life, unsigned step)
{
    unsigned i;
    uint16_t id;

    if (life->n_pushed == life->n_out) {
        return;
    }
    do {
        i = pick(life, life->n_out);
        id = life->out[i].id;
    } while (is_pushed(life, id));
    if (!life->in_order) {
        add_to_batch(life, id);
    }
    crash_now(life, step);
    vh_devring_push(life->rig.dev, id, 0);
    life->pushed[life->n_pushed++] = id;
    crash_now(life, step);
}

/* How many are the first that are out, and pushed? */
static unsigned n_ready(const struct life *life)
{
    unsigned n = 0;

    while (n < life->n_out && is_pushed(life, life->out[n].id)) {
        n++;
    }
    return n;
}

static void forget_one(struct life *life, unsigned i)
{
    uint16_t id = life->out[i].id;
    unsigned k = 0;

    while (life->pushed[k] != id) {
        k++;
    }
    life->pushed[k] = life->pushed[--life->n_pushed];
    memmove(&life->out[i], &life->out[i + 1],
            (--life->n_out - i) * sizeof(life->out[0]));
}

/* To the driver they are done from one store on. */
static void forget_pushed(struct life *life)
{
    for (unsigned n = n_ready(life); life->in_order && n > 0; n--) {
        forget_one(life, 0);
    }
    for (unsigned i = 0; !life->in_order && i < life->n_out;) {
        if (is_pushed(life, life->out[i].id)) {
            forget_one(life, i);
        } else {
            i++;
        }
    }
}

static void publish(struct life *life, unsigned step)
{
    struct vh_ring_used used[SIZE];

    if (life->n_pushed == 0) {
        return;
    }
    for (unsigned i = 0; life->in_order && i < n_ready(life); i++) {
        add_to_batch(life, life->out[i].id);
    }
    if (life->packed) {
        vh_flight_packed_publish(&life->f);
    }
    crash_now(life, step);
    vh_devring_publish(life->rig.dev);
    forget_pushed(life);
    crash_now(life, step);
    if (life->packed) {
        vh_flight_packed_published(&life->f);
    } else {
        vh_flight_split_published(&life->f,
                                  (uint16_t)vh_devring_used(life->rig.dev));
    }
    life->f.n_batch = 0;
    crash_now(life, step);
    if (pick(life, 2)) {
        vh_ring_take(life->rig.ring, used, SIZE);
    }
}

static void live(uint64_t features)
{
    struct life life;

    life_begin(&life, features, 42);
    for (unsigned step = 0; step < STEPS; step++) {
        struct vh_ring_used used[SIZE];

        switch (pick(&life, 5)) {
        case 0:
            add(&life);
            vh_ring_publish(life.rig.ring);
            break;
        case 1:
        case 2:
            take(&life, step);
            break;
        case 3:
            push(&life, step);
            break;
        default:
            publish(&life, step);
            vh_ring_take(life.rig.ring, used, SIZE);
            break;
        }
    }
    assert_null(life.rig.ring->broken);
    assert_null(life.rig.dev->broken);
    assert_true(life.cookies > STEPS / 10);
    life_end(&life);
}

static void test_a_split_ring_is_found_as_it_was_at_every_step(void **state)
{
    (void)state;
    live(BIT(32));
    live(BIT(32) | BIT(VH_RING_F_IN_ORDER));
}

static void test_a_packed_ring_is_found_as_it_was_at_every_step(void **state)
{
    (void)state;
    live(BIT(32) | BIT(VH_RING_F_PACKED));
    live(BIT(32) | BIT(VH_RING_F_PACKED) | BIT(VH_RING_F_IN_ORDER));
}

/* Whatever stands in the buffer: an answer, no crash, nothing beyond it. */
static void test_a_buffer_full_of_anything_is_refused_or_taken(void **state)
{
    unsigned n_refused = 0;

    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        struct vh_devring_config config;
        struct vh_devring *ring;
        struct life life;
        const char *wrong;

        life_begin(&life, BIT(32) | (round % 2 ? BIT(VH_RING_F_PACKED) : 0),
                   round + 1);
        for (size_t i = 0; i < life.region_len; i++) {
            life.region[i] =
                (uint8_t)(pick(&life, 3) ? pick(&life, 10) : pick(&life, 256));
        }
        life.f.packed->version = VH_REGION_VERSION;
        life.f.packed->desc_num = SIZE;
        flight_init(&life, &life.f, life.store, life.left, life.descs,
                    life.region);
        config = config_of(&life.rig);
        wrong = recover(&life.f, &config);
        n_refused += wrong != NULL;
        if (!wrong) {
            assert_true(life.f.n_left <= SIZE);
            assert_int_equal(vh_devring_new(&ring, &config), 0);
            for (unsigned i = 0; i < life.f.n_left; i++) {
                struct vh_held held = { .id = life.left[i].entry };
                struct iovec iov[PIECES];
                struct vh_chain chain = { .iov = iov, .iov_max = PIECES };

                if (life.packed) {
                    vh_flight_packed_held(&life.f, life.left[i].entry, &held);
                }
                if (vh_devring_again(ring, &held, &chain) < 0) {
                    break;
                }
            }
            vh_devring_free(ring);
        }
        life_end(&life);
    }
    assert_true(n_refused > 100 && n_refused < 3900);
}

static void test_a_buffer_of_another_size_is_refused(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct vh_devring_config config;
        struct life life;

        life_begin(&life, BIT(32) | (packed ? BIT(VH_RING_F_PACKED) : 0), 1);
        life.f.packed->desc_num = SIZE / 2;
        config = config_of(&life.rig);
        assert_non_null(recover(&life.f, &config));
        life.f.packed->desc_num = SIZE;
        life.f.packed->version = 2;
        assert_non_null(recover(&life.f, &config));
        life_end(&life);
    }
}

/* It makes available what it has not been shown to get back. */
static void test_a_driver_with_more_than_its_ring_holds_is_stopped(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        const uint32_t wrap = 1u << 15;
        uint32_t last = packed ? SIZE - 3 : SIZE - 1;
        struct life life;

        life_begin(&life, BIT(32) | (packed ? BIT(VH_RING_F_PACKED) : 0), 1);
        for (uint32_t i = 0; i < last; i++) {
            assert_null(took(&life, (uint16_t)i, i | wrap, (i + 1) | wrap));
        }
        /* Three are left of a packed ring: four are too many. */
        if (packed) {
            assert_non_null(took(&life, 7, last | wrap, 1));
        }
        assert_null(took(&life, (uint16_t)last, last | wrap, 0));
        assert_non_null(took(&life, 7, 0, 1));
        assert_int_equal(life.f.n_out, SIZE);
        life_end(&life);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_split_ring_is_found_as_it_was_at_every_step),
        cmocka_unit_test(test_a_packed_ring_is_found_as_it_was_at_every_step),
        cmocka_unit_test(test_a_buffer_full_of_anything_is_refused_or_taken),
        cmocka_unit_test(test_a_buffer_of_another_size_is_refused),
        cmocka_unit_test(
            test_a_driver_with_more_than_its_ring_holds_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
