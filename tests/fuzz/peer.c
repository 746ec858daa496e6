/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each answer costs a byte of the input, which says how honest it is; an input
 * that is used up is honest, so that a script is short.
 */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/userfaultfd.h>

#include "fuzz/peer.h"
#include "fuzz/wire.h"
#include "util/fd.h"

#define HONEST 160 /* bytes below are */
#define TURN 64    /* messages in one */
#define BIT(n) (UINT64_C(1) << (n))

static int file_of(uint64_t size)
{
    int fd = memfd_create("fuzz-peer", MFD_CLOEXEC);

    CLAIM(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

/* Where there may be none: another file, which it must not be taken for. */
static int new_uffd(void)
{
    struct uffdio_api api = { .api = UFFD_API };
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

    if (fd < 0) {
        return file_of(4096);
    }
    CLAIM(ioctl(fd, UFFDIO_API, &api) == 0);
    return fd;
}

static void add_fd(struct vh_msg *msg, int fd)
{
    msg->fds[msg->n_fds++] = fd;
}

/* To a pipe that may have no reader.  Only here is that no fault: the library
 * has to see to it that nobody is killed. */
static void write_all(int fd, const void *buf, size_t len)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    (void)!write(fd, buf, len);
    signal(SIGPIPE, before);
}

/* Its end of a transfer of state: as much as the input has for it. */
static void transfer(struct peer *peer, const struct vh_msg *msg)
{
    uint8_t buf[256];
    uint8_t n = take_u8(peer->in);

    fcntl(msg->fds[0], F_SETFL, O_NONBLOCK);
    if (msg->payload.device_state.direction == 0) {
        take(peer->in, buf, n);
        write_all(msg->fds[0], buf, n);
    } else if (n & 1) {
        vh_fd_close(&peer->state);
        peer->state = vh_fd_dup(msg->fds[0]);
    }
}

static void drain(struct peer *peer)
{
    uint8_t buf[256];

    while (peer->state >= 0 && read(peer->state, buf, sizeof(buf)) > 0) {
    }
}

/* The answers that bring a file, or tell of one. */
static void answer_file(struct peer *peer, const struct vh_msg *msg,
                        struct vh_msg *reply)
{
    switch (msg->request) {
    case VH_GET_INFLIGHT_FD:
        reply->payload.inflight.mmap_size = 4096;
        reply->size = sizeof(reply->payload.inflight);
        add_fd(reply, file_of(4096));
        return;
    case VH_GET_SHARED_OBJECT:
        add_fd(reply, file_of(4096));
        return;
    case VH_POSTCOPY_ADVISE:
        add_fd(reply, new_uffd());
        return;
    case VH_SET_DEVICE_STATE_FD:
        transfer(peer, msg);
        reply->payload.u64 = 0x100;
        return;
    case VH_CHECK_DEVICE_STATE:
        vh_fd_close(&peer->state);
        reply->payload.u64 = 0;
        return;
    case VH_GET_SHMEM_CONFIG:
        memset(&reply->payload, 0, sizeof(reply->payload));
        reply->payload.shmem.n = 1;
        reply->payload.shmem.sizes[0] = 0x10000;
        return;
    default:
        return;
    }
}

/* What an honest one says of itself.  Return: false if nothing is due. */
static bool answer(struct peer *peer, const struct vh_msg *msg,
                   struct vh_msg *reply)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, msg->request);

    vh_msg_init(reply, msg->request);
    reply->payload = msg->payload;
    reply->size = row->reply == VH_REPLY_OWN ? row->reply_min : 8;
    switch (msg->request) {
    case VH_GET_FEATURES:
        reply->payload.u64 = peer->features;
        return true;
    case VH_GET_PROTOCOL_FEATURES:
        reply->payload.u64 = peer->protocol;
        return true;
    case VH_SET_PROTOCOL_FEATURES:
        peer->acked = msg->payload.u64;
        break;
    case VH_GET_QUEUE_NUM:
    case VH_GET_MAX_MEM_SLOTS:
        reply->payload.u64 = 8;
        return true;
    case VH_SET_STATUS:
        peer->status = msg->payload.u64;
        break;
    case VH_GET_STATUS:
        reply->payload.u64 = peer->status;
        return true;
    case VH_GET_CONFIG:
    case VH_CREATE_CRYPTO_SESSION:
        reply->size = msg->size;
        return true;
    case VH_SET_BACKEND_REQ_FD:
        vh_fd_close(&peer->side);
        peer->side = vh_fd_dup(msg->fds[0]);
        break;
    case VH_SET_LOG_BASE:
        reply->payload.u64 = 0;
        return peer->acked & VH_PF(LOG_SHMFD);
    default:
        break;
    }
    if (row->reply == VH_REPLY_OWN) {
        answer_file(peer, msg, reply);
        return true;
    }
    reply->payload.u64 = 0;
    return (msg->flags & VH_MSG_F_NEED_REPLY) &&
           (peer->acked & VH_PF(REPLY_ACK));
}

