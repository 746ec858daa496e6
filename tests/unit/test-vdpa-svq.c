/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shadow queues under the vDPA back end, with a device whose rings move: 16
 * queues under load, a dirty log that goes on and off, and every byte looked
 * at by the driver.
 */
#include "lib/fake-vdpa.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <vhost/log.h>

#include "ring/devring.h"
#include "ring/layout.h"
#include "ring/ring.h"

#define BIT(n) (UINT64_C(1) << (n))
#define QUEUES FAKE_QUEUES
#define SIZE 16u
#define PAGE UINT64_C(4096)
#define GPA UINT64_C(0x100000)
#define RINGS (3 * QUEUES * PAGE)
#define BUFS 8u /* of each queue, two pages each */
#define MEMORY (RINGS + QUEUES * BUFS * 2 * PAGE)
#define PAGES (MEMORY / PAGE)
#if defined(__SANITIZE_THREAD__)
#define ROUNDS 150u
#else
#define ROUNDS 400u
#endif

struct buf {
    struct world *w;
    unsigned queue, which;
    uint32_t value, in_len;
    bool out;
};

struct side { /* of the device */
    struct vh_devring *ring;
    struct vh_chain held[SIZE];
    struct iovec iov[SIZE][4];
    unsigned n_held;
};

struct world {
    struct fake_vdpa k; /* first: hooks find the world by it */
    struct vhost_vdpa *vdpa;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[QUEUES];
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct vhost_error *err;
    struct vh_ring *rings[QUEUES];
    struct buf bufs[QUEUES][BUFS];
    struct side sides[QUEUES];
    uint64_t ring_features;
    uint8_t written[PAGES]; /* by the device, while the log is on */
    uint8_t told[PAGES];    /* by the log */
    uint64_t n_done;
    unsigned seed;
};

static unsigned below(struct world *w, unsigned n)
{
    w->seed = w->seed * 1103515245u + 12345u;
    return (w->seed >> 16) % n;
}

static uint8_t *hva(const struct world *w, uint64_t gpa)
{
    return (uint8_t *)w->memory.hva + (gpa - GPA);
}

static void *device_sees(void *arg, uint64_t iova, uint64_t want, uint64_t *len)
{
    const struct fake_vdpa *k = arg;

    for (size_t i = 0; i < k->n_maps[0]; i++) {
        const struct fake_map *m = &k->maps[0][i];

        if (!m->gone && iova - m->iova < m->size) {
            uint64_t left = m->size - (iova - m->iova);

            *len = left < want ? left : want;
            return (void *)(uintptr_t)(m->uaddr + (iova - m->iova));
        }
    }
    return NULL;
}

static void *area(struct world *w, uint64_t iova)
{
    uint64_t len;
    void *at = device_sees(&w->k, iova, 1, &len);

    assert_non_null(at);
    return at;
}

/* The device carries out a buffer: what it read says what to write. */
static void carry_out(struct world *w, struct side *side, struct vh_chain *c)
{
    uint32_t value, done = 0;

    assert_int_equal(c->n_out, 1);
    memcpy(&value, c->iov[0].iov_base, sizeof(value));
    for (unsigned i = 1; i < 1u + c->n_in; i++) {
        uint8_t *at = c->iov[i].iov_base;
        size_t page = (size_t)(at - (uint8_t *)w->memory.hva) / PAGE;

        assert_true(page < PAGES);
        w->written[page] = 1;
        for (size_t b = 0; b < c->iov[i].iov_len; b++) {
            at[b] = (uint8_t)(value + done++);
        }
    }
    vh_devring_push(side->ring, c->id, done);
}

static void finish(struct world *w, unsigned queue, unsigned leave)
{
    struct side *side = &w->sides[queue];
    struct vhost_notifier call = { .fd = w->k.q[queue].call_fd };

    while (side->n_held > leave) {
        carry_out(w, side, &side->held[--side->n_held]);
    }
    if (vh_devring_publish(side->ring) && call.fd >= 0) {
        vhost_notifier_set(&call);
    }
}

static void take_some(struct world *w, unsigned queue)
{
    struct side *side = &w->sides[queue];

    while (side->n_held < SIZE) {
        struct vh_chain *c = &side->held[side->n_held];
        int r;

        *c = (struct vh_chain){ .iov = side->iov[side->n_held], .iov_max = 4 };
        r = vh_devring_pop(side->ring, c);
        assert_true(r >= 0);
        if (r == 0) {
            break;
        }
        side->n_held++;
    }
}

