/* SPDX-License-Identifier: BSD-3-Clause */
#include "svq/net-state.h"

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>

#define CLASS_NOTF_COAL 6 /* newer than some headers */
#define NOTF_COAL_VQ_SET 2
#define NOTF_COAL_VQ_GET 3
#define MQ_LAST 2 /* pairs, RSS and hash exclude each other */

struct record {
    size_t len;
    uint8_t *command;
};

struct vh_net_state {
    struct record *records; /* the oldest first */
    size_t n;
    size_t room;
    bool lacks;
};

struct vh_net_state *vh_net_state_new(void)
{
    return calloc(1, sizeof(struct vh_net_state));
}

void vh_net_state_clear(struct vh_net_state *state)
{
    for (size_t i = 0; i < state->n; i++) {
        free(state->records[i].command);
    }
    state->n = 0;
    state->lacks = false;
}

void vh_net_state_free(struct vh_net_state *state)
{
    if (state) {
        vh_net_state_clear(state);
        free(state->records);
        free(state);
    }
}

bool vh_net_state_is_whole(const struct vh_net_state *state)
{
    return !state->lacks;
}

/* The least that makes sense, with class and command; 0: it sets nothing. */
static size_t least(uint8_t class, uint8_t command)
{
    switch (class) {
    case VIRTIO_NET_CTRL_RX:
        return 3;
    case VIRTIO_NET_CTRL_MAC:
        return command == VIRTIO_NET_CTRL_MAC_ADDR_SET ? 8 : 10;
    case VIRTIO_NET_CTRL_VLAN:
        return 4;
    case VIRTIO_NET_CTRL_MQ:
        return command <= MQ_LAST ? 4 : 0;
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return 10;
    case CLASS_NOTF_COAL:
        return command == NOTF_COAL_VQ_GET ? 0 : 10;
    default:
        return 0;
    }
}

/* Do two commands set the same thing? */
static bool replaces(const uint8_t *now, const uint8_t *before)
{
    if (now[0] != before[0]) {
        return false;
    }
    if (now[0] == VIRTIO_NET_CTRL_VLAN) {
        return memcmp(now + 2, before + 2, 2) == 0;
    }
    if (now[0] == VIRTIO_NET_CTRL_MQ) {
        return true;
    }
    if (now[0] == CLASS_NOTF_COAL && now[1] == NOTF_COAL_VQ_SET) {
        return before[1] == NOTF_COAL_VQ_SET &&
               memcmp(now + 2, before + 2, 2) == 0;
    }
    return now[1] == before[1];
}

static void forget(struct vh_net_state *state, const uint8_t *command)
{
    size_t kept = 0;

    for (size_t i = 0; i < state->n; i++) {
        if (replaces(command, state->records[i].command)) {
            free(state->records[i].command);
        } else {
            state->records[kept++] = state->records[i];
        }
    }
    state->n = kept;
}

static bool make_room(struct vh_net_state *state)
{
    size_t room = state->room ? 2 * state->room : 16;
    struct record *records;

    if (state->n < state->room) {
        return true;
    }
    records = realloc(state->records, room * sizeof(*records));
    if (records) {
        state->records = records;
        state->room = room;
    }
    return records != NULL;
}

void vh_net_state_note(struct vh_net_state *state, const void *command,
                       size_t len)
{
    const uint8_t *bytes = command;
    uint8_t *copy;

    if (len < 2 || least(bytes[0], bytes[1]) == 0 ||
        len < least(bytes[0], bytes[1])) {
        return;
    }
    forget(state, bytes);
    if (bytes[0] == VIRTIO_NET_CTRL_VLAN &&
        bytes[1] == VIRTIO_NET_CTRL_VLAN_DEL) {
        return;
    }
    copy = malloc(len);
    if (!copy || !make_room(state)) {
        free(copy);
        state->lacks = true;
        return;
    }
    memcpy(copy, command, len);
    state->records[state->n++] = (struct record){ len, copy };
}

const void *vh_net_state_get(const struct vh_net_state *state, size_t i,
                             size_t *len)
{
    if (i >= state->n) {
        return NULL;
    }
    *len = state->records[i].len;
    return state->records[i].command;
}
