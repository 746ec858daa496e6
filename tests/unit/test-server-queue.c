/* SPDX-License-Identifier: BSD-3-Clause */
/* A served queue and its fds, its memory, its neighbours. */
#include <linux/virtio_blk.h>

#include "ring/ring.h"
#include "server-rig.h"

#define N_QUEUES 2
#define SIZE 16u
#define AREA UINT64_C(0x8000)   /* of the ring's memory, for each queue */
#define PAGES UINT64_C(0x20000) /* requests; what comes before is rings */
#define BIT_EVENT_IDX (UINT64_C(1) << VH_RING_F_EVENT_IDX)
#define PACKED (UINT64_C(1) << VH_RING_F_PACKED)
#define IN_ORDER (UINT64_C(1) << VH_RING_F_IN_ORDER)
#define FEATURES (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES | BIT_EVENT_IDX)

/* The layout that all tests run with. */
static uint64_t layout;

struct queues {
    struct rig rig;
    uint64_t features;
    struct vh_ring *rings[N_QUEUES];
    int kick[N_QUEUES];
    int call[N_QUEUES];
};

static int set_up(void **state)
{
    struct queues *q = calloc(1, sizeof(*q));

    assert_non_null(q);
    rig_init(&q->rig);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        q->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        q->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    *state = q;
    return 0;
}

static int tear_down(void **state)
{
    struct queues *q = *state;

    rig_cleanup(&q->rig);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        vh_ring_free(q->rings[i]);
        close(q->kick[i]);
        close(q->call[i]);
    }
    free(q);
    return 0;
}

static struct queues *serve(void **state, uint64_t features)
{
    struct vhost_server_blk_options options = { .queues = N_QUEUES };
    struct vh_mem_region all = rig_region();
    struct queues *q = *state;

    q->features = features | layout;
    rig_serve(&q->rig, NULL, &options, NULL);
    rig_negotiate(&q->rig, q->features);
    assert_int_equal(rig_set_table(&q->rig, &all, 1), 0);
    return q;
}

/* All but the kick. */
static void describe(struct queues *q, uint32_t i, uint32_t base)
{
    uint64_t at = RIG_USER + i * AREA;
    struct rig *rig = &q->rig;

    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, i, SIZE), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_BASE, i, base), 0);
    assert_int_equal(rig_set_addr(rig, i, at, at + 0x1000, at + 0x2000), 0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_CALL, i, q->call[i]), 0);
}

static void new_ring(struct queues *q, uint32_t i)
{
    uint8_t *at = q->rig.mem + i * AREA;
    struct vh_ring_config config = {
        .size = SIZE,
        .features = q->features,
        .desc = at,
        .driver = at + 0x1000,
        .device = at + 0x2000,
        .base = vh_ring_first_base(q->features),
    };

    vh_ring_free(q->rings[i]);
    memset(at, 0, AREA);
    assert_int_equal(vh_ring_new(&q->rings[i], &config), 0);
}

static uint64_t set_kick(struct queues *q, uint32_t i)
{
    return rig_do_fd(&q->rig, VH_SET_VRING_KICK, i, q->kick[i]);
}

static uint64_t enable(struct queues *q, uint32_t i, bool on)
{
    return rig_do_state(&q->rig, VH_SET_VRING_ENABLE, i, on);
}

static void start(struct queues *q, uint32_t i)
{
    new_ring(q, i);
    describe(q, i, vh_ring_first_base(q->features));
    assert_int_equal(set_kick(q, i), 0);
    if (q->features & VH_F_PROTOCOL_FEATURES) {
        assert_int_equal(enable(q, i, true), 0);
    }
}

/* Prepare a read of the block with this number. */
static void add_read(struct queues *q, uint32_t i, uint64_t block)
{
    uint64_t at = PAGES + i * 0x3000;
    struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN,
                                        .sector = block };
    struct vh_sg sg[] = { { RIG_GPA + at, sizeof(header) },
                          { RIG_GPA + at + 0x1000, 512 },
                          { RIG_GPA + at + 0x2000, 1 } };

    memcpy(q->rig.mem + at, &header, sizeof(header));
    q->rig.mem[at + 0x2000] = 0xff;
    assert_int_equal(vh_ring_add(q->rings[i], sg, 1, 2, q), 0);
    vh_ring_publish(q->rings[i]);
}

