/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines: points of monotonic time, so that retries never add up. */
#ifndef VH_UTIL_CLOCK_H
#define VH_UTIL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define VH_DEADLINE_NEVER INT64_MAX

/** vh_clock_ns() - monotonic time in nanoseconds */
int64_t vh_clock_ns(void);

/** vh_deadline_in() - the point @ms milliseconds from now; < 0: never */
int64_t vh_deadline_in(int64_t ms);

/** vh_deadline_left_ms() - for poll(2): rounded up, 0 if past, -1 if never */
int vh_deadline_left_ms(int64_t deadline);

/** vh_deadline_passed() - is it over? */
bool vh_deadline_passed(int64_t deadline);

#endif
