/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translations, message by message: what the server asks, what it makes of
 * answers, and what is not under way any more when it has answered.
 *
 * The device here finishes a buffer only when somebody waits for it.
 */
#include "check.h"

#include <time.h>
#include <linux/vhost_types.h>

#include "ring/ring.h"
#include "server-rig.h"
#include "server/queue.h"
#include "server/server.h"

#define F_IOMMU (UINT64_C(1) << 33)
#define FEATURES (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES | F_IOMMU)
#define SIZE 16u
#define PAGE UINT64_C(4096)
#define IOVA UINT64_C(0xfffff00000000000) /* far up */
#define RING IOVA                         /* three pages */
#define BUFFERS (IOVA + 0x10000)
#define HELD 64

struct held {
    uint16_t id;
    uint8_t *at;
};

/* A device, and its front end. */
struct world {
    struct vhost_server_device device; /* first */
    struct rig rig;
    struct vh_sock *side;
    struct vh_ring *ring;
    int kick, err;
    struct held held[HELD];
    unsigned n_held;
    unsigned n_reaped;
};

static int dev_open(struct vhost_server_device *device,
                    struct vhost_error **errp)
{
    (void)device;
    (void)errp;
    return 0;
}

static void dev_free(struct vhost_server_device *device)
{
    (void)device;
}

static void dev_get_config(struct vhost_server_device *device, uint8_t *config,
                           uint32_t size)
{
    (void)device;
    memset(config, 0, size);
}

static int dev_queue_start(struct vhost_server_device *device,
                           struct vh_squeue *queue)
{
    (void)device;
    (void)queue;
    return 0;
}

static const char *dev_serve(struct vhost_server_device *device,
                             struct vh_squeue *queue, struct vh_chain *chain)
{
    struct world *w = (struct world *)device;

    (void)queue;
    assert_int_equal(chain->n_in, 1);
    w->held[w->n_held++] =
        (struct held){ chain->id, chain->iov[chain->n_out].iov_base };
    return NULL;
}

static bool dev_submit(struct vhost_server_device *device)
{
    (void)device;
    return true;
}

/* The oldest, if somebody waits. */
static unsigned dev_reap(struct vhost_server_device *device, bool wait)
{
    struct world *w = (struct world *)device;
    struct held first = w->held[0];

    if (!wait || w->n_held == 0) {
        return 0;
    }
    memmove(w->held, w->held + 1, --w->n_held * sizeof(w->held[0]));
    *first.at = 0x77;
    vh_squeue_complete(&w->rig.server->queues[0], first.id, 1);
    w->n_reaped++;
    return 1;
}

static bool dev_arm(struct vhost_server_device *device)
{
    (void)device;
    return false;
}

static const struct vh_server_device_ops device_ops = {
    .open = dev_open,
    .free = dev_free,
    .get_config = dev_get_config,
    .queue_start = dev_queue_start,
    .serve = dev_serve,
    .submit = dev_submit,
    .reap = dev_reap,
    .arm = dev_arm,
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    rig_init(&w->rig);
    w->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->device = (struct vhost_server_device){ .ops = &device_ops,
                                              .n_queues = 1,
                                              .n_queues_told = 1,
                                              .queue_size_max = 64,
                                              .event_fd = -1,
                                              .what = "test" };
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    vh_sock_free(w->side);
    rig_cleanup(&w->rig);
    vh_ring_free(w->ring);
    close(w->kick);
    close(w->err);
    free(w);
    return 0;
}

static void serve(struct world *w, uint64_t features, unsigned timeout_ms)
{
    struct vhost_server_options options = {
        .size = sizeof(options),
        .offer_features = F_IOMMU,
        .iotlb_timeout_ms = timeout_ms,
    };
    struct vh_mem_region all = rig_region();

    rig_serve_device(&w->rig, &w->device, &options);
    rig_negotiate(&w->rig, features);
    assert_int_equal(rig_set_table(&w->rig, &all, 1), 0);
}

static void open_side(struct world *w)
{
    struct vh_msg msg;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    assert_int_equal(vh_sock_new(&w->side, fds[0]), 0);
    vh_msg_init(&msg, VH_SET_BACKEND_REQ_FD);
    msg.fds[0] = fds[1];
    msg.n_fds = 1;
    assert_int_equal(rig_do(&w->rig, &msg), 0);
    close(fds[1]);
}

