/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The second channel: what this back end asks of its front end.
 *
 * Nothing here waits, neither for room nor for answers: the front end may be
 * waiting for us, and must find us at work.  A front end that has closed the
 * channel goes without; one that answers what was not asked loses it.
 *
 * vhost-user specification, "Back-end communication".
 */
#include "server/upcall.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "server/handlers.h"
#include "util/error.h"
#include "util/fd.h"

#define DUE_MAX 1024

int vh_on_set_backend_req_fd(struct vhost_server *srv, struct vh_msg *msg,
                             struct vh_msg *reply)
{
    struct vh_sock *sock;
    int r;

    (void)reply;
    vh_server_close_side(srv);
    r = vh_sock_new(&sock, msg->fds[0]);
    msg->n_fds = 0; /* given */
    if (r == 0) {
        r = vh_server_watch(srv, vh_sock_fd(sock), VH_EVENT_SIDE, 0);
        if (r < 0) {
            vh_sock_free(sock);
        }
    }
    if (r < 0) {
        srv->session.why = "it is no channel";
        return r;
    }
    srv->session.side.sock = sock;
    return 0;
}

void vh_server_close_side(struct vhost_server *srv)
{
    struct vh_side side = srv->session.side;

    if (!side.sock) {
        return;
    }
    /* Those who hear that there is no answer may ask again: in vain. */
    srv->session.side = (struct vh_side){ .sock = NULL };
    vh_server_unwatch(srv, vh_sock_fd(side.sock));
    vh_sock_free(side.sock);
    vh_fd_close_all(side.fds, side.n_fds);
    while (vh_due_head(&side.due)) {
        struct vh_due due = vh_due_pop(&side.due);

        if (due.done) {
            due.done(due.arg, -ECONNRESET, NULL, NULL);
        }
    }
    vh_due_cleanup(&side.due);
}

/* Send what goes, and hear of room if something does not. */
static int flush(struct vhost_server *srv)
{
    struct vh_side *side = &srv->session.side;
    int r = vh_sock_send(side->sock);

    if (r < 0) {
        return r;
    }
    if (r == 0) {
        vh_fd_close_all(side->fds, side->n_fds);
        side->n_fds = 0;
    }
    if (side->blocked != (r > 0)) {
        struct epoll_event event = {
            .events = EPOLLIN | (r > 0 ? (uint32_t)EPOLLOUT : 0),
            .data.u64 = (uint64_t)VH_EVENT_SIDE << 32,
        };

        side->blocked = r > 0;
        epoll_ctl(srv->epoll_fd, EPOLL_CTL_MOD, vh_sock_fd(side->sock), &event);
    }
    return 0;
}

static bool gate_is_open(const struct vhost_server *srv,
                         const struct vh_msg_row *row)
{
    if (row->gate == VH_GATE_IOMMU) {
        return vh_server_has_iommu(srv);
    }
    return row->gate < 0 || vh_server_has(srv, (unsigned)row->gate);
}

static int copy_fds(struct vh_side *side, const struct vh_msg *msg,
                    struct vh_msg *copy)
{
    *copy = *msg;
    if (side->n_fds + msg->n_fds > VH_SIDE_FDS_MAX) {
        return -ENOBUFS;
    }
    for (copy->n_fds = 0; copy->n_fds < msg->n_fds; copy->n_fds++) {
        int fd = vh_fd_dup(msg->fds[copy->n_fds]);

        if (fd < 0) {
            vh_msg_close_fds(copy);
            return fd;
        }
        copy->fds[copy->n_fds] = fd;
    }
    return 0;
}

static int queue_request(struct vh_side *side, const struct vh_msg *msg,
                         const struct vh_due *due)
{
    struct vh_msg copy;
    int r = vh_due_reserve(&side->due);

    if (r == 0) {
        r = copy_fds(side, msg, &copy);
    }
    if (r < 0) {
        return r;
    }
    r = vh_sock_queue_flags(side->sock, &copy,
                            due && due->ack ? VH_MSG_F_NEED_REPLY : 0);
    if (r < 0) {
        vh_msg_close_fds(&copy);
        return r;
    }
    memcpy(side->fds + side->n_fds, copy.fds, copy.n_fds * sizeof(*copy.fds));
    side->n_fds += copy.n_fds;
    if (due) {
        vh_due_push(&side->due, due);
    }
    return 0;
}

