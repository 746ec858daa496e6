/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VhostOps: what a back end can be asked to do, whichever kind it is.
 *
 * The core calls down through this table and never knows which kind it
 * talks to.  Conventions, for every entry:
 *
 *   - NULL means that this kind of back end has no such operation; what that
 *     means is said at the entry.
 *   - Return 0 or a negative errno.  On failure the operation leaves words in
 *     dev->error, by way of the room src/backend.
 *   - An operation may be *posted*: put on its way and not yet answered.  Such
 *     an entry returns 0 at once, and a refusal comes out of vhost_sync.
 *     Whoever needs the answer calls vhost_sync.  This is what lets a start
 *     with 64 queues cost as many round trips as one with a single queue.
 *   - Queue indices are those of the virtio device; an entry that wants the
 *     back end's own uses vhost_get_vq_index.
 *   - File descriptors are lent, unless the entry says otherwise.
 *   - Entries are called in the control thread, but for those marked "any
 *     thread".
 *
 * The structures with a vhost_vring_ prefix, struct vhost_memory and struct
 * vhost_iotlb_msg are the kernel's own, from <linux/vhost_types.h>; that
 * header is not C++, so it is left to whoever needs them whole.
 */
#ifndef VHOST_BACKEND_H
#define VHOST_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* The kernel's, in full in <linux/vhost_types.h>. */
struct vhost_vring_state;
struct vhost_vring_addr;
struct vhost_vring_file;
struct vhost_memory;
struct vhost_iotlb_msg;
struct vhost_scsi_target;

struct vhost_dev;
struct vhost_inflight;
struct vhost_log;
struct vhost_virtqueue;

/**
 * struct vhost_device_state_answer - what became of a request that was posted
 * @result: 0 or a negative errno
 * @reply_fd: given, with a result of 0; -1: none
 */
struct vhost_device_state_answer {
    int result;
    int reply_fd;
};

typedef enum VhostBackendType {
    VHOST_BACKEND_TYPE_NONE = 0,
    VHOST_BACKEND_TYPE_KERNEL = 1,
    VHOST_BACKEND_TYPE_USER = 2,
    VHOST_BACKEND_TYPE_VDPA = 3,
    VHOST_BACKEND_TYPE_MAX = 4,
} VhostBackendType;

/** Flags of SET_CONFIG: who writes. */
typedef enum VhostSetConfigType {
    VHOST_SET_CONFIG_TYPE_FRONTEND = 0,  /* the driver, at run time */
    VHOST_SET_CONFIG_TYPE_MIGRATION = 1, /* restored at the destination */
} VhostSetConfigType;

typedef enum VhostDeviceStateDirection {
    VHOST_TRANSFER_STATE_DIRECTION_SAVE = 0,
    VHOST_TRANSFER_STATE_DIRECTION_LOAD = 1,
} VhostDeviceStateDirection;

typedef enum VhostDeviceStatePhase {
    VHOST_TRANSFER_STATE_PHASE_STOPPED = 0,
} VhostDeviceStatePhase;

