/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Marking.  A page is marked after it was written: the front end clears a bit
 * before it reads the page, so a bit that comes first may be gone when the
 * write does come.  And buffers are marked before the entry is published that
 * says so, for a driver may go on at once.
 *
 * Where our own memory is in the guest's eyes is found from the mappings, so
 * that it does not matter how we came by an address: by way of an IOMMU, or
 * of an indirect table.  Only where a split ring's used entries count from,
 * the front end says itself (vhost-user specification, "log_guest_addr").
 */
#include "server/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/vhost_types.h>

#include <vhost/log.h>

#include "server/server.h"

#define SPLIT_RING 4 /* where the entries of a used ring begin */

/* Where each writable piece of a buffer is; by chain id. */
struct vh_qlog {
    uint64_t entries;     /* of the ring: where it writes used ones */
    uint64_t events;      /* of its other area, or the same */
    uint32_t used;        /* vh_devring_used() at the last publish */
    struct iovec *pieces; /* VH_SQUEUE_PIECES for each id */
    uint16_t n[];         /* how many of them; 0: no such buffer */
};

static uint64_t page_of(uint64_t gpa)
{
    return gpa / VHOST_LOG_PAGE;
}

int vh_slog_set(struct vh_slog *log, const struct vh_log_area *area, int fd,
                const char **why)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t before = area->offset & (page - 1);
    struct vh_slog new;
    struct stat st;

    if (area->size == 0 || area->offset > INT64_MAX ||
        area->size > (uint64_t)INT64_MAX - area->offset) {
        *why = "a log that is empty, or wraps around";
        return -EINVAL;
    }
    if (fstat(fd, &st) < 0) {
        *why = "a log without a file";
        return -errno;
    }
    if (S_ISREG(st.st_mode) &&
        area->offset + area->size > (uint64_t)st.st_size) {
        *why = "a log that passes the end of its file";
        return -EINVAL;
    }
    new.map_len = (size_t)(before + area->size);
    new.map = mmap(NULL, new.map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                   (off_t)(area->offset - before));
    if (new.map == MAP_FAILED) {
        *why = "a log that can't be mapped";
        return -errno;
    }
    new.bits = (uint8_t *)new.map + before;
    new.size = area->size;
    vh_slog_unset(log);
    *log = new;
    return 0;
}

void vh_slog_unset(struct vh_slog *log)
{
    if (log->bits) {
        munmap(log->map, log->map_len);
    }
    *log = (struct vh_slog){ .bits = NULL };
}

void vh_slog_mark(const struct vh_slog *log, uint64_t gpa, uint64_t size)
{
    uint64_t page = page_of(gpa);
    uint64_t end = size ? page_of(gpa + (size - 1)) + 1 : page;

    while (page < end && page / 8 < log->size) {
        uint64_t n = 8 - page % 8;
        unsigned bits;

        n = n < end - page ? n : end - page;
        bits = ((1u << n) - 1) << page % 8;
        __atomic_fetch_or(&log->bits[page / 8], (uint8_t)bits,
                          __ATOMIC_RELEASE);
        page += n;
    }
}

static bool is_packed(const struct vhost_server *srv)
{
    return srv->session.features >> VH_RING_F_PACKED & 1;
}

/* Our address to the guest's: it lies in memory, as find_areas() has seen. */
static uint64_t gpa_of(struct vhost_server *srv, const void *hva)
{
    uint64_t gpa = UINT64_MAX;

    vh_memory_gpa_of(&srv->memory, hva, &gpa);
    return gpa;
}

int vh_qlog_begin(struct vh_squeue *q, const struct vh_devring_config *config)
{
    struct vhost_server *srv = q->srv;
    struct vh_qlog *log;

    if (!(srv->session.features >> VHOST_F_LOG_ALL & 1)) {
        return 0;
    }
    log = calloc(1, sizeof(*log) + q->size * sizeof(log->n[0]));
    if (!log) {
        return -ENOMEM;
    }
    /* Most of it is never touched, and so takes no memory. */
    log->pieces =
        calloc((size_t)q->size * VH_SQUEUE_PIECES, sizeof(log->pieces[0]));
    if (!log->pieces) {
        free(log);
        return -ENOMEM;
    }
    log->events = gpa_of(srv, config->device);
    log->entries = is_packed(srv) ? gpa_of(srv, config->desc) : log->events;
    log->used = vh_devring_used(q->ring);
    q->log = log;
    vh_qlog_asked(q);
    return 0;
}

