/* SPDX-License-Identifier: BSD-3-Clause */
/* Moving the state of a device; see transfer.c and state.c. */
#ifndef VH_CORE_TRANSFER_H
#define VH_CORE_TRANSFER_H

struct vhost_dev;

#define VH_CORE_TRANSFER (UINT32_MAX - 4) /* in epoll's data */

/** vh_core_check_state() - can the device's state be moved now?
 * Return: 0; -EBUSY, or as vh_core_silent(), with words. */
int vh_core_check_state(struct vhost_dev *dev, const char *operation);

/** vh_core_transfer_free() - forget the last one; no answer is due any more */
void vh_core_transfer_free(struct vhost_dev *dev);

#endif
