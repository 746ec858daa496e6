/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of a back end: which are understood, refused, or the end. */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vhost_types.h>

#include "backend/upcalls.h"
#include "lib/user-rig.h"
#include "util/fd.h"
#include "wire/sock.h"

#define ALL                                                               \
    (VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ) | VH_PF(BACKEND_SEND_FD) |     \
     VH_PF(CONFIG) | VH_PF(HOST_NOTIFIER) | VH_PF(INBAND_NOTIFICATIONS) | \
     VH_PF(SHARED_OBJECT) | VH_PF(SHMEM))
#define IOMMU (UINT64_C(1) << 33)

static const uint8_t uuid[16] = { 1, 2, 3, 4 };

/* What has come up, in order: the last of it. */
static struct {
    const char *calls[32];
    unsigned n;
    int result;
    unsigned queue;
    uint64_t offset, size, iova;
    struct vh_shmem_piece piece;
    int lookup_fd;
} up;

static int came(const char *what)
{
    up.calls[up.n++ % ARRAY_SIZE(up.calls)] = what;
    return up.result;
}

static void on_config(struct vhost_dev *dev)
{
    (void)dev;
    came("config");
}

static int on_miss(struct vhost_dev *dev, uint64_t iova, bool write)
{
    (void)dev;
    up.iova = iova;
    return came(write ? "miss to write" : "miss to read");
}

static void on_fail(struct vhost_dev *dev, uint64_t iova, bool write)
{
    (void)dev;
    (void)write;
    up.iova = iova;
    came("fail");
}

static int on_call(struct vhost_dev *dev, unsigned queue)
{
    (void)dev;
    up.queue = queue;
    return came("call");
}

static int on_err(struct vhost_dev *dev, unsigned queue)
{
    (void)dev;
    up.queue = queue;
    return came("err");
}

static int on_notifier(struct vhost_dev *dev, unsigned queue, int fd,
                       uint64_t offset, uint64_t size)
{
    (void)dev;
    up.queue = queue;
    up.offset = offset;
    up.size = size;
    return came(fd < 0 ? "no notifier" : "notifier");
}

static int on_add(struct vhost_dev *dev, const uint8_t *name)
{
    (void)dev;
    assert_memory_equal(name, uuid, 16);
    return came("add");
}

static void on_is(struct vhost_dev *dev, const uint8_t *name, int fd)
{
    (void)dev;
    assert_memory_equal(name, uuid, 16);
    came(fd < 0 ? "is nothing" : "is a file");
    vh_fd_close(&fd);
}

static int on_remove(struct vhost_dev *dev, const uint8_t *name)
{
    (void)dev;
    assert_memory_equal(name, uuid, 16);
    return came("remove");
}

static int on_lookup(struct vhost_dev *dev, const uint8_t *name)
{
    int r;

    (void)dev;
    assert_memory_equal(name, uuid, 16);
    r = came("lookup");
    return r < 0 ? r : vh_fd_dup(up.lookup_fd);
}

static int on_map(struct vhost_dev *dev, const struct vh_shmem_piece *piece)
{
    (void)dev;
    up.piece = *piece;
    return came("map");
}

static int on_unmap(struct vhost_dev *dev, const struct vh_shmem_piece *piece)
{
    (void)dev;
    up.piece = *piece;
    return came("unmap");
}

static void on_disconnected(struct vhost_dev *dev)
{
    (void)dev;
    came("disconnected");
}

static const struct vh_upcalls upcalls = {
    .config_changed = on_config,
    .iotlb_miss = on_miss,
    .iotlb_fail = on_fail,
    .vring_call = on_call,
    .vring_err = on_err,
    .host_notifier = on_notifier,
    .object_add = on_add,
    .object_is = on_is,
    .object_remove = on_remove,
    .object_lookup = on_lookup,
    .shmem_map = on_map,
    .shmem_unmap = on_unmap,
    .disconnected = on_disconnected,
};

/* The rig, and the back end's end of the second channel. */
struct side {
    struct rig rig;
    int taken; /* by the hook, in the peer's thread */
    int fd;
    struct vh_sock *sock;
    int file; /* any, to send */
};

static bool take_fd(struct peer *peer, struct peer_entry *entry, int fd)
{
    struct side *side = peer->hook_arg;

    (void)entry;
    side->taken = vh_fd_dup(fd);
    return false;
}

