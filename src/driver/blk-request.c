/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests of a block device (virtio 1.3, 5.2.6 "Device Operation").
 *
 * A request to the device is a header, data, and a status byte, each in
 * descriptors of its own: the specification leaves the framing free, but not
 * every back end does.
 *
 * What the program asks for is one such request if it can be; else it is cut
 * into parts: where the device takes no more segments or bytes, on a block
 * boundary.  All parts are counted before the first is prepared, so that a
 * request which does not fit leaves nothing behind.  They have one completion:
 * the first part, the head, waits for the others.
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <linux/virtio_blk.h>

#include "driver/blk.h"
#include "driver/hold.h"

#define HEADER_LEN 16
#define RANGE_LEN 16
#define ID_LEN VIRTIO_BLK_ID_BYTES
#define NO_STATUS 0xff /* what the device must overwrite */

/* How far in the program's buffers we are. */
struct cursor {
    const struct iovec *iov;
    unsigned n;
    size_t at; /* in *iov */
};

int vh_blk_put_part(struct vhost_blk_queue *q, struct vh_blk_req *req,
                    struct vh_blk_part *part)
{
    struct vh_blk_slot *slot = req->slot;
    unsigned n = part->n_data + 2;
    unsigned n_out = part->to_device ? n - 1 : 1;

    slot->type = htole32(part->type);
    slot->ioprio = 0;
    slot->sector = htole64(part->sector);
    slot->status = NO_STATUS;
    if (vh_blk_has_range(part->type)) {
        slot->range_sector = htole64(part->range_sector);
        slot->range_sectors = htole32(part->range_sectors);
        slot->range_flags = htole32(part->range_flags);
    }
    part->sg[0] = (struct vh_sg){ .addr = req->slot_gpa, .len = HEADER_LEN };
    part->sg[n - 1] = (struct vh_sg){
        .addr = req->slot_gpa + offsetof(struct vh_blk_slot, status), .len = 1
    };
    return vh_ring_add(q->vq->ring, part->sg, n_out, n - n_out, req);
}

/* Prepares one part.  There is a slot. */
static int add_part(struct vhost_blk_queue *q, struct vh_blk_part *part,
                    struct vh_blk_req *head)
{
    struct vh_blk_req *req = q->free;
    int r = vh_blk_put_part(q, req, part);

    if (r < 0) {
        return r == -ENOSPC ? -EAGAIN : r;
    }
    if (q->kept) {
        vh_blk_keep(q, req, part);
    }
    vh_blk_req_get(q);
    req->head = head ? head : req;
    return 0;
}

static void begin_head(struct vhost_blk_queue *q, struct vh_blk_req *head,
                       uint32_t parts, void *cookie)
{
    head->cookie = cookie;
    head->left = parts;
    head->result = 0;
    q->n_prepared++;
}

/* A request that is one part. */
static int add_single(struct vhost_blk_queue *q, struct vh_blk_part *part,
                      void *cookie)
{
    struct vh_blk_req *req = q->free;
    int r;

    if (!req) {
        return -EAGAIN;
    }
    r = add_part(q, part, NULL);
    if (r == 0) {
        begin_head(q, req, 1, cookie);
    }
    return r;
}

/* May the request be made at all? */
static int check(const struct vhost_blk_queue *q, uint64_t offset, uint64_t len)
{
    uint64_t capacity = VH_READ_ONCE(q->disk->capacity);

    if (q->vq->failed) {
        return q->vq->failed;
    }
    if (len == 0 || ((offset | len) & q->block_mask) != 0) {
        return -EINVAL;
    }
    if (len > capacity || offset > capacity - len) {
        return -ERANGE;
    }
    return 0;
}

static void cursor_skip(struct cursor *c, uint64_t bytes)
{
    while (c->n > 0 && bytes >= c->iov->iov_len - c->at) {
        bytes -= c->iov->iov_len - c->at;
        c->at = 0;
        c->iov++;
        c->n--;
    }
    c->at += bytes;
}

/*
 * One more segment from where @c stands, or a longer last one; *bytes grows.
 * Return: 1; 0 if the part is full; -EFAULT.
 */
