/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty log: vhost-user specification, "Migration" and SET_LOG_BASE.
 *
 * With LOG_SHMFD the message has an answer of its own, which says only that
 * the back end has let go of the log before: a back end that takes a new one
 * is asked to mark nowhere else.  What stands in it differs from one back end
 * to the next (the size of the log, 0, nothing), so it is not looked at.  Some
 * forget to answer: that is known as soon as they answer what comes after it,
 * and counts as a refusal, since nobody knows whether they log.
 */
#include "backend/user/request.h"

#include <errno.h>

#include "util/error.h"

bool vh_user_requires_shm_log(struct vhost_dev *dev)
{
    /* Of one that is gone: what it could, its successor can. */
    return dev->protocol_features & VH_PF(LOG_SHMFD);
}

static int answered(struct vhost_user *user, int result,
                    const struct vh_msg *reply, struct vhost_error **errp)
{
    (void)reply;
    if (result == -EREMOTEIO) {
        vh_error(errp, result, "SET_LOG_BASE", VH_NO_QUEUE,
                 "%s: the back end did not answer SET_LOG_BASE, which it owes "
                 "with VHOST_USER_PROTOCOL_F_LOG_SHMFD",
                 user->name);
    }
    return result;
}

int vh_user_set_log_base(struct vhost_dev *dev, uint64_t base,
                         struct vhost_log *log)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    (void)base; /* ours: it means nothing in another process */
    if (r < 0) {
        return r;
    }
    if (!vh_user_has(user, VH_PF_LOG_SHMFD)) {
        r = vh_error(&err, -ENOTSUP, "SET_LOG_BASE", VH_NO_QUEUE,
                     "%s: the back end can't be given a log: it does not "
                     "offer VHOST_USER_PROTOCOL_F_LOG_SHMFD",
                     user->name);
        return vh_user_leave(user, r, &err);
    }
    vh_msg_init(&msg, VH_SET_LOG_BASE);
    msg.size = sizeof(msg.payload.log);
    msg.payload.log = (struct vh_log_area){
        .size = log->size * sizeof(vhost_log_chunk_t),
    };
    msg.n_fds = 1;
    msg.fds[0] = log->fd;
    r = vh_user_post(user, &msg, VH_NO_QUEUE, answered, &err);
    return vh_user_leave(user, r, &err);
}
