/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vDPA back end, inside view.
 *
 *   vdpa.c     the object, the table vdpa_ops, what the device is
 *   status.c   reset, the status handshake, start and stop
 *   queue.c    what a queue is told: the one place that chooses it
 *   svq.c      a shadow queue in place of a queue
 *   cvq.c      that of a network device's control queue
 *   switch.c   a running device goes over to shadow queues, and back
 *   map.c      which memory the device reaches, in messages
 *   iotlb.c    the same behind an IOMMU
 *   group.c    groups of queues, and their address spaces
 *   config.c   configuration space
 *   entries.h  what of these vdpa_ops has
 *
 * Nothing is ever posted: every call is answered when it returns.
 */
#ifndef VH_BACKEND_VDPA_VDPA_H
#define VH_BACKEND_VDPA_VDPA_H

#include <pthread.h>

#include <vhost/vdpa.h>
#include <vhost/vhost.h>

#include "backend/sys.h"
#include "backend/vdpa/uapi.h"

/* Virtio device status bits. */
#define VH_VDPA_ACKNOWLEDGE 1u
#define VH_VDPA_DRIVER 2u
#define VH_VDPA_DRIVER_OK 4u
#define VH_VDPA_FEATURES_OK 8u

struct vh_iova;
struct vh_net_state;
struct vh_vdpa_queue; /* shadow.h */
struct vh_vdpa_range; /* maps.h */

/** struct vhost_vdpa - a vDPA device
 * @sys, @sys_ctx: the kernel
 * @path: of the node; NULL if it was given as an fd
 * @name: "vdpa:PATH", for messages
 * @given_fd: the node that was given, until it is used; or -1
 * @fd: the node, while a device uses it; or -1
 * @dev: the device that uses it; NULL: none does
 * @info: what there is to know; counters are counted with atomics
 * @status: as last read back
 * @suspended: it stands still, and tells where
 * @doorbells: the owner has been offered its pages
 * @iommu: what it reaches are translations of an IOMMU, not guest memory
 * @asids: of each group, as wanted at the next start
 * @always: shadow queues from the first start on
 * @wants_cvq: the owner asked for a control queue of its own
 * @cvq: which queue that is; UINT_MAX: none
 * @alone: it is a shadow in an address space of its own
 * @cvq_group: its group, then
 * @net: what its driver has set; NULL: nothing
 * @shadowed: queues are shadows, from the next that is told on
 * @halted: neither here nor there: a switch has failed on its way
 * @features: as told last, without VHOST_F_LOG_ALL
 * @config_fd: as told last
 * @log: where shadows mark what was written; NULL: nowhere
 * @n_queues, @queues: those of @dev
 * @epoll_fd: readable when a shadow has work; or -1
 * @iova: where the device sees what, for shadows; NULL: there were none yet
 * @svq_lock: of @shadowed and the queues: another thread may set a call fd
 * @lock: of what follows: what it reaches
 * @foreign: something is mapped in another address space than 0
 * @mapped, @n_mapped: guest memory that it reaches
 * @ranges, @n_ranges, @room: behind an IOMMU: sorted, without overlap
 */
struct vhost_vdpa {
    const struct vh_sys *sys;
    void *sys_ctx;
    char *path;
    char *name;
    int given_fd;
    int fd;
    struct vhost_dev *dev;
    struct vhost_vdpa_info info;
    uint8_t status;
    bool suspended;
    bool doorbells;
    bool iommu;
    uint32_t *asids;
    bool always;
    bool wants_cvq;
    bool alone;
    unsigned cvq;
    uint32_t cvq_group;
    struct vh_net_state *net;
    bool shadowed;
    bool halted;
    uint64_t features;
    int config_fd;
    struct vhost_log *log;
    unsigned n_queues;
    struct vh_vdpa_queue *queues;
    int epoll_fd;
    struct vh_iova *iova;
    pthread_mutex_t svq_lock;
    pthread_mutex_t lock;
    bool foreign;
    struct vhost_memory_section *mapped;
    size_t n_mapped;
    struct vh_vdpa_range *ranges;
    size_t n_ranges;
    size_t room;
};

static inline bool vh_vdpa_has(const struct vhost_vdpa *vdpa, uint64_t feature)
{
    return (vdpa->info.acked_backend_features & feature) != 0;
}

/** vh_vdpa_new() - as vhost_vdpa_new(), on a kernel of the caller's own
 * @path: copied; NULL: @fd is given instead */
struct vhost_vdpa *vh_vdpa_new(const struct vh_sys *sys, void *sys_ctx,
                               const char *path, int fd,
                               struct vhost_error **errp);

/** vh_vdpa_ioctl() - counted; 0 or more, or a negative errno without words */
int vh_vdpa_ioctl(struct vhost_vdpa *vdpa, unsigned long request, void *arg);

/** vh_vdpa_call() - the same, with words in dev->error */
int vh_vdpa_call(struct vhost_vdpa *vdpa, const char *operation, int queue,
                 unsigned long request, void *arg);

/* status.c */
int vh_vdpa_begin(struct vhost_vdpa *vdpa); /* reset, ACKNOWLEDGE, DRIVER */
int vh_vdpa_set_features(struct vhost_dev *dev, uint64_t features);
int vh_vdpa_dev_start(struct vhost_dev *dev, bool started);
void vh_vdpa_reset_status(struct vhost_dev *dev);
int vh_vdpa_reset_device(struct vhost_dev *dev); /* the driver has */
int vh_vdpa_get_status(struct vhost_dev *dev, uint8_t *status);
int vh_vdpa_settle_features(struct vhost_vdpa *vdpa);
int vh_vdpa_suspend(struct vhost_vdpa *vdpa);
/** vh_vdpa_stand_still() - suspend it, or reset one that can't be */
int vh_vdpa_stand_still(struct vhost_vdpa *vdpa);
/** vh_vdpa_go() - DRIVER_OK, and the first look into the rings */
int vh_vdpa_go(struct vhost_vdpa *vdpa);

#include "backend/vdpa/maps.h"
#include "backend/vdpa/shadow.h"

#endif
