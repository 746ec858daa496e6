/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user: the payloads of messages, as they stand on the wire.
 *
 * Everything is in host byte order, since both sides run on one host.  Names
 * and layouts: vhost-user specification, "Message Specification".
 */
#ifndef VH_WIRE_PAYLOAD_H
#define VH_WIRE_PAYLOAD_H

#include <assert.h>
#include <stdint.h>

#include "wire/proto.h"

struct vh_vring_state {
    uint32_t index;
    uint32_t num;
};

struct vh_vring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t desc;
    uint64_t used; /* before avail: as the specification has it */
    uint64_t avail;
    uint64_t log;
};

struct vh_mem_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t user_addr;
    uint64_t mmap_offset;
};

struct vh_mem_table {
    uint32_t n;
    uint32_t padding;
    struct vh_mem_region regions[VH_MEM_TABLE_MAX];
};

/* With XEN_MMAP a region is 8 bytes longer. */
struct vh_mem_region_xen {
    struct vh_mem_region region;
    uint32_t flags;
    uint32_t domid;
};

struct vh_single_region {
    uint64_t padding;
    struct vh_mem_region region;
};

struct vh_log_area {
    uint64_t size;
    uint64_t offset;
};

struct vh_iotlb { /* 26 bytes are used; 32 is what others send too */
    uint64_t iova;
    uint64_t size;
    uint64_t user_addr;
    uint8_t perm;
    uint8_t type;
    uint8_t padding[6];
};

struct vh_config {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
    uint8_t data[VH_CONFIG_MAX];
};

struct vh_vring_area {
    uint64_t queue; /* bits 0-7 index, bit 8 no fd */
    uint64_t size;
    uint64_t offset;
};

struct vh_inflight_area { /* 20 bytes are used; 24 is what others send too */
    uint64_t mmap_size;
    uint64_t mmap_offset;
    uint16_t n_queues;
    uint16_t queue_size;
    uint32_t padding;
};

struct vh_device_state {
    uint32_t direction;
    uint32_t phase;
};

struct vh_mmap {
    uint8_t shmid;
    uint8_t padding[7];
    uint64_t fd_offset;
    uint64_t shm_offset;
    uint64_t len;
    uint64_t flags;
};

struct vh_shmem_config {
    uint32_t n;
    uint32_t padding;
    uint64_t sizes[VH_SHMEM_REGIONS];
};

union vh_payload {
    uint64_t u64;
    struct vh_vring_state state;
    struct vh_vring_addr addr;
    struct vh_mem_table table;
    struct vh_single_region region;
    struct vh_log_area log;
    struct vh_iotlb iotlb;
    struct vh_config config;
    struct vh_vring_area area;
    struct vh_inflight_area inflight;
    uint8_t uuid[16];
    struct vh_device_state device_state;
    struct vh_mmap mmap;
    struct vh_shmem_config shmem;
    uint8_t raw[VH_MSG_PAYLOAD_MAX];
};

static_assert(sizeof(struct vh_vring_state) == 8, "vring state");
static_assert(sizeof(struct vh_vring_addr) == 40, "vring address");
static_assert(sizeof(struct vh_mem_region) == 32, "memory region");
static_assert(sizeof(struct vh_mem_table) == 264, "memory table");
static_assert(sizeof(struct vh_mem_region_xen) == 40, "Xen memory region");
static_assert(sizeof(struct vh_single_region) == 40, "single region");
static_assert(sizeof(struct vh_iotlb) == 32, "IOTLB message");
static_assert(sizeof(struct vh_config) == 268, "configuration space");
static_assert(sizeof(struct vh_vring_area) == 24, "vring area");
static_assert(sizeof(struct vh_inflight_area) == 24, "in-flight buffer");
static_assert(sizeof(struct vh_mmap) == 40, "mmap request");
static_assert(sizeof(struct vh_shmem_config) == 2056, "shared memory");

#endif
