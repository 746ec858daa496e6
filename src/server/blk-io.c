/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests on io_uring: prepared one by one, submitted once a round.
 *
 *     begin  -->  submission ring  --submit-->  kernel  --reap-->  finish
 *                       ^                                     |
 *                       +-------- the rest, or another way ---+
 *
 * A transfer that comes back short is begun again for the rest: the file
 * system may stop at a page that it had to wait for.  Nothing at all is an
 * error: the file has become shorter than the disk that we promised.
 *
 * What a file system can't do is tried in another way: zeroes as a zero
 * range, as a hole, as bytes; a transfer that O_DIRECT won't have, through the
 * page cache.
 *
 * Where the submission ring is full, and the kernel takes nothing from it
 * before completions are reaped, requests wait in a list.
 */
#include "server/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>

#include "server/queue.h"
#include "util/atomic.h"

#define BATCH 64
#define RETRIES 64
#define ZEROES_LEN 65536u

static uint8_t zeroes[ZEROES_LEN] __attribute__((aligned(4096)));

void vh_blk_finish(struct vh_blk *blk, struct vh_blk_request *req,
                   uint8_t status)
{
    VH_WRITE_ONCE(*req->status, status);
    vh_squeue_touched(req->queue, req->id); /* the status comes last */
    /* Only what was written counts, and the status is written last. */
    vh_squeue_complete(req->queue, req->id,
                       (status == VIRTIO_BLK_S_OK ? req->written : 0) + 1);
    blk->n_done++;
}

static bool is_transfer(const struct vh_blk_request *req)
{
    return req->type == VIRTIO_BLK_T_IN || req->type == VIRTIO_BLK_T_OUT;
}

/* Does its result count bytes? */
static bool moves_bytes(const struct vh_blk_request *req)
{
    return is_transfer(req) ||
           (req->type == VIRTIO_BLK_T_WRITE_ZEROES && req->way == VH_BLK_WRITE);
}

static void prepare_range(struct io_uring_sqe *sqe, int fd,
                          struct vh_blk_request *req)
{
    int mode = FALLOC_FL_KEEP_SIZE;
    unsigned n = 0;

    if (req->way != VH_BLK_WRITE) {
        mode |= req->way == VH_BLK_HOLE ? FALLOC_FL_PUNCH_HOLE
                                        : FALLOC_FL_ZERO_RANGE;
        io_uring_prep_fallocate(sqe, fd, mode, (off_t)req->offset,
                                (off_t)req->left);
        return;
    }
    for (uint64_t left = req->left; left > 0 && n < VH_BLK_SEG_MAX; n++) {
        size_t len = left < ZEROES_LEN ? (size_t)left : ZEROES_LEN;

        req->iov_room[n] = (struct iovec){ zeroes, len };
        left -= len;
    }
    io_uring_prep_writev(sqe, fd, req->iov_room, n, req->offset);
}

static void prepare(const struct vh_blk *blk, struct io_uring_sqe *sqe,
                    struct vh_blk_request *req)
{
    int fd = req->buffered ? blk->buffered_fd : blk->fd;
    int sync = req->durable ? RWF_DSYNC : 0;

    switch (req->type) {
    case VIRTIO_BLK_T_IN:
        io_uring_prep_readv(sqe, fd, req->iov, req->n_iov, req->offset);
        break;
    case VIRTIO_BLK_T_OUT:
        io_uring_prep_writev2(sqe, fd, req->iov, req->n_iov, req->offset, sync);
        break;
    case VIRTIO_BLK_T_FLUSH:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        prepare_range(sqe, fd, req);
        break;
    }
    io_uring_sqe_set_data(sqe, req);
}

static struct io_uring_sqe *get_sqe(struct vh_blk *blk)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&blk->uring);

    if (!sqe) {
        io_uring_submit(&blk->uring);
        sqe = io_uring_get_sqe(&blk->uring);
    }
    return sqe;
}

static bool try_start(struct vh_blk *blk, struct vh_blk_request *req)
{
    struct io_uring_sqe *sqe = get_sqe(blk);

    if (sqe) {
        prepare(blk, sqe, req);
    }
    return sqe != NULL;
}

static void start(struct vh_blk *blk, struct vh_blk_request *req)
{
    /* Behind those that wait, or they might do so for ever. */
    if (blk->waiting || !try_start(blk, req)) {
        req->next = NULL;
        *blk->waiting_end = req;
        blk->waiting_end = &req->next;
    }
}

static void start_waiting(struct vh_blk *blk)
{
    while (blk->waiting) {
        struct vh_blk_request *next = blk->waiting->next;

        if (!try_start(blk, blk->waiting)) {
            return;
        }
        blk->waiting = next;
    }
    blk->waiting_end = &blk->waiting;
}

static void leave(struct vh_blk *blk, struct vh_blk_request *req)
{
    blk->n_inflight--;
    vh_squeue_leave(req->queue);
}

/*
 * What the kernel can still call back comes as -ECANCELED: that of other queues
 * too, where it is begun again.  A kernel before 5.19 refuses, and all of it is
 * finished.
 */
