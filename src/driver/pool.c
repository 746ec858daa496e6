/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of a program that its back end sees.
 *
 * Two views of the same regions.  The control thread has the list: who owns
 * a region, and its arena.  Queue threads have the table: ranges sorted by
 * our address, to be searched while the control thread adds or removes one.
 *
 * The table is guarded by its generation, which is odd while a change is
 * under way: a reader copies one range and then asks whether the generation
 * is still what it was before, and else starts over.  So readers never write,
 * and changes need no memory that must outlive its readers; but for the
 * table itself, which when it is outgrown is kept until the end: the sizes
 * double, so all of them together are smaller than the last.
 *
 * A range is published after every device has taken the region, and withdrawn
 * before any is asked to let go of it.
 */
#include "driver/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/brought.h"
#include "mem/arena.h"
#include "mem/map.h"
#include "util/error.h"
#include "util/fd.h"

#define FIRST_CAPACITY 16
/* Regions begin at multiples of this, and never touch: so none ever merges
 * with another, and each can go without the others. */
#define GPA_STEP (UINT64_C(2) << 20)

struct table {
    struct table *outgrown;
    size_t capacity;
    struct vh_pool_range ranges[];
};

struct region {
    struct region *next;
    struct vhost_memory_section section;
    struct vh_arena *arena; /* NULL: the program brought it */
    bool visible;           /* in the table */
};

struct vh_pool {
    struct vh_pool_head head;
    struct table *table;
    size_t n; /* ranges in the table */
    struct vhost_memory_map *map;
    struct region *regions;
    uint64_t next_gpa;
    size_t grow;
    bool huge;
};

struct vh_pool *vh_pool_new(struct vhost_memory_map *map, size_t grow,
                            bool huge)
{
    struct vh_pool *pool = calloc(1, sizeof(*pool));

    if (pool) {
        pool->map = map;
        pool->next_gpa = VH_POOL_GPA;
        pool->grow = grow;
        pool->huge = huge;
    }
    return pool;
}

static void region_free(struct region *region)
{
    if (region->arena) {
        vh_arena_free(region->arena);
        vhost_memory_free(&region->section);
    } else {
        vh_fd_close(&region->section.fd);
    }
    free(region);
}

void vh_pool_free(struct vh_pool *pool)
{
    if (!pool) {
        return;
    }
    while (pool->regions) {
        struct region *region = pool->regions;

        pool->regions = region->next;
        region_free(region);
    }
    while (pool->table) {
        struct table *table = pool->table;

        pool->table = table->outgrown;
        free(table);
    }
    free(pool);
}

/* Sees to it that one more range fits, so that publishing can't fail. */
static int table_make_room(struct vh_pool *pool)
{
    size_t capacity = pool->table ? pool->table->capacity : 0;
    struct table *bigger;

    if (pool->n < capacity) {
        return 0;
    }
    capacity = capacity ? 2 * capacity : FIRST_CAPACITY;
    bigger = malloc(sizeof(*bigger) + capacity * sizeof(bigger->ranges[0]));
    if (!bigger) {
        return -ENOMEM;
    }
    bigger->capacity = capacity;
    bigger->outgrown = pool->table;
    for (size_t i = 0; i < pool->n; i++) {
        bigger->ranges[i] = pool->table->ranges[i];
    }
    /* Readers may go on in the old one: it says the same until the generation
     * moves.  Release: the copies, before the pointer to them. */
    vh_store_release(&pool->table, bigger);
    return 0;
}

/* Stores one range where readers may look; each store is a release, so that
 * none is seen before the odd generation that announces it. */
static void range_put(struct vh_pool_range *to,
                      const struct vh_pool_range *range)
{
    vh_store_release(&to->hva, range->hva);
    vh_store_release(&to->size, range->size);
    vh_store_release(&to->gpa, range->gpa);
}

static void table_insert(struct vh_pool *pool,
                         const struct vhost_memory_section *section)
{
    struct vh_pool_range range = { .hva = (uintptr_t)section->hva,
                                   .size = section->size,
                                   .gpa = section->gpa };
    struct vh_pool_range *ranges = pool->table->ranges;
    uint64_t generation = pool->head.generation;
    size_t i = pool->n;

    VH_WRITE_ONCE(pool->head.generation, generation + 1);
    for (; i > 0 && ranges[i - 1].hva > range.hva; i--) {
        range_put(&ranges[i], &ranges[i - 1]);
    }
    range_put(&ranges[i], &range);
    vh_store_release(&pool->n, pool->n + 1);
    vh_store_release(&pool->head.generation, generation + 2);
}

