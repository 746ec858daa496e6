/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The second channel: what this back end asks of its front end.
 *
 * Nothing here waits.  A change of the configuration is told without asking
 * for an ack, so there is nothing to read; a front end that does not read, or
 * has closed the channel, goes without.
 *
 * vhost-user specification, "Back-end communication".
 */
#include "server/handlers.h"

#include <errno.h>

#include "util/error.h"

int vh_on_set_backend_req_fd(struct vhost_server *srv, struct vh_msg *msg,
                             struct vh_msg *reply)
{
    struct vh_sock *side;
    int r;

    (void)reply;
    r = vh_sock_new(&side, msg->fds[0]);
    msg->n_fds = 0; /* given */
    if (r < 0) {
        srv->session.why = "it is no channel";
        return r;
    }
    vh_server_close_side(srv);
    srv->session.side = side;
    return 0;
}

void vh_server_close_side(struct vhost_server *srv)
{
    vh_sock_free(srv->session.side);
    srv->session.side = NULL;
}

/* Return: 0, or -ENOTCONN if the front end hears nothing (more). */
static int tell(struct vhost_server *srv, const struct vh_msg *msg)
{
    if (!srv->session.side) {
        return -ENOTCONN;
    }
    if (vh_sock_queue(srv->session.side, msg) < 0 ||
        vh_sock_send(srv->session.side) != 0) {
        vh_server_close_side(srv);
        return -ENOTCONN;
    }
    return 0;
}

int vhost_server_config_changed(struct vhost_server *srv,
                                struct vhost_error **errp)
{
    struct vh_msg msg;
    int r = 0;

    if (srv->device->ops->refresh) {
        r = srv->device->ops->refresh(srv->device, errp);
    }
    if (r < 0) {
        return r;
    }
    vh_msg_init(&msg, VH_BACK_CONFIG_CHANGE_MSG);
    if (vh_server_has(srv, VH_PF_CONFIG) && tell(srv, &msg) == 0) {
        vh_server_log(srv, "the front end was told of the new configuration");
    }
    return 0;
}