/**
 * struct VhostOps - one kind of back end
 *
 * Life cycle
 * @backend_type: which kind
 * @vhost_backend_init: take up the back end: connect, negotiate what comes
 *     before virtio's own features.  @opaque is what vhost_dev_init() was
 *     given.  Required.
 * @vhost_backend_cleanup: let go of it; also after a failed init.  Required.
 * @vhost_sync: wait until all that was posted is answered, or the deadline;
 *     returns the first refusal.  NULL: nothing is ever posted.
 * @vhost_try_sync: the same without waiting: -EINPROGRESS until all is
 *     answered, or the deadline of the first of these calls has passed.
 *     NULL: vhost_sync.
 * @vhost_get_timeout: after -EINPROGRESS: milliseconds until vhost_try_sync
 *     wants to be called at the latest.  NULL: vhost_get_fd says when.
 * @vhost_get_fd: an fd that is readable when vhost_dispatch has work, lent.
 *     NULL: none.
 * @vhost_get_request_fd: another such fd, for what the back end asks of us.
 *     NULL: none.
 * @vhost_dispatch: take what came unasked, without waiting; -ENOTCONN once
 *     the back end is gone.  NULL: nothing comes.
 * @vhost_is_connected: can it still be talked to?  NULL: always.
 * @vhost_reconnect: with @begin: let go of a back end that is lost, and take
 *     up the one that is there in its place; without: go on with that.  Never
 *     waits.  Return: 0: it is taken up, and has all that the old one had;
 *     -EINPROGRESS: vhost_get_fd or vhost_get_timeout tell when to call again;
 *     else: not this time.  NULL: a back end that is lost is lost for good.
 * @vhost_get_return_fd: while it is lost: an fd that is readable when it is
 *     worth to begin again, lent; -1, or NULL: there is none; -ENOTSUP: it
 *     will not come back.
 *
 * Limits
 * @vhost_backend_memslots_limit: how many memory regions it takes.  Required.
 * @vhost_backend_no_private_memslots: true if memory must come as a shared
 *     file.  NULL: false.
 *
 * Features
 * @vhost_set_owner: claim the device.  May be posted.  NULL: not needed.
 * @vhost_get_features: 64 feature bits.  Required.
 * @vhost_set_features: likewise; with the status handshake, where there is
 *     one.  May be posted.  Required.
 * @vhost_get_features_ex: 128 bits, two words.  NULL: use the 64-bit form.
 * @vhost_set_features_ex: likewise.  NULL: bits above 63 are refused.
 * @vhost_set_backend_cap: negotiate the back end's own capabilities.  NULL:
 *     none.
 * @vhost_force_iommu: true if bit 33 is always acknowledged.  NULL: false.
 * @vhost_get_device_id: virtio device type.  NULL: unknown.
 *
 * Memory
 * @vhost_set_mem_table: the whole table; entry i describes
 *     dev->mem_sections[i], where the files are.  Returns once the back end
 *     has let go of what is not in it any more, unless dev is being started:
 *     then it may be posted.  Required.
 * @vhost_keeps_memory: true while it has memory though it is stopped: then it
 *     is told of changes too.  NULL: false.
 * @vhost_set_log_base: where dirty pages are marked: @base is the mapping,
 *     @log holds the file; both live until another log is settled, or the
 *     queues are stopped.  May be posted.  NULL: no dirty log.
 * @vhost_requires_shm_log: true if the log must be a shared file.  NULL: no.
 * @vhost_migration_done: the guest now runs elsewhere; @mac_addr announces
 *     it (RARP).  NULL: nothing to do.
 *
 * Queues
 * @vhost_get_vq_index: virtio queue index to the back end's.  NULL: same.
 * @vhost_vq_get_addr: fill the addresses of a queue in the terms of this kind
 *     (ours, guest-physical).  NULL: our own addresses.
 * @vhost_set_vring_num: entries.  May be posted.  Required.
 * @vhost_set_vring_base: where to go on, 32 bits.  May be posted.  Required.
 * @vhost_set_vring_endian: of a legacy ring; num 0: little, 1: big.  May be
 *     posted.  NULL:
 *     a cross-endian legacy device can't be started.
 * @vhost_set_vring_addr: addresses and the log flag.  May be posted.  Required.
 * @vhost_set_vring_kick: fd, or -1: the back end polls.  May be posted.
 *     Required.
 * @vhost_set_vring_call: fd, or -1: the driver polls.  May be posted; any
 *     thread.  Required.
 * @vhost_set_vring_err: fd for errors of the ring.  May be posted.  NULL: no
 *     error notifier is made.
 * @vhost_set_vring_busyloop_timeout: microseconds to poll.  NULL: -EINVAL if
 *     asked for.
 * @vhost_set_vring_enable: all queues of the device.  May be posted.  NULL:
 *     they are enabled by being started.
 * @vhost_get_vring_base: stop the ring, and learn where it is; not posted.
 *     Required.
 * @vhost_get_vring_bases: the same for @n queues in one go; without @drain,
 *     requests may be left in the in-flight buffer: states[i].index
 *     tells which, states[i].num takes the answer, results[i] 0 or a
 *     negative errno.  May be posted: then they are filled in by the time that
 *     vhost_sync returns, and live until then, or until the cleanup.  NULL:
 *     one at a time.
 * @vhost_wants_kicks: true if nobody at the back end hears kick fds: whoever
 *     does calls vhost_vring_kick.  NULL: false.
 * @vhost_vring_kick: there are new buffers.  Posted.  NULL: -ENOSYS.
 * @vhost_dev_start: the device as a whole starts or stops: DRIVER_OK.  May be
 *     posted.  NULL: nothing to do.
 * @vhost_reset_status: after stop: back to before the handshake.  NULL: none.
 * @vhost_get_status: the virtio device status.  NULL: -ENOSYS.
 * @vhost_reset_device: reset the device.  NULL: -ENOSYS.
 *
 * Workers (kernel threads that serve rings).  NULL: -ENOSYS
 * @vhost_new_worker, @vhost_free_worker, @vhost_attach_vring_worker,
 * @vhost_get_vring_worker
 *
 * Device IOTLB
 * @vhost_set_iotlb_callback: start or stop delivering misses.  NULL: skip.
 * @vhost_send_device_iotlb_msg: an update or invalidation.  May be posted; any
 *     thread.  NULL: -ENODEV.
 *
 * Configuration space
 * @vhost_get_config: @len bytes from offset 0.  NULL: -ENOSYS.
 * @vhost_set_config: @flags is a VhostSetConfigType.  NULL: -ENOSYS.
 * @vhost_set_config_call: fd for changes.  NULL: vhost_config_mask() and
 *     vhost_config_pending() do nothing.
 *
 * In-flight descriptors.  NULL: success, and there is no buffer
 * @vhost_get_inflight_fd: fills in @inflight, if there is one
 * @vhost_set_inflight_fd: it has one.  May be posted
 *
 * What the back end shares
 * @vhost_get_shared_object: the file of an object; @uuid has 16 bytes, *fd is
 *     the caller's.  NULL: -ENOSYS.
 * @vhost_get_shmem_size: of a shared memory region, in bytes.  NULL: there are
 *     none.
 *
 * State of the device
 * @vhost_supports_device_state: NULL: false.
 * @vhost_set_device_state_fd: begin; @fd is given.  NULL: -ENOSYS.
 * @vhost_check_device_state: did it arrive?  NULL: -ENOSYS.
 * @vhost_post_device_state_fd, @vhost_post_check_device_state: the same as a
 *     request that is posted: @answer, and @fd, which is lent, are there until
 *     it is answered, or the device is cleaned up.  NULL: by the two above.
 *
 * One kind of device each.  NULL: -ENOSYS
 * @vhost_net_set_backend, @vhost_net_set_mtu (NULL: success),
 * @vhost_scsi_set_endpoint, @vhost_scsi_clear_endpoint,
 * @vhost_scsi_get_abi_version, @vhost_vsock_set_guest_cid,
 * @vhost_vsock_set_running, @vhost_crypto_create_session,
 * @vhost_crypto_close_session
 */
