/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost device of this kernel, as vhost_dev_init() takes it: a network
 * device over taps or packet sockets, vsock, or a SCSI target.
 *
 *     struct vhost_kernel_options options = {
 *         .size = sizeof(options), .kind = VHOST_KERNEL_NET, .tap = "tap0"
 *     };
 *     struct vhost_kernel *kernel = vhost_kernel_new(&options, &err);
 *     vhost_dev_init(&dev, kernel, VHOST_BACKEND_TYPE_KERNEL, 0, &err);
 *     …
 *     vhost_dev_cleanup(&dev);
 *     vhost_kernel_free(kernel);
 *
 * One struct vhost_dev drives all queues of the device, also where the kernel
 * wants a node opened for each pair of queues, as it does for networks.  The
 * kernel reaches memory by this process's own addresses; no file is needed.
 *
 * What starts and stops with the device: the taps or sockets are attached and
 * detached, vsock runs and pauses, the SCSI endpoint is set and cleared.
 *
 *     network   dev.nvqs is even: receive and send of each pair.  A control
 *               queue is for the owner to serve, outside of dev
 *     vsock     dev.nvqs is 2, or 3 with an event queue on which nothing comes
 *     SCSI      all queues: control, event, and one or more for requests
 *
 * Threads: as the device that uses it.
 */
#ifndef VHOST_KERNEL_H
#define VHOST_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;
struct vhost_kernel;
struct vhost_vring_file; /* <linux/vhost_types.h> */

/** Which device of the kernel. */
enum vhost_kernel_kind {
    VHOST_KERNEL_NET = 1,   /* /dev/vhost-net */
    VHOST_KERNEL_VSOCK = 2, /* /dev/vhost-vsock */
    VHOST_KERNEL_SCSI = 3,  /* /dev/vhost-scsi */
};

/** As what the kernel serves the queues. */
enum vhost_kernel_fork {
    VHOST_KERNEL_FORK_DEFAULT = 0, /* as the kernel has it */
    VHOST_KERNEL_FORK_TASK = 1,    /* a thread of this process */
    VHOST_KERNEL_FORK_KTHREAD = 2, /* a thread of the kernel */
};

/**
 * struct vhost_kernel_options - which device
 * @size: sizeof(struct vhost_kernel_options), or 0 for the fields of this
 *     first version
 * @kind: an enum vhost_kernel_kind
 * @fork: an enum vhost_kernel_fork; other than the default needs a kernel
 *     that lets us choose: Linux 6.18, some of 6.12
 * @path: of the node; copied; NULL: the one that belongs to @kind
 * @nodes, @n_nodes: nodes that are open already, in place of @path, as many as
 *     the device needs; given, also on failure, and good for one
 *     vhost_dev_init(); the array is copied
 * @tap: network: name of a tap to use, or to make; copied; NULL: see @backends
 * @backends, @n_backends: network: taps, or packet sockets (SOCK_RAW), one for
 *     each pair; lent until vhost_kernel_free(); the array is copied.  None:
 *     they come by vhost_net_set_backend()
 * @guest_cid: vsock: of the guest, 3 or more; 0: it comes by
 *     vhost_kernel_set_guest_cid() before the start
 * @wwpn: SCSI: name of the target in configfs, such as naa.5001405000000001;
 *     copied
 * @tpgt: SCSI: its target portal group
 * @workers: SCSI: threads beside the first, to share the request queues among
 *     them; needs Linux 6.5
 */
struct vhost_kernel_options {
    size_t size;
    uint32_t kind;
    uint32_t fork;
    const char *path;
    const int *nodes;
    unsigned n_nodes;
    unsigned n_backends;
    const int *backends;
    const char *tap;
    uint64_t guest_cid;
    const char *wwpn;
    uint16_t tpgt;
    uint16_t reserved[3];
    uint32_t workers;
};

