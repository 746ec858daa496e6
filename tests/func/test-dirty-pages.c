/* SPDX-License-Identifier: BSD-3-Clause */
/* Every page that a device has changed is in the log, and no other one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

#include "check.h"
#include "guest.h"

#define F(n) (UINT64_C(1) << (n))
#define DISK_SIZE (4u << 20)
#define REQUESTS 12 /* at a time */
#define BATCHES 12
#define FRAMES 8

static const uint64_t layouts[] = {
    0,
    F(VH_RING_F_EVENT_IDX),
    F(VH_RING_F_IN_ORDER),
    F(VH_RING_F_PACKED),
    F(VH_RING_F_PACKED) | F(VH_RING_F_EVENT_IDX),
    F(VH_RING_F_PACKED) | F(VH_RING_F_IN_ORDER),
};

/* A disk on which no two bytes in a row are the same. */
static char image[64];

static int make_image(void **state)
{
    static unsigned char bytes[DISK_SIZE];
    unsigned seed = 3;
    int fd;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (unsigned char)(seed >> 16);
    }
    snprintf(image, sizeof(image), "/tmp/test-dirty-XXXXXX");
    fd = mkstemp(image);
    if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) {
        return -1;
    }
    return close(fd);
}

static int remove_image(void **state)
{
    (void)state;
    return unlink(image);
}

static void log_on(struct guest *g)
{
    struct vhost_error *err = NULL;

    if (vhost_log_start(g->map, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
}

/* Requests of a disk */

static struct guest_area *some_area(struct guest *g)
{
    return g->far.mapped && guest_pick(g, 2) ? &g->far : &g->ram;
}

static struct vh_sg piece(struct guest *g, uint32_t len, bool written)
{
    struct guest_area *area = written ? some_area(g) : &g->ram;

    return (struct vh_sg){ guest_buffer(g, area, len, written), len };
}

/* In up to three pieces. */
static unsigned data(struct guest *g, struct vh_sg *sg, uint32_t len,
                     bool written)
{
    unsigned n = 0;

    for (unsigned i = guest_pick(g, 3); i > 0 && len > 512; i--) {
        uint32_t part = 1 + guest_pick(g, len - 1);

        sg[n++] = piece(g, part, written);
        len -= part;
    }
    sg[n++] = piece(g, len, written);
    return n;
}

static void add_request(struct guest *g)
{
    struct virtio_blk_outhdr header = {
        .sector = guest_pick(g, DISK_SIZE / 512 - 256),
    };
    uint32_t len = 512 * (1 + guest_pick(g, 128));
    unsigned n_out = 1, n_in = 0;
    struct vh_sg sg[8];

    switch (guest_pick(g, 6)) {
    case 0:
        header.type = VIRTIO_BLK_T_GET_ID;
        n_in = data(g, &sg[1], len, true);
        break;
    case 1:
        header.type = VIRTIO_BLK_T_OUT;
        n_out += data(g, &sg[1], len, false);
        break;
    case 2:
        header.sector = DISK_SIZE; /* beyond the end */
        /* fall through */
    default:
        header.type = VIRTIO_BLK_T_IN;
        n_in = data(g, &sg[1], len, true);
        break;
    }
    sg[0] = piece(g, sizeof(header), false);
    memcpy(guest_at(g, sg[0].addr), &header, sizeof(header));
    sg[n_out + n_in] = piece(g, 1, true);
    assert_int_equal(vh_ring_add(g->rings[0], sg, n_out, n_in + 1, g), 0);
}

static void submit(struct guest *g)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        add_request(g);
    }
    guest_publish(g, 0);
}

static void reap(struct guest *g)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        guest_take(g, 0);
    }
}

static void one_batch(struct guest *g)
{
    submit(g);
    guest_note(g);
    guest_kick(g, 0);
    reap(g);
    guest_check(g);
}

