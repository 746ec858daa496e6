/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is due stands in a list, oldest first; a back end answers in order, so
 * each message that comes must be the answer to the first of them.  Nothing
 * is searched, and an answer out of order is a fault.
 *
 * wait() has one deadline for all that is due: the longest that any of it
 * asks for, counted from the beginning.  Answers that trickle in do not
 * extend it, so a peer that dribbles gains no time.
 *
 * Reading is in bulk unless something due may bring fds: with 64 acks due,
 * one recvmsg(2) rather than 128.
 *
 * done() may post, and posting may move the list: what is due is copied out
 * of the list before its done() is called.
 *
 * vhost-user specification, "Communication" and "REPLY_ACK".
 */
#include "wire/chan.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/trace.h"
#include "wire/due.h"
#include "wire/sock.h"
#include "wire/words.h"

/* Nothing wakes a caller that does not wait when the socket has room again. */
#define UNSENT_MS 1

struct vh_chan {
    struct vh_sock *sock;
    struct vh_chan_options options;
    struct vh_chan_stats stats;
    struct vh_due_list due;
    bool waiting; /* inside vh_chan_wait() */
    bool trying;  /* between two vh_chan_try_wait() */
    bool full;    /* the socket, when it was last written to */
    int side_fd;  /* to read as well; -1: none */
    vh_chan_side_fn *side;
    void *side_arg;
    unsigned patience_ms;
    int64_t deadline;
    int fault;
    struct vhost_error *error;   /* what the fault is */
    struct vhost_error *refusal; /* the first since the last wait */
};

static bool is_due(const struct vh_chan *chan)
{
    return vh_due_head(&chan->due) != NULL;
}

unsigned vh_chan_n_due(const struct vh_chan *chan)
{
    return (unsigned)(chan->due.end - chan->due.first);
}

/* The end */

/* The channel is over; chan->error has the words.  Return: @code. */
static int end_chan(struct vh_chan *chan, int code)
{
    vh_trace2(chan_fault, chan, code);
    chan->fault = code;
    while (is_due(chan)) {
        struct vh_due due = vh_due_pop(&chan->due);
        struct vhost_error *err = NULL;

        if (due.done) {
            due.done(due.arg, code, NULL, &err);
        }
        vh_error_clear(&err); /* the fault came first */
    }
    return code;
}

static int report_fault(const struct vh_chan *chan, struct vhost_error **errp)
{
    vh_error_copy(errp, chan->error);
    return chan->fault;
}

/* The socket failed, with @code, at @operation. */
static int fault_socket(struct vh_chan *chan, int code, const char *operation,
                        const char *why)
{
    const struct vh_due *due = vh_due_head(&chan->due);

    if (code == -ECONNRESET) {
        vh_words_gone(&chan->error, due);
    } else if (code == -EPROTO) {
        vh_words_framing(&chan->error, due, why);
    } else {
        vh_error(&chan->error, code, operation, VH_NO_QUEUE, "%s: %s",
                 operation, strerror(-code));
    }
    return end_chan(chan, code);
}

/* Answers */

/* Hand @reply to whoever waits for it; NULL if the back end refused. */
static void tell(struct vh_chan *chan, const struct vh_due *due,
                 struct vh_msg *reply)
{
    struct vhost_error *err = NULL;
    int r;

    if (!due->done) {
        return;
    }
    r = due->done(due->arg, reply ? 0 : -EREMOTEIO, reply, &err);
    if (r < 0) {
        vh_error(&err, r, vh_due_name(due), due->queue,
                 "the answer to %s makes no sense", vh_due_name(due));
        vh_error_move(&chan->refusal, &err);
    }
    vh_error_clear(&err);
}

/*
 * An answer that some back ends forget: if that to a later request is here, it
 * will not come any more.
 */
static void pass_forgotten(struct vh_chan *chan, const struct vh_msg *msg)
{
    const struct vh_due *head = vh_due_head(&chan->due);

    while (head->request == VH_SET_LOG_BASE && msg->request != head->request &&
           chan->due.end - chan->due.first > 1) {
        struct vh_due due = vh_due_pop(&chan->due);

        vh_error(&chan->refusal, -EREMOTEIO, vh_due_name(&due), due.queue,
                 "the back end did not answer %s", vh_due_name(&due));
        tell(chan, &due, NULL);
        head = vh_due_head(&chan->due);
    }
}

