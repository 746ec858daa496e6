/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pieces to iovecs.
 *
 * The driver's memory is a set of regions: what is one piece to the driver
 * may lie in two of ours, which need not be neighbours.  So a piece becomes
 * one iovec or more, and the count of iovecs is bounded by the caller's array,
 * whatever the driver says.
 *
 * Rules of virtio 1.3, 2.6 and 2.7.4.2: what the device reads comes before
 * what it writes, and no buffer is longer than 4 GiB (2.7.5.2).  Lengths are
 * 32 bits here, so that a buffer of just 4 GiB is refused too.
 */
#include "ring/chain.h"
#include "util/atomic.h"

const char vh_chain_unknown[] = "it is not known yet where a buffer is";

/* At most @want bytes, so that no translation can make us count too much.
 * NULL: *got is 0, or for how many bytes it is not known. */
static void *find(vh_translate_fn *translate, void *arg, uint64_t gpa,
                  uint64_t want, uint64_t *got)
{
    void *hva;

    *got = 0;
    hva = translate(arg, gpa, want, got);
    if (*got == 0) {
        return NULL;
    }
    if (*got > want) {
        *got = want;
    }
    return hva;
}

const char *vh_chain_add_scattered(struct vh_chain *chain,
                                   const struct vh_chain_memory *memory,
                                   uint64_t gpa, uint32_t len, bool writable)
{
    vh_translate_fn *translate = writable ? memory->writable : memory->piece;

    if (gpa > UINT64_MAX - len) {
        return "a piece of a buffer wraps around the address space";
    }
    while (len > 0) {
        unsigned at = (unsigned)chain->n_out + chain->n_in;
        uint64_t got;
        void *hva = find(translate, memory->arg, gpa, len, &got);

        if (got == 0) {
            return "a piece of a buffer lies outside memory";
        }
        gpa += got;
        len -= (uint32_t)got;
        if (!hva) {
            chain->unknown = true;
            continue;
        }
        if (at >= chain->iov_max) {
            return "a buffer has more pieces than the device takes";
        }
        chain->iov[at] = (struct iovec){ hva, (size_t)got };
        *(writable ? &chain->n_in : &chain->n_out) += 1;
    }
    return NULL;
}

const char *vh_chain_copy(const struct vh_chain_memory *memory, void *dst,
                          uint64_t gpa, size_t len)
{
    uint8_t *to = dst;

    while (len > 0) {
        uint64_t got;
        const uint8_t *from =
            find(memory->translate, memory->arg, gpa, len, &got);

        if (!from) {
            return got > 0 ? vh_chain_unknown
                           : "an indirect table outside memory";
        }
        for (uint64_t i = 0; i < got; i++) {
            *to++ = VH_READ_ONCE(from[i]);
        }
        gpa += got;
        len -= (size_t)got;
    }
    return NULL;
}
