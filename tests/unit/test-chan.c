/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests and answers over a channel whose other end may lie.  Where the
 * peer needs no patience, its answers lie in the socket before the question:
 * the channel can't tell, and the test needs no thread.
 */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "wire-rig.h"
#include "wire/chan.h"
#include "wire/words.h"

#define REPLY 5u /* version 1, reply */
#define SHORT VH_PATIENCE_SHORT
#define LONG VH_PATIENCE_LONG

struct rig {
    struct vh_chan *chan;
    struct vhost_error *err;
    int peer;
    unsigned n_fds;
};

static struct rig rig;

static void open_chan(unsigned deadline_ms, unsigned long_deadline_ms)
{
    const struct vh_chan_options options = {
        .deadline_ms = deadline_ms,
        .long_deadline_ms = long_deadline_ms,
    };
    int pair[2];

    make_pair(pair);
    assert_int_equal(vh_chan_new(&rig.chan, pair[0], &options), 0);
    assert_int_equal(vh_chan_fd(rig.chan), pair[0]);
    rig.peer = pair[1];
}

static int setup(void **state)
{
    (void)state;
    rig = (struct rig){ .n_fds = count_fds() };
    open_chan(10000, 10000);
    return 0;
}

static int setup_impatient(void **state)
{
    (void)state;
    rig = (struct rig){ .n_fds = count_fds() };
    open_chan(50, 10000);
    return 0;
}

static void hang_up(void)
{
    close(rig.peer);
    rig.peer = -1;
}

/* Nothing is left open, whatever happened. */
static int teardown(void **state)
{
    (void)state;
    vh_chan_free(rig.chan);
    vhost_error_free(rig.err);
    if (rig.peer >= 0) {
        hang_up();
    }
    assert_int_equal(count_fds(), rig.n_fds);
    return 0;
}

/* Errors */

static void forget_error(void)
{
    vhost_error_free(rig.err);
    rig.err = NULL;
}

/* @r and rig.err are this error, about this request. */
static void expect_error(int r, int code, const char *operation,
                         const char *message)
{
    assert_int_equal(r, code);
    assert_non_null(rig.err);
    assert_string_equal(vhost_error_message(rig.err), message);
    assert_int_equal(vhost_error_code(rig.err), code);
    assert_string_equal(vhost_error_operation(rig.err), operation);
    forget_error();
}

static void expect_ok(int r)
{
    assert_null(rig.err);
    assert_int_equal(r, 0);
}

/* Requests */

static int wait_all(void)
{
    return vh_chan_wait(rig.chan, &rig.err);
}

static int call(uint32_t request, struct vh_msg *reply)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    return vh_chan_call(rig.chan, &msg, VH_EXPECT_REPLY, SHORT, -1, reply,
                        &rig.err);
}

static int call_get_features(void)
{
    struct vh_msg reply;

    return call(VH_GET_FEATURES, &reply);
}

static int post_ack(int queue, vh_chan_done_fn *done, void *arg)
{
    struct vh_msg msg;

    vh_msg_init_state(&msg, VH_SET_VRING_ENABLE, (uint32_t)queue, 1);
    return vh_chan_post(rig.chan, &msg, VH_EXPECT_ACK, SHORT, queue, done, arg);
}

static int post_reply(uint32_t request, vh_chan_done_fn *done, void *arg)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    return vh_chan_post(rig.chan, &msg, VH_EXPECT_REPLY, SHORT, -1, done, arg);
}

/* In one piece: a socket holds many bytes, but not many pieces. */
static void peer_acks(unsigned n, uint64_t value)
{
    const uint32_t header[] = { VH_SET_VRING_ENABLE, REPLY, 8 };
    static uint8_t bytes[1001 * 20];

    assert_true(n * 20 <= sizeof(bytes));
    for (unsigned i = 0; i < n; i++) {
        memcpy(bytes + i * 20, header, sizeof(header));
        memcpy(bytes + i * 20 + 12, &value, sizeof(value));
    }
    raw_send(rig.peer, bytes, n * 20, 0);
}

/* What done() was told. */
struct told {
    unsigned n;
    int result;
    uint64_t value;
    bool had_reply;
};

static int tell(void *arg, int result, struct vh_msg *reply,
                struct vhost_error **errp)
{
    struct told *told = arg;

    assert_non_null(errp);
    assert_null(*errp);
    assert_int_equal(reply != NULL, result == 0);
    told->n++;
    told->result = result;
    told->had_reply = reply != NULL;
    told->value = reply ? reply->payload.u64 : 0;
    return 0;
}

static struct vh_chan_stats stats(void)
{
    struct vh_chan_stats stats;

    vh_chan_get_stats(rig.chan, &stats);
    return stats;
}

