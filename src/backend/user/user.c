/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection as an object, and the table of what a vhost-user back end
 * can be asked.
 *
 * struct vhost_user outlives its connections: it knows where the back end is,
 * and vhost_dev_init() connects.  While a device uses it, all that is known
 * of the back end hangs on it too, and goes with the connection, since the
 * next back end at the same path may be another.
 */
#include "backend/user/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/ops.h"
#include "util/atomic.h"
#include "util/error.h"
#include "util/fd.h"

#define DEADLINE_MS 5000
#define LONG_DEADLINE_MS 30000

/*
 * Callers built against an older header give fewer fields, and those built
 * against a newer one more: these must be 0, for we can't do what they ask.
 */
static int copy_options(struct vhost_user_options *to,
                        const struct vhost_user_options *from,
                        struct vhost_error **errp)
{
    const unsigned char *bytes = (const unsigned char *)from;
    size_t size = from->size ? from->size : sizeof(*from);

    for (size_t i = sizeof(*from); i < size; i++) {
        if (bytes[i] != 0) {
            return vh_error(errp, -E2BIG, "options", VH_NO_QUEUE,
                            "the options have %zu bytes, and use more than "
                            "the %zu that this version knows",
                            size, sizeof(*from));
        }
    }
    memset(to, 0, sizeof(*to));
    memcpy(to, from, size < sizeof(*to) ? size : sizeof(*to));
    return 0;
}

/* Recursive: what a request of the back end leads to may post, from inside the
 * call that waits. */
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

static struct vhost_user *user_alloc(const struct vhost_user_options *options,
                                     struct vhost_error **errp)
{
    struct vhost_user *user = calloc(1, sizeof(*user));

    if (!user) {
        vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    init_lock(&user->lock);
    user->side_peer_fd = -1;
    user->socket_fd = -1;
    user->listen_fd = -1;
    user->return_fd = -1;
    TAILQ_INIT(&user->foreign);
    if (options && copy_options(&user->options, options, errp) < 0) {
        vhost_user_free(user);
        return NULL;
    }
    if (user->options.deadline_ms == 0) {
        user->options.deadline_ms = DEADLINE_MS;
    }
    if (user->options.long_deadline_ms == 0) {
        user->options.long_deadline_ms = LONG_DEADLINE_MS;
    }
    return user;
}

static int set_name(struct vhost_user *user, const char *what,
                    struct vhost_error **errp)
{
    if (asprintf(&user->name, "user:%s", what) < 0) {
        user->name = NULL;
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    return 0;
}

static int set_path(struct vhost_user *user, struct vhost_error **errp)
{
    const char *path = user->options.path;

    if (!path || path[0] == '\0') {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "no path of a socket is given");
    }
    user->path = strdup(path);
    if (!user->path) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    user->options.path = user->path;
    return set_name(user, path, errp);
}

struct vhost_user *vhost_user_new(const struct vhost_user_options *options,
                                  struct vhost_error **errp)
{
    struct vhost_user *user = user_alloc(options, errp);

