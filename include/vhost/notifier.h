/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notifier: an eventfd with a name for each thing one does to it.
 *
 * A notifier is level triggered and counts nothing: set twice, it is still
 * just set.  The same fd can be given to KVM as irqfd or ioeventfd.
 *
 * Threads: set, test_and_clear and get_fd may be called from any thread.
 */
#ifndef VHOST_NOTIFIER_H
#define VHOST_NOTIFIER_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_notifier {
    int fd; /* -1: none */
};

/** vhost_notifier_init() - create the eventfd
 * @notifier: caller's memory
 * @active: whether it starts out set
 *
 * The fd is non-blocking and close-on-exec.
 *
 * Return: 0, or the negative errno of eventfd(2); then the fd is -1.
 */
int vhost_notifier_init(struct vhost_notifier *notifier, bool active);

/** vhost_notifier_cleanup() - close the eventfd
 * @notifier: initialised or already cleaned up, but not zeroed memory, whose
 *     fd would be 0; its fd becomes -1
 */
void vhost_notifier_cleanup(struct vhost_notifier *notifier);

/** vhost_notifier_set() - make the fd readable
 * @notifier: an initialised notifier
 *
 * Return: 0, or the negative errno of write(2).
 */
int vhost_notifier_set(struct vhost_notifier *notifier);

/** vhost_notifier_test_and_clear() - was it set?
 * @notifier: an initialised notifier
 *
 * Return: true if it was set; it is not any more.
 */
bool vhost_notifier_test_and_clear(struct vhost_notifier *notifier);

/** vhost_notifier_get_fd() - the eventfd, to poll or to give away
 * @notifier: an initialised notifier
 *
 * Return: the fd, still owned by @notifier (lent), or -1.
 */
int vhost_notifier_get_fd(const struct vhost_notifier *notifier);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