static uint64_t say(struct world *w, uint8_t type, uint64_t iova, uint64_t size,
                    uint64_t user, uint8_t perm)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_IOTLB_MSG);
    msg.size = sizeof(msg.payload.iotlb);
    msg.payload.iotlb = (struct vh_iotlb){ .iova = iova,
                                           .size = size,
                                           .user_addr = user,
                                           .perm = perm,
                                           .type = type };
    return rig_do(&w->rig, &msg);
}

static uint64_t update(struct world *w, uint64_t iova, uint64_t size,
                       uint64_t user)
{
    return say(w, VHOST_IOTLB_UPDATE, iova, size, user, VHOST_ACCESS_RW);
}

static uint64_t invalidate(struct world *w, uint64_t iova, uint64_t size)
{
    return say(w, VHOST_IOTLB_INVALIDATE, iova, size, 0, 0);
}

/* What the server says on the second channel; false: nothing. */
static bool hear(struct world *w, struct vh_iotlb *m)
{
    struct vh_msg msg;
    const char *why;

    rig_turn(&w->rig);
    if (vh_sock_receive(w->side, &msg, false, &why) != 1) {
        return false;
    }
    assert_int_equal(msg.request, VH_BACK_IOTLB_MSG);
    *m = msg.payload.iotlb;
    return true;
}

static void hear_miss(struct world *w, uint64_t iova, unsigned perm)
{
    struct vh_iotlb m;

    assert_true(hear(w, &m));
    assert_int_equal(m.type, VHOST_IOTLB_MISS);
    assert_true(m.iova == iova);
    assert_int_equal(m.perm, perm);
}

static void hear_failure(struct world *w, uint64_t iova)
{
    struct vh_iotlb m;

    assert_true(hear(w, &m));
    assert_int_equal(m.type, VHOST_IOTLB_ACCESS_FAIL);
    assert_true(m.iova == iova);
}

static void hear_nothing(struct world *w)
{
    struct vh_iotlb m;

    assert_false(hear(w, &m));
}

static void answer(struct world *w, uint64_t value)
{
    struct vh_msg ack;

    vh_msg_init_u64(&ack, VH_BACK_IOTLB_MSG, value);
    assert_int_equal(vh_sock_queue_flags(w->side, &ack, VH_MSG_F_REPLY), 0);
    assert_int_equal(vh_sock_send(w->side), 0);
    rig_turn(&w->rig);
}

static void start(struct world *w)
{
    struct vh_ring_config config = { .size = SIZE,
                                     .desc = w->rig.mem,
                                     .driver = w->rig.mem + PAGE,
                                     .device = w->rig.mem + 2 * PAGE };
    struct rig *rig = &w->rig;

    assert_int_equal(vh_ring_new(&w->ring, &config), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, SIZE), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_BASE, 0, 0), 0);
    assert_int_equal(rig_set_addr(rig, 0, RING, RING + PAGE, RING + 2 * PAGE),
                     0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_ERR, 0, w->err), 0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_KICK, 0, w->kick), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 0, 1), 0);
}

static bool is_running(const struct world *w)
{
    return vh_squeue_is_running(&w->rig.server->queues[0]);
}

static bool has_error(const struct world *w)
{
    uint64_t n;

    return read(w->err, &n, sizeof(n)) == sizeof(n);
}

/* With a ring that runs, and all that is asked for answered. */
static void begin(struct world *w)
{
    serve(w, FEATURES, 0);
    open_side(w);
    assert_int_equal(update(w, RING, 3 * PAGE, RIG_USER), 0);
    start(w);
    hear_nothing(w);
    assert_true(is_running(w));
}

static void add(struct world *w, uint64_t iova)
{
    struct vh_sg sg = { .addr = iova, .len = 64 };

    assert_int_equal(vh_ring_add(w->ring, &sg, 0, 1, w), 0);
    vh_ring_publish(w->ring);
    assert_int_equal(eventfd_write(w->kick, 1), 0);
    rig_turn(&w->rig);
}

static unsigned n_used(struct world *w)
{
    struct vh_ring_used used[SIZE];

    return (unsigned)vh_ring_take(w->ring, used, SIZE);
}

