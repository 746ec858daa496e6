/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue that is wanted back while its disk hangs: with an in-flight buffer
 * nobody waits for the disk, and what it had is finished later.
 *
 * The disk is a pipe that nobody writes to.
 */
#include <fcntl.h>
#include <linux/virtio_blk.h>

#include "ring/ring.h"
#include "server-rig.h"
#include "server/blk.h"
#include "server/server.h"

#define N_QUEUES 2
#define SIZE 16u
#define READS 3u
#define AREA UINT64_C(0x8000)
#define PAGES UINT64_C(0x20000)
#define PACKED (UINT64_C(1) << VH_RING_F_PACKED)
#define IN_ORDER (UINT64_C(1) << VH_RING_F_IN_ORDER)
#define FEATURES (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES)

struct disk {
    struct rig rig;
    uint64_t features;
    struct vh_ring *rings[N_QUEUES];
    int kick[N_QUEUES];
    int pipe[2];
    int file; /* the disk's own */
    unsigned n_reads;
    unsigned n_answers;
};

static void give_buffer(struct rig *rig)
{
    struct vh_msg msg, reply;

    vh_msg_init(&msg, VH_GET_INFLIGHT_FD);
    msg.size = sizeof(msg.payload.inflight);
    msg.payload.inflight =
        (struct vh_inflight_area){ .n_queues = N_QUEUES, .queue_size = SIZE };
    reply = rig_ask(rig, &msg);
    assert_int_equal(reply.n_fds, 1);
    reply.request = VH_SET_INFLIGHT_FD;
    reply.flags = VH_MSG_VERSION;
    assert_int_equal(rig_do(rig, &reply), 0);
    close(reply.fds[0]);
}

static void describe(struct disk *d, uint32_t i, uint32_t base)
{
    uint64_t at = RIG_USER + i * AREA;
    struct rig *rig = &d->rig;

    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, i, SIZE), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_BASE, i, base), 0);
    assert_int_equal(rig_set_addr(rig, i, at, at + 0x1000, at + 0x2000), 0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_KICK, i, d->kick[i]), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, i, 1), 0);
}

static void start(struct disk *d, uint32_t i)
{
    uint8_t *at = d->rig.mem + i * AREA;
    struct vh_ring_config config = {
        .size = SIZE,
        .features = d->features,
        .desc = at,
        .driver = at + 0x1000,
        .device = at + 0x2000,
        .base = vh_ring_first_base(d->features),
    };

    assert_int_equal(vh_ring_new(&d->rings[i], &config), 0);
    describe(d, i, config.base);
}

static void swap_disk(struct disk *d, int fd)
{
    struct vh_blk *blk = (struct vh_blk *)d->rig.server->device;

    assert_int_equal(dup3(fd, blk->fd, O_CLOEXEC), blk->fd);
}

static void begin(struct disk *d, uint64_t layout)
{
    struct vhost_server_blk_options options = { .queues = N_QUEUES };
    struct vh_mem_region all = rig_region();

    memset(d, 0, sizeof(*d));
    rig_init(&d->rig);
    d->features = FEATURES | layout;
    rig_serve(&d->rig, NULL, &options, NULL);
    rig_negotiate(&d->rig, d->features);
    assert_int_equal(rig_set_table(&d->rig, &all, 1), 0);
    give_buffer(&d->rig);
    for (uint32_t i = 0; i < N_QUEUES; i++) {
        d->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        start(d, i);
    }
    assert_int_equal(pipe2(d->pipe, O_CLOEXEC), 0);
    d->file = open(d->rig.disk, O_RDWR | O_CLOEXEC);
    swap_disk(d, d->pipe[0]);
}

static void end(struct disk *d)
{
    rig_cleanup(&d->rig);
    for (uint32_t i = 0; i < N_QUEUES; i++) {
        vh_ring_free(d->rings[i]);
        close(d->kick[i]);
    }
    close(d->pipe[0]);
    close(d->pipe[1]);
    close(d->file);
}

/* A request for 512 bytes. */
static void ask_for(struct disk *d, uint32_t i, uint32_t type)
{
    uint64_t at = PAGES + d->n_reads++ * 0x3000;
    struct virtio_blk_outhdr header = { .type = type };
    struct vh_sg sg[] = { { RIG_GPA + at, sizeof(header) },
                          { RIG_GPA + at + 0x1000, 512 },
                          { RIG_GPA + at + 0x2000, 1 } };

    memcpy(d->rig.mem + at, &header, sizeof(header));
    d->rig.mem[at + 0x2000] = 0xff;
    assert_int_equal(
        vh_ring_add(d->rings[i], sg, 1, 2, d->rig.mem + at + 0x2000), 0);
    vh_ring_publish(d->rings[i]);
    assert_int_equal(write(d->kick[i], &(uint64_t){ 1 }, 8), 8);
    rig_turn(&d->rig);
}

static void read_one(struct disk *d, uint32_t i)
{
    ask_for(d, i, VIRTIO_BLK_T_IN);
}

