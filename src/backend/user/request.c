/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posting and waiting.
 *
 * Acks.  A request is posted with need_reply if its row in the protocol's
 * table says that its ack is worth waiting for, and REPLY_ACK is in use.
 * Without REPLY_ACK the same knowledge comes from a barrier: a back end
 * serves requests in order, so the answer to a GET_FEATURES says that all
 * before it are done.  One barrier covers any number of requests, so it is
 * sent by sync and not by post.
 *
 * A start has several messages for a queue, and a back end that can't do as
 * KICK, CALL or ERR say has lost its queue, or its connection: the answer to
 * ENABLE tells.  So they go without, since each ack is a system call of a back
 * end that is to start 64 queues.  To mask a queue is another thing: whoever
 * does wants to know that the old fd is used no more.
 *
 * Whose refusal.  Any thread may mask a queue, which is a post of
 * SET_VRING_CALL and a sync, while the control thread has posted and not yet
 * waited.  Whoever waits receives for both.  So each post remembers who made
 * it: a refused SET_VRING_CALL of another thread is told to that thread, all
 * else to the control thread, whenever that syncs next.
 *
 * A fault of the connection is told to everybody, at once and without I/O.
 */
#include "backend/user/postcopy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "backend/ops.h"
#include "util/atomic.h"
#include "util/error.h"

/*
 * A request that is answered later: the channel's, until it is; one of another
 * thread stays in a list beyond that, until its thread syncs.
 */
struct vh_user_post {
    TAILQ_ENTRY(vh_user_post) entry;
    struct vhost_user *user;
    vh_user_answer_fn *answer;
    uint32_t request;
    int queue;
    bool foreign;
    pthread_t thread;
    struct vhost_error *error;
};

/* The fault, in the words of the first who saw it. */
static int tell_fault(struct vhost_user *user, struct vhost_error **errp)
{
    vh_error_copy(errp, user->fault_error);
    return user->fault;
}

/*
 * A back end that does not answer, or is gone, can come back; one that breaks
 * the protocol can't be talked to, whatever it does next.
 */
static int take_fault(struct vhost_user *user, struct vhost_error **errp)
{
    struct vhost_dev *dev = user->dev;
    int fault = vh_chan_fault(user->chan);

    if (user->fault != 0) {
        vh_error_clear(errp);
        return tell_fault(user, errp);
    }
    if (!*errp) {
        vh_error(errp, fault, "vhost-user", VH_NO_QUEUE,
                 "the connection is broken");
    }
    if (!user->spoke && fault != -ETIMEDOUT) {
        vh_error_prefix(errp, "%s: does not speak vhost-user", user->name);
    } else {
        vh_error_prefix(errp, "%s", user->name);
    }
    vh_error_copy(&user->fault_error, *errp);
    /* One that hangs: the loops of both sides are to hear that it is over. */
    shutdown(vh_chan_fd(user->chan), SHUT_RDWR);
    VH_WRITE_ONCE(user->fault, fault);
    if (dev->state != VHOST_DEV_BROKEN) {
        VH_WRITE_ONCE(dev->state,
                      fault == -EPROTO ? VHOST_DEV_BROKEN : VHOST_DEV_LOST);
    }
    return fault;
}

/* Lock, and see whether there is anybody to talk to.  A device that failed to
 * take up the connection does not talk on that of another. */
static int lock_connected(struct vhost_dev *dev, struct vhost_user **userp)
{
    struct vhost_user *user = dev->opaque;
    struct vhost_error *err = NULL;

    *userp = user; /* always: compilers can't see that a fault is not 0 */
    pthread_mutex_lock(&user->lock);
    if (user->dev != dev || !user->chan) {
        pthread_mutex_unlock(&user->lock);
        return vh_be_fail(dev, -ENOTCONN, "vhost-user", VH_NO_QUEUE,
                          "%s: not connected", user->name);
    }
    if (user->fault != 0) {
        return vh_user_leave(user, tell_fault(user, &err), &err);
    }
    return 0;
}

int vh_user_enter(struct vhost_dev *dev, struct vhost_user **userp)
{
    int r = lock_connected(dev, userp);

    if (r == 0) {
        (*userp)->control = pthread_self();
    }
    return r;
}

int vh_user_leave(struct vhost_user *user, int r, struct vhost_error **errp)
{
    struct vhost_dev *dev = user->dev;

    pthread_mutex_unlock(&user->lock);
    vh_be_take_error(dev, errp);
    return r;
}

