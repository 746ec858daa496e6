/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests about the in-flight buffer: vhost-user specification,
 * GET_INFLIGHT_FD and SET_INFLIGHT_FD.
 */
#include "server/handlers.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_LIMIT (UINT64_C(1) << 30)
#define ALIGN 8 /* of what lies in it */

static bool has(const struct vhost_server *srv, unsigned bit)
{
    return srv->session.features >> bit & 1;
}

int vh_on_get_inflight_fd(struct vhost_server *srv, struct vh_msg *msg,
                          struct vh_msg *reply)
{
    const struct vh_inflight_area *area = &msg->payload.inflight;
    struct vh_inflight *inflight = &srv->inflight;
    /* Firmware may use a longer ring than the front end has in mind. */
    size_t region = vh_inflight_region(srv->device->queue_size_max,
                                       has(srv, VH_RING_F_PACKED));
    int r;

    if (area->n_queues == 0 || area->n_queues > srv->n_queues ||
        area->queue_size == 0 ||
        area->queue_size > srv->device->queue_size_max) {
        srv->session.fault = "GET_INFLIGHT_FD for queues that are not there";
        return -EPROTO;
    }
    vh_msg_init(reply, msg->request);
    reply->size = sizeof(reply->payload.inflight);
    reply->payload.inflight =
        (struct vh_inflight_area){ .n_queues = area->n_queues,
                                   .queue_size = area->queue_size };
    vh_shm_free(&inflight->made);
    r = vh_shm_new_sealed_if_possible(&inflight->made, "vhost-inflight",
                                      region * area->n_queues);
    if (r < 0) {
        srv->session.fault = "no memory for an in-flight buffer";
        return -EPROTO;
    }
    reply->payload.inflight.mmap_size = region * area->n_queues;
    reply->n_fds = 1;
    reply->fds[0] = inflight->made.fd;
    return 0;
}

/* Could it be the buffer? */
static const char *check(const struct vhost_server *srv,
                         const struct vh_msg *msg)
{
    const struct vh_inflight_area *area = &msg->payload.inflight;
    struct stat st;

    for (unsigned i = 0; i < srv->n_queues; i++) {
        if (srv->queues[i].ring) {
            return "an in-flight buffer for queues that run";
        }
    }
    if (area->n_queues == 0 || area->mmap_size == 0 ||
        area->mmap_size > SIZE_LIMIT || area->mmap_offset > SIZE_LIMIT ||
        area->mmap_offset % ALIGN != 0) {
        return "an in-flight buffer of an impossible size or offset";
    }
    if (fstat(msg->fds[0], &st) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size < area->mmap_offset + area->mmap_size) {
        return "an in-flight buffer that is longer than its file";
    }
    return NULL;
}

int vh_on_set_inflight_fd(struct vhost_server *srv, struct vh_msg *msg,
                          struct vh_msg *reply)
{
    const struct vh_inflight_area *area = &msg->payload.inflight;
    struct vh_inflight *inflight = &srv->inflight;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t before = area->mmap_offset % page;
    void *map;

    (void)reply;
    srv->session.why = check(srv, msg);
    if (srv->session.why) {
        return -EINVAL;
    }
    map = mmap(NULL, before + area->mmap_size, PROT_READ | PROT_WRITE,
               MAP_SHARED, msg->fds[0], (off_t)(area->mmap_offset - before));
    if (map == MAP_FAILED) {
        srv->session.why = "an in-flight buffer that can't be mapped";
        return -errno;
    }
    vh_inflight_unset(inflight);
    inflight->map = map;
    inflight->map_len = before + area->mmap_size;
    inflight->base = (uint8_t *)map + before;
    inflight->n_queues = area->n_queues;
    inflight->region = area->mmap_size / area->n_queues & ~(size_t)(ALIGN - 1);
    return 0;
}