static void the_feature_is_for_those_who_ask_and_can(void **state)
{
    struct world *w = *state;
    struct vhost_server_options options = { .size = sizeof(options) };

    rig_serve_device(&w->rig, &w->device, &options);
    assert_false(rig_get(&w->rig, VH_GET_FEATURES) & F_IOMMU);
    rig_stop(&w->rig);
    options.offer_features = UINT64_MAX;
    rig_serve_device(&w->rig, &w->device, &options);
    assert_true(rig_get(&w->rig, VH_GET_FEATURES) & F_IOMMU);
    rig_stop(&w->rig);
    options.hide_protocol_features = VH_PF(REPLY_ACK);
    rig_serve_device(&w->rig, &w->device, &options);
    assert_false(rig_get(&w->rig, VH_GET_FEATURES) & F_IOMMU);
}

static void without_the_feature_nothing_is_translated(void **state)
{
    struct world *w = *state;

    serve(w, FEATURES & ~F_IOMMU, 0);
    assert_int_not_equal(update(w, RING, PAGE, RIG_USER), 0);
}

static void a_translation_that_makes_no_sense_is_refused(void **state)
{
    struct world *w = *state;
    struct vh_msg msg;

    serve(w, FEATURES, 0);
    assert_int_not_equal(update(w, RING, 0, RIG_USER), 0);
    assert_int_not_equal(update(w, UINT64_MAX, 2, RIG_USER), 0);
    assert_int_not_equal(update(w, RING, PAGE, RIG_USER + RIG_MEM_SIZE), 0);
    assert_int_not_equal(
        update(w, RING, PAGE + 1, RIG_USER + RIG_MEM_SIZE - PAGE), 0);
    assert_int_not_equal(invalidate(w, RING, 0), 0);
    for (unsigned perm = 0; perm < 256; perm += perm == 0 ? 4 : 1) {
        assert_int_not_equal(
            say(w, VHOST_IOTLB_UPDATE, RING, PAGE, RIG_USER, (uint8_t)perm), 0);
    }
    for (unsigned type = 0; type < 256; type++) {
        if (type != VHOST_IOTLB_UPDATE && type != VHOST_IOTLB_INVALIDATE) {
            assert_int_not_equal(say(w, (uint8_t)type, RING, PAGE, RIG_USER, 1),
                                 0);
        }
    }
    assert_int_equal(update(w, UINT64_MAX, 1, RIG_USER), 0);
    assert_int_equal(invalidate(w, 0, UINT64_MAX), 0);
    /* Without the padding of a structure. */
    vh_msg_init(&msg, VH_IOTLB_MSG);
    msg.size = 26;
    msg.payload.iotlb = (struct vh_iotlb){
        .size = PAGE, .user_addr = RIG_USER, .perm = 1, .type = 2
    };
    assert_int_equal(rig_do(&w->rig, &msg), 0);
}

static void a_ring_is_asked_for_once_and_runs_when_it_is_known(void **state)
{
    struct world *w = *state;

    serve(w, FEATURES, 0);
    open_side(w);
    start(w);
    hear_miss(w, RING, VHOST_ACCESS_RO);
    hear_miss(w, RING + PAGE, VHOST_ACCESS_RO);
    hear_miss(w, RING + 2 * PAGE, VHOST_ACCESS_RW);
    hear_nothing(w);
    assert_int_equal(update(w, RING, PAGE, RIG_USER), 0);
    assert_int_equal(update(w, RING + PAGE, PAGE, RIG_USER + PAGE), 0);
    for (unsigned i = 0; i < 3; i++) {
        answer(w, 0); /* that it was understood says nothing yet */
    }
    hear_nothing(w);
    assert_false(is_running(w));
    assert_int_equal(update(w, RING + 2 * PAGE, PAGE, RIG_USER + 2 * PAGE), 0);
    hear_nothing(w);
    assert_true(is_running(w));
}

static void all_of_a_buffer_is_asked_for_at_once(void **state)
{
    struct world *w = *state;
    struct vh_sg sg[] = {
        { BUFFERS + 100, 50 },
        { BUFFERS + PAGE + 8, 16 },
    };

    begin(w);
    assert_int_equal(vh_ring_add(w->ring, sg, 1, 1, w), 0);
    vh_ring_publish(w->ring);
    assert_int_equal(eventfd_write(w->kick, 1), 0);
    hear_miss(w, BUFFERS + 100, VHOST_ACCESS_RO);
    hear_miss(w, BUFFERS + PAGE + 8, VHOST_ACCESS_WO);
    /* It may be kicked: that is no answer. */
    assert_int_equal(eventfd_write(w->kick, 1), 0);
    hear_nothing(w);
    assert_int_equal(w->n_held, 0);
    assert_int_equal(update(w, BUFFERS, 2 * PAGE, RIG_USER + 8 * PAGE), 0);
    hear_nothing(w);
    assert_int_equal(w->n_held, 1);
    assert_ptr_equal(w->held[0].at,
                     w->rig.server->memory.mappings[0].addr + 9 * PAGE + 8);
}