/**
 * struct vhost_kernel_info - what the device is, and what it has cost
 * @kind: an enum vhost_kernel_kind
 * @nodes: how many are open
 * @features: feature bits as the kernel offers them, two words
 * @backend_features: VHOST_BACKEND_F_… as offered, as bits
 * @acked_backend_features: those in use, once it was started
 * @max_mem_slots: memory regions that the kernel takes
 * @scsi_abi: SCSI: version of the interface
 * @vnet_header: network: taps and sockets have a virtio-net header; else the
 *     kernel adds and removes it
 * @wide_features: the kernel knows feature bits above 63
 * @ioctls: system calls since vhost_dev_init(), without @iotlb_messages
 * @iotlb_messages: write(2) calls that changed the device IOTLB
 */
struct vhost_kernel_info {
    uint32_t kind;
    uint32_t nodes;
    uint64_t features[2];
    uint64_t backend_features;
    uint64_t acked_backend_features;
    uint32_t max_mem_slots;
    uint32_t scsi_abi;
    bool vnet_header;
    bool wide_features;
    uint64_t ioctls;
    uint64_t iotlb_messages;
    uint64_t reserved[8];
};

/** vhost_kernel_new() - describe a device
 * @options: copied
 * @errp: why it failed
 *
 * The nodes are opened by vhost_dev_init(), which fails with -ENOENT or -ENODEV
 * (no node, or its module is missing), -EACCES, -ENOTTY (a node of another
 * kind), -EBUSY (another process has claimed it), -ENOTSUP (@fork, on a kernel
 * that does not know it) or -EINVAL (a tap of the
 * wrong kind, a number of queues that the kind does not have); the words say
 * which, and what to do.
 *
 * Return: the device, or NULL.
 */
struct vhost_kernel *
vhost_kernel_new(const struct vhost_kernel_options *options,
                 struct vhost_error **errp);

/** vhost_kernel_new_uri() - describe a device in one line
 * @where: what follows "kernel:" in a URI: "net", "vsock" or "scsi"; then,
 * after a "?", fields with a "&" between them:
 *
 *         net?tap=NAME
 *         vsock?cid=NUMBER
 *         scsi?wwpn=NAME&tpgt=NUMBER&workers=NUMBER
 *
 *     and for each path=NODE and fork=task or fork=kthread
 * @errp: why it failed
 *
 * Return: as vhost_kernel_new(); also NULL for what is not of this form, with
 * the forms that there are in the words.
 */
struct vhost_kernel *vhost_kernel_new_uri(const char *where,
                                          struct vhost_error **errp);

/** vhost_kernel_free() - forget a device
 * @kernel: not in use by a struct vhost_dev; NULL is allowed
 */
void vhost_kernel_free(struct vhost_kernel *kernel);

/** vhost_kernel_get_info() - what is known of the device
 * @kernel: a device; all but the kind is 0 unless a struct vhost_dev uses it
 * @info: filled in
 */
void vhost_kernel_get_info(const struct vhost_kernel *kernel,
                           struct vhost_kernel_info *info);

/** vhost_net_set_backend() - attach a tap or a packet socket to a queue
 * @hdev: an initialised network device of the kernel
 * @file: virtio queue index, and the fd, lent until it is replaced or the
 *     device cleaned up; -1: none
 *
 * Holds for every later start; a started device takes it at once.
 *
 * Return: 0; -ENOSYS for another kind of back end, -EINVAL for another kind of
 * device, a queue that there is not, or a tap of the wrong kind; -ENOTSOCK for
 * what is neither tap nor packet socket; or the negative errno of ioctl(2),
 * with words in vhost_dev_get_error().
 */
int vhost_net_set_backend(struct vhost_dev *hdev,
                          struct vhost_vring_file *file);

/** vhost_kernel_get_tap() - which tap or socket a pair of queues has
 * @kernel: a network device in use
 * @pair: from 0
 *
 * Return: an fd, lent as long as it is in use; -1 if there is none, or no such
 * pair.
 */
int vhost_kernel_get_tap(const struct vhost_kernel *kernel, unsigned pair);