/* Answers */

static void test_a_call_brings_the_answer(void **state)
{
    struct vh_msg reply;
    uint32_t sent[3];

    (void)state;
    raw_u64(rig.peer, VH_GET_FEATURES, REPLY, 0x1234);
    expect_ok(call(VH_GET_FEATURES, &reply));
    assert_int_equal(reply.payload.u64, 0x1234);
    raw_receive(rig.peer, sent, sizeof(sent));
    assert_int_equal(sent[0], VH_GET_FEATURES);
    assert_int_equal(sent[1], VH_MSG_VERSION); /* an answer, not an ack */
    assert_int_equal(sent[2], 0);
}

static void test_only_those_that_want_an_ack_ask_for_one(void **state)
{
    struct vh_msg msg;
    uint32_t sent[5];

    (void)state;
    vh_msg_init_u64(&msg, VH_SET_STATUS, 1);
    expect_ok(
        vh_chan_post(rig.chan, &msg, VH_EXPECT_NOTHING, SHORT, -1, NULL, NULL));
    assert_int_equal(vh_chan_n_due(rig.chan), 0);
    expect_ok(post_ack(0, NULL, NULL));
    assert_int_equal(vh_chan_n_due(rig.chan), 1);
    peer_acks(1, 0);
    expect_ok(wait_all());
    raw_receive(rig.peer, sent, sizeof(sent));
    assert_int_equal(sent[1], VH_MSG_VERSION);
    raw_receive(rig.peer, sent, sizeof(sent));
    assert_int_equal(sent[1], VH_MSG_VERSION | VH_MSG_F_NEED_REPLY);
}

static void test_waiting_for_nothing_sends_what_is_queued(void **state)
{
    struct vh_msg msg;
    uint32_t sent[3];

    (void)state;
    expect_ok(wait_all());
    assert_int_equal(stats().send_calls, 0);
    assert_int_equal(stats().poll_calls, 0);
    vh_msg_init(&msg, VH_SET_OWNER);
    expect_ok(
        vh_chan_post(rig.chan, &msg, VH_EXPECT_NOTHING, SHORT, -1, NULL, NULL));
    expect_ok(wait_all());
    assert_int_equal(stats().round_trips, 0);
    raw_receive(rig.peer, sent, sizeof(sent));
    assert_int_equal(sent[0], VH_SET_OWNER);
}

static void test_a_batch_costs_one_round_trip(void **state)
{
    struct told told = { 0 };
    struct vh_chan_stats s;

    (void)state;
    for (int i = 0; i < 64; i++) {
        expect_ok(post_ack(i, tell, &told));
    }
    assert_int_equal(vh_chan_n_due(rig.chan), 64);
    peer_acks(64, 0);
    expect_ok(wait_all());
    assert_int_equal(vh_chan_n_due(rig.chan), 0);
    assert_int_equal(told.n, 64);
    s = stats();
    assert_int_equal(s.messages, 64);
    assert_int_equal(s.replies, 64);
    assert_int_equal(s.round_trips, 1);
    assert_int_equal(s.send_calls, 1);
    assert_int_equal(s.recv_calls, 1);
    assert_int_equal(s.poll_calls, 1);
}

static void test_answers_go_to_their_requests(void **state)
{
    struct told told[3] = { { 0 } };

    (void)state;
    expect_ok(post_reply(VH_GET_FEATURES, tell, &told[0]));
    expect_ok(post_ack(0, tell, &told[1]));
    expect_ok(post_reply(VH_GET_QUEUE_NUM, tell, &told[2]));
    raw_u64(rig.peer, VH_GET_FEATURES, REPLY, 11);
    peer_acks(1, 0);
    raw_u64(rig.peer, VH_GET_QUEUE_NUM, REPLY, 33);
    expect_ok(wait_all());
    assert_int_equal(told[0].value, 11);
    assert_int_equal(told[2].value, 33);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(told[i].n, 1);
        assert_int_equal(told[i].result, 0);
    }
}

static void test_fds_of_an_answer_are_given_to_the_caller(void **state)
{
    struct vh_msg reply;

    (void)state;
    raw_message(rig.peer, VH_POSTCOPY_ADVISE, REPLY, NULL, 0, 1);
    expect_ok(call(VH_POSTCOPY_ADVISE, &reply));
    assert_int_equal(reply.n_fds, 1);
    assert_true(fcntl(reply.fds[0], F_GETFD) >= 0);
    vh_msg_close_fds(&reply);
}

