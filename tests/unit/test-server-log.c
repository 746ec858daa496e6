/* SPDX-License-Identifier: BSD-3-Clause */
/* The log that a front end gives: what is taken, and which bits are set. */
#include <linux/virtio_blk.h>

#include "ring/ring.h"
#include "server-rig.h"

#define SIZE 8u
#define F_LOG_ALL (UINT64_C(1) << 26)
#define FEATURES (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES)
#define DATA_AT UINT64_C(0x40000)
#define HEADER_AT UINT64_C(0x10000)
#define USED_AT UINT64_C(0x2000)
#define LOG_SIZE 0x9000u /* bytes: up to the end of the memory, and more */

struct disk {
    struct rig rig;
    struct vh_ring *ring;
    int kick;
    int log_fd;
    uint8_t *log;
};

static int set_up(void **state)
{
    struct disk *d = calloc(1, sizeof(*d));

    assert_non_null(d);
    rig_init(&d->rig);
    d->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_int_equal(ftruncate(d->log_fd, 2 * LOG_SIZE), 0);
    d->log = mmap(NULL, 2 * LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                  d->log_fd, 0);
    assert_true(d->log != MAP_FAILED);
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct disk *d = *state;

    rig_cleanup(&d->rig);
    vh_ring_free(d->ring);
    munmap(d->log, 2 * LOG_SIZE);
    close(d->log_fd);
    close(d->kick);
    free(d);
    return 0;
}

static struct disk *serve(void **state, uint64_t features)
{
    struct vh_mem_region all = rig_region();
    struct disk *d = *state;

    rig_serve(&d->rig, NULL, NULL, NULL);
    rig_negotiate(&d->rig, FEATURES);
    rig_do_u64(&d->rig, VH_SET_FEATURES, features);
    assert_int_equal(rig_set_table(&d->rig, &all, 1), 0);
    return d;
}

static struct vh_msg log_base(const struct disk *d, uint64_t size,
                              uint64_t offset)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_LOG_BASE);
    msg.size = sizeof(msg.payload.log);
    msg.payload.log = (struct vh_log_area){ .size = size, .offset = offset };
    msg.n_fds = 1;
    msg.fds[0] = d->log_fd;
    return msg;
}

static void set_log(struct disk *d, uint64_t size, uint64_t offset)
{
    struct vh_msg msg = log_base(d, size, offset);
    struct vh_msg reply = rig_ask(&d->rig, &msg);

    assert_int_equal(reply.size, 8);
    assert_int_equal(reply.payload.u64, 0);
}

static uint64_t set_addr(struct disk *d, uint32_t flags)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_VRING_ADDR);
    msg.size = sizeof(msg.payload.addr);
    msg.payload.addr = (struct vh_vring_addr){
        .flags = flags,
        .desc = RIG_USER,
        .avail = RIG_USER + 0x1000,
        .used = RIG_USER + USED_AT,
        .log = RIG_GPA + USED_AT,
    };
    return rig_do(&d->rig, &msg);
}

static void run(struct disk *d, uint32_t flags)
{
    struct vh_ring_config config = {
        .size = SIZE,
        .features = FEATURES,
        .desc = d->rig.mem,
        .driver = d->rig.mem + 0x1000,
        .device = d->rig.mem + USED_AT,
    };

    assert_int_equal(vh_ring_new(&d->ring, &config), 0);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_NUM, 0, SIZE), 0);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_BASE, 0, 0), 0);
    assert_int_equal(set_addr(d, flags), 0);
    assert_int_equal(rig_do_fd(&d->rig, VH_SET_VRING_KICK, 0, d->kick), 0);
    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_ENABLE, 0, 1), 0);
}