static int set_up(void **state)
{
    struct side *side = calloc(1, sizeof(*side));

    assert_non_null(side);
    memset(&up, 0, sizeof(up));
    *state = side;
    return 0;
}

static void open_side(struct side *side, uint64_t protocol)
{
    struct rig *rig = &side->rig;

    rig->peer = (struct peer){
        .features = RIG_F_VERSION_1 | IOMMU | VH_F_PROTOCOL_FEATURES,
        .protocol = protocol,
        .hook = take_fd,
        .hook_at = VH_SET_BACKEND_REQ_FD,
        .hook_arg = side,
    };
    rig->options.size = sizeof(rig->options);
    rig->options.extra = VH_PF(INBAND_NOTIFICATIONS);
    rig->dev.upcalls = &upcalls;
    rig->dev.objects = (struct vhost_objects *)rig; /* only whether it is */
    side->taken = -1;
    assert_int_equal(rig_up(rig), 0);
    assert_int_equal(vh_be_sync(&rig->dev), 0);
    assert_true(side->taken >= 0);
    side->fd = vh_fd_dup(side->taken);
    assert_int_equal(vh_sock_new(&side->sock, side->taken), 0);
    side->file = eventfd(0, EFD_CLOEXEC);
}

static void set_features(struct side *side, uint64_t features)
{
    uint64_t words[2] = { features, 0 };

    assert_int_equal(vh_be_set_features(&side->rig.dev, words), 0);
    assert_int_equal(vh_be_sync(&side->rig.dev), 0);
}

static const char *last(void)
{
    return up.n ? up.calls[(up.n - 1) % ARRAY_SIZE(up.calls)] : "nothing";
}

static int tear_down(void **state)
{
    struct side *side = *state;

    vh_sock_free(side->sock);
    vh_fd_close(&side->fd);
    vh_fd_close(&side->file);
    rig_down(&side->rig); /* which counts fds */
    assert_string_equal(last(), "disconnected");
    rig_free(&side->rig);
    free(side);
    return 0;
}

static void say(struct side *side, struct vh_msg *msg, bool need_reply)
{
    assert_int_equal(vh_sock_queue_flags(side->sock, msg,
                                         need_reply ? VH_MSG_F_NEED_REPLY : 0),
                     0);
    assert_int_equal(vh_sock_send(side->sock), 0);
}

static int dispatch(struct side *side)
{
    return vh_be_dispatch(&side->rig.dev);
}

static bool hear(struct side *side, struct vh_msg *answer)
{
    const char *why;

    return vh_sock_receive(side->sock, answer, false, &why) == 1;
}

/* Return: what the ack says. */
static uint64_t ask(struct side *side, struct vh_msg *msg)
{
    struct vh_msg answer;

    say(side, msg, true);
    assert_int_equal(dispatch(side), 0);
    assert_true(hear(side, &answer));
    assert_int_equal(answer.request, msg->request);
    assert_int_equal(answer.flags, VH_MSG_VERSION | VH_MSG_F_REPLY);
    assert_int_equal(answer.size, 8);
    assert_int_equal(answer.n_fds, 0);
    assert_false(hear(side, &answer));
    return answer.payload.u64;
}

static struct vh_msg init(uint32_t request, uint32_t size)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    msg.size = size;
    return msg;
}

/* A request as it must be, with a file if it takes one. */
static struct vh_msg valid(const struct side *side, uint32_t request)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_BACK, request);
    struct vh_msg msg = init(request, row->size_max);

    if (row->payload == VH_PAYLOAD_UUID) {
        memcpy(msg.payload.uuid, uuid, sizeof(uuid));
    }
    if (request == VH_BACK_IOTLB_MSG) {
        msg.payload.iotlb.type = VHOST_IOTLB_MISS;
    }
    if (row->fds_max > 0) {
        msg.fds[0] = side->file;
        msg.n_fds = 1;
    }
    return msg;
}

