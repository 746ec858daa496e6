/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/hold.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "driver/again.h"

#define NAP_NS 100000 /* rings are put in order in less than that */

static int membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) < 0 ? -errno : 0;
}

int vh_hold_init(void)
{
    return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

void vh_hold_wait(struct vh_virtq *vq)
{
    const struct timespec nap = { .tv_nsec = NAP_NS };

    do {
        vh_store_release(&vq->inside, 0);
        while (vh_load_acquire(&vq->held)) {
            if (vh_again_is_ours(vq->device)) {
                /* Nobody else lets it in: another was inside when it looked. */
                vhost_dev_dispatch(&vq->device->dev);
            }
            nanosleep(&nap, NULL);
        }
        VH_WRITE_ONCE(vq->inside, 1);
        vh_full_barrier(); /* here it may as well cost something */
    } while (vh_load_acquire(&vq->held));
}

bool vh_hold(struct vh_device *device)
{
    bool out = true;

    for (unsigned i = 0; i < device->spec.queues; i++) {
        vh_store_release(&device->queues[i].held, 1);
    }
    membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    for (unsigned i = 0; i < device->spec.queues; i++) {
        struct vh_virtq *vq = &device->queues[i];

        if (vh_load_acquire(&vq->inside)) {
            out = false;
            if (vq->call.fd >= 0) {
                vhost_notifier_set(&vq->call); /* it may be asleep in there */
            }
        }
    }
    return out;
}

void vh_release(struct vh_device *device)
{
    for (unsigned i = 0; i < device->spec.queues; i++) {
        vh_store_release(&device->queues[i].held, 0);
    }
}
