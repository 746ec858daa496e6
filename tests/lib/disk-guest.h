/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest with a disk, without a VM: it writes to places of an image, drives
 * its ring by hand, and makes nothing available twice.  So what a back end has
 * taken when it is killed has to be finished by the next one, from the
 * in-flight buffer; then the image must hold what was written.
 */
#ifndef VH_TESTS_DISK_GUEST_H
#define VH_TESTS_DISK_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <vhost/vhost.h>

#include "ring/ring.h"

#define DISK_GUEST_GPA UINT64_C(0x40000000)
#define DISK_GUEST_MEMORY (UINT64_C(8) << 20)
#define DISK_GUEST_RING 128u /* entries */
#define DISK_GUEST_DATA 16384u
#define DISK_GUEST_DEPTH 40u /* three descriptors each */
#define DISK_GUEST_PLACES 200u
#define DISK_GUEST_WAIT_MS 20000

struct disk_request {
    bool busy;
    unsigned place;
    unsigned char stamp;
    uint64_t gpa; /* header, status, data */
};

struct disk_guest {
    char dir[64];
    char image[128];
    char socket[128];
    uint64_t hide;                           /* protocol features, for @serve */
    void (*serve)(struct disk_guest *guest); /* sets @server */
    void *serve_arg;
    pid_t server; /* 0: none */
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vq;
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queue;
    struct vhost_notifier kick;
    struct vhost_notifier call;
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct vh_ring *ring;
    struct vhost_inflight inflight;
    struct disk_request requests[DISK_GUEST_DEPTH];
    unsigned char content[DISK_GUEST_PLACES];
    bool touched[DISK_GUEST_PLACES];
    unsigned seed;
    unsigned n_resumed;
    unsigned n_done;
};

/** disk_guest_init() - and make a directory with an image
 * @serve: starts a back end at guest->socket for guest->image; it listens when
 *     this returns
 */
void disk_guest_init(struct disk_guest *guest,
                     void (*serve)(struct disk_guest *guest), void *arg);

/** disk_guest_cleanup() - the back end too */
void disk_guest_cleanup(struct disk_guest *guest);

/** disk_guest_begin() - a back end, a ring with these features, and start */
void disk_guest_begin(struct disk_guest *guest, uint64_t features);

/** disk_guest_start() - the device, with its in-flight buffer */
void disk_guest_start(struct disk_guest *guest);

/** disk_guest_kill() - SIGKILL to the back end */
void disk_guest_kill(struct disk_guest *guest);

/** disk_guest_pick() - a number below @n */
unsigned disk_guest_pick(struct disk_guest *guest, unsigned n);

/** disk_guest_submit_all() - as many writes as there is room for */
void disk_guest_submit_all(struct disk_guest *guest);

/** disk_guest_reap() - those that are done by now */
void disk_guest_reap(struct disk_guest *guest);

/** disk_guest_drain() - wait for all of them, and let the device reconnect */
void disk_guest_drain(struct disk_guest *guest);

/** disk_guest_verify() - the image is as it was written */
void disk_guest_verify(struct disk_guest *guest);

/** disk_guest_outlive() - all of it, with so many kills under way */
void disk_guest_outlive(struct disk_guest *guest, uint64_t features,
                        unsigned kills);

#endif
