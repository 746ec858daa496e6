/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A test of the tests: one side of a ring is built into this program once
 * more, with a barrier that can be left out, of publish() or of enable_*().
 * With it no sleeper is missed; without it one must be, or test-ring-race
 * proves nothing.
 *
 * Only these barriers are tried.  That a release or an acquire is missing can
 * not be seen on a processor which keeps stores in order, and loads: there
 * they are nothing but orders to the compiler.
 *
 * The program says which source that is, before it includes it here:
 *
 *     BARRIER_SOURCE   the file
 *     BARRIER_LAYOUT   its feature bit, or 0
 *     BARRIER_DRIVER   1: the driver's side; 0: the device's
 */
#ifndef VH_TESTS_RING_BARRIER_H
#define VH_TESTS_RING_BARRIER_H

#include "check.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/atomic.h"
#include "util/clock.h"

static bool no_publish_barrier;
static bool no_enable_barrier;

/* Of the two functions that have one, publish() has the shorter name. */
#define IS_PUBLISH(name) (sizeof(name) <= sizeof("packed_publish"))

#undef vh_full_barrier
#define vh_full_barrier()                                  \
    do {                                                   \
        if (!(IS_PUBLISH(__func__) ? no_publish_barrier    \
                                   : no_enable_barrier)) { \
            __atomic_thread_fence(__ATOMIC_SEQ_CST);       \
        }                                                  \
    } while (0)

#include BARRIER_SOURCE

#include "ring-duel.h"

#define N_WITH 2000u

/*
 * How many rounds it takes until a missing barrier is seen, depends on what
 * else the processors have to do: so it is the clock that ends the search, one
 * for all duels of the program.
 */
#define ALL_MS 45000

static int64_t deadline;

static uint32_t duel(bool publish, uint64_t more, uint32_t n_rounds)
{
    bool kick = publish == BARRIER_DRIVER;

    return duel_run(kick ? &duel_kick : &duel_call, BARRIER_LAYOUT | more,
                    n_rounds, deadline);
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/*
 * Two threads that take turns on one CPU reorder nothing, nor do two whose
 * every access is a call to a sanitizer.
 */
static bool cannot_race(void)
{
    cpu_set_t set;

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer) || \
    defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
    return true;
#endif
    return sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) < 2;
}

static void all_features(bool publish, bool *missing)
{
    static const uint64_t more[] = {
        0,
        BIT(VH_RING_F_EVENT_IDX),
        BIT(VH_RING_F_IN_ORDER),
        BIT(VH_RING_F_IN_ORDER) | BIT(VH_RING_F_EVENT_IDX),
    };

    if (cannot_race()) {
        skip();
    }
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        assert_int_equal(duel(publish, more[i], N_WITH), 0);
        *missing = true;
        if (duel(publish, more[i], UINT32_MAX) == 0) {
            fail_msg("not missed in the time that there is: features %#llx",
                     (unsigned long long)(BARRIER_LAYOUT | more[i]));
        }
        *missing = false;
    }
}

static void test_publish_without_its_barrier_misses_a_sleeper(void **state)
{
    (void)state;
    all_features(true, &no_publish_barrier);
}

static void test_enable_without_its_barrier_is_missed(void **state)
{
    (void)state;
    all_features(false, &no_enable_barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish_without_its_barrier_misses_a_sleeper),
        cmocka_unit_test(test_enable_without_its_barrier_is_missed),
    };

    deadline = vh_deadline_in(ALL_MS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
