/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What both sides can do: vhost-user specification, "Negotiation" of features
 * and of protocol features.
 *
 * Three round trips, since each needs the answer of the one before:
 *
 *   1  GET_FEATURES             does it have protocol features (bit 30)?
 *   2  GET_PROTOCOL_FEATURES    which?
 *   3  SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_MAX_MEM_SLOTS
 *
 * Each is a step that posts and does not wait, so that a connection can be
 * renewed without waiting too.
 *
 * Only what this front end implements, and what has all that it depends on,
 * is acknowledged: a back end may rely on each bit that is.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/error.h"

/* clang-format off */
#define IMPLEMENTED (0 \
    | VH_PF(MQ) \
    | VH_PF(LOG_SHMFD) \
    | VH_PF(REPLY_ACK) \
    | VH_PF(BACKEND_REQ) \
    | VH_PF(PAGEFAULT) \
    | VH_PF(CONFIG) \
    | VH_PF(CONFIGURE_MEM_SLOTS) \
    | VH_PF(STATUS) \
    | VH_PF(INFLIGHT_SHMFD) \
    | VH_PF(RESET_DEVICE) \
    | VH_PF(DEVICE_STATE) \
    | VH_PF(RARP) \
    | VH_PF(NET_MTU) \
    | VH_PF(CROSS_ENDIAN) \
    | VH_PF(GPA_ADDRESSES) \
    | VH_PF(BACKEND_SEND_FD) \
    | VH_PF(HOST_NOTIFIER) \
    | VH_PF(SHARED_OBJECT) \
    | VH_PF(SHMEM))

/* Implemented, but not for everybody. */
#define ON_REQUEST (0 \
    | VH_PF(CRYPTO_SESSION) \
    | VH_PF(INBAND_NOTIFICATIONS) \
    | VH_PF(XEN_MMAP) \
    | VH_PF(GET_VRING_BASE_INFLIGHT) \
    | VH_PF(GET_VRING_BASE_SKIP_DRAIN))
/* clang-format on */

static const char spec_prefix[] = "VHOST_USER_PROTOCOL_F_";

void vh_user_name_features(char *text, size_t len, uint64_t features)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = vh_protocol_feature_name(bit);
        int n;

        if (!(features >> bit & 1) || used >= len) {
            continue;
        }
        if (name && strncmp(name, spec_prefix, strlen(spec_prefix)) == 0) {
            name += strlen(spec_prefix);
        }
        n = name ? snprintf(text + used, len - used, "%s%s", used ? ", " : "",
                            name)
                 : snprintf(text + used, len - used, "%sbit %u",
                            used ? ", " : "", bit);
        used += n > 0 ? (size_t)n : 0;
    }
}

static int check_required(const struct vhost_user *user,
                          struct vhost_error **errp)
{
    uint64_t missing = user->options.required & ~user->protocol;
    char unoffered[256];
    char unusable[256];

    if (missing == 0) {
        return 0;
    }
    vh_user_name_features(unoffered, sizeof(unoffered),
                  missing & ~user->protocol_offered);
    vh_user_name_features(unusable, sizeof(unusable), missing & user->protocol_offered);
    if (unoffered[0] != '\0') {
        return vh_error(errp, -ENOTSUP, "GET_PROTOCOL_FEATURES", VH_NO_QUEUE,
                        "%s: the back end lacks what is required: %s",
                        user->name, unoffered);
    }
    return vh_error(errp, -ENOTSUP, "GET_PROTOCOL_FEATURES", VH_NO_QUEUE,
                    "%s: what is required can't be used: %s", user->name,
                    unusable);
}

static uint64_t acceptable(const struct vhost_user *user)
{
    const struct vhost_user_options *o = &user->options;
    uint64_t features = IMPLEMENTED | (ON_REQUEST & (o->extra | o->required));

    if (o->host_addresses) {
        features &= ~VH_PF(GPA_ADDRESSES);
    }
    if (!user->dev->objects) {
        features &= ~VH_PF(SHARED_OBJECT); /* nobody to share with */
    }
    return features & ~o->forbidden;
}

static int number_done(void *arg, int result, struct vh_msg *reply,
                       struct vhost_error **errp)
{
    struct vh_user_number *number = arg;

    (void)errp;
    number->result = result;
    if (result == 0) {
        number->value = reply->payload.u64;
    }
    return 0;
}

static int post_get(struct vhost_user *user, uint32_t request,
                    struct vh_user_number *number, struct vhost_error **errp)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    return vh_user_post_reply(user, &msg, VH_NO_QUEUE, number_done, number,
                              errp);
}

static int ask_features(struct vhost_user *user, struct vhost_error **errp)
{
    return post_get(user, VH_GET_FEATURES, &user->talk.features, errp);
}

