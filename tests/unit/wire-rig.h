/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pair of sockets, one end in a hand that may do anything: raw bytes with
 * raw fds, by system calls of its own.
 */
#ifndef VH_TESTS_UNIT_WIRE_RIG_H
#define VH_TESTS_UNIT_WIRE_RIG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "wire/codec.h"

#define RIG_FDS_MAX 253 /* the most that the kernel passes at once */

static inline unsigned count_fds(void)
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

static inline int some_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static inline void make_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                     0);
}

/* Send bytes, and one fd @n_fds times with the first of them. */
static inline void raw_send(int sock, const void *bytes, size_t len,
                            unsigned n_fds)
{
    union {
        char buf[CMSG_SPACE(RIG_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control = { .buf = { 0 } };
    struct iovec iov = { (void *)bytes, len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    int fd = -1;

    if (n_fds > 0) {
        struct cmsghdr *cmsg;

        fd = some_fd();
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&mh);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        for (unsigned i = 0; i < n_fds; i++) {
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(fd));
        }
    }
    assert_int_equal(sendmsg(sock, &mh, MSG_NOSIGNAL), (ssize_t)len);
    if (fd >= 0) {
        close(fd);
    }
}

/* Three words and a payload. */
static inline void raw_message(int sock, uint32_t request, uint32_t flags,
                               const void *payload, uint32_t size,
                               unsigned n_fds)
{
    uint8_t buf[VH_MSG_HDR_SIZE + 8192];
    const uint32_t header[] = { request, flags, size };

    assert_true(size <= 8192);
    memcpy(buf, header, sizeof(header));
    if (size > 0) {
        memcpy(buf + sizeof(header), payload, size);
    }
    raw_send(sock, buf, sizeof(header) + size, n_fds);
}

static inline void raw_u64(int sock, uint32_t request, uint32_t flags,
                           uint64_t value)
{
    raw_message(sock, request, flags, &value, sizeof(value), 0);
}

/* Read once, at most @len bytes; fds that come along are closed, counted. */
static inline size_t raw_receive_some(int sock, void *bytes, size_t len,
                                      unsigned *n_fds)
{
    union {
        char buf[CMSG_SPACE(RIG_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { bytes, len };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control) };
    ssize_t n = recvmsg(sock, &mh, 0);

    assert_true(n > 0);
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh); cmsg;
         cmsg = CMSG_NXTHDR(&mh, cmsg)) {
        size_t n_here = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < n_here; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
            close(fd);
        }
        *n_fds += (unsigned)n_here;
    }
    return (size_t)n;
}

/* Read exactly @len bytes; how many fds came with them is counted, closed. */
static inline unsigned raw_receive(int sock, void *bytes, size_t len)
{
    unsigned n_fds = 0;

    for (size_t have = 0; have < len;) {
        have +=
            raw_receive_some(sock, (char *)bytes + have, len - have, &n_fds);
    }
    return n_fds;
}

#endif
