/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a device, as its back end has it: saved at one place, loaded at
 * another.
 *
 * What it is made of only the back end knows.  It goes through a pipe, one way
 * or the other, while the device is stopped; and afterwards the back end is
 * asked whether all went well.  vhost_save_backend_state() and
 * vhost_load_backend_state() do all of that over a struct vhost_stream.
 *
 * A stopped device keeps its state: it may be started again where it is, if
 * nobody took it over.
 *
 * Threads: the control thread of the device.
 */
#ifndef VHOST_STATE_H
#define VHOST_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/async.h>
#include <vhost/backend.h>
#include <vhost/error.h>
#include <vhost/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * vhost_supports_device_state() - can the back end hand over its state?
 * @dev: an initialised device
 *
 * Return: true if it can; a vhost-user one with
 * VHOST_USER_PROTOCOL_F_DEVICE_STATE.
 */
bool vhost_supports_device_state(struct vhost_dev *dev);

/**
 * vhost_set_device_state_fd() - begin a transfer
 * @dev: a stopped device
 * @direction: whether the back end writes its state, or reads it
 * @phase: VHOST_TRANSFER_STATE_PHASE_STOPPED
 * @fd: given, also on failure: where to, or where from
 * @reply_fd: set: an fd that the back end wants used instead, given to the
 *     caller, who then uses it and not the other end of @fd; or -1, also on
 *     failure
 * @errp: why it failed
 *
 * Return: 0; -EBUSY if the device is started; -ENOSYS or -ENOTSUP if the back
 * end can't; -EIO if it won't; -EPROTO if it contradicts itself.
 */
int vhost_set_device_state_fd(struct vhost_dev *dev,
                              VhostDeviceStateDirection direction,
                              VhostDeviceStatePhase phase, int fd,
                              int *reply_fd, struct vhost_error **errp);

/**
 * vhost_check_device_state() - did the transfer succeed?
 * @dev: a stopped device
 * @errp: why it failed
 *
 * To be asked once the end was seen (of what is saved) or the fd was closed
 * (of what is loaded).
 *
 * Return: 0; -EBUSY, -ENOSYS, -ENOTSUP as above; -EIO if it did not.
 */
int vhost_check_device_state(struct vhost_dev *dev, struct vhost_error **errp);

/**
 * vhost_save_backend_state() - from the back end to a stream
 * @dev: a stopped device
 * @stream: its deadline holds for the back end too: to give the next 1 MiB
 * @errp: why it failed
 *
 * Writes chunks: a length in 32 bits, big-endian, up to 1 MiB, and as many
 * bytes; a length of 0 ends them, and says that all of the state is there.
 *
 * Return: 0; as vhost_set_device_state_fd(), vhost_check_device_state() and
 * vhost_stream_write(); -ETIMEDOUT.
 */
int vhost_save_backend_state(struct vhost_dev *dev, struct vhost_stream *stream,
                             struct vhost_error **errp);

/**
 * vhost_load_backend_state() - from a stream to the back end
 * @dev: a stopped device
 * @stream: as vhost_save_backend_state() wrote it; its deadline holds for the
 *     back end too: to take the next chunk
 * @errp: why it failed
 *
 * What is in the stream behind the last chunk is not touched.  After a failure
 * it is not known what state the device is in: reset it.
 *
 * Return: 0; -EBADMSG if a chunk is longer than 1 MiB; as
 * vhost_set_device_state_fd(), vhost_check_device_state() and
 * vhost_stream_read(); -EPIPE if the back end wants no more; -ETIMEDOUT.
 */
int vhost_load_backend_state(struct vhost_dev *dev, struct vhost_stream *stream,
                             struct vhost_error **errp);

/**
 * vhost_save_backend_state_async() - the same, without waiting
 * @dev: a stopped device
 * @stream: lent until @done is told; only what it takes without waiting is
 *     written at a time, and then its fd is waited for, or, where it is made of
 *     the owner's functions (they are called with a timeout of 0), it is tried
 *     again 10 milliseconds later
 * @done: called at the end, by vhost_dev_dispatch()
 * @opaque: for @done
 *
 * The state is moved by vhost_dev_dispatch(), 64 KiB at a time at most.  It is
 * an operation as those of async.h: vhost_dev_cancel() ends it, which leaves
 * the device as it was, and the stream without an end.
 *
 * Return: 0: @done will be called; or a negative errno, and it will not:
 * -EBUSY, -ENOTCONN, -EPROTO, -ENOSYS or -ENOTSUP, -ENOMEM, -EMFILE; with words
 * in vhost_dev_get_error().
 */
int vhost_save_backend_state_async(struct vhost_dev *dev,
                                   struct vhost_stream *stream,
                                   vhost_dev_done_fn *done, void *opaque);

/**
 * vhost_load_backend_state_async() - the same for vhost_load_backend_state()
 * @dev: a stopped device
 * @stream: lent until @done is told; see vhost_save_backend_state_async()
 * @done: called at the end, by vhost_dev_dispatch()
 * @opaque: for @done
 *
 * Once cancelled it is not known what state the device is in: reset it.
 *
 * Return: as vhost_save_backend_state_async().
 */
int vhost_load_backend_state_async(struct vhost_dev *dev,
                                   struct vhost_stream *stream,
                                   vhost_dev_done_fn *done, void *opaque);

/**
 * vhost_reset_device() - make the device as it was when it was new
 * @hdev: a stopped device
 *
 * To stop a device is not to reset it, where its state can be saved.  Call this
 * when the driver resets it.
 *
 * Return: 0; -EBUSY if the device is started; -ENOSYS if the back end can't:
 * a vhost-user one needs VHOST_USER_PROTOCOL_F_RESET_DEVICE or _STATUS; with
 * words in vhost_dev_get_error().
 */
int vhost_reset_device(struct vhost_dev *hdev);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
