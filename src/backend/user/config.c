/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space: vhost-user specification, "Virtio device config
 * space".
 *
 * A GET_CONFIG is answered by exactly as many bytes as were asked for; by an
 * empty payload if the back end refuses.  Any other length fails the call,
 * since nobody knows which bytes these are, but the next message begins where
 * the header says: the connection is sound.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/error.h"

#define CONFIG_HEADER 12u /* offset, size, flags */

static int check(const struct vhost_user *user, const char *operation,
                 uint32_t offset, uint32_t size, struct vhost_error **errp)
{
    if (!vh_user_has(user, VH_PF_CONFIG)) {
        return vh_error(errp, -ENOSYS, operation, VH_NO_QUEUE,
                        "%s: the back end has no configuration space "
                        "(VHOST_USER_PROTOCOL_F_CONFIG is not in use)",
                        user->name);
    }
    if (size == 0) {
        return vh_error(errp, -EINVAL, operation, VH_NO_QUEUE,
                        "%s: %s of 0 bytes", user->name, operation);
    }
    if (size > VH_CONFIG_MAX || offset > VH_CONFIG_MAX - size) {
        return vh_error(errp, -E2BIG, operation, VH_NO_QUEUE,
                        "%s: %s of %" PRIu32 " bytes at %" PRIu32
                        ": the configuration ends at %d",
                        user->name, operation, size, offset, VH_CONFIG_MAX);
    }
    return 0;
}

static void init_config(struct vh_msg *msg, uint32_t request, uint32_t offset,
                        uint32_t size, uint32_t flags)
{
    vh_msg_init(msg, request);
    msg->size = CONFIG_HEADER + size;
    msg->payload.config.offset = offset;
    msg->payload.config.size = size;
    msg->payload.config.flags = flags;
    memset(msg->payload.config.data, 0, size);
}

static int check_reply(const struct vhost_user *user, uint32_t len,
                       const struct vh_msg *reply, struct vhost_error **errp)
{
    uint32_t got =
        reply->size < CONFIG_HEADER ? 0 : reply->size - CONFIG_HEADER;

    if (reply->size == 0) {
        return vh_error(errp, -EREMOTEIO, "GET_CONFIG", VH_NO_QUEUE,
                        "%s: the back end refused GET_CONFIG of %" PRIu32
                        " bytes",
                        user->name, len);
    }
    if (got == len && reply->payload.config.size != len) {
        got = reply->payload.config.size;
    }
    if (got != len) {
        return vh_error(errp, -EPROTO, "GET_CONFIG", VH_NO_QUEUE,
                        "%s: GET_CONFIG of %" PRIu32
                        " bytes was answered by %" PRIu32,
                        user->name, len, got);
    }
    return 0;
}

static int get_config(struct vhost_user *user, uint8_t *config, uint32_t len,
                      struct vhost_error **errp)
{
    struct vh_msg reply;
    struct vh_msg msg;
    int r = check(user, "GET_CONFIG", 0, len, errp);

    if (r < 0) {
        return r;
    }
    init_config(&msg, VH_GET_CONFIG, 0, len, 0);
    r = vh_user_call(user, &msg, VH_NO_QUEUE, &reply, errp);
    if (r == 0) {
        r = check_reply(user, len, &reply, errp);
    }
    if (r == 0) {
        memcpy(config, reply.payload.config.data, len);
    }
    return r;
}

int vh_user_get_config(struct vhost_dev *dev, uint8_t *config, uint32_t len)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r == 0) {
        r = vh_user_leave(user, get_config(user, config, len, &err), &err);
    }
    return r;
}

int vh_user_set_config(struct vhost_dev *dev, const uint8_t *data,
                       uint32_t offset, uint32_t size, uint32_t flags)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    r = check(user, "SET_CONFIG", offset, size, &err);
    if (r == 0) {
        init_config(&msg, VH_SET_CONFIG, offset, size, flags);
        memcpy(msg.payload.config.data, data, size);
        r = vh_user_call(user, &msg, VH_NO_QUEUE, NULL, &err);
    }
    return vh_user_leave(user, r, &err);
}
