/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checked calls.
 *
 * Every entry of VhostOps may be absent, and what that means differs from
 * entry to entry; it is decided here, once, so that the core reads as if
 * every kind of back end could do everything.  A failure that left no words
 * gets plain ones here: whoever reads dev->error after a negative return
 * always finds something.
 *
 * Words may come from two threads at once, since a queue can be masked from
 * any: so an error is built apart and put in dev->error in one step.
 */
#include "backend/ops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <linux/vhost_types.h>

#include "util/atomic.h"
#include "util/error.h"
#include "util/trace.h"

#define FOR_EVER_MS 1000 /* of a back end that has no timeout of its own */

/* Every call ends here: trace it, and leave words if it failed. */
static int done(struct vhost_dev *dev, const char *operation, int queue, int r)
{
    vh_trace3(backend_op, operation, queue, r);
    if (r < 0 && !VH_READ_ONCE(dev->error)) {
        vh_be_fail(dev, r, operation, queue, "%s: %s", operation,
                   strerrordesc_np(-r) ? strerrordesc_np(-r) : "failed");
    }
    return r;
}

static int absent(struct vhost_dev *dev, int code, const char *operation,
                  int queue)
{
    return vh_be_fail(dev, code, operation, queue,
                      "%s: this kind of back end has no such operation",
                      operation);
}

int vh_be_done(struct vhost_dev *dev, const char *operation, int r)
{
    return done(dev, operation, VH_NO_QUEUE, r);
}

int vh_be_absent(struct vhost_dev *dev, int code, const char *operation)
{
    return absent(dev, code, operation, VH_NO_QUEUE);
}

const VhostOps *vh_be_ops(VhostBackendType type)
{
    switch (type) {
    case VHOST_BACKEND_TYPE_KERNEL:
        return &kernel_ops;
    case VHOST_BACKEND_TYPE_USER:
        return &user_ops;
    case VHOST_BACKEND_TYPE_VDPA:
        return &vdpa_ops;
    default:
        return NULL;
    }
}

int vh_be_take_error(struct vhost_dev *dev, struct vhost_error **from)
{
    struct vhost_error *none = NULL;
    int code = vhost_error_code(*from);

    if (*from &&
        __atomic_compare_exchange_n(&dev->error, &none, *from, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        *from = NULL;
    }
    vh_error_clear(from);
    return code;
}

int vh_be_fail(struct vhost_dev *dev, int code, const char *operation,
               int queue, const char *fmt, ...)
{
    struct vhost_error *err = NULL;
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    vh_error(&err, code, operation, queue, "%s", text);
    vh_be_take_error(dev, &err);
    return code;
}

int vh_be_init(struct vhost_dev *dev, void *opaque)
{
    return done(dev, "init", VH_NO_QUEUE,
                dev->vhost_ops->vhost_backend_init(dev, opaque));
}

void vh_be_cleanup(struct vhost_dev *dev)
{
    vh_trace1(backend_cleanup, dev);
    dev->vhost_ops->vhost_backend_cleanup(dev);
}

int vh_be_sync(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_sync
               ? done(dev, "sync", VH_NO_QUEUE, ops->vhost_sync(dev))
               : 0;
}

int vh_be_try_sync(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;
    int r;

    if (!ops->vhost_try_sync) {
        return vh_be_sync(dev);
    }
    r = ops->vhost_try_sync(dev);
    return r == -EINPROGRESS ? r : done(dev, "sync", VH_NO_QUEUE, r);
}

unsigned vh_be_get_timeout(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_timeout ? ops->vhost_get_timeout(dev) : FOR_EVER_MS;
}

int vh_be_get_fd(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_fd ? ops->vhost_get_fd(dev) : -1;
}

int vh_be_get_request_fd(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_request_fd ? ops->vhost_get_request_fd(dev) : -1;
}

int vh_be_dispatch(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_dispatch
               ? done(dev, "dispatch", VH_NO_QUEUE, ops->vhost_dispatch(dev))
               : 0;
}

bool vh_be_is_connected(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return !ops->vhost_is_connected || ops->vhost_is_connected(dev);
}

bool vh_be_can_reconnect(struct vhost_dev *dev)
{
    return dev->vhost_ops->vhost_reconnect &&
           vh_be_get_return_fd(dev) != -ENOTSUP;
}

int vh_be_reconnect(struct vhost_dev *dev, bool begin)
{
    int r = dev->vhost_ops->vhost_reconnect(dev, begin);

    return r == -EINPROGRESS ? r : done(dev, "reconnect", VH_NO_QUEUE, r);
}

int vh_be_get_return_fd(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_return_fd ? ops->vhost_get_return_fd(dev) : -1;
}

unsigned vh_be_memslots_limit(struct vhost_dev *dev)
{
    return dev->vhost_ops->vhost_backend_memslots_limit(dev);
}

bool vh_be_no_private_memslots(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_backend_no_private_memslots &&
           ops->vhost_backend_no_private_memslots(dev);
}

int vh_be_set_owner(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_set_owner
               ? done(dev, "SET_OWNER", VH_NO_QUEUE, ops->vhost_set_owner(dev))
               : 0;
}

int vh_be_get_features(struct vhost_dev *dev, uint64_t *features)
{
    const VhostOps *ops = dev->vhost_ops;
    uint64_t words[VHOST_FEATURES_WORDS] = { 0 };
    int r;

    r = ops->vhost_get_features_ex ? ops->vhost_get_features_ex(dev, words)
                                   : ops->vhost_get_features(dev, words);
    if (r == 0) {
        memcpy(features, words, sizeof(words));
    }
    return done(dev, "GET_FEATURES", VH_NO_QUEUE, r);
}

int vh_be_set_features(struct vhost_dev *dev, const uint64_t *features)
{
    const VhostOps *ops = dev->vhost_ops;
    int r;

    if (ops->vhost_set_features_ex) {
        r = ops->vhost_set_features_ex(dev, features);
    } else if (features[1] != 0) {
        r = vh_be_fail(dev, -EINVAL, "SET_FEATURES", VH_NO_QUEUE,
                       "this kind of back end has no features above bit 63");
    } else {
        r = ops->vhost_set_features(dev, features[0]);
    }
    return done(dev, "SET_FEATURES", VH_NO_QUEUE, r);
}

int vh_be_set_backend_cap(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_set_backend_cap
               ? done(dev, "SET_BACKEND_FEATURES", VH_NO_QUEUE,
                      ops->vhost_set_backend_cap(dev))
               : 0;
}

bool vh_be_force_iommu(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_force_iommu && ops->vhost_force_iommu(dev);
}

bool vh_be_has_log(const struct vhost_dev *dev)
{
    return dev->vhost_ops->vhost_set_log_base != NULL;
}

bool vh_be_requires_shm_log(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_requires_shm_log && ops->vhost_requires_shm_log(dev);
}

int vh_be_set_log_base(struct vhost_dev *dev, uint64_t base,
                       struct vhost_log *log)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_set_log_base
               ? done(dev, "SET_LOG_BASE", VH_NO_QUEUE,
                      ops->vhost_set_log_base(dev, base, log))
               : absent(dev, -ENOSYS, "SET_LOG_BASE", VH_NO_QUEUE);
}

