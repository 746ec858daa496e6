/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rounds of work, and when to sleep.
 *
 * Kicks and completions are not asked for while rounds find something.  Before
 * a sleep they are, and each is looked for once more: what came in between has
 * been seen, and what comes later wakes us.
 *
 * Whoever waits for vhost_server_get_fd() by himself is woken by again_fd
 * where work was left over.
 */
#include "server/server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/atomic.h"
#include "util/clock.h"
#include "util/error.h"

#define EVENTS 32
#define CONTROL_EVERY 32   /* looks for work, for one at the sockets */
#define DISPATCH_ROUNDS 16 /* so that dispatching comes to an end */
#define POLLED_SLEEP_MS 1
#define WATCHDOG_MS 100

/* Return: true if anything was done. */
static bool one_round(struct vhost_server *srv)
{
    struct vhost_server_device *device = srv->device;
    bool worked = false;

    if (srv->iommu.news) {
        vh_iommu_wake(srv);
    }
    for (unsigned i = 0; i < srv->n_queues; i++) {
        if (srv->queues[i].active) {
            worked |= vh_squeue_serve(&srv->queues[i]);
        }
    }
    srv->unsent = !device->ops->submit(device);
    worked |= device->ops->reap(device, false) > 0;
    if (worked) {
        for (unsigned i = 0; i < srv->n_queues; i++) {
            vh_squeue_publish(&srv->queues[i]);
        }
    }
    return worked;
}

/* Ask to be woken.  Return: true if there is something to do already. */
static bool ask_to_wake(struct vhost_server *srv)
{
    bool more = srv->unsent || srv->iommu.news;

    for (unsigned i = 0; i < srv->n_queues; i++) {
        more |= !vh_squeue_may_sleep(&srv->queues[i]);
    }
    more |= srv->device->ops->arm(srv->device);
    return more;
}

static bool any_active(const struct vhost_server *srv)
{
    for (unsigned i = 0; i < srv->n_queues; i++) {
        if (srv->queues[i].active) {
            return true;
        }
    }
    return false;
}

/*
 * Requests under way wake us when they are done; but the kernel promises no
 * full barrier between showing a completion and asking whether we want to
 * hear of it.
 */
static bool any_inflight(const struct vhost_server *srv)
{
    if (srv->device->event_fd < 0) {
        return false;
    }
    for (unsigned i = 0; i < srv->n_queues; i++) {
        if (srv->queues[i].ring && srv->queues[i].ring->n_inflight > 0) {
            return true;
        }
    }
    return false;
}

/* Events */

static int event_failed(const struct vhost_server *srv, const char *operation,
                        int code, struct vhost_error **errp)
{
    return vh_error(errp, code, operation, VH_NO_QUEUE, "%s: %s",
                    srv->path ? srv->path : "the connection", strerror(-code));
}

static int on_listen(struct vhost_server *srv, struct vhost_error **errp)
{
    int fd = accept4(srv->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int r = fd < 0 ? -errno : vh_session_begin(srv, fd);

    if (r == 0) {
        vh_server_unwatch(srv, srv->listen_fd);
        return 0;
    }
    /* What would come back at once is for the caller; others just left. */
    if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM) {
        return event_failed(srv, "accept", r, errp);
    }
    return 0;
}

static int on_session(struct vhost_server *srv, struct vhost_error **errp)
{
    int r = 0;

    if (!srv->session.sock) {
        return 0;
    }
    vh_session_dispatch(srv);
    if (!srv->session.sock && srv->listen_fd >= 0) {
        r = vh_server_watch(srv, srv->listen_fd, VH_EVENT_LISTEN, 0);
    }
    return r < 0 ? event_failed(srv, "epoll_ctl", r, errp) : 0;
}

/* One that has input already waits for buffers, and is woken by its kick. */
static void on_input(struct vhost_server *srv, unsigned queue)
{
    if (srv->device->input->wake(srv->device, queue)) {
        vh_squeue_wake(&srv->queues[queue]);
    }
}

static int on_event(struct vhost_server *srv, uint64_t data,
                    struct vhost_error **errp)
{
    switch (data >> 32) {
    case VH_EVENT_LISTEN:
        return on_listen(srv, errp);
    case VH_EVENT_SESSION:
        return on_session(srv, errp);
    case VH_EVENT_KICK:
        vh_squeue_wake(&srv->queues[(unsigned)data]);
        return 0;
    case VH_EVENT_INPUT:
        on_input(srv, (unsigned)data);
        return 0;
    case VH_EVENT_STATE:
        vh_transfer_run(srv);
        return 0;
    case VH_EVENT_MISS:
        vh_iommu_on_timer(srv);
        return 0;
    case VH_EVENT_SIDE:
        vh_server_on_side(srv);
        return 0;
    default: /* a round looks at the device in any case */
        return 0;
    }
}

