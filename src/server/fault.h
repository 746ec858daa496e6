/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults on purpose, so that front ends can be tested: see struct
 * vhost_server_fault.
 */
#ifndef VH_SERVER_FAULT_H
#define VH_SERVER_FAULT_H

#include <stdbool.h>
#include <vhost/server.h>

#include "wire/codec.h"

struct vh_faults {
    struct vhost_server_fault *list;
    unsigned n;
    unsigned *seen; /* requests of this connection that each is about */
};

/** vh_faults_copy() - take over what the owner asks for
 * @faults: zeroed
 * @list: @n of them, copied
 *
 * Return: 0; -EINVAL, in words; -ENOMEM.
 */
int vh_faults_copy(struct vh_faults *faults,
                   const struct vhost_server_fault *list, unsigned n,
                   struct vhost_error **errp);

void vh_faults_free(struct vh_faults *faults);

/** vh_faults_rewind() - a new connection begins */
void vh_faults_rewind(struct vh_faults *faults);

/** vh_faults_next() - a request has come: what is to go wrong with it?
 *
 * Return: a fault, lent; or NULL.
 */
const struct vhost_server_fault *vh_faults_next(struct vh_faults *faults,
                                                uint32_t request);

/** vh_fault_answer() - an answer that refuses a request which has its own
 * @reply: initialised with the request; filled in
 */
void vh_fault_answer(const struct vh_msg *msg, struct vh_msg *reply);

#endif
