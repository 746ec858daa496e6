/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that asks before it answers: whenever an answer is due, it first
 * wants one itself, on the second channel, and waits for it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#include <linux/vhost_types.h>
#include <vhost/vhost.h>

#include "wire/codec.h"
#include "wire/sock.h"

#define GPA UINT64_C(0x100000)
#define IOVA UINT64_C(0x7000000)
#define SIZE 0x10000u
#define WAIT_MS 5000
#define F_IOMMU (UINT64_C(1) << 33)
#define F_VERSION_1 (UINT64_C(1) << 32)

struct peer {
    int fd;
    pthread_t thread;
    struct vh_sock *sock;
    struct vh_sock *side;
    uint64_t protocol;      /* on offer */
    struct vh_msg question; /* asked before each answer */
    atomic_uint n_asked;
    atomic_uint n_refused;
    atomic_uint n_updates;
    atomic_bool silent; /* the front end has gone, or does not answer */
};

/* The next message on a socket; false: there will be none. */
static bool receive(struct peer *peer, struct vh_sock *sock, struct vh_msg *msg)
{
    struct pollfd pfd = { .fd = vh_sock_fd(sock), .events = POLLIN };
    const char *why;
    int r;

    while ((r = vh_sock_receive(sock, msg, false, &why)) == 0) {
        if (poll(&pfd, 1, WAIT_MS) <= 0) {
            break;
        }
    }
    peer->silent = r != 1;
    return r == 1;
}

static void ask(struct peer *peer)
{
    struct vh_msg answer;

    if (!peer->side || peer->question.flags == 0 || peer->silent) {
        return;
    }
    vh_sock_queue_flags(peer->side, &peer->question, VH_MSG_F_NEED_REPLY);
    vh_sock_send(peer->side);
    peer->n_asked++;
    if (receive(peer, peer->side, &answer)) {
        assert_int_equal(answer.request, peer->question.request);
        peer->n_refused += answer.payload.u64 != 0;
    }
}

static void answer(struct peer *peer, struct vh_msg *msg)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, msg->request);
    struct vh_msg reply;

    vh_msg_init_u64(&reply, msg->request, 0);
    switch (msg->request) {
    case VH_GET_FEATURES:
        reply.payload.u64 = F_IOMMU | F_VERSION_1 | VH_F_PROTOCOL_FEATURES;
        break;
    case VH_GET_PROTOCOL_FEATURES:
        reply.payload.u64 = peer->protocol;
        break;
    case VH_GET_VRING_BASE:
        reply.payload.state = msg->payload.state;
        break;
    case VH_GET_CONFIG:
        reply.payload.config = msg->payload.config;
        reply.size = msg->size;
        break;
    default:
        if (row->reply == VH_REPLY_OWN) {
            reply.payload.u64 = 1;
        } else if (!(msg->flags & VH_MSG_F_NEED_REPLY)) {
            return;
        }
        break;
    }
    /* Of the answer to the question itself nobody asks again. */
    if (msg->request != VH_IOTLB_MSG) {
        ask(peer);
    }
    vh_sock_queue_flags(peer->sock, &reply, VH_MSG_F_REPLY);
    vh_sock_send(peer->sock);
}

static void *run(void *arg)
{
    struct peer *peer = arg;
    struct vh_msg msg;

    while (receive(peer, peer->sock, &msg)) {
        if (msg.request == VH_SET_BACKEND_REQ_FD) {
            assert_int_equal(vh_sock_new(&peer->side, msg.fds[0]), 0);
            msg.n_fds = 0;
        }
        if (msg.request == VH_IOTLB_MSG &&
            msg.payload.iotlb.type == VHOST_IOTLB_UPDATE) {
            assert_true(msg.payload.iotlb.user_addr == GPA);
            peer->n_updates++;
        }
        answer(peer, &msg);
        vh_msg_close_fds(&msg);
    }
    return NULL;
}

struct rig {
    struct peer peer;
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vq;
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queue;
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    unsigned n_translated;
    int translation;
};

