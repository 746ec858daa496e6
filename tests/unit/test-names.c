/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of feature bits; what they are checked against is the system's own
 * <linux/virtio_*.h>. */
#include "check.h"

#include <string.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>

#include <vhost/names.h>

#define NET 1
#define BLK 2
#define CONSOLE 3
#define SCSI 8
#define VSOCK 19
#define FS 26

#define NAMED(device, bit) \
    {                      \
        device, bit, #bit  \
    }

/* Where a header gives the number, the header is right. */
static const struct {
    uint32_t device_id;
    unsigned bit;
    const char *name;
} system_names[] = {
    NAMED(0, VIRTIO_F_NOTIFY_ON_EMPTY),
    NAMED(0, VIRTIO_F_ANY_LAYOUT),
    { 0, VIRTIO_RING_F_INDIRECT_DESC, "VIRTIO_F_INDIRECT_DESC" },
    { 0, VIRTIO_RING_F_EVENT_IDX, "VIRTIO_F_EVENT_IDX" },
    NAMED(0, VIRTIO_F_VERSION_1),
    NAMED(0, VIRTIO_F_ACCESS_PLATFORM),
    NAMED(0, VIRTIO_F_RING_PACKED),
    NAMED(0, VIRTIO_F_ORDER_PLATFORM),
    NAMED(0, VIRTIO_F_SR_IOV),
    NAMED(0, VIRTIO_F_RING_RESET),
    NAMED(NET, VIRTIO_NET_F_CSUM),
    NAMED(NET, VIRTIO_NET_F_MTU),
    NAMED(NET, VIRTIO_NET_F_MAC),
    NAMED(NET, VIRTIO_NET_F_GUEST_TSO4),
    NAMED(NET, VIRTIO_NET_F_HOST_UFO),
    NAMED(NET, VIRTIO_NET_F_MRG_RXBUF),
    NAMED(NET, VIRTIO_NET_F_STATUS),
    NAMED(NET, VIRTIO_NET_F_CTRL_VQ),
    NAMED(NET, VIRTIO_NET_F_GUEST_ANNOUNCE),
    NAMED(NET, VIRTIO_NET_F_MQ),
    NAMED(NET, VIRTIO_NET_F_CTRL_MAC_ADDR),
    NAMED(NET, VIRTIO_NET_F_HASH_REPORT),
    NAMED(NET, VIRTIO_NET_F_RSS),
    NAMED(NET, VIRTIO_NET_F_RSC_EXT),
    NAMED(NET, VIRTIO_NET_F_STANDBY),
    NAMED(NET, VIRTIO_NET_F_SPEED_DUPLEX),
    NAMED(BLK, VIRTIO_BLK_F_SIZE_MAX),
    NAMED(BLK, VIRTIO_BLK_F_SEG_MAX),
    NAMED(BLK, VIRTIO_BLK_F_GEOMETRY),
    NAMED(BLK, VIRTIO_BLK_F_RO),
    NAMED(BLK, VIRTIO_BLK_F_BLK_SIZE),
    NAMED(BLK, VIRTIO_BLK_F_FLUSH),
    NAMED(BLK, VIRTIO_BLK_F_TOPOLOGY),
    NAMED(BLK, VIRTIO_BLK_F_CONFIG_WCE),
    NAMED(BLK, VIRTIO_BLK_F_MQ),
    NAMED(BLK, VIRTIO_BLK_F_DISCARD),
    NAMED(BLK, VIRTIO_BLK_F_WRITE_ZEROES),
    NAMED(CONSOLE, VIRTIO_CONSOLE_F_SIZE),
    NAMED(CONSOLE, VIRTIO_CONSOLE_F_MULTIPORT),
    NAMED(CONSOLE, VIRTIO_CONSOLE_F_EMERG_WRITE),
    NAMED(SCSI, VIRTIO_SCSI_F_INOUT),
    NAMED(SCSI, VIRTIO_SCSI_F_HOTPLUG),
    NAMED(SCSI, VIRTIO_SCSI_F_CHANGE),
    NAMED(SCSI, VIRTIO_SCSI_F_T10_PI),
};

static void test_agrees_with_the_headers_of_the_system(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(system_names); i++) {
        const char *name =
            vhost_feature_name(system_names[i].device_id, system_names[i].bit);

        if (!name) {
            fail_msg("bit %u of device %u has no name, not %s",
                     system_names[i].bit, system_names[i].device_id,
                     system_names[i].name);
        }
        assert_string_equal(name, system_names[i].name);
    }
}

