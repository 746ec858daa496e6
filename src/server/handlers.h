/* SPDX-License-Identifier: BSD-3-Clause */
/* The handlers of requests, by topic; session.c has the table of them. */
#ifndef VH_SERVER_HANDLERS_H
#define VH_SERVER_HANDLERS_H

#include "server/server.h"

/**
 * vh_handler_fn - serve one request
 * @srv: the server; the request has been checked against its row
 * @msg: the request; fds still in it when the function returns are closed
 * @reply: for an answer of its own: filled in (request and flags are set)
 *
 * Return: 0; -EPROTO to end the session, with srv->session.fault; any other
 * negative errno to refuse the request, perhaps with srv->session.why.
 */
typedef int vh_handler_fn(struct vhost_server *srv, struct vh_msg *msg,
                          struct vh_msg *reply);

/* on-config.c */
vh_handler_fn vh_on_get_features, vh_on_set_features, vh_on_set_owner,
    vh_on_reset_owner, vh_on_get_protocol_features, vh_on_set_protocol_features,
    vh_on_get_queue_num, vh_on_get_config, vh_on_set_config, vh_on_set_status,
    vh_on_get_status, vh_on_reset_device, vh_on_send_rarp, vh_on_net_set_mtu;

/* on-inflight.c */
vh_handler_fn vh_on_get_inflight_fd, vh_on_set_inflight_fd;

/* on-log.c */
vh_handler_fn vh_on_set_log_base, vh_on_set_log_fd;

/* on-iotlb.c */
vh_handler_fn vh_on_iotlb_msg;

/* on-mem.c */
vh_handler_fn vh_on_set_mem_table, vh_on_get_max_mem_slots, vh_on_add_mem_reg,
    vh_on_rem_mem_reg;

/* on-state.c */
vh_handler_fn vh_on_set_device_state_fd, vh_on_check_device_state;

/* on-postcopy.c */
vh_handler_fn vh_on_postcopy_advise, vh_on_postcopy_listen, vh_on_postcopy_end;

/* on-queue.c */
vh_handler_fn vh_on_set_vring_num, vh_on_set_vring_addr, vh_on_set_vring_base,
    vh_on_get_vring_base, vh_on_set_vring_kick, vh_on_set_vring_call,
    vh_on_set_vring_err, vh_on_set_vring_enable, vh_on_vring_kick;

/* on-share.c */
vh_handler_fn vh_on_get_shared_object, vh_on_get_shmem_config;

/* upcall.c */
vh_handler_fn vh_on_set_backend_req_fd;

#endif
