/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Turns of a few calls, and between some of them a look at the clock, which
 * costs as much as a frame or two.  A turn that led to nothing waits in the
 * library, for a slice at most: so a back end that takes or gives nothing
 * ends at its time, and one that is gone is seen by vhost_net_dispatch().
 *
 * Frames are made once, and the bytes never touched again: what is measured is
 * the rings.  Buffers wait in stacks, so that few of them are in use when few
 * are needed, and those are in the caches.
 *
 * Loopback keeps half a queue in flight, so that the other half is room for
 * what comes, or one frame alone for the latency.  It begins and ends with
 * nothing in flight; then all that was sent and did not come back was dropped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#endif

#include "bench-net.h"
#include "out.h"
#include "progress.h"
#include "system.h"

#define MS UINT64_C(1000000)
#define SLICE_MS 10
#define CONTROL_NS (50 * MS)
#define LOST_NS (100 * MS)
#define TURNS_PER_LOOK 32u
#define LINE 64u
#define LEAD (LINE - VHOST_NET_HEADER)
#define ETHERTYPE 0x88b5u /* local experiments (IEEE 802) */

/* Buffers that are not in a queue. */
struct stack {
    void **items;
    unsigned n;
};

struct run {
    const struct bench *b;
    struct vhost_net_device *net;
    struct vhost_net_rx *rx;
    struct vhost_net_tx *tx;
    struct stack rx_free;
    struct stack tx_free;
    struct vhost_net_packet *in;  /* filled in by receive */
    struct vhost_net_packet *out; /* all but the buffers stays as it is */
    unsigned burst;
    unsigned window;
    unsigned in_flight;
    uint64_t began;   /* of the frame in flight, if there is only one */
    uint64_t last;    /* when the last frame came */
    uint64_t control; /* when to look after the control channel */
    bool told;        /* a message was printed */
    struct bench_net_result counts;
};

static uint64_t cycles(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __rdtsc();
#else
    return 0;
#endif
}

/* Ends the measurement.  Of a back end that died the device knows more. */
static int broken(struct run *r, const char *why, int code)
{
    struct vhost_error *err = NULL;

    if (r->told) {
        return -1;
    }
    r->told = true;
    if (vhost_net_dispatch(r->net, &err) < 0) {
        out_library_error(err);
    } else {
        out_error("%s: %s", r->b->uri, why ? why : strerror(-code));
    }
    return -1;
}

static int post(struct run *r)
{
    struct stack *s = &r->rx_free;
    int n;

    if (s->n == 0) {
        return 0;
    }
    n = vhost_net_post(r->rx, s->items, s->n);
    if (n < 0) {
        return broken(r, vhost_net_rx_error(r->rx), n);
    }
    s->n -= (unsigned)n;
    if (s->n > 0) {
        memmove(s->items, s->items + n, s->n * sizeof(*s->items));
    }
    return 0;
}

/* A whole frame came. */
static void count_frame(struct run *r, uint64_t bytes)
{
    if (r->b->net.mode == BENCH_LOOPBACK) {
        /* Others may talk there, too; and what is late was given up. */
        if (bytes != r->b->net.frame || r->in_flight == 0) {
            return;
        }
        r->in_flight--;
    }
    r->counts.received++;
    r->counts.bytes += bytes;
}

/* Takes n packets out of r->in, and posts their buffers anew. */
static int take(struct run *r, int n)
{
    uint64_t bytes = 0;

    if (n < 0) {
        return broken(r, vhost_net_rx_error(r->rx), n);
    }
    for (int i = 0; i < n; i++) {
        const struct vhost_net_packet *p = &r->in[i];

        r->rx_free.items[r->rx_free.n++] = p->buffer;
        bytes += p->len;
        if (!p->more) {
            count_frame(r, bytes);
            bytes = 0;
        }
    }
    return post(r) < 0 ? -1 : n;
}

/* Negative after a message, else how many packets came within @wait_ms. */
static int receive(struct run *r, int wait_ms)
{
    unsigned max = r->burst;
    int n = wait_ms > 0 ? vhost_net_receive_wait(r->rx, r->in, max, wait_ms)
                        : vhost_net_receive(r->rx, r->in, max);

    if (n == -E2BIG) {
        n = vhost_net_receive(r->rx, r->in, BENCH_NET_PARTS_MAX);
    }
    return take(r, n);
}

/* Takes back what was sent: how many, or negative after a message. */
static int reclaim(struct run *r, unsigned max, int wait_ms)
{
    struct stack *s = &r->tx_free;
    void **to = s->items + s->n;
    int n = wait_ms > 0 ? vhost_net_sent_wait(r->tx, to, max, wait_ms)
                        : vhost_net_sent(r->tx, to, max);

    if (n < 0) {
        return broken(r, vhost_net_tx_error(r->tx), n);
    }
    s->n += (unsigned)n;
    return n;
}

/*
 * Sends a burst: how many were taken, or negative after a message.  A burst
 * leaves the stack in the order in which it came there, so that buffers which
 * go round meet the same descriptors: see ring/split-driver.c.
 */
