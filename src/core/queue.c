/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One queue: handing it to the back end, and taking it back.
 *
 * All messages of a start are posted; whoever calls settles them with a sync.
 *
 * A base that the back end does not tell at the stop is recovered from the
 * used ring, where that is possible: with a split ring, whatever is not used
 * is then given out again (virtio 1.3, 2.7).  A packed ring keeps no such
 * index in memory.
 */
#include "core/iommu.h"
#include "core/share.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "backend/ops.h"
#include "mem/table.h"
#include "ring/layout.h"
#include "util/atomic.h"
#include "util/error.h"

#define F_VERSION_1 32

static int no_eventfd(struct vhost_dev *dev, int r, unsigned queue)
{
    return vh_be_fail(dev, r, "eventfd", (int)queue,
                      "no eventfd for queue %u: %s", queue, strerror(-r));
}

int vh_queue_up(struct vhost_dev *dev, unsigned i)
{
    struct vhost_virtqueue *vq = &dev->vqs[i];
    unsigned queue = (unsigned)dev->vq_index + i;
    int r;

    vq->masked_notifier.fd = -1;
    vq->error_notifier.fd = -1;
    vq->masked_config_notifier.fd = -1;
    vq->dev = dev;
    /* From the beginning the back end has somewhere to call. */
    r = vhost_notifier_init(&vq->masked_notifier, false);
    if (r < 0) {
        return no_eventfd(dev, r, queue);
    }
    r = vh_be_set_vring_call(dev, queue, vq->masked_notifier.fd);
    if (r == 0 && vh_be_has_vring_err(dev)) {
        r = vhost_notifier_init(&vq->error_notifier, false);
        if (r < 0) {
            no_eventfd(dev, r, queue);
        } else {
            r = vh_be_set_vring_err(dev, queue, vq->error_notifier.fd);
        }
    }
    if (r < 0) {
        vh_queue_down(dev, i);
    }
    return r;
}

int vh_core_queues_again(struct vhost_dev *dev)
{
    int r = vh_be_set_owner(dev);

    for (unsigned i = 0; r == 0 && i < dev->nvqs; i++) {
        const struct vhost_virtqueue *vq = &dev->vqs[i];
        unsigned queue = (unsigned)dev->vq_index + i;

        r = vh_be_set_vring_call(dev, queue, vq->masked_notifier.fd);
        if (r == 0 && vq->error_notifier.fd >= 0) {
            r = vh_be_set_vring_err(dev, queue, vq->error_notifier.fd);
        }
    }
    return r;
}

void vh_queue_down(struct vhost_dev *dev, unsigned i)
{
    struct vhost_virtqueue *vq = &dev->vqs[i];

    vhost_notifier_cleanup(&vq->error_notifier);
    vhost_notifier_cleanup(&vq->masked_notifier);
    vq->dev = NULL;
    vq->masked = false;
}

void *vh_queue_translate(const struct vhost_memory_section *sections, size_t n,
                         uint64_t gpa, uint64_t size)
{
    const struct vhost_memory_section *s =
        vh_mem_table_find(sections, n, gpa, size);

    return s ? (char *)s->hva + (gpa - s->gpa) : NULL;
}

/* One area of a ring: where is it, and is it aligned (2.7, 2.8)? */
static int map_area(struct vhost_dev *dev, unsigned queue, const char *what,
                    uint64_t gpa, unsigned size, unsigned align, void **areap)
{
    void *area = vh_queue_translate(dev->mem_sections,
                                    (size_t)dev->n_mem_sections, gpa, size);

    if (vhost_dev_has_iommu(dev)) {
        /* Only the back end's IOTLB knows: what stands here is no pointer. */
        area = (void *)(uintptr_t)gpa;
    }
    if (gpa % align != 0) {
        return vh_be_fail(dev, -EINVAL, "virtqueue start", (int)queue,
                          "queue %u: its %s area at %#llx is not aligned to %u",
                          queue, what, (unsigned long long)gpa, align);
    }
    if (!area) {
        return vh_be_fail(dev, -ENOMEM, "virtqueue start", (int)queue,
                          "queue %u: its %s area, %u bytes at %#llx, is not in "
                          "memory that the back end sees",
                          queue, what, size, (unsigned long long)gpa);
    }
    *areap = area;
    return 0;
}