static void ring_doorbell(int fd)
{
    assert_int_equal(write(fd, &(uint64_t){ 1 }, 8), 8);
}

/* Is a request answered, now?  There is at most one. */
static bool is_answered(struct queues *q, uint32_t i)
{
    struct vh_ring_used used;
    int n = 0;

    for (unsigned tries = 0; tries < 20 && n == 0; tries++) {
        assert_true(vhost_server_run(q->rig.server, 5, NULL) >= 0);
        n = vh_ring_take(q->rings[i], &used, 1);
    }
    assert_true(n >= 0);
    if (n == 1) {
        assert_int_equal(used.len, 513);
        assert_int_equal(q->rig.mem[PAGES + i * 0x3000 + 0x2000],
                         VIRTIO_BLK_S_OK);
    }
    return n == 1;
}

static bool reads(struct queues *q, uint32_t i)
{
    add_read(q, i, 0);
    ring_doorbell(q->kick[i]);
    return is_answered(q, i);
}

/* Where a queue goes on after requests of three descriptors each. */
static uint32_t base_after(uint32_t n)
{
    return layout & PACKED ? VH_PACKED_BASE_NEW + 3 * n * 0x10001 : n;
}

static bool was_called(struct queues *q, uint32_t i)
{
    uint64_t n;

    return read(q->call[i], &n, sizeof(n)) == sizeof(n);
}

/* What came before SET_VRING_KICK was rung for on nobody's fd. */
static void test_sees_what_was_there_before_its_kick(void **state)
{
    struct queues *q = serve(state, FEATURES);

    new_ring(q, 0);
    describe(q, 0, vh_ring_first_base(q->features));
    assert_int_equal(enable(q, 0, true), 0);
    add_read(q, 0, 0);
    assert_false(is_answered(q, 0));
    assert_int_equal(set_kick(q, 0), 0);
    assert_true(is_answered(q, 0));
}

/* The driver's index may be anything, and passes 65535. */
static void test_goes_on_past_the_end_of_the_circle(void **state)
{
    struct queues *q;

    if (layout & PACKED) {
        return; /* it has no such index */
    }
    q = serve(state, FEATURES);
    start(q, 0);
    rig_get_base(&q->rig, 0);
    vh_ring_free(q->rings[0]);
    q->rings[0] = NULL;
    assert_int_equal(vh_ring_new(&q->rings[0],
                                 &(struct vh_ring_config){
                                     .size = SIZE,
                                     .features = q->features,
                                     .desc = q->rig.mem,
                                     .driver = q->rig.mem + 0x1000,
                                     .device = q->rig.mem + 0x2000,
                                     .base = 65534,
                                 }),
                     0);
    describe(q, 0, 65534);
    assert_int_equal(set_kick(q, 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(reads(q, 0));
    }
    assert_int_equal(rig_get_base(&q->rig, 0), 2);
}

/* Nobody gave it a base: it begins at the beginning, whatever the layout. */
static void test_begins_where_a_new_ring_does(void **state)
{
    struct queues *q = serve(state, FEATURES);

    assert_int_equal(rig_get_base(&q->rig, 0), base_after(0));
    new_ring(q, 0);
    assert_int_equal(rig_do_state(&q->rig, VH_SET_VRING_NUM, 0, SIZE), 0);
    assert_int_equal(rig_set_addr(&q->rig, 0, RIG_USER, RIG_USER + 0x1000,
                                  RIG_USER + 0x2000),
                     0);
    assert_int_equal(set_kick(q, 0), 0);
    assert_int_equal(enable(q, 0, true), 0);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_true(reads(q, 0));
    }
    assert_int_equal(rig_get_base(&q->rig, 0), base_after(3));
}

