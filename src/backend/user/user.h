/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user front end, inside view.
 *
 *   user.c       the object, the table user_ops, life of a connection
 *   connect.c    a socket by a path, within a deadline
 *   negotiate.c  what both sides can do
 *   request.c    posting, waiting, and whose refusal it was
 *   queue.c mem.c config.c   requests by topic
 *
 * Threads: everything that touches the channel holds @lock.  Functions here
 * that take a struct vhost_user want it held, but where they say otherwise;
 * those that take a struct vhost_dev take it themselves.
 */
#ifndef VH_BACKEND_USER_USER_H
#define VH_BACKEND_USER_USER_H

#include <pthread.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include <vhost/vhost.h>

#include "backend/user/talk.h"
#include "wire/chan.h"

#define VH_USER_SLOTS_MAX 512 /* more regions than this are never used */

/* Virtio device status bits, as SET_STATUS carries them. */
#define VH_STATUS_ACKNOWLEDGE 1u
#define VH_STATUS_DRIVER 2u
#define VH_STATUS_DRIVER_OK 4u
#define VH_STATUS_FEATURES_OK 8u

struct vh_postcopy;
struct vh_user_base;
struct vh_user_post;
struct vh_user_side;

/** struct vhost_user - a back end behind a socket
 * @lock: see the top of this file
 * @name: "user:PATH", for messages
 * @path: of the socket; NULL if it was given as an fd
 * @bound: the socket that we bound at @path, to remove no other
 * @socket_fd: the socket that was given, until it is used; or -1
 * @listen_fd: where the back end connects to; or -1
 * @dev: the device that uses the connection; NULL: none does
 * @chan: NULL unless connected
 * @talk: the negotiation
 * @return_fd: tells when a new connection may be had; or -1
 * @spoke: a reply has come that makes sense
 * @fault: of the connection; the words are in @fault_error
 * @offered: virtio features as the back end has them, bit 30 too
 * @driver_features: as last sent
 * @protocol: protocol features in use; @protocol_offered: as offered
 * @status: as last sent
 * @unanswered: something was posted that wants an ack, and the back end
 *     has none to give
 * @control: the thread that last asked for what only one may ask for
 * @foreign: posts of other threads, until they sync
 * @state_answer: where the answer of a transfer goes; lent
 * @bases: those that GET_VRING_BASE asks for, until they are answered
 * @refusal: the first one that the control thread has not heard of
 * @side: the second channel, for requests of the back end; NULL: none,
 *     or the back end has closed it
 * @side_peer_fd: its other end, until that is sent; or -1
 * @shmem: sizes of the shared memory regions; NULL: there are none
 * @postcopy: page faults of the back end; NULL: none are to be heard of
 * @listening: memory comes with faults, and is answered with addresses
 * @mem: the regions that the back end has, if it has slots
 * @mem_unknown: nobody knows what it has
 */
struct vhost_user {
    pthread_mutex_t lock;
    char *name;
    char *path;
    struct vhost_user_options options;
    struct stat bound;
    int socket_fd;
    int listen_fd;

    struct vhost_dev *dev;
    struct vh_chan *chan;
    struct vh_user_talk talk;
    int return_fd;
    bool spoke;
    int fault;
    struct vhost_error *fault_error;

    uint64_t offered;
    uint64_t driver_features;
    uint64_t protocol_offered;
    uint64_t protocol;
    uint64_t max_queues;
    uint64_t max_slots;
    uint32_t status;

    bool unanswered;
    pthread_t control;
    TAILQ_HEAD(, vh_user_post) foreign;
    struct vhost_error *refusal;
    struct vh_user_base *bases;
    struct vhost_device_state_answer *state_answer;

    struct vh_user_side *side;
    int side_peer_fd;
    uint64_t *shmem;

    struct vh_postcopy *postcopy;
    bool listening;

    struct vhost_memory_section *mem;
    size_t n_mem;
    bool mem_unknown;
};

/* connect.c; the first is called before there is a device, and needs no lock */
int vh_user_listen(struct vhost_user *user, struct vhost_error **errp);
int vh_user_connect(struct vhost_user *user, unsigned deadline_ms, int *fdp,
                    struct vhost_error **errp);

/* request.c: until the next connection, no answer may take long; locks */
void vh_user_hurry(struct vhost_user *user);

/* user.c: a channel over a socket, which is given; 0 or a negative errno */
int vh_user_open_chan(struct vhost_user *user, int fd,
                      struct vhost_error **errp);

/* What a back end is told as the user address of a section. */
static inline uint64_t
vh_user_section_addr(const struct vhost_user *user,
                     const struct vhost_memory_section *s)
{
    return user->options.host_addresses ? (uint64_t)(uintptr_t)s->hva : s->gpa;
}

static inline bool vh_user_has(const struct vhost_user *user, unsigned bit)
{
    return user->protocol >> bit & 1;
}

#endif
