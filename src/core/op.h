/* SPDX-License-Identifier: BSD-3-Clause */
/* The one operation that a device is in the middle of; see op.c. */
#ifndef VH_CORE_OP_H
#define VH_CORE_OP_H

#include <stddef.h>

#include <vhost/async.h>

struct vhost_error;

/**
 * vh_core_move_fn - go on as far as it goes
 *
 * Return: -EINPROGRESS: an answer is due, vh_core_settle() has said so; else
 * the result of the operation, which has left nothing undone.
 */
typedef int vh_core_move_fn(struct vhost_dev *dev);

/** struct vh_core_op - what is under way
 * @move: NULL: nothing is
 * @later: it may not wait
 * @ended: with @result, but done() has not been told
 * @cancelled: by the owner
 * @error: the words of the first failure
 */
struct vh_core_op {
    vh_core_move_fn *move;
    bool later;
    bool ended;
    bool cancelled;
    int result;
    struct vhost_error *error;
    vhost_dev_done_fn *done;
    void *opaque;
};

/** struct vh_core_ladder - how far a start or a stop has come; see start.c
 * @at: rungs that stand, or may in part
 * @down: on the way down
 * @asked: the answers to the rung at @at are waited for
 * @vrings: as the owner said
 * @queue: the next to be posted on the way up
 * @again: of a device that is started in its owner's eyes; see reconnect.c
 * @failed: negative errno: see vh_core_start_fails()
 * @result: of the whole
 */
struct vh_core_ladder {
    size_t at;
    unsigned queue;
    bool down;
    bool asked;
    bool vrings;
    bool again;
    int failed;
    int result;
};

/** struct vh_core_log_turn - how far a device's part in the log is; see log.c
 * @result: of what could be posted, or why it goes back
 */
struct vh_core_log_turn {
    enum vh_core_log_step {
        VH_LOG_ON,
        VH_LOG_BACK, /* to where it was before ON */
        VH_LOG_CHANGE,
        VH_LOG_OFF,
    } step;
    int result;
    struct vhost_log *next; /* of CHANGE; held */
};

/** vh_core_op_run() - begin, and wait for the end
 *
 * Nothing else is under way.  Return: what @move returned in the end.
 */
int vh_core_op_run(struct vhost_dev *dev, vh_core_move_fn *move);

/** vh_core_op_begin() - begin, and return; dispatch goes on
 * @done: told of the end, by dispatch
 *
 * Nothing else is under way.
 */
void vh_core_op_begin(struct vhost_dev *dev, vh_core_move_fn *move,
                      vhost_dev_done_fn *done, void *opaque);

/** vh_core_op_dispatch() - go on with what is under way */
void vh_core_op_dispatch(struct vhost_dev *dev);

/** vh_core_op_drop() - end it at once, since its device is being cleaned up;
 * done() is told -ECANCELED */
void vh_core_op_drop(struct vhost_dev *dev);

/** vh_core_busy() - -EBUSY, with words, while an operation is under way */
int vh_core_busy(struct vhost_dev *dev, const char *operation);

/** vh_core_settle() - wait for what was posted, or come back later
 *
 * Return: -EINPROGRESS inside of an operation that may not wait; else as
 * vh_be_sync().
 */
int vh_core_settle(struct vhost_dev *dev);

/** vh_core_op_nudge() - somebody has waited for an answer, and so perhaps read
 * that which an operation is waiting for.  Thread: any */
void vh_core_op_nudge(struct vhost_dev *dev);

/** vh_core_is_starting() - has its back end heard of a start that goes on?
 *
 * Then what changes for a started device is told to it as well.
 */
bool vh_core_is_starting(const struct vhost_dev *dev);

/** vh_core_start_fails() - a refusal that may have been of the start's messages
 * was told to somebody else: it does not come up */
void vh_core_start_fails(struct vhost_dev *dev, int r);

/** vh_core_wake_in() - have dispatch called in @ms at the latest; 0: at once */
void vh_core_wake_in(struct vhost_dev *dev, unsigned ms);

#endif
