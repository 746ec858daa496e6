/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is due stands in a ring buffer, oldest first: a back end answers in
 * the order of the requests, so an answer belongs to the first entry, or is a
 * fault.
 *
 * Receiving is in bulk as long as no answer that is due may carry an fd, by
 * the table; acknowledgements of a whole start then come in a few calls.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"
#include "wire/chan.h"
#include "wire/sock.h"

struct due {
    uint16_t request;
    bool ack;
    bool may_carry_fd;
    uint8_t patience;
    int queue;
    vh_chan_done_fn *done;
    void *arg;
};

struct vh_chan {
    struct vh_sock *sock;
    struct vh_chan_options options;
    uint64_t round_trips;
    uint64_t poll_calls;

    struct due *due; /* a ring buffer of due_room entries */
    size_t due_room; /* a power of two */
    size_t due_first;
    size_t n_due;
    size_t n_fd_due; /* those that may carry an fd */

    int fault;
    struct vhost_error *fault_error;
    struct vhost_error *refusal; /* the first since the last wait */
    struct vh_msg msg;           /* being received */
};

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
    *chanp = chan;
    return 0;
}

static const char *name_of(const struct due *due)
{
    return vh_msg_name(VH_FROM_FRONT, due->request);
}

static struct due pop_due(struct vh_chan *chan)
{
    struct due due = chan->due[chan->due_first];

    chan->due_first = (chan->due_first + 1) & (chan->due_room - 1);
    chan->n_due--;
    chan->n_fd_due -= due.may_carry_fd;
    return due;
}

static int grow_due(struct vh_chan *chan)
{
    size_t room = chan->due_room ? chan->due_room * 2 : 64;
    struct due *due;

    if (chan->n_due < chan->due_room) {
        return 0;
    }
    due = calloc(room, sizeof(*due));
    if (!due) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < chan->n_due; i++) {
        due[i] = chan->due[(chan->due_first + i) & (chan->due_room - 1)];
    }
    free(chan->due);
    chan->due = due;
    chan->due_room = room;
    chan->due_first = 0;
    return 0;
}

/* Ends the channel: everything that is due is answered with the fault. */
static int fail(struct vh_chan *chan, int code, struct vhost_error *error)
{
    chan->fault = code;
    chan->fault_error = error;
    while (chan->n_due > 0) {
        struct due due = pop_due(chan);

        if (due.done) {
            due.done(due.arg, code, NULL, NULL);
        }
    }
    return code;
}

static int fail_gone(struct vh_chan *chan, int code, const char *why)
{
    const struct due *due = &chan->due[chan->due_first];
    struct vhost_error *error = NULL;
    const char *what = why ? why : "closed the connection";

    if (code != -ECONNRESET) {
        what = strerror(-code);
    }
    if (chan->n_due > 0) {
        vh_error(&error, code, name_of(due), due->queue,
                 "the back end %s while an answer to %s was due", what,
                 name_of(due));
    } else {
        vh_error(&error, code, "recvmsg", VH_NO_QUEUE, "the back end %s", what);
    }
    return fail(chan, code, error);
}

static int fail_protocol(struct vh_chan *chan, const char *request, int queue,
                         const char *why)
{
    struct vhost_error *error = NULL;

    vh_error(&error, -EPROTO, request, queue,
             "the back end broke the protocol in its answer to %s: %s", request,
             why);
    return fail(chan, -EPROTO, error);
}

static int fail_late(struct vh_chan *chan, unsigned ms)
{
    const struct due *due = &chan->due[chan->due_first];
    struct vhost_error *error = NULL;

    vh_error(&error, -ETIMEDOUT, name_of(due), due->queue,
             "no answer to %s within %g s", name_of(due), ms / 1000.0);
    return fail(chan, -ETIMEDOUT, error);
}

void vh_chan_free(struct vh_chan *chan)
{
    if (!chan) {
        return;
    }
    if (!chan->fault) {
        fail(chan, -ECONNRESET, NULL);
    }
    vh_sock_free(chan->sock);
    vh_error_clear(&chan->fault_error);
    vh_error_clear(&chan->refusal);
    free(chan->due);
    free(chan);
}

static bool reply_may_carry_fd(uint32_t request)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, request);

    return row && row->reply_fds_max > 0;
}

