/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our driver, by <vhost/net.h>, for alone.c.
 *
 * Buffers to send go round in a circle, as many as the ring has entries, so
 * that as much memory is in use as if a device lagged behind.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <vhost/net.h>

#include "alone.h"

#define N ALONE_QUEUE_SIZE
#define POOL (4u << 20)

/* Not all headers in the same few sets of the cache. */
#define GAP 64u

static struct vhost_net_rx *rx;
static struct vhost_net_tx *tx;
static void *circle[N]; /* to send */
static unsigned at;     /* the next one */
static unsigned n_free;

static void make_buffers(struct vhost_net_device *net)
{
    struct vhost_net_info info = { 0 };
    void *room[N];
    size_t size;
    char *memory;

    vhost_net_get_info(net, &info);
    size = info.buffer_size + GAP;
    memory = vhost_net_alloc(net, 2 * N * size);
    if (!memory) {
        errx(1, "no memory");
    }
    for (unsigned i = 0; i < N; i++) {
        room[i] = memory + i * size;
        circle[i] = memory + (N + i) * size;
    }
    n_free = N;
    if (vhost_net_post(rx, room, N) != N) {
        errx(1, "post: %s", vhost_net_rx_error(rx));
    }
}

static const char *vhost_open(const char *socket, const struct alone_variant *v)
{
    struct vhost_net_options options = {
        .size = sizeof(options),
        .queue_size = N,
        .polling = true,
        .no_mergeable = !v->mergeable,
        .pool_size = POOL,
        .huge_pages = true,
        .layout = v->packed ? (v->in_order ? VHOST_LAYOUT_PACKED_IN_ORDER
                                           : VHOST_LAYOUT_PACKED)
                            : (v->in_order ? VHOST_LAYOUT_SPLIT_IN_ORDER
                                           : VHOST_LAYOUT_SPLIT),
    };
    struct vhost_error *error = NULL;
    struct vhost_net_device *net;
    struct vhost_net_info info = { 0 };
    static char what[64];
    char uri[128];

    snprintf(uri, sizeof(uri), "user:%s", socket);
    net = vhost_net_open(uri, &options, &error);
    if (!net) {
        errx(1, "%s", vhost_error_message(error));
    }
    rx = vhost_net_get_rx(net, 0);
    tx = vhost_net_get_tx(net, 0);
    make_buffers(net);
    vhost_net_get_info(net, &info);
    snprintf(what, sizeof(what), "libvhost; %s%s",
             vhost_layout_name(info.layout),
             info.mergeable ? ", mergeable" : "");
    return what;
}

static unsigned vhost_send(struct alone_cost *cost)
{
    struct vhost_net_packet packets[ALONE_BURST];
    void *sent[ALONE_BURST];
    uint64_t t0 = alone_now(), t1, t2, t3;
    int back = vhost_net_sent(tx, sent, ALONE_BURST), n;

    t1 = alone_now();
    for (int i = 0; i < back; i++) {
        circle[(at + n_free++) % N] = sent[i];
    }
    for (unsigned i = 0; i < ALONE_BURST; i++) {
        packets[i] = (struct vhost_net_packet){
            .buffer = circle[(at + i) % N],
            .offset = ALONE_HEADER,
            .len = ALONE_FRAME,
        };
    }
    t2 = alone_now();
    n = vhost_net_send(tx, packets, ALONE_BURST);
    t3 = alone_now();
    if (back < 0 || n != (int)ALONE_BURST) {
        errx(1, "sent %d, send %d: %s", back, n, vhost_net_tx_error(tx));
    }
    at += ALONE_BURST;
    n_free -= ALONE_BURST;
    cost->driver += alone_spent(t0, t1) + alone_spent(t2, t3);
    cost->all +=
        alone_spent(t0, t1) + alone_spent(t1, t2) + alone_spent(t2, t3);
    return (unsigned)n;
}

static unsigned vhost_receive(struct alone_cost *cost)
{
    struct vhost_net_packet packets[ALONE_BURST];
    void *buffers[ALONE_BURST];
    uint64_t t0 = alone_now(), t1, t2, t3;
    int n = vhost_net_receive(rx, packets, ALONE_BURST);

    t1 = alone_now();
    if (n < 0) {
        errx(1, "receive: %s", vhost_net_rx_error(rx));
    }
    for (int i = 0; i < n; i++) {
        buffers[i] = packets[i].buffer;
    }
    t2 = alone_now();
    if (vhost_net_post(rx, buffers, (unsigned)n) != n) {
        errx(1, "post: %s", vhost_net_rx_error(rx));
    }
    t3 = alone_now();
    if (n && packets[n - 1].len != ALONE_FRAME) {
        errx(1, "received %u bytes", packets[n - 1].len);
    }
    cost->driver += alone_spent(t0, t1) + alone_spent(t2, t3);
    cost->all +=
        alone_spent(t0, t1) + alone_spent(t1, t2) + alone_spent(t2, t3);
    return (unsigned)n;
}

const struct alone_front alone_front = {
    .open = vhost_open,
    .send = vhost_send,
    .receive = vhost_receive,
};