static int answer(struct vh_chan *chan, struct vh_msg *msg)
{
    const struct vh_due *head;
    const char *why = NULL;
    struct vh_due due;

    pass_forgotten(chan, msg);
    head = vh_due_head(&chan->due);
    if (vh_msg_check_reply(VH_FROM_FRONT, head->request, head->ack, msg,
                           &why)) {
        vh_words_reply(&chan->error, head, msg, why);
        return end_chan(chan, -EPROTO);
    }
    due = vh_due_pop(&chan->due);
    chan->stats.replies++;
    if (due.ack && msg->payload.u64 != 0) {
        vh_words_refused(&chan->refusal, &due, msg->payload.u64);
        tell(chan, &due, NULL);
    } else {
        tell(chan, &due, msg);
    }
    return 0;
}

static int unasked(struct vh_chan *chan, const struct vh_msg *msg)
{
    vh_words_unasked(&chan->error, msg);
    return end_chan(chan, -EPROTO);
}

/* A message has come: answer what is due, or end the channel. */
static int take_message(struct vh_chan *chan, struct vh_msg *msg)
{
    int r = is_due(chan) ? answer(chan, msg) : unasked(chan, msg);

    vh_msg_close_fds(msg);
    return r;
}

/* Read one message.  Return: 1 it was dealt with, 0 none is there, fault. */
static int receive_one(struct vh_chan *chan)
{
    struct vh_msg msg;
    const char *why = NULL;
    bool bulk = !vh_due_may_bring_fds(&chan->due);
    int r = vh_sock_receive(chan->sock, &msg, bulk, &why);

    if (r < 0) {
        return fault_socket(chan, r, "recvmsg", why);
    }
    if (r == 0) {
        return 0;
    }
    r = take_message(chan, &msg);
    return r < 0 ? r : 1;
}

/* Read what is there, but no more than what is due. */
static int receive_due(struct vh_chan *chan)
{
    int r = 1;

    while (r > 0 && is_due(chan)) {
        r = receive_one(chan);
    }
    return r < 0 ? r : 0;
}

/*
 * Send what the socket takes.  A peer that is gone may have left answers,
 * such as the refusal that explains why it went: those are read first.
 */
static int send_queued(struct vh_chan *chan)
{
    /* Who does not wait is not to be held by many messages either. */
    int r = chan->trying ? vh_sock_send_some(chan->sock)
                         : vh_sock_send(chan->sock);

    if (r >= 0) {
        chan->full = r > 0;
        return 0;
    }
    if (r == -ECONNRESET) {
        receive_due(chan);
    }
    return chan->fault ? chan->fault
                       : fault_socket(chan, r, "sendmsg", "sending failed");
}

/* Requests */

int vh_chan_new(struct vh_chan **chanp, int fd,
                const struct vh_chan_options *options)
{
    struct vh_chan *chan = calloc(1, sizeof(*chan));
    int r;

    if (!chan) {
        vh_fd_close(&fd);
        return -ENOMEM;
    }
    r = vh_sock_new(&chan->sock, fd);
    if (r < 0) {
        free(chan);
        return r;
    }
    chan->options = *options;
    chan->side_fd = -1;
    *chanp = chan;
    return 0;
}

void vh_chan_free(struct vh_chan *chan)
{
    if (!chan) {
        return;
    }
    assert(!chan->waiting);
    if (!chan->fault) {
        end_chan(chan, -ECONNRESET);
    }
    vh_sock_free(chan->sock);
    vh_error_clear(&chan->error);
    vh_error_clear(&chan->refusal);
    vh_due_cleanup(&chan->due);
    free(chan);
}

static unsigned patience_ms(const struct vh_chan *chan,
                            enum vh_patience patience)
{
    return patience == VH_PATIENCE_LONG ? chan->options.long_deadline_ms
                                        : chan->options.deadline_ms;
}

static void set_deadline(struct vh_chan *chan, unsigned ms)
{
    chan->patience_ms = ms;
    chan->deadline = vh_deadline_in(ms);
}