static int translate(struct vhost_vdev *vdev, uint64_t iova, bool write,
                     struct vhost_iommu_entry *entry)
{
    struct rig *rig = vdev->opaque;

    (void)iova;
    (void)write;
    rig->n_translated++;
    *entry = (struct vhost_iommu_entry){
        .iova = IOVA, .size = SIZE, .gpa = GPA, .access = VHOST_IOMMU_READ_WRITE
    };
    return rig->translation;
}

static const struct vhost_iommu_ops iommu = { .translate = translate };

static void up(struct rig *rig, uint64_t protocol,
               const struct vh_msg *question)
{
    static const int bits[] = { 32, 33, VHOST_INVALID_FEATURE_BIT };
    struct vhost_user_options options = { .size = sizeof(options),
                                          .deadline_ms = WAIT_MS };
    struct vhost_error *err = NULL;
    int fds[2];

    memset(rig, 0, sizeof(*rig));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    rig->peer.protocol = protocol;
    rig->peer.question = *question;
    assert_int_equal(vh_sock_new(&rig->peer.sock, fds[0]), 0);
    assert_int_equal(pthread_create(&rig->peer.thread, NULL, run, &rig->peer),
                     0);
    rig->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&rig->memory, SIZE, 0, &err), 0);
    rig->memory.gpa = GPA;
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, &rig->memory), 0);
    assert_int_equal(vhost_memory_commit(rig->map, &err), 0);
    rig->queue = (struct vhost_vdev_queue){ .size = 8,
                                            .desc = IOVA,
                                            .avail = IOVA + 0x400,
                                            .used = IOVA + 0x800,
                                            .kick_fd = -1,
                                            .call_fd = -1 };
    rig->vdev = (struct vhost_vdev){
        .nqueues = 1, .queues = &rig->queue, .iommu = &iommu, .opaque = rig
    };
    rig->dev.vqs = &rig->vq;
    rig->dev.nvqs = 1;
    rig->dev.map = rig->map;
    rig->user = vhost_user_new_fd(fds[1], &options, &err);
    assert_non_null(rig->user);
    if (vhost_dev_init(&rig->dev, rig->user, VHOST_BACKEND_TYPE_USER, 0, &err) <
        0) {
        fail_msg("%s", vhost_error_message(err));
    }
    vhost_ack_features(&rig->dev, bits, UINT64_MAX);
}

static void down(struct rig *rig)
{
    vhost_dev_cleanup(&rig->dev);
    vhost_user_free(rig->user);
    pthread_join(rig->peer.thread, NULL);
    vh_sock_free(rig->peer.sock);
    vh_sock_free(rig->peer.side);
    vhost_memory_map_free(rig->map);
    vhost_memory_free(&rig->memory);
}

static struct vh_msg miss(uint64_t iova)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_BACK_IOTLB_MSG);
    msg.size = sizeof(msg.payload.iotlb);
    msg.payload.iotlb.iova = iova;
    msg.payload.iotlb.perm = VHOST_ACCESS_RO;
    msg.payload.iotlb.type = VHOST_IOTLB_MISS;
    return msg;
}

#define OK(rig, call)                                                        \
    do {                                                                     \
        if ((call) < 0) {                                                    \
            fail_msg("%s",                                                   \
                     vhost_error_message(vhost_dev_get_error(&(rig)->dev))); \
        }                                                                    \
    } while (0)

static void test_neither_side_waits_for_the_other_for_ever(void **state)
{
    const struct vh_msg question = miss(IOVA + 0x123);
    struct vhost_memory_section more = { .gpa = 0 };
    struct vhost_error *err = NULL;
    struct rig rig;
    unsigned primed;

    (void)state;
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &question);
    /* Before the start nobody translates: refused, and that is an answer. */
    assert_true(rig.peer.n_asked > 0);
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    primed = rig.peer.n_updates;
    assert_true(primed > 3); /* three areas, and what was asked for */

    assert_int_equal(vhost_memory_alloc(&more, SIZE, 0, &err), 0);
    more.gpa = 2 * GPA;
    vhost_memory_begin(rig.map);
    assert_int_equal(vhost_memory_add(rig.map, &more), 0);
    assert_int_equal(vhost_memory_commit(rig.map, &err), 0);
    assert_int_equal(
        vhost_iommu_invalidate(&rig.vdev, IOVA, SIZE, VHOST_IOMMU_UNMAP), 0);
    OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));
    assert_true(rig.peer.n_updates > primed);
    assert_false(rig.peer.silent);
    down(&rig);
    vhost_memory_free(&more);
}

