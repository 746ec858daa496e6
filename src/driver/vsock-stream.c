/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program does with a stream.  Each call waits by dealing with packets,
 * of whatever stream, until its own is as it wants it.
 *
 * The peer is told what the program has taken once that is half of the room:
 * more often would be a packet for each read, more seldom would stop him.
 */
#include "driver/vsock.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "util/clock.h"
#include "util/error.h"

#define PORT_MIN 1024
#define HANG_UP_MS 1000

static int failed(int code, const char *what, const char *why,
                  struct vhost_error **errp)
{
    return vh_error(errp, code, what, VH_NO_QUEUE, "%s", why);
}

static uint32_t free_port(struct vhost_vsock *vsock)
{
    bool taken;

    do {
        taken = ++vsock->last_port < PORT_MIN || vsock->last_port == UINT32_MAX;
        for (const struct vhost_vsock_stream *s = vsock->streams; s;
             s = s->next) {
            taken |= s->our_port == vsock->last_port;
        }
        taken |= vh_vsock_listens(vsock, vsock->last_port);
    } while (taken);
    return vsock->last_port;
}

static int wait_for_response(struct vhost_vsock_stream *s, int timeout_ms,
                             struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(timeout_ms);

    while (s->state == VH_VSOCK_CONNECTING) {
        int r = vh_vsock_pump(s->vsock, deadline, errp);

        if (r == 0) {
            vh_vsock_say(s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0, NULL);
            return failed(-ETIMEDOUT, "connect", "nobody answers", errp);
        }
        if (r < 0) {
            return r;
        }
    }
    return s->state == VH_VSOCK_OPEN
               ? 0
               : failed(-ECONNREFUSED, "connect", "nobody listens there", errp);
}

struct vhost_vsock_stream *vhost_vsock_connect(struct vhost_vsock *vsock,
                                               uint64_t cid, uint32_t port,
                                               int timeout_ms,
                                               struct vhost_error **errp)
{
    struct vhost_vsock_stream *s =
        vh_vsock_add(vsock, cid, port, free_port(vsock));

    if (!s) {
        failed(-ENOMEM, "connect", "out of memory", errp);
        return NULL;
    }
    if (vh_vsock_say(s, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0, errp) < 0 ||
        wait_for_response(s, timeout_ms, errp) < 0) {
        vh_vsock_drop(s);
        return NULL;
    }
    return s;
}

int vhost_vsock_listen(struct vhost_vsock *vsock, uint32_t port,
                       struct vhost_error **errp)
{
    if (vh_vsock_listens(vsock, port)) {
        return failed(-EADDRINUSE, "listen", "the port is taken", errp);
    }
    if (vsock->n_ports == VH_VSOCK_PORTS) {
        return failed(-ENOSPC, "listen", "at most eight ports can be", errp);
    }
    vsock->ports[vsock->n_ports++] = port;
    return 0;
}

static struct vhost_vsock_stream *waiting_at(const struct vhost_vsock *vsock,
                                             uint32_t port)
{
    struct vhost_vsock_stream *s = vsock->streams, *first = NULL;

    for (; s; s = s->next) {
        if (s->waits && s->our_port == port) {
            first = s; /* the last one came first */
        }
    }
    return first;
}

struct vhost_vsock_stream *vhost_vsock_accept(struct vhost_vsock *vsock,
                                              uint32_t port, int timeout_ms,
                                              struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(timeout_ms);
    struct vhost_vsock_stream *s;

    if (!vh_vsock_listens(vsock, port)) {
        failed(-EINVAL, "accept", "nobody listens at this port", errp);
        return NULL;
    }
    while (!(s = waiting_at(vsock, port))) {
        int r = vh_vsock_pump(vsock, deadline, errp);

        if (r == 0) {
            failed(-ETIMEDOUT, "accept", "nobody connects", errp);
        }
        if (r <= 0) {
            return NULL;
        }
    }
    s->waits = false;
    return s;
}

/* How much may be sent now; a peer that takes back what it gave gets none. */
static uint32_t credit(const struct vhost_vsock_stream *s)
{
    uint32_t out = s->sent - s->peer_taken;

    return out < s->peer_room ? s->peer_room - out : 0;
}

/* Deals with what has come, and waits for room if there is none. */
static int make_room(struct vhost_vsock_stream *s, int64_t deadline,
                     struct vhost_error **errp)
{
    int r = 1;