static enum vh_patience patience_of(uint32_t request)
{
    switch (request) {
    case VH_SET_MEM_TABLE: /* it maps, and perhaps pins, guest memory */
    case VH_ADD_MEM_REG:
    case VH_REM_MEM_REG:
    case VH_GET_VRING_BASE: /* it finishes the requests in flight */
    case VH_SET_DEVICE_STATE_FD:
    case VH_CHECK_DEVICE_STATE:
        return VH_PATIENCE_LONG;
    default:
        return VH_PATIENCE_SHORT;
    }
}

static enum vh_expect expect_ack(const struct vhost_user *user,
                                 bool *unansweredp)
{
    if (vh_user_has(user, VH_PF_REPLY_ACK)) {
        return VH_EXPECT_ACK;
    }
    *unansweredp = true;
    return VH_EXPECT_NOTHING;
}

/*
 * What comes back; *unansweredp is set if an ack would, but does not.
 * @alone: nothing that is posted later tells how it went
 */
static enum vh_expect expect_of(const struct vhost_user *user, uint32_t request,
                                bool alone, bool *unansweredp)
{
    switch (vh_msg_row(VH_FROM_FRONT, request)->reply) {
    case VH_REPLY_OWN:
        return VH_EXPECT_REPLY;
    case VH_REPLY_IF_LOG_SHMFD:
        return vh_user_has(user, VH_PF_LOG_SHMFD) ? VH_EXPECT_REPLY
                                                  : VH_EXPECT_NOTHING;
    case VH_REPLY_IF_POSTCOPY:
        if (user->listening) {
            return VH_EXPECT_REPLY;
        }
        return expect_ack(user, unansweredp);
    case VH_REPLY_ACK_COVERED:
        if (!alone) {
            *unansweredp = true;
            return VH_EXPECT_NOTHING;
        }
        return expect_ack(user, unansweredp);
    case VH_REPLY_ACK_WANTED:
    case VH_REPLY_ACK_ALWAYS:
        return expect_ack(user, unansweredp);
    default:
        return VH_EXPECT_NOTHING;
    }
}

static void free_post(struct vh_user_post *post)
{
    vh_error_clear(&post->error);
    free(post);
}

int vh_user_refused(const struct vhost_user *user, uint32_t request, int queue,
                    struct vhost_error **errp)
{
    const char *name = vh_msg_name(VH_FROM_FRONT, request);

    if (queue == VH_NO_QUEUE) {
        return vh_error(errp, -EREMOTEIO, name, queue,
                        "%s: the back end refused %s", user->name, name);
    }
    return vh_error(errp, -EREMOTEIO, name, queue,
                    "%s: the back end refused %s of queue %d", user->name, name,
                    queue);
}

/* The channel's own account of refusals is not asked: this one names whose. */
static int answered(void *arg, int result, struct vh_msg *reply,
                    struct vhost_error **errp)
{
    struct vh_user_post *post = arg;
    struct vhost_user *user = post->user;

    (void)errp;
    if (post->answer) {
        result = post->answer(user, result, reply, &post->error);
    }
    if (result == -EREMOTEIO) {
        vh_user_refused(user, post->request, post->queue, &post->error);
    }
    if (post->foreign) {
        return 0; /* stays in its list until its thread syncs */
    }
    vh_error_move(&user->refusal, &post->error);
    free_post(post);
    return 0;
}

int vh_user_post_reply(struct vhost_user *user, const struct vh_msg *msg,
                       int queue, vh_chan_done_fn *done, void *arg,
                       struct vhost_error **errp)
{
    bool unanswered = false;
    enum vh_expect expect = expect_of(user, msg->request, done, &unanswered);
    int r = vh_chan_post(user->chan, msg, expect, patience_of(msg->request),
                         queue, expect == VH_EXPECT_NOTHING ? NULL : done, arg);

    if (r == 0) {
        user->unanswered =
            expect == VH_EXPECT_NOTHING && (user->unanswered || unanswered);
        return 0;
    }
    if (vh_chan_fault(user->chan) != 0) {
        return take_fault(user, errp);
    }
    return vh_error(errp, r, vh_msg_name(VH_FROM_FRONT, msg->request), queue,
                    "%s: can't queue %s", user->name,
                    vh_msg_name(VH_FROM_FRONT, msg->request));
}