static void test_each_request_comes_up(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL);
    set_features(side, IOMMU);
    msg = valid(side, VH_BACK_IOTLB_MSG);
    msg.payload.iotlb.iova = 0x123456789000;
    msg.payload.iotlb.perm = VHOST_ACCESS_RO;
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "miss to read");
    assert_true(up.iova == 0x123456789000);
    msg.payload.iotlb.perm = VHOST_ACCESS_WO;
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "miss to write");
    msg.payload.iotlb.type = VHOST_IOTLB_ACCESS_FAIL;
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "fail");

    msg = valid(side, VH_BACK_CONFIG_CHANGE_MSG);
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "config");

    msg = valid(side, VH_BACK_VRING_CALL);
    msg.payload.state.index = 5;
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "call");
    assert_int_equal(up.queue, 5);
    msg = valid(side, VH_BACK_VRING_ERR);
    msg.payload.state.index = 6;
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "err");
    assert_int_equal(up.queue, 6);
}

static void test_what_is_shared_comes_up(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL);
    msg = valid(side, VH_BACK_VRING_HOST_NOTIFIER_MSG);
    msg.payload.area =
        (struct vh_vring_area){ .queue = 3, .size = 4096, .offset = 8192 };
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "notifier");
    assert_int_equal(up.queue, 3);
    assert_true(up.size == 4096 && up.offset == 8192);
    msg.payload.area.queue = 4 | VH_VRING_NOFD;
    msg.n_fds = 0;
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "no notifier");
    assert_int_equal(up.queue, 4);

    msg = valid(side, VH_BACK_SHMEM_MAP);
    msg.payload.mmap = (struct vh_mmap){
        .shmid = 7, .fd_offset = 1, .shm_offset = 2, .len = 3, .flags = 1
    };
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "map");
    assert_true(up.piece.id == 7 && up.piece.fd_offset == 1 &&
                up.piece.offset == 2 && up.piece.len == 3 &&
                up.piece.writable && up.piece.fd >= 0);
    msg.payload.mmap.flags = 0;
    assert_int_equal(ask(side, &msg), 0);
    assert_false(up.piece.writable);
    msg.payload.mmap.flags = 2; /* nobody knows what that is */
    assert_int_equal(ask(side, &msg), EINVAL);
    msg.request = VH_BACK_SHMEM_UNMAP;
    msg.n_fds = 0;
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "unmap");
}

static void test_a_file_comes_with_the_answer(void **state)
{
    struct side *side = *state;
    struct vh_msg msg, answer;

    open_side(side, ALL);
    up.lookup_fd = side->file;
    msg = valid(side, VH_BACK_SHARED_OBJECT_LOOKUP);
    say(side, &msg, false); /* it is answered anyway */
    assert_int_equal(dispatch(side), 0);
    assert_true(hear(side, &answer));
    assert_int_equal(answer.request, VH_BACK_SHARED_OBJECT_LOOKUP);
    assert_int_equal(answer.payload.u64, 0);
    assert_int_equal(answer.n_fds, 1);
    vh_msg_close_fds(&answer);
    /* With need_reply as well: one answer, not two. */
    say(side, &msg, true);
    assert_int_equal(dispatch(side), 0);
    assert_true(hear(side, &answer));
    vh_msg_close_fds(&answer);
    assert_false(hear(side, &answer));
    up.result = -ENOENT;
    assert_int_equal(ask(side, &msg), ENOENT);
}

static void test_an_object_is_fetched_when_it_is_added(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;
    unsigned n;

    open_side(side, ALL);
    msg = valid(side, VH_BACK_SHARED_OBJECT_ADD);
    assert_int_equal(ask(side, &msg), 0);
    assert_int_equal(vh_be_sync(&side->rig.dev), 0);
    assert_string_equal(up.calls[up.n - 2], "add");
    assert_string_equal(last(), "is nothing"); /* this peer gives no file */
    assert_memory_equal(
        &peer_find(&side->rig.peer, VH_GET_SHARED_OBJECT, 0)->u64, uuid, 16);
    msg = valid(side, VH_BACK_SHARED_OBJECT_REMOVE);
    assert_int_equal(ask(side, &msg), 0);
    assert_string_equal(last(), "remove");

    /* One that is not taken is not asked for. */
    up.result = -EEXIST;
    msg = valid(side, VH_BACK_SHARED_OBJECT_ADD);
    assert_int_equal(ask(side, &msg), EEXIST);
    n = up.n;
    assert_int_equal(vh_be_sync(&side->rig.dev), 0);
    assert_int_equal(up.n, n);
    assert_int_equal(peer_count(&side->rig.peer, VH_GET_SHARED_OBJECT), 1);
    up.result = 0;
}