static void what_is_taken_back_is_finished_and_others_are_not(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(update(w, BUFFERS, 8 * PAGE, RIG_USER + 8 * PAGE), 0);
    for (unsigned i = 0; i < 8; i++) {
        add(w, BUFFERS + i * PAGE);
    }
    assert_int_equal(w->n_held, 8);
    assert_int_equal(invalidate(w, BUFFERS + 8 * PAGE, PAGE), 0);
    assert_int_equal(w->n_reaped, 0);
    /* The device finishes them in order: the third takes three. */
    assert_int_equal(invalidate(w, BUFFERS + 2 * PAGE, 1), 0);
    assert_int_equal(w->n_reaped, 3);
    assert_int_equal(n_used(w), 3);
    assert_int_equal(invalidate(w, BUFFERS + 2 * PAGE, PAGE), 0);
    assert_int_equal(w->n_reaped, 3);
    /* And is not known any more. */
    add(w, BUFFERS + 3 * PAGE);
    hear_nothing(w);
    add(w, BUFFERS + 2 * PAGE);
    hear_miss(w, BUFFERS + 2 * PAGE, VHOST_ACCESS_WO);
}

static void a_ring_that_is_taken_back_stops_and_asks_anew(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(update(w, BUFFERS, 8 * PAGE, RIG_USER + 8 * PAGE), 0);
    for (unsigned i = 0; i < 4; i++) {
        add(w, BUFFERS + i * PAGE);
    }
    assert_int_equal(invalidate(w, RING + 2 * PAGE, PAGE), 0);
    assert_int_equal(w->n_reaped, 4);
    assert_int_equal(n_used(w), 4);
    hear_miss(w, RING + 2 * PAGE, VHOST_ACCESS_RW);
    /* Elsewhere, with what is in it. */
    memcpy(w->rig.mem + 3 * PAGE, w->rig.mem + 2 * PAGE, PAGE);
    assert_int_equal(update(w, RING + 2 * PAGE, PAGE, RIG_USER + 3 * PAGE), 0);
    add(w, BUFFERS + 4 * PAGE);
    hear_nothing(w);
    assert_int_equal(w->n_held, 1);
    assert_int_equal(rig_get_base(&w->rig, 0), 5);
    /* The used index, of the fifth, which nobody else would write there. */
    assert_int_equal(w->rig.mem[3 * PAGE + 2], 5);
    assert_int_equal(w->rig.mem[2 * PAGE + 2], 4);
}

static void another_translation_takes_the_first_one_back(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(update(w, BUFFERS, PAGE, RIG_USER + 8 * PAGE), 0);
    add(w, BUFFERS);
    assert_int_equal(update(w, BUFFERS, 2 * PAGE, RIG_USER + 8 * PAGE), 0);
    assert_int_equal(w->n_reaped, 0); /* it says the same, and more */
    assert_int_equal(update(w, BUFFERS, PAGE, RIG_USER + 9 * PAGE), 0);
    assert_int_equal(w->n_reaped, 1);
    add(w, BUFFERS);
    assert_int_equal(say(w, VHOST_IOTLB_UPDATE, BUFFERS, PAGE,
                         RIG_USER + 9 * PAGE, VHOST_ACCESS_RO),
                     0);
    assert_int_equal(w->n_reaped, 2);
}

static void a_question_that_is_refused_is_a_fault(void **state)
{
    struct world *w = *state;

    begin(w);
    add(w, BUFFERS);
    hear_miss(w, BUFFERS, VHOST_ACCESS_WO);
    assert_false(has_error(w));
    answer(w, 14);
    hear_failure(w, BUFFERS);
    assert_true(has_error(w));
    assert_false(is_running(w));
    assert_int_equal(rig_get_base(&w->rig, 0), 0);
}

static void an_answer_that_allows_less_is_a_fault(void **state)
{
    struct world *w = *state;

    begin(w);
    add(w, BUFFERS);
    hear_miss(w, BUFFERS, VHOST_ACCESS_WO);
    assert_int_equal(
        say(w, VHOST_IOTLB_UPDATE, BUFFERS, PAGE, RIG_USER, VHOST_ACCESS_RO),
        0);
    hear_failure(w, BUFFERS);
    assert_true(has_error(w));
}