/* Return: how many events there were; -EINTR for a signal; or another
 * negative errno, in words. */
static int wait_events(struct vhost_server *srv, int timeout_ms,
                       struct vhost_error **errp)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(srv->epoll_fd, events, EVENTS, timeout_ms);
    int r = 0;

    if (n < 0) {
        r = -errno;
        return r == -EINTR ? r : event_failed(srv, "epoll_wait", r, errp);
    }
    for (int i = 0; i < n && r == 0; i++) {
        r = on_event(srv, events[i].data.u64, errp);
    }
    return r < 0 ? r : n;
}

/* Running */

static void set_again(struct vhost_server *srv, bool again)
{
    uint64_t n = 1;

    if (again != srv->again) {
        srv->again = again;
        (void)!(again ? write(srv->again_fd, &n, sizeof(n))
                      : read(srv->again_fd, &n, sizeof(n)));
    }
}

static int check_gone(const struct vhost_server *srv, struct vhost_error **errp)
{
    if (srv->listen_fd >= 0 || !srv->served) {
        return 0;
    }
    return vh_error(errp, -ENOTCONN, "run", VH_NO_QUEUE,
                    "the front end has gone");
}

int vhost_server_dispatch(struct vhost_server *srv, struct vhost_error **errp)
{
    bool more = true;
    int r = check_gone(srv, errp);

    if (r < 0) {
        return r;
    }
    r = wait_events(srv, 0, errp);
    if (r < 0 && r != -EINTR) {
        return r;
    }
    for (unsigned i = 0; i < DISPATCH_ROUNDS && more; i++) {
        more = one_round(srv) || ask_to_wake(srv);
    }
    set_again(srv, more || any_active(srv));
    return 0;
}

/* A round, and now and then the sockets.  Return: 1 something was done, 0
 * nothing, or a negative errno. */
static int look(struct vhost_server *srv, struct vhost_error **errp)
{
    int r = 0;

    if (++srv->n_looks % CONTROL_EVERY == 0) {
        r = wait_events(srv, 0, errp);
        if (r < 0 && r != -EINTR) {
            return r;
        }
    }
    return one_round(srv) || r > 0 ? 1 : 0;
}

/* Look, again and again for as long as the owner wants.  As look(). */
static int look_for_work(struct vhost_server *srv, int64_t deadline,
                         struct vhost_error **errp)
{
    int64_t until;
    int r = look(srv, errp);

    if (srv->options.poll_us == 0) {
        return r;
    }
    until = srv->last_work + (int64_t)srv->options.poll_us * 1000;
    until = until < deadline ? until : deadline;
    while (r == 0 && vh_clock_ns() < until) {
        vh_cpu_relax();
        r = look(srv, errp);
    }
    if (r > 0) {
        srv->last_work = vh_clock_ns();
    }
    return r;
}

/* To the deadline; but not long where a ring has to be polled. */
static int sleep_ms(const struct vhost_server *srv, int64_t deadline)
{
    int left = vh_deadline_left_ms(deadline);
    int most = any_active(srv)     ? POLLED_SLEEP_MS
               : any_inflight(srv) ? WATCHDOG_MS
                                   : -1;

    return most >= 0 && (left < 0 || left > most) ? most : left;
}

/* Return: 1 something was done, 0 nothing yet, or a negative errno. */
static int sleep_and_work(struct vhost_server *srv, int64_t deadline,
                          struct vhost_error **errp)
{
    int r = wait_events(srv, sleep_ms(srv, deadline), errp);

    if (r > 0) {
        one_round(srv);
        srv->last_work = srv->options.poll_us ? vh_clock_ns() : 0;
        return 1;
    }
    return r;
}

int vhost_server_run(struct vhost_server *srv, int timeout_ms,
                     struct vhost_error **errp)
{
    int64_t deadline = vh_deadline_in(timeout_ms);
    int r = check_gone(srv, errp);
    bool late = false;

    set_again(srv, false);
    while (r == 0 && !late) {
        r = look_for_work(srv, deadline, errp);
        if (r != 0 || ask_to_wake(srv)) {
            continue; /* what is there already, the next round takes */
        }
        /* Looked at before the wait: a timeout of 0 waits once, too. */
        late = vh_deadline_passed(deadline);
        r = sleep_and_work(srv, deadline, errp);
    }
    return r == -EINTR ? 0 : r;
}