void vh_blk_let_go(struct vhost_server_device *device, struct vh_squeue *queue)
{
    struct vh_blk *blk = (struct vh_blk *)device;
    struct vh_blk_request **at = &blk->waiting;
    struct io_uring_sqe *sqe;

    blk->leaving = queue;
    while (*at) {
        if ((*at)->queue == queue) {
            leave(blk, *at);
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
    blk->waiting_end = at;
    sqe = blk->n_inflight > 0 ? get_sqe(blk) : NULL;
    if (sqe) {
        io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_ANY);
        io_uring_sqe_set_data(sqe, NULL);
        blk->n_inflight++;
    }
}

void vh_blk_begin(struct vh_blk *blk, struct vh_blk_request *req)
{
    bool hole = req->type == VIRTIO_BLK_T_DISCARD || req->unmap;

    req->way = hole ? VH_BLK_HOLE : VH_BLK_ZERO_RANGE;
    req->buffered = false;
    req->retries = 0;
    if (blk->null || (is_transfer(req) && req->left == 0)) {
        vh_blk_finish(blk, req, VIRTIO_BLK_S_OK);
        return;
    }
    blk->n_inflight++;
    start(blk, req);
}

/* Moves a request on by what was transferred. */
static void advance(struct vh_blk_request *req, uint64_t bytes)
{
    req->offset += bytes;
    req->left -= bytes;
    while (bytes > 0 && is_transfer(req)) {
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

/* Is there another way to do what failed with @error? */
static bool find_other_way(const struct vh_blk *blk, struct vh_blk_request *req,
                           int error)
{
    if (error == -EINTR || error == -EAGAIN || error == -ECANCELED) {
        return req->retries++ < RETRIES;
    }
    if (error == -EINVAL && blk->buffered_fd >= 0 && !req->buffered) {
        req->buffered = true;
        return true;
    }
    if (req->type != VIRTIO_BLK_T_WRITE_ZEROES || req->way == VH_BLK_WRITE ||
        (error != -EOPNOTSUPP && error != -EINVAL && error != -ENOSYS)) {
        return false;
    }
    /* A hole is not for those who want the range to stay allocated. */
    req->way = req->way == VH_BLK_HOLE ? VH_BLK_ZERO_RANGE : VH_BLK_WRITE;
    return true;
}

static uint8_t status_of(const struct vh_blk_request *req, int res)
{
    if (res >= 0) {
        return VIRTIO_BLK_S_OK;
    }
    /* Advice that can't be followed: nothing was lost by it. */
    if (req->type == VIRTIO_BLK_T_DISCARD && res == -EOPNOTSUPP) {
        return VIRTIO_BLK_S_OK;
    }
    return VIRTIO_BLK_S_IOERR;
}

/* Return: true if there is more to do for the request. */
static bool go_on(const struct vh_blk *blk, struct vh_blk_request *req, int res)
{
    if (res < 0) {
        return find_other_way(blk, req, res);
    }
    if (moves_bytes(req)) {
        advance(req, (uint64_t)res);
        if (req->left > 0) {
            return true;
        }
    }
    /* An answered range is on the disk, where nobody can ask for a flush. */
    if (req->durable && req->type == VIRTIO_BLK_T_WRITE_ZEROES) {
        req->type = VIRTIO_BLK_T_FLUSH;
        return true;
    }
    return false;
}

static void done(struct vh_blk *blk, struct vh_blk_request *req, int res)
{
    if (!req) {
        blk->n_inflight--; /* it was the calling back */
        return;
    }
    if (res == -ECANCELED && req->queue == blk->leaving) {
        leave(blk, req);
        return;
    }
    if (res == 0 && moves_bytes(req)) {
        res = -EIO; /* behind the end of the file */
    }
    if (go_on(blk, req, res)) {
        start(blk, req);
        return;
    }
    blk->n_inflight--;
    vh_blk_finish(blk, req, status_of(req, res));
}

bool vh_blk_submit(struct vhost_server_device *device)
{
    struct vh_blk *blk = (struct vh_blk *)device;

    if (!blk->has_uring) {
        return true;
    }
    start_waiting(blk);
    if (io_uring_sq_ready(&blk->uring) > 0) {
        /* We look ourselves; vh_blk_arm() comes before a sleep. */
        io_uring_cq_eventfd_toggle(&blk->uring, false);
        io_uring_submit(&blk->uring);
    }
    return !blk->waiting && io_uring_sq_ready(&blk->uring) == 0;
}

unsigned vh_blk_reap(struct vhost_server_device *device, bool wait)
{
    struct vh_blk *blk = (struct vh_blk *)device;
    struct io_uring_cqe *cqes[BATCH];
    unsigned n, finished;

    if (wait && blk->n_inflight > 0 && io_uring_cq_ready(&blk->uring) == 0) {
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
    finished = blk->n_done;
    blk->n_done = 0;
    return finished;
}

bool vh_blk_arm(struct vhost_server_device *device)
{
    struct vh_blk *blk = (struct vh_blk *)device;

    if (!blk->has_uring) {
        return false;
    }
    io_uring_cq_eventfd_toggle(&blk->uring, true);
    /*
     * Our wish to hear before our last look; against the kernel, which shows
     * a completion before it reads the wish.
     */
    vh_full_barrier();
    return blk->waiting || io_uring_sq_ready(&blk->uring) > 0 ||
           io_uring_cq_ready(&blk->uring) > 0;
}
