/* SPDX-License-Identifier: BSD-3-Clause */
/* A device of a made-up kernel, with memory and up to eight queues. */
#ifndef VH_TESTS_LIB_KERNEL_RIG_H
#define VH_TESTS_LIB_KERNEL_RIG_H

#include "lib/fake-kernel.h"

#define RIG_GPA UINT64_C(0x100000)
#define RIG_SIZE UINT64_C(0x10000)
#define RIG_VERSION_1 (UINT64_C(1) << 32)
#define RIG_IOMMU (UINT64_C(1) << 33)

struct kernel_rig {
    struct fake_kernel k;
    struct vhost_kernel_options options;
    struct vhost_kernel *kernel;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[FAKE_QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[FAKE_QUEUES];
    struct vhost_memory_map *map;
    struct vhost_memory_section memory;
    struct vhost_error *err;
    uint64_t driver[2]; /* features that it takes */
    uint32_t busyloop;
};

/* The device is not described yet: k and options may be told what to be. */
static inline void rig_prepare(struct kernel_rig *rig,
                               enum vhost_kernel_kind kind, unsigned queues)
{
    memset(rig, 0, sizeof(*rig));
    fake_kernel_up(&rig->k, kind);
    rig->options.size = sizeof(rig->options);
    rig->options.kind = kind;
    rig->options.tap = kind == VHOST_KERNEL_NET ? "tap0" : NULL;
    rig->options.guest_cid = kind == VHOST_KERNEL_VSOCK ? 42 : 0;
    rig->options.wwpn = kind == VHOST_KERNEL_SCSI ? "naa.5001" : NULL;
    rig->options.tpgt = kind == VHOST_KERNEL_SCSI;
    rig->driver[0] = RIG_VERSION_1;
    rig->map = vhost_memory_map_new();
    assert_int_equal(vhost_memory_alloc(&rig->memory, RIG_SIZE, 0, NULL), 0);
    rig->memory.gpa = RIG_GPA;
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, &rig->memory), 0);
    assert_int_equal(vhost_memory_commit(rig->map, &rig->err), 0);
    for (unsigned i = 0; i < queues; i++) {
        uint64_t at = RIG_GPA + i * 0x1000;

        rig->queues[i] = (struct vhost_vdev_queue){
            .size = 8,
            .base = 10 + i,
            .desc = at,
            .avail = at + 0x400,
            .used = at + 0x800,
            .kick_fd = -1,
            .call_fd = 100 + (int)i,
        };
    }
    rig->vdev = (struct vhost_vdev){ .nqueues = queues, .queues = rig->queues };
    rig->dev.vqs = rig->vqs;
    rig->dev.nvqs = queues;
    rig->dev.map = rig->map;
}

static inline int rig_init(struct kernel_rig *rig)
{
    static const int bits[] = { 15, 26, 27,
                                29, 32, 33,
                                65, 67, VHOST_INVALID_FEATURE_BIT };
    int r = 0;

    if (!rig->kernel) {
        rig->kernel =
            vh_kernel_new(&fake_kernel_sys, &rig->k, &rig->options, &rig->err);
        r = rig->kernel ? 0 : vhost_error_code(rig->err);
    }
    if (r == 0) {
        r = vhost_dev_init(&rig->dev, rig->kernel, VHOST_BACKEND_TYPE_KERNEL,
                           rig->busyloop, &rig->err);
    }
    if (r == 0) {
        vhost_ack_features_ex(&rig->dev, bits, rig->driver);
    }
    return r;
}

static inline void rig_up(struct kernel_rig *rig, enum vhost_kernel_kind kind,
                          unsigned queues)
{
    rig_prepare(rig, kind, queues);
    assert_int_equal(rig_init(rig), 0);
}

static inline int rig_start(struct kernel_rig *rig)
{
    return vhost_dev_start(&rig->dev, &rig->vdev, true);
}

static inline int rig_stop(struct kernel_rig *rig)
{
    return vhost_dev_stop(&rig->dev, &rig->vdev, true);
}

static inline void rig_down(struct kernel_rig *rig)
{
    if (vhost_dev_is_started(&rig->dev)) {
        rig_stop(rig);
    }
    vhost_dev_cleanup(&rig->dev);
    vhost_kernel_free(rig->kernel);
    vhost_memory_map_free(rig->map);
    vhost_memory_free(&rig->memory);
    vhost_error_free(rig->err);
    for (unsigned i = 0; i < FAKE_TAPS; i++) {
        if (rig->k.taps[i].fd >= 0) {
            fake_kernel_close(&rig->k, rig->k.taps[i].fd);
        }
    }
    fake_kernel_down(&rig->k);
}

static inline void rig_expect(const struct vhost_error *err, int code,
                              const char *words)
{
    assert_int_equal(vhost_error_code(err), code);
    if (!strstr(vhost_error_message(err), words)) {
        fail_msg("\"%s\" does not say \"%s\"", vhost_error_message(err), words);
    }
}

/* An init that fails, in words, and leaves nothing open. */
static inline void rig_refused(struct kernel_rig *rig, int code,
                               const char *words)
{
    assert_int_equal(rig_init(rig), code);
    rig_expect(rig->err, code, words);
    rig_down(rig);
}

#endif
