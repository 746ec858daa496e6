/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel with vhost devices and taps: what a test gives the kernel back end
 * for its system calls.  It keeps the rules of the real one that can be broken
 * (who has claimed a node, what may not change while a queue runs, what must be
 * 0), is told how old it is, and which call fails: the k-th, or all of a kind.
 */
#ifndef VH_TESTS_LIB_FAKE_KERNEL_H
#define VH_TESTS_LIB_FAKE_KERNEL_H

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#include "backend/kernel/kernel.h"

#define FAKE_NODES 8u
#define FAKE_QUEUES 8u
#define FAKE_MESSAGES 64u
#define FAKE_TAPS 8u

struct fake_vq {
    uint32_t num, base, busyloop, worker, endian;
    struct vhost_vring_addr addr;
    int kick_fd, call_fd, err_fd;
    int backend; /* network; vsock and SCSI: 0 while it runs */
};

struct fake_node {
    int fd;
    bool owned, running;
    uint64_t features[2], caps, log_base, cid;
    uint8_t fork;
    int log_fd;
    uint32_t n_regions, missed, workers;
    struct vhost_memory_region regions[64];
    struct fake_vq q[FAKE_QUEUES];
    struct vhost_scsi_target target;
    struct vhost_msg_v2 asks[4]; /* to be read */
    unsigned n_asks;
    struct vhost_msg_v2 sent[FAKE_MESSAGES]; /* was written */
    unsigned n_sent;
};

struct fake_tap { /* or a packet socket, if it has no flags */
    int fd;
    unsigned flags;
    int header, offload;
    bool detached;
    bool is_socket;
    int domain, type;
};

struct fake_kernel {
    /* what it is told to be */
    enum vhost_kernel_kind kind;
    uint64_t offered[2], caps;
    bool wide, forks, can_work;
    int scsi_abi;
    unsigned limit;
    const char *limit_text;      /* NULL: there is no such file */
    unsigned tap_can, tap_flags; /* of interfaces that are there; 0: none is */
    int open_error, tun_error, setiff_error;
    unsigned long fail_request; /* an ioctl; 0: none */
    int fail_code;
    unsigned fail_at; /* the k-th call of all, from 1; 0: none */

    /* what it saw */
    struct fake_node nodes[FAKE_NODES];
    struct fake_tap taps[FAKE_TAPS];
    unsigned n_calls, n_open;
    int limit_fd;
};

static inline void fake_kernel_up(struct fake_kernel *k,
                                  enum vhost_kernel_kind kind)
{
    memset(k, 0, sizeof(*k));
    k->kind = kind;
    k->offered[0] = UINT64_C(7) << 26 | UINT64_C(3) << 32 | UINT64_C(1) << 29 |
                    UINT64_C(1) << 15;
    k->caps = VH_KERNEL_F_MSG_V2;
    k->scsi_abi = 1;
    k->limit = 64;
    k->limit_text = "64\n";
    k->tap_can = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
    k->limit_fd = -1;
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        k->nodes[i].fd = k->taps[i].fd = -1;
    }
}

/* Nothing that was opened may be left. */
static inline void fake_kernel_down(struct fake_kernel *k)
{
    assert_int_equal(k->n_open, 0);
}

static inline struct fake_node *fake_node_of(struct fake_kernel *k, int fd)
{
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        if (fd >= 0 && k->nodes[i].fd == fd) {
            return &k->nodes[i];
        }
    }
    return NULL;
}

static inline struct fake_tap *fake_tap_of(struct fake_kernel *k, int fd)
{
    for (unsigned i = 0; i < FAKE_TAPS; i++) {
        if (fd >= 0 && k->taps[i].fd == fd) {
            return &k->taps[i];
        }
    }
    return NULL;
}

static inline bool fake_fails(struct fake_kernel *k)
{
    return ++k->n_calls == k->fail_at;
}