static int post(struct vhost_user *user, const struct vh_msg *msg, int queue,
                vh_user_answer_fn *answer, bool foreign,
                struct vhost_error **errp)
{
    bool unanswered = false;
    struct vh_user_post *p;
    int r;

    if (!foreign && expect_of(user, msg->request, user->dev->started,
                              &unanswered) == VH_EXPECT_NOTHING) {
        return vh_user_post_reply(user, msg, queue, NULL, NULL, errp);
    }
    p = calloc(1, sizeof(*p));
    if (!p) {
        return vh_error(errp, -ENOMEM, vh_msg_name(VH_FROM_FRONT, msg->request),
                        queue, "%s: out of memory", user->name);
    }
    *p = (struct vh_user_post){
        .user = user,
        .answer = answer,
        .request = msg->request,
        .queue = queue,
        .foreign = foreign,
        .thread = pthread_self(),
    };
    r = vh_user_post_reply(user, msg, queue, answered, p, errp);
    if (r < 0) {
        free_post(p);
    } else if (foreign) {
        TAILQ_INSERT_TAIL(&user->foreign, p, entry);
    }
    return r;
}

int vh_user_post(struct vhost_user *user, const struct vh_msg *msg, int queue,
                 vh_user_answer_fn *answer, struct vhost_error **errp)
{
    return post(user, msg, queue, answer, false, errp);
}

/* A wait has ended with @r: is it a fault? */
static int waited(struct vhost_user *user, int r, struct vhost_error **err,
                  struct vhost_error **errp)
{
    if (vh_chan_fault(user->chan) != 0) {
        r = take_fault(user, err);
        vh_error_move(errp, err);
        return r;
    }
    vh_error_clear(err);
    if (r < 0 && r != -EREMOTEIO) {
        return vh_error(errp, r, "wait", VH_NO_QUEUE, "%s: can't wait",
                        user->name);
    }
    return 0;
}

int vh_user_wait(struct vhost_user *user, struct vhost_error **errp)
{
    struct vhost_error *err = NULL;
    int r = vh_chan_wait(user->chan, &err);

    return waited(user, r, &err, errp);
}

struct call {
    int result;
    struct vh_msg *reply;
};

static int call_done(void *arg, int result, struct vh_msg *reply,
                     struct vhost_error **errp)
{
    struct call *call = arg;

    (void)errp;
    call->result = result;
    if (result == 0 && call->reply) {
        *call->reply = *reply;
        reply->n_fds = 0; /* they are the caller's now */
    }
    return 0;
}

/* Its answer says that the back end has seen all that was posted before. */
static int post_barrier(struct vhost_user *user, struct vhost_error **errp)
{
    struct vh_msg msg;

    if (!user->unanswered) {
        return 0;
    }
    vh_msg_init(&msg, VH_GET_FEATURES);
    return vh_user_post_reply(user, &msg, VH_NO_QUEUE, NULL, NULL, errp);
}

static int barrier(struct vhost_user *user, struct vhost_error **errp)
{
    int r = post_barrier(user, errp);
    /* Even then: answers may be due into the frame of a caller. */
    int r_wait = vh_user_wait(user, errp);

    return r < 0 ? r : r_wait;
}

int vh_user_call(struct vhost_user *user, const struct vh_msg *msg, int queue,
                 struct vh_msg *reply, struct vhost_error **errp)
{
    struct call call = { .result = 0, .reply = reply };
    int r = vh_user_post_reply(user, msg, queue, call_done, &call, errp);

    if (r == 0) {
        r = barrier(user, errp);
    }
    if (r == 0 && call.result < 0) {
        r = vh_user_refused(user, msg->request, queue, errp);
    }
    return r;
}

int vh_user_post_one(struct vhost_dev *dev, const struct vh_msg *msg, int queue)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r == 0) {
        r = vh_user_leave(user, post(user, msg, queue, NULL, false, &err),
                          &err);
    }
    return r;
}

int vh_user_post_any(struct vhost_dev *dev, const struct vh_msg *msg, int queue)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    bool foreign;
    int r = lock_connected(dev, &user);

    if (r == 0) {
        foreign = !pthread_equal(user->control, pthread_self());
        r = vh_user_leave(user, post(user, msg, queue, NULL, foreign, &err),
                          &err);
    }
    return r;
}

