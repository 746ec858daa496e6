/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-net of a real kernel: frames go between rings and a packet socket on
 * the other side of a tap.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/vhost_types.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vhost/netdev.h>

#include "backend/kernel/uapi.h"
#include "check.h"
#include "lab/kernel-guest.h"

#define TYPE 0x0800
#define HEADER 12u
#define FRAME 200u
#define MARK 0x5aa5

struct frame { /* as far as anybody looks at it: UDP in IPv4 */
    uint8_t to[6], from[6];
    uint16_t type;
    uint8_t ip[20];
    uint16_t port_from, port_to, udp_len, udp_sum;
    uint16_t mark, number;
    uint8_t data[FRAME - 46];
} __attribute__((packed));

static const struct vhost_kernel_options with_tap = { .size = sizeof(with_tap),
                                                      .kind = VHOST_KERNEL_NET,
                                                      .tap = "lab0" };

/* Each number is a flow of its own. */
static void fill(struct frame *f, unsigned number, const uint8_t *to)
{
    memset(f, 0, sizeof(*f));
    memcpy(f->to, to, 6);
    memcpy(f->from, "\x02\0\0\0\0\x07", 6);
    f->type = htons(TYPE);
    f->ip[0] = 0x45;
    f->ip[3] = FRAME - 14;
    f->ip[8] = 64;
    f->ip[9] = IPPROTO_UDP;
    memcpy(f->ip + 12, "\x0a\x09\x08\x01\x0a\x09\x08", 7);
    f->ip[19] = 2;
    f->port_from = htons((uint16_t)(1000 + number));
    f->port_to = htons(9);
    f->udp_len = htons(FRAME - 34);
    f->mark = htons(MARK);
    f->number = htons((uint16_t)number);
    for (unsigned i = 0; i < sizeof(f->data); i++) {
        f->data[i] = (uint8_t)(number * 7 + i);
    }
}

/* The number of a frame that is whole; -1: another one. */
static int number_of(const struct frame *f)
{
    struct frame as;

    if (f->type != htons(TYPE) || f->mark != htons(MARK)) {
        return -1;
    }
    fill(&as, ntohs(f->number), f->to);
    return memcmp(&as, f, sizeof(as)) == 0 ? ntohs(f->number) : -2;
}

/* The host's end of the tap. */
static int host_end(const char *tap)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    struct ifreq ifr = { .ifr_flags = 0 };
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_ALL) };

    assert_true(fd >= 0);
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", tap);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
    ifr.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
    at.sll_ifindex = (int)if_nametoindex(tap);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void host_send(int fd, unsigned number)
{
    struct frame f;

    fill(&f, number, (const uint8_t *)"\x02\0\0\0\0\x08");
    assert_int_equal(send(fd, &f, sizeof(f), 0), sizeof(f));
}

static int host_receive(int fd)
{
    int number = -1;

    while (number == -1) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        struct sockaddr_ll from;
        socklen_t len = sizeof(from);
        struct frame f;
        ssize_t n;

        if (poll(&p, 1, GUEST_WAIT_S * 1000) <= 0) {
            return -3;
        }
        n = recvfrom(fd, &f, sizeof(f), MSG_TRUNC, (struct sockaddr *)&from,
                     &len);
        if (n == sizeof(f) && from.sll_pkttype != PACKET_OUTGOING) {
            number = number_of(&f);
        }
    }
    return number;
}

static void guest_send(struct guest *g, unsigned pair, unsigned number)
{
    unsigned queue = 2 * pair + 1;
    unsigned i = number % GUEST_BUFS;
    char *buf = guest_buf(g, queue, i);
    const struct vh_sg sg = { guest_addr(g, queue, i), HEADER + FRAME };
    uint32_t len;

    memset(buf, 0, HEADER);
    fill((struct frame *)(buf + HEADER), number,
         (const uint8_t *)"\xff\xff\xff\xff\xff\xff");
    guest_give(g, queue, &sg, 1, 0, i + 1);
    assert_int_equal(guest_take(g, queue, &len, 0), i + 1);
}

