/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * State of the device: vhost-user specification, "Migrating back-end state".
 *
 * The answer to SET_DEVICE_STATE_FD is a word that says whether an fd comes
 * with it.  A word that contradicts what came fails the call, and no more: the
 * connection is sound, and the device as it was.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <inttypes.h>

#include "util/error.h"
#include "util/fd.h"

#define ERROR_MASK UINT64_C(0xff)
#define NO_FD (UINT64_C(1) << 8)

bool vh_user_supports_device_state(struct vhost_dev *dev)
{
    return dev->protocol_features & VH_PF(DEVICE_STATE);
}

static int check(const struct vhost_user *user, const char *operation,
                 struct vhost_error **errp)
{
    if (vh_user_has(user, VH_PF_DEVICE_STATE)) {
        return 0;
    }
    return vh_error(errp, -ENOTSUP, operation, VH_NO_QUEUE,
                    "%s: the back end can't hand over its state "
                    "(VHOST_USER_PROTOCOL_F_DEVICE_STATE is not in use)",
                    user->name);
}

static int refused(const struct vhost_user *user, const char *operation,
                   const char *what, uint64_t code, struct vhost_error **errp)
{
    return vh_error(errp, -EIO, operation, VH_NO_QUEUE,
                    "%s: the back end %s (error %" PRIu64 ")", user->name, what,
                    code);
}

static int read_answer(const struct vhost_user *user, struct vh_msg *reply,
                       int *reply_fd, struct vhost_error **errp)
{
    uint64_t code = reply->payload.u64 & ERROR_MASK;
    bool says_fd = !(reply->payload.u64 & NO_FD);

    if (code != 0 && reply->n_fds == 0) {
        return refused(user, "SET_DEVICE_STATE_FD",
                       "refused to transfer its state", code, errp);
    }
    if (code != 0 || says_fd != (reply->n_fds == 1)) {
        return vh_error(errp, -EPROTO, "SET_DEVICE_STATE_FD", VH_NO_QUEUE,
                        "%s: the answer to SET_DEVICE_STATE_FD contradicts "
                        "itself: 0x%" PRIx64 " with %u fds",
                        user->name, reply->payload.u64, reply->n_fds);
    }
    if (reply->n_fds == 1) {
        *reply_fd = reply->fds[0];
        reply->n_fds = 0;
    }
    return 0;
}

static int read_check(const struct vhost_user *user, const struct vh_msg *reply,
                      struct vhost_error **errp)
{
    return reply->payload.u64 == 0
               ? 0
               : refused(user, "CHECK_DEVICE_STATE",
                         "says that the transfer of its state failed",
                         reply->payload.u64, errp);
}

static int set_fd(struct vhost_user *user, struct vh_msg *msg, int *reply_fd,
                  struct vhost_error **errp)
{
    struct vh_msg reply;
    int r = check(user, "SET_DEVICE_STATE_FD", errp);

    if (r == 0) {
        r = vh_user_call(user, msg, VH_NO_QUEUE, &reply, errp);
    }
    if (r == 0) {
        r = read_answer(user, &reply, reply_fd, errp);
        vh_msg_close_fds(&reply);
    }
    return r;
}

static void init_set_fd(struct vh_msg *msg, VhostDeviceStateDirection direction,
                        VhostDeviceStatePhase phase, int fd)
{
    vh_msg_init(msg, VH_SET_DEVICE_STATE_FD);
    msg->size = sizeof(msg->payload.device_state);
    msg->payload.device_state.direction = direction;
    msg->payload.device_state.phase = phase;
    msg->n_fds = 1;
    msg->fds[0] = fd;
}

int vh_user_set_device_state_fd(struct vhost_dev *dev,
                                VhostDeviceStateDirection direction,
                                VhostDeviceStatePhase phase, int fd,
                                int *reply_fd)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r == 0) {
        init_set_fd(&msg, direction, phase, fd);
        r = vh_user_leave(user, set_fd(user, &msg, reply_fd, &err), &err);
    }
    vh_fd_close(&fd);
    return r;
}

int vh_user_check_device_state(struct vhost_dev *dev)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    struct vh_msg reply;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    r = check(user, "CHECK_DEVICE_STATE", &err);
    if (r == 0) {
        vh_msg_init(&msg, VH_CHECK_DEVICE_STATE);
        r = vh_user_call(user, &msg, VH_NO_QUEUE, &reply, &err);
    }
    if (r == 0) {
        r = read_check(user, &reply, &err);
    }
    return vh_user_leave(user, r, &err);
}

/* An answer to what was posted: its words wait for the next sync. */
static int answered(struct vhost_user *user, uint32_t request, int result,
                    struct vhost_error **errp)
{
    if (result == -EREMOTEIO) {
        vh_user_refused(user, request, VH_NO_QUEUE, errp);
    }
    user->state_answer->result = result;
    vh_error_move(&user->refusal, errp);
    return 0;
}

static int set_done(void *arg, int result, struct vh_msg *reply,
                    struct vhost_error **errp)
{
    struct vhost_user *user = arg;
    struct vhost_error *err = NULL;

    (void)errp;
    if (result == 0) {
        result = read_answer(user, reply, &user->state_answer->reply_fd, &err);
    }
    return answered(user, VH_SET_DEVICE_STATE_FD, result, &err);
}

static int check_done(void *arg, int result, struct vh_msg *reply,
                      struct vhost_error **errp)
{
    struct vhost_user *user = arg;
    struct vhost_error *err = NULL;

    (void)errp;
    if (result == 0) {
        result = read_check(user, reply, &err);
    }
    return answered(user, VH_CHECK_DEVICE_STATE, result, &err);
}

static int post(struct vhost_dev *dev, const struct vh_msg *msg,
                const char *operation, vh_chan_done_fn *done,
                struct vhost_device_state_answer *answer)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    r = check(user, operation, &err);
    if (r == 0) {
        answer->result = -ECANCELED;
        user->state_answer = answer;
        r = vh_user_post_reply(user, msg, VH_NO_QUEUE, done, user, &err);
    }
    return vh_user_leave(user, r, &err);
}

int vh_user_post_device_state_fd(struct vhost_dev *dev,
                                 VhostDeviceStateDirection direction,
                                 VhostDeviceStatePhase phase, int fd,
                                 struct vhost_device_state_answer *answer)
{
    struct vh_msg msg;

    init_set_fd(&msg, direction, phase, fd);
    return post(dev, &msg, "SET_DEVICE_STATE_FD", set_done, answer);
}

int vh_user_post_check_device_state(struct vhost_dev *dev,
                                    struct vhost_device_state_answer *answer)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_CHECK_DEVICE_STATE);
    return post(dev, &msg, "CHECK_DEVICE_STATE", check_done, answer);
}
