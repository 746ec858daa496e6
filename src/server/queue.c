/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue's life: it starts when all that it needs has come, in whatever
 * order, and takes its turn in the rounds while it is active.  It leaves them
 * by asking for the doorbell, and comes back when that rings.
 *
 * A queue is stopped only when its requests are finished: nothing may write
 * into the front end's memory after that.
 *
 * Kick fds are watched for edges and never read while the queue runs, so that
 * one which blocks, or is never empty, does no harm.  What is left in one is
 * taken out in the end: its owner may take it for a kick that nobody saw.
 */
#include "server/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/uio.h>

#include <vhost/notifier.h>

#include "server/server.h"
#include "util/fd.h"

void vh_squeue_init(struct vh_squeue *q, struct vhost_server *srv,
                    unsigned index)
{
    *q = (struct vh_squeue){
        .srv = srv,
        .index = index,
        .kick_fd = -1,
        .call.fd = -1,
        .err.fd = -1,
    };
}

/* Its other end may have filled the counter: do not wait until it is read. */
void vh_sbell_ring(const struct vh_sbell *bell)
{
    struct vhost_notifier notifier = { .fd = bell->fd };
    struct pollfd pfd = { .fd = bell->fd, .events = POLLOUT };

    if (bell->fd >= 0 && (!bell->may_block || poll(&pfd, 1, 0) > 0)) {
        vhost_notifier_set(&notifier);
    }
}