/** vhost_kernel_set_offloads() - what the driver takes from the taps
 * @kernel: a network device in use
 * @features: virtio-net feature bits that the driver acknowledged, of which
 *     VIRTIO_NET_F_GUEST_CSUM, _TSO4, _TSO6, _ECN, _UFO, _USO4 and _USO6 count
 * @errp: why it failed
 *
 * None, until this is called, of a tap that was opened by its name.
 *
 * Return: 0; -EINVAL if it has no taps with a header; or the negative errno of
 * ioctl(2).
 */
int vhost_kernel_set_offloads(struct vhost_kernel *kernel, uint64_t features,
                              struct vhost_error **errp);

/** vhost_kernel_set_guest_cid() - the address of the guest
 * @kernel: a vsock device; of one that is in use it changes at once
 * @cid: 3 or more, below 2^32 - 1
 * @errp: why it failed
 *
 * Return: 0; -EADDRINUSE if another guest has it; -EINVAL for one that no
 * guest can have, or for another kind of device.
 */
int vhost_kernel_set_guest_cid(struct vhost_kernel *kernel, uint64_t cid,
                               struct vhost_error **errp);

/** vhost_kernel_set_log_fd() - be told that the device writes to memory
 * @kernel: a device in use
 * @fd: an eventfd, set when a page was marked in the dirty log; lent for the
 *     call, the kernel keeps its own; -1: no more
 * @errp: why it failed
 *
 * Return: 0 or the negative errno of ioctl(2).
 */
int vhost_kernel_set_log_fd(struct vhost_kernel *kernel, int fd,
                            struct vhost_error **errp);

/** vhost_kernel_get_events_missed() - how many SCSI events found no buffer
 * @kernel: a SCSI device in use
 * @missedp: filled in
 * @errp: why it failed
 *
 * Return: 0; -EINVAL for another kind; or the negative errno of ioctl(2).
 */
int vhost_kernel_get_events_missed(struct vhost_kernel *kernel,
                                   uint32_t *missedp,
                                   struct vhost_error **errp);

/** vhost_kernel_set_events_missed() - as it was before a migration
 * @kernel: a SCSI device in use
 * @missed: as vhost_kernel_get_events_missed() told
 * @errp: why it failed
 *
 * Return: as vhost_kernel_get_events_missed().
 */
int vhost_kernel_set_events_missed(struct vhost_kernel *kernel, uint32_t missed,
                                   struct vhost_error **errp);

/** vhost_kernel_new_worker() - another thread of the kernel
 * @kernel: a device in use; of the kinds that there are, SCSI can
 * @idp: filled in; it goes with the device at the latest
 * @errp: why it failed
 *
 * Return: 0; -ENOTSUP if this device of this kernel has but one; or the
 * negative errno of ioctl(2).
 */
int vhost_kernel_new_worker(struct vhost_kernel *kernel, uint32_t *idp,
                            struct vhost_error **errp);

/** vhost_kernel_free_worker() - end one
 * @kernel: a device in use
 * @id: of the worker
 * @errp: why it failed
 *
 * Return: 0; -EBUSY while a queue is attached to it; or as
 * vhost_kernel_new_worker().
 */
int vhost_kernel_free_worker(struct vhost_kernel *kernel, uint32_t id,
                             struct vhost_error **errp);

/** vhost_kernel_attach_worker() - who serves a queue
 * @kernel: a device in use
 * @queue: virtio queue index
 * @id: of the worker
 * @errp: why it failed
 *
 * Return: 0; -EINVAL without such a queue; or as vhost_kernel_new_worker().
 */
int vhost_kernel_attach_worker(struct vhost_kernel *kernel, unsigned queue,
                               uint32_t id, struct vhost_error **errp);

/** vhost_kernel_get_worker() - who serves it now
 * @kernel: a device in use
 * @queue: virtio queue index
 * @idp: filled in
 * @errp: why it failed
 *
 * Return: as vhost_kernel_attach_worker().
 */
int vhost_kernel_get_worker(struct vhost_kernel *kernel, unsigned queue,
                            uint32_t *idp, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