/* Bulk reading must stop in time for them, and may go on afterwards. */
static void test_fds_amid_a_batch_find_their_answer(void **state)
{
    const struct vh_inflight_area area = { 0x1000, 0, 1, 64, 0 };
    struct told told = { 0 };
    struct vh_msg msg;
    struct vh_msg reply;

    (void)state;
    for (int i = 0; i < 10; i++) {
        expect_ok(post_ack(i, tell, &told));
    }
    peer_acks(10, 0);
    raw_message(rig.peer, VH_GET_INFLIGHT_FD, REPLY, &area, 24, 1);
    vh_msg_init(&msg, VH_GET_INFLIGHT_FD);
    msg.size = 24;
    expect_ok(vh_chan_call(rig.chan, &msg, VH_EXPECT_REPLY, SHORT, -1, &reply,
                           &rig.err));
    assert_int_equal(told.n, 10);
    assert_int_equal(reply.n_fds, 1);
    assert_int_equal(reply.payload.inflight.mmap_size, 0x1000);
    vh_msg_close_fds(&reply);
}

static void test_reading_in_bulk_goes_on_after_fds(void **state)
{
    struct vh_msg reply;
    uint64_t before;

    (void)state;
    raw_message(rig.peer, VH_POSTCOPY_ADVISE, REPLY, NULL, 0, 1);
    expect_ok(call(VH_POSTCOPY_ADVISE, &reply));
    vh_msg_close_fds(&reply);
    before = stats().recv_calls;
    for (int i = 0; i < 10; i++) {
        expect_ok(post_ack(i, NULL, NULL));
    }
    peer_acks(10, 0);
    expect_ok(wait_all());
    assert_int_equal(stats().recv_calls, before + 1);
}

static void test_fds_that_nobody_takes_are_closed(void **state)
{
    struct told told = { 0 };

    (void)state;
    raw_message(rig.peer, VH_POSTCOPY_ADVISE, REPLY, NULL, 0, 1);
    raw_message(rig.peer, VH_POSTCOPY_ADVISE, REPLY, NULL, 0, 1);
    expect_ok(post_reply(VH_POSTCOPY_ADVISE, tell, &told));
    expect_ok(post_reply(VH_POSTCOPY_ADVISE, NULL, NULL));
    expect_ok(wait_all());
    assert_int_equal(told.n, 1);
}

static void test_a_request_without_a_row_has_no_answer(void **state)
{
    struct vh_msg reply;

    (void)state;
    expect_error(call(1000, &reply), -EINVAL, "unknown request",
                 "unknown request: Invalid argument");
    assert_int_equal(vh_chan_n_due(rig.chan), 0);
    assert_int_equal(vh_chan_fault(rig.chan), 0);
}

/* Refusals */

static void
test_a_refusal_is_reported_once_and_the_channel_goes_on(void **state)
{
    struct told told[3] = { { 0 } };

    (void)state;
    for (int i = 0; i < 3; i++) {
        expect_ok(post_ack(i, tell, &told[i]));
    }
    peer_acks(1, 0);
    peer_acks(1, 7);
    peer_acks(1, 8);
    assert_int_equal(wait_all(), -EREMOTEIO);
    assert_int_equal(vhost_error_queue(rig.err), 1);
    expect_error(-EREMOTEIO, -EREMOTEIO, "SET_VRING_ENABLE",
                 "the back end refused SET_VRING_ENABLE (queue 1): error 7");
    assert_int_equal(told[0].result, 0);
    assert_int_equal(told[1].result, -EREMOTEIO);
    assert_int_equal(told[2].result, -EREMOTEIO);
    assert_int_equal(vh_chan_fault(rig.chan), 0);
    expect_ok(wait_all());
    raw_u64(rig.peer, VH_GET_FEATURES, REPLY, 1);
    expect_ok(call_get_features());
}

static void test_a_refusal_without_a_queue_names_none(void **state)
{
    struct vh_msg msg;

    (void)state;
    vh_msg_init_u64(&msg, VH_SET_FEATURES, 1);
    raw_u64(rig.peer, VH_SET_FEATURES, REPLY, 1);
    expect_error(
        vh_chan_call(rig.chan, &msg, VH_EXPECT_ACK, SHORT, -1, NULL, &rig.err),
        -EREMOTEIO, "SET_FEATURES",
        "the back end refused SET_FEATURES: error 1");
}

static int no_sense(void *arg, int result, struct vh_msg *reply,
                    struct vhost_error **errp)
{
    (void)result;
    (void)reply;
    (void)errp;
    return *(int *)arg;
}

static void test_an_answer_without_sense_counts_as_refusal(void **state)
{
    int code = -ERANGE;

    (void)state;
    expect_ok(post_reply(VH_GET_FEATURES, no_sense, &code));
    raw_u64(rig.peer, VH_GET_FEATURES, REPLY, 1);
    expect_error(wait_all(), -ERANGE, "GET_FEATURES",
                 "the answer to GET_FEATURES makes no sense");
    assert_int_equal(vh_chan_fault(rig.chan), 0);
}

