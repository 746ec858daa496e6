/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects that devices share: buffers that one has, and another uses, without
 * the guest's memory between.  Each is a file (a dma-buf, a memfd) by the name
 * of a UUID.
 *
 *     objects = vhost_objects_new();
 *     gpu.objects = objects;             before vhost_dev_init()
 *     video.objects = objects;
 *
 * The back end of a device adds and removes its own, and looks up those of all
 * (VHOST_USER_PROTOCOL_F_SHARED_OBJECT and _BACKEND_REQ).  The program may do
 * the same.  What a device has added goes when its back end does.
 *
 * Threads: any.
 */
#ifndef VHOST_OBJECT_H
#define VHOST_OBJECT_H

#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VHOST_UUID_SIZE 16 /* bytes, the first three fields big-endian */

struct vhost_dev;
struct vhost_objects;

/** vhost_objects_new() - nothing is shared yet
 *
 * Return: the table, or NULL if memory is short.
 */
struct vhost_objects *vhost_objects_new(void);

/** vhost_objects_free() - forget all, close their files
 * @objects: no device uses it any more; NULL is allowed
 */
void vhost_objects_free(struct vhost_objects *objects);

/** vhost_objects_add() - the program has an object
 * @objects: a table
 * @uuid: VHOST_UUID_SIZE bytes
 * @fd: given, also on failure
 *
 * Return: 0, -EEXIST, -EBADF, -ENOMEM, or -ENOSPC: one owner may have 256.
 */
int vhost_objects_add(struct vhost_objects *objects, const uint8_t *uuid,
                      int fd);

/** vhost_objects_remove() - an object of the program's is no more
 * @objects: a table
 * @uuid: VHOST_UUID_SIZE bytes
 *
 * Who has looked it up before keeps his fd.
 *
 * Return: 0, -ENOENT, or -EPERM: it is that of a device.
 */
int vhost_objects_remove(struct vhost_objects *objects, const uint8_t *uuid);

/** vhost_objects_lookup() - the file of an object, whosever it is
 * @objects: a table
 * @uuid: VHOST_UUID_SIZE bytes
 *
 * Return: an fd that is the caller's; -ENOENT; -EAGAIN while the back end that
 * has added it has yet to give it: its device is to be dispatched; or the
 * negative errno of dup(2).
 */
int vhost_objects_lookup(struct vhost_objects *objects, const uint8_t *uuid);

/** vhost_dev_get_shared_object() - ask one back end for an object of its own
 * @dev: an initialised device
 * @uuid: VHOST_UUID_SIZE bytes
 * @errp: why it failed
 *
 * For those who keep no table.  The control thread of the device.
 *
 * Return: an fd that is the caller's; -ENOENT if it has no such object;
 * -ENOTSUP, -ENOSYS if it shares none.
 */
int vhost_dev_get_shared_object(struct vhost_dev *dev, const uint8_t *uuid,
                                struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
