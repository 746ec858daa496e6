/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front end made by hand, and the server that it talks to, in one thread:
 * what the front end sends is served by say() and ask(), step by step.
 */
#ifndef VH_TESTS_SERVER_RIG_H
#define VH_TESTS_SERVER_RIG_H

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vhost/server.h>

#include "check.h"
#include "wire/codec.h"
#include "wire/sock.h"

#define RIG_GPA UINT64_C(0x40000000)
#define RIG_USER UINT64_C(0x7000000000)
#define RIG_MEM_SIZE (UINT64_C(1) << 20)
#define RIG_DISK_SIZE (UINT64_C(4) << 20)
/* clang-format off */
#define RIG_PROTOCOL (0 \
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
    | VH_PF(GET_VRING_BASE_INFLIGHT) \
    | VH_PF(GET_VRING_BASE_SKIP_DRAIN) \
    | VH_PF(GPA_ADDRESSES))
/* clang-format on */
/* Rings are described by user addresses, which are not those of the guest. */
#define RIG_ACKED (RIG_PROTOCOL & ~VH_PF(GPA_ADDRESSES))
#define RIG_NET_ACKED                                                 \
    (RIG_ACKED & ~(VH_PF(INFLIGHT_SHMFD) | VH_PF(GET_VRING_BASE_INFLIGHT) | \
                   VH_PF(GET_VRING_BASE_SKIP_DRAIN)))
#define RIG_VERSION_1 (UINT64_C(1) << 32)

struct rig {
    struct vhost_server *server;
    struct vh_sock *sock;
    char disk[64];
    char log[4096];
    int mem_fd;
    uint8_t *mem;
};

static inline void rig_log(const char *line, void *opaque)
{
    struct rig *rig = opaque;
    size_t len = strlen(rig->log);

    snprintf(rig->log + len, sizeof(rig->log) - len, "%s\n", line);
}

static inline int rig_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

/* The memory and the disk that a test plays with. */
static inline void rig_init(struct rig *rig)
{
    int fd;

    memset(rig, 0, sizeof(*rig));
    strcpy(rig->disk, "/tmp/test-server-XXXXXX");
    fd = mkstemp(rig->disk);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)RIG_DISK_SIZE), 0);
    close(fd);
    rig->mem_fd = memfd_create("rig", MFD_CLOEXEC);
    assert_true(rig->mem_fd >= 0);
    assert_int_equal(ftruncate(rig->mem_fd, (off_t)RIG_MEM_SIZE), 0);
    rig->mem = mmap(NULL, RIG_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                    rig->mem_fd, 0);
    assert_true(rig->mem != MAP_FAILED);
}

/* A server of a device for one connection. */
static inline void rig_serve_device(struct rig *rig,
                                    struct vhost_server_device *device,
                                    const struct vhost_server_options *options)
{
    struct vhost_server_options mine = { .size = sizeof(mine) };
    struct vhost_error *err = NULL;
    int fds[2];

    if (options) {
        mine = *options;
    }
    mine.log = rig_log;
    mine.opaque = rig;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    rig->server = vhost_server_new_fd(fds[0], device, &mine, &err);
    assert_null(err);
    assert_non_null(rig->server);
    assert_int_equal(vh_sock_new(&rig->sock, fds[1]), 0);
}

/* The same for a disk; NULL for the rig's own. */
static inline void rig_serve(struct rig *rig, const char *disk,
                             const struct vhost_server_blk_options *blk,
                             const struct vhost_server_options *options)
{
    rig_serve_device(rig, vhost_server_blk(disk ? disk : rig->disk, blk),
                     options);
}

static inline void rig_stop(struct rig *rig)
{
    vh_sock_free(rig->sock);
    rig->sock = NULL;
    vhost_server_free(rig->server);
    rig->server = NULL;
}

static inline void rig_cleanup(struct rig *rig)
{
    rig_stop(rig);
    munmap(rig->mem, RIG_MEM_SIZE);
    close(rig->mem_fd);
    unlink(rig->disk);
}

/* Let the server do all that it can do now.  Return: as it said last. */
static inline int rig_turn(struct rig *rig)
{
    struct pollfd pfd = { .fd = vhost_server_get_fd(rig->server),
                          .events = POLLIN };
    int r = 0;

    for (int i = 0; i < 1000 && r == 0 && poll(&pfd, 1, 0) > 0; i++) {
        r = vhost_server_dispatch(rig->server, NULL);
    }
    /* Once more, to hear whether the front end has gone. */
    return r == 0 ? vhost_server_dispatch(rig->server, NULL) : r;
}

/* Send one message, and let it be served. */
static inline int rig_say(struct rig *rig, const struct vh_msg *msg)
{
    assert_int_equal(vh_sock_queue(rig->sock, msg), 0);
    vh_sock_send(rig->sock); /* the server may have hung up */
    return rig_turn(rig);
}