static void guest_post(struct guest *g, unsigned pair, unsigned i)
{
    const struct vh_sg sg = { guest_addr(g, 2 * pair, i), GUEST_BUF };

    memset(guest_buf(g, 2 * pair, i), 0xee, GUEST_BUF);
    guest_give(g, 2 * pair, &sg, 0, 1, i + 1);
}

/* The number of the next frame; -3: none came. */
static int guest_receive(struct guest *g, unsigned pair, unsigned seconds)
{
    int number = -1;

    while (number == -1) {
        uint32_t len;
        uintptr_t i = guest_take(g, 2 * pair, &len, seconds);

        if (i == 0) {
            return -3;
        }
        if (len == HEADER + FRAME) {
            number =
                number_of((struct frame *)((char *)guest_buf(g, 2 * pair,
                                                             (unsigned)i - 1) +
                                           HEADER));
        }
        guest_post(g, pair, (unsigned)i - 1);
    }
    return number;
}

static void post_all(struct guest *g, unsigned pairs)
{
    for (unsigned p = 0; p < pairs; p++) {
        for (unsigned i = 0; i < GUEST_BUFS; i++) {
            guest_post(g, p, i);
        }
    }
}

static void exchange(struct guest *g, int host, unsigned first, unsigned n)
{
    for (unsigned k = first; k < first + n; k++) {
        guest_send(g, 0, k);
        assert_int_equal(host_receive(host), k);
        host_send(host, k);
        assert_int_equal(guest_receive(g, 0, 0), k);
    }
}

static void test_frames_go_both_ways_also_after_a_restart(void **state)
{
    struct vhost_kernel_info info;
    struct guest g;
    int host;

    (void)state;
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    vhost_kernel_get_info(g.kernel, &info);
    assert_int_equal(info.nodes, 1);
    assert_true(info.vnet_header);
    assert_true(info.max_mem_slots >= 64);
    assert_int_equal(info.features[0], g.dev.features);
    host = host_end("lab0");
    post_all(&g, 1);
    guest_start(&g);
    exchange(&g, host, 0, 40);
    for (unsigned k = 1; k < 4; k++) {
        uint32_t sent = g.queues[1].base;

        guest_stop(&g);
        assert_int_equal(g.queues[1].base_source, VHOST_BASE_FROM_DEVICE);
        assert_int_equal((uint16_t)(g.queues[1].base - sent),
                         k == 1 ? 40 : 40 + 30);
        guest_start(&g);
        exchange(&g, host, 100 * k, 30);
        if (k == 1) {
            exchange(&g, host, 150, 40);
        } else if (k == 2) {
            exchange(&g, host, 250, 40);
        }
    }
    close(host);
    guest_down(&g);
}

static void test_a_tap_without_header_and_packet_sockets(void **state)
{
    struct vhost_kernel_options o = { .size = sizeof(o),
                                      .kind = VHOST_KERNEL_NET };
    struct ifreq ifr = { .ifr_name = "lab1", .ifr_flags = IFF_TAP | IFF_NO_PI };
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct vhost_kernel_info info;
    struct guest g, h;
    int host, socket_fd;

    (void)state;
    assert_int_equal(ioctl(tap, TUNSETIFF, &ifr), 0);
    o.backends = &tap;
    o.n_backends = 1;
    guest_up(&g, &o, 2, F_VERSION_1);
    vhost_kernel_get_info(g.kernel, &info);
    assert_false(info.vnet_header);
    host = host_end("lab1");
    post_all(&g, 1);
    guest_start(&g);
    exchange(&g, host, 0, 20);

    /* Another guest on the host's end of the same tap. */
    socket_fd = host_end("lab1");
    o.backends = &socket_fd;
    guest_up(&h, &o, 2, F_VERSION_1);
    post_all(&h, 1);
    guest_start(&h);
    for (unsigned k = 100; k < 120; k++) {
        guest_send(&g, 0, k);
        assert_int_equal(guest_receive(&h, 0, 0), k);
        guest_send(&h, 0, k + 100);
        assert_int_equal(guest_receive(&g, 0, 0), k + 100);
    }
    guest_down(&h);
    guest_down(&g);
    close(socket_fd);
    close(host);
    close(tap);
}

