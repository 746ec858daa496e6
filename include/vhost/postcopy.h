/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postcopy: a guest that runs before its memory has arrived.
 *
 * A back end that touches a page which is not there yet stops there, in the
 * kernel.  The owner hears of it, fetches the page, puts it in place through
 * his own mapping of the shared memory, and wakes the back end.
 *
 *     vhost_user_postcopy_advise(user, &err);      before any memory is there
 *     vhost_user_postcopy_listen(user, &err);
 *     … the memory map is committed, the device started …
 *
 *     in a thread of its own, since the others may wait for the back end:
 *         poll(vhost_user_postcopy_fd(user))
 *         while (vhost_user_postcopy_fault(user, &gpa) > 0)
 *             … fetch the page of gpa, and put it in place …
 *             vhost_user_postcopy_wake(user, gpa, page_size)
 *
 *     vhost_user_postcopy_end(user, &err);         all pages are there
 *
 * A back end that is waiting for a page can't be told that its front end died:
 * it would go on with a page of zeroes.  It has to be killed.
 *
 * Source: vhost-user specification, "Migration", and the three requests
 * POSTCOPY_ADVISE, POSTCOPY_LISTEN and POSTCOPY_END.
 */
#ifndef VHOST_POSTCOPY_H
#define VHOST_POSTCOPY_H

#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_user;

/** vhost_user_postcopy_advise() - postcopy may follow
 * @user: a connection in use by a device that is not started
 * @errp: why it failed
 *
 * The back end makes a userfaultfd, and hands it over.
 *
 * Return: 0; -ENOTSUP if VHOST_USER_PROTOCOL_F_PAGEFAULT is not in use; -EBUSY
 * if that was done before; -EREMOTEIO if the back end has none to give; -EPROTO
 * if what it gives is another kind of file; or
 * what the connection failed with.
 */
int vhost_user_postcopy_advise(struct vhost_user *user,
                               struct vhost_error **errp);

/** vhost_user_postcopy_fd() - readable when there are faults
 * @user: a connection
 *
 * Return: the fd, lent until vhost_user_postcopy_end() or the end of the
 * connection; -1 without advise.
 */
int vhost_user_postcopy_fd(struct vhost_user *user);

/** vhost_user_postcopy_listen() - from now on memory comes with faults
 * @user: a connection after advise, whose back end has no memory yet
 * @errp: why it failed
 *
 * Return: 0; -EINVAL without advise; -EREMOTEIO if the back end refuses; or
 * what the connection failed with.
 */
int vhost_user_postcopy_listen(struct vhost_user *user,
                               struct vhost_error **errp);

/** vhost_user_postcopy_fault() - which page does the back end wait for?
 * @user: a connection after listen
 * @gpa: filled in: guest-physical address of the page
 *
 * Without waiting.  Any one thread, whatever others do with the device.
 *
 * Return: 1; 0 if it waits for none; -ENOENT for an address that is in no
 * memory of ours, which is forgotten; -EINVAL without advise; or the negative
 * errno of read(2).
 */
int vhost_user_postcopy_fault(struct vhost_user *user, uint64_t *gpa);

/** vhost_user_postcopy_wake() - pages are in place
 * @user: a connection after listen
 * @gpa: of the first one
 * @size: bytes: whole pages of the memory's file
 *
 * For pages that a fault asked for, and for others too: whoever waits for them
 * goes on.  Any thread, as vhost_user_postcopy_fault().
 *
 * Return: 0, also if nobody waits; -ENOENT if @gpa is in no memory that the
 * back end has; -EINVAL without advise; or the negative errno of UFFDIO_WAKE.
 */
int vhost_user_postcopy_wake(struct vhost_user *user, uint64_t gpa,
                             uint64_t size);

/** vhost_user_postcopy_end() - all memory is there
 * @user: a connection after advise
 * @errp: why it failed
 *
 * Return: 0, also without advise; or what the connection failed with.
 */
int vhost_user_postcopy_end(struct vhost_user *user, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
