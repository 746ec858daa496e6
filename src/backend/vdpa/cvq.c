/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control queue of a network device, seen.
 *
 * A reset makes a device forget what its driver has set; and the reset may be
 * ours, of which the driver knows nothing (switch.c), or that of a stop.  So
 * what goes through the control queue is noted, and said again after each
 * reset.  For that the queue is a shadow, by way of memory of ours
 * (svq/bounce.c); and as long as the others are none it is in an address space
 * of its own, so that the device can't do by it what the others could be
 * trusted with: there is nothing of the guest's in there.
 *
 * virtio 1.3, 5.1.6.5 "Control Virtqueue".
 */
#include "backend/vdpa/entries.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "backend/ops.h"
#include "svq/net-state.h"
#include "util/clock.h"
#include "util/error.h"

#define ID_NET 1
#define F_CTRL_VQ (UINT64_C(1) << 17)
#define F_SEVERAL_PAIRS (UINT64_C(1) << 22 | UINT64_C(1) << 60) /* MQ, RSS */
#define ANSWERS_MS 2000 /* for all that is set again */

/* Its group, if no other queue is in it; -ENOTSUP. */
static int group_apart(struct vhost_vdpa *vdpa, uint32_t *group)
{
    unsigned first = (unsigned)vdpa->dev->vq_index;
    int r = vhost_vdpa_get_group(vdpa, first + vdpa->cvq, group, NULL);

    for (unsigned i = 0; r == 0 && i < vdpa->cvq; i++) {
        uint32_t other;

        r = vhost_vdpa_get_group(vdpa, first + i, &other, NULL);
        if (r == 0 && other == *group) {
            r = -ENOTSUP;
        }
    }
    return r;
}

static bool can_be_alone(struct vhost_vdpa *vdpa)
{
    if (!vdpa->wants_cvq || vdpa->always || vdpa->iommu ||
        vdpa->info.address_spaces <= VH_VDPA_CVQ_ASID) {
        return false;
    }
    for (uint32_t i = 0; i < vdpa->info.groups; i++) {
        if (vdpa->asids[i] != 0) {
            return false; /* the owner has other plans */
        }
    }
    return group_apart(vdpa, &vdpa->cvq_group) == 0;
}

/* Behind the pairs that can be in use: one, unless there may be several. */
static unsigned find_cvq(const struct vhost_vdpa *vdpa)
{
    unsigned at = vdpa->features & F_SEVERAL_PAIRS ? vdpa->n_queues - 1 : 2;

    if (vdpa->info.device_id != ID_NET || !(vdpa->features & F_CTRL_VQ) ||
        at >= vdpa->n_queues || at < 2 || at % 2 != 0) {
        return UINT_MAX;
    }
    return at;
}

int vh_vdpa_cvq_choose(struct vhost_vdpa *vdpa)
{
    bool has;

    vdpa->cvq = find_cvq(vdpa);
    has = vdpa->cvq != UINT_MAX;
    vdpa->alone = has && can_be_alone(vdpa);
    if (has && vdpa->wants_cvq && !vdpa->net) {
        vdpa->net = vh_net_state_new();
        if (!vdpa->net) {
            return vh_be_fail(vdpa->dev, -ENOMEM, "malloc", VH_NO_QUEUE,
                              "out of memory");
        }
    }
    return 0;
}

bool vh_vdpa_is_shadow(const struct vhost_vdpa *vdpa, unsigned i)
{
    return vdpa->shadowed || (vdpa->alone && i == vdpa->cvq);
}

bool vh_vdpa_cvq_is_seen(const struct vhost_vdpa *vdpa)
{
    return vdpa->cvq == UINT_MAX ||
           (vdpa->wants_cvq && vh_vdpa_is_shadow(vdpa, vdpa->cvq));
}

int vh_vdpa_cvq_group(struct vhost_vdpa *vdpa)
{
    struct vhost_vring_state state = { .index = vdpa->cvq_group,
                                       .num = VH_VDPA_CVQ_ASID };

    return vdpa->alone ? vh_vdpa_call(vdpa, "SET_GROUP_ASID", VH_NO_QUEUE,
                                      VH_VDPA_SET_GROUP_ASID, &state)
                       : 0;
}

static void seen(void *arg, const void *out, uint32_t n_out, const void *in,
                 uint32_t n_in)
{
    struct vhost_vdpa *vdpa = arg;

    if (n_in > 0 && *(const uint8_t *)in == 0) { /* VIRTIO_NET_OK */
        vh_net_state_note(vdpa->net, out, n_out);
    }
}

void vh_vdpa_cvq_bounce(struct vhost_vdpa *vdpa, struct vh_svq_bounce *bounce,
                        size_t ring_size)
{
    const struct vh_vdpa_queue *q = &vdpa->queues[vdpa->cvq];

    *bounce = (struct vh_svq_bounce){
        .mem = (uint8_t *)q->ring.addr + ring_size,
        .iova = q->ring_iova + ring_size,
        .slot = VH_VDPA_SLOT,
        .seen = seen,
        .arg = vdpa,
    };
}

static int wait_for_answer(struct vh_vdpa_queue *q, int64_t deadline,
                           uint8_t *answer)
{
    struct pollfd call = { .fd = q->device_call.fd, .events = POLLIN };
    int r;

    while ((r = vh_svq_answer(q->svq, answer)) == 0) {
        if (vh_deadline_passed(deadline)) {
            return -ETIMEDOUT;
        }
        poll(&call, 1, vh_deadline_left_ms(deadline));
        vhost_notifier_test_and_clear(&q->device_call);
    }
    return r < 0 ? r : 0;
}

static int set_again(struct vhost_vdpa *vdpa, struct vh_vdpa_queue *q,
                     const uint8_t *command, size_t len, int64_t deadline)
{
    uint8_t answer = 0;
    int r = vh_svq_ask(q->svq, command, (uint32_t)len);

    if (r == 0) {
        r = wait_for_answer(q, deadline, &answer);
    }
    if (r == 0 && answer != 0) {
        r = -EIO;
    }
    if (r == 0) {
        return 0;
    }
    return vh_be_fail(
        vdpa->dev, r, "control queue", vdpa->dev->vq_index + (int)vdpa->cvq,
        "%s: after a reset the device %s what its driver had set: "
        "command %u of class %u",
        vdpa->name, r == -ETIMEDOUT ? "does not answer to" : "refuses",
        command[1], command[0]);
}

int vh_vdpa_cvq_restore(struct vhost_vdpa *vdpa)
{
    int64_t deadline = vh_deadline_in(ANSWERS_MS);
    struct vh_vdpa_queue *q;
    const uint8_t *command;
    size_t len;
    int r = 0;

    if (vdpa->cvq == UINT_MAX || !vdpa->net || !vdpa->queues[vdpa->cvq].svq) {
        return 0;
    }
    q = &vdpa->queues[vdpa->cvq];
    if (!vh_net_state_is_whole(vdpa->net)) {
        return vh_be_fail(vdpa->dev, -ENOMEM, "control queue", VH_NO_QUEUE,
                          "%s: what the driver has set is not known, as memory "
                          "was short",
                          vdpa->name);
    }
    for (size_t i = 0;
         r == 0 && (command = vh_net_state_get(vdpa->net, i, &len)); i++) {
        r = set_again(vdpa, q, command, len, deadline);
    }
    return r;
}