static inline int fake_fd(struct fake_kernel *k)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    assert_return_code(fd, errno);
    k->n_open++;
    return fd;
}

static inline int fake_open_node(struct fake_kernel *k)
{
    struct fake_node *node = NULL;

    for (unsigned i = 0; !node && i < FAKE_NODES; i++) {
        node = k->nodes[i].fd < 0 ? &k->nodes[i] : NULL;
    }
    assert_non_null(node);
    memset(node, 0, sizeof(*node));
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        node->q[i].backend = -1;
    }
    node->fd = fake_fd(k);
    return node->fd;
}

/* One that somebody else has made, with these flags. */
static inline int fake_tap_add(struct fake_kernel *k, unsigned flags)
{
    struct fake_tap *tap = NULL;

    for (unsigned i = 0; !tap && i < FAKE_TAPS; i++) {
        tap = k->taps[i].fd < 0 ? &k->taps[i] : NULL;
    }
    assert_non_null(tap);
    *tap = (struct fake_tap){ .fd = fake_fd(k), .flags = flags, .offload = 7 };
    return tap->fd;
}

static inline int fake_socket_add(struct fake_kernel *k, int domain, int type,
                                  int header)
{
    int fd = fake_tap_add(k, 0);
    struct fake_tap *tap = fake_tap_of(k, fd);

    tap->is_socket = true;
    tap->domain = domain;
    tap->type = type;
    tap->header = header;
    return fd;
}

static inline int fake_kernel_open(void *ctx, const char *path, int flags)
{
    struct fake_kernel *k = ctx;

    if (fake_fails(k)) {
        return -EMFILE;
    }
    if (strncmp(path, "/sys/", 5) == 0) {
        k->limit_fd = k->limit_text ? fake_fd(k) : -ENOENT;
        return k->limit_fd;
    }
    assert_int_equal(flags, O_RDWR | O_NONBLOCK);
    if (strcmp(path, "/dev/net/tun") == 0) {
        return k->tun_error < 0 ? k->tun_error : fake_tap_add(k, 0);
    }
    return k->open_error < 0 ? k->open_error : fake_open_node(k);
}

static inline int fake_kernel_close(void *ctx, int fd)
{
    struct fake_kernel *k = ctx;
    struct fake_node *node = fake_node_of(k, fd);
    struct fake_tap *tap = fake_tap_of(k, fd);

    assert_true(node || tap || fd == k->limit_fd);
    if (node) {
        node->fd = -1;
    } else if (tap) {
        tap->fd = -1;
    } else {
        k->limit_fd = -1;
    }
    close(fd);
    k->n_open--;
    return 0;
}

static inline int fake_setiff(struct fake_kernel *k, struct fake_tap *tap,
                              const struct ifreq *request)
{
    unsigned flags = (unsigned short)request->ifr_flags;

    assert_int_equal(flags & ~k->tap_can, 0);
    if (k->setiff_error < 0) {
        return k->setiff_error;
    }
    if (k->tap_flags && (k->tap_flags ^ flags) & (IFF_MULTI_QUEUE | IFF_TAP)) {
        return -EINVAL;
    }
    tap->flags = flags;
    return 0;
}

static inline int fake_tap_ioctl(struct fake_kernel *k, struct fake_tap *tap,
                                 unsigned long request, void *arg)
{
    struct ifreq *ifr = arg;

    if (tap->is_socket) {
        return -ENOTTY;
    }
    switch (request) {
    case TUNGETFEATURES:
        *(unsigned *)arg = k->tap_can;
        return 0;
    case TUNSETIFF:
        return fake_setiff(k, tap, ifr);
    case TUNGETIFF:
        ifr->ifr_flags = (short)tap->flags;
        return tap->flags ? 0 : -EBADFD;
    case TUNSETVNETHDRSZ:
        tap->header = *(int *)arg;
        return tap->flags & IFF_VNET_HDR ? 0 : -EINVAL;
    case TUNSETOFFLOAD:
        tap->offload = (int)(uintptr_t)arg;
        return 0;
    case TUNSETQUEUE:
        assert_true(tap->flags & IFF_MULTI_QUEUE);
        if (tap->detached == !!(ifr->ifr_flags & IFF_DETACH_QUEUE)) {
            return -EINVAL;
        }
        tap->detached = !tap->detached;
        return 0;
    default:
        return -ENOTTY;
    }
}

