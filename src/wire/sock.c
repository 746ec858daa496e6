/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending.  What is queued is one run of bytes, and a list of marks: at which
 * byte a message with fds begins.  The kernel hands fds over with the first
 * byte of the sendmsg(2) that carries them, so such a call begins at a mark, or
 * ends before the next one; and once it has sent a byte, the mark is gone,
 * however few bytes went.  sendmmsg(2) makes many of these calls in one.
 *
 * Receiving.  All bytes pass through one buffer.  Exact reading asks for no
 * more than the header, and then for no more than the payload, so that fds
 * which arrive belong to the header being read.  Reading in bulk asks for as
 * much as there is room for; no fds are welcome then, since nobody could say
 * whose they are.  The control buffer is always there: fds that we refuse
 * must be closed, not lost.
 *
 * vhost-user specification, "Communication": fds go as ancillary data of the
 * message.
 */
#include "wire/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "util/fd.h"

#define TX_FIRST_SIZE 4096u
#define TX_MAX (1024u * 1024u) /* bytes waiting, not sent */
#define TX_BATCH 32
#define TX_SOME 16 /* 50 microseconds, if each has an fd */
#define TX_CALL_MAX (64u * 1024u)
#define RX_SIZE (16u * 1024u)

static_assert(RX_SIZE >= VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX,
              "a whole message fits");

/* At byte @pos, counted from the first that was ever queued, these go out. */
struct mark {
    uint64_t pos;
    unsigned n_fds;
    int fds[VH_MSG_FDS_MAX];
};

struct tx {
    uint8_t *buf;
    size_t size;
    size_t start; /* of what waits in buf */
    size_t end;
    uint64_t sent; /* position of buf[start] */
    struct mark *marks;
    size_t marks_size;
    size_t first_mark;
    size_t end_mark;
};

struct rx {
    size_t start; /* of what waits in buf */
    size_t end;
    unsigned n_fds; /* of the message that begins at start */
    int fds[VH_MSG_FDS_MAX];
    int fault; /* after it, nobody knows where a message begins */
    const char *why;
    uint8_t buf[RX_SIZE];
};

struct vh_sock {
    int fd;
    struct vh_sock_stats stats;
    struct tx tx;
    struct rx rx;
};

int vh_sock_new(struct vh_sock **sockp, int fd)
{
    struct vh_sock *sock = calloc(1, sizeof(*sock));

    if (!sock) {
        vh_fd_close(&fd);
        return -ENOMEM;
    }
    sock->fd = fd;
    *sockp = sock;
    return 0;
}

void vh_sock_free(struct vh_sock *sock)
{
    if (!sock) {
        return;
    }
    vh_fd_close_all(sock->rx.fds, sock->rx.n_fds);
    vh_fd_close(&sock->fd);
    free(sock->tx.marks);
    free(sock->tx.buf);
    free(sock);
}

int vh_sock_fd(const struct vh_sock *sock)
{
    return sock->fd;
}

void vh_sock_get_stats(const struct vh_sock *sock, struct vh_sock_stats *stats)
{
    *stats = sock->stats;
}

/* Sending */

static int tx_grow(struct tx *tx, size_t need)
{
    size_t size = tx->size ? tx->size : TX_FIRST_SIZE;
    uint8_t *buf;

    while (size < need) {
        size *= 2;
    }
    buf = realloc(tx->buf, size);
    if (!buf) {
        return -ENOMEM;
    }
    tx->buf = buf;
    tx->size = size;
    return 0;
}

/* Make room for @len bytes behind tx->end. */
static int tx_reserve(struct tx *tx, size_t len)
{
    size_t waiting = tx->end - tx->start;

    if (waiting + len > TX_MAX) {
        return -ENOBUFS;
    }
    if (tx->size - tx->end >= len) {
        return 0;
    }
    if (tx->start > 0) {
        memmove(tx->buf, tx->buf + tx->start, waiting);
        tx->start = 0;
        tx->end = waiting;
    }
    return tx->size - tx->end >= len ? 0 : tx_grow(tx, tx->end + len);
}

