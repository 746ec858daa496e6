/* SPDX-License-Identifier: BSD-3-Clause */
/* Negotiating: what both sides can do; see negotiate.c. */
#ifndef VH_BACKEND_USER_TALK_H
#define VH_BACKEND_USER_TALK_H

#include <stddef.h>
#include <stdint.h>

struct vhost_error;
struct vhost_user;

/* An answer that is a number. */
struct vh_user_number {
    int result;
    uint64_t value;
};

/* How far it has come, and what has been answered. */
struct vh_user_talk {
    unsigned step;
    struct vh_user_number features;
    struct vh_user_number protocol;
    struct vh_user_number queues;
    struct vh_user_number slots;
};

/** vh_user_negotiate() - over a new connection, in one go */
int vh_user_negotiate(struct vhost_user *user, struct vhost_error **errp);

/** vh_user_begin_talk() - the same in many */
void vh_user_begin_talk(struct vhost_user *user);

/** vh_user_talk_on() - as far as it goes; -EINPROGRESS: not at the end yet */
int vh_user_talk_on(struct vhost_user *user, struct vhost_error **errp);

/** vh_user_name_features() - "MQ, STATUS": names of protocol features, cut off
 * where there is no room */
void vh_user_name_features(char *text, size_t len, uint64_t features);

#endif
