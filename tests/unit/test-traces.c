/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every message of a device's life, whatever the back end can do: init, start,
 * stop, start and stop again, cleanup; once for each combination of features.
 * What must hold for all of them is checked message by message.
 */
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core-rig.h"
#include "lib/peer.h"
#include "wire/table.h"

#define N_QUEUES 3u
#define FEATURES_OK 8u
#define DRIVER_OK 4u

static const unsigned bits[] = {
    VH_PF_REPLY_ACK, VH_PF_CONFIGURE_MEM_SLOTS, VH_PF_STATUS,        VH_PF_MQ,
    VH_PF_CONFIG,    VH_PF_DEVICE_STATE,        VH_PF_GPA_ADDRESSES,
};

/* Where the walk over a log is, and what has been seen by then. */
struct walk {
    const struct peer *peer;
    bool bit30;
    uint64_t protocol;
    bool has_features;
    bool has_memory;
    bool running;        /* DRIVER_OK was said, and not taken back */
    unsigned unanswered; /* messages that want an ack, and no barrier yet */
    unsigned seen[VH_REQUEST_END];
    struct {
        bool num, base, addr, kicked, enabled;
    } queues[N_QUEUES];
    char where[96];
};

#define HOLDS(w, what)                                            \
    do {                                                          \
        if (!(what)) {                                            \
            fail_msg("%s: does not hold: %s", (w)->where, #what); \
        }                                                         \
    } while (0)

static bool uses(const struct walk *w, unsigned bit)
{
    return w->protocol >> bit & 1;
}

/* Is the request one that this back end understands? */
static void check_gate(const struct walk *w, const struct vh_msg_row *row)
{
    switch (row->gate) {
    case VH_GATE_NONE:
        break;
    case VH_GATE_PROTOCOL:
    case VH_GATE_PROTOCOL_ACKED:
        HOLDS(w, w->bit30);
        break;
    case VH_GATE_IOMMU:
        HOLDS(w, row->gate != VH_GATE_IOMMU); /* there is none */
        break;
    default:
        HOLDS(w, uses(w, (unsigned)row->gate));
    }
}

static void check_flags(struct walk *w, const struct vh_msg_row *row,
                        const struct peer_entry *e)
{
    bool wanted = row->reply == VH_REPLY_ACK_WANTED ||
                  row->reply == VH_REPLY_ACK_ALWAYS ||
                  row->reply == VH_REPLY_IF_POSTCOPY;
    bool asked = e->flags & VH_MSG_F_NEED_REPLY;

    HOLDS(w, (e->flags & ~VH_MSG_F_NEED_REPLY) == VH_MSG_VERSION);
    HOLDS(w, asked == (wanted && uses(w, VH_PF_REPLY_ACK)));
    if ((wanted && !asked) || row->reply == VH_REPLY_ACK_COVERED) {
        w->unanswered++;
    }
    if (row->reply == VH_REPLY_OWN || asked) {
        w->unanswered = 0; /* an answer: all before it is done */
    }
}

static void check_bounds(const struct walk *w, const struct vh_msg_row *row,
                         const struct peer_entry *e)
{
    HOLDS(w, e->size >= row->size_min && e->size <= row->size_max);
    HOLDS(w, e->n_fds >= row->fds_min && e->n_fds <= row->fds_max);
}

static bool any_runs(const struct walk *w)
{
    for (unsigned i = 0; i < N_QUEUES; i++) {
        if (w->queues[i].kicked) {
            return true;
        }
    }
    return false;
}

static bool all_enabled(const struct walk *w, bool enabled)
{
    for (unsigned i = 0; i < N_QUEUES; i++) {
        if (w->queues[i].enabled != enabled) {
            return false;
        }
    }
    return true;
}

static void on_ring(struct walk *w, const struct peer_entry *e)
{
    unsigned i = e->request == VH_SET_VRING_KICK ||
                         e->request == VH_SET_VRING_CALL ||
                         e->request == VH_SET_VRING_ERR
                     ? (unsigned)(e->u64 & VH_VRING_IDX_MASK)
                     : e->state.index;

    HOLDS(w, i < N_QUEUES);
    HOLDS(w, w->seen[VH_SET_OWNER] == 1);
    switch (e->request) {
    case VH_SET_VRING_NUM:
        HOLDS(w, w->has_features && !w->queues[i].kicked);
        w->queues[i].num = true;
        break;
    case VH_SET_VRING_BASE:
        HOLDS(w, w->has_features && !w->queues[i].kicked);
        w->queues[i].base = true;
        break;
    case VH_SET_VRING_ADDR:
        /* Its addresses mean nothing before the memory is there. */
        HOLDS(w, w->has_memory && w->queues[i].num && !w->queues[i].kicked);
        w->queues[i].addr = true;
        break;
    case VH_SET_VRING_KICK:
        HOLDS(w, w->queues[i].num && w->queues[i].base && w->queues[i].addr);
        HOLDS(w, !w->queues[i].kicked && !w->running);
        w->queues[i].kicked = true;
        break;
    case VH_SET_VRING_ENABLE:
        HOLDS(w, w->queues[i].kicked);
        HOLDS(w, w->queues[i].enabled != (e->state.num == 1));
        HOLDS(w, e->state.num <= 1);
        w->queues[i].enabled = e->state.num == 1;
        break;
    case VH_GET_VRING_BASE:
        HOLDS(w, w->queues[i].kicked && !w->queues[i].enabled);
        HOLDS(w, e->state.num == 0);
        memset(&w->queues[i], 0, sizeof(w->queues[i]));
        break;
    default: /* CALL and ERR come at any time */
        break;
    }
}

static void on_status(struct walk *w, const struct peer_entry *e)
{
    HOLDS(w, w->has_features);
    if (e->u64 == 0) { /* a reset: the rings are ours again by then */
        HOLDS(w, !any_runs(w));
        HOLDS(w, !uses(w, VH_PF_DEVICE_STATE));
    } else if ((e->u64 & DRIVER_OK) && !w->running) {
        HOLDS(w, e->u64 & FEATURES_OK);
        if (any_runs(w)) {
            HOLDS(w, !w->bit30 || all_enabled(w, true));
        }
    }
}

static void check_entry(struct walk *w, const struct peer_entry *e)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, e->request);

    HOLDS(w, row != NULL);
    check_gate(w, row);
    check_bounds(w, row, e);
    check_flags(w, row, e);
    HOLDS(w, e->request != VH_RESET_OWNER);
    HOLDS(w, w->seen[VH_GET_FEATURES] > 0 || e->request == VH_GET_FEATURES);
    switch (e->request) {
    case VH_GET_PROTOCOL_FEATURES:
        HOLDS(w, w->seen[VH_SET_PROTOCOL_FEATURES] == 0);
        break;
    case VH_SET_PROTOCOL_FEATURES:
        HOLDS(w, w->seen[VH_GET_PROTOCOL_FEATURES] == 1);
        HOLDS(w, w->seen[VH_SET_PROTOCOL_FEATURES] == 0);
        HOLDS(w, (e->u64 & ~w->peer->protocol) == 0);
        w->protocol = e->u64;
        break;
    case VH_SET_OWNER:
        HOLDS(w, w->seen[VH_SET_OWNER] == 0);
        HOLDS(w, !w->bit30 || w->seen[VH_SET_PROTOCOL_FEATURES] == 1);
        break;
    case VH_SET_FEATURES:
        HOLDS(w, !any_runs(w));
        HOLDS(w, !(e->u64 & VH_F_PROTOCOL_FEATURES) == !w->bit30);
        HOLDS(w, (e->u64 & ~w->peer->features) == 0);
        w->has_features = true;
        break;
    case VH_SET_MEM_TABLE:
    case VH_ADD_MEM_REG:
        HOLDS(w, w->has_features);
        HOLDS(w, (e->request == VH_ADD_MEM_REG) ==
                     uses(w, VH_PF_CONFIGURE_MEM_SLOTS));
        w->has_memory = true;
        break;
    case VH_SET_STATUS:
        on_status(w, e);
        break;
    case VH_SET_VRING_NUM:
    case VH_SET_VRING_BASE:
    case VH_SET_VRING_ADDR:
    case VH_SET_VRING_KICK:
    case VH_SET_VRING_CALL:
    case VH_SET_VRING_ERR:
    case VH_SET_VRING_ENABLE:
    case VH_GET_VRING_BASE:
        on_ring(w, e);
        break;
    default:
        break;
    }
    w->seen[e->request]++;
}