static int take_segment(struct vhost_blk_queue *q, struct cursor *c,
                        struct vh_blk_part *part, uint32_t *bytes)
{
    uint64_t len = c->iov->iov_len - c->at;
    struct vh_sg *last = &part->sg[part->n_data];
    uint64_t gpa;
    uint64_t seen = vh_pool_find(q->disk->device.pool, &q->hit,
                                 (const char *)c->iov->iov_base + c->at, &gpa);

    if (seen == 0) {
        return -EFAULT;
    }
    len = len < seen ? len : seen;
    if (len > VH_BLK_PART_MAX - *bytes) {
        len = VH_BLK_PART_MAX - *bytes;
    }
    if (part->n_data > 0 && last->addr + last->len == gpa &&
        last->len < q->max_segment_size) {
        uint32_t room = q->max_segment_size - last->len;

        len = len < room ? len : room;
        last->len += (uint32_t)len;
    } else if (part->n_data < q->max_segments && len > 0) {
        len = len < q->max_segment_size ? len : q->max_segment_size;
        part->n_data++;
        last[1] = (struct vh_sg){ .addr = gpa, .len = (uint32_t)len };
    } else {
        return 0;
    }
    *bytes += (uint32_t)len;
    cursor_skip(c, len);
    return 1;
}

/*
 * The data of the next part: as much as the device takes in one request, but
 * whole blocks.  Return: bytes; -EFAULT; -E2BIG if one block lies in more
 * pieces than the device takes.
 */
static int64_t take_part(struct vhost_blk_queue *q, struct cursor *c,
                         struct vh_blk_part *part)
{
    struct cursor start = *c;
    uint32_t bytes = 0;
    uint32_t excess;
    int r = 1;

    part->n_data = 0;
    while (r > 0 && bytes < VH_BLK_PART_MAX) {
        cursor_skip(c, 0); /* over empty buffers */
        if (c->n == 0) {
            break;
        }
        r = take_segment(q, c, part, &bytes);
    }
    if (r < 0) {
        return r;
    }
    excess = bytes & q->block_mask;
    bytes -= excess;
    *c = start;
    cursor_skip(c, bytes);
    while (excess > 0) {
        struct vh_sg *last = &part->sg[part->n_data];
        uint32_t cut = last->len < excess ? last->len : excess;

        last->len -= cut;
        excess -= cut;
        part->n_data -= last->len == 0;
    }
    return bytes ? (int64_t)bytes : -E2BIG;
}

/* How many parts it takes, if they fit the queue as it is now. */
static int count_parts(struct vhost_blk_queue *q, struct cursor c,
                       struct vh_blk_part *scratch)
{
    const struct vh_ring *ring = q->vq->ring;
    unsigned parts = 0;
    unsigned descs = 0;

    for (cursor_skip(&c, 0); c.n > 0; cursor_skip(&c, 0)) {
        int64_t bytes = take_part(q, &c, scratch);

        if (bytes < 0) {
            return (int)bytes;
        }
        parts++;
        descs += q->indirect ? 1 : scratch->n_data + 2;
        if (descs > ring->size) {
            return -E2BIG;
        }
    }
    if (parts > q->n_free || descs > ring->n_free) {
        return -EAGAIN;
    }
    return (int)parts;
}

/* A transfer that does not lie in one piece. */
static int transfer_parts(struct vhost_blk_queue *q, uint32_t type,
                          uint64_t offset, struct cursor c, void *cookie)
{
    struct vh_blk_req *head = q->free;
    struct vh_blk_part part = { .type = type,
                         .sector = offset / VH_BLK_SECTOR,
                         .to_device = type == VIRTIO_BLK_T_OUT };
    int n = count_parts(q, c, &part);

    if (n < 0) {
        return n;
    }
    for (int i = 0; i < n; i++) {
        int64_t bytes = take_part(q, &c, &part);
        int r =
            bytes < 0 ? (int)bytes : add_part(q, &part, i == 0 ? NULL : head);

        if (r < 0) {
            /* Only if the ring breaks, or memory is unmapped under us: what
             * is prepared already completes, and tells. */
            if (i > 0) {
                head->left -= (uint32_t)(n - i);
                head->result = r;
            }
            return i > 0 ? 0 : r;
        }
        if (i == 0) {
            begin_head(q, head, (uint32_t)n, cookie);
        }
        part.sector += (uint64_t)bytes / VH_BLK_SECTOR;
    }
    return 0;
}

