/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end of the test's own: a VhostOps that notes every call, fails the
 * one it is told to, and knows which queues it would be running.
 *
 *     struct fake fake;
 *     fake_reset(&fake);
 *     fake.fail_at = 3;     the third call that can fail does
 *     hdev.vhost_ops = &fake_ops;
 *     vhost_dev_init(&hdev, &fake, VHOST_BACKEND_TYPE_NONE, 0, &err);
 *
 * With fake.late a call that may be posted is refused where real ones are: by
 * the next one that waits.
 */
#ifndef VH_TESTS_LIB_FAKE_OPS_H
#define VH_TESTS_LIB_FAKE_OPS_H

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <linux/vhost_types.h>

#include "check.h"

#include <vhost/vhost.h>

#define FAKE_QUEUES 64
#define FAKE_CALLS 2048
#define FAKE_TEXT 48

struct fake_queue {
    uint32_t num;
    uint32_t base;
    int kick_fd;
    int call_fd;
    int err_fd;
    uint32_t busyloop;
    struct vhost_vring_addr addr;
    bool runs; /* from SET_VRING_KICK to GET_VRING_BASE */
};

struct fake {
    /* what it is told to be */
    uint64_t offered[VHOST_FEATURES_WORDS];
    uint64_t queues;
    unsigned slots;
    bool shared_only;
    int fd; /* to poll; -1: none */
    int dispatched;
    unsigned fail_at; /* counted from 1; 0: never */
    int fail_code;
    bool late;
    int fail_base_of;   /* queue; -1: none */
    unsigned timeout;   /* milliseconds, of what is waited for */
    unsigned slow;      /* how often a sync without waiting comes too early */
    bool bases_refused; /* the whole batch, and no result is filled in */

    /* what it saw */
    char calls[FAKE_CALLS][FAKE_TEXT];
    unsigned n_calls;
    unsigned n_fallible;
    unsigned n_posted; /* since the last wait */
    unsigned n_waits;
    unsigned slow_left;
    int refusal;
    uint64_t features[VHOST_FEATURES_WORDS];
    struct fake_queue q[FAKE_QUEUES];
    struct vhost_memory_region regions[FAKE_QUEUES];
    uint32_t n_regions;
    unsigned n_tables;
    bool enabled;
    bool driver_ok;
    bool up;
    bool iotlb_on;
    struct vhost_iotlb_msg iotlb[FAKE_QUEUES];
    unsigned n_iotlb;
    const struct vhost_log *log;
    uint64_t log_base;
};

static inline void fake_reset(struct fake *f)
{
    *f = (struct fake){ .offered = { UINT64_C(1) << 32 },
                        .queues = FAKE_QUEUES,
                        .slots = 8,
                        .fd = -1,
                        .fail_code = -EIO,
                        .fail_base_of = -1 };
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        f->q[i].kick_fd = f->q[i].call_fd = f->q[i].err_fd = -1;
    }
}

/* Forget the diary, not the back end. */
static inline void fake_forget(struct fake *f)
{
    f->n_calls = f->n_fallible = f->n_waits = 0;
    f->fail_at = 0;
}

static inline unsigned fake_count(const struct fake *f, const char *prefix)
{
    unsigned n = 0;

    for (unsigned i = 0; i < f->n_calls; i++) {
        n += strncmp(f->calls[i], prefix, strlen(prefix)) == 0;
    }
    return n;
}

/* Where in the diary is the last such call?  -1: nowhere. */
static inline int fake_last(const struct fake *f, const char *prefix)
{
    for (int i = (int)f->n_calls - 1; i >= 0; i--) {
        if (strncmp(f->calls[i], prefix, strlen(prefix)) == 0) {
            return i;
        }
    }
    return -1;
}

static inline unsigned fake_running(const struct fake *f)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        n += f->q[i].runs;
    }
    return n;
}

