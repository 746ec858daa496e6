/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Features, status and queues: everything from SET_FEATURES to the last
 * GET_VRING_BASE.
 *
 * All of it is posted, but for GET_VRING_BASE, of which any number share one
 * round trip.  Rings are described by guest-physical addresses: the memory
 * table, which is made in this front end too, gives each region its
 * guest-physical address as its user address.  So no address of this process
 * leaves it, unless the owner asks for that.
 *
 * Back ends without VHOST_USER_F_PROTOCOL_FEATURES enable their rings when
 * they get their features; SET_VRING_ENABLE is not for them (vhost-user
 * specification, "Ring states").
 */
#include "backend/user/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <linux/vhost_types.h>

#include "util/error.h"

#define F_RING_PACKED (UINT64_C(1) << 34)

/* The back end says here whether it can live with the features. */
static int features_ok(struct vhost_user *user, int result,
                       const struct vh_msg *reply, struct vhost_error **errp)
{
    if (result < 0 || (reply->payload.u64 & VH_STATUS_FEATURES_OK)) {
        return result;
    }
    return vh_error(errp, -ENOTSUP, "SET_FEATURES", VH_NO_QUEUE,
                    "%s: the back end did not accept the features 0x%" PRIx64,
                    user->name, user->driver_features);
}

static int post_status(struct vhost_user *user, uint32_t status,
                       struct vhost_error **errp)
{
    struct vh_msg msg;

    vh_msg_init_u64(&msg, VH_SET_STATUS, status);
    user->status = status;
    return vh_user_post(user, &msg, VH_NO_QUEUE, NULL, errp);
}

static int post_features(struct vhost_user *user, uint64_t features,
                         struct vhost_error **errp)
{
    struct vh_msg msg;
    int r;

    user->driver_features =
        (features & ~vh_user_iotlb_hidden(user)) |
        (user->offered & VH_F_PROTOCOL_FEATURES);
    vh_msg_init_u64(&msg, VH_SET_FEATURES, user->driver_features);
    r = vh_user_post(user, &msg, VH_NO_QUEUE, NULL, errp);
    if (r < 0 || !vh_user_has(user, VH_PF_STATUS)) {
        return r;
    }
    /* One that was suspended is not to run before its rings are back. */
    r = post_status(user,
                    (user->status & ~VH_STATUS_DRIVER_OK) |
                        VH_STATUS_ACKNOWLEDGE | VH_STATUS_DRIVER |
                        VH_STATUS_FEATURES_OK,
                    errp);
    if (r < 0) {
        return r;
    }
    vh_msg_init(&msg, VH_GET_STATUS);
    return vh_user_post(user, &msg, VH_NO_QUEUE, features_ok, errp);
}

int vh_user_set_features(struct vhost_dev *dev, uint64_t features)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r == 0) {
        r = vh_user_leave(user, post_features(user, features, &err), &err);
    }
    return r;
}

/*
 * Stopping is not done by status: status 0 makes a device forget where its
 * rings are, and GET_VRING_BASE, which asks, comes after this call.  See
 * vh_user_reset_status().
 */
int vh_user_dev_start(struct vhost_dev *dev, bool started)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    if (started && vh_user_has(user, VH_PF_STATUS)) {
        r = post_status(user,
                        user->status | VH_STATUS_ACKNOWLEDGE |
                            VH_STATUS_DRIVER | VH_STATUS_DRIVER_OK,
                        &err);
    }
    return vh_user_leave(user, r, &err);
}

/*
 * With DEVICE_STATE a stopped device is suspended, no more: its state may be
 * saved, or it may go on from there.  Status 0 would be a reset, and lose it.
 */
void vh_user_reset_status(struct vhost_dev *dev)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return;
    }
    if (vh_user_has(user, VH_PF_STATUS) &&
        !vh_user_has(user, VH_PF_DEVICE_STATE)) {
        r = post_status(user, 0, &err);
    }
    vh_user_leave(user, r, &err);
}

int vh_user_reset_device(struct vhost_dev *dev)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    if (vh_user_has(user, VH_PF_RESET_DEVICE)) {
        vh_msg_init(&msg, VH_RESET_DEVICE);
        r = vh_user_post(user, &msg, VH_NO_QUEUE, NULL, &err);
        user->status = 0;
    } else if (vh_user_has(user, VH_PF_STATUS)) {
        r = post_status(user, 0, &err); /* virtio 1.3, 2.1 */
    } else {
        r = vh_error(&err, -ENOSYS, "RESET_DEVICE", VH_NO_QUEUE,
                     "%s: the back end can't be reset (neither "
                     "VHOST_USER_PROTOCOL_F_RESET_DEVICE nor _STATUS is in "
                     "use)",
                     user->name);
    }
    if (r == 0) {
        r = vh_user_wait(user, &err);
    }
    return vh_user_leave(user, r, &err);
}