static void disk_up(struct guest *g, uint64_t features,
                    const struct vhost_server_options *options)
{
    guest_up(g, vhost_server_blk(image, NULL), options, 1, features);
}

static void test_pages_that_a_disk_fills_are_logged(void **state)
{
    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(layouts); l++) {
        struct guest g;

        disk_up(&g, layouts[l], NULL);
        assert_null(vhost_dev_migration_blocker(&g.dev));
        guest_start(&g);
        log_on(&g);
        for (unsigned i = 0; i < BATCHES; i++) {
            one_batch(&g);
        }
        assert_true(g.n_changed > 10 * BATCHES);
        guest_stop(&g);
        guest_down(&g);
    }
}

static void test_the_log_may_be_on_before_the_device(void **state)
{
    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(layouts); l++) {
        struct guest g;

        disk_up(&g, layouts[l], NULL);
        log_on(&g);
        submit(&g);
        guest_note(&g);
        guest_start(&g);
        reap(&g);
        guest_check(&g);
        guest_note(&g);
        guest_stop(&g);
        guest_check(&g); /* what a stop writes, too */
        guest_start(&g);
        one_batch(&g);
        guest_stop(&g);
        guest_down(&g);
    }
}

/* Whatever is written after the log is on, of requests from before. */
static void test_requests_in_flight_are_logged_too(void **state)
{
    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(layouts); l++) {
        struct guest g;

        disk_up(&g, layouts[l], NULL);
        guest_start(&g);
        for (unsigned i = 0; i < BATCHES; i++) {
            submit(&g);
            guest_kick(&g, 0);
            log_on(&g);
            guest_note(&g);
            reap(&g);
            guest_check(&g);
            assert_int_equal(vhost_log_stop(g.map, NULL), 0);
        }
        guest_stop(&g);
        guest_down(&g);
    }
}

static void test_nothing_is_lost_when_the_log_changes_its_size(void **state)
{
    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(layouts); l++) {
        const struct vhost_log *before;
        struct guest g;

        disk_up(&g, layouts[l], NULL);
        guest_start(&g);
        log_on(&g);
        for (unsigned i = 0; i < BATCHES; i++) {
            bool come = i % 2 == 0;

            /* Into memory that stays, while other memory comes or goes. */
            g.far.mapped = false;
            submit(&g);
            guest_note(&g);
            guest_kick(&g, 0);
            before = g.dev.log;
            guest_far(&g, come);
            assert_true(g.dev.log != before);
            reap(&g);
            guest_check(&g);
            one_batch(&g);
        }
        guest_stop(&g);
        guest_down(&g);
    }
}

/* Frames */

static void give_buffers(struct guest *g, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t len = 300 + guest_pick(g, 6000);
        struct vh_sg sg = { guest_buffer(g, &g->ram, len, false), len };

        /* The cookie says where it is: the ring's own. */
        assert_int_equal(
            vh_ring_add(g->rings[0], &sg, 0, 1, guest_at(g, sg.addr)), 0);
    }
    guest_publish(g, 0);
}

static uint32_t send_frame(struct guest *g)
{
    uint32_t len = 14 + guest_pick(g, 9000);
    struct vh_sg sg = piece(g, sizeof(struct virtio_net_hdr_v1) + len, false);
    unsigned char *frame = guest_at(g, sg.addr);

    memset(frame, 0, sizeof(struct virtio_net_hdr_v1));
    for (uint32_t i = 0; i < len; i++) {
        frame[sizeof(struct virtio_net_hdr_v1) + i] =
            (unsigned char)guest_pick(g, 256);
    }
    assert_int_equal(vh_ring_add(g->rings[1], &sg, 1, 0, g), 0);
    return len;
}

/* All that has come, to the last byte that was sent; and only what was
 * written of a buffer may be reported. */
