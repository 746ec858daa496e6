/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A histogram of durations: how long did 99.9 % of the requests take at most?
 *
 * Any value up to HISTOGRAM_LIMIT is kept with three significant digits, in
 * fixed memory, by one addition.  Threads: each histogram has one owner; merge
 * them when the threads have ended.
 */
#ifndef CLI_HISTOGRAM_H
#define CLI_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_LIMIT ((UINT64_C(1) << 41) - 1) /* 36 minutes in ns */

struct histogram;

/** histogram_new() - an empty histogram
 *
 * Return: the histogram, or NULL if memory is short.
 */
struct histogram *histogram_new(void);

/** histogram_free() - free it
 * @h: NULL is allowed
 */
void histogram_free(struct histogram *h);

/** histogram_record() - count one value
 * @h: a histogram
 * @value: any; above HISTOGRAM_LIMIT it counts as that, but for the maximum
 */
void histogram_record(struct histogram *h, uint64_t value);

/** histogram_merge() - add all that @from counted
 * @into: a histogram
 * @from: stays as it is
 */
void histogram_merge(struct histogram *into, const struct histogram *from);

/** histogram_percentile() - the value that so many percent do not exceed
 * @h: a histogram
 * @percent: 0 to 100
 *
 * Return: the least value v so that at least @percent of the values are v or
 * less, rounded up by less than 0.1 %, never above the maximum; 0 if empty.
 */
uint64_t histogram_percentile(const struct histogram *h, double percent);

uint64_t histogram_count(const struct histogram *h);
uint64_t histogram_min(const struct histogram *h); /* exact; 0 if empty */
uint64_t histogram_max(const struct histogram *h); /* exact; 0 if empty */
double histogram_mean(const struct histogram *h);  /* exact; 0 if empty */

#endif
