/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device as an object, and the table of what it can be asked.
 *
 * A node is claimed before it answers anything but for its features: the kernel
 * binds it to the memory of the process that says SET_OWNER.  It serves as many
 * queues as its class has, two for networks: so what concerns the device as a
 * whole is said to each node, and what concerns a queue to the one it is on.
 *
 * Nodes do not tell of which class they are, and answer what they do not know
 * with whatever errno a queue that is not there has.  So each class asks, when
 * the node is claimed, something harmless that only its own kind knows.
 */
#include "backend/kernel/entries.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ops.h"
#include "util/atomic.h"
#include "util/error.h"

int vh_kernel_ioctl(struct vhost_kernel *kernel, int fd, unsigned long request,
                    const void *arg)
{
    __atomic_add_fetch(&kernel->info.ioctls, 1, __ATOMIC_RELAXED);
    return kernel->sys->ioctl(kernel->sys_ctx, fd, request, (void *)arg);
}

int vh_kernel_failed(struct vhost_kernel *kernel, int r, const char *operation,
                     int queue, const char *hint)
{
    return vh_be_fail(kernel->dev, r, operation, queue, "%s: %s: %s%s%s",
                      kernel->name, operation, strerror(-r), *hint ? ": " : "",
                      hint);
}

int vh_kernel_misfit(struct vhost_kernel *kernel, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return vh_be_fail(kernel->dev, -EINVAL, "init", VH_NO_QUEUE, "%s: %s",
                      kernel->name, text);
}

int vh_kernel_call(struct vhost_kernel *kernel, unsigned node,
                   const char *operation, unsigned long request,
                   const void *arg)
{
    int r = vh_kernel_ioctl(kernel, kernel->nodes[node], request, arg);

    return r >= 0 ? 0 : vh_kernel_failed(kernel, r, operation, VH_NO_QUEUE, "");
}

int vh_kernel_call_all(struct vhost_kernel *kernel, const char *operation,
                       unsigned long request, const void *arg)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < kernel->n_nodes; i++) {
        r = vh_kernel_call(kernel, i, operation, request, arg);
    }
    return r;
}

int vh_kernel_enter(struct vhost_kernel *kernel, const char *operation,
                    const struct vh_kernel_class *class,
                    struct vhost_error **errp)
{
    if (class && kernel->class != class) {
        return vh_error(errp, -EINVAL, operation, VH_NO_QUEUE,
                        "%s: that is for %s devices", kernel->name,
                        class->name);
    }
    if (!kernel->dev) {
        return vh_error(errp, -EINVAL, operation, VH_NO_QUEUE,
                        "%s: no device uses it", kernel->name);
    }
    vhost_error_free(
        __atomic_exchange_n(&kernel->dev->error, NULL, __ATOMIC_ACQ_REL));
    return 0;
}

int vh_kernel_leave(struct vhost_kernel *kernel, int r,
                    struct vhost_error **errp)
{
    if (r < 0) {
        vh_error_copy(errp, vh_load_acquire(&kernel->dev->error));
    }
    return r;
}

/* Nothing of it may be left when another device takes it up. */
static void kernel_cleanup(struct vhost_dev *dev)
{
    struct vhost_kernel *kernel = dev->opaque;
    uint32_t kind;

    if (!kernel || kernel->dev != dev) {
        return; /* an init that failed early, or a second cleanup */
    }
    if (kernel->running) {
        kernel->class->stop(kernel);
        kernel->running = false;
    }
    kind = kernel->info.kind;
    vh_kernel_iotlb_cleanup(kernel);
    vh_kernel_close_nodes(kernel);
    free(kernel->queues);
    kernel->queues = NULL;
    kernel->served = 0;
    kernel->iotlb = false;
    kernel->dev = NULL;
    memset(&kernel->info, 0, sizeof(kernel->info));
    kernel->info.kind = kind;
}

static int make_queues(struct vhost_kernel *kernel)
{
    unsigned n = kernel->served;

    kernel->queues = calloc(n, sizeof(*kernel->queues));
    if (!kernel->queues) {
        return vh_be_fail(kernel->dev, -ENOMEM, "malloc", VH_NO_QUEUE,
                          "out of memory");
    }
    for (unsigned i = 0; i < n; i++) {
        kernel->queues[i].backend = -1;
    }
    return 0;
}