static void device_moves(struct world *w)
{
    if (!(w->k.status & VH_VDPA_DRIVER_OK) || w->k.suspended) {
        return;
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        uint64_t n;

        if (w->k.q[i].kick_fd >= 0 && w->sides[i].n_held == 0 &&
            read(w->k.q[i].kick_fd, &n, sizeof(n)) < 0) {
            vh_devring_disable_kick(w->sides[i].ring); /* nobody kicked */
            if (!vh_devring_enable_kick(w->sides[i].ring)) {
                continue;
            }
        }
        take_some(w, i);
        finish(w, i, below(w, w->sides[i].n_held + 1));
        vh_devring_enable_kick(w->sides[i].ring);
    }
}

static void ring_starts(struct world *w, unsigned i)
{
    const struct fake_vq *q = &w->k.q[i];
    const struct vh_devring_config config = {
        .size = q->num,
        .features = w->ring_features,
        .desc = area(w, q->addr.desc_user_addr),
        .driver = area(w, q->addr.avail_user_addr),
        .device = area(w, q->addr.used_user_addr),
        .base = q->base,
        .translate = device_sees,
        .translate_arg = &w->k,
    };

    assert_int_equal(q->enabled, 1);
    assert_int_equal(vh_devring_new(&w->sides[i].ring, &config), 0);
}

static void heard(struct fake_vdpa *k, int what)
{
    struct world *w = (struct world *)k;

    for (unsigned i = 0; i < QUEUES; i++) {
        struct side *side = &w->sides[i];

        if (what < 0 && side->ring) {
            finish(w, i, 0); /* what it has begun it ends */
        } else if (what == 0) {
            vh_devring_free(side->ring);
            side->ring = NULL;
            side->n_held = 0;
        } else if (what > 0 && (what & (int)VH_VDPA_DRIVER_OK) && !side->ring) {
            ring_starts(w, i);
        }
    }
}

static uint32_t stands(struct fake_vdpa *k, unsigned queue)
{
    return vh_devring_base(((struct world *)k)->sides[queue].ring);
}

static void make_ring(struct world *w, unsigned i)
{
    uint64_t at = GPA + 3 * i * PAGE;
    const struct vh_ring_config config = {
        .size = SIZE,
        .features = w->ring_features,
        .desc = hva(w, at),
        .driver = hva(w, at + PAGE),
        .device = hva(w, at + 2 * PAGE),
        .base = vh_ring_first_base(w->ring_features),
    };

    assert_int_equal(vh_ring_new(&w->rings[i], &config), 0);
    w->queues[i] = (struct vhost_vdev_queue){
        .size = SIZE,
        .base = config.base,
        .desc = at,
        .avail = at + PAGE,
        .used = at + 2 * PAGE,
        .kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    for (unsigned b = 0; b < BUFS; b++) {
        w->bufs[i][b] = (struct buf){ .w = w, .queue = i, .which = b };
    }
}

static void begin_with(struct world *w, bool packed, uint64_t caps, bool always)
{
    static const int bits[] = { 29, 32, 34, VHOST_INVALID_FEATURE_BIT };

    memset(w, 0, sizeof(*w));
    w->ring_features = BIT(29) | (packed ? BIT(34) : 0);
    fake_vdpa_up(&w->k);
    w->k.moves = heard;
    w->k.stands = stands;
    w->k.caps = caps;
    w->vdpa =
        vh_vdpa_new(&fake_vdpa_sys, &w->k, "/dev/vhost-vdpa-0", -1, &w->err);
    assert_non_null(w->vdpa);
    w->vdpa->always = always;
    w->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&w->memory, MEMORY, 0, NULL), 0);
    w->memory.gpa = GPA;
    vhost_memory_begin(w->map);
    assert_int_equal(vhost_memory_add(w->map, &w->memory), 0);
    assert_int_equal(vhost_memory_commit(w->map, &w->err), 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        make_ring(w, i);
    }
    w->vdev = (struct vhost_vdev){ .nqueues = QUEUES, .queues = w->queues };
    w->dev.vqs = w->vqs;
    w->dev.nvqs = QUEUES;
    w->dev.map = w->map;
    assert_int_equal(
        vhost_dev_init(&w->dev, w->vdpa, VHOST_BACKEND_TYPE_VDPA, 0, &w->err),
        0);
    vhost_ack_features(&w->dev, bits, BIT(32) | w->ring_features);
}

static void start(struct world *w)
{
    assert_int_equal(vhost_dev_start(&w->dev, &w->vdev, true), 0);
}