void vh_squeue_set_bell(struct vh_sbell *bell, int fd)
{
    vh_fd_close(&bell->fd);
    bell->fd = fd;
    bell->was_set = true;
    bell->may_block = fd >= 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void empty_eventfd(int fd)
{
    uint64_t n;
    struct iovec iov = { .iov_base = &n, .iov_len = sizeof(n) };

    if (fd >= 0) {
        (void)!preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
    }
}

void *vh_server_find(struct vhost_server *srv, uint64_t addr, uint64_t size)
{
    struct vh_memory *memory = &srv->memory;
    uint64_t len = 0;
    void *area;

    if (!vh_server_has(srv, VH_PF_GPA_ADDRESSES)) {
        return vh_memory_by_user_addr(memory, addr, size);
    }
    area = vh_memory_translate(memory, addr, size, &len);
    return area && len == size ? area : NULL;
}

/* Where the three areas are.  Return: 1; 0 if that is not known yet; -EINVAL if
 * one is not in the memory; -ENOMEM. */
static int find_areas(struct vh_squeue *q, struct vh_devring_config *config)
{
    struct vh_ring_sizes sizes = vh_ring_sizes(q->size, config->features);

    if (vh_server_has_iommu(q->srv)) {
        return vh_qiommu_begin(q, config);
    }
    config->desc = vh_server_find(q->srv, q->desc, sizes.desc);
    config->driver = vh_server_find(q->srv, q->avail, sizes.driver);
    config->device = vh_server_find(q->srv, q->used, sizes.device);
    if (!config->desc || !config->driver || !config->device) {
        q->srv->session.why = "its ring does not lie in memory";
        return -EINVAL;
    }
    return 1;
}

static void break_ring(struct vh_squeue *q, const char *why)
{
    q->active = false;
    vh_server_log(q->srv, "queue %u is broken: %s", q->index, why);
    vh_server_unwatch(q->srv, q->kick_fd);
    q->ring->broken = why;
    vh_server_ring(q, VH_BACK_VRING_ERR);
}

void vh_squeue_break(struct vh_squeue *q, const char *why)
{
    q->n_lost++;
    break_ring(q, why);
}

/* A buffer was popped: those who must know. */
static void note_taken(struct vh_squeue *q, const struct vh_chain *chain)
{
    if (q->iommu) {
        vh_qiommu_took(q, chain->id);
    }
    if (q->log) {
        vh_qlog_take(q, chain);
    }
}

/* One was not, or not yet. */
static int not_taken(struct vh_squeue *q, int r)
{
    const char *why = r == -EAGAIN ? vh_qiommu_wait(q) : q->ring->broken;

    if (why) {
        break_ring(q, why);
        return -EPROTO;
    }
    q->active = false;
    return r;
}

/* What the back end before us had taken comes first, in its order.
 * Return: false if some of it is left. */
static bool serve_held(struct vh_squeue *q)
{
    struct vhost_server_device *device = q->srv->device;
    struct iovec iov[VH_SQUEUE_PIECES];
    struct vh_chain chain = { .iov = iov, .iov_max = VH_SQUEUE_PIECES };
    struct vh_held held;

    while (q->active && vh_qflight_held(q, &held)) {
        const char *why;
        int r;

        if (q->iommu) {
            vh_iommu_pop(q->srv);
        }
        r = vh_devring_again(q->ring, &held, &chain);
        if (r < 0) {
            vh_qflight_not_yet(q);
            not_taken(q, r);
            return false;
        }
        vh_qflight_resumed(q, chain.id);
        note_taken(q, &chain);
        why = device->ops->serve(device, q, &chain);
        if (why) {
            vh_squeue_break(q, why);
        }
    }
    return q->active;
}

/* A queue that has a ring goes on where it was disabled. */
static int go_on(struct vh_squeue *q)
{
    if (!q->paused || !q->enabled || !q->kicked || q->ring->broken) {
        return 0;
    }
    q->paused = false;
    vh_squeue_wake(q);
    return q->kick_fd < 0
               ? 0
               : vh_server_watch(q->srv, q->kick_fd, VH_EVENT_KICK, q->index);
}

int vh_squeue_start(struct vh_squeue *q)
{
    struct vhost_server_device *device = q->srv->device;
    struct vh_devring_config config = {
        .size = q->size,
        .features = q->srv->session.features,
        .base = vh_squeue_base(q),
        .translate = vh_memory_translate,
        .translate_arg = &q->srv->memory,
    };
    int r;

    if (q->ring) {
        return go_on(q);
    }
    if (!q->enabled || !q->kicked || !q->has_addr || q->size == 0 ||
        q->srv->postcopy.awaits != 0) {
        return 0;
    }
    q->awaits = false;
    r = find_areas(q, &config);
    if (r <= 0) {
        return r;
    }
    r = device->ops->queue_start(device, q);
    if (r == 0) {
        r = vh_qflight_begin(q, &config);
    }
    if (r == 0) {
        r = vh_devring_new(&q->ring, &config);
    }
    if (r == 0) {
        r = vh_qlog_begin(q, &config);
    }
    if (r == 0 && q->kick_fd >= 0) {
        r = vh_server_watch(q->srv, q->kick_fd, VH_EVENT_KICK, q->index);
    }
    if (r < 0) {
        vh_qlog_end(q);
        vh_qflight_end(q);
        vh_devring_free(q->ring);
        q->ring = NULL;
        vh_qiommu_end(q);
        return r;
    }
    /* Buffers may be there since before the kick was ours to hear. */
    q->active = true;
    q->pushed = false;
    q->n_lost = 0;
    q->n_left = 0;
    q->fed = device->input && device->input->is_fed(device, q->index);
    vh_devring_disable_kick(q->ring);
    serve_held(q);
    return 0;
}

uint32_t vh_squeue_base(const struct vh_squeue *q)
{
    return q->has_base ? q->base : vh_ring_first_base(q->srv->session.features);
}

/*
 * Without the buffers that were taken last and not used: the driver waits for
 * them.  In a packed ring they begin where the next used descriptor goes.  And
 * without those that are left in the in-flight buffer: back ends count these
 * from there, some over the base that they are given, some on top of it.
 */
static uint32_t base_without(const struct vh_squeue *q, unsigned n_held)
{
    uint32_t base = vh_devring_base(q->ring);

    if (n_held == 0) {
        return base;
    }
    if (q->srv->session.features >> VH_RING_F_PACKED & 1) {
        return base >> 16 | (base & UINT32_C(0xffff0000));
    }
    return (uint16_t)(base - n_held);
}

static void stop(struct vh_squeue *q, bool drain)
{
    struct vhost_server_device *device = q->srv->device;
    unsigned n_held;

    if (!q->ring) {
        return;
    }
    vh_server_unwatch(q->srv, q->kick_fd);
    n_held = q->fed ? device->input->stop(device, q) : 0;
    if (!drain && q->flight && device->ops->let_go) {
        device->ops->let_go(device, q);
    }
    device->ops->submit(device);
    while (q->ring->n_inflight > q->n_lost + n_held + q->n_left) {
        device->ops->reap(device, true);
    }
    /* Others' requests were reaped along with ours; no round will know. */
    for (unsigned i = 0; i < q->srv->n_queues; i++) {
        vh_squeue_publish(&q->srv->queues[i]);
    }
    q->base = base_without(q, n_held + q->n_left + vh_qflight_n_left(q));
    q->has_base = true;
    vh_qlog_end(q);
    vh_qflight_end(q);
    vh_devring_free(q->ring);
    q->ring = NULL;
    vh_qiommu_end(q);
    q->active = false;
    q->paused = false;
    q->awaits = false;
}

void vh_squeue_stop(struct vh_squeue *q)
{
    stop(q, true);
}

static void unkick(struct vh_squeue *q, bool drain)
{
    stop(q, drain);
    empty_eventfd(q->kick_fd);
    vh_fd_close(&q->kick_fd);
    q->kicked = false;
    q->in_band = false;
}

void vh_squeue_unkick(struct vh_squeue *q)
{
    unkick(q, true);
}

void vh_squeue_suspend(struct vh_squeue *q)
{
    unkick(q, false);
}

void vh_squeue_disable(struct vh_squeue *q)
{
    q->enabled = false;
    if (q->ring && q->flight) {
        vh_server_unwatch(q->srv, q->kick_fd);
        q->active = false;
        q->paused = true;
    } else {
        vh_squeue_stop(q);
    }
}

void vh_squeue_reset(struct vh_squeue *q)
{
    vh_squeue_unkick(q);
    vh_squeue_set_bell(&q->call, -1);
    vh_squeue_set_bell(&q->err, -1);
    vh_squeue_init(q, q->srv, q->index);
}

int vh_squeue_kick(struct vh_squeue *q, int fd)
{
    int r = 0;

    if (q->ring) {
        vh_server_unwatch(q->srv, q->kick_fd);
    }
    vh_fd_close(&q->kick_fd);
    q->kick_fd = fd;
    q->kicked = true;
    if (!q->ring) {
        return vh_squeue_start(q);
    }
    if (!q->ring->broken && !q->paused) {
        q->active = true;
        r = fd < 0 ? 0 : vh_server_watch(q->srv, fd, VH_EVENT_KICK, q->index);
    }
    return r;
}

void vh_squeue_wake(struct vh_squeue *q)
{
    if (vh_squeue_is_running(q) && !q->paused && !q->active) {
        vh_devring_disable_kick(q->ring);
        q->active = true;
        if (q->log) {
            vh_qlog_asked(q);
        }
    }
}

int vh_squeue_take(struct vh_squeue *q, struct vh_chain *chain)
{
    uint32_t at = q->flight ? vh_devring_base(q->ring) : 0;
    const char *why = NULL;
    int r;

    if (q->iommu) {
        vh_iommu_pop(q->srv);
    }
    r = vh_devring_pop(q->ring, chain);
    if (r <= 0) {
        return r == 0 ? 0 : not_taken(q, r);
    }
    if (q->flight) {
        why = vh_qflight_took(q, chain->id, at);
    }
    if (why) {
        vh_squeue_break(q, why);
        return -EPROTO;
    }
    note_taken(q, chain);
    return r;
}

bool vh_squeue_serve(struct vh_squeue *q)
{
    struct vhost_server_device *device = q->srv->device;
    struct iovec iov[VH_SQUEUE_PIECES];
    struct vh_chain chain = { .iov = iov, .iov_max = VH_SQUEUE_PIECES };
    unsigned n;

    if (q->fed) {
        return device->input->feed(device, q);
    }
    if (q->flight && !serve_held(q)) {
        return true;
    }
    for (n = 0; n < VH_SQUEUE_TURN && q->active; n++) {
        int r = vh_squeue_take(q, &chain);
        const char *why = r > 0 ? device->ops->serve(device, q, &chain) : NULL;

        if (r == 0 || r == -EAGAIN) {
            break;
        }
        if (why) {
            vh_squeue_break(q, why);
        }
    }
    return n > 0;
}

void vh_squeue_touched(struct vh_squeue *q, uint16_t id)
{
    if (q->log) {
        vh_qlog_wrote(q, id, UINT32_MAX);
    }
}

void vh_squeue_complete(struct vh_squeue *q, uint16_t id, uint32_t len)
{
    if (q->log) {
        vh_qlog_wrote(q, id, len);
    }
    if (q->flight) {
        vh_qflight_pushed(q, id);
    }
    if (q->iommu) {
        vh_qiommu_done(q, id);
    }
    vh_devring_push(q->ring, id, len);
    q->pushed = true;
}

void vh_squeue_leave(struct vh_squeue *q)
{
    q->n_left++;
}

void vh_squeue_publish(struct vh_squeue *q)
{
    if (q->pushed && q->ring) {
        bool call;

        q->pushed = false;
        if (q->flight) {
            vh_qflight_publish(q);
        }
        call = vh_devring_publish(q->ring);
        if (q->flight) {
            vh_qflight_published(q);
        }
        if (q->log) {
            vh_qlog_published(q);
        }
        if (call) {
            vh_server_ring(q, VH_BACK_VRING_CALL);
        }
    }
}

bool vh_squeue_may_sleep(struct vh_squeue *q)
{
    struct vhost_server_device *device = q->srv->device;
    bool more;

    if (!q->active) {
        return true;
    }
    if (q->fed && !device->input->has_input(device, q->index)) {
        q->active = false; /* until the device wakes it */
        return true;
    }
    if (q->kick_fd < 0 && !q->in_band) {
        return true; /* stays active, as nobody will ring */
    }
    more = vh_devring_enable_kick(q->ring);
    if (more) {
        vh_devring_disable_kick(q->ring);
    }
    if (q->log) {
        vh_qlog_asked(q);
    }
    q->active = more;
    return !more;
}