/* The wide form first.  A kernel that does not know it takes the count for the
 * index of a queue, and fails with what it has for that. */
static int ask_features(struct vhost_kernel *kernel)
{
    struct {
        uint64_t count;
        uint64_t words[VHOST_FEATURES_WORDS];
    } wide = { .count = VHOST_FEATURES_WORDS };
    uint64_t *features = kernel->info.features;
    int r = vh_kernel_ioctl(kernel, kernel->nodes[0],
                            VH_KERNEL_GET_FEATURES_ARRAY, &wide);

    kernel->info.wide_features = r >= 0;
    if (r >= 0) {
        memcpy(features, wide.words, sizeof(wide.words));
        return 0;
    }
    features[1] = 0;
    r = vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_GET_FEATURES, features);
    if (r == -ENOTTY || r == -EINVAL) {
        return vh_be_fail(kernel->dev, -ENOTTY, "GET_FEATURES", VH_NO_QUEUE,
                          "%s: not a vhost node", kernel->name);
    }
    return r >= 0
               ? 0
               : vh_kernel_failed(kernel, r, "GET_FEATURES", VH_NO_QUEUE, "");
}

/* Devices without an IOTLB do not know the question, nor do old kernels. */
static void ask_backend_features(struct vhost_kernel *kernel)
{
    uint64_t features = 0;

    if (vh_kernel_ioctl(kernel, kernel->nodes[0], VHOST_GET_BACKEND_FEATURES,
                        &features) >= 0) {
        kernel->info.backend_features = features;
    }
}

static int take_up(struct vhost_kernel *kernel)
{
    int r = kernel->class->check(kernel);

    if (r == 0) {
        r = make_queues(kernel);
    }
    if (r == 0) {
        r = vh_kernel_open_nodes(kernel);
    }
    if (r == 0) {
        r = ask_features(kernel);
    }
    if (r == 0) {
        ask_backend_features(kernel);
        r = vh_kernel_read_limit(kernel);
    }
    if (r == 0) {
        r = vh_kernel_iotlb_init(kernel);
    }
    return r == 0 && kernel->class->open ? kernel->class->open(kernel) : r;
}

static int kernel_init(struct vhost_dev *dev, void *opaque)
{
    struct vhost_kernel *kernel = opaque;
    int r;

    dev->opaque = kernel;
    if (kernel->dev) {
        return vh_be_fail(dev, -EBUSY, "open", VH_NO_QUEUE,
                          "%s: another device uses it", kernel->name);
    }
    kernel->dev = dev;
    kernel->answering = -1;
    kernel->served = dev->nvqs;
    r = take_up(kernel);
    if (r < 0) {
        kernel_cleanup(dev);
        return r;
    }
    dev->max_queues = dev->nvqs;
    return 0;
}

static int choose_fork(struct vhost_kernel *kernel)
{
    /* A kernel that does not know it reads the index of a queue there. */
    const uint8_t how[sizeof(uint32_t)] = {
        kernel->options.fork == VHOST_KERNEL_FORK_TASK ? VH_KERNEL_FORK_TASK
                                                       : VH_KERNEL_FORK_KTHREAD,
    };

    for (unsigned i = 0; i < kernel->n_nodes; i++) {
        int r =
            vh_kernel_ioctl(kernel, kernel->nodes[i], VH_KERNEL_SET_FORK, how);

        if (r < 0) {
            return vh_kernel_failed(kernel, -ENOTSUP, "SET_FORK_FROM_OWNER",
                                    VH_NO_QUEUE,
                                    "this kernel does not let us choose who "
                                    "serves the queues: Linux 6.18 may");
        }
    }
    return 0;
}

