/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost-user back end for tests, in a thread: it answers as its fields say,
 * writes down what it is asked, and breaks the rules where a rule tells it.
 *
 *     struct peer peer = { .features = …, .protocol = … };
 *     struct peer_rule rules[] = { { VH_GET_CONFIG, PEER_CLOSE } };
 *     int fd = peer_start(&peer);          give it to the front end
 *     …
 *     peer_stop(&peer);                    after that, read the log
 *
 * It speaks with system calls of its own, so that a fault of the codec can't
 * hide by being on both sides.  Header only: tests are single files.
 */
#ifndef VH_TESTS_LIB_PEER_H
#define VH_TESTS_LIB_PEER_H

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "wire/payload.h"

#define PEER_LOG_MAX 2048
#define PEER_GIVE_UP_MS 20000 /* ends the thread of a test that went wrong */

enum peer_act {
    PEER_OBEY,
    PEER_REFUSE, /* an ack that says no */
    PEER_SILENT, /* no answer */
    PEER_CLOSE,  /* hang up instead of answering */
    PEER_REPLY,  /* answer with @bytes as the payload */
    PEER_RAW,    /* write @bytes, whatever they are */
};

/* What to do with a request: the first rule that fits counts. */
struct peer_rule {
    uint32_t request;
    enum peer_act act;
    unsigned nth; /* the nth of its kind, from 1; 0: each */
    const void *bytes;
    uint32_t size;
};

struct peer;
struct peer_entry;

/* A test's own answer; @fd is its to close.  False: obey or follow a rule. */
typedef bool peer_hook_fn(struct peer *peer, struct peer_entry *entry, int fd);

/* A request as it came. */
struct peer_entry {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    unsigned n_fds;
    ino_t inodes[VH_MSG_FDS_MAX]; /* of its fds */
    int fd;                       /* the first, if @hook wants it, or -1 */
    union {
        uint64_t u64;
        struct vh_vring_state state;
        struct vh_vring_addr addr;
        struct vh_mem_table table;
        struct vh_single_region region;
        struct vh_config config;
    };
};

struct peer {
    uint64_t features;
    uint64_t protocol; /* offered */
    uint64_t n_queues;
    uint64_t n_slots;
    uint64_t status_lost; /* bits that GET_STATUS leaves out */
    uint32_t bases[VH_QUEUES_MAX];
    uint8_t config[VH_CONFIG_MAX];
    struct vh_shmem_config shmem;
    const struct peer_rule *rules;
    size_t n_rules;
    peer_hook_fn *hook;
    uint32_t hook_at; /* the request that it is for */
    void *hook_arg;
    size_t close_after; /* hang up after so many requests; 0: never */
    bool close_served;  /* … and after the last one's answer */

    uint64_t acked_protocol;
    uint64_t status;
    unsigned n_seen[VH_REQUEST_END];
    struct peer_entry *log;
    size_t n_log;
    int fd;
    pthread_t thread;
};

/* Exactly @len bytes, with the fds that come along; false: the end. */
static inline bool peer_read(struct peer *peer, void *buf, size_t len,
                             struct peer_entry *entry)
{
    char *at = buf;

    while (len > 0) {
        union {
            char space[CMSG_SPACE(sizeof(int) * VH_MSG_FDS_MAX)];
            struct cmsghdr align;
        } control;
        struct iovec iov = { .iov_base = at, .iov_len = len };
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.space,
            .msg_controllen = sizeof(control.space),
        };
        struct pollfd pfd = { .fd = peer->fd, .events = POLLIN };
        ssize_t n;

