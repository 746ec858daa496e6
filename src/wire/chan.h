/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The front end's channel: requests out, answers matched to them.
 *
 * post() queues a request and returns; what is due in answer waits in a list,
 * in the order of the requests, since a back end answers in order.  wait()
 * sends, receives and matches until nothing is due or the deadline passes;
 * try_wait() comes back instead; call() is post and wait.  Reading goes on while
 * writing is blocked, so that neither side can wedge the other.
 *
 * A fault of the connection (gone, too late, against the protocol) is final:
 * every later call returns it, and whatever was due is answered with it.  A
 * back end that refuses a request (an ack other than 0) is not a fault: the
 * next wait() returns the first refusal, and the channel goes on.
 *
 * Threads: one at a time.
 */
#ifndef VH_WIRE_CHAN_H
#define VH_WIRE_CHAN_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/error.h>

#include "wire/codec.h"

struct vh_chan;

/* What shall come back. */
enum vh_expect {
    VH_EXPECT_NOTHING,
    VH_EXPECT_ACK,   /* sets need_reply; the caller knows REPLY_ACK is on */
    VH_EXPECT_REPLY, /* an answer of its own */
};

/* A class of deadline. */
enum vh_patience { VH_PATIENCE_SHORT, VH_PATIENCE_LONG };

/**
 * vh_chan_done_fn - an answer has come, or never will
 * @arg: as posted
 * @result: 0, -EREMOTEIO if the back end refused, or the channel's fault
 * @reply: the answer if @result is 0, else NULL; fds still in it when the
 *     function returns are closed
 *
 * Must not call into the channel, except post().  Return 0, or a negative
 * errno to say that the answer makes no sense: that counts as a refusal, with
 * @errp for its words.
 */
typedef int vh_chan_done_fn(void *arg, int result, struct vh_msg *reply,
                            struct vhost_error **errp);

struct vh_chan_options {
    unsigned deadline_ms;
    unsigned long_deadline_ms;
};

struct vh_chan_stats {
    uint64_t messages;    /* posted */
    uint64_t replies;     /* answers that were due, and came */
    uint64_t round_trips; /* waits that found something due */
    uint64_t send_calls;
    uint64_t recv_calls;
    uint64_t poll_calls;
};

/** vh_chan_new() - over a connected socket
 * @chanp: where to; untouched on failure
 * @fd: given, also on failure
 * @options: copied; 0 or a negative errno is returned
 */
int vh_chan_new(struct vh_chan **chanp, int fd,
                const struct vh_chan_options *options);

/** vh_chan_free() - close it; what is due is answered with -ECONNRESET */
void vh_chan_free(struct vh_chan *chan);

/** vh_chan_post() - queue a request
 * @msg: copied; its fds are lent until the next vh_chan_wait() has returned
 * @expect: what comes back
 * @patience: deadline of the answer, counted from the wait.  One wait has one
 *     deadline: the longest that anything due asks for
 * @queue: virtio queue index for messages, or -1
 * @done: called with the answer; or NULL
 * @arg: for @done
 *
 * What done() posts while a wait goes on belongs to that wait.
 *
 * Return: 0; the channel's fault if it has one; -EINVAL if an answer to a
 * request without a row is expected; -ENOMEM; -ENOBUFS if the back end takes
 * nothing and too much waits.
 */
int vh_chan_post(struct vh_chan *chan, const struct vh_msg *msg,
                 enum vh_expect expect, enum vh_patience patience, int queue,
                 vh_chan_done_fn *done, void *arg);

/** vh_chan_wait() - send everything, and wait for everything that is due
 * @errp: the fault, or the first refusal since the last wait
 *
 * Return: 0; -EREMOTEIO if the back end refused something, or what a done()
 * returned; -ETIMEDOUT, -ECONNRESET, -EPROTO, or what the socket failed with,
 * on a fault, which is final: vh_chan_fault() tells one from the other.
 */
int vh_chan_wait(struct vh_chan *chan, struct vhost_error **errp);

/** vh_chan_try_wait() - the same, or -EINPROGRESS; the deadline counts from the
 * first of the calls up to one that returns something else */
int vh_chan_try_wait(struct vh_chan *chan, struct vhost_error **errp);

/** vh_chan_left_ms() - after -EINPROGRESS: when to try again at the latest */
unsigned vh_chan_left_ms(const struct vh_chan *chan);

/** vh_chan_call() - post one request and wait
 * @msg: the request
 * @reply: where the answer goes, with its fds (given to the caller); for
 *     VH_EXPECT_REPLY, else NULL
 *
 * Return: as vh_chan_wait().
 */
int vh_chan_call(struct vh_chan *chan, const struct vh_msg *msg,
                 enum vh_expect expect, enum vh_patience patience, int queue,
                 struct vh_msg *reply, struct vhost_error **errp);

/** vh_chan_dispatch() - send and receive what goes without waiting; 0, or the
 * fault: a message that nobody asked for is one */
int vh_chan_dispatch(struct vh_chan *chan, struct vhost_error **errp);

/* Must not call into the channel, except post() and set_side().  Return 0, or
 * a negative errno, with words, that ends the channel. */
typedef int vh_chan_side_fn(void *arg, struct vhost_error **errp);

/** vh_chan_set_side() - serve another fd, lent, while waiting and at dispatch;
 * -1: none any more */
void vh_chan_set_side(struct vh_chan *chan, int fd, vh_chan_side_fn *serve,
                      void *arg);

/** vh_chan_hurry() - from now on every answer has the short deadline */
void vh_chan_hurry(struct vh_chan *chan);

/** vh_chan_fault() - 0, or the negative errno that ended the channel */
int vh_chan_fault(const struct vh_chan *chan);

/** vh_chan_n_due() - how many answers are due */
unsigned vh_chan_n_due(const struct vh_chan *chan);
int vh_chan_fd(const struct vh_chan *chan);

void vh_chan_get_stats(const struct vh_chan *chan, struct vh_chan_stats *stats);

#endif
