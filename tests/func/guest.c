/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "check.h"

#define RING_ROOM UINT64_C(0x40000) /* for one ring */
#define DRIVER_AT UINT64_C(0x10000)
#define DEVICE_AT UINT64_C(0x20e00) /* each half of a ring in a page */
#define DESC_AT UINT64_C(0xc00)     /* the same for a packed one */
#define BUFFERS (UINT64_C(1) << 20)
#define PATIENCE 5000 /* milliseconds */
#define PACKED(g) ((g)->features >> VH_RING_F_PACKED & 1)

static unsigned n_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

unsigned guest_pick(struct guest *g, unsigned n)
{
    g->seed = g->seed * 1103515245u + 12345u;
    return (g->seed >> 8) % n;
}

/* Memory */

static void area_up(struct guest_area *area, uint64_t gpa, uint64_t size)
{
    assert_int_equal(vhost_memory_alloc(&area->section, size, 0, NULL), 0);
    area->section.gpa = gpa;
    memset(area->section.hva, 0xee, size);
    area->noted = malloc(size);
    area->reported = calloc(size / GUEST_PAGE, sizeof(bool));
    area->allowed = calloc(size / GUEST_PAGE, sizeof(bool));
    assert_true(area->noted && area->reported && area->allowed);
}

static void area_down(struct guest_area *area)
{
    vhost_memory_free(&area->section);
    free(area->noted);
    free(area->reported);
    free(area->allowed);
}

