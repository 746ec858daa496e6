/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user front end and a scripted back end, joined by a socket pair,
 * with no core between: what a test of user_ops needs.
 *
 *     struct rig rig = { .peer = { .features = … } };
 *     assert_int_equal(rig_up(&rig), 0);
 *     … vh_be_…(&rig.dev) …
 *     rig_down(&rig);         closes both ends: the log is whole
 *     … rig.peer.log …
 *     rig_free(&rig);
 */
#ifndef VH_TESTS_LIB_USER_RIG_H
#define VH_TESTS_LIB_USER_RIG_H

#include "lib/peer.h"

#include "backend/ops.h"
#include "util/error.h"

#define RIG_F_VERSION_1 (UINT64_C(1) << 32)
#define RIG_F_PACKED (UINT64_C(1) << 34)

struct rig {
    struct peer peer;
    struct vhost_user_options options;
    struct vhost_user *user;
    struct vhost_dev dev;
    unsigned n_fds; /* before */
};

/* The device takes up what is at the other end of rig->user. */
static inline int rig_init(struct rig *rig)
{
    rig->dev.vhost_ops = vh_be_ops(VHOST_BACKEND_TYPE_USER);
    return vh_be_init(&rig->dev, rig->user);
}

static inline int rig_up(struct rig *rig)
{
    struct vhost_error *err = NULL;

    rig->n_fds = peer_n_fds();
    rig->options.path = "test";
    rig->user = vhost_user_new_fd(peer_start(&rig->peer), &rig->options, &err);
    assert_non_null(rig->user);
    assert_null(err);
    return rig_init(rig);
}

/* What dev->error says; the error is forgotten with the next call. */
static inline const char *rig_words(const struct rig *rig)
{
    return vhost_error_message(rig->dev.error);
}

static inline uint64_t rig_round_trips(const struct rig *rig)
{
    struct vhost_user_info info;

    vhost_user_get_info(rig->user, &info);
    return info.round_trips;
}

/* No fd is left behind, whatever the test did. */
static inline void rig_down(struct rig *rig)
{
    vh_be_cleanup(&rig->dev);
    vhost_user_free(rig->user);
    peer_stop(&rig->peer);
    assert_int_equal(peer_n_fds(), rig->n_fds);
}

static inline void rig_free(struct rig *rig)
{
    vh_error_clear(&rig->dev.error);
    peer_free(&rig->peer);
}

#endif
