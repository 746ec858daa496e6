/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keeping a queue's thread out of its queue, for the time that the control
 * thread puts the ring in order.
 *
 * The thread says so when it is inside of a call for the queue, and looks
 * whether it may; the control thread says that it may not, and looks whether
 * it is.  Each writes first and reads then, which wants a full barrier on both
 * sides; but one side does it with each request, the other when a back end has
 * died.  So the second pays for both: membarrier(2) has every thread of this
 * process pass a barrier.  The first pays a store and a load.
 *
 * Only on devices that may come back: vh_device_returns().
 */
#ifndef VH_DRIVER_HOLD_H
#define VH_DRIVER_HOLD_H

#include <stdbool.h>

#include "driver/device.h"
#include "util/atomic.h"

/** vh_hold_init() - before the first device is held; 0 or a negative errno */
int vh_hold_init(void);

/** vh_hold_wait() - @vq is held: out, wait until it is not, and in again */
void vh_hold_wait(struct vh_virtq *vq);

/** vh_hold_enter() - a call for the queue begins; its thread */
static inline void vh_hold_enter(struct vh_virtq *vq)
{
    if (!vq->returns) {
        return;
    }
    VH_WRITE_ONCE(vq->inside, 1);
    /* In the order of the program: the processor's is membarrier's matter. */
    __asm__ volatile("" ::: "memory");
    if (vh_load_acquire(&vq->held)) {
        vh_hold_wait(vq);
    }
}

/** vh_hold_leave() - it ends; returns @r */
static inline int vh_hold_leave(struct vh_virtq *vq, int r)
{
    if (vq->returns) {
        vh_store_release(&vq->inside, 0);
    }
    return r;
}

/** vh_hold() - keep the threads of all queues out; control thread
 *
 * Return: true if all are out; else they are on their way: ask again.
 */
bool vh_hold(struct vh_device *device);

/** vh_release() - let them in again */
void vh_release(struct vh_device *device);

#endif
