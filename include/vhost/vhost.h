/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life cycle of a vhost device.
 *
 *     NONE --init--> IDLE --start--> STARTED --stop--> IDLE --cleanup--> NONE
 *     any --back end gone--> LOST: only stop and cleanup
 *     any --protocol broken--> BROKEN: only stop and cleanup
 *
 * Threads: the calls for one device come from one control thread at a time;
 * two devices know nothing of each other.  vhost_virtqueue_mask() and
 * vhost_virtqueue_pending() may come from any thread.
 *
 * No call waits without a deadline: see struct vhost_user_options.
 */
#ifndef VHOST_VHOST_H
#define VHOST_VHOST_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/async.h>
#include <vhost/backend.h>
#include <vhost/error.h>
#include <vhost/inflight.h>
#include <vhost/iommu.h>
#include <vhost/kernel.h>
#include <vhost/log.h>
#include <vhost/memory.h>
#include <vhost/notifier.h>
#include <vhost/object.h>
#include <vhost/reconnect.h>
#include <vhost/request.h>
#include <vhost/shmem.h>
#include <vhost/state.h>
#include <vhost/stream.h>
#include <vhost/user.h>
#include <vhost/vdev.h>
#include <vhost/vdpa.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VHOST_F_DEVICE_IOTLB 63 /* old name; virtio bit 33 is what counts */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* How often a VMM may try again to connect at first start: its choice, since
 * nothing here tries again. */
#define VU_REALIZE_CONN_RETRIES 3

#define VHOST_INVALID_FEATURE_BIT (0xff) /* ends a table of feature bits */
#define VHOST_QUEUE_NUM_CONFIG_INR 0     /* vqs[0] holds the config notifier */

/* Feature sets have 128 bits: NAME is the low word, NAME_array has both. */
#define VHOST_FEATURES_WORDS 2
#define VHOST_DECLARE_FEATURES(name)                 \
    union {                                          \
        uint64_t name;                               \
        uint64_t name##_array[VHOST_FEATURES_WORDS]; \
    }

/** struct vhost_virtqueue - a queue as the back end has it
 *
 * Caller's memory, zeroed before vhost_dev_init(); filled in by the library.
 * @kick, @call: unused
 * @desc, @avail, @used: our addresses, while the queue is started
 * @num: entries
 * @desc_phys, @avail_phys, @used_phys: guest-physical
 * @desc_size, @avail_size, @used_size: bytes
 * @masked_notifier: takes the back end's calls while the queue is masked
 * @error_notifier: set by the back end when the ring is broken
 * @masked_config_notifier: of vqs[VHOST_QUEUE_NUM_CONFIG_INR] only
 * @dev: the device
 * @started: the back end has it
 * @masked: see vhost_virtqueue_mask()
 */
struct vhost_virtqueue {
    int kick;
    int call;
    void *desc;
    void *avail;
    void *used;
    int num;
    unsigned long long desc_phys;
    unsigned desc_size;
    unsigned long long avail_phys;
    unsigned avail_size;
    unsigned long long used_phys;
    unsigned used_size;
    struct vhost_notifier masked_notifier;
    struct vhost_notifier error_notifier;
    struct vhost_notifier masked_config_notifier;
    struct vhost_dev *dev;
    bool started;
    bool masked;
    uint64_t reserved[4];
};

struct vhost_dev_priv;
struct vh_upcalls;

/** struct VhostDevConfigOps - told when the device's configuration changes */
typedef struct VhostDevConfigOps {
    int (*vhost_dev_config_notifier)(struct vhost_dev *dev);
} VhostDevConfigOps;

/** Where a device stands; see the top of this file. */
enum vhost_dev_state {
    VHOST_DEV_NONE = 0,
    VHOST_DEV_IDLE = 1,
    VHOST_DEV_STARTED = 2,
    VHOST_DEV_LOST = 3,
    VHOST_DEV_BROKEN = 4,
};

