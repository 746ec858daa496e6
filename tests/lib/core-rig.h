/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device on a fake back end, with memory and queues: what the tests of the
 * core begin with.
 *
 *     struct core_rig rig;
 *     core_rig_up(&rig, 4);    initialised; four queues are set up
 *     … vhost_dev_start(&rig.dev, &rig.vdev, true) …
 *     core_rig_down(&rig);     cleaned up; nothing has leaked
 */
#ifndef VH_TESTS_LIB_CORE_RIG_H
#define VH_TESTS_LIB_CORE_RIG_H

#include "lib/fake-ops.h"

#define RIG_SIZE 8u /* entries of a queue */
#define RIG_GPA UINT64_C(0x100000)
#define RIG_PER_QUEUE 0x1000u
#define RIG_F_EVENT_IDX (UINT64_C(1) << 29)
#define RIG_F_VERSION_1 (UINT64_C(1) << 32)
#define RIG_F_IOMMU (UINT64_C(1) << 33)
#define RIG_F_PACKED (UINT64_C(1) << 34)

struct core_rig {
    struct fake fake;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[FAKE_QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[FAKE_QUEUES];
    struct vhost_notifier kick[FAKE_QUEUES];
    struct vhost_notifier call[FAKE_QUEUES];
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    unsigned n;
    unsigned n_fds; /* before */
};

/* Memory, queues and a zeroed device; nothing of the library's core yet. */
static inline void core_rig_prepare(struct core_rig *rig, unsigned n)
{
    struct vhost_error *err = NULL;

    memset(rig, 0, sizeof(*rig));
    fake_reset(&rig->fake);
    rig->n = n;
    rig->n_fds = fake_n_fds();
    rig->map = vhost_memory_map_new();
    assert_non_null(rig->map);
    assert_int_equal(
        vhost_memory_alloc(&rig->memory, (n + 1) * RIG_PER_QUEUE, 0, &err), 0);
    rig->memory.gpa = RIG_GPA;
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, &rig->memory), 0);
    assert_int_equal(vhost_memory_commit(rig->map, &err), 0);
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = RIG_GPA + i * RIG_PER_QUEUE;

        assert_int_equal(vhost_notifier_init(&rig->kick[i], false), 0);
        assert_int_equal(vhost_notifier_init(&rig->call[i], false), 0);
        rig->queues[i] =
            (struct vhost_vdev_queue){ .size = RIG_SIZE,
                                       .base = 100 + i,
                                       .desc = at,
                                       .avail = at + 0x400,
                                       .used = at + 0x800,
                                       .kick_fd = rig->kick[i].fd,
                                       .call_fd = rig->call[i].fd };
    }
    rig->vdev = (struct vhost_vdev){ .nqueues = n, .queues = rig->queues };
    rig->dev.vqs = rig->vqs;
    rig->dev.nvqs = n;
    rig->dev.map = rig->map;
    rig->dev.vhost_ops = &fake_ops;
}

static inline int core_rig_init(struct core_rig *rig, struct vhost_error **errp)
{
    return vhost_dev_init(&rig->dev, &rig->fake, VHOST_BACKEND_TYPE_NONE, 0,
                          errp);
}

static inline void core_rig_ack(struct core_rig *rig)
{
    static const int bits[] = { 29, 32, 33, 34, VHOST_INVALID_FEATURE_BIT };

    vhost_ack_features(&rig->dev, bits, rig->fake.offered[0]);
}

/* fake.offered and the like are set between prepare and this. */
static inline void core_rig_begin(struct core_rig *rig)
{
    struct vhost_error *err = NULL;

    if (core_rig_init(rig, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    core_rig_ack(rig);
}

static inline void core_rig_up(struct core_rig *rig, unsigned n)
{
    core_rig_prepare(rig, n);
    core_rig_begin(rig);
}

static inline void core_rig_down(struct core_rig *rig)
{
    vhost_dev_cleanup(&rig->dev);
    assert_false(rig->fake.up);
    vhost_memory_map_free(rig->map);
    vhost_memory_free(&rig->memory);
    for (unsigned i = 0; i < rig->n; i++) {
        vhost_notifier_cleanup(&rig->kick[i]);
        vhost_notifier_cleanup(&rig->call[i]);
    }
    assert_int_equal(fake_n_fds(), rig->n_fds);
}

/* Puts an index where the device would write that of its used ring. */
static inline void core_rig_set_used_idx(struct core_rig *rig, unsigned i,
                                         uint16_t idx)
{
    unsigned char *used =
        (unsigned char *)rig->memory.hva + i * RIG_PER_QUEUE + 0x800;

    used[2] = (unsigned char)idx;
    used[3] = (unsigned char)(idx >> 8);
}

static inline void core_rig_assert_error(const struct core_rig *rig, int r,
                                         int code)
{
    assert_int_equal(r, code);
    assert_int_equal(vhost_error_code(vhost_dev_get_error(&rig->dev)), code);
}

#endif
