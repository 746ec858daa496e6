/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a back end shares with the device: pages of doorbell, objects that
 * other devices may use, memory that the driver sees.  Here are the messages;
 * what becomes of them is decided above.
 *
 * An object is asked for as soon as it is said to be there, and its file kept.
 * So a device that looks it up gets it at once: nobody waits for one back end
 * in the middle of serving another.
 *
 * vhost-user specification, "VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG",
 * "VHOST_USER_BACKEND_SHARED_OBJECT_ADD" and "VHOST_USER_BACKEND_SHMEM_MAP".
 */
#include "backend/user/side.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/upcalls.h"
#include "util/error.h"

#define SHMEM_WRITABLE UINT64_C(1)

int vh_user_on_host_notifier(struct vhost_user *user, const struct vh_msg *msg,
                             int *fd)
{
    const struct vh_vring_area *area = &msg->payload.area;
    int page = msg->n_fds > 0 ? msg->fds[0] : -1;

    (void)fd;
    if (page >= 0 && !vh_user_has(user, VH_PF_BACKEND_SEND_FD)) {
        return -ENOTSUP;
    }
    return user->dev->upcalls->host_notifier(
        user->dev, (unsigned)(area->queue & VH_VRING_IDX_MASK), page,
        area->offset, area->size);
}

/* Objects */

struct fetch {
    struct vhost_user *user;
    uint8_t uuid[16];
};

static int fetched(void *arg, int result, struct vh_msg *reply,
                   struct vhost_error **errp)
{
    struct fetch *fetch = arg;
    struct vhost_dev *dev = fetch->user->dev;
    int fd = -1;

    (void)errp;
    if (result == 0 && reply->n_fds == 1) {
        fd = reply->fds[0];
        reply->n_fds = 0; /* given */
    }
    dev->upcalls->object_is(dev, fetch->uuid, fd);
    free(fetch);
    return 0;
}

static void init_get_object(struct vh_msg *msg, const uint8_t *uuid)
{
    vh_msg_init(msg, VH_GET_SHARED_OBJECT);
    msg->size = sizeof(msg->payload.uuid);
    memcpy(msg->payload.uuid, uuid, sizeof(msg->payload.uuid));
}

static int fetch_object(struct vhost_user *user, const uint8_t *uuid)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    struct vh_msg msg;
    int r;

    if (!fetch) {
        return -ENOMEM;
    }
    fetch->user = user;
    memcpy(fetch->uuid, uuid, sizeof(fetch->uuid));
    init_get_object(&msg, uuid);
    r = vh_chan_post(user->chan, &msg, VH_EXPECT_REPLY, VH_PATIENCE_SHORT,
                     VH_NO_QUEUE, fetched, fetch);
    if (r < 0) {
        free(fetch);
    }
    return r;
}

int vh_user_on_object_add(struct vhost_user *user, const struct vh_msg *msg,
                          int *fd)
{
    struct vhost_dev *dev = user->dev;
    int r = dev->upcalls->object_add(dev, msg->payload.uuid);

    (void)fd;
    if (r == 0) {
        r = fetch_object(user, msg->payload.uuid);
        if (r < 0) {
            dev->upcalls->object_remove(dev, msg->payload.uuid);
        }
    }
    return r;
}

int vh_user_on_object_remove(struct vhost_user *user, const struct vh_msg *msg,
                             int *fd)
{
    (void)fd;
    return user->dev->upcalls->object_remove(user->dev, msg->payload.uuid);
}

int vh_user_on_object_lookup(struct vhost_user *user, const struct vh_msg *msg,
                             int *fd)
{
    int r = user->dev->upcalls->object_lookup(user->dev, msg->payload.uuid);

    *fd = r < 0 ? -1 : r;
    return r < 0 ? r : 0;
}