int vh_chan_post(struct vh_chan *chan, const struct vh_msg *msg,
                 enum vh_expect expect, enum vh_patience patience, int queue,
                 vh_chan_done_fn *done, void *arg)
{
    uint32_t flags = msg->flags;
    struct vh_msg *copy = (struct vh_msg *)msg;
    int r = chan->fault;

    if (r == 0 && expect != VH_EXPECT_NOTHING) {
        r = grow_due(chan);
    }
    if (r == 0) {
        /* Only the header is ours to change, and only for the copy. */
        copy->flags |= expect == VH_EXPECT_ACK ? VH_MSG_F_NEED_REPLY : 0;
        r = vh_sock_queue(chan->sock, copy);
        copy->flags = flags;
    }
    if (r < 0 || expect == VH_EXPECT_NOTHING) {
        return r;
    }
    chan->due[(chan->due_first + chan->n_due) & (chan->due_room - 1)] =
        (struct due){
            .request = (uint16_t)msg->request,
            .ack = expect == VH_EXPECT_ACK,
            .may_carry_fd =
                expect == VH_EXPECT_REPLY && reply_may_carry_fd(msg->request),
            .patience = (uint8_t)patience,
            .queue = queue,
            .done = done,
            .arg = arg,
        };
    chan->n_fd_due +=
        expect == VH_EXPECT_REPLY && reply_may_carry_fd(msg->request);
    chan->n_due++;
    return 0;
}

static void refuse(struct vh_chan *chan, const struct due *due, uint64_t value)
{
    char which[32] = "";

    if (due->queue >= 0) {
        snprintf(which, sizeof(which), " for queue %d", due->queue);
    }
    vh_error(&chan->refusal, -EREMOTEIO, name_of(due), due->queue,
             "the back end refused %s%s: error %llu", name_of(due), which,
             (unsigned long long)value);
}

/* An answer, for the request that waits longest. */
static int match(struct vh_chan *chan, struct vh_msg *msg)
{
    const char *why = NULL;
    struct due due;
    int result = 0;

    if (chan->n_due == 0) {
        vh_msg_close_fds(msg);
        return fail_protocol(chan, vh_msg_name(VH_FROM_FRONT, msg->request),
                             VH_NO_QUEUE, "nothing was asked");
    }
    due = chan->due[chan->due_first];
    if (vh_msg_check_reply(VH_FROM_FRONT, due.request, due.ack, msg, &why) <
        0) {
        vh_msg_close_fds(msg);
        return fail_protocol(chan, name_of(&due), due.queue, why);
    }
    pop_due(chan);
    if (due.ack && msg->payload.u64 != 0) {
        refuse(chan, &due, msg->payload.u64);
        result = -EREMOTEIO;
    }
    if (due.done) {
        struct vhost_error *error = NULL;
        int r = due.done(due.arg, result, result ? NULL : msg, &error);

        if (r < 0 && result == 0) {
            vh_error(&error, r, name_of(&due), due.queue,
                     "the answer to %s makes no sense", name_of(&due));
            vh_error_move(&chan->refusal, &error);
        }
        vh_error_clear(&error);
    }
    vh_msg_close_fds(msg);
    return 0;
}

/* Takes everything that has come.  Return: 0 or the fault. */
static int receive_all(struct vh_chan *chan)
{
    const char *why = NULL;

    while (!chan->fault) {
        int r =
            vh_sock_receive(chan->sock, &chan->msg, chan->n_fd_due == 0, &why);

        if (r == 0) {
            break;
        }
        if (r == 1) {
            match(chan, &chan->msg);
        } else if (r == -EPROTO) {
            const struct due *due = &chan->due[chan->due_first];

            fail_protocol(chan, chan->n_due ? name_of(due) : "nothing",
                          chan->n_due ? due->queue : VH_NO_QUEUE, why);
        } else {
            fail_gone(chan, r, why);
        }
    }
    return chan->fault;
}

static int send_all(struct vh_chan *chan)
{
    int r = chan->fault ? chan->fault : vh_sock_send(chan->sock);

    if (r < 0 && !chan->fault) {
        /* The peer may have said why before it went. */
        receive_all(chan);
        if (!chan->fault) {
            fail_gone(chan, r, NULL);
        }
    }
    return chan->fault;
}

