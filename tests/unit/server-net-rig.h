/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver of a network device, made by hand; for every layout of a ring. */
#ifndef VH_TESTS_SERVER_NET_RIG_H
#define VH_TESTS_SERVER_NET_RIG_H

#include <linux/virtio_net.h>

#include "ring/ring.h"
#include "server-rig.h"

#define F(n) (UINT64_C(1) << (n))
#define N_RINGS 5 /* two pairs and the control queue */
#define SIZE 64u
#define AREA UINT64_C(0x8000)       /* of the ring's memory, for each queue */
#define SENT UINT64_C(0x30000)      /* what is sent */
#define ROOM UINT64_C(0x50000)      /* to receive into, for each pair … */
#define ROOM_SIZE UINT64_C(0x40000) /* … so much */
#define HEADER 12u
#define PLAIN (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES | F(VH_RING_F_EVENT_IDX))
#define MERGEABLE (PLAIN | F(VIRTIO_NET_F_MRG_RXBUF))

/* The layout that all tests run with. */
static uint64_t layout;

struct net {
    struct rig rig;
    uint64_t features;
    struct vh_ring *rings[N_RINGS];
    int kick[N_RINGS];
    uint64_t posted[2]; /* bytes of ROOM in use */
};

/* A frame as it was received. */
struct frame {
    struct virtio_net_hdr_v1 header;
    uint32_t len;
    uint8_t data[70000];
};

static inline int net_set_up(void **state)
{
    struct net *n = calloc(1, sizeof(*n));

    assert_non_null(n);
    rig_init(&n->rig);
    for (unsigned i = 0; i < N_RINGS; i++) {
        n->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    *state = n;
    return 0;
}

static inline int net_tear_down(void **state)
{
    struct net *n = *state;

    rig_cleanup(&n->rig);
    for (unsigned i = 0; i < N_RINGS; i++) {
        vh_ring_free(n->rings[i]);
        close(n->kick[i]);
    }
    free(n);
    return 0;
}

/* All but a new ring. */
static inline void net_describe(struct net *n, uint32_t i, uint32_t base)
{
    uint64_t at = RIG_USER + i * AREA;
    struct rig *rig = &n->rig;

    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, i, SIZE), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_BASE, i, base), 0);
    assert_int_equal(rig_set_addr(rig, i, at, at + 0x1000, at + 0x2000), 0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_KICK, i, n->kick[i]), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, i, 1), 0);
}

static inline void net_start(struct net *n, uint32_t i)
{
    uint8_t *at = n->rig.mem + i * AREA;
    struct vh_ring_config config = {
        .size = SIZE,
        .features = n->features,
        .desc = at,
        .driver = at + 0x1000,
        .device = at + 0x2000,
        .base = vh_ring_first_base(n->features),
    };

    vh_ring_free(n->rings[i]);
    n->rings[i] = NULL;
    memset(at, 0, AREA);
    assert_int_equal(vh_ring_new(&n->rings[i], &config), 0);
    net_describe(n, i, config.base);
}

/* A device with one pair that runs, and more if @pairs is 2. */
static inline struct net *net_serve(void **state, const char *peer,
                                    unsigned pairs, uint64_t features)
{
    struct vhost_server_net_options options = { .size = sizeof(options),
                                                .pairs = pairs,
                                                .mac = { 2, 0, 0, 0, 0, 1 } };
    struct vh_mem_region all = rig_region();
    struct net *n = *state;

    n->features = features | layout;
    rig_serve_device(&n->rig, vhost_server_net(peer, &options), NULL);
    rig_negotiate(&n->rig, n->features);
    assert_int_equal(rig_set_table(&n->rig, &all, 1), 0);
    for (uint32_t i = 0; i < 2 * pairs; i++) {
        net_start(n, i);
    }
    return n;
}

static inline void net_kick(struct net *n, uint32_t i)
{
    vh_ring_publish(n->rings[i]);
    assert_int_equal(write(n->kick[i], &(uint64_t){ 1 }, 8), 8);
    rig_turn(&n->rig);
}

