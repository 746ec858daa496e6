/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench-svq pass|shadow split|packed PIECES COUNT - requests through one ring,
 * or through a shadow queue between two; to be counted by bench/svq.sh.
 *
 * Driver and device are in this thread too, and do nothing but move buffers,
 * 32 at a time, so that what pass takes is the cost of one ring, both sides.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "ring/devring.h"
#include "svq/svq.h"

#define SIZE 256
#define BURST 32
#define REGION (1 << 20)
#define GPA UINT64_C(0x40000000)
#define DATA (REGION / 2)
#define PIECES_MAX 8

struct bench {
    uint8_t *mem;
    struct vh_iova *iova;
    struct vh_ring *driver;
    struct vh_devring *device;
    struct vh_svq *svq; /* NULL: pass */
    uint64_t features;
    unsigned pieces;
};

static void *from_iova(void *arg, uint64_t iova, uint64_t want, uint64_t *len)
{
    struct bench *b = arg;

    (void)want;
    *len = 2 * REGION - (iova - 4096);
    return b->mem + (iova - 4096);
}

static void *from_gpa(void *arg, uint64_t gpa, uint64_t want, uint64_t *len)
{
    struct bench *b = arg;

    (void)want;
    *len = REGION - (gpa - GPA);
    return b->mem + (gpa - GPA);
}

/* The three areas, 16 KiB apart, from @at on. */
static struct vh_ring_config ring_config(const struct bench *b, uint8_t *at)
{
    return (struct vh_ring_config){
        .size = SIZE,
        .features = b->features,
        .desc = at,
        .driver = at + 0x4000,
        .device = at + 0x8000,
        .base = vh_ring_first_base(b->features),
    };
}

static void make_device(struct bench *b, const struct vh_ring_config *ring,
                        vh_translate_fn *translate)
{
    struct vh_devring_config config = {
        .size = ring->size,
        .features = ring->features,
        .desc = ring->desc,
        .driver = ring->driver,
        .device = ring->device,
        .base = ring->base,
        .translate = translate,
        .translate_arg = b,
    };

    if (vh_devring_new(&b->device, &config) < 0) {
        errx(1, "no device side");
    }
}

static void make_shadow(struct bench *b, const struct vh_ring_config *guest)
{
    struct vh_iova_range memory = { .gpa = GPA, .hva = b->mem, .size = REGION };
    struct vh_svq_config config = {
        .guest = { .size = SIZE,
                   .features = b->features,
                   .desc = GPA,
                   .driver = GPA + 0x4000,
                   .device = GPA + 0x8000,
                   .base = guest->base },
        .shadow = ring_config(b, b->mem + REGION),
        .guest_kick = -1,
        .guest_call = -1,
        .device_kick = -1,
        .device_call = -1,
    };

    if (vh_iova_new(&b->iova, 0, UINT32_MAX) < 0 ||
        vh_iova_alloc(b->iova, &memory, 4096) < 0) {
        errx(1, "no IOVA map");
    }
    config.iova = b->iova;
    if (vh_svq_new(&b->svq, &config) < 0) {
        errx(1, "no shadow queue");
    }
    make_device(b, &config.shadow, from_iova);
}

static void device_works(struct bench *b)
{
    struct iovec iov[PIECES_MAX];
    struct vh_chain chain = { .iov = iov, .iov_max = PIECES_MAX };

    while (vh_devring_pop(b->device, &chain) > 0) {
        vh_devring_push(b->device, chain.id, 0);
    }
    vh_devring_publish(b->device);
}

static void burst(struct bench *b)
{
    struct vh_ring_used used[BURST];
    struct vh_sg sg[PIECES_MAX];

    for (unsigned i = 0; i < BURST; i++) {
        for (unsigned k = 0; k < b->pieces; k++) {
            sg[k] =
                (struct vh_sg){ GPA + DATA + (i * PIECES_MAX + k) * 512, 512 };
        }
        vh_ring_add(b->driver, sg, b->pieces, 0, b);
    }
    vh_ring_publish(b->driver);
    if (b->svq) {
        vh_svq_run(b->svq);
    }
    device_works(b);
    if (b->svq) {
        vh_svq_run(b->svq);
    }
    if (vh_ring_take(b->driver, used, BURST) != BURST) {
        errx(1, "a request was lost");
    }
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    struct vh_ring_config guest;
    long count;

    if (argc != 5) {
        errx(2, "usage: bench-svq pass|shadow split|packed PIECES COUNT");
    }
    b.features = UINT64_C(1) << VH_RING_F_EVENT_IDX;
    if (strcmp(argv[2], "packed") == 0) {
        b.features |= UINT64_C(1) << VH_RING_F_PACKED;
    }
    b.pieces = (unsigned)atoi(argv[3]);
    count = atol(argv[4]);
    b.mem = aligned_alloc(4096, 2 * REGION);
    if (!b.mem || b.pieces < 1 || b.pieces > PIECES_MAX) {
        errx(2, "1 to %d pieces", PIECES_MAX);
    }
    memset(b.mem, 0, 2 * REGION);
    guest = ring_config(&b, b.mem);
    if (vh_ring_new(&b.driver, &guest) < 0) {
        errx(1, "no driver side");
    }
    if (strcmp(argv[1], "shadow") == 0) {
        make_shadow(&b, &guest);
    } else {
        make_device(&b, &guest, from_gpa);
    }
    for (; count > 0; count -= BURST) {
        burst(&b);
    }
    vh_svq_free(b.svq);
    vh_devring_free(b.device);
    vh_ring_free(b.driver);
    vh_iova_free(b.iova);
    free(b.mem);
    return 0;
}
