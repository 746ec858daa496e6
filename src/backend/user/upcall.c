/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The second channel: requests of the back end.
 *
 * It is served wherever the first one is read: while a call waits for an
 * answer, and by dispatch.  A back end may hold back the answer that we wait
 * for until it has the answer that it waits for; if both sides waited and none
 * served, both would wait for ever.  So what is asked here is answered at once,
 * and nothing that is called from here waits for the back end.
 *
 * A back end that asks more than it reads answers is not read from until it
 * does: answers may carry fds, and those are ours to hold until they are sent.
 * Both fds of the channel hide behind one epoll fd, which those who poll need
 * not change their minds about.
 *
 * A request that was not negotiated, or makes no sense in the state that
 * things are in, is refused.  One that breaks the protocol breaks the
 * connection, as it does on the first channel.
 *
 * vhost-user specification, "Back-end communication" and "Back-end message
 * types".
 */
#include "backend/user/side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vhost_types.h>

#include "backend/upcalls.h"
#include "util/error.h"
#include "util/fd.h"

#define REQUESTS_MAX \
    64 /* at a time: who asks without end is not to be obeyed */

static void free_side(struct vhost_user *user)
{
    struct vh_user_side *side = user->side;

    if (side) {
        vh_fd_close(&side->epoll_fd);
        vh_fd_close(&side->lent_fd);
        vh_sock_free(side->sock);
        free(side);
    }
    user->side = NULL;
}

static int watch(const struct vh_user_side *side, int operation)
{
    struct epoll_event event = { .events = side->blocked ? EPOLLOUT : EPOLLIN };

    return epoll_ctl(side->epoll_fd, operation, vh_sock_fd(side->sock),
                     &event) < 0
               ? -errno
               : 0;
}

/* @fd is given. */
static int new_side(struct vhost_user *user, int fd)
{
    struct vh_user_side *side = calloc(1, sizeof(*side));
    int r;

    if (!side) {
        vh_fd_close(&fd);
        return -ENOMEM;
    }
    user->side = side;
    side->lent_fd = -1;
    side->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r = side->epoll_fd < 0 ? -errno : 0;
    if (r < 0) {
        vh_fd_close(&fd);
        return r;
    }
    r = vh_sock_new(&side->sock, fd);
    return r < 0 ? r : watch(side, EPOLL_CTL_ADD);
}

int vh_user_open_side(struct vhost_user *user, struct vhost_error **errp)
{
    struct vh_msg msg;
    int fds[2];
    int r = 0;

    if (!vh_user_has(user, VH_PF_BACKEND_REQ)) {
        return 0;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   fds) < 0) {
        r = -errno;
    } else {
        user->side_peer_fd = fds[1];
        r = new_side(user, fds[0]);
    }
    if (r < 0) {
        return vh_error(errp, r, "socketpair", VH_NO_QUEUE,
                        "%s: no second channel: %s", user->name, strerror(-r));
    }
    vh_msg_init(&msg, VH_SET_BACKEND_REQ_FD);
    msg.fds[0] = user->side_peer_fd;
    msg.n_fds = 1;
    vh_chan_set_side(user->chan, user->side->epoll_fd, vh_user_serve, user);
    return vh_user_post(user, &msg, VH_NO_QUEUE, NULL, errp);
}

/* Ours of the back end's end: it is sent by now, and it has its own. */
void vh_user_side_is_sent(struct vhost_user *user)
{
    vh_fd_close(&user->side_peer_fd);
}

void vh_user_close_side(struct vhost_user *user)
{
    struct vhost_dev *dev = user->dev;

    vh_fd_close(&user->side_peer_fd);
    free_side(user);
    free(user->shmem);
    user->shmem = NULL;
    if (dev && dev->upcalls && dev->upcalls->disconnected) {
        dev->upcalls->disconnected(dev);
    }
}

int vh_user_get_request_fd(struct vhost_dev *dev)
{
    const struct vhost_user *user = dev->opaque;

    return user->side ? user->side->epoll_fd : -1;
}

/* Handlers */

static int on_iotlb(struct vhost_user *user, const struct vh_msg *msg, int *fd)
{
    const struct vh_iotlb *m = &msg->payload.iotlb;
    struct vhost_dev *dev = user->dev;
    bool write = m->perm & VHOST_ACCESS_WO;

    (void)fd;
    switch (m->type) {
    case VHOST_IOTLB_MISS:
        return dev->upcalls->iotlb_miss(dev, m->iova, write);
    case VHOST_IOTLB_ACCESS_FAIL:
        dev->upcalls->iotlb_fail(dev, m->iova, write);
        return 0;
    default: /* UPDATE and INVALIDATE are ours to say */
        return -EINVAL;
    }
}

static int on_config_change(struct vhost_user *user, const struct vh_msg *msg,
                            int *fd)
{
    (void)msg;
    (void)fd;
    user->dev->upcalls->config_changed(user->dev);
    return 0;
}

