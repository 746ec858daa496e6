/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why a call failed, in words and in numbers.
 *
 * Rules, the same everywhere in libvhost:
 *
 *   - A call that can fail returns 0 (or a count) or a negative errno.
 *   - Where it takes a struct vhost_error **errp, *errp is set if and only if
 *     the call fails.  errp may be NULL; *errp must be NULL before the call.
 *   - The first error wins: what fails while a failure is being undone does
 *     not hide its cause.
 *   - The caller owns the object and frees it with vhost_error_free().
 *
 * Threads: an error object belongs to whoever holds it.
 */
#ifndef VHOST_ERROR_H
#define VHOST_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_error;

/** vhost_error_message() - the whole story in one line, without a newline
 * @err: an error, or NULL
 *
 * Return: text that lives as long as @err; "success" for NULL.
 */
const char *vhost_error_message(const struct vhost_error *err);

/** vhost_error_code() - the negative errno that the failing call returned
 * @err: an error, or NULL
 *
 * Return: a negative errno, 0 for NULL.
 */
int vhost_error_code(const struct vhost_error *err);

/** vhost_error_operation() - what was being done
 * @err: an error, or NULL
 *
 * Return: the name of a message, an ioctl or a system call, such as
 * "GET_FEATURES" or "connect"; lives as long as @err; "" for NULL.
 */
const char *vhost_error_operation(const struct vhost_error *err);

/** vhost_error_queue() - the virtqueue that was concerned
 * @err: an error, or NULL
 *
 * Return: a virtio queue index, or -1 if the error is not about one queue.
 */
int vhost_error_queue(const struct vhost_error *err);

/** vhost_error_free() - free an error
 * @err: an error, or NULL
 */
void vhost_error_free(struct vhost_error *err);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
