/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the device reaches behind an IOMMU.
 *
 * The kernel refuses a mapping where there is one, and takes a mapping away in
 * whole when any part of it is to go.  A guest does as it likes: so what the
 * device has is kept here, and where a part goes, or gets another meaning, what
 * is left of the old one is said again.  All in one batch, so that a device
 * which takes it in one piece never lacks what stays.
 */
#include "backend/vdpa/vdpa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/ops.h"
#include "util/error.h"

#define ROOM_FIRST 16u

static bool overlap(const struct vh_vdpa_range *a,
                    const struct vh_vdpa_range *b)
{
    return a->iova <= b->last && b->iova <= a->last;
}

/* Does @a say all that @b would? */
static bool covers(const struct vh_vdpa_range *a, const struct vh_vdpa_range *b)
{
    return a->iova <= b->iova && b->last <= a->last && a->perm == b->perm &&
           b->uaddr - a->uaddr == b->iova - a->iova;
}

/* Room for @more than there are. */
static int make_room(struct vhost_vdpa *vdpa, size_t more)
{
    size_t room = vdpa->room ? vdpa->room : ROOM_FIRST;
    struct vh_vdpa_range *ranges;

    if (vdpa->n_ranges + more <= vdpa->room) {
        return 0;
    }
    while (room < vdpa->n_ranges + more) {
        room *= 2;
    }
    ranges = realloc(vdpa->ranges, room * sizeof(*ranges));
    if (!ranges) {
        return vh_be_fail(vdpa->dev, -ENOMEM, "malloc", VH_NO_QUEUE,
                          "out of memory");
    }
    vdpa->ranges = ranges;
    vdpa->room = room;
    return 0;
}

static int send(struct vhost_vdpa *vdpa, const struct vh_vdpa_range *range,
                uint8_t type)
{
    const struct vhost_iotlb_msg msg = { .iova = range->iova,
                                         .size = range->last - range->iova + 1,
                                         .uaddr = range->uaddr,
                                         .perm = range->perm,
                                         .type = type };
    int r = vh_vdpa_send(vdpa, 0, &msg);

    return r < 0 ? vh_vdpa_map_failed(vdpa, r, msg.iova, msg.size) : 0;
}

/* The first that does not end before @iova. */
static size_t find(const struct vhost_vdpa *vdpa, uint64_t iova)
{
    size_t low = 0, high = vdpa->n_ranges;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (vdpa->ranges[middle].last < iova) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void remove_at(struct vhost_vdpa *vdpa, size_t i)
{
    vdpa->n_ranges--;
    memmove(&vdpa->ranges[i], &vdpa->ranges[i + 1],
            (vdpa->n_ranges - i) * sizeof(vdpa->ranges[0]));
}

/* There is room, and no other is in the way. */
static int insert(struct vhost_vdpa *vdpa, const struct vh_vdpa_range *range)
{
    size_t i = find(vdpa, range->iova);
    int r = send(vdpa, range, VHOST_IOTLB_UPDATE);

    if (r < 0) {
        return r;
    }
    memmove(&vdpa->ranges[i + 1], &vdpa->ranges[i],
            (vdpa->n_ranges - i) * sizeof(vdpa->ranges[0]));
    vdpa->ranges[i] = *range;
    vdpa->n_ranges++;
    return 0;
}

/* Takes @hole out of range @i; what is left of it stays. */
static int cut(struct vhost_vdpa *vdpa, size_t i,
               const struct vh_vdpa_range *hole)
{
    struct vh_vdpa_range left = vdpa->ranges[i], right = vdpa->ranges[i];
    int r = send(vdpa, &vdpa->ranges[i], VHOST_IOTLB_INVALIDATE);

    if (r < 0) {
        return r;
    }
    remove_at(vdpa, i);
    if (right.last > hole->last) {
        right.uaddr += hole->last + 1 - right.iova;
        right.iova = hole->last + 1;
        r = insert(vdpa, &right);
    }
    if (r == 0 && left.iova < hole->iova) {
        left.last = hole->iova - 1;
        r = insert(vdpa, &left);
    }
    return r;
}

static int cut_all(struct vhost_vdpa *vdpa, const struct vh_vdpa_range *hole)
{
    size_t i;
    int r = 0;

    while (r == 0 && (i = find(vdpa, hole->iova)) < vdpa->n_ranges &&
           overlap(&vdpa->ranges[i], hole)) {
        r = cut(vdpa, i, hole);
    }
    return r;
}

static int replace(struct vhost_vdpa *vdpa, const struct vh_vdpa_range *range,
                   bool update)
{
    size_t i = find(vdpa, range->iova);
    bool meets = i < vdpa->n_ranges && overlap(&vdpa->ranges[i], range);
    int r, end;

    if (meets ? update && covers(&vdpa->ranges[i], range) : !update) {
        return 0;
    }
    r = make_room(vdpa, 3); /* two rests and the new one */
    if (r == 0 && !meets) {
        return insert(vdpa, range);
    }
    if (r == 0) {
        r = vh_vdpa_batch(vdpa, true);
    }
    if (r == 0) {
        r = cut_all(vdpa, range);
    }
    if (r == 0 && update) {
        r = insert(vdpa, range);
    }
    end = vh_vdpa_batch(vdpa, false);
    return r < 0 ? r : end;
}

static int check(struct vhost_vdpa *vdpa, const struct vhost_iotlb_msg *msg)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    if (msg->type != VHOST_IOTLB_UPDATE) {
        return 0;
    }
    if (((msg->iova | msg->size | msg->uaddr) & (page - 1)) != 0) {
        return vh_be_fail(vdpa->dev, -EINVAL, "IOTLB_MSG", VH_NO_QUEUE,
                          "%s: the translation of iova %#llx, %#llx bytes, is "
                          "not of whole pages of %llu bytes",
                          vdpa->name, (unsigned long long)msg->iova,
                          (unsigned long long)msg->size,
                          (unsigned long long)page);
    }
    return vh_vdpa_check_range(vdpa, msg->iova, msg->size);
}

int vh_vdpa_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *msg)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    const struct vh_vdpa_range range = { .iova = msg->iova,
                                         .last = msg->iova + (msg->size - 1),
                                         .uaddr = msg->uaddr,
                                         .perm = msg->perm };
    int r = check(vdpa, msg);

    if (r == 0) {
        pthread_mutex_lock(&vdpa->lock);
        r = replace(vdpa, &range, msg->type == VHOST_IOTLB_UPDATE);
        if (r < 0) { /* what is there nobody knows: so nothing is */
            vh_vdpa_forget(vdpa, 0);
            vdpa->n_ranges = 0;
        }
        pthread_mutex_unlock(&vdpa->lock);
    }
    return r;
}