/* How many are answered by now? */
static unsigned answers(struct disk *d, uint32_t i)
{
    struct pollfd pfd = { .fd = vhost_server_get_fd(d->rig.server),
                          .events = POLLIN };
    struct vh_ring_used used[SIZE];
    int n;

    poll(&pfd, 1, 50);
    rig_turn(&d->rig);
    n = vh_ring_take(d->rings[i], used, SIZE);
    assert_true(n >= 0);
    for (int k = 0; k < n; k++) {
        assert_int_equal(*(uint8_t *)used[k].cookie, VIRTIO_BLK_S_OK);
    }
    return (unsigned)n;
}

static void wait_for(struct disk *d, uint32_t i, unsigned n)
{
    for (unsigned k = 0; n > 0 && k < 200; k++) {
        unsigned now = answers(d, i);

        assert_true(now <= n);
        n -= now;
    }
    assert_int_equal(n, 0);
}

static void feed_pipe(struct disk *d, unsigned n)
{
    char sector[512] = { 0 };

    while (n-- > 0) {
        assert_int_equal(write(d->pipe[1], sector, 512), 512);
    }
}

static uint32_t take_back(struct disk *d, uint32_t i)
{
    struct vh_msg msg;

    vh_msg_init_state(&msg, VH_GET_VRING_BASE_SKIP_DRAIN, i, 0);
    return rig_ask(&d->rig, &msg).payload.state.num;
}

static void suspend(uint64_t layout, bool disable)
{
    struct disk d;

    begin(&d, layout);
    for (unsigned k = 0; k < READS; k++) {
        read_one(&d, 0);
    }
    read_one(&d, 1);
    if (disable) {
        assert_int_equal(rig_do_state(&d.rig, VH_SET_VRING_ENABLE, 0, 0), 0);
    }
    /* This would wait for ever if the disk had to answer. */
    assert_int_equal(take_back(&d, 0), vh_ring_first_base(d.features));
    assert_int_equal(answers(&d, 0), 0);
    /* The neighbour's was called back along with it, and begun again. */
    assert_int_equal(answers(&d, 1), 0);
    feed_pipe(&d, 1);
    wait_for(&d, 1, 1);
    /* The next start finishes what was left. */
    swap_disk(&d, d.file);
    describe(&d, 0, vh_ring_first_base(d.features));
    wait_for(&d, 0, READS);
    read_one(&d, 0);
    wait_for(&d, 0, 1);
    end(&d);
}

static void test_a_split_ring_comes_back_from_a_disk_that_hangs(void **state)
{
    (void)state;
    suspend(0, false);
    suspend(0, true);
    suspend(IN_ORDER, false);
    suspend(IN_ORDER, true);
}

static void test_a_packed_ring_comes_back_from_a_disk_that_hangs(void **state)
{
    (void)state;
    suspend(PACKED, false);
    suspend(PACKED, true);
    suspend(PACKED | IN_ORDER, false);
}

/* One that needs no disk is done at once, but can't be shown. */
static void leave_behind(uint64_t layout)
{
    struct disk d;

    begin(&d, IN_ORDER | layout);
    read_one(&d, 0);
    ask_for(&d, 0, VIRTIO_BLK_T_GET_ID);
    assert_int_equal(answers(&d, 0), 0);
    assert_int_equal(d.rig.server->queues[0].ring->n_inflight, 1);
    assert_int_equal(take_back(&d, 0), vh_ring_first_base(d.features));
    swap_disk(&d, d.file);
    describe(&d, 0, vh_ring_first_base(d.features));
    wait_for(&d, 0, 2);
    ask_for(&d, 0, VIRTIO_BLK_T_GET_ID);
    wait_for(&d, 0, 1);
    end(&d);
}

static void test_in_order_what_is_done_early_is_not_lost(void **state)
{
    (void)state;
    leave_behind(0);
    leave_behind(PACKED);
}

/* What is under way is finished, and nothing more is begun. */
static void test_a_disabled_queue_goes_on_when_enabled(void **state)
{
    struct disk d;

    (void)state;
    begin(&d, 0);
    read_one(&d, 0);
    assert_int_equal(rig_do_state(&d.rig, VH_SET_VRING_ENABLE, 0, 0), 0);
    read_one(&d, 0);
    assert_int_equal(answers(&d, 0), 0);
    feed_pipe(&d, 2);
    wait_for(&d, 0, 1);
    assert_int_equal(answers(&d, 0), 0);
    assert_int_equal(rig_do_state(&d.rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    wait_for(&d, 0, 1);
    read_one(&d, 0);
    feed_pipe(&d, 1);
    wait_for(&d, 0, 1);
    end(&d);
}

/* Others than GET_VRING_BASE_SKIP_DRAIN want all of it finished. */
static void test_a_disabled_queue_is_drained_where_that_is_asked(void **state)
{
    struct disk d;

    (void)state;
    begin(&d, 0);
    read_one(&d, 0);
    assert_int_equal(rig_do_state(&d.rig, VH_SET_VRING_ENABLE, 0, 0), 0);
    feed_pipe(&d, 1);
    assert_int_equal(rig_get_base(&d.rig, 0), 1);
    wait_for(&d, 0, 1);
    end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_split_ring_comes_back_from_a_disk_that_hangs),
        cmocka_unit_test(test_a_packed_ring_comes_back_from_a_disk_that_hangs),
        cmocka_unit_test(test_in_order_what_is_done_early_is_not_lost),
        cmocka_unit_test(test_a_disabled_queue_goes_on_when_enabled),
        cmocka_unit_test(test_a_disabled_queue_is_drained_where_that_is_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
