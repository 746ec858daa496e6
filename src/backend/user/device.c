/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that one kind of device has, or that stand for themselves:
 * vhost-user specification, "Front-end message types".
 *
 * The payload of a crypto session goes through as it is: implementations do
 * not agree on it.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <linux/vhost_types.h>

#include "util/error.h"

static int check(const struct vhost_user *user, unsigned bit,
                 const char *operation, struct vhost_error **errp)
{
    if (vh_user_has(user, bit)) {
        return 0;
    }
    return vh_error(errp, -ENOTSUP, operation, VH_NO_QUEUE,
                    "%s: %s: the back end can't (%s is not in use)", user->name,
                    operation, vh_protocol_feature_name(bit));
}

/* Sent at once: there is no answer that would carry it along. */
static int send_alone(struct vhost_user *user, const struct vh_msg *msg,
                      struct vhost_error **errp)
{
    int r = vh_user_post(user, msg, VH_NO_QUEUE, NULL, errp);

    return r < 0 ? r : vh_user_wait(user, errp);
}

int vh_user_migration_done(struct vhost_dev *dev, const uint8_t *mac)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    r = check(user, VH_PF_RARP, "SEND_RARP", &err);
    if (r == 0) {
        vh_msg_init_u64(&msg, VH_SEND_RARP, 0);
        memcpy(&msg.payload, mac, 6);
        r = send_alone(user, &msg, &err);
    }
    return vh_user_leave(user, r, &err);
}

/* The guest is told by its configuration; a back end that does not want to
 * know does without. */
int vh_user_net_set_mtu(struct vhost_dev *dev, uint16_t mtu)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    if (vh_user_has(user, VH_PF_NET_MTU)) {
        vh_msg_init_u64(&msg, VH_NET_SET_MTU, mtu);
        r = vh_user_call(user, &msg, VH_NO_QUEUE, NULL, &err);
    }
    return vh_user_leave(user, r, &err);
}

static int get_status(struct vhost_user *user, uint8_t *status,
                      struct vhost_error **errp)
{
    struct vh_msg msg;
    struct vh_msg reply;
    int r = check(user, VH_PF_STATUS, "GET_STATUS", errp);

    if (r < 0) {
        return r;
    }
    vh_msg_init(&msg, VH_GET_STATUS);
    r = vh_user_call(user, &msg, VH_NO_QUEUE, &reply, errp);
    if (r < 0) {
        return r;
    }
    if (reply.payload.u64 > UINT8_MAX) {
        return vh_error(errp, -EPROTO, "GET_STATUS", VH_NO_QUEUE,
                        "%s: a status of 0x%" PRIx64 ": it has 8 bits",
                        user->name, reply.payload.u64);
    }
    *status = (uint8_t)reply.payload.u64;
    return 0;
}

int vh_user_get_status(struct vhost_dev *dev, uint8_t *status)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r == 0) {
        r = vh_user_leave(user, get_status(user, status, &err), &err);
    }
    return r;
}

int vh_user_set_vring_endian(struct vhost_dev *dev, struct vhost_vring_state *s)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    r = check(user, VH_PF_CROSS_ENDIAN, "SET_VRING_ENDIAN", &err);
    if (r == 0) {
        vh_msg_init_state(&msg, VH_SET_VRING_ENDIAN, s->index, s->num);
        r = vh_user_post(user, &msg, (int)s->index, NULL, &err);
    }
    return vh_user_leave(user, r, &err);
}

static int create_session(struct vhost_user *user, void *session, uint32_t size,
                          struct vhost_error **errp)
{
    struct vh_msg msg;
    struct vh_msg reply;
    int r = check(user, VH_PF_CRYPTO_SESSION, "CREATE_CRYPTO_SESSION", errp);

    if (r < 0) {
        return r;
    }
    vh_msg_init(&msg, VH_CREATE_CRYPTO_SESSION);
    msg.size = size;
    memcpy(msg.payload.raw, session, size);
    r = vh_user_call(user, &msg, VH_NO_QUEUE, &reply, errp);
    if (r < 0) {
        return r;
    }
    if (reply.size != size) {
        return vh_error(errp, -EPROTO, "CREATE_CRYPTO_SESSION", VH_NO_QUEUE,
                        "%s: a session of %" PRIu32 " bytes was answered by "
                        "one of %" PRIu32,
                        user->name, size, reply.size);
    }
    memcpy(session, reply.payload.raw, size);
    return 0;
}

int vh_user_crypto_create_session(struct vhost_dev *dev, void *session,
                                  uint32_t size)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r == 0) {
        r = create_session(user, session, size, &err);
        r = vh_user_leave(user, r, &err);
    }
    return r;
}

int vh_user_crypto_close_session(struct vhost_dev *dev, uint64_t session_id)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    r = check(user, VH_PF_CRYPTO_SESSION, "CLOSE_CRYPTO_SESSION", &err);
    if (r == 0) {
        vh_msg_init_u64(&msg, VH_CLOSE_CRYPTO_SESSION, session_id);
        r = send_alone(user, &msg, &err);
    }
    return vh_user_leave(user, r, &err);
}