/* Nearly every transfer: one buffer, in one piece. */
static int transfer(struct vhost_blk_queue *q, uint32_t type, uint64_t offset,
                    void *buf, size_t len, void *cookie)
{
    int r = check(q, offset, len);
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct cursor c = { .iov = &iov, .n = 1 };
    struct vh_blk_part part;
    uint64_t gpa;

    if (r < 0) {
        return r;
    }
    if (len > q->max_segment_size ||
        vh_pool_find(q->disk->device.pool, &q->hit, buf, &gpa) < len) {
        return transfer_parts(q, type, offset, c, cookie);
    }
    part.type = type;
    part.sector = offset / VH_BLK_SECTOR;
    part.n_data = 1;
    part.to_device = type == VIRTIO_BLK_T_OUT;
    part.sg[1] = (struct vh_sg){ .addr = gpa, .len = (uint32_t)len };
    return add_single(q, &part, cookie);
}

static int transfer_vector(struct vhost_blk_queue *q, uint32_t type,
                           uint64_t offset, const struct iovec *iov,
                           unsigned iovcnt, void *cookie)
{
    struct cursor c = { .iov = iov, .n = iovcnt };
    uint64_t len = 0;
    int r;

    for (unsigned i = 0; i < iovcnt; i++) {
        if (len + iov[i].iov_len < len) {
            return -EINVAL;
        }
        len += iov[i].iov_len;
    }
    r = check(q, offset, len);
    return r < 0 ? r : transfer_parts(q, type, offset, c, cookie);
}

int vhost_blk_read(struct vhost_blk_queue *q, uint64_t offset, void *buf,
                   size_t len, void *cookie)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(
        q->vq, transfer(q, VIRTIO_BLK_T_IN, offset, buf, len, cookie));
}

int vhost_blk_write(struct vhost_blk_queue *q, uint64_t offset, const void *buf,
                    size_t len, void *cookie)
{
    if (!q->writable) {
        return -EROFS;
    }
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, transfer(q, VIRTIO_BLK_T_OUT, offset,
                                         (void *)(uintptr_t)buf, len, cookie));
}

int vhost_blk_readv(struct vhost_blk_queue *q, uint64_t offset,
                    const struct iovec *iov, unsigned iovcnt, void *cookie)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, transfer_vector(q, VIRTIO_BLK_T_IN, offset, iov,
                                                iovcnt, cookie));
}

int vhost_blk_writev(struct vhost_blk_queue *q, uint64_t offset,
                     const struct iovec *iov, unsigned iovcnt, void *cookie)
{
    if (!q->writable) {
        return -EROFS;
    }
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, transfer_vector(q, VIRTIO_BLK_T_OUT, offset,
                                                iov, iovcnt, cookie));
}

static int flush(struct vhost_blk_queue *q, void *cookie)
{
    struct vh_blk_part part = { .type = VIRTIO_BLK_T_FLUSH };

    if (q->vq->failed) {
        return q->vq->failed;
    }
    if (!vh_device_has(&q->disk->device, VIRTIO_BLK_F_FLUSH)) {
        return vh_blk_complete_here(q, cookie);
    }
    return add_single(q, &part, cookie);
}

int vhost_blk_flush(struct vhost_blk_queue *q, void *cookie)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, flush(q, cookie));
}

static int get_id(struct vhost_blk_queue *q, char *id, void *cookie)
{
    struct vh_blk_part part = { .type = VIRTIO_BLK_T_GET_ID, .n_data = 1 };
    uint64_t gpa;

    if (q->vq->failed) {
        return q->vq->failed;
    }
    if (vh_pool_find(q->disk->device.pool, &q->hit, id, &gpa) < ID_LEN) {
        return -EFAULT;
    }
    part.sg[1] = (struct vh_sg){ .addr = gpa, .len = ID_LEN };
    return add_single(q, &part, cookie);
}

