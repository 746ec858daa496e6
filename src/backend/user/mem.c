/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory table: vhost-user specification, "Memory region description" and
 * "Multiple memory regions" of CONFIGURE_MEM_SLOTS.
 *
 * A back end without slots gets its whole table at once, eight regions at
 * most.  One with slots is told what changed: first what goes, then what
 * comes, so that it never has two regions at one address, nor more than it
 * has slots.  All of it is posted and acknowledged together.
 *
 * For that this side keeps a copy of what the back end has (@mem).  It is
 * ahead of the back end between post and ack; a refused change makes it
 * wrong.  Then nobody knows what the back end maps, and since a guest's
 * memory may be freed on the strength of it, the device is broken for good.
 *
 * The user address of a region is its guest-physical address: a back end
 * needs it only to translate the ring addresses, which are guest-physical
 * too (queue.c).  That is what GPA_ADDRESSES makes a rule; back ends without
 * it hold whatever they are told for user addresses.  Only an owner who asks
 * for it has the addresses of this process told.
 *
 * In postcopy each request is answered by the same with the back end's own
 * addresses, and these answers together by a word of ours: from then on it may
 * touch the memory (postcopy.c).
 */
#include "backend/user/postcopy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vhost_types.h>

#include "mem/table.h"
#include "util/atomic.h"
#include "util/error.h"

/* Another region behind what the message has, in the layout of the peer. */
static void add_region(const struct vhost_user *user, struct vh_msg *msg,
                       const struct vhost_memory_section *s)
{
    struct vh_mem_region_xen region = {
        .region = {
            .gpa = s->gpa,
            .size = s->size,
            .user_addr = vh_user_section_addr(user, s),
            .mmap_offset = s->fd_offset,
        },
        .flags = s->xen_flags,
        .domid = s->xen_domid,
    };
    uint32_t size = vh_user_has(user, VH_PF_XEN_MMAP) ? sizeof(region)
                                                      : sizeof(region.region);

    memcpy(msg->payload.raw + msg->size, &region, size);
    msg->size += size;
}

void vh_user_forget_mem(struct vhost_user *user)
{
    free(user->mem);
    user->mem = NULL;
    user->n_mem = 0;
    user->mem_unknown = false;
}

static void lose_track(struct vhost_user *user)
{
    user->mem_unknown = true;
    VH_WRITE_ONCE(user->dev->state, VHOST_DEV_BROKEN);
}

static int slot_answered(struct vhost_user *user, int result,
                         const struct vh_msg *reply, struct vhost_error **errp)
{
    (void)reply;
    (void)errp;
    if (result == -EREMOTEIO) {
        lose_track(user);
    }
    return result;
}

/* Posts a request, waits for its answer, and keeps the addresses in it. */
static int ask_addresses(struct vhost_user *user, const struct vh_msg *msg,
                         struct vhost_error **errp)
{
    struct vh_msg reply;
    int r = vh_user_call(user, msg, VH_NO_QUEUE, &reply, errp);

    if (r < 0) {
        return r;
    }
    if (msg->request == VH_ADD_MEM_REG) {
        return vh_user_postcopy_memory(user, &msg->payload.region.region,
                                       &reply.payload.region.region, 1, false,
                                       errp);
    }
    if (reply.size != msg->size ||
        reply.payload.table.n != msg->payload.table.n) {
        return vh_error(errp, -EPROTO, "SET_MEM_TABLE", VH_NO_QUEUE,
                        "%s: a table of %" PRIu32 " regions was answered by "
                        "one of %" PRIu32,
                        user->name, msg->payload.table.n,
                        reply.payload.table.n);
    }
    return vh_user_postcopy_memory(user, msg->payload.table.regions,
                                   reply.payload.table.regions,
                                   msg->payload.table.n, true, errp);
}

/* The addresses are known: now it may touch what is behind them. */
static int post_go_ahead(struct vhost_user *user, uint32_t request,
                         struct vhost_error **errp)
{
    struct vh_msg msg;
    int r;

    vh_msg_init_u64(&msg, request, 0);
    r = vh_chan_post(user->chan, &msg, VH_EXPECT_NOTHING, VH_PATIENCE_SHORT,
                     VH_NO_QUEUE, NULL, NULL);
    return r < 0 ? vh_error(errp, r, vh_msg_name(VH_FROM_FRONT, request),
                            VH_NO_QUEUE, "%s: can't queue the go-ahead",
                            user->name)
                 : 0;
}

/* What the walk over old and new table carries along. */
struct change {
    struct vhost_user *user;
    struct vhost_error **errp;
    bool added; /* anything */
};

