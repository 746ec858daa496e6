/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A start without waiting, of a device whose back end hangs:
 *
 *     hung SOCKET PID QUEUES
 *
 * The back end, which is the process PID, is stopped after the device was
 * taken up.  Prints how long any call has held its caller.
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <vhost/vhost.h>

#define QUEUES_MAX 256
#define ENTRIES 128u
#define RING_BYTES 8192u /* the three areas of a split ring of 128 entries */
#define RAM (64u << 20)

static const int blk_bits[] = {
    28, 29, 32, 33, 2, 6, 9, 12, 13, 14, VHOST_INVALID_FEATURE_BIT,
};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void ok(int r, struct vhost_dev *dev, struct vhost_error *error)
{
    if (r < 0) {
        errx(1, "%s",
             vhost_error_message(error ? error : vhost_dev_get_error(dev)));
    }
}

static void describe_queues(struct vhost_vdev_queue *queues, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t ring = (uint64_t)i * RING_BYTES;

        queues[i] = (struct vhost_vdev_queue){
            .size = ENTRIES,
            .desc = RAM + ring,
            .avail = RAM + ring + 16 * ENTRIES,
            .used = RAM + ring + 4096,
            .kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
            .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        };
    }
}

struct longest {
    double us;
    unsigned n;
    int result;
    bool done;
};

static void on_done(struct vhost_dev *dev, int result, void *opaque)
{
    struct longest *longest = opaque;

    (void)dev;
    longest->result = result;
    longest->done = true;
}

static void note(struct longest *longest, double begin)
{
    double us = now_us() - begin;

    longest->us = us > longest->us ? us : longest->us;
    longest->n++;
}

/* Its back end stands still: begin, and go on until the deadline. */
static void measure(struct vhost_dev *dev, struct vhost_vdev *vdev)
{
    struct pollfd pfd = { .fd = vhost_dev_get_fd(dev), .events = POLLIN };
    struct longest longest = { .us = 0 };
    double began = now_us();

    ok(vhost_dev_start_async(dev, vdev, true, on_done, &longest), dev, NULL);
    note(&longest, began);
    while (!longest.done) {
        double begin;

        poll(&pfd, 1, -1);
        begin = now_us();
        vhost_dev_dispatch(dev);
        note(&longest, begin);
    }
    printf("ended with %s after %.0f ms; %u calls, the longest took %.0f us\n",
           strerror(-longest.result), (now_us() - began) / 1e3, longest.n,
           longest.us);
}

int main(int argc, char **argv)
{
    static struct vhost_virtqueue vqs[QUEUES_MAX];
    static struct vhost_vdev_queue queues[QUEUES_MAX];
    struct vhost_memory_section ram = { .gpa = RAM };
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct vhost_user_options options = { .size = sizeof(options) };
    struct vhost_error *error = NULL;
    struct vhost_user *user;
    unsigned n;

    if (argc != 4 || (n = (unsigned)atoi(argv[3])) < 1 || n > QUEUES_MAX) {
        errx(2, "usage: hung SOCKET PID QUEUES");
    }
    ok(vhost_memory_alloc(&ram, RAM, 0, &error), NULL, error);
    vhost_memory_begin(map);
    ok(vhost_memory_add(map, &ram), NULL, NULL);
    ok(vhost_memory_commit(map, &error), NULL, error);
    describe_queues(queues, n);
    options.path = argv[1];
    options.deadline_ms = options.long_deadline_ms = 500;
    user = vhost_user_new(&options, &error);
    if (!user) {
        errx(1, "%s", vhost_error_message(error));
    }

    struct vhost_dev dev = { .vqs = vqs, .nvqs = n, .map = map };
    struct vhost_vdev vdev = { .device_id = 2, .nqueues = n, .queues = queues };

    ok(vhost_dev_init(&dev, user, VHOST_BACKEND_TYPE_USER, 0, &error), &dev,
       error);
    vhost_ack_features(&dev, blk_bits, ~UINT64_C(0));
    kill(atoi(argv[2]), SIGSTOP);
    measure(&dev, &vdev);
    kill(atoi(argv[2]), SIGCONT);
    vhost_dev_cleanup(&dev);
    vhost_user_free(user);
    vhost_memory_map_free(map);
    vhost_memory_free(&ram);
    return 0;
}