static int send_burst(struct run *r)
{
    struct stack *s = &r->tx_free;
    unsigned want = s->n < r->burst ? s->n : r->burst;
    void **from = s->items + s->n - want;
    int n;

    if (want == 0) {
        return 0;
    }
    for (unsigned i = 0; i < want; i++) {
        r->out[i].buffer = from[i];
    }
    n = vhost_net_send(r->tx, r->out, want);
    if (n < 0) {
        return broken(r, vhost_net_tx_error(r->tx), n);
    }
    s->n -= (unsigned)n;
    memmove(from, from + n, (want - (unsigned)n) * sizeof(*from));
    return n;
}

/*
 * The turns: how much moved, or negative after a message.
 */
static int turn_transmit(struct run *r)
{
    int back = reclaim(r, r->burst, 0);
    int n = back < 0 ? -1 : send_burst(r);

    if (n == 0 && back == 0) {
        back = reclaim(r, r->burst, SLICE_MS);
    }
    if (back < 0 || n < 0) {
        return -1;
    }
    r->counts.sent += (unsigned)back;
    r->counts.bytes += (uint64_t)(unsigned)back * r->b->net.frame;
    return n + back;
}

static int turn_receive(struct run *r)
{
    int n = receive(r, 0);

    return n != 0 ? n : receive(r, SLICE_MS);
}

/* What is in flight for so long never comes back. */
static void give_up(struct run *r)
{
    uint64_t now = system_now();

    if (r->in_flight == 0) {
        r->last = now;
    } else if (now - r->last > LOST_NS) {
        r->in_flight = 0;
    }
}

static int loop_receive(struct run *r, int wait_ms)
{
    uint64_t before = r->counts.received;
    int n = receive(r, wait_ms);

    if (r->counts.received != before) {
        r->last = system_now();
        if (r->counts.latency) {
            histogram_record(r->counts.latency, r->last - r->began);
        }
    }
    return n;
}

static int loop_send(struct run *r)
{
    int n;

    if (r->in_flight + r->burst > r->window) {
        return 0;
    }
    if (r->window == 1) {
        r->began = system_now();
    }
    n = send_burst(r);
    if (n > 0) {
        if (r->in_flight == 0) {
            r->last = r->window == 1 ? r->began : system_now();
        }
        r->in_flight += (unsigned)n;
        r->counts.sent += (unsigned)n;
    }
    return n;
}

static int turn_loopback(struct run *r)
{
    int back = reclaim(r, r->burst, 0);
    int n = back < 0 ? -1 : loop_receive(r, 0);
    int sent = n < 0 ? -1 : loop_send(r);

    if (sent < 0) {
        return -1;
    }
    if (n + sent == 0) {
        n = loop_receive(r, SLICE_MS);
        give_up(r);
    }
    return n < 0 ? -1 : n + sent;
}

static int turn(struct run *r)
{
    switch (r->b->net.mode) {
    case BENCH_TRANSMIT:
        return turn_transmit(r);
    case BENCH_RECEIVE:
        return turn_receive(r);
    default:
        return turn_loopback(r);
    }
}

static int look_after(struct run *r, uint64_t now)
{
    struct vhost_error *err = NULL;

    if (system_interrupted()) {
        r->told = true;
        out_error("interrupted");
        return -1;
    }
    if (now >= r->control) {
        r->control = now + CONTROL_NS;
        if (vhost_net_dispatch(r->net, &err) < 0) {
            r->told = true;
            out_library_error(err);
            return -1;
        }
    }
    return 0;
}

/* Runs until a time: when it was, or 0 after a message. */
static uint64_t run_until(struct run *r, uint64_t until, struct progress *p,
                          uint64_t since)
{
    uint64_t now = system_now();

    while (now < until) {
        for (unsigned i = 0; i < TURNS_PER_LOOK; i++) {
            int n = turn(r);

            if (n < 0) {
                return 0;
            }
            if (n == 0) {
                break;
            }
        }
        now = system_now();
        if (look_after(r, now) < 0) {
            return 0;
        }
        progress_text(p, now - since, "");
    }
    return now;
}

/* Waits for what is in flight, or gives it up: when the last frame came, or 0
 * after a message. */
static uint64_t drain(struct run *r, uint64_t now)
{
    while (r->in_flight > 0) {
        if (loop_receive(r, SLICE_MS) < 0 || look_after(r, system_now()) < 0) {
            return 0;
        }
        give_up(r);
    }
    return r->b->net.mode == BENCH_LOOPBACK && r->last > now ? r->last : now;
}

/* Cycles of @ns nanoseconds, by what passed since @from; 0: not known. */
static uint64_t cycles_of(uint64_t ns, uint64_t from, uint64_t stamp)
{
    uint64_t passed = system_now() - from;

    return passed > 0 ? (uint64_t)((double)(cycles() - stamp) * (double)ns /
                                   (double)passed)
                      : 0;
}