/* What both sides can do without protocol features has no second step. */
static int ask_protocol_features(struct vhost_user *user,
                                 struct vhost_error **errp)
{
    struct vh_user_talk *talk = &user->talk;

    if (talk->features.result < 0) {
        return vh_user_refused(user, VH_GET_FEATURES, VH_NO_QUEUE, errp);
    }
    user->spoke = true;
    user->offered = talk->features.value;
    return user->offered & VH_F_PROTOCOL_FEATURES
               ? post_get(user, VH_GET_PROTOCOL_FEATURES, &talk->protocol, errp)
               : 0;
}

static void take_protocol_features(struct vhost_user *user)
{
    user->protocol_offered = user->talk.protocol.value;
    user->protocol =
        vh_protocol_features_usable(user->protocol_offered & acceptable(user));
    if (vh_user_has(user, VH_PF_XEN_MMAP)) {
        /* Grants and foreign pages fault nowhere. */
        user->protocol &= ~VH_PF(PAGEFAULT);
    }
}

static int set_protocol_features(struct vhost_user *user,
                                 struct vhost_error **errp)
{
    struct vh_user_talk *talk = &user->talk;
    struct vh_msg msg;
    int r;

    if (talk->protocol.result < 0) {
        return vh_user_refused(user, VH_GET_PROTOCOL_FEATURES, VH_NO_QUEUE,
                               errp);
    }
    take_protocol_features(user);
    r = check_required(user, errp);
    if (r < 0 || !(user->offered & VH_F_PROTOCOL_FEATURES)) {
        return r;
    }
    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES, user->protocol);
    r = vh_user_post(user, &msg, VH_NO_QUEUE, NULL, errp);
    if (r == 0 && vh_user_has(user, VH_PF_MQ)) {
        r = post_get(user, VH_GET_QUEUE_NUM, &talk->queues, errp);
    }
    if (r == 0 && vh_user_has(user, VH_PF_CONFIGURE_MEM_SLOTS)) {
        r = post_get(user, VH_GET_MAX_MEM_SLOTS, &talk->slots, errp);
    }
    if (r == 0) {
        r = vh_user_open_side(user, errp);
    }
    return r < 0 ? r : vh_user_post_shmem(user, errp);
}

static int no_such_thing(const struct vhost_user *user, const char *request,
                         const char *what, struct vhost_error **errp)
{
    return vh_error(errp, -EPROTO, request, VH_NO_QUEUE,
                    "%s: the back end says that it has no %s", user->name,
                    what);
}

static int check_limits(struct vhost_user *user, struct vhost_error **errp)
{
    uint64_t queues = user->talk.queues.value;
    uint64_t slots = user->talk.slots.value;
    int needed = user->dev->num_queues;

    vh_user_side_is_sent(user);
    if (queues == 0) {
        return no_such_thing(user, "GET_QUEUE_NUM", "queues", errp);
    }
    if (slots == 0) {
        return no_such_thing(user, "GET_MAX_MEM_SLOTS", "memory slots", errp);
    }
    user->max_queues = queues > VH_QUEUES_MAX ? VH_QUEUES_MAX : queues;
    user->max_slots = slots > VH_USER_SLOTS_MAX ? VH_USER_SLOTS_MAX : slots;
    if (needed > 0 && user->max_queues < (uint64_t)needed) {
        return vh_error(errp, -EINVAL, "GET_QUEUE_NUM", VH_NO_QUEUE,
                        "%s: the back end has %" PRIu64
                        " %s, the device needs %d",
                        user->name, user->max_queues,
                        user->max_queues == 1 ? "queue" : "queues", needed);
    }
    return vh_user_check_shmem(user, errp);
}

/* Each begins with the answers to the one before. */
static int (*const steps[])(struct vhost_user *user,
                            struct vhost_error **errp) = {
    ask_features,
    ask_protocol_features,
    set_protocol_features,
    check_limits,
};

#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

void vh_user_begin_talk(struct vhost_user *user)
{
    user->talk = (struct vh_user_talk){
        .queues = { .value = 1 },
        .slots = { .value = VH_MEM_TABLE_MAX },
    };
}

int vh_user_talk_on(struct vhost_user *user, struct vhost_error **errp)
{
    int r = 0;

    while (r == 0 && user->talk.step < N_STEPS) {
        r = user->talk.step > 0 ? vh_user_try_wait(user, errp) : 0;
        if (r == 0) {
            r = steps[user->talk.step](user, errp);
            user->talk.step += r == 0;
        }
    }
    return r;
}

int vh_user_negotiate(struct vhost_user *user, struct vhost_error **errp)
{
    int r = 0;

    vh_user_begin_talk(user);
    while (r == 0 && user->talk.step < N_STEPS) {
        r = steps[user->talk.step++](user, errp);
        if (r == 0) {
            r = vh_user_wait(user, errp);
        }
    }
    return r;
}