static inline bool fake_runs(const struct fake_node *node,
                             const struct fake_vq *q)
{
    return node->running || q->backend >= 0;
}

static inline int fake_net_set_backend(struct fake_kernel *k,
                                       struct fake_node *node,
                                       struct fake_vq *q, int fd)
{
    struct fake_tap *tap = fake_tap_of(k, fd);
    bool adds = node->features[0] & VH_KERNEL_F_NET_HDR;

    if (node->n_regions == 0) {
        return -EFAULT;
    }
    if (fd < 0) {
        q->backend = -1;
        return 0;
    }
    if (!tap) {
        return -ENOTSOCK;
    }
    if (!q->addr.desc_user_addr || q->num == 0) {
        return -EFAULT;
    }
    /* Frames would be garbled else. */
    if (!tap->is_socket) {
        assert_int_equal(adds, !(tap->flags & IFF_VNET_HDR));
    }
    assert_true(adds || tap->header == 10 || tap->header == 12 ||
                tap->header == 24);
    q->backend = fd;
    return 0;
}

/* Those that concern one queue: all begin with its index. */
static inline int fake_vring(struct fake_kernel *k, struct fake_node *node,
                             unsigned long request, void *arg)
{
    struct vhost_vring_state *state = arg;
    struct vhost_vring_file *file = arg;
    struct fake_vq *q = &node->q[state->index % FAKE_QUEUES];
    unsigned queues = k->kind == VHOST_KERNEL_SCSI ? FAKE_QUEUES : 2;

    if (state->index >= queues) {
        return -ENOBUFS;
    }
    switch (request) {
    case VHOST_SET_VRING_NUM:
        q->num = state->num;
        return fake_runs(node, q) ? -EBUSY : 0;
    case VHOST_SET_VRING_BASE:
        q->base = state->num;
        return fake_runs(node, q) ? -EBUSY : 0;
    case VHOST_GET_VRING_BASE:
        assert_false(fake_runs(node, q)); /* it would not be true for long */
        state->num = q->base + 5;
        return 0;
    case VHOST_SET_VRING_ADDR:
        q->addr = *(struct vhost_vring_addr *)arg;
        return 0;
    case VHOST_SET_VRING_KICK:
        q->kick_fd = file->fd;
        return 0;
    case VHOST_SET_VRING_CALL:
        q->call_fd = file->fd;
        return 0;
    case VHOST_SET_VRING_ERR:
        q->err_fd = file->fd;
        return 0;
    case VHOST_SET_VRING_BUSYLOOP_TIMEOUT:
        q->busyloop = state->num;
        return 0;
    case VHOST_SET_VRING_ENDIAN:
        q->endian = state->num + 1;
        return 0;
    case VHOST_NET_SET_BACKEND:
        return k->kind == VHOST_KERNEL_NET
                   ? fake_net_set_backend(k, node, q, file->fd)
                   : -ENOTTY;
    case VH_KERNEL_ATTACH_WORKER:
        q->worker = state->num;
        return !k->can_work                 ? -ENOTTY
               : state->num > node->workers ? -ENODEV
                                            : 0;
    case VH_KERNEL_GET_WORKER:
        state->num = q->worker;
        return k->can_work ? 0 : -ENOTTY;
    default:
        return -ENOTTY;
    }
}

