/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket driver, and a host that answers by the number of the port that it
 * is asked for.
 */
#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "scripted.h"

#include <linux/virtio_vsock.h>
#include <vhost/vsock.h>

#define VSOCK 19
#define OUR_CID 42
#define HOST 2
#define WAIT_MS 5000
#define ROOM 65536u /* what the driver grants */
#define PACKET 4096
#define QUEUED 64
#define POUR (1u << 20)

enum port { ECHO = 1, SILENT, CALLS_BACK, NO_CREDIT, FLOODS, POURS, LIES };
#define OUR_PORT 4000
#define THEIR_PORT 5555

/* What the host has to say, and how much it has heard. */
struct host {
    struct {
        struct virtio_vsock_hdr header;
        uint8_t data[PACKET];
        uint32_t len; /* of data */
        uint32_t cut; /* from the end of the packet */
    } queue[QUEUED];
    unsigned n_queued;
    uint32_t room;
    uint32_t heard;
    uint32_t poured;
    atomic_uint n_resets;
};

static void flush(struct scripted *s)
{
    struct host *host = scripted_arg(s);
    unsigned n = 0;

    while (n < host->n_queued) {
        uint8_t packet[sizeof(struct virtio_vsock_hdr) + PACKET];
        size_t header = sizeof(struct virtio_vsock_hdr);

        memcpy(packet, &host->queue[n].header, header);
        memcpy(packet + header, host->queue[n].data, host->queue[n].len);
        if (!scripted_give(s, 0, packet,
                           header + host->queue[n].len - host->queue[n].cut)) {
            break;
        }
        n++;
    }
    host->n_queued -= n;
    memmove(host->queue, host->queue + n,
            host->n_queued * sizeof(host->queue[0]));
}

/* An answer to a packet; the one that was queued can still be changed. */
static struct virtio_vsock_hdr *say(struct host *host,
                                    const struct virtio_vsock_hdr *to,
                                    uint16_t op, const void *data, uint32_t len)
{
    struct virtio_vsock_hdr *header = &host->queue[host->n_queued].header;

    assert_true(host->n_queued < QUEUED);
    *header = (struct virtio_vsock_hdr){
        .src_cid = to->dst_cid,
        .dst_cid = to->src_cid,
        .src_port = to->dst_port,
        .dst_port = to->src_port,
        .len = htole32(len),
        .type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
        .op = htole16(op),
        .buf_alloc = htole32(host->room),
        .fwd_cnt = htole32(host->heard),
    };
    host->queue[host->n_queued].cut = 0;
    host->queue[host->n_queued].len = len;
    if (len > 0) {
        memcpy(host->queue[host->n_queued].data, data, len);
    }
    host->n_queued++;
    return header;
}

static void lie(struct host *host, const struct virtio_vsock_hdr *to)
{
    say(host, to, VIRTIO_VSOCK_OP_RW, "short", 5);
    host->queue[host->n_queued - 1].cut = 20;
    say(host, to, VIRTIO_VSOCK_OP_RW, "long", 4)->len = htole32(5);
    say(host, to, VIRTIO_VSOCK_OP_RW, "astray", 6)->dst_cid = htole64(7);
    say(host, to, VIRTIO_VSOCK_OP_RW, "unknown", 7)->src_port = htole32(99);
    say(host, to, VIRTIO_VSOCK_OP_RST, NULL, 0)->src_port = htole32(98);
    say(host, to, VIRTIO_VSOCK_OP_REQUEST, NULL, 0)->dst_port = htole32(97);
    say(host, to, VIRTIO_VSOCK_OP_RW, "true", 4);
}

static void flood(struct host *host, const struct virtio_vsock_hdr *to)
{
    uint8_t data[PACKET] = { 0 };

    for (unsigned i = 0; i < ROOM / PACKET + 1; i++) {
        say(host, to, VIRTIO_VSOCK_OP_RW, data, PACKET);
    }
}

/* As much as there is room for, and the rest when there is more. */
static void pour(struct host *host, const struct virtio_vsock_hdr *to)
{
    uint8_t data[PACKET];

    if (le32toh(to->dst_port) != POURS) {
        return;
    }
    while (host->poured < POUR &&
           host->poured - le32toh(to->fwd_cnt) < le32toh(to->buf_alloc)) {
        memset(data, (int)(host->poured / PACKET), PACKET);
        say(host, to, VIRTIO_VSOCK_OP_RW, data, PACKET);
        host->poured += PACKET;
    }
}

