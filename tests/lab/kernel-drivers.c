/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The drivers for programs without a VM over the kernel's own devices, by no
 * more than a URI and public headers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vhost/net.h>
#include <vhost/scsi.h>
#include <vhost/vsock.h>

#include "check.h"

#define WAIT_MS 20000
#define HOST_CID 2u
#define PORT 6000u

/* What another kernel needs longer for: a target takes its time to be there. */
#define TRIES 10

#define NEED(what, err)                               \
    do {                                              \
        if (!(what)) {                                \
            fail_msg("%s", vhost_error_message(err)); \
        }                                             \
    } while (0)

static void fill(uint8_t *data, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(seed * 17 + i * 5 + (i >> 8));
    }
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

static void test_vsock_knows_its_cid_and_streams(void **state)
{
    struct vhost_error *err = NULL;
    struct vhost_vsock *vsock =
        vhost_vsock_open("kernel:vsock?cid=50", 0, NULL, &err);
    struct vhost_vsock_stream *stream;
    uint8_t want[4000], got[4000];
    int listener = listen_at(PORT);
    int host;

    (void)state;
    NEED(vsock, err);
    assert_int_equal(vhost_vsock_get_cid(vsock), 50);
    stream = vhost_vsock_connect(vsock, HOST_CID, PORT, WAIT_MS, &err);
    NEED(stream, err);
    host = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    for (unsigned k = 0; k < 50; k++) {
        size_t have = 0;

        fill(want, sizeof(want), k);
        NEED(vhost_vsock_send(stream, want, sizeof(want), WAIT_MS, &err) >= 0,
             err);
        assert_int_equal(recv(host, got, sizeof(got), MSG_WAITALL),
                         sizeof(got));
        assert_memory_equal(got, want, sizeof(want));
        assert_int_equal(send(host, want, sizeof(want), 0), sizeof(want));
        while (have < sizeof(want)) {
            int n = vhost_vsock_receive(stream, got + have, sizeof(got) - have,
                                        WAIT_MS, &err);

            NEED(n > 0, err);
            have += (size_t)n;
        }
        assert_memory_equal(got, want, sizeof(want));
    }
    vhost_vsock_hang_up(stream);
    assert_null(vhost_vsock_open("kernel:vsock?cid=50", 0, NULL, &err));
    assert_non_null(strstr(vhost_error_message(err), "another guest has"));
    vhost_error_free(err);
    vhost_vsock_close(vsock);
    close(host);
    close(listener);
}

static void test_scsi_finds_a_disk_writes_and_reads_it(void **state)
{
    struct vhost_error *err = NULL;
    struct vhost_scsi *scsi = vhost_scsi_open(
        "kernel:scsi?wwpn=naa.5001405000000001&tpgt=1", NULL, &err);
    struct vhost_scsi_identity identity;
    struct vhost_scsi_disk disk;
    uint8_t want[8192], got[8192];
    uint16_t luns[8];
    int r = -1;

    (void)state;
    NEED(scsi, err);
    for (unsigned i = 0; i < TRIES && r < 0; i++) {
        vhost_error_free(err);
        err = NULL;
        r = vhost_scsi_find_disk(scsi, 1, 0, &disk, &err);
    }
    NEED(r == 0, err);
    NEED(vhost_scsi_inquiry(scsi, 1, 0, &identity, &err) == 0, err);
    assert_int_equal(identity.type, 0);
    assert_memory_equal(identity.vendor, "LIO-ORG", 7);
    assert_int_equal(vhost_scsi_report_luns(scsi, 1, luns, 8, &err), 2);
    for (unsigned k = 0; k < 20; k++) {
        fill(want, sizeof(want), k);
        NEED(vhost_scsi_write(scsi, &disk, 65536 * k, want, sizeof(want),
                              &err) == 0,
             err);
    }
    for (unsigned k = 0; k < 20; k++) {
        fill(want, sizeof(want), k);
        NEED(vhost_scsi_read(scsi, &disk, 65536 * k, got, sizeof(got), &err) ==
                 0,
             err);
        assert_memory_equal(got, want, sizeof(want));
    }
    vhost_scsi_close(scsi);
}

/* The interface is there, and up: see test-kernel-drivers.sh. */
static int host_end(const char *tap)
{
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(0x88b5),
                              .sll_ifindex = (int)if_nametoindex(tap) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void test_net_sends_and_receives_frames(void **state)
{
    struct vhost_error *err = NULL;
    struct vhost_net_device *net =
        vhost_net_open("kernel:net?tap=lab5", NULL, &err);
    uint8_t want[600], got[2048];
    int host = host_end("lab5");

    (void)state;
    NEED(net, err);
    for (unsigned k = 0; k < 100; k++) {
        struct vhost_net_rx *rx = vhost_net_get_rx(net, 0);
        ssize_t n;

        fill(want, sizeof(want), k);
        memcpy(want, "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x88\xb5", 14);
        assert_int_equal(vhost_net_write(vhost_net_get_tx(net, 0), want,
                                         sizeof(want), WAIT_MS),
                         0);
        do {
            n = recv(host, got, sizeof(got), 0);
        } while (n >= 0 && got[14] != want[14]);
        assert_int_equal(n, sizeof(want));
        assert_memory_equal(got, want, sizeof(want));
        assert_int_equal(send(host, want, sizeof(want), 0), sizeof(want));
        do {
            n = vhost_net_read(rx, got, sizeof(got), WAIT_MS);
        } while (n > 0 && (got[12] != 0x88 || got[13] != 0xb5));
        assert_int_equal(n, sizeof(want));
        assert_memory_equal(got, want, sizeof(want));
    }
    vhost_net_close(net);
    close(host);
}

static void test_a_driver_of_another_kind_is_told_so(void **state)
{
    struct vhost_error *err = NULL;

    (void)state;
    assert_null(vhost_net_open("kernel:vsock?cid=51", NULL, &err));
    assert_non_null(strstr(vhost_error_message(err), "kernel:vsock?cid=51"));
    vhost_error_free(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vsock_knows_its_cid_and_streams),
        cmocka_unit_test(test_scsi_finds_a_disk_writes_and_reads_it),
        cmocka_unit_test(test_net_sends_and_receives_frames),
        cmocka_unit_test(test_a_driver_of_another_kind_is_told_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