static void area_map(struct guest *g, struct guest_area *area, bool come)
{
    const struct vhost_memory_section *s = &area->section;
    struct vhost_error *err = NULL;

    vhost_memory_begin(g->map);
    assert_int_equal(come ? vhost_memory_add(g->map, s)
                          : vhost_memory_remove(g->map, s->gpa, s->size),
                     0);
    if (vhost_memory_commit(g->map, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    area->mapped = come;
    if (!come) {
        memset(area->reported, 0, s->size / GUEST_PAGE);
    }
}

void guest_far(struct guest *g, bool come)
{
    area_map(g, &g->far, come);
}

static struct guest_area *area_of(struct guest *g, uint64_t gpa)
{
    return gpa >= GUEST_FAR ? &g->far : &g->ram;
}

void *guest_at(struct guest *g, uint64_t gpa)
{
    struct guest_area *area = area_of(g, gpa);

    assert_true(gpa - area->section.gpa < area->section.size);
    return (char *)area->section.hva + (gpa - area->section.gpa);
}

static void set(bool *pages, const struct guest_area *area, uint64_t gpa,
                uint64_t size)
{
    uint64_t at = gpa - area->section.gpa;

    assert_true(at + size <= area->section.size);
    for (uint64_t p = at / GUEST_PAGE;
         size && p <= (at + size - 1) / GUEST_PAGE; p++) {
        pages[p] = true;
    }
}

void guest_allow(struct guest *g, uint64_t gpa, uint64_t size)
{
    struct guest_area *area = area_of(g, gpa);

    set(area->allowed, area, gpa, size);
}

uint64_t guest_buffer(struct guest *g, struct guest_area *area, uint32_t len,
                      bool written)
{
    uint64_t begin = area == &g->ram ? BUFFERS : 0;
    uint64_t at = area->next + guest_pick(g, 6000);

    if (at < begin || at + len > area->section.size) {
        at = begin + guest_pick(g, 6000);
    }
    area->next = at + len;
    if (written) {
        guest_allow(g, area->section.gpa + at, len);
    }
    return area->section.gpa + at;
}

/* Rings */

static void ring_up(struct guest *g, unsigned i)
{
    uint64_t at = GUEST_RAM + i * RING_ROOM;
    struct vh_ring_config config = {
        .size = GUEST_RING,
        .features = g->features,
        .desc = guest_at(g, at + DESC_AT),
        .driver = guest_at(g, at + DRIVER_AT),
        .device = guest_at(g, at + DEVICE_AT),
        .base = vh_ring_first_base(g->features),
    };
    struct vhost_vdev_queue *q = &g->queues[i];

    memset(guest_at(g, at), 0, RING_ROOM);
    assert_int_equal(vh_ring_new(&g->rings[i], &config), 0);
    assert_int_equal(vhost_notifier_init(&g->kick[i], false), 0);
    assert_int_equal(vhost_notifier_init(&g->call[i], false), 0);
    *q = (struct vhost_vdev_queue){ .size = GUEST_RING,
                                    .base = config.base,
                                    .desc = at + DESC_AT,
                                    .avail = at + DRIVER_AT,
                                    .used = at + DEVICE_AT,
                                    .kick_fd = g->kick[i].fd,
                                    .call_fd = g->call[i].fd };
}

/* The device's parts of the rings it may write at any time. */
static void allow_rings(struct guest *g)
{
    struct vh_ring_sizes sizes = vh_ring_sizes(GUEST_RING, g->features);

    for (unsigned i = 0; i < g->n_queues; i++) {
        guest_allow(g, g->queues[i].used, sizes.device);
        if (PACKED(g)) {
            guest_allow(g, g->queues[i].desc, sizes.desc);
        }
    }
}

void guest_publish(struct guest *g, unsigned queue)
{
    vh_ring_publish(g->rings[queue]);
}

void guest_kick(struct guest *g, unsigned queue)
{
    vhost_notifier_set(&g->kick[queue]);
}

struct vh_ring_used guest_take(struct guest *g, unsigned queue)
{
    struct vh_ring_used used;
    int n = 0;

    for (unsigned i = 0; n == 0 && i < PATIENCE; i++) {
        n = vh_ring_take(g->rings[queue], &used, 1);
        if (n == 0) {
            nap();
        }
    }
    if (n != 1) {
        fail_msg("nothing was used in queue %u: %s", queue,
                 g->rings[queue]->broken ? g->rings[queue]->broken : "");
    }
    return used;
}

/* Life */

static void *serve(void *arg)
{
    struct guest *g = arg;

    while (!g->stop) {
        vhost_server_run(g->server, 20, NULL);
    }
    return NULL;
}

void guest_device_up(struct guest *g, struct vhost_server_device *device,
                     const struct vhost_server_options *options)
{
    static const int bits[] = { 15, 17, 28, 29,
                                32, 34, 35, VHOST_INVALID_FEATURE_BIT };
    struct vhost_user_options how = { .size = sizeof(how),
                                      .deadline_ms = 500,
                                      .long_deadline_ms = 500 };
    struct vhost_error *err = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                     0);
    g->server = vhost_server_new_fd(pair[1], device, options, &err);
    if (!g->server) {
        fail_msg("%s", vhost_error_message(err));
    }
    g->stop = false;
    assert_int_equal(pthread_create(&g->thread, NULL, serve, g), 0);
    g->user = vhost_user_new_fd(pair[0], &how, &err);
    g->dev.vqs = g->vqs;
    g->dev.nvqs = g->n_queues;
    g->dev.map = g->map;
    if (!g->user || vhost_dev_init(&g->dev, g->user, VHOST_BACKEND_TYPE_USER, 0,
                                   &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    assert_int_equal(g->features & ~g->dev.features, 0);
    vhost_ack_features(&g->dev, bits, g->features);
}

void guest_server_down(struct guest *g)
{
    if (g->server) {
        g->stop = true;
        pthread_join(g->thread, NULL);
        vhost_server_free(g->server);
        g->server = NULL;
    }
}

void guest_device_down(struct guest *g)
{
    vhost_user_free(g->user);
    guest_server_down(g);
}

void guest_without_device_up(struct guest *g, unsigned n_queues,
                             uint64_t features)
{
    memset(g, 0, sizeof(*g));
    g->n_fds = n_fds();
    g->n_queues = n_queues;
    g->features = features | UINT64_C(1) << 32;
    g->seed = 77;
    g->map = vhost_memory_map_new();
    assert_non_null(g->map);
    area_up(&g->ram, GUEST_RAM, GUEST_RAM_SIZE);
    area_up(&g->far, GUEST_FAR, GUEST_FAR_SIZE);
    area_map(g, &g->ram, true);
    for (unsigned i = 0; i < n_queues; i++) {
        ring_up(g, i);
    }
    g->vdev = (struct vhost_vdev){ .nqueues = n_queues, .queues = g->queues };
}

void guest_without_device_down(struct guest *g)
{
    vhost_memory_map_free(g->map);
    area_down(&g->ram);
    area_down(&g->far);
    for (unsigned i = 0; i < g->n_queues; i++) {
        vh_ring_free(g->rings[i]);
        vhost_notifier_cleanup(&g->kick[i]);
        vhost_notifier_cleanup(&g->call[i]);
    }
    assert_int_equal(n_fds(), g->n_fds);
}

void guest_up(struct guest *g, struct vhost_server_device *device,
              const struct vhost_server_options *options, unsigned n_queues,
              uint64_t features)
{
    guest_without_device_up(g, n_queues, features);
    guest_device_up(g, device, options);
}

void guest_down(struct guest *g)
{
    vhost_dev_cleanup(&g->dev);
    guest_device_down(g);
    guest_without_device_down(g);
}

void guest_start(struct guest *g)
{
    if (vhost_dev_start(&g->dev, &g->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&g->dev)));
    }
}

void guest_stop(struct guest *g)
{
    assert_int_equal(vhost_dev_stop(&g->dev, &g->vdev, true), 0);
}

/* The question */

void guest_note(struct guest *g)
{
    memcpy(g->ram.noted, g->ram.section.hva, g->ram.section.size);
    memcpy(g->far.noted, g->far.section.hva, g->far.section.size);
}

static void report(void *opaque, uint64_t gpa, uint64_t size)
{
    struct guest *g = opaque;
    struct guest_area *area = area_of(g, gpa);

    set(area->reported, area, gpa, size);
}

/* Pages that have changed and were not reported; the first one in *where. */
static unsigned unreported(const struct guest_area *area, bool *changed,
                           uint64_t *where)
{
    const unsigned char *now = area->section.hva;
    unsigned n = 0;

    for (uint64_t p = 0; p < area->section.size / GUEST_PAGE; p++) {
        uint64_t at = p * GUEST_PAGE;

        changed[p] |= memcmp(now + at, area->noted + at, GUEST_PAGE) != 0;
        if (area->mapped && changed[p] && !area->reported[p]) {
            *where = n++ ? *where : area->section.gpa + at;
        }
    }
    return n;
}

static void check_allowed(const struct guest_area *area)
{
    for (uint64_t p = 0; p < area->section.size / GUEST_PAGE; p++) {
        if (area->reported[p] && !area->allowed[p]) {
            fail_msg("page %#llx was reported, which the device did not write",
                     (unsigned long long)(area->section.gpa + p * GUEST_PAGE));
        }
    }
}

static void forget(struct guest_area *area)
{
    memset(area->reported, 0, area->section.size / GUEST_PAGE);
    memset(area->allowed, 0, area->section.size / GUEST_PAGE);
}

static unsigned count(const bool *pages, uint64_t size)
{
    unsigned n = 0;

    for (uint64_t p = 0; p < size / GUEST_PAGE; p++) {
        n += pages[p];
    }
    return n;
}

/* A page may be seen in the moment between the write and its mark. */
void guest_check(struct guest *g)
{
    static bool ram[GUEST_RAM_SIZE / GUEST_PAGE];
    static bool far[GUEST_FAR_SIZE / GUEST_PAGE];
    uint64_t where = 0;
    unsigned n = 1;

    memset(ram, 0, sizeof(ram));
    memset(far, 0, sizeof(far));
    for (unsigned i = 0; n > 0 && i < 1000; i++) {
        if (i > 0) {
            nap();
        }
        n = unreported(&g->ram, ram, &where) + unreported(&g->far, far, &where);
        assert_int_equal(vhost_log_sync(g->map, report, g, NULL), 0);
        n = unreported(&g->ram, ram, &where) + unreported(&g->far, far, &where);
    }
    if (n > 0) {
        fail_msg("%u pages have changed unreported, %#llx is the first", n,
                 (unsigned long long)where);
    }
    allow_rings(g);
    check_allowed(&g->ram);
    check_allowed(&g->far);
    g->n_changed += count(ram, GUEST_RAM_SIZE) + count(far, GUEST_FAR_SIZE);
    forget(&g->ram);
    forget(&g->far);
}
