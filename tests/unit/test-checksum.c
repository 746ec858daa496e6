/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checksum.h"

/* 10.0.0.1 to 10.0.0.2, 4 bytes of UDP payload. */
static const uint8_t udp4[] = {
    1,    2, 3, 4,  5, 6,  1, 2,  3,  4,  5,    7,    0x08, 0x00, /* */
    0x45, 0, 0, 32, 0, 0,  0, 0,  64, 17, 0xaa, 0xbb, 10,   0,    0,   1,
    10,   0, 0, 2,  0, 53, 0, 99, 0,  12, 0xde, 0xad, 'a',  'b',  'c', 'd',
};

#define IP 14
#define UDP (IP + 20)
#define UDP6 (IP + 40)

/* All of the transport header and its data, as the host will sum it up. */
static uint16_t finish(const uint8_t *frame, size_t start, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = start; i < len; i += 2) {
        sum += (uint32_t)frame[i] << 8;
        sum += i + 1 < len ? frame[i + 1] : 0;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void test_a_host_that_completes_it_gets_the_right_sum(void **state)
{
    struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
    uint8_t frame[sizeof(udp4)];

    (void)state;
    memcpy(frame, udp4, sizeof(frame));
    assert_true(checksum_leave_to_host(&h, frame, sizeof(frame)));
    assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(le16toh(h.csum_start), UDP);
    assert_int_equal(le16toh(h.csum_offset), 6);
    /* 0a00 + 0001 + 0a00 + 0002 + 17 + 12 */
    assert_int_equal(frame[UDP + 6] << 8 | frame[UDP + 7], 0x1420);
    /* By hand, over pseudo header, header and data. */
    assert_int_equal(finish(frame, UDP, sizeof(frame)), 0x2675);
    /* Nothing else is changed. */
    frame[UDP + 6] = 0xde;
    frame[UDP + 7] = 0xad;
    assert_memory_equal(frame, udp4, sizeof(frame));
}

static void test_the_pseudo_header_of_ipv6_is_summed_up(void **state)
{
    struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
    uint8_t frame[UDP6 + 20] = { [12] = 0x86, [13] = 0xdd, [IP] = 0x60 };

    (void)state;
    frame[IP + 5] = 20; /* bytes of payload */
    frame[IP + 6] = 6;  /* TCP */
    memset(frame + IP + 8, 0xff, 32);
    assert_true(checksum_leave_to_host(&h, frame, sizeof(frame)));
    assert_int_equal(le16toh(h.csum_start), UDP6);
    assert_int_equal(le16toh(h.csum_offset), 16);
    /* Sixteen times ffff are 0 in ones' complement. */
    assert_int_equal(frame[UDP6 + 16] << 8 | frame[UDP6 + 17], 26);
}

static void test_tags_of_vlans_are_skipped(void **state)
{
    struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
    uint8_t frame[sizeof(udp4) + 8];

    (void)state;
    memcpy(frame, udp4, 12);
    memcpy(frame + 12, "\x88\xa8\x00\x01\x81\x00\x00\x02", 8);
    memcpy(frame + 20, udp4 + 12, sizeof(udp4) - 12);
    assert_true(checksum_leave_to_host(&h, frame, sizeof(frame)));
    assert_int_equal(le16toh(h.csum_start), UDP + 8);
}

static void test_frames_of_other_kinds_are_left_alone(void **state)
{
    static const struct {
        size_t at;
        uint8_t byte;
    } changes[] = {
        { 12, 0x09 },     /* no IP */
        { IP, 0x65 },     /* version 6 in a frame of IPv4 */
        { IP, 0x44 },     /* a header of 16 bytes */
        { IP + 3, 19 },   /* shorter than its header */
        { IP + 3, 24 },   /* too short for UDP's */
        { IP + 6, 0x20 }, /* the first fragment */
        { IP + 7, 1 },    /* a later one */
        { IP + 9, 1 },    /* ICMP */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
        uint8_t frame[sizeof(udp4)];
        uint8_t before[sizeof(udp4)];

        memcpy(frame, udp4, sizeof(frame));
        frame[changes[i].at] = changes[i].byte;
        memcpy(before, frame, sizeof(frame));
        assert_false(checksum_leave_to_host(&h, frame, sizeof(frame)));
        assert_memory_equal(frame, before, sizeof(frame));
        assert_int_equal(h.flags, VIRTIO_NET_HDR_F_DATA_VALID);
    }
}

static void test_a_frame_that_is_cut_off_anywhere_is_left_alone(void **state)
{
    (void)state;
    for (size_t len = 0; len < UDP + 8; len++) {
        struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
        uint8_t *frame = malloc(len ? len : 1);

        assert_non_null(frame);
        memcpy(frame, udp4, len);
        assert_false(checksum_leave_to_host(&h, frame, len));
        free(frame);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_host_that_completes_it_gets_the_right_sum),
        cmocka_unit_test(test_the_pseudo_header_of_ipv6_is_summed_up),
        cmocka_unit_test(test_tags_of_vlans_are_skipped),
        cmocka_unit_test(test_frames_of_other_kinds_are_left_alone),
        cmocka_unit_test(test_a_frame_that_is_cut_off_anywhere_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
