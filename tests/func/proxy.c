/* SPDX-License-Identifier: BSD-3-Clause */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vhost/server.h>

#include "proxy.h"
#include "ring/layout.h"
#include "util/fd.h"
#include "wire/codec.h"
#include "wire/sock.h"

#define REGIONS 8

struct proxy {
    struct lie lie;
    enum ring_lie ring_lie;
    unsigned seen; /* messages that the lie could have hit */
    atomic_bool lied;
    atomic_bool stop;
    bool mute;
    bool dead;
    struct vh_sock *front;
    struct vh_sock *back;
    struct vhost_server *server;
    pthread_t proxy_thread;
    pthread_t server_thread;

    /* What a lying device has to know of queue 0. */
    struct {
        uint64_t gpa, size;
        uint8_t *addr;
    } regions[REGIONS];
    unsigned n_regions;
    uint64_t desc, avail, used;
    uint32_t num;
    int kick, call;
};

static void *serve(void *arg)
{
    struct proxy *p = arg;
    struct vhost_error *error = NULL;

    while (!atomic_load(&p->stop) &&
           vhost_server_run(p->server, 10, &error) >= 0) {
    }
    vhost_error_free(error);
    return NULL;
}

/* --- the lying device --------------------------------------------------- */

static void *at(struct proxy *p, uint64_t gpa)
{
    for (unsigned i = 0; i < p->n_regions; i++) {
        if (gpa - p->regions[i].gpa < p->regions[i].size) {
            return p->regions[i].addr + (gpa - p->regions[i].gpa);
        }
    }
    return NULL;
}

static void learn_region(struct proxy *p, const struct vh_mem_region *r, int fd)
{
    void *addr = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                      (off_t)r->mmap_offset);

    assert(addr != MAP_FAILED && p->n_regions < REGIONS);
    p->regions[p->n_regions].gpa = r->gpa;
    p->regions[p->n_regions].size = r->size;
    p->regions[p->n_regions++].addr = addr;
}

/* Learns where the ring is, and keeps it from the honest back end. */
static void learn(struct proxy *p, struct vh_msg *m)
{
    if (p->ring_lie == RING_HONEST) {
        return;
    }
    switch (m->request) {
    case VH_SET_MEM_TABLE:
        for (unsigned i = 0; i < m->n_fds; i++) {
            learn_region(p, &m->payload.table.regions[i], m->fds[i]);
        }
        break;
    case VH_ADD_MEM_REG:
        learn_region(p, &m->payload.region.region, m->fds[0]);
        break;
    case VH_SET_VRING_NUM:
        p->num = m->payload.state.num;
        break;
    case VH_SET_VRING_ADDR:
        p->desc = m->payload.addr.desc;
        p->avail = m->payload.addr.avail;
        p->used = m->payload.addr.used;
        break;
    case VH_SET_VRING_CALL:
        if (m->n_fds) {
            vh_fd_close(&p->call);
            p->call = vh_fd_dup(m->fds[0]);
        }
        break;
    case VH_SET_VRING_ENABLE:
        m->payload.state.num = 0; /* the honest one must not even look */
        break;
    case VH_SET_VRING_KICK:
        assert(m->n_fds == 1);
        p->kick = m->fds[0];
        m->fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        break;
    default:
        break;
    }
}

static void lie_on_the_ring(struct proxy *p)
{
    struct vh_avail *avail = at(p, p->avail);
    struct vh_used *used = at(p, p->used);
    uint16_t head, n = 1;

    assert(avail && used);
    if (__atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE) == 0 ||
        atomic_load(&p->lied)) {
        return; /* the kick that follows the start */
    }
    head = avail->ring[0];
    used->ring[0] = (struct vh_used_elem){ .id = head, .len = 1 };
    used->ring[1 % p->num] = used->ring[0];
    switch (p->ring_lie) {
    case RING_ID_OUT_OF_RANGE:
        used->ring[0].id = p->num;
        break;
    case RING_ID_NOT_IN_FLIGHT:
        used->ring[0].id = (head + 1u) % p->num;
        break;
    case RING_ID_TWICE:
        n = 2;
        break;
    case RING_LENGTH_TOO_BIG:
        used->ring[0].len = 1u << 30;
        break;
    case RING_LENGTH_ZERO:
        used->ring[0].len = 0;
        break;
    case RING_INDEX_RUNS_AWAY:
        n = (uint16_t)(p->num + 1);
        break;
    default:
        break;
    }
    __atomic_store_n(&used->idx, n, __ATOMIC_RELEASE);
    atomic_store(&p->lied, true);
    if (p->call >= 0) {
        eventfd_write(p->call, 1);
    }
}

