/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * postcopy-exercise PATH: frames through a network back end that sends
 * back what it gets, out of and into memory that has not arrived.
 *
 * Rings are there; each frame lies on a page that is not, and so does the room
 * for each that comes back.  A thread brings them, one page for each fault.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vhost/postcopy.h>
#include <vhost/vhost.h>

#include "ring/ring.h"

#define PAGE 4096u
#define GPA UINT64_C(0x40000000)
#define RINGS 16u   /* pages that are there */
#define FRAMES 400u /* and as many pages for each direction */
#define SIZE 64u
#define HEADER 12u
#define FRAME 1000u
#define DEADLINE_S 30

static struct world {
    struct vhost_user *user;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[2];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[2];
    struct vhost_notifier kick[2], call[2];
    struct vhost_memory_section memory;
    struct vh_ring *rings[2]; /* what is received, what is sent */
    pthread_t bringer;
    atomic_bool arrived;
    unsigned char brought[RINGS + 2 * FRAMES]; /* the bringer's, then ours */
    unsigned n_brought[2]; /* to be written to, to be sent */
} w;

static uint64_t gpa_of(bool sent, unsigned number)
{
    return GPA + (RINGS + (sent ? FRAMES : 0) + number) * (uint64_t)PAGE;
}

static unsigned char *at(uint64_t gpa)
{
    return (unsigned char *)w.memory.hva + (gpa - GPA);
}

static void frame(unsigned number, unsigned char *to)
{
    memset(to, 0, HEADER);
    for (unsigned i = 0; i < FRAME; i++) {
        to[HEADER + i] = (unsigned char)(number * 31 + i * 7);
    }
    memset(to + HEADER, 0x02, 12); /* addresses */
    to[HEADER + 14] = (unsigned char)number;
    to[HEADER + 15] = (unsigned char)(number >> 8);
}

static void bring(uint64_t gpa)
{
    unsigned page = (unsigned)((gpa - GPA) / PAGE);

    /* Of rooms a byte is enough to make the page. */
    if (page >= RINGS + FRAMES) {
        frame(page - RINGS - FRAMES, at(GPA + page * (uint64_t)PAGE));
        w.n_brought[1] += !w.brought[page];
    } else {
        at(GPA + page * (uint64_t)PAGE)[PAGE - 1] = 0x5a;
        w.n_brought[0] += page >= RINGS && !w.brought[page];
    }
    w.brought[page] = 1;
    vhost_user_postcopy_wake(w.user, GPA + page * (uint64_t)PAGE, PAGE);
}

static void *bring_pages(void *arg)
{
    struct pollfd pfd = { .fd = vhost_user_postcopy_fd(w.user),
                          .events = POLLIN };
    uint64_t gpa;

    (void)arg;
    while (!w.arrived) {
        while (poll(&pfd, 1, 20) > 0 &&
               vhost_user_postcopy_fault(w.user, &gpa) > 0) {
            bring(gpa);
        }
    }
    return NULL;
}

static void check(int r, const char *what)
{
    if (r < 0) {
        errx(1, "%s: %s", what,
             vhost_error_message(vhost_dev_get_error(&w.dev)));
    }
}

static void init(const char *path)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_user_options options = {
        .size = sizeof(options),
        .path = path,
    };
    struct vhost_error *e = NULL;

    w.dev.map = vhost_memory_map_new();
    w.dev.vqs = w.vqs;
    w.dev.nvqs = 2;
    w.user = vhost_user_new(&options, &e);
    if (vhost_dev_init(&w.dev, w.user, VHOST_BACKEND_TYPE_USER, 0, &e) < 0 ||
        vhost_user_postcopy_advise(w.user, &e) < 0 ||
        vhost_user_postcopy_listen(w.user, &e) < 0) {
        errx(1, "%s", vhost_error_message(e));
    }
    vhost_ack_features(&w.dev, bits, UINT64_MAX);
    if (pthread_create(&w.bringer, NULL, bring_pages, NULL) != 0) {
        errx(1, "no thread");
    }
}

