/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What it costs to begin: from the connection to queues at work, at most four
 * round trips and 10 + 2n system calls that send, from 1 queue to 64; and not
 * more than CALLS_MAX at any number, as messages with fds share them too.
 */
#include "check.h"

#include <vhost/vhost.h>

#include "lib/core-rig.h"
#include "lib/peer.h"

#define QUEUES_MAX 64u
#define ROUND_TRIPS 4u
#define CALLS_MAX 16u

static const struct peer few = {
    .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
    .protocol = VH_PF(MQ) | VH_PF(REPLY_ACK),
};
static const struct peer many = {
    .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
    .protocol = VH_PF(MQ) | VH_PF(REPLY_ACK) | VH_PF(LOG_SHMFD) |
                VH_PF(CONFIGURE_MEM_SLOTS) | VH_PF(STATUS) |
                VH_PF(BACKEND_REQ) | VH_PF(CONFIG) | VH_PF(RESET_DEVICE) |
                VH_PF(GPA_ADDRESSES) | VH_PF(DEVICE_STATE),
};

/* From connect to running. */
static struct vhost_user_info begin(const struct peer *kind, unsigned n)
{
    static const int bits[] = { 32, VHOST_INVALID_FEATURE_BIT };
    struct peer peer = *kind;
    struct vhost_user_info info;
    struct vhost_user *user;
    struct core_rig rig;

    core_rig_prepare(&rig, n);
    rig.dev.vhost_ops = NULL;
    peer.n_queues = n;
    peer.n_slots = 32;
    user = vhost_user_new_fd(peer_start(&peer), NULL, NULL);
    assert_non_null(user);
    assert_int_equal(
        vhost_dev_init(&rig.dev, user, VHOST_BACKEND_TYPE_USER, 0, NULL), 0);
    vhost_ack_features(&rig.dev, bits, RIG_F_VERSION_1);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    vhost_user_get_info(user, &info);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    vhost_dev_cleanup(&rig.dev);
    vhost_user_free(user);
    peer_stop(&peer);
    assert_int_equal(peer_count(&peer, VH_SET_VRING_KICK), n);
    assert_true(peer_count(&peer, VH_SET_VRING_ENABLE) >= n);
    peer_free(&peer);
    core_rig_down(&rig);
    return info;
}

static void check(const struct peer *kind)
{
    for (unsigned n = 1; n <= QUEUES_MAX; n++) {
        struct vhost_user_info info = begin(kind, n);

        if (info.round_trips > ROUND_TRIPS || info.send_calls > 10 + 2 * n ||
            info.send_calls > CALLS_MAX) {
            fail_msg("%u queues: %llu round trips, %llu calls", n,
                     (unsigned long long)info.round_trips,
                     (unsigned long long)info.send_calls);
        }
        assert_true(info.messages >= 6 * n);
    }
}

static void test_with_few_features(void **state)
{
    (void)state;
    check(&few);
}

static void test_with_many_features(void **state)
{
    (void)state;
    check(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_few_features),
        cmocka_unit_test(test_with_many_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
