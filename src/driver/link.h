/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back end that a device is driven over, of whatever kind: what
 * vhost_dev_init() takes, and whose it is to be given back.
 */
#ifndef VH_DRIVER_LINK_H
#define VH_DRIVER_LINK_H

#include <stdbool.h>

#include <vhost/backend.h>

struct vhost_user;

/** struct vh_link - a back end
 * @type: whose @opaque is
 * @opaque: for vhost_dev_init(); NULL: none, which may be freed as any
 */
struct vh_link {
    VhostBackendType type;
    void *opaque;
};

/** vh_link_open() - to the back end that a URI names
 * @link: filled in; on failure there is none
 * @uri: see driver/uri.h
 * @deadline_ms: for an answer; 0: the default
 * @errp: why it failed
 *
 * Nothing is connected or opened yet.  Return: 0 or a negative errno.
 */
int vh_link_open(struct vh_link *link, const char *uri, unsigned deadline_ms,
                 struct vhost_error **errp);

/** vh_link_of_user() - over a connection, given */
struct vh_link vh_link_of_user(struct vhost_user *user);

/** vh_link_user() - the connection; NULL: it is of another kind */
struct vhost_user *vh_link_user(const struct vh_link *link);

/** vh_link_free() - not in use by a device any more */
void vh_link_free(struct vh_link *link);

/** vh_link_has_config() - can the configuration space be read?
 * Of one that is in use by an initialised device. */
bool vh_link_has_config(const struct vh_link *link);

#endif
