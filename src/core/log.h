/* SPDX-License-Identifier: BSD-3-Clause */
/* One device's part in the dirty log of its map; see core/log.c. */
#ifndef VH_CORE_LOG_H
#define VH_CORE_LOG_H

#include "core/core.h"

#define VH_F_LOG_ALL (UINT64_C(1) << VHOST_F_LOG_ALL)

/** vh_core_log_up() - before any ring: post where to log, if it is on */
int vh_core_log_up(struct vhost_dev *dev);

/** vh_core_log_down() - the rings stand still: let go of the log */
void vh_core_log_down(struct vhost_dev *dev);

/** vh_core_log_release() - let go, whatever the back end may do */
void vh_core_log_release(struct vhost_dev *dev);

/** vh_core_log_changed(), vh_core_log_changed_later(), vh_core_log_blocker() - of
 * the device as a listener of its map; see mem/map.h */
int vh_core_log_changed(struct vh_mem_listener *listener, bool on,
                        struct vhost_error **errp);
int vh_core_log_changed_later(struct vh_mem_listener *listener, bool on,
                              struct vhost_error **errp);
const char *vh_core_log_blocker(struct vh_mem_listener *listener);

#endif
