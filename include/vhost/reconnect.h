/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that goes away and comes back.
 *
 * Without a word from the owner, a device whose back end is gone stays
 * VHOST_DEV_LOST until its cleanup.  With vhost_dev_set_reconnect() it looks
 * for the back end again, by itself, from vhost_dev_dispatch():
 *
 *     lost         the device is VHOST_DEV_LOST; vdev->ops->lost is told
 *     attempts     at once; then as the policy says; and whenever a socket
 *                  appears where the back end's was
 *     taken up     it has all that the old one had: features, queues, memory
 *                  slots.  If it has not, that attempt has failed
 *     ready()      the owner's rings may be put in order
 *     started      if the device was: memory, log, in-flight buffer, queues
 *     resumed()    the device is what it was before
 *
 * Where a queue goes on: a split ring where its used index stands, which its
 * owner may overrule in ready().  For a packed ring the owner has to say.  What
 * the old back end had taken and not finished is done by the new one if both
 * track what is in flight (inflight.h); else it has to be made available again
 * by the driver, as those of this library do.
 *
 * Meanwhile the owner may change the guest's memory, the dirty log, and the
 * masks of queues; it may call vhost_dev_stop(), and then vhost_dev_cleanup(),
 * which ends the attempts.  A stopped device is looked for too, and is IDLE
 * when it is found.  A loss on the way begins it all again.
 *
 * The first connection is vhost_dev_init()'s, which fails if there is nobody.
 */
#ifndef VHOST_RECONNECT_H
#define VHOST_RECONNECT_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;

/** Of struct vhost_reconnect: never give up. */
#define VHOST_RECONNECT_FOREVER 0u

/**
 * struct vhost_reconnect - how to look for a back end that is gone
 * @first_ms: between the first attempt and the second, in milliseconds; it
 *     doubles with each attempt; 0: 10
 * @max_ms: up to this; 0: 1000
 * @total_ms: give up after this long, or VHOST_RECONNECT_FOREVER
 * @ready: a back end is taken up; may set vdev->queues[i].base.  Return: 0 to
 *     go on; -EAGAIN to be asked again within a millisecond or so; another
 *     negative errno: this attempt has failed.  NULL: always ready
 * @resumed: the device is what it was before the loss
 * @failed: an attempt has failed, for @reason.  Not called for one that finds
 *     nobody there
 * @given_up: no further attempt is made; the device stays VHOST_DEV_LOST
 * @opaque: for all of these
 *
 * They are called from inside vhost_dev_dispatch(), in the control thread, and
 * must not clean up the device.  Each may be NULL.
 */
struct vhost_reconnect {
    unsigned first_ms;
    unsigned max_ms;
    unsigned total_ms;
    int (*ready)(struct vhost_dev *hdev, void *opaque);
    void (*resumed)(struct vhost_dev *hdev, void *opaque);
    void (*failed)(struct vhost_dev *hdev, const char *reason, void *opaque);
    void (*given_up)(struct vhost_dev *hdev, const char *reason, void *opaque);
    void *opaque;
};

/**
 * vhost_dev_set_reconnect() - say what happens when the back end is gone
 * @hdev: an initialised device
 * @how: copied; NULL: nothing, it stays lost
 *
 * Return: 0; -ENOTSUP if this kind of back end does not come back, such as one
 * that was given as a connected socket.
 */
int vhost_dev_set_reconnect(struct vhost_dev *hdev,
                            const struct vhost_reconnect *how);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
