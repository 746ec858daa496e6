/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests on io_uring: prepared one by one, submitted once a round.
 *
 * A transfer that comes back short is begun again for the rest: the file
 * system may stop at a page that it had to wait for.  Nothing at all is an
 * error: the file has become shorter than the disk that we promised.
 */
#include "server/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>

#include "server/queue.h"
#include "util/atomic.h"

#define KEEP FALLOC_FL_KEEP_SIZE
#define BATCH 64

void vh_blk_finish(struct vh_blk *blk, struct vh_blk_request *req,
                   uint8_t status)
{
    VH_WRITE_ONCE(*req->status, status);
    /* Only what was written counts, and the status is written last. */
    vh_squeue_complete(req->queue, req->id,
                       (status == VIRTIO_BLK_S_OK ? req->written : 0) + 1);
    blk->n_done_here++;
}

static struct io_uring_sqe *get_sqe(struct vh_blk *blk)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&blk->uring);

    while (!sqe) {
        io_uring_submit(&blk->uring);
        sqe = io_uring_get_sqe(&blk->uring);
    }
    return sqe;
}

/* How a range is made free, or zero. */
static int fallocate_mode(const struct vh_blk_request *req)
{
    if (req->type == VIRTIO_BLK_T_DISCARD || req->unmap || req->fell_back) {
        return FALLOC_FL_PUNCH_HOLE | KEEP;
    }
    return FALLOC_FL_ZERO_RANGE | KEEP;
}

static void prepare(struct vh_blk *blk, struct vh_blk_request *req)
{
    struct io_uring_sqe *sqe = get_sqe(blk);

    switch (req->type) {
    case VIRTIO_BLK_T_IN:
        io_uring_prep_readv(sqe, blk->fd, req->iov, req->n_iov, req->offset);
        break;
    case VIRTIO_BLK_T_OUT:
        io_uring_prep_writev(sqe, blk->fd, req->iov, req->n_iov, req->offset);
        break;
    case VIRTIO_BLK_T_FLUSH:
        io_uring_prep_fsync(sqe, blk->fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        io_uring_prep_fallocate(sqe, blk->fd, fallocate_mode(req),
                                (off_t)req->offset, (off_t)req->left);
        break;
    }
    io_uring_sqe_set_data(sqe, req);
    blk->n_inflight++;
}

void vh_blk_begin(struct vh_blk *blk, struct vh_blk_request *req)
{
    bool transfers =
        req->type == VIRTIO_BLK_T_IN || req->type == VIRTIO_BLK_T_OUT;

    req->fell_back = false;
    if (blk->null || (transfers && req->left == 0)) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_OK);
        return;
    }
    prepare(blk, req);
}

/* Moves a request on by what was transferred. */
static void advance(struct vh_blk_request *req, uint64_t bytes)
{
    req->offset += bytes;
    req->left -= bytes;
    while (bytes > 0) {
        struct iovec *iov = req->iov;
        size_t step = iov->iov_len < bytes ? iov->iov_len : (size_t)bytes;

        iov->iov_base = (char *)iov->iov_base + step;
        iov->iov_len -= step;
        bytes -= step;
        if (iov->iov_len == 0) {
            req->iov++;
            req->n_iov--;
        }
    }
}

static void transferred(struct vh_blk *blk, struct vh_blk_request *req, int res)
{
    if (res <= 0) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_IOERR);
        return;
    }
    advance(req, (uint64_t)res);
    if (req->left > 0) {
        prepare(blk, req);
    } else {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_OK);
    }
}

/* Not every file system can do both; a hole reads as zeroes too. */
static void freed(struct vh_blk *blk, struct vh_blk_request *req, int res)
{
    if (res == -EOPNOTSUPP && !req->fell_back &&
        fallocate_mode(req) == (FALLOC_FL_ZERO_RANGE | KEEP)) {
        req->fell_back = true;
        prepare(blk, req);
        return;
    }
    vh_blk_finish(blk, req,
                  res == 0             ? VIRTIO_BLK_S_OK
                  : res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP
                                       : VIRTIO_BLK_S_IOERR);
}

static void done(struct vh_blk *blk, struct vh_blk_request *req, int res)
{
    blk->n_inflight--;
    if (res == -EINTR || res == -EAGAIN) {
        prepare(blk, req);
        return;
    }
    switch (req->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        transferred(blk, req, res);
        break;
    case VIRTIO_BLK_T_FLUSH:
        vh_blk_finish(blk, req,
                      res == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
        break;
    default:
        freed(blk, req, res);
        break;
    }
}

void vh_blk_submit(struct vhost_server_device *device)
{
    struct vh_blk *blk = (struct vh_blk *)device;

    if (blk->has_uring && io_uring_sq_ready(&blk->uring) > 0) {
        io_uring_submit(&blk->uring);
    }
}

unsigned vh_blk_reap(struct vhost_server_device *device, bool wait)
{
    struct vh_blk *blk = (struct vh_blk *)device;
    struct io_uring_cqe *cqes[BATCH];
    unsigned n, finished;

    if (wait && blk->n_inflight > 0) {
        io_uring_submit_and_wait(&blk->uring, 1);
    }
    n = blk->n_inflight ? io_uring_peek_batch_cqe(&blk->uring, cqes, BATCH) : 0;
    for (unsigned i = 0; i < n; i++) {
        done(blk, io_uring_cqe_get_data(cqes[i]), cqes[i]->res);
    }
    if (n > 0) {
        io_uring_cq_advance(&blk->uring, n);
        vh_blk_submit(device); /* what was short */
    }
    finished = blk->n_done_here;
    blk->n_done_here = 0;
    return finished;
}