static unsigned receive(struct guest *g, uint32_t len)
{
    unsigned n = 0;
    uint64_t left = len + sizeof(struct virtio_net_hdr_v1);

    while (left > 0) {
        struct vh_ring_used used = guest_take(g, 0);
        uint64_t at =
            (uint64_t)((char *)used.cookie - (char *)g->ram.section.hva);

        guest_allow(g, GUEST_RAM + at, used.len);
        assert_true(used.len <= left);
        left -= used.len;
        n++;
    }
    return n;
}

static void some_frames(struct guest *g)
{
    uint32_t len[FRAMES];
    unsigned n = 0;

    for (unsigned i = 0; i < FRAMES; i++) {
        len[i] = send_frame(g);
    }
    guest_publish(g, 1);
    guest_note(g);
    guest_kick(g, 1);
    for (unsigned i = 0; i < FRAMES; i++) {
        guest_take(g, 1);
        n += receive(g, len[i]);
    }
    guest_check(g);
    give_buffers(g, n);
    guest_kick(g, 0);
}

static void test_pages_that_frames_fill_are_logged(void **state)
{
    struct vhost_server_net_options net = { .size = sizeof(net) };

    (void)state;
    for (size_t l = 0; l < ARRAY_SIZE(layouts); l++) {
        struct guest g;

        guest_up(&g, vhost_server_net("loop:", &net), NULL, 3,
                 layouts[l] | F(VIRTIO_NET_F_MRG_RXBUF) |
                     F(VIRTIO_NET_F_CTRL_VQ));
        give_buffers(&g, 100);
        guest_start(&g);
        log_on(&g);
        for (unsigned i = 0; i < BATCHES; i++) {
            some_frames(&g);
            guest_far(&g, i % 2 == 0);
        }
        assert_true(g.n_changed > FRAMES * BATCHES);
        guest_stop(&g);
        guest_down(&g);
    }
}

static void test_answers_to_commands_are_logged(void **state)
{
    struct vhost_server_net_options net = { .size = sizeof(net) };
    static const unsigned char command[] = {
        VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 0, 7
    };
    struct vh_sg sg[2];
    struct guest g;

    (void)state;
    guest_up(&g, vhost_server_net("loop:", &net), NULL, 3,
             F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_CTRL_VQ));
    guest_start(&g);
    log_on(&g);
    sg[0] = piece(&g, sizeof(command), false);
    memcpy(guest_at(&g, sg[0].addr), command, sizeof(command));
    sg[1] = piece(&g, 1, true);
    assert_int_equal(vh_ring_add(g.rings[2], sg, 1, 1, &g), 0);
    /* Before it is published, as the device may be looking already: so the
     * index of the driver's is a change too, which the guest has to mark. */
    guest_note(&g);
    guest_publish(&g, 2);
    vhost_log_mark(g.map, g.queues[2].avail, 4);
    guest_allow(&g, g.queues[2].avail, 4);
    guest_kick(&g, 2);
    guest_take(&g, 2);
    guest_check(&g);
    assert_true(g.n_changed >= 3); /* with the answer, and the used ring */
    guest_stop(&g);
    guest_down(&g);
}

/* Each step of a switch gone wrong */

static void try_fault(const struct vhost_server_fault *fault)
{
    struct vhost_server_options options = { .size = sizeof(options),
                                            .faults = fault,
                                            .n_faults = 1 };
    struct vhost_error *err = NULL;
    struct guest g;

    disk_up(&g, 0, &options);
    guest_start(&g);
    assert_true(vhost_log_start(g.map, &err) < 0);
    assert_non_null(strstr(vhost_error_message(err), "user:"));
    vhost_error_free(err);
    assert_false(g.dev.log_enabled);
    assert_null(g.map && g.dev.state == VHOST_DEV_STARTED ? g.dev.log : NULL);
    if (g.dev.state == VHOST_DEV_STARTED) {
        submit(&g);
        guest_kick(&g, 0);
        reap(&g);
        log_on(&g); /* again */
        one_batch(&g);
        guest_stop(&g);
    } else {
        assert_int_equal(g.dev.state, VHOST_DEV_LOST);
        assert_true(vhost_dev_stop(&g.dev, &g.vdev, true) < 0);
    }
    guest_down(&g);
}

