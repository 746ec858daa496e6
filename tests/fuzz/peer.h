/* SPDX-License-Identifier: BSD-3-Clause */
/* A back end that is honest until the input says otherwise: see peer.c. */
#ifndef VH_TESTS_FUZZ_PEER_H
#define VH_TESTS_FUZZ_PEER_H

#include "fuzz/bytes.h"

struct peer {
    struct bytes *in;
    int sock;     /* -1: it has hung up */
    int listener; /* where the next one is found, or -1: there is none */
    int side;     /* the second channel, or -1 */
    int state;    /* that is being loaded, or -1 */
    uint64_t features;
    uint64_t protocol; /* on offer */
    uint64_t acked;
    uint64_t status;
    bool closed_mouth; /* answers no more */
};

/** peer_turn() - serve what has come, and perhaps ask something; one that was
 * hung up on is followed by another */
void peer_turn(struct peer *peer);

/** peer_ask() - one request on the second channel */
void peer_ask(struct peer *peer);

/** peer_hang_up() - close all that it has */
void peer_hang_up(struct peer *peer);

#endif