static void test_fds_of_an_answer_are_closed_if_the_call_fails(void **state)
{
    struct vh_msg reply;

    (void)state;
    expect_ok(post_ack(3, NULL, NULL));
    peer_acks(1, 1);
    raw_message(rig.peer, VH_POSTCOPY_ADVISE, REPLY, NULL, 0, 1);
    expect_error(call(VH_POSTCOPY_ADVISE, &reply), -EREMOTEIO,
                 "SET_VRING_ENABLE",
                 "the back end refused SET_VRING_ENABLE (queue 3): error 1");
}

static void test_words_may_be_refused(void **state)
{
    (void)state;
    expect_ok(post_ack(0, NULL, NULL));
    peer_acks(1, 1);
    assert_int_equal(vh_chan_wait(rig.chan, NULL), -EREMOTEIO);
    expect_ok(wait_all());
}

/* done() that posts */

struct chain {
    unsigned left;
    unsigned done;
};

static int post_two_more(void *arg, int result, struct vh_msg *reply,
                         struct vhost_error **errp)
{
    struct chain *chain = arg;

    (void)reply;
    (void)errp;
    assert_int_equal(result, 0);
    chain->done++;
    for (int i = 0; i < 2 && chain->left > 0; i++) {
        chain->left--;
        assert_int_equal(post_ack(1, post_two_more, chain), 0);
    }
    return 0;
}

static void test_done_may_post_and_the_wait_goes_on(void **state)
{
    struct chain chain = { .left = 1000 };

    (void)state;
    expect_ok(post_ack(0, post_two_more, &chain));
    peer_acks(1001, 0);
    expect_ok(wait_all());
    assert_int_equal(chain.done, 1001);
    assert_int_equal(stats().round_trips, 1);
    assert_int_equal(stats().messages, 1001);
}

static void test_what_done_posts_in_dispatch_is_sent(void **state)
{
    struct chain chain = { .left = 1 };
    uint8_t sent[40];

    (void)state;
    expect_ok(post_ack(0, post_two_more, &chain));
    peer_acks(1, 0);
    expect_ok(vh_chan_dispatch(rig.chan, &rig.err));
    assert_int_equal(vh_chan_n_due(rig.chan), 1);
    raw_receive(rig.peer, sent, sizeof(sent));
    peer_acks(1, 0);
    expect_ok(wait_all());
}

static int post_in_vain(void *arg, int result, struct vh_msg *reply,
                        struct vhost_error **errp)
{
    (void)reply;
    (void)errp;
    assert_int_equal(result, -ECONNRESET);
    assert_int_equal(post_ack(0, post_in_vain, arg), -ECONNRESET);
    ++*(unsigned *)arg;
    return -EIO;
}

static void test_done_can_not_revive_a_channel(void **state)
{
    unsigned n = 0;

    (void)state;
    expect_ok(post_ack(0, post_in_vain, &n));
    expect_ok(post_ack(1, post_in_vain, &n));
    hang_up();
    expect_error(
        wait_all(), -ECONNRESET, "SET_VRING_ENABLE",
        "the back end closed the connection while SET_VRING_ENABLE was due");
    assert_int_equal(n, 2);
}

/* Faults */

/* The channel has ended: with this error, now and for ever. */
static void expect_end(int r, int code, const char *operation,
                       const char *message)
{
    struct told told = { 0 };

    assert_int_equal(vh_chan_n_due(rig.chan), 0);
    expect_error(r, code, operation, message);
    assert_int_equal(vh_chan_fault(rig.chan), code);
    expect_error(wait_all(), code, operation, message);
    expect_error(call_get_features(), code, operation, message);
    expect_error(vh_chan_dispatch(rig.chan, &rig.err), code, operation,
                 message);
    assert_int_equal(post_ack(0, tell, &told), code);
    assert_int_equal(told.n, 0);
}

static void test_a_peer_that_never_answers_is_given_up(void **state)
{
    struct told told = { 0 };

    (void)state;
    expect_ok(post_ack(4, tell, &told));
    expect_ok(post_reply(VH_GET_FEATURES, tell, &told));
    expect_end(wait_all(), -ETIMEDOUT, "SET_VRING_ENABLE",
               "no answer to SET_VRING_ENABLE within 50 ms");
    assert_int_equal(told.n, 2);
    assert_int_equal(told.result, -ETIMEDOUT);
}

