/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device may write to a buffer until it has used it.  So one that comes too
 * late breaks its queue: to go on would give the same memory out twice.
 */
#include "driver/plain.h"

#include <errno.h>
#include <string.h>

#include "driver/options.h"
#include "ring/layout.h"
#include "util/clock.h"
#include "util/error.h"

#define DEFAULT_QUEUE_SIZE 128
#define DEFAULT_REQUEST_MS 30000
#define QUEUE_SIZE_MIN 8
#define F_VERSION_1 32
#define PAGE 4096

static const int feature_bits[] = {
    F_VERSION_1,         VH_RING_F_PACKED,          VH_RING_F_IN_ORDER,
    VH_RING_F_EVENT_IDX, VHOST_INVALID_FEATURE_BIT,
};

static const unsigned best_layouts[] = { VHOST_LAYOUT_PACKED,
                                         VHOST_LAYOUT_SPLIT };

static int take_options(struct vhost_driver_options *to,
                        const struct vhost_driver_options *from,
                        struct vhost_error **errp)
{
    int r = vh_options_copy(to, sizeof(*to), from, errp);

    if (r < 0) {
        return r;
    }
    to->queue_size = to->queue_size ? to->queue_size : DEFAULT_QUEUE_SIZE;
    to->request_ms = to->request_ms ? to->request_ms : DEFAULT_REQUEST_MS;
    return vh_options_check_ring(to->queue_size, QUEUE_SIZE_MIN, to->layout,
                                 errp);
}

static int connect_device(struct vh_plain *plain, const char *uri,
                          struct vhost_error **errp)
{
    const struct vhost_driver_options *options = &plain->options;
    const struct vh_device_spec spec = {
        .device_id = plain->class->device_id,
        .feature_bits = feature_bits,
        .queues = plain->class->queues,
        .queue_size = options->queue_size,
        .layout = options->layout,
        .best_layouts = best_layouts,
        .pool_size = plain->class->memory + PAGE,
    };
    struct vh_link link;
    int r = vh_link_open(&link, uri, options->deadline_ms, errp);

    if (r < 0) {
        return r;
    }
    r = vh_device_open(&plain->device, link, &spec, errp);
    if (r == 0) {
        r = vh_device_start(&plain->device, 0, 0, errp);
    }
    if (r < 0) {
        vh_plain_close(plain);
    }
    return r;
}

int vh_plain_open(struct vh_plain *plain, const struct vh_plain_class *class,
                  const char *uri, const struct vhost_driver_options *options,
                  struct vhost_error **errp)
{
    struct vhost_error *error = NULL;
    int r = take_options(&plain->options, options, &error);

    plain->class = class;
    if (r == 0) {
        r = connect_device(plain, uri, &error);
    }
    if (r < 0) {
        vh_open_failed(uri, error, errp);
    }
    return r;
}

void vh_plain_close(struct vh_plain *plain)
{
    bool busy = false;

    for (unsigned i = 0; i < plain->class->queues; i++) {
        busy |= plain->device.queues && plain->device.queues[i].failed;
    }
    vh_device_close(&plain->device, busy);
}

static int failed(const struct vh_plain *plain, unsigned queue, int r,
                  struct vhost_error **errp)
{
    const struct vh_virtq *vq = &plain->device.queues[queue];

    return vh_error(errp, r, plain->class->what, (int)queue, "%s",
                    vq->failed ? vq->error : strerror(-r));
}

int vh_plain_alloc(struct vh_plain *plain, size_t size, struct vh_piece *piece,
                   struct vhost_error **errp)
{
    struct vh_pool_hit hit = { 0 };
    void *hva = vh_pool_alloc(plain->device.pool, size, 64);

    if (!hva ||
        vh_pool_find(plain->device.pool, &hit, hva, &piece->gpa) < size) {
        return vh_error(errp, -ENOMEM, plain->class->what, VH_NO_QUEUE,
                        "no memory that the back end sees");
    }
    piece->hva = hva;
    return 0;
}

int vh_plain_put(struct vh_plain *plain, unsigned queue, const struct vh_sg *sg,
                 unsigned n_out, unsigned n_in, void *cookie,
                 struct vhost_error **errp)
{
    struct vh_virtq *vq = &plain->device.queues[queue];
    int r = vq->failed;

    if (r == 0) {
        r = vh_ring_add(vq->ring, sg, n_out, n_in, cookie);
    }
    if (r == 0) {
        r = vh_virtq_submit(vq);
    }
    return r < 0 ? failed(plain, queue, r, errp) : 0;
}

int vh_plain_take(struct vh_plain *plain, unsigned queue,
                  struct vh_ring_used *used, int64_t deadline,
                  struct vhost_error **errp)
{
    struct vh_virtq *vq = &plain->device.queues[queue];
    int r;

    for (;;) {
        r = vq->failed ? vq->failed : vh_virtq_take(vq, used, 1);
        if (r > 0) {
            return r;
        }
        if (r == 0 && vh_deadline_passed(deadline)) {
            return 0;
        }
        if (r == 0) {
            r = vh_virtq_wait(vq, deadline);
        }
        if (r < 0) {
            return failed(plain, queue, r, errp);
        }
    }
}

int64_t vh_plain_do(struct vh_plain *plain, unsigned queue,
                    const struct vh_sg *sg, unsigned n_out, unsigned n_in,
                    struct vhost_error **errp)
{
    struct vh_virtq *vq = &plain->device.queues[queue];
    struct vh_ring_used used;
    int r = vh_plain_put(plain, queue, sg, n_out, n_in, plain, errp);

    if (r == 0) {
        r = vh_plain_take(plain, queue, &used,
                          vh_deadline_in(plain->options.request_ms), errp);
        if (r == 0) {
            r = vh_virtq_fail(vq, -ETIMEDOUT,
                              "the device does not carry out a request");
            failed(plain, queue, r, errp);
        }
    }
    return r < 0 ? r : (int64_t)used.len;
}
