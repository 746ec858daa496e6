/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue's life: it starts when all that it needs has come, in whatever
 * order, and takes its turn in the rounds while it is active.  It leaves them
 * by asking for the doorbell, and comes back when that rings.
 *
 * A queue is stopped only when its requests are finished: nothing may write
 * into the front end's memory after that.
 */
#include "server/queue.h"

#include <errno.h>
#include <stddef.h>

#include <vhost/notifier.h>

#include "server/server.h"
#include "util/fd.h"

#define TURN 64    /* buffers in one turn, so that every queue gets its own */
#define PIECES 256 /* of one buffer */

void vh_squeue_init(struct vh_squeue *q, struct vhost_server *srv,
                    unsigned index)
{
    *q = (struct vh_squeue){
        .srv = srv,
        .index = index,
        .kick_fd = -1,
        .call_fd = -1,
        .err_fd = -1,
    };
}

static void signal_fd(int fd)
{
    struct vhost_notifier notifier = { .fd = fd };

    if (fd >= 0) {
        vhost_notifier_set(&notifier);
    }
}

/* Where the three areas are; false if one is not in the memory. */
static bool find_areas(const struct vh_squeue *q,
                       struct vh_devring_config *config)
{
    struct vh_ring_sizes sizes = vh_ring_sizes(q->size, config->features);
    const struct vh_memory *memory = &q->srv->memory;

    config->desc = vh_memory_by_user_addr(memory, q->desc, sizes.desc);
    config->driver = vh_memory_by_user_addr(memory, q->avail, sizes.driver);
    config->device = vh_memory_by_user_addr(memory, q->used, sizes.device);
    return config->desc && config->driver && config->device;
}

int vh_squeue_start(struct vh_squeue *q)
{
    struct vhost_server_device *device = q->srv->device;
    struct vh_devring_config config = {
        .size = q->size,
        .features = q->srv->session.features,
        .base = q->base,
        .translate = vh_memory_translate,
        .translate_arg = &q->srv->memory,
    };
    int r;

    if (q->ring || !q->enabled || !q->kicked || !q->has_addr || q->size == 0) {
        return 0;
    }
    if (!find_areas(q, &config)) {
        return -EINVAL;
    }
    r = device->ops->queue_start(device, q->index, q->size);
    if (r == 0) {
        r = vh_devring_new(&q->ring, &config);
    }
    if (r == 0 && q->kick_fd >= 0) {
        r = vh_server_watch(q->srv, q->kick_fd, VH_EVENT_KICK, q->index);
    }
    if (r < 0) {
        vh_devring_free(q->ring);
        q->ring = NULL;
        return r;
    }
    /* Buffers may be there since before the kick was ours to hear. */
    q->active = true;
    vh_devring_disable_kick(q->ring);
    return 0;
}

void vh_squeue_stop(struct vh_squeue *q)
{
    struct vhost_server_device *device = q->srv->device;

    if (!q->ring) {
        return;
    }
    vh_server_unwatch(q->srv, q->kick_fd);
    device->ops->submit(device);
    while (q->ring->n_inflight > 0) {
        device->ops->reap(device, true);
    }
    vh_squeue_publish(q);
    q->base = vh_devring_base(q->ring);
    vh_devring_free(q->ring);
    q->ring = NULL;
    q->active = false;
}

void vh_squeue_reset(struct vh_squeue *q)
{
    vh_squeue_stop(q);
    vh_fd_close(&q->kick_fd);
    vh_fd_close(&q->call_fd);
    vh_fd_close(&q->err_fd);
    vh_squeue_init(q, q->srv, q->index);
}

void vh_squeue_set_fd(struct vh_squeue *q, int *where, int fd)
{
    bool running_kick = where == &q->kick_fd && q->ring;

    if (running_kick) {
        vh_server_unwatch(q->srv, *where);
    }
    vh_fd_close(where);
    *where = fd;
    if (running_kick && !q->ring->broken) {
        if (fd >= 0) {
            vh_server_watch(q->srv, fd, VH_EVENT_KICK, q->index);
        }
        q->active = true;
    }
}

static void break_ring(struct vh_squeue *q, const char *why)
{
    q->active = false;
    vh_server_log(q->srv, "queue %u is broken: %s", q->index, why);
    vh_server_unwatch(q->srv, q->kick_fd);
    q->ring->broken = why;
    signal_fd(q->err_fd);
}

bool vh_squeue_serve(struct vh_squeue *q)
{
    struct vhost_server_device *device = q->srv->device;
    struct iovec iov[PIECES];
    struct vh_chain chain = { .iov = iov, .iov_max = PIECES };
    unsigned n;

    for (n = 0; n < TURN && q->active; n++) {
        int r = vh_devring_pop(q->ring, &chain);
        const char *why = r < 0 ? q->ring->broken : NULL;

        if (r == 0) {
            break;
        }
        if (r > 0) {
            why = device->ops->serve(device, q, &chain);
            if (why) {
                vh_devring_push(q->ring, chain.id, 0);
            }
        }
        if (why) {
            break_ring(q, why);
        }
    }
    return n > 0;
}

void vh_squeue_complete(struct vh_squeue *q, uint16_t id, uint32_t len)
{
    vh_devring_push(q->ring, id, len);
    q->pushed = true;
}

void vh_squeue_publish(struct vh_squeue *q)
{
    if (q->pushed && q->ring) {
        q->pushed = false;
        if (vh_devring_publish(q->ring)) {
            signal_fd(q->call_fd);
        }
    }
}

bool vh_squeue_may_sleep(struct vh_squeue *q)
{
    if (!q->active) {
        return true;
    }
    if (q->kick_fd < 0) {
        return false; /* nobody will ring */
    }
    if (vh_devring_enable_kick(q->ring)) {
        vh_devring_disable_kick(q->ring);
        return false;
    }
    q->active = false;
    return true;
}