static int tx_reserve_mark(struct tx *tx)
{
    size_t n = tx->end_mark - tx->first_mark;
    size_t size = tx->marks_size ? tx->marks_size * 2 : 8;
    struct mark *marks;

    if (tx->end_mark < tx->marks_size) {
        return 0;
    }
    if (tx->first_mark > 0) {
        memmove(tx->marks, tx->marks + tx->first_mark, n * sizeof(*marks));
        tx->first_mark = 0;
        tx->end_mark = n;
        return 0;
    }
    marks = realloc(tx->marks, size * sizeof(*marks));
    if (!marks) {
        return -ENOMEM;
    }
    tx->marks = marks;
    tx->marks_size = size;
    return 0;
}

static void tx_add_mark(struct tx *tx, const struct vh_msg *msg)
{
    struct mark *mark = &tx->marks[tx->end_mark++];

    mark->pos = tx->sent + (tx->end - tx->start);
    mark->n_fds = msg->n_fds;
    memcpy(mark->fds, msg->fds, msg->n_fds * sizeof(mark->fds[0]));
}

int vh_sock_queue_flags(struct vh_sock *sock, const struct vh_msg *msg,
                        uint32_t flags)
{
    struct tx *tx = &sock->tx;
    uint8_t *at;
    int r;

    assert(msg->size <= VH_MSG_PAYLOAD_MAX && msg->n_fds <= VH_MSG_FDS_MAX);
    r = tx_reserve(tx, VH_MSG_HDR_SIZE + msg->size);
    if (r == 0 && msg->n_fds > 0) {
        r = tx_reserve_mark(tx);
    }
    if (r < 0) {
        return r;
    }
    if (msg->n_fds > 0) {
        tx_add_mark(tx, msg);
    }
    at = tx->buf + tx->end;
    tx->end += vh_msg_encode(msg, at);
    flags |= msg->flags;
    memcpy(at + sizeof(msg->request), &flags, sizeof(flags));
    sock->stats.messages++;
    return 0;
}

int vh_sock_queue(struct vh_sock *sock, const struct vh_msg *msg)
{
    return vh_sock_queue_flags(sock, msg, 0);
}

/* How many of the bytes from @at on may go together: up to the next mark. */
static size_t tx_run(const struct tx *tx, size_t at, size_t next_mark)
{
    size_t len = tx->end - tx->start - at;

    if (next_mark < tx->end_mark &&
        len > tx->marks[next_mark].pos - tx->sent - at) {
        len = tx->marks[next_mark].pos - tx->sent - at;
    }
    return len < TX_CALL_MAX ? len : TX_CALL_MAX;
}

static void tx_advance(struct tx *tx, size_t n, bool mark_here)
{
    tx->sent += n;
    tx->start += n;
    if (tx->start == tx->end) {
        tx->start = 0;
        tx->end = 0;
    }
    if (mark_here) {
        tx->first_mark++;
    }
    if (tx->first_mark == tx->end_mark) {
        tx->first_mark = 0;
        tx->end_mark = 0;
    }
}

/* Room for the most fds that we may meet, aligned as a header must be. */
union control {
    char buf[CMSG_SPACE(VH_MSG_FDS_MAX * sizeof(int)) + CMSG_SPACE(64)];
    struct cmsghdr align;
};

static void put_fds(struct msghdr *mh, union control *control,
                    const struct mark *mark)
{
    size_t len = mark->n_fds * sizeof(mark->fds[0]);
    struct cmsghdr *cmsg;

    memset(control, 0, sizeof(*control));
    mh->msg_control = control->buf;
    mh->msg_controllen = CMSG_SPACE(len);
    cmsg = CMSG_FIRSTHDR(mh);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(cmsg), mark->fds, len);
}

