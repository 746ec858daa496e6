/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a device, through a pipe: one end for the back end, the other
 * for us, unless the back end gives an fd of its own for the purpose.
 *
 * In a stream the state lies in chunks, so that its end can be told from the
 * end of the stream.  The last chunk, which is empty, is written only after
 * the back end has confirmed that it gave everything: what ends with it is
 * whole.
 *
 * Nobody is trusted for a length: the back end's bytes are counted by the pipe,
 * and a chunk of the stream may be no longer than those written here.
 *
 * It is one operation (see op.c) for both forms: that which may wait does so
 * in the reads and writes, the other comes back when the fd is ready that it
 * could not go on with.
 *
 * vhost-user specification, "Migrating back-end state".
 */
#include "core/core.h"
#include "core/transfer.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <vhost/state.h>

#include "backend/ops.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/io.h"
#include "util/stream.h"

#define CHUNK_MAX (UINT32_C(1) << 20)
#define PIECE (UINT32_C(1) << 16) /* of a call that may not wait */
#define HEADER sizeof(uint32_t)
#define RETRY_MS 10

/**
 * struct vh_core_transfer - where it stands
 * @fd: our end; -1: none any more
 * @theirs: until the back end has it
 * @watched: what the owner's loop is woken by; or -1
 * @begin, @end: in @buf, what has come and has not gone yet
 * @header, @n_header: of the next chunk that is loaded, so far
 * @left: of the chunk that is loaded; not in @buf
 * @ended: no more will come
 * @n: bytes of state so far
 * @deadline: for the next chunk
 * @failed, @error: why nothing more is moved; the back end may know better
 */
struct vh_core_transfer {
    enum { ASK, MOVE, CHECK, TAIL } step;
    bool save;
    struct vhost_stream *stream;
    struct vhost_device_state_answer answer;
    int fd;
    int theirs;
    int watched;
    uint8_t *buf; /* HEADER and CHUNK_MAX bytes */
    size_t begin;
    size_t end;
    uint8_t header[HEADER]; /* of the chunk that is loaded next */
    size_t n_header;
    uint32_t left;
    bool ended;
    uint64_t n;
    int64_t deadline;
    int failed;
    struct vhost_error *error;
};

static void come_no_more(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    if (t->watched >= 0) {
        epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_DEL, t->watched, NULL);
        t->watched = -1;
    }
}

static void let_go(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    come_no_more(dev, t);
    vh_fd_close(&t->fd);
    vh_fd_close(&t->theirs);
    vh_fd_close(&t->answer.reply_fd);
    free(t->buf);
    t->buf = NULL;
    vh_error_clear(&t->error);
}

void vh_core_transfer_free(struct vhost_dev *dev)
{
    if (dev->priv->transfer) {
        let_go(dev, dev->priv->transfer);
        free(dev->priv->transfer);
        dev->priv->transfer = NULL;
    }
}

/* Waiting */

static void renew(struct vh_core_transfer *t)
{
    t->deadline = vh_deadline_in(vh_stream_deadline_ms(t->stream));
}

static bool may_wait(const struct vhost_dev *dev)
{
    return !dev->priv->op.later;
}

static int64_t until(const struct vhost_dev *dev,
                     const struct vh_core_transfer *t)
{
    return may_wait(dev) ? t->deadline : 0;
}

static int late(const struct vh_core_transfer *t, int code,
                struct vhost_error **errp)
{
    const char *why = strerrordesc_np(-code);

    if (code == -ETIMEDOUT) {
        return vh_error(errp, code, "device state", VH_NO_QUEUE,
                        "the back end %s no more of its state for %g s, after "
                        "%llu bytes",
                        t->save ? "gives" : "takes",
                        vh_stream_deadline_ms(t->stream) / 1000.0,
                        (unsigned long long)t->n);
    }
    return vh_error(errp, code, "device state", VH_NO_QUEUE,
                    "the back end's state, after %llu bytes: %s",
                    (unsigned long long)t->n, why ? why : "failed");
}

