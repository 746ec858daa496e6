/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The core, inside view: what its files need of one another.
 *
 * Errors: functions here leave words in dev->error.  A public function clears
 * them when it begins (vh_core_enter()), so that they are of its own failure;
 * those that any thread may call do not, since they would take another
 * thread's words away.
 */
#ifndef VH_CORE_CORE_H
#define VH_CORE_CORE_H

#include <pthread.h>
#include <vhost/vhost.h>
#include <linux/vhost_types.h>

#include "core/op.h"
#include "core/queue.h"
#include "core/reconnect.h"
#include "mem/map.h"
#include "util/atomic.h"

struct vhost_dev_priv {
    struct vhost_dev *dev;
    struct vh_mem_listener listener;
    bool attached; /* to dev->map */
    int memory;    /* negative errno: dev->mem is older than the map */
    struct vhost_memory_section *spare_sections; /* of a table that was */
    struct vhost_memory *spare_mem;
    bool told;     /* the owner knows that the back end is gone */
    int epoll_fd;
    struct vhost_notifier config_news; /* the owner is to hear of */
    unsigned n_ready;        /* queues that vhost_dev_init() has made */
    bool iommu;        /* settled by the start; see iommu.c */
    bool device_iotlb; /* which invalidations are in force */
    struct vh_core_log_turn log_turn;
    struct vhost_log *log_before; /* it may write there beside dev->log */
    int timer_fd;
    struct vh_core_op op;
    struct vh_core_transfer *transfer; /* the last one; or NULL */
    bool op_later; /* it may not wait; read by any thread */
    struct vh_core_ladder ladder;
    bool vrings;   /* as at the last start */
    bool drain;    /* the stop under way finishes what is in flight */
    struct vhost_inflight *inflight; /* the owner's; NULL: none */
    struct vh_reconnect reconnect;
    bool renewing; /* lost, but being taken up again */
    unsigned n_stopping; /* queues that are asked where they stand */
    bool config_up;     /* the back end has an fd for changes */
    bool config_masked; /* see vhost_config_mask() */
    pthread_mutex_t masking; /* vq->masked is what the back end was told */
    pthread_mutex_t calling; /* a call in band goes where masked says */
    pthread_mutex_t sharing; /* see share.h */
    struct vh_host_notifier *host_notifiers;
    struct vh_shmem_window *shmem; /* NULL: no window is known */
    /* Room for vh_be_get_vring_bases(), so that a stop needs no memory. */
    struct vhost_vring_state *states;
    int *results;
};

/** vh_core_enter() - the owner calls; without the words of an earlier call */
void vh_core_enter(struct vhost_dev *dev);
void vh_core_forget_error(struct vhost_dev *dev);

/** vh_core_features() - the word that goes to the back end, and shapes rings */
void vh_core_features(const struct vhost_dev *dev, uint64_t *features);

/** vh_core_has() - did the driver acknowledge a feature? */
static inline bool vh_core_has(const struct vhost_dev *dev, unsigned bit)
{
    return dev->acked_features_array[bit / 64] >> (bit % 64) & 1;
}

/** vh_core_fault() - note that the back end is gone or broken; returns @r */
int vh_core_fault(struct vhost_dev *dev, int r);

/**
 * vh_core_talks() - may the back end be spoken to?
 *
 * Once gone or broken it may not: nobody knows what it would make of it.
 * Another thread that masks a queue may be the one to find out.
 */
static inline bool vh_core_talks(const struct vhost_dev *dev)
{
    enum vhost_dev_state state = VH_READ_ONCE(dev->state);

    return state == VHOST_DEV_LOST ? dev->priv->renewing
                                   : state != VHOST_DEV_BROKEN;
}

/** vh_core_silent() - words for an owner that would speak to it nevertheless
 * Return: -ENOTCONN or -EPROTO; 0 if it may. */
int vh_core_silent(struct vhost_dev *dev, const char *operation);

/* dev.c */
#define VH_CORE_RETURN (UINT32_MAX - 3) /* in epoll's data */

/** vh_core_watch() - wake the owner's loop for @fd too; @what tells which */
int vh_core_watch(struct vhost_dev *dev, int fd, uint32_t what);
int vh_core_watch_backend(struct vhost_dev *dev);
void vh_core_unwatch_backend(struct vhost_dev *dev);

/* start.c */

/** vh_core_ladder_down() - a started device whose back end is lost: as after a
 * stop, but to its owner it stays started */
void vh_core_ladder_down(struct vhost_dev *dev);

/** vh_core_restart() - and up again, without waiting */
void vh_core_restart(struct vhost_dev *dev, vhost_dev_done_fn *done);

/* inflight.c */

/** vh_core_inflight_up() - the new back end is given the buffer, if any */
int vh_core_inflight_up(struct vhost_dev *dev);

/** vh_core_inflight_base() - where queue @i of vqs stood, as a packed ring */
bool vh_core_inflight_base(struct vhost_dev *dev, unsigned i, uint32_t *base);

/* upcall.c */
extern const struct vh_upcalls vh_core_upcalls;

/* kick.c */

#define VH_CORE_KICK 0x10000u /* in epoll's data: and a queue */

/** vh_core_kick_up() - pass on the kicks of queue @i, if it has to be */
int vh_core_kick_up(struct vhost_dev *dev, unsigned i, int fd);

/** vh_core_kick_down() - no more */
void vh_core_kick_down(struct vhost_dev *dev, int fd);

/** vh_core_kick() - queue @i was kicked: tell the back end */
int vh_core_kick(struct vhost_dev *dev, unsigned i);

/* config.c */

/** vh_core_config_up() - the back end starts to tell of changes */
int vh_core_config_up(struct vhost_dev *dev);
void vh_core_config_down(struct vhost_dev *dev);

/* memory.c */

/** vh_core_memory_attach() - listen to dev->map, if there is one */
int vh_core_memory_attach(struct vhost_dev *dev);

/** vh_core_memory_detach() - stop listening, forget the table */
void vh_core_memory_detach(struct vhost_dev *dev);

#endif