/* The entries from @from to @to. */
static void check_part(struct walk *w, const char *part, size_t from, size_t to)
{
    char name[sizeof(w->where)];

    snprintf(name, sizeof(name), "%s", w->where);
    for (size_t i = from; i < to; i++) {
        snprintf(w->where, sizeof(w->where), "%.40s, %s, %zu %s", name, part,
                 i - from, vh_msg_name(VH_FROM_FRONT, w->peer->log[i].request));
        check_entry(w, &w->peer->log[i]);
    }
    snprintf(w->where, sizeof(w->where), "%s", name);
}

static void check_started(struct walk *w, size_t from, size_t to)
{
    const struct peer_entry *last = NULL;

    w->running = true;
    for (unsigned i = 0; i < N_QUEUES; i++) {
        HOLDS(w, w->queues[i].kicked);
        HOLDS(w, w->queues[i].enabled == w->bit30);
    }
    for (size_t i = from; i < to; i++) {
        if (w->peer->log[i].request == VH_SET_STATUS) {
            last = &w->peer->log[i];
        } else if (last && (last->u64 & DRIVER_OK)) {
            /* Nothing but the barrier comes after DRIVER_OK. */
            HOLDS(w, w->peer->log[i].request == VH_GET_FEATURES);
        }
    }
    HOLDS(w, !last == !uses(w, VH_PF_STATUS));
    HOLDS(w, !last || (last->u64 & DRIVER_OK));
}

