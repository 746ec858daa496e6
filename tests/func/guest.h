/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest without a VM: memory, rings that it drives by hand, and a device of
 * the embedded back end, which runs in a thread.  And the question of the
 * dirty log: of the pages that the device has changed, which were reported?
 *
 * The guest is its own witness.  It notes its memory when it has written what
 * it wants to (guest_note()), lets the device work, and compares: what is
 * different then, the device did.
 */
#ifndef VH_TESTS_FUNC_GUEST_H
#define VH_TESTS_FUNC_GUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <vhost/server.h>
#include <vhost/vhost.h>

#include "ring/ring.h"

#define GUEST_RAM UINT64_C(0x40000000)
#define GUEST_RAM_SIZE (UINT64_C(8) << 20)
#define GUEST_FAR (UINT64_C(16) << 30) /* a log of another size */
#define GUEST_FAR_SIZE (UINT64_C(1) << 20)
#define GUEST_PAGE UINT64_C(4096)
#define GUEST_QUEUES 3
#define GUEST_RING 128 /* entries */

/* Memory, and what is known of each page of it. */
struct guest_area {
    struct vhost_memory_section section;
    unsigned char *noted;
    bool *reported;
    bool *allowed; /* the device may have written there */
    uint64_t next; /* for guest_buffer() */
    bool mapped;   /* in the map */
};

struct guest {
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[GUEST_QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[GUEST_QUEUES];
    struct vhost_notifier kick[GUEST_QUEUES];
    struct vhost_notifier call[GUEST_QUEUES];
    struct vh_ring *rings[GUEST_QUEUES];
    unsigned n_queues;
    uint64_t features;
    struct vhost_memory_map *map;
    struct guest_area ram;
    struct guest_area far;
    unsigned seed;
    unsigned n_changed; /* pages, in all comparisons */
    unsigned n_fds;     /* before */
};

/** guest_up() - memory, queues, and a device that is not started */
void guest_up(struct guest *g, struct vhost_server_device *device,
              const struct vhost_server_options *options, unsigned n_queues,
              uint64_t features);

/** guest_down() - nothing has leaked */
void guest_down(struct guest *g);

/** guest_without_device_up() - memory and queues; devices come and go
 *
 * guest_device_up() takes up @device.  What it made is let go of, once the
 * device is cleaned up, by guest_device_down(); its back end may be ended
 * before, by guest_server_down().
 */
void guest_without_device_up(struct guest *g, unsigned n_queues,
                             uint64_t features);
void guest_without_device_down(struct guest *g);
void guest_device_up(struct guest *g, struct vhost_server_device *device,
                     const struct vhost_server_options *options);
void guest_device_down(struct guest *g);
void guest_server_down(struct guest *g);

void guest_start(struct guest *g);
void guest_stop(struct guest *g);

/** guest_far() - the far memory comes, or goes */
void guest_far(struct guest *g, bool come);

unsigned guest_pick(struct guest *g, unsigned n);

/** guest_buffer() - where @len bytes are that nobody uses; of any alignment
 * @written: by the device, so that its pages may be reported
 */
uint64_t guest_buffer(struct guest *g, struct guest_area *area, uint32_t len,
                      bool written);

/** guest_at() - ours, of a guest's address */
void *guest_at(struct guest *g, uint64_t gpa);

/** guest_allow() - a range that the device may have written */
void guest_allow(struct guest *g, uint64_t gpa, uint64_t size);

/** guest_note() - what follows is the device's doing */
void guest_note(struct guest *g);

/** guest_kick() - what was added to a queue is there, and the device is told */
void guest_publish(struct guest *g, unsigned queue);
void guest_kick(struct guest *g, unsigned queue);

/** guest_take() - wait for a used buffer, and take it */
struct vh_ring_used guest_take(struct guest *g, unsigned queue);

/** guest_check() - every page that the device has changed is in the log, and
 * none is that it had no business with
 */
void guest_check(struct guest *g);

#endif
