/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * State of the device: vhost-user specification, "Migrating back-end state".
 *
 * A device's state is small, so it is made at once, when the front end asks,
 * and read whole before any of it is used.  It goes through the front end's
 * pipe as that takes it or gives it, by the server's loop: a front end that
 * does neither waits for itself alone.
 *
 * What is read may come from anywhere.  It begins with
 *
 *     u32  magic  0x76686473
 *     u16  version of this form, 1
 *     u16  virtio device type
 *     u32  how many bytes follow
 *
 * all big-endian, and goes on as the device has it.  It is applied only when
 * the front end asks how it went, since only then it is known that all of it
 * has come.
 */
#include "server/handlers.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "util/fd.h"
#include "util/io.h"

#define MAGIC UINT32_C(0x76686473)
#define VERSION 1
#define NO_FD (UINT64_C(1) << 8)
#define NOW 0 /* a deadline that has passed */

struct header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t len;
};

static_assert(sizeof(struct header) == VH_STATE_HEADER, "no padding");

static void close_fd(struct vhost_server *srv)
{
    struct vh_transfer *t = &srv->transfer;

    if (t->open) {
        vh_server_unwatch(srv, t->fd);
        vh_fd_close(&t->fd);
        t->open = false;
    }
}

void vh_transfer_cancel(struct vhost_server *srv)
{
    close_fd(srv);
    srv->transfer.stage = VH_TRANSFER_NONE;
    srv->transfer.why = NULL;
}

/* The front end sees the end when the fd is closed. */
static void ended(struct vhost_server *srv, const char *why)
{
    close_fd(srv);
    srv->transfer.stage = VH_TRANSFER_ENDED;
    srv->transfer.why = why;
}

static void write_on(struct vhost_server *srv)
{
    struct vh_transfer *t = &srv->transfer;

    while (t->at < t->len) {
        ssize_t n = vh_io_write(t->fd, t->data + t->at, t->len - t->at, NOW);

        if (n == -ETIMEDOUT) {
            return;
        }
        if (n < 0) {
            ended(srv, "the state could not be written");
            return;
        }
        t->at += (size_t)n;
    }
    ended(srv, NULL);
}

static void read_on(struct vhost_server *srv)
{
    struct vh_transfer *t = &srv->transfer;
    uint8_t more;

    for (;;) {
        bool full = t->len == sizeof(t->data);
        ssize_t n = vh_io_read(t->fd, full ? &more : t->data + t->len,
                               full ? 1 : sizeof(t->data) - t->len, NOW);

        if (n == -ETIMEDOUT) {
            return;
        }
        if (n < 0) {
            ended(srv, "the state could not be read");
            return;
        }
        if (n == 0) {
            ended(srv, NULL);
            return;
        }
        if (full) {
            ended(srv, "the state is longer than that of any device");
            return;
        }
        t->len += (size_t)n;
    }
}

void vh_transfer_run(struct vhost_server *srv)
{
    switch (srv->transfer.stage) {
    case VH_TRANSFER_SAVING:
        write_on(srv);
        break;
    case VH_TRANSFER_LOADING:
        read_on(srv);
        break;
    case VH_TRANSFER_NONE:
    case VH_TRANSFER_ENDED:
        break;
    }
}

static void save(struct vhost_server *srv)
{
    struct vhost_server_device *device = srv->device;
    struct vh_transfer *t = &srv->transfer;
    size_t len = device->ops->save(device, t->data + VH_STATE_HEADER);
    struct header header = {
        .magic = htobe32(MAGIC),
        .version = htobe16(VERSION),
        .type = htobe16(device->type),
        .len = htobe32((uint32_t)len),
    };

    memcpy(t->data, &header, sizeof(header));
    t->len = sizeof(header) + len;
}

/* NULL, or what is wrong with the state that was read. */
static const char *load(struct vhost_server *srv)
{
    struct vhost_server_device *device = srv->device;
    struct vh_transfer *t = &srv->transfer;
    struct header header;
    const char *why;

    if (t->len < sizeof(header)) {
        return "the state is too short to be one";
    }
    memcpy(&header, t->data, sizeof(header));
    if (be32toh(header.magic) != MAGIC) {
        return "what was given is not the state of a device";
    }
    if (be16toh(header.version) != VERSION) {
        return "the state is of another version";
    }
    if (be16toh(header.type) != device->type) {
        return "the state is that of another type of device";
    }
    if (be32toh(header.len) != t->len - sizeof(header)) {
        return "the state is not as long as it says";
    }
    why = device->ops->load(device, t->data + sizeof(header),
                            t->len - sizeof(header));
    t->loaded = !why;
    return why;
}

/* Only what can be used without ever waiting for its other end. */
static bool is_pipe(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 &&
           (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static const char *check(const struct vhost_server *srv,
                         const struct vh_msg *msg)
{
    if (msg->payload.device_state.direction > 1) {
        return "there is no such direction";
    }
    if (msg->payload.device_state.phase != 0) {
        return "there is no such phase";
    }
    for (unsigned i = 0; i < srv->n_queues; i++) {
        if (srv->queues[i].ring) {
            return "the device is not suspended: a queue runs";
        }
    }
    return is_pipe(msg->fds[0]) ? NULL : "the fd is neither pipe nor socket";
}

static int watch(struct vhost_server *srv, int fd, bool writes)
{
    struct epoll_event event = {
        .events = writes ? (uint32_t)EPOLLOUT : (uint32_t)EPOLLIN,
        .data.u64 = (uint64_t)VH_EVENT_STATE << 32,
    };

    return epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int vh_on_set_device_state_fd(struct vhost_server *srv, struct vh_msg *msg,
                              struct vh_msg *reply)
{
    bool loads = msg->payload.device_state.direction == 1;
    const char *why = check(srv, msg);
    struct vh_transfer *t = &srv->transfer;

    vh_transfer_cancel(srv);
    if (!why && watch(srv, msg->fds[0], !loads) < 0) {
        why = "the fd can't be polled";
    }
    if (why) {
        vh_server_log(srv, "SET_DEVICE_STATE_FD refused: %s", why);
        vh_msg_init_u64(reply, msg->request, NO_FD | EINVAL);
        return 0;
    }
    t->fd = msg->fds[0];
    t->open = true;
    msg->fds[0] = -1;
    t->load = loads;
    t->at = 0;
    t->len = 0;
    t->stage = loads ? VH_TRANSFER_LOADING : VH_TRANSFER_SAVING;
    if (!loads) {
        save(srv);
    }
    vh_msg_init_u64(reply, msg->request, NO_FD);
    return 0;
}

int vh_on_check_device_state(struct vhost_server *srv, struct vh_msg *msg,
                             struct vh_msg *reply)
{
    struct vh_transfer *t = &srv->transfer;
    const char *why;

    vh_transfer_run(srv); /* the end may have come along with the question */
    why = t->why;
    if (t->stage == VH_TRANSFER_NONE) {
        why = "no state is being transferred";
    } else if (t->stage != VH_TRANSFER_ENDED) {
        why = "the transfer has not ended";
    } else if (!why && t->load) {
        why = load(srv);
    }
    vh_transfer_cancel(srv);
    if (why) {
        vh_server_log(srv, "CHECK_DEVICE_STATE: %s", why);
    }
    vh_msg_init_u64(reply, msg->request, why ? EINVAL : 0);
    return 0;
}
