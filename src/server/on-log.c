/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests about the dirty log: vhost-user specification, "Migration".
 *
 * From the answer to SET_LOG_BASE on nothing is marked in the log before: the
 * front end counts on it, and reads that one for the last time.  A log that
 * can't be used ends the session, as its answer can't say so.
 */
#include "server/handlers.h"

#include <errno.h>

int vh_on_set_log_base(struct vhost_server *srv, struct vh_msg *msg,
                       struct vh_msg *reply)
{
    const char *why = "a log without a file";
    int r = -EPROTO;

    if (msg->n_fds == 1) {
        r = vh_slog_set(&srv->log, &msg->payload.log, msg->fds[0], &why);
    }
    if (r < 0) {
        srv->session.fault = why;
        return -EPROTO;
    }
    vh_msg_init_u64(reply, msg->request, 0);
    return 0;
}

int vh_on_set_log_fd(struct vhost_server *srv, struct vh_msg *msg,
                     struct vh_msg *reply)
{
    struct stat st;

    (void)reply;
    /* To write to a pipe or a socket may raise SIGPIPE. */
    if (fstat(msg->fds[0], &st) < 0 || (st.st_mode & S_IFMT) != 0) {
        srv->session.why = "the fd is not an eventfd";
        return -EINVAL;
    }
    vh_squeue_set_bell(&srv->log_bell, msg->fds[0]);
    msg->fds[0] = -1;
    return 0;
}
