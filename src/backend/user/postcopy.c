/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page faults of the back end, by a userfaultfd of its own.
 *
 * A fault is told in the back end's addresses, so its answer to a memory table
 * says where it has each region.  That table has a lock of its own: whoever
 * serves faults must not wait for a thread that waits for the back end, which
 * may be waiting for that very fault.
 *
 * vhost-user specification, "Migration" and POSTCOPY_ADVISE, _LISTEN, _END.
 */
#include "backend/user/postcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "util/atomic.h"
#include "util/error.h"
#include "util/fd.h"

struct client_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t addr; /* the back end's */
};

struct vh_postcopy {
    int uffd;
    pthread_mutex_t lock; /* of what follows */
    struct client_region *regions;
    size_t n;
};

void vh_user_postcopy_free(struct vhost_user *user)
{
    struct vh_postcopy *p = user->postcopy;

    user->listening = false;
    if (!p) {
        return;
    }
    user->postcopy = NULL;
    vh_fd_close(&p->uffd);
    pthread_mutex_destroy(&p->lock);
    free(p->regions);
    free(p);
}

static int check(const struct vhost_user *user, const char *operation,
                 struct vhost_error **errp)
{
    if (!user->dev || !user->chan) {
        return vh_error(errp, -ENOTCONN, operation, VH_NO_QUEUE,
                        "%s: not connected", user->name);
    }
    if (!vh_user_has(user, VH_PF_PAGEFAULT)) {
        return vh_error(errp, -ENOTSUP, operation, VH_NO_QUEUE,
                        "%s: the back end can't wait for pages "
                        "(VHOST_USER_PROTOCOL_F_PAGEFAULT is not in use)",
                        user->name);
    }
    return 0;
}

/* Lock, look whether it can be asked, and ask. */
static int ask(struct vhost_user *user, uint32_t request, struct vh_msg *reply,
               struct vhost_error **errp)
{
    struct vh_msg msg;
    int r = check(user, vh_msg_name(VH_FROM_FRONT, request), errp);

    if (r < 0) {
        return r;
    }
    user->control = pthread_self();
    vh_msg_init(&msg, request);
    return vh_user_call(user, &msg, VH_NO_QUEUE, reply, errp);
}

/*
 * Another file would be read for ever, or not wake anybody; and one that may
 * block would hold the thread that serves faults.
 */