/* Room for frames, in buffers one behind the other. */
static inline void net_post(struct net *n, uint32_t pair, unsigned count,
                            uint32_t len)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = ROOM + pair * ROOM_SIZE + n->posted[pair];
        struct vh_sg sg = { RIG_GPA + at, len };

        assert_true(n->posted[pair] + len <= ROOM_SIZE);
        assert_int_equal(
            vh_ring_add(n->rings[2 * pair], &sg, 0, 1, n->rig.mem + at), 0);
        n->posted[pair] += len;
    }
    net_kick(n, 2 * pair);
}

/* Bytes that tell a frame and a place in it from others. */
static inline void net_fill(uint8_t *frame, uint32_t len, uint32_t seed)
{
    for (uint32_t i = 0; i < len; i++) {
        frame[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
    }
}

/*
 * Send a frame, cut into pieces: @cuts are their lengths up to a 0, what is
 * left is the last one.
 */
static inline void net_send_cut(struct net *n, uint32_t pair,
                                const struct virtio_net_hdr_v1 *header,
                                uint32_t len, const uint32_t *cuts)
{
    static const struct virtio_net_hdr_v1 none;
    uint32_t i = 2 * pair + 1, total = HEADER + len, at = 0;
    struct vh_sg sg[32];
    unsigned n_sg = 0;

    memcpy(n->rig.mem + SENT, header ? header : &none, HEADER);
    net_fill(n->rig.mem + SENT + HEADER, len, len);
    while (at < total) {
        uint32_t step = *cuts ? *cuts++ : total - at;

        sg[n_sg++] = (struct vh_sg){ RIG_GPA + SENT + at, step };
        at += step;
    }
    assert_int_equal(vh_ring_add(n->rings[i], sg, n_sg, 0, n), 0);
    net_kick(n, i);
}

static inline void net_send(struct net *n, uint32_t pair,
                            const struct virtio_net_hdr_v1 *header,
                            uint32_t len)
{
    net_send_cut(n, pair, header, len, (const uint32_t[]){ 0 });
}

/* How many sent buffers came back? */
static inline unsigned net_sent(struct net *n, uint32_t pair)
{
    struct vh_ring_used used[SIZE];
    int r = vh_ring_take(n->rings[2 * pair + 1], used, SIZE);

    assert_true(r >= 0);
    for (int i = 0; i < r; i++) {
        assert_int_equal(used[i].len, 0);
    }
    return (unsigned)r;
}

/* The next frame; false if there is none. */
static inline bool net_receive(struct net *n, uint32_t pair,
                               struct frame *frame)
{
    struct vh_ring *ring = n->rings[2 * pair];
    struct vh_ring_used used;
    unsigned n_buffers = 1;

    rig_turn(&n->rig);
    frame->len = 0;
    for (unsigned i = 0; i < n_buffers; i++) {
        uint32_t skip = i == 0 ? HEADER : 0;
        int r = vh_ring_take(ring, &used, 1);

        assert_true(r >= 0);
        if (r == 0) {
            assert_int_equal(i, 0); /* all of it, or nothing */
            return false;
        }
        if (i == 0) {
            assert_true(used.len >= HEADER);
            memcpy(&frame->header, used.cookie, HEADER);
            n_buffers = frame->header.num_buffers;
            assert_true(n_buffers > 0);
        }
        memcpy(frame->data + frame->len, (uint8_t *)used.cookie + skip,
               used.len - skip);
        frame->len += used.len - skip;
    }
    return true;
}

/* The next frame is the one that was sent with this length. */
static inline void net_expect(struct net *n, uint32_t pair, uint32_t len,
                              unsigned n_buffers)
{
    static struct frame frame;
    static uint8_t want[70000];

    net_fill(want, len, len);
    assert_true(net_receive(n, pair, &frame));
    assert_int_equal(frame.len, len);
    assert_memory_equal(frame.data, want, len);
    assert_int_equal(frame.header.num_buffers, n_buffers);
}

static inline bool net_is_silent(struct net *n, uint32_t pair)
{
    static struct frame frame;

    return !net_receive(n, pair, &frame);
}

#endif
