/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which guest memory the device reaches.
 *
 * What it has is compared with what it shall have, and only the difference is
 * sent: one message a region, between BATCH_BEGIN and BATCH_END where the
 * kernel has them, since many devices take all they reach in one piece, and
 * would take it again for every message.
 *
 * With VHOST_BACKEND_F_IOTLB_PERSIST a reset leaves it all as it is, and a
 * device that is started again is sent nothing.  It then holds memory while it
 * is stopped too, and hears of every change.  Without, the device forgets but
 * the kernel's own list does not, and refuses what it still has there: so all
 * is taken back in one message after each reset.
 *
 * When a message fails nobody wants to know what the device has: it is left
 * with nothing.
 */
#include "backend/vdpa/vdpa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backend/ops.h"
#include "mem/table.h"
#include "util/error.h"

struct walk {
    struct vhost_vdpa *vdpa;
    bool begun; /* BATCH_BEGIN has been sent */
};

int vh_vdpa_send(struct vhost_vdpa *vdpa, uint32_t asid,
                 const struct vhost_iotlb_msg *iotlb)
{
    struct vhost_msg_v2 msg;
    ssize_t n;

    memset(&msg, 0, sizeof(msg));
    msg.type = VHOST_IOTLB_MSG_V2;
    msg.asid = asid;
    msg.iotlb = *iotlb;
    __atomic_add_fetch(&vdpa->info.map_messages, 1, __ATOMIC_RELAXED);
    vdpa->foreign = vdpa->foreign || asid != 0;
    n = vdpa->sys->write(vdpa->sys_ctx, vdpa->fd, &msg, sizeof(msg));
    if (n < 0) {
        return (int)n;
    }
    return n == (ssize_t)sizeof(msg) ? 0 : -EIO;
}

int vh_vdpa_batch(struct vhost_vdpa *vdpa, bool begin)
{
    struct vhost_iotlb_msg msg = {
        .type = begin ? VHOST_IOTLB_BATCH_BEGIN : VHOST_IOTLB_BATCH_END,
    };

    return vh_vdpa_has(vdpa, VH_VDPA_F_BATCH) ? vh_vdpa_send(vdpa, 0, &msg) : 0;
}

int vh_vdpa_map_failed(struct vhost_vdpa *vdpa, int r, uint64_t iova,
                       uint64_t size)
{
    struct rlimit lock;
    const char *hint = "";

    if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur < size) {
        hint = ": all memory that the device reaches is locked, and "
               "RLIMIT_MEMLOCK is less: raise it (ulimit -l)";
    } else if (r == -ENOMEM || r == -EFAULT) {
        /* It says EFAULT whatever it is that it does not like. */
        hint = ": is RLIMIT_MEMLOCK as large as all that the device reaches?  "
               "Does it lie in more pieces of physical memory than "
               "max_iotlb_entries of the module vhost_vdpa (2048)?  Huge pages "
               "help";
    }
    return vh_be_fail(vdpa->dev, r, "IOTLB_MSG", VH_NO_QUEUE,
                      "%s: %#llx bytes at %#llx: %s%s", vdpa->name,
                      (unsigned long long)size, (unsigned long long)iova,
                      strerror(-r), hint);
}

int vh_vdpa_check_range(struct vhost_vdpa *vdpa, uint64_t iova, uint64_t size)
{
    const struct vhost_vdpa_info *info = &vdpa->info;

    if (iova >= info->iova_first && iova <= info->iova_last &&
        size - 1 <= info->iova_last - iova) {
        return 0;
    }
    return vh_be_fail(vdpa->dev, -ERANGE, "IOTLB_MSG", VH_NO_QUEUE,
                      "%s: memory from %#llx to %#llx: the device reaches "
                      "%#llx to %#llx: place it inside",
                      vdpa->name, (unsigned long long)iova,
                      (unsigned long long)(iova + (size - 1)),
                      (unsigned long long)info->iova_first,
                      (unsigned long long)info->iova_last);
}

/* Whole pages only: the rest of a page belongs to somebody else. */
static int trim(struct vhost_vdpa *vdpa, struct vhost_memory_section *s)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t skip = -s->gpa & (page - 1);

    if (((s->gpa ^ (uint64_t)(uintptr_t)s->hva) & (page - 1)) != 0) {
        return vh_be_fail(
            vdpa->dev, -EINVAL, "IOTLB_MSG", VH_NO_QUEUE,
            "%s: memory at %#llx is mapped at %p: both must be as "
            "far into a page of %llu bytes",
            vdpa->name, (unsigned long long)s->gpa, s->hva,
            (unsigned long long)page);
    }
    if (skip >= s->size) {
        s->size = 0;
        return 0;
    }
    s->gpa += skip;
    s->hva = (char *)s->hva + skip;
    s->fd_offset += s->fd >= 0 ? skip : 0;
    s->size = (s->size - skip) & ~(page - 1);
    return s->size == 0 ? 0 : vh_vdpa_check_range(vdpa, s->gpa, s->size);
}