/* Data at @at, and the status behind it. */
static void read_disk(struct disk *d, uint64_t at, uint32_t len)
{
    struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };
    struct vh_sg sg[] = {
        { RIG_GPA + HEADER_AT, sizeof(header) },
        { RIG_GPA + at, len + 1 },
    };
    struct vh_ring_used used;
    const uint64_t one = 1;
    int n = 0;

    memcpy(d->rig.mem + HEADER_AT, &header, sizeof(header));
    assert_int_equal(vh_ring_add(d->ring, sg, 1, 1, d), 0);
    vh_ring_publish(d->ring);
    assert_int_equal(write(d->kick, &one, sizeof(one)), sizeof(one));
    for (unsigned i = 0; n == 0 && i < 5000; i++) {
        rig_turn(&d->rig);
        n = vh_ring_take(d->ring, &used, 1);
        if (n == 0) {
            usleep(1000);
        }
    }
    assert_int_equal(n, 1);
    assert_int_equal(d->rig.mem[at + len], VIRTIO_BLK_S_OK);
}

/* Only the pages of @gpas, of which there are @n, are marked; and no more. */
static void assert_marked(const struct disk *d, const uint64_t *gpas,
                          unsigned n, uint64_t log_offset)
{
    uint8_t expected[2 * LOG_SIZE] = { 0 };

    for (unsigned i = 0; i < n; i++) {
        uint64_t page = gpas[i] / 4096;

        expected[log_offset + page / 8] |= (uint8_t)(1u << page % 8);
    }
    assert_memory_equal(d->log, expected, sizeof(expected));
}

static void test_marks_what_it_writes(void **state)
{
    struct disk *d = serve(state, FEATURES | F_LOG_ALL);
    const uint64_t gpas[] = { RIG_GPA + DATA_AT, RIG_GPA + DATA_AT + 0x1000,
                              RIG_GPA + USED_AT };

    set_log(d, LOG_SIZE, 0);
    run(d, 1);
    read_disk(d, DATA_AT + 0x800, 0x1000);
    assert_marked(d, gpas, 3, 0);
}

static void test_marks_the_ring_only_where_it_is_told_to(void **state)
{
    struct disk *d = serve(state, FEATURES | F_LOG_ALL);
    const uint64_t gpas[] = { RIG_GPA + DATA_AT, RIG_GPA + USED_AT };

    set_log(d, LOG_SIZE, 0);
    run(d, 0);
    read_disk(d, DATA_AT, 512);
    assert_marked(d, gpas, 1, 0);
    assert_int_equal(set_addr(d, 1), 0); /* while it runs */
    read_disk(d, DATA_AT, 512);
    assert_marked(d, gpas, 2, 0);
}

static void test_marks_nothing_without_the_feature(void **state)
{
    struct disk *d = serve(state, FEATURES);

    set_log(d, LOG_SIZE, 0);
    run(d, 1);
    read_disk(d, DATA_AT, 512);
    assert_marked(d, NULL, 0, 0);
}

static void test_the_feature_alone_does_no_harm(void **state)
{
    struct disk *d = serve(state, FEATURES | F_LOG_ALL);

    run(d, 1);
    read_disk(d, DATA_AT, 512);
    assert_marked(d, NULL, 0, 0);
}

static void test_a_log_may_lie_anywhere_in_its_file(void **state)
{
    struct disk *d = serve(state, FEATURES | F_LOG_ALL);
    const uint64_t gpas[] = { RIG_GPA + DATA_AT, RIG_GPA + USED_AT };

    set_log(d, LOG_SIZE, 0x123); /* no page begins there */
    run(d, 1);
    read_disk(d, DATA_AT, 512);
    assert_marked(d, gpas, 2, 0x123);
}

static void test_marks_nothing_behind_the_log(void **state)
{
    struct disk *d = serve(state, FEATURES | F_LOG_ALL);
    uint64_t page = (RIG_GPA + DATA_AT) / 4096;
    const uint64_t gpas[] = { RIG_GPA + USED_AT };

    set_log(d, page / 8, 0);
    run(d, 1);
    read_disk(d, DATA_AT, 512);
    assert_marked(d, gpas, 1, 0);
}

static void test_another_log_takes_the_place_of_the_first(void **state)
{
    struct disk *d = serve(state, FEATURES | F_LOG_ALL);
    const uint64_t gpas[] = { RIG_GPA + DATA_AT, RIG_GPA + USED_AT };

    set_log(d, LOG_SIZE, 0);
    run(d, 1);
    memset(d->log, 0, 2 * LOG_SIZE);
    set_log(d, LOG_SIZE, LOG_SIZE);
    read_disk(d, DATA_AT, 512);
    assert_marked(d, gpas, 2, LOG_SIZE);
}