    if (!user) {
        return NULL;
    }
    if (set_path(user, errp) < 0 ||
        (user->options.listen && vh_user_listen(user, errp) < 0)) {
        vhost_user_free(user);
        return NULL;
    }
    return user;
}

static int set_fd(struct vhost_user *user, struct vhost_error **errp)
{
    const char *name = user->options.path;
    socklen_t len = sizeof(int);
    char text[32];
    int type = 0;
    int r;

    snprintf(text, sizeof(text), "fd %d", user->socket_fd);
    r = set_name(user, name ? name : text, errp);
    user->options.path = NULL; /* the caller's, and it was only a name */
    if (r < 0) {
        return r;
    }
    if (getsockopt(user->socket_fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        type != SOCK_STREAM) {
        return vh_error(errp, type ? -EPROTOTYPE : -errno, "getsockopt",
                        VH_NO_QUEUE, "%s: not a stream socket", user->name);
    }
    return 0;
}

struct vhost_user *vhost_user_new_fd(int fd,
                                     const struct vhost_user_options *options,
                                     struct vhost_error **errp)
{
    struct vhost_user *user = user_alloc(options, errp);

    if (!user) {
        vh_fd_close(&fd);
        return NULL;
    }
    user->socket_fd = fd;
    if (set_fd(user, errp) < 0) {
        vhost_user_free(user);
        return NULL;
    }
    return user;
}

/* Another may have bound the path since; that socket is not ours to remove. */
static void unbind(struct vhost_user *user)
{
    struct stat st;

    if (user->bound.st_ino != 0 && stat(user->path, &st) == 0 &&
        st.st_dev == user->bound.st_dev && st.st_ino == user->bound.st_ino) {
        unlink(user->path);
    }
    vh_fd_close(&user->listen_fd);
}

void vhost_user_free(struct vhost_user *user)
{
    if (!user) {
        return;
    }
    if (user->listen_fd >= 0) {
        unbind(user);
    }
    vh_fd_close(&user->socket_fd);
    pthread_mutex_destroy(&user->lock);
    free(user->path);
    free(user->name);
    free(user);
}

void vhost_user_get_info(const struct vhost_user *user,
                         struct vhost_user_info *info)
{
    /* The object is the caller's and never const; its contents are. */
    pthread_mutex_t *lock = (pthread_mutex_t *)&user->lock;
    struct vh_chan_stats stats = { 0 };

    pthread_mutex_lock(lock);
    if (user->chan) {
        vh_chan_get_stats(user->chan, &stats);
    }
    *info = (struct vhost_user_info){
        .features = { user->offered },
        .protocol_features = user->protocol_offered,
        .acked_protocol_features = user->protocol,
        .max_queues = user->max_queues,
        .max_mem_slots = user->max_slots,
        .messages = stats.messages,
        .replies = stats.replies,
        .round_trips = stats.round_trips,
        .send_calls = stats.send_calls,
        .recv_calls = stats.recv_calls,
        .poll_calls = stats.poll_calls,
    };
    pthread_mutex_unlock(lock);
}

int vh_user_open_chan(struct vhost_user *user, int fd,
                      struct vhost_error **errp)
{
    struct vh_chan_options options = {
        .deadline_ms = user->options.deadline_ms,
        .long_deadline_ms = user->options.long_deadline_ms,
    };
    int r = vh_chan_new(&user->chan, fd, &options);

    if (r < 0) {
        return vh_error(errp, r, "connect", VH_NO_QUEUE,
                        "%s: can't set up the connection", user->name);
    }
    user->control = pthread_self();
    return 0;
}

static int set_up(struct vhost_user *user, struct vhost_error **errp)
{
    int fd = -1;
    int r = vh_user_connect(user, user->options.deadline_ms, &fd, errp);

    if (r == 0) {
        r = vh_user_open_chan(user, fd, errp);
    }
    return r < 0 ? r : vh_user_negotiate(user, errp);
}

static void user_cleanup(struct vhost_dev *dev)
{
    struct vhost_user *user = dev->opaque;

    if (!user || user->dev != dev) {
        return; /* an init that failed early, or a second cleanup */
    }
    pthread_mutex_lock(&user->lock);
    vh_user_disconnect(user);
    vh_fd_close(&user->return_fd);
    user->dev = NULL;
    pthread_mutex_unlock(&user->lock);
}

static int user_init(struct vhost_dev *dev, void *opaque)
{
    enum vhost_dev_state state = dev->state;
    struct vhost_user *user = opaque;
    struct vhost_error *err = NULL;
    int r;

    dev->opaque = user;
    if (user->dev) {
        return vh_be_fail(dev, -EBUSY, "connect", VH_NO_QUEUE,
                          "%s: another device uses the connection", user->name);
    }
    pthread_mutex_lock(&user->lock);
    user->dev = dev;
    r = set_up(user, &err);
    vh_user_leave(user, r, &err);
    if (r < 0) {
        user_cleanup(dev);
        dev->state = state;
        return r;
    }
    dev->protocol_features = user->protocol;
    dev->max_queues = user->max_queues;
    dev->backend_features |= user->offered & VH_F_PROTOCOL_FEATURES;
    return 0;
}

static int user_get_fd(struct vhost_dev *dev)
{
    const struct vhost_user *user = dev->opaque;

    return user->chan ? vh_chan_fd(user->chan) : -1;
}

static bool user_is_connected(struct vhost_dev *dev)
{
    const struct vhost_user *user = dev->opaque;

    return user->chan && VH_READ_ONCE(user->fault) == 0;
}

static bool user_no_private_memslots(struct vhost_dev *dev)
{
    (void)dev;
    return true;
}

static int user_set_owner(struct vhost_dev *dev)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_OWNER);
    return vh_user_post_one(dev, &msg, VH_NO_QUEUE);
}

