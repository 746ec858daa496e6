/* SPDX-License-Identifier: BSD-3-Clause */
/* What a front end may say about a device, and in which addresses. */
#include "check.h"

#include "server-net-rig.h"

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig_init(rig);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_cleanup(*state);
    free(*state);
    return 0;
}

static void negotiate(struct rig *rig, uint64_t protocol)
{
    struct vh_msg msg;

    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES, protocol);
    rig_say(rig, &msg);
    assert_int_equal(rig_do_u64(rig, VH_SET_FEATURES,
                                RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES),
                     0);
}

static void serve_net(struct rig *rig)
{
    struct vhost_server_net_options options = { .size = sizeof(options),
                                                .mtu = 9000 };

    rig_serve_device(rig, vhost_server_net("null:", &options), NULL);
}

static uint16_t read_mtu(struct rig *rig)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.size = 12 + 12;
    msg.payload.config.size = 12;
    msg = rig_ask(rig, &msg);
    return (uint16_t)(msg.payload.config.data[10] | msg.payload.config.data[11]
                                                        << 8);
}

static void test_the_guest_is_told_the_mtu_of_the_front_end(void **state)
{
    struct rig *rig = *state;

    serve_net(rig);
    negotiate(rig, RIG_NET_ACKED | VH_PF(NET_MTU));
    assert_int_equal(read_mtu(rig), 9000);
    assert_int_equal(rig_do_u64(rig, VH_NET_SET_MTU, 1500), 0);
    assert_int_equal(read_mtu(rig), 1500);
    assert_int_equal(rig_do_u64(rig, VH_NET_SET_MTU, 67), EINVAL);
    assert_int_equal(rig_do_u64(rig, VH_NET_SET_MTU, 9001), EINVAL);
    assert_non_null(strstr(rig->log, "more than the network carries"));
    assert_int_equal(rig_do_u64(rig, VH_NET_SET_MTU, UINT64_MAX), EINVAL);
    assert_int_equal(read_mtu(rig), 1500);
    /* A driver that resets is another driver of the same guest. */
    rig_do_u64(rig, VH_SET_STATUS, 0);
    assert_int_equal(read_mtu(rig), 1500);
}

static void test_a_network_without_a_tap_has_nobody_to_tell(void **state)
{
    struct rig *rig = *state;

    serve_net(rig);
    negotiate(rig, RIG_NET_ACKED | VH_PF(RARP));
    assert_int_equal(rig_do_u64(rig, VH_SEND_RARP, 0x123456), 0);
}

static void test_a_disk_has_neither(void **state)
{
    struct rig *rig = *state;

    rig_serve(rig, NULL, NULL, NULL);
    assert_int_equal(rig_get(rig, VH_GET_PROTOCOL_FEATURES), RIG_PROTOCOL);
    negotiate(rig, RIG_ACKED);
    assert_int_equal(rig_do_u64(rig, VH_SEND_RARP, 1), ENOTSUP);
    assert_int_equal(rig_do_u64(rig, VH_NET_SET_MTU, 1500), ENOTSUP);
}

/* Ring 0 at these addresses: does it run? */
static bool runs_at(struct rig *rig, uint64_t at)
{
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool runs;

    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, 8), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_KICK, 0, kick), 0);
    runs = rig_set_addr(rig, 0, at, at + 0x1000, at + 0x2000) == 0;
    rig_get_base(rig, 0);
    close(kick);
    return runs;
}

static void test_rings_lie_where_both_sides_have_agreed(void **state)
{
    struct vh_mem_region region = rig_region();
    struct rig *rig = *state;

    rig_serve(rig, NULL, NULL, NULL);
    negotiate(rig, RIG_NET_ACKED);
    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    assert_true(runs_at(rig, RIG_USER));
    rig_stop(rig);

    rig_serve(rig, NULL, NULL, NULL);
    negotiate(rig, RIG_PROTOCOL);
    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    assert_true(runs_at(rig, RIG_GPA));
    assert_false(runs_at(rig, RIG_GPA + RIG_MEM_SIZE - 0x2000));
    assert_non_null(strstr(rig->log, "does not lie in memory"));
    rig_stop(rig);

    rig_serve(rig, NULL, NULL, NULL);
    negotiate(rig, RIG_PROTOCOL);
    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    assert_false(runs_at(rig, RIG_USER));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_guest_is_told_the_mtu_of_the_front_end),
        TEST(test_a_network_without_a_tap_has_nobody_to_tell),
        TEST(test_a_disk_has_neither),
        TEST(test_rings_lie_where_both_sides_have_agreed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