/* *tablep is what the device shall have; NULL if that is nothing. */
static int wanted(struct vhost_vdpa *vdpa, struct vhost_memory_section **tablep,
                  size_t *np)
{
    const struct vhost_dev *dev = vdpa->dev;
    size_t n = vdpa->iommu ? 0 : (size_t)dev->n_mem_sections;
    struct vhost_memory_section *table;
    int r = 0;

    *np = 0;
    *tablep = NULL;
    if (n == 0) {
        return 0;
    }
    table = calloc(n, sizeof(*table));
    if (!table) {
        return vh_be_fail(vdpa->dev, -ENOMEM, "malloc", VH_NO_QUEUE,
                          "out of memory");
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        table[*np] = dev->mem_sections[i];
        r = trim(vdpa, &table[*np]);
        *np += table[*np].size != 0;
    }
    if (r < 0) {
        free(table);
        return r;
    }
    *tablep = table;
    return 0;
}

static int change(struct walk *walk, const struct vhost_memory_section *s,
                  uint8_t type)
{
    const struct vhost_iotlb_msg msg = {
        .iova = s->gpa,
        .size = s->size,
        .uaddr = (uint64_t)(uintptr_t)s->hva,
        .perm = VHOST_ACCESS_RW,
        .type = type,
    };
    int r = 0;

    if (!walk->begun) {
        walk->begun = true;
        r = vh_vdpa_batch(walk->vdpa, true);
    }
    if (r == 0) {
        r = vh_vdpa_send(walk->vdpa, 0, &msg);
    }
    return r < 0 ? vh_vdpa_map_failed(walk->vdpa, r, s->gpa, s->size) : 0;
}

static int remove_one(const struct vhost_memory_section *s, void *arg)
{
    return change(arg, s, VHOST_IOTLB_INVALIDATE);
}

static int add_one(const struct vhost_memory_section *s, void *arg)
{
    return change(arg, s, VHOST_IOTLB_UPDATE);
}

int vh_vdpa_forget(struct vhost_vdpa *vdpa, uint32_t asid)
{
    struct vhost_iotlb_msg msg = {
        .size = UINT64_C(1) << 63,
        .type = VHOST_IOTLB_INVALIDATE,
    };
    int low = vh_vdpa_send(vdpa, asid, &msg);
    int high;

    msg.iova = UINT64_C(1) << 63; /* in halves: no size says 2^64 */
    high = vh_vdpa_send(vdpa, asid, &msg);
    return low < 0 ? low : high;
}

static void adopt(struct vhost_vdpa *vdpa, struct vhost_memory_section *table,
                  size_t n)
{
    vh_vdpa_svqs_memory(vdpa, vdpa->mapped, vdpa->n_mapped, false);
    vh_vdpa_svqs_memory(vdpa, table, n, true);
    free(vdpa->mapped);
    vdpa->mapped = table;
    vdpa->n_mapped = n;
}

static int bring_up_to_date(struct vhost_vdpa *vdpa)
{
    struct vhost_memory_section *next;
    struct walk walk = { .vdpa = vdpa };
    size_t n;
    int r = wanted(vdpa, &next, &n);

    if (r < 0) {
        return r;
    }
    r = vh_mem_table_diff(vdpa->mapped, vdpa->n_mapped, next, n, remove_one,
                          add_one, &walk);
    if (walk.begun) {
        int end = vh_vdpa_batch(vdpa, false);

        r = r == 0 && end < 0 ? vh_vdpa_map_failed(vdpa, end, 0, 0) : r;
    }
    if (r < 0) {
        vh_vdpa_forget(vdpa, 0);
        free(next);
        next = NULL;
        n = 0;
    }
    adopt(vdpa, next, n);
    return r;
}

int vh_vdpa_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem)
{
    struct vhost_vdpa *vdpa = dev->opaque;
    int r;

    (void)mem; /* the sections tell more */
    pthread_mutex_lock(&vdpa->lock);
    r = bring_up_to_date(vdpa);
    pthread_mutex_unlock(&vdpa->lock);
    return r;
}

bool vh_vdpa_keeps_memory(struct vhost_dev *dev)
{
    const struct vhost_vdpa *vdpa = dev->opaque;

    return vdpa->n_mapped > 0;
}

/* The owner's own, in address spaces beyond the guest's. */
static void forget_foreign(struct vhost_vdpa *vdpa)
{
    for (uint32_t i = 1; vdpa->foreign && i < vdpa->info.address_spaces; i++) {
        vh_vdpa_forget(vdpa, i); /* fails where nothing was ever mapped */
    }
    vdpa->foreign = false;
}

int vh_vdpa_after_reset(struct vhost_vdpa *vdpa)
{
    bool persist = vh_vdpa_has(vdpa, VH_VDPA_F_PERSIST);
    int r = 0;

    pthread_mutex_lock(&vdpa->lock);
    if (vdpa->n_ranges > 0 || (vdpa->n_mapped > 0 && !persist)) {
        r = vh_vdpa_forget(vdpa, 0);
        adopt(vdpa, NULL, 0);
        vdpa->n_ranges = 0;
    }
    if (!persist) {
        forget_foreign(vdpa);
    }
    pthread_mutex_unlock(&vdpa->lock);
    return r < 0 ? vh_vdpa_map_failed(vdpa, r, 0, 0) : 0;
}

void vh_vdpa_maps_free(struct vhost_vdpa *vdpa)
{
    adopt(vdpa, NULL, 0);
    free(vdpa->ranges);
    vdpa->ranges = NULL;
    vdpa->n_ranges = vdpa->room = 0;
    vdpa->foreign = false;
}
