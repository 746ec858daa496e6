/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's driver, a shadow queue, and a device's side, in one process.
 *
 * The guest's memory is two regions that lie apart, and a third one that is
 * the second again (an alias).  The device finds everything by IOVA.
 */
#ifndef VH_TESTS_SVQ_RIG_H
#define VH_TESTS_SVQ_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring/devring.h"
#include "ring/layout.h"
#include "ring/ring.h"
#include "svq/svq.h"

#define BIT(n) (UINT64_C(1) << (n))
#define SVQ_PAGE 4096
#define SVQ_REGION (64 * SVQ_PAGE)
#define SVQ_GPA_A UINT64_C(0x100000)
#define SVQ_GPA_B (SVQ_GPA_A + SVQ_REGION) /* next to it for the guest */
#define SVQ_GPA_ALIAS UINT64_C(0x900000)
#define SVQ_TABLE 40 /* entries of each table */

struct svq_rig {
    uint8_t *mem; /* B, a gap, A, then the shadow ring */
    uint8_t *a;
    uint8_t *b;
    struct vh_iova *iova;
    uint64_t guest_features;
    uint64_t shadow_features;
    uint32_t guest_size;
    uint32_t shadow_size;
    uint32_t base;
    struct vh_ring *driver;
    struct vh_svq *svq;
    struct vh_devring *device;
    int guest_kick, guest_call, device_kick, device_call;
    uint8_t dirty[3][SVQ_REGION / SVQ_PAGE]; /* A, B, alias */
};

static inline void svq_rig_mark(void *arg, uint64_t gpa, uint64_t len)
{
    const uint64_t where[] = { SVQ_GPA_A, SVQ_GPA_B, SVQ_GPA_ALIAS };
    struct svq_rig *rig = arg;

    for (; len > 0; gpa++, len--) {
        for (unsigned i = 0; i < 3; i++) {
            if (gpa - where[i] < SVQ_REGION) {
                rig->dirty[i][(gpa - where[i]) / SVQ_PAGE] = 1;
            }
        }
    }
}

static inline void *svq_rig_hva(struct svq_rig *rig, uint64_t gpa)
{
    const struct vh_iova_range *range = vh_iova_find_gpa(rig->iova, gpa);

    assert_non_null(range);
    return (uint8_t *)range->hva + (gpa - range->gpa);
}

/* What the device's IOMMU does. */
static inline void *svq_rig_iommu(void *arg, uint64_t iova, uint64_t want,
                                  uint64_t *len)
{
    struct svq_rig *rig = arg;
    const struct vh_iova_range *range = vh_iova_find(rig->iova, iova);
    uint64_t left;

    if (!range) {
        return NULL;
    }
    left = range->size - (iova - range->iova);
    *len = left < want ? left : want;
    return (uint8_t *)range->hva + (iova - range->iova);
}

static inline uint64_t svq_rig_add(struct svq_rig *rig, uint64_t gpa, void *hva,
                                   uint64_t size)
{
    struct vh_iova_range range = { .gpa = gpa, .hva = hva, .size = size };

    assert_int_equal(vh_iova_alloc(rig->iova, &range, SVQ_PAGE), 0);
    return range.iova;
}

#define SVQ_ROUND(len) (((len) + SVQ_PAGE - 1) / SVQ_PAGE * SVQ_PAGE)

/* The guest's ring is at the beginning of A, and takes half of it. */
static inline struct vh_svq_guest svq_rig_guest(const struct svq_rig *rig)
{
    struct vh_ring_sizes sizes =
        vh_ring_sizes(rig->guest_size, rig->guest_features);
    uint64_t driver = SVQ_GPA_A + SVQ_ROUND(sizes.desc);

    return (struct vh_svq_guest){
        .size = rig->guest_size,
        .features = rig->guest_features,
        .desc = SVQ_GPA_A,
        .driver = driver,
        .device = driver + SVQ_ROUND(sizes.driver),
        .base = rig->base,
    };
}

static inline void svq_rig_start_driver(struct svq_rig *rig)
{
    struct vh_svq_guest guest = svq_rig_guest(rig);
    uint64_t tables = guest.device + SVQ_PAGE;
    struct vh_ring_config config = {
        .size = guest.size,
        .features = guest.features,
        .desc = svq_rig_hva(rig, guest.desc),
        .driver = svq_rig_hva(rig, guest.driver),
        .device = svq_rig_hva(rig, guest.device),
        .indirect = svq_rig_hva(rig, tables),
        .indirect_gpa = tables,
        .indirect_len = 8,
        .base = guest.base,
    };

    assert_int_equal(vh_ring_new(&rig->driver, &config), 0);
}

