/* SPDX-License-Identifier: BSD-3-Clause */
#include "paged.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "check.h"

#define POISON 0xa5
#define HALF (PAGED_FRAMES / 2)
#define LOW UINT64_C(0x40000000)
#define HIGH UINT64_C(0x100000000)
#define IN_HALF (PAGED_RINGS / 2 * PAGED_PAGE)

unsigned paged_pick(struct paged *g, unsigned n)
{
    g->seed = g->seed * 1103515245u + 12345u;
    return (g->seed >> 8) % n;
}

/* Frames */

uint64_t paged_gpa(const struct paged *g, int frame)
{
    unsigned f = (unsigned)frame;

    return g->memory[f / HALF].gpa + (uint64_t)(f % HALF) * PAGED_PAGE;
}

unsigned char *paged_frame(struct paged *g, int frame)
{
    unsigned f = (unsigned)frame;

    return (unsigned char *)g->memory[f / HALF].hva + f % HALF * PAGED_PAGE;
}

static void check_poisoned(struct paged *g, int frame)
{
    const unsigned char *at = paged_frame(g, frame);

    for (unsigned i = 0; i < PAGED_PAGE; i++) {
        if (at[i] != POISON) {
            fail_msg("frame %d was written to after it was given up", frame);
        }
    }
}

void paged_check_poison(struct paged *g)
{
    for (int f = 0; f < (int)PAGED_FRAMES; f++) {
        if (g->frame_of[f] < 0) {
            check_poisoned(g, f);
        }
    }
}

static int free_frame(struct paged *g)
{
    int f = (int)paged_pick(g, PAGED_FRAMES);

    while (g->frame_of[f] >= 0) {
        f = (f + 1) % (int)PAGED_FRAMES;
    }
    return f;
}

/* The page is in the frame from now on, for the driver and for the device. */
static void place(struct paged *g, unsigned page, int frame)
{
    const struct vhost_memory_section *s = &g->memory[(unsigned)frame / HALF];
    off_t offset = (off_t)(s->fd_offset + (unsigned)frame % HALF * PAGED_PAGE);
    void *at =
        mmap(g->window + page * PAGED_PAGE, PAGED_PAGE, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, s->fd, offset);

    assert_true(at != MAP_FAILED);
    g->frame_of[frame] = (int)page;
    g->pages[page].frame = frame;
}

void paged_move(struct paged *g, unsigned page)
{
    struct paged_page *p = &g->pages[page];
    int old = p->frame;
    int new = free_frame(g);

    p->frame = PAGED_MOVING;
    assert_int_equal(vhost_iommu_invalidate(&g->vdev,
                                            PAGED_IOVA + page * PAGED_PAGE,
                                            PAGED_PAGE, VHOST_IOMMU_UNMAP),
                     0);
    check_poisoned(g, new);
    memcpy(paged_frame(g, new), paged_frame(g, old), PAGED_PAGE);
    memset(paged_frame(g, old), POISON, PAGED_PAGE);
    g->frame_of[old] = -1;
    place(g, page, new);
}

void *paged_at(struct paged *g, uint64_t iova)
{
    return g->window + (iova - PAGED_IOVA);
}

/* What the device's owner does */

static int translate(struct vhost_vdev *vdev, uint64_t iova, bool write,
                     struct vhost_iommu_entry *entry)
{
    struct paged *g = vdev->opaque;
    uint64_t page = (iova - PAGED_IOVA) / PAGED_PAGE;
    struct paged_page *p = &g->pages[page];

    g->n_asked++;
    if (iova < PAGED_IOVA || page >= PAGED_PAGES || p->frame == PAGED_NOWHERE) {
        return -EFAULT;
    }
    if (p->frame == PAGED_MOVING ||
        (g->slow > 0 && paged_pick(g, g->slow) == 0)) {
        p->wanted = true;
        p->for_write |= write;
        return -EINPROGRESS;
    }
    *entry = (struct vhost_iommu_entry){
        .iova = PAGED_IOVA + page * PAGED_PAGE,
        .size = PAGED_PAGE,
        .gpa = paged_gpa(g, p->frame),
        .access = p->access,
    };
    return 0;
}

static void fault(struct vhost_vdev *vdev, uint64_t iova, bool write)
{
    struct paged *g = vdev->opaque;

    (void)write;
    g->n_faults++;
    g->fault = iova;
}

static void vring_error(struct vhost_vdev *vdev, unsigned queue)
{
    struct paged *g = vdev->opaque;

    g->n_errors[queue]++;
}

static const struct vhost_iommu_ops iommu = { .translate = translate,
                                              .fault = fault };
static const struct vhost_vdev_ops ops = { .vring_error = vring_error };

void paged_pump(struct paged *g)
{
    assert_int_equal(vhost_dev_dispatch(&g->dev), 0);
    for (unsigned i = 0; i < PAGED_PAGES; i++) {
        struct paged_page *p = &g->pages[i];
        bool write = p->for_write;
        int r;

        if (!p->wanted || p->frame == PAGED_MOVING) {
            continue;
        }
        p->wanted = p->for_write = false;
        r = vhost_device_iotlb_miss(&g->dev, PAGED_IOVA + i * PAGED_PAGE,
                                    write);
        assert_true(r == 0 || r == -EINPROGRESS || r == -EFAULT);
    }
}

/* Life */

