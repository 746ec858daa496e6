/* SPDX-License-Identifier: BSD-3-Clause */
/* Network devices of the kernel: nodes, taps, packet sockets, headers. */
#include "lib/kernel-rig.h"

static void test_a_pair_of_queues_is_a_node_with_a_tap(void **state)
{
    struct vhost_kernel_info info;
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_NET, 4);
    vhost_kernel_get_info(rig.kernel, &info);
    assert_int_equal(info.nodes, 2);
    assert_int_equal(info.max_mem_slots, 64);
    assert_true(info.vnet_header);
    assert_int_equal(rig.dev.backend_features, 0);
    assert_int_equal(rig_start(&rig), 0);
    for (unsigned i = 0; i < 4; i++) {
        const struct fake_node *node = &rig.k.nodes[i / 2];
        const struct fake_vq *q = &node->q[i % 2];
        const char *ring = (char *)rig.memory.hva + i * 0x1000;

        assert_int_equal(q->num, 8);
        assert_int_equal(q->base, 10 + i);
        assert_int_equal(q->call_fd, 100 + (int)i);
        assert_int_equal(q->err_fd, rig.vqs[i].error_notifier.fd);
        assert_ptr_equal((void *)(uintptr_t)q->addr.desc_user_addr, ring);
        assert_ptr_equal((void *)(uintptr_t)q->addr.avail_user_addr,
                         ring + 0x400);
        assert_ptr_equal((void *)(uintptr_t)q->addr.used_user_addr,
                         ring + 0x800);
        assert_int_equal(q->backend, rig.k.taps[i / 2].fd);
        assert_int_equal(node->features[0], RIG_VERSION_1);
        assert_int_equal(node->n_regions, 1);
        assert_int_equal(node->regions[0].userspace_addr,
                         (uintptr_t)rig.memory.hva);
        assert_int_equal(node->caps, VH_KERNEL_F_MSG_V2);
    }
    assert_int_equal(rig.k.taps[0].header, 12);
    assert_int_equal(rig.k.taps[0].offload, 0);
    assert_true(rig.k.taps[0].flags & IFF_MULTI_QUEUE);
    rig_down(&rig);
}

static void test_a_stop_detaches_before_it_asks(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_NET, 4);
    for (unsigned k = 0; k < 3; k++) {
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_stop(&rig), 0); /* the kernel checks the order */
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(rig.k.nodes[i / 2].q[i % 2].backend, -1);
            assert_int_equal(rig.queues[i].base, 15 + i + 5 * k);
            assert_int_equal(rig.queues[i].base_source, VHOST_BASE_FROM_DEVICE);
        }
    }
    rig_down(&rig);
}

static void test_pairs_without_rings_get_no_frames(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_NET, 4);
    rig.queues[2].desc = rig.queues[3].desc = 0;
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.nodes[1].q[0].backend, -1);
    assert_false(rig.k.taps[0].detached);
    assert_true(rig.k.taps[1].detached);
    assert_int_equal(rig_stop(&rig), 0);
    rig.queues[2].desc = RIG_GPA + 0x2000;
    rig.queues[3].desc = RIG_GPA + 0x3000;
    assert_int_equal(rig_start(&rig), 0);
    assert_false(rig.k.taps[1].detached);
    assert_int_equal(rig.k.nodes[1].q[1].backend, rig.k.taps[1].fd);
    rig_down(&rig);
}

