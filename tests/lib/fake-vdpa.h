/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel with one vDPA device: what a test gives the vDPA back end for its
 * system calls.  It keeps the rules of the real one that can be broken (what
 * may be mapped, what a reset forgets, what only a suspended device tells), and
 * is told which device it has, and which call fails.
 */
#ifndef VH_TESTS_LIB_FAKE_VDPA_H
#define VH_TESTS_LIB_FAKE_VDPA_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#include "backend/vdpa/vdpa.h"

#define FAKE_QUEUES 16u
#define FAKE_SPACES 4u
#define FAKE_MAPS 4096u
#define FAKE_ALL_CAPS UINT64_C(0x17e) /* bits 1 to 6 and 8 */

struct fake_map {
    uint64_t iova, size, uaddr;
    uint8_t perm;
    bool gone; /* the device has forgotten it, the kernel has not */
};

struct fake_vq {
    uint32_t num, base, enabled, group;
    struct vhost_vring_addr addr;
    int kick_fd, call_fd;
};

struct fake_vdpa {
    /* rings that move: hears of DRIVER_OK, of a suspend (what: -1) and of a
     * reset (0); and tells where queues stand */
    void (*moves)(struct fake_vdpa *k, int what);
    uint32_t (*stands)(struct fake_vdpa *k, unsigned queue);

    /* what it is told to be */
    uint64_t offered, caps;
    uint32_t device_id, config_size, queues, groups, spaces;
    struct vhost_vdpa_iova_range range;
    uint16_t max_num;
    uint32_t vring_size; /* 0: the kernel does not know the question */
    uint8_t config[512];
    int open_error;
    bool refuses_features, never_resets;
    bool begins_anew; /* each ring, and nowhere else */
    unsigned apart;   /* this queue alone is in group 1; 0: every other is */
    unsigned long fail_request; /* an ioctl; 0: none */
    unsigned fail_write;        /* counted from 1; 0: none */
    int fail_code;

    /* what it saw */
    int fd;
    uint64_t acked_caps, features;
    uint8_t status;
    bool owned, suspended, batch;
    int config_fd;
    struct fake_vq q[FAKE_QUEUES];
    struct fake_map *maps[FAKE_SPACES];
    size_t n_maps[FAKE_SPACES];
    uint32_t asids[FAKE_QUEUES]; /* of each group */
    unsigned n_ioctls, n_writes, n_batches, n_resets;
};

static inline void fake_vdpa_up(struct fake_vdpa *k)
{
    memset(k, 0, sizeof(*k));
    k->offered = UINT64_C(7) << 32 | UINT64_C(1) << 29; /* 29, 32 to 34 */
    k->caps = FAKE_ALL_CAPS;
    k->device_id = 2;
    k->config_size = 300;
    k->queues = FAKE_QUEUES;
    k->groups = k->spaces = 2;
    k->range.last = UINT64_MAX;
    k->max_num = 256;
    k->fd = k->config_fd = -1;
    for (unsigned i = 0; i < FAKE_SPACES; i++) {
        k->maps[i] = calloc(FAKE_MAPS, sizeof(struct fake_map));
    }
}

static inline void fake_vdpa_down(struct fake_vdpa *k)
{
    assert_int_equal(k->fd, -1);
    for (unsigned i = 0; i < FAKE_SPACES; i++) {
        free(k->maps[i]);
    }
}

static inline int fake_vdpa_open(void *ctx, const char *path, int flags)
{
    struct fake_vdpa *k = ctx;

    (void)path;
    assert_int_equal(flags, O_RDWR);
    if (k->open_error < 0) {
        return k->open_error;
    }
    k->fd = memfd_create("vdpa", MFD_CLOEXEC);
    assert_return_code(ftruncate(k->fd, FAKE_QUEUES * 4096), errno);
    return k->fd;
}

static inline int fake_vdpa_close(void *ctx, int fd)
{
    struct fake_vdpa *k = ctx;

    assert_int_equal(fd, k->fd);
    close(fd);
    k->fd = -1;
    k->owned = false;
    for (unsigned i = 0; i < FAKE_SPACES; i++) {
        k->n_maps[i] = 0;
    }
    return 0;
}

static inline void fake_vdpa_reset(struct fake_vdpa *k)
{
    k->n_resets++;
    k->suspended = false;
    k->features = 0;
    memset(k->asids, 0, sizeof(k->asids));
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        k->q[i] = (struct fake_vq){ .group = k->apart ? i == k->apart : i % 2,
                                    .call_fd = -1 };
    }
    for (unsigned a = 0; a < FAKE_SPACES; a++) {
        for (size_t i = 0; i < k->n_maps[a]; i++) {
            k->maps[a][i].gone = !(k->acked_caps & VH_VDPA_F_PERSIST);
        }
    }
}

