/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device of one queue pair, as little of vhost-user as will do: it
 * offers what the variant asks for, and notes where the rings are.  It trusts
 * its front end.
 */
#include <err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alone.h"

#define WAIT_MS 10000

enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
};

#define VERSION_AND_REPLY 5u

struct message {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    union {
        uint64_t u64;
        struct {
            uint32_t index;
            uint32_t num;
        } state;
        struct {
            uint32_t index;
            uint32_t flags;
            uint64_t desc;
            uint64_t used;
            uint64_t avail;
            uint64_t log;
        } addr;
        struct {
            uint32_t n;
            uint32_t padding;
            struct {
                uint64_t gpa;
                uint64_t size;
                uint64_t addr;
                uint64_t offset;
            } regions[ALONE_REGIONS];
        } memory;
    } u;
} __attribute__((packed));

#define MESSAGE_HEADER 12u

static uint64_t features_of(const struct alone_variant *v)
{
    return UINT64_C(1) << 32 | (uint64_t)v->mergeable << 15 |
           (uint64_t)v->packed << 34 | (uint64_t)v->in_order << 35;
}

/* What came with a message; doorbells and calls have no use here. */
struct fds {
    unsigned n;
    int fd[ALONE_REGIONS];
};

static void take_fds(struct msghdr *hdr, struct fds *fds)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(hdr);

    fds->n = 0;
    if (c && c->cmsg_type == SCM_RIGHTS) {
        fds->n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds->fd, CMSG_DATA(c), fds->n * sizeof(int));
    }
}

static void close_fds(const struct fds *fds)
{
    for (unsigned i = 0; i < fds->n; i++) {
        close(fds->fd[i]);
    }
}

static bool receive(int fd, struct message *msg, struct fds *fds)
{
    char control[CMSG_SPACE(sizeof(int) * ALONE_REGIONS)];
    struct iovec iov = { msg, MESSAGE_HEADER };
    struct msghdr hdr = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };

    if (recvmsg(fd, &hdr, MSG_CMSG_CLOEXEC | MSG_WAITALL) != MESSAGE_HEADER) {
        return false;
    }
    take_fds(&hdr, fds);
    if (msg->size > sizeof(msg->u)) {
        errx(1, "request %u of %u bytes", msg->request, msg->size);
    }
    return !msg->size ||
           recv(fd, &msg->u, msg->size, MSG_WAITALL) == (ssize_t)msg->size;
}

static void reply(int fd, struct message *msg)
{
    msg->flags = VERSION_AND_REPLY;
    msg->size = sizeof(msg->u.u64);
    if (send(fd, msg, MESSAGE_HEADER + msg->size, MSG_NOSIGNAL) < 0) {
        err(1, "send");
    }
}

/* Front ends send it while they start, and the rings come after it.  What an
 * older table mapped stays. */
static void set_memory(struct alone_device *device, const struct message *msg,
                       const struct fds *fds)
{
    if (msg->u.memory.n > ALONE_REGIONS || msg->u.memory.n != fds->n) {
        errx(1, "%u memory regions, %u fds", msg->u.memory.n, fds->n);
    }
    device->n_regions = msg->u.memory.n;
    for (unsigned i = 0; i < device->n_regions; i++) {
        struct alone_region *r = &device->regions[i];

        r->gpa = msg->u.memory.regions[i].gpa;
        r->size = msg->u.memory.regions[i].size;
        r->user = msg->u.memory.regions[i].addr;
        r->at = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED,
                     fds->fd[i], (off_t)msg->u.memory.regions[i].offset);
        if (r->at == MAP_FAILED) {
            err(1, "mmap");
        }
    }
}

static void *of_user(const struct alone_device *device, uint64_t user)
{
    for (unsigned i = 0; i < device->n_regions; i++) {
        const struct alone_region *r = &device->regions[i];

        if (user >= r->user && user - r->user < r->size) {
            return r->at + (user - r->user);
        }
    }
    errx(1, "no memory at %#llx", (unsigned long long)user);
}