static int map_ring(struct vhost_dev *dev, struct vhost_virtqueue *vq,
                    const struct vhost_vdev_queue *q, unsigned queue)
{
    uint64_t features = dev->acked_features;
    bool packed = vh_core_has(dev, VH_RING_F_PACKED);
    struct vh_ring_sizes sizes;
    int r;

    if (!vh_ring_size_is_valid(q->size, features)) {
        return vh_be_fail(dev, -EINVAL, "virtqueue start", (int)queue,
                          "queue %u: no ring can have %u entries", queue,
                          q->size);
    }
    sizes = vh_ring_sizes(q->size, features);
    vq->num = (int)q->size;
    vq->desc_phys = q->desc;
    vq->avail_phys = q->avail;
    vq->used_phys = q->used;
    vq->desc_size = (unsigned)sizes.desc;
    vq->avail_size = (unsigned)sizes.driver;
    vq->used_size = (unsigned)sizes.device;
    r = map_area(dev, queue, "descriptor", q->desc, vq->desc_size, 16,
                 &vq->desc);
    if (r == 0) {
        r = map_area(dev, queue, "driver", q->avail, vq->avail_size,
                     packed ? 4 : 2, &vq->avail);
    }
    if (r == 0) {
        r = map_area(dev, queue, "device", q->used, vq->used_size, 4,
                     &vq->used);
    }
    return r;
}

/* A legacy ring is in the byte order of the guest, which may not be ours. */
static int post_endian(struct vhost_dev *dev, const struct vhost_vdev *vdev,
                       unsigned queue)
{
    bool ours_is_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

    if (vh_core_has(dev, F_VERSION_1) || vdev->big_endian == ours_is_big) {
        return 0;
    }
    return vh_be_set_vring_endian(dev, queue, vdev->big_endian);
}

/*
 * The used entries of a packed ring are in its descriptor area: that is what
 * back ends count from when they log them.
 */
int vh_queue_post_addr(struct vhost_dev *dev, struct vhost_virtqueue *vq,
                       unsigned queue)
{
    struct vhost_vring_addr addr = { .index = queue };
    int r = vh_be_vq_get_addr(dev, &addr, vq);

    if (dev->log_enabled) {
        addr.flags |= 1u << VHOST_VRING_F_LOG;
        addr.log_guest_addr =
            vh_core_has(dev, VH_RING_F_PACKED) ? vq->desc_phys : vq->used_phys;
    }
    return r < 0 ? r : vh_be_set_vring_addr(dev, &addr);
}

/*
 * Another thread may be masking the queue: the last word must be the truth.
 * What masked_notifier holds by now stays there: it is a call that the driver
 * has yet to hear of, and one too many does it no harm.
 */
static int post_call(struct vhost_dev *dev, struct vhost_virtqueue *vq,
                     unsigned queue, int call_fd)
{
    int r;

    pthread_mutex_lock(&dev->priv->masking);
    r = vh_be_set_vring_call(dev, queue,
                             vq->masked ? vq->masked_notifier.fd : call_fd);
    pthread_mutex_unlock(&dev->priv->masking);
    return r;
}

static int post_ring(struct vhost_dev *dev, const struct vhost_vdev *vdev,
                     struct vhost_virtqueue *vq, unsigned queue)
{
    const struct vhost_vdev_queue *q = &vdev->queues[queue];
    int r = vh_be_set_vring_num(dev, queue, q->size);

    if (r == 0) {
        r = vh_be_set_vring_base(dev, queue, q->base);
    }
    if (r == 0) {
        r = post_endian(dev, vdev, queue);
    }
    if (r == 0) {
        r = vh_queue_post_addr(dev, vq, queue);
    }
    if (r == 0) {
        r = vh_be_set_vring_kick(dev, queue, q->kick_fd);
    }
    if (r == 0) {
        r = post_call(dev, vq, queue, q->call_fd);
    }
    return r;
}

static void forget_ring(struct vhost_virtqueue *vq)
{
    vq->desc = vq->avail = vq->used = NULL;
    vq->started = false;
}

int vh_queue_post_start(struct vhost_dev *dev, struct vhost_vdev *vdev,
                        struct vhost_virtqueue *vq, unsigned idx)
{
    int r;

    if (idx >= vdev->nqueues) {
        return vh_be_fail(dev, -EINVAL, "virtqueue start", (int)idx,
                          "queue %u: the virtio device has only %u", idx,
                          vdev->nqueues);
    }
    if (vdev->queues[idx].desc == 0) {
        return 0;
    }
    r = map_ring(dev, vq, &vdev->queues[idx], idx);
    if (r == 0) {
        /* From the first message on the back end may have part of it. */
        vq->started = true;
        r = post_ring(dev, vdev, vq, idx);
    }
    if (r == 0) {
        r = vh_core_kick_up(dev, idx - (unsigned)dev->vq_index,
                            vdev->queues[idx].kick_fd);
    }
    if (r == 0) {
        vh_core_host_notifier_up(dev, idx - (unsigned)dev->vq_index);
    }
    if (r < 0 && !vq->started) {
        forget_ring(vq);
    }
    return r;
}