static void table_remove(struct vh_pool *pool, const void *hva)
{
    struct vh_pool_range *ranges = pool->table->ranges;
    uint64_t generation = pool->head.generation;
    size_t i = 0;

    while (ranges[i].hva != (uintptr_t)hva) {
        i++;
    }
    VH_WRITE_ONCE(pool->head.generation, generation + 1);
    for (; i + 1 < pool->n; i++) {
        range_put(&ranges[i], &ranges[i + 1]);
    }
    vh_store_release(&pool->n, pool->n - 1);
    vh_store_release(&pool->head.generation, generation + 2);
}

/*
 * One attempt at a search.  The loads are acquires, so that the generation is
 * read again after all of them.  What a change under way leaves in the table
 * may mislead the search, but not out of the table: it never shrinks, and @n
 * is checked against it.
 */
static bool try_search(const struct vh_pool *pool, uint64_t hva,
                       struct vh_pool_range *found)
{
    size_t n = vh_load_acquire(&pool->n);
    const struct table *table = vh_load_acquire(&pool->table);
    size_t low = 0;

    if (!table) {
        return false;
    }
    if (n > table->capacity) {
        n = table->capacity;
    }
    while (low < n) { /* the first range that begins after hva */
        size_t middle = low + (n - low) / 2;

        if (vh_load_acquire(&table->ranges[middle].hva) > hva) {
            n = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == 0) {
        return false;
    }
    found->hva = vh_load_acquire(&table->ranges[low - 1].hva);
    found->size = vh_load_acquire(&table->ranges[low - 1].size);
    found->gpa = vh_load_acquire(&table->ranges[low - 1].gpa);
    return hva - found->hva < found->size;
}

bool vh_pool_search(const struct vh_pool *pool, struct vh_pool_hit *hit,
                    uint64_t hva)
{
    for (;; vh_cpu_relax()) {
        uint64_t before = vh_load_acquire(&pool->head.generation);
        struct vh_pool_range range;
        bool found;

        if (before & 1) {
            continue;
        }
        found = try_search(pool, hva, &range);
        if (VH_READ_ONCE(pool->head.generation) != before) {
            continue;
        }
        if (found) {
            hit->generation = before;
            hit->range = range;
        }
        return found;
    }
}

/* Does the range share a byte with a region of the pool? */
static bool overlaps(const struct vh_pool *pool, const void *hva, uint64_t size)
{
    uint64_t start = (uintptr_t)hva;

    for (const struct region *r = pool->regions; r; r = r->next) {
        uint64_t other = (uintptr_t)r->section.hva;

        if (start < other + r->section.size && other < start + size) {
            return true;
        }
    }
    return false;
}

/* Gives a region to the back end, then to the queue threads. */
static int region_publish(struct vh_pool *pool, struct region *region,
                          struct vhost_error **errp)
{
    struct vhost_memory_section *section = &region->section;
    uint64_t step =
        section->page_size > GPA_STEP ? section->page_size : GPA_STEP;
    int r = table_make_room(pool);

    if (r < 0) {
        return vh_error(errp, r, "add memory", VH_NO_QUEUE, "out of memory");
    }
    /* A device that is given more than it takes would be broken by it. */
    if (vh_memory_map_free_slots(pool->map) == 0) {
        return vh_error(errp, -ENOSPC, "add memory", VH_NO_QUEUE,
                        "the back end takes only %u memory regions",
                        vh_memory_map_max_slots(pool->map));
    }
    section->gpa = (pool->next_gpa + step - 1) & ~(step - 1);
    vhost_memory_begin(pool->map);
    r = vhost_memory_add(pool->map, section);
    if (r < 0) {
        vhost_memory_abort(pool->map);
        return vh_error(errp, r, "add memory", VH_NO_QUEUE,
                        "a region of %llu bytes is refused by the memory map",
                        (unsigned long long)section->size);
    }
    /* The map holds the region from now on, whether or not a device fails:
     * it must live as long as the pool. */
    pool->next_gpa = section->gpa + section->size + GPA_STEP;
    region->next = pool->regions;
    pool->regions = region;
    r = vhost_memory_commit(pool->map, errp);
    if (r == 0) {
        table_insert(pool, section);
        region->visible = true;
    }
    return r;
}

int vh_pool_reserve(struct vh_pool *pool, size_t size,
                    struct vhost_error **errp)
{
    struct region *region = calloc(1, sizeof(*region));
    int r;

