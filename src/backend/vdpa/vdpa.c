/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device as an object, what there is to know of it, and the table of what
 * it can be asked.
 *
 * What is asked once is asked when the node is opened: backend features have
 * to be settled before anything is mapped, and none of the rest changes.  A
 * kernel that does not know a question leaves what was true before it could be
 * asked: one group, one address space, all addresses.
 */
#include "backend/vdpa/entries.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ops.h"
#include "backend/upcalls.h"
#include "util/error.h"

#define WANTED                                                                 \
    (VH_VDPA_F_MSG_V2 | VH_VDPA_F_BATCH | VH_VDPA_F_ASID | VH_VDPA_F_SUSPEND | \
     VH_VDPA_F_RESUME | VH_VDPA_F_ENABLE_LATE | VH_VDPA_F_PERSIST)
#define CONFIG_MAX 65536u /* far above any structure of virtio */

int vh_vdpa_ioctl(struct vhost_vdpa *vdpa, unsigned long request, void *arg)
{
    __atomic_add_fetch(&vdpa->info.ioctls, 1, __ATOMIC_RELAXED);
    return vdpa->sys->ioctl(vdpa->sys_ctx, vdpa->fd, request, arg);
}

int vh_vdpa_call(struct vhost_vdpa *vdpa, const char *operation, int queue,
                 unsigned long request, void *arg)
{
    int r = vh_vdpa_ioctl(vdpa, request, arg);

    if (r >= 0) {
        return 0;
    }
    return vh_be_fail(vdpa->dev, r, operation, queue, "%s: %s: %s", vdpa->name,
                      operation, strerror(-r));
}

static int open_node(struct vhost_vdpa *vdpa)
{
    const char *hint = "";
    int r;

    if (!vdpa->path) {
        vdpa->fd = vdpa->given_fd;
        vdpa->given_fd = -1;
        return vdpa->fd >= 0
                   ? 0
                   : vh_be_fail(vdpa->dev, -EBADF, "open", VH_NO_QUEUE,
                                "%s: the fd has been used up", vdpa->name);
    }
    r = vdpa->sys->open(vdpa->sys_ctx, vdpa->path, O_RDWR);
    if (r >= 0) {
        vdpa->fd = r;
        return 0;
    }
    if (r == -ENOENT || r == -ENXIO || r == -ENODEV) {
        hint = ": is a vDPA device bound to the driver vhost_vdpa?";
    } else if (r == -EACCES || r == -EPERM) {
        hint = ": read and write access to the node is needed";
    } else if (r == -EBUSY) {
        hint = ": another program has the device";
    }
    return vh_be_fail(vdpa->dev, r, "open", VH_NO_QUEUE, "%s: %s%s", vdpa->name,
                      strerror(-r), hint);
}

static int ask_id(struct vhost_vdpa *vdpa)
{
    int r =
        vh_vdpa_ioctl(vdpa, VHOST_VDPA_GET_DEVICE_ID, &vdpa->info.device_id);

    if (r >= 0) {
        return 0;
    }
    /* EPERM is of another vhost node, which wants an owner for any call. */
    if (r == -ENOTTY || r == -EINVAL || r == -ENOSYS || r == -EPERM) {
        return vh_be_fail(vdpa->dev, -ENODEV, "GET_DEVICE_ID", VH_NO_QUEUE,
                          "%s: not a vhost-vdpa node", vdpa->name);
    }
    return vh_be_fail(vdpa->dev, r, "GET_DEVICE_ID", VH_NO_QUEUE, "%s: %s",
                      vdpa->name, strerror(-r));
}

static int settle_backend(struct vhost_vdpa *vdpa)
{
    struct vhost_vdpa_info *info = &vdpa->info;
    int r = vh_vdpa_call(vdpa, "GET_BACKEND_FEATURES", VH_NO_QUEUE,
                         VHOST_GET_BACKEND_FEATURES, &info->backend_features);
    uint64_t acked = info->backend_features & WANTED;

    if (r == 0 && !(acked & VH_VDPA_F_MSG_V2)) {
        r = vh_be_fail(vdpa->dev, -ENOTSUP, "GET_BACKEND_FEATURES", VH_NO_QUEUE,
                       "%s: the kernel has no VHOST_BACKEND_F_IOTLB_MSG_V2: "
                       "no memory can be mapped",
                       vdpa->name);
    }
    if (r == 0) {
        r = vh_vdpa_call(vdpa, "SET_BACKEND_FEATURES", VH_NO_QUEUE,
                         VHOST_SET_BACKEND_FEATURES, &acked);
    }
    if (r == 0) {
        info->acked_backend_features = acked;
        vdpa->dev->backend_cap = acked;
    }
    return r;
}

