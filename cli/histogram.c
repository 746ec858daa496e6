/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log-linear buckets.  Values below 2048 have a bucket each.  Above, each
 * power of two is cut into 1024 buckets of equal width, so a bucket is never
 * wider than 1/1024 of the values in it: three significant digits.
 *
 *     value     2048 … 4095   width 2     buckets 2048 … 3071
 *               4096 … 8191   width 4             3072 … 4095
 *               2^40 … 2^41-1 width 2^30          up to the last
 */
#include <math.h>
#include <stdlib.h>

#include "histogram.h"

#define HALF_BITS 10u
#define HALF (1u << HALF_BITS)
#define LINEAR (2u * HALF)
#define LIMIT_BITS 41u
#define BUCKETS (LINEAR + (LIMIT_BITS - HALF_BITS - 1u) * HALF)

struct histogram {
    uint64_t count;
    uint64_t min;
    uint64_t max;
    double sum;
    uint64_t buckets[BUCKETS];
};

/* By how much a value is shifted right to fall into HALF … 2 * HALF - 1. */
static unsigned shift_of(uint64_t value)
{
    return 63u - (unsigned)__builtin_clzll(value) - HALF_BITS;
}

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < LINEAR) {
        return (unsigned)value;
    }
    shift = shift_of(value);
    return shift * HALF + (unsigned)(value >> shift);
}

/* The largest value that falls into a bucket. */
static uint64_t top_of(unsigned bucket)
{
    unsigned shift;

    if (bucket < LINEAR) {
        return bucket;
    }
    shift = bucket / HALF - 1;
    return ((uint64_t)(bucket - shift * HALF + 1) << shift) - 1;
}

struct histogram *histogram_new(void)
{
    return calloc(1, sizeof(struct histogram));
}

void histogram_free(struct histogram *h)
{
    free(h);
}

void histogram_record(struct histogram *h, uint64_t value)
{
    if (h->count == 0 || value < h->min) {
        h->min = value;
    }
    if (value > h->max) {
        h->max = value;
    }
    h->count++;
    h->sum += (double)value;
    h->buckets[bucket_of(value < HISTOGRAM_LIMIT ? value : HISTOGRAM_LIMIT)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0) {
        return;
    }
    if (into->count == 0 || from->min < into->min) {
        into->min = from->min;
    }
    if (from->max > into->max) {
        into->max = from->max;
    }
    into->count += from->count;
    into->sum += from->sum;
    for (unsigned i = 0; i < BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    /* 99.9 % of 1000 is 999, though the product is a little more. */
    double wanted = ceil((double)h->count * percent / 100 - 1e-6);
    uint64_t seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > 0 && (double)seen >= wanted) {
            /* The last bucket also holds what lies above the limit. */
            return i < BUCKETS - 1 && top_of(i) < h->max ? top_of(i) : h->max;
        }
    }
    return h->max;
}

uint64_t histogram_count(const struct histogram *h)
{
    return h->count;
}

uint64_t histogram_min(const struct histogram *h)
{
    return h->min;
}

uint64_t histogram_max(const struct histogram *h)
{
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->count > 0 ? h->sum / (double)h->count : 0;
}
