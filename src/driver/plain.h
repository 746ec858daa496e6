/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device whose calls wait, and whose data is copied: what rng, scsi, console
 * and vsock have in common.
 *
 * Threads: one at a time.
 */
#ifndef VH_DRIVER_PLAIN_H
#define VH_DRIVER_PLAIN_H

#include <vhost/driver.h>

#include "driver/device.h"

/**
 * struct vh_plain_class - what tells one from another
 * @what: it is called in errors
 * @device_id: virtio device type
 * @queues: that the back end serves
 * @memory: bytes that the class will take by vh_plain_alloc()
 */
struct vh_plain_class {
    const char *what;
    uint32_t device_id;
    unsigned queues;
    size_t memory;
};

struct vh_plain {
    struct vh_device device;
    struct vhost_driver_options options;
    const struct vh_plain_class *class;
};

/* Memory that the back end sees. */
struct vh_piece {
    uint8_t *hva;
    uint64_t gpa;
};

/**
 * vh_plain_open() - connect, negotiate, start
 * @plain: zeroed
 * @class: lent
 * @uri: of the back end
 * @options: copied; NULL for defaults
 * @errp: why it failed
 *
 * Return: 0 or a negative errno: then there is nothing to close.
 */
int vh_plain_open(struct vh_plain *plain, const struct vh_plain_class *class,
                  const char *uri, const struct vhost_driver_options *options,
                  struct vhost_error **errp);

/** vh_plain_close() - after a vh_plain_open() that worked */
void vh_plain_close(struct vh_plain *plain);

/** vh_plain_alloc() - @size bytes until the close; 0 or -ENOMEM, in words */
int vh_plain_alloc(struct vh_plain *plain, size_t size, struct vh_piece *piece,
                   struct vhost_error **errp);

/** vh_plain_put() - give a queue a buffer, see vh_ring_add(); 0 or a negative
 * errno, in words */
int vh_plain_put(struct vh_plain *plain, unsigned queue, const struct vh_sg *sg,
                 unsigned n_out, unsigned n_in, void *cookie,
                 struct vhost_error **errp);

/**
 * vh_plain_take() - wait for a buffer that a queue has used
 * @plain: open
 * @queue: of it
 * @used: filled in
 * @deadline: wait until then
 * @errp: why it failed
 *
 * Return: 1; 0 if there is none by then; or a negative errno, once the queue is
 * of no more use.
 */
int vh_plain_take(struct vh_plain *plain, unsigned queue,
                  struct vh_ring_used *used, int64_t deadline,
                  struct vhost_error **errp);

/**
 * vh_plain_do() - put a buffer, and wait until it has been used
 * @plain: open; nothing else is in flight in the queue
 * @queue: of it
 * @sg: as vh_ring_add() has it, @n_out pieces and then @n_in
 * @n_out: pieces that the device reads
 * @n_in: pieces that it writes
 * @errp: why it failed
 *
 * Return: bytes that the device wrote; -ETIMEDOUT after options.request_ms:
 * then the queue is of no more use, as the device may still write; or a
 * negative errno.
 */
int64_t vh_plain_do(struct vh_plain *plain, unsigned queue,
                    const struct vh_sg *sg, unsigned n_out, unsigned n_in,
                    struct vhost_error **errp);

#endif