static void test_pairs_of_one_device_are_queues_of_one_tap(void **state)
{
    struct vhost_kernel_info info;
    unsigned got[3] = { 0 };
    bool seen[96] = { false };
    struct guest g;
    int host;

    (void)state;
    guest_up(&g, &with_tap, 6, F_VERSION_1);
    vhost_kernel_get_info(g.kernel, &info);
    assert_int_equal(info.nodes, 3);
    host = host_end("lab0");
    post_all(&g, 3);
    guest_start(&g);
    for (unsigned k = 0; k < 12; k++) {
        guest_send(&g, k % 3, k);
        assert_int_equal(host_receive(host), k);
    }
    /* Flows are spread over the queues, each whole on its own. */
    for (unsigned k = 20; k < 96; k++) {
        host_send(host, k);
    }
    for (unsigned left = 76, idle = 0; left > 0 && idle < 3;) {
        idle++;
        for (unsigned p = 0; p < 3; p++) {
            int number;

            while ((number = guest_receive(&g, p, 1)) >= 0) {
                assert_true(number >= 20 && number < 96 && !seen[number]);
                seen[number] = true;
                got[p]++;
                left--;
                idle = 0;
            }
        }
    }
    assert_int_equal(got[0] + got[1] + got[2], 76);
    assert_true(got[0] && got[1] && got[2]);
    /* The driver goes on with one pair: that has it all. */
    guest_stop(&g);
    g.queues[2].desc = g.queues[3].desc = 0;
    g.queues[4].desc = g.queues[5].desc = 0;
    guest_start(&g);
    for (unsigned k = 20; k < 50; k++) {
        host_send(host, k);
        assert_int_equal(guest_receive(&g, 0, 0), k);
    }
    close(host);
    guest_down(&g);
}

static void mark(void *opaque, uint64_t gpa, uint64_t size)
{
    bool *dirty = opaque;

    assert_true(gpa >= GUEST_GPA && gpa + size <= GUEST_GPA + GUEST_SIZE);
    for (uint64_t at = gpa - GUEST_GPA; at < gpa - GUEST_GPA + size;
         at += 4096) {
        dirty[at / 4096] = true;
    }
}

/* What the kernel has written by itself since @before is in the log: all used
 * rings and received frames; the guest's own writes are not asked for. */
static void log_is_complete(struct guest *g, int host, unsigned first)
{
    static bool dirty[GUEST_SIZE / 4096];
    struct vhost_error *err = NULL;
    unsigned n = 0;

    memset(dirty, 0, sizeof(dirty));
    assert_int_equal(vhost_log_sync(g->map, mark, dirty, &err), 0);
    memset(dirty, 0, sizeof(dirty));
    for (unsigned k = first; k < first + 10; k++) {
        uint32_t len;
        uintptr_t i;

        host_send(host, k);
        do {
            i = guest_take(g, 0, &len, 0);
            assert_int_not_equal(i, 0);
        } while (number_of(
                     (struct frame *)((char *)guest_buf(g, 0, (unsigned)i - 1) +
                                      HEADER)) != (int)k);
        assert_int_equal(vhost_log_sync(g->map, mark, dirty, &err), 0);
        /* The frame's page, and that of the used ring. */
        assert_true(dirty[((char *)guest_buf(g, 0, (unsigned)i - 1) -
                           (char *)g->ram.hva) /
                          4096]);
        assert_true(dirty[0x2000 / 4096]);
        guest_post(g, 0, (unsigned)i - 1);
        memset(dirty, 0, sizeof(dirty));
        guest_send(g, 0, k);
        assert_int_equal(host_receive(host), k);
        assert_int_equal(vhost_log_sync(g->map, mark, dirty, &err), 0);
        assert_true(dirty[(0x4000 + 0x2000) / 4096]);
        /* What it has only read is clean. */
        assert_false(dirty[((char *)guest_buf(g, 1, k % GUEST_BUFS) -
                            (char *)g->ram.hva) /
                           4096]);
        memset(dirty, 0, sizeof(dirty));
        n++;
    }
    assert_int_equal(n, 10);
}

