/* SPDX-License-Identifier: BSD-3-Clause */
/* What the server asks of a front end that answers as it likes, or not. */
#include "check.h"

#include "server-rig.h"
#include "server/server.h"

#define IN_BAND                                                            \
    (VH_PF(BACKEND_REQ) | VH_PF(REPLY_ACK) | VH_PF(INBAND_NOTIFICATIONS) | \
     VH_PF(CONFIG))

struct side {
    struct rig rig;
    struct vh_sock *sock; /* the front end's end */
    unsigned n_done;
    unsigned n_refused;
    unsigned n_lost;
};

static int set_up(void **state)
{
    struct side *side = calloc(1, sizeof(*side));

    assert_non_null(side);
    rig_init(&side->rig);
    *state = side;
    return 0;
}

static int tear_down(void **state)
{
    struct side *side = *state;

    vh_sock_free(side->sock);
    rig_cleanup(&side->rig);
    free(side);
    return 0;
}

static void serve(struct side *side, uint64_t protocol)
{
    struct vhost_server_options options = {
        .size = sizeof(options),
        .offer_protocol_features = VH_PF(INBAND_NOTIFICATIONS),
    };
    struct vh_msg msg;

    rig_serve(&side->rig, NULL, NULL, &options);
    rig_negotiate(&side->rig, RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES);
    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES, protocol);
    rig_say(&side->rig, &msg);
}

static void open_side(struct side *side)
{
    struct vh_msg msg;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    vh_sock_free(side->sock);
    assert_int_equal(vh_sock_new(&side->sock, fds[0]), 0);
    vh_msg_init(&msg, VH_SET_BACKEND_REQ_FD);
    msg.fds[0] = fds[1];
    msg.n_fds = 1;
    rig_say(&side->rig, &msg);
    close(fds[1]);
}

static int done(void *arg, int result, struct vh_msg *reply,
                struct vhost_error **errp)
{
    struct side *side = arg;

    (void)reply;
    assert_null(errp);
    side->n_done++;
    side->n_refused += result == -EREMOTEIO;
    side->n_lost += result == -ECONNRESET;
    return 0;
}

static int ask(struct side *side, uint32_t request, bool answered)
{
    struct vh_msg msg;

    if (request == VH_BACK_CONFIG_CHANGE_MSG) {
        vh_msg_init(&msg, request);
    } else {
        vh_msg_init_state(&msg, request, 0, 0);
    }
    return vh_server_ask(side->rig.server, &msg, answered ? done : NULL, side);
}

static bool hear(struct side *side, struct vh_msg *msg)
{
    const char *why;

    rig_turn(&side->rig);
    return vh_sock_receive(side->sock, msg, false, &why) == 1;
}

static void answer(struct side *side, uint32_t request, uint64_t value)
{
    struct vh_msg ack;

    vh_msg_init_u64(&ack, request, value);
    assert_int_equal(vh_sock_queue_flags(side->sock, &ack, VH_MSG_F_REPLY), 0);
    assert_int_equal(vh_sock_send(side->sock), 0);
    rig_turn(&side->rig);
}

static bool is_closed(struct side *side)
{
    struct vh_msg msg;
    const char *why;
    int r;

    rig_turn(&side->rig);
    while ((r = vh_sock_receive(side->sock, &msg, false, &why)) == 1) {
    }
    return r == -ECONNRESET;
}

static void test_answers_find_their_requests(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    serve(side, IN_BAND);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), -ENOTCONN);
    open_side(side);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, false), 0);
    assert_true(hear(side, &msg));
    assert_int_equal(msg.request, VH_BACK_CONFIG_CHANGE_MSG);
    assert_int_equal(msg.flags, VH_MSG_VERSION);

    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), 0);
    assert_int_equal(ask(side, VH_BACK_VRING_CALL, true), 0);
    assert_true(hear(side, &msg));
    assert_int_equal(msg.flags, VH_MSG_VERSION | VH_MSG_F_NEED_REPLY);
    assert_true(hear(side, &msg));
    assert_int_equal(side->n_done, 0);
    answer(side, VH_BACK_CONFIG_CHANGE_MSG, 0);
    assert_int_equal(side->n_done, 1);
    assert_int_equal(side->n_refused, 0);
    answer(side, VH_BACK_VRING_CALL, 5);
    assert_int_equal(side->n_done, 2);
    assert_int_equal(side->n_refused, 1);
}

static void test_what_is_not_in_use_is_not_asked(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    serve(side, VH_PF(BACKEND_REQ) | VH_PF(REPLY_ACK));
    open_side(side);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), -ENOTSUP);
    assert_int_equal(ask(side, VH_BACK_VRING_CALL, true), -ENOTSUP);
    assert_int_equal(ask(side, VH_BACK_VRING_ERR, true), -ENOTSUP);
    assert_false(hear(side, &msg));
    assert_int_equal(side->n_done, 0);
    assert_int_equal(vhost_server_config_changed(side->rig.server, NULL), 0);
    assert_false(hear(side, &msg));
}

static void test_without_acks_nobody_waits_for_one(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    serve(side, VH_PF(BACKEND_REQ) | VH_PF(CONFIG));
    open_side(side);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), 0);
    assert_int_equal(side->n_done, 1);
    assert_true(hear(side, &msg));
    assert_int_equal(msg.flags, VH_MSG_VERSION);
}

static void test_an_answer_to_nothing_closes_the_channel(void **state)
{
    struct side *side = *state;

    serve(side, IN_BAND);
    open_side(side);
    answer(side, VH_BACK_CONFIG_CHANGE_MSG, 0);
    assert_true(is_closed(side));
    assert_non_null(strstr(side->rig.log, "an answer to nothing"));
    assert_true(rig_is_quiet(&side->rig)); /* the first one stays */
}

