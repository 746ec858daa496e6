/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shadow queue between a guest that lies and a device that lies: the ring is
 * broken, nothing wrong is passed on, and what was in flight can be put back.
 */
#include "check.h"

#include <errno.h>
#include <sys/uio.h>

#include "ring/endian.h"
#include "svq-rig.h"

#define MAX_IN_FLIGHT 4

static const uint64_t layouts[] = { 0, BIT(VH_RING_F_PACKED) };

struct lie {
    uint16_t id;
    uint32_t len;
};

static void send(struct svq_rig *rig, unsigned n)
{
    struct vh_sg sg[2] = { { SVQ_GPA_B, 8 }, { SVQ_GPA_ALIAS + 64, 16 } };

    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(vh_ring_add(rig->driver, sg, 1, 1, rig), 0);
    }
    vh_ring_publish(rig->driver);
    assert_int_equal(vh_svq_run(rig->svq), 0);
}

/* One used entry, written as no device side of ours would. */
static void lie_split(struct svq_rig *rig, struct lie lie, uint16_t idx)
{
    struct vh_svq_config config = svq_rig_config(rig);
    struct vh_used *used = config.shadow.device;

    used->ring[idx % rig->shadow_size] =
        (struct vh_used_elem){ vh_le32(lie.id), vh_le32(lie.len) };
    used->idx = vh_le16((uint16_t)(idx + 1));
}

static void lie_packed(struct svq_rig *rig, struct lie lie, uint16_t at)
{
    struct vh_svq_config config = svq_rig_config(rig);
    struct vh_packed_desc *desc = config.shadow.desc;

    desc[at].len = vh_le32(lie.len);
    desc[at].id = vh_le16(lie.id);
    desc[at].flags =
        vh_le16(VH_PACKED_F_AVAIL | VH_PACKED_F_USED | VH_DESC_F_WRITE);
}

/* @nth: used entries before this one, each of two descriptors. */
static void lie_to(struct svq_rig *rig, struct lie lie, uint16_t nth)
{
    if (rig->shadow_features) {
        lie_packed(rig, lie, (uint16_t)(2 * nth));
    } else {
        lie_split(rig, lie, nth);
    }
}

static void assert_broken_by(struct svq_rig *rig, bool device)
{
    bool by_device = !device;

    assert_int_equal(vh_svq_run(rig->svq), -EPROTO);
    assert_non_null(vh_svq_broken(rig->svq, &by_device));
    assert_int_equal(by_device, device);
    assert_int_equal(vh_svq_run(rig->svq), -EPROTO);
}

/* An honest device gets all that is left. */
static void assert_goes_on(struct svq_rig *rig, unsigned n)
{
    struct vh_ring_used used[2 * MAX_IN_FLIGHT];
    struct iovec iov[4];
    struct vh_chain chain = { .iov = iov, .iov_max = 4 };
    int taken = vh_ring_take(rig->driver, used, MAX_IN_FLIGHT);

    assert_int_equal(taken, MAX_IN_FLIGHT - n);
    assert_int_equal(svq_rig_stop(rig), n);
    svq_rig_start(rig);
    assert_int_equal(vh_svq_run(rig->svq), 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(vh_devring_pop(rig->device, &chain), 1);
        assert_int_equal(chain.out_len, 8);
        assert_int_equal(chain.in_len, 16);
        vh_devring_push(rig->device, chain.id, 16);
    }
    assert_int_equal(vh_devring_pop(rig->device, &chain), 0);
    vh_devring_publish(rig->device);
    assert_int_equal(vh_svq_run(rig->svq), 0);
    assert_int_equal(vh_ring_take(rig->driver, used, 2 * MAX_IN_FLIGHT), n);
}

/* @honest: the entry before the lie; or none, if its id is no id. */
static void device_lies(struct lie honest, struct lie lie)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned n = MAX_IN_FLIGHT;
        struct svq_rig rig;

        svq_rig_init(&rig, 16, layouts[i & 1], 16, layouts[i >> 1]);
        send(&rig, MAX_IN_FLIGHT);
        if (honest.id != UINT16_MAX) {
            lie_to(&rig, honest, 0);
            assert_int_equal(vh_svq_run(rig.svq), 0);
            n--;
        }
        lie_to(&rig, lie, (uint16_t)(MAX_IN_FLIGHT - n));
        assert_broken_by(&rig, true);
        assert_goes_on(&rig, n);
        svq_rig_cleanup(&rig);
    }
}