/* What one sendmmsg(2) sends: runs of bytes, each with its fds. */
struct batch {
    unsigned n;
    struct mmsghdr mh[TX_BATCH];
    struct iovec iov[TX_BATCH];
    union control control[TX_BATCH];
};

static void fill(struct batch *batch, const struct tx *tx, unsigned max)
{
    size_t at = 0, mark = tx->first_mark;

    batch->n = 0;
    while (batch->n < max && tx->start + at < tx->end) {
        unsigned i = batch->n++;
        struct msghdr *mh = &batch->mh[i].msg_hdr;
        bool here = mark < tx->end_mark && tx->marks[mark].pos == tx->sent + at;

        batch->iov[i].iov_base = tx->buf + tx->start + at;
        *mh = (struct msghdr){ .msg_iov = &batch->iov[i], .msg_iovlen = 1 };
        if (here) {
            put_fds(mh, &batch->control[i], &tx->marks[mark++]);
        }
        batch->iov[i].iov_len = tx_run(tx, at, mark);
        at += batch->iov[i].iov_len;
    }
}

/*
 * One sendmmsg(2): each message with fds begins a call of its own, as far as
 * the other side can tell, and costs none.  Return: 1 some went, 0 the socket
 * is full, or an error.
 */
static int send_once(struct vh_sock *sock, unsigned max)
{
    struct tx *tx = &sock->tx;
    struct batch batch;
    int n;

    fill(&batch, tx, max);
    do {
        sock->stats.send_calls++;
        n = sendmmsg(sock->fd, batch.mh, batch.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno == EAGAIN) {
            return 0;
        }
        return errno == EPIPE ? -ECONNRESET : -errno;
    }
    for (int i = 0; i < n; i++) {
        tx_advance(tx, batch.mh[i].msg_len,
                   batch.mh[i].msg_hdr.msg_controllen > 0);
    }
    return 1;
}

bool vh_sock_wants_send(const struct vh_sock *sock)
{
    return sock->tx.start < sock->tx.end;
}

int vh_sock_send_some(struct vh_sock *sock)
{
    int r = vh_sock_wants_send(sock) ? send_once(sock, TX_SOME) : 1;

    return r < 0 ? r : r == 0;
}

int vh_sock_send(struct vh_sock *sock)
{
    while (vh_sock_wants_send(sock)) {
        int r = send_once(sock, TX_BATCH);

        if (r <= 0) {
            return r < 0 ? r : 1;
        }
    }
    return 0;
}

/* Receiving */

static int rx_fault(struct rx *rx, int code, const char *what)
{
    vh_fd_close_all(rx->fds, rx->n_fds);
    rx->n_fds = 0;
    rx->fault = code;
    rx->why = what;
    return code;
}

/*
 * Take every fd out of the control buffer, wanted or not: what is not kept
 * is closed.  Return: how many came, kept or not.
 */
static unsigned take_fds(struct rx *rx, struct msghdr *mh)
{
    unsigned n = 0;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(mh); cmsg;
         cmsg = CMSG_NXTHDR(mh, cmsg)) {
        const unsigned char *data = CMSG_DATA(cmsg);
        size_t len = cmsg->cmsg_len - CMSG_LEN(0);

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (; len >= sizeof(int); len -= sizeof(int), data += sizeof(int)) {
            int fd;

            memcpy(&fd, data, sizeof(fd));
            n++;
            if (rx->n_fds < VH_MSG_FDS_MAX) {
                rx->fds[rx->n_fds++] = fd;
            } else {
                vh_fd_close(&fd);
            }
        }
    }
    return n;
}

