/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exercises a network device through the public API of libvhost, against a
 * back end that sends back what it gets:
 *
 *     net-exercise URI LAYOUT mergeable|plain polling|eventfd
 *                  bursts|copy io|macswap PAIRS FRAMES LONGEST
 *
 * Sends FRAMES frames on each pair, from 60 to LONGEST bytes, some of them in
 * several parts, and checks each byte of what comes back, in order.  There are
 * never more under way than half of the receiving queue holds, so that a back
 * end has no reason to drop one.  Ends with status 0 if all came back right;
 * gives up after 60 seconds.
 */
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vhost/net.h>

#define LONGEST_MAX 9600u
#define BUFFER (LONGEST_MAX + 400u)
#define N_TX 128u
#define QUEUE_SIZE 256u
#define BURST 32u
#define PARTS_MAX 3u
#define WAIT_MS 5000
#define ADDRESSES 12u
#define ETHERTYPE 0x88b5 /* for experiments (IEEE 802) */

struct pair {
    struct vhost_net_rx *rx;
    struct vhost_net_tx *tx;
    unsigned number;
    uint32_t next_out, next_back;
    unsigned under_way; /* buffers to receive into that they will fill */
    void *spare[N_TX];
    unsigned n_spare;
};

static struct vhost_net_info info;
static uint32_t n_frames, longest;
static bool swapped, copying;

static int ok(int r, const char *what, const char *why)
{
    if (r < 0) {
        errx(1, "%s: %s%s%s", what, strerror(-r), why ? ": " : "",
             why ? why : "");
    }
    return r;
}

/* The edges of what a buffer holds, and anything between. */
static uint32_t length_of(const struct pair *pair, uint32_t seq)
{
    uint32_t room = info.buffer_size - VHOST_NET_HEADER;
    const uint32_t edges[] = { 60, longest, room, room + 1, room - 1 };
    uint32_t mixed = (seq + pair->number * 7919) * UINT32_C(2654435761);

    if (seq % 16 < 5 && edges[seq % 16] <= longest) {
        return edges[seq % 16];
    }
    return 60 + (mixed >> 8) % (longest - 60 + 1);
}

static unsigned buffers_of(uint32_t len)
{
    return (len + VHOST_NET_HEADER + info.buffer_size - 1) / info.buffer_size;
}

static uint32_t make(const struct pair *pair, uint32_t seq, uint8_t *frame)
{
    uint32_t len = length_of(pair, seq);

    memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", ADDRESSES);
    frame[12] = ETHERTYPE >> 8;
    frame[13] = ETHERTYPE & 0xff;
    frame[14] = (uint8_t)pair->number;
    memcpy(frame + 15, &seq, sizeof(seq));
    for (uint32_t i = 19; i < len; i++) {
        frame[i] = (uint8_t)(seq * 31 + i * 7 + (i >> 8));
    }
    return len;
}

static void check(struct pair *pair, const uint8_t *frame, uint32_t len)
{
    static uint8_t want[BUFFER], addresses[ADDRESSES];
    uint32_t want_len = make(pair, pair->next_back, want);

    if (swapped) {
        memcpy(addresses, want, ADDRESSES);
        memcpy(want, addresses + 6, 6);
        memcpy(want + 6, addresses, 6);
    }
    if (len != want_len) {
        errx(1, "pair %u, frame %u: %u bytes, not %u", pair->number,
             pair->next_back, len, want_len);
    }
    for (uint32_t i = 0; i < len; i++) {
        if (frame[i] != want[i]) {
            errx(1, "pair %u, frame %u of %u bytes: byte %u is %#x, not %#x",
                 pair->number, pair->next_back, len, i, frame[i], want[i]);
        }
    }
    pair->under_way -= buffers_of(len);
    pair->next_back++;
}

static bool may_send(const struct pair *pair)
{
    return pair->next_out < n_frames &&
           pair->under_way + buffers_of(length_of(pair, pair->next_out)) <=
               QUEUE_SIZE / 2;
}

static void now_under_way(struct pair *pair)
{
    pair->under_way += buffers_of(length_of(pair, pair->next_out));
    pair->next_out++;
}