static void test_an_answer_too_few_is_missed(void **state)
{
    (void)state;
    expect_ok(post_ack(4, NULL, NULL));
    peer_acks(1, 0);
    expect_end(call_get_features(), -ETIMEDOUT, "GET_FEATURES",
               "no answer to GET_FEATURES within 50 ms");
}

static void test_a_peer_that_reads_nothing_is_given_up(void **state)
{
    struct vh_msg msg;
    int small = 1;

    (void)state;
    setsockopt(vh_chan_fd(rig.chan), SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    vh_msg_init(&msg, VH_CREATE_CRYPTO_SESSION);
    msg.size = VH_MSG_PAYLOAD_MAX;
    for (int i = 0; i < 20; i++) {
        expect_ok(vh_chan_post(rig.chan, &msg, VH_EXPECT_NOTHING, SHORT, -1,
                               NULL, NULL));
    }
    expect_end(wait_all(), -ETIMEDOUT, "sendmsg",
               "the back end took no message within 50 ms");
}

static void test_posting_has_an_end_and_it_is_no_fault(void **state)
{
    struct vh_msg msg;
    int r;

    (void)state;
    vh_msg_init(&msg, VH_CREATE_CRYPTO_SESSION);
    msg.size = VH_MSG_PAYLOAD_MAX;
    do {
        r = vh_chan_post(rig.chan, &msg, VH_EXPECT_NOTHING, SHORT, -1, NULL,
                         NULL);
    } while (r == 0);
    assert_int_equal(r, -ENOBUFS);
    assert_int_equal(vh_chan_fault(rig.chan), 0);
    assert_int_equal(vh_chan_n_due(rig.chan), 0);
}

/* One answer that is wrong in one way, to GET_FEATURES. */
static void expect_protocol_error(const char *message)
{
    expect_end(call_get_features(), -EPROTO, "GET_FEATURES", message);
}

static void test_the_answer_to_another_request_is_a_fault(void **state)
{
    (void)state;
    raw_u64(rig.peer, VH_SET_VRING_ENABLE, REPLY, 0);
    expect_protocol_error(
        "a reply to request 18 came where GET_FEATURES was due");
}

static void test_a_request_instead_of_an_answer_is_a_fault(void **state)
{
    (void)state;
    raw_u64(rig.peer, VH_GET_FEATURES, 1, 0);
    expect_protocol_error("reply to GET_FEATURES: wrong flags "
                          "(flags 0x1, size 8, 0 fds)");
}

static void test_an_answer_of_another_version_is_a_fault(void **state)
{
    (void)state;
    raw_u64(rig.peer, VH_GET_FEATURES, 6, 0);
    expect_protocol_error("the back end broke the protocol while GET_FEATURES "
                          "was due: a message of unknown version");
}

static void test_an_answer_too_short_is_a_fault(void **state)
{
    (void)state;
    raw_message(rig.peer, VH_GET_FEATURES, REPLY, "1234", 4, 0);
    expect_protocol_error("reply to GET_FEATURES: size 4, 8 expected");
}

static void test_an_answer_too_long_is_a_fault(void **state)
{
    static const uint8_t zeros[4096];

    (void)state;
    raw_message(rig.peer, VH_GET_FEATURES, REPLY, zeros, sizeof(zeros), 0);
    expect_protocol_error("reply to GET_FEATURES: size 4096, 8 expected");
}

static void test_an_answer_longer_than_any_is_a_fault(void **state)
{
    static const uint8_t zeros[4097];

    (void)state;
    raw_message(rig.peer, VH_GET_FEATURES, REPLY, zeros, sizeof(zeros), 0);
    expect_protocol_error("the back end broke the protocol while GET_FEATURES "
                          "was due: a payload of impossible size");
}

static void test_an_fd_where_none_is_due_is_a_fault(void **state)
{
    (void)state;
    raw_message(rig.peer, VH_GET_FEATURES, REPLY, "12345678", 8, 1);
    expect_protocol_error("the back end broke the protocol while GET_FEATURES "
                          "was due: fds where none may come");
}

static void test_too_many_fds_are_a_fault(void **state)
{
    struct vh_msg reply;

    (void)state;
    raw_message(rig.peer, VH_POSTCOPY_ADVISE, REPLY, NULL, 0, 9);
    expect_end(call(VH_POSTCOPY_ADVISE, &reply), -EPROTO, "POSTCOPY_ADVISE",
               "the back end broke the protocol while POSTCOPY_ADVISE was "
               "due: too many fds with one message");
}

static void test_two_fds_where_one_is_due_are_a_fault(void **state)
{
    struct vh_msg reply;

    (void)state;
    raw_message(rig.peer, VH_POSTCOPY_ADVISE, REPLY, NULL, 0, 2);
    expect_end(call(VH_POSTCOPY_ADVISE, &reply), -EPROTO, "POSTCOPY_ADVISE",
               "reply to POSTCOPY_ADVISE: wrong number of fds "
               "(flags 0x5, size 0, 2 fds)");
}

/* Where an fd may come later, the ack before it is read exactly, and has fds
 * of its own to be refused for. */
static void test_an_ack_with_an_fd_is_a_fault(void **state)
{
    struct vh_msg reply;

    (void)state;
    expect_ok(post_ack(0, NULL, NULL));
    raw_message(rig.peer, VH_SET_VRING_ENABLE, REPLY, "\0\0\0\0\0\0\0\0", 8, 1);
    expect_end(call(VH_POSTCOPY_ADVISE, &reply), -EPROTO, "SET_VRING_ENABLE",
               "reply to SET_VRING_ENABLE: fds with an acknowledgement "
               "(flags 0x5, size 8, 1 fds)");
}

static void test_sizes_with_a_range_say_so(void **state)
{
    struct vh_msg msg;
    struct vh_msg reply;
    static const uint8_t zeros[300];

    (void)state;
    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.size = 12 + 8;
    msg.payload.config.size = 8;
    raw_message(rig.peer, VH_GET_CONFIG, REPLY, zeros, sizeof(zeros), 0);
    expect_end(vh_chan_call(rig.chan, &msg, VH_EXPECT_REPLY, SHORT, -1, &reply,
                            &rig.err),
               -EPROTO, "GET_CONFIG",
               "reply to GET_CONFIG: size 300, 0 to 268 expected");
}

static void test_a_peer_that_closes_is_gone(void **state)
{
    (void)state;
    hang_up();
    expect_end(call_get_features(), -ECONNRESET, "GET_FEATURES",
               "the back end closed the connection while GET_FEATURES was due");
}

static void test_a_peer_that_closes_midway_is_gone(void **state)
{
    const uint32_t header[] = { VH_GET_FEATURES, REPLY, 8 };

    (void)state;
    raw_send(rig.peer, header, sizeof(header), 0);
    hang_up();
    expect_end(call_get_features(), -ECONNRESET, "GET_FEATURES",
               "the back end closed the connection while GET_FEATURES was due");
}

/* It refused, and hung up before the request had left: why, is still read. */
static void test_the_last_words_of_a_peer_are_heard(void **state)
{
    struct told told = { 0 };

    (void)state;
    expect_ok(post_ack(0, tell, &told));
    peer_acks(1, 1);
    hang_up();
    expect_end(wait_all(), -ECONNRESET, "recvmsg",
               "the back end closed the connection");
    assert_int_equal(told.n, 1);
    assert_int_equal(told.result, -EREMOTEIO);
}

static void test_freeing_answers_what_is_due(void **state)
{
    struct told told = { 0 };

    (void)state;
    expect_ok(post_ack(0, tell, &told));
    expect_ok(post_reply(VH_GET_FEATURES, tell, &told));
    vh_chan_free(rig.chan);
    rig.chan = NULL;
    assert_int_equal(told.n, 2);
    assert_int_equal(told.result, -ECONNRESET);
    vh_chan_free(NULL);
}

/* Dispatch */

static void test_dispatch_does_what_goes_without_waiting(void **state)
{
    struct told told = { 0 };
    uint8_t sent[20];

    (void)state;
    expect_ok(vh_chan_dispatch(rig.chan, &rig.err));
    expect_ok(post_ack(2, tell, &told));
    expect_ok(vh_chan_dispatch(rig.chan, &rig.err));
    assert_int_equal(told.n, 0);
    raw_receive(rig.peer, sent, sizeof(sent));
    peer_acks(1, 5);
    expect_ok(vh_chan_dispatch(rig.chan, &rig.err));
    assert_int_equal(told.n, 1);
    assert_int_equal(stats().poll_calls, 0);
    assert_int_equal(stats().round_trips, 0);
    expect_error(wait_all(), -EREMOTEIO, "SET_VRING_ENABLE",
                 "the back end refused SET_VRING_ENABLE (queue 2): error 5");
}

static void test_a_message_that_nobody_asked_for_is_a_fault(void **state)
{
    (void)state;
    raw_u64(rig.peer, VH_SET_LOG_BASE, REPLY, 0);
    expect_end(vh_chan_dispatch(rig.chan, &rig.err), -EPROTO, "SET_LOG_BASE",
               "a reply to request 6 came where nothing was due");
}

static void test_dispatch_sees_that_the_peer_is_gone(void **state)
{
    (void)state;
    hang_up();
    expect_end(vh_chan_dispatch(rig.chan, &rig.err), -ECONNRESET, "recvmsg",
               "the back end closed the connection");
}

static void test_rubbish_where_nothing_is_due_is_a_fault(void **state)
{
    (void)state;
    raw_send(rig.peer, "this is no message", 18, 0);
    expect_end(vh_chan_dispatch(rig.chan, &rig.err), -EPROTO, "recvmsg",
               "the back end broke the protocol: a payload of impossible size");
}

/* Words */

static void test_times_are_told_in_the_unit_that_fits(void **state)
{
    const struct vh_due due = { .request = VH_GET_FEATURES, .queue = -1 };

    (void)state;
    vh_words_late(&rig.err, &due, 5000);
    expect_error(-ETIMEDOUT, -ETIMEDOUT, "GET_FEATURES",
                 "no answer to GET_FEATURES within 5 s");
    vh_words_late(&rig.err, &due, 1500);
    expect_error(-ETIMEDOUT, -ETIMEDOUT, "GET_FEATURES",
                 "no answer to GET_FEATURES within 1500 ms");
}

/* Peers in a thread */

static void pause_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* After so many bytes of requests. */
static void *answer_late(void *arg)
{
    uint8_t requests[64];

    raw_receive(rig.peer, requests, *(size_t *)arg);
    pause_ms(200); /* four times the short deadline */
    peer_acks(1, 0);
    return NULL;
}

static void test_patience_is_what_the_request_asks_for(void **state)
{
    struct vh_msg msg;
    pthread_t thread;
    size_t requests = 20;

    (void)state;
    vh_msg_init_state(&msg, VH_SET_VRING_ENABLE, 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, answer_late, &requests), 0);
    expect_ok(
        vh_chan_call(rig.chan, &msg, VH_EXPECT_ACK, LONG, 0, NULL, &rig.err));
    pthread_join(thread, NULL);
}