int vh_be_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem)
{
    return done(dev, "SET_MEM_TABLE", VH_NO_QUEUE,
                dev->vhost_ops->vhost_set_mem_table(dev, mem));
}

int vh_be_get_config(struct vhost_dev *dev, uint8_t *config, uint32_t len)
{
    const VhostOps *ops = dev->vhost_ops;

    if (!ops->vhost_get_config) {
        return absent(dev, -ENOSYS, "GET_CONFIG", VH_NO_QUEUE);
    }
    return done(dev, "GET_CONFIG", VH_NO_QUEUE,
                ops->vhost_get_config(dev, config, len));
}

int vh_be_set_config(struct vhost_dev *dev, const uint8_t *data,
                     uint32_t offset, uint32_t size, uint32_t flags)
{
    const VhostOps *ops = dev->vhost_ops;

    if (!ops->vhost_set_config) {
        return absent(dev, -ENOSYS, "SET_CONFIG", VH_NO_QUEUE);
    }
    return done(dev, "SET_CONFIG", VH_NO_QUEUE,
                ops->vhost_set_config(dev, data, offset, size, flags));
}

/* The back end's own number for a virtio queue. */
static unsigned vq_index(struct vhost_dev *dev, unsigned queue)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_get_vq_index
               ? (unsigned)ops->vhost_get_vq_index(dev, (int)queue)
               : queue;
}

int vh_be_vq_get_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr,
                      struct vhost_virtqueue *vq)
{
    const VhostOps *ops = dev->vhost_ops;

    if (ops->vhost_vq_get_addr) {
        return done(dev, "get_addr", (int)addr->index,
                    ops->vhost_vq_get_addr(dev, addr, vq));
    }
    addr->desc_user_addr = (uint64_t)(uintptr_t)vq->desc;
    addr->avail_user_addr = (uint64_t)(uintptr_t)vq->avail;
    addr->used_user_addr = (uint64_t)(uintptr_t)vq->used;
    return 0;
}

static int set_state(struct vhost_dev *dev, const char *operation,
                     int (*op)(struct vhost_dev *, struct vhost_vring_state *),
                     unsigned queue, uint32_t num)
{
    struct vhost_vring_state state = {
        .index = vq_index(dev, queue),
        .num = num,
    };

    return done(dev, operation, (int)queue, op(dev, &state));
}

static int set_file(struct vhost_dev *dev, const char *operation,
                    int (*op)(struct vhost_dev *, struct vhost_vring_file *),
                    unsigned queue, int fd)
{
    struct vhost_vring_file file = {
        .index = vq_index(dev, queue),
        .fd = fd,
    };

    return done(dev, operation, (int)queue, op(dev, &file));
}

int vh_be_set_vring_num(struct vhost_dev *dev, unsigned queue, uint32_t num)
{
    return set_state(dev, "SET_VRING_NUM", dev->vhost_ops->vhost_set_vring_num,
                     queue, num);
}

