/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests about memory.  No ring may run while memory goes: those that do
 * are stopped, and run again on what is there then.
 *
 * A table is whole; regions come and go one by one.  So a ring that does not
 * lie in a new table is a fault of the table, but one whose region has gone
 * may wait for the next: it runs once all its memory is there.
 */
#include "server/server.h"

#include <errno.h>

/* Those whose rings are still in memory run again. */
static int restart_queues(struct vhost_server *srv)
{
    int first = 0;

    for (unsigned i = 0; i < srv->n_queues; i++) {
        int r = vh_squeue_start(&srv->queues[i]);

        first = first ? first : r;
    }
    return first;
}

int vh_on_set_mem_table(struct vhost_server *srv, struct vh_msg *msg,
                        struct vh_msg *reply)
{
    const struct vh_mem_table *table = &msg->payload.table;

    (void)reply;
    /* The long form of XEN_MMAP, which is not offered. */
    if (msg->size != 8 + table->n * sizeof(table->regions[0])) {
        return -EINVAL;
    }
    vh_server_stop_queues(srv);
    vh_memory_clear(&srv->memory);
    for (uint32_t i = 0; i < table->n; i++) {
        int r = vh_memory_add(&srv->memory, &table->regions[i], msg->fds[i]);

        if (r < 0) {
            vh_memory_clear(&srv->memory);
            return r;
        }
    }
    return restart_queues(srv);
}

int vh_on_get_max_mem_slots(struct vhost_server *srv, struct vh_msg *msg,
                            struct vh_msg *reply)
{
    (void)srv;
    vh_msg_init_u64(reply, msg->request, VH_SERVER_SLOTS);
    return 0;
}

int vh_on_add_mem_reg(struct vhost_server *srv, struct vh_msg *msg,
                      struct vh_msg *reply)
{
    int r;

    (void)reply;
    if (msg->size != sizeof(msg->payload.region)) {
        return -EINVAL;
    }
    r = vh_memory_add(&srv->memory, &msg->payload.region.region, msg->fds[0]);
    if (r == 0) {
        restart_queues(srv);
    }
    return r;
}

int vh_on_rem_mem_reg(struct vhost_server *srv, struct vh_msg *msg,
                      struct vh_msg *reply)
{
    int r;

    (void)reply;
    vh_server_stop_queues(srv);
    r = vh_memory_remove(&srv->memory, &msg->payload.region.region);
    restart_queues(srv);
    return r;
}
