/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests about memory.  No ring may run while memory goes: those that do
 * are stopped, their requests finished, and run again on what is there then.
 *
 * A table is whole; regions come and go one by one.  So a ring that does not
 * lie in a new table is a fault of the table, but one whose region has gone
 * may wait for the next: it runs once all its memory is there.
 */
#include "server/handlers.h"

#include <errno.h>

static int fill(struct vhost_server *srv, struct vh_memory *memory,
                const struct vh_msg *msg)
{
    const struct vh_mem_table *table = &msg->payload.table;

    for (uint32_t i = 0; i < table->n; i++) {
        int r = vh_memory_add(memory, &table->regions[i], msg->fds[i],
                              &srv->session.why);

        if (r < 0) {
            return r;
        }
    }
    for (unsigned i = 0; i < memory->n; i++) {
        int r = vh_server_postcopy_add(srv, &memory->mappings[i]);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* A table that is refused leaves the old one in place. */
int vh_on_set_mem_table(struct vhost_server *srv, struct vh_msg *msg,
                        struct vh_msg *reply)
{
    const struct vh_mem_table *table = &msg->payload.table;
    struct vh_memory memory = { .n = 0 };
    int r;

    (void)reply;
    if (msg->size != offsetof(struct vh_mem_table, regions) +
                         table->n * sizeof(table->regions[0])) {
        srv->session.why = "regions of another layout";
        return -EINVAL;
    }
    r = fill(srv, &memory, msg);
    if (r < 0) {
        vh_memory_clear(&memory);
        return r;
    }
    vh_server_stop_queues(srv);
    vh_iommu_forget(srv);
    vh_memory_clear(&srv->memory);
    srv->memory = memory;
    if (srv->postcopy.listening) {
        return vh_server_postcopy_answer(srv, msg);
    }
    vh_server_restart_queues(srv);
    return 0;
}

int vh_on_get_max_mem_slots(struct vhost_server *srv, struct vh_msg *msg,
                            struct vh_msg *reply)
{
    (void)srv;
    vh_msg_init_u64(reply, msg->request, VH_SERVER_SLOTS);
    return 0;
}

/* The region that was just mapped is to come page by page. */
static int add_absent(struct vhost_server *srv, const struct vh_msg *msg)
{
    const struct vh_mem_region *region = &msg->payload.region.region;
    const struct vh_mapping *mapping = srv->memory.mappings;
    int r;

    while (mapping->region.gpa != region->gpa) {
        mapping++;
    }
    r = vh_server_postcopy_add(srv, mapping);
    if (r < 0) {
        vh_memory_remove(&srv->memory, region);
        return r;
    }
    return vh_server_postcopy_answer(srv, msg);
}

int vh_on_add_mem_reg(struct vhost_server *srv, struct vh_msg *msg,
                      struct vh_msg *reply)
{
    int r;

    (void)reply;
    if (msg->size != sizeof(msg->payload.region)) {
        srv->session.why = "a region of Xen, which was not negotiated";
        return -EINVAL;
    }
    r = vh_memory_add(&srv->memory, &msg->payload.region.region, msg->fds[0],
                      &srv->session.why);
    if (r == 0 && srv->postcopy.listening) {
        return add_absent(srv, msg);
    }
    if (r == 0) {
        vh_server_restart_queues(srv);
    }
    return r;
}

int vh_on_rem_mem_reg(struct vhost_server *srv, struct vh_msg *msg,
                      struct vh_msg *reply)
{
    int r;

    (void)reply;
    vh_server_stop_queues(srv);
    vh_iommu_forget(srv);
    r = vh_memory_remove(&srv->memory, &msg->payload.region.region);
    vh_server_restart_queues(srv);
    return r;
}