static inline struct vh_svq_config svq_rig_config(struct svq_rig *rig)
{
    struct vh_ring_sizes sizes =
        vh_ring_sizes(rig->shadow_size, rig->shadow_features);
    uint8_t *at = rig->a + SVQ_REGION;
    uint8_t *driver = at + SVQ_ROUND(sizes.desc);
    uint8_t *device = driver + SVQ_ROUND(sizes.driver);
    uint8_t *tables = device + SVQ_ROUND(sizes.device);
    const struct vh_iova_range *range =
        vh_iova_find_hva(rig->iova, tables, NULL);

    return (struct vh_svq_config){
        .guest = svq_rig_guest(rig),
        .shadow = { .size = rig->shadow_size,
                    .features = rig->shadow_features,
                    .desc = at,
                    .driver = driver,
                    .device = device,
                    .indirect = tables,
                    .indirect_gpa = range->iova +
                                    (uint64_t)(tables - (uint8_t *)range->hva),
                    .indirect_len = SVQ_TABLE,
                    .base = vh_ring_first_base(rig->shadow_features) },
        .iova = rig->iova,
        .guest_kick = rig->guest_kick,
        .guest_call = rig->guest_call,
        .device_kick = rig->device_kick,
        .device_call = rig->device_call,
        .mark = svq_rig_mark,
        .mark_arg = rig,
    };
}

/* A shadow queue that goes on at rig->base, and a device that begins. */
static inline void svq_rig_start(struct svq_rig *rig)
{
    struct vh_svq_config config;
    struct vh_devring_config device;

    memset(rig->a + SVQ_REGION, 0, SVQ_REGION);
    config = svq_rig_config(rig);
    assert_int_equal(vh_svq_new(&rig->svq, &config), 0);
    device = (struct vh_devring_config){
        .size = config.shadow.size,
        .features = config.shadow.features,
        .desc = config.shadow.desc,
        .driver = config.shadow.driver,
        .device = config.shadow.device,
        .base = config.shadow.base,
        .translate = svq_rig_iommu,
        .translate_arg = rig,
    };
    assert_int_equal(vh_devring_new(&rig->device, &device), 0);
}

static inline uint32_t svq_rig_stop(struct svq_rig *rig)
{
    uint32_t n = vh_svq_stop(rig->svq, &rig->base);

    vh_svq_free(rig->svq);
    vh_devring_free(rig->device);
    rig->svq = NULL;
    rig->device = NULL;
    return n;
}

static inline void svq_rig_init(struct svq_rig *rig, uint32_t guest_size,
                                uint64_t guest_features, uint32_t shadow_size,
                                uint64_t shadow_features)
{
    size_t len = 4 * SVQ_REGION;

    memset(rig, 0, sizeof(*rig));
    rig->guest_size = guest_size;
    rig->guest_features = guest_features;
    rig->shadow_size = shadow_size;
    rig->shadow_features = shadow_features;
    rig->mem = aligned_alloc(SVQ_PAGE, len);
    assert_non_null(rig->mem);
    memset(rig->mem, 0, len);
    rig->b = rig->mem;
    rig->a = rig->mem + 2 * SVQ_REGION;
    assert_int_equal(vh_iova_new(&rig->iova, 0, UINT32_MAX), 0);
    svq_rig_add(rig, SVQ_GPA_B, rig->b, SVQ_REGION);
    svq_rig_add(rig, VH_IOVA_NO_GPA, rig->a + SVQ_REGION, SVQ_REGION);
    svq_rig_add(rig, SVQ_GPA_ALIAS, rig->b, SVQ_REGION);
    svq_rig_add(rig, SVQ_GPA_A, rig->a, SVQ_REGION);
    rig->guest_kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rig->guest_call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rig->device_kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rig->device_call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rig->base = vh_ring_first_base(guest_features);
    svq_rig_start_driver(rig);
    svq_rig_start(rig);
}

static inline void svq_rig_cleanup(struct svq_rig *rig)
{
    vh_svq_free(rig->svq);
    vh_devring_free(rig->device);
    vh_ring_free(rig->driver);
    vh_iova_free(rig->iova);
    close(rig->guest_kick);
    close(rig->guest_call);
    close(rig->device_kick);
    close(rig->device_call);
    free(rig->mem);
}

/* Was an eventfd set?  It is not any more. */
static inline bool svq_rig_was_set(int fd)
{
    uint64_t count;

    return read(fd, &count, sizeof(count)) == sizeof(count);
}

static inline uint32_t svq_rig_below(unsigned *seed, uint32_t n)
{
    return (uint32_t)rand_r(seed) % n;
}

#endif
