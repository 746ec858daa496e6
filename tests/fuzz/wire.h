/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of peers that the input bends, by system calls of their own. */
#ifndef VH_TESTS_FUZZ_WIRE_H
#define VH_TESTS_FUZZ_WIRE_H

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/bytes.h"
#include "wire/codec.h"

/* The lowest fd that is free: the same again, or one was left open below. */
static inline int wire_next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    CLAIM(fd >= 0);
    close(fd);
    return fd;
}

static inline void wire_send_raw(int sock, const void *buf, size_t len,
                                 const int *fds, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 16)];
    } control = { .space = { 0 } };
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n_fds > 0) {
        struct cmsghdr *c;

        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    (void)!sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/*
 * Send a message, with so many of its bytes replaced; 3 is many, and one fd
 * more or less.
 */
static inline void wire_send_bent(int sock, const struct vh_msg *msg,
                                  struct bytes *in, unsigned bends)
{
    static uint8_t buf[VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX];
    size_t len = vh_msg_encode(msg, buf);
    unsigned n_fds = msg->n_fds;
    int fds[VH_MSG_FDS_MAX + 1] = { 0 };

    memcpy(fds, msg->fds, sizeof(int) * n_fds);
    if (bends == 3) {
        uint8_t how = take_u8(in);

        bends = how % 16;
        if (how & 0x40 && n_fds > 0) {
            n_fds--;
        }
        if (how & 0x80) {
            fds[n_fds++] = STDIN_FILENO;
        }
    }
    for (; bends > 0; bends--) {
        uint16_t at = take_u16(in);

        buf[at % len] = take_u8(in);
    }
    wire_send_raw(sock, buf, len, fds, n_fds);
}

/* One part of a message, as it is there; adds the fds that came. */
static inline bool wire_read(int sock, void *buf, size_t len,
                             struct vh_msg *msg)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * VH_MSG_FDS_MAX)];
    } control;
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space) };
    ssize_t n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&mh) : NULL; c;
         c = CMSG_NXTHDR(&mh, c)) {
        size_t n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        CLAIM(msg->n_fds + n_fds <= VH_MSG_FDS_MAX);
        memcpy(msg->fds + msg->n_fds, CMSG_DATA(c), n_fds * sizeof(int));
        msg->n_fds += (unsigned)n_fds;
    }
    return n == (ssize_t)len;
}

/*
 * The next message, if there is one.  What is received was sent by the library,
 * so it is whole and well formed.
 */
static inline bool wire_receive(int sock, struct vh_msg *msg)
{
    static uint8_t buf[VH_MSG_PAYLOAD_MAX];
    uint8_t header[VH_MSG_HDR_SIZE];

    msg->n_fds = 0;
    if (!wire_read(sock, header, sizeof(header), msg)) {
        vh_msg_close_fds(msg);
        return false;
    }
    CLAIM(vh_msg_decode_header(msg, header) == 0);
    CLAIM(msg->size == 0 || wire_read(sock, buf, msg->size, msg));
    vh_msg_decode_payload(msg, buf);
    return true;
}

#endif