/* From here on it counts. */
static bool reset_counts(struct run *r)
{
    r->counts = (struct bench_net_result){ 0 };
    if (r->b->net.mode == BENCH_LOOPBACK && r->window == 1) {
        r->counts.latency = histogram_new();
        if (!r->counts.latency) {
            out_error("out of memory");
            return false;
        }
    }
    return true;
}

static bool measure(struct run *r)
{
    const struct bench *b = r->b;
    struct progress progress;
    uint64_t since = system_now(), from, until = 0, stamp;

    progress_begin(&progress, NULL, b->warm_up_ns + b->time_ns, b->quiet);
    from = run_until(r, since + b->warm_up_ns, &progress, since);
    if (from > 0 && drain(r, from) > 0 && reset_counts(r)) {
        from = system_now();
        stamp = cycles();
        until = run_until(r, from + b->time_ns, &progress, since);
        until = until > 0 ? drain(r, until) : 0;
        r->counts.cycles = cycles_of(until - from, from, stamp);
        r->counts.seconds = (double)(until - from) / 1e9;
    }
    progress_end(&progress, false);
    return until > 0;
}

/*
 * Buffers of @size bytes each, in memory that the back end sees.  The frames
 * begin cache lines, as <vhost/net.h> advises; and these are not all in the
 * same few sets of the cache, as they are an odd number of lines apart.
 */
static bool fill(struct run *r, struct stack *s, unsigned n, size_t size)
{
    char *memory;

    size = ((size + LINE - 1) & ~(size_t)(LINE - 1)) | LINE;
    memory = vhost_net_alloc(r->net, LEAD + n * size);
    s->items = calloc(n, sizeof(*s->items));
    if (!memory || !s->items) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        s->items[i] = memory + LEAD + i * size;
    }
    s->n = n;
    return true;
}

/* To and from addresses that are locally administered, if the device has none
 * of its own. */
static void make_frame(const struct run *r, const struct vhost_net_info *info,
                       void *buffer)
{
    static const uint8_t to[6] = { 0x02, 0, 0, 0, 0, 0x02 };
    static const uint8_t from[6] = { 0x02, 0, 0, 0, 0, 0x01 };
    uint8_t *frame = (uint8_t *)buffer + VHOST_NET_HEADER;

    memset(frame, 0, r->b->net.frame);
    memcpy(frame, to, sizeof(to));
    memcpy(frame + 6, info->has_mac ? info->mac : from, sizeof(from));
    frame[12] = ETHERTYPE >> 8;
    frame[13] = ETHERTYPE & 0xff;
}

static bool setup_packets(struct run *r)
{
    unsigned burst = r->burst;

    r->in = calloc(burst > BENCH_NET_PARTS_MAX ? burst : BENCH_NET_PARTS_MAX,
                   sizeof(*r->in));
    r->out = calloc(burst, sizeof(*r->out));
    if (!r->in || !r->out) {
        return false;
    }
    for (unsigned i = 0; i < burst; i++) {
        r->out[i].len = r->b->net.frame;
        r->out[i].offset = VHOST_NET_HEADER;
    }
    return true;
}

/* Half a queue, but no more than there are buffers to receive into. */
static unsigned choose_window(const struct run *r,
                              const struct vhost_net_info *info)
{
    unsigned bytes = r->b->net.frame + VHOST_NET_HEADER;
    unsigned parts = (bytes + info->buffer_size - 1) / info->buffer_size;
    unsigned most = info->queue_size / (parts > 2 ? parts : 2);

    return r->b->net.burst > 1 && most > 1 ? most : 1;
}

static bool setup(struct run *r, const struct vhost_net_info *info)
{
    const struct bench_net *n = &r->b->net;

    r->rx = vhost_net_get_rx(r->net, 0);
    r->tx = vhost_net_get_tx(r->net, 0);
    r->window = choose_window(r, info);
    r->burst = n->burst;
    if (n->mode == BENCH_LOOPBACK && r->burst > r->window) {
        r->burst = r->window;
    }
    if (!setup_packets(r) ||
        (n->mode != BENCH_TRANSMIT &&
         !fill(r, &r->rx_free, info->queue_size, info->buffer_size)) ||
        (n->mode != BENCH_RECEIVE && !fill(r, &r->tx_free, info->queue_size,
                                           n->frame + VHOST_NET_HEADER))) {
        out_error("out of memory");
        return false;
    }
    for (unsigned i = 0; i < r->tx_free.n; i++) {
        make_frame(r, info, r->tx_free.items[i]);
    }
    return post(r) == 0;
}

bool bench_net_run(const struct bench *b, struct vhost_net_device *net,
                   struct bench_net_result *result)
{
    struct run r = { .b = b, .net = net };
    struct vhost_net_info info;
    bool ok;

    vhost_net_get_info(net, &info);
    ok = setup(&r, &info) && measure(&r);
    /* The buffers go with the device: some are still in its queues. */
    free(r.rx_free.items);
    free(r.tx_free.items);
    free(r.in);
    free(r.out);
    *result = r.counts;
    return ok;
}