/* A question that an old kernel does not know leaves @arg as it is. */
static int ask(struct vhost_vdpa *vdpa, const char *operation,
               unsigned long request, void *arg)
{
    int r = vh_vdpa_ioctl(vdpa, request, arg);

    if (r >= 0 || r == -ENOTTY || r == -EOPNOTSUPP) {
        return 0;
    }
    return vh_be_fail(vdpa->dev, r, operation, VH_NO_QUEUE, "%s: %s: %s",
                      vdpa->name, operation, strerror(-r));
}

static int ask_limits(struct vhost_vdpa *vdpa)
{
    struct vhost_vdpa_iova_range range = { .first = 0, .last = UINT64_MAX };
    struct vhost_vdpa_info *info = &vdpa->info;
    uint16_t most = 0;
    int r = ask(vdpa, "GET_IOVA_RANGE", VHOST_VDPA_GET_IOVA_RANGE, &range);

    if (r == 0) {
        r = ask(vdpa, "GET_CONFIG_SIZE", VHOST_VDPA_GET_CONFIG_SIZE,
                &info->config_size);
    }
    if (r == 0) {
        r = ask(vdpa, "GET_VQS_COUNT", VH_VDPA_GET_VQS_COUNT, &info->queues);
    }
    if (r == 0) {
        r = vh_vdpa_call(vdpa, "GET_VRING_NUM", VH_NO_QUEUE,
                         VHOST_VDPA_GET_VRING_NUM, &most);
    }
    info->iova_first = range.first;
    info->iova_last = range.last;
    info->max_queue_size = most;
    return r;
}

/* What it says of itself must make sense before it is believed. */
static int check_limits(const struct vhost_vdpa *vdpa)
{
    const struct vhost_vdpa_info *info = &vdpa->info;
    struct vhost_dev *dev = vdpa->dev;
    unsigned end = (unsigned)dev->vq_index + dev->nvqs;

    if (info->config_size > CONFIG_MAX) {
        return vh_be_fail(dev, -E2BIG, "GET_CONFIG_SIZE", VH_NO_QUEUE,
                          "%s: the device says that its configuration has %u "
                          "bytes: more than %u is no configuration",
                          vdpa->name, info->config_size, CONFIG_MAX);
    }
    if (info->iova_first > info->iova_last) {
        return vh_be_fail(dev, -EPROTO, "GET_IOVA_RANGE", VH_NO_QUEUE,
                          "%s: the device reaches from %#llx to %#llx: nothing",
                          vdpa->name, (unsigned long long)info->iova_first,
                          (unsigned long long)info->iova_last);
    }
    if (info->queues != 0 && end > info->queues) {
        return vh_be_fail(dev, -EINVAL, "GET_VQS_COUNT", VH_NO_QUEUE,
                          "%s: the device has %u queues, %u are needed",
                          vdpa->name, info->queues, end);
    }
    return 0;
}

static int set_up(struct vhost_vdpa *vdpa)
{
    int r = open_node(vdpa);

    if (r == 0) {
        r = ask_id(vdpa);
    }
    if (r == 0) {
        r = settle_backend(vdpa);
    }
    if (r == 0) {
        r = ask_limits(vdpa);
    }
    if (r == 0) {
        r = check_limits(vdpa);
    }
    if (r == 0) {
        r = vh_vdpa_groups_init(vdpa);
    }
    if (r == 0) {
        r = vh_vdpa_svqs_init(vdpa);
    }
    return r == 0 ? vh_vdpa_begin(vdpa) : r;
}

static void close_node(struct vhost_vdpa *vdpa)
{
    if (vdpa->fd >= 0) {
        vdpa->sys->close(vdpa->sys_ctx, vdpa->fd);
        vdpa->fd = -1;
    }
}

