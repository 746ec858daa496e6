/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The embedded back end, inside view.
 *
 *   server.c     what is on offer, the loop's one fd, making and freeing
 *   listen.c     the socket's path
 *   run.c        rounds of work, and when to sleep
 *   session.c    one front end: messages in, handlers, replies out
 *   on-config.c on-mem.c on-queue.c on-state.c   the handlers, by topic
 *   memory.c     what the front end's memory is mapped as
 *   log.c        pages that we wrote
 *   queue.c      one queue: its ring, and its turn in a round
 *   device.h     what a device is; blk*.c are one, net*.c another
 *   iommu.h      addresses that the front end translates
 *   iov.c        buffers in pieces
 *
 * Work is done in rounds: every queue that may have buffers gives some to the
 * device, the device submits them together and hands back what is done, and
 * what was handed back is published once per queue.  A queue that has nothing
 * more asks for its doorbell and leaves the rounds until it rings.
 */
#ifndef VH_SERVER_SERVER_H
#define VH_SERVER_SERVER_H

#include <sys/stat.h>

#include <vhost/server.h>

#include "server/device.h"
#include "server/fault.h"
#include "server/inflight.h"
#include "server/iommu.h"
#include "server/log.h"
#include "server/memory.h"
#include "server/postcopy.h"
#include "server/queue.h"
#include "server/session.h"
#include "server/state.h"
#include "wire/codec.h"

struct vhost_server {
    struct vhost_server_options options;
    struct vhost_server_device *device;
    struct vh_session session;
    struct vh_transfer transfer;
    struct vh_memory memory;
    struct vh_slog log;
    struct vh_inflight inflight;
    struct vh_siommu iommu;
    struct vh_sbell log_bell;
    bool log_news; /* marked since log_bell was rung */
    struct vh_postcopy_state postcopy;
    struct vh_squeue *queues;
    unsigned n_queues;
    int epoll_fd;
    int again_fd;  /* an eventfd, readable while @again */
    bool again;    /* there is more to do, whatever other fds say */
    int listen_fd; /* -1: serves one connection that was given */
    bool served;   /* that one is gone */
    char *path;
    struct stat bound;
    bool unsent; /* the device could not begin all that it took */
    unsigned n_looks;
    int64_t last_work; /* nanoseconds, where there is polling */
    struct vh_msg msg; /* being served, or delayed */
    struct vh_faults faults;
};

/* What happened on an fd in the server's epoll: kind, and queue if any. */
enum vh_server_event {
    VH_EVENT_LISTEN,
    VH_EVENT_SESSION,
    VH_EVENT_DEVICE,
    VH_EVENT_KICK,
    VH_EVENT_INPUT,
    VH_EVENT_AGAIN,
    VH_EVENT_STATE,
    VH_EVENT_SIDE,
    VH_EVENT_MISS,
};

/** vh_server_watch() - add an fd; 0 or a negative errno
 *
 * Kicks, input and the device give edges, and need not be read.
 */
int vh_server_watch(struct vhost_server *srv, int fd, enum vh_server_event kind,
                    unsigned queue);

/** vh_server_unwatch() - take it out; -1 is allowed
 *
 * To close it is not enough: the front end has the same file open.
 */
void vh_server_unwatch(struct vhost_server *srv, int fd);

/** vh_server_log() - a line for the owner, if he wants to know */
void vh_server_log(const struct vhost_server *srv, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** vh_server_has() - is a protocol feature in use? */
static inline bool vh_server_has(const struct vhost_server *srv, unsigned bit)
{
    return srv->session.protocol >> bit & 1;
}

/** vh_server_find() - what the front end calls @addr, by user addresses, or by
 * the guest's if both have said so; NULL if not all of it is in one region */
void *vh_server_find(struct vhost_server *srv, uint64_t addr, uint64_t size);

/** vh_server_features() - the virtio features on offer */
uint64_t vh_server_features(const struct vhost_server *srv);

/** vh_server_protocol_features() - the protocol features on offer */
uint64_t vh_server_protocol_features(const struct vhost_server *srv);

/** vh_server_bind() - listen at a path; see vhost_server_new() */
int vh_server_bind(struct vhost_server *srv, const char *path,
                   struct vhost_error **errp);

/** vh_server_unbind() - stop, and remove the path if it is still ours */
void vh_server_unbind(struct vhost_server *srv);

/** vh_server_stop_queues() - all of them, their requests finished */
void vh_server_stop_queues(struct vhost_server *srv);

/** vh_server_restart_queues() - those that have all they need
 *
 * Those whose rings do not lie in memory now wait until it comes back.
 */
void vh_server_restart_queues(struct vhost_server *srv);

/** vh_server_reset_device() - it forgets what the driver told; no queue runs */
void vh_server_reset_device(struct vhost_server *srv);

/** vh_server_unkick_queues() - a reset: all wait to be kicked again */
void vh_server_unkick_queues(struct vhost_server *srv);

#endif