/* The longest patience that anything due asks for. */
static void begin_wait(struct vh_chan *chan)
{
    unsigned longest = patience_ms(chan, VH_PATIENCE_SHORT);

    for (size_t i = chan->due.first; i < chan->due.end; i++) {
        unsigned ms = patience_ms(chan, chan->due.list[i].patience);

        longest = ms > longest ? ms : longest;
    }
    set_deadline(chan, longest);
    chan->stats.round_trips += is_due(chan) ? 1 : 0;
}

/* A request posted by done() has its patience from now. */
static void extend_wait(struct vh_chan *chan, unsigned ms)
{
    if ((chan->waiting || chan->trying) &&
        vh_deadline_in(ms) > chan->deadline) {
        set_deadline(chan, ms);
    }
}

static int queue_message(struct vh_chan *chan, const struct vh_msg *msg,
                         uint32_t flags)
{
    int r = vh_sock_queue_flags(chan->sock, msg, flags);

    if (r != -ENOBUFS) {
        return r;
    }
    /* An error is left to wait(): inside done() nothing may end the channel. */
    (void)vh_sock_send(chan->sock);
    return vh_sock_queue_flags(chan->sock, msg, flags);
}

int vh_chan_post(struct vh_chan *chan, const struct vh_msg *msg,
                 enum vh_expect expect, enum vh_patience patience, int queue,
                 vh_chan_done_fn *done, void *arg)
{
    const struct vh_due due = { .request = msg->request,
                                .ack = expect == VH_EXPECT_ACK,
                                .patience = patience,
                                .queue = queue,
                                .done = done,
                                .arg = arg };
    int r;

    if (chan->fault) {
        return chan->fault;
    }
    if (expect != VH_EXPECT_NOTHING &&
        !vh_msg_row(VH_FROM_FRONT, msg->request)) {
        return -EINVAL; /* nobody could check the answer */
    }
    r = vh_due_reserve(&chan->due);
    if (r == 0) {
        r = queue_message(chan, msg, due.ack ? VH_MSG_F_NEED_REPLY : 0);
    }
    if (r < 0 || expect == VH_EXPECT_NOTHING) {
        return r;
    }
    vh_due_push(&chan->due, &due);
    extend_wait(chan, patience_ms(chan, patience));
    return 0;
}

/* Waiting */

static bool is_busy(const struct vh_chan *chan)
{
    return is_due(chan) || vh_sock_wants_send(chan->sock);
}

void vh_chan_set_side(struct vh_chan *chan, int fd, vh_chan_side_fn *serve,
                      void *arg)
{
    chan->side_fd = fd;
    chan->side = serve;
    chan->side_arg = arg;
}

/* Serve what came on the other fd.  Return: 0 or the fault. */
static int serve_side(struct vh_chan *chan)
{
    int r = chan->side_fd >= 0 ? chan->side(chan->side_arg, &chan->error) : 0;

    return r < 0 ? end_chan(chan, r) : 0;
}

/* Return: events that poll(2) saw, 0 none, or the fault. */
static int poll_once(struct vh_chan *chan, int timeout_ms)
{
    struct pollfd pfds[] = { { .fd = vh_sock_fd(chan->sock) },
                             { .fd = chan->side_fd, .events = POLLIN } };
    int n;

    pfds[0].events = (short)((is_due(chan) ? POLLIN : 0) |
                             (vh_sock_wants_send(chan->sock) ? POLLOUT : 0));
    chan->stats.poll_calls++;
    n = poll(pfds, 2, timeout_ms);
    if (n < 0 && errno != EINTR) {
        return fault_socket(chan, -errno, "poll", NULL);
    }
    if (n > 0 && pfds[1].revents) {
        int r = serve_side(chan);

        if (r < 0) {
            return r;
        }
    }
    return n > 0 ? pfds[0].revents : 0;
}

/*
 * Send, poll, receive: once.  Time is looked at before poll(2), so that
 * whatever lay in the socket when the deadline passed still counts: a process
 * that was stopped for a while does not blame its peer.
 */
static int wait_once(struct vh_chan *chan, bool block)
{
    bool late;
    int r = send_queued(chan);

    if (r < 0 || !is_busy(chan)) {
        return r;
    }
    late = vh_deadline_passed(chan->deadline);
    r = poll_once(chan, block ? vh_deadline_left_ms(chan->deadline) : 0);
    if (r > 0 && (r & ~POLLOUT)) {
        r = receive_due(chan);
    }
    if (r >= 0 && late && is_busy(chan)) {
        vh_words_late(&chan->error, vh_due_head(&chan->due), chan->patience_ms);
        r = end_chan(chan, -ETIMEDOUT);
    }
    return r < 0 ? r : 0;
}

