/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device's walk over a ring whose driver writes whatever it likes, split
 * and packed; and what it pops is read and written whole, so that an iovec
 * outside of memory shows.
 */
#include <sys/uio.h>

#include "fuzz/bytes.h"
#include "ring/devring.h"

#define ARENA 0x2000u
#define HOLE 0x1f00u /* from here on there is nothing */
#define EDGE 0x1000u /* two regions, apart in our memory */
#define MAX_SIZE 16u
#define MAX_IOV 12u
#define STEPS 64

struct world {
    uint8_t *low; /* each of a size of its own, to be hit beyond it */
    uint8_t *high;
    bool out[MAX_SIZE]; /* popped and not pushed, by id */
    uint32_t size;
};

/* The address space repeats, so that nearly every address is somewhere. */
static void *translate(void *arg, uint64_t gpa, uint64_t want, uint64_t *len)
{
    struct world *w = arg;
    uint64_t at = gpa % ARENA;

    CLAIM(want > 0);
    if (at >= HOLE) {
        return NULL;
    }
    *len = at < EDGE ? EDGE - at : HOLE - at;
    *len = *len < want ? *len : want;
    return at < EDGE ? w->low + at : w->high + (at - EDGE);
}

static void use(const struct vh_chain *chain, uint8_t byte)
{
    uint64_t out_len = 0, in_len = 0;
    unsigned sum = 0;

    CLAIM(chain->n_out + chain->n_in <= MAX_IOV);
    for (unsigned i = 0; i < chain->n_out; i++) {
        out_len += chain->iov[i].iov_len;
        for (size_t k = 0; k < chain->iov[i].iov_len; k++) {
            sum += ((const uint8_t *)chain->iov[i].iov_base)[k];
        }
    }
    for (unsigned i = chain->n_out; i < (unsigned)chain->n_out + chain->n_in;
         i++) {
        in_len += chain->iov[i].iov_len;
        memset(chain->iov[i].iov_base, (int)(byte + (sum & 1)),
               chain->iov[i].iov_len);
    }
    CLAIM(chain->out_len == out_len && chain->in_len == in_len);
}

static void pop(struct world *w, struct vh_devring *ring, uint8_t byte)
{
    struct iovec iov[MAX_IOV];
    struct vh_chain chain = { .iov = iov, .iov_max = MAX_IOV };
    int r = vh_devring_pop(ring, &chain);

    CLAIM(r == 0 || r == 1 || ring->broken);
    if (r == 1) {
        CLAIM(chain.id < w->size && !w->out[chain.id]);
        w->out[chain.id] = true;
        use(&chain, byte);
    }
}

static void push(struct world *w, struct vh_devring *ring, uint8_t byte)
{
    for (uint32_t i = 0; i < w->size; i++) {
        uint32_t id = (i + byte) % w->size;

        if (w->out[id] && !ring->broken) {
            w->out[id] = false;
            vh_devring_push(ring, (uint16_t)id, byte);
            return;
        }
    }
}

/* A buffer that a device before had popped; as in-flight tracking has it. */
static void again(struct world *w, struct vh_devring *ring, struct bytes *bytes)
{
    struct vh_desc descs[4];
    struct iovec iov[MAX_IOV];
    struct vh_chain chain = { .iov = iov, .iov_max = MAX_IOV };
    struct vh_held held = { .id = (uint16_t)(take_u8(bytes) % w->size),
                            .n = (uint16_t)(take_u8(bytes) % 4 + 1),
                            .descs = descs };

    take(bytes, descs, sizeof(descs));
    if (!w->out[held.id] && vh_devring_again(ring, &held, &chain) == 1) {
        w->out[held.id] = true;
        use(&chain, 1);
    }
}

static void scribble(struct world *w, struct bytes *bytes)
{
    uint16_t at = take_u16(bytes) % HOLE;

    *(at < EDGE ? w->low + at : w->high + (at - EDGE)) = take_u8(bytes);
}

static void run(struct world *w, struct vh_devring *ring, struct bytes *bytes)
{
    for (int i = 0; i < STEPS; i++) {
        uint8_t step = bytes->left > 0 ? take_u8(bytes) : 0;

        switch (step % 8) {
        case 4:
            push(w, ring, step >> 3);
            break;
        case 5:
            vh_devring_publish(ring);
            break;
        case 6:
            if (!vh_devring_enable_kick(ring)) {
                vh_devring_disable_kick(ring);
            }
            break;
        case 7:
            scribble(w, bytes);
            break;
        default:
            pop(w, ring, step);
        }
    }
    vh_devring_publish(ring);
    (void)vh_devring_base(ring);
    (void)vh_devring_used(ring);
}

static uint64_t features_of(uint8_t bits)
{
    return (uint64_t)(bits & 1) << VH_RING_F_PACKED |
           (uint64_t)(bits >> 1 & 1) << VH_RING_F_EVENT_IDX |
           (uint64_t)(bits >> 2 & 1) << VH_RING_F_INDIRECT_DESC |
           (uint64_t)(bits >> 3 & 1) << VH_RING_F_IN_ORDER;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = { data, size };
    uint8_t bits = take_u8(&bytes);
    uint8_t n_again = take_u8(&bytes) % 4;
    uint32_t base = take_u32(&bytes);
    struct world w = {
        .low = calloc(1, EDGE),
        .high = calloc(1, HOLE - EDGE),
        .size = 4u << (bits >> 4 & 1) << (bits >> 5 & 1),
    };
    struct vh_devring_config config = {
        .size = w.size,
        .features = features_of(bits),
        .desc = w.low,
        .driver = w.low + 0x100,
        .device = w.low + 0x180,
        .translate = translate,
        .translate_arg = &w,
    };
    struct vh_devring *ring;

    CLAIM(w.low && w.high);
    config.base = bits >> 6 & 1 ? vh_ring_first_base(config.features) : base;
    if (bytes.left > 0) {
        uint16_t n = take_u16(&bytes) % 0x400;

        take(&bytes, w.low, n);
    }
    if (vh_devring_new(&ring, &config) == 0) {
        for (unsigned i = 0; i < n_again; i++) {
            again(&w, ring, &bytes);
        }
        run(&w, ring, &bytes);
        vh_devring_free(ring);
    }
    free(w.low);
    free(w.high);
    return 0;
}
