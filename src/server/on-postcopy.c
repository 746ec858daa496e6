/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postcopy: page faults on the front end's memory are told to the front end by
 * a userfaultfd, and the thread that faults, or the kernel on its behalf,
 * waits until the page is there.
 *
 * A region is registered before anything looks at it.  Its answer tells where
 * it is mapped here; only after the front end has said that it knows, the
 * queues run, as their first look would be a fault that nobody understands.
 *
 * vhost-user specification, "Migration" and POSTCOPY_ADVISE, _LISTEN, _END.
 */
#include "server/handlers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "util/fd.h"

/* For faults of the kernel too: it reads and writes files from and to there. */
static int new_uffd(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = { .api = UFFD_API };
    int r;

    if (fd < 0) {
        return -errno;
    }
    if (ioctl(fd, UFFDIO_API, &api) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/*
 * There is no way to refuse but to send no fd, which is against the protocol:
 * so the session ends, in words.
 */
int vh_on_postcopy_advise(struct vhost_server *srv, struct vh_msg *msg,
                          struct vh_msg *reply)
{
    int fd = srv->postcopy.uffd >= 0 ? -EBUSY : new_uffd();

    if (fd < 0) {
        srv->session.fault =
            fd == -EBUSY ? "POSTCOPY_ADVISE came twice"
                         : "no userfaultfd can be made here (it takes "
                           "CAP_SYS_PTRACE, or vm.unprivileged_userfaultfd)";
        return -EPROTO;
    }
    srv->postcopy.uffd = fd;
    vh_msg_init(reply, msg->request);
    reply->fds[0] = fd; /* lent until it is sent, and kept until the end */
    reply->n_fds = 1;
    return 0;
}

int vh_on_postcopy_listen(struct vhost_server *srv, struct vh_msg *msg,
                          struct vh_msg *reply)
{
    (void)msg;
    (void)reply;
    if (srv->postcopy.uffd < 0) {
        srv->session.why = "postcopy was not advised";
        return -EINVAL;
    }
    if (srv->memory.n > 0) {
        srv->session.why = "there is memory already";
        return -EBUSY;
    }
    srv->postcopy.listening = true;
    return 0;
}

int vh_on_postcopy_end(struct vhost_server *srv, struct vh_msg *msg,
                       struct vh_msg *reply)
{
    (void)msg;
    (void)reply;
    vh_server_postcopy_end(srv);
    vh_server_restart_queues(srv);
    return 0;
}

void vh_server_postcopy_end(struct vhost_server *srv)
{
    /* To close it takes the registrations back, and wakes who waits. */
    vh_fd_close(&srv->postcopy.uffd);
    srv->postcopy = (struct vh_postcopy_state){ .uffd = -1 };
}

int vh_server_postcopy_add(struct vhost_server *srv,
                           const struct vh_mapping *mapping)
{
    struct uffdio_register arg = {
        .range = { .start = (uint64_t)(uintptr_t)mapping->map,
                   .len = mapping->map_len },
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };

    if (srv->postcopy.listening &&
        ioctl(srv->postcopy.uffd, UFFDIO_REGISTER, &arg) < 0) {
        srv->session.why = "faults on a region can't be told";
        return -errno;
    }
    return 0;
}

static void fill_address(const struct vh_memory *memory,
                         struct vh_mem_region *region)
{
    for (unsigned i = 0; i < memory->n; i++) {
        if (memory->mappings[i].region.gpa == region->gpa) {
            region->user_addr = (uint64_t)(uintptr_t)memory->mappings[i].addr;
        }
    }
}

int vh_server_postcopy_answer(struct vhost_server *srv,
                              const struct vh_msg *msg)
{
    struct vh_msg answer = *msg;

    answer.flags = VH_MSG_VERSION;
    answer.n_fds = 0;
    if (msg->request == VH_ADD_MEM_REG) {
        fill_address(&srv->memory, &answer.payload.region.region);
    } else {
        for (uint32_t i = 0; i < answer.payload.table.n; i++) {
            fill_address(&srv->memory, &answer.payload.table.regions[i]);
        }
    }
    srv->postcopy.awaits = msg->request;
    srv->session.answered = true;
    return vh_sock_queue_flags(srv->session.sock, &answer, VH_MSG_F_REPLY);
}

bool vh_server_postcopy_go_ahead(struct vhost_server *srv,
                                 const struct vh_msg *msg)
{
    bool due = srv->postcopy.awaits == msg->request && msg->request != 0;

    /* QEMU says so after a change that added nothing, too. */
    if (!due && (msg->request != VH_ADD_MEM_REG || !srv->postcopy.listening)) {
        return false;
    }
    if (msg->size != sizeof(msg->payload.u64) || msg->payload.u64 != 0 ||
        msg->n_fds != 0) {
        return false;
    }
    srv->postcopy.awaits = 0;
    vh_server_restart_queues(srv);
    return true;
}
