/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device as a listener of its memory map.
 *
 * From the map's sections comes the table of this back end; a change that
 * leaves the table as it was ends here.  A device that is not started only
 * keeps the table for its next start: the rings of its back end are stopped,
 * and a stopped back end touches no memory; but one that holds memory all the
 * same is told at once, and so is one in the middle of a start.  If it can't,
 * it does not start before a later change fits.  A started one sends it, and
 * returns when the back end has let go of what is gone.
 *
 * If that fails nobody knows what the back end still has: the device is
 * broken, and until its cleanup the map holds the old sections for it.  A
 * device whose back end is gone lets go of all but its rings: where it stood
 * is read from them at the stop.
 */
#include "core/log.h"

#include <errno.h>
#include <stdlib.h>

#include "backend/ops.h"
#include "mem/table.h"
#include "util/error.h"

struct table {
    struct vhost_memory_section *sections;
    size_t n;
    struct vhost_memory *mem; /* the same in the kernel's terms */
};

static struct vhost_dev *device_of(struct vh_mem_listener *listener)
{
    struct vhost_dev_priv *priv =
        (struct vhost_dev_priv *)((char *)listener -
                                  offsetof(struct vhost_dev_priv, listener));

    return priv->dev;
}

static struct table current(const struct vhost_dev *dev)
{
    return (struct table){ .sections = dev->mem_sections,
                           .n = (size_t)dev->n_mem_sections,
                           .mem = dev->mem };
}

static void adopt(struct vhost_dev *dev, const struct table *table)
{
    dev->mem_sections = table->sections;
    dev->n_mem_sections = (int)table->n;
    dev->mem = table->mem;
}

static void drop(struct table *table)
{
    free(table->sections);
    free(table->mem);
}

/*
 * A table that was gives its memory to the one after the next: else each
 * change would have the heap shrink and grow, which costs more than the rest.
 */
static void retire(struct vhost_dev *dev, struct table *table)
{
    struct table spare = { .sections = dev->priv->spare_sections,
                           .mem = dev->priv->spare_mem };

    dev->priv->spare_sections = table->sections;
    dev->priv->spare_mem = table->mem;
    drop(&spare);
}

static struct table take_spare(struct vhost_dev *dev)
{
    struct table table = { .sections = dev->priv->spare_sections,
                           .mem = dev->priv->spare_mem };

    dev->priv->spare_sections = NULL;
    dev->priv->spare_mem = NULL;
    return table;
}

static int in_kernel_terms(struct table *table)
{
    size_t room = (table->n | 31) + 1;
    struct vhost_memory *mem =
        realloc(table->mem, sizeof(*mem) + room * sizeof(mem->regions[0]));

    if (!mem) {
        return -ENOMEM;
    }
    table->mem = mem;
    mem->nregions = (uint32_t)table->n;
    mem->padding = 0;
    for (size_t i = 0; i < table->n; i++) {
        /* The kernel refuses a flags_padding of anything but 0. */
        mem->regions[i] = (struct vhost_memory_region){
            .guest_phys_addr = table->sections[i].gpa,
            .memory_size = table->sections[i].size,
            .userspace_addr = (uint64_t)(uintptr_t)table->sections[i].hva,
        };
    }
    return 0;
}

static int build(struct vhost_dev *dev, struct table *table,
                 const struct vhost_memory_section *sections, size_t n,
                 struct vhost_error **errp)
{
    bool shared = vh_be_no_private_memslots(dev);
    const struct vh_mem_rules rules = { .shared_file_only = shared,
                                        .align_to_page = shared };
    unsigned limit = vh_be_memslots_limit(dev);
    int r = vh_mem_table_build(&table->sections, &table->n, sections, n, &rules,
                               errp);

