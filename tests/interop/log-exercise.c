/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log-exercise PATH SECTORS: reads from a disk and looks at every page of its
 * memory: was each that has changed in the dirty log, and no other?
 *
 * Before a batch of reads is published the memory is noted.  All that is
 * different afterwards the back end has written, but for the driver's own
 * index of available buffers, which lies in a page of its own.  Memory that a
 * log of another size is needed for comes and goes all the while.
 */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/virtio_blk.h>

#include <vhost/vhost.h>

#include "ring/ring.h"

#define PAGE 4096u
#define SIZE 128u /* entries of the ring */
#define RAM (8u << 20)
#define RAM_GPA UINT64_C(0x40000000)
#define FAR_GPA (UINT64_C(32) << 30)
#define DRIVER_AT 0x2000u  /* the driver's area; a page of its own */
#define DEVICE_AT 0x3e00u  /* the device's area, in two pages */
#define HEADERS_AT 0x6000u /* of requests, then their status */
#define STATUS_AT 0x7000u
#define DATA_AT 0x8000u
#define BATCH 16u
#define BATCHES 60u
#define DEADLINE_S 20

struct world {
    struct vhost_dev dev;
    struct vhost_virtqueue vq;
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queue;
    struct vhost_notifier kick, call;
    struct vhost_memory_map *map;
    struct vhost_memory_section ram, far;
    struct vh_ring *ring;
    unsigned char *noted;
    bool reported[RAM / PAGE];
    bool allowed[RAM / PAGE];
    uint32_t sectors;
    uint32_t at; /* of the next data */
    unsigned seed;
    unsigned n_changed;
};

static void need(int r, struct world *w, struct vhost_error *err)
{
    if (r < 0) {
        errx(1, "%s", vhost_error_message(err ? err : w->dev.error));
    }
}

static unsigned pick(struct world *w, unsigned n)
{
    w->seed = w->seed * 1103515245u + 12345u;
    return (w->seed >> 8) % n;
}

static void *ours(struct world *w, uint32_t at)
{
    return (char *)w->ram.hva + at;
}

static void allow(struct world *w, uint32_t at, uint32_t len)
{
    for (uint32_t p = at / PAGE; p <= (at + len - 1) / PAGE; p++) {
        w->allowed[p] = true;
    }
}

static void change(struct world *w, const struct vhost_memory_section *s,
                   bool come)
{
    struct vhost_error *err = NULL;

    vhost_memory_begin(w->map);
    need(come ? vhost_memory_add(w->map, s)
              : vhost_memory_remove(w->map, s->gpa, s->size),
         w, NULL);
    need(vhost_memory_commit(w->map, &err), w, err);
}

static void ring_up(struct world *w)
{
    struct vh_ring_config config = {
        .size = SIZE,
        .features = UINT64_C(1) << 32,
        .desc = ours(w, 0),
        .driver = ours(w, DRIVER_AT),
        .device = ours(w, DEVICE_AT),
    };

    memset(ours(w, 0), 0, DATA_AT);
    need(vh_ring_new(&w->ring, &config), w, NULL);
    need(vhost_notifier_init(&w->kick, false), w, NULL);
    need(vhost_notifier_init(&w->call, false), w, NULL);
    w->queue = (struct vhost_vdev_queue){ .size = SIZE,
                                          .desc = RAM_GPA,
                                          .avail = RAM_GPA + DRIVER_AT,
                                          .used = RAM_GPA + DEVICE_AT,
                                          .kick_fd = w->kick.fd,
                                          .call_fd = w->call.fd };
    w->vdev = (struct vhost_vdev){ .nqueues = 1, .queues = &w->queue };
}

static void up(struct world *w, const char *path)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_user_options options = { .size = sizeof(options),
                                          .path = path };
    struct vhost_error *err = NULL;
    struct vhost_user *user = vhost_user_new(&options, &err);
    const char *blocker;

    w->map = vhost_memory_map_new();
    w->noted = malloc(RAM);
    need(user && w->map && w->noted ? 0 : -1, w, err);
    need(vhost_memory_alloc(&w->ram, RAM, 0, &err), w, err);
    need(vhost_memory_alloc(&w->far, 1 << 20, 0, &err), w, err);
    w->ram.gpa = RAM_GPA;
    w->far.gpa = FAR_GPA;
    memset(w->ram.hva, 0xee, RAM);
    change(w, &w->ram, true);
    ring_up(w);
    w->dev.vqs = &w->vq;
    w->dev.nvqs = 1;
    w->dev.map = w->map;
    need(vhost_dev_init(&w->dev, user, VHOST_BACKEND_TYPE_USER, 0, &err), w,
         err);
    blocker = vhost_dev_migration_blocker(&w->dev);
    if (blocker) {
        errx(1, "it can't be migrated: %s", blocker);
    }
    vhost_ack_features(&w->dev, bits, w->dev.features);
    need(vhost_dev_start(&w->dev, &w->vdev, true), w, NULL);
}

