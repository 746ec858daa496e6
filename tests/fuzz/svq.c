/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shadow queue between a guest and a device that both write whatever they
 * like, into their rings and anywhere else that they reach.
 *
 * Between what the input writes, both go on by the rules as far as they can,
 * so that it gets to where the rules are broken late.
 */
#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <sys/uio.h>

#include "fuzz/bytes.h"

#define assert_non_null(claim) CLAIM((claim) != NULL)
#define assert_int_equal(a, b) CLAIM((a) == (b))
#include "unit/svq-rig.h"

#define SIZE 8u
#define AREA (6 * SVQ_PAGE) /* each ring, and its tables */
#define STEPS 80
#define PIECES 64

/* From a byte: a piece of the guest's memory, or of none. */
static struct vh_sg piece(struct bytes *in)
{
    static const uint64_t where[] = { SVQ_GPA_A, SVQ_GPA_B, SVQ_GPA_ALIAS,
                                      SVQ_GPA_B + SVQ_REGION - 64 };
    uint16_t word = take_u16(in);

    return (struct vh_sg){
        .addr = where[word & 3] + (word >> 2 & 0xff) * 32 +
                8 * SVQ_PAGE * (word >> 15),
        .len = 1 + (word >> 10 & 31) * 8,
    };
}

static void make_available(struct svq_rig *rig, struct bytes *in, uint8_t byte)
{
    struct vh_sg sg[4];
    unsigned n_out = byte & 1, n_in = 1 + (byte >> 1 & 1) + (byte >> 2 & 1);

    for (unsigned i = 0; i < n_out + n_in; i++) {
        sg[i] = piece(in);
    }
    vh_ring_add(rig->driver, sg, n_out, n_in, rig);
    vh_ring_publish(rig->driver);
}

static void use_some(struct svq_rig *rig, uint8_t byte)
{
    struct iovec iov[PIECES];
    struct vh_chain chain = { .iov = iov, .iov_max = PIECES };

    for (unsigned n = byte & 3; n > 0; n--) {
        if (vh_devring_pop(rig->device, &chain) != 1) {
            break;
        }
        vh_devring_push(rig->device, chain.id,
                        byte & 4 ? chain.in_len : byte >> 3);
    }
    vh_devring_publish(rig->device);
}

static void go_on_elsewhere(struct svq_rig *rig)
{
    CLAIM(svq_rig_stop(rig) <= rig->guest_size);
    svq_rig_start(rig);
}

/* Some bytes of a ring; or one that counts, such as an index. */
static void scribble(uint8_t *ring, struct bytes *in, uint8_t byte)
{
    uint16_t at = take_u16(in);

    if (byte & 0x80) {
        at = (uint16_t)(at % 3 * SVQ_PAGE + (at >> 4) % 20);
    }
    take(in, ring + at % (AREA - 16), byte % 16);
}

static void step(struct svq_rig *rig, struct bytes *in)
{
    uint8_t op = take_u8(in), byte = take_u8(in);
    struct vh_ring_used used[4];
    bool by_device;

    switch (op % 10) {
    case 0:
    case 1:
    case 2:
        make_available(rig, in, byte);
        break;
    case 3:
        use_some(rig, byte);
        break;
    case 4:
        scribble(rig->a, in, byte);
        break;
    case 5:
        scribble(rig->a + SVQ_REGION, in, byte);
        break;
    case 6:
        vh_ring_take(rig->driver, used, 4);
        break;
    case 7:
        vh_svq_set_mark(rig->svq, byte & 1 ? svq_rig_mark : NULL, rig);
        break;
    case 8:
        if (byte < 64) {
            go_on_elsewhere(rig);
        }
        break;
    default:
        break;
    }
    CLAIM((vh_svq_run(rig->svq) == -EPROTO) ==
          (vh_svq_broken(rig->svq, &by_device) != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t layouts[] = { 0, BIT(VH_RING_F_PACKED) };
    struct bytes in = { data, size };
    uint8_t how = take_u8(&in);
    uint64_t both = (how & 4 ? BIT(VH_RING_F_INDIRECT_DESC) : 0) |
                    (how & 8 ? BIT(VH_RING_F_EVENT_IDX) : 0);
    struct svq_rig rig;
    uint8_t *gap;

    svq_rig_init(&rig, SIZE, layouts[how & 1] | both,
                 how & 16 ? 2 * SIZE : SIZE, layouts[how >> 1 & 1] | both);
    gap = rig.b + SVQ_REGION;
    ASAN_POISON_MEMORY_REGION(gap, SVQ_REGION);
    for (int i = 0; i < STEPS && in.left > 0; i++) {
        step(&rig, &in);
    }
    CLAIM(svq_rig_stop(&rig) <= SIZE);
    ASAN_UNPOISON_MEMORY_REGION(gap, SVQ_REGION);
    svq_rig_cleanup(&rig);
    return 0;
}
