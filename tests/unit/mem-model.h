/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the memory room share: numbers, and a way to say which. */
#ifndef VH_TESTS_MEM_MODEL_H
#define VH_TESTS_MEM_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "check.h"

/* The run of a random test: the start of its numbers, so that a run that
 * failed can be had again by itself. */
static uint64_t model_run;
static uint64_t model_numbers;

static inline void model_start(uint64_t run)
{
    model_run = run;
    model_numbers = (run + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* 0 … n - 1 */
static inline unsigned model_random(unsigned n)
{
    model_numbers ^= model_numbers << 13;
    model_numbers ^= model_numbers >> 7;
    model_numbers ^= model_numbers << 17;
    return (unsigned)((model_numbers >> 20) % n);
}

#define MODEL_CHECK(claim)                                                  \
    do {                                                                    \
        if (!(claim)) {                                                     \
            fail_msg("run %llu: not so: %s", (unsigned long long)model_run, \
                     #claim);                                               \
        }                                                                   \
    } while (0)

#endif
