/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-vsock of a real kernel: the guest's rings on one side, sockets of the
 * kernel on the other.
 */
#include <endian.h>
#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "lab/kernel-guest.h"

#define RX 0
#define TX 1
#define CID 42u
#define HOST_CID 2u
#define HEADER ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define ROOM (256u << 10)

static const struct vhost_kernel_options options = { .size = sizeof(options),
                                                     .kind = VHOST_KERNEL_VSOCK,
                                                     .guest_cid = CID };

struct stream { /* the guest's end */
    struct guest *g;
    uint64_t cid;
    uint32_t port, peer_port;
    uint32_t taken;
    unsigned sent;
};

static void post(struct guest *g, unsigned i)
{
    const struct vh_sg sg = { guest_addr(g, RX, i), GUEST_BUF };

    guest_give(g, RX, &sg, 0, 1, i + 1);
}

/* Return: its cookie. */
static uintptr_t give(struct stream *s, uint16_t op, const void *data,
                      uint32_t len)
{
    unsigned i = s->sent++ % GUEST_BUFS;
    struct virtio_vsock_hdr *h = guest_buf(s->g, TX, i);
    const struct vh_sg sg = { guest_addr(s->g, TX, i), HEADER + len };

    *h = (struct virtio_vsock_hdr){
        .src_cid = htole64(s->cid),
        .dst_cid = htole64(HOST_CID),
        .src_port = htole32(s->port),
        .dst_port = htole32(s->peer_port),
        .len = htole32(len),
        .type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
        .op = htole16(op),
        .buf_alloc = htole32(ROOM),
        .fwd_cnt = htole32(s->taken),
    };
    memcpy(h + 1, data ? data : "", len);
    guest_give(s->g, TX, &sg, 1, 0, i + 1);
    return i + 1;
}

static void say(struct stream *s, uint16_t op, const void *data, uint32_t len)
{
    uintptr_t i = give(s, op, data, len);
    uint32_t got;

    assert_int_equal(guest_take(s->g, TX, &got, 0), i);
}

/* The next packet, copied; its operation. */
static unsigned hear(struct stream *s, struct virtio_vsock_hdr *h, void *data)
{
    uint32_t len;
    uintptr_t i = guest_take(s->g, RX, &len, 0);
    char *buf;

    assert_int_not_equal(i, 0);
    buf = guest_buf(s->g, RX, (unsigned)i - 1);
    memcpy(h, buf, sizeof(*h));
    assert_true(len >= HEADER && le32toh(h->len) <= len - HEADER);
    assert_int_equal(le64toh(h->dst_cid), s->cid);
    memcpy(data, buf + HEADER, le32toh(h->len));
    post(s->g, (unsigned)i - 1);
    return le16toh(h->op);
}