static int on_vring_call(struct vhost_user *user, const struct vh_msg *msg,
                         int *fd)
{
    (void)fd;
    return user->dev->upcalls->vring_call(user->dev, msg->payload.state.index);
}

static int on_vring_err(struct vhost_user *user, const struct vh_msg *msg,
                        int *fd)
{
    (void)fd;
    return user->dev->upcalls->vring_err(user->dev, msg->payload.state.index);
}

/* clang-format off */
static vh_user_side_fn *const handlers[VH_BACK_REQUEST_END] = {
    [VH_BACK_IOTLB_MSG]               = on_iotlb,
    [VH_BACK_CONFIG_CHANGE_MSG]       = on_config_change,
    [VH_BACK_VRING_HOST_NOTIFIER_MSG] = vh_user_on_host_notifier,
    [VH_BACK_VRING_CALL]              = on_vring_call,
    [VH_BACK_VRING_ERR]               = on_vring_err,
    [VH_BACK_SHARED_OBJECT_ADD]       = vh_user_on_object_add,
    [VH_BACK_SHARED_OBJECT_REMOVE]    = vh_user_on_object_remove,
    [VH_BACK_SHARED_OBJECT_LOOKUP]    = vh_user_on_object_lookup,
    [VH_BACK_SHMEM_MAP]               = vh_user_on_shmem_map,
    [VH_BACK_SHMEM_UNMAP]             = vh_user_on_shmem_unmap,
};
/* clang-format on */

/* Serving */

static bool gate_is_open(const struct vhost_user *user,
                         const struct vh_msg_row *row)
{
    if (row->gate == VH_GATE_IOMMU) {
        return user->driver_features >> 33 & 1;
    }
    return row->gate < 0 || vh_user_has(user, (unsigned)row->gate);
}

static bool wants_answer(const struct vhost_user *user,
                         const struct vh_msg *msg, const struct vh_msg_row *row)
{
    if (row && row->reply == VH_REPLY_OWN) {
        return true;
    }
    return (msg->flags & VH_MSG_F_NEED_REPLY) &&
           vh_user_has(user, VH_PF_REPLY_ACK);
}

/* Send what can be, and look out for room if there was none. */
static int flush(struct vh_user_side *side)
{
    int r = vh_sock_send(side->sock);

    if (r < 0) {
        return r;
    }
    if (r == 0) {
        vh_fd_close(&side->lent_fd);
    }
    if (side->blocked != (r > 0)) {
        side->blocked = r > 0;
        return watch(side, EPOLL_CTL_MOD);
    }
    return 0;
}

/* @fd is given, and goes along; -1: none does. */
static int answer(struct vhost_user *user, const struct vh_msg *msg, int result,
                  int fd)
{
    struct vh_user_side *side = user->side;
    struct vh_msg ack;
    int r;

    vh_msg_init_u64(&ack, msg->request, result < 0 ? (uint64_t)-result : 0);
    if (fd >= 0) {
        ack.fds[0] = fd;
        ack.n_fds = 1;
    }
    side->lent_fd = fd;
    r = vh_sock_queue_flags(side->sock, &ack, VH_MSG_F_REPLY);
    return r < 0 ? r : flush(side);
}

/* Return: 0; -EPROTO, with words; or why no answer can be sent. */
static int serve_one(struct vhost_user *user, const struct vh_msg *msg,
                     struct vhost_error **errp)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_BACK, msg->request);
    const char *why = NULL;
    int fd = -1;
    int r = -ENOTSUP;

    if (row && vh_msg_check_request(VH_FROM_BACK, msg, &why) < 0) {
        return vh_error(errp, -EPROTO, row->name, VH_NO_QUEUE,
                        "the back end's request %s: %s", row->name, why);
    }
    if (row && gate_is_open(user, row)) {
        r = handlers[msg->request](user, msg, &fd);
    }
    return wants_answer(user, msg, row) ? answer(user, msg, r, fd) : 0;
}

/* The back end may close this channel, and do without it. */
static int side_ended(struct vhost_user *user, int r, const char *why,
                      struct vhost_error **errp)
{
    if (r == -EPROTO) {
        return vh_error(errp, r, "second channel", VH_NO_QUEUE,
                        "the back end broke the protocol with a request of "
                        "its own: %s",
                        why ? why : strerror(EPROTO));
    }
    vh_chan_set_side(user->chan, -1, NULL, NULL);
    free_side(user);
    return 0;
}

int vh_user_serve(void *arg, struct vhost_error **errp)
{
    struct vhost_user *user = arg;
    const char *why = NULL;
    int r = flush(user->side);

    for (unsigned n = 0; r == 0 && n < REQUESTS_MAX && !user->side->blocked;
         n++) {
        struct vh_msg msg;

        r = vh_sock_receive(user->side->sock, &msg, false, &why);
        if (r == 0) {
            return 0;
        }
        if (r > 0) {
            r = serve_one(user, &msg, errp);
            vh_msg_close_fds(&msg);
        }
    }
    return r < 0 ? side_ended(user, r, why, errp) : 0;
}
