/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one queue reaches through the IOMMU: its ring, and the buffers that it
 * has taken and not returned.  Both are kept as addresses of the driver's, so
 * that it can be told what a translation that is taken back is still used for.
 *
 * A ring is one piece to the driver, but its pages may be anywhere in the
 * front end's memory.  Then they are mapped once more, side by side.
 */
#include "server/iommu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/server.h"

#define AREAS 3

struct area {
    uint64_t iova;
    uint64_t len;
    unsigned access;
    uint8_t *hva;
    uint8_t *view; /* of its pages, if they are scattered */
    uint8_t **pages;
    unsigned n_pages;
};

struct vh_qiommu {
    struct area areas[AREAS];
    uint16_t *n_reached; /* by chain id */
    struct vh_reach *reached;
};

static uint64_t page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Rings */

/* Where each page of it is; false if one does not fit a page of ours. */
static bool find_pages(struct vhost_server *srv, struct area *a)
{
    uint64_t page = page_size();
    uint64_t before = a->iova % page;
    uint64_t at = 0;

    for (unsigned i = 0; i < a->n_pages; i++) {
        uint64_t end = (i + 1) * page - before;
        uint64_t want = (end < a->len ? end : a->len) - at;
        uint64_t len = 0;
        uint8_t *hva = vh_iommu_look(srv, a->iova + at, want, &len, a->access);

        if (!hva || len < want ||
            (uintptr_t)hva % page != (a->iova + at) % page) {
            return false;
        }
        a->pages[i] = hva - (uintptr_t)hva % page;
        at = end;
    }
    return true;
}