/* A request of its own that would make sense. */
static void question(struct peer *peer, struct vh_msg *msg, uint8_t byte)
{
    vh_msg_init(msg, byte % (VH_BACK_REQUEST_END + 1));
    msg->payload.state.index = byte >> 5;
    switch (msg->request) {
    case VH_BACK_IOTLB_MSG:
        msg->payload.iotlb.iova = UINT64_C(0x10000) + (byte >> 4) * 0x1000u;
        msg->payload.iotlb.perm = 3;
        msg->payload.iotlb.type = 1;
        break;
    case VH_BACK_VRING_HOST_NOTIFIER_MSG:
        msg->payload.area.size = 4096;
        add_fd(msg, file_of(4096));
        break;
    case VH_BACK_SHARED_OBJECT_ADD:
    case VH_BACK_SHARED_OBJECT_REMOVE:
    case VH_BACK_SHARED_OBJECT_LOOKUP:
        memset(msg->payload.uuid, byte >> 6, sizeof(msg->payload.uuid));
        break;
    case VH_BACK_SHMEM_MAP:
        msg->payload.mmap.len = 0x1000;
        msg->payload.mmap.shm_offset = (byte >> 5) * 0x1000u;
        msg->payload.mmap.flags = byte >> 7;
        add_fd(msg, file_of(0x2000));
        break;
    case VH_BACK_SHMEM_UNMAP:
        msg->payload.mmap.len = 0x1000;
        msg->payload.mmap.shm_offset = (byte >> 5) * 0x1000u;
        break;
    default:
        break;
    }
    msg->size = 8;
    if (vh_msg_row(VH_FROM_BACK, msg->request)) {
        msg->size = vh_msg_row(VH_FROM_BACK, msg->request)->size_max;
    }
    (void)peer;
}

void peer_ask(struct peer *peer)
{
    uint8_t byte = take_u8(peer->in), how = take_u8(peer->in);
    struct vh_msg msg;

    if (peer->side < 0) {
        return;
    }
    question(peer, &msg, byte);
    if (how & 0x10) {
        msg.flags |= VH_MSG_F_NEED_REPLY;
    }
    wire_send_bent(peer->side, &msg, peer->in, how & 3);
    vh_msg_close_fds(&msg);
    if ((how & 0xe0) == 0xe0) {
        vh_fd_close(&peer->side);
    }
}

static void lie(struct peer *peer, struct vh_msg *reply, uint8_t how, bool due)
{
    uint8_t raw[32];

    switch (how % 16) {
    case 0:
        peer->closed_mouth = true;
        return;
    case 1:
        peer_hang_up(peer);
        return;
    case 2:
        take(peer->in, raw, how >> 3);
        wire_send_raw(peer->sock, raw, how >> 3, NULL, 0);
        return;
    case 3:
        wire_send_bent(peer->sock, reply, peer->in, 0);
        wire_send_bent(peer->sock, reply, peer->in, 0);
        return;
    case 4:
        reply->payload.u64 = take_u64(peer->in);
        break;
    case 5:
    case 6:
        peer_ask(peer);
        break;
    default:
        break;
    }
    if (due) {
        wire_send_bent(peer->sock, reply, peer->in,
                       how % 16 > 6 ? how / 4 % 4 : 0);
    }
}

static void serve(struct peer *peer, const struct vh_msg *msg)
{
    uint8_t how = take_u8(peer->in);
    struct vh_msg reply;
    bool due = answer(peer, msg, &reply);

    reply.flags |= VH_MSG_F_REPLY;
    if (!peer->closed_mouth) {
        if (how >= HONEST) {
            lie(peer, &reply, how, due);
        } else if (due) {
            wire_send_bent(peer->sock, &reply, peer->in, 0);
        }
    }
    vh_msg_close_fds(&reply);
}

/* Another one, which knows nothing, and may be able to do less. */
static void succeed(struct peer *peer)
{
    uint8_t byte;

    peer->sock = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer->sock < 0) {
        return;
    }
    byte = take_u8(peer->in);
    if (byte >= HONEST) {
        peer->protocol &= ~(BIT(byte % 24));
        peer->features &= ~(BIT(byte % 40));
    }
    peer->acked = 0;
    peer->status = 0;
    peer->closed_mouth = false;
}

void peer_turn(struct peer *peer)
{
    struct vh_msg msg;

    if (peer->sock < 0 && peer->listener >= 0) {
        succeed(peer);
    }

    for (int i = 0; i < TURN; i++) {
        if (peer->sock < 0 || !wire_receive(peer->sock, &msg)) {
            break;
        }
        serve(peer, &msg);
        vh_msg_close_fds(&msg);
    }
    drain(peer);
    while (peer->side >= 0 && wire_receive(peer->side, &msg)) {
        vh_msg_close_fds(&msg); /* an answer of theirs */
    }
}

void peer_hang_up(struct peer *peer)
{
    vh_fd_close(&peer->sock);
    vh_fd_close(&peer->side);
    vh_fd_close(&peer->state);
}
