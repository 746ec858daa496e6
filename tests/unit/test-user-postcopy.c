/* SPDX-License-Identifier: BSD-3-Clause */
/* Back ends that hand over another file than a userfaultfd. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/userfaultfd.h>

#include <vhost/postcopy.h>

#include "lib/user-rig.h"

/* Answers POSTCOPY_ADVISE with the fd in hook_arg. */
static bool give(struct peer *peer, struct peer_entry *entry, int fd)
{
    uint32_t header[3] = { entry->request, VH_MSG_VERSION | VH_MSG_F_REPLY, 0 };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { .space = { 0 } };
    struct iovec iov = { header, sizeof(header) };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    if (fd >= 0) {
        close(fd);
    }
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), peer->hook_arg, sizeof(int));
    assert_int_equal(sendmsg(peer->fd, &mh, MSG_NOSIGNAL), sizeof(header));
    return true;
}

static int advise(struct rig *rig, int *fd, struct vhost_error **errp)
{
    rig->peer = (struct peer){ .features = VH_F_PROTOCOL_FEATURES,
                               .protocol = VH_PF(PAGEFAULT) | VH_PF(REPLY_ACK),
                               .hook = give,
                               .hook_at = VH_POSTCOPY_ADVISE,
                               .hook_arg = fd };
    assert_int_equal(rig_up(rig), 0);
    return vhost_user_postcopy_advise(rig->user, errp);
}

static void test_a_file_that_is_no_userfaultfd_is_refused(void **state)
{
    int fds[] = { memfd_create("test", MFD_CLOEXEC), eventfd(0, EFD_CLOEXEC),
                  open("/dev/null", O_RDWR | O_CLOEXEC) };

    (void)state;
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        struct vhost_error *err = NULL;
        struct rig rig = { .n_fds = 0 };

        assert_true(fds[i] >= 0);
        assert_int_equal(advise(&rig, &fds[i], &err), -EPROTO);
        assert_non_null(strstr(vhost_error_message(err), "no userfaultfd"));
        assert_int_equal(vhost_user_postcopy_fd(rig.user), -1);
        vhost_error_free(err);
        rig_down(&rig);
        rig_free(&rig);
        close(fds[i]);
    }
}

static void test_one_that_may_block_does_not(void **state)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = { .api = UFFD_API };
    struct vhost_error *err = NULL;
    struct rig rig = { .n_fds = 0 };
    uint64_t gpa;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
    assert_int_equal(advise(&rig, &fd, &err), 0);
    assert_int_equal(vhost_user_postcopy_fault(rig.user, &gpa), 0);
    rig_down(&rig);
    rig_free(&rig);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_that_is_no_userfaultfd_is_refused),
        cmocka_unit_test(test_one_that_may_block_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