static void check_stopped(struct walk *w)
{
    w->running = false;
    HOLDS(w, !any_runs(w));
    HOLDS(w, all_enabled(w, false));
}

/* Where each part of the log begins. */
struct marks {
    size_t start[2], stop[2], end;
};

static void live(struct core_rig *rig, const struct peer *peer,
                 struct vhost_user *user)
{
    static const int acked[] = { 29, 32, 34, VHOST_INVALID_FEATURE_BIT };
    struct vhost_error *err = NULL;
    uint8_t byte;

    if (vhost_dev_init(&rig->dev, user, VHOST_BACKEND_TYPE_USER, 0, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    vhost_ack_features(&rig->dev, acked, peer->features);
    assert_int_equal(vhost_dev_get_config(&rig->dev, &byte, 1, NULL),
                     rig->dev.protocol_features & VH_PF(CONFIG) ? 0 : -ENOSYS);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(vhost_dev_start(&rig->dev, &rig->vdev, true), 0);
        assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), 0);
    }
    vhost_dev_cleanup(&rig->dev);
}

/* From @from on, the first that begins a start, or a stop. */
static size_t find_part(const struct peer *peer, size_t from, bool stop)
{
    for (size_t i = from; i < peer->n_log; i++) {
        const struct peer_entry *e = &peer->log[i];

        if (stop ? e->request == VH_GET_VRING_BASE ||
                       (e->request == VH_SET_VRING_ENABLE && !e->state.num)
                 : e->request == VH_SET_FEATURES) {
            return i;
        }
    }
    fail_msg("no %s in the log", stop ? "stop" : "start");
    return 0;
}

static struct marks find_parts(const struct peer *peer)
{
    struct marks m = { .end = peer->n_log };

    m.start[0] = find_part(peer, 0, false);
    m.stop[0] = find_part(peer, m.start[0], true);
    m.start[1] = find_part(peer, m.stop[0], false);
    m.stop[1] = find_part(peer, m.start[1], true);
    return m;
}