static inline int fake_mem_table(struct fake_kernel *k, struct fake_node *node,
                                 const struct vhost_memory *mem)
{
    assert_int_equal(mem->padding, 0);
    if (mem->nregions > k->limit) {
        return -E2BIG;
    }
    for (unsigned i = 0; i < mem->nregions; i++) {
        assert_int_equal(mem->regions[i].flags_padding, 0);
        node->regions[i] = mem->regions[i];
    }
    node->n_regions = mem->nregions;
    return 0;
}

static inline int fake_wide(struct fake_kernel *k, struct fake_node *node,
                            bool set, uint64_t *arg)
{
    if (!k->wide || k->kind != VHOST_KERNEL_NET) {
        return k->kind == VHOST_KERNEL_SCSI ? -ENOTTY : -ENOBUFS;
    }
    assert_int_equal(arg[0], 2);
    if (set && (arg[1] & ~k->offered[0] || arg[2] & ~k->offered[1])) {
        return -EOPNOTSUPP;
    }
    memcpy(set ? node->features : arg + 1, set ? arg + 1 : k->offered, 16);
    return 0;
}

/* Of one class only. */
static inline int fake_class(struct fake_kernel *k, struct fake_node *node,
                             unsigned long request, void *arg)
{
    bool vsock = k->kind == VHOST_KERNEL_VSOCK;
    bool scsi = k->kind == VHOST_KERNEL_SCSI;

    if (vsock && request == VHOST_VSOCK_SET_GUEST_CID) {
        node->cid = *(uint64_t *)arg;
        return 0;
    }
    if (vsock && request == VHOST_VSOCK_SET_RUNNING) {
        assert_true(!*(int *)arg || node->cid >= 3);
        node->running = *(int *)arg != 0;
        return 0;
    }
    if (scsi && request == VHOST_SCSI_GET_ABI_VERSION) {
        *(int *)arg = k->scsi_abi;
        return 0;
    }
    if (scsi && request == VHOST_SCSI_SET_ENDPOINT) {
        node->target = *(struct vhost_scsi_target *)arg;
        assert_int_equal(node->target.abi_version, 1);
        node->running = strncmp(node->target.vhost_wwpn, "naa.", 4) == 0;
        return node->running ? 0 : -EEXIST;
    }
    if (scsi && request == VHOST_SCSI_CLEAR_ENDPOINT) {
        assert_true(node->running);
        assert_string_equal(node->target.vhost_wwpn,
                            ((struct vhost_scsi_target *)arg)->vhost_wwpn);
        node->running = false;
        return 0;
    }
    if (scsi && request == VHOST_SCSI_GET_EVENTS_MISSED) {
        *(uint32_t *)arg = node->missed;
        return 0;
    }
    if (scsi && request == VHOST_SCSI_SET_EVENTS_MISSED) {
        node->missed = *(uint32_t *)arg;
        return 0;
    }
    return fake_vring(k, node, request, arg);
}

static inline int fake_node_ioctl(struct fake_kernel *k, struct fake_node *node,
                                  unsigned long request, void *arg)
{
    switch (request) {
    case FIONBIO:
        return 0;
    case VHOST_GET_FEATURES:
        *(uint64_t *)arg = k->offered[0];
        return 0;
    case VH_KERNEL_GET_FEATURES_ARRAY:
        return fake_wide(k, node, false, arg);
    case VHOST_GET_BACKEND_FEATURES:
        *(uint64_t *)arg = k->caps;
        return k->caps ? 0 : -ENOTTY;
    case VHOST_SET_OWNER:
        if (node->owned) {
            return -EBUSY;
        }
        node->owned = true;
        return 0;
    case VH_KERNEL_SET_FORK:
        assert_false(node->owned);
        node->fork = (uint8_t)(1 + *(uint8_t *)arg);
        return k->forks ? 0 : -ENOTTY;
    default:
        break;
    }
    if (!node->owned) {
        return -EPERM;
    }
    switch (request) {
    case VHOST_SET_FEATURES:
        node->features[0] = *(uint64_t *)arg;
        node->features[1] = 0;
        return node->features[0] & ~k->offered[0] ? -EOPNOTSUPP : 0;
    case VH_KERNEL_SET_FEATURES_ARRAY:
        return fake_wide(k, node, true, arg);
    case VHOST_SET_BACKEND_FEATURES:
        node->caps = *(uint64_t *)arg;
        return node->caps & ~k->caps ? -EOPNOTSUPP : 0;
    case VHOST_SET_MEM_TABLE:
        return fake_mem_table(k, node, arg);
    case VHOST_SET_LOG_BASE:
        node->log_base = *(uint64_t *)arg;
        return 0;
    case VHOST_SET_LOG_FD:
        node->log_fd = *(int *)arg;
        return 0;
    case VH_KERNEL_NEW_WORKER:
        *(uint32_t *)arg = ++node->workers;
        return k->can_work ? 0 : -ENOTTY;
    case VH_KERNEL_FREE_WORKER:
        for (unsigned i = 0; i < FAKE_QUEUES; i++) {
            if (node->q[i].worker == *(uint32_t *)arg) {
                return -EBUSY;
            }
        }
        return k->can_work ? 0 : -ENOTTY;
    default:
        return fake_class(k, node, request, arg);
    }
}

