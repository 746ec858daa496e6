/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vDPA device, as vhost_dev_init() takes it: hardware, or what stands in for
 * it, behind a node such as /dev/vhost-vdpa-0.
 *
 *     struct vhost_vdpa *vdpa = vhost_vdpa_new(&options, &err);
 *     vhost_dev_init(&dev, vdpa, VHOST_BACKEND_TYPE_VDPA, 0, &err);
 *     …
 *     vhost_dev_cleanup(&dev);
 *     vhost_vdpa_free(vdpa);
 *
 * One struct vhost_dev drives all queues of the device, the control queue
 * with them.  The device reaches guest memory by guest-physical addresses, and
 * what it reaches is pinned: the kernel counts it against RLIMIT_MEMLOCK.  A
 * device in software (VDUSE, the kernel's simulators) reaches shared mappings
 * of files or anonymous memory, as of vhost_memory_alloc(); of private ones the
 * kernel gives it nothing, and says so to nobody.
 *
 * Behind an IOMMU (see iommu.h) it reaches only what it has been told of,
 * since it can't ask.  The start tells what the owner's replay tells, or if
 * there is none the translations in which the areas of its rings begin; those
 * that come later are for the owner to tell, by vhost_iommu_map(), before the
 * driver uses them.
 *
 * Threads: as the device that uses it.
 */
#ifndef VHOST_VDPA_H
#define VHOST_VDPA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_vdpa;

/**
 * struct vhost_vdpa_options - which device
 * @size: sizeof(struct vhost_vdpa_options), or 0 for the fields of this first
 *     version
 * @path: of the node; copied
 * @shadow_queues: the device is given rings of the library's own as long as
 *     it runs.  If not, only while a dirty log is on; see below
 *
 * @shadow_control_queue: of a network device; see below
 *
 * Shadow queues.  A device that can't log what it writes is given other rings
 * than the driver's, and buffers go from one to the other: so all that is
 * written is known.  That is done by vhost_dev_dispatch(), which has to be
 * called whenever vhost_dev_get_fd() is readable; it is readable for each kick
 * and each call.  A device that runs when the log is turned on or off is
 * suspended and reset, and goes on where it stood; so it must offer
 * VHOST_BACKEND_F_SUSPEND (or have had shadow queues all the time).
 * Shadow queues are refused to a driver behind an IOMMU, and to a device
 * with a group of queues in another address space than 0.
 *
 * A network device forgets by such a reset what its driver has set by the
 * control queue: addresses, filters, pairs of queues, offloads.  So one that has
 * a control queue goes over only if that is known, which takes
 * @shadow_control_queue: then its control queue alone is a shadow as long as it
 * runs, in an address space of its own that has nothing of guest memory in it,
 * if the device has VHOST_BACKEND_F_IOTLB_ASID and keeps that queue in a group
 * apart; else it stays as it is.  What the driver has set is set again after
 * each reset, until vhost_reset_device().  Commands of more than 4 KiB fail.
 * vhost_dev_dispatch() has to be called, as above.
 *
 * A device that can't be suspended may not be able either to go on in a ring
 * where it stood: vp_vdpa can't.  It is started again with rings that its
 * driver has reset (base 0), or with shadow queues from the first start on.
 */
struct vhost_vdpa_options {
    size_t size;
    const char *path;
    bool shadow_queues;
    bool shadow_control_queue;
};

/**
 * struct vhost_vdpa_info - what the device is, and what it has cost
 * @features: virtio feature bits as offered, two words
 * @backend_features: VHOST_BACKEND_F_… as offered, as bits
 * @acked_backend_features: those in use
 * @iova_first: the first address that it can reach
 * @iova_last: the last one
 * @device_id: virtio device type
 * @config_size: bytes of its configuration space
 * @queues: how many it has; 0: the kernel does not tell
 * @max_queue_size: entries of the largest; one may have less
 * @groups: of queues that share an address space; 1 without
 *     VHOST_BACKEND_F_IOTLB_ASID
 * @address_spaces: how many there are; likewise
 * @ioctls: system calls since vhost_dev_init(), without @map_messages
 * @map_messages: write(2) calls that changed what it reaches
 */
struct vhost_vdpa_info {
    uint64_t features[2];
    uint64_t backend_features;
    uint64_t acked_backend_features;
    uint64_t iova_first;
    uint64_t iova_last;
    uint32_t device_id;
    uint32_t config_size;
    uint32_t queues;
    uint32_t max_queue_size;
    uint32_t groups;
    uint32_t address_spaces;
    uint64_t ioctls;
    uint64_t map_messages;
    uint64_t reserved[8];
};

/** vhost_vdpa_new() - describe a device by the path of its node
 * @options: copied
 * @errp: why it failed
 *
 * The node is opened by vhost_dev_init(), which fails with -ENOENT, -EACCES,
 * -EBUSY (another program has it) or -ENODEV (it is no vhost-vdpa node).
 *
 * Return: the device, or NULL.
 */
struct vhost_vdpa *vhost_vdpa_new(const struct vhost_vdpa_options *options,
                                  struct vhost_error **errp);

/** vhost_vdpa_new_fd() - describe a device by its open node
 * @fd: given: closed also on failure
 * @options: @options->path is only a name for messages, or NULL; NULL for
 *     default options
 * @errp: why it failed
 *
 * Return: the device, good for one vhost_dev_init(), or NULL.
 */
struct vhost_vdpa *vhost_vdpa_new_fd(int fd,
                                     const struct vhost_vdpa_options *options,
                                     struct vhost_error **errp);

/** vhost_vdpa_free() - forget a device
 * @vdpa: not in use by a struct vhost_dev; NULL is allowed
 */
void vhost_vdpa_free(struct vhost_vdpa *vdpa);

/** vhost_vdpa_get_info() - what is known of the device
 * @vdpa: a device; all is 0 unless a struct vhost_dev uses it
 * @info: filled in
 */
void vhost_vdpa_get_info(const struct vhost_vdpa *vdpa,
                         struct vhost_vdpa_info *info);

/** vhost_vdpa_suspend() - let the device stand still, as it is
 * @vdpa: in use by a started device
 * @errp: why it failed
 *
 * It keeps its state, and begins nothing until vhost_vdpa_resume(); to suspend
 * a suspended device changes nothing.  vhost_dev_stop() does this by itself.
 *
 * Return: 0; -ENOTSUP if it can't (VHOST_BACKEND_F_SUSPEND), -EINVAL if it is
 * not started, or the negative errno of ioctl(2).
 */
int vhost_vdpa_suspend(struct vhost_vdpa *vdpa, struct vhost_error **errp);

/** vhost_vdpa_resume() - let it go on
 * @vdpa: suspended; if it is not, nothing changes
 * @errp: why it failed
 *
 * Return: 0; -ENOTSUP if it can't (VHOST_BACKEND_F_RESUME), or the negative
 * errno of ioctl(2).
 */
int vhost_vdpa_resume(struct vhost_vdpa *vdpa, struct vhost_error **errp);

/** vhost_vdpa_get_group() - which group a queue is in
 * @vdpa: in use by a device
 * @queue: virtio queue index
 * @groupp: filled in
 * @errp: why it failed
 *
 * Return: 0; -ENOTSUP without VHOST_BACKEND_F_IOTLB_ASID, or the negative errno
 * of ioctl(2).
 */
int vhost_vdpa_get_group(struct vhost_vdpa *vdpa, unsigned queue,
                         uint32_t *groupp, struct vhost_error **errp);

/** vhost_vdpa_set_group_asid() - give a group of queues an address space
 * @vdpa: in use by a device that is not started
 * @group: of queues
 * @asid: which; guest memory is mapped in address space 0 alone
 * @errp: why it failed
 *
 * Holds for every later start.
 *
 * Return: 0; -ENOTSUP without VHOST_BACKEND_F_IOTLB_ASID, -EINVAL if there is
 * no such group or address space, -EBUSY if the device is started.
 */
int vhost_vdpa_set_group_asid(struct vhost_vdpa *vdpa, uint32_t group,
                              uint32_t asid, struct vhost_error **errp);

/**
 * struct vhost_vdpa_mapping - memory that the device may reach
 * @asid: address space; not 0, which is the guest's
 * @access: 1: it may read, 2: write, 3: both
 * @iova: where the device finds it
 * @size: bytes, whole pages
 * @addr: where it is; lent until it is unmapped, or the device cleaned up
 */
struct vhost_vdpa_mapping {
    uint32_t asid;
    uint32_t access;
    uint64_t iova;
    uint64_t size;
    void *addr;
};

/** vhost_vdpa_map() - let queues of another address space reach memory
 * @vdpa: in use by a device
 * @mapping: copied
 * @errp: why it failed
 *
 * A reset, and so every vhost_dev_stop(), ends what is mapped, unless the
 * device has VHOST_BACKEND_F_IOTLB_PERSIST.
 *
 * Return: 0; -ENOTSUP without VHOST_BACKEND_F_IOTLB_ASID, -EINVAL for address
 * space 0 or one that there is not, -ERANGE for what the device can't reach,
 * or the negative errno of write(2).
 */
int vhost_vdpa_map(struct vhost_vdpa *vdpa,
                   const struct vhost_vdpa_mapping *mapping,
                   struct vhost_error **errp);

/** vhost_vdpa_unmap() - take it back
 * @vdpa: in use by a device
 * @mapping: as it was mapped; @mapping->addr and _access don't matter
 * @errp: why it failed
 *
 * Return: as vhost_vdpa_map().
 */
int vhost_vdpa_unmap(struct vhost_vdpa *vdpa,
                     const struct vhost_vdpa_mapping *mapping,
                     struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