static void test_a_channel_in_a_hurry_has_no_patience(void **state)
{
    struct vh_msg msg;

    (void)state;
    vh_chan_hurry(rig.chan);
    vh_msg_init_state(&msg, VH_SET_VRING_ENABLE, 0, 1);
    assert_int_equal(
        vh_chan_call(rig.chan, &msg, VH_EXPECT_ACK, LONG, 0, NULL, &rig.err),
        -ETIMEDOUT);
    assert_non_null(strstr(vhost_error_message(rig.err), "within 50 ms"));
}

static int post_patient(void *arg, int result, struct vh_msg *reply,
                        struct vhost_error **errp)
{
    struct vh_msg msg;

    (void)reply;
    (void)errp;
    assert_int_equal(result, 0);
    vh_msg_init_state(&msg, VH_SET_VRING_ENABLE, 0, 1);
    return vh_chan_post(rig.chan, &msg, VH_EXPECT_ACK, LONG, 0, tell, arg);
}

static void test_what_done_posts_has_its_own_patience(void **state)
{
    struct told told = { 0 };
    pthread_t thread;
    size_t requests = 12 + 20;

    (void)state;
    expect_ok(post_reply(VH_GET_FEATURES, post_patient, &told));
    raw_u64(rig.peer, VH_GET_FEATURES, REPLY, 1);
    assert_int_equal(pthread_create(&thread, NULL, answer_late, &requests), 0);
    expect_ok(wait_all());
    pthread_join(thread, NULL);
    assert_int_equal(told.n, 1);
}

