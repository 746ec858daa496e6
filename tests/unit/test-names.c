/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of feature bits. */
#include "check.h"

#include <string.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_scsi.h>
#include <linux/virtio_vsock.h>

#include <vhost/names.h>

#include "wire/table.h"

struct expected {
    uint32_t device_id;
    unsigned bit;
    const char *name;
};

#define ANY(name)      \
    {                  \
        0, name, #name \
    }
#define OF(id, name)    \
    {                   \
        id, name, #name \
    }

/* The kernel's headers number the bits too, and know nothing of our table. */
static const struct expected expected[] = {
    ANY(VIRTIO_F_VERSION_1),
    ANY(VIRTIO_F_ACCESS_PLATFORM),
    ANY(VIRTIO_F_RING_PACKED),
    ANY(VIRTIO_F_ORDER_PLATFORM),
    ANY(VIRTIO_F_SR_IOV),
    ANY(VIRTIO_F_ANY_LAYOUT),
    ANY(VIRTIO_F_NOTIFY_ON_EMPTY),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_SIZE_MAX),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_SEG_MAX),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_GEOMETRY),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_RO),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_BLK_SIZE),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_FLUSH),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_TOPOLOGY),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_CONFIG_WCE),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_MQ),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_DISCARD),
    OF(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_WRITE_ZEROES),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_CSUM),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_GUEST_CSUM),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_MTU),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_MAC),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_GUEST_TSO4),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_GUEST_UFO),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_HOST_TSO6),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_MRG_RXBUF),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_STATUS),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_CTRL_VQ),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_GUEST_ANNOUNCE),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_MQ),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_CTRL_MAC_ADDR),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_HASH_REPORT),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_RSS),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_RSC_EXT),
    OF(VIRTIO_ID_NET, VIRTIO_NET_F_STANDBY),
    OF(VIRTIO_ID_CONSOLE, VIRTIO_CONSOLE_F_SIZE),
    OF(VIRTIO_ID_CONSOLE, VIRTIO_CONSOLE_F_MULTIPORT),
    OF(VIRTIO_ID_CONSOLE, VIRTIO_CONSOLE_F_EMERG_WRITE),
    OF(VIRTIO_ID_SCSI, VIRTIO_SCSI_F_INOUT),
    OF(VIRTIO_ID_SCSI, VIRTIO_SCSI_F_HOTPLUG),
    OF(VIRTIO_ID_SCSI, VIRTIO_SCSI_F_CHANGE),
    OF(VIRTIO_ID_SCSI, VIRTIO_SCSI_F_T10_PI),
    OF(VIRTIO_ID_VSOCK, VIRTIO_VSOCK_F_SEQPACKET),
    /* not in the headers that may be installed: virtio 1.3, 6 and 5 */
    { 0, 28, "VIRTIO_F_INDIRECT_DESC" },
    { 0, 29, "VIRTIO_F_EVENT_IDX" },
    { 0, 35, "VIRTIO_F_IN_ORDER" },
    { 0, 38, "VIRTIO_F_NOTIFICATION_DATA" },
    { 0, 39, "VIRTIO_F_NOTIF_CONFIG_DATA" },
    { 0, 40, "VIRTIO_F_RING_RESET" },
    { 0, 41, "VIRTIO_F_ADMIN_VQ" },
    { 0, 26, "VHOST_F_LOG_ALL" },
    { 0, 30, "VHOST_USER_F_PROTOCOL_FEATURES" },
    { 2, 15, "VIRTIO_BLK_F_LIFETIME" },
    { 2, 16, "VIRTIO_BLK_F_SECURE_ERASE" },
    { 2, 17, "VIRTIO_BLK_F_ZONED" },
    { 19, 0, "VIRTIO_VSOCK_F_STREAM" },
    { 26, 0, "VIRTIO_FS_F_NOTIFICATION" },
};

static void test_names_the_bits_as_others_number_them(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
        const char *name =
            vhost_feature_name(expected[i].device_id, expected[i].bit);

        assert_non_null(name);
        assert_string_equal(name, expected[i].name);
    }
}

static void test_names_the_bits_of_every_device_whatever_its_type(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < 64; id++) {
        assert_string_equal(vhost_feature_name(id, 32), "VIRTIO_F_VERSION_1");
    }
}

static void test_has_no_name_for_what_nobody_named(void **state)
{
    (void)state;
    assert_null(vhost_feature_name(0, 0));
    assert_null(vhost_feature_name(2, 3));
    assert_null(vhost_feature_name(2, 127));
    assert_null(vhost_feature_name(2, 128));
    assert_null(vhost_feature_name(2, UINT32_MAX));
    assert_null(vhost_feature_name(26, 1));
    assert_null(vhost_feature_name(4, 0)); /* rng has none of its own */
    assert_null(vhost_feature_name(9999, 9));
    assert_null(vhost_protocol_feature_name(64));
    assert_null(vhost_protocol_feature_name(UINT32_MAX));
}

static void test_gives_no_two_bits_one_name(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < 64; id++) {
        for (unsigned a = 0; a < 128; a++) {
            const char *name = vhost_feature_name(id, a);

            for (unsigned b = 0; name && b < a; b++) {
                const char *other = vhost_feature_name(id, b);

                assert_true(!other || strcmp(name, other) != 0);
            }
        }
    }
}

static void test_names_protocol_features_as_the_wire_does(void **state)
{
    (void)state;
    assert_string_equal(vhost_protocol_feature_name(0),
                        "VHOST_USER_PROTOCOL_F_MQ");
    assert_string_equal(vhost_protocol_feature_name(3),
                        "VHOST_USER_PROTOCOL_F_REPLY_ACK");
    for (unsigned bit = 0; bit < 70; bit++) {
        const char *name = vhost_protocol_feature_name(bit);
        const char *wire = vh_protocol_feature_name(bit);

        assert_true(name == wire || strcmp(name, wire) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_the_bits_as_others_number_them),
        cmocka_unit_test(test_names_the_bits_of_every_device_whatever_its_type),
        cmocka_unit_test(test_has_no_name_for_what_nobody_named),
        cmocka_unit_test(test_gives_no_two_bits_one_name),
        cmocka_unit_test(test_names_protocol_features_as_the_wire_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