/* Known since the negotiation, so it costs no round trip. */
static int user_get_features(struct vhost_dev *dev, uint64_t *features)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r == 0) {
        *features = user->offered & ~vh_user_iotlb_hidden(user);
        r = vh_user_leave(user, 0, &err);
    }
    return r;
}

const VhostOps user_ops = {
    .backend_type = VHOST_BACKEND_TYPE_USER,
    .vhost_backend_init = user_init,
    .vhost_backend_cleanup = user_cleanup,
    .vhost_sync = vh_user_sync,
    .vhost_try_sync = vh_user_try_sync,
    .vhost_get_timeout = vh_user_get_timeout,
    .vhost_get_fd = user_get_fd,
    .vhost_get_request_fd = vh_user_get_request_fd,
    .vhost_get_shared_object = vh_user_get_shared_object,
    .vhost_get_shmem_size = vh_user_get_shmem_size,
    .vhost_wants_kicks = vh_user_wants_kicks,
    .vhost_vring_kick = vh_user_vring_kick,
    .vhost_dispatch = vh_user_dispatch,
    .vhost_is_connected = user_is_connected,
    .vhost_reconnect = vh_user_reconnect,
    .vhost_get_return_fd = vh_user_get_return_fd,
    .vhost_backend_memslots_limit = vh_user_memslots_limit,
    .vhost_backend_no_private_memslots = user_no_private_memslots,
    .vhost_set_owner = user_set_owner,
    .vhost_get_features = user_get_features,
    .vhost_set_features = vh_user_set_features,
    .vhost_set_mem_table = vh_user_set_mem_table,
    .vhost_set_log_base = vh_user_set_log_base,
    .vhost_requires_shm_log = vh_user_requires_shm_log,
    .vhost_vq_get_addr = vh_user_vq_get_addr,
    .vhost_set_vring_num = vh_user_set_vring_num,
    .vhost_set_vring_base = vh_user_set_vring_base,
    .vhost_set_vring_addr = vh_user_set_vring_addr,
    .vhost_set_vring_kick = vh_user_set_vring_kick,
    .vhost_set_vring_call = vh_user_set_vring_call,
    .vhost_set_vring_err = vh_user_set_vring_err,
    .vhost_set_vring_enable = vh_user_set_vring_enable,
    .vhost_get_vring_base = vh_user_get_vring_base,
    .vhost_get_vring_bases = vh_user_get_vring_bases,
    .vhost_get_inflight_fd = vh_user_get_inflight_fd,
    .vhost_set_inflight_fd = vh_user_set_inflight_fd,
    .vhost_send_device_iotlb_msg = vh_user_send_iotlb,
    .vhost_dev_start = vh_user_dev_start,
    .vhost_reset_status = vh_user_reset_status,
    .vhost_reset_device = vh_user_reset_device,
    .vhost_get_config = vh_user_get_config,
    .vhost_set_config = vh_user_set_config,
    .vhost_get_status = vh_user_get_status,
    .vhost_set_vring_endian = vh_user_set_vring_endian,
    .vhost_migration_done = vh_user_migration_done,
    .vhost_net_set_mtu = vh_user_net_set_mtu,
    .vhost_crypto_create_session = vh_user_crypto_create_session,
    .vhost_crypto_close_session = vh_user_crypto_close_session,
    .vhost_supports_device_state = vh_user_supports_device_state,
    .vhost_set_device_state_fd = vh_user_set_device_state_fd,
    .vhost_check_device_state = vh_user_check_device_state,
    .vhost_post_device_state_fd = vh_user_post_device_state_fd,
    .vhost_post_check_device_state = vh_user_post_check_device_state,
};
