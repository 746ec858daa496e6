/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What it costs to take up a device and start it, as a VMM does:
 *
 *     start SOCKET QUEUES [REGIONS]
 *
 * Prints messages, round trips and system calls of the control channel, and
 * the time, from connect to running, and for the stop.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <vhost/vhost.h>

#define QUEUES_MAX 256
#define REGIONS_MAX 509
#define REGION (2u << 20)
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

static void report(const char *what, const struct vhost_user_info *from,
                   const struct vhost_user_info *to, double us)
{
    printf("%s messages %llu round-trips %llu syscalls %llu us %.0f\n", what,
           (unsigned long long)(to->messages - from->messages),
           (unsigned long long)(to->round_trips - from->round_trips),
           (unsigned long long)(to->send_calls - from->send_calls +
                                to->recv_calls - from->recv_calls +
                                to->poll_calls - from->poll_calls),
           us);
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

static void measure(struct vhost_dev *dev, struct vhost_user *user,
                    struct vhost_vdev *vdev)
{
    struct vhost_user_info zero = { .messages = 0 }, up, down;
    struct vhost_error *error = NULL;
    double begin = now_us(), started, stopped;

    ok(vhost_dev_init(dev, user, VHOST_BACKEND_TYPE_USER, 0, &error), dev,
       error);
    vhost_ack_features(dev, blk_bits, ~UINT64_C(0));
    ok(vhost_dev_enable_notifiers(dev, vdev), dev, NULL);
    ok(vhost_dev_start(dev, vdev, true), dev, NULL);
    started = now_us();
    vhost_user_get_info(user, &up);

    ok(vhost_dev_stop(dev, vdev, true), dev, NULL);
    stopped = now_us();
    vhost_user_get_info(user, &down);
    vhost_dev_disable_notifiers(dev, vdev);

    report("start", &zero, &up, started - begin);
    report("stop", &up, &down, stopped - started);
}

/* The rings are in the first, and the others behind it with gaps. */
static void fill_map(struct vhost_memory_map *map,
                     struct vhost_memory_section *regions, unsigned n)
{
    struct vhost_error *error = NULL;

    vhost_memory_begin(map);
    for (unsigned i = 0; i < n; i++) {
        ok(vhost_memory_alloc(&regions[i], i ? REGION : RAM, 0, &error), NULL,
           error);
        regions[i].gpa = i ? 2 * RAM + (uint64_t)i * 2 * REGION : RAM;
        ok(vhost_memory_add(map, &regions[i]), NULL, NULL);
    }
    ok(vhost_memory_commit(map, &error), NULL, error);
}

int main(int argc, char **argv)
{
    static struct vhost_virtqueue vqs[QUEUES_MAX];
    static struct vhost_vdev_queue queues[QUEUES_MAX];
    static struct vhost_memory_section regions[REGIONS_MAX];
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct vhost_user_options options = { .size = sizeof(options) };
    struct vhost_error *error = NULL;
    struct vhost_user *user;
    unsigned n, n_regions = argc == 4 ? (unsigned)atoi(argv[3]) : 1;

    if (argc < 3 || argc > 4 || (n = (unsigned)atoi(argv[2])) < 1 ||
        n > QUEUES_MAX || n_regions < 1 || n_regions > REGIONS_MAX) {
        errx(2, "usage: start SOCKET QUEUES [REGIONS]");
    }
    fill_map(map, regions, n_regions);
    describe_queues(queues, n);
    options.path = argv[1];
    user = vhost_user_new(&options, &error);
    if (!user) {
        errx(1, "%s", vhost_error_message(error));
    }

    struct vhost_dev dev = { .vqs = vqs, .nvqs = n, .map = map };
    struct vhost_vdev vdev = { .device_id = 2, .nqueues = n, .queues = queues };

    measure(&dev, user, &vdev);
    vhost_dev_cleanup(&dev);
    vhost_user_free(user);
    vhost_memory_map_free(map);
    for (unsigned i = 0; i < n_regions; i++) {
        vhost_memory_free(&regions[i]);
    }
    return 0;
}
