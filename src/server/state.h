/* SPDX-License-Identifier: BSD-3-Clause */
/* The transfer of a device's state; see on-state.c. */
#ifndef VH_SERVER_STATE_H
#define VH_SERVER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VH_STATE_HEADER 12
#define VH_STATE_BODY_MAX 4096

struct vhost_server;

enum vh_transfer_stage {
    VH_TRANSFER_NONE,
    VH_TRANSFER_SAVING,
    VH_TRANSFER_LOADING,
    VH_TRANSFER_ENDED, /* all was written, or the end was read */
};

struct vh_transfer {
    enum vh_transfer_stage stage;
    bool load;
    bool loaded;     /* the device has a state that no driver gave it */
    int fd;          /* unless it is open: means nothing */
    bool open;       /* @fd is */
    const char *why; /* it failed; a constant string */
    size_t at;       /* what of @data has gone */
    size_t len;      /* what of it is there */
    uint8_t data[VH_STATE_HEADER + VH_STATE_BODY_MAX];
};

/** vh_transfer_run() - its fd is ready: go on, without waiting */
void vh_transfer_run(struct vhost_server *srv);

/** vh_transfer_cancel() - forget it */
void vh_transfer_cancel(struct vhost_server *srv);

#endif