__attribute__((format(printf, 2, 3))) static inline void
fake_note(struct fake *f, const char *fmt, ...)
{
    va_list args;

    assert_true(f->n_calls < FAKE_CALLS);
    va_start(args, fmt);
    vsnprintf(f->calls[f->n_calls++], FAKE_TEXT, fmt, args);
    va_end(args);
}

/* Is it this call's turn to fail? */
static inline int fake_turn(struct fake *f)
{
    return ++f->n_fallible == f->fail_at ? f->fail_code : 0;
}

static inline int fake_post(struct fake *f)
{
    int r = fake_turn(f);

    f->n_posted++;
    if (r < 0 && f->late) {
        f->refusal = r;
        return 0;
    }
    return r;
}

static inline int fake_wait(struct fake *f)
{
    int r = fake_turn(f);

    f->n_waits++;
    f->n_posted = 0;
    if (f->refusal < 0) {
        r = f->refusal;
        f->refusal = 0;
    }
    return r;
}

#define FAKE(dev) ((struct fake *)(dev)->opaque)

static inline int fake_init(struct vhost_dev *dev, void *opaque)
{
    struct fake *f = opaque;
    int r;

    dev->opaque = f;
    fake_note(f, "init");
    r = fake_turn(f);
    if (r == 0) {
        f->up = true;
        dev->max_queues = f->queues;
    }
    return r;
}

static inline void fake_cleanup(struct vhost_dev *dev)
{
    fake_note(FAKE(dev), "cleanup");
    FAKE(dev)->up = false;
    FAKE(dev)->n_posted = 0;
    FAKE(dev)->refusal = 0;
}

static inline int fake_sync(struct vhost_dev *dev)
{
    fake_note(FAKE(dev), "sync");
    return fake_wait(FAKE(dev));
}

static inline int fake_try_sync(struct vhost_dev *dev)
{
    struct fake *f = FAKE(dev);

    if (f->slow_left > 0 && f->n_posted > 0) {
        f->slow_left--;
        return -EINPROGRESS;
    }
    f->slow_left = f->slow;
    return fake_sync(dev);
}

static inline unsigned fake_get_timeout(struct vhost_dev *dev)
{
    return FAKE(dev)->timeout;
}

static inline int fake_get_fd(struct vhost_dev *dev)
{
    return FAKE(dev)->fd;
}

static inline int fake_dispatch(struct vhost_dev *dev)
{
    fake_note(FAKE(dev), "dispatch");
    return FAKE(dev)->dispatched;
}

static inline unsigned fake_slots(struct vhost_dev *dev)
{
    return FAKE(dev)->slots;
}

static inline bool fake_shared_only(struct vhost_dev *dev)
{
    return FAKE(dev)->shared_only;
}

static inline int fake_set_owner(struct vhost_dev *dev)
{
    fake_note(FAKE(dev), "set_owner");
    return fake_post(FAKE(dev));
}

static inline int fake_get_features(struct vhost_dev *dev, uint64_t *features)
{
    fake_note(FAKE(dev), "get_features");
    memcpy(features, FAKE(dev)->offered, sizeof(FAKE(dev)->offered));
    return fake_turn(FAKE(dev));
}

static inline int fake_set_features(struct vhost_dev *dev,
                                    const uint64_t *features)
{
    fake_note(FAKE(dev), "set_features");
    memcpy(FAKE(dev)->features, features, sizeof(FAKE(dev)->features));
    return fake_post(FAKE(dev));
}

static inline int fake_set_backend_cap(struct vhost_dev *dev)
{
    fake_note(FAKE(dev), "set_backend_cap");
    return fake_post(FAKE(dev));
}

static inline int fake_set_mem_table(struct vhost_dev *dev,
                                     struct vhost_memory *mem)
{
    struct fake *f = FAKE(dev);

