/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the back end has our memory, while it listens for page faults. */
#ifndef VH_BACKEND_USER_POSTCOPY_H
#define VH_BACKEND_USER_POSTCOPY_H

#include <vhost/postcopy.h>

#include "backend/user/request.h"

/** vh_user_postcopy_memory() - memory that was sent has come with addresses
 * @user: locked, while vh_user_is_listening()
 * @regions: @n of them, as sent
 * @answers: the same as they came back: user_addr is the back end's
 * @whole: these are all that there are; else they are more of them
 *
 * Return: 0; -EPROTO if these are other regions; -ENOMEM.
 */
int vh_user_postcopy_memory(struct vhost_user *user,
                            const struct vh_mem_region *regions,
                            const struct vh_mem_region *answers, size_t n,
                            bool whole, struct vhost_error **errp);

/** vh_user_postcopy_forget() - one region has gone */
void vh_user_postcopy_forget(struct vhost_user *user, uint64_t gpa);

/** vh_user_postcopy_free() - the connection ends */
void vh_user_postcopy_free(struct vhost_user *user);

#endif
