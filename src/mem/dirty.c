/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fetching and clearing.
 *
 * A chunk that is wanted whole is swapped for 0; of one that is wanted in part
 * the rest stays, since another section, or another caller, comes for it.
 * Both happen in one step, against back ends that set bits meanwhile.
 *
 * After the fetch the page is read and sent, so what its writer wrote before
 * he set the bit must be seen: the fetch acquires, and marking releases.
 *
 * Bits that follow each other become one range, across chunks too.
 */
#include "mem/dirty.h"

#include <errno.h>
#include <stdlib.h>

#include "util/atomic.h"

#define BITS VHOST_LOG_BITS
#define ALL (~(vhost_log_chunk_t)0)
#define FEW 4 /* clean chunks: from there on it is worth to look far ahead */

typedef vhost_log_chunk_t chunk;

static bool host_is_big(void)
{
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

int vh_dirty_new(struct vh_dirty **dirtyp, uint64_t chunks,
                 enum vh_dirty_order order)
{
    struct vh_dirty *dirty;
    int r;

    if (chunks > SIZE_MAX / sizeof(chunk)) {
        return -EFBIG;
    }
    dirty = calloc(1, sizeof(*dirty));
    if (!dirty) {
        return -ENOMEM;
    }
    r = vh_shm_new_sealed_if_possible(&dirty->shm, "vhost-log",
                                      (size_t)chunks * sizeof(chunk));
    if (r < 0) {
        free(dirty);
        return r;
    }
    dirty->log = (struct vhost_log){
        .size = dirty->shm.len / sizeof(chunk),
        .refcnt = 1,
        .fd = dirty->shm.fd,
        .log = dirty->shm.addr,
    };
    dirty->swapped = vh_dirty_swapped(order, host_is_big());
    *dirtyp = dirty;
    return 0;
}

void vh_dirty_free(struct vh_dirty *dirty)
{
    vh_shm_free(&dirty->shm);
    free(dirty);
}

/* Between a chunk as it lies in memory and one whose bit i is page i. */
static chunk turn(const struct vh_dirty *dirty, chunk bits)
{
    if (!dirty->swapped) {
        return bits;
    }
    return sizeof(chunk) == 8 ? (chunk)__builtin_bswap64(bits)
                              : (chunk)__builtin_bswap32((uint32_t)bits);
}

static chunk *at(const struct vh_dirty *dirty, uint64_t page)
{
    return &dirty->log.log[page / BITS];
}

/* The bits of @n pages from @page on, of one chunk. */
static chunk mask_of(uint64_t page, uint64_t n)
{
    return (n < BITS ? ((chunk)1 << n) - 1 : ALL) << page % BITS;
}

static void set(const struct vh_dirty *dirty, uint64_t page, chunk bits)
{
    __atomic_fetch_or(at(dirty, page), turn(dirty, bits), __ATOMIC_RELEASE);
}

static chunk fetch(const struct vh_dirty *dirty, uint64_t page, chunk mask)
{
    chunk *where = at(dirty, page);
    chunk bits;

    if (mask == ALL) {
        return turn(dirty, __atomic_exchange_n(where, 0, __ATOMIC_ACQUIRE));
    }
    mask = turn(dirty, mask);
    if (!(VH_READ_ONCE(*where) & mask)) {
        return 0;
    }
    bits = __atomic_fetch_and(where, ~mask, __ATOMIC_ACQUIRE);
    return turn(dirty, bits & mask);
}

/* How many of @n pages from @first on the log has bits for. */
static uint64_t clip(const struct vh_dirty *dirty, uint64_t first, uint64_t n)
{
    uint64_t pages = dirty->log.size * BITS;

    if (first >= pages) {
        return 0;
    }
    return n < pages - first ? n : pages - first;
}

/* How many of @n pages from @page on lie in one chunk with it. */
static uint64_t in_chunk(uint64_t page, uint64_t n)
{
    uint64_t left = BITS - page % BITS;

    return n < left ? n : left;
}

void vh_dirty_mark(struct vh_dirty *dirty, uint64_t first, uint64_t n)
{
    uint64_t step;

    for (n = clip(dirty, first, n); n > 0; n -= step, first += step) {
        step = in_chunk(first, n);
        set(dirty, first, mask_of(first, step));
    }
}

/*
 * Hands each chunk that is not clean to @take, whose bit 0 is page @first of
 * the call.
 */
typedef void take_fn(void *arg, uint64_t first, chunk bits);

static inline __attribute__((always_inline)) void walk(struct vh_dirty *dirty,
                                                       uint64_t first,
                                                       uint64_t n,
                                                       take_fn *take, void *arg)
{
    uint64_t end = first + clip(dirty, first, n);
    uint64_t page = first;
    unsigned n_clean = 0; /* chunks, in a row */

    while (page < end) {
        uint64_t step = in_chunk(page, end - page);
        chunk bits;

        if (step == BITS && VH_READ_ONCE(*at(dirty, page)) == 0) {
            page += BITS;
            if (++n_clean == FEW) {
                n_clean = 0;
                page = vh_dirty_skip(dirty->log.log, (size_t)(page / BITS),
                                     (size_t)(end / BITS)) *
                       (uint64_t)BITS;
            }
            continue;
        }
        n_clean = 0;
        bits = fetch(dirty, page, mask_of(page, step));
        if (bits != 0) {
            take(arg, page - page % BITS, bits);
        }
        page += step;
    }
}

static void take_into_log(void *arg, uint64_t first, chunk bits)
{
    struct vh_dirty *to = arg;

    if (first / BITS < to->log.size) {
        set(to, first, bits);
    }
}

void vh_dirty_move(struct vh_dirty *to, struct vh_dirty *from)
{
    walk(from, 0, from->log.size * BITS, take_into_log, to);
}

void vh_dirty_run_end(struct vh_dirty_run *run)
{
    if (run->n > 0) {
        run->sink(run->opaque, run->first * VHOST_LOG_PAGE,
                  run->n * VHOST_LOG_PAGE);
        run->n = 0;
    }
}

static void extend(struct vh_dirty_run *run, uint64_t first, uint64_t n)
{
    if (run->n > 0 && run->first + run->n == first) {
        run->n += n;
        return;
    }
    vh_dirty_run_end(run);
    run->first = first;
    run->n = n;
}

static unsigned trailing_zeroes(chunk bits)
{
    return (unsigned)__builtin_ctzl(bits);
}

static void take_into_run(void *arg, uint64_t first, chunk bits)
{
    struct vh_dirty_run *run = arg;

    while (bits != 0) {
        unsigned begin = trailing_zeroes(bits);
        chunk clear = ~(bits >> begin); /* 0 only for a chunk that is full */
        unsigned n = clear ? trailing_zeroes(clear) : (unsigned)BITS;

        extend(run, first + begin, n);
        bits = begin + n < BITS ? bits & (ALL << (begin + n)) : 0;
    }
}

void vh_dirty_fetch(struct vh_dirty *dirty, uint64_t first, uint64_t n,
                    struct vh_dirty_run *run)
{
    walk(dirty, first, n, take_into_run, run);
}

struct into_bitmap {
    uint64_t *bitmap;
    uint64_t first; /* page of its bit 0, less than 0 as it may be */
};

static void take_into_bitmap(void *arg, uint64_t first, chunk bits)
{
    const struct into_bitmap *to = arg;
    uint64_t where = first - to->first;
    unsigned shift = (unsigned)(where % 64);
    uint64_t wide = bits;

    /* The chunk may begin before the bitmap does: not its bits, though. */
    if (where > UINT64_MAX - BITS) {
        wide >>= -where;
        where = 0;
        shift = 0;
    }
    to->bitmap[where / 64] |= wide << shift;
    if (shift != 0 && wide >> (64 - shift) != 0) {
        to->bitmap[where / 64 + 1] |= wide >> (64 - shift);
    }
}

void vh_dirty_fetch_bitmap(struct vh_dirty *dirty, uint64_t first, uint64_t n,
                           uint64_t *bitmap, uint64_t at_bit)
{
    struct into_bitmap to = { bitmap, first - at_bit };

    walk(dirty, first, n, take_into_bitmap, &to);
}
