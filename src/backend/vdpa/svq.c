/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shadow queue in place of a queue of the device.
 *
 * The device goes on seeing guest memory by guest-physical addresses: so what
 * is mapped is the same with and without shadows, and to switch costs no
 * message for guest memory, however much there is.  The rings of our own are
 * mapped beside it, at the upper end of what the device reaches, where no
 * guest has memory.  (A buffer at guest-physical address 0 alone can't be
 * forwarded: 0 is no address of a shadow's.)
 *
 * Everything runs from the owner's dispatch: an epoll fd holds the guest's
 * kicks and the device's calls.  A driver that never kicks is looked after
 * whenever dispatch is called.
 */
#include "backend/vdpa/entries.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/ops.h"
#include "backend/upcalls.h"
#include "mem/dirty.h"
#include "ring/layout.h"
#include "svq/net-state.h"
#include "util/error.h"
#include "util/fd.h"

#define EVENTS 64
#define RING_SPACE (UINT64_C(1) << 32)
#define REACH_LAST ((UINT64_C(1) << 47) - 1) /* of most IOMMUs */
#define RING_FEATURES                                                       \
    (UINT64_C(1) << VH_RING_F_EVENT_IDX | UINT64_C(1) << VH_RING_F_PACKED | \
     UINT64_C(1) << VH_RING_F_IN_ORDER)

int vh_vdpa_svqs_init(struct vhost_vdpa *vdpa)
{
    vdpa->n_queues = vdpa->dev->nvqs;
    vdpa->queues = calloc(vdpa->n_queues, sizeof(*vdpa->queues));
    if (!vdpa->queues) {
        return vh_be_fail(vdpa->dev, -ENOMEM, "malloc", VH_NO_QUEUE,
                          "out of memory");
    }
    for (unsigned i = 0; i < vdpa->n_queues; i++) {
        struct vh_vdpa_queue *q = &vdpa->queues[i];

        q->ring = VH_SHM_NULL;
        q->kick = q->call = -1;
        q->device_kick.fd = q->device_call.fd = -1;
    }
    vdpa->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return vdpa->epoll_fd >= 0
               ? 0
               : vh_be_fail(vdpa->dev, -errno, "epoll_create", VH_NO_QUEUE,
                            "no epoll fd: %s", strerror(errno));
}

int vh_vdpa_get_fd(struct vhost_dev *dev)
{
    return ((const struct vhost_vdpa *)dev->opaque)->epoll_fd;
}

void vh_vdpa_svqs_memory(struct vhost_vdpa *vdpa,
                         const struct vhost_memory_section *table, size_t n,
                         bool add)
{
    for (size_t i = 0; vdpa->iova && i < n; i++) {
        const struct vh_iova_range range = { .iova = table[i].gpa,
                                             .gpa = table[i].gpa,
                                             .hva = table[i].hva,
                                             .size = table[i].size };

        /* One that does not fit in is not found: its buffers are refused. */
        if (add) {
            vh_iova_add(vdpa->iova, &range);
        } else {
            vh_iova_remove(vdpa->iova, range.iova);
        }
    }
}

static int iova_up(struct vhost_vdpa *vdpa)
{
    uint64_t first = vdpa->info.iova_first, last = vdpa->info.iova_last;
    int r = 0;

    if (last > REACH_LAST && first < REACH_LAST - RING_SPACE) {
        last = REACH_LAST;
    }
    if (last - first > RING_SPACE) {
        first = last - RING_SPACE + 1;
    }
    if (!vdpa->iova) {
        r = vh_iova_new(&vdpa->iova, first, last);
        vh_vdpa_svqs_memory(vdpa, vdpa->mapped, vdpa->n_mapped, true);
    }
    return r;
}

static int map_ring(struct vhost_vdpa *vdpa, const struct vh_vdpa_queue *q,
                    bool map)
{
    const struct vhost_iotlb_msg msg = {
        .iova = q->ring_iova,
        .size = q->ring.len,
        .uaddr = (uint64_t)(uintptr_t)q->ring.addr,
        .perm = VHOST_ACCESS_RW,
        .type = map ? VHOST_IOTLB_UPDATE : VHOST_IOTLB_INVALIDATE,
    };
    bool apart = vdpa->alone && q == &vdpa->queues[vdpa->cvq];
    int r;

    pthread_mutex_lock(&vdpa->lock);
    r = vh_vdpa_send(vdpa, apart ? VH_VDPA_CVQ_ASID : 0, &msg);
    pthread_mutex_unlock(&vdpa->lock);
    return r;
}

static void ring_down(struct vhost_vdpa *vdpa, struct vh_vdpa_queue *q)
{
    if (!q->ring.addr) {
        return;
    }
    if (vdpa->fd >= 0) {
        map_ring(vdpa, q, false); /* after a reset it may be gone already */
    }
    vh_iova_remove(vdpa->iova, q->ring_iova);
    vh_shm_free(&q->ring);
}

static uint64_t up_to(uint64_t at, uint64_t align)
{
    return (at + align - 1) & ~(align - 1);
}

/* Memory for a ring, and the device sees it. */
static int ring_up(struct vhost_vdpa *vdpa, struct vh_vdpa_queue *q,
                   size_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct vh_iova_range range = { .gpa = VH_IOVA_NO_GPA };
    int r = vh_shm_new_sealed_if_possible(&q->ring, "vhost-shadow", size);

    if (r < 0) {
        return r;
    }
    range.hva = q->ring.addr;
    range.size = q->ring.len;
    r = vh_iova_alloc(vdpa->iova, &range, page);
    if (r < 0) {
        vh_shm_free(&q->ring);
        return r;
    }
    q->ring_iova = range.iova;
    r = map_ring(vdpa, q, true);
    if (r < 0) {
        vh_vdpa_map_failed(vdpa, r, range.iova, range.size);
        ring_down(vdpa, q);
    }
    return r;
}

static void mark(void *arg, uint64_t gpa, uint64_t len)
{
    struct vhost_log *log = ((struct vhost_vdpa *)arg)->log;

    if (log && len > 0) { /* every log of a map is the first of these */
        uint64_t first = gpa / VHOST_LOG_PAGE;

        vh_dirty_mark((struct vh_dirty *)log, first,
                      (gpa + (len - 1)) / VHOST_LOG_PAGE - first + 1);
    }
}

void vh_vdpa_svqs_mark(struct vhost_vdpa *vdpa)
{
    for (unsigned i = 0; i < vdpa->n_queues; i++) {
        if (vdpa->queues[i].svq) {
            vh_svq_set_mark(vdpa->queues[i].svq, vdpa->log ? mark : NULL, vdpa);
        }
    }
}

/* Of the shadow ring: where the device finds its three areas. */
static struct vhost_vring_addr device_addr(const struct vh_vdpa_queue *q,
                                           const struct vh_ring_config *ring)
{
    const char *at = q->ring.addr;

    return (struct vhost_vring_addr){
        .desc_user_addr = q->ring_iova,
        .avail_user_addr =
            q->ring_iova + (uint64_t)((const char *)ring->driver - at),
        .used_user_addr =
            q->ring_iova + (uint64_t)((const char *)ring->device - at),
    };
}

static int notifiers_up(struct vhost_vdpa *vdpa, struct vh_vdpa_queue *q)
{
    uint32_t i = (uint32_t)(q - vdpa->queues);
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
    int r = vhost_notifier_init(&q->device_kick, false);

    if (r == 0) {
        r = vhost_notifier_init(&q->device_call, false);
    }
    if (r == 0 && epoll_ctl(vdpa->epoll_fd, EPOLL_CTL_ADD, q->device_call.fd,
                            &event) < 0) {
        r = -errno;
    }
    if (r == 0 && q->kick >= 0 &&
        epoll_ctl(vdpa->epoll_fd, EPOLL_CTL_ADD, q->kick, &event) < 0) {
        r = -errno;
    }
    return r;
}

static void notifiers_down(struct vhost_vdpa *vdpa, struct vh_vdpa_queue *q)
{
    if (q->kick >= 0) { /* and the other goes when it is closed */
        epoll_ctl(vdpa->epoll_fd, EPOLL_CTL_DEL, q->kick, NULL);
    }
    vhost_notifier_cleanup(&q->device_call);
    vhost_notifier_cleanup(&q->device_kick);
}

static int make_svq(struct vhost_vdpa *vdpa, struct vh_vdpa_queue *q,
                    struct vhost_vring_addr *addr)
{
    uint64_t features = vdpa->features & RING_FEATURES;
    struct vh_ring_sizes sizes = vh_ring_sizes(q->num, features);
    size_t driver = up_to(sizes.desc, 64);
    size_t device = up_to(driver + sizes.driver, 64);
    struct vh_svq_config config = {
        .guest = { .size = q->num,
                   .features =
                       vdpa->features &
                       (RING_FEATURES | UINT64_C(1) << VH_RING_F_INDIRECT_DESC),
                   .desc = q->addr.desc_user_addr,
                   .driver = q->addr.avail_user_addr,
                   .device = q->addr.used_user_addr,
                   .base = q->base },
        .shadow = { .size = q->num,
                    .features = features,
                    .base = vh_ring_first_base(features) },
        .iova = vdpa->iova,
        .guest_kick = q->kick,
        .guest_call = q->call,
        .device_kick = q->device_kick.fd,
        .device_call = q->device_call.fd,
        .mark = vdpa->log ? mark : NULL,
        .mark_arg = vdpa,
    };
    size_t len = up_to(device + sizes.device, 64);
    bool bounces = vdpa->wants_cvq && (unsigned)(q - vdpa->queues) == vdpa->cvq;
    int r = ring_up(vdpa, q, len + (bounces ? (q->num + 1) * VH_VDPA_SLOT : 0));

    if (r < 0) {
        return r;
    }
    if (bounces) {
        vh_vdpa_cvq_bounce(vdpa, &config.bounce, len);
    }
    config.shadow.desc = q->ring.addr;
    config.shadow.driver = (char *)q->ring.addr + driver;
    config.shadow.device = (char *)q->ring.addr + device;
    *addr = device_addr(q, &config.shadow);
    return vh_svq_new(&q->svq, &config);
}

static void queue_down(struct vhost_vdpa *vdpa, struct vh_vdpa_queue *q)
{
    vh_svq_free(q->svq);
    q->svq = NULL;
    notifiers_down(vdpa, q);
    ring_down(vdpa, q);
}

int vh_vdpa_svq_up(struct vhost_vdpa *vdpa, unsigned i)
{
    struct vh_vdpa_queue *q = &vdpa->queues[i];
    struct vh_vdpa_queue own = *q;
    int r = q->svq ? -EEXIST : iova_up(vdpa);

    if (r == -EEXIST) {
        return 0;
    }
    if (r == 0) {
        r = notifiers_up(vdpa, q);
    }
    if (r == 0) {
        r = make_svq(vdpa, q, &own.addr);
    }
    if (r < 0) {
        queue_down(vdpa, q);
        return vh_be_fail(vdpa->dev, r, "shadow queues", (int)i,
                          "%s: no shadow of queue %d: %s", vdpa->name,
                          vdpa->dev->vq_index + (int)i, strerror(-r));
    }
    own.base = vh_ring_first_base(vdpa->features);
    own.kick = q->device_kick.fd;
    own.call = q->device_call.fd;
    r = vh_vdpa_tell_queue(vdpa, i, &own);
    if (r < 0) {
        queue_down(vdpa, q);
    }
    return r;
}

void vh_vdpa_svq_down(struct vhost_vdpa *vdpa, unsigned i, uint32_t *base)
{
    struct vh_vdpa_queue *q = &vdpa->queues[i];

    pthread_mutex_lock(&vdpa->svq_lock);
    if (q->svq) {
        vh_svq_stop(q->svq, base);
        queue_down(vdpa, q);
    }
    pthread_mutex_unlock(&vdpa->svq_lock);
}

void vh_vdpa_svqs_free(struct vhost_vdpa *vdpa)
{
    for (unsigned i = 0; vdpa->queues && i < vdpa->n_queues; i++) {
        queue_down(vdpa, &vdpa->queues[i]);
    }
    free(vdpa->queues);
    vdpa->queues = NULL;
    vdpa->n_queues = 0;
    vh_iova_free(vdpa->iova);
    vdpa->iova = NULL;
    vh_fd_close(&vdpa->epoll_fd);
    vdpa->shadowed = vdpa->halted = vdpa->alone = false;
    vdpa->cvq = UINT_MAX;
    vh_net_state_free(vdpa->net);
    vdpa->net = NULL;
    vdpa->log = NULL;
    vdpa->config_fd = -1;
}

/* A driver that broke its own ring harms itself alone. */
static int run(struct vhost_vdpa *vdpa, unsigned i)
{
    struct vh_vdpa_queue *q = &vdpa->queues[i];
    unsigned queue = (unsigned)vdpa->dev->vq_index + i;
    const char *why = NULL;
    bool by_device = false;

    pthread_mutex_lock(&vdpa->svq_lock);
    if (q->svq && vh_svq_run(q->svq) < 0) {
        why = vh_svq_broken(q->svq, &by_device);
    }
    pthread_mutex_unlock(&vdpa->svq_lock);
    if (!why || !by_device) {
        return 0;
    }
    return vh_be_fail(vdpa->dev, -EPROTO, "dispatch", (int)queue,
                      "%s: queue %u: the device breaks the rules of its ring: "
                      "%s",
                      vdpa->name, queue, why);
}

void vh_vdpa_svqs_run(struct vhost_vdpa *vdpa)
{
    for (unsigned i = 0; i < vdpa->n_queues; i++) {
        run(vdpa, i); /* what is broken is told by dispatch */
    }
}

int vh_vdpa_dispatch(struct vhost_dev *dev)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    struct epoll_event events[EVENTS];
    int r = 0, n;

    if (!dev->started || vdpa->halted) {
        return 0;
    }
    n = epoll_wait(vdpa->epoll_fd, events, EVENTS, 0);
    for (int k = 0; r == 0 && k < n; k++) {
        r = run(vdpa, events[k].data.u32);
    }
    for (unsigned i = 0; r == 0 && i < vdpa->n_queues; i++) {
        r = vdpa->queues[i].kick < 0 ? run(vdpa, i) : 0;
    }
    return r;
}
