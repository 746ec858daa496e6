/* SPDX-License-Identifier: BSD-3-Clause */
/* A back end that is gone is looked for again; see reconnect.c. */
#ifndef VH_CORE_RECONNECT_H
#define VH_CORE_RECONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/reconnect.h>

enum vh_reconnect_phase {
    VH_RECONNECT_OFF,     /* the back end is there, or nobody looks for it */
    VH_RECONNECT_LOOKING, /* nobody is there yet */
    VH_RECONNECT_TALKING, /* somebody is */
    VH_RECONNECT_MAKING_READY, /* the owner is asked */
    VH_RECONNECT_RESTARTING,
};

/** struct vh_reconnect - how far it has come
 * @how: as the owner has it
 * @on: it wants it
 * @given_up: it has been looked for long enough
 * @next: when to try again, and @delay_ms after that
 * @give_up: when to stop trying
 * @return_fd: on the device's epoll fd; or -1
 */
struct vh_reconnect {
    struct vhost_reconnect how;
    bool on;
    bool given_up;
    enum vh_reconnect_phase phase;
    unsigned delay_ms;
    int64_t next;
    int64_t give_up;
    int return_fd;
};

/** vh_core_reconnect_dispatch() - look after a device that is lost; also
 * while it is being restarted */
void vh_core_reconnect_dispatch(struct vhost_dev *dev);

/** vh_core_reconnect_soon() - a back end may be there by now */
void vh_core_reconnect_soon(struct vhost_dev *dev);

/** vh_core_reconnect_break_off() - the owner stops the device: end a restart
 * that is under way; the back end is still looked for */
void vh_core_reconnect_break_off(struct vhost_dev *dev);

#endif