static void on_request(struct host *host, const struct virtio_vsock_hdr *header)
{
    unsigned port = le32toh(header->dst_port);
    struct virtio_vsock_hdr call = *header;

    if (port == SILENT) {
        return;
    }
    if (port < ECHO || port > LIES) {
        say(host, header, VIRTIO_VSOCK_OP_RST, NULL, 0);
        return;
    }
    host->heard = 0;
    host->room = port == NO_CREDIT ? 0 : 6000;
    say(host, header, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
    if (port == CALLS_BACK) {
        call.dst_port = htole32(THEIR_PORT);
        call.src_port = htole32(OUR_PORT);
        say(host, &call, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
    } else if (port == FLOODS) {
        flood(host, header);
    } else if (port == POURS) {
        pour(host, header);
    } else if (port == LIES) {
        lie(host, header);
    }
}

static void on_packet(struct host *host, const struct virtio_vsock_hdr *header,
                      const uint8_t *data)
{
    uint32_t len = le32toh(header->len);

    switch (le16toh(header->op)) {
    case VIRTIO_VSOCK_OP_REQUEST:
        on_request(host, header);
        break;
    case VIRTIO_VSOCK_OP_RESPONSE: /* to the call of port CALLS_BACK */
        say(host, header, VIRTIO_VSOCK_OP_RW, "hi", 2);
        say(host, header, VIRTIO_VSOCK_OP_SHUTDOWN, NULL, 0)->flags =
            htole32(VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV);
        break;
    case VIRTIO_VSOCK_OP_RW:
        host->heard += len;
        say(host, header, VIRTIO_VSOCK_OP_RW, data, len);
        break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        if (le32toh(header->flags) == 3) {
            say(host, header, VIRTIO_VSOCK_OP_RST, NULL, 0);
        }
        break;
    case VIRTIO_VSOCK_OP_RST:
        host->n_resets++;
        break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        pour(host, header);
        break;
    default:
        break;
    }
}

static uint32_t on_buffer(struct scripted *s, const struct scripted_buffer *b)
{
    struct virtio_vsock_hdr header;

    if (b->queue == 0) {
        return SCRIPTED_HOLD;
    }
    memcpy(&header, b->out, sizeof(header));
    assert_int_equal(le32toh(header.len), b->out_len - sizeof(header));
    assert_int_equal(le64toh(header.src_cid), OUR_CID);
    on_packet(scripted_arg(s), &header, b->out + sizeof(header));
    flush(s);
    return 0;
}

struct rig {
    struct host *host;
    struct scripted *device;
    struct vhost_vsock *vsock;
};

static void rig_up(struct rig *rig, unsigned layout, uint64_t cid)
{
    struct vhost_driver_options options = { .size = sizeof(options),
                                            .layout = layout };
    struct vhost_error *error = NULL;
    uint64_t told = htole64(OUR_CID);

    rig->host = calloc(1, sizeof(*rig->host));
    assert_non_null(rig->host);
    rig->device = scripted_up(VSOCK, 2, on_buffer, rig->host);
    scripted_config(rig->device, &told, sizeof(told));
    rig->vsock =
        vhost_vsock_open(scripted_uri(rig->device), cid, &options, &error);
    if (!rig->vsock) {
        fail_msg("%s", vhost_error_message(error));
    }
}

static void rig_down(struct rig *rig)
{
    vhost_vsock_close(rig->vsock);
    scripted_down(rig->device);
    free(rig->host);
}

static struct vhost_vsock_stream *connect_to(struct rig *rig, uint32_t port)
{
    struct vhost_error *error = NULL;
    struct vhost_vsock_stream *s =
        vhost_vsock_connect(rig->vsock, HOST, port, WAIT_MS, &error);

    if (!s) {
        fail_msg("%s", vhost_error_message(error));
    }
    return s;
}

static void receive_all(struct vhost_vsock_stream *s, uint8_t *to, size_t len)
{
    while (len > 0) {
        int n = vhost_vsock_receive(s, to, len, WAIT_MS, NULL);

        assert_true(n > 0 && (size_t)n <= len);
        to += n;
        len -= (size_t)n;
    }
}

static void test_what_is_sent_comes_back_in_every_layout(void **state)
{
    static uint8_t data[20011], back[20011];

    (void)state;
    for (unsigned l = VHOST_LAYOUT_AUTO; l <= VHOST_LAYOUT_PACKED; l++) {
        struct vhost_vsock_stream *s;
        struct rig rig;

        rig_up(&rig, l, OUR_CID);
        s = connect_to(&rig, ECHO);
        for (unsigned round = 0; round < 20; round++) {
            for (size_t i = 0; i < sizeof(data); i++) {
                data[i] = (uint8_t)(i * 11 + i / 251 + round);
            }
            assert_int_equal(
                vhost_vsock_send(s, data, sizeof(data), WAIT_MS, NULL), 0);
            receive_all(s, back, sizeof(back));
            assert_memory_equal(data, back, sizeof(data));
        }
        vhost_vsock_hang_up(s);
        assert_int_equal(rig.host->n_resets, 0); /* it has agreed */
        rig_down(&rig);
    }
}

static void test_the_peer_is_told_of_room_as_the_program_takes(void **state)
{
    static uint8_t data[POUR];
    struct vhost_vsock_stream *s;
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO, OUR_CID);
    s = connect_to(&rig, POURS);
    receive_all(s, data, sizeof(data));
    for (size_t i = 0; i < sizeof(data); i++) {
        assert_int_equal(data[i], (uint8_t)(i / PACKET));
    }
    vhost_vsock_hang_up(s);
    rig_down(&rig);
}

static int code_of_connect(struct rig *rig, uint32_t port, int timeout_ms)
{
    struct vhost_error *error = NULL;
    int code;

    assert_null(
        vhost_vsock_connect(rig->vsock, HOST, port, timeout_ms, &error));
    code = vhost_error_code(error);
    vhost_error_free(error);
    return code;
}

static void test_connecting_fails_where_nobody_is(void **state)
{
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO, OUR_CID);
    assert_int_equal(code_of_connect(&rig, 1000, WAIT_MS), -ECONNREFUSED);
    assert_int_equal(code_of_connect(&rig, SILENT, 50), -ETIMEDOUT);
    assert_int_equal(rig.host->n_resets, 1);
    rig_down(&rig);
}

