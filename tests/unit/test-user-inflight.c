/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight buffer on the wire: what a back end may give for one, and that
 * it gets the same back.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/user-rig.h"

#define PAGE 4096u
#define FILE_SIZE (3 * PAGE)

/* What the back end answers. */
struct answer {
    const char *name;
    uint64_t size;
    uint64_t offset;
    enum gift { A_FILE, A_PIPE, A_NOTHING } with;
};

struct giver {
    struct answer answer;
    int fds[2]; /* the file, or both ends of the pipe */
    ino_t inode;
};

static bool give(struct peer *peer, struct peer_entry *entry, int fd)
{
    const struct giver *giver = peer->hook_arg;
    struct {
        uint32_t header[3];
        struct vh_inflight_area area;
    } __attribute__((packed)) reply = {
        { entry->request, VH_MSG_VERSION | VH_MSG_F_REPLY, 24 },
        { giver->answer.size, giver->answer.offset, 2, 64, 0 },
    };
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec iov = { &reply, sizeof(reply) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    (void)fd;
    if (giver->answer.with != A_NOTHING) {
        struct cmsghdr *c = &control.align;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control.space);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &giver->fds[0], sizeof(int));
    }
    assert_int_equal(sendmsg(peer->fd, &msg, 0), sizeof(reply));
    return true;
}

static void giver_open(struct giver *giver, struct answer answer)
{
    struct stat st;

    *giver = (struct giver){ .answer = answer, .fds = { -1, -1 } };
    if (answer.with == A_PIPE) {
        assert_int_equal(pipe2(giver->fds, O_CLOEXEC), 0);
    } else {
        giver->fds[0] = memfd_create("buffer", MFD_CLOEXEC);
        assert_int_equal(ftruncate(giver->fds[0], FILE_SIZE), 0);
        assert_int_equal(pwrite(giver->fds[0], "second page", 11, PAGE), 11);
    }
    assert_int_equal(fstat(giver->fds[0], &st), 0);
    giver->inode = st.st_ino;
}

static void giver_close(struct giver *giver)
{
    close(giver->fds[0]);
    if (giver->fds[1] >= 0) {
        close(giver->fds[1]);
    }
}

static struct rig rig_of(uint64_t protocol, struct giver *giver)
{
    return (struct rig){
        .peer = { .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
                  .protocol = protocol,
                  .hook = give,
                  .hook_at = VH_GET_INFLIGHT_FD,
                  .hook_arg = giver },
        .dev = { .nvqs = 2 },
    };
}

static void forget(struct vhost_inflight *inflight)
{
    munmap(inflight->addr, inflight->size);
    close(inflight->fd);
}

static void test_a_buffer_is_mapped_and_sent_back_as_it_came(void **state)
{
    const struct vh_inflight_area asked = { 0, 0, 2, 64, 0 };
    const struct vh_inflight_area back = { 2 * PAGE, PAGE, 2, 64, 0 };
    struct vhost_inflight inflight = VHOST_INFLIGHT_INIT;
    const struct peer_entry *e;
    struct giver giver;
    struct rig rig = rig_of(VH_PF(INFLIGHT_SHMFD) | VH_PF(REPLY_ACK), &giver);
    uint64_t trips;

    (void)state;
    giver_open(&giver, (struct answer){ .size = 2 * PAGE, .offset = PAGE });
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_get_inflight_fd(&rig.dev, 64, &inflight), 0);
    assert_non_null(inflight.addr);
    assert_memory_equal(inflight.addr, "second page", 11);
    assert_int_equal(inflight.size, 2 * PAGE);
    assert_int_equal(inflight.offset, PAGE);
    assert_int_equal(inflight.queue_size, 64);
    trips = rig_round_trips(&rig);
    assert_int_equal(vh_be_set_inflight_fd(&rig.dev, &inflight), 0);
    assert_int_equal(rig_round_trips(&rig), trips); /* nobody waits */
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    forget(&inflight);
    rig_down(&rig);
    e = peer_find(&rig.peer, VH_GET_INFLIGHT_FD, 0);
    assert_int_equal(e->size, 24);
    assert_int_equal(e->n_fds, 0);
    assert_memory_equal(&e->u64, &asked, 24);
    e = peer_find(&rig.peer, VH_SET_INFLIGHT_FD, 0);
    assert_int_equal(e->size, 24);
    assert_int_equal(e->n_fds, 1);
    assert_int_equal(e->inodes[0], giver.inode);
    assert_memory_equal(&e->u64, &back, 24);
    rig_free(&rig);
    giver_close(&giver);
}