int vh_user_vq_get_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr,
                        struct vhost_virtqueue *vq)
{
    const struct vhost_user *user = dev->opaque;

    if (user->options.host_addresses) { /* behind an IOMMU these are iovas */
        addr->desc_user_addr = (uint64_t)(uintptr_t)vq->desc;
        addr->avail_user_addr = (uint64_t)(uintptr_t)vq->avail;
        addr->used_user_addr = (uint64_t)(uintptr_t)vq->used;
        return 0;
    }
    addr->desc_user_addr = vq->desc_phys;
    addr->avail_user_addr = vq->avail_phys;
    addr->used_user_addr = vq->used_phys;
    return 0;
}

static int post_state(struct vhost_dev *dev, uint32_t request,
                      const struct vhost_vring_state *state)
{
    struct vh_msg msg;

    vh_msg_init_state(&msg, request, state->index, state->num);
    return vh_user_post_one(dev, &msg, (int)state->index);
}

int vh_user_set_vring_num(struct vhost_dev *dev, struct vhost_vring_state *s)
{
    return post_state(dev, VH_SET_VRING_NUM, s);
}

int vh_user_set_vring_base(struct vhost_dev *dev, struct vhost_vring_state *s)
{
    return post_state(dev, VH_SET_VRING_BASE, s);
}

int vh_user_set_vring_addr(struct vhost_dev *dev, struct vhost_vring_addr *a)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_VRING_ADDR);
    msg.size = sizeof(msg.payload.addr);
    msg.payload.addr = (struct vh_vring_addr){
        .index = a->index,
        .flags = a->flags,
        .desc = a->desc_user_addr,
        .used = a->used_user_addr,
        .avail = a->avail_user_addr,
        .log = a->log_guest_addr,
    };
    return vh_user_post_one(dev, &msg, (int)a->index);
}

bool vh_user_wants_kicks(struct vhost_dev *dev)
{
    const struct vhost_user *user = dev->opaque;

    return vh_user_has(user, VH_PF_INBAND_NOTIFICATIONS);
}

/* An ack would have nobody to go to. */
int vh_user_vring_kick(struct vhost_dev *dev, unsigned queue)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    vh_msg_init_state(&msg, VH_VRING_KICK, queue, 0);
    r = vh_chan_post(user->chan, &msg, VH_EXPECT_NOTHING, VH_PATIENCE_SHORT,
                     (int)queue, NULL, NULL);
    if (r < 0) {
        vh_error(&err, r, "VRING_KICK", (int)queue, "%s: can't kick queue %u",
                 user->name, queue);
    }
    return vh_user_leave(user, r, &err);
}

/* In band it is the first kick that starts a ring. */
int vh_user_set_vring_kick(struct vhost_dev *dev, struct vhost_vring_file *f)
{
    struct vh_msg msg;

    if (f->fd >= 0 && vh_user_wants_kicks(dev)) {
        vh_msg_init_state(&msg, VH_VRING_KICK, f->index, 0);
    } else {
        vh_msg_init_fd(&msg, VH_SET_VRING_KICK, f->index, f->fd);
    }
    return vh_user_post_one(dev, &msg, (int)f->index);
}

int vh_user_set_vring_call(struct vhost_dev *dev, struct vhost_vring_file *f)
{
    struct vh_msg msg;

    if (vh_user_wants_kicks(dev)) {
        return 0; /* an fd would be preferred to messages */
    }
    vh_msg_init_fd(&msg, VH_SET_VRING_CALL, f->index, f->fd);
    return vh_user_post_any(dev, &msg, (int)f->index);
}

int vh_user_set_vring_err(struct vhost_dev *dev, struct vhost_vring_file *f)
{
    struct vh_msg msg;

    if (vh_user_wants_kicks(dev)) {
        return 0;
    }
    vh_msg_init_fd(&msg, VH_SET_VRING_ERR, f->index, f->fd);
    return vh_user_post_one(dev, &msg, (int)f->index);
}

int vh_user_set_vring_enable(struct vhost_dev *dev, int enable)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    struct vh_msg msg;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    if (!(user->offered & VH_F_PROTOCOL_FEATURES)) {
        return vh_user_leave(user, 0, &err);
    }
    for (unsigned i = 0; r == 0 && i < dev->nvqs; i++) {
        unsigned index = (unsigned)dev->vq_index + i;

        vh_msg_init_state(&msg, VH_SET_VRING_ENABLE, index, enable != 0);
        r = vh_user_post(user, &msg, (int)index, NULL, &err);
    }
    return vh_user_leave(user, r, &err);
}

