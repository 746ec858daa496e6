/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The entries of user_ops, a block for each file; see backend.h for what each
 * promises.  They take the lock of the connection themselves, but where they
 * take a struct vhost_user.
 */
#ifndef VH_BACKEND_USER_ENTRIES_H
#define VH_BACKEND_USER_ENTRIES_H

#include "backend/user/user.h"

/* request.c */
int vh_user_sync(struct vhost_dev *dev);
int vh_user_try_sync(struct vhost_dev *dev);
unsigned vh_user_get_timeout(struct vhost_dev *dev);
int vh_user_dispatch(struct vhost_dev *dev);

/* reconnect.c */
int vh_user_reconnect(struct vhost_dev *dev, bool begin);
int vh_user_get_return_fd(struct vhost_dev *dev);

/* queue.c */
int vh_user_set_features(struct vhost_dev *dev, uint64_t features);
int vh_user_dev_start(struct vhost_dev *dev, bool started);
void vh_user_reset_status(struct vhost_dev *dev);
int vh_user_reset_device(struct vhost_dev *dev);
int vh_user_vq_get_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr,
                        struct vhost_virtqueue *vq);
int vh_user_set_vring_num(struct vhost_dev *dev, struct vhost_vring_state *s);
int vh_user_set_vring_base(struct vhost_dev *dev, struct vhost_vring_state *s);
int vh_user_set_vring_addr(struct vhost_dev *dev, struct vhost_vring_addr *a);
bool vh_user_wants_kicks(struct vhost_dev *dev);
int vh_user_vring_kick(struct vhost_dev *dev, unsigned queue);
int vh_user_set_vring_kick(struct vhost_dev *dev, struct vhost_vring_file *f);
int vh_user_set_vring_call(struct vhost_dev *dev, struct vhost_vring_file *f);
int vh_user_set_vring_err(struct vhost_dev *dev, struct vhost_vring_file *f);
int vh_user_set_vring_enable(struct vhost_dev *dev, int enable);
/* One queue, and waits until the back end has obeyed, where it can say so. */
int vh_user_enable_queue(struct vhost_user *user, unsigned queue, bool enable,
                         struct vhost_error **errp);
int vh_user_get_vring_base(struct vhost_dev *dev, struct vhost_vring_state *s);
int vh_user_get_vring_bases(struct vhost_dev *dev,
                            struct vhost_vring_state *states, int *results,
                            unsigned n, bool drain);

/* inflight.c */
int vh_user_get_inflight_fd(struct vhost_dev *dev, uint16_t queue_size,
                            struct vhost_inflight *inflight);
int vh_user_set_inflight_fd(struct vhost_dev *dev,
                            struct vhost_inflight *inflight);

/* iotlb.c */
int vh_user_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *iotlb);
/* Virtio features that the device must not see, for lack of their means. */
uint64_t vh_user_iotlb_hidden(const struct vhost_user *user);

/* mem.c */
unsigned vh_user_memslots_limit(struct vhost_dev *dev);
int vh_user_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem);
void vh_user_forget_mem(struct vhost_user *user);

/* upcall.c */
int vh_user_get_request_fd(struct vhost_dev *dev);
/* The second channel: made and sent, sent for good, closed, served. */
int vh_user_open_side(struct vhost_user *user, struct vhost_error **errp);
void vh_user_side_is_sent(struct vhost_user *user);
void vh_user_close_side(struct vhost_user *user);
int vh_user_serve(void *user, struct vhost_error **errp);

/* share.c */
int vh_user_get_shared_object(struct vhost_dev *dev, const uint8_t *uuid,
                              int *fd);
uint64_t vh_user_get_shmem_size(struct vhost_dev *dev, uint8_t id);
/* At the negotiation: ask, then check. */
int vh_user_post_shmem(struct vhost_user *user, struct vhost_error **errp);
int vh_user_check_shmem(const struct vhost_user *user,
                        struct vhost_error **errp);

/* state.c */
bool vh_user_supports_device_state(struct vhost_dev *dev);
int vh_user_set_device_state_fd(struct vhost_dev *dev,
                                VhostDeviceStateDirection direction,
                                VhostDeviceStatePhase phase, int fd,
                                int *reply_fd);
int vh_user_check_device_state(struct vhost_dev *dev);
int vh_user_post_device_state_fd(struct vhost_dev *dev,
                                 VhostDeviceStateDirection direction,
                                 VhostDeviceStatePhase phase, int fd,
                                 struct vhost_device_state_answer *answer);
int vh_user_post_check_device_state(struct vhost_dev *dev,
                                    struct vhost_device_state_answer *answer);

/* log.c */
int vh_user_set_log_base(struct vhost_dev *dev, uint64_t base,
                         struct vhost_log *log);
bool vh_user_requires_shm_log(struct vhost_dev *dev);

/* device.c */
int vh_user_migration_done(struct vhost_dev *dev, const uint8_t *mac);
int vh_user_net_set_mtu(struct vhost_dev *dev, uint16_t mtu);
int vh_user_get_status(struct vhost_dev *dev, uint8_t *status);
int vh_user_set_vring_endian(struct vhost_dev *dev,
                             struct vhost_vring_state *s);
int vh_user_crypto_create_session(struct vhost_dev *dev, void *session,
                                  uint32_t size);
int vh_user_crypto_close_session(struct vhost_dev *dev, uint64_t session_id);

/* config.c */
int vh_user_get_config(struct vhost_dev *dev, uint8_t *config, uint32_t len);
int vh_user_set_config(struct vhost_dev *dev, const uint8_t *data,
                       uint32_t offset, uint32_t size, uint32_t flags);

#endif
