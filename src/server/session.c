/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One front end, from its first message to its last.
 *
 * A message is checked against its row of the protocol's table before a
 * handler sees it; the handler checks it against the state of things.  What
 * can be refused is refused in its ack, if one is asked for; what breaks the
 * protocol ends the session, and nothing else.
 */
#include "server/handlers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "util/fd.h"

#define MESSAGES_MAX 64 /* at a time, so that queues get their turn */

static const struct handler {
    vh_handler_fn *fn;
    bool replies; /* with an answer of its own */
} handlers[VH_REQUEST_END] = {
    /* clang-format off */
    [VH_GET_FEATURES]          = { vh_on_get_features,          true  },
    [VH_SET_FEATURES]          = { vh_on_set_features,          false },
    [VH_SET_OWNER]             = { vh_on_set_owner,             false },
    [VH_RESET_OWNER]           = { vh_on_reset_owner,           false },
    [VH_SET_MEM_TABLE]         = { vh_on_set_mem_table,         false },
    [VH_SET_LOG_BASE]          = { vh_on_set_log_base,          true  },
    [VH_SET_LOG_FD]            = { vh_on_set_log_fd,            false },
    [VH_SET_VRING_NUM]         = { vh_on_set_vring_num,         false },
    [VH_SET_VRING_ADDR]        = { vh_on_set_vring_addr,        false },
    [VH_SET_VRING_BASE]        = { vh_on_set_vring_base,        false },
    [VH_GET_VRING_BASE]        = { vh_on_get_vring_base,        true  },
    [VH_SET_VRING_KICK]        = { vh_on_set_vring_kick,        false },
    [VH_SET_VRING_CALL]        = { vh_on_set_vring_call,        false },
    [VH_SET_VRING_ERR]         = { vh_on_set_vring_err,         false },
    [VH_GET_PROTOCOL_FEATURES] = { vh_on_get_protocol_features, true  },
    [VH_SET_PROTOCOL_FEATURES] = { vh_on_set_protocol_features, false },
    [VH_GET_QUEUE_NUM]         = { vh_on_get_queue_num,         true  },
    [VH_SET_VRING_ENABLE]      = { vh_on_set_vring_enable,      false },
    [VH_IOTLB_MSG]             = { vh_on_iotlb_msg,             false },
    [VH_GET_CONFIG]            = { vh_on_get_config,            true  },
    [VH_SET_CONFIG]            = { vh_on_set_config,            false },
    [VH_SET_BACKEND_REQ_FD]    = { vh_on_set_backend_req_fd,    false },
    [VH_POSTCOPY_ADVISE]       = { vh_on_postcopy_advise,       true  },
    [VH_POSTCOPY_LISTEN]       = { vh_on_postcopy_listen,       false },
    [VH_POSTCOPY_END]          = { vh_on_postcopy_end,          false },
    [VH_GET_VRING_BASE_SKIP_DRAIN] = { vh_on_get_vring_base,    true  },
    [VH_GET_INFLIGHT_FD]       = { vh_on_get_inflight_fd,       true  },
    [VH_SET_INFLIGHT_FD]       = { vh_on_set_inflight_fd,       false },
    [VH_VRING_KICK]            = { vh_on_vring_kick,            false },
    [VH_GET_MAX_MEM_SLOTS]     = { vh_on_get_max_mem_slots,     true  },
    [VH_ADD_MEM_REG]           = { vh_on_add_mem_reg,           false },
    [VH_REM_MEM_REG]           = { vh_on_rem_mem_reg,           false },
    [VH_SET_STATUS]            = { vh_on_set_status,            false },
    [VH_GET_STATUS]            = { vh_on_get_status,            true  },
    [VH_SEND_RARP]             = { vh_on_send_rarp,             false },
    [VH_NET_SET_MTU]           = { vh_on_net_set_mtu,           false },
    [VH_RESET_DEVICE]          = { vh_on_reset_device,          false },
    [VH_SET_DEVICE_STATE_FD]   = { vh_on_set_device_state_fd,   true  },
    [VH_CHECK_DEVICE_STATE]    = { vh_on_check_device_state,    true  },
    [VH_GET_SHARED_OBJECT]     = { vh_on_get_shared_object,     true  },
    [VH_GET_SHMEM_CONFIG]      = { vh_on_get_shmem_config,      true  },
    /* clang-format on */
};

int vh_session_begin(struct vhost_server *srv, int fd)
{
    struct vh_sock *sock;
    int r = vh_sock_new(&sock, fd);

    if (r < 0) {
        return r;
    }
    r = vh_server_watch(srv, vh_sock_fd(sock), VH_EVENT_SESSION, 0);
    if (r < 0) {
        vh_sock_free(sock);
        return r;
    }
    srv->session = (struct vh_session){
        .sock = sock,
        .watches = EPOLLIN,
        .delay_fd = -1,
    };
    vh_faults_rewind(&srv->faults);
    vh_server_reset_device(srv);
    if (srv->device->ops->set_mtu) {
        srv->device->ops->set_mtu(srv->device, 0);
    }
    vh_server_log(srv, "a front end has connected");
    return 0;
}

