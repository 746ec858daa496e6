/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of tables share. */
#ifndef VH_TESTS_TABLE_RIG_H
#define VH_TESTS_TABLE_RIG_H

#include <stdlib.h>

#include "check.h"
#include "mem/table.h"

#define PAGE UINT64_C(4096)
#define HUGE UINT64_C(0x200000)
#define HVA(x) ((void *)(uintptr_t)(x))

static const struct vh_mem_rules kernel = { .align_to_page = false };
static const struct vh_mem_rules user = {
    .shared_file_only = true,
    .align_to_page = true,
};

struct table {
    struct vhost_memory_section *entries;
    size_t n;
};

static inline struct table built(const struct vhost_memory_section *sections,
                                 size_t n, const struct vh_mem_rules *rules)
{
    struct vhost_error *err = NULL;
    struct table t = { .n = SIZE_MAX };

    if (vh_mem_table_build(&t.entries, &t.n, sections, n, rules, &err) < 0) {
        fail_msg("%s", vhost_error_message(err));
    }
    assert_null(err);
    return t;
}

/* @n pages of one file with, or without, a gap of a page after each. */
static inline struct vhost_memory_section *pages(size_t n, bool gaps)
{
    struct vhost_memory_section *s = calloc(n, sizeof(*s));

    assert_non_null(s);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = i * PAGE * (gaps ? 2 : 1);

        s[i] = (struct vhost_memory_section){
            .gpa = at,
            .size = PAGE,
            .hva = HVA(0x10000000 + at),
            .fd = 5,
            .fd_offset = at,
        };
    }
    return s;
}

#endif