static int claim(struct vhost_kernel *kernel)
{
    for (unsigned i = 0; i < kernel->n_nodes; i++) {
        int r =
            vh_kernel_ioctl(kernel, kernel->nodes[i], VHOST_SET_OWNER, NULL);

        if (r < 0) {
            return vh_kernel_failed(
                kernel, r, "SET_OWNER", VH_NO_QUEUE,
                r == -EBUSY ? "the node has been claimed already: it takes one "
                              "that was opened for this device alone"
                            : "");
        }
    }
    return 0;
}

static int set_owner(struct vhost_dev *dev)
{
    struct vhost_kernel *kernel = dev->opaque;
    int r = 0;

    if (kernel->options.fork != VHOST_KERNEL_FORK_DEFAULT) {
        r = choose_fork(kernel);
    }
    if (r == 0) {
        r = claim(kernel);
    }
    if (r == 0) {
        r = kernel->class->claimed(kernel);
    }
    return r == 0 ? vh_kernel_workers_up(kernel) : r;
}

static int get_features(struct vhost_dev *dev, uint64_t *features)
{
    *features = ((const struct vhost_kernel *)dev->opaque)->info.features[0];
    return 0;
}

static int get_features_ex(struct vhost_dev *dev, uint64_t *features)
{
    const struct vhost_kernel *kernel = dev->opaque;

    memcpy(features, kernel->info.features, sizeof(kernel->info.features));
    return 0;
}

static int say_features(struct vhost_kernel *kernel, const uint64_t *features)
{
    struct {
        uint64_t count;
        uint64_t words[VHOST_FEATURES_WORDS];
    } wide = { .count = VHOST_FEATURES_WORDS };

    if (features[1] == 0) {
        return vh_kernel_call_all(kernel, "SET_FEATURES", VHOST_SET_FEATURES,
                                  features);
    }
    if (!kernel->info.wide_features) {
        return vh_be_fail(kernel->dev, -EINVAL, "SET_FEATURES", VH_NO_QUEUE,
                          "%s: feature bits above 63 take Linux 6.18",
                          kernel->name);
    }
    memcpy(wide.words, features, sizeof(wide.words));
    return vh_kernel_call_all(kernel, "SET_FEATURES_ARRAY",
                              VH_KERNEL_SET_FEATURES_ARRAY, &wide);
}

static int set_features_ex(struct vhost_dev *dev, const uint64_t *features)
{
    struct vhost_kernel *kernel = dev->opaque;
    int r = 0;

    /* A running one is only told whether to log. */
    if (kernel->class->features && !kernel->running) {
        r = kernel->class->features(kernel, features);
    }
    return r == 0 ? say_features(kernel, features) : r;
}

static int set_features(struct vhost_dev *dev, uint64_t features)
{
    const uint64_t words[VHOST_FEATURES_WORDS] = { features };

    return set_features_ex(dev, words);
}

/* Before a kernel knew of any, there was only one form of IOTLB messages. */
static int set_backend_cap(struct vhost_dev *dev)
{
    struct vhost_kernel *kernel = dev->opaque;
    uint64_t wanted = kernel->info.backend_features & VH_KERNEL_F_MSG_V2;

    for (unsigned i = 0; wanted != 0 && i < kernel->n_nodes; i++) {
        int r = vh_kernel_ioctl(kernel, kernel->nodes[i],
                                VHOST_SET_BACKEND_FEATURES, &wanted);

        if (r < 0) {
            return vh_kernel_failed(kernel, r, "SET_BACKEND_FEATURES",
                                    VH_NO_QUEUE, "");
        }
    }
    kernel->info.acked_backend_features = wanted;
    dev->backend_cap = wanted;
    return 0;
}

static int dev_start(struct vhost_dev *dev, bool started)
{
    struct vhost_kernel *kernel = dev->opaque;
    int r;

    if (kernel->running == started) {
        return 0;
    }
    r = started ? kernel->class->start(kernel) : kernel->class->stop(kernel);
    kernel->running = started && r == 0;
    return r;
}

static int get_device_id(struct vhost_dev *dev, uint32_t *id)
{
    *id = ((const struct vhost_kernel *)dev->opaque)->class->device_id;
    return 0;
}

