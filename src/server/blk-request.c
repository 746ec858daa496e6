/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a buffer to a request (virtio 1.3, 5.2.6 "Device Operation").
 *
 * A driver may cut its buffer as it likes: the header is the first 16 bytes
 * that we read, wherever they lie, and the status the last byte that we may
 * write.  What lies between is data.
 *
 * A buffer without room for header or status can't be answered at all, so it
 * breaks the ring; anything else that is wrong is answered.
 */
#include "server/blk.h"

#include <endian.h>
#include <string.h>
#include <linux/virtio_blk.h>

#include "server/iov.h"
#include "server/server.h"

#define SECTOR 512u
#define HEADER_LEN 16u
#define RANGE_LEN 16u

/* Takes the last byte off a vector. */
static uint8_t *take_status(struct iovec *iov, unsigned *n)
{
    struct iovec *last = &iov[*n - 1];

    last->iov_len--;
    *n -= last->iov_len == 0;
    return (uint8_t *)last->iov_base + last->iov_len;
}

/* Bytes of data, all of them on the disk? */
static bool is_on_disk(const struct vh_blk *blk, uint64_t sector, uint64_t len)
{
    uint64_t sectors = blk->capacity / SECTOR;
    uint64_t n = len / SECTOR;

    return len % blk->options.block_size == 0 &&
           sector * SECTOR % blk->options.block_size == 0 && n <= sectors &&
           sector <= sectors - n;
}

static uint64_t total(const struct iovec *iov, unsigned n)
{
    uint64_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

static void transfer(struct vh_blk *blk, struct vh_blk_request *req,
                     uint64_t sector, const struct iovec *iov, unsigned n)
{
    uint64_t len = total(iov, n);
    bool write = req->type == VIRTIO_BLK_T_OUT;

    if (!is_on_disk(blk, sector, len) || (write && blk->options.read_only) ||
        n > sizeof(req->iov_room) / sizeof(req->iov_room[0])) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_IOERR);
        return;
    }
    memcpy(req->iov_room, iov, n * sizeof(*iov));
    req->iov = req->iov_room;
    req->n_iov = n;
    req->offset = sector * SECTOR;
    req->left = len;
    req->written = write ? 0 : (uint32_t)len;
    vh_blk_begin(blk, req);
}

static void get_id(struct vh_blk *blk, struct vh_blk_request *req,
                   const struct iovec *iov, unsigned n)
{
    size_t at = 0;

    for (unsigned i = 0; i < n && at < sizeof(blk->serial); i++) {
        size_t left = sizeof(blk->serial) - at;
        size_t step = iov[i].iov_len < left ? iov[i].iov_len : left;

        memcpy(iov[i].iov_base, blk->serial + at, step);
        at += step;
    }
    req->written = (uint32_t)at;
    vh_blk_finish(blk, req, VIRTIO_BLK_S_OK);
}

/* Discard and write zeroes: one range, as the configuration says. */
static void range(struct vh_blk *blk, struct vh_blk_request *req,
                  struct iovec *iov, unsigned n)
{
    struct virtio_blk_discard_write_zeroes r;
    struct vh_iov data = { iov, n };
    uint32_t flags;

    if (blk->options.read_only || total(iov, n) != RANGE_LEN ||
        !vh_iov_take(&data, &r, sizeof(r))) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_IOERR);
        return;
    }
    flags = le32toh(r.flags);
    if (flags & ~(req->type == VIRTIO_BLK_T_WRITE_ZEROES
                      ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
                      : 0u)) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    req->left = (uint64_t)le32toh(r.num_sectors) * SECTOR;
    if (!is_on_disk(blk, le64toh(r.sector), req->left)) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_IOERR);
        return;
    }
    req->offset = le64toh(r.sector) * SECTOR;
    req->unmap = flags != 0;
    if (req->left == 0) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_OK);
        return;
    }
    vh_blk_begin(blk, req);
}

static void dispatch(struct vh_blk *blk, struct vh_blk_request *req,
                     uint64_t sector, struct iovec *out, unsigned n_out,
                     const struct iovec *in, unsigned n_in)
{
    switch (req->type) {
    case VIRTIO_BLK_T_IN:
        transfer(blk, req, sector, in, n_in);
        break;
    case VIRTIO_BLK_T_OUT:
        transfer(blk, req, sector, out, n_out);
        break;
    case VIRTIO_BLK_T_FLUSH:
        vh_blk_begin(blk, req);
        break;
    case VIRTIO_BLK_T_GET_ID:
        get_id(blk, req, in, n_in);
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        range(blk, req, out, n_out);
        break;
    default:
        vh_blk_finish(blk, req, VIRTIO_BLK_S_UNSUPP);
        break;
    }
}

const char *vh_blk_serve(struct vhost_server_device *device,
                         struct vh_squeue *queue, struct vh_chain *chain)
{
    struct vh_blk *blk = (struct vh_blk *)device;
    struct vh_blk_request *req = &blk->queues[queue->index].requests[chain->id];
    struct vh_iov out = { chain->iov, chain->n_out };
    struct iovec *in = chain->iov + chain->n_out;
    unsigned n_in = chain->n_in;
    struct virtio_blk_outhdr header;

    if (n_in == 0) {
        return "a request without room for its status";
    }
    if (!vh_iov_take(&out, &header, HEADER_LEN)) {
        return "a request with a header of less than 16 bytes";
    }
    req->queue = queue;
    req->id = chain->id;
    req->type = le32toh(header.type);
    req->written = 0;
    req->unmap = false;
    /* Without FLUSH a driver has no way to ask for it (5.2.6.2). */
    req->durable = !(queue->srv->session.features >> VIRTIO_BLK_F_FLUSH & 1);
    req->status = take_status(in, &n_in);
    dispatch(blk, req, le64toh(header.sector), out.iov, out.n, in, n_in);
    return NULL;
}
