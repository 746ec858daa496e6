/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel knows of vDPA devices and the headers of an older one do
 * not; checked against them where both exist.
 */
#ifndef VH_BACKEND_VDPA_UAPI_H
#define VH_BACKEND_VDPA_UAPI_H

#include <assert.h>
#include <linux/vhost.h>
#include <linux/vhost_types.h>
#include <sys/ioctl.h>

#define VH_VDPA_IOC 0xAF

#define VH_VDPA_GET_AS_NUM _IOR(VH_VDPA_IOC, 0x7A, unsigned)
#define VH_VDPA_GET_VRING_GROUP \
    _IOWR(VH_VDPA_IOC, 0x7B, struct vhost_vring_state)
#define VH_VDPA_SET_GROUP_ASID _IOW(VH_VDPA_IOC, 0x7C, struct vhost_vring_state)
#define VH_VDPA_SUSPEND _IO(VH_VDPA_IOC, 0x7D)
#define VH_VDPA_RESUME _IO(VH_VDPA_IOC, 0x7E)
#define VH_VDPA_GET_VQS_COUNT _IOR(VH_VDPA_IOC, 0x80, uint32_t)
#define VH_VDPA_GET_GROUP_NUM _IOR(VH_VDPA_IOC, 0x81, uint32_t)
#define VH_VDPA_GET_VRING_SIZE \
    _IOWR(VH_VDPA_IOC, 0x82, struct vhost_vring_state)

/* Backend features, as bits. */
#define VH_VDPA_F_MSG_V2 (UINT64_C(1) << 1)
#define VH_VDPA_F_BATCH (UINT64_C(1) << 2)
#define VH_VDPA_F_ASID (UINT64_C(1) << 3)
#define VH_VDPA_F_SUSPEND (UINT64_C(1) << 4)
#define VH_VDPA_F_RESUME (UINT64_C(1) << 5)
#define VH_VDPA_F_ENABLE_LATE (UINT64_C(1) << 6)
#define VH_VDPA_F_PERSIST (UINT64_C(1) << 8)

#ifdef VHOST_VDPA_GET_AS_NUM
static_assert(VH_VDPA_GET_AS_NUM == VHOST_VDPA_GET_AS_NUM, "kernel");
static_assert(VH_VDPA_GET_VRING_GROUP == VHOST_VDPA_GET_VRING_GROUP, "kernel");
static_assert(VH_VDPA_SET_GROUP_ASID == VHOST_VDPA_SET_GROUP_ASID, "kernel");
#endif
#ifdef VHOST_VDPA_SUSPEND
static_assert(VH_VDPA_SUSPEND == VHOST_VDPA_SUSPEND, "kernel");
#endif
#ifdef VHOST_VDPA_RESUME
static_assert(VH_VDPA_RESUME == VHOST_VDPA_RESUME, "kernel");
#endif
#ifdef VHOST_VDPA_GET_VQS_COUNT
static_assert(VH_VDPA_GET_VQS_COUNT == VHOST_VDPA_GET_VQS_COUNT, "kernel");
static_assert(VH_VDPA_GET_GROUP_NUM == VHOST_VDPA_GET_GROUP_NUM, "kernel");
#endif
#ifdef VHOST_VDPA_GET_VRING_SIZE
static_assert(VH_VDPA_GET_VRING_SIZE == VHOST_VDPA_GET_VRING_SIZE, "kernel");
#endif
static_assert(VH_VDPA_F_MSG_V2 == UINT64_C(1) << VHOST_BACKEND_F_IOTLB_MSG_V2,
              "kernel");
static_assert(VH_VDPA_F_BATCH == UINT64_C(1) << VHOST_BACKEND_F_IOTLB_BATCH,
              "kernel");
#ifdef VHOST_BACKEND_F_IOTLB_ASID
static_assert(VH_VDPA_F_ASID == UINT64_C(1) << VHOST_BACKEND_F_IOTLB_ASID,
              "kernel");
#endif
#ifdef VHOST_BACKEND_F_SUSPEND
static_assert(VH_VDPA_F_SUSPEND == UINT64_C(1) << VHOST_BACKEND_F_SUSPEND,
              "kernel");
#endif
#ifdef VHOST_BACKEND_F_RESUME
static_assert(VH_VDPA_F_RESUME == UINT64_C(1) << VHOST_BACKEND_F_RESUME,
              "kernel");
#endif
#ifdef VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK
static_assert(VH_VDPA_F_ENABLE_LATE ==
                  UINT64_C(1) << VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK,
              "kernel");
#endif
#ifdef VHOST_BACKEND_F_IOTLB_PERSIST
static_assert(VH_VDPA_F_PERSIST == UINT64_C(1) << VHOST_BACKEND_F_IOTLB_PERSIST,
              "kernel");
#endif

#endif