    fake_note(f, "set_mem_table %u", mem->nregions);
    assert_true(mem->nregions <= FAKE_QUEUES);
    f->n_tables++;
    f->n_regions = mem->nregions;
    memcpy(f->regions, mem->regions, mem->nregions * sizeof(mem->regions[0]));
    return fake_post(f);
}

static inline int fake_set_log_base(struct vhost_dev *dev, uint64_t base,
                                    struct vhost_log *log)
{
    fake_note(FAKE(dev), "set_log_base");
    FAKE(dev)->log = log;
    FAKE(dev)->log_base = base;
    return fake_post(FAKE(dev));
}

static inline int fake_vring_num(struct vhost_dev *dev,
                                 struct vhost_vring_state *s)
{
    fake_note(FAKE(dev), "set_vring_num %u", s->index);
    FAKE(dev)->q[s->index].num = s->num;
    return fake_post(FAKE(dev));
}

static inline int fake_vring_base(struct vhost_dev *dev,
                                  struct vhost_vring_state *s)
{
    fake_note(FAKE(dev), "set_vring_base %u", s->index);
    FAKE(dev)->q[s->index].base = s->num;
    return fake_post(FAKE(dev));
}

static inline int fake_vring_endian(struct vhost_dev *dev,
                                    struct vhost_vring_state *s)
{
    fake_note(FAKE(dev), "set_vring_endian %u %u", s->index, s->num);
    return fake_post(FAKE(dev));
}

static inline int fake_vring_addr(struct vhost_dev *dev,
                                  struct vhost_vring_addr *addr)
{
    fake_note(FAKE(dev), "set_vring_addr %u", addr->index);
    FAKE(dev)->q[addr->index].addr = *addr;
    return fake_post(FAKE(dev));
}

static inline int fake_vring_kick(struct vhost_dev *dev,
                                  struct vhost_vring_file *file)
{
    fake_note(FAKE(dev), "set_vring_kick %u", file->index);
    FAKE(dev)->q[file->index].kick_fd = file->fd;
    FAKE(dev)->q[file->index].runs = true;
    return fake_post(FAKE(dev));
}

static inline int fake_vring_call(struct vhost_dev *dev,
                                  struct vhost_vring_file *file)
{
    fake_note(FAKE(dev), "set_vring_call %u", file->index);
    FAKE(dev)->q[file->index].call_fd = file->fd;
    return fake_post(FAKE(dev));
}

static inline int fake_vring_err(struct vhost_dev *dev,
                                 struct vhost_vring_file *file)
{
    fake_note(FAKE(dev), "set_vring_err %u", file->index);
    FAKE(dev)->q[file->index].err_fd = file->fd;
    return fake_post(FAKE(dev));
}

static inline int fake_busyloop(struct vhost_dev *dev,
                                struct vhost_vring_state *s)
{
    fake_note(FAKE(dev), "set_busyloop %u", s->index);
    FAKE(dev)->q[s->index].busyloop = s->num;
    return fake_post(FAKE(dev));
}

static inline int fake_vring_enable(struct vhost_dev *dev, int enable)
{
    fake_note(FAKE(dev), "set_vring_enable %d", enable);
    FAKE(dev)->enabled = enable;
    return fake_post(FAKE(dev));
}

static inline int fake_get_vring_base(struct vhost_dev *dev,
                                      struct vhost_vring_state *s)
{
    struct fake *f = FAKE(dev);
    int r;

    fake_note(f, "get_vring_base %u", s->index);
    r = fake_wait(f);
    if (r < 0 || f->fail_base_of == (int)s->index) {
        return r < 0 ? r : -EIO;
    }
    f->q[s->index].runs = false;
    s->num = f->q[s->index].base;
    return 0;
}