typedef struct VhostOps {
    VhostBackendType backend_type;

    int (*vhost_backend_init)(struct vhost_dev *dev, void *opaque);
    void (*vhost_backend_cleanup)(struct vhost_dev *dev);
    int (*vhost_sync)(struct vhost_dev *dev);
    int (*vhost_try_sync)(struct vhost_dev *dev);
    unsigned (*vhost_get_timeout)(struct vhost_dev *dev);
    int (*vhost_get_fd)(struct vhost_dev *dev);
    int (*vhost_get_request_fd)(struct vhost_dev *dev);
    int (*vhost_dispatch)(struct vhost_dev *dev);
    bool (*vhost_is_connected)(struct vhost_dev *dev);
    int (*vhost_reconnect)(struct vhost_dev *dev, bool begin);
    int (*vhost_get_return_fd)(struct vhost_dev *dev);

    unsigned (*vhost_backend_memslots_limit)(struct vhost_dev *dev);
    bool (*vhost_backend_no_private_memslots)(struct vhost_dev *dev);

    int (*vhost_set_owner)(struct vhost_dev *dev);
    int (*vhost_get_features)(struct vhost_dev *dev, uint64_t *features);
    int (*vhost_set_features)(struct vhost_dev *dev, uint64_t features);
    int (*vhost_get_features_ex)(struct vhost_dev *dev, uint64_t *features);
    int (*vhost_set_features_ex)(struct vhost_dev *dev,
                                 const uint64_t *features);
    int (*vhost_set_backend_cap)(struct vhost_dev *dev);
    bool (*vhost_force_iommu)(struct vhost_dev *dev);
    int (*vhost_get_device_id)(struct vhost_dev *dev, uint32_t *dev_id);

    int (*vhost_set_mem_table)(struct vhost_dev *dev, struct vhost_memory *mem);
    bool (*vhost_keeps_memory)(struct vhost_dev *dev);
    int (*vhost_set_log_base)(struct vhost_dev *dev, uint64_t base,
                              struct vhost_log *log);
    bool (*vhost_requires_shm_log)(struct vhost_dev *dev);
    int (*vhost_migration_done)(struct vhost_dev *dev, const uint8_t *mac_addr);

    int (*vhost_get_vq_index)(struct vhost_dev *dev, int idx);
    int (*vhost_vq_get_addr)(struct vhost_dev *dev,
                             struct vhost_vring_addr *addr,
                             struct vhost_virtqueue *vq);
    int (*vhost_set_vring_num)(struct vhost_dev *dev,
                               struct vhost_vring_state *ring);
    int (*vhost_set_vring_base)(struct vhost_dev *dev,
                                struct vhost_vring_state *ring);
    int (*vhost_set_vring_endian)(struct vhost_dev *dev,
                                  struct vhost_vring_state *ring);
    int (*vhost_set_vring_addr)(struct vhost_dev *dev,
                                struct vhost_vring_addr *addr);
    int (*vhost_set_vring_kick)(struct vhost_dev *dev,
                                struct vhost_vring_file *file);
    int (*vhost_set_vring_call)(struct vhost_dev *dev,
                                struct vhost_vring_file *file);
    int (*vhost_set_vring_err)(struct vhost_dev *dev,
                               struct vhost_vring_file *file);
    int (*vhost_set_vring_busyloop_timeout)(struct vhost_dev *dev,
                                            struct vhost_vring_state *ring);
    int (*vhost_set_vring_enable)(struct vhost_dev *dev, int enable);
    int (*vhost_get_vring_base)(struct vhost_dev *dev,
                                struct vhost_vring_state *ring);
    int (*vhost_get_vring_bases)(struct vhost_dev *dev,
                                 struct vhost_vring_state *states, int *results,
                                 unsigned n, bool drain);
    bool (*vhost_wants_kicks)(struct vhost_dev *dev);
    int (*vhost_vring_kick)(struct vhost_dev *dev, unsigned queue);
    int (*vhost_dev_start)(struct vhost_dev *dev, bool started);
    void (*vhost_reset_status)(struct vhost_dev *dev);
    int (*vhost_get_status)(struct vhost_dev *dev, uint8_t *status);
    int (*vhost_reset_device)(struct vhost_dev *dev);

    int (*vhost_new_worker)(struct vhost_dev *dev, uint32_t *worker_id);
    int (*vhost_free_worker)(struct vhost_dev *dev, uint32_t worker_id);
    int (*vhost_attach_vring_worker)(struct vhost_dev *dev, unsigned queue,
                                     uint32_t worker_id);
    int (*vhost_get_vring_worker)(struct vhost_dev *dev, unsigned queue,
                                  uint32_t *worker_id);

    void (*vhost_set_iotlb_callback)(struct vhost_dev *dev, int enabled);
    int (*vhost_send_device_iotlb_msg)(struct vhost_dev *dev,
                                       struct vhost_iotlb_msg *msg);

    int (*vhost_get_config)(struct vhost_dev *dev, uint8_t *config,
                            uint32_t config_len);
    int (*vhost_set_config)(struct vhost_dev *dev, const uint8_t *data,
                            uint32_t offset, uint32_t size, uint32_t flags);
    int (*vhost_set_config_call)(struct vhost_dev *dev, int fd);

    int (*vhost_get_inflight_fd)(struct vhost_dev *dev, uint16_t queue_size,
                                 struct vhost_inflight *inflight);
    int (*vhost_set_inflight_fd)(struct vhost_dev *dev,
                                 struct vhost_inflight *inflight);

    int (*vhost_get_shared_object)(struct vhost_dev *dev, const uint8_t *uuid,
                                   int *fd);
    uint64_t (*vhost_get_shmem_size)(struct vhost_dev *dev, uint8_t id);

    bool (*vhost_supports_device_state)(struct vhost_dev *dev);
    int (*vhost_set_device_state_fd)(struct vhost_dev *dev,
                                     VhostDeviceStateDirection direction,
                                     VhostDeviceStatePhase phase, int fd,
                                     int *reply_fd);
    int (*vhost_check_device_state)(struct vhost_dev *dev);
    int (*vhost_post_device_state_fd)(struct vhost_dev *dev,
                                      VhostDeviceStateDirection direction,
                                      VhostDeviceStatePhase phase, int fd,
                                      struct vhost_device_state_answer *answer);
    int (*vhost_post_check_device_state)(
        struct vhost_dev *dev, struct vhost_device_state_answer *answer);

    int (*vhost_net_set_backend)(struct vhost_dev *dev,
                                 struct vhost_vring_file *file);
    int (*vhost_net_set_mtu)(struct vhost_dev *dev, uint16_t mtu);
    int (*vhost_scsi_set_endpoint)(struct vhost_dev *dev,
                                   struct vhost_scsi_target *target);
    int (*vhost_scsi_clear_endpoint)(struct vhost_dev *dev,
                                     struct vhost_scsi_target *target);
    int (*vhost_scsi_get_abi_version)(struct vhost_dev *dev, int *version);
    int (*vhost_vsock_set_guest_cid)(struct vhost_dev *dev, uint64_t cid);
    int (*vhost_vsock_set_running)(struct vhost_dev *dev, int start);
    int (*vhost_crypto_create_session)(struct vhost_dev *dev, void *session,
                                       uint32_t size);
    int (*vhost_crypto_close_session)(struct vhost_dev *dev,
                                      uint64_t session_id);

    void (*reserved[13])(void);
} VhostOps;

/** A back end in another process, over the vhost-user protocol. */
extern const VhostOps user_ops;

/** A device of this kernel: /dev/vhost-net, -vsock, -scsi. */
extern const VhostOps kernel_ops;

/** A vDPA device, by way of the kernel's vhost-vdpa. */
extern const VhostOps vdpa_ops;

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
