/* SPDX-License-Identifier: BSD-3-Clause */
/* Entries of vdpa_ops that only the table calls: as vhost/backend.h says. */
#ifndef VH_BACKEND_VDPA_ENTRIES_H
#define VH_BACKEND_VDPA_ENTRIES_H

#include "backend/vdpa/vdpa.h"

/* queue.c */
int vh_vdpa_vq_get_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr,
                        struct vhost_virtqueue *vq);
int vh_vdpa_set_vring_num(struct vhost_dev *dev,
                          struct vhost_vring_state *ring);
int vh_vdpa_set_vring_base(struct vhost_dev *dev,
                           struct vhost_vring_state *ring);
int vh_vdpa_set_vring_addr(struct vhost_dev *dev,
                           struct vhost_vring_addr *addr);
int vh_vdpa_set_vring_kick(struct vhost_dev *dev,
                           struct vhost_vring_file *file);
int vh_vdpa_set_vring_call(struct vhost_dev *dev,
                           struct vhost_vring_file *file);
int vh_vdpa_set_vring_enable(struct vhost_dev *dev, int enable);
int vh_vdpa_get_vring_base(struct vhost_dev *dev,
                           struct vhost_vring_state *ring);

/* svq.c */
int vh_vdpa_get_fd(struct vhost_dev *dev);
int vh_vdpa_dispatch(struct vhost_dev *dev);

/* switch.c */
int vh_vdpa_set_log_base(struct vhost_dev *dev, uint64_t base,
                         struct vhost_log *log);

/* config.c */
int vh_vdpa_get_config(struct vhost_dev *dev, uint8_t *config, uint32_t len);
int vh_vdpa_set_config(struct vhost_dev *dev, const uint8_t *data,
                       uint32_t offset, uint32_t size, uint32_t flags);
int vh_vdpa_set_config_call(struct vhost_dev *dev, int fd);

#endif