static void check_all(struct walk *w, const struct marks *m)
{
    check_part(w, "init", 0, m->start[0]);
    HOLDS(w, w->seen[VH_SET_OWNER] == 1);
    HOLDS(w, (w->seen[VH_GET_PROTOCOL_FEATURES] == 1) == w->bit30);
    HOLDS(w, (w->seen[VH_GET_QUEUE_NUM] == 1) == uses(w, VH_PF_MQ));
    HOLDS(w, (w->seen[VH_GET_MAX_MEM_SLOTS] == 1) ==
                 uses(w, VH_PF_CONFIGURE_MEM_SLOTS));
    for (unsigned i = 0; i < 2; i++) {
        check_part(w, "start", m->start[i], m->stop[i]);
        HOLDS(w, w->unanswered == 0);
        check_started(w, m->start[i], m->stop[i]);
        check_part(w, "stop", m->stop[i], i == 0 ? m->start[1] : m->end);
        HOLDS(w, w->unanswered == 0);
        check_stopped(w);
    }
    /* What the back end has is not sent again. */
    HOLDS(w, w->seen[VH_ADD_MEM_REG] == uses(w, VH_PF_CONFIGURE_MEM_SLOTS));
    HOLDS(w, w->seen[VH_REM_MEM_REG] == 0);
}

static void one_life(bool bit30, uint64_t protocol)
{
    struct peer peer = {
        .features = UINT64_C(1) << 32 | UINT64_C(1) << 29 |
                    (bit30 ? VH_F_PROTOCOL_FEATURES : 0),
        .protocol = protocol,
        .n_queues = N_QUEUES,
        .n_slots = 16,
    };
    struct vhost_user_options options = { .size = sizeof(options),
                                          .path = "test" };
    struct walk w = { .peer = &peer, .bit30 = bit30 };
    struct vhost_user *user;
    struct core_rig rig;
    struct marks m;

    core_rig_prepare(&rig, N_QUEUES);
    rig.dev.vhost_ops = NULL;
    user = vhost_user_new_fd(peer_start(&peer), &options, NULL);
    assert_non_null(user);
    live(&rig, &peer, user);
    vhost_user_free(user);
    peer_stop(&peer);
    m = find_parts(&peer);
    snprintf(w.where, sizeof(w.where), "bit 30: %d, protocol %#llx", bit30,
             (unsigned long long)protocol);
    check_all(&w, &m);
    HOLDS(&w, w.protocol == (bit30 ? protocol : 0));
    peer_free(&peer);
    core_rig_down(&rig);
}

static void test_the_order_holds_whatever_the_back_end_can_do(void **state)
{
    (void)state;
    one_life(false, 0);
    for (unsigned set = 0; set < 1u << ARRAY_SIZE(bits); set++) {
        uint64_t protocol = 0;

        for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
            protocol |= (uint64_t)(set >> i & 1) << bits[i];
        }
        one_life(true, protocol);
    }
}

/* What does not depend on it: the very messages of a plain back end. */
static void test_a_back_end_without_anything_gets_the_least(void **state)
{
    static const uint32_t want[] = {
        VH_GET_FEATURES,   VH_SET_OWNER,      VH_SET_VRING_CALL,
        VH_SET_VRING_ERR,  VH_SET_FEATURES,   VH_SET_MEM_TABLE,
        VH_SET_VRING_NUM,  VH_SET_VRING_BASE, VH_SET_VRING_ADDR,
        VH_SET_VRING_KICK, VH_SET_VRING_CALL, VH_GET_FEATURES, /* all there? */
        VH_GET_VRING_BASE,
    };
    struct peer peer = { .features = UINT64_C(1) << 32 };
    struct vhost_user *user;
    struct core_rig rig;
    struct vhost_error *err = NULL;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.dev.vhost_ops = NULL;
    user = vhost_user_new_fd(peer_start(&peer), NULL, NULL);
    assert_int_equal(
        vhost_dev_init(&rig.dev, user, VHOST_BACKEND_TYPE_USER, 0, &err), 0);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_cleanup(&rig.dev);
    vhost_user_free(user);
    peer_stop(&peer);
    peer_assert_log(&peer, 0, want, ARRAY_SIZE(want));
    peer_free(&peer);
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_order_holds_whatever_the_back_end_can_do),
        cmocka_unit_test(test_a_back_end_without_anything_gets_the_least),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