static void stop(struct world *w)
{
    assert_int_equal(vhost_dev_stop(&w->dev, &w->vdev, true), 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        assert_int_equal(w->queues[i].base_source, VHOST_BASE_FROM_DEVICE);
    }
}

static void end(struct world *w)
{
    vhost_dev_cleanup(&w->dev);
    vhost_vdpa_free(w->vdpa);
    for (unsigned i = 0; i < QUEUES; i++) {
        vh_devring_free(w->sides[i].ring);
        vh_ring_free(w->rings[i]);
        close(w->queues[i].kick_fd);
        close(w->queues[i].call_fd);
    }
    vhost_memory_map_free(w->map);
    vhost_memory_free(&w->memory);
    vhost_error_free(w->err);
    fake_vdpa_down(&w->k);
}

static uint64_t buf_gpa(const struct buf *buf)
{
    return GPA + RINGS + (buf->queue * BUFS + buf->which) * 2 * PAGE;
}

static void put_out(struct world *w, struct buf *buf)
{
    uint64_t at = buf_gpa(buf);
    struct vh_sg sg[3];

    buf->value = below(w, 60000);
    buf->in_len = 2 + below(w, 1500);
    memcpy(hva(w, at), &buf->value, sizeof(buf->value));
    memset(hva(w, at) + 4, 0xee, 2 * PAGE - 4);
    sg[0] = (struct vh_sg){ at, 4 };
    sg[1] = (struct vh_sg){ at + 8, buf->in_len / 2 };
    sg[2] = (struct vh_sg){ at + PAGE, buf->in_len - buf->in_len / 2 };
    buf->out = vh_ring_add(w->rings[buf->queue], sg, 1, 2, buf) == 0;
}

static void verify(struct world *w, const struct buf *buf, uint32_t len)
{
    const uint8_t *first = hva(w, buf_gpa(buf) + 8);
    const uint8_t *second = hva(w, buf_gpa(buf) + PAGE);
    uint32_t half = buf->in_len / 2;

    assert_int_equal(len, buf->in_len);
    for (uint32_t i = 0; i < len; i++) {
        uint8_t is = i < half ? first[i] : second[i - half];

        assert_int_equal(is, (uint8_t)(buf->value + i));
    }
    assert_int_equal(first[half], 0xee);
    assert_int_equal(second[len - half], 0xee);
}

static unsigned driver_takes(struct world *w, unsigned i)
{
    struct vh_ring_used used[SIZE];
    int n = vh_ring_take(w->rings[i], used, SIZE);

    assert_true(n >= 0);
    for (int k = 0; k < n; k++) {
        struct buf *buf = used[k].cookie;

        assert_true(buf->out); /* and never twice */
        buf->out = false;
        verify(w, buf, used[k].len);
        w->n_done++;
    }
    return (unsigned)n;
}

static void driver_moves(struct world *w, bool more)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        struct vhost_notifier kick = { .fd = w->queues[i].kick_fd };

        while (driver_takes(w, i) > 0 || vh_ring_enable_call(w->rings[i])) {
        }
        for (unsigned b = 0; more && b < BUFS; b++) {
            if (!w->bufs[i][b].out && below(w, 3) == 0) {
                put_out(w, &w->bufs[i][b]);
            }
        }
        if (vh_ring_publish(w->rings[i])) {
            vhost_notifier_set(&kick);
        }
    }
}

static void everybody_moves(struct world *w, unsigned rounds, bool more)
{
    while (rounds-- > 0) {
        driver_moves(w, more);
        assert_int_equal(vhost_dev_dispatch(&w->dev), 0);
        device_moves(w);
        assert_int_equal(vhost_dev_dispatch(&w->dev), 0);
    }
}

static unsigned n_out(const struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < QUEUES; i++) {
        for (unsigned b = 0; b < BUFS; b++) {
            n += w->bufs[i][b].out;
        }
    }
    return n;
}

/* Nothing is lost: all that is out comes back. */
static void drain(struct world *w)
{
    for (unsigned i = 0; i < 100 && n_out(w) > 0; i++) {
        everybody_moves(w, 1, false);
    }
    assert_int_equal(n_out(w), 0);
}

static void told(void *opaque, uint64_t gpa, uint64_t size)
{
    struct world *w = opaque;

    for (uint64_t at = gpa; at < gpa + size; at += PAGE) {
        w->told[(at - GPA) / PAGE] = 1;
    }
}

static void log_on(struct world *w)
{
    memset(w->told, 0, sizeof(w->told));
    assert_int_equal(vhost_log_start(w->map, &w->err), 0);
    memset(w->written, 0, sizeof(w->written));
}