static inline int fake_vdpa_set_status(struct fake_vdpa *k, uint8_t status)
{
    if (status == 0 && !k->never_resets) {
        fake_vdpa_reset(k);
    }
    if (k->moves) {
        k->moves(k, status);
    }
    k->status = status == 0 && k->never_resets ? k->status : status;
    if (k->refuses_features) {
        k->status &= (uint8_t)~VH_VDPA_FEATURES_OK;
    }
    return 0;
}

static inline int fake_vdpa_config(struct fake_vdpa *k, bool set,
                                   struct vhost_vdpa_config *c)
{
    if (c->len == 0 || c->off > k->config_size ||
        c->len > k->config_size - c->off) {
        return -E2BIG;
    }
    memcpy(set ? k->config + c->off : c->buf, set ? c->buf : k->config + c->off,
           c->len);
    return 0;
}

/* Those that concern one queue: all begin with its index. */
static inline int fake_vdpa_vring(struct fake_vdpa *k, unsigned long request,
                                  void *arg)
{
    struct vhost_vring_state *state = arg;
    struct vhost_vring_file *file = arg;
    struct fake_vq *q = &k->q[state->index % FAKE_QUEUES];

    if (state->index >= k->queues) {
        return -ENOBUFS;
    }
    switch (request) {
    case VHOST_SET_VRING_NUM:
        q->num = state->num;
        return 0;
    case VHOST_SET_VRING_BASE:
        q->base = state->num;
        return k->begins_anew && state->num != 0 ? -EOPNOTSUPP : 0;
    case VHOST_GET_VRING_BASE:
        assert_true(k->suspended); /* else it is not true for long */
        state->num = k->stands ? k->stands(k, state->index) : q->base + 5;
        return 0;
    case VHOST_SET_VRING_ADDR:
        q->addr = *(struct vhost_vring_addr *)arg;
        return 0;
    case VHOST_SET_VRING_KICK:
        q->kick_fd = file->fd;
        return 0;
    case VHOST_SET_VRING_CALL:
        q->call_fd = file->fd;
        return 0;
    case VHOST_VDPA_SET_VRING_ENABLE:
        q->enabled = state->num;
        return 0;
    case VH_VDPA_GET_VRING_GROUP:
        state->num = q->group;
        return 0;
    case VH_VDPA_GET_VRING_SIZE:
        state->num = k->vring_size;
        return k->vring_size ? 0 : -ENOTTY;
    default:
        return -ENOTTY;
    }
}

static inline int fake_vdpa_ioctl(void *ctx, int fd, unsigned long request,
                                  void *arg)
{
    struct fake_vdpa *k = ctx;
    struct vhost_vring_state *state = arg;

    assert_int_equal(fd, k->fd);
    k->n_ioctls++;
    if (request == k->fail_request) {
        return k->fail_code;
    }
    switch (request) {
    case VHOST_VDPA_GET_DEVICE_ID:
        *(uint32_t *)arg = k->device_id;
        return 0;
    case VHOST_GET_BACKEND_FEATURES:
        *(uint64_t *)arg = k->caps;
        return 0;
    case VHOST_SET_BACKEND_FEATURES:
        assert_int_equal(*(uint64_t *)arg & ~k->caps, 0);
        k->acked_caps = *(uint64_t *)arg;
        return 0;
    case VHOST_VDPA_GET_IOVA_RANGE:
        *(struct vhost_vdpa_iova_range *)arg = k->range;
        return 0;
    case VHOST_VDPA_GET_CONFIG_SIZE:
        *(uint32_t *)arg = k->config_size;
        return 0;
    case VH_VDPA_GET_VQS_COUNT:
        *(uint32_t *)arg = k->queues;
        return 0;
    case VH_VDPA_GET_GROUP_NUM:
        *(uint32_t *)arg = k->groups;
        return 0;
    case VH_VDPA_GET_AS_NUM:
        *(unsigned *)arg = k->spaces;
        return 0;
    case VHOST_VDPA_GET_VRING_NUM:
        *(uint16_t *)arg = k->max_num;
        return 0;
    case VHOST_SET_OWNER:
        if (k->owned) {
            return -EBUSY;
        }
        k->owned = true;
        return 0;
    case VHOST_GET_FEATURES:
        *(uint64_t *)arg = k->offered;
        return 0;
    case VHOST_SET_FEATURES:
        k->features = *(uint64_t *)arg;
        return k->status & VH_VDPA_FEATURES_OK ? -EBUSY : 0;
    case VHOST_VDPA_GET_STATUS:
        *(uint8_t *)arg = k->status;
        return 0;
    case VHOST_VDPA_SET_STATUS:
        return fake_vdpa_set_status(k, *(uint8_t *)arg);
    case VHOST_VDPA_GET_CONFIG:
    case VHOST_VDPA_SET_CONFIG:
        return fake_vdpa_config(k, request == VHOST_VDPA_SET_CONFIG, arg);
    case VHOST_VDPA_SET_CONFIG_CALL:
        k->config_fd = *(int *)arg;
        return 0;
    case VH_VDPA_SUSPEND:
        k->suspended = true;
        if (k->moves) {
            k->moves(k, -1);
        }
        return 0;
    case VH_VDPA_RESUME:
        k->suspended = false;
        return 0;
    case VH_VDPA_SET_GROUP_ASID:
        assert_true(state->index < k->groups && state->num < k->spaces);
        k->asids[state->index] = state->num;
        return 0;
    default:
        return fake_vdpa_vring(k, request, arg);
    }
}