static void an_answer_that_leads_out_of_memory_is_a_fault(void **state)
{
    struct world *w = *state;

    begin(w);
    add(w, BUFFERS);
    hear_miss(w, BUFFERS, VHOST_ACCESS_WO);
    assert_int_not_equal(update(w, BUFFERS, PAGE, 0), 0);
    hear_failure(w, BUFFERS);
    assert_true(has_error(w));
}

static void an_answer_that_does_not_come_is_a_fault(void **state)
{
    struct world *w = *state;
    struct vh_iotlb m;

    serve(w, FEATURES, 20);
    open_side(w);
    assert_int_equal(update(w, RING, 3 * PAGE, RIG_USER), 0);
    start(w);
    add(w, BUFFERS);
    hear_miss(w, BUFFERS, VHOST_ACCESS_WO);
    answer(w, 0);
    while (!hear(w, &m)) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    assert_int_equal(m.type, VHOST_IOTLB_ACCESS_FAIL);
    assert_true(has_error(w));
}

static void who_can_not_ask_does_not_wait(void **state)
{
    struct world *w = *state;

    serve(w, FEATURES, 0);
    assert_int_equal(update(w, RING, 3 * PAGE, RIG_USER), 0);
    start(w);
    add(w, BUFFERS);
    rig_turn(&w->rig);
    assert_true(has_error(w));
    assert_false(is_running(w));
}

static void a_channel_that_closes_refuses_all_questions(void **state)
{
    struct world *w = *state;

    begin(w);
    add(w, BUFFERS);
    hear_miss(w, BUFFERS, VHOST_ACCESS_WO);
    vh_sock_free(w->side);
    w->side = NULL;
    rig_turn(&w->rig);
    assert_true(has_error(w));
}

static void a_ring_that_is_refused_may_be_mapped_later(void **state)
{
    struct world *w = *state;

    serve(w, FEATURES, 0);
    open_side(w);
    assert_int_equal(update(w, RING, 2 * PAGE, RIG_USER), 0);
    start(w);
    hear_miss(w, RING + 2 * PAGE, VHOST_ACCESS_RW);
    answer(w, 14);
    hear_failure(w, RING + 2 * PAGE);
    assert_true(has_error(w));
    /* News for others is none for it. */
    assert_int_equal(update(w, BUFFERS, PAGE, RIG_USER + 8 * PAGE), 0);
    hear_nothing(w);
    assert_int_equal(update(w, RING + 2 * PAGE, PAGE, RIG_USER + 2 * PAGE), 0);
    hear_nothing(w);
    assert_true(is_running(w));
}

static void translations_are_gone_with_the_memory(void **state)
{
    struct world *w = *state;
    struct vh_mem_region all = rig_region();

    begin(w);
    assert_int_equal(update(w, BUFFERS, PAGE, RIG_USER + 8 * PAGE), 0);
    add(w, BUFFERS);
    assert_int_equal(w->n_held, 1);
    assert_int_equal(rig_set_table(&w->rig, &all, 1), 0);
    assert_int_equal(w->n_reaped, 1);
    hear_miss(w, RING, VHOST_ACCESS_RO);
    assert_int_equal(rig_region_do(&w->rig, VH_REM_MEM_REG, &all), 0);
    assert_int_not_equal(update(w, RING, 3 * PAGE, RIG_USER), 0);
}

/* Far more pages than questions: they are asked for bit by bit. */
static void a_buffer_of_many_pages_is_asked_for_in_parts(void **state)
{
    struct world *w = *state;
    struct vh_sg sg = { .addr = BUFFERS, .len = 200 * PAGE };
    struct vh_iotlb m;
    unsigned n = 0;

    begin(w);
    assert_int_equal(vh_ring_add(w->ring, &sg, 0, 1, w), 0);
    vh_ring_publish(w->ring);
    assert_int_equal(eventfd_write(w->kick, 1), 0);
    while (w->n_held == 0) {
        assert_true(hear(w, &m));
        assert_int_equal(m.type, VHOST_IOTLB_MISS);
        assert_true(n++ < 200);
        answer(w, 0);
        assert_int_equal(
            update(w, m.iova, PAGE, RIG_USER + 8 * PAGE + (m.iova - BUFFERS)),
            0);
        rig_turn(&w->rig);
    }
    assert_int_equal(n, 200);
}