/* Nothing goes through @fd just now: be woken when something does. */
static int come_back(struct vhost_dev *dev, struct vh_core_transfer *t, int fd,
                     uint32_t events)
{
    struct epoll_event event = { .events = events,
                                 .data.u32 = VH_CORE_TRANSFER };
    int left = vh_deadline_left_ms(t->deadline);

    come_no_more(dev, t);
    t->watched = fd;
    if (fd < 0 ||
        epoll_ctl(dev->priv->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        t->watched = -1; /* an owner's function, a file: ask again */
        left = left < RETRY_MS ? left : RETRY_MS;
    }
    vh_core_wake_in(dev, (unsigned)left);
    return -EINPROGRESS;
}

static int wait_for_backend(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    if (vh_deadline_passed(t->deadline)) {
        return late(t, -ETIMEDOUT, &t->error);
    }
    return come_back(dev, t, t->fd, t->save ? EPOLLIN : EPOLLOUT);
}

static int wait_for_stream(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    if (vh_deadline_passed(t->deadline)) {
        return vh_error(&t->error, -ETIMEDOUT, "device state", VH_NO_QUEUE,
                        "the stream has moved nothing for %g s, after %llu "
                        "bytes of state",
                        vh_stream_deadline_ms(t->stream) / 1000.0,
                        (unsigned long long)t->n);
    }
    return come_back(dev, t, vh_stream_get_fd(t->stream),
                     t->save ? EPOLLOUT : EPOLLIN);
}

/* Moving: each returns 0 once it is done, -EINPROGRESS, or why it failed. */

static int to_stream(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    int r = 0;

    if (may_wait(dev)) {
        r = vhost_stream_write(t->stream, t->buf + t->begin, t->end - t->begin,
                               &t->error);
        t->begin = t->end;
    }
    while (r == 0 && t->begin < t->end) {
        ssize_t n =
            vh_stream_try_write(t->stream, t->buf, t->begin, t->end, &t->error);

        if (n == 0) {
            return wait_for_stream(dev, t);
        }
        r = n < 0 ? (int)n : 0;
        t->begin += n > 0 ? (size_t)n : 0;
        renew(t);
    }
    return r;
}

/* Until *have of @data is @want, or, if @some will do, more than nothing. */
static int from_stream(struct vhost_dev *dev, struct vh_core_transfer *t,
                       uint8_t *data, size_t *have, size_t want, bool some)
{
    int r = 0;

    if (may_wait(dev)) {
        r = vhost_stream_read(t->stream, data + *have, want - *have, &t->error);
        *have = r < 0 ? *have : want;
    }
    while (r == 0 && *have < want) {
        ssize_t n = vh_stream_try_read(t->stream, data, *have, want, &t->error);

        if (n == 0) {
            return some && *have > 0 ? 0 : wait_for_stream(dev, t);
        }
        r = n < 0 ? (int)n : 0;
        *have += n > 0 ? (size_t)n : 0;
        renew(t);
    }
    return r;
}

/* A whole chunk, or what there is of it. */
static int from_backend(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    size_t room = HEADER + (may_wait(dev) ? CHUNK_MAX : PIECE);
    uint32_t len;

    t->end = HEADER;
    while (t->end < room && !t->ended) {
        ssize_t n =
            vh_io_read(t->fd, t->buf + t->end, room - t->end, until(dev, t));

        if (n == -ETIMEDOUT && !may_wait(dev)) {
            break;
        }
        if (n < 0) {
            t->begin = t->end; /* nothing of it goes anywhere */
            return late(t, (int)n, &t->error);
        }
        t->ended = n == 0;
        t->end += (size_t)n;
        t->n += (uint64_t)n;
    }
    len = htobe32((uint32_t)(t->end - HEADER));
    memcpy(t->buf, &len, HEADER);
    t->begin = t->end == HEADER ? HEADER : 0;
    return 0;
}

static int to_backend(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    while (t->begin < t->end) {
        ssize_t n = vh_io_write(t->fd, t->buf + t->begin, t->end - t->begin,
                                until(dev, t));

        if (n == -ETIMEDOUT && !may_wait(dev)) {
            return wait_for_backend(dev, t);
        }
        if (n < 0) {
            return late(t, (int)n, &t->error);
        }
        t->begin += (size_t)n;
        t->n += (uint64_t)n;
        if (!may_wait(dev)) {
            renew(t);
        }
    }
    return 0;
}

static int save_piece(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    if (t->begin == t->end) {
        int r;

        if (may_wait(dev)) {
            renew(t);
        }
        r = from_backend(dev, t);
        if (r < 0) {
            return r;
        }
        if (t->begin == t->end) {
            return t->ended ? 0 : wait_for_backend(dev, t);
        }
        renew(t);
    }
    return to_stream(dev, t);
}

static int next_chunk(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    uint32_t len;
    int r = from_stream(dev, t, t->header, &t->n_header, HEADER, false);

    if (r < 0) {
        return r;
    }
    memcpy(&len, t->header, HEADER);
    t->n_header = 0;
    t->left = be32toh(len);
    t->ended = t->left == 0;
    if (t->left <= CHUNK_MAX) {
        return 0;
    }
    return vh_error(&t->error, -EBADMSG, "device state", VH_NO_QUEUE,
                    "after %llu bytes of state, a chunk of %u: no more than "
                    "%u are possible, so this is no saved state, or a damaged "
                    "one",
                    (unsigned long long)t->n, t->left, CHUNK_MAX);
}

static int load_piece(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    uint32_t most = may_wait(dev) ? CHUNK_MAX : PIECE;
    int r = 0;

    if (t->begin == t->end && t->left == 0) {
        r = next_chunk(dev, t);
    }
    if (r == 0 && t->begin == t->end && t->left > 0) {
        t->begin = t->end = 0;
        r = from_stream(dev, t, t->buf, &t->end,
                        t->left < most ? t->left : most, true);
        t->left -= (uint32_t)t->end;
        renew(t);
    }
    return r < 0 ? r : to_backend(dev, t);
}

/* The steps */

/* Return: 0 once it was answered well. */
static int answered(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    /* Called off by the end of the device nobody is asked; else one that is
     * gone says why. */
    bool off = dev->priv->op.cancelled && !vh_core_talks(dev);
    int r = off ? -ENOTCONN : vh_core_settle(dev);

    if (r == -EINPROGRESS) {
        return r;
    }
    if (r == 0) {
        r = t->answer.result;
    }
    /* What contradicts itself breaks nothing: messages still begin where they
     * should. */
    return r == -EPROTO ? r : vh_core_fault(dev, r);
}

static int ask(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    int r = answered(dev, t);

    if (r == -EINPROGRESS) {
        return r;
    }
    vh_fd_close(&t->theirs);
    if (r == 0 && t->answer.reply_fd >= 0) {
        vh_fd_close(&t->fd);
        t->fd = t->answer.reply_fd;
        t->answer.reply_fd = -1;
    }
    renew(t);
    t->step = MOVE;
    return r;
}

/* A back end that does not like what it reads may stop reading; it knows best
 * why, so it is asked. */
static int move_pieces(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    int r = 0;

    while (r == 0 && !t->ended) {
        r = t->save ? save_piece(dev, t) : load_piece(dev, t);
        if (r == 0 && !may_wait(dev)) {
            vh_core_wake_in(dev, 0); /* others want their turn, too */
            r = t->ended && t->begin == t->end ? 0 : -EINPROGRESS;
        }
    }
    if (r == 0 && t->begin < t->end) {
        r = to_stream(dev, t); /* the last of what is saved */
    }
    if (r < 0 && (r != -EPIPE || t->save)) {
        return r;
    }
    t->failed = r;
    come_no_more(dev, t);
    vh_fd_close(&t->fd);
    t->step = CHECK;
    return vh_be_post_check_device_state(dev, &t->answer);
}

static int check(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    int r = answered(dev, t);

    r = r == 0 ? t->failed : r;
    if (r == 0 && dev->priv->op.cancelled) {
        r = -ECANCELED; /* and a stream without an end */
    }
    if (r == 0 && t->save) {
        memset(t->buf, 0, HEADER);
        t->begin = 0;
        t->end = HEADER;
        renew(t);
    }
    t->step = r == 0 ? TAIL : t->step;
    return r;
}

static int step(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    int r = 0;

    if (t->step == ASK) {
        r = ask(dev, t);
    }
    if (r == 0 && t->step == MOVE) {
        r = dev->priv->op.cancelled ? -ECANCELED : move_pieces(dev, t);
    }
    if (r == 0 && t->step == CHECK) {
        r = check(dev, t);
    }
    return r == 0 && t->begin < t->end ? to_stream(dev, t) : r;
}

static int move_state(struct vhost_dev *dev)
{
    struct vh_core_transfer *t = dev->priv->transfer;
    int r = step(dev, t);

    if (r == -EINPROGRESS && dev->priv->op.cancelled && t->step == TAIL) {
        r = -ECANCELED;
    }
    if (r != -EINPROGRESS) {
        vh_be_take_error(dev, &t->error);
        let_go(dev, t);
    }
    return r;
}

/* Beginning */

static int no_memory(struct vhost_dev *dev)
{
    return vh_be_fail(dev, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
}

static int make_pipe(struct vhost_dev *dev, struct vh_core_transfer *t)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return vh_be_fail(dev, -errno, "pipe", VH_NO_QUEUE,
                          "can't make a pipe for the state: %s",
                          strerror(errno));
    }
    fcntl(fds[0], F_SETPIPE_SZ, CHUNK_MAX); /* fewer calls, if it may */
    t->fd = fds[t->save ? 0 : 1];
    t->theirs = fds[t->save ? 1 : 0];
    return 0;
}