int vh_user_enable_queue(struct vhost_user *user, unsigned queue, bool enable,
                         struct vhost_error **errp)
{
    struct vhost_error *err = NULL;
    struct vhost_user *same;
    struct vh_msg msg;
    int r = vh_user_enter(user->dev, &same);

    if (r == 0 && !(user->offered & VH_F_PROTOCOL_FEATURES)) {
        r = vh_error(&err, -ENOTSUP, "SET_VRING_ENABLE", (int)queue,
                     "the back end can't disable rings "
                     "(VHOST_USER_F_PROTOCOL_FEATURES is not offered)");
        return vh_user_leave(user, r, &err);
    }
    if (r == 0) {
        vh_msg_init_state(&msg, VH_SET_VRING_ENABLE, queue, enable);
        r = vh_user_post(user, &msg, (int)queue, NULL, &err);
        if (r == 0) {
            r = vh_user_wait(user, &err);
        }
        r = vh_user_leave(user, r, &err);
    }
    if (r < 0 && user->dev->error) {
        vh_error_copy(errp, user->dev->error);
    }
    return r;
}

/* One of a batch of GET_VRING_BASE. */
struct vh_user_base {
    struct vhost_user *user;
    struct vhost_vring_state *state;
    int *result;
};

static int check_base(const struct vh_user_base *base,
                      const struct vh_vring_state *reply,
                      struct vhost_error **errp)
{
    const struct vhost_user *user = base->user;
    uint32_t index = base->state->index;

    if (reply->index != index) {
        return vh_error(errp, -EPROTO, "GET_VRING_BASE", (int)index,
                        "%s: GET_VRING_BASE of queue %" PRIu32
                        " was answered for queue %" PRIu32,
                        user->name, index, reply->index);
    }
    if (!(user->driver_features & F_RING_PACKED) && reply->num > UINT16_MAX) {
        return vh_error(errp, -EPROTO, "GET_VRING_BASE", (int)index,
                        "%s: GET_VRING_BASE of queue %" PRIu32
                        ": the index of a split ring has 16 bits, not "
                        "0x%" PRIx32,
                        user->name, index, reply->num);
    }
    return 0;
}

static int base_done(void *arg, int result, struct vh_msg *reply,
                     struct vhost_error **errp)
{
    struct vh_user_base *base = arg;
    struct vhost_error *err = NULL;

    (void)errp;
    if (result == 0) {
        result = check_base(base, &reply->payload.state, &err);
    } else if (result == -EREMOTEIO) {
        vh_user_refused(base->user, VH_GET_VRING_BASE, (int)base->state->index,
                        &err);
    }
    if (result == 0) {
        base->state->num = reply->payload.state.num;
    }
    *base->result = result;
    vh_error_move(&base->user->refusal, &err);
    return 0;
}

static int post_bases(struct vhost_user *user, uint32_t request,
                      struct vhost_vring_state *states, int *results,
                      unsigned n, struct vhost_error **errp)
{
    struct vh_msg msg;
    int r = 0;

    for (unsigned i = 0; i < n; i++) {
        user->bases[i] = (struct vh_user_base){ .user = user,
                                                .state = &states[i],
                                                .result = &results[i] };
        results[i] = -ECANCELED;
    }
    for (unsigned i = 0; r == 0 && i < n; i++) {
        vh_msg_init_state(&msg, request, states[i].index, 0);
        r = vh_user_post_reply(user, &msg, (int)states[i].index, base_done,
                               &user->bases[i], errp);
    }
    return r;
}

int vh_user_get_vring_bases(struct vhost_dev *dev,
                            struct vhost_vring_state *states, int *results,
                            unsigned n, bool drain)
{
    struct vhost_error *err = NULL;
    struct vhost_user *user;
    uint32_t request = VH_GET_VRING_BASE;
    int r = vh_user_enter(dev, &user);

    if (r < 0) {
        return r;
    }
    free(user->bases); /* of a stop that is over */
    user->bases = calloc(n ? n : 1, sizeof(*user->bases));
    if (!user->bases) {
        r = vh_error(&err, -ENOMEM, "GET_VRING_BASE", VH_NO_QUEUE,
                     "%s: out of memory", user->name);
        return vh_user_leave(user, r, &err);
    }
    if (!drain && vh_user_has(user, VH_PF_GET_VRING_BASE_SKIP_DRAIN)) {
        request = VH_GET_VRING_BASE_SKIP_DRAIN;
    }
    r = post_bases(user, request, states, results, n, &err);
    return vh_user_leave(user, r, &err);
}

int vh_user_get_vring_base(struct vhost_dev *dev, struct vhost_vring_state *s)
{
    int result = 0;
    int r = vh_user_get_vring_bases(dev, s, &result, 1, true);
    int settled = vh_user_sync(dev);

    if (r == 0) {
        r = result < 0 ? result : settled;
    }
    return r;
}