int vh_user_get_shared_object(struct vhost_dev *dev, const uint8_t *uuid,
                              int *fd)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    struct vh_msg reply;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    if (!vh_user_has(user, VH_PF_SHARED_OBJECT)) {
        r = vh_error(&err, -ENOTSUP, "GET_SHARED_OBJECT", VH_NO_QUEUE,
                     "%s: the back end shares no objects "
                     "(VHOST_USER_PROTOCOL_F_SHARED_OBJECT is not in use)",
                     user->name);
        return vh_user_leave(user, r, &err);
    }
    init_get_object(&msg, uuid);
    r = vh_user_call(user, &msg, VH_NO_QUEUE, &reply, &err);
    if (r == 0 && reply.n_fds == 0) {
        r = vh_error(&err, -ENOENT, "GET_SHARED_OBJECT", VH_NO_QUEUE,
                     "%s: the back end has no such object", user->name);
    } else if (r == 0) {
        *fd = reply.fds[0];
    }
    return vh_user_leave(user, r, &err);
}

/* Shared memory */

static int shmem_piece(const struct vh_msg *msg, struct vh_shmem_piece *piece)
{
    const struct vh_mmap *m = &msg->payload.mmap;

    *piece = (struct vh_shmem_piece){
        .id = m->shmid,
        .writable = m->flags & SHMEM_WRITABLE,
        .fd = msg->n_fds > 0 ? msg->fds[0] : -1,
        .fd_offset = m->fd_offset,
        .offset = m->shm_offset,
        .len = m->len,
    };
    return m->flags & ~SHMEM_WRITABLE ? -EINVAL : 0;
}

int vh_user_on_shmem_map(struct vhost_user *user, const struct vh_msg *msg,
                         int *fd)
{
    struct vh_shmem_piece piece;
    int r = shmem_piece(msg, &piece);

    (void)fd;
    return r < 0 ? r : user->dev->upcalls->shmem_map(user->dev, &piece);
}

int vh_user_on_shmem_unmap(struct vhost_user *user, const struct vh_msg *msg,
                           int *fd)
{
    struct vh_shmem_piece piece;

    (void)fd;
    (void)shmem_piece(msg, &piece); /* what flags say does not matter here */
    return user->dev->upcalls->shmem_unmap(user->dev, &piece);
}

static int take_sizes(void *arg, int result, struct vh_msg *reply,
                      struct vhost_error **errp)
{
    (void)errp;
    if (result == 0) {
        memcpy(arg, reply->payload.shmem.sizes,
               sizeof(reply->payload.shmem.sizes));
    }
    return 0;
}

int vh_user_post_shmem(struct vhost_user *user, struct vhost_error **errp)
{
    struct vh_msg msg;

    if (!vh_user_has(user, VH_PF_SHMEM)) {
        return 0;
    }
    user->shmem = calloc(VH_SHMEM_REGIONS, sizeof(*user->shmem));
    if (!user->shmem) {
        return vh_error(errp, -ENOMEM, "GET_SHMEM_CONFIG", VH_NO_QUEUE,
                        "%s: out of memory", user->name);
    }
    vh_msg_init(&msg, VH_GET_SHMEM_CONFIG);
    return vh_user_post_reply(user, &msg, VH_NO_QUEUE, take_sizes, user->shmem,
                              errp);
}

int vh_user_check_shmem(const struct vhost_user *user,
                        struct vhost_error **errp)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    for (unsigned id = 0; user->shmem && id < VH_SHMEM_REGIONS; id++) {
        if (user->shmem[id] % page != 0) {
            return vh_error(errp, -EPROTO, "GET_SHMEM_CONFIG", VH_NO_QUEUE,
                            "%s: shared memory region %u has %" PRIu64
                            " bytes, which are no whole pages",
                            user->name, id, user->shmem[id]);
        }
    }
    return 0;
}

uint64_t vh_user_get_shmem_size(struct vhost_dev *dev, uint8_t id)
{
    const struct vhost_user *user = dev->opaque;

    return user->shmem ? user->shmem[id] : 0;
}