/*
 * Buffers may have been made available before the back end looked: nobody
 * kicks for them again, so we do (vhost-user specification, "Ring states").
 */
void vh_queue_kick(const struct vhost_vdev *vdev,
                   const struct vhost_virtqueue *vq, unsigned idx)
{
    struct vhost_notifier kick = { .fd = -1 };

    if (vq->started) {
        kick.fd = vdev->queues[idx].kick_fd;
    }
    if (kick.fd >= 0) {
        vhost_notifier_set(&kick);
    }
}

/* The back end does not say where it stood: what can be known of it? */
static void recover_base(struct vhost_dev *dev,
                         const struct vhost_virtqueue *vq,
                         const struct vhost_vdev *vdev,
                         struct vhost_vdev_queue *q)
{
    const uint16_t *idx =
        vhost_dev_has_iommu(dev)
            ? vh_core_iommu_hva(dev, vq->used_phys + 2, sizeof(*idx))
            : (const uint16_t *)vq->used + 1;
    uint16_t raw;

    if (vh_core_has(dev, VH_RING_F_PACKED) &&
        vh_core_inflight_base(dev, (unsigned)(vq - dev->vqs), &q->base)) {
        q->base_source = VHOST_BASE_RECOVERED;
        return;
    }
    if (vh_core_has(dev, VH_RING_F_PACKED) || !idx) {
        q->base_source = VHOST_BASE_UNKNOWN;
        return;
    }
    /* Entries before their index; against the back end, if it still runs. */
    raw = vh_load_acquire(idx);
    q->base = !vh_core_has(dev, F_VERSION_1) && vdev->big_endian ? be16toh(raw)
                                                                 : le16toh(raw);
    q->base_source = VHOST_BASE_RECOVERED;
}

static void stop_one(struct vhost_dev *dev, struct vhost_vdev *vdev,
                     const struct vhost_vring_state *state, int result,
                     bool keep)
{
    unsigned i = state->index - (unsigned)dev->vq_index;
    struct vhost_virtqueue *vq = &dev->vqs[i];
    struct vhost_vdev_queue *q = &vdev->queues[state->index];

    if (keep && result < 0) {
        recover_base(dev, vq, vdev, q);
    } else if (keep) {
        q->base = state->num;
        q->base_source = VHOST_BASE_FROM_DEVICE;
    }
    forget_ring(vq);
}

void vh_queues_post_stop(struct vhost_dev *dev, struct vhost_vdev *vdev,
                         unsigned first, unsigned n)
{
    struct vhost_dev_priv *priv = dev->priv;
    int r = 0;

    priv->n_stopping = 0;
    for (unsigned i = first; i < first + n; i++) {
        unsigned queue = (unsigned)dev->vq_index + i;

        if (dev->vqs[i].started) {
            /* Nobody rings any more, by whatever way. */
            vh_core_host_notifier_down(dev, i);
            vh_core_kick_down(dev, vdev->queues[queue].kick_fd);
            priv->states[priv->n_stopping] =
                (struct vhost_vring_state){ .index = queue };
            /* An entry that fails before it asks may leave it as it is. */
            priv->results[priv->n_stopping++] = -ECANCELED;
        }
    }
    if (priv->n_stopping > 0) {
        r = vh_core_talks(dev)
                ? vh_be_get_vring_bases(dev, priv->states, priv->results,
                                        priv->n_stopping, priv->drain)
                : vh_core_silent(dev, "GET_VRING_BASE");
    }
    for (unsigned i = 0; r < 0 && i < priv->n_stopping; i++) {
        if (priv->results[i] == -ECANCELED) {
            priv->results[i] = r;
        }
    }
}

/* What the back end said of one queue, if it makes sense. */
static int check_base(struct vhost_dev *dev,
                      const struct vhost_vring_state *state, int r)
{
    if (r == 0 && !vh_core_has(dev, VH_RING_F_PACKED) &&
        state->num > UINT16_MAX) {
        return vh_be_fail(dev, -EPROTO, "GET_VRING_BASE", (int)state->index,
                          "queue %u: the index of a split ring has "
                          "16 bits, not %#x",
                          state->index, state->num);
    }
    if (r < 0) {
        vh_be_fail(dev, r, "GET_VRING_BASE", (int)state->index,
                   "the back end does not say where queue %u stands",
                   state->index);
    }
    return r;
}