/* Of a packed ring: where to look next; the place of the next used one, in the
 * upper half, is the same while nothing is in flight. */
static void set_base(const struct alone_device *device, struct alone_queue *q,
                     uint32_t base)
{
    q->pos = (uint16_t)(device->variant.packed ? base & 0x7fff : base);
    q->wrap = base >> 15 & 1;
}

static uint32_t base_of(const struct alone_device *device,
                        const struct alone_queue *q)
{
    uint32_t base = q->pos;

    if (device->variant.packed) {
        base |= (uint32_t)q->wrap << 15;
        base |= base << 16;
    }
    return base;
}

static void serve_queue(struct alone_device *device, int fd,
                        struct message *msg)
{
    struct alone_queue *q;

    /* The index is in the same place of all of them. */
    if ((msg->u.state.index & 0xff) >= ALONE_QUEUES) {
        errx(1, "queue %u", msg->u.state.index);
    }
    q = &device->queues[msg->u.state.index & 0xff];
    switch (msg->request) {
    case SET_VRING_NUM:
        q->size = msg->u.state.num;
        break;
    case SET_VRING_ADDR:
        q->desc = of_user(device, msg->u.addr.desc);
        q->driver = of_user(device, msg->u.addr.avail);
        q->device = of_user(device, msg->u.addr.used);
        break;
    case SET_VRING_BASE:
        set_base(device, q, msg->u.state.num);
        break;
    case SET_VRING_KICK:
        __atomic_store_n(&q->started, true, __ATOMIC_RELEASE);
        break;
    default:
        msg->u.state.num = base_of(device, q);
        reply(fd, msg);
    }
}

static void serve(struct alone_device *device, int fd, struct message *msg,
                  const struct fds *fds)
{
    switch (msg->request) {
    case GET_FEATURES:
        msg->u.u64 = features_of(&device->variant);
        reply(fd, msg);
        break;
    case SET_FEATURES:
        __atomic_store_n(&device->features, msg->u.u64, __ATOMIC_RELAXED);
        break;
    case SET_MEM_TABLE:
        set_memory(device, msg, fds);
        break;
    case SET_VRING_NUM:
    case SET_VRING_ADDR:
    case SET_VRING_BASE:
    case GET_VRING_BASE:
    case SET_VRING_KICK:
        serve_queue(device, fd, msg);
        break;
    default: /* owner, call and error fds, enable: nothing to do */
        break;
    }
}

static void *control(void *arg)
{
    struct alone_device *device = arg;
    struct message msg;
    struct fds fds;
    int fd = accept4(device->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        err(1, "accept");
    }
    while (receive(fd, &msg, &fds)) {
        serve(device, fd, &msg, &fds);
        close_fds(&fds);
    }
    close(fd);
    return NULL;
}

void alone_device_start(struct alone_device *device, const char *socket_path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    pthread_t thread;

    if (strlen(socket_path) >= sizeof(sun.sun_path)) {
        errx(1, "%s: too long for a socket", socket_path);
    }
    strcpy(sun.sun_path, socket_path);
    device->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (device->listener < 0 ||
        bind(device->listener, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
        listen(device->listener, 1) < 0) {
        err(1, "%s", socket_path);
    }
    if (pthread_create(&thread, NULL, control, device)) {
        errx(1, "no thread");
    }
    pthread_detach(thread);
}

void alone_device_wait(struct alone_device *device)
{
    uint64_t wanted = features_of(&device->variant);

    for (int i = 0; i < ALONE_QUEUES; i++) {
        for (int ms = 0;
             !__atomic_load_n(&device->queues[i].started, __ATOMIC_ACQUIRE);
             ms++) {
            if (ms == WAIT_MS) {
                errx(1, "queue %d is not started", i);
            }
            usleep(1000);
        }
    }
    if (__atomic_load_n(&device->features, __ATOMIC_RELAXED) != wanted) {
        errx(1, "features %#llx instead of %#llx",
             (unsigned long long)device->features, (unsigned long long)wanted);
    }
}
