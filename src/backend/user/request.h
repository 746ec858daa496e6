/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting requests, and waiting for their answers; see request.c. */
#ifndef VH_BACKEND_USER_REQUEST_H
#define VH_BACKEND_USER_REQUEST_H

#include "backend/user/entries.h"

/**
 * vh_user_answer_fn - what to make of an answer
 * @result: 0, -EREMOTEIO for a refusal, or the fault of the connection
 * @reply: if @result is 0
 *
 * Return: @result; or another negative errno, with words in @errp, if the
 * answer makes no sense: that counts as a refusal.
 */
typedef int vh_user_answer_fn(struct vhost_user *user, int result,
                              const struct vh_msg *reply,
                              struct vhost_error **errp);

/**
 * vh_user_enter() - lock the connection for a call of the control thread
 * @dev: a device
 * @userp: set on success
 *
 * Return: 0, locked; or the fault of the connection, not locked, and with
 * words in dev->error; -ENOTCONN if there is none.
 */
int vh_user_enter(struct vhost_dev *dev, struct vhost_user **userp);

/** vh_user_leave() - unlock; hands *errp to the device; returns @r */
int vh_user_leave(struct vhost_user *user, int r, struct vhost_error **errp);

/** vh_user_post() - put a request on its way, with an ack where its row in
 * the table wants one and the back end can
 */
int vh_user_post(struct vhost_user *user, const struct vh_msg *msg, int queue,
                 vh_user_answer_fn *answer, struct vhost_error **errp);

/** vh_user_post_reply() - the same, with an own function for the answer: for
 * requests that are waited for at once
 */
int vh_user_post_reply(struct vhost_user *user, const struct vh_msg *msg,
                       int queue, vh_chan_done_fn *done, void *arg,
                       struct vhost_error **errp);

/** vh_user_wait() - until all that is due has come.  Refusals are kept for
 * vh_user_sync(); only a fault is returned
 */
int vh_user_wait(struct vhost_user *user, struct vhost_error **errp);

/** vh_user_try_wait() - the same, or -EINPROGRESS */
int vh_user_try_wait(struct vhost_user *user, struct vhost_error **errp);

/** vh_user_call() - a request, and its answer or ack
 * @reply: where the answer goes; NULL for a request that has none of its own
 *
 * Return: 0, -EREMOTEIO if it was refused, or the fault.
 */
int vh_user_call(struct vhost_user *user, const struct vh_msg *msg, int queue,
                 struct vh_msg *reply, struct vhost_error **errp);

/** vh_user_post_one() - enter, post, leave */
int vh_user_post_one(struct vhost_dev *dev, const struct vh_msg *msg,
                     int queue);

/** vh_user_post_any() - the same from any thread, for what any may ask:
 * SET_VRING_CALL, IOTLB_MSG
 */
int vh_user_post_any(struct vhost_dev *dev, const struct vh_msg *msg,
                      int queue);

/** vh_user_refused() - words for a request that was; returns -EREMOTEIO */
int vh_user_refused(const struct vhost_user *user, uint32_t request, int queue,
                    struct vhost_error **errp);

/** vh_user_disconnect() - close the channel and forget all that hung on it */
void vh_user_disconnect(struct vhost_user *user);

#endif
