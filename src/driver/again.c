/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that goes and comes back, to a program: nothing fails, it takes
 * longer.
 *
 * What is in flight is known here, request by request, so nothing that the two
 * back ends would have to agree on is needed: the new one gets new rings, with
 * every request in them that the old one has not completed.  A request may so
 * be carried out twice; a class whose requests may not be does not do this.
 *
 * The rings are made by the control thread while the queues' threads are kept
 * out of them (hold.h).  A program with one thread may be waiting in a queue
 * when its back end dies: then that call does what the loop would have done.
 */
#include "driver/again.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <vhost/virtq.h>

#include "backend/ops.h"
#include "driver/hold.h"
#include "util/error.h"

static struct vh_device *device_of(void *opaque)
{
    return opaque;
}

/* One ring after the other; those that are made stay as they are if the next
 * can't be, for the next attempt. */
static int renew_rings(struct vh_device *device)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < device->spec.queues; i++) {
        r = device->spec.renew(device, i);
        device->rings[i].base = vh_ring_first_base(device->features);
    }
    return r;
}

static int on_ready(struct vhost_dev *dev, void *opaque)
{
    struct vh_device *device = device_of(opaque);
    int r;

    if (!vh_hold(device)) {
        return -EAGAIN;
    }
    /* In one step: a queue's thread may be polling it. */
    r = dup3(vh_be_get_fd(dev), device->control_fd, O_CLOEXEC) < 0 ? -errno : 0;
    if (r == 0) {
        r = renew_rings(device);
    }
    vh_release(device);
    return r;
}

static void on_resumed(struct vhost_dev *dev, void *opaque)
{
    struct vh_device *device = device_of(opaque);

    (void)dev;
    device->config_changed = true; /* who knows */
    if (device->spec.resumed) {
        device->spec.resumed(device);
    }
}

static void on_given_up(struct vhost_dev *dev, const char *reason, void *opaque)
{
    struct vh_device *device = device_of(opaque);

    (void)dev;
    vh_release(device);
    VH_WRITE_ONCE(device->gone, 1);
    if (device->spec.lost) {
        device->spec.lost(device, reason);
    }
}

int vh_again_init(struct vh_device *device, struct vhost_error **errp)
{
    const struct vhost_reconnect how = {
        .total_ms = device->spec.reconnect_ms == VHOST_RECONNECT_ALWAYS
                        ? VHOST_RECONNECT_FOREVER
                        : device->spec.reconnect_ms,
        .ready = on_ready,
        .resumed = on_resumed,
        .given_up = on_given_up,
        .opaque = device,
    };
    int r = vh_hold_init();

    if (r < 0) {
        return vh_error(errp, r, "membarrier", VH_NO_QUEUE,
                        "a back end can't be waited for without membarrier(2), "
                        "which this kernel lacks: %s",
                        strerror(-r));
    }
    r = vhost_dev_set_reconnect(&device->dev, &how);
    if (r < 0) {
        vh_error_copy(errp, vhost_dev_get_error(&device->dev));
        return r;
    }
    device->control = pthread_self();
    device->returns = true;
    return 0;
}

bool vh_again_is_ours(const struct vh_device *device)
{
    return device->returns &&
           pthread_equal(VH_READ_ONCE(device->control), pthread_self());
}

void vh_again_help(struct vh_virtq *vq, int ms)
{
    struct vh_device *device = vq->device;
    struct pollfd pfds[] = {
        { .fd = vhost_dev_get_fd(&device->dev), .events = POLLIN },
        { .fd = vq->call.fd, .events = POLLIN },
    };

    if (poll(pfds, 2, ms) > 0 && pfds[0].revents) {
        vh_hold_leave(vq, 0);
        vhost_dev_dispatch(&device->dev);
        vh_hold_enter(vq);
    }
}
