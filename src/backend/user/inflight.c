/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight buffer: vhost-user specification, GET_INFLIGHT_FD and
 * SET_INFLIGHT_FD.
 *
 * A back end that tracks nothing for now answers with a size of 0: that is no
 * buffer, and no failure.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fd.h"

#define SIZE_LIMIT (UINT64_C(1) << 30)

static void describe(const struct vhost_dev *dev, struct vh_msg *msg,
                     uint16_t queue_size)
{
    msg->size = sizeof(msg->payload.inflight);
    msg->payload.inflight =
        (struct vh_inflight_area){ .n_queues = (uint16_t)dev->nvqs,
                                   .queue_size = queue_size };
}

static int wrong(const struct vhost_user *user, const char *what,
                 struct vhost_error **errp)
{
    return vh_error(errp, -EPROTO, "GET_INFLIGHT_FD", VH_NO_QUEUE,
                    "%s: the in-flight buffer of the back end %s", user->name,
                    what);
}

/* Is the buffer there as it says? */
static int check(const struct vhost_user *user, const struct vh_msg *reply,
                 struct vhost_error **errp)
{
    const struct vh_inflight_area *area = &reply->payload.inflight;
    struct stat st;

    if (reply->n_fds != 1) {
        return wrong(user, "comes without a file", errp);
    }
    if (area->mmap_size > SIZE_LIMIT || area->mmap_offset > INT64_MAX / 2 ||
        area->mmap_offset % (uint64_t)sysconf(_SC_PAGESIZE) != 0) {
        return wrong(user, "has an impossible size or offset", errp);
    }
    if (fstat(reply->fds[0], &st) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size < area->mmap_offset + area->mmap_size) {
        return wrong(user, "is longer than its file", errp);
    }
    return 0;
}

static int take(const struct vhost_user *user, struct vh_msg *reply,
                uint16_t queue_size, struct vhost_inflight *inflight,
                struct vhost_error **errp)
{
    const struct vh_inflight_area *area = &reply->payload.inflight;
    void *addr;
    int r;

    if (area->mmap_size == 0) {
        return 0;
    }
    r = check(user, reply, errp);
    if (r < 0) {
        return r;
    }
    addr = mmap(NULL, area->mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                reply->fds[0], (off_t)area->mmap_offset);
    if (addr == MAP_FAILED) {
        return vh_error(errp, -errno, "mmap", VH_NO_QUEUE,
                        "%s: the in-flight buffer can't be mapped", user->name);
    }
    *inflight = (struct vhost_inflight){ .fd = reply->fds[0],
                                         .addr = addr,
                                         .size = area->mmap_size,
                                         .offset = area->mmap_offset,
                                         .queue_size = queue_size };
    reply->n_fds = 0; /* it is the caller's now */
    return 0;
}

int vh_user_get_inflight_fd(struct vhost_dev *dev, uint16_t queue_size,
                            struct vhost_inflight *inflight)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg reply;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    if (!vh_user_has(user, VH_PF_INFLIGHT_SHMFD)) {
        return vh_user_leave(user, 0, &err);
    }
    vh_msg_init(&msg, VH_GET_INFLIGHT_FD);
    describe(dev, &msg, queue_size);
    r = vh_user_call(user, &msg, VH_NO_QUEUE, &reply, &err);
    if (r == 0) {
        r = take(user, &reply, queue_size, inflight, &err);
        vh_msg_close_fds(&reply);
    }
    return vh_user_leave(user, r, &err);
}

int vh_user_set_inflight_fd(struct vhost_dev *dev,
                            struct vhost_inflight *inflight)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    if (!vh_user_has(user, VH_PF_INFLIGHT_SHMFD)) {
        r = vh_error(&err, -ENOTSUP, "SET_INFLIGHT_FD", VH_NO_QUEUE,
                     "%s: the back end can't finish what another has left in "
                     "flight: it does not offer "
                     "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD",
                     user->name);
        return vh_user_leave(user, r, &err);
    }
    vh_msg_init(&msg, VH_SET_INFLIGHT_FD);
    describe(dev, &msg, inflight->queue_size);
    msg.payload.inflight.mmap_size = inflight->size;
    msg.payload.inflight.mmap_offset = inflight->offset;
    msg.n_fds = 1;
    msg.fds[0] = inflight->fd;
    r = vh_user_post(user, &msg, VH_NO_QUEUE, NULL, &err);
    return vh_user_leave(user, r, &err);
}
