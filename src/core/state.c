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
 * vhost-user specification, "Migrating back-end state".
 */
#include "core/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vhost/state.h>

#include "backend/ops.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/io.h"
#include "util/stream.h"

#define CHUNK_MAX (UINT32_C(1) << 20)

bool vhost_supports_device_state(struct vhost_dev *dev)
{
    return vh_be_supports_device_state(dev);
}

static int check(struct vhost_dev *dev, const char *operation)
{
    if (dev->started) {
        return vh_be_fail(dev, -EBUSY, operation, VH_NO_QUEUE,
                          "the device is started: its state can be moved only "
                          "while it is stopped");
    }
    return vh_core_silent(dev, operation);
}

/*
 * An answer that contradicts itself, or a stream that does, does not break the
 * device: messages still begin where they should.
 */
static int answered(struct vhost_dev *dev, int r, struct vhost_error **errp)
{
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(dev));
    }
    return r == -EPROTO ? r : vh_core_fault(dev, r);
}

int vhost_set_device_state_fd(struct vhost_dev *dev,
                              VhostDeviceStateDirection direction,
                              VhostDeviceStatePhase phase, int fd,
                              int *reply_fd, struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    *reply_fd = -1;
    r = check(dev, "SET_DEVICE_STATE_FD");
    if (r < 0) {
        vh_fd_close(&fd);
    } else {
        r = vh_be_set_device_state_fd(dev, direction, phase, fd, reply_fd);
    }
    return answered(dev, r, errp);
}

int vhost_check_device_state(struct vhost_dev *dev, struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = check(dev, "CHECK_DEVICE_STATE");
    if (r == 0) {
        r = vh_be_check_device_state(dev);
    }
    return answered(dev, r, errp);
}

int vhost_reset_device(struct vhost_dev *hdev)
{
    int r;

    vh_core_enter(hdev);
    if (hdev->started) {
        return vh_be_fail(hdev, -EBUSY, "RESET_DEVICE", VH_NO_QUEUE,
                          "the device is started: stop it first");
    }
    r = vh_core_silent(hdev, "RESET_DEVICE");
    if (r == 0) {
        r = vh_core_fault(hdev, vh_be_reset_device(hdev));
    }
    if (r == 0) {
        vh_core_shmem_clear(hdev); /* nor does the back end know of it now */
    }
    return r;
}

/* What a transfer needs. */
struct transfer {
    struct vhost_dev *dev;
    struct vhost_stream *stream;
    uint8_t *chunk; /* CHUNK_MAX bytes */
    int fd;         /* our end */
    uint64_t n;     /* bytes so far */
};

static int begin(struct transfer *t, VhostDeviceStateDirection direction,
                 struct vhost_error **errp)
{
    bool save = direction == VHOST_TRANSFER_STATE_DIRECTION_SAVE;
    int reply_fd = -1;
    int fds[2];
    int r;

    t->chunk = malloc(CHUNK_MAX);
    if (!t->chunk) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        r = -errno;
        return vh_error(errp, r, "pipe", VH_NO_QUEUE,
                        "can't make a pipe for the state: %s",
                        strerrordesc_np(-r));
    }
    fcntl(fds[0], F_SETPIPE_SZ, CHUNK_MAX); /* fewer calls, if it may */
    t->fd = fds[save ? 0 : 1];
    r = vhost_set_device_state_fd(t->dev, direction,
                                  VHOST_TRANSFER_STATE_PHASE_STOPPED,
                                  fds[save ? 1 : 0], &reply_fd, errp);
    if (r == 0 && reply_fd >= 0) {
        vh_fd_close(&t->fd);
        t->fd = reply_fd;
    }
    return r;
}

static void end(struct transfer *t)
{
    vh_fd_close(&t->fd);
    free(t->chunk);
}

static int late(const struct transfer *t, const char *what, int code,
                struct vhost_error **errp)
{
    const char *why = strerrordesc_np(-code);

