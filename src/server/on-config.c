/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests about the device as a whole: features, configuration, status. */
#include "server/handlers.h"

#include <errno.h>
#include <linux/vhost_types.h>

#define STATUS_FEATURES_OK 8
#define LOG_ALL (UINT64_C(1) << VHOST_F_LOG_ALL)
#define PACKED (UINT64_C(1) << VH_RING_F_PACKED)

int vh_on_get_features(struct vhost_server *srv, struct vh_msg *msg,
                       struct vh_msg *reply)
{
    vh_msg_init_u64(reply, msg->request, vh_server_features(srv));
    return 0;
}

/* Those of one layout mean nothing in the other. */
static void forget_bases(struct vhost_server *srv)
{
    for (unsigned i = 0; i < srv->n_queues; i++) {
        srv->queues[i].has_base = false;
    }
}

int vh_on_set_features(struct vhost_server *srv, struct vh_msg *msg,
                       struct vh_msg *reply)
{
    uint64_t features = msg->payload.u64;

    (void)reply;
    srv->session.refused = (features & ~vh_server_features(srv)) != 0;
    if (srv->session.refused) {
        srv->session.why = "features that were not offered";
        return -EINVAL;
    }
    if (features != srv->session.features) {
        /* They shape the rings; and what is under way is not logged. */
        vh_server_stop_queues(srv);
        if (!srv->transfer.loaded &&
            (features ^ srv->session.features) != LOG_ALL) {
            vh_server_reset_device(srv); /* else what a driver told is new */
        }
    }
    if ((features ^ srv->session.features) & PACKED) {
        forget_bases(srv);
    }
    srv->session.features = features;
    if (!vh_server_has_iommu(srv)) {
        vh_iommu_forget(srv);
    }
    /* "Ring states": without the bit all rings are enabled. */
    for (unsigned i = 0; i < srv->n_queues; i++) {
        srv->queues[i].enabled |= !(features & VH_F_PROTOCOL_FEATURES);
    }
    vh_server_restart_queues(srv);
    return 0;
}

int vh_on_set_owner(struct vhost_server *srv, struct vh_msg *msg,
                    struct vh_msg *reply)
{
    (void)srv;
    (void)msg;
    (void)reply;
    return 0;
}

int vh_on_reset_owner(struct vhost_server *srv, struct vh_msg *msg,
                      struct vh_msg *reply)
{
    (void)msg;
    (void)reply;
    vh_server_unkick_queues(srv);
    return 0;
}

int vh_on_get_protocol_features(struct vhost_server *srv, struct vh_msg *msg,
                                struct vh_msg *reply)
{
    vh_msg_init_u64(reply, msg->request, vh_server_protocol_features(srv));
    return 0;
}

int vh_on_set_protocol_features(struct vhost_server *srv, struct vh_msg *msg,
                                struct vh_msg *reply)
{
    (void)reply;
    if (msg->payload.u64 & ~vh_server_protocol_features(srv)) {
        srv->session.fault = "protocol features that were not offered";
        return -EPROTO;
    }
    srv->session.protocol = msg->payload.u64;
    return 0;
}

int vh_on_get_queue_num(struct vhost_server *srv, struct vh_msg *msg,
                        struct vh_msg *reply)
{
    vh_msg_init_u64(reply, msg->request, srv->device->n_queues_told);
    return 0;
}

int vh_on_get_config(struct vhost_server *srv, struct vh_msg *msg,
                     struct vh_msg *reply)
{
    const struct vh_config *asked = &msg->payload.config;
    struct vh_config *config = &reply->payload.config;
    uint8_t all[VH_CONFIG_MAX];

    vh_msg_init(reply, msg->request);
    if (asked->size > VH_CONFIG_MAX ||
        asked->offset > VH_CONFIG_MAX - asked->size) {
        return 0; /* a reply without bytes says no */
    }
    srv->device->ops->get_config(srv->device, all, sizeof(all));
    config->offset = asked->offset;
    config->size = asked->size;
    config->flags = 0;
    for (uint32_t i = 0; i < asked->size; i++) {
        config->data[i] = all[asked->offset + i];
    }
    reply->size = (uint32_t)offsetof(struct vh_config, data) + asked->size;
    return 0;
}

int vh_on_set_config(struct vhost_server *srv, struct vh_msg *msg,
                     struct vh_msg *reply)
{
    (void)msg;
    (void)reply;
    srv->session.why = "nothing in it can be written";
    return -ENOTSUP;
}

int vh_on_set_status(struct vhost_server *srv, struct vh_msg *msg,
                     struct vh_msg *reply)
{
    (void)reply;
    if (msg->payload.u64 > UINT8_MAX) {
        return -EINVAL;
    }
    srv->session.status = (uint8_t)msg->payload.u64;
    if (srv->session.status == 0) {
        vh_server_unkick_queues(srv); /* virtio 1.3, 2.1: a reset */
        srv->session.refused = false;
    }
    return 0;
}

int vh_on_get_status(struct vhost_server *srv, struct vh_msg *msg,
                     struct vh_msg *reply)
{
    uint8_t status = srv->session.status;

    if (srv->session.refused) {
        status &= (uint8_t)~STATUS_FEATURES_OK; /* virtio 1.3, 3.1.1, step 6 */
    }
    vh_msg_init_u64(reply, msg->request, status);
    return 0;
}

/* The rings keep what they were told, but are stopped and disabled. */
int vh_on_reset_device(struct vhost_server *srv, struct vh_msg *msg,
                       struct vh_msg *reply)
{
    (void)msg;
    (void)reply;
    vh_transfer_cancel(srv);
    vh_server_unkick_queues(srv);
    for (unsigned i = 0; i < srv->n_queues; i++) {
        srv->queues[i].enabled =
            !(srv->session.features & VH_F_PROTOCOL_FEATURES);
        srv->queues[i].has_base = false;
    }
    srv->session.status = 0;
    srv->session.refused = false;
    return 0;
}

/* Without acknowledgement: what can be done for the guest is done. */
int vh_on_send_rarp(struct vhost_server *srv, struct vh_msg *msg,
                    struct vh_msg *reply)
{
    (void)reply;
    srv->device->ops->announce(srv->device, msg->payload.raw);
    return 0;
}

int vh_on_net_set_mtu(struct vhost_server *srv, struct vh_msg *msg,
                      struct vh_msg *reply)
{
    (void)reply;
    srv->session.why = srv->device->ops->set_mtu(srv->device, msg->payload.u64);
    return srv->session.why ? -EINVAL : 0;
}
