/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two circles of links in arrays: the buffers by id, in the order in which they
 * came; and per buffer a chain of copies, the free ones being another chain.
 * The head of the circle stands behind the last id.
 */
#include "ring/packed-kept.h"

#include <stdlib.h>

#include "ring/alloc.h"

struct copy {
    uint64_t first;
    uint64_t rest;
    uint16_t next;
};

struct buffer {
    uint16_t older;
    uint16_t newer;
    uint16_t copy;
    uint16_t n;
};

struct vh_packed_kept {
    uint32_t size;
    uint16_t free;
    struct buffer *buffers; /* one more than ids: the head */
    struct copy copies[];
};

struct vh_packed_kept *vh_packed_kept_new(uint32_t size)
{
    size_t copies = size * sizeof(struct copy);
    struct vh_packed_kept *kept = vh_ring_zalloc(
        sizeof(*kept) + copies + (size + 1) * sizeof(struct buffer));

    if (!kept) {
        return NULL;
    }
    kept->size = size;
    kept->buffers = (struct buffer *)(kept->copies + size);
    kept->buffers[size].older = kept->buffers[size].newer = (uint16_t)size;
    for (uint32_t i = 0; i < size; i++) {
        kept->copies[i].next = (uint16_t)(i + 1);
    }
    return kept;
}

void vh_packed_kept_free(struct vh_packed_kept *kept)
{
    free(kept);
}

void vh_packed_kept_add(struct vh_packed_kept *kept, uint16_t id,
                        const struct vh_packed_desc *desc, uint32_t at,
                        uint32_t n)
{
    struct buffer *head = &kept->buffers[kept->size];
    struct buffer *buffer = &kept->buffers[id];

    buffer->copy = kept->free;
    buffer->n = (uint16_t)n;
    for (; n > 0; n--) {
        struct copy *copy = &kept->copies[kept->free];
        const uint64_t *words = (const uint64_t *)&desc[at];

        copy->first = VH_READ_ONCE(words[0]);
        copy->rest = vh_le64(VH_READ_ONCE(words[1]));
        kept->free = copy->next;
        at = at + 1 < kept->size ? at + 1 : 0;
    }
    buffer->older = head->older;
    buffer->newer = (uint16_t)kept->size;
    kept->buffers[head->older].newer = id;
    head->older = id;
}

void vh_packed_kept_drop(struct vh_packed_kept *kept, uint16_t id)
{
    struct buffer *buffer = &kept->buffers[id];
    uint16_t last = buffer->copy;

    for (uint16_t i = 1; i < buffer->n; i++) {
        last = kept->copies[last].next;
    }
    kept->copies[last].next = kept->free;
    kept->free = buffer->copy;
    kept->buffers[buffer->older].newer = buffer->newer;
    kept->buffers[buffer->newer].older = buffer->older;
}

/*
 * The driver may have changed what it wrote since it was followed; then it is
 * followed anew.  But the last of a buffer must be its last, and the others
 * not, or they would be other buffers than those that are out; and the id too
 * must be the one that is.
 */
static void write_copy(struct vh_packed_desc *desc, const struct copy *copy,
                       uint16_t id, uint16_t own)
{
    uint16_t flags = vh_packed_flags(copy->rest);

    flags = (uint16_t)((flags & ~(VH_PACKED_F_BOTH | VH_DESC_F_NEXT)) | own);
    *(uint64_t *)desc = copy->first;
    VH_WRITE_ONCE(*vh_packed_rest(desc),
                  vh_packed_word(vh_packed_len(copy->rest), id, flags));
}

void vh_packed_kept_write(const struct vh_packed_kept *kept,
                          struct vh_packed_desc *desc, struct vh_packed_pos pos)
{
    uint16_t id = kept->buffers[kept->size].newer;

    for (; id != kept->size; id = kept->buffers[id].newer) {
        uint16_t at = kept->buffers[id].copy;

        for (unsigned left = kept->buffers[id].n; left > 0; left--) {
            unsigned next = left > 1 ? VH_DESC_F_NEXT : 0;

            write_copy(&desc[pos.at], &kept->copies[at], id,
                       (uint16_t)(vh_packed_avail_flags(pos.wrap) | next));
            at = kept->copies[at].next;
            pos = vh_packed_step(pos, 1, kept->size);
        }
    }
}