static void test_what_the_kernel_writes_is_in_the_log(void **state)
{
    struct vhost_error *err = NULL;
    struct guest g;
    int host;

    (void)state;
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    assert_null(vhost_dev_migration_blocker(&g.dev));
    host = host_end("lab0");
    post_all(&g, 1);
    guest_start(&g);
    exchange(&g, host, 0, 5);
    assert_int_equal(vhost_log_start(g.map, &err), 0);
    log_is_complete(&g, host, 40);
    guest_stop(&g); /* and over a stop and a start */
    guest_start(&g);
    log_is_complete(&g, host, 60);
    assert_int_equal(vhost_log_stop(g.map, &err), 0);
    exchange(&g, host, 80, 5);
    close(host);
    guest_down(&g);
}

static void test_behind_an_iommu_it_asks_and_is_told(void **state)
{
    struct guest g;
    unsigned before;
    int host;

    (void)state;
    guest_up(&g, &with_tap, 4, F_VERSION_1 | F_IOMMU);
    assert_true(g.dev.acked_features & F_IOMMU);
    host = host_end("lab0");
    post_all(&g, 2);
    guest_start(&g);
    assert_true(vhost_dev_has_iommu(&g.dev));
    for (unsigned k = 0; k < 20; k++) {
        guest_send(&g, k % 2, k);
        assert_int_equal(host_receive(host), k);
    }
    before = g.n_translated;
    assert_true(before >= 20 + 12); /* a page each, and the rings */
    /* What it has been told, it does not ask again, ... */
    for (unsigned k = 0; k < 20; k++) {
        guest_send(&g, k % 2, k);
        assert_int_equal(host_receive(host), k);
    }
    assert_int_equal(g.n_translated, before);
    /* ... unless it was taken back. */
    assert_int_equal(vhost_iommu_invalidate(&g.vdev, GUEST_IOVA, GUEST_SIZE,
                                            VHOST_IOMMU_UNMAP),
                     0);
    for (unsigned k = 0; k < 20; k++) {
        guest_send(&g, k % 2, k);
        assert_int_equal(host_receive(host), k);
    }
    assert_true(g.n_translated >= before + 20);
    close(host);
    guest_down(&g);
}

static void test_behind_an_iommu_frames_come_and_are_logged(void **state)
{
    struct vhost_error *err = NULL;
    struct guest g;
    int host;

    (void)state;
    guest_up(&g, &with_tap, 2, F_VERSION_1 | F_IOMMU);
    host = host_end("lab0");
    post_all(&g, 1);
    guest_start(&g);
    exchange(&g, host, 0, 20);
    assert_int_equal(vhost_log_start(g.map, &err), 0);
    log_is_complete(&g, host, 40);
    assert_int_equal(vhost_log_stop(g.map, &err), 0);
    guest_stop(&g);
    guest_start(&g);
    exchange(&g, host, 100, 20);
    close(host);
    guest_down(&g);
}

static void test_a_buffer_outside_memory_is_an_error_of_the_ring(void **state)
{
    struct guest g;
    struct vh_sg sg = { UINT64_C(1) << 50, 100 };
    int host;

    (void)state;
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    host = host_end("lab0");
    guest_start(&g);
    guest_give(&g, 1, &sg, 1, 0, 1);
    for (unsigned i = 0; i < 50 && g.n_errors[1] == 0; i++) {
        struct pollfd p = { .fd = vhost_dev_get_fd(&g.dev), .events = POLLIN };

        poll(&p, 1, 200);
        assert_int_equal(vhost_dev_dispatch(&g.dev), 0);
    }
    assert_true(g.n_errors[1] > 0);
    assert_int_equal(g.n_errors[0], 0);
    close(host);
    guest_down(&g);
}