/* Only a packed one may have a size that is no power of two. */
static void test_sizes_and_bases_are_those_of_the_layout(void **state)
{
    struct queues *q = serve(state, FEATURES);
    bool packed = layout & PACKED;

    assert_int_equal(rig_do_state(&q->rig, VH_SET_VRING_NUM, 0, 17) == 0,
                     packed);
    assert_int_equal(
        rig_do_state(&q->rig, VH_SET_VRING_BASE, 0, 0x80008000) == 0, packed);
    assert_int_equal(rig_do_state(&q->rig, VH_SET_VRING_BASE, 0, 3), 0);
    /* A place that the ring does not have. */
    describe(q, 0, packed ? 0x80108010 : 3);
    assert_int_equal(enable(q, 0, true), 0);
    assert_int_equal(set_kick(q, 0) == 0, !packed);
}

/* As DPDK's front end gives it: without the half for used descriptors. */
static void test_half_a_base_of_a_packed_ring_will_do(void **state)
{
    struct queues *q = serve(state, FEATURES);

    if (!(layout & PACKED)) {
        return; /* a split ring's has no halves */
    }
    new_ring(q, 0);
    describe(q, 0, VH_PACKED_BASE_NEW & UINT16_MAX);
    assert_int_equal(set_kick(q, 0), 0);
    assert_int_equal(enable(q, 0, true), 0);
    assert_true(reads(q, 0));
    assert_int_equal(rig_get_base(&q->rig, 0), base_after(1));
}

/* One that is empty, and one that is full: it waits for neither. */
static void test_eventfds_that_block_do_not_block_it(void **state)
{
    struct queues *q = serve(state, FEATURES & ~BIT_EVENT_IDX);
    int kick = eventfd(0, EFD_CLOEXEC);
    int call = eventfd(0, EFD_CLOEXEC);

    assert_int_equal(write(call, &(uint64_t){ UINT64_MAX - 1 }, 8), 8);
    start(q, 0);
    ring_doorbell(q->kick[0]); /* a kick is on its way while its fd changes */
    assert_int_equal(rig_do_fd(&q->rig, VH_SET_VRING_KICK, 0, kick), 0);
    assert_int_equal(rig_do_fd(&q->rig, VH_SET_VRING_CALL, 0, call), 0);
    add_read(q, 0, 0);
    ring_doorbell(kick);
    assert_true(is_answered(q, 0));
    rig_get_base(&q->rig, 0);
    close(kick);
    close(call);
}

/* A kick can be rung at any time: also when its queue has gone. */
static void test_kicks_of_a_stopped_queue_are_ignored(void **state)
{
    struct queues *q = serve(state, FEATURES);

    start(q, 0);
    start(q, 1);
    rig_get_base(&q->rig, 0);
    for (unsigned i = 0; i < 3; i++) {
        ring_doorbell(q->kick[0]);
        assert_true(reads(q, 1));
    }
    assert_false(reads(q, 0));
}

static void test_a_new_call_fd_is_the_one_that_is_rung(void **state)
{
    struct queues *q = serve(state, FEATURES & ~BIT_EVENT_IDX);

    start(q, 0);
    assert_int_equal(rig_do_fd(&q->rig, VH_SET_VRING_CALL, 0, q->call[1]), 0);
    assert_true(reads(q, 0));
    assert_false(was_called(q, 0));
    assert_true(was_called(q, 1));
}

/* As front ends do when memory is rearranged: away first, then back. */
static void test_waits_for_its_memory_to_come_back(void **state)
{
    struct vh_mem_region all = rig_region();
    struct vh_mem_region rings = all, pages = all;
    struct queues *q = serve(state, FEATURES);

    rings.size = PAGES;
    pages.gpa += PAGES;
    pages.user_addr += PAGES;
    pages.mmap_offset += PAGES;
    pages.size -= PAGES;
    start(q, 0);
    assert_true(reads(q, 0));
    assert_int_equal(rig_region_do(&q->rig, VH_REM_MEM_REG, &all), 0);
    assert_false(reads(q, 0));
    assert_int_equal(rig_region_do(&q->rig, VH_ADD_MEM_REG, &pages), 0);
    assert_false(is_answered(q, 0));
    assert_int_equal(rig_region_do(&q->rig, VH_ADD_MEM_REG, &rings), 0);
    assert_true(is_answered(q, 0));
    assert_int_equal(rig_get_base(&q->rig, 0), base_after(2));
}