/* Are these fds where fds may be? */
static int check_fds(struct rx *rx, struct msghdr *mh, bool welcome)
{
    unsigned had = rx->n_fds;
    unsigned n = take_fds(rx, mh);

    if (had + n > VH_MSG_FDS_MAX) {
        return rx_fault(rx, -EPROTO, "too many fds with one message");
    }
    if (mh->msg_flags & MSG_CTRUNC) { /* the control buffer was large enough */
        return rx_fault(rx, -EMFILE, "no room for the fds of a message");
    }
    if (n > 0 && !welcome) {
        return rx_fault(rx, -EPROTO, "fds where none may come");
    }
    return 0;
}

static int rx_closed(struct rx *rx)
{
    return rx_fault(rx, -ECONNRESET,
                    rx->start == rx->end ? "closed"
                                         : "closed in the middle of a message");
}

/*
 * One recvmsg(2), of @len bytes.
 * Return: 1 something came, 0 nothing is there, or an error.
 */
static int receive_once(struct vh_sock *sock, size_t len, bool fds_welcome)
{
    struct rx *rx = &sock->rx;
    union control control;
    struct iovec iov = { .iov_base = rx->buf + rx->end, .iov_len = len };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf) };
    ssize_t n;

    do {
        sock->stats.recv_calls++;
        n = recvmsg(sock->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n == 0 || (n < 0 && errno == ECONNRESET)) {
        return rx_closed(rx);
    }
    if (n < 0) {
        return rx_fault(rx, -errno, "receiving failed");
    }
    rx->end += (size_t)n;
    return check_fds(rx, &mh, fds_welcome) < 0 ? rx->fault : 1;
}

/*
 * Is a whole message in the buffer?
 * Return: 0 yes; else how many bytes are missing, of the header if it is not
 * complete, else of the payload; or -EPROTO.
 */
static int missing(struct rx *rx, struct vh_msg *msg)
{
    size_t have = rx->end - rx->start;

    if (have < VH_MSG_HDR_SIZE) {
        return (int)(VH_MSG_HDR_SIZE - have);
    }
    if (vh_msg_decode_header(msg, rx->buf + rx->start) < 0) {
        return rx_fault(rx, -EPROTO,
                        msg->size > VH_MSG_PAYLOAD_MAX
                            ? "a payload of impossible size"
                            : "a message of unknown version");
    }
    have -= VH_MSG_HDR_SIZE;
    return have < msg->size ? (int)(msg->size - have) : 0;
}

/* The message in front of the buffer is whole: hand it over. */
static void take_message(struct vh_sock *sock, struct vh_msg *msg)
{
    struct rx *rx = &sock->rx;

    vh_msg_decode_payload(msg, rx->buf + rx->start + VH_MSG_HDR_SIZE);
    rx->start += VH_MSG_HDR_SIZE + msg->size;
    for (unsigned i = 0; i < VH_MSG_FDS_MAX; i++) {
        msg->fds[i] = i < rx->n_fds ? rx->fds[i] : -1;
    }
    msg->n_fds = rx->n_fds;
    rx->n_fds = 0;
    sock->stats.received++;
}

/* Give the buffer all its room behind what waits in it. */
static void rx_compact(struct rx *rx)
{
    if (rx->start > 0) {
        memmove(rx->buf, rx->buf + rx->start, rx->end - rx->start);
        rx->end -= rx->start;
        rx->start = 0;
    }
}

int vh_sock_receive(struct vh_sock *sock, struct vh_msg *msg, bool bulk,
                    const char **why)
{
    struct rx *rx = &sock->rx;

    while (!rx->fault) {
        int n = missing(rx, msg);
        bool in_header = rx->end - rx->start < VH_MSG_HDR_SIZE;

        if (n == 0) {
            take_message(sock, msg);
            return 1;
        }
        if (n > 0) {
            rx_compact(rx);
            n = receive_once(sock, bulk ? RX_SIZE - rx->end : (size_t)n,
                             in_header && !bulk);
        }
        if (n == 0) {
            return 0;
        }
    }
    *why = rx->why;
    return rx->fault;
}
