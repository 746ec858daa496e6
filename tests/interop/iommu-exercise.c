/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iommu-exercise PATH FRAMES: sends frames to a network back end that sees
 * nothing but IO virtual addresses.
 *
 * Each page of them leads to another page of memory, in backward order, so a
 * back end that takes one for the other sends garbage.  After half of the
 * frames all translations are taken back and shifted.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vhost/vhost.h>

#include "ring/ring.h"

#define PAGE 4096u
#define PAGES 64u
#define GPA UINT64_C(0x40000000)
#define IOVA UINT64_C(0x7f00000000)
#define SIZE 256u
#define FRAME 64u
#define HEADER 12u
#define FIRST_DATA 8u /* pages before: rings */
#define DEADLINE_S 20

struct world {
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[2];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[2];
    struct vhost_notifier kick[2], call[2];
    struct vhost_memory_section memory;
    struct vh_ring *ring; /* of what is sent */
    unsigned shift;       /* of the data pages */
    unsigned n_translated;
};

/* Rings stay where they are: they are in use. */
static unsigned page_of(const struct world *w, unsigned page)
{
    unsigned n = PAGES - FIRST_DATA;

    return page < FIRST_DATA
               ? FIRST_DATA - 1 - page
               : FIRST_DATA + (n - 1 - (page - FIRST_DATA) + w->shift) % n;
}

static void *at(const struct world *w, unsigned page)
{
    return (char *)w->memory.hva + page_of(w, page) * PAGE;
}

static int translate(struct vhost_vdev *vdev, uint64_t iova, bool write,
                     struct vhost_iommu_entry *entry)
{
    struct world *w = vdev->opaque;
    uint64_t page = (iova - IOVA) / PAGE;

    (void)write;
    if (iova < IOVA || page >= PAGES) {
        return -EFAULT;
    }
    w->n_translated++;
    *entry = (struct vhost_iommu_entry){
        .iova = IOVA + page * PAGE,
        .size = PAGE,
        .gpa = GPA + page_of(w, (unsigned)page) * PAGE,
        .access = VHOST_IOMMU_READ_WRITE,
    };
    return 0;
}

static const struct vhost_iommu_ops iommu = { .translate = translate };

static void check(struct world *w, int r, const char *what)
{
    if (r < 0) {
        errx(1, "%s: %s", what,
             vhost_error_message(vhost_dev_get_error(&w->dev)));
    }
}

static void start(struct world *w, const char *path)
{
    static const int bits[] = { 32, 33, VHOST_INVALID_FEATURE_BIT };
    struct vhost_user_options options = { .size = sizeof(options),
                                          .path = path };
    struct vhost_error *e = NULL;
    struct vh_ring_config config = { .size = SIZE };

    w->dev.map = vhost_memory_map_new();
    if (vhost_memory_alloc(&w->memory, PAGES * PAGE, 0, &e) < 0) {
        errx(1, "%s", vhost_error_message(e));
    }
    w->memory.gpa = GPA;
    vhost_memory_begin(w->dev.map);
    vhost_memory_add(w->dev.map, &w->memory);
    vhost_memory_commit(w->dev.map, &e);
    w->dev.vqs = w->vqs;
    w->dev.nvqs = 2;
    if (vhost_dev_init(&w->dev, vhost_user_new(&options, &e),
                       VHOST_BACKEND_TYPE_USER, 0, &e) < 0) {
        errx(1, "%s", vhost_error_message(e));
    }
    vhost_ack_features(&w->dev, bits, UINT64_MAX);
    if (!(w->dev.acked_features >> 33 & 1)) {
        errx(1, "the back end offers no IOMMU");
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t ring = IOVA + i * 3 * PAGE;

        vhost_notifier_init(&w->kick[i], false);
        vhost_notifier_init(&w->call[i], false);
        w->queues[i] = (struct vhost_vdev_queue){ .size = SIZE,
                                                  .desc = ring,
                                                  .avail = ring + PAGE,
                                                  .used = ring + 2 * PAGE,
                                                  .kick_fd = w->kick[i].fd,
                                                  .call_fd = w->call[i].fd };
    }
    config.features = w->dev.acked_features;
    config.desc = at(w, 3);
    config.driver = at(w, 4);
    config.device = at(w, 5);
    if (vh_ring_new(&w->ring, &config) < 0) {
        errx(1, "no ring");
    }
    w->vdev = (struct vhost_vdev){ .device_id = 1,
                                   .nqueues = 2,
                                   .queues = w->queues,
                                   .iommu = &iommu,
                                   .opaque = w };
    check(w, vhost_dev_start(&w->dev, &w->vdev, true), "start");
}

/* Puts one frame on a page of its own; false if the ring is full. */
static bool send_one(struct world *w, unsigned number)
{
    unsigned page = FIRST_DATA + number % (PAGES - FIRST_DATA);
    struct vh_sg sg = { .addr = IOVA + page * PAGE, .len = HEADER + FRAME };
    unsigned char *frame = at(w, page);

    memset(frame, 0, HEADER + FRAME);
    memset(frame + HEADER, 0x02, 12);
    return vh_ring_add(w->ring, &sg, 1, 0, w) == 0;
}

static void send_frames(struct world *w, unsigned n)
{
    time_t deadline = time(NULL) + DEADLINE_S;
    struct vh_ring_used used[SIZE];
    unsigned sent = 0, done = 0;

    while (done < n) {
        struct pollfd pfds[] = {
            { .fd = vhost_dev_get_fd(&w->dev), .events = POLLIN },
            { .fd = w->call[1].fd, .events = POLLIN },
        };
        int got;

        /* No page is used twice at a time. */
        while (sent < n && sent - done < PAGES - FIRST_DATA &&
               send_one(w, sent)) {
            sent++;
        }
        vh_ring_enable_call(w->ring);
        if (vh_ring_publish(w->ring)) {
            vhost_notifier_set(&w->kick[1]);
        }
        poll(pfds, 2, 20);
        vhost_notifier_test_and_clear(&w->call[1]);
        check(w, vhost_dev_dispatch(&w->dev), "dispatch");
        got = vh_ring_take(w->ring, used, SIZE);
        if (got < 0 || time(NULL) > deadline) {
            errx(1, "%u of %u frames were sent", done, n);
        }
        done += (unsigned)got;
    }
}

int main(int argc, char **argv)
{
    static struct world w;
    unsigned n = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    unsigned before;

    if (n == 0) {
        errx(2, "which socket, how many frames?");
    }
    start(&w, argv[1]);
    send_frames(&w, n / 2);
    before = w.n_translated;
    w.shift = 5;
    check(&w,
          vhost_iommu_invalidate(&w.vdev, IOVA + FIRST_DATA * PAGE,
                                 (PAGES - FIRST_DATA) * PAGE,
                                 VHOST_IOMMU_UNMAP),
          "invalidate");
    send_frames(&w, n - n / 2);
    printf("%u frames, %u translations, %u of them after the invalidation\n", n,
           w.n_translated, w.n_translated - before);
    check(&w, vhost_dev_stop(&w.dev, &w.vdev, true), "stop");
    vhost_dev_cleanup(&w.dev);
    vh_ring_free(w.ring);
    return w.n_translated - before >= PAGES - FIRST_DATA ? 0 : 1;
}