static void test_each_message_of_a_switch_may_go_wrong(void **state)
{
    static const struct vhost_server_fault faults[] = {
        { VHOST_SERVER_FAULT_ERROR, "SET_LOG_BASE", 1, 0 },
        { VHOST_SERVER_FAULT_ERROR, "SET_FEATURES", 2, 0 },
        { VHOST_SERVER_FAULT_ERROR, "SET_VRING_ADDR", 2, 0 },
        { VHOST_SERVER_FAULT_CLOSE, "SET_LOG_BASE", 1, 0 },
        { VHOST_SERVER_FAULT_CLOSE, "SET_FEATURES", 2, 0 },
        { VHOST_SERVER_FAULT_CLOSE, "SET_VRING_ADDR", 2, 0 },
        { VHOST_SERVER_FAULT_DROP, "SET_LOG_BASE", 1, 0 },
        { VHOST_SERVER_FAULT_DROP, "SET_VRING_ADDR", 2, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        try_fault(&faults[i]);
    }
}

/* The log is given up, and the disk goes on; or the back end is gone. */
static void test_a_change_of_size_may_go_wrong(void **state)
{
    static const enum vhost_server_fault_kind kinds[] = {
        VHOST_SERVER_FAULT_CLOSE, VHOST_SERVER_FAULT_DROP
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct vhost_server_fault fault = { .kind = kinds[i],
                                                  .request = "SET_LOG_BASE",
                                                  .nth = 2 };
        struct vhost_server_options options = { .size = sizeof(options),
                                                .faults = &fault,
                                                .n_faults = 1 };
        struct guest g;

        disk_up(&g, 0, &options);
        guest_start(&g);
        log_on(&g);
        vhost_memory_begin(g.map);
        assert_int_equal(vhost_memory_add(g.map, &g.far.section), 0);
        vhost_memory_commit(g.map, NULL);
        assert_int_equal(g.dev.state, VHOST_DEV_LOST);
        assert_true(vhost_log_sync(g.map, NULL, NULL, NULL) < 0);
        assert_true(vhost_dev_stop(&g.dev, &g.vdev, true) < 0);
        assert_int_equal(vhost_log_stop(g.map, NULL), 0);
        guest_down(&g);
    }
}

static void test_back_ends_that_can_not_log_are_named(void **state)
{
    static const struct vhost_server_options hide[] = {
        { .size = sizeof(hide[0]), .hide_features = F(26) },
        { .size = sizeof(hide[0]), .hide_protocol_features = F(1) },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hide); i++) {
        struct guest g;

        disk_up(&g, 0, &hide[i]);
        assert_non_null(strstr(vhost_dev_migration_blocker(&g.dev),
                               i ? "LOG_SHMFD" : "LOG_ALL"));
        assert_int_equal(vhost_log_start(g.map, NULL), -ENOTSUP);
        guest_start(&g);
        guest_stop(&g);
        guest_down(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_that_a_disk_fills_are_logged),
        cmocka_unit_test(test_the_log_may_be_on_before_the_device),
        cmocka_unit_test(test_requests_in_flight_are_logged_too),
        cmocka_unit_test(test_nothing_is_lost_when_the_log_changes_its_size),
        cmocka_unit_test(test_pages_that_frames_fill_are_logged),
        cmocka_unit_test(test_answers_to_commands_are_logged),
        cmocka_unit_test(test_each_message_of_a_switch_may_go_wrong),
        cmocka_unit_test(test_a_change_of_size_may_go_wrong),
        cmocka_unit_test(test_back_ends_that_can_not_log_are_named),
    };

    return cmocka_run_group_tests(tests, make_image, remove_image);
}