/* GET_INFLIGHT_FD.  Return: its fd. */
static struct vh_msg get_buffer(struct world *w)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_GET_INFLIGHT_FD);
    msg.size = sizeof(msg.payload.inflight);
    msg.payload.inflight =
        (struct vh_inflight_area){ .n_queues = 1, .queue_size = SIZE };
    msg = rig_ask(&w->rig, &msg);
    assert_int_equal(msg.n_fds, 1);
    msg.request = VH_SET_INFLIGHT_FD;
    msg.flags = VH_MSG_VERSION;
    return msg;
}

static void restart(struct world *w, struct vh_msg *buffer)
{
    vh_ring_free(w->ring);
    serve(w, FEATURES, 0);
    open_side(w);
    assert_int_equal(rig_do(&w->rig, buffer), 0);
    assert_int_equal(update(w, RING, 3 * PAGE, RIG_USER), 0);
    start(w);
}

static void what_was_in_flight_waits_for_its_translation_too(void **state)
{
    struct world *w = *state;
    static uint8_t mem[16 * PAGE];
    struct vh_msg buffer;
    void *flight, *copy;
    size_t len;

    w->device.protocol = VH_PF(INFLIGHT_SHMFD);
    serve(w, FEATURES, 0);
    open_side(w);
    buffer = get_buffer(w);
    assert_int_equal(rig_do(&w->rig, &buffer), 0);
    assert_int_equal(update(w, RING, 3 * PAGE, RIG_USER), 0);
    assert_int_equal(update(w, BUFFERS, 2 * PAGE, RIG_USER + 8 * PAGE), 0);
    start(w);
    add(w, BUFFERS);
    add(w, BUFFERS + PAGE);
    assert_int_equal(w->n_held, 2);
    /* It dies; or rather, nobody sees what it did in the end. */
    len = buffer.payload.inflight.mmap_size;
    flight =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, buffer.fds[0], 0);
    assert_true(flight != MAP_FAILED);
    copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, flight, len);
    memcpy(mem, w->rig.mem, sizeof(mem));
    rig_stop(&w->rig);
    vh_sock_free(w->side);
    memcpy(flight, copy, len);
    memcpy(w->rig.mem, mem, sizeof(mem));
    w->n_held = 0;

    restart(w, &buffer);
    hear_miss(w, BUFFERS, VHOST_ACCESS_WO);
    assert_int_equal(w->n_held, 0);
    /* Both are still to come, whoever goes on. */
    assert_int_equal(rig_get_base(&w->rig, 0), 0);
    assert_int_equal(rig_do_fd(&w->rig, VH_SET_VRING_KICK, 0, w->kick), 0);
    assert_int_equal(update(w, BUFFERS, PAGE, RIG_USER + 8 * PAGE), 0);
    hear_miss(w, BUFFERS + PAGE, VHOST_ACCESS_WO);
    assert_int_equal(w->n_held, 1);
    assert_int_equal(rig_get_base(&w->rig, 0), 1);
    assert_int_equal(rig_do_fd(&w->rig, VH_SET_VRING_KICK, 0, w->kick), 0);
    assert_int_equal(update(w, BUFFERS, 2 * PAGE, RIG_USER + 8 * PAGE), 0);
    rig_turn(&w->rig);
    assert_int_equal(w->n_held, 1);
    assert_int_equal(rig_get_base(&w->rig, 0), 2);
    munmap(flight, len);
    free(copy);
    close(buffer.fds[0]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_feature_is_for_those_who_ask_and_can),
        T(without_the_feature_nothing_is_translated),
        T(a_translation_that_makes_no_sense_is_refused),
        T(a_ring_is_asked_for_once_and_runs_when_it_is_known),
        T(all_of_a_buffer_is_asked_for_at_once),
        T(what_is_taken_back_is_finished_and_others_are_not),
        T(a_ring_that_is_taken_back_stops_and_asks_anew),
        T(another_translation_takes_the_first_one_back),
        T(a_question_that_is_refused_is_a_fault),
        T(an_answer_that_allows_less_is_a_fault),
        T(an_answer_that_leads_out_of_memory_is_a_fault),
        T(an_answer_that_does_not_come_is_a_fault),
        T(who_can_not_ask_does_not_wait),
        T(a_channel_that_closes_refuses_all_questions),
        T(a_ring_that_is_refused_may_be_mapped_later),
        T(translations_are_gone_with_the_memory),
        T(what_was_in_flight_waits_for_its_translation_too),
        T(a_buffer_of_many_pages_is_asked_for_in_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
