/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers of which it is not known yet where they are: a device asks for all
 * of it at once, and pops them later, as if nothing had been.
 */
#include "check.h"

#include <errno.h>

#include "ring-rig.h"

#define PAGE 4096u
#define PAGES 1024

static struct {
    struct rig rig;
    unsigned known[PAGES]; /* 1: to read, 2: to write */
    unsigned asked[PAGES];
    unsigned n_asked;
} w;

static void *look(uint64_t gpa, uint64_t want, uint64_t *len, unsigned access)
{
    uint64_t page = (gpa - RIG_GPA) / PAGE;
    uint64_t rest = PAGE - gpa % PAGE;

    want = want < rest ? want : rest;
    if (gpa < RIG_GPA || page >= PAGES || gpa - RIG_GPA >= w.rig.mem_len) {
        return NULL;
    }
    if ((w.known[page] & access) != access) {
        w.n_asked += (w.asked[page] & access) == 0;
        w.asked[page] |= access;
        *len = want;
        return NULL;
    }
    return rig_translate(&w.rig, gpa, want, len);
}

static void *to_read(void *arg, uint64_t gpa, uint64_t want, uint64_t *len)
{
    (void)arg;
    return look(gpa, want, len, 1);
}

static void *to_write(void *arg, uint64_t gpa, uint64_t want, uint64_t *len)
{
    (void)arg;
    return look(gpa, want, len, 2);
}

static void learn(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        w.known[i] |= w.asked[i];
        w.asked[i] = 0;
    }
    w.n_asked = 0;
}

static void setup(uint64_t features)
{
    struct vh_devring_config config = {
        .size = 16,
        .features = features,
        .base = vh_ring_first_base(features),
        .translate = to_read,
        .translate_writable = to_write,
    };

    memset(&w, 0, sizeof(w));
    rig_init(&w.rig, 16, features, config.base);
    config.desc = w.rig.desc;
    config.driver = w.rig.avail;
    config.device = w.rig.used;
    vh_devring_free(w.rig.dev);
    assert_int_equal(vh_devring_new(&w.rig.dev, &config), 0);
}

/* Two pieces to read and one to write, over five pages. */
static void add_one(void *cookie)
{
    struct vh_sg sg[] = {
        { .addr = rig_gpa(&w.rig, w.rig.data + 100), .len = 50 },
        { .addr = rig_gpa(&w.rig, w.rig.data + PAGE), .len = 2 * PAGE },
        { .addr = rig_gpa(&w.rig, w.rig.data + 4 * PAGE - 8), .len = 16 },
    };

    assert_int_equal(vh_ring_add(w.rig.ring, sg, 2, 1, cookie), 0);
    vh_ring_publish(w.rig.ring);
}

static void check_one(const struct vh_chain *chain)
{
    assert_int_equal(chain->out_len, 50 + 2 * PAGE);
    assert_int_equal(chain->in_len, 16);
    assert_ptr_equal(chain->iov[0].iov_base, w.rig.data + 100);
    assert_ptr_equal(chain->iov[1].iov_base, w.rig.data + PAGE);
    assert_ptr_equal(chain->iov[chain->n_out].iov_base,
                     w.rig.data + 4 * PAGE - 8);
    assert_int_equal(chain->iov[chain->n_out].iov_len, 8);
}

static void pop_when_known(uint64_t features)
{
    bool indirect = features >> VH_RING_F_INDIRECT_DESC & 1;
    struct iovec iov[8];
    struct vh_chain chain = { .iov = iov, .iov_max = 8 };
    struct vh_ring_used used;
    uint32_t base;
    int cookie;

    setup(features);
    base = vh_devring_base(w.rig.dev);
    assert_int_equal(vh_devring_pop(w.rig.dev, &chain), 0);
    add_one(&cookie);
    if (indirect) {
        assert_int_equal(vh_devring_pop(w.rig.dev, &chain), -EAGAIN);
        assert_int_equal(w.n_asked, 1); /* for the table */
        learn();
    }
    assert_int_equal(vh_devring_pop(w.rig.dev, &chain), -EAGAIN);
    assert_int_equal(w.n_asked, 5);
    assert_int_equal(vh_devring_pop(w.rig.dev, &chain), -EAGAIN);
    assert_null(w.rig.dev->broken);
    assert_int_equal(vh_devring_base(w.rig.dev), base);
    assert_int_equal(w.rig.dev->n_inflight, 0);
    /* To be read is not to be written. */
    w.known[(rig_gpa(&w.rig, w.rig.data) - RIG_GPA) / PAGE + 4] = 1;
    w.n_asked = 0;
    assert_int_equal(vh_devring_pop(w.rig.dev, &chain), -EAGAIN);
    learn();
    assert_int_equal(vh_devring_pop(w.rig.dev, &chain), 1);
    check_one(&chain);
    vh_devring_push(w.rig.dev, chain.id, 16);
    vh_devring_publish(w.rig.dev);
    assert_int_equal(vh_ring_take(w.rig.ring, &used, 1), 1);
    assert_ptr_equal(used.cookie, &cookie);
    rig_cleanup(&w.rig);
}

static void a_buffer_is_popped_when_all_of_it_is_known(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RIG_LAYOUTS; i++) {
        pop_when_known(rig_layouts[i]);
        pop_when_known(rig_layouts[i] | BIT(VH_RING_F_INDIRECT_DESC));
    }
}

/* What is wrong is told, whether or not the rest is known. */
static void a_lie_behind_what_is_unknown_breaks_the_ring(void **state)
{
    struct vh_sg sg[] = {
        { .addr = 0, .len = 50 }, { .addr = 16, .len = 50 }, /* nowhere */
    };
    struct iovec iov[8];
    struct vh_chain chain = { .iov = iov, .iov_max = 8 };
    int cookie;

    (void)state;
    for (unsigned i = 0; i < RIG_LAYOUTS; i++) {
        setup(rig_layouts[i]);
        sg[0].addr = rig_gpa(&w.rig, w.rig.data);
        assert_int_equal(vh_ring_add(w.rig.ring, sg, 2, 0, &cookie), 0);
        vh_ring_publish(w.rig.ring);
        assert_int_equal(vh_devring_pop(w.rig.dev, &chain), -EPROTO);
        assert_non_null(w.rig.dev->broken);
        rig_cleanup(&w.rig);
    }
}

static void a_held_buffer_waits_as_others_do(void **state)
{
    struct iovec iov[8];
    struct vh_chain chain = { .iov = iov, .iov_max = 8 };
    struct vh_desc desc = { .len = 64 };
    struct vh_held held = { .n = 1, .descs = &desc };

    (void)state;
    for (unsigned i = 0; i < RIG_LAYOUTS; i++) {
        setup(rig_layouts[i]);
        desc.addr = rig_gpa(&w.rig, w.rig.data);
        w.rig.desc[0] = desc;
        assert_int_equal(vh_devring_again(w.rig.dev, &held, &chain), -EAGAIN);
        assert_int_equal(w.rig.dev->n_inflight, 0);
        learn();
        assert_int_equal(vh_devring_again(w.rig.dev, &held, &chain), 0);
        assert_int_equal(chain.out_len, 64);
        rig_cleanup(&w.rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_is_popped_when_all_of_it_is_known),
        cmocka_unit_test(a_lie_behind_what_is_unknown_breaks_the_ring),
        cmocka_unit_test(a_held_buffer_waits_as_others_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
