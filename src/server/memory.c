/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page behind the end of a file can be mapped, and kills whoever touches
 * it: what a front end says of a region is held against the file itself.
 */
#include "server/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

static uint64_t last_of(uint64_t first, uint64_t size)
{
    return first + (size - 1);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a <= last_of(b, b_size) && b <= last_of(a, a_size);
}

static bool wraps(uint64_t first, uint64_t size)
{
    return size == 0 || last_of(first, size) < first;
}

/* Can the region be what it says, next to those that are there? */
static const char *check(const struct vh_memory *memory,
                         const struct vh_mem_region *r)
{
    if (wraps(r->gpa, r->size) || wraps(r->user_addr, r->size) ||
        wraps(r->mmap_offset, r->size) ||
        last_of(r->mmap_offset, r->size) > INT64_MAX) {
        return "a region that is empty, or wraps around";
    }
    for (unsigned i = 0; i < memory->n; i++) {
        const struct vh_mem_region *o = &memory->mappings[i].region;

        if (overlap(r->gpa, r->size, o->gpa, o->size) ||
            overlap(r->user_addr, r->size, o->user_addr, o->size)) {
            return "a region overlaps another";
        }
    }
    return NULL;
}

/* Offset and length of a mapping are multiples of it. */
static uint64_t page_size_of(int fd)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC &&
        (uint64_t)fs.f_bsize > page) {
        page = (uint64_t)fs.f_bsize;
    }
    return page;
}

static int map(struct vh_mapping *m, int fd, const char **why)
{
    const struct vh_mem_region *r = &m->region;
    uint64_t page = page_size_of(fd);
    uint64_t before = r->mmap_offset & (page - 1);
    uint64_t whole;
    struct stat st;

    *why = "a region can't be mapped";
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (S_ISREG(st.st_mode) &&
        last_of(r->mmap_offset, r->size) >= (uint64_t)st.st_size) {
        *why = "a region passes the end of its file";
        return -EINVAL;
    }
    /* At most 2^63 and two pages: no overflow. */
    whole = (before + r->size + page - 1) & ~(page - 1);
    m->map_len = (size_t)whole;
    m->map =
        mmap(NULL, m->map_len, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_NORESERVE, fd, (off_t)(r->mmap_offset - before));
    if (m->map == MAP_FAILED) {
        return -errno;
    }
    m->addr = (uint8_t *)m->map + before;
    return 0;
}

int vh_memory_add(struct vh_memory *memory, const struct vh_mem_region *region,
                  int fd, const char **why)
{
    struct vh_mapping mapping = { .region = *region };
    struct vh_mapping *all;
    unsigned at = 0;
    int r;

    *why = check(memory, region);
    if (*why) {
        return -EINVAL;
    }
    if (memory->n == VH_SERVER_SLOTS) {
        *why = "more regions than there are slots";
        return -ENOSPC;
    }
    all = realloc(memory->mappings, (memory->n + 1) * sizeof(*all));
    if (!all) {
        *why = "memory is short";
        return -ENOMEM;
    }
    memory->mappings = all;
    r = map(&mapping, fd, why);
    if (r < 0) {
        return r;
    }
    while (at < memory->n && all[at].region.gpa < region->gpa) {
        at++;
    }
    memmove(all + at + 1, all + at, (memory->n - at) * sizeof(*all));
    all[at] = mapping;
    memory->n++;
    memory->last = 0;
    *why = NULL;
    return 0;
}

int vh_memory_remove(struct vh_memory *memory,
                     const struct vh_mem_region *region)
{
    for (unsigned i = 0; i < memory->n; i++) {
        struct vh_mapping *m = &memory->mappings[i];

        if (m->region.gpa == region->gpa && m->region.size == region->size &&
            m->region.user_addr == region->user_addr) {
            munmap(m->map, m->map_len);
            memory->n--;
            memmove(m, m + 1, (memory->n - i) * sizeof(*m));
            memory->last = 0;
            return 0;
        }
    }
    return -ENOENT;
}

void vh_memory_clear(struct vh_memory *memory)
{
    for (unsigned i = 0; i < memory->n; i++) {
        munmap(memory->mappings[i].map, memory->mappings[i].map_len);
    }
    free(memory->mappings);
    *memory = (struct vh_memory){ .n = 0 };
}

static bool holds(const struct vh_mapping *m, uint64_t gpa)
{
    return gpa - m->region.gpa < m->region.size;
}

/* The mapping that holds @gpa; guests come back to where they were. */
static const struct vh_mapping *find(struct vh_memory *memory, uint64_t gpa)
{
    unsigned low = 0, high = memory->n;

    if (memory->last < memory->n &&
        holds(&memory->mappings[memory->last], gpa)) {
        return &memory->mappings[memory->last];
    }
    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (holds(&memory->mappings[mid], gpa)) {
            memory->last = mid;
            return &memory->mappings[mid];
        }
        if (memory->mappings[mid].region.gpa < gpa) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

void *vh_memory_translate(void *memory, uint64_t gpa, uint64_t want,
                          uint64_t *len)
{
    const struct vh_mapping *m = find(memory, gpa);
    uint64_t at, left;

    if (!m) {
        return NULL;
    }
    at = gpa - m->region.gpa;
    left = m->region.size - at;
    *len = want < left ? want : left;
    return m->addr + at;
}

static bool has_mapped(const struct vh_mapping *m, const void *hva)
{
    return (uintptr_t)hva - (uintptr_t)m->addr < m->region.size;
}

bool vh_memory_gpa_of(struct vh_memory *memory, const void *hva, uint64_t *gpa)
{
    unsigned at = memory->last;

    for (unsigned i = 0; i < memory->n; i++) {
        const struct vh_mapping *m;

        /* What was translated last is what is asked for next. */
        at = at < memory->n ? at : 0;
        m = &memory->mappings[at];
        if (has_mapped(m, hva)) {
            memory->last = at;
            *gpa = m->region.gpa + ((uintptr_t)hva - (uintptr_t)m->addr);
            return true;
        }
        at++;
    }
    return false;
}

void *vh_memory_by_user_addr(const struct vh_memory *memory, uint64_t addr,
                             uint64_t size)
{
    for (unsigned i = 0; i < memory->n; i++) {
        const struct vh_mapping *m = &memory->mappings[i];
        uint64_t at = addr - m->region.user_addr;

        if (at < m->region.size && size <= m->region.size - at) {
            return m->addr + at;
        }
    }
    return NULL;
}
