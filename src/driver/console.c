/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A console: virtio 1.3, 5.3.  Queue 0 receives for the first port, queue 1
 * sends; others there are only with VIRTIO_CONSOLE_F_MULTIPORT.
 *
 * What has come stays in the device's buffer until the program has taken it
 * all; only then is that given back.  So a program that reads nothing stops the
 * device, and loses nothing.
 */
#include <vhost/console.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/plain.h"
#include "util/clock.h"
#include "util/error.h"

#define RX 0
#define TX 1
#define PIECE 4096
#define N_RX 4

struct vhost_console {
    struct vh_plain plain;
    struct vh_piece rx[N_RX];
    struct vh_piece tx;
    struct vh_piece *full; /* one of @rx; NULL: none */
    uint32_t full_len;
    uint32_t full_at; /* the program has taken so much of it */
};

static const struct vh_plain_class class = {
    .what = "console",
    .device_id = 3, /* virtio 1.3, 5.3.1 */
    .queues = 2,
    .memory = (N_RX + 1) * PIECE,
};

static int post(struct vhost_console *console, struct vh_piece *rx,
                struct vhost_error **errp)
{
    struct vh_sg sg = { rx->gpa, PIECE };

    return vh_plain_put(&console->plain, RX, &sg, 0, 1, rx, errp);
}

static int set_up(struct vhost_console *console, struct vhost_error **errp)
{
    int r = vh_plain_alloc(&console->plain, PIECE, &console->tx, errp);

    for (unsigned i = 0; i < N_RX && r == 0; i++) {
        r = vh_plain_alloc(&console->plain, PIECE, &console->rx[i], errp);
        if (r == 0) {
            r = post(console, &console->rx[i], errp);
        }
    }
    return r;
}

struct vhost_console *
vhost_console_open(const char *uri, const struct vhost_driver_options *options,
                   struct vhost_error **errp)
{
    struct vhost_console *console = calloc(1, sizeof(*console));

    if (!console) {
        vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    if (vh_plain_open(&console->plain, &class, uri, options, errp) < 0) {
        free(console);
        return NULL;
    }
    if (set_up(console, errp) < 0) {
        vhost_console_close(console);
        return NULL;
    }
    return console;
}

void vhost_console_close(struct vhost_console *console)
{
    if (console) {
        vh_plain_close(&console->plain);
        free(console);
    }
}

int vhost_console_write(struct vhost_console *console, const void *buf,
                        size_t len, struct vhost_error **errp)
{
    const uint8_t *data = buf;

    while (len > 0) {
        uint32_t n = len < PIECE ? (uint32_t)len : PIECE;
        struct vh_sg sg = { console->tx.gpa, n };
        int64_t r;

        memcpy(console->tx.hva, data, n);
        r = vh_plain_do(&console->plain, TX, &sg, 1, 0, errp);
        if (r < 0) {
            return (int)r;
        }
        data += n;
        len -= n;
    }
    return 0;
}

/* The next buffer that has something in it. */
static int fill(struct vhost_console *console, int64_t deadline,
                struct vhost_error **errp)
{
    while (!console->full) {
        struct vh_ring_used used;
        int r = vh_plain_take(&console->plain, RX, &used, deadline, errp);

        if (r == 0) {
            return vh_error(errp, -ETIMEDOUT, "console", RX, "nothing comes");
        }
        if (r > 0 && used.len == 0) {
            r = post(console, used.cookie, errp);
        } else if (r > 0) {
            console->full = used.cookie;
            console->full_len = used.len;
            console->full_at = 0;
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int vhost_console_read(struct vhost_console *console, void *buf, size_t max,
                       int timeout_ms, struct vhost_error **errp)
{
    int r = fill(console, vh_deadline_in(timeout_ms), errp);
    struct vh_piece *full = console->full;
    uint32_t n;

    if (r < 0) {
        return r;
    }
    n = console->full_len - console->full_at;
    n = n < max ? n : (uint32_t)max;
    memcpy(buf, full->hva + console->full_at, n);
    console->full_at += n;
    if (console->full_at == console->full_len) {
        console->full = NULL;
        r = post(console, full, errp);
    }
    return r < 0 ? r : (int)n;
}
