/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the device shares: vhost-user specification,
 * "VHOST_USER_GET_SHARED_OBJECT" and "VHOST_USER_GET_SHMEM_CONFIG".
 *
 * Some front ends leave the UUID out: they are told that there is no such
 * object, as they would be of any other that is not there.
 */
#include "server/handlers.h"

/* The fd is the device's, and lasts longer than it takes to send it. */
int vh_on_get_shared_object(struct vhost_server *srv, struct vh_msg *msg,
                            struct vh_msg *reply)
{
    struct vhost_server_device *device = srv->device;
    int fd = -1;

    vh_msg_init(reply, msg->request);
    if (device->share && msg->size == sizeof(msg->payload.uuid)) {
        fd = device->share->object(device, msg->payload.uuid);
    }
    if (fd >= 0) {
        reply->fds[0] = fd;
        reply->n_fds = 1;
    }
    return 0;
}

int vh_on_get_shmem_config(struct vhost_server *srv, struct vh_msg *msg,
                           struct vh_msg *reply)
{
    struct vhost_server_device *device = srv->device;
    struct vh_shmem_config *config = &reply->payload.shmem;

    vh_msg_init(reply, msg->request);
    reply->size = sizeof(*config);
    for (unsigned id = 0; device->share && id < VH_SHMEM_REGIONS; id++) {
        config->sizes[id] = device->share->shmem_size(device, (uint8_t)id);
        config->n += config->sizes[id] != 0;
    }
    return 0;
}
