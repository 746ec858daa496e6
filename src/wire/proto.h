/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user: the numbers, as they stand on the wire; payloads are in
 * wire/payload.h.
 *
 * Source: vhost-user specification, "Message Specification".
 */
#ifndef VH_WIRE_PROTO_H
#define VH_WIRE_PROTO_H

#include <stdint.h>

#define VH_MSG_VERSION 1u
#define VH_MSG_F_VERSION_MASK 3u
#define VH_MSG_F_REPLY (1u << 2)
#define VH_MSG_F_NEED_REPLY (1u << 3)

#define VH_MSG_HDR_SIZE 12u
#define VH_MSG_PAYLOAD_MAX 4096u
#define VH_MSG_FDS_MAX 8

#define VH_MEM_TABLE_MAX 8 /* regions in one SET_MEM_TABLE */
#define VH_CONFIG_MAX 256  /* bytes in one GET_CONFIG or SET_CONFIG */
#define VH_VRING_IDX_MASK 0xffu
#define VH_VRING_NOFD (1u << 8)
#define VH_QUEUES_MAX 256
#define VH_SHMEM_REGIONS 256

/* Front end to back end. */
enum vh_request {
    VH_GET_FEATURES = 1,
    VH_SET_FEATURES = 2,
    VH_SET_OWNER = 3,
    VH_RESET_OWNER = 4,
    VH_SET_MEM_TABLE = 5,
    VH_SET_LOG_BASE = 6,
    VH_SET_LOG_FD = 7,
    VH_SET_VRING_NUM = 8,
    VH_SET_VRING_ADDR = 9,
    VH_SET_VRING_BASE = 10,
    VH_GET_VRING_BASE = 11,
    VH_SET_VRING_KICK = 12,
    VH_SET_VRING_CALL = 13,
    VH_SET_VRING_ERR = 14,
    VH_GET_PROTOCOL_FEATURES = 15,
    VH_SET_PROTOCOL_FEATURES = 16,
    VH_GET_QUEUE_NUM = 17,
    VH_SET_VRING_ENABLE = 18,
    VH_SEND_RARP = 19,
    VH_NET_SET_MTU = 20,
    VH_SET_BACKEND_REQ_FD = 21,
    VH_IOTLB_MSG = 22,
    VH_SET_VRING_ENDIAN = 23,
    VH_GET_CONFIG = 24,
    VH_SET_CONFIG = 25,
    VH_CREATE_CRYPTO_SESSION = 26,
    VH_CLOSE_CRYPTO_SESSION = 27,
    VH_POSTCOPY_ADVISE = 28,
    VH_POSTCOPY_LISTEN = 29,
    VH_POSTCOPY_END = 30,
    VH_GET_INFLIGHT_FD = 31,
    VH_SET_INFLIGHT_FD = 32,
    VH_GPU_SET_SOCKET = 33,
    VH_RESET_DEVICE = 34,
    VH_VRING_KICK = 35,
    VH_GET_MAX_MEM_SLOTS = 36,
    VH_ADD_MEM_REG = 37,
    VH_REM_MEM_REG = 38,
    VH_SET_STATUS = 39,
    VH_GET_STATUS = 40,
    VH_GET_SHARED_OBJECT = 41,
    VH_SET_DEVICE_STATE_FD = 42,
    VH_CHECK_DEVICE_STATE = 43,
    VH_GET_SHMEM_CONFIG = 44,
    VH_GET_VRING_BASE_SKIP_DRAIN = 45,
    VH_REQUEST_END,
};

/* Back end to front end. */
enum vh_back_request {
    VH_BACK_IOTLB_MSG = 1,
    VH_BACK_CONFIG_CHANGE_MSG = 2,
    VH_BACK_VRING_HOST_NOTIFIER_MSG = 3,
    VH_BACK_VRING_CALL = 4,
    VH_BACK_VRING_ERR = 5,
    VH_BACK_SHARED_OBJECT_ADD = 6,
    VH_BACK_SHARED_OBJECT_REMOVE = 7,
    VH_BACK_SHARED_OBJECT_LOOKUP = 8,
    VH_BACK_SHMEM_MAP = 9,
    VH_BACK_SHMEM_UNMAP = 10,
    VH_BACK_REQUEST_END,
};

/* Protocol feature bits. */
enum vh_protocol_feature {
    VH_PF_MQ = 0,
    VH_PF_LOG_SHMFD = 1,
    VH_PF_RARP = 2,
    VH_PF_REPLY_ACK = 3,
    VH_PF_NET_MTU = 4,
    VH_PF_BACKEND_REQ = 5,
    VH_PF_CROSS_ENDIAN = 6,
    VH_PF_CRYPTO_SESSION = 7,
    VH_PF_PAGEFAULT = 8,
    VH_PF_CONFIG = 9,
    VH_PF_BACKEND_SEND_FD = 10,
    VH_PF_HOST_NOTIFIER = 11,
    VH_PF_INFLIGHT_SHMFD = 12,
    VH_PF_RESET_DEVICE = 13,
    VH_PF_INBAND_NOTIFICATIONS = 14,
    VH_PF_CONFIGURE_MEM_SLOTS = 15,
    VH_PF_STATUS = 16,
    VH_PF_XEN_MMAP = 17,
    VH_PF_SHARED_OBJECT = 18,
    VH_PF_DEVICE_STATE = 19,
    VH_PF_GET_VRING_BASE_INFLIGHT = 20,
    VH_PF_GPA_ADDRESSES = 21,
    VH_PF_SHMEM = 22,
    VH_PF_GET_VRING_BASE_SKIP_DRAIN = 23,
    VH_PF_END,
};

#define VH_PF(name) (UINT64_C(1) << VH_PF_##name)
#define VH_F_PROTOCOL_FEATURES (UINT64_C(1) << 30)

#endif
