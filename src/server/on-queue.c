/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests about queues: vhost-user specification, "Ring states".
 *
 * A queue may be described in any order; it runs when the last of what it
 * needs has come.  A queue that runs is stopped before its description
 * changes, as the specification has it that the front end should have done.
 */
#include "server/handlers.h"

#include <errno.h>
#include <linux/vhost_types.h>

static struct vh_squeue *queue_of(struct vhost_server *srv, uint64_t index)
{
    if (index >= srv->n_queues) {
        srv->session.why = "there is no such queue";
        return NULL;
    }
    return &srv->queues[index];
}

int vh_on_set_vring_num(struct vhost_server *srv, struct vh_msg *msg,
                        struct vh_msg *reply)
{
    struct vh_squeue *q = queue_of(srv, msg->payload.state.index);
    uint32_t num = msg->payload.state.num;

    (void)reply;
    if (!q || num > srv->device->queue_size_max ||
        !vh_ring_size_is_valid(num, srv->session.features)) {
        return -EINVAL;
    }
    vh_squeue_stop(q);
    q->size = num;
    return 0;
}

int vh_on_set_vring_addr(struct vhost_server *srv, struct vh_msg *msg,
                         struct vh_msg *reply)
{
    const struct vh_vring_addr *addr = &msg->payload.addr;
    struct vh_squeue *q = queue_of(srv, addr->index);

    (void)reply;
    if (!q || (addr->flags & ~(1u << VHOST_VRING_F_LOG))) {
        return -EINVAL;
    }
    q->log_used = addr->flags;
    q->log_addr = addr->log;
    if (vh_squeue_is_running(q) && q->desc == addr->desc &&
        q->avail == addr->avail && q->used == addr->used) {
        return 0; /* it goes on where it is */
    }
    vh_squeue_stop(q);
    q->desc = addr->desc;
    q->avail = addr->avail;
    q->used = addr->used;
    q->has_addr = true;
    return vh_squeue_start(q);
}

int vh_on_set_vring_base(struct vhost_server *srv, struct vh_msg *msg,
                         struct vh_msg *reply)
{
    struct vh_squeue *q = queue_of(srv, msg->payload.state.index);
    bool packed = srv->session.features >> VH_RING_F_PACKED & 1;
    uint32_t base = msg->payload.state.num;

    (void)reply;
    if (!q || (!packed && base > UINT16_MAX)) {
        return -EINVAL;
    }
    /*
     * DPDK's front end gives the half that tells what is available.  Nothing
     * is under way when a queue starts, so the other half is the same.
     */
    if (packed && base <= UINT16_MAX) {
        base |= base << 16;
    }
    vh_squeue_stop(q);
    q->base = base;
    q->has_base = true;
    return 0;
}

/* Where there are two messages each says what it wants; a front end that knows
 * only of the one has asked for this by its feature. */
static bool suspends(const struct vhost_server *srv, uint32_t request)
{
    return request == VH_GET_VRING_BASE_SKIP_DRAIN ||
           (vh_server_has(srv, VH_PF_GET_VRING_BASE_INFLIGHT) &&
            !vh_server_has(srv, VH_PF_GET_VRING_BASE_SKIP_DRAIN));
}

int vh_on_get_vring_base(struct vhost_server *srv, struct vh_msg *msg,
                         struct vh_msg *reply)
{
    struct vh_squeue *q = queue_of(srv, msg->payload.state.index);

    if (!q) {
        srv->session.fault = "GET_VRING_BASE of a queue that is not there";
        return -EPROTO;
    }
    if (suspends(srv, msg->request)) {
        vh_squeue_suspend(q);
    } else {
        vh_squeue_unkick(q);
    }
    vh_msg_init_state(reply, msg->request, q->index, vh_squeue_base(q));
    return 0;
}

/*
 * The queue of SET_VRING_KICK and its kin, and their fd, taken out of the
 * message, or -1.  What is no eventfd is refused, as far as fstat(2) can tell:
 * to write to a pipe or a socket may raise SIGPIPE.
 * Return: NULL if it is refused.
 */
static struct vh_squeue *take_fd(struct vhost_server *srv, struct vh_msg *msg,
                                 int *fd)
{
    struct vh_squeue *q = queue_of(srv, msg->payload.u64 & VH_VRING_IDX_MASK);
    struct stat st;

    *fd = -1;
    if (!q || msg->n_fds == 0) {
        return q;
    }
    /* Files without a name, as eventfds are, have no type either. */
    if (fstat(msg->fds[0], &st) < 0 || (st.st_mode & S_IFMT) != 0) {
        srv->session.why = "the fd is not an eventfd";
        return NULL;
    }
    *fd = msg->fds[0];
    msg->fds[0] = -1;
    return q;
}

int vh_on_set_vring_kick(struct vhost_server *srv, struct vh_msg *msg,
                         struct vh_msg *reply)
{
    int fd;
    struct vh_squeue *q = take_fd(srv, msg, &fd);

    (void)reply;
    if (!q) {
        return -EINVAL;
    }
    q->in_band = false;
    return vh_squeue_kick(q, fd);
}

/* The first one starts the ring, where no fd has. */
int vh_on_vring_kick(struct vhost_server *srv, struct vh_msg *msg,
                     struct vh_msg *reply)
{
    struct vh_squeue *q = queue_of(srv, msg->payload.state.index);

    (void)reply;
    if (!q) {
        return -EINVAL;
    }
    if (!q->kicked) {
        q->in_band = true;
        return vh_squeue_kick(q, -1);
    }
    vh_squeue_wake(q);
    return 0;
}

int vh_on_set_vring_call(struct vhost_server *srv, struct vh_msg *msg,
                         struct vh_msg *reply)
{
    int fd;
    struct vh_squeue *q = take_fd(srv, msg, &fd);

    (void)reply;
    if (!q) {
        return -EINVAL;
    }
    vh_squeue_set_bell(&q->call, fd);
    return 0;
}

int vh_on_set_vring_err(struct vhost_server *srv, struct vh_msg *msg,
                        struct vh_msg *reply)
{
    int fd;
    struct vh_squeue *q = take_fd(srv, msg, &fd);

    (void)reply;
    if (!q) {
        return -EINVAL;
    }
    vh_squeue_set_bell(&q->err, fd);
    return 0;
}

int vh_on_set_vring_enable(struct vhost_server *srv, struct vh_msg *msg,
                           struct vh_msg *reply)
{
    struct vh_squeue *q = queue_of(srv, msg->payload.state.index);

    (void)reply;
    if (!q || msg->payload.state.num > 1) {
        return -EINVAL;
    }
    if (!msg->payload.state.num) {
        /* It stays where it is, so that it can be enabled again. */
        vh_squeue_disable(q);
        return 0;
    }
    q->enabled = true;
    return vh_squeue_start(q);
}