static void
test_a_miss_outside_of_any_call_is_answered_by_dispatch(void **state)
{
    struct vh_msg question = miss(IOVA);
    const struct vh_msg none = { .request = 0 };
    struct pollfd pfd = { .events = POLLIN };
    struct rig rig;
    unsigned primed;

    (void)state;
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &none);
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    primed = rig.peer.n_updates;
    vh_sock_queue_flags(rig.peer.side, &question, VH_MSG_F_NEED_REPLY);
    vh_sock_send(rig.peer.side);
    pfd.fd = vhost_dev_get_fd(&rig.dev);
    while (rig.peer.n_updates == primed) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
        OK(&rig, vhost_dev_dispatch(&rig.dev));
        usleep(1000);
    }
    OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));
    down(&rig);
}

static void test_a_translation_that_fails_or_takes_long_is_no_harm(void **state)
{
    const struct vh_msg question = miss(IOVA);
    struct rig rig;

    (void)state;
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &question);
    rig.peer.n_refused = 0;
    rig.translation = -EFAULT;
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    assert_true(rig.n_translated > 0);
    assert_true(rig.peer.n_refused > 0);
    assert_int_equal(rig.peer.n_updates, 0);
    OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));

    rig.translation = -EINPROGRESS;
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    rig.translation = 0;
    OK(&rig, vhost_device_iotlb_miss(&rig.dev, IOVA, 0));
    assert_true(rig.peer.n_updates > 0);
    OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));
    down(&rig);
}

static void test_what_was_not_negotiated_is_refused(void **state)
{
    static const uint32_t requests[] = {
        VH_BACK_CONFIG_CHANGE_MSG, VH_BACK_VRING_CALL,
        VH_BACK_VRING_ERR,         VH_BACK_VRING_HOST_NOTIFIER_MSG,
        VH_BACK_REQUEST_END + 5,   0,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct vh_msg question;
        struct rig rig;

        vh_msg_init(&question, requests[i]);
        if (requests[i] == VH_BACK_VRING_HOST_NOTIFIER_MSG) {
            question.size = sizeof(question.payload.area);
            question.payload.area.queue = VH_VRING_NOFD;
        } else if (requests[i] != VH_BACK_CONFIG_CHANGE_MSG) {
            question.size = sizeof(question.payload.state);
        }
        up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &question);
        OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
        OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));
        assert_true(rig.peer.n_asked > 0);
        assert_int_equal(rig.peer.n_refused, rig.peer.n_asked);
        down(&rig);
    }
}

static void test_an_update_is_not_the_back_end_s_to_make(void **state)
{
    struct vh_msg question = miss(IOVA);
    struct rig rig;

    (void)state;
    question.payload.iotlb.type = VHOST_IOTLB_UPDATE;
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &question);
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));
    assert_int_equal(rig.peer.n_refused, rig.peer.n_asked);
    down(&rig);
}

static void
test_a_request_that_breaks_the_protocol_breaks_the_device(void **state)
{
    const struct vh_msg none = { .request = 0 };
    struct vh_msg question = miss(IOVA);
    struct rig rig;
    int r;

    (void)state;
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &none);
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    question.size = 7;
    vh_sock_queue_flags(rig.peer.side, &question, VH_MSG_F_NEED_REPLY);
    vh_sock_send(rig.peer.side);
    while ((r = vhost_dev_dispatch(&rig.dev)) == 0) {
        usleep(1000);
    }
    assert_int_equal(r, -EPROTO);
    assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
    assert_non_null(strstr(vhost_error_message(vhost_dev_get_error(&rig.dev)),
                           "IOTLB_MSG"));
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    down(&rig);
}

