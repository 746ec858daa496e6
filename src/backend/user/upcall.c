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
 * A request that was not negotiated, or makes no sense in the state that
 * things are in, is refused.  One that breaks the protocol breaks the
 * connection, as it does on the first channel.
 *
 * vhost-user specification, "Back-end communication" and "Back-end message
 * types".
 */
#include "backend/user/request.h"

#include <errno.h>
#include <sys/socket.h>
#include <linux/vhost_types.h>

#include "backend/upcalls.h"
#include "util/error.h"
#include "util/fd.h"
#include "wire/sock.h"

#define REQUESTS_MAX \
    64 /* at a time: who asks without end is not to be obeyed */

int vh_user_open_side(struct vhost_user *user, struct vhost_error **errp)
{
    struct vh_msg msg;
    int fds[2];
    int r;

    if (!vh_user_has(user, VH_PF_BACKEND_REQ)) {
        return 0;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   fds) < 0) {
        return vh_error(errp, -errno, "socketpair", VH_NO_QUEUE,
                        "%s: no second channel", user->name);
    }
    user->side_peer_fd = fds[1];
    r = vh_sock_new(&user->side, fds[0]);
    if (r < 0) {
        return vh_error(errp, r, "socketpair", VH_NO_QUEUE,
                        "%s: no second channel", user->name);
    }
    vh_msg_init(&msg, VH_SET_BACKEND_REQ_FD);
    msg.fds[0] = user->side_peer_fd;
    msg.n_fds = 1;
    vh_chan_set_side(user->chan, fds[0], vh_user_serve, user);
    return vh_user_post(user, &msg, VH_NO_QUEUE, NULL, errp);
}

/* Ours of the back end's end: it is sent by now, and it has its own. */
void vh_user_side_is_sent(struct vhost_user *user)
{
    vh_fd_close(&user->side_peer_fd);
}

void vh_user_close_side(struct vhost_user *user)
{
    vh_fd_close(&user->side_peer_fd);
    vh_sock_free(user->side);
    user->side = NULL;
}

int vh_user_get_request_fd(struct vhost_dev *dev)
{
    const struct vhost_user *user = dev->opaque;

    return user->side ? vh_sock_fd(user->side) : -1;
}

/* Handlers: 0, or why it is refused. */

static int on_iotlb(struct vhost_dev *dev, const struct vh_msg *msg)
{
    const struct vh_iotlb *m = &msg->payload.iotlb;
    bool write = m->perm & VHOST_ACCESS_WO;

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

static int obey(struct vhost_user *user, const struct vh_msg *msg)
{
    struct vhost_dev *dev = user->dev;

    switch (msg->request) {
    case VH_BACK_IOTLB_MSG:
        return on_iotlb(dev, msg);
    case VH_BACK_CONFIG_CHANGE_MSG:
        dev->upcalls->config_changed(dev);
        return 0;
    case VH_BACK_VRING_CALL:
        return dev->upcalls->vring_call(dev, msg->payload.state.index);
    case VH_BACK_VRING_ERR:
        return dev->upcalls->vring_err(dev, msg->payload.state.index);
    default:
        return -ENOTSUP;
    }
}

static bool gate_is_open(const struct vhost_user *user,
                         const struct vh_msg_row *row)
{
    if (row->gate == VH_GATE_IOMMU) {
        return user->driver_features >> 33 & 1;
    }
    return row->gate < 0 || vh_user_has(user, (unsigned)row->gate);
}

static int answer(struct vhost_user *user, const struct vh_msg *msg, int result)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_BACK, msg->request);
    bool own = row && row->reply == VH_REPLY_OWN;
    struct vh_msg ack;

    if (!own && (!(msg->flags & VH_MSG_F_NEED_REPLY) ||
                 !vh_user_has(user, VH_PF_REPLY_ACK))) {
        return 0;
    }
    vh_msg_init_u64(&ack, msg->request, result < 0 ? (uint64_t)-result : 0);
    return vh_sock_queue_flags(user->side, &ack, VH_MSG_F_REPLY);
}

static int serve_one(struct vhost_user *user, const struct vh_msg *msg,
                     struct vhost_error **errp)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_BACK, msg->request);
    const char *why = NULL;
    int r = -ENOTSUP;

    if (row && vh_msg_check_request(VH_FROM_BACK, msg, &why) < 0) {
        return vh_error(errp, -EPROTO, row->name, VH_NO_QUEUE,
                        "the back end's request %s: %s", row->name, why);
    }
    if (row && gate_is_open(user, row)) {
        r = obey(user, msg);
    }
    r = answer(user, msg, r);
    if (r < 0) {
        return vh_error(errp, -EPROTO, "second channel", VH_NO_QUEUE,
                        "the back end does not read the answers to its "
                        "requests");
    }
    return 0;
}

/* The back end may close this channel, and do without it. */
static int side_ended(struct vhost_user *user, int r, const char *why,
                      struct vhost_error **errp)
{
    if (r == -EPROTO) {
        return vh_error(errp, r, "second channel", VH_NO_QUEUE,
                        "the back end broke the protocol with a request of "
                        "its own: %s",
                        why);
    }
    vh_chan_set_side(user->chan, -1, NULL, NULL);
    vh_sock_free(user->side);
    user->side = NULL;
    return 0;
}

int vh_user_serve(void *arg, struct vhost_error **errp)
{
    struct vhost_user *user = arg;
    const char *why = NULL;

    for (unsigned n = 0; n < REQUESTS_MAX && user->side; n++) {
        struct vh_msg msg;
        int r = vh_sock_receive(user->side, &msg, false, &why);

        if (r == 0) {
            break;
        }
        if (r < 0) {
            return side_ended(user, r, why, errp);
        }
        r = serve_one(user, &msg, errp);
        vh_msg_close_fds(&msg);
        if (r < 0) {
            return r;
        }
    }
    if (user->side && vh_sock_send(user->side) < 0) {
        return side_ended(user, -ECONNRESET, NULL, errp);
    }
    return 0;
}