/* What this thread should hear of: see the top of this file. */
static int collect(struct vhost_user *user, struct vhost_error **errp)
{
    struct vh_user_post *next;
    bool mine = false;

    for (struct vh_user_post *p = TAILQ_FIRST(&user->foreign); p; p = next) {
        next = TAILQ_NEXT(p, entry);
        if (pthread_equal(p->thread, pthread_self())) {
            TAILQ_REMOVE(&user->foreign, p, entry);
            vh_error_move(errp, &p->error);
            free_post(p);
            mine = true;
        }
    }
    if (!mine) {
        vh_error_move(errp, &user->refusal);
    }
    return vhost_error_code(*errp);
}

int vh_user_sync(struct vhost_dev *dev)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = lock_connected(dev, &user);

    if (r < 0) {
        return r;
    }
    r = barrier(user, &err);
    if (r == 0) {
        r = collect(user, &err);
    }
    return vh_user_leave(user, r, &err);
}

/* Nothing is due for another to wait for; that one would read for us too. */
#define LOCKED_MS 1

int vh_user_try_wait(struct vhost_user *user, struct vhost_error **errp)
{
    struct vhost_error *err = NULL;
    int r = vh_chan_try_wait(user->chan, &err);

    return r == -EINPROGRESS ? r : waited(user, r, &err, errp);
}

int vh_user_try_sync(struct vhost_dev *dev)
{
    struct vhost_user *user = dev->opaque;
    struct vhost_error *err = NULL;
    int r;

    if (pthread_mutex_trylock(&user->lock) != 0) {
        return -EINPROGRESS;
    }
    r = lock_connected(dev, &user); /* and count: it is recursive */
    pthread_mutex_unlock(&user->lock);
    if (r < 0) {
        return r;
    }
    r = post_barrier(user, &err);
    if (r == 0) {
        r = vh_user_try_wait(user, &err);
    }
    if (r == 0) {
        r = collect(user, &err);
    }
    return vh_user_leave(user, r, &err);
}

unsigned vh_user_get_timeout(struct vhost_dev *dev)
{
    struct vhost_user *user = dev->opaque;
    unsigned ms = LOCKED_MS;

    if (pthread_mutex_trylock(&user->lock) == 0) {
        ms = user->chan ? vh_chan_left_ms(user->chan) : 0;
        pthread_mutex_unlock(&user->lock);
    }
    return ms;
}

/*
 * If another thread is waiting for an answer, it reads, and there is nothing
 * to do here; to wait for the lock would be to wait for the back end.
 */
int vh_user_dispatch(struct vhost_dev *dev)
{
    struct vhost_user *user = dev->opaque;
    struct vhost_error *err = NULL;
    int r = 0;

    if (pthread_mutex_trylock(&user->lock) != 0) {
        return 0;
    }
    if (user->dev != dev || !user->chan) {
        pthread_mutex_unlock(&user->lock);
        return vh_be_fail(dev, -ENOTCONN, "vhost-user", VH_NO_QUEUE,
                          "%s: not connected", user->name);
    }
    if (user->fault == 0) {
        r = vh_chan_dispatch(user->chan, &err);
    }
    if (vh_chan_fault(user->chan) != 0) {
        r = take_fault(user, &err) == -EPROTO ? -EPROTO : -ENOTCONN;
    }
    return vh_user_leave(user, r, &err);
}

void vh_user_hurry(struct vhost_user *user)
{
    pthread_mutex_lock(&user->lock);
    if (user->chan) {
        vh_chan_hurry(user->chan);
    }
    pthread_mutex_unlock(&user->lock);
}

void vh_user_disconnect(struct vhost_user *user)
{
    struct vh_user_post *p;

    vh_chan_free(user->chan);
    user->chan = NULL;
    vh_user_close_side(user);
    while ((p = TAILQ_FIRST(&user->foreign)) != NULL) {
        TAILQ_REMOVE(&user->foreign, p, entry);
        free_post(p);
    }
    vh_error_clear(&user->refusal);
    vh_error_clear(&user->fault_error);
    VH_WRITE_ONCE(user->fault, 0);
    user->spoke = false;
    free(user->bases);
    user->bases = NULL;
    user->unanswered = false;
    user->status = 0;
    user->driver_features = 0;
    user->offered = 0;
    user->protocol_offered = 0;
    user->protocol = 0;
    user->max_queues = 0;
    user->max_slots = 0;
    vh_user_forget_mem(user);
    vh_user_postcopy_free(user);
}