static void test_a_size_of_nothing_is_no_buffer(void **state)
{
    struct vhost_inflight inflight = VHOST_INFLIGHT_INIT;
    struct giver giver;
    struct rig rig = rig_of(VH_PF(INFLIGHT_SHMFD) | VH_PF(REPLY_ACK), &giver);

    (void)state;
    for (int with = A_FILE; with <= A_NOTHING; with++) {
        giver_open(&giver, (struct answer){ .with = (enum gift)with });
        assert_int_equal(rig_up(&rig), 0);
        assert_int_equal(vh_be_get_inflight_fd(&rig.dev, 64, &inflight), 0);
        assert_null(inflight.addr);
        assert_int_equal(inflight.fd, -1);
        rig_down(&rig);
        rig_free(&rig);
        giver_close(&giver);
    }
}

static void test_a_buffer_that_is_not_as_it_is_told_is_refused(void **state)
{
    static const struct answer lies[] = {
        { "longer than its file", FILE_SIZE + 1, 0, A_FILE },
        { "longer behind its offset", FILE_SIZE, PAGE, A_FILE },
        { "behind the end", PAGE, 4 * PAGE, A_FILE },
        { "between pages", PAGE, 100, A_FILE },
        { "too large", UINT64_MAX, 0, A_FILE },
        { "around the end", PAGE, UINT64_MAX - PAGE + 1, A_FILE },
        { "of a pipe", PAGE, 0, A_PIPE },
        { "of no file", PAGE, 0, A_NOTHING },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct vhost_inflight inflight = VHOST_INFLIGHT_INIT;
        struct giver giver;
        struct rig rig = rig_of(VH_PF(INFLIGHT_SHMFD), &giver);
        int r;

        giver_open(&giver, lies[i]);
        assert_int_equal(rig_up(&rig), 0);
        r = vh_be_get_inflight_fd(&rig.dev, 64, &inflight);
        if (r != -EPROTO) {
            fail_msg("a buffer %s: %d", lies[i].name, r);
        }
        assert_non_null(rig_words(&rig));
        assert_null(inflight.addr);
        assert_int_equal(inflight.fd, -1);
        rig_down(&rig); /* and no fd is left */
        rig_free(&rig);
        giver_close(&giver);
    }
}

static void test_without_the_feature_nothing_is_asked_or_given(void **state)
{
    struct vhost_inflight none = VHOST_INFLIGHT_INIT;
    struct vhost_inflight some = { .fd = 0, .addr = &none, .size = PAGE };
    struct rig rig = rig_of(VH_PF(REPLY_ACK), NULL);

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_get_inflight_fd(&rig.dev, 64, &none), 0);
    assert_null(none.addr);
    assert_int_equal(vh_be_set_inflight_fd(&rig.dev, &some), -ENOTSUP);
    assert_non_null(strstr(rig_words(&rig), "INFLIGHT_SHMFD"));
    rig_down(&rig);
    assert_int_equal(peer_count(&rig.peer, VH_GET_INFLIGHT_FD), 0);
    assert_int_equal(peer_count(&rig.peer, VH_SET_INFLIGHT_FD), 0);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_buffer_is_mapped_and_sent_back_as_it_came),
        cmocka_unit_test(test_a_size_of_nothing_is_no_buffer),
        cmocka_unit_test(test_a_buffer_that_is_not_as_it_is_told_is_refused),
        cmocka_unit_test(test_without_the_feature_nothing_is_asked_or_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
