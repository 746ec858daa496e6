/* SPDX-License-Identifier: BSD-3-Clause */
/* The IOTLB: against an array that knows each page. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "mem/iotlb.h"

#define PAGE UINT64_C(4096)
#define PAGES 512u

static uint8_t memory[4096];

static void add(struct vh_iotlb_map *tlb, uint64_t iova, uint64_t size,
                uint8_t *hva)
{
    struct vh_iotlb_entry entry = { .iova = iova,
                                    .last = iova + (size - 1),
                                    .hva = hva,
                                    .access = VH_IOTLB_READ };

    assert_int_equal(vh_iotlb_add(tlb, &entry), 0);
}

static uint8_t *hva_of(struct vh_iotlb_map *tlb, uint64_t iova)
{
    const struct vh_iotlb_entry *entry = vh_iotlb_find(tlb, iova);

    return entry ? entry->hva + (iova - entry->iova) : NULL;
}

static void nothing_is_known_at_first(void **state)
{
    struct vh_iotlb_map tlb = { .n = 0 };

    (void)state;
    assert_null(vh_iotlb_find(&tlb, 0));
    assert_null(vh_iotlb_find(&tlb, UINT64_MAX));
    vh_iotlb_drop(&tlb, 0, UINT64_MAX);
    vh_iotlb_clear(&tlb);
}

static void all_addresses_may_be_one_translation(void **state)
{
    struct vh_iotlb_map tlb = { .n = 0 };

    (void)state;
    add(&tlb, 0, 0, memory); /* no size says 2^64 here */
    assert_ptr_equal(hva_of(&tlb, 0), memory);
    assert_ptr_equal(hva_of(&tlb, 17), memory + 17);
    vh_iotlb_drop(&tlb, 1, UINT64_MAX);
    assert_ptr_equal(hva_of(&tlb, 0), memory);
    assert_null(hva_of(&tlb, 1));
    vh_iotlb_clear(&tlb);
}

static void neighbours_that_go_on_become_one(void **state)
{
    struct vh_iotlb_map tlb = { .n = 0 };

    (void)state;
    add(&tlb, 0x1000, 0x10, memory);
    add(&tlb, 0x1020, 0x10, memory + 0x20);
    assert_int_equal(tlb.n, 2);
    add(&tlb, 0x1010, 0x10, memory + 0x10);
    assert_int_equal(tlb.n, 1);
    assert_int_equal(vh_iotlb_find(&tlb, 0x1000)->last, 0x102f);
    add(&tlb, 0x1030, 0x10, memory + 0x31); /* leads elsewhere */
    assert_int_equal(tlb.n, 2);
    vh_iotlb_clear(&tlb);
}

static void what_is_new_takes_the_place_of_what_was(void **state)
{
    struct vh_iotlb_map tlb = { .n = 0 };

    (void)state;
    add(&tlb, 0x1000, 0x30, memory);
    add(&tlb, 0x1010, 0x10, memory + 0x100);
    assert_ptr_equal(hva_of(&tlb, 0x100f), memory + 0xf);
    assert_ptr_equal(hva_of(&tlb, 0x1010), memory + 0x100);
    assert_ptr_equal(hva_of(&tlb, 0x101f), memory + 0x10f);
    assert_ptr_equal(hva_of(&tlb, 0x1020), memory + 0x20);
    assert_null(hva_of(&tlb, 0x1030));
    vh_iotlb_clear(&tlb);
}

static void the_next_one_may_begin_later(void **state)
{
    struct vh_iotlb_map tlb = { .n = 0 };

    (void)state;
    add(&tlb, 0x1000, 0x10, memory);
    assert_int_equal(vh_iotlb_next(&tlb, 0)->iova, 0x1000);
    assert_int_equal(vh_iotlb_next(&tlb, 0x100f)->iova, 0x1000);
    assert_null(vh_iotlb_next(&tlb, 0x1010));
    vh_iotlb_clear(&tlb);
}

/* It may forget, but what it knows is never wrong, and it never overflows. */
static void full_it_forgets_and_never_lies(void **state)
{
    struct vh_iotlb_map tlb = { .n = 0 };
    unsigned known = 0;

    (void)state;
    for (unsigned i = 0; i < VH_IOTLB_MAX + 100; i++) {
        add(&tlb, i * PAGE, PAGE, memory + i);
        assert_ptr_equal(hva_of(&tlb, i * PAGE), memory + i);
    }
    for (unsigned i = 0; i < VH_IOTLB_MAX + 100; i++) {
        uint8_t *hva = hva_of(&tlb, i * PAGE);

        assert_true(!hva || hva == memory + i);
        known += hva != NULL;
    }
    assert_int_equal(known, VH_IOTLB_MAX);
    for (unsigned i = 0; i < VH_IOTLB_MAX + 100; i++) {
        vh_iotlb_drop(&tlb, i * PAGE + 5, i * PAGE + 6);
        assert_null(hva_of(&tlb, i * PAGE + 5));
        assert_true(tlb.n <= VH_IOTLB_MAX);
    }
    vh_iotlb_clear(&tlb);
}

static unsigned pick(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 8) % n;
}

static void random_changes_agree_with_a_list_of_pages(void **state)
{
    static uint8_t *model[PAGES];
    struct vh_iotlb_map tlb = { .n = 0 };
    unsigned seed = 5;

    (void)state;
    for (unsigned n = 0; n < 20000; n++) {
        unsigned at = pick(&seed, PAGES);
        unsigned len = 1 + pick(&seed, n % 7 ? 8 : 100);
        uint8_t *hva = memory + pick(&seed, 4);
        bool is_add = pick(&seed, 2);

        len = len < PAGES - at ? len : PAGES - at;
        for (unsigned i = 0; i < len; i++) {
            model[at + i] = is_add ? hva + i * PAGE : NULL;
        }
        if (is_add) {
            add(&tlb, at * PAGE, len * PAGE, hva);
        } else {
            vh_iotlb_drop(&tlb, at * PAGE, (at + len) * PAGE - 1);
        }
        at = pick(&seed, PAGES);
        assert_ptr_equal(hva_of(&tlb, at * PAGE), model[at]);
        if (n % 1000 == 0) {
            for (unsigned i = 0; i < PAGES; i++) {
                assert_ptr_equal(hva_of(&tlb, i * PAGE), model[i]);
            }
        }
    }
    vh_iotlb_clear(&tlb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(all_addresses_may_be_one_translation),
        cmocka_unit_test(neighbours_that_go_on_become_one),
        cmocka_unit_test(what_is_new_takes_the_place_of_what_was),
        cmocka_unit_test(the_next_one_may_begin_later),
        cmocka_unit_test(full_it_forgets_and_never_lies),
        cmocka_unit_test(random_changes_agree_with_a_list_of_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