void vh_session_end(struct vhost_server *srv, const char *why)
{
    if (!srv->session.sock) {
        return;
    }
    vh_transfer_cancel(srv);
    for (unsigned i = 0; i < srv->n_queues; i++) {
        vh_squeue_reset(&srv->queues[i]);
    }
    vh_server_reset_device(srv);
    vh_server_postcopy_end(srv);
    vh_server_close_side(srv);
    vh_iommu_end(srv);
    vh_memory_clear(&srv->memory);
    vh_slog_unset(&srv->log);
    vh_inflight_unset(&srv->inflight);
    vh_squeue_set_bell(&srv->log_bell, -1);
    if (srv->session.delay_fd >= 0) {
        vh_msg_close_fds(&srv->msg); /* its turn will not come */
        vh_fd_close(&srv->session.delay_fd);
    }
    vh_server_unwatch(srv, vh_sock_fd(srv->session.sock));
    vh_sock_free(srv->session.sock);
    srv->session = (struct vh_session){ .sock = NULL };
    srv->served = true;
    vh_server_log(srv, "%s", why);
}

static int fault(struct vhost_server *srv, const char *what, const char *why)
{
    snprintf(srv->session.fault_text, sizeof(srv->session.fault_text), "%s: %s",
             what, why);
    srv->session.fault = srv->session.fault_text;
    return -EPROTO;
}

/* May it be sent now?  Its feature must be there, or it is not understood. */
static bool gate_is_open(const struct vhost_server *srv,
                         const struct vh_msg_row *row)
{
    switch (row->gate) {
    case VH_GATE_NONE:
        return row->reply != VH_REPLY_IF_LOG_SHMFD ||
               vh_server_has(srv, VH_PF_LOG_SHMFD);
    case VH_GATE_PROTOCOL:
        return vh_server_features(srv) & VH_F_PROTOCOL_FEATURES;
    case VH_GATE_PROTOCOL_ACKED:
        /* QEMU enables the rings of a network device before SET_FEATURES. */
        return (srv->session.features & VH_F_PROTOCOL_FEATURES) ||
               srv->session.protocol != 0;
    case VH_GATE_IOMMU:
        return vh_server_has_iommu(srv);
    default:
        return vh_server_has(srv, (unsigned)row->gate);
    }
}

/*
 * A queue without its fds would stand still, and its front end never know why:
 * to close the connection is the one thing left to say it by.
 */
static int refused_unheard(struct vhost_server *srv, const struct vh_msg *msg)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, msg->request);

    if (!row || row->reply != VH_REPLY_ACK_COVERED) {
        return 0;
    }
    return fault(srv, row->name,
                 srv->session.why ? srv->session.why : "can't be done");
}

static int reply_ack(struct vhost_server *srv, const struct vh_msg *msg, int r)
{
    struct vh_msg ack;

    if (r < 0) {
        vh_server_log(srv, "%s refused: %s",
                      vh_msg_name(VH_FROM_FRONT, msg->request),
                      srv->session.why ? srv->session.why : strerror(-r));
    }
    if (!(msg->flags & VH_MSG_F_NEED_REPLY) ||
        !vh_server_has(srv, VH_PF_REPLY_ACK)) {
        return r < 0 ? refused_unheard(srv, msg) : 0;
    }
    vh_msg_init_u64(&ack, msg->request, r < 0 ? (uint64_t)-r : 0);
    return vh_sock_queue_flags(srv->session.sock, &ack, VH_MSG_F_REPLY);
}

static int serve(struct vhost_server *srv, struct vh_msg *msg)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, msg->request);
    const struct handler *handler;
    struct vh_msg reply;
    const char *why;
    int r;

    if (vh_server_postcopy_go_ahead(srv, msg)) {
        return 0;
    }
    if (vh_msg_check_request(VH_FROM_FRONT, msg, &why) < 0) {
        return fault(srv, vh_msg_name(VH_FROM_FRONT, msg->request), why);
    }
    handler = &handlers[msg->request];
    if (!handler->fn || !gate_is_open(srv, row)) {
        if (row->reply == VH_REPLY_OWN) {
            return fault(srv, row->name, "was not negotiated");
        }
        return reply_ack(srv, msg, -ENOTSUP);
    }
    srv->session.why = NULL;
    srv->session.answered = false;
    r = handler->fn(srv, msg, &reply);
    if (srv->session.fault) {
        return -EPROTO;
    }
    if (srv->session.answered) {
        return r;
    }
    if (!handler->replies) {
        return reply_ack(srv, msg, r);
    }
    return vh_sock_queue_flags(srv->session.sock, &reply, VH_MSG_F_REPLY);
}