static int end_wait(struct vh_chan *chan, int r, struct vhost_error **errp)
{
    if (r < 0) {
        return report_fault(chan, errp);
    }
    r = vhost_error_code(chan->refusal);
    vh_error_move(errp, &chan->refusal);
    return r;
}

int vh_chan_wait(struct vh_chan *chan, struct vhost_error **errp)
{
    int r = 0;

    assert(!chan->waiting);
    if (chan->fault) {
        return report_fault(chan, errp);
    }
    begin_wait(chan);
    chan->trying = false; /* what that would have waited for comes here */
    chan->waiting = true;
    while (r == 0 && is_busy(chan)) {
        r = wait_once(chan, true);
    }
    chan->waiting = false;
    return end_wait(chan, r, errp);
}

int vh_chan_try_wait(struct vh_chan *chan, struct vhost_error **errp)
{
    int r = 0;

    assert(!chan->waiting);
    if (chan->fault) {
        return report_fault(chan, errp);
    }
    if (!chan->trying) {
        begin_wait(chan);
        chan->trying = true;
    }
    r = wait_once(chan, false);
    if (r == 0 && is_busy(chan)) {
        return -EINPROGRESS;
    }
    chan->trying = false;
    return end_wait(chan, r, errp);
}

unsigned vh_chan_left_ms(const struct vh_chan *chan)
{
    int left = vh_deadline_left_ms(chan->deadline);

    if (vh_sock_wants_send(chan->sock)) {
        return chan->full ? UNSENT_MS : 0;
    }
    if (left < 0) {
        return UNSENT_MS;
    }
    return (unsigned)left;
}

struct call {
    struct vh_msg *reply;
    bool answered;
};

static int call_done(void *arg, int result, struct vh_msg *reply,
                     struct vhost_error **errp)
{
    struct call *call = arg;

    (void)errp;
    if (result == 0 && call->reply) {
        *call->reply = *reply;
        reply->n_fds = 0; /* they are the caller's now */
        call->answered = true;
    }
    return 0;
}

int vh_chan_call(struct vh_chan *chan, const struct vh_msg *msg,
                 enum vh_expect expect, enum vh_patience patience, int queue,
                 struct vh_msg *reply, struct vhost_error **errp)
{
    struct call call = { .reply = reply };
    const char *name = vh_msg_name(VH_FROM_FRONT, msg->request);
    int r = vh_chan_post(chan, msg, expect, patience, queue, call_done, &call);

    if (r < 0) {
        return chan->fault ? report_fault(chan, errp)
                           : vh_error(errp, r, name, queue, "%s: %s", name,
                                      strerror(-r));
    }
    r = vh_chan_wait(chan, errp);
    if (r < 0 && call.answered) {
        vh_msg_close_fds(reply); /* something else failed: nobody looks */
    }
    return r;
}

int vh_chan_dispatch(struct vh_chan *chan, struct vhost_error **errp)
{
    int r;

    assert(!chan->waiting);
    if (!chan->fault && send_queued(chan) == 0) {
        do {
            r = receive_one(chan);
        } while (r > 0);
    }
    if (!chan->fault && serve_side(chan) == 0) {
        send_queued(chan); /* what was posted meanwhile */
    }
    return chan->fault ? report_fault(chan, errp) : 0;
}

void vh_chan_hurry(struct vh_chan *chan)
{
    chan->options.long_deadline_ms = chan->options.deadline_ms;
}

int vh_chan_fault(const struct vh_chan *chan)
{
    return chan->fault;
}

int vh_chan_fd(const struct vh_chan *chan)
{
    return vh_sock_fd(chan->sock);
}

void vh_chan_get_stats(const struct vh_chan *chan, struct vh_chan_stats *stats)
{
    struct vh_sock_stats sock;

    vh_sock_get_stats(chan->sock, &sock);
    *stats = chan->stats;
    stats->messages = sock.messages;
    stats->send_calls = sock.send_calls;
    stats->recv_calls = sock.recv_calls;
}