static void test_one_pair_is_taken_off_and_given_another_tap(void **state)
{
    struct ifreq ifr = { .ifr_name = "lab2",
                         .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    struct vhost_vring_file file = { .index = 1, .fd = -1 };
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    int host, other;
    struct guest g;

    (void)state;
    assert_int_equal(ioctl(tap, TUNSETIFF, &ifr), 0);
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    host = host_end("lab0");
    other = host_end("lab2");
    guest_start(&g);
    guest_send(&g, 0, 1);
    assert_int_equal(host_receive(host), 1);
    assert_int_equal(vhost_net_set_backend(&g.dev, &file), 0);
    file.fd = tap;
    assert_int_equal(vhost_net_set_backend(&g.dev, &file), 0);
    guest_send(&g, 0, 2);
    assert_int_equal(host_receive(other), 2);
    /* A queue by itself, while the device runs. */
    assert_int_equal(vhost_virtqueue_stop(&g.dev, &g.vdev, &g.vqs[1], 1), 0);
    assert_int_equal(g.queues[1].base, 2);
    assert_int_equal(vhost_virtqueue_start(&g.dev, &g.vdev, &g.vqs[1], 1), 0);
    guest_send(&g, 0, 3);
    assert_int_equal(host_receive(other), 3);
    close(other);
    close(host);
    guest_down(&g);
    close(tap);
}

static void test_struct_vhost_net_is_all_of_it(void **state)
{
    struct vhost_net net = { .pairs = 0 };
    struct vhost_error *err = NULL;
    struct guest g;
    int host;

    (void)state;
    guest_up(&g, &with_tap, 4, F_VERSION_1);
    vhost_dev_cleanup(&g.dev); /* but for its memory and its rings */
    net.dev.map = g.map;
    if (vhost_net_init(&net, &with_tap, 2, 50, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    assert_true(net.backend >= 0);
    host = host_end("lab0");
    vhost_ack_features(&net.dev, (const int[]){ 32, 0xff }, F_VERSION_1);
    assert_int_equal(vhost_dev_start(&net.dev, &g.vdev, true), 0);
    for (unsigned k = 0; k < 8; k++) {
        unsigned queue = 2 * (k % 2) + 1;
        char *buf = guest_buf(&g, queue, k);
        const struct vh_sg sg = { guest_addr(&g, queue, k), HEADER + FRAME };

        memset(buf, 0, HEADER);
        fill((struct frame *)(buf + HEADER), k,
             (const uint8_t *)"\xff\xff\xff"
                              "\xff\xff\xff");
        guest_give(&g, queue, &sg, 1, 0, k + 1);
        assert_int_equal(host_receive(host), k);
    }
    assert_int_equal(vhost_dev_stop(&net.dev, &g.vdev, true), 0);
    assert_int_equal(g.queues[1].base, 4);
    vhost_net_cleanup(&net);
    close(host);
    guest_down(&g);
}

static void refused(const struct vhost_kernel_options *o, unsigned queues,
                    int code, const char *words)
{
    struct vhost_kernel *kernel = vhost_kernel_new(o, NULL);
    struct vhost_virtqueue vqs[4] = { { .num = 0 } };
    struct vhost_dev dev = { .vqs = vqs, .nvqs = queues };
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

static void is_not_allowed(void)
{
    struct vhost_kernel_options o = with_tap;

    refused(&o, 2, -EACCES, "read and write access to the node");
}

static void test_what_goes_wrong_is_told_in_words(void **state)
{
    struct vhost_kernel_options o = with_tap;
    struct ifreq ifr = { .ifr_name = "lab3", .ifr_flags = IFF_TUN | IFF_NO_PI };
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct guest g;
    int nodes[1];

    (void)state;
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    refused(&o, 2, -EBUSY, "another program uses it");
    assert_int_equal(ioctl(tun, TUNSETIFF, &ifr), 0);
    o.tap = "lab3";
    refused(&o, 2, -EINVAL, "is no tap");
    o.tap = NULL;
    o.backends = &tun;
    o.n_backends = 1;
    refused(&o, 2, -EINVAL, "is a tun");
    o.n_backends = 0;
    o.path = "/dev/vhost-none";
    refused(&o, 2, -ENOENT, "modprobe vhost_net");
    o.path = "/dev/vhost-vsock";
    refused(&o, 2, -ENOTTY, "not a vhost-net node");
    o.path = "/dev/vhost-scsi";
    refused(&o, 2, -ENOTTY, "not a vhost-net node");
    o.path = NULL;
    nodes[0] = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
    assert_int_equal(ioctl(nodes[0], _IO(0xAF, 0x01), NULL), 0);
    o.nodes = nodes;
    o.n_nodes = 1;
    refused(&o, 2, -EBUSY, "claimed already");
    o.n_nodes = 0;
    o.nodes = NULL;
    guest_without_rights(is_not_allowed);
    close(tun);
    guest_down(&g);
}

static unsigned count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n - 2;
}

static void test_the_kernel_serves_by_threads_of_ours_or_its_own(void **state)
{
    (void)state;
    for (unsigned fork = 0; fork <= VHOST_KERNEL_FORK_KTHREAD; fork++) {
        struct vhost_kernel_options o = with_tap;
        struct guest g;
        int host;

        o.fork = fork;
        guest_up(&g, &o, 4, F_VERSION_1);
        host = host_end("lab0");
        assert_int_equal(count_threads(),
                         fork == VHOST_KERNEL_FORK_KTHREAD ? 1 : 3);
        post_all(&g, 2);
        guest_start(&g);
        guest_send(&g, 1, 5);
        assert_int_equal(host_receive(host), 5);
        close(host);
        guest_down(&g);
    }
}

static int killed_host;

static void begin_to_send(struct guest *g, const void *arg)
{
    (void)arg;
    guest_up(g, &with_tap, 4, F_VERSION_1);
    killed_host = host_end("lab0");
    post_all(g, 2);
    guest_start(g);
}

static void send_both_ways(struct guest *g, unsigned round)
{
    for (unsigned k = 0; k < 20; k++) {
        guest_send(g, k % 2, (round * 20 + k) % 4000);
        host_send(killed_host, k);
    }
}

static void test_a_program_that_is_killed_leaves_all_to_the_next(void **state)
{
    struct guest g;
    int host;

    (void)state;
    guest_is_killed(begin_to_send, send_both_ways, NULL);
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    host = host_end("lab0");
    post_all(&g, 1);
    guest_start(&g);
    exchange(&g, host, 0, 5);
    close(host);
    guest_down(&g);
}

/* Without a wait for it to have gone. */
static void give_frame(struct guest *g, unsigned number)
{
    unsigned i = number % GUEST_BUFS;
    char *buf = guest_buf(g, 1, i);
    const struct vh_sg sg = { guest_addr(g, 1, i), HEADER + FRAME };

    memset(buf, 0, HEADER);
    fill((struct frame *)(buf + HEADER), number,
         (const uint8_t *)"\xff\xff\xff\xff\xff\xff");
    guest_give(g, 1, &sg, 1, 0, i + 1);
}

static void test_a_stop_with_frames_in_flight_loses_none(void **state)
{
    struct guest g;
    uint32_t len;
    int host;

    (void)state;
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    host = host_end("lab0");
    post_all(&g, 1);
    guest_start(&g);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned k = 0; k < GUEST_BUFS; k++) {
            give_frame(&g, round * GUEST_BUFS + k);
        }
        guest_stop(&g);
        guest_start(&g);
        for (unsigned k = 0; k < GUEST_BUFS; k++) {
            assert_int_not_equal(guest_take(&g, 1, &len, 0), 0);
            assert_int_equal(host_receive(host), round * GUEST_BUFS + k);
        }
    }
    /* And let go of with some in flight. */
    for (unsigned k = 0; k < GUEST_BUFS; k++) {
        give_frame(&g, k);
    }
    guest_down(&g);
    close(host);
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    host = host_end("lab0");
    post_all(&g, 1);
    guest_start(&g);
    exchange(&g, host, 200, 5);
    close(host);
    guest_down(&g);
}

static void test_a_tap_that_is_taken_away_ends_in_a_stop(void **state)
{
    struct vhost_kernel_options o = with_tap;
    struct guest g;

    (void)state;
    o.tap = "lab4";
    guest_up(&g, &o, 2, F_VERSION_1);
    close(host_end("lab4"));
    post_all(&g, 1);
    guest_start(&g);
    guest_send(&g, 0, 1);
    assert_int_equal(system("/usr/sbin/ip link del lab4"), 0);
    for (unsigned k = 0; k < 5; k++) {
        give_frame(&g, k); /* nobody takes them */
    }
    assert_int_equal(vhost_dev_dispatch(&g.dev), 0);
    guest_stop(&g);
    guest_down(&g);
    guest_up(&g, &o, 2, F_VERSION_1); /* another, of the same name */
    close(host_end("lab4"));
    guest_start(&g);
    guest_send(&g, 0, 2);
    guest_down(&g);
}

static void test_feature_bits_above_63_where_the_kernel_has_them(void **state)
{
    struct { /* as <linux/vhost_types.h> has it since Linux 6.18 */
        uint64_t count, words[2];
    } wide = { .count = 2 };
    int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
    bool knows = ioctl(fd, VH_KERNEL_GET_FEATURES_ARRAY, &wide) == 0;
    struct vhost_kernel_info info;
    struct guest g;

    (void)state;
    assert_true(knows || errno == ENOTTY || errno == EPERM);
    close(fd);
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    vhost_kernel_get_info(g.kernel, &info);
    assert_int_equal(info.wide_features, knows);
    assert_int_equal(info.features[1], knows ? wide.words[1] : 0);
    guest_start(&g); /* which acknowledges by the one or the other call */
    guest_send(&g, 0, 1);
    guest_down(&g);
}

static void test_rings_that_make_no_sense_are_refused(void **state)
{
    struct guest g;
    uint64_t desc;

    (void)state;
    guest_up(&g, &with_tap, 2, F_VERSION_1);
    desc = g.queues[1].desc;
    g.queues[1].desc = GUEST_GPA + GUEST_SIZE - 0x100; /* over the end */
    assert_int_equal(vhost_dev_start(&g.dev, &g.vdev, true), -ENOMEM);
    g.queues[1].desc = desc + 4;
    assert_int_equal(vhost_dev_start(&g.dev, &g.vdev, true), -EINVAL);
    g.queues[1].desc = desc;
    guest_start(&g);
    guest_send(&g, 0, 1);
    guest_down(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_go_both_ways_also_after_a_restart),
        cmocka_unit_test(test_a_tap_without_header_and_packet_sockets),
        cmocka_unit_test(test_pairs_of_one_device_are_queues_of_one_tap),
        cmocka_unit_test(test_what_the_kernel_writes_is_in_the_log),
        cmocka_unit_test(test_behind_an_iommu_it_asks_and_is_told),
        cmocka_unit_test(test_behind_an_iommu_frames_come_and_are_logged),
        cmocka_unit_test(test_a_buffer_outside_memory_is_an_error_of_the_ring),
        cmocka_unit_test(test_one_pair_is_taken_off_and_given_another_tap),
        cmocka_unit_test(test_struct_vhost_net_is_all_of_it),
        cmocka_unit_test(test_what_goes_wrong_is_told_in_words),
        cmocka_unit_test(test_the_kernel_serves_by_threads_of_ours_or_its_own),
        cmocka_unit_test(test_a_program_that_is_killed_leaves_all_to_the_next),
        cmocka_unit_test(test_a_stop_with_frames_in_flight_loses_none),
        cmocka_unit_test(test_a_tap_that_is_taken_away_ends_in_a_stop),
        cmocka_unit_test(test_feature_bits_above_63_where_the_kernel_has_them),
        cmocka_unit_test(test_rings_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