static int post_slot(const struct change *change, uint32_t request,
                     const struct vhost_memory_section *section)
{
    struct vh_msg msg;

    vh_msg_init(&msg, request);
    msg.size = offsetof(struct vh_single_region, region);
    msg.payload.region.padding = 0;
    add_region(change->user, &msg, section);
    if (request == VH_ADD_MEM_REG) {
        msg.n_fds = 1;
        msg.fds[0] = section->fd;
    }
    if (change->user->listening && request == VH_ADD_MEM_REG) {
        return ask_addresses(change->user, &msg, change->errp);
    }
    if (change->user->listening) {
        vh_user_postcopy_forget(change->user, section->gpa);
    }
    return vh_user_post(change->user, &msg, VH_NO_QUEUE, slot_answered,
                        change->errp);
}

static int remove_slot(const struct vhost_memory_section *section, void *arg)
{
    return post_slot(arg, VH_REM_MEM_REG, section);
}

static int add_slot(const struct vhost_memory_section *section, void *arg)
{
    struct change *change = arg;

    change->added = true;
    return post_slot(arg, VH_ADD_MEM_REG, section);
}

static int set_by_slots(struct vhost_user *user,
                        const struct vhost_memory_section *table, size_t n,
                        struct vhost_error **errp)
{
    struct change change = { .user = user, .errp = errp };
    struct vhost_memory_section *copy;
    int r;

    if (user->mem_unknown) {
        return vh_error(errp, -EPROTO, "ADD_MEM_REG", VH_NO_QUEUE,
                        "%s: the back end refused a change of memory before, "
                        "so what it has is not known",
                        user->name);
    }
    copy = calloc(n ? n : 1, sizeof(*copy));
    if (!copy) {
        return vh_error(errp, -ENOMEM, "ADD_MEM_REG", VH_NO_QUEUE,
                        "%s: out of memory", user->name);
    }
    if (n > 0) {
        memcpy(copy, table, n * sizeof(*copy));
    }
    r = vh_mem_table_diff(user->mem, user->n_mem, copy, n, remove_slot,
                          add_slot, &change);
    free(user->mem);
    user->mem = copy;
    user->n_mem = n;
    if (r == 0 && user->listening && change.added) {
        r = post_go_ahead(user, VH_ADD_MEM_REG, errp);
    }
    if (r < 0) {
        lose_track(user); /* a part of the change is on its way */
    }
    return r;
}

static int set_by_table(struct vhost_user *user,
                        const struct vhost_memory_section *table, size_t n,
                        struct vhost_error **errp)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_MEM_TABLE);
    msg.payload.table.n = (uint32_t)n;
    msg.payload.table.padding = 0;
    msg.size = offsetof(struct vh_mem_table, regions);
    for (size_t i = 0; i < n; i++) {
        add_region(user, &msg, &table[i]);
        msg.fds[i] = table[i].fd;
    }
    msg.n_fds = (unsigned)n;
    if (user->listening) {
        int r = ask_addresses(user, &msg, errp);

        return r < 0 ? r : post_go_ahead(user, VH_SET_MEM_TABLE, errp);
    }
    return vh_user_post(user, &msg, VH_NO_QUEUE, NULL, errp);
}

static int check(const struct vhost_user *user,
                 const struct vhost_memory_section *table, size_t n,
                 struct vhost_error **errp)
{
    if (n > user->max_slots) {
        return vh_error(errp, -ENOSPC, "SET_MEM_TABLE", VH_NO_QUEUE,
                        "%s: %zu memory regions, the back end takes %" PRIu64,
                        user->name, n, user->max_slots);
    }
    for (size_t i = 0; i < n; i++) {
        if (table[i].fd < 0) {
            return vh_error(errp, -EINVAL, "SET_MEM_TABLE", VH_NO_QUEUE,
                            "%s: the memory at 0x%" PRIx64
                            " has no file that can be shared",
                            user->name, table[i].gpa);
        }
    }
    return 0;
}

int vh_user_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem)
{
    const struct vhost_memory_section *table = dev->mem_sections;
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    size_t n = mem->nregions;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    r = check(user, table, n, &err);
    if (r == 0) {
        r = vh_user_has(user, VH_PF_CONFIGURE_MEM_SLOTS)
                ? set_by_slots(user, table, n, &err)
                : set_by_table(user, table, n, &err);
    }
    return vh_user_leave(user, r, &err);
}

unsigned vh_user_memslots_limit(struct vhost_dev *dev)
{
    const struct vhost_user *user = dev->opaque;

    return (unsigned)user->max_slots;
}
