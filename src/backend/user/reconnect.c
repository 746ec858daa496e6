/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new connection in place of one that is lost.
 *
 * It is the same as the first, but that nothing waits, and that the back end
 * must have what its predecessor had: the device was told, and has told its
 * driver, what can be done.
 *
 * When to try: a socket that is bound shows in its folder, which inotify(7)
 * tells of; that it listens is not told by anybody, so the caller tries a few
 * times from then on.  Where the back end is the one that connects, our own
 * listening socket tells.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "backend/ops.h"
#include "util/atomic.h"
#include "util/error.h"
#include "util/fd.h"

/* Best effort: without it there is the caller's own pace. */
static void watch_folder(struct vhost_user *user)
{
    char *copy = strdup(user->path);

    user->return_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (!copy || (user->return_fd >= 0 &&
                  inotify_add_watch(user->return_fd, dirname(copy),
                                    IN_CREATE | IN_MOVED_TO) < 0)) {
        vh_fd_close(&user->return_fd);
    }
    free(copy);
}

static void forget_news(const struct vhost_user *user)
{
    char events[4096];

    while (read(user->return_fd, events, sizeof(events)) > 0) {
    }
}

int vh_user_get_return_fd(struct vhost_dev *dev)
{
    struct vhost_user *user = dev->opaque;

    if (user->listen_fd >= 0) {
        return user->listen_fd;
    }
    if (!user->path) {
        return -ENOTSUP; /* the socket that was given is used up */
    }
    if (user->return_fd < 0) {
        watch_folder(user);
    }
    return user->return_fd;
}

static int lacks(const struct vhost_user *user, const char *what,
                 struct vhost_error **errp)
{
    return vh_error(errp, -ENOTSUP, "reconnect", VH_NO_QUEUE,
                    "%s: the back end has come back without %s, which is in "
                    "use",
                    user->name, what);
}

/* Has it all that the device counts on? */
static int check_same(const struct vhost_user *user, struct vhost_error **errp)
{
    const struct vhost_dev *dev = user->dev;
    uint64_t features = dev->acked_features & ~user->offered;
    uint64_t protocol = dev->protocol_features & ~user->protocol;
    char names[256];

    if (features != 0) {
        snprintf(names, sizeof(names), "virtio features %#llx",
                 (unsigned long long)features);
        return lacks(user, names, errp);
    }
    if (protocol != 0) {
        vh_user_name_features(names, sizeof(names), protocol);
        return lacks(user, names, errp);
    }
    if (user->max_queues < dev->max_queues) {
        snprintf(names, sizeof(names), "%llu of its %llu queues",
                 (unsigned long long)(dev->max_queues - user->max_queues),
                 (unsigned long long)dev->max_queues);
        return lacks(user, names, errp);
    }
    if (user->max_slots < (uint64_t)dev->n_mem_sections) {
        snprintf(names, sizeof(names),
                 "room for %d regions of memory (it takes %llu)",
                 dev->n_mem_sections, (unsigned long long)user->max_slots);
        return lacks(user, names, errp);
    }
    return 0;
}

/* Memory may change meanwhile, within the limits that are known. */
static void drop(struct vhost_user *user)
{
    uint64_t slots = user->max_slots;

    vh_user_disconnect(user);
    user->max_slots = slots;
}

static int begin(struct vhost_user *user, struct vhost_error **errp)
{
    int fd = -1;
    int r;

    if (user->return_fd >= 0) {
        forget_news(user);
    }
    drop(user);
    r = vh_user_connect(user, 0, &fd, errp);
    if (r == 0) {
        r = vh_user_open_chan(user, fd, errp);
    }
    if (r == 0) {
        vh_user_begin_talk(user);
    }
    return r;
}

int vh_user_reconnect(struct vhost_dev *dev, bool anew)
{
    struct vhost_user *user = dev->opaque;
    enum vhost_dev_state state = dev->state;
    struct vhost_error *err = NULL;
    int r = 0;

    /* Another thread that masks may be waiting for what does not come. */
    if (pthread_mutex_trylock(&user->lock) != 0) {
        return -EINPROGRESS;
    }
    if (anew) {
        r = begin(user, &err);
    }
    if (r == 0) {
        r = vh_user_talk_on(user, &err);
    }
    if (r == 0) {
        r = check_same(user, &err);
    }
    if (r == 0) {
        vh_fd_close(&user->return_fd);
        dev->protocol_features = user->protocol;
        dev->max_queues = user->max_queues;
    } else if (r != -EINPROGRESS) {
        drop(user);
    }
    VH_WRITE_ONCE(dev->state, state); /* what is told of it is the caller's */
    return vh_user_leave(user, r, &err);
}
