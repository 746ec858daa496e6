/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-flight tracking: what a back end has taken from the rings and not given
 * back, in a buffer that outlives it (vhost-user specification, "Inflight I/O
 * tracking").
 *
 *     vhost_dev_prepare_inflight(&hdev, &vdev);      split or packed?
 *     if (!inflight.addr) {
 *         vhost_dev_get_inflight(&hdev, queue_size, &inflight);
 *     }
 *     vhost_dev_set_inflight(&hdev, &inflight);
 *     vhost_dev_start(&hdev, &vdev, true);
 *
 * The back end makes the buffer and writes it; the front end keeps it, and
 * gives it to the next back end, which first finishes what the last did not.
 * vhost_dev_set_reconnect() does that by itself.  Through save and load the
 * buffer goes to another host, beside memory and the bases of the queues.
 *
 * Without VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD, and with other kinds of back
 * end, all of this succeeds, and there is no buffer: addr stays NULL.
 *
 * Threads: the control thread.
 */
#ifndef VHOST_INFLIGHT_H
#define VHOST_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;
struct vhost_stream;
struct vhost_vdev;

/** struct vhost_inflight - the buffer
 *
 * Made by VHOST_INFLIGHT_INIT; filled in by vhost_dev_get_inflight() or
 * vhost_dev_load_inflight().  Its contents are the back end's: it may shrink
 * the file under the mapping, so that to read there may raise SIGBUS.
 *
 * @fd: shared file, -1: none
 * @addr: our mapping of it; NULL: none
 * @size: bytes
 * @offset: of the mapping, as the back end told; sent back unchanged
 * @queue_size: entries of each queue
 */
struct vhost_inflight {
    int fd;
    void *addr;
    uint64_t size;
    uint64_t offset;
    uint16_t queue_size;
};

#define VHOST_INFLIGHT_INIT \
    {                       \
        .fd = -1            \
    }

/**
 * vhost_dev_prepare_inflight() - tell the back end what the rings are like
 * @hdev: an idle device, its features acknowledged
 * @vdev: the virtio device
 *
 * Sends the features: the back end lays out the buffer after them.
 *
 * Return: 0, or a negative errno.
 */
int vhost_dev_prepare_inflight(struct vhost_dev *hdev, struct vhost_vdev *vdev);

/**
 * vhost_dev_get_inflight() - have the back end make a buffer
 * @dev: a device; call vhost_dev_prepare_inflight() before
 * @queue_size: entries of each queue, not 0
 * @inflight: without a buffer; filled in
 *
 * Return: 0, also if there is none; -EPROTO if the back end gives a buffer
 * that is not as it says; or another negative errno.
 */
int vhost_dev_get_inflight(struct vhost_dev *dev, uint16_t queue_size,
                           struct vhost_inflight *inflight);

/**
 * vhost_dev_set_inflight() - give a buffer to the back end, before each start
 * @dev: an idle device; call vhost_dev_prepare_inflight() before
 * @inflight: lent until the device is stopped, and to its reconnects; without
 *     a buffer, nothing is given
 *
 * Return: 0, or a negative errno: -ENOTSUP if the back end can't take it.
 */
int vhost_dev_set_inflight(struct vhost_dev *dev,
                           struct vhost_inflight *inflight);

/**
 * vhost_dev_reset_inflight() - the guest was reset: forget what was in flight
 * @inflight: not lent to a started device
 *
 * Frees the buffer; the next start gets a new one.
 */
void vhost_dev_reset_inflight(struct vhost_inflight *inflight);

/**
 * vhost_dev_free_inflight() - unmap and close; without a buffer too
 * @inflight: not lent to a started device; again as VHOST_INFLIGHT_INIT
 */
void vhost_dev_free_inflight(struct vhost_inflight *inflight);

/**
 * vhost_dev_save_inflight() - write the buffer to a stream
 * @inflight: of a stopped device; without a buffer that is written
 * @stream: where to
 *
 * A size of 64 bits, 0 for none; then the entries of a queue in 16, and the
 * bytes; big-endian.
 *
 * Return: 0; -EPROTO if the back end has shrunk the buffer; or what
 * vhost_stream_write() returned.
 */
int vhost_dev_save_inflight(struct vhost_inflight *inflight,
                            struct vhost_stream *stream);

/**
 * vhost_dev_load_inflight() - read it into a buffer of our own
 * @inflight: filled in; a buffer that it had is freed
 * @stream: where from
 *
 * Return: 0, also if none was saved; -EPROTO for a size that can't be, and
 * then, as after any failure, @inflight is what it was; or another negative
 * errno.
 */
int vhost_dev_load_inflight(struct vhost_inflight *inflight,
                            struct vhost_stream *stream);

/**
 * vhost_dev_force_stop() - take the queues back, without what is in flight
 * @hdev: a started device that was given a buffer
 * @vdev: the virtio device
 * @vrings: disable the rings too
 *
 * As vhost_dev_stop(), but the back end leaves its requests in the buffer
 * rather than finish them, if VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN
 * is in use; ask for it in struct vhost_user_options.  Otherwise it finishes
 * them.
 *
 * Return: as vhost_dev_stop().
 */
int vhost_dev_force_stop(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                         bool vrings);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