/* The kernel resets the device and unmaps all when the node is closed. */
static void vdpa_cleanup(struct vhost_dev *dev)
{
    struct vhost_vdpa *vdpa = dev->opaque;

    if (!vdpa || vdpa->dev != dev) {
        return; /* an init that failed early, or a second cleanup */
    }
    if (dev->upcalls && dev->upcalls->disconnected) {
        dev->upcalls->disconnected(dev);
    }
    close_node(vdpa);
    vh_vdpa_svqs_free(vdpa);
    vh_vdpa_maps_free(vdpa);
    free(vdpa->asids);
    vdpa->asids = NULL;
    vdpa->dev = NULL;
    vdpa->doorbells = vdpa->suspended = vdpa->iommu = false;
    vdpa->status = 0;
    memset(&vdpa->info, 0, sizeof(vdpa->info));
}

static int vdpa_init(struct vhost_dev *dev, void *opaque)
{
    struct vhost_vdpa *vdpa = opaque;
    int r;

    dev->opaque = vdpa;
    if (vdpa->dev) {
        return vh_be_fail(dev, -EBUSY, "open", VH_NO_QUEUE,
                          "%s: another device uses it", vdpa->name);
    }
    vdpa->dev = dev;
    r = set_up(vdpa);
    if (r < 0) {
        vdpa_cleanup(dev);
        return r;
    }
    dev->max_queues = vdpa->info.queues;
    return 0;
}

static unsigned memslots_limit(struct vhost_dev *dev)
{
    (void)dev;
    return INT_MAX;
}

static int set_owner(struct vhost_dev *dev)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    int r = vh_vdpa_ioctl(vdpa, VHOST_SET_OWNER, NULL);

    if (r == 0) {
        return 0;
    }
    return vh_be_fail(dev, r, "SET_OWNER", VH_NO_QUEUE, "%s: SET_OWNER: %s%s",
                      vdpa->name, strerror(-r),
                      r == -EBUSY
                          ? ": the node has been claimed already: it takes one "
                            "that was opened for this device alone"
                          : "");
}

static int get_features(struct vhost_dev *dev, uint64_t *features)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    int r = vh_vdpa_call(vdpa, "GET_FEATURES", VH_NO_QUEUE, VHOST_GET_FEATURES,
                         features);

    if (r == 0) {
        vdpa->info.features[0] = *features;
        if (vh_vdpa_can_log(vdpa)) {
            *features |= UINT64_C(1) << VHOST_F_LOG_ALL;
        }
    }
    return r;
}

static bool force_iommu(struct vhost_dev *dev)
{
    (void)dev;
    return true;
}

static int get_device_id(struct vhost_dev *dev, uint32_t *id)
{
    *id = ((const struct vhost_vdpa *)dev->opaque)->info.device_id;
    return 0;
}

static int out_of_memory(struct vhost_error **errp)
{
    return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
}

static int set_names(struct vhost_vdpa *vdpa, const char *path)
{
    int n;

    if (vdpa->given_fd < 0) {
        vdpa->path = strdup(path);
        if (!vdpa->path) {
            return -ENOMEM;
        }
    }
    n = path ? asprintf(&vdpa->name, "vdpa:%s", path)
             : asprintf(&vdpa->name, "vdpa:fd %d", vdpa->given_fd);
    if (n < 0) {
        vdpa->name = NULL;
        return -ENOMEM;
    }
    return 0;
}

struct vhost_vdpa *vh_vdpa_new(const struct vh_sys *sys, void *sys_ctx,
                               const char *path, int fd,
                               struct vhost_error **errp)
{
    struct vhost_vdpa *vdpa = calloc(1, sizeof(*vdpa));

    if (!vdpa) {
        if (fd >= 0) {
            sys->close(sys_ctx, fd);
        }
        out_of_memory(errp);
        return NULL;
    }
    vdpa->sys = sys;
    vdpa->sys_ctx = sys_ctx;
    vdpa->given_fd = fd;
    vdpa->fd = -1;
    vdpa->epoll_fd = vdpa->config_fd = -1;
    vdpa->cvq = UINT_MAX;
    pthread_mutex_init(&vdpa->lock, NULL);
    pthread_mutex_init(&vdpa->svq_lock, NULL);
    if (set_names(vdpa, path) < 0) {
        vhost_vdpa_free(vdpa);
        out_of_memory(errp);
        return NULL;
    }
    return vdpa;
}

/* What this version does not know of must be 0: it can't be done. */
static int check_options(const struct vhost_vdpa_options *options,
                         struct vhost_error **errp)
{
    const unsigned char *bytes = (const unsigned char *)options;

