/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest behind an IOMMU, without a VM: its addresses are pages in an order
 * that has nothing to do with that of its memory, and may move at any time.
 * The driver sees them through a window of its own.
 *
 * A page that is given up is poisoned once the back end has said that it does
 * not use it any more; whoever writes there after that is found out.
 */
#ifndef VH_TESTS_FUNC_PAGED_H
#define VH_TESTS_FUNC_PAGED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <vhost/iommu.h>
#include <vhost/server.h>
#include <vhost/vhost.h>

#include "ring/ring.h"

#define PAGED_PAGE 4096u
#define PAGED_PAGES 256u  /* of the window */
#define PAGED_FRAMES 640u /* of memory, in two regions */
#define PAGED_QUEUES 2u
#define PAGED_RING 64u
#define PAGED_IOVA UINT64_C(0x7f00000000)
#define PAGED_RINGS 16u /* the first pages of the window; each queue has half \
                         */

enum { PAGED_NOWHERE = -1, PAGED_MOVING = -2 };

struct paged_page {
    int frame; /* or PAGED_… */
    unsigned access;
    bool wanted; /* somebody asked, and was told to wait */
    bool for_write;
};

struct paged {
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[PAGED_QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[PAGED_QUEUES];
    struct vhost_notifier kick[PAGED_QUEUES];
    struct vhost_notifier call[PAGED_QUEUES];
    struct vh_ring *rings[PAGED_QUEUES];
    uint64_t features;
    struct vhost_memory_map *map;
    struct vhost_memory_section memory[2];
    struct paged_page pages[PAGED_PAGES];
    unsigned char *window;
    int frame_of[PAGED_FRAMES]; /* the page that is there; -1: none */
    unsigned slow;              /* of how many questions one has to wait */
    unsigned seed;
    unsigned n_asked;
    unsigned n_errors[PAGED_QUEUES];
    unsigned n_faults;
    uint64_t fault;
};

/** paged_up() - memory, and a device that is not started */
void paged_up(struct paged *g, struct vhost_server_device *device,
              unsigned n_queues, uint64_t features, unsigned timeout_ms);
void paged_down(struct paged *g);

void paged_start(struct paged *g);
void paged_stop(struct paged *g);

unsigned paged_pick(struct paged *g, unsigned n);

/** paged_at() - what the driver sees at an address */
void *paged_at(struct paged *g, uint64_t iova);

/** paged_move() - give a page another frame; the old one is poisoned */
void paged_move(struct paged *g, unsigned page);

/** paged_check_poison() - nobody has written to frames that were given up */
void paged_check_poison(struct paged *g);

/** paged_pump() - answer what is asked, also what had to wait */
void paged_pump(struct paged *g);

/** paged_frame() - what lies in a frame, wherever it is seen */
unsigned char *paged_frame(struct paged *g, int frame);

/** paged_gpa() - of a frame */
uint64_t paged_gpa(const struct paged *g, int frame);

#endif