int vh_queues_stopped(struct vhost_dev *dev, struct vhost_vdev *vdev, bool keep)
{
    struct vhost_dev_priv *priv = dev->priv;
    int first = 0;

    for (unsigned i = 0; i < priv->n_stopping; i++) {
        int r = check_base(dev, &priv->states[i], priv->results[i]);

        stop_one(dev, vdev, &priv->states[i], r, keep);
        first = first < 0 ? first : r;
    }
    priv->n_stopping = 0;
    return first;
}

/* One queue, and waits.  Return: 0 or the first failure. */
static int stop_and_wait(struct vhost_dev *dev, struct vhost_vdev *vdev,
                         unsigned i, bool keep)
{
    int settled;
    int r;

    dev->priv->drain = true;
    vh_queues_post_stop(dev, vdev, i, 1);
    settled = vh_core_talks(dev) ? vh_be_sync(dev) : 0;
    vh_core_fault(dev, settled);
    r = vh_queues_stopped(dev, vdev, keep);
    return r < 0 ? r : settled;
}

/* The place of virtio queue @idx in dev->vqs, which is where @vq must be. */
static unsigned index_of(const struct vhost_dev *dev,
                         const struct vhost_virtqueue *vq, unsigned idx)
{
    unsigned i = idx - (unsigned)dev->vq_index;

    assert(i < dev->nvqs && vq == &dev->vqs[i]);
    (void)vq; /* without assertions */
    return i;
}

int vhost_virtqueue_start(struct vhost_dev *dev, struct vhost_vdev *vdev,
                          struct vhost_virtqueue *vq, unsigned idx)
{
    unsigned i = index_of(dev, vq, idx);
    int r;

    assert(!vq->started);
    vh_core_enter(dev);
    r = vh_core_silent(dev, "virtqueue start");
    if (r == 0) {
        r = vh_core_busy(dev, "virtqueue start");
    }
    if (r < 0) {
        return r;
    }
    r = vh_queue_post_start(dev, vdev, vq, idx);
    if (r == 0) {
        r = vh_be_sync(dev);
    }
    if (r < 0) {
        vh_core_fault(dev, r);
        stop_and_wait(dev, vdev, i, false);
        return r;
    }
    vh_queue_kick(vdev, vq, idx);
    return 0;
}

int vhost_virtqueue_stop(struct vhost_dev *dev, struct vhost_vdev *vdev,
                         struct vhost_virtqueue *vq, unsigned idx)
{
    unsigned i = index_of(dev, vq, idx);
    int r;

    vh_core_enter(dev);
    r = vh_core_busy(dev, "virtqueue stop");
    return r < 0 ? r : vh_core_fault(dev, stop_and_wait(dev, vdev, i, true));
}

/* Any thread may mask: dev->error is not cleared, it may be another's. */
int vhost_virtqueue_mask(struct vhost_dev *hdev, struct vhost_vdev *vdev, int n,
                         bool mask)
{
    int i = n - hdev->vq_index;
    struct vhost_virtqueue *vq;
    int r;

    assert(i >= 0 && (unsigned)i < hdev->nvqs && (unsigned)n < vdev->nqueues);
    vq = &hdev->vqs[i];
    pthread_mutex_lock(&hdev->priv->masking);
    r = vh_be_set_vring_call(hdev, (unsigned)n,
                             mask ? vq->masked_notifier.fd
                                  : vdev->queues[n].call_fd);
    if (r == 0) {
        /* Until this is answered the old fd may still be written. */
        r = vh_be_sync(hdev);
        vh_core_op_nudge(hdev);
    }
    if (r == -ENOTCONN && VH_READ_ONCE(hdev->priv->reconnect.on)) {
        r = 0; /* nobody calls; the restart tells the next back end */
    }
    if (r == 0) {
        pthread_mutex_lock(&hdev->priv->calling);
        vq->masked = mask;
        pthread_mutex_unlock(&hdev->priv->calling);
    }
    pthread_mutex_unlock(&hdev->priv->masking);
    return r;
}

bool vhost_virtqueue_pending(struct vhost_dev *hdev, int n)
{
    int i = n - hdev->vq_index;

    assert(i >= 0 && (unsigned)i < hdev->nvqs);
    return vhost_notifier_test_and_clear(&hdev->vqs[i].masked_notifier);
}