/* Until then nothing more is read, so that all keeps its order. */
static int delay(struct vhost_server *srv, unsigned ms)
{
    const struct itimerspec when = {
        .it_value = { .tv_sec = ms / 1000,
                      .tv_nsec = (long)(ms % 1000) * 1000000 + 1 },
    };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd < 0) {
        return -errno;
    }
    if (timerfd_settime(fd, 0, &when, NULL) < 0 ||
        vh_server_watch(srv, fd, VH_EVENT_SESSION, 0) < 0) {
        vh_fd_close(&fd);
        return -EIO;
    }
    srv->session.delay_fd = fd;
    return 0;
}

/* Is the request that was delayed to be served now? */
static bool delay_is_over(struct vhost_server *srv)
{
    uint64_t n;

    if (read(srv->session.delay_fd, &n, sizeof(n)) != sizeof(n)) {
        return false;
    }
    vh_server_unwatch(srv, srv->session.delay_fd);
    vh_fd_close(&srv->session.delay_fd);
    return true;
}

static int refuse(struct vhost_server *srv, const struct vh_msg *msg)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, msg->request);
    struct vh_msg reply;

    if (!row || row->reply != VH_REPLY_OWN) {
        return reply_ack(srv, msg, -EIO);
    }
    vh_msg_init(&reply, msg->request);
    vh_fault_answer(msg, &reply);
    return vh_sock_queue_flags(srv->session.sock, &reply, VH_MSG_F_REPLY);
}

/* Serves srv->msg, unless the owner wants it to go wrong. */
static int serve_or_fail(struct vhost_server *srv)
{
    const struct vhost_server_fault *f =
        vh_faults_next(&srv->faults, srv->msg.request);

    if (!f) {
        return serve(srv, &srv->msg);
    }
    vh_server_log(srv, "%s goes wrong on purpose",
                  vh_msg_name(VH_FROM_FRONT, srv->msg.request));
    switch (f->kind) {
    case VHOST_SERVER_FAULT_DELAY:
        return delay(srv, f->delay_ms);
    case VHOST_SERVER_FAULT_DROP:
        return 0;
    case VHOST_SERVER_FAULT_ERROR:
        return refuse(srv, &srv->msg);
    default:
        return fault(srv, vh_msg_name(VH_FROM_FRONT, srv->msg.request),
                     "the connection was closed on purpose");
    }
}

static const char *not_received(struct vhost_server *srv, int r,
                                const char *why)
{
    if (r == -ECONNRESET) {
        return "the front end has gone";
    }
    fault(srv, "the front end was sent away", why ? why : strerror(-r));
    return srv->session.fault;
}

/* What has come.  Return: NULL, or why the session ends. */
static const char *serve_all(struct vhost_server *srv)
{
    const char *why = NULL;
    int r;

    for (unsigned n = 0; n < MESSAGES_MAX; n++) {
        if (srv->session.delay_fd >= 0) {
            if (!delay_is_over(srv)) {
                return NULL;
            }
            r = serve(srv, &srv->msg);
        } else {
            r = vh_sock_receive(srv->session.sock, &srv->msg, false, &why);
            if (r == 0) {
                return NULL;
            }
            if (r < 0) {
                return not_received(srv, r, why);
            }
            r = serve_or_fail(srv);
        }
        if (srv->session.delay_fd < 0) {
            vh_msg_close_fds(&srv->msg);
        }
        if (r == -ENOBUFS) {
            return "the front end does not read its answers";
        }
        if (r < 0) {
            return srv->session.fault ? srv->session.fault : strerror(-r);
        }
    }
    return NULL; /* what is left keeps the socket readable */
}

/*
 * Hear of room in the socket, but only while something waits for it; and of
 * requests, but only while none is delayed; one edge tells then of a front end
 * that has gone, which is looked into once the delay is over.
 */
static void watch_socket(struct vhost_server *srv)
{
    struct vh_session *session = &srv->session;
    bool unsent = vh_sock_wants_send(session->sock);
    uint32_t want =
        (session->delay_fd < 0 ? (uint32_t)EPOLLIN : (uint32_t)EPOLLET) |
        (unsent ? (uint32_t)EPOLLOUT : 0);
    struct epoll_event event = {
        .events = want,
        .data.u64 = (uint64_t)VH_EVENT_SESSION << 32,
    };

    if (want != session->watches) {
        session->watches = want;
        epoll_ctl(srv->epoll_fd, EPOLL_CTL_MOD, vh_sock_fd(session->sock),
                  &event);
    }
}

void vh_session_dispatch(struct vhost_server *srv)
{
    char text[sizeof(srv->session.fault_text)];
    const char *why = serve_all(srv);

    if (!why && vh_sock_send(srv->session.sock) < 0) {
        why = "the front end has gone";
    }
    if (why) {
        snprintf(text, sizeof(text), "%s", why);
        vh_sock_send(srv->session.sock); /* what it is owed, if it listens */
        vh_session_end(srv, text);
        return;
    }
    watch_socket(srv);
}