static void test_the_device_tells_the_address(void **state)
{
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO, 0);
    assert_int_equal(vhost_vsock_get_cid(rig.vsock), OUR_CID);
    vhost_vsock_hang_up(connect_to(&rig, ECHO));
    rig_down(&rig);
}

static void test_a_stream_that_the_host_begins_is_accepted(void **state)
{
    struct vhost_vsock_stream *ours, *theirs;
    struct vhost_error *error = NULL;
    struct rig rig;
    char data[8];

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO, OUR_CID);
    assert_null(vhost_vsock_accept(rig.vsock, OUR_PORT, 0, &error));
    assert_int_equal(vhost_error_code(error), -EINVAL);
    vhost_error_free(error);
    assert_int_equal(vhost_vsock_listen(rig.vsock, OUR_PORT, NULL), 0);
    assert_int_equal(vhost_vsock_listen(rig.vsock, OUR_PORT, NULL),
                     -EADDRINUSE);
    ours = connect_to(&rig, CALLS_BACK);
    theirs = vhost_vsock_accept(rig.vsock, OUR_PORT, WAIT_MS, NULL);
    assert_non_null(theirs);
    assert_int_equal(
        vhost_vsock_receive(theirs, data, sizeof(data), WAIT_MS, NULL), 2);
    assert_memory_equal(data, "hi", 2);
    assert_int_equal(
        vhost_vsock_receive(theirs, data, sizeof(data), WAIT_MS, NULL), 0);
    assert_int_equal(vhost_vsock_send(theirs, "x", 1, WAIT_MS, NULL), -EPIPE);
    vhost_vsock_hang_up(theirs);
    assert_int_equal(rig.host->n_resets, 1); /* the host waits for it */
    vhost_vsock_hang_up(ours);
    rig_down(&rig);
}

static void test_without_room_at_the_peer_sending_ends_in_time(void **state)
{
    struct vhost_vsock_stream *s;
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO, OUR_CID);
    s = connect_to(&rig, NO_CREDIT);
    assert_int_equal(vhost_vsock_send(s, "x", 1, 50, NULL), -ETIMEDOUT);
    vhost_vsock_hang_up(s);
    rig_down(&rig);
}

static void
test_a_peer_that_sends_more_than_there_is_room_for_is_reset(void **state)
{
    static uint8_t data[ROOM];
    struct vhost_vsock_stream *s;
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO, OUR_CID);
    s = connect_to(&rig, FLOODS);
    assert_int_equal(vhost_vsock_send(s, "x", 1, WAIT_MS, NULL), -ECONNRESET);
    receive_all(s, data, sizeof(data));
    assert_int_equal(vhost_vsock_receive(s, data, 1, WAIT_MS, NULL),
                     -ECONNRESET);
    assert_int_equal(rig.host->n_resets, 1);
    vhost_vsock_hang_up(s);
    rig_down(&rig);
}

static void test_packets_that_lie_are_dropped_or_reset(void **state)
{
    struct vhost_vsock_stream *s;
    struct rig rig;
    char data[16];

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO, OUR_CID);
    s = connect_to(&rig, LIES);
    assert_int_equal(vhost_vsock_receive(s, data, sizeof(data), WAIT_MS, NULL),
                     4);
    assert_memory_equal(data, "true", 4);
    assert_int_equal(rig.host->n_resets, 2); /* unknown; nobody listens */
    vhost_vsock_hang_up(s);
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sent_comes_back_in_every_layout),
        cmocka_unit_test(test_the_peer_is_told_of_room_as_the_program_takes),
        cmocka_unit_test(test_connecting_fails_where_nobody_is),
        cmocka_unit_test(test_the_device_tells_the_address),
        cmocka_unit_test(test_a_stream_that_the_host_begins_is_accepted),
        cmocka_unit_test(test_without_room_at_the_peer_sending_ends_in_time),
        cmocka_unit_test(
            test_a_peer_that_sends_more_than_there_is_room_for_is_reset),
        cmocka_unit_test(test_packets_that_lie_are_dropped_or_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