static void test_an_answer_to_another_closes_the_channel(void **state)
{
    struct side *side = *state;

    serve(side, IN_BAND);
    open_side(side);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), 0);
    assert_int_equal(ask(side, VH_BACK_VRING_CALL, true), 0);
    answer(side, VH_BACK_VRING_CALL, 0);
    assert_true(is_closed(side));
    assert_int_equal(side->n_done, 2);
    assert_int_equal(side->n_lost, 2);
    assert_int_equal(ask(side, VH_BACK_VRING_CALL, true), -ENOTCONN);
    /* A new one may come. */
    open_side(side);
    assert_int_equal(ask(side, VH_BACK_VRING_CALL, true), 0);
}

static void
test_a_channel_that_is_closed_or_replaced_answers_nothing(void **state)
{
    struct side *side = *state;

    serve(side, IN_BAND);
    open_side(side);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), 0);
    open_side(side);
    assert_int_equal(side->n_lost, 1);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), 0);
    vh_sock_free(side->sock);
    side->sock = NULL;
    rig_turn(&side->rig);
    assert_int_equal(side->n_lost, 2);
    open_side(side);
    assert_int_equal(ask(side, VH_BACK_CONFIG_CHANGE_MSG, true), 0);
    rig_stop(&side->rig);
    assert_int_equal(side->n_lost, 3);
}

/* It goes on without the answers, up to a point; and all of them count. */
static void test_a_front_end_that_does_not_read_holds_nobody_up(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;
    unsigned asked = 0, answered = 0;

    serve(side, IN_BAND);
    open_side(side);
    while (ask(side, VH_BACK_VRING_CALL, true) == 0) {
        asked++;
        assert_true(asked < 100000);
    }
    assert_true(asked > 100);
    assert_int_equal(side->n_done, 0);
    /* The first channel is served all the while, and the loop rests. */
    assert_true(rig_get(&side->rig, VH_GET_FEATURES) != 0);
    while (answered < asked && hear(side, &msg)) {
        answer(side, VH_BACK_VRING_CALL, 0);
        answered++;
    }
    assert_int_equal(answered, asked);
    assert_int_equal(side->n_done, asked);
    assert_int_equal(ask(side, VH_BACK_VRING_CALL, true), 0);
}

/* A queue that calls again and again has one message on its way. */
static void test_calls_that_nobody_hears_become_one(void **state)
{
    struct side *side = *state;
    struct vh_squeue *q;
    struct vh_msg msg;

    serve(side, IN_BAND);
    open_side(side);
    q = &side->rig.server->queues[0];
    for (unsigned i = 0; i < 10; i++) {
        vh_server_ring(q, VH_BACK_VRING_CALL);
    }
    assert_true(hear(side, &msg));
    assert_int_equal(msg.request, VH_BACK_VRING_CALL);
    assert_false(hear(side, &msg));
    answer(side, VH_BACK_VRING_CALL, 0);
    assert_true(hear(side, &msg)); /* for the other nine */
    answer(side, VH_BACK_VRING_CALL, 0);
    assert_false(hear(side, &msg));
    vh_server_ring(q, VH_BACK_VRING_CALL);
    assert_true(hear(side, &msg));
}

static void test_an_eventfd_is_preferred_to_messages(void **state)
{
    struct side *side = *state;
    struct vh_squeue *q;
    struct vh_msg msg;
    int call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t n;

    serve(side, IN_BAND);
    open_side(side);
    q = &side->rig.server->queues[0];
    assert_int_equal(rig_do_fd(&side->rig, VH_SET_VRING_CALL, 0, call), 0);
    vh_server_ring(q, VH_BACK_VRING_CALL);
    assert_int_equal(read(call, &n, sizeof(n)), sizeof(n));
    assert_false(hear(side, &msg));
    vh_server_ring(q, VH_BACK_VRING_ERR); /* of which it knows no fd */
    assert_true(hear(side, &msg));
    assert_int_equal(msg.request, VH_BACK_VRING_ERR);

    /* Who polls is not called at all. */
    assert_int_equal(rig_do_fd(&side->rig, VH_SET_VRING_CALL, 0, -1), 0);
    vh_server_ring(q, VH_BACK_VRING_CALL);
    assert_false(hear(side, &msg));
    close(call);
}

static void test_files_are_sent_and_kept_by_nobody(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;
    int file = eventfd(0, EFD_CLOEXEC);
    int n_fds;

    serve(side, IN_BAND);
    side->rig.server->session.protocol |= VH_PF(SHMEM);
    open_side(side);
    n_fds = rig_count_fds();
    vh_msg_init(&msg, VH_BACK_SHMEM_MAP);
    msg.size = sizeof(msg.payload.mmap);
    msg.fds[0] = file;
    msg.n_fds = 1;
    assert_int_equal(vh_server_ask(side->rig.server, &msg, done, side), 0);
    assert_int_equal(rig_count_fds(), n_fds);
    assert_true(hear(side, &msg));
    assert_int_equal(msg.n_fds, 1);
    vh_msg_close_fds(&msg);
    assert_int_equal(rig_count_fds(), n_fds);
    close(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers_find_their_requests),
        TEST(test_what_is_not_in_use_is_not_asked),
        TEST(test_without_acks_nobody_waits_for_one),
        TEST(test_an_answer_to_nothing_closes_the_channel),
        TEST(test_an_answer_to_another_closes_the_channel),
        TEST(test_a_channel_that_is_closed_or_replaced_answers_nothing),
        TEST(test_a_front_end_that_does_not_read_holds_nobody_up),
        TEST(test_calls_that_nobody_hears_become_one),
        TEST(test_an_eventfd_is_preferred_to_messages),
        TEST(test_files_are_sent_and_kept_by_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