static inline int fake_get_vring_bases(struct vhost_dev *dev,
                                       struct vhost_vring_state *states,
                                       int *results, unsigned n, bool drain)
{
    struct fake *f = FAKE(dev);
    int r;

    fake_note(f, drain ? "get_vring_bases %u" : "get_vring_bases %u undrained",
              n);
    r = fake_post(f);
    if (f->bases_refused) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        results[i] = r;
        if (r == 0 && f->fail_base_of == (int)states[i].index) {
            results[i] = -EIO;
        }
        if (results[i] == 0) {
            f->q[states[i].index].runs = false;
            states[i].num = f->q[states[i].index].base;
        }
    }
    return r;
}

static inline void fake_iotlb_callback(struct vhost_dev *dev, int enabled)
{
    fake_note(FAKE(dev), "iotlb_callback %d", enabled);
    FAKE(dev)->iotlb_on = enabled;
}

static inline int fake_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *msg)
{
    struct fake *f = FAKE(dev);

    fake_note(f, "iotlb type %u iova %#llx", msg->type,
              (unsigned long long)msg->iova);
    assert_true(f->n_iotlb < FAKE_QUEUES);
    f->iotlb[f->n_iotlb++] = *msg;
    return fake_post(f);
}

static inline int fake_dev_start(struct vhost_dev *dev, bool started)
{
    int r;

    fake_note(FAKE(dev), "dev_start %d", started);
    r = fake_post(FAKE(dev));
    FAKE(dev)->driver_ok = started && r == 0;
    return r;
}

static inline void fake_reset_status(struct vhost_dev *dev)
{
    fake_note(FAKE(dev), "reset_status");
}

static inline int fake_get_config(struct vhost_dev *dev, uint8_t *config,
                                  uint32_t len)
{
    fake_note(FAKE(dev), "get_config %u", len);
    memset(config, 0x5a, len);
    return fake_wait(FAKE(dev));
}

static inline int fake_set_config(struct vhost_dev *dev, const uint8_t *data,
                                  uint32_t offset, uint32_t size,
                                  uint32_t flags)
{
    (void)data;
    fake_note(FAKE(dev), "set_config %u+%u flags %u", offset, size, flags);
    return fake_wait(FAKE(dev));
}

static const VhostOps fake_ops = {
    .backend_type = VHOST_BACKEND_TYPE_NONE,
    .vhost_backend_init = fake_init,
    .vhost_backend_cleanup = fake_cleanup,
    .vhost_sync = fake_sync,
    .vhost_try_sync = fake_try_sync,
    .vhost_get_timeout = fake_get_timeout,
    .vhost_get_fd = fake_get_fd,
    .vhost_dispatch = fake_dispatch,
    .vhost_backend_memslots_limit = fake_slots,
    .vhost_backend_no_private_memslots = fake_shared_only,
    .vhost_set_owner = fake_set_owner,
    .vhost_get_features_ex = fake_get_features,
    .vhost_set_features_ex = fake_set_features,
    .vhost_set_backend_cap = fake_set_backend_cap,
    .vhost_set_mem_table = fake_set_mem_table,
    .vhost_set_log_base = fake_set_log_base,
    .vhost_set_vring_num = fake_vring_num,
    .vhost_set_vring_base = fake_vring_base,
    .vhost_set_vring_endian = fake_vring_endian,
    .vhost_set_vring_addr = fake_vring_addr,
    .vhost_set_vring_kick = fake_vring_kick,
    .vhost_set_vring_call = fake_vring_call,
    .vhost_set_vring_err = fake_vring_err,
    .vhost_set_vring_busyloop_timeout = fake_busyloop,
    .vhost_set_vring_enable = fake_vring_enable,
    .vhost_get_vring_base = fake_get_vring_base,
    .vhost_get_vring_bases = fake_get_vring_bases,
    .vhost_set_iotlb_callback = fake_iotlb_callback,
    .vhost_send_device_iotlb_msg = fake_iotlb,
    .vhost_dev_start = fake_dev_start,
    .vhost_reset_status = fake_reset_status,
    .vhost_get_config = fake_get_config,
    .vhost_set_config = fake_set_config,
};

static inline unsigned fake_n_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

#endif