    if (!region) {
        return vh_error(errp, -ENOMEM, "allocate memory", VH_NO_QUEUE,
                        "out of memory");
    }
    r = vhost_memory_alloc(&region->section,
                           size > pool->grow ? size : pool->grow,
                           pool->huge ? VHOST_MEMORY_HUGE : 0, errp);
    if (r < 0) {
        free(region);
        return r;
    }
    region->arena = vh_arena_new(region->section.hva, region->section.size);
    if (!region->arena) {
        r = vh_error(errp, -ENOMEM, "allocate memory", VH_NO_QUEUE,
                     "out of memory");
    } else {
        r = region_publish(pool, region, errp);
    }
    if (r < 0 && pool->regions != region) {
        vhost_memory_free(&region->section);
        vh_arena_free(region->arena);
        free(region);
    }
    return r;
}

void *vh_pool_alloc(struct vh_pool *pool, size_t size, size_t align)
{
    if (size == 0 || size > SIZE_MAX / 4) {
        return NULL;
    }
    for (struct region *r = pool->regions; r; r = r->next) {
        void *piece = r->arena && r->visible
                          ? vh_arena_alloc(r->arena, size, align)
                          : NULL;

        if (piece) {
            return piece;
        }
    }
    if (vh_pool_reserve(pool, size, NULL) < 0) {
        return NULL;
    }
    return vh_arena_alloc(pool->regions->arena, size, align);
}

void vh_pool_release(struct vh_pool *pool, void *piece)
{
    for (struct region *r = pool->regions; r && piece; r = r->next) {
        if (r->arena && vh_arena_owns(r->arena, piece)) {
            vh_arena_release(r->arena, piece);
            return;
        }
    }
}

int vh_pool_map(struct vh_pool *pool,
                const struct vhost_memory_section *brought,
                struct vhost_error **errp)
{
    struct vhost_memory_section section = *brought;
    struct region *region;
    int r = vh_brought_check(&section, errp);

    if (r < 0) {
        return r;
    }
    if (overlaps(pool, brought->hva, brought->size)) {
        return vh_error(errp, -EEXIST, "map", VH_NO_QUEUE,
                        "the back end sees part of that memory already");
    }
    region = calloc(1, sizeof(*region));
    if (!region) {
        return vh_error(errp, -ENOMEM, "map", VH_NO_QUEUE, "out of memory");
    }
    region->section = section;
    /* Our own: a back end without slots is sent it again and again, and the
     * program's may be another file by then. */
    region->section.fd = vh_fd_dup(section.fd);
    r = region->section.fd < 0
            ? vh_error(errp, region->section.fd, "dup", VH_NO_QUEUE,
                       "the memory's file, fd %d: %s", section.fd,
                       strerror(-region->section.fd))
            : region_publish(pool, region, errp);
    if (r < 0 && pool->regions != region) {
        region_free(region);
    }
    return r;
}

int vh_pool_unmap(struct vh_pool *pool, void *addr, struct vhost_error **errp)
{
    struct region **link = &pool->regions;
    struct region *region;
    int r;

    while (*link && ((*link)->arena || (*link)->section.hva != addr)) {
        link = &(*link)->next;
    }
    region = *link;
    if (!region) {
        return vh_error(errp, -ENOENT, "unmap", VH_NO_QUEUE,
                        "no memory was mapped at that address");
    }
    if (region->visible) {
        table_remove(pool, addr);
    }
    vhost_memory_begin(pool->map);
    r = vhost_memory_remove(pool->map, region->section.gpa,
                            region->section.size);
    if (r < 0) {
        vhost_memory_abort(pool->map);
        return vh_error(errp, r, "unmap", VH_NO_QUEUE,
                        "the memory map does not know the region");
    }
    r = vhost_memory_commit(pool->map, errp);
    *link = region->next;
    region_free(region);
    return r;
}