static void add_memory(void)
{
    struct vhost_error *e = NULL;

    if (vhost_memory_alloc(&w.memory, (RINGS + 2 * FRAMES) * PAGE, 0, &e) < 0) {
        errx(1, "%s", vhost_error_message(e));
    }
    w.memory.gpa = GPA;
    memset(w.memory.hva, 0, RINGS * PAGE);
    vhost_memory_begin(w.dev.map);
    vhost_memory_add(w.dev.map, &w.memory);
    if (vhost_memory_commit(w.dev.map, &e) < 0) {
        errx(1, "%s", vhost_error_message(e));
    }
}

static void start(void)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t ring = GPA + i * 3 * PAGE;
        struct vh_ring_config config = { .size = SIZE,
                                         .features = w.dev.acked_features,
                                         .desc = at(ring),
                                         .driver = at(ring + PAGE),
                                         .device = at(ring + 2 * PAGE) };

        vhost_notifier_init(&w.kick[i], false);
        vhost_notifier_init(&w.call[i], false);
        w.queues[i] = (struct vhost_vdev_queue){ .size = SIZE,
                                                 .desc = ring,
                                                 .avail = ring + PAGE,
                                                 .used = ring + 2 * PAGE,
                                                 .kick_fd = w.kick[i].fd,
                                                 .call_fd = w.call[i].fd };
        if (vh_ring_new(&w.rings[i], &config) < 0) {
            errx(1, "no ring");
        }
    }
    w.vdev =
        (struct vhost_vdev){ .device_id = 1, .nqueues = 2, .queues = w.queues };
    check(vhost_dev_start(&w.dev, &w.vdev, true), "start");
}

static void put(bool sent, unsigned number)
{
    struct vh_sg sg = { .addr = gpa_of(sent, number),
                        .len = HEADER + (sent ? FRAME : FRAME + 500) };

    if (vh_ring_add(w.rings[sent], &sg, sent, !sent, at(sg.addr)) < 0) {
        errx(1, "a ring is full");
    }
}

static void publish(unsigned queue)
{
    if (vh_ring_publish(w.rings[queue])) {
        vhost_notifier_set(&w.kick[queue]);
    }
}

/* Frames come back in order. */
static void check_frame(unsigned number, const struct vh_ring_used *used)
{
    unsigned char want[HEADER + FRAME];
    const unsigned char *got = used->cookie;

    frame(number, want);
    if (used->len != HEADER + FRAME ||
        memcmp(got + HEADER, want + HEADER, FRAME) != 0) {
        errx(1, "frame %u has come back as another, of %u bytes", number,
             used->len);
    }
}

static void exchange(void)
{
    time_t deadline = time(NULL) + DEADLINE_S;
    unsigned n_rooms = 0, n_sent = 0, n_freed = 0, n_back = 0;
    struct vh_ring_used used;

    while (n_back < FRAMES) {
        while (n_rooms < FRAMES && n_rooms - n_back < SIZE) {
            put(false, n_rooms++);
        }
        while (n_sent < FRAMES && n_sent - n_freed < SIZE &&
               n_sent < n_back + SIZE / 2) {
            put(true, n_sent++);
        }
        publish(0);
        publish(1);
        while (vh_ring_take(w.rings[1], &used, 1) == 1) {
            n_freed++;
        }
        while (vh_ring_take(w.rings[0], &used, 1) == 1) {
            check_frame(n_back++, &used);
        }
        check(vhost_dev_dispatch(&w.dev), "dispatch");
        if (time(NULL) > deadline) {
            errx(1, "%u frames sent, %u back", n_sent, n_back);
        }
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
}

int main(int argc, char **argv)
{
    struct vhost_error *e = NULL;

    if (argc != 2) {
        errx(2, "which socket?");
    }
    init(argv[1]);
    add_memory();
    start();
    exchange();
    check(vhost_dev_stop(&w.dev, &w.vdev, true), "stop");
    w.arrived = true;
    pthread_join(w.bringer, NULL);
    if (vhost_user_postcopy_end(w.user, &e) < 0) {
        errx(1, "%s", vhost_error_message(e));
    }
    vhost_dev_cleanup(&w.dev);
    vhost_user_free(w.user);
    vh_ring_free(w.rings[0]);
    vh_ring_free(w.rings[1]);
    printf("%u frames, %u pages of them waited for, and %u of what came back\n",
           FRAMES, w.n_brought[1], w.n_brought[0]);
    return w.n_brought[0] == FRAMES && w.n_brought[1] == FRAMES ? 0 : 1;
}