/* All that the kernel knows of one is the address in that of a vsock. */
static int get_config(struct vhost_dev *dev, uint8_t *config, uint32_t len)
{
    const struct vhost_kernel *kernel = dev->opaque;
    const uint64_t cid = htole64(kernel->options.guest_cid);

    if (kernel->class != &vh_kernel_vsock) {
        return vh_be_fail(dev, -ENOSYS, "GET_CONFIG", VH_NO_QUEUE,
                          "%s: the kernel has no configuration space: that is "
                          "for the owner to make up",
                          kernel->name);
    }
    if (len > sizeof(cid)) {
        return vh_be_fail(dev, -E2BIG, "GET_CONFIG", VH_NO_QUEUE,
                          "%s: the configuration has %zu bytes, not %u",
                          kernel->name, sizeof(cid), len);
    }
    memcpy(config, &cid, len);
    return 0;
}

int vhost_kernel_set_log_fd(struct vhost_kernel *kernel, int fd,
                            struct vhost_error **errp)
{
    int r = vh_kernel_enter(kernel, "SET_LOG_FD", NULL, errp);

    return r < 0 ? r
                 : vh_kernel_leave(kernel,
                                   vh_kernel_call_all(kernel, "SET_LOG_FD",
                                                      VHOST_SET_LOG_FD, &fd),
                                   errp);
}

void vhost_kernel_get_info(const struct vhost_kernel *kernel,
                           struct vhost_kernel_info *info)
{
    *info = kernel->info;
    info->nodes = kernel->n_nodes;
}

const VhostOps kernel_ops = {
    .backend_type = VHOST_BACKEND_TYPE_KERNEL,
    .vhost_backend_init = kernel_init,
    .vhost_backend_cleanup = kernel_cleanup,
    .vhost_sync = vh_kernel_net_sync,
    .vhost_get_fd = vh_kernel_get_fd,
    .vhost_dispatch = vh_kernel_dispatch,
    .vhost_backend_memslots_limit = vh_kernel_memslots_limit,
    .vhost_set_owner = set_owner,
    .vhost_get_features = get_features,
    .vhost_get_features_ex = get_features_ex,
    .vhost_set_features = set_features,
    .vhost_set_features_ex = set_features_ex,
    .vhost_set_backend_cap = set_backend_cap,
    .vhost_get_device_id = get_device_id,
    .vhost_get_config = get_config,
    .vhost_set_mem_table = vh_kernel_set_mem_table,
    .vhost_set_log_base = vh_kernel_set_log_base,
    .vhost_set_vring_num = vh_kernel_set_vring_num,
    .vhost_set_vring_base = vh_kernel_set_vring_base,
    .vhost_set_vring_endian = vh_kernel_set_vring_endian,
    .vhost_set_vring_addr = vh_kernel_set_vring_addr,
    .vhost_set_vring_kick = vh_kernel_set_vring_kick,
    .vhost_set_vring_call = vh_kernel_set_vring_call,
    .vhost_set_vring_err = vh_kernel_set_vring_err,
    .vhost_set_vring_busyloop_timeout = vh_kernel_set_busyloop,
    .vhost_get_vring_base = vh_kernel_get_vring_base,
    .vhost_dev_start = dev_start,
    .vhost_new_worker = vh_kernel_op_new_worker,
    .vhost_free_worker = vh_kernel_op_free_worker,
    .vhost_attach_vring_worker = vh_kernel_op_attach_worker,
    .vhost_get_vring_worker = vh_kernel_op_get_worker,
    .vhost_set_iotlb_callback = vh_kernel_set_iotlb_callback,
    .vhost_send_device_iotlb_msg = vh_kernel_send_iotlb,
    .vhost_net_set_backend = vh_kernel_net_set_backend,
    .vhost_scsi_set_endpoint = vh_kernel_scsi_set_endpoint,
    .vhost_scsi_clear_endpoint = vh_kernel_scsi_clear_endpoint,
    .vhost_scsi_get_abi_version = vh_kernel_scsi_get_abi,
    .vhost_vsock_set_guest_cid = vh_kernel_vsock_set_guest_cid,
    .vhost_vsock_set_running = vh_kernel_vsock_set_running,
};