/* The longest that anything which is due may take. */
static unsigned limit_ms(const struct vh_chan *chan)
{
    unsigned ms = chan->options.deadline_ms;

    for (size_t i = 0; i < chan->n_due; i++) {
        const struct due *due =
            &chan->due[(chan->due_first + i) & (chan->due_room - 1)];

        if (due->patience == VH_PATIENCE_LONG &&
            chan->options.long_deadline_ms > ms) {
            ms = chan->options.long_deadline_ms;
        }
    }
    return ms;
}

static int fault_or_refusal(struct vh_chan *chan, struct vhost_error **errp)
{
    int r = chan->fault;

    if (r) {
        vh_error_copy(errp, chan->fault_error);
        vh_error_clear(&chan->refusal);
        return r;
    }
    if (chan->refusal) {
        r = vhost_error_code(chan->refusal);
        vh_error_move(errp, &chan->refusal);
        vh_error_clear(&chan->refusal);
    }
    return r;
}

/* Moves what can be moved until all is sent and answered, or time is up. */
static void pump(struct vh_chan *chan, unsigned ms)
{
    int64_t deadline = vh_deadline_in(ms);

    while (send_all(chan) == 0 &&
           (chan->n_due > 0 || vh_sock_wants_send(chan->sock))) {
        struct pollfd fd = {
            .fd = vh_sock_fd(chan->sock),
            .events = POLLIN,
        };
        int r;

        if (vh_sock_wants_send(chan->sock)) {
            fd.events |= POLLOUT;
        }
        r = poll(&fd, 1, vh_deadline_left_ms(deadline));
        chan->poll_calls++;
        if (r > 0 && (fd.revents & ~POLLOUT)) {
            receive_all(chan);
        } else if (r == 0 || vh_deadline_passed(deadline)) {
            if (chan->n_due > 0) {
                fail_late(chan, ms);
            } else {
                fail_gone(chan, -ETIMEDOUT, NULL);
            }
        }
    }
}

int vh_chan_wait(struct vh_chan *chan, struct vhost_error **errp)
{
    if (!chan->fault) {
        chan->round_trips += chan->n_due > 0;
        pump(chan, limit_ms(chan));
    }
    return fault_or_refusal(chan, errp);
}

static int keep_reply(void *arg, int result, struct vh_msg *reply,
                      struct vhost_error **errp)
{
    struct vh_msg *keep = arg;

    (void)errp;
    if (result == 0 && keep) {
        *keep = *reply;
        reply->n_fds = 0; /* they are the caller's now */
    }
    return 0;
}

int vh_chan_call(struct vh_chan *chan, const struct vh_msg *msg,
                 enum vh_expect expect, enum vh_patience patience, int queue,
                 struct vh_msg *reply, struct vhost_error **errp)
{
    int r = vh_chan_post(chan, msg, expect, patience, queue,
                         expect == VH_EXPECT_REPLY ? keep_reply : NULL, reply);

    if (r < 0 && !chan->fault) {
        return vh_error(errp, r, vh_msg_name(VH_FROM_FRONT, msg->request),
                        queue, "%s can't be sent: %s",
                        vh_msg_name(VH_FROM_FRONT, msg->request), strerror(-r));
    }
    return vh_chan_wait(chan, errp);
}

int vh_chan_dispatch(struct vh_chan *chan, struct vhost_error **errp)
{
    if (send_all(chan) == 0) {
        receive_all(chan);
    }
    if (chan->fault) {
        vh_error_copy(errp, chan->fault_error);
    }
    return chan->fault;
}

int vh_chan_fault(const struct vh_chan *chan)
{
    return chan->fault;
}

unsigned vh_chan_n_due(const struct vh_chan *chan)
{
    return (unsigned)chan->n_due;
}

int vh_chan_fd(const struct vh_chan *chan)
{
    return vh_sock_fd(chan->sock);
}

void vh_chan_get_stats(const struct vh_chan *chan, struct vh_chan_stats *stats)
{
    struct vh_sock_stats sock;

    vh_sock_get_stats(chan->sock, &sock);
    *stats = (struct vh_chan_stats){
        .messages = sock.messages,
        .replies = sock.received,
        .round_trips = chan->round_trips,
        .send_calls = sock.send_calls,
        .recv_calls = sock.recv_calls,
        .poll_calls = chan->poll_calls,
    };
}
