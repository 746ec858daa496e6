/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Feature bits by name, from virtio 1.3: 6 "Reserved Feature Bits" for those
 * of every device, and for each type of device "Feature bits" of its section
 * in 5.  Bit 30 is vhost-user's own.
 */
#include <vhost/names.h>

#include <stddef.h>

#include "wire/table.h"

struct name {
    unsigned bit;
    const char *name;
};

#define LAST    \
    {           \
        0, NULL \
    }

/* clang-format off */
static const struct name any_device[] = {
    { 24, "VIRTIO_F_NOTIFY_ON_EMPTY" }, /* legacy */
    { 26, "VHOST_F_LOG_ALL" },
    { 27, "VIRTIO_F_ANY_LAYOUT" }, /* legacy; for the kernel's net: NET_HDR */
    { 28, "VIRTIO_F_INDIRECT_DESC" },
    { 29, "VIRTIO_F_EVENT_IDX" },
    { 30, "VHOST_USER_F_PROTOCOL_FEATURES" },
    { 32, "VIRTIO_F_VERSION_1" },
    { 33, "VIRTIO_F_ACCESS_PLATFORM" },
    { 34, "VIRTIO_F_RING_PACKED" },
    { 35, "VIRTIO_F_IN_ORDER" },
    { 36, "VIRTIO_F_ORDER_PLATFORM" },
    { 37, "VIRTIO_F_SR_IOV" },
    { 38, "VIRTIO_F_NOTIFICATION_DATA" },
    { 39, "VIRTIO_F_NOTIF_CONFIG_DATA" },
    { 40, "VIRTIO_F_RING_RESET" },
    { 41, "VIRTIO_F_ADMIN_VQ" },
    LAST,
};

static const struct name net[] = { /* 5.1.3 */
    { 0, "VIRTIO_NET_F_CSUM" },
    { 1, "VIRTIO_NET_F_GUEST_CSUM" },
    { 2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS" },
    { 3, "VIRTIO_NET_F_MTU" },
    { 5, "VIRTIO_NET_F_MAC" },
    { 6, "VIRTIO_NET_F_GSO" }, /* legacy */
    { 7, "VIRTIO_NET_F_GUEST_TSO4" },
    { 8, "VIRTIO_NET_F_GUEST_TSO6" },
    { 9, "VIRTIO_NET_F_GUEST_ECN" },
    { 10, "VIRTIO_NET_F_GUEST_UFO" },
    { 11, "VIRTIO_NET_F_HOST_TSO4" },
    { 12, "VIRTIO_NET_F_HOST_TSO6" },
    { 13, "VIRTIO_NET_F_HOST_ECN" },
    { 14, "VIRTIO_NET_F_HOST_UFO" },
    { 15, "VIRTIO_NET_F_MRG_RXBUF" },
    { 16, "VIRTIO_NET_F_STATUS" },
    { 17, "VIRTIO_NET_F_CTRL_VQ" },
    { 18, "VIRTIO_NET_F_CTRL_RX" },
    { 19, "VIRTIO_NET_F_CTRL_VLAN" },
    { 20, "VIRTIO_NET_F_CTRL_RX_EXTRA" },
    { 21, "VIRTIO_NET_F_GUEST_ANNOUNCE" },
    { 22, "VIRTIO_NET_F_MQ" },
    { 23, "VIRTIO_NET_F_CTRL_MAC_ADDR" },
    { 50, "VIRTIO_NET_F_DEVICE_STATS" },
    { 51, "VIRTIO_NET_F_HASH_TUNNEL" },
    { 52, "VIRTIO_NET_F_VQ_NOTF_COAL" },
    { 53, "VIRTIO_NET_F_NOTF_COAL" },
    { 54, "VIRTIO_NET_F_GUEST_USO4" },
    { 55, "VIRTIO_NET_F_GUEST_USO6" },
    { 56, "VIRTIO_NET_F_HOST_USO" },
    { 57, "VIRTIO_NET_F_HASH_REPORT" },
    { 59, "VIRTIO_NET_F_GUEST_HDRLEN" },
    { 60, "VIRTIO_NET_F_RSS" },
    { 61, "VIRTIO_NET_F_RSC_EXT" },
    { 62, "VIRTIO_NET_F_STANDBY" },
    { 63, "VIRTIO_NET_F_SPEED_DUPLEX" },
    { 65, "VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO" },
    { 66, "VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM" },
    { 67, "VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO" },
    { 68, "VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM" },
    LAST,
};

static const struct name blk[] = { /* 5.2.3 */
    { 0, "VIRTIO_BLK_F_BARRIER" }, /* legacy */
    { 1, "VIRTIO_BLK_F_SIZE_MAX" },
    { 2, "VIRTIO_BLK_F_SEG_MAX" },
    { 4, "VIRTIO_BLK_F_GEOMETRY" },
    { 5, "VIRTIO_BLK_F_RO" },
    { 6, "VIRTIO_BLK_F_BLK_SIZE" },
    { 7, "VIRTIO_BLK_F_SCSI" }, /* legacy */
    { 9, "VIRTIO_BLK_F_FLUSH" },
    { 10, "VIRTIO_BLK_F_TOPOLOGY" },
    { 11, "VIRTIO_BLK_F_CONFIG_WCE" },
    { 12, "VIRTIO_BLK_F_MQ" },
    { 13, "VIRTIO_BLK_F_DISCARD" },
    { 14, "VIRTIO_BLK_F_WRITE_ZEROES" },
    { 15, "VIRTIO_BLK_F_LIFETIME" },
    { 16, "VIRTIO_BLK_F_SECURE_ERASE" },
    { 17, "VIRTIO_BLK_F_ZONED" },
    LAST,
};

static const struct name console[] = { /* 5.3.3 */
    { 0, "VIRTIO_CONSOLE_F_SIZE" },
    { 1, "VIRTIO_CONSOLE_F_MULTIPORT" },
    { 2, "VIRTIO_CONSOLE_F_EMERG_WRITE" },
    LAST,
};

static const struct name scsi[] = { /* 5.6.3 */
    { 0, "VIRTIO_SCSI_F_INOUT" },
    { 1, "VIRTIO_SCSI_F_HOTPLUG" },
    { 2, "VIRTIO_SCSI_F_CHANGE" },
    { 3, "VIRTIO_SCSI_F_T10_PI" },
    LAST,
};

static const struct name vsock[] = { /* 5.10.3 */
    { 0, "VIRTIO_VSOCK_F_STREAM" },
    { 1, "VIRTIO_VSOCK_F_SEQPACKET" },
    { 2, "VIRTIO_VSOCK_F_NO_IMPLIED_STREAM" },
    LAST,
};

static const struct name fs[] = { /* 5.11.3 */
    { 0, "VIRTIO_FS_F_NOTIFICATION" },
    LAST,
};

static const struct {
    uint32_t device_id; /* 5 "Device Types" */
    const struct name *names;
} devices[] = {
    { 1, net },
    { 2, blk },
    { 3, console },
    { 8, scsi },
    { 19, vsock },
    { 26, fs },
};
/* clang-format on */

static const char *find(const struct name *names, unsigned bit)
{
    for (; names->name; names++) {
        if (names->bit == bit) {
            return names->name;
        }
    }
    return NULL;
}

const char *vhost_feature_name(uint32_t device_id, unsigned bit)
{
    const char *name = find(any_device, bit);

    if (name) {
        return name;
    }
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        if (devices[i].device_id == device_id) {
            return find(devices[i].names, bit);
        }
    }
    return NULL;
}

const char *vhost_protocol_feature_name(unsigned bit)
{
    return vh_protocol_feature_name(bit);
}