int vhost_blk_get_id(struct vhost_blk_queue *q, char *id, void *cookie)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, get_id(q, id, cookie));
}

/* A request about a range, without data. */
struct range {
    uint32_t type;
    uint32_t flags;
    uint64_t offset;
    uint64_t left;
    uint64_t max;   /* bytes in one request */
    uint64_t align; /* where to cut, if that is possible */
};

/* How much of it the next request takes. */
static uint64_t range_step(const struct range *range)
{
    uint64_t end = range->offset + range->max;

    if (range->left <= range->max) {
        return range->left;
    }
    if (end - end % range->align > range->offset) {
        end -= end % range->align;
    }
    return end - range->offset;
}

static int add_range(struct vhost_blk_queue *q, const struct range *range,
                     uint64_t step, struct vh_blk_req *head)
{
    struct vh_blk_part part = {
        .type = range->type,
        .n_data = 1,
        .to_device = true,
        .range_sector = range->offset / VH_BLK_SECTOR,
        .range_sectors = (uint32_t)(step / VH_BLK_SECTOR),
        .range_flags = range->flags,
    };

    part.sg[1] = (struct vh_sg){
        .addr = q->free->slot_gpa + offsetof(struct vh_blk_slot, range_sector),
        .len = RANGE_LEN,
    };
    return add_part(q, &part, head);
}

static int split_range(struct vhost_blk_queue *q, struct range range,
                       void *cookie)
{
    unsigned each = q->indirect ? 1 : 3; /* descriptors */
    struct vh_blk_req *head = q->free;
    struct range rest = range;
    uint32_t n = 0;

    if (range.align == 0 || (range.align & q->block_mask) != 0) {
        range.align = rest.align = q->block_mask + 1;
    }
    for (; rest.left > 0; n++) {
        uint64_t step = range_step(&rest);

        if ((n + 1) * each > q->vq->ring->size) {
            return -E2BIG;
        }
        rest.offset += step;
        rest.left -= step;
    }
    if (n > q->n_free || n * each > q->vq->ring->n_free) {
        return -EAGAIN;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t step = range_step(&range);
        int r = add_range(q, &range, step, i == 0 ? NULL : head);

        if (r < 0) {
            return r;
        }
        if (i == 0) {
            begin_head(q, head, n, cookie);
        }
        range.offset += step;
        range.left -= step;
    }
    return 0;
}

static int range_request(struct vhost_blk_queue *q, struct range range,
                         void *cookie)
{
    vh_hold_enter(q->vq);
    return vh_hold_leave(q->vq, split_range(q, range, cookie));
}

/* May the range be changed so? */
static int check_range(const struct vhost_blk_queue *q, unsigned feature,
                       uint64_t offset, uint64_t len)
{
    if (!q->writable) {
        return -EROFS;
    }
    if (!vh_device_has(&q->disk->device, feature)) {
        return -ENOTSUP;
    }
    return check(q, offset, len);
}

int vhost_blk_discard(struct vhost_blk_queue *q, uint64_t offset, uint64_t len,
                      void *cookie)
{
    const struct vh_blk_limits *limits = &q->disk->limits;
    int r = check_range(q, VIRTIO_BLK_F_DISCARD, offset, len);
    struct range range = { .type = VIRTIO_BLK_T_DISCARD,
                           .offset = offset,
                           .left = len,
                           .max = limits->max_discard,
                           .align = limits->discard_alignment };

    return r < 0 ? r : range_request(q, range, cookie);
}

int vhost_blk_write_zeroes(struct vhost_blk_queue *q, uint64_t offset,
                           uint64_t len, bool unmap, void *cookie)
{
    const struct vh_blk_limits *limits = &q->disk->limits;
    int r = check_range(q, VIRTIO_BLK_F_WRITE_ZEROES, offset, len);
    struct range range = { .type = VIRTIO_BLK_T_WRITE_ZEROES,
                           .offset = offset,
                           .left = len,
                           .max = limits->max_zeroes };

    if (unmap && limits->zeroes_may_unmap) {
        range.flags = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    }
    return r < 0 ? r : range_request(q, range, cookie);
}
