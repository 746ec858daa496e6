/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that stops with buffers in flight, having returned others out of
 * order: the next one finds at the base all that were not returned, each once.
 */
#include "check.h"

#include <sys/uio.h>

#include "ring-rig.h"

#define MAX_BUFS 64
#define MAX_SG 4

struct buf {
    struct vh_sg sg[MAX_SG];
    unsigned n;
    bool added; /* and not taken */
};

struct world {
    struct rig rig;
    struct buf bufs[MAX_BUFS];
    uint16_t ids[MAX_BUFS]; /* popped */
    unsigned cookie[MAX_BUFS];
    unsigned n_popped;
    unsigned n_pushed; /* in all */
    uint64_t random;
};

static void renew_device(struct world *w, uint32_t base)
{
    struct rig *rig = &w->rig;
    struct vh_devring_config config = {
        .size = rig->size,
        .features = rig->features,
        .desc = rig->desc,
        .driver = rig->avail,
        .device = rig->used,
        .base = base,
        .translate = rig_translate,
        .translate_arg = rig,
        .keep = true,
    };

    vh_devring_free(rig->dev);
    assert_int_equal(vh_devring_new(&rig->dev, &config), 0);
}

/* The data of a buffer begins with its number. */
static void driver_adds(struct world *w)
{
    for (unsigned i = 0; i < MAX_BUFS; i++) {
        struct buf *buf = &w->bufs[i];
        uint8_t *data = w->rig.data + i * MAX_SG;

        if (buf->added || rig_below(&w->random, 4) == 0) {
            continue;
        }
        *data = (uint8_t)i;
        buf->n = 1 + rig_below(&w->random, MAX_SG);
        for (unsigned k = 0; k < buf->n; k++) {
            buf->sg[k] = (struct vh_sg){ rig_gpa(&w->rig, data + k), 1 };
        }
        buf->added = vh_ring_add(w->rig.ring, buf->sg, buf->n, 0, buf) == 0;
    }
    vh_ring_publish(w->rig.ring);
}

static bool device_pops(struct world *w)
{
    struct iovec iov[MAX_SG];
    struct vh_chain chain = { .iov = iov, .iov_max = MAX_SG };
    int r = vh_devring_pop(w->rig.dev, &chain);
    unsigned which;

    assert_in_range(r, 0, 1);
    if (r == 0) {
        return false;
    }
    which = *(uint8_t *)iov[0].iov_base;
    assert_true(w->bufs[which].added);
    assert_int_equal(chain.out_len, w->bufs[which].n);
    for (unsigned i = 0; i < w->n_popped; i++) {
        assert_int_not_equal(w->cookie[i], which);
    }
    w->ids[w->n_popped] = chain.id;
    w->cookie[w->n_popped++] = which;
    return true;
}

static void device_pushes(struct world *w, bool in_order)
{
    unsigned n = w->n_popped ? rig_below(&w->random, w->n_popped + 1) : 0;

    for (; n > 0; n--) {
        unsigned i = in_order ? 0 : rig_below(&w->random, w->n_popped);

        vh_devring_push(w->rig.dev, w->ids[i], 0);
        w->n_pushed++;
        w->n_popped--;
        memmove(w->ids + i, w->ids + i + 1,
                (w->n_popped - i) * sizeof(w->ids[0]));
        memmove(w->cookie + i, w->cookie + i + 1,
                (w->n_popped - i) * sizeof(w->cookie[0]));
    }
    vh_devring_publish(w->rig.dev);
}

static void driver_takes(struct world *w)
{
    struct vh_ring_used used[MAX_BUFS];
    int n = vh_ring_take(w->rig.ring, used, MAX_BUFS);

    assert_int_equal(n, w->n_pushed);
    w->n_pushed = 0;
    for (int i = 0; i < n; i++) {
        struct buf *buf = used[i].cookie;

        assert_true(buf->added);
        buf->added = false;
    }
}

static void device_is_renewed(struct world *w)
{
    unsigned n = w->n_popped;
    uint32_t avail = 0;

    assert_int_equal(vh_devring_put_back(w->rig.dev), n);
    renew_device(w, vh_devring_base(w->rig.dev));
    w->n_popped = 0;
    while (avail < n) { /* the same, before all others */
        assert_true(device_pops(w));
        avail++;
    }
}

static void go_on(uint32_t size, uint64_t features, bool in_order)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->random = 1 + size;
    rig_init(&w->rig, size, features, vh_ring_first_base(features));
    renew_device(w, vh_ring_first_base(features));
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t pops = rig_below(&w->random, size + 1);

        driver_adds(w);
        while (pops-- > 0 && device_pops(w)) {
        }
        device_pushes(w, in_order);
        if (rig_below(&w->random, 3) == 0) {
            device_is_renewed(w);
        }
        driver_takes(w);
    }
    while (device_pops(w)) {
    }
    while (w->n_popped > 0) {
        device_pushes(w, in_order);
    }
    driver_takes(w);
    for (unsigned i = 0; i < MAX_BUFS; i++) {
        assert_false(w->bufs[i].added);
    }
    rig_cleanup(&w->rig);
    free(w);
}

static void what_was_not_returned_is_found_at_the_base(void **state)
{
    const uint64_t more[] = { 0, BIT(VH_RING_F_INDIRECT_DESC),
                              BIT(VH_RING_F_EVENT_IDX) };

    (void)state;
    for (unsigned i = 0; i < RIG_LAYOUTS; i++) {
        bool in_order = rig_layouts[i] >> VH_RING_F_IN_ORDER & 1;

        for (unsigned k = 0; k < ARRAY_SIZE(more); k++) {
            go_on(8, rig_layouts[i] | more[k], in_order);
            go_on(64, rig_layouts[i] | more[k], in_order);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_returned_is_found_at_the_base),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