static uint16_t first_id(void)
{
    struct iovec iov[4];
    struct vh_chain chain = { .iov = iov, .iov_max = 4 };
    struct svq_rig rig;

    svq_rig_init(&rig, 16, 0, 16, 0);
    send(&rig, MAX_IN_FLIGHT);
    assert_int_equal(vh_devring_pop(rig.device, &chain), 1);
    svq_rig_cleanup(&rig);
    return chain.id;
}

static const struct lie none = { .id = UINT16_MAX };

static void an_id_out_of_range_is_not_followed(void **state)
{
    (void)state;
    device_lies(none, (struct lie){ 16, 0 });
    device_lies(none, (struct lie){ 0xfffe, 0 });
}

static void a_length_beyond_the_buffer_is_not_passed_on(void **state)
{
    struct lie lie = { first_id(), 17 };

    (void)state;
    device_lies(none, lie);
}

static void an_id_returned_twice_is_not_followed(void **state)
{
    struct lie twice = { first_id(), 16 };

    (void)state;
    device_lies(twice, twice);
}

/* The shadow ring's links are private: what the device makes of the copies in
 * the ring is its own affair. */
static void descriptors_that_the_device_overwrites_do_no_harm(void **state)
{
    struct svq_rig rig;
    struct vh_svq_config config;
    struct vh_chain chain;
    struct iovec iov[4];

    (void)state;
    svq_rig_init(&rig, 16, 0, 16, 0);
    for (unsigned round = 0; round < 64; round++) {
        struct vh_ring_used used[8];

        send(&rig, MAX_IN_FLIGHT);
        for (unsigned i = 0; i < MAX_IN_FLIGHT; i++) {
            chain = (struct vh_chain){ .iov = iov, .iov_max = 4 };
            assert_int_equal(vh_devring_pop(rig.device, &chain), 1);
            vh_devring_push(rig.device, chain.id, 0);
        }
        vh_devring_publish(rig.device);
        config = svq_rig_config(&rig);
        memset(config.shadow.desc, (int)round * 37, 16 * 16);
        assert_int_equal(vh_svq_run(rig.svq), 0);
        assert_int_equal(vh_ring_take(rig.driver, used, 8), MAX_IN_FLIGHT);
    }
    svq_rig_cleanup(&rig);
}

/* The guest's own: an address outside memory, or in our ring. */
static void a_guest_reaches_nothing_but_its_memory(void **state)
{
    const uint64_t bad[] = { 0, SVQ_GPA_ALIAS + SVQ_REGION, SVQ_GPA_A - 4,
                             UINT64_MAX - 3, VH_IOVA_NO_GPA };

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(bad); i++) {
        struct vh_sg sg = { bad[i / 2], 8 };
        struct vh_chain chain = { .iov_max = 0 };
        struct svq_rig rig;

        svq_rig_init(&rig, 16, layouts[i & 1], 16, layouts[i & 1]);
        assert_int_equal(vh_ring_add(rig.driver, &sg, 0, 1, &rig), 0);
        vh_ring_publish(rig.driver);
        assert_broken_by(&rig, false);
        assert_int_equal(vh_devring_pop(rig.device, &chain), 0);
        assert_int_equal(svq_rig_stop(&rig), 0);
        svq_rig_cleanup(&rig);
    }
}

static void a_buffer_of_nothing_is_done_at_once(void **state)
{
    struct vh_sg sg = { SVQ_GPA_B, 0 };
    struct vh_ring_used used[4];
    struct svq_rig rig;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        svq_rig_init(&rig, 16, layouts[i], 16, 0);
        assert_int_equal(vh_ring_add(rig.driver, &sg, 1, 0, &sg), 0);
        vh_ring_publish(rig.driver);
        assert_int_equal(vh_svq_run(rig.svq), 0);
        assert_int_equal(vh_ring_take(rig.driver, used, 4), 1);
        assert_int_equal(used[0].len, 0);
        svq_rig_cleanup(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_out_of_range_is_not_followed),
        cmocka_unit_test(a_length_beyond_the_buffer_is_not_passed_on),
        cmocka_unit_test(an_id_returned_twice_is_not_followed),
        cmocka_unit_test(descriptors_that_the_device_overwrites_do_no_harm),
        cmocka_unit_test(a_guest_reaches_nothing_but_its_memory),
        cmocka_unit_test(a_buffer_of_nothing_is_done_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