/* A frame in one part, or in more; the header before the first. */
static unsigned describe(struct pair *pair, struct vhost_net_packet *packets)
{
    static uint8_t frame[BUFFER];
    uint32_t len = make(pair, pair->next_out, frame);
    unsigned parts = 1 + pair->next_out % PARTS_MAX;
    uint32_t at = 0;

    for (unsigned i = 0; i < parts; i++) {
        uint32_t step = i + 1 < parts ? len / (i + 3) : len;
        struct vhost_net_packet *p = &packets[i];

        *p = (struct vhost_net_packet){ .buffer = pair->spare[--pair->n_spare],
                                        .len = step };
        p->offset = i == 0 ? VHOST_NET_HEADER + pair->next_out % 64 : 0;
        p->more = i + 1 < parts;
        memcpy(vhost_net_data(p), frame + at, step);
        at += step;
        len -= step;
    }
    return parts;
}

static void send_some(struct pair *pair)
{
    struct vhost_net_packet packets[BURST + PARTS_MAX];
    unsigned n = 0, sent = 0;

    pair->n_spare +=
        (unsigned)ok(vhost_net_sent(pair->tx, pair->spare + pair->n_spare,
                                    N_TX - pair->n_spare),
                     "sent", vhost_net_tx_error(pair->tx));
    while (n < BURST && pair->n_spare >= PARTS_MAX && may_send(pair)) {
        n += describe(pair, packets + n);
        now_under_way(pair);
    }
    while (sent < n) { /* the queue holds more than there are buffers */
        int r = ok(vhost_net_send(pair->tx, packets + sent, n - sent), "send",
                   vhost_net_tx_error(pair->tx));

        if (r == 0) {
            errx(1, "send: a queue of %u is full with %u", info.queue_size,
                 N_TX);
        }
        sent += (unsigned)r;
    }
}

static void receive_some(struct pair *pair)
{
    struct vhost_net_packet packets[BURST];
    static uint8_t frame[BUFFER];
    void *buffers[BURST];
    uint32_t len = 0;
    int n;

    n = ok(vhost_net_receive_wait(pair->rx, packets, BURST, WAIT_MS), "receive",
           vhost_net_rx_error(pair->rx));
    if (n == 0) {
        errx(1, "pair %u: frame %u does not come back, %u are sent",
             pair->number, pair->next_back, pair->next_out);
    }
    for (int i = 0; i < n; i++) {
        if (packets[i].flags || len + packets[i].len > sizeof(frame)) {
            errx(1, "a frame with flags %#x, of %u bytes or more",
                 packets[i].flags, len);
        }
        memcpy(frame + len, vhost_net_data(&packets[i]), packets[i].len);
        len += packets[i].len;
        buffers[i] = packets[i].buffer;
        if (!packets[i].more) {
            check(pair, frame, len);
            len = 0;
        }
    }
    if (vhost_net_post(pair->rx, buffers, (unsigned)n) != n) {
        errx(1, "a buffer that came back finds no room");
    }
}

static void step_in_bursts(struct pair *pair)
{
    send_some(pair);
    if (pair->next_back < pair->next_out) {
        receive_some(pair);
    }
}

static void step_by_copying(struct pair *pair)
{
    static uint8_t frame[BUFFER];
    ssize_t len;

    while (may_send(pair)) {
        uint32_t size = make(pair, pair->next_out, frame);

        ok(vhost_net_write(pair->tx, frame, size, WAIT_MS), "write",
           vhost_net_tx_error(pair->tx));
        now_under_way(pair);
    }
    len = vhost_net_read(pair->rx, frame, sizeof(frame), WAIT_MS);
    ok((int)len, "read", vhost_net_rx_error(pair->rx));
    check(pair, frame, (uint32_t)len);
}

/* From the first read on there is room for what comes. */
static void expect_nothing(struct pair *pair)
{
    uint8_t frame[1];
    ssize_t r = vhost_net_read(pair->rx, frame, sizeof(frame), 0);

    if (r != -EAGAIN) {
        errx(1, "a frame has come before any was sent: %zd", r);
    }
}

