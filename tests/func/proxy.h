/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that lies: the embedded back end in a thread, and between it and
 * the front end under test a proxy, in another thread, that is honest until
 * the message where its one lie is due.
 */
#ifndef VH_TESTS_FUNC_PROXY_H
#define VH_TESTS_FUNC_PROXY_H

#include <stdbool.h>
#include <stdint.h>

struct proxy;

enum lie_kind {
    LIE_NONE,
    LIE_NEVER_ANSWER, /* this reply, and all later ones, never come */
    LIE_HANG_UP,      /* dies where the reply is due */
    LIE_DIE_ON,       /* dies at the arrival of the request */
    LIE_WRONG_ID,
    LIE_NO_REPLY_FLAG,
    LIE_WRONG_VERSION,
    LIE_TOO_SHORT,
    LIE_TOO_LONG,
    LIE_HUGE_SIZE,
    LIE_ONE_FD,
    LIE_TOO_MANY_FDS,
    LIE_GARBAGE,
    LIE_HALF_A_REPLY, /* then dies */
    LIE_TWICE,
    LIE_REFUSE,    /* an ack that is not 0 */
    LIE_SET_VALUE, /* a u64 answer is @value */
    LIE_CLEAR_BITS,
    LIE_CONFIG_SIZE, /* a configuration of @value bytes */
    LIE_KINDS,
};

struct lie {
    enum lie_kind kind;
    unsigned at;      /* the so manieth message that it could hit, from 0 */
    uint32_t request; /* of this request only; 0: any */
    uint64_t value;
};

/* What a lying device does to the used ring of queue 0 at its first kick. */
enum ring_lie {
    RING_HONEST,
    RING_ID_OUT_OF_RANGE,
    RING_ID_NOT_IN_FLIGHT,
    RING_ID_TWICE,
    RING_LENGTH_TOO_BIG,
    RING_LENGTH_ZERO,
    RING_INDEX_RUNS_AWAY,
    RING_LIES,
};

/** proxy_new() - both threads, and *front: the front end's end of it */
struct proxy *proxy_new(const char *image, const struct lie *lie,
                        enum ring_lie ring_lie, int *front);

/** proxy_lied() - did the lie come to pass? */
bool proxy_lied(const struct proxy *proxy);

/** proxy_free() - end and join the threads */
void proxy_free(struct proxy *proxy);

#endif