static inline int fake_vdpa_update(struct fake_vdpa *k, uint32_t asid,
                                   const struct vhost_iotlb_msg *m)
{
    uint64_t last = m->iova + (m->size - 1);

    assert_true(m->size > 0 && last >= m->iova);
    assert_int_equal((m->iova | m->size | m->uaddr) & 4095, 0);
    assert_true(m->iova >= k->range.first && last <= k->range.last);
    for (size_t i = 0; i < k->n_maps[asid]; i++) {
        const struct fake_map *o = &k->maps[asid][i];

        if (m->iova <= o->iova + (o->size - 1) && o->iova <= last) {
            return -EEXIST;
        }
    }
    assert_true(k->n_maps[asid] < FAKE_MAPS);
    k->maps[asid][k->n_maps[asid]++] = (struct fake_map){
        .iova = m->iova, .size = m->size, .uaddr = m->uaddr, .perm = m->perm
    };
    return 0;
}

/* A mapping of which any part is to go, goes. */
static inline int fake_vdpa_invalidate(struct fake_vdpa *k, uint32_t asid,
                                       const struct vhost_iotlb_msg *m)
{
    struct fake_map *maps = k->maps[asid];
    size_t kept = 0;

    for (size_t i = 0; i < k->n_maps[asid]; i++) {
        if (maps[i].iova > m->iova + (m->size - 1) ||
            m->iova > maps[i].iova + (maps[i].size - 1)) {
            maps[kept++] = maps[i];
        }
    }
    k->n_maps[asid] = kept;
    return 0;
}

static inline int fake_vdpa_iotlb(struct fake_vdpa *k, uint32_t asid,
                                  const struct vhost_iotlb_msg *m)
{
    switch (m->type) {
    case VHOST_IOTLB_UPDATE:
        return fake_vdpa_update(k, asid, m);
    case VHOST_IOTLB_INVALIDATE:
        return fake_vdpa_invalidate(k, asid, m);
    default:
        assert_true(k->acked_caps & VH_VDPA_F_BATCH);
        assert_int_equal(k->batch, m->type == VHOST_IOTLB_BATCH_END);
        k->batch = m->type == VHOST_IOTLB_BATCH_BEGIN;
        k->n_batches += k->batch;
        return 0;
    }
}

static inline ssize_t fake_vdpa_write(void *ctx, int fd, const void *data,
                                      size_t size)
{
    const struct vhost_msg_v2 *msg = data;
    struct fake_vdpa *k = ctx;
    int r;

    assert_int_equal(fd, k->fd);
    assert_int_equal(size, sizeof(*msg));
    assert_int_equal(msg->type, VHOST_IOTLB_MSG_V2);
    assert_true(k->owned && msg->asid < k->spaces);
    if (++k->n_writes == k->fail_write) {
        return k->fail_code;
    }
    r = fake_vdpa_iotlb(k, msg->asid, &msg->iotlb);
    return r < 0 ? r : (ssize_t)size;
}

static const struct vh_sys fake_vdpa_sys = {
    .open = fake_vdpa_open,
    .close = fake_vdpa_close,
    .ioctl = fake_vdpa_ioctl,
    .write = fake_vdpa_write,
};

#endif