static void test_one_queue_is_taken_back_and_handed_over_again(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_NET, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(vhost_virtqueue_stop(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
                     0);
    assert_int_equal(rig.queues[1].base, 16);
    assert_int_equal(rig.k.nodes[0].q[1].backend, -1);
    assert_int_not_equal(rig.k.nodes[0].q[0].backend, -1);
    assert_int_equal(vhost_virtqueue_start(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
                     0);
    assert_int_equal(rig.k.nodes[0].q[1].base, 16);
    assert_int_equal(rig.k.nodes[0].q[1].backend, rig.k.taps[0].fd);
    rig_down(&rig);

    rig_up(&rig, VHOST_KERNEL_VSOCK, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(vhost_virtqueue_stop(&rig.dev, &rig.vdev, &rig.vqs[1], 1),
                     -ENOTSUP);
    rig_expect(vhost_dev_get_error(&rig.dev), -ENOTSUP, "all together");
    rig_down(&rig);
}

static void test_a_tap_without_header_has_the_kernel_add_it(void **state)
{
    struct vhost_kernel_info info;
    struct kernel_rig rig;
    int fd;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    fd = fake_tap_add(&rig.k, IFF_TAP | IFF_NO_PI);
    rig.options.tap = NULL;
    rig.options.backends = &fd;
    rig.options.n_backends = 1;
    assert_int_equal(rig_init(&rig), 0);
    vhost_kernel_get_info(rig.kernel, &info);
    assert_false(info.vnet_header);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.nodes[0].features[0],
                     RIG_VERSION_1 | VH_KERNEL_F_NET_HDR);
    assert_int_equal(vhost_kernel_set_offloads(rig.kernel, 2, &rig.err),
                     -EINVAL);
    rig_expect(rig.err, -EINVAL, "no taps with a virtio-net header");
    rig_down(&rig);

    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    fd = fake_tap_add(&rig.k, IFF_TAP | IFF_NO_PI);
    rig.k.offered[0] &= ~VH_KERNEL_F_NET_HDR;
    rig.options.tap = NULL;
    rig.options.backends = &fd;
    rig.options.n_backends = 1;
    rig_refused(&rig, -EINVAL, "which this kernel can't add");
}

static void test_a_packet_socket_with_and_without_header(void **state)
{
    (void)state;
    for (int header = 0; header <= 12; header += 12) {
        struct kernel_rig rig;
        int fd;

        rig_prepare(&rig, VHOST_KERNEL_NET, 2);
        fd = fake_socket_add(&rig.k, AF_PACKET, SOCK_RAW, header);
        rig.options.tap = NULL;
        rig.options.backends = &fd;
        rig.options.n_backends = 1;
        assert_int_equal(rig_init(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig.k.nodes[0].features[0] & VH_KERNEL_F_NET_HDR,
                         header ? 0 : VH_KERNEL_F_NET_HDR);
        assert_int_equal(rig.k.nodes[0].q[0].backend, fd);
        rig_down(&rig);
    }
}

static void test_the_header_is_as_long_as_the_driver_s(void **state)
{
    static const struct {
        uint64_t driver[2];
        int len;
    } cases[] = {
        { { 0, 0 }, 10 },
        { { 1 << 15, 0 }, 12 },
        { { RIG_VERSION_1, 0 }, 12 },
        { { RIG_VERSION_1, 2 }, 24 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct kernel_rig rig;

        rig_prepare(&rig, VHOST_KERNEL_NET, 2);
        rig.k.wide = true;
        rig.k.offered[1] = 2 | 8;
        memcpy(rig.driver, cases[i].driver, sizeof(rig.driver));
        assert_int_equal(rig_init(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig.k.taps[0].header, cases[i].len);
        assert_memory_equal(rig.k.nodes[0].features, cases[i].driver, 16);
        rig_down(&rig);
    }
}

static void test_backends_come_and_go(void **state)
{
    struct vhost_vring_file file = { .index = 0 };
    struct kernel_rig rig;
    int plain, tap, other;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.options.tap = NULL;
    plain = fake_tap_add(&rig.k, IFF_TAP | IFF_NO_PI);
    tap = fake_tap_add(&rig.k, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
    other = fake_tap_add(&rig.k, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
    assert_int_equal(rig_init(&rig), 0);
    file.fd = plain;
    assert_int_equal(vhost_net_set_backend(&rig.dev, &file), 0);
    assert_int_equal(rig.dev.backend_features, VH_KERNEL_F_NET_HDR);
    file.fd = tap;
    assert_int_equal(vhost_net_set_backend(&rig.dev, &file), 0);
    assert_int_equal(rig.dev.backend_features, 0);
    assert_int_equal(rig.k.nodes[0].q[0].backend, -1);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.nodes[0].q[0].backend, tap);
    assert_int_equal(rig.k.nodes[0].q[1].backend, -1);
    /* A running queue takes it at once; one of another kind it does not. */
    file.index = 1;
    assert_int_equal(vhost_net_set_backend(&rig.dev, &file), 0);
    assert_int_equal(rig.k.nodes[0].q[1].backend, tap);
    file.fd = other;
    assert_int_equal(vhost_net_set_backend(&rig.dev, &file), 0);
    assert_int_equal(rig.k.nodes[0].q[1].backend, other);
    assert_int_equal(fake_tap_of(&rig.k, other)->header, 12);
    file.fd = plain;
    assert_int_equal(vhost_net_set_backend(&rig.dev, &file), -EINVAL);
    rig_expect(vhost_dev_get_error(&rig.dev), -EINVAL, "no virtio-net header");
    assert_int_equal(rig.k.nodes[0].q[1].backend, other);
    file.fd = -1;
    assert_int_equal(vhost_net_set_backend(&rig.dev, &file), 0);
    assert_int_equal(rig.k.nodes[0].q[1].backend, -1);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.k.nodes[0].q[0].backend, tap);
    assert_int_equal(rig.k.nodes[0].q[1].backend, -1);
    file.index = 2;
    assert_int_equal(vhost_net_set_backend(&rig.dev, &file), -EINVAL);
    rig_expect(vhost_dev_get_error(&rig.dev), -EINVAL, "queue 2");
    rig_down(&rig);
}

static void test_taps_of_the_wrong_kind_are_told_by_what_they_are(void **state)
{
    static const struct {
        unsigned flags;
        int code;
        const char *words;
    } taps[] = {
        { IFF_TUN | IFF_NO_PI, -EINVAL, "is a tun" },
        { IFF_TAP, -EINVAL, "IFF_NO_PI" },
        { 0, -EINVAL, "without a name" },
    };
    static const struct {
        int domain, type, header, code;
        const char *words;
    } sockets[] = {
        { AF_INET, SOCK_RAW, 0, -ENOTSOCK, "neither a tap nor a packet" },
        { AF_PACKET, SOCK_DGRAM, 0, -EINVAL, "SOCK_RAW" },
    };
    struct kernel_rig rig;
    int fd;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(taps) + ARRAY_SIZE(sockets); i++) {
        size_t k = i - ARRAY_SIZE(taps);
        bool socket = i >= ARRAY_SIZE(taps);

        rig_prepare(&rig, VHOST_KERNEL_NET, 2);
        fd = socket ? fake_socket_add(&rig.k, sockets[k].domain,
                                      sockets[k].type, sockets[k].header)
                    : fake_tap_add(&rig.k, taps[i].flags);
        rig.options.tap = NULL;
        rig.options.backends = &fd;
        rig.options.n_backends = 1;
        rig_refused(&rig, socket ? sockets[k].code : taps[i].code,
                    socket ? sockets[k].words : taps[i].words);
    }
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    fd = fake_socket_add(&rig.k, AF_PACKET, SOCK_RAW, 10);
    rig.options.tap = NULL;
    rig.options.backends = &fd;
    rig.options.n_backends = 1;
    assert_int_equal(rig_init(&rig), 0);
    assert_int_equal(rig_start(&rig), -ENOTTY);
    rig_expect(vhost_dev_get_error(&rig.dev), -ENOTTY, "PACKET_VNET_HDR_SZ");
    rig_down(&rig);
}

static void test_a_tap_that_can_t_be_had_says_why(void **state)
{
    static const struct {
        int tun, setiff;
        unsigned flags, can;
        unsigned queues;
        int code;
        const char *words;
    } cases[] = {
        { -ENOENT, 0, 0, 0, 2, -ENOENT, "modprobe tun" },
        { -EACCES, 0, 0, 0, 2, -EACCES, "read and write access" },
        { 0, -EPERM, 0, 0, 2, -EPERM, "CAP_NET_ADMIN" },
        { 0, -EBUSY, 0, 0, 2, -EBUSY, "another program" },
        { 0, -E2BIG, 0, 0, 4, -E2BIG, "no more queues" },
        { 0, 0, IFF_TUN, 0, 2, -EINVAL, "is no tap" },
        { 0, 0, IFF_TAP, 0, 4, -EINVAL, "multi_queue" },
        { 0, 0, 0, IFF_TAP | IFF_NO_PI, 4, -ENOTSUP, "have one queue" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct kernel_rig rig;

        rig_prepare(&rig, VHOST_KERNEL_NET, cases[i].queues);
        rig.k.tun_error = cases[i].tun;
        rig.k.setiff_error = cases[i].setiff;
        rig.k.tap_flags = cases[i].flags;
        rig.k.tap_can = cases[i].can ? cases[i].can : rig.k.tap_can;
        rig_refused(&rig, cases[i].code, cases[i].words);
    }
}

static void test_one_queue_of_a_tap_that_has_several(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_prepare(&rig, VHOST_KERNEL_NET, 2);
    rig.k.tap_flags = IFF_TAP | IFF_MULTI_QUEUE;
    assert_int_equal(rig_init(&rig), 0);
    assert_true(rig.k.taps[0].flags & IFF_MULTI_QUEUE);
    assert_int_equal(rig_start(&rig), 0);
    rig_down(&rig);
}

static void test_offloads_are_what_the_driver_takes(void **state)
{
    struct kernel_rig rig;

    (void)state;
    rig_up(&rig, VHOST_KERNEL_NET, 4);
    assert_int_equal(vhost_kernel_set_offloads(rig.kernel, 0x482, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rig.k.taps[i].offload,
                         TUN_F_CSUM | TUN_F_TSO4 | TUN_F_UFO);
    }
    /* Nothing may be left to the receiver that can't check sums. */
    assert_int_equal(vhost_kernel_set_offloads(rig.kernel, 0x480, NULL), 0);
    assert_int_equal(rig.k.taps[0].offload, 0);
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pair_of_queues_is_a_node_with_a_tap),
        cmocka_unit_test(test_a_stop_detaches_before_it_asks),
        cmocka_unit_test(test_pairs_without_rings_get_no_frames),
        cmocka_unit_test(test_one_queue_is_taken_back_and_handed_over_again),
        cmocka_unit_test(test_a_tap_without_header_has_the_kernel_add_it),
        cmocka_unit_test(test_a_packet_socket_with_and_without_header),
        cmocka_unit_test(test_the_header_is_as_long_as_the_driver_s),
        cmocka_unit_test(test_backends_come_and_go),
        cmocka_unit_test(test_taps_of_the_wrong_kind_are_told_by_what_they_are),
        cmocka_unit_test(test_a_tap_that_can_t_be_had_says_why),
        cmocka_unit_test(test_one_queue_of_a_tap_that_has_several),
        cmocka_unit_test(test_offloads_are_what_the_driver_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