/* What the device wrote, and all used rings that it came back by. */
static void check_log(struct world *w)
{
    assert_int_equal(vhost_log_sync(w->map, told, w, &w->err), 0);
    for (unsigned i = 0; i < PAGES; i++) {
        if (w->written[i]) {
            assert_int_equal(w->told[i], 1);
        }
    }
}

static void check_used_rings(const struct world *w)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        unsigned at = w->ring_features & BIT(34) ? 3 * i : 3 * i + 2;

        assert_int_equal(w->told[at], 1);
    }
}

static void is_shadowed(const struct world *w, bool shadowed)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        uint64_t at = w->k.q[i].addr.desc_user_addr;

        assert_int_equal(at - GPA >= MEMORY, shadowed);
        assert_int_equal(w->k.q[i].kick_fd != w->queues[i].kick_fd, shadowed);
    }
}

static void switch_under_load(bool packed, uint64_t caps)
{
    struct world w;

    begin_with(&w, packed, caps, false);
    assert_null(vhost_dev_migration_blocker(&w.dev));
    start(&w);
    for (unsigned i = 0; i < 8; i++) {
        is_shadowed(&w, false);
        everybody_moves(&w, ROUNDS / 16, true);
        log_on(&w);
        is_shadowed(&w, true);
        assert_int_equal(w.k.features & BIT(26), 0);
        everybody_moves(&w, ROUNDS / 16, true);
        check_used_rings((check_log(&w), &w));
        everybody_moves(&w, 3, true);
        assert_int_equal(vhost_log_stop(w.map, &w.err), 0);
    }
    drain(&w);
    assert_true(w.n_done > 16 * QUEUES);
    stop(&w);
    end(&w);
}

static void test_a_log_goes_on_and_off_under_load(void **state)
{
    (void)state;
    switch_under_load(false, FAKE_ALL_CAPS);
    switch_under_load(true, FAKE_ALL_CAPS);
}

static void test_the_same_where_a_reset_forgets_memory(void **state)
{
    (void)state;
    switch_under_load(false, FAKE_ALL_CAPS & ~VH_VDPA_F_PERSIST);
    switch_under_load(true, FAKE_ALL_CAPS & ~VH_VDPA_F_PERSIST);
}

static void test_the_last_pages_are_told_after_the_stop(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        struct world w;

        begin_with(&w, packed, FAKE_ALL_CAPS, false);
        log_on(&w); /* before the start */
        start(&w);
        is_shadowed(&w, true);
        everybody_moves(&w, 20, true);
        stop(&w);
        check_log(&w);
        assert_int_equal(vhost_log_stop(w.map, &w.err), 0);
        start(&w); /* and on, without */
        is_shadowed(&w, false);
        everybody_moves(&w, 20, true);
        drain(&w);
        stop(&w);
        end(&w);
    }
}

/* What such a device had begun at its reset is begun again. */
static void test_one_that_can_t_be_suspended_has_shadows_all_the_time(void **s)
{
    (void)s;
    for (int packed = 0; packed < 2; packed++) {
        struct world w;

        begin_with(&w, packed, FAKE_ALL_CAPS & ~VH_VDPA_F_SUSPEND, true);
        start(&w);
        for (unsigned i = 0; i < 6; i++) {
            unsigned resets = w.k.n_resets;

            is_shadowed(&w, true);
            everybody_moves(&w, 20, true);
            log_on(&w);
            everybody_moves(&w, 20, true);
            check_used_rings((check_log(&w), &w));
            assert_int_equal(vhost_log_stop(w.map, &w.err), 0);
            assert_int_equal(w.k.n_resets, resets);
            stop(&w);
            start(&w);
        }
        drain(&w);
        stop(&w);
        end(&w);
    }
}

static void test_without_either_there_is_no_log(void **state)
{
    struct world w;

    (void)state;
    begin_with(&w, false, FAKE_ALL_CAPS & ~VH_VDPA_F_SUSPEND, false);
    assert_non_null(vhost_dev_migration_blocker(&w.dev));
    assert_int_equal(vhost_log_start(w.map, &w.err), -ENOTSUP);
    end(&w);
}

