/* SPDX-License-Identifier: BSD-3-Clause */
/* One front end, while it is connected. */
#ifndef VH_SERVER_SESSION_H
#define VH_SERVER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "server/upcall.h"
#include "wire/sock.h"

struct vhost_server;

struct vh_session {
    struct vh_sock *sock; /* NULL: there is none */
    struct vh_side side;  /* for requests of ours */
    uint64_t features;    /* acknowledged by the driver */
    uint64_t protocol;    /* acknowledged by the front end */
    uint8_t status;
    bool refused;      /* the features that the driver wanted */
    uint32_t watches;  /* events of the socket */
    int delay_fd;      /* a timer: the request in msg waits for it; or -1 */
    bool answered;     /* the request, by its handler: no ack is due */
    const char *why;   /* the request is refused, constant; or NULL */
    const char *fault; /* why it is to be ended, or NULL */
    char fault_text[160];
};

/** vh_session_begin() - take up a connection; @fd is given */
int vh_session_begin(struct vhost_server *srv, int fd);

/** vh_session_dispatch() - serve what has come; ends the session for a fault */
void vh_session_dispatch(struct vhost_server *srv);

/** vh_session_end() - stop the queues, let go of the memory, hang up */
void vh_session_end(struct vhost_server *srv, const char *why);

#endif