/**
 * struct vhost_dev - a vhost device
 *
 * Zeroed by the caller, but for the fields marked "in", before
 * vhost_dev_init(); afterwards read only.
 *
 * @vdev: the owner's device while started, else NULL
 * @map: in: the guest's memory; lent until vhost_dev_cleanup()
 * @mem: the table as the back end has it, or gets it at the next start
 * @n_mem_sections, @mem_sections: mem->regions[i] is mem_sections[i]: merged
 *     and aligned for this back end
 * @vqs: in: @nvqs of them; lent
 * @nvqs: in
 * @vq_index: in: the first virtio queue that this device serves
 * @vq_index_end: in: one past the last queue of the virtio device
 * @num_queues: in: if not 0, how many queues the back end must have
 * @features: as the back end offers them
 * @acked_features: as negotiated with the driver
 * @backend_features: bits of vhost's own that go into SET_FEATURES
 * @protocol_features: vhost-user's, as negotiated
 * @max_queues: how many queues the back end has
 * @backend_cap: capabilities of a kernel or vDPA back end
 * @started: is it started?
 * @log_enabled, @log_size, @log: dirty log
 * @vhost_ops: the kind of back end
 * @opaque: the back end's own
 * @config_ops: see vhost_dev_set_config_notifier()
 * @state: an enum vhost_dev_state
 * @error: why the last call failed; see vhost_dev_get_error()
 * @objects: in: what it shares with other devices; lent until
 *     vhost_dev_cleanup(); NULL: nothing
 * @upcalls, @priv: the library's own
 */
struct vhost_dev {
    struct vhost_vdev *vdev;
    struct vhost_memory_map *map;
    struct vhost_memory *mem;
    int n_mem_sections;
    struct vhost_memory_section *mem_sections;
    struct vhost_virtqueue *vqs;
    unsigned int nvqs;
    int vq_index;
    int vq_index_end;
    int num_queues;
    VHOST_DECLARE_FEATURES(features);
    VHOST_DECLARE_FEATURES(acked_features);
    VHOST_DECLARE_FEATURES(backend_features);
    uint64_t protocol_features;
    uint64_t max_queues;
    uint64_t backend_cap;
    bool started;
    bool log_enabled;
    uint64_t log_size;
    const VhostOps *vhost_ops;
    void *opaque;
    struct vhost_log *log;
    const VhostDevConfigOps *config_ops;
    enum vhost_dev_state state;
    struct vhost_error *error;
    struct vhost_objects *objects;
    const struct vh_upcalls *upcalls;
    struct vhost_dev_priv *priv;
    uint64_t reserved[14];
};

/**
 * vhost_dev_init() - take up a back end
 * @hdev: zeroed but for vqs, nvqs, vq_index, map and what else is marked "in"
 * @opaque: for VHOST_BACKEND_TYPE_USER a struct vhost_user, for _VDPA a struct
 *     vhost_vdpa, for _KERNEL a struct vhost_kernel; lent until
 *     vhost_dev_cleanup()
 * @backend_type: which kind; those that this build lacks fail with -ENOTSUP.
 *     VHOST_BACKEND_TYPE_NONE takes hdev->vhost_ops as set by the caller: a
 *     back end of the caller's own
 * @busyloop_timeout: microseconds that the back end polls a queue; 0: none
 * @errp: why it failed
 *
 * Connects, negotiates, and readies the queues; nothing of the virtio device
 * is configured before vhost_dev_start().  On failure nothing is left behind,
 * and vhost_dev_cleanup() is allowed but not needed.
 *
 * Return: 0, or a negative errno: -ENOENT or -ECONNREFUSED without a back
 * end, -ETIMEDOUT if it does not answer, -EPROTO if it does not speak the
 * protocol, -EINVAL if it has too few queues, -ENOSPC if it has too few
 * memory slots, -EREMOTEIO if it refuses a message, -EBUSY if another device
 * uses @opaque.
 */
int vhost_dev_init(struct vhost_dev *hdev, void *opaque,
                   VhostBackendType backend_type, uint32_t busyloop_timeout,
                   struct vhost_error **errp);

/**
 * vhost_dev_cleanup() - let go of a back end
 * @hdev: stopped; already cleaned up is allowed
 *
 * Leaves @hdev zeroed.
 */
void vhost_dev_cleanup(struct vhost_dev *hdev);

/**
 * vhost_dev_enable_notifiers() - let the doorbells reach the back end
 * @hdev: an idle device
 * @vdev: the virtio device
 *
 * Asks the owner, by vdev->ops->notifier_assign, to route the doorbell of
 * each queue to its kick_fd.
 *
 * Return: 0, or the negative errno of the owner; then none is routed.
 */
int vhost_dev_enable_notifiers(struct vhost_dev *hdev, struct vhost_vdev *vdev);

/**
 * vhost_dev_disable_notifiers() - take the doorbells back
 * @hdev: a stopped device
 * @vdev: the virtio device
 */