static void memory_up(struct paged *g)
{
    struct vhost_error *err = NULL;

    g->map = vhost_memory_map_new();
    assert_non_null(g->map);
    vhost_memory_begin(g->map);
    for (unsigned i = 0; i < 2; i++) {
        struct vhost_memory_section *s = &g->memory[i];

        assert_int_equal(vhost_memory_alloc(s, HALF * PAGED_PAGE, 0, &err), 0);
        s->gpa = i == 0 ? LOW : HIGH;
        memset(s->hva, POISON, s->size);
        assert_int_equal(vhost_memory_add(g->map, s), 0);
    }
    assert_int_equal(vhost_memory_commit(g->map, &err), 0);
    g->window = mmap(NULL, PAGED_PAGES * PAGED_PAGE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g->window != MAP_FAILED);
    for (unsigned f = 0; f < PAGED_FRAMES; f++) {
        g->frame_of[f] = -1;
    }
    for (unsigned p = 0; p < PAGED_PAGES; p++) {
        place(g, p, free_frame(g));
        g->pages[p].access = VHOST_IOMMU_READ_WRITE;
        memset(g->window + p * PAGED_PAGE, 0, PAGED_PAGE);
    }
}

/* Each area passes from one page to the next. */
static void ring_up(struct paged *g, unsigned i)
{
    struct vh_ring_sizes sizes = vh_ring_sizes(PAGED_RING, g->features);
    uint64_t at = PAGED_IOVA + i * IN_HALF;
    uint64_t desc = at + PAGED_PAGE - sizes.desc / 2;
    uint64_t driver = at + 4 * PAGED_PAGE - 64;
    uint64_t device = at + 6 * PAGED_PAGE - 64;
    struct vh_ring_config config = {
        .size = PAGED_RING,
        .features = g->features,
        .desc = paged_at(g, desc),
        .driver = paged_at(g, driver),
        .device = paged_at(g, device),
        .base = vh_ring_first_base(g->features),
        .indirect = paged_at(g, at + 7 * PAGED_PAGE),
        .indirect_gpa = at + 7 * PAGED_PAGE,
        .indirect_len = 4,
    };

    assert_true(PAGED_RING * 4 * sizeof(struct vh_desc) <= PAGED_PAGE);
    assert_int_equal(vh_ring_new(&g->rings[i], &config), 0);
    assert_int_equal(vhost_notifier_init(&g->kick[i], false), 0);
    assert_int_equal(vhost_notifier_init(&g->call[i], false), 0);
    g->queues[i] = (struct vhost_vdev_queue){ .size = PAGED_RING,
                                              .base = config.base,
                                              .desc = desc,
                                              .avail = driver,
                                              .used = device,
                                              .kick_fd = g->kick[i].fd,
                                              .call_fd = g->call[i].fd };
}

static void *serve(void *arg)
{
    struct paged *g = arg;

    while (!g->stop) {
        vhost_server_run(g->server, 20, NULL);
    }
    return NULL;
}

static void device_up(struct paged *g, struct vhost_server_device *device,
                      unsigned timeout_ms)
{
    static const int bits[] = { 15, 17, 28,
                                29, 32, 33,
                                34, 35, VHOST_INVALID_FEATURE_BIT };
    struct vhost_server_options options = { .size = sizeof(options),
                                            .offer_features = UINT64_C(1) << 33,
                                            .iotlb_timeout_ms = timeout_ms };
    struct vhost_user_options how = { .size = sizeof(how) };
    struct vhost_error *err = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                     0);
    g->server = vhost_server_new_fd(pair[1], device, &options, &err);
    if (!g->server) {
        fail_msg("%s", vhost_error_message(err));
    }
    assert_int_equal(pthread_create(&g->thread, NULL, serve, g), 0);
    g->user = vhost_user_new_fd(pair[0], &how, &err);
    g->dev.vqs = g->vqs;
    g->dev.nvqs = g->vdev.nqueues;
    g->dev.map = g->map;
    if (!g->user || vhost_dev_init(&g->dev, g->user, VHOST_BACKEND_TYPE_USER, 0,
                                   &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    assert_int_equal(g->features & ~g->dev.features, 0);
    vhost_ack_features(&g->dev, bits, g->features);
}

void paged_up(struct paged *g, struct vhost_server_device *device,
              unsigned n_queues, uint64_t features, unsigned timeout_ms)
{
    memset(g, 0, sizeof(*g));
    g->features = features | UINT64_C(3) << 32;
    g->seed = 4711;
    memory_up(g);
    for (unsigned i = 0; i < n_queues; i++) {
        ring_up(g, i);
    }
    g->vdev = (struct vhost_vdev){ .nqueues = n_queues,
                                   .queues = g->queues,
                                   .ops = &ops,
                                   .iommu = &iommu,
                                   .opaque = g };
    device_up(g, device, timeout_ms);
}

void paged_down(struct paged *g)
{
    vhost_dev_cleanup(&g->dev);
    vhost_user_free(g->user);
    g->stop = true;
    pthread_join(g->thread, NULL);
    vhost_server_free(g->server);
    paged_check_poison(g);
    vhost_memory_map_free(g->map);
    vhost_memory_free(&g->memory[0]);
    vhost_memory_free(&g->memory[1]);
    munmap(g->window, PAGED_PAGES * PAGED_PAGE);
    for (unsigned i = 0; i < g->vdev.nqueues; i++) {
        vh_ring_free(g->rings[i]);
        vhost_notifier_cleanup(&g->kick[i]);
        vhost_notifier_cleanup(&g->call[i]);
    }
}

void paged_start(struct paged *g)
{
    if (vhost_dev_start(&g->dev, &g->vdev, true) < 0) {
        fail_msg("%s", vhost_error_message(vhost_dev_get_error(&g->dev)));
    }
}

void paged_stop(struct paged *g)
{
    assert_int_equal(vhost_dev_stop(&g->dev, &g->vdev, true), 0);
}
