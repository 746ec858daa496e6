/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel knows of its vhost devices and the headers of an older one
 * do not; checked against them where both exist.
 */
#ifndef VH_BACKEND_KERNEL_UAPI_H
#define VH_BACKEND_KERNEL_UAPI_H

#include <assert.h>
#include <linux/vhost.h>
#include <linux/vhost_types.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define VH_KERNEL_IOC 0xAF

struct vh_kernel_worker {
    uint32_t id;
};

struct vh_kernel_vring_worker {
    uint32_t index;
    uint32_t id;
};

/* As many words follow; the size in the number of the ioctl is without. */
struct vh_kernel_features {
    uint64_t count;
    uint64_t words[];
};

/* Linux 6.5 */
#define VH_KERNEL_NEW_WORKER _IOR(VH_KERNEL_IOC, 0x8, struct vh_kernel_worker)
#define VH_KERNEL_FREE_WORKER _IOW(VH_KERNEL_IOC, 0x9, struct vh_kernel_worker)
#define VH_KERNEL_ATTACH_WORKER \
    _IOW(VH_KERNEL_IOC, 0x15, struct vh_kernel_vring_worker)
#define VH_KERNEL_GET_WORKER \
    _IOWR(VH_KERNEL_IOC, 0x16, struct vh_kernel_vring_worker)
/* Linux 6.18 */
#define VH_KERNEL_GET_FEATURES_ARRAY \
    _IOR(VH_KERNEL_IOC, 0x83, struct vh_kernel_features)
#define VH_KERNEL_SET_FEATURES_ARRAY \
    _IOW(VH_KERNEL_IOC, 0x83, struct vh_kernel_features)
#define VH_KERNEL_SET_FORK _IOW(VH_KERNEL_IOC, 0x84, uint8_t)
#define VH_KERNEL_GET_FORK _IOR(VH_KERNEL_IOC, 0x85, uint8_t)

#define VH_KERNEL_FORK_KTHREAD 0
#define VH_KERNEL_FORK_TASK 1

#define VH_KERNEL_F_MSG_V2 (UINT64_C(1) << 1) /* backend feature */
#define VH_KERNEL_F_NET_HDR (UINT64_C(1) << 27)
#define VH_KERNEL_SCSI_ABI 1

#ifdef VHOST_NEW_WORKER
static_assert(VH_KERNEL_NEW_WORKER == VHOST_NEW_WORKER, "kernel");
static_assert(VH_KERNEL_FREE_WORKER == VHOST_FREE_WORKER, "kernel");
static_assert(VH_KERNEL_ATTACH_WORKER == VHOST_ATTACH_VRING_WORKER, "kernel");
static_assert(VH_KERNEL_GET_WORKER == VHOST_GET_VRING_WORKER, "kernel");
#endif
#ifdef VHOST_GET_FEATURES_ARRAY
static_assert(VH_KERNEL_GET_FEATURES_ARRAY == VHOST_GET_FEATURES_ARRAY,
              "kernel");
static_assert(VH_KERNEL_SET_FEATURES_ARRAY == VHOST_SET_FEATURES_ARRAY,
              "kernel");
#endif
#ifdef VHOST_SET_FORK_FROM_OWNER
static_assert(VH_KERNEL_SET_FORK == VHOST_SET_FORK_FROM_OWNER, "kernel");
static_assert(VH_KERNEL_GET_FORK == VHOST_GET_FORK_FROM_OWNER, "kernel");
#endif
static_assert(VH_KERNEL_F_MSG_V2 == UINT64_C(1) << VHOST_BACKEND_F_IOTLB_MSG_V2,
              "kernel");
static_assert(VH_KERNEL_F_NET_HDR == UINT64_C(1) << VHOST_NET_F_VIRTIO_NET_HDR,
              "kernel");
static_assert(VH_KERNEL_SCSI_ABI == VHOST_SCSI_ABI_VERSION, "kernel");
static_assert(sizeof(struct vhost_msg) == sizeof(struct vhost_msg_v2),
              "either comes, and neither says how long it is");

#endif
