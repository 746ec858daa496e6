/* SPDX-License-Identifier: BSD-3-Clause */
/* Making the errors that <vhost/error.h> shows. */
#ifndef VH_UTIL_ERROR_H
#define VH_UTIL_ERROR_H

#include <vhost/error.h>

#define VH_NO_QUEUE (-1)

/**
 * vh_error() - set an error, unless there is one already
 * @errp: where; NULL: nowhere.  If *errp is set it stays: the first wins
 * @code: negative errno
 * @operation: message, ioctl or system call; copied
 * @queue: virtio queue index, or VH_NO_QUEUE
 * @fmt: the message, without a newline
 *
 * Never fails: short of memory, *errp becomes a constant that says so.
 *
 * Return: @code, so that a caller can write "return vh_error(…)".
 */
int vh_error(struct vhost_error **errp, int code, const char *operation,
             int queue, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/** vh_error_prefix() - put "PREFIX: " before the message of *errp, if set */
void vh_error_prefix(struct vhost_error **errp, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** vh_error_move() - hand *from over to @errp (first wins); *from is NULL then
 */
void vh_error_move(struct vhost_error **errp, struct vhost_error **from);

/** vh_error_copy() - set @errp to a copy of @err; first wins */
void vh_error_copy(struct vhost_error **errp, const struct vhost_error *err);

/** vh_error_clear() - free *errp and make it NULL */
void vh_error_clear(struct vhost_error **errp);

#endif