/* --- the lying messenger ------------------------------------------------ */

static void hang_up(struct proxy *p)
{
    shutdown(vh_sock_fd(p->front), SHUT_RDWR);
    p->dead = true;
}

static void send_raw(struct proxy *p, const void *buf, size_t len, int n_fds)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(16 * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n_fds > 0) {
        struct cmsghdr *c;
        int fds[16];

        for (int i = 0; i < n_fds; i++) {
            fds[i] = STDERR_FILENO;
        }
        m.msg_control = control.buf;
        m.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)n_fds * sizeof(int));
    }
    (void)!sendmsg(vh_sock_fd(p->front), &m, MSG_NOSIGNAL);
}

static void forward(struct vh_sock *to, struct vh_msg *m)
{
    if (vh_sock_queue(to, m) == 0) {
        while (vh_sock_send(to) == 1) {
            struct pollfd fd = { .fd = vh_sock_fd(to), .events = POLLOUT };

            poll(&fd, 1, 10);
        }
    }
    vh_msg_close_fds(m);
}

/* The lies that need more than a changed message. */
static bool lie_raw(struct proxy *p, const struct vh_msg *m)
{
    uint8_t buf[VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX];
    size_t len = vh_msg_encode(m, buf);
    static const uint32_t huge = 1u << 30;

    switch (p->lie.kind) {
    case LIE_NEVER_ANSWER:
        p->mute = true;
        return true;
    case LIE_HANG_UP:
        hang_up(p);
        return true;
    case LIE_HUGE_SIZE:
        memcpy(buf + 8, &huge, sizeof(huge));
        send_raw(p, buf, len, 0);
        return true;
    case LIE_ONE_FD:
        send_raw(p, buf, len, 1);
        return true;
    case LIE_TOO_MANY_FDS:
        send_raw(p, buf, len, 16);
        return true;
    case LIE_GARBAGE:
        memset(buf, 0x5a, 64);
        send_raw(p, buf, 64, 0);
        return true;
    case LIE_HALF_A_REPLY:
        send_raw(p, buf, len / 2, 0);
        hang_up(p);
        return true;
    case LIE_TWICE:
        send_raw(p, buf, len, 0);
        send_raw(p, buf, len, 0);
        return true;
    default:
        return false;
    }
}

static void lie_in(const struct lie *lie, struct vh_msg *m)
{
    switch (lie->kind) {
    case LIE_WRONG_ID:
        m->request++;
        break;
    case LIE_NO_REPLY_FLAG:
        m->flags &= ~VH_MSG_F_REPLY;
        break;
    case LIE_WRONG_VERSION:
        m->flags = (m->flags & ~VH_MSG_F_VERSION_MASK) | 2;
        break;
    case LIE_TOO_SHORT:
        m->size = m->size > 4 ? m->size - 4 : 0;
        break;
    case LIE_TOO_LONG:
        m->size += 8;
        break;
    case LIE_REFUSE:
    case LIE_SET_VALUE:
        m->payload.u64 = lie->value;
        break;
    case LIE_CLEAR_BITS:
        m->payload.u64 &= ~lie->value;
        break;
    case LIE_CONFIG_SIZE:
        m->size = lie->value ? (uint32_t)(12 + lie->value) : 0;
        m->payload.config.size = (uint32_t)lie->value;
        break;
    default:
        break;
    }
}

