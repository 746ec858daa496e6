/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A change of guest memory of many regions, and looking an address up in it:
 *
 *     hotplug SOCKET REGIONS
 *
 * The last of REGIONS regions comes and goes.  "compute" is the change without
 * a back end behind it: a table of operations that does nothing.  "commit" has
 * the back end at SOCKET: messages, and the time until it has acknowledged.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vhost/vhost.h>

#define REGION_SIZE (UINT64_C(64) << 10)
#define APART (UINT64_C(1) << 21) /* so that no two are merged */
#define REGIONS_MAX 512
#define ROUNDS 501
#define LOOKUPS 4000000u

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int nothing_init(struct vhost_dev *dev, void *opaque)
{
    dev->opaque = opaque;
    return 0;
}

static void nothing_cleanup(struct vhost_dev *dev)
{
    (void)dev;
}

static unsigned nothing_slots(struct vhost_dev *dev)
{
    (void)dev;
    return REGIONS_MAX;
}

static int nothing_get(struct vhost_dev *dev, uint64_t *features)
{
    (void)dev;
    *features = 0;
    return 0;
}

static int nothing_set(struct vhost_dev *dev, uint64_t features)
{
    (void)dev;
    (void)features;
    return 0;
}

static int nothing_table(struct vhost_dev *dev, struct vhost_memory *mem)
{
    (void)dev;
    (void)mem;
    return 0;
}

static int nothing_call(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    (void)dev;
    (void)file;
    return 0;
}

static const VhostOps nothing = {
    .backend_type = VHOST_BACKEND_TYPE_NONE,
    .vhost_backend_init = nothing_init,
    .vhost_backend_cleanup = nothing_cleanup,
    .vhost_backend_memslots_limit = nothing_slots,
    .vhost_get_features = nothing_get,
    .vhost_set_features = nothing_set,
    .vhost_set_mem_table = nothing_table,
    .vhost_set_vring_call = nothing_call,
};

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void must(int r, struct vhost_error *error)
{
    if (r < 0) {
        errx(1, "%s", error ? vhost_error_message(error) : strerror(-r));
    }
}

/* The last region comes and goes; medians of each. */
static void change(struct vhost_memory_map *map,
                   const struct vhost_memory_section *last, const char *what)
{
    static double came[ROUNDS], went[ROUNDS];
    struct vhost_error *error = NULL;

    for (unsigned i = 0; i < ROUNDS; i++) {
        double begin;

        vhost_memory_begin(map);
        must(vhost_memory_add(map, last), NULL);
        begin = now_us();
        must(vhost_memory_commit(map, &error), error);
        came[i] = now_us() - begin;
        vhost_memory_begin(map);
        must(vhost_memory_remove(map, last->gpa, last->size), NULL);
        begin = now_us();
        must(vhost_memory_commit(map, &error), error);
        went[i] = now_us() - begin;
    }
    qsort(came, ROUNDS, sizeof(came[0]), by_size);
    qsort(went, ROUNDS, sizeof(went[0]), by_size);
    printf("%s: one region comes %.1f us, goes %.1f us\n", what,
           came[ROUNDS / 2], went[ROUNDS / 2]);
}

static void look_up(struct vhost_memory_map *map, unsigned n)
{
    uint32_t random = 1;
    uintptr_t sum = 0;
    double begin = now_us();

    for (unsigned i = 0; i < LOOKUPS; i++) {
        random = random * 1664525u + 1013904223u;
        sum += (uintptr_t)vhost_memory_translate(
            map, (uint64_t)((random >> 8) % n) * APART, 512);
    }
    printf("lookup: %.1f ns%s\n", (now_us() - begin) * 1e3 / LOOKUPS,
           sum == 0 ? " (of nothing)" : "");
}

static void over_user(struct vhost_memory_map *map,
                      const struct vhost_memory_section *last, const char *path)
{
    struct vhost_user_options options = { .size = sizeof(options),
                                          .path = path };
    static struct vhost_virtqueue vq;
    static struct vhost_vdev_queue queue = { .kick_fd = -1, .call_fd = -1 };
    struct vhost_dev dev = { .vqs = &vq, .nvqs = 1, .map = map };
    struct vhost_vdev vdev = { .nqueues = 1, .queues = &queue };
    struct vhost_user_info before, after;
    struct vhost_error *error = NULL;
    struct vhost_user *user = vhost_user_new(&options, &error);

    if (!user) {
        errx(1, "%s", vhost_error_message(error));
    }
    must(vhost_dev_init(&dev, user, VHOST_BACKEND_TYPE_USER, 0, &error), error);
    must(vhost_dev_start(&dev, &vdev, true), NULL);
    vhost_user_get_info(user, &before);
    change(map, last, "commit");
    vhost_user_get_info(user, &after);
    printf("messages for a change: %.2f\n",
           (double)(after.messages - before.messages) / (2.0 * ROUNDS));
    vhost_dev_stop(&dev, &vdev, true);
    vhost_dev_cleanup(&dev);
    vhost_user_free(user);
}

int main(int argc, char **argv)
{
    static struct vhost_memory_section sections[REGIONS_MAX];
    static struct vhost_virtqueue vq;
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct vhost_dev dev = {
        .vqs = &vq, .nvqs = 1, .map = map, .vhost_ops = &nothing
    };
    struct vhost_error *error = NULL;
    unsigned n;

    if (argc != 3 || (n = (unsigned)atoi(argv[2])) < 2 || n > REGIONS_MAX) {
        errx(2, "usage: hotplug SOCKET REGIONS");
    }
    vhost_memory_begin(map);
    for (unsigned i = 0; i < n; i++) {
        must(vhost_memory_alloc(&sections[i], REGION_SIZE, 0, &error), error);
        sections[i].gpa = i * APART;
        if (i < n - 1) {
            must(vhost_memory_add(map, &sections[i]), NULL);
        }
    }
    must(vhost_memory_commit(map, &error), error);
    must(vhost_dev_init(&dev, NULL, VHOST_BACKEND_TYPE_NONE, 0, &error), error);
    change(map, &sections[n - 1], "compute");
    look_up(map, n - 1);
    vhost_dev_cleanup(&dev);
    over_user(map, &sections[n - 1], argv[1]);
    vhost_memory_map_free(map);
    for (unsigned i = 0; i < n; i++) {
        vhost_memory_free(&sections[i]);
    }
    return 0;
}