static bool is_uffd(int fd)
{
    struct uffdio_range nowhere = { .len = 0 };
    int flags = fcntl(fd, F_GETFL);

    return ioctl(fd, UFFDIO_WAKE, &nowhere) < 0 && errno == EINVAL &&
           flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static int take_uffd(struct vhost_user *user, struct vh_msg *reply,
                     struct vhost_error **errp)
{
    struct vh_postcopy *p;

    if (!is_uffd(reply->fds[0])) {
        vh_msg_close_fds(reply);
        return vh_error(errp, -EPROTO, "POSTCOPY_ADVISE", VH_NO_QUEUE,
                        "%s: the back end gave a file that is no userfaultfd",
                        user->name);
    }
    p = calloc(1, sizeof(*p));
    if (!p) {
        vh_msg_close_fds(reply);
        return vh_error(errp, -ENOMEM, "POSTCOPY_ADVISE", VH_NO_QUEUE,
                        "%s: out of memory", user->name);
    }
    pthread_mutex_init(&p->lock, NULL);
    p->uffd = reply->fds[0];
    user->postcopy = p;
    return 0;
}

int vhost_user_postcopy_advise(struct vhost_user *user,
                               struct vhost_error **errp)
{
    struct vh_msg reply;
    int r;

    pthread_mutex_lock(&user->lock);
    if (user->postcopy) {
        r = vh_error(errp, -EBUSY, "POSTCOPY_ADVISE", VH_NO_QUEUE,
                     "%s: was advised of postcopy before", user->name);
    } else {
        r = ask(user, VH_POSTCOPY_ADVISE, &reply, errp);
        if (r == 0) {
            r = take_uffd(user, &reply, errp);
        }
    }
    pthread_mutex_unlock(&user->lock);
    return r;
}

int vhost_user_postcopy_listen(struct vhost_user *user,
                               struct vhost_error **errp)
{
    int r;

    pthread_mutex_lock(&user->lock);
    if (!user->postcopy) {
        r = vh_error(errp, -EINVAL, "POSTCOPY_LISTEN", VH_NO_QUEUE,
                     "%s: was not advised of postcopy", user->name);
    } else {
        r = ask(user, VH_POSTCOPY_LISTEN, NULL, errp);
        user->listening = r == 0;
    }
    pthread_mutex_unlock(&user->lock);
    return r;
}

int vhost_user_postcopy_end(struct vhost_user *user, struct vhost_error **errp)
{
    int r = 0;

    pthread_mutex_lock(&user->lock);
    if (user->postcopy) {
        user->listening = false;
        r = ask(user, VH_POSTCOPY_END, NULL, errp);
        vh_user_postcopy_free(user);
    }
    pthread_mutex_unlock(&user->lock);
    return r;
}

/*
 * These are for the thread that serves faults: they take no lock of the
 * connection's.  The owner ends it before postcopy or the connection end.
 */

int vhost_user_postcopy_fd(struct vhost_user *user)
{
    const struct vh_postcopy *p = VH_READ_ONCE(user->postcopy);

    return p ? p->uffd : -1;
}

static int to_gpa(struct vh_postcopy *p, uint64_t addr, uint64_t *gpa)
{
    int r = -ENOENT;

    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n && r < 0; i++) {
        if (addr - p->regions[i].addr < p->regions[i].size) {
            *gpa = p->regions[i].gpa + (addr - p->regions[i].addr);
            r = 1;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

int vhost_user_postcopy_fault(struct vhost_user *user, uint64_t *gpa)
{
    struct vh_postcopy *p = VH_READ_ONCE(user->postcopy);
    struct uffd_msg event;
    ssize_t n;

    if (!p) {
        return -EINVAL;
    }
    do {
        n = read(p->uffd, &event, sizeof(event));
        if (n < 0 && errno != EINTR) {
            return errno == EAGAIN ? 0 : -errno;
        }
        if (n >= 0 && n != sizeof(event)) {
            return -EPROTO;
        }
        /* Of what else there may be (fork, unmap) nothing was asked for. */
    } while (n < 0 || event.event != UFFD_EVENT_PAGEFAULT);
    return to_gpa(p, event.arg.pagefault.address, gpa);
}

static int to_client(struct vh_postcopy *p, uint64_t gpa, uint64_t size,
                     struct uffdio_range *range)
{
    int r = -ENOENT;

    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n && r < 0; i++) {
        uint64_t at = gpa - p->regions[i].gpa;

        if (at < p->regions[i].size && size <= p->regions[i].size - at) {
            range->start = p->regions[i].addr + at;
            range->len = size;
            r = 0;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

int vhost_user_postcopy_wake(struct vhost_user *user, uint64_t gpa,
                             uint64_t size)
{
    struct vh_postcopy *p = VH_READ_ONCE(user->postcopy);
    struct uffdio_range range;
    int r = p ? to_client(p, gpa, size, &range) : -EINVAL;

    if (r == 0 && ioctl(p->uffd, UFFDIO_WAKE, &range) < 0) {
        r = -errno;
    }
    return r;
}

/* Memory */

static int check_answers(const struct vhost_user *user,
                         const struct vh_mem_region *regions,
                         const struct vh_mem_region *answers, size_t n,
                         struct vhost_error **errp)
{
    for (size_t i = 0; i < n; i++) {
        if (answers[i].gpa != regions[i].gpa ||
            answers[i].size != regions[i].size ||
            answers[i].user_addr + (answers[i].size - 1) <
                answers[i].user_addr) {
            return vh_error(errp, -EPROTO, "SET_MEM_TABLE", VH_NO_QUEUE,
                            "%s: the back end tells of other memory than it "
                            "was given",
                            user->name);
        }
    }
    return 0;
}

int vh_user_postcopy_memory(struct vhost_user *user,
                            const struct vh_mem_region *regions,
                            const struct vh_mem_region *answers, size_t n,
                            bool whole, struct vhost_error **errp)
{
    struct vh_postcopy *p = user->postcopy;
    struct client_region *all;
    int r = check_answers(user, regions, answers, n, errp);

    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&p->lock);
    p->n = whole ? 0 : p->n;
    all = realloc(p->regions, (p->n + n + 1) * sizeof(*all));
    if (all) {
        p->regions = all;
        for (size_t i = 0; i < n; i++) {
            all[p->n++] =
                (struct client_region){ .gpa = answers[i].gpa,
                                        .size = answers[i].size,
                                        .addr = answers[i].user_addr };
        }
    }
    pthread_mutex_unlock(&p->lock);
    return all ? 0
               : vh_error(errp, -ENOMEM, "SET_MEM_TABLE", VH_NO_QUEUE,
                          "%s: out of memory", user->name);
}

void vh_user_postcopy_forget(struct vhost_user *user, uint64_t gpa)
{
    struct vh_postcopy *p = user->postcopy;

    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n; i++) {
        if (p->regions[i].gpa == gpa) {
            p->regions[i] = p->regions[--p->n];
        }
    }
    pthread_mutex_unlock(&p->lock);
}