    if (code == -ETIMEDOUT) {
        return vh_error(errp, code, "device state", VH_NO_QUEUE,
                        "the back end %s no more of its state for %g s, after "
                        "%llu bytes",
                        what, vh_stream_deadline_ms(t->stream) / 1000.0,
                        (unsigned long long)t->n);
    }
    return vh_error(errp, code, "device state", VH_NO_QUEUE,
                    "the back end's state, after %llu bytes: %s",
                    (unsigned long long)t->n, why ? why : "failed");
}

/* A whole chunk, or what is left.  Return: its length, 0 at the end, or a
 * negative errno. */
static ssize_t read_chunk(struct transfer *t, struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(vh_stream_deadline_ms(t->stream));
    size_t len = 0;

    while (len < CHUNK_MAX) {
        ssize_t n =
            vh_io_read(t->fd, t->chunk + len, CHUNK_MAX - len, deadline);

        if (n < 0) {
            return late(t, "gives", (int)n, errp);
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
        t->n += (uint64_t)n;
    }
    return (ssize_t)len;
}

static int save_chunks(struct transfer *t, struct vhost_error **errp)
{
    for (;;) {
        ssize_t n = read_chunk(t, errp);
        int r;

        if (n <= 0) {
            return (int)n;
        }
        r = vh_stream_put_be32(t->stream, (uint32_t)n, errp);
        if (r == 0) {
            r = vhost_stream_write(t->stream, t->chunk, (size_t)n, errp);
        }
        if (r < 0) {
            return r;
        }
    }
}

int vhost_save_backend_state(struct vhost_dev *dev, struct vhost_stream *stream,
                             struct vhost_error **errp)
{
    struct transfer t = { .dev = dev, .stream = stream, .fd = -1 };
    int r = begin(&t, VHOST_TRANSFER_STATE_DIRECTION_SAVE, errp);

    if (r == 0) {
        r = save_chunks(&t, errp);
    }
    if (r == 0) {
        vh_fd_close(&t.fd);
        r = vhost_check_device_state(dev, errp);
    }
    if (r == 0) {
        r = vh_stream_put_be32(stream, 0, errp);
    }
    end(&t);
    return r;
}

static int next_length(struct transfer *t, uint32_t *len,
                       struct vhost_error **errp)
{
    int r = vh_stream_get_be32(t->stream, len, errp);

    if (r < 0 || *len <= CHUNK_MAX) {
        return r;
    }
    return vh_error(errp, -EBADMSG, "device state", VH_NO_QUEUE,
                    "after %llu bytes of state, a chunk of %u: no more than "
                    "%u are possible, so this is no saved state, or a damaged "
                    "one",
                    (unsigned long long)t->n, *len, CHUNK_MAX);
}

static int load_chunks(struct transfer *t, struct vhost_error **errp)
{
    for (;;) {
        uint32_t len = 0;
        int r = next_length(t, &len, errp);

        if (r < 0 || len == 0) {
            return r;
        }
        r = vhost_stream_read(t->stream, t->chunk, len, errp);
        if (r < 0) {
            return r;
        }
        r = vh_io_write_all(t->fd, t->chunk, len,
                            vh_deadline_in(vh_stream_deadline_ms(t->stream)));
        if (r < 0) {
            return late(t, "takes", r, errp);
        }
        t->n += len;
    }
}

/*
 * A back end that does not like what it reads may stop reading; it knows best
 * why, so it is asked.
 */
int vhost_load_backend_state(struct vhost_dev *dev, struct vhost_stream *stream,
                             struct vhost_error **errp)
{
    struct transfer t = { .dev = dev, .stream = stream, .fd = -1 };
    struct vhost_error *err = NULL;
    int r = begin(&t, VHOST_TRANSFER_STATE_DIRECTION_LOAD, &err);
    int checked = 0;

    if (r == 0) {
        r = load_chunks(&t, &err);
        vh_fd_close(&t.fd);
        if (r == 0 || r == -EPIPE) {
            checked = vhost_check_device_state(dev, errp);
        }
    }
    vh_error_move(errp, &err);
    end(&t);
    return checked < 0 ? checked : r;
}