void vh_qlog_end(struct vh_squeue *q)
{
    if (q->log) {
        vh_qlog_asked(q);
        free(q->log->pieces);
        free(q->log);
        q->log = NULL;
    }
}

void vh_qlog_take(struct vh_squeue *q, const struct vh_chain *chain)
{
    struct vh_qlog *log = q->log;

    log->n[chain->id] = chain->n_in;
    memcpy(&log->pieces[(size_t)chain->id * VH_SQUEUE_PIECES],
           chain->iov + chain->n_out, chain->n_in * sizeof(struct iovec));
}

static void mark(struct vhost_server *srv, uint64_t gpa, uint64_t size)
{
    if (srv->log.bits) {
        vh_slog_mark(&srv->log, gpa, size);
        srv->log_news = true;
    }
}

void vh_qlog_wrote(struct vh_squeue *q, uint16_t id, uint32_t len)
{
    struct vh_qlog *log = q->log;
    const struct iovec *piece = &log->pieces[(size_t)id * VH_SQUEUE_PIECES];

    for (uint16_t i = 0; i < log->n[id] && len > 0; i++) {
        uint32_t step =
            piece[i].iov_len < len ? (uint32_t)piece[i].iov_len : len;

        mark(q->srv, gpa_of(q->srv, piece[i].iov_base), step);
        len -= step;
    }
    log->n[id] = 0;
}

/*
 * Something was written to the ring: to the descriptors of a packed one, or to
 * the device's area.
 */
static void mark_ring(struct vh_squeue *q, bool descs, uint64_t offset,
                      uint64_t size)
{
    struct vhost_server *srv = q->srv;
    uint64_t base = descs             ? q->log->entries
                    : is_packed(srv) ? q->log->events
                                     : q->log_addr;

    while (q->iommu && size > 0) {
        uint64_t len = size;
        const uint8_t *hva = vh_qiommu_at(q, descs ? 0 : 2, offset, &len);

        mark(srv, gpa_of(srv, hva), len);
        offset += len;
        size -= len;
    }
    mark(srv, base + offset, size);
}

/* Entries from @from to before @to, of a ring that is a circle. */
static void mark_entries(struct vh_squeue *q, uint32_t from, uint32_t n)
{
    bool packed = is_packed(q->srv);
    uint64_t at = packed ? 0 : SPLIT_RING;
    size_t one =
        packed ? sizeof(struct vh_packed_desc) : sizeof(struct vh_used_elem);
    uint32_t to_end = q->size - from;
    uint32_t first = n < to_end ? n : to_end;

    mark_ring(q, packed, at + from * one, first * one);
    mark_ring(q, packed, at, (n - first) * one);
}

static void mark_published(struct vh_squeue *q)
{
    struct vh_qlog *log = q->log;
    uint32_t from = log->used;
    uint32_t to = vh_devring_used(q->ring);
    uint32_t n;

    log->used = to;
    if (!q->log_used || from == to) {
        return;
    }
    if (is_packed(q->srv)) {
        /* The high bit is the wrap counter. */
        n = (to & INT16_MAX) - (from & INT16_MAX) +
            ((from ^ to) & ~(uint32_t)INT16_MAX ? q->size : 0);
        mark_entries(q, from & INT16_MAX, n);
        return;
    }
    n = (uint16_t)(to - from);
    mark_entries(q, from & (q->size - 1), n < q->size ? n : q->size);
    mark_ring(q, false, 0, SPLIT_RING);
}

void vh_qlog_published(struct vh_squeue *q)
{
    struct vhost_server *srv = q->srv;

    mark_published(q);
    if (srv->log_news) {
        srv->log_news = false;
        vh_sbell_ring(&srv->log_bell);
    }
}

void vh_qlog_asked(struct vh_squeue *q)
{
    if (!q->log_used) {
        return;
    }
    if (is_packed(q->srv)) {
        mark_ring(q, false, 0, sizeof(struct vh_packed_event));
    } else {
        mark_ring(q, false, 0, SPLIT_RING);
        mark_ring(q, false, SPLIT_RING + q->size * sizeof(struct vh_used_elem),
                  sizeof(uint16_t));
    }
}
