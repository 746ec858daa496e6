/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the driver of a network device has set by its control queue (virtio 1.3,
 * 5.1.6.5), so that it can be set again once the device was reset.
 *
 * Of each kind of command the last that the device acknowledged is kept, as it
 * was, and in the order of the last ones; of those that name a VLAN or a queue,
 * the last of each.
 *
 * Threads: one at a time.
 */
#ifndef VH_SVQ_NET_STATE_H
#define VH_SVQ_NET_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vh_net_state;

/** vh_net_state_new() - nothing is set; NULL: memory is short */
struct vh_net_state *vh_net_state_new(void);

/** vh_net_state_free() - NULL is allowed */
void vh_net_state_free(struct vh_net_state *state);

/** vh_net_state_clear() - the driver has reset the device */
void vh_net_state_clear(struct vh_net_state *state);

/**
 * vh_net_state_note() - the device has acknowledged a command
 * @command: class, command, and what belongs to it: @len bytes, copied
 *
 * One that is too short, or that sets nothing, is left out.
 */
void vh_net_state_note(struct vh_net_state *state, const void *command,
                       size_t len);

/** vh_net_state_get() - the command to give as number @i; lent until the state
 * changes; NULL: there are no more */
const void *vh_net_state_get(const struct vh_net_state *state, size_t i,
                             size_t *len);

/** vh_net_state_is_whole() - false: memory was short, and something is missing
 */
bool vh_net_state_is_whole(const struct vh_net_state *state);

#endif
