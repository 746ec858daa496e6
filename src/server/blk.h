/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The block device of the embedded back end (virtio 1.3, 5.2), inside view:
 * blk.c is the device, blk-request.c turns buffers into requests, blk-io.c
 * carries them out on io_uring.
 */
#ifndef VH_SERVER_BLK_H
#define VH_SERVER_BLK_H

#include <liburing.h>
#include <sys/uio.h>

#include "server/device.h"

#define VH_BLK_SEG_MAX 126
#define VH_BLK_SERIAL 20

/* How a range is zeroed; the next is for file systems that can't. */
enum vh_blk_way {
    VH_BLK_ZERO_RANGE,
    VH_BLK_HOLE,
    VH_BLK_WRITE,
};

/* One request; there are as many as the ring has entries, by chain id. */
struct vh_blk_request {
    struct vh_squeue *queue;
    struct vh_blk_request *next; /* that waits for room in the io_uring */
    uint16_t id;
    uint32_t type;
    uint64_t offset; /* of what is left, in bytes */
    uint64_t left;
    uint32_t written; /* into the buffer, if it succeeds; without the status */
    bool unmap;       /* zeroes may be a hole */
    enum vh_blk_way way;
    bool buffered; /* past O_DIRECT: its memory is not aligned */
    bool durable;  /* on the disk before it is answered */
    unsigned retries;
    uint8_t *status;
    struct iovec *iov; /* what is left: from iov_room */
    unsigned n_iov;
    struct iovec iov_room[VH_BLK_SEG_MAX + 8];
};

struct vh_blk_queue {
    struct vh_blk_request *requests;
    uint32_t n;
};

struct vh_blk {
    struct vhost_server_device device;
    struct vhost_server_blk_options options;
    char *path;
    char serial[VH_BLK_SERIAL];
    int fd;          /* -1: a device without data */
    int buffered_fd; /* the same without O_DIRECT, or -1 */
    bool null;
    uint64_t capacity; /* bytes */
    struct vh_blk_queue *queues;
    struct io_uring uring;
    bool has_uring;
    unsigned n_inflight;            /* begun, waiting ones too */
    unsigned n_done;                /* handed back since the last reap */
    struct vh_blk_request *waiting; /* for room in the io_uring */
    struct vh_blk_request **waiting_end;
    struct vh_squeue *leaving; /* the last that was let go; or NULL */
};

/** vh_blk_serve() - see struct vh_server_device_ops */
const char *vh_blk_serve(struct vhost_server_device *device,
                         struct vh_squeue *queue, struct vh_chain *chain);

/** vh_blk_begin() - carry out a request, whose data is req->iov */
void vh_blk_begin(struct vh_blk *blk, struct vh_blk_request *req);

/** vh_blk_finish() - write the status and hand the buffer back */
void vh_blk_finish(struct vh_blk *blk, struct vh_blk_request *req,
                   uint8_t status);

bool vh_blk_submit(struct vhost_server_device *device);
unsigned vh_blk_reap(struct vhost_server_device *device, bool wait);
bool vh_blk_arm(struct vhost_server_device *device);
void vh_blk_let_go(struct vhost_server_device *device, struct vh_squeue *queue);

#endif