static void add_read(struct world *w, unsigned i)
{
    uint32_t len = 512 * (1 + pick(w, 64));
    struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };
    uint32_t header_at = HEADERS_AT + i * (uint32_t)sizeof(header);
    struct vh_sg sg[3];

    header.sector = pick(w, w->sectors - 64);
    memcpy(ours(w, header_at), &header, sizeof(header));
    w->at += 512 * pick(w, 12);
    if (w->at < DATA_AT || w->at + len > RAM) {
        w->at = DATA_AT;
    }
    sg[0] = (struct vh_sg){ RAM_GPA + header_at, sizeof(header) };
    sg[1] = (struct vh_sg){ RAM_GPA + w->at, len };
    sg[2] = (struct vh_sg){ RAM_GPA + STATUS_AT + i, 1 };
    allow(w, w->at, len);
    allow(w, STATUS_AT + i, 1);
    w->at += len;
    memset(ours(w, STATUS_AT + i), 0xff, 1);
    need(vh_ring_add(w->ring, sg, 1, 2, w), w, NULL);
}

static time_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void reap(struct world *w)
{
    time_t end = now() + DEADLINE_S;
    struct vh_ring_used used;

    for (unsigned n = 0; n < BATCH;) {
        int r = vh_ring_take(w->ring, &used, 1);

        if (r < 0 || now() > end) {
            errx(1, "a read was not answered");
        }
        n += (unsigned)r;
        if (r == 0) {
            nap();
        }
    }
    for (unsigned i = 0; i < BATCH; i++) {
        if (*(unsigned char *)ours(w, STATUS_AT + i) != VIRTIO_BLK_S_OK) {
            errx(1, "a read failed");
        }
    }
}

static void report(void *opaque, uint64_t gpa, uint64_t size)
{
    struct world *w = opaque;

    for (uint64_t at = gpa; at < gpa + size; at += PAGE) {
        if (at - RAM_GPA >= RAM) {
            errx(1, "page %#llx was reported, where nobody wrote",
                 (unsigned long long)at);
        }
        w->reported[(at - RAM_GPA) / PAGE] = true;
    }
}

/* How many pages have changed unreported; all of them count once. */
static unsigned look(struct world *w, bool *changed)
{
    struct vhost_error *err = NULL;
    unsigned n = 0;

    for (uint32_t p = 0; p < RAM / PAGE; p++) {
        changed[p] |= p != DRIVER_AT / PAGE &&
                      memcmp(ours(w, p * PAGE), w->noted + p * PAGE, PAGE) != 0;
    }
    need(vhost_log_sync(w->map, report, w, &err), w, err);
    for (uint32_t p = 0; p < RAM / PAGE; p++) {
        n += changed[p] && !w->reported[p];
    }
    return n;
}

static void check(struct world *w)
{
    bool changed[RAM / PAGE] = { false };
    time_t end = now() + 2;
    unsigned n;

    /* Between the write and its mark there is a moment. */
    while ((n = look(w, changed)) > 0) {
        if (now() > end) {
            errx(1, "%u pages have changed that were not in the log", n);
        }
        nap();
    }
    allow(w, DEVICE_AT, 4 + 8 * SIZE + 2);
    for (uint32_t p = 0; p < RAM / PAGE; p++) {
        if (w->reported[p] && !w->allowed[p]) {
            errx(1, "page %#x of the memory was in the log, and not written",
                 p);
        }
        w->n_changed += changed[p];
    }
    memset(w->reported, 0, sizeof(w->reported));
    memset(w->allowed, 0, sizeof(w->allowed));
}

static void batch(struct world *w, bool *far)
{
    for (unsigned i = 0; i < BATCH; i++) {
        add_read(w, i);
    }
    memcpy(w->noted, w->ram.hva, RAM);
    vh_ring_publish(w->ring);
    vhost_notifier_set(&w->kick);
    if (pick(w, 3) == 0) {
        *far = !*far;
        change(w, &w->far, *far);
    }
    reap(w);
    check(w);
}

int main(int argc, char **argv)
{
    static struct world w = { .seed = 9 };
    struct vhost_error *err = NULL;
    bool far = false;

    if (argc != 3) {
        errx(2, "usage: log-exercise PATH SECTORS");
    }
    w.sectors = (uint32_t)atoi(argv[2]);
    up(&w, argv[1]);
    need(vhost_log_start(w.map, &err), &w, err);
    for (unsigned i = 0; i < BATCHES; i++) {
        batch(&w, &far);
    }
    /* Stopped and started again, as at the end of a migration that failed. */
    need(vhost_dev_stop(&w.dev, &w.vdev, true), &w, NULL);
    need(vhost_dev_start(&w.dev, &w.vdev, true), &w, NULL);
    batch(&w, &far);
    need(vhost_log_stop(w.map, &err), &w, err);
    need(vhost_log_start(w.map, &err), &w, err);
    batch(&w, &far);
    need(vhost_dev_stop(&w.dev, &w.vdev, true), &w, NULL);
    printf("%u pages changed, and all of them were in the log\n", w.n_changed);
    return w.n_changed > BATCHES * BATCH ? 0 : 1;
}
