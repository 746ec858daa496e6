/* SPDX-License-Identifier: BSD-3-Clause */
/* The queues of a vDPA device, and the shadows in their place; comes with
 * backend/vdpa/vdpa.h. */
#ifndef VH_BACKEND_VDPA_SHADOW_H
#define VH_BACKEND_VDPA_SHADOW_H

#include <vhost/notifier.h>

#include "backend/vdpa/vdpa.h"
#include "svq/svq.h"
#include "util/shm.h"

/** struct vh_vdpa_queue - a queue, as the core wants it
 * @num, @base, @addr, @kick, @call: as told; fds are lent
 * @running: the device has it, or its shadow
 * @svq: its shadow; NULL: none
 * @ring: memory of the shadow's ring; its addr is NULL: none.  A file, since
 *     devices that work on our addresses are given no other memory
 * @ring_iova: where the device sees that
 * @device_kick, @device_call: between the shadow and the device
 */
struct vh_vdpa_queue {
    uint32_t num;
    uint32_t base;
    struct vhost_vring_addr addr;
    int kick;
    int call;
    bool running;
    struct vh_svq *svq;
    struct vh_shm ring;
    uint64_t ring_iova;
    struct vhost_notifier device_kick;
    struct vhost_notifier device_call;
};

/* queue.c */
void vh_vdpa_doorbells_up(struct vhost_vdpa *vdpa);
void vh_vdpa_doorbells_down(struct vhost_vdpa *vdpa);
/** vh_vdpa_tell_queue() - all that the device has to know of a queue */
int vh_vdpa_tell_queue(struct vhost_vdpa *vdpa, unsigned i,
                       const struct vh_vdpa_queue *q);
/** vh_vdpa_queue_up() - it, or its shadow, runs from now on */
int vh_vdpa_queue_up(struct vhost_vdpa *vdpa, unsigned i);

/* svq.c */
int vh_vdpa_svqs_init(struct vhost_vdpa *vdpa);
void vh_vdpa_svqs_free(struct vhost_vdpa *vdpa);
/** vh_vdpa_svq_up() - a shadow for a queue, and the device is told of it */
int vh_vdpa_svq_up(struct vhost_vdpa *vdpa, unsigned i);
/** vh_vdpa_svq_down() - the device stands still: @base is where it goes on */
void vh_vdpa_svq_down(struct vhost_vdpa *vdpa, unsigned i, uint32_t *base);
/** vh_vdpa_svqs_run() - look into all rings once */
void vh_vdpa_svqs_run(struct vhost_vdpa *vdpa);
/** vh_vdpa_svqs_mark() - all mark, or none does, as @log says */
void vh_vdpa_svqs_mark(struct vhost_vdpa *vdpa);
/** vh_vdpa_svqs_memory() - sections have come, or go */
void vh_vdpa_svqs_memory(struct vhost_vdpa *vdpa,
                         const struct vhost_memory_section *table, size_t n,
                         bool add);

/* cvq.c: the control queue of a network device */
/** vh_vdpa_cvq_choose() - before a start: is it a shadow by itself? */
int vh_vdpa_cvq_choose(struct vhost_vdpa *vdpa);
/** vh_vdpa_is_shadow() - is queue @i one now, or to be one? */
bool vh_vdpa_is_shadow(const struct vhost_vdpa *vdpa, unsigned i);
/** vh_vdpa_cvq_is_seen() - there is none, or what its driver sets is known */
bool vh_vdpa_cvq_is_seen(const struct vhost_vdpa *vdpa);
/** vh_vdpa_cvq_group() - into its own address space, if it is to have one */
int vh_vdpa_cvq_group(struct vhost_vdpa *vdpa);
/** vh_vdpa_cvq_bounce() - fills it in, for a ring with room for it behind */
void vh_vdpa_cvq_bounce(struct vhost_vdpa *vdpa, struct vh_svq_bounce *bounce,
                        size_t ring_size);
/** vh_vdpa_cvq_restore() - what its driver has set, once more; waits */
int vh_vdpa_cvq_restore(struct vhost_vdpa *vdpa);

#define VH_VDPA_SLOT 4096u /* bytes of a command */
#define VH_VDPA_CVQ_ASID 1u

/* switch.c */
/** vh_vdpa_can_log() - by shadow queues, whenever it is asked to */
bool vh_vdpa_can_log(const struct vhost_vdpa *vdpa);
/** vh_vdpa_check_shadow() - may there be shadows?  -ENOTSUP, with words */
int vh_vdpa_check_shadow(struct vhost_vdpa *vdpa);
/** vh_vdpa_log_changed() - of a started device */
int vh_vdpa_log_changed(struct vhost_vdpa *vdpa, bool on);

#endif