static int begin(struct vhost_dev *dev, struct vhost_stream *stream, bool save)
{
    struct vh_core_transfer *t = dev->priv->transfer;
    int r;

    vh_core_enter(dev);
    r = vh_core_busy(dev, "device state");
    if (r == 0) {
        r = vh_core_check_state(dev, "SET_DEVICE_STATE_FD");
    }
    if (r < 0) {
        return r;
    }
    if (!t) {
        t = dev->priv->transfer = malloc(sizeof(*t));
    }
    if (!t) {
        return no_memory(dev);
    }
    *t = (struct vh_core_transfer){ .save = save,
                                    .stream = stream,
                                    .answer = { .reply_fd = -1 },
                                    .fd = -1,
                                    .theirs = -1,
                                    .watched = -1 };
    t->buf = malloc(HEADER + CHUNK_MAX);
    r = t->buf ? make_pipe(dev, t) : no_memory(dev);
    if (r == 0) {
        r = vh_core_fault(dev, vh_be_post_device_state_fd(
                                   dev,
                                   save ? VHOST_TRANSFER_STATE_DIRECTION_SAVE
                                        : VHOST_TRANSFER_STATE_DIRECTION_LOAD,
                                   t->theirs, &t->answer));
    }
    if (r < 0) {
        let_go(dev, t);
    }
    return r;
}

