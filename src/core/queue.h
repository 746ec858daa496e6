/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues on their way to the back end, and back; see queue.c. */
#ifndef VH_CORE_QUEUE_H
#define VH_CORE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vhost_dev;
struct vhost_memory_section;
struct vhost_vdev;
struct vhost_virtqueue;

/** vh_core_queues_again() - what a new back end has to know before a start */
int vh_core_queues_again(struct vhost_dev *dev);

/** vh_queue_up() - make the notifiers of queue @i, and post them */
int vh_queue_up(struct vhost_dev *dev, unsigned i);

/** vh_queue_down() - close them */
void vh_queue_down(struct vhost_dev *dev, unsigned i);

/** vh_queue_post_start() - hand queue @idx over; settled by a sync */
int vh_queue_post_start(struct vhost_dev *dev, struct vhost_vdev *vdev,
                        struct vhost_virtqueue *vq, unsigned idx);

/** vh_queue_post_addr() - where a started queue is, and whether to log */
int vh_queue_post_addr(struct vhost_dev *dev, struct vhost_virtqueue *vq,
                       unsigned queue);

/** vh_queues_post_stop() - ask started queues back, all in one go; settled by
 * a sync, and then vh_queues_stopped() */
void vh_queues_post_stop(struct vhost_dev *dev, struct vhost_vdev *vdev,
                         unsigned first, unsigned n);

/**
 * vh_queues_stopped() - take them back
 * @dev: a device
 * @vdev: the virtio device
 * @keep: tell the bases to @vdev
 *
 * Return: 0 or the first failure.
 */
int vh_queues_stopped(struct vhost_dev *dev, struct vhost_vdev *vdev,
                      bool keep);

/** vh_queue_kick() - make the back end look at a started queue */
void vh_queue_kick(const struct vhost_vdev *vdev,
                   const struct vhost_virtqueue *vq, unsigned idx);

/** vh_queue_translate() - an address in the table of the back end, or NULL */
void *vh_queue_translate(const struct vhost_memory_section *sections, size_t n,
                         uint64_t gpa, uint64_t size);

#endif