static inline int fake_kernel_ioctl(void *ctx, int fd, unsigned long request,
                                    void *arg)
{
    struct fake_kernel *k = ctx;
    struct fake_node *node = fake_node_of(k, fd);
    struct fake_tap *tap = fake_tap_of(k, fd);

    if (fake_fails(k)) {
        return -EIO;
    }
    if (request == k->fail_request) {
        return k->fail_code;
    }
    if (tap) {
        return fake_tap_ioctl(k, tap, request, arg);
    }
    return node ? fake_node_ioctl(k, node, request, arg) : -EBADF;
}

static inline ssize_t fake_kernel_read(void *ctx, int fd, void *data,
                                       size_t size)
{
    struct fake_kernel *k = ctx;
    struct fake_node *node = fake_node_of(k, fd);

    if (fake_fails(k)) {
        return -EIO;
    }
    if (fd == k->limit_fd) {
        size_t len = strlen(k->limit_text);

        assert_true(len < size);
        memcpy(data, k->limit_text, len);
        return (ssize_t)len;
    }
    assert_non_null(node);
    assert_int_equal(size, sizeof(node->asks[0]));
    if (node->n_asks == 0) {
        return -EAGAIN;
    }
    memcpy(data, &node->asks[--node->n_asks], size);
    return (ssize_t)size;
}

static inline ssize_t fake_kernel_write(void *ctx, int fd, const void *data,
                                        size_t size)
{
    struct fake_kernel *k = ctx;
    struct fake_node *node = fake_node_of(k, fd);

    if (fake_fails(k)) {
        return -EIO;
    }
    assert_non_null(node);
    assert_true(node->owned && node->n_sent < FAKE_MESSAGES);
    assert_int_equal(size, sizeof(node->sent[0]));
    memcpy(&node->sent[node->n_sent++], data, size);
    return (ssize_t)size;
}

static inline int fake_kernel_getsockopt(void *ctx, int fd, int level, int name,
                                         int *value)
{
    struct fake_tap *tap = fake_tap_of(ctx, fd);

    if (!tap || !tap->is_socket) {
        return -ENOTSOCK;
    }
    if (level == SOL_SOCKET) {
        *value = name == SO_DOMAIN ? tap->domain : tap->type;
        return 0;
    }
    assert_int_equal(level, SOL_PACKET);
    *value = name == PACKET_VNET_HDR ? tap->header != 0 : tap->header;
    return 0;
}

static const struct vh_sys fake_kernel_sys = {
    .open = fake_kernel_open,
    .close = fake_kernel_close,
    .ioctl = fake_kernel_ioctl,
    .read = fake_kernel_read,
    .write = fake_kernel_write,
    .getsockopt = fake_kernel_getsockopt,
};

#endif