static int run(struct vhost_dev *dev, struct vhost_stream *stream, bool save,
               struct vhost_error **errp)
{
    int r = begin(dev, stream, save);

    if (r == 0) {
        r = vh_core_op_run(dev, move_state);
    }
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(dev));
    }
    return r;
}

int vhost_save_backend_state(struct vhost_dev *dev, struct vhost_stream *stream,
                             struct vhost_error **errp)
{
    return run(dev, stream, true, errp);
}

int vhost_load_backend_state(struct vhost_dev *dev, struct vhost_stream *stream,
                             struct vhost_error **errp)
{
    return run(dev, stream, false, errp);
}

static int run_later(struct vhost_dev *dev, struct vhost_stream *stream,
                     bool save, vhost_dev_done_fn *done, void *opaque)
{
    int r = begin(dev, stream, save);

    if (r == 0) {
        vh_core_op_begin(dev, move_state, done, opaque);
    }
    return r;
}

int vhost_save_backend_state_async(struct vhost_dev *dev,
                                   struct vhost_stream *stream,
                                   vhost_dev_done_fn *done, void *opaque)
{
    return run_later(dev, stream, true, done, opaque);
}

int vhost_load_backend_state_async(struct vhost_dev *dev,
                                   struct vhost_stream *stream,
                                   vhost_dev_done_fn *done, void *opaque)
{
    return run_later(dev, stream, false, done, opaque);
}
