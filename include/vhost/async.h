/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that never wait.
 *
 *     vhost_dev_start_async(&hdev, &vdev, true, on_started, me);
 *     … poll vhost_dev_get_fd(), call vhost_dev_dispatch() …
 *     on_started(&hdev, 0, me)
 *
 * Memory and the dirty log, which are a map's, have the same for all devices of
 * the map: vhost_memory_commit_async(), vhost_log_start_async().  The transfer of
 * a device's state is one of these, too: state.h.
 *
 * Each call of this header begins what its namesake without _async does, and
 * returns; vhost_dev_dispatch() goes on with it whenever the fd of the device
 * is readable, and in the end calls back.  Deadlines are those of the waiting
 * forms, which are these with a wait around them.
 *
 * One such operation at a time is under way for a device: until its end,
 * calls that begin another, waiting or not, fail with -EBUSY.  Memory that
 * changes meanwhile, and the dirty log, are told to the back end at once, and
 * waited for; if that fails a start fails too.  What takes
 * time in the kernel, such as mapping memory, takes it in these calls too.
 *
 * Threads: the control thread.  done() is called from inside
 * vhost_dev_dispatch(), vhost_dev_cancel() or vhost_dev_cleanup(); it may
 * call anything for the device but vhost_dev_cleanup(), also the next of
 * these.
 */
#ifndef VHOST_ASYNC_H
#define VHOST_ASYNC_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;
struct vhost_vdev;

/**
 * vhost_dev_done_fn - an operation has come to its end
 * @hdev: the device
 * @result: what the waiting form would have returned; -ECANCELED after
 *     vhost_dev_cancel(); the words are in vhost_dev_get_error()
 * @opaque: as given
 */
typedef void vhost_dev_done_fn(struct vhost_dev *hdev, int result,
                               void *opaque);

/**
 * vhost_dev_start_async() - begin to hand the queues to the back end
 * @hdev: an idle device, its features acknowledged
 * @vdev: the virtio device, lent until vhost_dev_stop(), or until done() is
 *     told that it failed
 * @vrings: enable the rings too
 * @done: called at the end
 * @opaque: for @done
 *
 * Return: 0: @done will be called; or a negative errno, and it will not:
 * -EBUSY, -ENOTCONN, -EPROTO.
 */
int vhost_dev_start_async(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                          bool vrings, vhost_dev_done_fn *done, void *opaque);

/**
 * vhost_dev_stop_async() - begin to take the queues back
 * @hdev: a started device
 * @vdev: the virtio device; the bases are there when @done is called
 * @vrings: disable the rings too
 * @done: called at the end
 * @opaque: for @done
 *
 * Return: 0: @done will be called; or -EBUSY, and it will not.
 */
int vhost_dev_stop_async(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                         bool vrings, vhost_dev_done_fn *done, void *opaque);

/**
 * vhost_dev_cancel() - end what is under way
 * @hdev: a device
 *
 * A start is taken back, which takes its own time: done() is told when the
 * device is idle again.  A stop can't be taken back: it ends now, and since
 * nobody knows then what the back end still does, its connection is given up:
 * the device is VHOST_DEV_LOST.
 *
 * Return: 0; -EALREADY if it is being cancelled, or has ended and done() is
 * about to be told; -ENOENT if nothing is under way.
 */
int vhost_dev_cancel(struct vhost_dev *hdev);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
