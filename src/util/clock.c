/* SPDX-License-Identifier: BSD-3-Clause */
#include "util/clock.h"

#include <limits.h>
#include <time.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

int64_t vh_clock_ns(void)
{
    struct timespec now;

    /* Can't fail: Linux always has this clock, and the pointer is good. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t vh_deadline_in(int64_t ms)
{
    int64_t ns;
    int64_t deadline;

    if (ms < 0 || __builtin_mul_overflow(ms, NS_PER_MS, &ns) ||
        __builtin_add_overflow(vh_clock_ns(), ns, &deadline)) {
        return VH_DEADLINE_NEVER;
    }
    return deadline;
}

int vh_deadline_left_ms(int64_t deadline)
{
    int64_t left;
    int64_t ms;

    if (deadline == VH_DEADLINE_NEVER) {
        return -1;
    }
    /* A past deadline may be as far away as INT64_MIN. */
    if (__builtin_sub_overflow(deadline, vh_clock_ns(), &left) || left <= 0) {
        return 0;
    }
    /* Rounded down, the last millisecond would be spent in a busy loop. */
    ms = left / NS_PER_MS + (left % NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

bool vh_deadline_passed(int64_t deadline)
{
    return deadline != VH_DEADLINE_NEVER && vh_clock_ns() >= deadline;
}
