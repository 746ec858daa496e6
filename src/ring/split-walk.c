/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Following a chain of descriptors that somebody else wrote (virtio 1.3,
 * 2.7.5 "The Virtqueue Descriptor Table", 2.7.5.3 "Indirect Descriptors").
 *
 * The driver may change a table while we read it.  So each descriptor is
 * loaded once, into a local, and no decision is ever based on a second load.
 * A chain with more links than its table has entries visits one twice: it is
 * a loop, and the count finds it without a mark on each descriptor.
 *
 * An indirect table ends a chain, which may have begun with direct
 * descriptors (2.7.5.3.2).  It may be of any alignment, and may lie across two
 * regions: then, and only then, its entries are copied out one by one.
 *
 * Tolerated: more entries in a chain than the queue's size (drivers do so with
 * indirect tables; the caller's iovecs are the limit), WRITE beside INDIRECT
 * (2.7.5.3.2 wants it ignored), pieces of no length.
 */
#include "ring/split.h"

struct table {
    const struct vh_desc *desc; /* NULL: copy entries, from @gpa */
    uint64_t gpa;
    uint32_t n;
    bool is_indirect;
};

static const char *load(const struct vh_split_walk *walk,
                        const struct table *table, uint32_t i,
                        struct vh_desc *desc)
{
    const char *wrong;
    uint64_t word[2];

    if (table->desc) {
        *desc = vh_split_desc_load(&table->desc[i]);
        return NULL;
    }
    wrong = vh_chain_copy(&walk->memory, word,
                          table->gpa + i * (uint64_t)sizeof(*desc),
                          sizeof(word));
    if (!wrong) {
        *desc = vh_split_desc_decode(word[0], word[1]);
    }
    return wrong;
}

/* From a descriptor to the table that it stands for. */
static const char *enter(const struct vh_split_walk *walk,
                         const struct vh_desc *desc, struct table *table)
{
    const struct vh_chain_memory *memory = &walk->memory;
    uint64_t got = 0;
    const void *hva;

    if (!walk->indirect) {
        return "an indirect table, which was not negotiated";
    }
    if (table->is_indirect) {
        return "an indirect table inside an indirect table";
    }
    if (desc->flags & VH_DESC_F_NEXT) {
        return "an indirect table that does not end its chain";
    }
    if (desc->len == 0 || desc->len % sizeof(*desc) != 0 ||
        desc->len / sizeof(*desc) > VH_RING_SIZE_MAX) {
        return "an indirect table of an impossible length";
    }
    if (desc->addr > UINT64_MAX - desc->len) {
        return "an indirect table that wraps around the address space";
    }
    hva = memory->translate(memory->arg, desc->addr, desc->len, &got);
    if (!hva) {
        return got > 0 ? vh_chain_unknown : "an indirect table outside memory";
    }
    *table = (struct table){
        .gpa = desc->addr,
        .n = desc->len / (uint32_t)sizeof(*desc),
        .is_indirect = true,
    };
    if (got >= desc->len && (uintptr_t)hva % _Alignof(struct vh_desc) == 0) {
        table->desc = hva;
    }
    return NULL;
}

const char *vh_split_walk_chain(const struct vh_split_walk *walk, uint16_t head,
                                struct vh_chain *chain)
{
    struct table table = { .desc = walk->desc, .n = walk->size };
    uint32_t left = table.n;
    uint32_t at = head;
    struct vh_desc desc;
    const char *wrong;

    vh_chain_start(chain);
    for (;;) {
        if (at >= table.n) {
            return "a descriptor's next is outside its table";
        }
        if (left-- == 0) {
            return "a chain of descriptors loops";
        }
        wrong = load(walk, &table, at, &desc);
        if (wrong) {
            return wrong;
        }
        if (desc.flags & VH_DESC_F_INDIRECT) {
            wrong = enter(walk, &desc, &table);
            at = 0;
            left = table.n;
        } else {
            wrong = vh_chain_add(chain, &walk->memory, desc.addr, desc.len,
                                 desc.flags & VH_DESC_F_WRITE);
            at = desc.next;
        }
        if (wrong) {
            return wrong;
        }
        if (!(desc.flags & (VH_DESC_F_NEXT | VH_DESC_F_INDIRECT))) {
            return vh_chain_end(chain);
        }
    }
}