static void test_guest_memory_is_not_mapped_again_for_a_switch(void **state)
{
    struct world w;
    unsigned before;

    (void)state;
    begin_with(&w, false, FAKE_ALL_CAPS, false);
    start(&w);
    everybody_moves(&w, 5, true);
    before = w.k.n_writes;
    log_on(&w);
    assert_int_equal(w.k.n_writes - before, QUEUES); /* its rings alone */
    assert_int_equal(vhost_log_stop(w.map, &w.err), 0);
    assert_int_equal(w.k.n_writes - before, 2 * QUEUES);
    assert_int_equal(w.k.n_maps[0], 1);
    drain(&w);
    stop(&w);
    end(&w);
}

/* Is the mapping of ours that @at lies in a shared one? */
static bool is_shared(uint64_t at)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], kind = 0;
    bool found = false;

    assert_non_null(maps);
    while (!found && fgets(line, sizeof(line), maps)) {
        unsigned long long from, to;

        found = sscanf(line, "%llx-%llx %*3c%c", &from, &to, &kind) == 3 &&
                at >= from && at < to;
    }
    fclose(maps);
    assert_true(found);
    return kind == 's';
}

/* A device in software is given nothing else, and nobody is told. */
static void test_what_shadows_map_is_shared_memory(void **state)
{
    struct world w;

    (void)state;
    begin_with(&w, false, FAKE_ALL_CAPS, true);
    start(&w);
    assert_int_equal(w.k.n_maps[0], QUEUES + 1);
    for (size_t i = 0; i < w.k.n_maps[0]; i++) {
        assert_true(is_shared(w.k.maps[0][i].uaddr));
    }
    stop(&w);
    end(&w);
}

/* Each call that a switch makes: it fails, and the device goes on as it was. */
static void test_a_switch_that_fails_is_undone(void **state)
{
    static const unsigned long requests[] = {
        VH_VDPA_SUSPEND,
        VHOST_GET_VRING_BASE,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct world w;

        begin_with(&w, i & 1, FAKE_ALL_CAPS, false);
        start(&w);
        everybody_moves(&w, 10, true);
        w.k.fail_request = requests[i];
        w.k.fail_code = -EIO;
        assert_int_equal(vhost_log_start(w.map, &w.err), -EIO);
        w.k.fail_request = 0;
        is_shadowed(&w, false);
        everybody_moves(&w, 10, true);
        drain(&w);
        stop(&w);
        end(&w);
    }
}

/* The message for the ring of a shadow is refused: back to where it was. */
static void test_without_memory_for_the_rings_it_goes_back(void **state)
{
    (void)state;
    for (unsigned k = 1; k <= QUEUES; k += 5) {
        struct world w;

        begin_with(&w, k & 1, FAKE_ALL_CAPS, false);
        start(&w);
        everybody_moves(&w, 10, true);
        w.k.fail_write = w.k.n_writes + k;
        w.k.fail_code = -ENOMEM;
        assert_int_equal(vhost_log_start(w.map, &w.err), -ENOMEM);
        is_shadowed(&w, false);
        assert_int_equal(w.k.n_maps[0], 1);
        everybody_moves(&w, 10, true);
        drain(&w);
        stop(&w);
        end(&w);
    }
}

static void test_a_masked_queue_calls_where_it_is_told(void **state)
{
    struct world w;
    uint64_t n;

    (void)state;
    begin_with(&w, false, FAKE_ALL_CAPS, true);
    start(&w);
    vhost_virtqueue_mask(&w.dev, &w.vdev, 0, true);
    everybody_moves(&w, 20, true);
    assert_true(read(w.queues[0].call_fd, &n, sizeof(n)) < 0);
    assert_true(read(w.queues[1].call_fd, &n, sizeof(n)) > 0);
    assert_true(vhost_virtqueue_pending(&w.dev, 0));
    vhost_virtqueue_mask(&w.dev, &w.vdev, 0, false);
    everybody_moves(&w, 20, true);
    assert_true(read(w.queues[0].call_fd, &n, sizeof(n)) > 0);
    drain(&w);
    stop(&w);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_log_goes_on_and_off_under_load),
        cmocka_unit_test(test_the_same_where_a_reset_forgets_memory),
        cmocka_unit_test(test_the_last_pages_are_told_after_the_stop),
        cmocka_unit_test(
            test_one_that_can_t_be_suspended_has_shadows_all_the_time),
        cmocka_unit_test(test_without_either_there_is_no_log),
        cmocka_unit_test(test_guest_memory_is_not_mapped_again_for_a_switch),
        cmocka_unit_test(test_what_shadows_map_is_shared_memory),
        cmocka_unit_test(test_a_switch_that_fails_is_undone),
        cmocka_unit_test(test_without_memory_for_the_rings_it_goes_back),
        cmocka_unit_test(test_a_masked_queue_calls_where_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
