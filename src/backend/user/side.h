/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The second channel: upcall.c carries requests and answers, share.c has the
 * handlers of those that share files.
 */
#ifndef VH_BACKEND_USER_SIDE_H
#define VH_BACKEND_USER_SIDE_H

#include "backend/user/request.h"
#include "wire/sock.h"

/* While it has an answer that the back end does not take, no further request
 * of it is read. */
struct vh_user_side {
    struct vh_sock *sock;
    int epoll_fd; /* readable when there is something to do */
    bool blocked; /* an answer waits for room */
    int lent_fd;  /* goes with that answer; or -1 */
};

/* A handler.  *fd: for the answer, given; it is -1 before.  Return: 0, or why
 * it is refused. */
typedef int vh_user_side_fn(struct vhost_user *user, const struct vh_msg *msg,
                            int *fd);

vh_user_side_fn vh_user_on_host_notifier, vh_user_on_object_add,
    vh_user_on_object_remove, vh_user_on_object_lookup, vh_user_on_shmem_map,
    vh_user_on_shmem_unmap;

#endif
