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

#define STRIDE 256 /* bytes at a time, aligned to 64 */
#define PER_STRIDE (STRIDE / sizeof(vhost_log_chunk_t))
#define SHORT_WALK 8 /* chunks, before it is worth to begin with strides */

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

__attribute__((target("avx512f"))) WIDE static size_t
skip_avx512(const vhost_log_chunk_t *log, size_t i, size_t end)
{
    for (; i + PER_STRIDE <= end; i += PER_STRIDE) {
        const __m512i *p = (const __m512i *)(const void *)&log[i];
        __m512i a =
            _mm512_or_si512(_mm512_load_si512(p), _mm512_load_si512(p + 1));
        __m512i b =
            _mm512_or_si512(_mm512_load_si512(p + 2), _mm512_load_si512(p + 3));

        a = _mm512_or_si512(a, b);
        if (_mm512_test_epi64_mask(a, a) != 0) {
            break;
        }
    }
    return i;
}

__attribute__((target("avx2"))) WIDE static size_t
skip_avx2(const vhost_log_chunk_t *log, size_t i, size_t end)
{
    for (; i + PER_STRIDE <= end; i += PER_STRIDE) {
        const __m256i *p = (const __m256i *)(const void *)&log[i];
        __m256i sum = _mm256_load_si256(p);

        for (unsigned k = 1; k < STRIDE / sizeof(*p); k++) {
            sum = _mm256_or_si256(sum, _mm256_load_si256(p + k));
        }
        if (!_mm256_testz_si256(sum, sum)) {
            break;
        }
    }
    return i;
}

#endif

/* As wide as the compiler makes it. */
WIDE static size_t skip_plain(const vhost_log_chunk_t *log, size_t i,
                              size_t end)
{
    for (; i + PER_STRIDE <= end; i += PER_STRIDE) {
        vhost_log_chunk_t sum = 0;

        for (size_t k = 0; k < PER_STRIDE; k++) {
            sum |= log[i + k];
        }
        if (sum != 0) {
            break;
        }
    }
    return i;
}

static size_t skip_strides(const vhost_log_chunk_t *log, size_t i, size_t end)
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

size_t vh_dirty_skip(const vhost_log_chunk_t *log, size_t i, size_t end)
{
    size_t aligned =
        (i + SHORT_WALK + PER_STRIDE / 4 - 1) & ~(PER_STRIDE / 4 - 1);

    if (aligned >= end) {
        return skip_words(log, i, end);
    }
    i = skip_words(log, i, aligned);
    if (i < aligned) {
        return i;
    }
    return skip_words(log, skip_strides(log, i, end), end);
}