static unsigned n_told;

static int on_config(struct vhost_dev *dev)
{
    uint8_t config[4];

    /* The owner may ask what has changed: no call goes on. */
    assert_int_equal(vhost_dev_get_config(dev, config, sizeof(config), NULL),
                     0);
    n_told++;
    return 0;
}

static void
test_a_change_in_the_middle_of_a_call_waits_for_dispatch(void **state)
{
    static const VhostDevConfigOps ops = { .vhost_dev_config_notifier =
                                               on_config };
    struct vh_msg question;
    struct rig rig;

    (void)state;
    n_told = 0;
    vh_msg_init(&question, VH_BACK_CONFIG_CHANGE_MSG);
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ) | VH_PF(CONFIG), &question);
    vhost_dev_set_config_notifier(&rig.dev, &ops);
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    assert_true(rig.peer.n_asked > 1);
    assert_int_equal(rig.peer.n_refused, 0);
    assert_int_equal(n_told, 0);
    rig.peer.question.request = 0;
    OK(&rig, vhost_dev_dispatch(&rig.dev));
    assert_int_equal(n_told, 1); /* for all of them */
    OK(&rig, vhost_dev_dispatch(&rig.dev));
    assert_int_equal(n_told, 1);
    OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));
    down(&rig);
}

/* Both its sockets hang up: neither may keep the owner's loop busy. */
static void test_a_loop_rests_when_the_back_end_is_gone(void **state)
{
    const struct vh_msg none = { .request = 0 };
    struct pollfd pfd = { .events = POLLIN };
    struct rig rig;

    (void)state;
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &none);
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    shutdown(vh_sock_fd(rig.peer.sock), SHUT_RDWR);
    shutdown(vh_sock_fd(rig.peer.side), SHUT_RDWR);
    pfd.fd = vhost_dev_get_fd(&rig.dev);
    assert_true(poll(&pfd, 1, WAIT_MS) > 0);
    while (vhost_dev_dispatch(&rig.dev) == 0) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
    }
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    assert_int_equal(poll(&pfd, 1, 50), 0);
    vhost_dev_stop(&rig.dev, &rig.vdev, true);
    down(&rig);
}

static void test_a_back_end_may_close_the_channel_and_go_on(void **state)
{
    const struct vh_msg none = { .request = 0 };
    struct pollfd pfd = { .events = POLLIN };
    struct rig rig;

    (void)state;
    up(&rig, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ), &none);
    OK(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true));
    vh_sock_free(rig.peer.side);
    rig.peer.side = NULL;
    pfd.fd = vhost_dev_get_fd(&rig.dev);
    assert_true(poll(&pfd, 1, WAIT_MS) > 0);
    OK(&rig, vhost_dev_dispatch(&rig.dev));
    /* And a loop does not spin on what is gone. */
    assert_int_equal(poll(&pfd, 1, 50), 0);
    OK(&rig, vhost_dev_stop(&rig.dev, &rig.vdev, true));
    down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neither_side_waits_for_the_other_for_ever),
        cmocka_unit_test(
            test_a_miss_outside_of_any_call_is_answered_by_dispatch),
        cmocka_unit_test(
            test_a_translation_that_fails_or_takes_long_is_no_harm),
        cmocka_unit_test(test_what_was_not_negotiated_is_refused),
        cmocka_unit_test(test_an_update_is_not_the_back_end_s_to_make),
        cmocka_unit_test(
            test_a_request_that_breaks_the_protocol_breaks_the_device),
        cmocka_unit_test(
            test_a_change_in_the_middle_of_a_call_waits_for_dispatch),
        cmocka_unit_test(test_a_loop_rests_when_the_back_end_is_gone),
        cmocka_unit_test(test_a_back_end_may_close_the_channel_and_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