static void *dribble_answer(void *arg)
{
    const uint64_t value = 0x55;
    const uint32_t header[] = { VH_GET_FEATURES, REPLY, 8 };
    uint8_t bytes[20];

    (void)arg;
    memcpy(bytes, header, sizeof(header));
    memcpy(bytes + 12, &value, sizeof(value));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        pause_ms(1);
        raw_send(rig.peer, bytes + i, 1, 0);
    }
    return NULL;
}

static void test_an_answer_may_dribble_in(void **state)
{
    struct vh_msg reply;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, dribble_answer, NULL), 0);
    expect_ok(call(VH_GET_FEATURES, &reply));
    assert_int_equal(reply.payload.u64, 0x55);
    pthread_join(thread, NULL);
}

/* Acks for ever, of a batch without end: each comes in time, all do not. */
static void *dribble_for_ever(void *arg)
{
    const uint64_t ok = 0;
    const uint32_t header[] = { VH_SET_VRING_ENABLE, REPLY, 8 };
    uint8_t bytes[20];

    (void)arg;
    memcpy(bytes, header, sizeof(header));
    memcpy(bytes + 12, &ok, sizeof(ok));
    for (size_t i = 0;; i++) {
        if (send(rig.peer, bytes + i % 20, 1, MSG_NOSIGNAL) != 1) {
            return NULL;
        }
        pause_ms(1);
    }
}