int vh_be_set_vring_base(struct vhost_dev *dev, unsigned queue, uint32_t base)
{
    return set_state(dev, "SET_VRING_BASE",
                     dev->vhost_ops->vhost_set_vring_base, queue, base);
}

int vh_be_set_vring_endian(struct vhost_dev *dev, unsigned queue, bool big)
{
    const VhostOps *ops = dev->vhost_ops;

    if (!ops->vhost_set_vring_endian) {
        return vh_be_fail(dev, -ENOTSUP, "SET_VRING_ENDIAN", (int)queue,
                          "this kind of back end can't serve a legacy device "
                          "of another byte order");
    }
    return set_state(dev, "SET_VRING_ENDIAN", ops->vhost_set_vring_endian,
                     queue, big);
}

int vh_be_set_vring_addr(struct vhost_dev *dev, struct vhost_vring_addr *addr)
{
    struct vhost_vring_addr own = *addr;

    own.index = vq_index(dev, addr->index);
    return done(dev, "SET_VRING_ADDR", (int)addr->index,
                dev->vhost_ops->vhost_set_vring_addr(dev, &own));
}

int vh_be_set_vring_kick(struct vhost_dev *dev, unsigned queue, int fd)
{
    return set_file(dev, "SET_VRING_KICK", dev->vhost_ops->vhost_set_vring_kick,
                    queue, fd);
}

int vh_be_set_vring_call(struct vhost_dev *dev, unsigned queue, int fd)
{
    return set_file(dev, "SET_VRING_CALL", dev->vhost_ops->vhost_set_vring_call,
                    queue, fd);
}

void vh_be_set_iotlb_callback(struct vhost_dev *dev, bool enabled)
{
    vh_trace2(backend_set_iotlb_callback, dev, enabled);
    if (dev->vhost_ops->vhost_set_iotlb_callback) {
        dev->vhost_ops->vhost_set_iotlb_callback(dev, enabled);
    }
}

int vh_be_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *msg)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_send_device_iotlb_msg
               ? done(dev, "IOTLB_MSG", VH_NO_QUEUE,
                      ops->vhost_send_device_iotlb_msg(dev, msg))
               : absent(dev, -ENODEV, "IOTLB_MSG", VH_NO_QUEUE);
}

bool vh_be_has_vring_err(const struct vhost_dev *dev)
{
    return dev->vhost_ops->vhost_set_vring_err != NULL;
}

int vh_be_set_vring_err(struct vhost_dev *dev, unsigned queue, int fd)
{
    const VhostOps *ops = dev->vhost_ops;

    if (!ops->vhost_set_vring_err) {
        return absent(dev, -ENOSYS, "SET_VRING_ERR", (int)queue);
    }
    return set_file(dev, "SET_VRING_ERR", ops->vhost_set_vring_err, queue, fd);
}

int vh_be_set_vring_busyloop_timeout(struct vhost_dev *dev, unsigned queue,
                                     uint32_t us)
{
    const VhostOps *ops = dev->vhost_ops;

    if (!ops->vhost_set_vring_busyloop_timeout) {
        return vh_be_fail(dev, -EINVAL, "SET_VRING_BUSYLOOP_TIMEOUT",
                          (int)queue,
                          "this kind of back end has no busy-loop timeout");
    }
    return set_state(dev, "SET_VRING_BUSYLOOP_TIMEOUT",
                     ops->vhost_set_vring_busyloop_timeout, queue, us);
}

int vh_be_set_vring_enable(struct vhost_dev *dev, bool enable)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_set_vring_enable
               ? done(dev, "SET_VRING_ENABLE", VH_NO_QUEUE,
                      ops->vhost_set_vring_enable(dev, enable))
               : 0;
}

int vh_be_get_vring_bases(struct vhost_dev *dev,
                          struct vhost_vring_state *states, int *results,
                          unsigned n, bool drain)
{
    const VhostOps *ops = dev->vhost_ops;
    int first = 0;

    if (ops->vhost_get_vring_bases) {
        return done(dev, "GET_VRING_BASE", VH_NO_QUEUE,
                    ops->vhost_get_vring_bases(dev, states, results, n, drain));
    }
    for (unsigned i = 0; i < n; i++) {
        struct vhost_vring_state state = {
            .index = vq_index(dev, states[i].index),
        };

        results[i] = done(dev, "GET_VRING_BASE", (int)states[i].index,
                          ops->vhost_get_vring_base(dev, &state));
        if (results[i] == 0) {
            states[i].num = state.num;
        } else if (first == 0) {
            first = results[i];
        }
    }
    return first;
}

int vh_be_dev_start(struct vhost_dev *dev, bool started)
{
    const VhostOps *ops = dev->vhost_ops;

    return ops->vhost_dev_start ? done(dev, "dev_start", VH_NO_QUEUE,
                                       ops->vhost_dev_start(dev, started))
                                : 0;
}

void vh_be_reset_status(struct vhost_dev *dev)
{
    const VhostOps *ops = dev->vhost_ops;

    vh_trace1(backend_reset_status, dev);
    if (ops->vhost_reset_status) {
        ops->vhost_reset_status(dev);
    }
}
