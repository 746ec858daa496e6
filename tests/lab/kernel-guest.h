/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest without a VM, for the kernel's own devices and those of vDPA: memory,
 * rings that it drives by hand, and, if asked for, an IOMMU that knows one page
 * at a time.
 */
#ifndef VH_TESTS_LAB_KERNEL_GUEST_H
#define VH_TESTS_LAB_KERNEL_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/vdpa.h>
#include <vhost/vhost.h>

#include "ring/ring.h"

#define GUEST_QUEUES 8u
#define GUEST_RING 64u  /* entries */
#define GUEST_BUFS 32u  /* of each queue */
#define GUEST_BUF 4096u /* bytes of each, a page of its own */
#define GUEST_GPA UINT64_C(0x40000000)
#define GUEST_IOVA UINT64_C(0x7000000000) /* of GUEST_GPA, with an IOMMU */
#define GUEST_SIZE (UINT64_C(8) << 20)
#define GUEST_WAIT_S 30

#define F(bit) (UINT64_C(1) << (bit))
#define F_VERSION_1 F(32)
#define F_IOMMU F(33)

struct guest {
    struct vhost_kernel *kernel; /* one of these two */
    struct vhost_vdpa *vdpa;
    struct vhost_dev dev;
    struct vhost_virtqueue vqs[GUEST_QUEUES];
    struct vhost_vdev vdev;
    struct vhost_vdev_queue queues[GUEST_QUEUES];
    struct vhost_notifier kicks[GUEST_QUEUES], calls[GUEST_QUEUES];
    struct vh_ring *rings[GUEST_QUEUES];
    unsigned n_queues;
    struct vhost_memory_map *map;
    struct vhost_memory_section ram;
    uint64_t features; /* that the driver takes */
    bool iommu;
    unsigned n_translated;
    unsigned n_replays;
    unsigned n_errors[GUEST_QUEUES]; /* that the kernel told of a ring */
    volatile uint16_t *doorbells[GUEST_QUEUES]; /* of a vDPA device; or NULL */
    bool rings_doorbells;                       /* and kicks no more */
    struct vhost_error *err;
};

/** guest_up() - memory and rings, and a device that is not started
 * @options: its kind is what the device is
 * @features: that the driver takes, of those that are offered; with F_IOMMU
 *     it is behind one
 */
void guest_up(struct guest *guest, const struct vhost_kernel_options *options,
              unsigned n_queues, uint64_t features);

/** guest_take_up() - the device alone, once more; 0 or a negative errno */
int guest_take_up(struct guest *guest,
                  const struct vhost_kernel_options *options);

/** guest_up_vdpa(), guest_take_up_vdpa() - the same for a vDPA device */
void guest_up_vdpa(struct guest *guest,
                   const struct vhost_vdpa_options *options, unsigned n_queues,
                   uint64_t features);
int guest_take_up_vdpa(struct guest *guest,
                       const struct vhost_vdpa_options *options);

void guest_start(struct guest *guest);
void guest_stop(struct guest *guest);
void guest_down(struct guest *guest);

/** guest_buf() - buffer @i of a queue, as we see it */
void *guest_buf(struct guest *guest, unsigned queue, unsigned i);

/** guest_addr() - and as the device does */
uint64_t guest_addr(const struct guest *guest, unsigned queue, unsigned i);

/** guest_give() - pieces to a queue, published, and its doorbell rung
 * @cookie: a number; not 0
 */
void guest_give(struct guest *guest, unsigned queue, const struct vh_sg *sg,
                unsigned n_out, unsigned n_in, uintptr_t cookie);

/** guest_take() - a used buffer, waited for; serves the device meanwhile
 * Return: its cookie; 0 after GUEST_WAIT_S seconds, or @seconds if not 0. */
uintptr_t guest_take(struct guest *guest, unsigned queue, uint32_t *len,
                     unsigned seconds);

/** guest_is_killed() - @works again and again in another process, with a guest
 *     of its own that @begins there, and killed while it does
 */
void guest_is_killed(void (*begins)(struct guest *guest, const void *arg),
                     void (*works)(struct guest *guest, unsigned round),
                     const void *arg);

/** guest_without_rights() - @does in another process, which is nobody */
void guest_without_rights(void (*does)(void));

#endif