/* Is the connection still there, and without an answer that waits? */
static inline bool rig_is_quiet(struct rig *rig)
{
    struct vh_msg msg;
    const char *why;

    rig_turn(rig);
    return vh_sock_receive(rig->sock, &msg, false, &why) == 0;
}

static inline bool rig_is_gone(struct rig *rig)
{
    struct vh_msg msg;
    const char *why;
    int r;

    rig_turn(rig);
    do {
        r = vh_sock_receive(rig->sock, &msg, false, &why);
    } while (r > 0);
    return r == -ECONNRESET &&
           vhost_server_dispatch(rig->server, NULL) == -ENOTCONN;
}

/* Send one message that has an answer of its own. */
static inline struct vh_msg rig_ask(struct rig *rig, const struct vh_msg *msg)
{
    struct vh_msg reply;
    const char *why = NULL;

    rig_say(rig, msg);
    assert_int_equal(vh_sock_receive(rig->sock, &reply, false, &why), 1);
    assert_int_equal(
        vh_msg_check_reply(VH_FROM_FRONT, msg->request, false, &reply, &why),
        0);
    return reply;
}

static inline uint64_t rig_get(struct rig *rig, uint32_t request)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    return rig_ask(rig, &msg).payload.u64;
}

/* Send one message that is to be acknowledged.  Return: the ack. */
static inline uint64_t rig_do(struct rig *rig, struct vh_msg *msg)
{
    struct vh_msg reply;
    const char *why = NULL;

    msg->flags |= VH_MSG_F_NEED_REPLY;
    rig_say(rig, msg);
    assert_int_equal(vh_sock_receive(rig->sock, &reply, false, &why), 1);
    assert_int_equal(
        vh_msg_check_reply(VH_FROM_FRONT, msg->request, true, &reply, &why), 0);
    return reply.payload.u64;
}

static inline uint64_t rig_do_u64(struct rig *rig, uint32_t request,
                                  uint64_t value)
{
    struct vh_msg msg;

    vh_msg_init_u64(&msg, request, value);
    return rig_do(rig, &msg);
}

static inline uint64_t rig_do_state(struct rig *rig, uint32_t request,
                                    uint32_t index, uint32_t num)
{
    struct vh_msg msg;

    vh_msg_init_state(&msg, request, index, num);
    return rig_do(rig, &msg);
}

static inline uint64_t rig_do_fd(struct rig *rig, uint32_t request,
                                 uint32_t index, int fd)
{
    struct vh_msg msg;

    vh_msg_init_fd(&msg, request, index, fd);
    return rig_do(rig, &msg);
}

static inline uint32_t rig_get_base(struct rig *rig, uint32_t index)
{
    struct vh_msg msg;

    vh_msg_init_state(&msg, VH_GET_VRING_BASE, index, 0);
    return rig_ask(rig, &msg).payload.state.num;
}

/* The usual opening, with acknowledgements. */
static inline void rig_negotiate(struct rig *rig, uint64_t features)
{
    struct vh_msg msg;
    uint64_t offered;

    rig_get(rig, VH_GET_FEATURES);
    offered = rig_get(rig, VH_GET_PROTOCOL_FEATURES);
    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES, RIG_ACKED & offered);
    rig_say(rig, &msg);
    vh_msg_init(&msg, VH_SET_OWNER);
    assert_int_equal(rig_do(rig, &msg), 0);
    assert_int_equal(rig_do_u64(rig, VH_SET_FEATURES, features), 0);
}

static inline struct vh_mem_region rig_region(void)
{
    return (struct vh_mem_region){ .gpa = RIG_GPA,
                                   .size = RIG_MEM_SIZE,
                                   .user_addr = RIG_USER };
}

static inline uint64_t rig_region_do(struct rig *rig, uint32_t request,
                                     const struct vh_mem_region *region)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    msg.size = sizeof(msg.payload.region);
    msg.payload.region.region = *region;
    if (request == VH_ADD_MEM_REG) {
        msg.n_fds = 1;
        msg.fds[0] = rig->mem_fd;
    }
    return rig_do(rig, &msg);
}

static inline uint64_t
rig_set_table(struct rig *rig, const struct vh_mem_region *regions, uint32_t n)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_MEM_TABLE);
    msg.size = (uint32_t)(8 + n * sizeof(*regions));
    msg.payload.table.n = n;
    msg.n_fds = n;
    for (uint32_t i = 0; i < n; i++) {
        msg.payload.table.regions[i] = regions[i];
        msg.fds[i] = rig->mem_fd;
    }
    return rig_do(rig, &msg);
}

static inline uint64_t rig_set_addr(struct rig *rig, uint32_t index,
                                    uint64_t desc, uint64_t avail,
                                    uint64_t used)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_VRING_ADDR);
    msg.size = sizeof(msg.payload.addr);
    msg.payload.addr = (struct vh_vring_addr){
        .index = index,
        .desc = desc,
        .avail = avail,
        .used = used,
    };
    return rig_do(rig, &msg);
}

#endif