        if (poll(&pfd, 1, PEER_GIVE_UP_MS) <= 0) {
            return false;
        }
        n = recvmsg(peer->fd, &msg, MSG_CMSG_CLOEXEC);
        if (n <= 0) {
            return false;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c;
             c = CMSG_NXTHDR(&msg, c)) {
            size_t n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            for (size_t i = 0; i < n_fds; i++) {
                struct stat st;
                int fd;

                memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
                if (entry->n_fds < VH_MSG_FDS_MAX && fstat(fd, &st) == 0) {
                    entry->inodes[entry->n_fds++] = st.st_ino;
                }
                if (peer->hook && entry->fd < 0) {
                    entry->fd = fd;
                } else {
                    close(fd);
                }
            }
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static inline void peer_write(struct peer *peer, const void *buf, size_t len)
{
    const char *at = buf;

    while (len > 0) {
        ssize_t n = send(peer->fd, at, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return;
        }
        at += n;
        len -= (size_t)n;
    }
}

static inline void peer_reply(struct peer *peer, uint32_t request,
                              const void *payload, uint32_t size)
{
    uint32_t header[3] = { request, VH_MSG_VERSION | VH_MSG_F_REPLY, size };
    uint8_t buf[VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX];

    memcpy(buf, header, sizeof(header));
    if (size > 0) {
        memcpy(buf + sizeof(header), payload, size);
    }
    peer_write(peer, buf, sizeof(header) + size);
}

static inline void peer_reply_u64(struct peer *peer, uint32_t request,
                                  uint64_t value)
{
    peer_reply(peer, request, &value, sizeof(value));
}

/* As an honest back end does. */
static inline void peer_obey(struct peer *peer, struct peer_entry *entry)
{
    struct vh_vring_state state = entry->state;

    switch (entry->request) {
    case VH_GET_FEATURES:
        peer_reply_u64(peer, entry->request, peer->features);
        return;
    case VH_GET_PROTOCOL_FEATURES:
        peer_reply_u64(peer, entry->request, peer->protocol);
        return;
    case VH_GET_QUEUE_NUM:
        peer_reply_u64(peer, entry->request, peer->n_queues);
        return;
    case VH_GET_MAX_MEM_SLOTS:
        peer_reply_u64(peer, entry->request, peer->n_slots);
        return;
    case VH_GET_SHMEM_CONFIG:
        peer_reply(peer, entry->request, &peer->shmem, sizeof(peer->shmem));
        return;
    case VH_GET_SHARED_OBJECT: /* it has none */
        peer_reply(peer, entry->request, NULL, 0);
        return;
    case VH_GET_STATUS:
        peer_reply_u64(peer, entry->request, peer->status & ~peer->status_lost);
        return;
    case VH_CHECK_DEVICE_STATE:
        peer_reply_u64(peer, entry->request, 0);
        return;
    case VH_GET_VRING_BASE:
        state.num = peer->bases[state.index % VH_QUEUES_MAX];
        peer_reply(peer, entry->request, &state, sizeof(state));
        return;
    case VH_GET_CONFIG:
        memcpy(entry->config.data, peer->config, entry->size - 12);
        peer_reply(peer, entry->request, &entry->config, entry->size);
        return;
    case VH_SET_PROTOCOL_FEATURES:
        peer->acked_protocol = entry->u64;
        break;
    case VH_SET_STATUS:
        peer->status = entry->u64;
        break;
    default:
        break;
    }
    if ((entry->flags & VH_MSG_F_NEED_REPLY) &&
        (peer->acked_protocol & VH_PF(REPLY_ACK))) {
        peer_reply_u64(peer, entry->request, 0);
    }
}

/* false: hang up */
static inline bool peer_act(struct peer *peer, struct peer_entry *entry)
{
    unsigned nth = ++peer->n_seen[entry->request % VH_REQUEST_END];

    if (peer->hook && peer->hook_at == entry->request &&
        peer->hook(peer, entry, entry->fd)) {
        return true;
    }
    if (entry->fd >= 0) {
        close(entry->fd);
    }

    for (size_t i = 0; i < peer->n_rules; i++) {
        const struct peer_rule *rule = &peer->rules[i];

        if (rule->request != entry->request ||
            (rule->nth != 0 && rule->nth != nth)) {
            continue;
        }
        switch (rule->act) {
        case PEER_OBEY:
            peer_obey(peer, entry);
            return true;
        case PEER_REFUSE:
            peer_reply_u64(peer, entry->request, 1);
            return true;
        case PEER_SILENT:
            return true;
        case PEER_CLOSE:
            return false;
        case PEER_REPLY:
            peer_reply(peer, entry->request, rule->bytes, rule->size);
            return true;
        case PEER_RAW:
            peer_write(peer, rule->bytes, rule->size);
            return true;
        }
    }
    peer_obey(peer, entry);
    return true;
}

static inline void *peer_run(void *arg)
{
    struct peer *peer = arg;

    while (peer->n_log < PEER_LOG_MAX) {
        struct peer_entry *entry = &peer->log[peer->n_log];
        uint32_t header[3];

        entry->fd = -1;
        if (!peer_read(peer, header, sizeof(header), entry)) {
            break;
        }
        entry->request = header[0];
        entry->flags = header[1];
        entry->size = header[2];
        if (entry->size > sizeof(entry->config) ||
            !peer_read(peer, &entry->u64, entry->size, entry)) {
            break;
        }
        peer->n_log++;
        if (peer->n_log == peer->close_after && !peer->close_served) {
            if (entry->fd >= 0) {
                close(entry->fd);
            }
            break;
        }
        if (!peer_act(peer, entry) || peer->n_log == peer->close_after) {
            break;
        }
    }
    shutdown(peer->fd, SHUT_RDWR);
    return NULL;
}

/* Serve a connected socket; it is given. */
static inline void peer_start_on(struct peer *peer, int fd)
{
    peer->fd = fd;
    peer->n_log = 0;
    peer->status = 0;
    peer->acked_protocol = 0;
    memset(peer->n_seen, 0, sizeof(peer->n_seen));
    peer->log = calloc(PEER_LOG_MAX, sizeof(*peer->log));
    assert_non_null(peer->log);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

/* Serve one end of a pair, and return the other: it is the caller's. */
static inline int peer_start(struct peer *peer)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    peer_start_on(peer, fds[0]);
    return fds[1];
}

/* The log stays until peer_free(). */
static inline void peer_stop(struct peer *peer)
{
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
}

static inline void peer_free(struct peer *peer)
{
    free(peer->log);
    peer->log = NULL;
}

/* The nth request of a kind, from 0; the test fails if there is none. */
static inline const struct peer_entry *peer_find(const struct peer *peer,
                                                 uint32_t request, unsigned nth)
{
    for (size_t i = 0; i < peer->n_log; i++) {
        if (peer->log[i].request == request && nth-- == 0) {
            return &peer->log[i];
        }
    }
    fail_msg("the back end was not sent request %u", request);
    return NULL;
}

static inline unsigned peer_count(const struct peer *peer, uint32_t request)
{
    unsigned n = 0;

    for (size_t i = 0; i < peer->n_log; i++) {
        n += peer->log[i].request == request;
    }
    return n;
}

/* The requests from @from on are exactly these. */
static inline void peer_assert_log(const struct peer *peer, size_t from,
                                   const uint32_t *requests, size_t n)
{
    for (size_t i = 0; i < n && from + i < peer->n_log; i++) {
        assert_int_equal(peer->log[from + i].request, requests[i]);
    }
    assert_int_equal(peer->n_log - from, n);
}

/* How many fds this process has open. */
static inline unsigned peer_n_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

#endif