static void prepare(struct vhost_net_device *net, struct pair *pair,
                    unsigned number)
{
    uint8_t *rx = vhost_net_alloc(net, (size_t)QUEUE_SIZE * info.buffer_size);
    uint8_t *tx = vhost_net_alloc(net, (size_t)N_TX * BUFFER);
    void *buffers[QUEUE_SIZE];

    *pair = (struct pair){ .number = number };
    pair->rx = vhost_net_get_rx(net, number);
    pair->tx = vhost_net_get_tx(net, number);
    if (!rx || !tx || !pair->rx || !pair->tx) {
        errx(1, "no memory that the back end sees, or no pair %u", number);
    }
    for (unsigned i = 0; i < QUEUE_SIZE; i++) {
        buffers[i] = rx + (size_t)i * info.buffer_size;
    }
    for (unsigned i = 0; i < N_TX; i++) {
        pair->spare[pair->n_spare++] = tx + (size_t)i * BUFFER;
    }
    if (copying) {
        expect_nothing(pair);
    } else if (vhost_net_post(pair->rx, buffers, QUEUE_SIZE) !=
               (int)QUEUE_SIZE) {
        errx(1, "a new queue does not take %u buffers", QUEUE_SIZE);
    }
}

static void exercise(struct vhost_net_device *net, unsigned n_pairs)
{
    struct pair *pairs = calloc(n_pairs, sizeof(*pairs));
    bool more = true;

    if (!pairs) {
        errx(1, "no memory");
    }
    for (unsigned i = 0; i < n_pairs; i++) {
        prepare(net, &pairs[i], i);
    }
    while (more) {
        more = false;
        for (unsigned i = 0; i < n_pairs; i++) {
            if (pairs[i].next_back < n_frames) {
                (copying ? step_by_copying : step_in_bursts)(&pairs[i]);
                more = true;
            }
        }
    }
    free(pairs);
}

/* The number of the word among the words, which end with NULL. */
static unsigned choice(const char *word, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    errx(2, "%s: it is %s, or %s, …", word, words[0], words[1]);
}

static unsigned layout_of(const char *name)
{
    for (unsigned l = VHOST_LAYOUT_AUTO; vhost_layout_name(l); l++) {
        if (strcmp(name, vhost_layout_name(l)) == 0) {
            return l;
        }
    }
    errx(2, "%s: no layout", name);
}

int main(int argc, char **argv)
{
    struct vhost_net_options options = { .size = sizeof(options) };
    struct vhost_error *error = NULL;
    struct vhost_net_device *net;

    if (argc != 10) {
        errx(2, "see the top of net-exercise.c");
    }
    options.layout = layout_of(argv[2]);
    options.no_mergeable =
        choice(argv[3], (const char *const[]){ "mergeable", "plain", NULL });
    options.polling =
        choice(argv[4], (const char *const[]){ "eventfd", "polling", NULL });
    copying = choice(argv[5], (const char *const[]){ "bursts", "copy", NULL });
    swapped = choice(argv[6], (const char *const[]){ "io", "macswap", NULL });
    options.queue_size = QUEUE_SIZE;
    options.pairs = (unsigned)atoi(argv[7]);
    n_frames = (uint32_t)atoi(argv[8]);
    longest = (uint32_t)atoi(argv[9]);
    if (options.pairs == 0 || longest < 60 || longest > LONGEST_MAX) {
        errx(2, "at least one pair, and frames of 60 to %u bytes", LONGEST_MAX);
    }
    alarm(60);
    net = vhost_net_open(argv[1], &options, &error);
    if (!net) {
        errx(1, "%s", vhost_error_message(error));
    }
    vhost_net_get_info(net, &info);
    if ((options.layout && info.layout != options.layout) ||
        info.mergeable == options.no_mergeable) {
        errx(1, "the rings are %s%s", vhost_layout_name(info.layout),
             info.mergeable ? ", mergeable" : "");
    }
    exercise(net, options.pairs);
    vhost_net_close(net);
    printf("%u frames on each of %u pairs, %s\n", n_frames, options.pairs,
           vhost_layout_name(info.layout));
    return 0;
}
