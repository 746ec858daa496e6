/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration space of a network device (virtio 1.3, 5.1.4).  A field
 * counts only with its feature.  A back end need not have a configuration
 * space at all: in vhost-user it is the front end's, unless the back end
 * offers VHOST_USER_PROTOCOL_F_CONFIG.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <linux/virtio_net.h>

#include "driver/net.h"
#include "util/error.h"

/* As virtio 1.3 has it; headers differ in what follows. */
struct config {
    uint8_t mac[6];
    uint16_t status;
    uint16_t max_virtqueue_pairs;
    uint16_t mtu;
    uint32_t speed;
    uint8_t duplex;
} __attribute__((packed));

static_assert(offsetof(struct config, duplex) == 16, "virtio 1.3, 5.1.4");

/* How much of it the features give a meaning to: never ask for more. */
static uint32_t config_len(const struct vh_device *device)
{
    if (vh_device_has(device, VIRTIO_NET_F_SPEED_DUPLEX)) {
        return sizeof(struct config);
    }
    if (vh_device_has(device, VIRTIO_NET_F_MTU)) {
        return offsetof(struct config, speed);
    }
    if (vh_device_has(device, VIRTIO_NET_F_MQ)) {
        return offsetof(struct config, mtu);
    }
    if (vh_device_has(device, VIRTIO_NET_F_STATUS)) {
        return offsetof(struct config, max_virtqueue_pairs);
    }
    return vh_device_has(device, VIRTIO_NET_F_MAC)
               ? offsetof(struct config, status)
               : 0;
}

static void take_status(struct vhost_net_info *info, uint16_t status)
{
    info->link_up = status & VIRTIO_NET_S_LINK_UP;
    info->announce = status & VIRTIO_NET_S_ANNOUNCE;
}

static void take(struct vhost_net_info *info, const struct vh_device *device,
                 const struct config *config)
{
    if (vh_device_has(device, VIRTIO_NET_F_MAC)) {
        info->has_mac = true;
        memcpy(info->mac, config->mac, sizeof(info->mac));
    }
    if (vh_device_has(device, VIRTIO_NET_F_STATUS)) {
        take_status(info, le16toh(config->status));
    }
    if (vh_device_has(device, VIRTIO_NET_F_MQ)) {
        info->max_pairs = le16toh(config->max_virtqueue_pairs);
    }
    if (vh_device_has(device, VIRTIO_NET_F_MTU)) {
        info->mtu = le16toh(config->mtu);
    }
    if (vh_device_has(device, VIRTIO_NET_F_SPEED_DUPLEX)) {
        info->speed = le32toh(config->speed);
    }
}

int vh_net_read_config(struct vhost_net_device *net, struct vhost_error **errp)
{
    struct vh_device *device = &net->device;
    struct vhost_net_info *info = &net->info;
    struct config config = { .status = 0 };
    uint32_t len = config_len(device);
    int r;

    info->link_up = true;
    info->speed = UINT32_MAX;
    info->max_pairs = (unsigned)device->dev.max_queues;
    if (info->max_pairs < net->options.pairs) {
        info->max_pairs = net->options.pairs;
    }
    if (len == 0 || !vh_device_has_config(device)) {
        return 0;
    }
    r = vhost_dev_get_config(&device->dev, (uint8_t *)&config, len, errp);
    if (r < 0) {
        return r;
    }
    take(info, device, &config);
    if (info->max_pairs < net->options.pairs) {
        return vh_error(errp, -EPROTO, "GET_CONFIG", VH_NO_QUEUE,
                        "the device says it has %u queue pairs, and took %u",
                        info->max_pairs, net->options.pairs);
    }
    return 0;
}
