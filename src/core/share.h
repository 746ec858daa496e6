/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a back end shares with its device: entries of the upcall table, and
 * their ends.  host-notifier.c, object.c, shmem.c.
 *
 * They are called from inside of waits, in any thread that may wait: what they
 * touch is under priv->sharing, under which nobody waits for the back end.
 */
#ifndef VH_CORE_SHARE_H
#define VH_CORE_SHARE_H

#include "backend/upcalls.h"
#include "core/core.h"

int vh_core_host_notifier(struct vhost_dev *dev, unsigned queue, int fd,
                          uint64_t offset, uint64_t size);

/** vh_core_host_notifiers_new() - room for one each queue; freed with priv */
int vh_core_host_notifiers_new(struct vhost_dev *dev);

/** vh_core_host_notifier_up() - queue @i is started: the owner may have it */
void vh_core_host_notifier_up(struct vhost_dev *dev, unsigned i);

/** vh_core_host_notifier_down() - it stops: the owner has it no more */
void vh_core_host_notifier_down(struct vhost_dev *dev, unsigned i);

/** vh_core_host_notifiers_clear() - the back end is gone */
void vh_core_host_notifiers_clear(struct vhost_dev *dev);

int vh_core_object_add(struct vhost_dev *dev, const uint8_t *uuid);
void vh_core_object_is(struct vhost_dev *dev, const uint8_t *uuid, int fd);
int vh_core_object_remove(struct vhost_dev *dev, const uint8_t *uuid);
int vh_core_object_lookup(struct vhost_dev *dev, const uint8_t *uuid);

/** vh_core_objects_clear() - those of the device's back end */
void vh_core_objects_clear(struct vhost_dev *dev);

int vh_core_shmem_map(struct vhost_dev *dev,
                      const struct vh_shmem_piece *piece);
int vh_core_shmem_unmap(struct vhost_dev *dev,
                        const struct vh_shmem_piece *piece);

/** vh_core_shmem_clear() - take all pieces away; the windows stay */
void vh_core_shmem_clear(struct vhost_dev *dev);

/** vh_core_shmem_free() - forget the windows; nothing is mapped in them */
void vh_core_shmem_free(struct vhost_dev *dev);

#endif
