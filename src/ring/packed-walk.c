/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Following a buffer that somebody else wrote (virtio 1.3, 2.8.6 "Next Flag:
 * Descriptor Chaining", 2.8.7 "Indirect Flag: Scatter-Gather Support").
 *
 * The driver may change the ring while we read it.  So each word is loaded
 * once, and no decision is based on a second load.  The descriptors of a
 * buffer stand one after the other, so that no chain can loop; but one may
 * claim to go round the whole ring and on.
 *
 * An indirect table is as long as its descriptor says, and of its entries'
 * flags only WRITE counts.  It may be of any alignment, and may lie across two
 * regions: then, and only then, its entries are copied out one by one.
 */
#include "ring/packed-walk.h"

static const char *add_piece(const struct vh_packed_walk *walk, uint64_t addr,
                             uint64_t rest, struct vh_chain *chain)
{
    return vh_chain_add(chain, &walk->memory, addr, vh_packed_len(rest),
                        vh_packed_flags(rest) & VH_DESC_F_WRITE);
}

static const char *check_table(const struct vh_packed_walk *walk, uint64_t addr,
                               uint64_t rest)
{
    uint32_t len = vh_packed_len(rest);

    if (!walk->indirect) {
        return "an indirect table, which was not negotiated";
    }
    if (vh_packed_flags(rest) & VH_DESC_F_NEXT) {
        return "an indirect table inside a chain";
    }
    if (len == 0 || len % sizeof(struct vh_packed_desc) != 0 ||
        len / sizeof(struct vh_packed_desc) > VH_RING_SIZE_MAX) {
        return "an indirect table of an impossible length";
    }
    if (addr > UINT64_MAX - len) {
        return "an indirect table that wraps around the address space";
    }
    return NULL;
}

static const char *walk_table(const struct vh_packed_walk *walk, uint64_t addr,
                              uint64_t rest, struct vh_chain *chain)
{
    const struct vh_chain_memory *memory = &walk->memory;
    uint32_t len = vh_packed_len(rest);
    const char *wrong = check_table(walk, addr, rest);
    const uint64_t *table;
    uint64_t got = 0;

    if (wrong) {
        return wrong;
    }
    table = memory->translate(memory->arg, addr, len, &got);
    if (got < len || (uintptr_t)table % sizeof(*table) != 0) {
        table = NULL;
    }
    for (uint32_t i = 0; i < len / sizeof(struct vh_packed_desc); i++) {
        uint64_t word[2];

        if (table) {
            word[0] = VH_READ_ONCE(table[2 * i]);
            word[1] = VH_READ_ONCE(table[2 * i + 1]);
        } else {
            wrong = vh_chain_copy(memory, word, addr + i * sizeof(word),
                                  sizeof(word));
        }
        if (wrong) {
            return wrong;
        }
        if (vh_packed_flags(vh_le64(word[1])) & VH_DESC_F_INDIRECT) {
            return "an indirect table inside an indirect table";
        }
        wrong = add_piece(walk, vh_le64(word[0]), vh_le64(word[1]), chain);
        if (wrong) {
            return wrong;
        }
    }
    return vh_chain_end(chain);
}

const char *vh_packed_walk_chain(const struct vh_packed_walk *walk, uint32_t at,
                                 uint64_t rest, struct vh_chain *chain,
                                 uint32_t *n_desc)
{
    const char *wrong;

    vh_chain_start(chain);
    *n_desc = 0;
    for (;;) {
        const uint64_t *desc = (const uint64_t *)&walk->desc[at];
        uint64_t addr = vh_le64(VH_READ_ONCE(desc[0]));

        chain->id = vh_packed_id(rest); /* the last one's counts (2.8.6) */
        ++*n_desc;
        if (vh_packed_flags(rest) & VH_DESC_F_INDIRECT) {
            if (*n_desc > 1) {
                return "an indirect table inside a chain";
            }
            return walk_table(walk, addr, rest, chain);
        }
        wrong = add_piece(walk, addr, rest, chain);
        if (wrong || !(vh_packed_flags(rest) & VH_DESC_F_NEXT)) {
            return wrong ? wrong : vh_chain_end(chain);
        }
        if (*n_desc == walk->size) {
            return "a chain of descriptors is longer than the ring";
        }
        at = at + 1 < walk->size ? at + 1 : 0;
        desc = (const uint64_t *)&walk->desc[at];
        rest = vh_le64(VH_READ_ONCE(desc[1]));
    }
}