static void test_logs_that_can_not_be_end_the_session(void **state)
{
    static const struct {
        uint64_t size, offset;
    } bad[] = {
        { 0, 0 },          { 2 * LOG_SIZE + 1, 0 }, { 1, 2 * LOG_SIZE },
        { UINT64_MAX, 1 }, { 1, UINT64_MAX },       { INT64_MAX, INT64_MAX },
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct disk *d = serve(state, FEATURES);
        struct vh_msg msg = log_base(d, bad[i].size, bad[i].offset);

        rig_say(&d->rig, &msg);
        assert_true(rig_is_gone(&d->rig));
        rig_stop(&d->rig);
    }
}

static void test_a_log_needs_a_file(void **state)
{
    struct disk *d = serve(state, FEATURES);
    struct vh_msg msg = log_base(d, LOG_SIZE, 0);

    msg.n_fds = 0;
    rig_say(&d->rig, &msg);
    assert_true(rig_is_gone(&d->rig));
}

static void test_refuses_a_log_that_was_not_negotiated(void **state)
{
    struct disk *d = serve(state, FEATURES);
    struct vh_msg msg;

    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES, VH_PF(REPLY_ACK));
    rig_say(&d->rig, &msg);
    msg = log_base(d, LOG_SIZE, 0);
    assert_int_not_equal(rig_do(&d->rig, &msg), 0);
    assert_true(rig_is_quiet(&d->rig));
}

static void test_refuses_unknown_flags_of_an_address(void **state)
{
    struct disk *d = serve(state, FEATURES);

    assert_int_equal(rig_do_state(&d->rig, VH_SET_VRING_NUM, 0, SIZE), 0);
    assert_int_not_equal(set_addr(d, 2), 0);
    assert_int_equal(set_addr(d, 1), 0);
}

static void test_says_when_there_are_bits(void **state)
{
    struct disk *d = serve(state, FEATURES | F_LOG_ALL);
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct vh_msg msg;
    uint64_t n;

    vh_msg_init(&msg, VH_SET_LOG_FD);
    msg.n_fds = 1;
    msg.fds[0] = bell;
    assert_int_equal(rig_do(&d->rig, &msg), 0);
    set_log(d, LOG_SIZE, 0);
    run(d, 0);
    assert_int_equal(read(bell, &n, sizeof(n)), -1);
    read_disk(d, DATA_AT, 512);
    assert_int_equal(read(bell, &n, sizeof(n)), sizeof(n));
    close(bell);
}

static void test_rings_nothing_but_eventfds(void **state)
{
    struct disk *d = serve(state, FEATURES);
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_LOG_FD);
    msg.n_fds = 1;
    msg.fds[0] = d->log_fd;
    assert_int_not_equal(rig_do(&d->rig, &msg), 0);
}

static void test_leaves_no_fd_and_no_mapping_behind(void **state)
{
    struct disk *d = *state;
    int n = rig_count_fds();

    serve(state, FEATURES | F_LOG_ALL);
    for (unsigned i = 0; i < 3; i++) {
        set_log(d, LOG_SIZE, 0);
    }
    run(d, 1);
    rig_stop(&d->rig);
    assert_int_equal(rig_count_fds(), n);
}

#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_marks_what_it_writes),
        T(test_marks_the_ring_only_where_it_is_told_to),
        T(test_marks_nothing_without_the_feature),
        T(test_the_feature_alone_does_no_harm),
        T(test_a_log_may_lie_anywhere_in_its_file),
        T(test_marks_nothing_behind_the_log),
        T(test_another_log_takes_the_place_of_the_first),
        T(test_logs_that_can_not_be_end_the_session),
        T(test_a_log_needs_a_file),
        T(test_refuses_a_log_that_was_not_negotiated),
        T(test_refuses_unknown_flags_of_an_address),
        T(test_says_when_there_are_bits),
        T(test_rings_nothing_but_eventfds),
        T(test_leaves_no_fd_and_no_mapping_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