static bool lie_is_due(struct proxy *p, const struct vh_msg *m)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, m->request);

    if (p->lie.kind == LIE_NONE ||
        (p->lie.request && p->lie.request != m->request)) {
        return false;
    }
    if (p->lie.kind == LIE_REFUSE && row && row->reply == VH_REPLY_OWN) {
        return false;
    }
    return p->seen++ == p->lie.at;
}

static void from_front(struct proxy *p, struct vh_msg *m)
{
    if (p->lie.kind == LIE_DIE_ON && lie_is_due(p, m)) {
        atomic_store(&p->lied, true);
        vh_msg_close_fds(m);
        hang_up(p);
        return;
    }
    learn(p, m);
    forward(p->back, m);
}

static void from_back(struct proxy *p, struct vh_msg *m)
{
    if (p->mute) {
        return;
    }
    if (p->lie.kind != LIE_DIE_ON && lie_is_due(p, m)) {
        atomic_store(&p->lied, true);
        if (lie_raw(p, m)) {
            return;
        }
        lie_in(&p->lie, m);
    }
    forward(p->front, m);
}

static bool pump(struct proxy *p, struct vh_sock *from,
                 void (*handle)(struct proxy *, struct vh_msg *))
{
    static _Thread_local struct vh_msg m;
    const char *why = NULL;
    int r;

    while ((r = vh_sock_receive(from, &m, false, &why)) == 1) {
        handle(p, &m);
        if (p->dead) {
            return false;
        }
    }
    return r == 0;
}

static void *run(void *arg)
{
    struct proxy *p = arg;
    bool going = true;

    while (going && !atomic_load(&p->stop)) {
        struct pollfd fds[] = {
            { .fd = vh_sock_fd(p->front), .events = POLLIN },
            { .fd = vh_sock_fd(p->back), .events = POLLIN },
            { .fd = p->kick, .events = POLLIN },
        };

        poll(fds, 3, 10);
        going = (!fds[0].revents || pump(p, p->front, from_front)) &&
                (!fds[1].revents || pump(p, p->back, from_back));
        if (fds[2].revents & POLLIN) {
            eventfd_t n;

            eventfd_read(p->kick, &n);
            lie_on_the_ring(p);
        }
    }
    shutdown(vh_sock_fd(p->front), SHUT_RDWR);
    shutdown(vh_sock_fd(p->back), SHUT_RDWR);
    return NULL;
}

struct proxy *proxy_new(const char *image, const struct lie *lie,
                        enum ring_lie ring_lie, int *front)
{
    struct proxy *p = calloc(1, sizeof(*p));
    int a[2], b[2], r;

    assert(p);
    p->kick = -1;
    p->call = -1;
    p->lie = *lie;
    p->ring_lie = ring_lie;
    r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a);
    assert(r == 0);
    r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b);
    assert(r == 0);
    r = vh_sock_new(&p->front, a[1]);
    assert(r == 0);
    r = vh_sock_new(&p->back, b[0]);
    assert(r == 0);
    p->server =
        vhost_server_new_fd(b[1], vhost_server_blk(image, NULL), NULL, NULL);
    assert(p->server);
    r = pthread_create(&p->server_thread, NULL, serve, p);
    assert(r == 0);
    r = pthread_create(&p->proxy_thread, NULL, run, p);
    assert(r == 0);
    *front = a[0];
    return p;
}

bool proxy_lied(const struct proxy *p)
{
    return atomic_load(&p->lied);
}

void proxy_free(struct proxy *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->proxy_thread, NULL);
    pthread_join(p->server_thread, NULL);
    vhost_server_free(p->server);
    vh_sock_free(p->front);
    vh_sock_free(p->back);
    for (unsigned i = 0; i < p->n_regions; i++) {
        munmap(p->regions[i].addr, p->regions[i].size);
    }
    vh_fd_close(&p->kick);
    vh_fd_close(&p->call);
    free(p);
}