/* A broken queue is left alone, the others are not, and a restart heals it. */
static void test_a_broken_queue_says_so_and_breaks_no_other(void **state)
{
    struct queues *q = serve(state, FEATURES);
    struct vh_sg nowhere = { RIG_GPA - 0x1000, 16 };
    int err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t n;

    start(q, 0);
    start(q, 1);
    assert_int_equal(rig_do_fd(&q->rig, VH_SET_VRING_ERR, 0, err), 0);
    assert_int_equal(vh_ring_add(q->rings[0], &nowhere, 1, 0, q), 0);
    vh_ring_publish(q->rings[0]);
    ring_doorbell(q->kick[0]);
    assert_false(is_answered(q, 0));
    assert_int_equal(read(err, &n, sizeof(n)), sizeof(n));
    assert_false(reads(q, 0));
    assert_true(reads(q, 1));
    rig_get_base(&q->rig, 0);
    start(q, 0);
    assert_true(reads(q, 0));
    close(err);
}

/* One who polls the server's fd himself must see that there is work. */
static void test_its_fd_is_readable_until_all_is_done(void **state)
{
    struct queues *q = serve(state, FEATURES);
    struct pollfd pfd = { .fd = vhost_server_get_fd(q->rig.server),
                          .events = POLLIN };
    struct vh_ring_used used;
    unsigned answered = 0;

    start(q, 0);
    rig_turn(&q->rig);
    for (unsigned i = 0; i < 200; i++) {
        add_read(q, 0, i);
        ring_doorbell(q->kick[0]);
        while (answered <= i) {
            /* Long, for a machine that is slow: silence is the fault. */
            assert_int_equal(poll(&pfd, 1, 10000), 1);
            assert_int_equal(vhost_server_dispatch(q->rig.server, NULL), 0);
            answered += (unsigned)vh_ring_take(q->rings[0], &used, 1);
        }
    }
}

static void test_its_fd_is_readable_while_a_queue_is_polled(void **state)
{
    struct queues *q = serve(state, FEATURES);
    struct pollfd pfd = { .fd = vhost_server_get_fd(q->rig.server),
                          .events = POLLIN };
    struct vh_ring_used used;
    int n = 0;

    start(q, 0);
    assert_int_equal(rig_do_fd(&q->rig, VH_SET_VRING_KICK, 0, -1), 0);
    rig_turn(&q->rig);
    add_read(q, 0, 0);
    while (n == 0) {
        assert_int_equal(poll(&pfd, 1, 10000), 1);
        assert_int_equal(vhost_server_dispatch(q->rig.server, NULL), 0);
        n = vh_ring_take(q->rings[0], &used, 1);
    }
    assert_int_equal(n, 1);
}

static void test_one_that_leaves_at_work_leaves_nothing(void **state)
{
    int fds = rig_count_fds();
    struct queues *q = serve(state, FEATURES);

    start(q, 0);
    start(q, 1);
    for (uint32_t i = 0; i < N_QUEUES; i++) {
        add_read(q, i, 0);
        ring_doorbell(q->kick[i]);
    }
    vh_sock_free(q->rig.sock);
    q->rig.sock = NULL;
    assert_int_equal(rig_turn(&q->rig), -ENOTCONN);
    rig_stop(&q->rig);
    assert_int_equal(rig_count_fds(), fds);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_sees_what_was_there_before_its_kick),
        TEST(test_goes_on_past_the_end_of_the_circle),
        TEST(test_begins_where_a_new_ring_does),
        TEST(test_sizes_and_bases_are_those_of_the_layout),
        TEST(test_half_a_base_of_a_packed_ring_will_do),
        TEST(test_eventfds_that_block_do_not_block_it),
        TEST(test_kicks_of_a_stopped_queue_are_ignored),
        TEST(test_a_new_call_fd_is_the_one_that_is_rung),
        TEST(test_waits_for_its_memory_to_come_back),
        TEST(test_a_broken_queue_says_so_and_breaks_no_other),
        TEST(test_its_fd_is_readable_until_all_is_done),
        TEST(test_its_fd_is_readable_while_a_queue_is_polled),
        TEST(test_one_that_leaves_at_work_leaves_nothing),
    };

    const uint64_t layouts[] = { 0, IN_ORDER, PACKED, PACKED | IN_ORDER };
    int failed = 0;

    for (unsigned i = 0; i < 4; i++) {
        layout = layouts[i];
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