static void test_the_same_bit_is_another_feature_in_another_device(void **state)
{
    (void)state;
    assert_string_equal(vhost_feature_name(NET, 12), "VIRTIO_NET_F_HOST_TSO6");
    assert_string_equal(vhost_feature_name(BLK, 12), "VIRTIO_BLK_F_MQ");
    assert_string_equal(vhost_feature_name(VSOCK, 1),
                        "VIRTIO_VSOCK_F_SEQPACKET");
    assert_string_equal(vhost_feature_name(FS, 0), "VIRTIO_FS_F_NOTIFICATION");
    assert_null(vhost_feature_name(FS, 12));
    assert_null(vhost_feature_name(0, 12));
    assert_null(vhost_feature_name(4711, 12));
}

static void test_bits_of_every_device_need_no_device(void **state)
{
    static const uint32_t ids[] = { 0, NET, BLK, FS, 4711 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
        assert_string_equal(vhost_feature_name(ids[i], 32),
                            "VIRTIO_F_VERSION_1");
        assert_string_equal(vhost_feature_name(ids[i], 30),
                            "VHOST_USER_F_PROTOCOL_FEATURES");
    }
}

/* A name for a bit tells whose it is: 24 to 49 are not for device types. */
static void test_no_device_takes_a_bit_of_the_transport(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < 64; id++) {
        for (unsigned bit = 24; bit < 50; bit++) {
            assert_ptr_equal(vhost_feature_name(id, bit),
                             vhost_feature_name(0, bit));
        }
    }
}

static void test_no_two_bits_of_a_device_share_a_name(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < 64; id++) {
        for (unsigned a = 0; a < 128; a++) {
            const char *name = vhost_feature_name(id, a);

            for (unsigned b = 0; name && b < a; b++) {
                const char *other = vhost_feature_name(id, b);

                if (other && strcmp(name, other) == 0) {
                    fail_msg("device %u: bits %u and %u are both %s", id, a, b,
                             name);
                }
            }
        }
    }
}

/* Bits that headers of today do not have yet. */
static void
test_names_the_bits_from_50_on_as_the_specification_does(void **state)
{
    static const char *const names[] = {
        "VIRTIO_NET_F_DEVICE_STATS", "VIRTIO_NET_F_HASH_TUNNEL",
        "VIRTIO_NET_F_VQ_NOTF_COAL", "VIRTIO_NET_F_NOTF_COAL",
        "VIRTIO_NET_F_GUEST_USO4",   "VIRTIO_NET_F_GUEST_USO6",
        "VIRTIO_NET_F_HOST_USO",     "VIRTIO_NET_F_HASH_REPORT",
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        assert_string_equal(vhost_feature_name(NET, 50 + i), names[i]);
    }
    assert_null(vhost_feature_name(NET, 49));
    assert_null(vhost_feature_name(NET, 58));
    assert_string_equal(vhost_feature_name(NET, 59),
                        "VIRTIO_NET_F_GUEST_HDRLEN");
}

static void test_names_bits_above_63_and_none_above_127(void **state)
{
    (void)state;
    assert_string_equal(vhost_feature_name(NET, 65),
                        "VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO");
    assert_null(vhost_feature_name(BLK, 65));
    assert_null(vhost_feature_name(NET, 127));
    assert_null(vhost_feature_name(NET, 128));
    assert_null(vhost_feature_name(NET, UINT32_MAX));
}

static void test_names_protocol_features(void **state)
{
    (void)state;
    assert_string_equal(vhost_protocol_feature_name(0),
                        "VHOST_USER_PROTOCOL_F_MQ");
    assert_string_equal(vhost_protocol_feature_name(3),
                        "VHOST_USER_PROTOCOL_F_REPLY_ACK");
    assert_string_equal(vhost_protocol_feature_name(9),
                        "VHOST_USER_PROTOCOL_F_CONFIG");
    assert_null(vhost_protocol_feature_name(63));
    assert_null(vhost_protocol_feature_name(64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_headers_of_the_system),
        cmocka_unit_test(
            test_the_same_bit_is_another_feature_in_another_device),
        cmocka_unit_test(test_bits_of_every_device_need_no_device),
        cmocka_unit_test(test_no_device_takes_a_bit_of_the_transport),
        cmocka_unit_test(test_no_two_bits_of_a_device_share_a_name),
        cmocka_unit_test(
            test_names_the_bits_from_50_on_as_the_specification_does),
        cmocka_unit_test(test_names_bits_above_63_and_none_above_127),
        cmocka_unit_test(test_names_protocol_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