/* Their mappings are shared, and of such a second one can be made. */
static bool map_pages(struct area *a)
{
    uint64_t page = page_size();

    a->view = mmap(NULL, a->n_pages * page, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (a->view == MAP_FAILED) {
        a->view = NULL;
        return false;
    }
    for (unsigned i = 0; i < a->n_pages; i++) {
        if (mremap(a->pages[i], 0, page, MREMAP_MAYMOVE | MREMAP_FIXED,
                   a->view + i * page) == MAP_FAILED) {
            return false;
        }
    }
    a->hva = a->view + a->iova % page;
    return true;
}

/* A second mapping of pages that are to come would not wait for them. */
static int join(struct vhost_server *srv, struct area *a)
{
    uint64_t page = page_size();

    a->n_pages = (unsigned)((a->iova % page + a->len + page - 1) / page);
    a->pages = calloc(a->n_pages, sizeof(*a->pages));
    if (!a->pages) {
        return -ENOMEM;
    }
    if (srv->postcopy.listening || !find_pages(srv, a) || !map_pages(a)) {
        srv->session.why = "its ring is scattered, and not by whole pages";
        return -EINVAL;
    }
    return 1;
}

static void leave_area(struct area *a)
{
    if (a->view) {
        munmap(a->view, a->n_pages * page_size());
    }
    free(a->pages);
}

/* Return: 1; 0 if not all of it is known; or a negative errno. */
static int find_area(struct vhost_server *srv, struct area *a)
{
    bool known = true, whole = true;
    const uint8_t *next = NULL;
    uint64_t len = 0;

    if (a->iova + (a->len - 1) < a->iova) {
        srv->session.why = "its ring wraps around the address space";
        return -EINVAL;
    }
    for (uint64_t at = 0; at < a->len; at += len) {
        uint8_t *hva =
            vh_iommu_look(srv, a->iova + at, a->len - at, &len, a->access);

        known &= hva != NULL;
        whole &= at == 0 || hva == next;
        a->hva = at == 0 ? hva : a->hva;
        next = hva ? hva + len : NULL;
    }
    if (!known) {
        return 0;
    }
    return whole ? 1 : join(srv, a);
}

/* All of them are looked for, so that all are asked for. */
static int find_areas(struct vh_squeue *q, const struct vh_ring_sizes *sizes)
{
    bool packed = q->srv->session.features >> VH_RING_F_PACKED & 1;
    struct area *areas = q->iommu->areas;
    int all = 1;

    areas[0] = (struct area){ .iova = q->desc,
                              .len = sizes->desc,
                              .access = packed ? VH_IOTLB_READ | VH_IOTLB_WRITE
                                               : VH_IOTLB_READ };
    areas[1] = (struct area){ .iova = q->avail,
                              .len = sizes->driver,
                              .access = VH_IOTLB_READ };
    areas[2] = (struct area){ .iova = q->used,
                              .len = sizes->device,
                              .access = VH_IOTLB_READ | VH_IOTLB_WRITE };
    for (unsigned i = 0; i < AREAS; i++) {
        int r = find_area(q->srv, &areas[i]);

        if (r < 0) {
            return r;
        }
        all = r == 0 ? 0 : all;
    }
    return all;
}

static int allocate(struct vh_squeue *q)
{
    struct vh_siommu *iommu = &q->srv->iommu;

    if (!iommu->reached) {
        iommu->reached = calloc(VH_SQUEUE_PIECES, sizeof(*iommu->reached));
    }
    q->iommu = calloc(1, sizeof(*q->iommu));
    if (!q->iommu) {
        return -ENOMEM;
    }
    q->iommu->n_reached = calloc(q->size, sizeof(*q->iommu->n_reached));
    /* Most of it is never touched, and so takes no memory. */
    q->iommu->reached =
        calloc((size_t)q->size * VH_SQUEUE_PIECES, sizeof(*q->iommu->reached));
    return iommu->reached && q->iommu->n_reached && q->iommu->reached ? 0
                                                                      : -ENOMEM;
}

static int not_found(struct vh_squeue *q)
{
    vh_qiommu_end(q);
    q->awaits = !q->srv->iommu.refused;
    if (!q->awaits) {
        vh_server_log(q->srv, "queue %u can't run: its ring has no translation",
                      q->index);
        vh_server_ring(q, VH_BACK_VRING_ERR);
    }
    return 0;
}

int vh_qiommu_begin(struct vh_squeue *q, struct vh_devring_config *config)
{
    struct vh_ring_sizes sizes = vh_ring_sizes(q->size, config->features);
    int r = allocate(q);

    vh_iommu_pop(q->srv);
    if (r == 0) {
        r = find_areas(q, &sizes);
    }
    if (r == 0) {
        return not_found(q);
    }
    if (r < 0) {
        vh_qiommu_end(q);
        return r;
    }
    config->desc = q->iommu->areas[0].hva;
    config->driver = q->iommu->areas[1].hva;
    config->device = q->iommu->areas[2].hva;
    config->translate = vh_iommu_to_table;
    config->translate_piece = vh_iommu_to_read;
    config->translate_writable = vh_iommu_to_write;
    config->translate_arg = q->srv;
    return 1;
}

void vh_qiommu_end(struct vh_squeue *q)
{
    if (q->iommu) {
        for (unsigned i = 0; i < AREAS; i++) {
            leave_area(&q->iommu->areas[i]);
        }
        free(q->iommu->n_reached);
        free(q->iommu->reached);
        free(q->iommu);
        q->iommu = NULL;
    }
}

const uint8_t *vh_qiommu_at(const struct vh_squeue *q, unsigned which,
                            uint64_t offset, uint64_t *len)
{
    const struct area *a = &q->iommu->areas[which];
    uint64_t page = page_size();
    uint64_t at = a->iova % page + offset;

    if (!a->view) {
        return a->hva + offset;
    }
    if (*len > page - at % page) {
        *len = page - at % page;
    }
    return a->pages[at / page] + at % page;
}

/* Buffers */

void vh_qiommu_took(struct vh_squeue *q, uint16_t id)
{
    const struct vh_siommu *iommu = &q->srv->iommu;

    q->iommu->n_reached[id] = (uint16_t)iommu->n_reached;
    memcpy(&q->iommu->reached[(size_t)id * VH_SQUEUE_PIECES], iommu->reached,
           iommu->n_reached * sizeof(*iommu->reached));
}

void vh_qiommu_done(struct vh_squeue *q, uint16_t id)
{
    q->iommu->n_reached[id] = 0;
}

const char *vh_qiommu_wait(struct vh_squeue *q)
{
    if (q->srv->iommu.refused) {
        return "a buffer at an address that has no translation";
    }
    q->awaits = true;
    return NULL;
}

/* What is taken back */

static bool meets(uint64_t iova, uint64_t last, uint64_t at, uint64_t len)
{
    return at <= last && (iova <= at || iova - at < len);
}

bool vh_qiommu_is_at(const struct vh_squeue *q, uint64_t iova, uint64_t last)
{
    struct vh_ring_sizes sizes;

    if (!q->has_addr || q->size == 0) {
        return false;
    }
    sizes = vh_ring_sizes(q->size, q->srv->session.features);
    return meets(iova, last, q->desc, sizes.desc) ||
           meets(iova, last, q->avail, sizes.driver) ||
           meets(iova, last, q->used, sizes.device);
}

static bool buffer_reaches(const struct vh_qiommu *iommu, uint32_t id,
                           uint64_t iova, uint64_t last)
{
    const struct vh_reach *r = &iommu->reached[(size_t)id * VH_SQUEUE_PIECES];

    for (unsigned i = 0; i < iommu->n_reached[id]; i++) {
        if (r[i].iova <= last && iova <= r[i].last) {
            return true;
        }
    }
    return false;
}

bool vh_qiommu_reaches(const struct vh_squeue *q, uint64_t iova, uint64_t last)
{
    for (uint32_t id = 0; q->iommu && id < q->size; id++) {
        if (buffer_reaches(q->iommu, id, iova, last)) {
            return true;
        }
    }
    return false;
}
