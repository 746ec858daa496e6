/* SPDX-License-Identifier: BSD-3-Clause */
/* A vDPA device of a made-up kernel, with memory and two queues. */
#ifndef VH_TESTS_LIB_VDPA_RIG_H
#define VH_TESTS_LIB_VDPA_RIG_H

#include "lib/fake-vdpa.h"

#define RIG_GPA UINT64_C(0x100000)
#define RIG_SIZE UINT64_C(0x10000)
#define RIG_HVA UINT64_C(0x7f0000000000) /* nobody looks there */
#define RIG_QUEUES 2u

struct vdpa_rig {
    struct fake_vdpa k;
    struct vhost_vdpa *vdpa;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[RIG_QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[RIG_QUEUES];
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct vhost_error *err;
};

/* The device is described, and k may still be told what to be. */
static inline void rig_prepare(struct vdpa_rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    fake_vdpa_up(&rig->k);
    rig->vdpa = vh_vdpa_new(&fake_vdpa_sys, &rig->k, "/dev/vhost-vdpa-0", -1,
                            &rig->err);
    assert_non_null(rig->vdpa);
    rig->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&rig->memory, RIG_SIZE, 0, NULL), 0);
    rig->memory.gpa = RIG_GPA;
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, &rig->memory), 0);
    assert_int_equal(vhost_memory_commit(rig->map, &rig->err), 0);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        uint64_t at = RIG_GPA + i * 0x1000;

        rig->queues[i] = (struct vhost_vdev_queue){
            .size = 8,
            .base = 10 + i,
            .desc = at,
            .avail = at + 0x400,
            .used = at + 0x800,
            .kick_fd = -1,
            .call_fd = -1,
        };
    }
    rig->vdev =
        (struct vhost_vdev){ .nqueues = RIG_QUEUES, .queues = rig->queues };
    rig->dev.vqs = rig->vqs;
    rig->dev.nvqs = RIG_QUEUES;
    rig->dev.map = rig->map;
}

static inline int rig_init(struct vdpa_rig *rig)
{
    static const int bits[] = { 29, 32, 33, 34, VHOST_INVALID_FEATURE_BIT };
    int r = vhost_dev_init(&rig->dev, rig->vdpa, VHOST_BACKEND_TYPE_VDPA, 0,
                           &rig->err);

    if (r == 0) {
        vhost_ack_features(&rig->dev, bits, UINT64_C(1) << 32);
    }
    return r;
}

static inline void rig_up(struct vdpa_rig *rig)
{
    rig_prepare(rig);
    assert_int_equal(rig_init(rig), 0);
}

static inline int rig_start(struct vdpa_rig *rig)
{
    return vhost_dev_start(&rig->dev, &rig->vdev, true);
}

static inline int rig_stop(struct vdpa_rig *rig)
{
    return vhost_dev_stop(&rig->dev, &rig->vdev, true);
}

static inline void rig_down(struct vdpa_rig *rig)
{
    vhost_dev_cleanup(&rig->dev);
    vhost_vdpa_free(rig->vdpa);
    vhost_memory_map_free(rig->map);
    vhost_memory_free(&rig->memory);
    vhost_error_free(rig->err);
    fake_vdpa_down(&rig->k);
}

static inline void rig_down_started(struct vdpa_rig *rig)
{
    rig_stop(rig);
    rig_down(rig);
}

static inline void rig_expect(const struct vhost_error *err, int code,
                              const char *words)
{
    assert_int_equal(vhost_error_code(err), code);
    if (!strstr(vhost_error_message(err), words)) {
        fail_msg("\"%s\" does not say \"%s\"", vhost_error_message(err), words);
    }
}

/* An init that fails, in words. */
static inline void rig_refused(struct vdpa_rig *rig, int code,
                               const char *words)
{
    assert_int_equal(rig_init(rig), code);
    rig_expect(rig->err, code, words);
    rig_expect(rig->err, code, "vdpa:/dev/vhost-vdpa-0");
    rig_down(rig);
}

/* Adds or removes @size bytes at @gpa, which nobody looks at. */
static inline int rig_memory(struct vdpa_rig *rig, uint64_t gpa, uint64_t size,
                             bool add)
{
    const struct vhost_memory_section section = {
        .gpa = gpa,
        .size = size,
        .hva = (void *)(uintptr_t)(RIG_HVA + gpa),
        .fd = -1,
        .flags = VHOST_MEMORY_NO_MERGE,
    };

    vhost_memory_begin(rig->map);
    if (add) {
        assert_int_equal(vhost_memory_add(rig->map, &section), 0);
    } else {
        assert_int_equal(vhost_memory_remove(rig->map, gpa, size), 0);
    }
    return vhost_memory_commit(rig->map, &rig->err);
}

#endif