static int listen_at(uint32_t port)
{
    const struct sockaddr_vm at = { .svm_family = AF_VSOCK,
                                    .svm_cid = VMADDR_CID_ANY,
                                    .svm_port = port };
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Connects to the host; returns the host's end. */
static int connect_to(struct stream *s, int listener, uint32_t port)
{
    struct virtio_vsock_hdr h;
    char none[GUEST_BUF];
    int fd;

    s->peer_port = port;
    say(s, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
    while (hear(s, &h, none) != VIRTIO_VSOCK_OP_RESPONSE) {
        assert_int_not_equal(le32toh(h.dst_port), s->port); /* of the last */
    }
    assert_int_equal(le32toh(h.src_port), port);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void fill(char *data, uint32_t len, unsigned seed)
{
    for (uint32_t i = 0; i < len; i++) {
        data[i] = (char)(seed * 31 + i * 7 + (i >> 8));
    }
}

/* @n bytes each way, every one looked at. */
static void exchange(struct stream *s, int host, uint32_t n, unsigned seed)
{
    char want[2048], got[GUEST_BUF];
    struct virtio_vsock_hdr h;

    for (uint32_t at = 0; at < n; at += sizeof(want)) {
        uint32_t have = 0;

        fill(want, sizeof(want), seed + at);
        say(s, VIRTIO_VSOCK_OP_RW, want, sizeof(want));
        assert_int_equal(recv(host, got, sizeof(want), MSG_WAITALL),
                         sizeof(want));
        assert_memory_equal(got, want, sizeof(want));
        fill(want, sizeof(want), seed + at + 1);
        assert_int_equal(send(host, want, sizeof(want), 0), sizeof(want));
        while (have < sizeof(want)) {
            if (hear(s, &h, got) == VIRTIO_VSOCK_OP_RW) {
                assert_memory_equal(got, want + have, le32toh(h.len));
                have += le32toh(h.len);
            }
        }
        s->taken += have;
    }
}

static void guest_up_and_running(struct guest *g, uint64_t features)
{
    guest_up(g, &options, 2, features);
    for (unsigned i = 0; i < GUEST_BUFS; i++) {
        post(g, i);
    }
    guest_start(g);
}

static void test_data_goes_both_ways(void **state)
{
    struct stream s = { .cid = CID, .port = 1000 };
    struct guest g;
    int listener = listen_at(5000);
    int host;

    (void)state;
    guest_up_and_running(&g, F_VERSION_1);
    s.g = &g;
    host = connect_to(&s, listener, 5000);
    exchange(&s, host, 128 << 10, 1);
    close(host);
    close(listener);
    guest_down(&g);
}

static void test_the_host_connects_too(void **state)
{
    const struct sockaddr_vm at = { .svm_family = AF_VSOCK,
                                    .svm_cid = CID,
                                    .svm_port = 77 };
    struct stream s = { .cid = CID, .port = 77 };
    struct pollfd p = { .events = POLLOUT };
    struct virtio_vsock_hdr h;
    char none[GUEST_BUF];
    struct guest g;

    (void)state;
    guest_up_and_running(&g, F_VERSION_1);
    s.g = &g;
    p.fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(p.fd, (const struct sockaddr *)&at, sizeof(at)),
                     -1);
    assert_int_equal(errno, EINPROGRESS);
    assert_int_equal(hear(&s, &h, none), VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(le32toh(h.dst_port), 77);
    s.peer_port = le32toh(h.src_port);
    say(&s, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
    assert_int_equal(poll(&p, 1, GUEST_WAIT_S * 1000), 1);
    assert_int_equal(send(p.fd, "from the host", 13, 0), 13);
    while (hear(&s, &h, none) != VIRTIO_VSOCK_OP_RW) {
    }
    assert_memory_equal(none, "from the host", 13);
    close(p.fd);
    guest_down(&g);
}

/* The rings go on where they stood, in another device, on which all streams are
 * new: with the base of the old one and not from its beginning. */
static void test_the_rings_go_on_in_another_device(void **state)
{
    struct stream s = { .cid = CID, .port = 1000 };
    struct guest g;
    int listener = listen_at(5001);
    uint32_t base[2] = { 0 };

    (void)state;
    guest_up_and_running(&g, F_VERSION_1);
    s.g = &g;
    for (unsigned k = 0; k < 4; k++) {
        int host;

        s.port = 2000 + k;
        s.taken = 0;
        host = connect_to(&s, listener, 5001);
        exchange(&s, host, 40 << 10, 100 * k);
        close(host);
        guest_stop(&g);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(g.queues[i].base_source, VHOST_BASE_FROM_DEVICE);
            assert_int_not_equal(g.queues[i].base, base[i]);
            base[i] = g.queues[i].base;
        }
        assert_int_equal(g.queues[TX].base, s.sent);
        vhost_dev_cleanup(&g.dev);
        vhost_kernel_free(g.kernel);
        assert_int_equal(guest_take_up(&g, &options), 0);
        guest_start(&g);
    }
    close(listener);
    guest_down(&g);
}

static void test_behind_an_iommu_too(void **state)
{
    struct stream s = { .cid = CID, .port = 1000 };
    struct guest g;
    int listener = listen_at(5002);
    int host;

    (void)state;
    guest_up_and_running(&g, F_VERSION_1 | F_IOMMU);
    s.g = &g;
    assert_true(vhost_dev_has_iommu(&g.dev));
    host = connect_to(&s, listener, 5002);
    exchange(&s, host, 64 << 10, 1);
    assert_true(g.n_translated >= GUEST_BUFS);
    close(host);
    close(listener);
    guest_down(&g);
}

static void test_what_it_writes_is_logged(void **state)
{
    struct stream s = { .cid = CID, .port = 1000 };
    uint64_t dirty[GUEST_SIZE / 4096 / 64] = { 0 };
    struct vhost_error *err = NULL;
    unsigned page = 0x2000 / 4096;
    struct guest g;
    int listener = listen_at(5003);
    int host;

    (void)state;
    guest_up_and_running(&g, F_VERSION_1);
    s.g = &g;
    host = connect_to(&s, listener, 5003);
    assert_int_equal(vhost_log_start(g.map, &err), 0);
    exchange(&s, host, 16 << 10, 1);
    memset(dirty, 0, sizeof(dirty));
    assert_int_equal(
        vhost_log_sync_bitmap(g.map, dirty, GUEST_GPA, GUEST_SIZE / 4096, &err),
        0);
    assert_true(le64toh(dirty[page / 64]) >> (page % 64) & 1);
    assert_int_equal(vhost_log_stop(g.map, &err), 0);
    exchange(&s, host, 16 << 10, 2);
    close(host);
    close(listener);
    guest_down(&g);
}

static void refused(const struct vhost_kernel_options *o, int code,
                    const char *words)
{
    struct vhost_kernel *kernel = vhost_kernel_new(o, NULL);
    struct vhost_virtqueue vqs[2] = { { .num = 0 } };
    struct vhost_dev dev = { .vqs = vqs, .nvqs = 2 };
    struct vhost_error *err = NULL;

    assert_non_null(kernel);
    assert_int_equal(
        vhost_dev_init(&dev, kernel, VHOST_BACKEND_TYPE_KERNEL, 0, &err), code);
    if (!strstr(vhost_error_message(err), words)) {
        fail_msg("\"%s\" does not say \"%s\"", vhost_error_message(err), words);
    }
    vhost_error_free(err);
    vhost_kernel_free(kernel);
}

static void test_what_goes_wrong_is_told_in_words(void **state)
{
    struct vhost_kernel_options o = options;
    struct guest g;

    (void)state;
    guest_up(&g, &options, 2, F_VERSION_1);
    refused(&o, -EADDRINUSE, "another guest has the cid 42");
    o.guest_cid = 43;
    o.path = "/dev/vhost-net";
    refused(&o, -ENOTTY, "not a vhost-vsock node");
    assert_int_equal(vhost_kernel_set_guest_cid(g.kernel, 43, NULL), 0);
    guest_down(&g);
}

static struct stream killed;
static int killed_host;

static void begin_to_stream(struct guest *g, const void *listener)
{
    guest_up_and_running(g, F_VERSION_1);
    killed = (struct stream){ .g = g, .cid = CID, .port = 1001 };
    killed_host = connect_to(&killed, *(const int *)listener, 5004);
}

static void stream_on(struct guest *g, unsigned round)
{
    (void)g;
    exchange(&killed, killed_host, 16 << 10, round);
}

static void test_a_program_that_is_killed_gives_its_cid_back(void **state)
{
    struct stream s = { .cid = CID, .port = 1000 };
    int listener = listen_at(5004);
    struct guest g;
    int host;

    (void)state;
    guest_is_killed(begin_to_stream, stream_on, &listener);
    guest_up_and_running(&g, F_VERSION_1);
    s.g = &g;
    host = connect_to(&s, listener, 5004);
    exchange(&s, host, 16 << 10, 1);
    close(host);
    close(listener);
    guest_down(&g);
}

static void test_a_stop_with_packets_in_flight_loses_none(void **state)
{
    struct stream s = { .cid = CID, .port = 1000 };
    int listener = listen_at(5005);
    char want[1024], got[1024];
    struct guest g;
    uint32_t len;
    int host;

    (void)state;
    guest_up_and_running(&g, F_VERSION_1);
    s.g = &g;
    host = connect_to(&s, listener, 5005);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned k = 0; k < GUEST_BUFS; k++) {
            fill(want, sizeof(want), round * 100 + k);
            give(&s, VIRTIO_VSOCK_OP_RW, want, sizeof(want));
        }
        guest_stop(&g);
        guest_start(&g);
        for (unsigned k = 0; k < GUEST_BUFS; k++) {
            assert_int_not_equal(guest_take(&g, TX, &len, 0), 0);
            fill(want, sizeof(want), round * 100 + k);
            assert_int_equal(recv(host, got, sizeof(got), MSG_WAITALL),
                             sizeof(got));
            assert_memory_equal(got, want, sizeof(got));
        }
    }
    give(&s, VIRTIO_VSOCK_OP_RW, want, sizeof(want)); /* and let go of */
    guest_down(&g);
    close(host);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_goes_both_ways),
        cmocka_unit_test(test_the_host_connects_too),
        cmocka_unit_test(test_the_rings_go_on_in_another_device),
        cmocka_unit_test(test_behind_an_iommu_too),
        cmocka_unit_test(test_what_it_writes_is_logged),
        cmocka_unit_test(test_what_goes_wrong_is_told_in_words),
        cmocka_unit_test(test_a_program_that_is_killed_gives_its_cid_back),
        cmocka_unit_test(test_a_stop_with_packets_in_flight_loses_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
