/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that has not arrived yet: whoever touches it waits until the front
 * end has put it in place.
 */
#ifndef VH_SERVER_POSTCOPY_H
#define VH_SERVER_POSTCOPY_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/codec.h"

struct vh_mapping;
struct vhost_server;

struct vh_postcopy_state {
    int uffd;        /* -1: not advised */
    bool listening;  /* regions are registered, and answered with addresses */
    uint32_t awaits; /* the request whose go-ahead is due; 0: none */
};

/** vh_server_postcopy_add() - a region was mapped
 *
 * Return: 0, or the negative errno of UFFDIO_REGISTER, with session.why.
 */
int vh_server_postcopy_add(struct vhost_server *srv,
                           const struct vh_mapping *mapping);

/** vh_server_postcopy_answer() - tell where the memory of a request is
 * @msg: SET_MEM_TABLE or ADD_MEM_REG, all of it mapped
 *
 * Its answer is queued; no ack is to follow, and queues wait for the go-ahead.
 *
 * Return: 0, or what the socket failed with.
 */
int vh_server_postcopy_answer(struct vhost_server *srv,
                              const struct vh_msg *msg);

/** vh_server_postcopy_go_ahead() - is it the word that the addresses arrived?
 *
 * Return: true if it was: the queues run again, and there is no answer.
 */
bool vh_server_postcopy_go_ahead(struct vhost_server *srv,
                                 const struct vh_msg *msg);

/** vh_server_postcopy_end() - back to memory that is there */
void vh_server_postcopy_end(struct vhost_server *srv);

#endif