    if (r == 0 && table->n > limit) {
        r = vh_error(errp, -ENOSPC, "memory table", VH_NO_QUEUE,
                     "the memory has %zu regions, the back end takes %u",
                     table->n, limit);
    }
    if (r == 0 && in_kernel_terms(table) < 0) {
        r = vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    if (r < 0) {
        drop(table);
    }
    return r;
}

/* One area of a running ring: it must stay where the back end has it. */
static int check_area(const struct table *table, unsigned queue,
                      const char *what, const void *was, uint64_t gpa,
                      uint64_t size, struct vhost_error **errp)
{
    const void *now = vh_queue_translate(table->sections, table->n, gpa, size);

    if (!now) {
        return vh_error(errp, -ENOMEM, "memory table", (int)queue,
                        "the %s area of running queue %u is no longer in "
                        "memory",
                        what, queue);
    }
    if (now != was) {
        return vh_error(errp, -EBUSY, "memory table", (int)queue,
                        "the %s area of running queue %u has moved", what,
                        queue);
    }
    return 0;
}

static int check_rings(const struct vhost_dev *dev, const struct table *table,
                       struct vhost_error **errp)
{
    for (unsigned i = 0; i < dev->nvqs; i++) {
        const struct vhost_virtqueue *vq = &dev->vqs[i];
        unsigned queue = (unsigned)dev->vq_index + i;
        int r;

        if (!vq->started || dev->priv->iommu) {
            continue; /* or it is elsewhere already, in the guest's eyes */
        }
        r = check_area(table, queue, "descriptor", vq->desc, vq->desc_phys,
                       vq->desc_size, errp);
        if (r == 0) {
            r = check_area(table, queue, "driver", vq->avail, vq->avail_phys,
                           vq->avail_size, errp);
        }
        if (r == 0) {
            r = check_area(table, queue, "device", vq->used, vq->used_phys,
                           vq->used_size, errp);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Gives the table that was adopted to a running back end. */
static int deliver(struct vhost_dev *dev, struct vhost_error **errp)
{
    int r;

    vh_core_enter(dev);
    r = vh_be_set_mem_table(dev, dev->mem);
    if (r == 0) {
        r = vh_be_sync(dev);
    }
    if (r < 0) {
        vh_core_fault(dev, r);
        vh_core_start_fails(dev, r);
        vh_error_copy(errp, vhost_dev_get_error(dev));
    }
    return r;
}

/* The table was posted by the one who began it. */
static int move_memory(struct vhost_dev *dev)
{
    if (dev->priv->op.cancelled) {
        vh_core_fault(dev, -ENOTCONN); /* nobody is asked any more */
    }
    return vh_core_talks(dev) ? vh_core_fault(dev, vh_core_settle(dev)) : 0;
}

static bool has_successor(const struct vhost_dev *dev)
{
    return dev->state == VHOST_DEV_LOST && dev->priv->reconnect.on;
}

static void break_started(struct vhost_dev *dev)
{
    if (dev->started && vh_core_talks(dev)) {
        VH_WRITE_ONCE(dev->state, VHOST_DEV_BROKEN);
    }
}

/*
 * It did not go well: what the back end has now nobody knows.  But if it is
 * lost and will have a successor, that one is to get what the map has now.
 * Return: what stands in the way of the next start.
 */
static int take_back(struct vhost_dev *dev, struct table *old, int r)
{
    struct table next = current(dev);

    if (has_successor(dev)) {
        drop(old);
        return 0;
    }
    adopt(dev, old);
    drop(&next);
    break_started(dev);
    return r;
}

static void memory_done(struct vhost_dev *dev, int r, void *opaque)
{
    struct table *replaced = opaque;

    if (r == -ECANCELED) {
        r = 0; /* it is lost, and so has let go */
    }
    if (r < 0) {
        dev->priv->memory = take_back(dev, replaced, r);
    } else {
        retire(dev, replaced);
    }
    free(replaced);
    vh_memory_map_committed(dev->map, &dev->priv->listener, r,
                            vhost_dev_get_error(dev));
}

/* Return: -EINPROGRESS, or why it could not be begun; then @old is as it was
 * given, and what was adopted stays so. */
static int deliver_later(struct vhost_dev *dev, const struct table *old,
                         struct vhost_error **errp)
{
    struct table *replaced = malloc(sizeof(*replaced));
    int r;

    if (!replaced) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    vh_core_enter(dev);
    r = vh_be_set_mem_table(dev, dev->mem);
    if (r < 0) {
        free(replaced);
        vh_core_fault(dev, r);
        vh_error_copy(errp, vhost_dev_get_error(dev));
        return r;
    }
    *replaced = *old;
    vh_core_op_begin(dev, move_memory, memory_done, replaced);
    return -EINPROGRESS;
}

/* May the back end use what is in the map now? */
static bool has_table(struct vhost_dev *dev)
{
    return dev->started || vh_core_is_starting(dev) || vh_be_keeps_memory(dev);
}

static int commit_table(struct vhost_dev *dev, struct table *next, bool later,
                        struct vhost_error **errp)
{
    struct table old = current(dev);
    int r = 0;

    if (dev->mem &&
        vh_mem_table_same(old.sections, old.n, next->sections, next->n)) {
        /* To a back end; but our own addresses may differ in what it can't
         * see, such as flags: the newer words are the truer ones. */
        adopt(dev, next);
        retire(dev, &old);
        dev->priv->memory = 0;
        return 0;
    }
    if (dev->started || vh_core_is_starting(dev)) {
        r = check_rings(dev, next, errp);
    }
    dev->priv->memory = r;
    if (r < 0) {
        drop(next);
        break_started(dev);
        return r;
    }
    adopt(dev, next);
    if (has_table(dev) && vh_core_talks(dev)) {
        r = later && !dev->priv->op.move ? deliver_later(dev, &old, errp)
                                         : deliver(dev, errp);
    }
    if (r == -EINPROGRESS) {
        return r; /* and old is kept there */
    }
    if (r < 0) {
        dev->priv->memory = take_back(dev, &old, r);
        return r;
    }
    retire(dev, &old);
    return 0;
}

static int take_up(struct vh_mem_listener *listener,
                   const struct vhost_memory_section *sections, size_t n,
                   bool later, struct vhost_error **errp)
{
    struct vhost_dev *dev = device_of(listener);
    struct table next;
    int r;

    if (dev->state == VHOST_DEV_BROKEN) {
        return vh_error(errp, -EPROTO, "memory table", VH_NO_QUEUE,
                        "the device is broken: its back end may still use the "
                        "old memory");
    }
    next = take_spare(dev);
    r = build(dev, &next, sections, n, errp);
    if (r == 0) {
        r = commit_table(dev, &next, later, errp);
    } else {
        dev->priv->memory = r;
        break_started(dev);
    }
    return r;
}

static int commit(struct vh_mem_listener *listener,
                  const struct vhost_memory_section *sections, size_t n,
                  struct vhost_error **errp)
{
    return take_up(listener, sections, n, false, errp);
}

static int commit_later(struct vh_mem_listener *listener,
                        const struct vhost_memory_section *sections, size_t n,
                        struct vhost_error **errp)
{
    return take_up(listener, sections, n, true, errp);
}

static unsigned slot_limit(struct vh_mem_listener *listener)
{
    return vh_be_memslots_limit(device_of(listener));
}

static unsigned slots_used(struct vh_mem_listener *listener)
{
    return (unsigned)device_of(listener)->n_mem_sections;
}

static const struct vh_mem_listener_ops listener_ops = {
    .commit = commit,
    .commit_later = commit_later,
    .slot_limit = slot_limit,
    .slots_used = slots_used,
    .log = vh_core_log_changed,
    .log_later = vh_core_log_changed_later,
    .log_blocker = vh_core_log_blocker,
};

int vh_core_memory_attach(struct vhost_dev *dev)
{
    struct vhost_error *error = NULL;
    int r;

    if (!dev->map) {
        return 0;
    }
    dev->priv->listener.ops = &listener_ops;
    r = vh_memory_map_attach(dev->map, &dev->priv->listener, &error);
    dev->priv->attached = r == 0;
    vh_be_take_error(dev, &error);
    return r;
}

void vh_core_memory_detach(struct vhost_dev *dev)
{
    struct table table = current(dev);

    if (dev->priv->attached) {
        vh_core_log_release(dev);
        vh_memory_map_detach(dev->map, &dev->priv->listener);
        dev->priv->attached = false;
    }
    drop(&table);
    adopt(dev, &(struct table){ .sections = NULL });
    table = take_spare(dev);
    drop(&table);
}
