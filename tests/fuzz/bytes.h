/* SPDX-License-Identifier: BSD-3-Clause */
/* The fuzzer's input, taken from the front; zeroes when it is used up. */
#ifndef VH_TESTS_FUZZ_BYTES_H
#define VH_TESTS_FUZZ_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    const uint8_t *at;
    size_t left;
};

/* libFuzzer calls it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim that must hold whatever the input is; not assert(), which a build
 * may leave out. */
#define CLAIM(claim)                                                          \
    do {                                                                      \
        if (!(claim)) {                                                       \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
                    #claim);                                                  \
            abort();                                                          \
        }                                                                     \
    } while (0)

static inline void take(struct bytes *bytes, void *to, size_t len)
{
    size_t n = len < bytes->left ? len : bytes->left;

    memset(to, 0, len);
    if (n > 0) {
        memcpy(to, bytes->at, n);
        bytes->at += n;
        bytes->left -= n;
    }
}

static inline uint8_t take_u8(struct bytes *bytes)
{
    uint8_t n;

    take(bytes, &n, sizeof(n));
    return n;
}

static inline uint16_t take_u16(struct bytes *bytes)
{
    uint16_t n;

    take(bytes, &n, sizeof(n));
    return n;
}

static inline uint32_t take_u32(struct bytes *bytes)
{
    uint32_t n;

    take(bytes, &n, sizeof(n));
    return n;
}

static inline uint64_t take_u64(struct bytes *bytes)
{
    uint64_t n;

    take(bytes, &n, sizeof(n));
    return n;
}

#endif