    while (r > 0) {
        r = vh_vsock_pump(s->vsock, 0, errp);
    }
    while (r == 0 && s->state == VH_VSOCK_OPEN && !s->no_room &&
           credit(s) == 0) {
        r = vh_vsock_pump(s->vsock, deadline, errp);
        if (r == 0) {
            return failed(-ETIMEDOUT, "send", "the peer takes nothing", errp);
        }
        r = r < 0 ? r : 0;
    }
    if (r == 0 && s->state != VH_VSOCK_OPEN) {
        return failed(-ECONNRESET, "send", "the peer has reset the stream",
                      errp);
    }
    if (r == 0 && (s->no_room || s->finished)) {
        return failed(-EPIPE, "send", "the stream takes no more", errp);
    }
    return r;
}

int vhost_vsock_send(struct vhost_vsock_stream *stream, const void *buf,
                     size_t len, int timeout_ms, struct vhost_error **errp)
{
    const uint8_t *data = buf;

    while (len > 0) {
        int r = make_room(stream, vh_deadline_in(timeout_ms), errp);
        uint32_t n = credit(stream);

        if (r < 0) {
            return r;
        }
        n = n < VH_VSOCK_PACKET ? n : VH_VSOCK_PACKET;
        n = n < len ? n : (uint32_t)len;
        r = vh_vsock_say(stream, VIRTIO_VSOCK_OP_RW, 0, data, n, errp);
        if (r < 0) {
            return r;
        }
        stream->sent += n;
        data += n;
        len -= n;
    }
    return 0;
}

static int take(struct vhost_vsock_stream *s, uint8_t *to, size_t max,
                struct vhost_error **errp)
{
    uint32_t n = s->got - s->taken;
    uint32_t at = s->taken % VH_VSOCK_ROOM;
    uint32_t first;
    int r = 0;

    n = n < max ? n : (uint32_t)max;
    first = n < VH_VSOCK_ROOM - at ? n : VH_VSOCK_ROOM - at;
    memcpy(to, s->room + at, first);
    memcpy(to + first, s->room, n - first);
    s->taken += n;
    if (s->state == VH_VSOCK_OPEN && !s->no_more_in &&
        s->taken - s->taken_told >= VH_VSOCK_ROOM / 2) {
        r = vh_vsock_say(s, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0, errp);
    }
    return r < 0 ? r : (int)n;
}

int vhost_vsock_receive(struct vhost_vsock_stream *stream, void *buf,
                        size_t max, int timeout_ms, struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(timeout_ms);

    while (stream->got == stream->taken) {
        int r;

        if (stream->no_more_in) {
            return 0;
        }
        if (stream->state != VH_VSOCK_OPEN) {
            return failed(-ECONNRESET, "receive",
                          "the peer has reset the stream", errp);
        }
        r = vh_vsock_pump(stream->vsock, deadline, errp);
        if (r == 0) {
            return failed(-ETIMEDOUT, "receive", "nothing comes", errp);
        }
        if (r < 0) {
            return r;
        }
    }
    return take(stream, buf, max, errp);
}

int vhost_vsock_finish(struct vhost_vsock_stream *stream,
                       struct vhost_error **errp)
{
    if (stream->finished || stream->state != VH_VSOCK_OPEN) {
        return 0;
    }
    stream->finished = true;
    return vh_vsock_say(stream, VIRTIO_VSOCK_OP_SHUTDOWN,
                        VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0, errp);
}

/* A peer that has hung up waits for the reset (5.10.6.5). */
static void agree_to_end(struct vhost_vsock_stream *s)
{
    int64_t deadline = vh_deadline_in(HANG_UP_MS);
    int r = 1;

    if (!s->no_more_in || !s->no_room) {
        r = vh_vsock_say(s, VIRTIO_VSOCK_OP_SHUTDOWN,
                         VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV,
                         NULL, 0, NULL);
        r = r < 0 ? r : 1;
        while (r > 0 && s->state == VH_VSOCK_OPEN &&
               !(s->no_more_in && s->no_room)) {
            r = vh_vsock_pump(s->vsock, deadline, NULL);
        }
    }
    if (r >= 0 && s->state == VH_VSOCK_OPEN) {
        vh_vsock_say(s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0, NULL);
    }
}

void vhost_vsock_hang_up(struct vhost_vsock_stream *stream)
{
    if (stream) {
        if (stream->state == VH_VSOCK_OPEN) {
            agree_to_end(stream);
        }
        vh_vsock_drop(stream);
    }
}