static void test_dribbling_gains_no_time(void **state)
{
    pthread_t thread;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        expect_ok(post_ack(0, NULL, NULL));
    }
    assert_int_equal(pthread_create(&thread, NULL, dribble_for_ever, NULL), 0);
    expect_end(wait_all(), -ETIMEDOUT, "SET_VRING_ENABLE",
               "no answer to SET_VRING_ENABLE within 50 ms");
    vh_chan_free(rig.chan);
    rig.chan = NULL;
    pthread_join(thread, NULL);
}

#define MANY 2000

/* A back end that reads a request only once it can send its answer. */
static void *stubborn_peer(void *arg)
{
    uint8_t request[20];

    (void)arg;
    for (unsigned i = 0; i < MANY; i++) {
        raw_receive(rig.peer, request, sizeof(request));
        peer_acks(1, 0); /* blocks while the front end does not read */
    }
    return NULL;
}

static void test_neither_side_wedges_the_other(void **state)
{
    int small = 1;
    struct told told = { 0 };
    pthread_t thread;

    (void)state;
    setsockopt(vh_chan_fd(rig.chan), SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    setsockopt(rig.peer, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    for (int i = 0; i < MANY; i++) {
        expect_ok(post_ack(i % 8, tell, &told));
    }
    assert_int_equal(pthread_create(&thread, NULL, stubborn_peer, NULL), 0);
    expect_ok(wait_all());
    pthread_join(thread, NULL);
    assert_int_equal(told.n, MANY);
    assert_int_equal(stats().replies, MANY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define IMPATIENT(name) \
    cmocka_unit_test_setup_teardown(name, setup_impatient, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_brings_the_answer),
        TEST(test_only_those_that_want_an_ack_ask_for_one),
        TEST(test_waiting_for_nothing_sends_what_is_queued),
        TEST(test_a_batch_costs_one_round_trip),
        TEST(test_answers_go_to_their_requests),
        TEST(test_fds_of_an_answer_are_given_to_the_caller),
        TEST(test_fds_amid_a_batch_find_their_answer),
        TEST(test_reading_in_bulk_goes_on_after_fds),
        TEST(test_fds_that_nobody_takes_are_closed),
        TEST(test_a_request_without_a_row_has_no_answer),
        TEST(test_a_refusal_is_reported_once_and_the_channel_goes_on),
        TEST(test_a_refusal_without_a_queue_names_none),
        TEST(test_an_answer_without_sense_counts_as_refusal),
        TEST(test_fds_of_an_answer_are_closed_if_the_call_fails),
        TEST(test_words_may_be_refused),
        TEST(test_done_may_post_and_the_wait_goes_on),
        TEST(test_what_done_posts_in_dispatch_is_sent),
        TEST(test_done_can_not_revive_a_channel),
        IMPATIENT(test_a_peer_that_never_answers_is_given_up),
        IMPATIENT(test_an_answer_too_few_is_missed),
        IMPATIENT(test_a_peer_that_reads_nothing_is_given_up),
        TEST(test_posting_has_an_end_and_it_is_no_fault),
        TEST(test_the_answer_to_another_request_is_a_fault),
        TEST(test_a_request_instead_of_an_answer_is_a_fault),
        TEST(test_an_answer_of_another_version_is_a_fault),
        TEST(test_an_answer_too_short_is_a_fault),
        TEST(test_an_answer_too_long_is_a_fault),
        TEST(test_an_answer_longer_than_any_is_a_fault),
        TEST(test_an_fd_where_none_is_due_is_a_fault),
        TEST(test_too_many_fds_are_a_fault),
        TEST(test_two_fds_where_one_is_due_are_a_fault),
        TEST(test_an_ack_with_an_fd_is_a_fault),
        TEST(test_sizes_with_a_range_say_so),
        TEST(test_a_peer_that_closes_is_gone),
        TEST(test_a_peer_that_closes_midway_is_gone),
        TEST(test_the_last_words_of_a_peer_are_heard),
        TEST(test_freeing_answers_what_is_due),
        TEST(test_dispatch_does_what_goes_without_waiting),
        TEST(test_a_message_that_nobody_asked_for_is_a_fault),
        TEST(test_dispatch_sees_that_the_peer_is_gone),
        TEST(test_rubbish_where_nothing_is_due_is_a_fault),
        TEST(test_times_are_told_in_the_unit_that_fits),
        IMPATIENT(test_patience_is_what_the_request_asks_for),
        IMPATIENT(test_a_channel_in_a_hurry_has_no_patience),
        IMPATIENT(test_what_done_posts_has_its_own_patience),
        TEST(test_an_answer_may_dribble_in),
        IMPATIENT(test_dribbling_gains_no_time),
        TEST(test_neither_side_wedges_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