    for (size_t i = sizeof(*options); options && i < options->size; i++) {
        if (bytes[i] != 0) {
            return vh_error(errp, -E2BIG, "options", VH_NO_QUEUE,
                            "options of a later version of the library");
        }
    }
    return 0;
}

static struct vhost_vdpa *with_options(struct vhost_vdpa *vdpa,
                                       const struct vhost_vdpa_options *options)
{
    size_t known = offsetof(struct vhost_vdpa_options, shadow_queues) +
                   sizeof(options->shadow_queues);

    if (vdpa && options && options->size >= known) {
        vdpa->always = options->shadow_queues;
    }
    if (vdpa && options && options->size >= sizeof(*options)) {
        vdpa->wants_cvq = options->shadow_control_queue;
    }
    return vdpa;
}

struct vhost_vdpa *vhost_vdpa_new(const struct vhost_vdpa_options *options,
                                  struct vhost_error **errp)
{
    if (check_options(options, errp) < 0) {
        return NULL;
    }
    if (!options || !options->path || options->path[0] == '\0') {
        vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                 "no path of a node is given");
        return NULL;
    }
    return with_options(
        vh_vdpa_new(&vh_sys_host, NULL, options->path, -1, errp), options);
}

struct vhost_vdpa *vhost_vdpa_new_fd(int fd,
                                     const struct vhost_vdpa_options *options,
                                     struct vhost_error **errp)
{
    if (fd < 0) {
        vh_error(errp, -EBADF, "options", VH_NO_QUEUE, "no fd is given");
        return NULL;
    }
    if (check_options(options, errp) < 0) {
        vh_sys_host.close(NULL, fd);
        return NULL;
    }
    return with_options(vh_vdpa_new(&vh_sys_host, NULL,
                                    options ? options->path : NULL, fd, errp),
                        options);
}

void vhost_vdpa_free(struct vhost_vdpa *vdpa)
{
    if (!vdpa) {
        return;
    }
    if (vdpa->given_fd >= 0) {
        vdpa->sys->close(vdpa->sys_ctx, vdpa->given_fd);
    }
    pthread_mutex_destroy(&vdpa->lock);
    pthread_mutex_destroy(&vdpa->svq_lock);
    free(vdpa->path);
    free(vdpa->name);
    free(vdpa);
}

void vhost_vdpa_get_info(const struct vhost_vdpa *vdpa,
                         struct vhost_vdpa_info *info)
{
    *info = vdpa->info;
}

const VhostOps vdpa_ops = {
    .backend_type = VHOST_BACKEND_TYPE_VDPA,
    .vhost_backend_init = vdpa_init,
    .vhost_backend_cleanup = vdpa_cleanup,
    .vhost_backend_memslots_limit = memslots_limit,
    .vhost_get_fd = vh_vdpa_get_fd,
    .vhost_dispatch = vh_vdpa_dispatch,
    .vhost_set_owner = set_owner,
    .vhost_get_features = get_features,
    .vhost_set_features = vh_vdpa_set_features,
    .vhost_force_iommu = force_iommu,
    .vhost_get_device_id = get_device_id,
    .vhost_set_mem_table = vh_vdpa_set_mem_table,
    .vhost_keeps_memory = vh_vdpa_keeps_memory,
    .vhost_set_log_base = vh_vdpa_set_log_base,
    .vhost_vq_get_addr = vh_vdpa_vq_get_addr,
    .vhost_set_vring_num = vh_vdpa_set_vring_num,
    .vhost_set_vring_base = vh_vdpa_set_vring_base,
    .vhost_set_vring_addr = vh_vdpa_set_vring_addr,
    .vhost_set_vring_kick = vh_vdpa_set_vring_kick,
    .vhost_set_vring_call = vh_vdpa_set_vring_call,
    .vhost_set_vring_enable = vh_vdpa_set_vring_enable,
    .vhost_get_vring_base = vh_vdpa_get_vring_base,
    .vhost_dev_start = vh_vdpa_dev_start,
    .vhost_reset_status = vh_vdpa_reset_status,
    .vhost_get_status = vh_vdpa_get_status,
    .vhost_reset_device = vh_vdpa_reset_device,
    .vhost_send_device_iotlb_msg = vh_vdpa_send_iotlb,
    .vhost_get_config = vh_vdpa_get_config,
    .vhost_set_config = vh_vdpa_set_config,
    .vhost_set_config_call = vh_vdpa_set_config_call,
};
