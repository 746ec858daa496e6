/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Passing over clean chunks, as fast as memory can be read.
 *
 * Most of a log is clean most of the time, so this is where a sync spends its
 * time.  Loads here are plain, and as wide as the processor has them: a bit
 * that is set meanwhile may be seen or not, and is seen by the next sync if
 * not by this one.  Nothing is taken on the strength of them; whoever finds a
 * chunk that is not 0 fetches it in one step of its own.
 *
 * The width is chosen at each call, by what the processor says of itself: it
 * is remembered by the compiler's runtime, and costs a load and a test.
 */
#include "mem/dirty.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "util/atomic.h"

#define STRIDE 256 /* bytes at a time */
#define CHUNKS (STRIDE / sizeof(vhost_log_chunk_t))
#define PER_LINE (64 / sizeof(vhost_log_chunk_t))

/* The first stride begins anywhere, those after it at lines of the cache. */
static size_t next_stride(size_t i)
{
    return (i + CHUNKS) & ~(PER_LINE - 1);
}

static size_t skip_words(const vhost_log_chunk_t *log, size_t i, size_t end)
{
    while (i < end && VH_READ_ONCE(log[i]) == 0) {
        i++;
    }
    return i;
}

/* What other threads write at the same time is the point of it. */
#if defined(__SANITIZE_THREAD__)
#define WIDE __attribute__((noinline, no_sanitize("thread")))
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WIDE __attribute__((noinline, no_sanitize("thread")))
#endif
#endif
#ifndef WIDE
#define WIDE __attribute__((noinline))
#endif

#if defined(__x86_64__)

#define LANES 8 /* chunks in a vector of 512 bits */

__attribute__((target("avx512f"))) WIDE static size_t
skip_avx512(const vhost_log_chunk_t *log, size_t i, size_t end)
{
    for (; i + CHUNKS <= end; i = next_stride(i)) {
        __m512i v[CHUNKS / LANES], any = _mm512_setzero_si512();

        for (unsigned k = 0; k < CHUNKS / LANES; k++) {
            v[k] = _mm512_loadu_si512(&log[i + k * LANES]);
            any = _mm512_or_si512(any, v[k]);
        }
        if (_mm512_test_epi64_mask(any, any) == 0) {
            continue;
        }
        for (unsigned k = 0;; k++) {
            __mmask8 dirty = _mm512_test_epi64_mask(v[k], v[k]);

            if (dirty != 0) {
                return i + k * LANES + (unsigned)__builtin_ctz(dirty);
            }
        }
    }
    return skip_words(log, i, end);
}

__attribute__((target("avx2"))) WIDE static size_t
skip_avx2(const vhost_log_chunk_t *log, size_t i, size_t end)
{
    for (; i + CHUNKS <= end; i = next_stride(i)) {
        __m256i any = _mm256_setzero_si256();

        for (size_t k = 0; k < CHUNKS; k += 4) {
            const void *p = &log[i + k];

            any = _mm256_or_si256(any, _mm256_loadu_si256(p));
        }
        if (!_mm256_testz_si256(any, any)) {
            break;
        }
    }
    return skip_words(log, i, end);
}

#endif

/* As wide as the compiler makes it. */
WIDE static size_t skip_plain(const vhost_log_chunk_t *log, size_t i,
                              size_t end)
{
    for (; i + CHUNKS <= end; i = next_stride(i)) {
        vhost_log_chunk_t any = 0;

        for (size_t k = 0; k < CHUNKS; k++) {
            any |= log[i + k];
        }
        if (any != 0) {
            break;
        }
    }
    return skip_words(log, i, end);
}

size_t vh_dirty_skip(const vhost_log_chunk_t *log, size_t i, size_t end)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        return skip_avx512(log, i, end);
    }
    if (__builtin_cpu_supports("avx2")) {
        return skip_avx2(log, i, end);
    }
#endif
    return skip_plain(log, i, end);
}