void vhost_dev_disable_notifiers(struct vhost_dev *hdev,
                                 struct vhost_vdev *vdev);

/**
 * vhost_dev_is_started() - is it started?
 * @hdev: a device
 *
 * Return: true between a successful vhost_dev_start() and vhost_dev_stop().
 */
static inline bool vhost_dev_is_started(struct vhost_dev *hdev)
{
    return hdev->started;
}

/**
 * vhost_dev_start() - hand the queues to the back end
 * @hdev: an idle device, its features acknowledged
 * @vdev: the virtio device, lent until vhost_dev_stop()
 * @vrings: enable the rings too
 *
 * Return: 0, or a negative errno, with words in vhost_dev_get_error(); then
 * the device is as it was before.
 */
int vhost_dev_start(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                    bool vrings);

/**
 * vhost_dev_stop() - take the queues back
 * @hdev: a started device
 * @vdev: the virtio device; queues[i].base and base_source tell where each
 *     queue stood
 * @vrings: disable the rings too
 *
 * Goes on to the end whatever fails.
 *
 * Return: 0, or the first negative errno: a base was not told by the device.
 */
int vhost_dev_stop(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                   bool vrings);

/**
 * vhost_dev_get_error() - why the last failing call failed
 * @hdev: a device
 *
 * Calls with an errp of their own leave words there, not always here.
 *
 * Return: an error, lent until the next call for this device; NULL if none.
 */
const struct vhost_error *vhost_dev_get_error(const struct vhost_dev *hdev);

/**
 * vhost_dev_get_fd() - one fd to poll
 * @hdev: an initialised device
 *
 * Return: an fd that is readable when vhost_dev_dispatch() has work; lent,
 * and the same for the life of the device.
 */
int vhost_dev_get_fd(struct vhost_dev *hdev);

/**
 * vhost_dev_dispatch() - do what there is to do, without waiting
 * @hdev: an initialised device
 *
 * Calls back into the owner: vring_error, lost, and the configuration notifier.
 * What a back end asks that can't wait (a translation, a file, a page of
 * doorbell) is answered here too, and by every other call that waits for it: so
 * neither side can wait for the other for ever.
 *
 * Return: 0; -ENOTCONN once the back end is gone, -EPROTO once it is broken.
 * With vhost_dev_set_reconnect() one that is gone is looked for here, and is no
 * failure.
 */
int vhost_dev_dispatch(struct vhost_dev *hdev);

/**
 * vhost_dev_get_config() - read the configuration space
 * @hdev: an initialised device
 * @config: filled in
 * @config_len: bytes wanted, from offset 0; ask no more than the device has
 * @errp: why it failed
 *
 * Return: 0; -ENOSYS if the back end has no configuration space; -EREMOTEIO if
 * it refuses; -EPROTO if it answers with another length; -EINVAL for 0 bytes,
 * -E2BIG for more than a vDPA device has, or 256 of a vhost-user back end.
 */
int vhost_dev_get_config(struct vhost_dev *hdev, uint8_t *config,
                         uint32_t config_len, struct vhost_error **errp);

/**
 * vhost_dev_set_config() - write to the configuration space
 * @dev: an initialised device
 * @data: @size bytes
 * @offset: where to
 * @size: how many, not 0
 * @flags: a VhostSetConfigType
 *
 * Return: as vhost_dev_get_config(), with words in vhost_dev_get_error().
 */
int vhost_dev_set_config(struct vhost_dev *dev, const uint8_t *data,
                         uint32_t offset, uint32_t size, uint32_t flags);

/**
 * vhost_dev_set_config_notifier() - be told of changes
 * @dev: before vhost_dev_init()
 * @ops: lent until vhost_dev_cleanup()
 *
 * Called by vhost_dev_dispatch(), once for however many changes there were,
 * and may ask for the configuration.  A vhost-user back end tells of changes
 * if VHOST_USER_PROTOCOL_F_BACKEND_REQ and _CONFIG are in use.
 */
void vhost_dev_set_config_notifier(struct vhost_dev *dev,
                                   const VhostDevConfigOps *ops);

/**
 * vhost_virtqueue_pending() - did the masked queue call?
 * @hdev: a device
 * @n: virtio queue index
 *
 * Ask after unmasking, else a call may be lost.  Any thread.
 *
 * Return: true if it did; it is forgotten by asking.
 */