int vh_server_ask(struct vhost_server *srv, const struct vh_msg *msg,
                  vh_chan_done_fn *done, void *arg)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_BACK, msg->request);
    struct vh_side *side = &srv->session.side;
    bool own = row->reply == VH_REPLY_OWN;
    bool answered = own || (done && vh_server_has(srv, VH_PF_REPLY_ACK));
    const struct vh_due due = {
        .request = msg->request, .ack = !own, .done = done, .arg = arg
    };
    int r;

    if (!side->sock) {
        return -ENOTCONN;
    }
    if (!gate_is_open(srv, row)) {
        return -ENOTSUP;
    }
    if (side->due.end - side->due.first >= DUE_MAX) {
        return -ENOBUFS;
    }
    r = queue_request(side, msg, answered ? &due : NULL);
    if (r < 0) {
        return r;
    }
    if (flush(srv) < 0) {
        vh_server_close_side(srv); /* which tells @done, if it waits */
    }
    if (done && !answered) {
        done(arg, 0, NULL, NULL);
    }
    return 0;
}

static const char *take_answer(struct vh_side *side, struct vh_msg *msg)
{
    const struct vh_due *head = vh_due_head(&side->due);
    const char *why = "an answer to nothing";
    struct vh_due due;
    bool refused;

    if (!head || vh_msg_check_reply(VH_FROM_BACK, head->request, head->ack, msg,
                                    &why) < 0) {
        return why;
    }
    due = vh_due_pop(&side->due);
    refused = msg->payload.u64 != 0;
    if (due.done) {
        due.done(due.arg, refused ? -EREMOTEIO : 0, refused ? NULL : msg, NULL);
    }
    return NULL;
}

/* Return: why the channel is over; or NULL. */
static const char *take_answers(struct vhost_server *srv)
{
    const char *why = "the front end has closed it";

    while (srv->session.side.sock) {
        struct vh_msg msg;
        int r = vh_sock_receive(srv->session.side.sock, &msg, false, &why);

        if (r <= 0) {
            return r < 0 ? why : NULL;
        }
        why = take_answer(&srv->session.side, &msg);
        vh_msg_close_fds(&msg);
        if (why) {
            return why;
        }
    }
    return NULL;
}

void vh_server_on_side(struct vhost_server *srv)
{
    const char *why;

    if (!srv->session.side.sock) {
        return;
    }
    why = take_answers(srv);
    if (!why && srv->session.side.sock && flush(srv) < 0) {
        why = "the front end has closed it";
    }
    if (why) {
        vh_server_log(srv, "no second channel any more: %s", why);
        vh_server_close_side(srv);
    }
}

/* In band */

static struct vh_sbell *bell_of(struct vh_squeue *q, uint32_t request)
{
    return request == VH_BACK_VRING_CALL ? &q->call : &q->err;
}

static int call_is_over(void *arg, int result, struct vh_msg *reply,
                        struct vhost_error **errp)
{
    struct vh_squeue *q = arg;
    bool again = q->call.again;

    (void)result;
    (void)reply;
    (void)errp;
    q->call.on_its_way = q->call.again = false;
    if (again) {
        vh_server_ring(q, VH_BACK_VRING_CALL);
    }
    return 0;
}

static int err_is_over(void *arg, int result, struct vh_msg *reply,
                       struct vhost_error **errp)
{
    struct vh_squeue *q = arg;

    (void)result;
    (void)reply;
    (void)errp;
    q->err.on_its_way = false;
    return 0;
}

void vh_server_ring(struct vh_squeue *q, uint32_t request)
{
    struct vh_sbell *bell = bell_of(q, request);
    struct vh_msg msg;

    /* An fd that was set is preferred; and -1 says that nobody listens. */
    if (bell->was_set || !vh_server_has(q->srv, VH_PF_INBAND_NOTIFICATIONS)) {
        vh_sbell_ring(bell);
        return;
    }
    if (bell->on_its_way) {
        bell->again = true;
        return;
    }
    vh_msg_init_state(&msg, request, q->index, 0);
    bell->on_its_way = true;
    if (vh_server_ask(q->srv, &msg,
                      request == VH_BACK_VRING_CALL ? call_is_over
                                                    : err_is_over,
                      q) < 0) {
        bell->on_its_way = false; /* there is nobody to hear it */
    }
}

int vhost_server_config_changed(struct vhost_server *srv,
                                struct vhost_error **errp)
{
    struct vh_msg msg;
    int r = 0;

    if (srv->device->ops->refresh) {
        r = srv->device->ops->refresh(srv->device, errp);
    }
    if (r < 0) {
        return r;
    }
    vh_msg_init(&msg, VH_BACK_CONFIG_CHANGE_MSG);
    if (vh_server_ask(srv, &msg, NULL, NULL) == 0) {
        vh_server_log(srv, "the front end was told of the new configuration");
    }
    return 0;
}