static void test_what_is_not_in_use_is_refused(void **state)
{
    struct side *side = *state;

    open_side(side, VH_PF(REPLY_ACK) | VH_PF(BACKEND_REQ));
    for (uint32_t id = 1; id < VH_BACK_REQUEST_END; id++) {
        struct vh_msg msg = valid(side, id);

        assert_int_equal(ask(side, &msg), ENOTSUP);
    }
    assert_int_equal(up.n, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct vh_msg msg = init(i ? 0 : VH_BACK_REQUEST_END, 100);

        assert_int_equal(ask(side, &msg), ENOTSUP);
    }
}

static void test_a_notifier_needs_leave_to_send_files(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL & ~VH_PF(BACKEND_SEND_FD));
    msg = valid(side, VH_BACK_VRING_HOST_NOTIFIER_MSG);
    assert_int_equal(ask(side, &msg), ENOTSUP);
    assert_int_equal(up.n, 0);
}

static void test_no_ack_without_its_feature(void **state)
{
    struct side *side = *state;
    struct vh_msg msg, answer;

    open_side(side, ALL & ~VH_PF(REPLY_ACK));
    msg = valid(side, VH_BACK_CONFIG_CHANGE_MSG);
    say(side, &msg, true);
    msg = init(VH_BACK_REQUEST_END + 7, 0);
    say(side, &msg, true);
    assert_int_equal(dispatch(side), 0);
    assert_string_equal(last(), "config");
    assert_false(hear(side, &answer));
}

static void test_no_ack_unless_one_is_wanted(void **state)
{
    struct side *side = *state;
    struct vh_msg msg, answer;

    open_side(side, ALL);
    for (uint32_t id = 1; id < VH_BACK_REQUEST_END; id++) {
        msg = valid(side, id);
        if (id != VH_BACK_SHARED_OBJECT_LOOKUP) {
            say(side, &msg, false);
        }
    }
    assert_int_equal(dispatch(side), 0);
    assert_false(hear(side, &answer));
}

static void test_a_refusal_is_told(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL);
    up.result = -EBUSY;
    msg = valid(side, VH_BACK_VRING_CALL);
    assert_int_equal(ask(side, &msg), EBUSY);
    msg = valid(side, VH_BACK_SHMEM_MAP);
    assert_int_equal(ask(side, &msg), EBUSY);
    msg = valid(side, VH_BACK_VRING_HOST_NOTIFIER_MSG);
    assert_int_equal(ask(side, &msg), EBUSY);
    /* What the owner can say no word to. */
    msg = valid(side, VH_BACK_CONFIG_CHANGE_MSG);
    assert_int_equal(ask(side, &msg), 0);
}

static void ends_with(struct side *side, struct vh_msg *msg, const char *words)
{
    unsigned before = up.n;

    say(side, msg, true);
    assert_int_equal(dispatch(side), -EPROTO);
    assert_non_null(strstr(rig_words(&side->rig), words));
    assert_int_equal(side->rig.dev.state, VHOST_DEV_BROKEN);
    assert_int_equal(up.n, before);
}

static void test_a_wrong_size_ends_it(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL);
    msg = valid(side, VH_BACK_SHMEM_UNMAP);
    msg.size--;
    ends_with(side, &msg, "BACKEND_SHMEM_UNMAP: wrong size");
}

static void test_a_file_too_many_ends_it(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL);
    msg = valid(side, VH_BACK_CONFIG_CHANGE_MSG);
    for (msg.n_fds = 0; msg.n_fds < VH_MSG_FDS_MAX; msg.n_fds++) {
        msg.fds[msg.n_fds] = side->file;
    }
    ends_with(side, &msg, "wrong number of fds");
}

static void test_a_file_too_few_ends_it(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL);
    msg = valid(side, VH_BACK_SHMEM_MAP);
    msg.n_fds = 0;
    ends_with(side, &msg, "wrong number of fds");
}

static void test_an_answer_where_a_request_was_due_ends_it(void **state)
{
    struct side *side = *state;
    struct vh_msg msg;

    open_side(side, ALL);
    msg = valid(side, VH_BACK_CONFIG_CHANGE_MSG);
    msg.flags |= VH_MSG_F_REPLY;
    ends_with(side, &msg, "a reply where a request was due");
}