bool vhost_virtqueue_pending(struct vhost_dev *hdev, int n);

/**
 * vhost_virtqueue_mask() - keep the calls of a queue, or let them through
 * @hdev: a device
 * @vdev: the virtio device
 * @n: virtio queue index
 * @mask: true: keep them in masked_notifier
 *
 * On return the back end uses the new fd and no longer the old.  Any thread.
 *
 * Return: 0, or a negative errno.
 */
int vhost_virtqueue_mask(struct vhost_dev *hdev, struct vhost_vdev *vdev, int n,
                         bool mask);

/**
 * vhost_config_mask() - keep the configuration interrupt, or let it through
 * @hdev: a device
 * @vdev: the virtio device
 * @mask: true: keep it in masked_config_notifier of
 *     vqs[VHOST_QUEUE_NUM_CONFIG_INR]
 *
 * What is asked of a device that is not started holds from its next start on.
 * Nothing happens with a back end that has no such interrupt: only vDPA has.
 * Any thread.
 *
 * Return: 0, or a negative errno.
 */
int vhost_config_mask(struct vhost_dev *hdev, struct vhost_vdev *vdev,
                      bool mask);

/**
 * vhost_config_pending() - did the configuration change while masked?
 * @hdev: a device
 *
 * Ask after unmasking, else a change may be missed.  Any thread.
 *
 * Return: true if it did; it is forgotten by asking.
 */
bool vhost_config_pending(struct vhost_dev *hdev);

/**
 * vhost_virtqueue_start() - hand one queue to the back end
 * @dev: a device that has its features and its memory
 * @vdev: the virtio device
 * @vq: its queue
 * @idx: virtio queue index
 *
 * A queue that the driver did not set up (desc 0) is left alone.
 *
 * Return: 0, or a negative errno.
 */
int vhost_virtqueue_start(struct vhost_dev *dev, struct vhost_vdev *vdev,
                          struct vhost_virtqueue *vq, unsigned idx);

/**
 * vhost_virtqueue_stop() - take one queue back
 * @dev: a device
 * @vdev: the virtio device; queues[idx].base is set
 * @vq: its queue
 * @idx: virtio queue index
 *
 * Return: 0, or a negative errno if the base was not told by the device.
 */
int vhost_virtqueue_stop(struct vhost_dev *dev, struct vhost_vdev *vdev,
                         struct vhost_virtqueue *vq, unsigned idx);

/**
 * vhost_get_features() - what can be offered to the driver
 * @hdev: a device
 * @feature_bits: the bits that concern the back end, ended by
 *     VHOST_INVALID_FEATURE_BIT
 * @features: what the device model offers
 *
 * Return: @features without the bits of the table that the back end lacks.
 */
uint64_t vhost_get_features(struct vhost_dev *hdev, const int *feature_bits,
                            uint64_t features);

/**
 * vhost_get_features_ex() - the same for 128 bits
 * @hdev: a device
 * @feature_bits: as above
 * @features: two words, in and out
 */
void vhost_get_features_ex(struct vhost_dev *hdev, const int *feature_bits,
                           uint64_t *features);

/**
 * vhost_ack_features() - what the driver took
 * @hdev: a device
 * @feature_bits: the bits that concern the back end
 * @features: what the driver acknowledged
 *
 * hdev->acked_features becomes those bits of @features that are in the table
 * and that the back end offers.  Bits of vhost's own (26, 27, 30) are kept
 * out; they go in hdev->backend_features.
 */
void vhost_ack_features(struct vhost_dev *hdev, const int *feature_bits,
                        uint64_t features);

/**
 * vhost_ack_features_ex() - the same for 128 bits
 * @hdev: a device
 * @feature_bits: as above
 * @features: two words
 */
void vhost_ack_features_ex(struct vhost_dev *hdev, const int *feature_bits,
                           const uint64_t *features);

/**
 * vhost_get_max_memslots() - how many sections the map may have
 * @map: guest memory
 *
 * Return: the least limit of the devices attached to @map; UINT_MAX if none.
 */
unsigned int vhost_get_max_memslots(struct vhost_memory_map *map);

/**
 * vhost_get_free_memslots() - how many more sections it may have
 * @map: guest memory
 *
 * Return: the least that is left over all devices attached to @map; UINT_MAX
 * if none.
 */
unsigned int vhost_get_free_memslots(struct vhost_memory_map *map);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
