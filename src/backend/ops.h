/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one place that calls VhostOps.  Each function here says what an absent
 * entry means, so that no caller asks; traces the call; and sees to it that a
 * failure leaves words in dev->error.
 *
 * Names follow the entries: vhost_set_owner is called by vh_be_set_owner().
 */
#ifndef VH_BACKEND_OPS_H
#define VH_BACKEND_OPS_H

#include <vhost/vhost.h>

/** vh_be_ops() - the table of a kind; NULL if this build lacks it */
const VhostOps *vh_be_ops(VhostBackendType type);

/**
 * vh_be_fail() - leave words in dev->error, unless there are some
 * @dev: a device
 * @code: negative errno
 * @operation: message, ioctl or system call
 * @queue: virtio queue index or -1
 *
 * Return: @code.
 */
int vh_be_fail(struct vhost_dev *dev, int code, const char *operation,
               int queue, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/**
 * vh_be_take_error() - hand *from over to dev->error, unless there is one
 * @dev: a device
 * @from: an error, or NULL in it; *from is NULL then
 *
 * Any thread: dev->error goes from NULL to an error in one step, and no
 * setter looks into one that is there.
 *
 * Return: the code of *from; 0 if it was NULL.
 */
int vh_be_take_error(struct vhost_dev *dev, struct vhost_error **from);

int vh_be_init(struct vhost_dev *dev, void *opaque);
void vh_be_cleanup(struct vhost_dev *dev);
int vh_be_sync(struct vhost_dev *dev);
int vh_be_try_sync(struct vhost_dev *dev); /* -EINPROGRESS: not yet */
unsigned vh_be_get_timeout(struct vhost_dev *dev); /* ms until then */
int vh_be_get_fd(struct vhost_dev *dev); /* -1: none */
int vh_be_get_request_fd(struct vhost_dev *dev); /* -1: none */
int vh_be_dispatch(struct vhost_dev *dev);
bool vh_be_is_connected(struct vhost_dev *dev);
bool vh_be_can_reconnect(struct vhost_dev *dev);
/* 0, -EINPROGRESS, or why not */
int vh_be_reconnect(struct vhost_dev *dev, bool begin);
int vh_be_get_return_fd(struct vhost_dev *dev); /* -1: none */

unsigned vh_be_memslots_limit(struct vhost_dev *dev);
bool vh_be_no_private_memslots(struct vhost_dev *dev);

int vh_be_set_owner(struct vhost_dev *dev);
int vh_be_get_features(struct vhost_dev *dev, uint64_t *features); /* 2 words */
int vh_be_set_features(struct vhost_dev *dev, const uint64_t *features);
int vh_be_set_backend_cap(struct vhost_dev *dev);
bool vh_be_force_iommu(struct vhost_dev *dev);

void vh_be_set_iotlb_callback(struct vhost_dev *dev, bool enabled);
int vh_be_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *msg);

bool vh_be_has_log(const struct vhost_dev *dev);
bool vh_be_requires_shm_log(struct vhost_dev *dev);
int vh_be_set_log_base(struct vhost_dev *dev, uint64_t base,
                       struct vhost_log *log);

int vh_be_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem);
bool vh_be_keeps_memory(struct vhost_dev *dev);

int vh_be_vq_get_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr,
                      struct vhost_virtqueue *vq);
int vh_be_set_vring_num(struct vhost_dev *dev, unsigned queue, uint32_t num);
int vh_be_set_vring_base(struct vhost_dev *dev, unsigned queue, uint32_t base);
int vh_be_set_vring_endian(struct vhost_dev *dev, unsigned queue, bool big);
int vh_be_set_vring_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr);
int vh_be_set_vring_kick(struct vhost_dev *dev, unsigned queue, int fd);
int vh_be_set_vring_call(struct vhost_dev *dev, unsigned queue, int fd);
int vh_be_set_vring_err(struct vhost_dev *dev, unsigned queue, int fd);
bool vh_be_has_vring_err(const struct vhost_dev *dev);
int vh_be_set_vring_busyloop_timeout(struct vhost_dev *dev, unsigned queue,
                                     uint32_t us);
int vh_be_set_vring_enable(struct vhost_dev *dev, bool enable);
/* results[i] per queue; states[i].index names it; one at a time if need be.
 * Both are filled in by the next sync. */
int vh_be_get_vring_bases(struct vhost_dev *dev,
                          struct vhost_vring_state *states, int *results,
                          unsigned n, bool drain);
bool vh_be_has_inflight(const struct vhost_dev *dev);
int vh_be_get_inflight_fd(struct vhost_dev *dev, uint16_t queue_size,
                          struct vhost_inflight *inflight);
int vh_be_set_inflight_fd(struct vhost_dev *dev,
                          struct vhost_inflight *inflight);
int vh_be_dev_start(struct vhost_dev *dev, bool started);
void vh_be_reset_status(struct vhost_dev *dev);

int vh_be_get_config(struct vhost_dev *dev, uint8_t *config, uint32_t len);
int vh_be_set_config(struct vhost_dev *dev, const uint8_t *data,
                     uint32_t offset, uint32_t size, uint32_t flags);

/* ops-device.c */

/* How each call ends: traced, and with words if it failed; of an entry that is
 * absent.  They return what they are given. */
int vh_be_done(struct vhost_dev *dev, const char *operation, int r);
int vh_be_absent(struct vhost_dev *dev, int code, const char *operation);

bool vh_be_supports_device_state(struct vhost_dev *dev);
/* @fd is given; *reply_fd is set on success only */
int vh_be_set_device_state_fd(struct vhost_dev *dev,
                              VhostDeviceStateDirection direction,
                              VhostDeviceStatePhase phase, int fd,
                              int *reply_fd);
int vh_be_check_device_state(struct vhost_dev *dev);
/* Posted: *answer, and @fd, which is lent, stay until the answer has come. */
int vh_be_post_device_state_fd(struct vhost_dev *dev,
                               VhostDeviceStateDirection direction, int fd,
                               struct vhost_device_state_answer *answer);
int vh_be_post_check_device_state(struct vhost_dev *dev,
                                  struct vhost_device_state_answer *answer);
int vh_be_reset_device(struct vhost_dev *dev);
int vh_be_migration_done(struct vhost_dev *dev, const uint8_t *mac);
int vh_be_net_set_mtu(struct vhost_dev *dev, uint16_t mtu);
int vh_be_net_set_backend(struct vhost_dev *dev, struct vhost_vring_file *file);
int vh_be_get_device_id(struct vhost_dev *dev, uint32_t *id); /* -ENOSYS */
bool vh_be_has_config_call(const struct vhost_dev *dev);
int vh_be_set_config_call(struct vhost_dev *dev, int fd);
int vh_be_get_status(struct vhost_dev *dev, uint8_t *status);
int vh_be_crypto_create_session(struct vhost_dev *dev, void *session,
                                uint32_t size);
int vh_be_crypto_close_session(struct vhost_dev *dev, uint64_t session_id);
/* *fd is given, on success only */
int vh_be_get_shared_object(struct vhost_dev *dev, const uint8_t *uuid,
                            int *fd);
uint64_t vh_be_get_shmem_size(struct vhost_dev *dev, uint8_t id); /* 0: none */
bool vh_be_wants_kicks(struct vhost_dev *dev);
int vh_be_vring_kick(struct vhost_dev *dev, unsigned queue);

#endif