/* More than a message can have: they come, and are closed. */
static void test_nine_files_end_it(void **state)
{
    struct side *side = *state;
    union {
        char space[CMSG_SPACE(9 * sizeof(int))];
        struct cmsghdr align;
    } control = { .space = { 0 } };
    uint32_t header[3] = { VH_BACK_CONFIG_CHANGE_MSG, VH_MSG_VERSION, 0 };
    struct iovec iov = { .iov_base = header, .iov_len = sizeof(header) };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof(control.space) };
    struct cmsghdr *c;

    open_side(side, ALL);
    c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(9 * sizeof(int));
    for (unsigned i = 0; i < 9; i++) {
        memcpy(CMSG_DATA(c) + i * sizeof(int), &side->file, sizeof(int));
    }
    assert_int_equal(sendmsg(side->fd, &msg, 0), sizeof(header));
    assert_int_equal(dispatch(side), -EPROTO);
    assert_int_equal(up.n, 0);
}

static void test_a_wrong_version_ends_it(void **state)
{
    struct side *side = *state;
    uint32_t header[3] = { VH_BACK_CONFIG_CHANGE_MSG, 2, 0 };

    open_side(side, ALL);
    assert_int_equal(send(side->fd, header, sizeof(header), 0), sizeof(header));
    assert_int_equal(dispatch(side), -EPROTO);
    assert_non_null(strstr(rig_words(&side->rig), "request of its own"));
    assert_int_equal(up.n, 0);
}

static bool readable(struct side *side)
{
    struct pollfd pfd = { .fd = vh_be_get_request_fd(&side->rig.dev),
                          .events = POLLIN };

    return poll(&pfd, 1, 0) > 0;
}

static void test_a_channel_that_closes_is_missed_by_nobody(void **state)
{
    struct side *side = *state;

    open_side(side, ALL);
    vh_sock_free(side->sock);
    side->sock = NULL;
    vh_fd_close(&side->fd);
    assert_true(readable(side));
    assert_int_equal(dispatch(side), 0);
    assert_int_equal(vh_be_get_request_fd(&side->rig.dev), -1);
    set_features(side, IOMMU); /* and the first one goes on */
}

/*
 * Answers that nobody reads must not pile up here, nor keep us busy; and all
 * come, with their files, once somebody does.
 */
static void test_who_does_not_read_is_not_read(void **state)
{
    struct side *side = *state;
    struct vh_msg msg, answer;
    unsigned asked, answered = 0;

    open_side(side, ALL);
    up.lookup_fd = side->file;
    msg = valid(side, VH_BACK_SHARED_OBJECT_LOOKUP);
    for (asked = 0; asked < 4000; asked++) {
        if (vh_sock_queue_flags(side->sock, &msg, 0) < 0 ||
            vh_sock_send(side->sock) != 0) {
            asked++;
            break;
        }
        assert_int_equal(dispatch(side), 0);
    }
    assert_true(asked < 4000); /* there came a point when it was not read */
    assert_int_equal(dispatch(side), 0);
    assert_false(readable(side));
    while (answered < asked) {
        if (hear(side, &answer)) {
            assert_int_equal(answer.payload.u64, 0);
            assert_int_equal(answer.n_fds, 1);
            vh_msg_close_fds(&answer);
            answered++;
            continue;
        }
        vh_sock_send(side->sock);
        assert_true(readable(side));
        assert_int_equal(dispatch(side), 0);
    }
    assert_false(hear(side, &answer));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_request_comes_up),
        TEST(test_what_is_shared_comes_up),
        TEST(test_a_file_comes_with_the_answer),
        TEST(test_an_object_is_fetched_when_it_is_added),
        TEST(test_what_is_not_in_use_is_refused),
        TEST(test_a_notifier_needs_leave_to_send_files),
        TEST(test_no_ack_without_its_feature),
        TEST(test_no_ack_unless_one_is_wanted),
        TEST(test_a_refusal_is_told),
        TEST(test_a_wrong_size_ends_it),
        TEST(test_a_file_too_many_ends_it),
        TEST(test_a_file_too_few_ends_it),
        TEST(test_an_answer_where_a_request_was_due_ends_it),
        TEST(test_nine_files_end_it),
        TEST(test_a_wrong_version_ends_it),
        TEST(test_a_channel_that_closes_is_missed_by_nobody),
        TEST(test_who_does_not_read_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
