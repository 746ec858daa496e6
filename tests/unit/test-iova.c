/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IOVA map: against a list of ranges, and memory that has two addresses.
 */
#include "check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mem/iova.h"

#define PAGE 4096
#define MAX_RANGES 64

static struct vh_iova *new_map(uint64_t first, uint64_t last)
{
    struct vh_iova *iova = NULL;

    assert_int_equal(vh_iova_new(&iova, first, last), 0);
    return iova;
}

static uint64_t add(struct vh_iova *iova, uint64_t gpa, void *hva,
                    uint64_t size)
{
    struct vh_iova_range range = { .gpa = gpa, .hva = hva, .size = size };

    assert_int_equal(vh_iova_alloc(iova, &range, PAGE), 0);
    return range.iova;
}

static void no_range_begins_in_the_first_page(void **state)
{
    struct vh_iova *iova = new_map(0, UINT64_MAX);

    (void)state;
    assert_int_equal(add(iova, 0, iova, PAGE), PAGE);
    assert_null(vh_iova_find(iova, 0));
    vh_iova_free(iova);
}

static void a_map_without_addresses_is_refused(void **state)
{
    struct vh_iova *iova = NULL;

    (void)state;
    assert_int_equal(vh_iova_new(&iova, 2 * PAGE, PAGE), -EINVAL);
    assert_int_equal(vh_iova_new(&iova, 0, PAGE - 1), -EINVAL);
    assert_null(iova);
}

static void the_last_address_of_all_is_used(void **state)
{
    struct vh_iova *iova = new_map(UINT64_MAX - 2 * PAGE + 1, UINT64_MAX);
    struct vh_iova_range more = { .gpa = VH_IOVA_NO_GPA, .size = 1 };
    uint64_t at = add(iova, 0, iova, 2 * PAGE);

    (void)state;
    assert_int_equal(at, UINT64_MAX - 2 * PAGE + 1);
    assert_non_null(vh_iova_find(iova, UINT64_MAX));
    assert_int_equal(vh_iova_alloc(iova, &more, PAGE), -ENOSPC);
    vh_iova_free(iova);
}

static void a_guest_address_taken_is_refused(void **state)
{
    struct vh_iova *iova = new_map(0, UINT64_MAX);
    struct vh_iova_range range = { .gpa = 0x1fff, .size = 2 };

    (void)state;
    add(iova, 0x2000, iova, PAGE);
    assert_int_equal(vh_iova_alloc(iova, &range, PAGE), -EEXIST);
    range.gpa = 0x2fff;
    assert_int_equal(vh_iova_alloc(iova, &range, PAGE), -EEXIST);
    range.gpa = 0;
    range.size = 0x10000;
    assert_int_equal(vh_iova_alloc(iova, &range, PAGE), -EEXIST);
    range.size = 0;
    assert_int_equal(vh_iova_alloc(iova, &range, PAGE), -EINVAL);
    range.gpa = UINT64_MAX - 5;
    range.size = 10;
    assert_int_equal(vh_iova_alloc(iova, &range, PAGE), -EINVAL);
    vh_iova_free(iova);
}

static void memory_with_two_guest_addresses_has_two_ranges(void **state)
{
    static uint8_t memory[4 * PAGE];
    struct vh_iova *iova = new_map(0, UINT64_MAX);
    uint64_t a = add(iova, 0x10000, memory, sizeof(memory));
    uint64_t b = add(iova, 0x90000, memory + PAGE, PAGE);
    uint64_t own = add(iova, VH_IOVA_NO_GPA, memory, PAGE);
    const struct vh_iova_range *range;

    (void)state;
    assert_int_equal(vh_iova_find_gpa(iova, 0x11008)->iova, a);
    assert_int_equal(vh_iova_find_gpa(iova, 0x90008)->iova, b);
    assert_int_equal(vh_iova_find(iova, a + PAGE)->gpa, 0x10000);
    assert_int_equal(vh_iova_find(iova, b)->gpa, 0x90000);
    range = vh_iova_find_hva(iova, memory + PAGE + 8, NULL);
    assert_int_equal(range->iova, a);
    range = vh_iova_find_hva(iova, memory + PAGE + 8, range);
    assert_int_equal(range->iova, b);
    assert_null(vh_iova_find_hva(iova, memory + PAGE + 8, range));
    assert_int_equal(vh_iova_remove(iova, a), 0);
    assert_null(vh_iova_find_gpa(iova, 0x11008));
    assert_int_equal(vh_iova_find_gpa(iova, 0x90008)->iova, b);
    assert_int_equal(vh_iova_find(iova, own)->gpa, VH_IOVA_NO_GPA);
    vh_iova_free(iova);
}

struct model {
    struct vh_iova *iova;
    struct vh_iova_range ranges[MAX_RANGES];
    unsigned n;
    unsigned seed;
};

static unsigned below(struct model *m, unsigned n)
{
    return (unsigned)rand_r(&m->seed) % n;
}

static void model_adds(struct model *m)
{
    struct vh_iova_range range = {
        .gpa = below(m, 4) ? below(m, 256) * PAGE : VH_IOVA_NO_GPA,
        .hva = (void *)(uintptr_t)((1 + below(m, 64)) * PAGE),
        .size = (1 + below(m, 20)) * PAGE,
    };
    bool taken = false;
    int r;

    for (unsigned i = 0; i < m->n && range.gpa != VH_IOVA_NO_GPA; i++) {
        const struct vh_iova_range *other = &m->ranges[i];

        taken |= other->gpa != VH_IOVA_NO_GPA &&
                 range.gpa < other->gpa + other->size &&
                 other->gpa < range.gpa + range.size;
    }
    r = vh_iova_alloc(m->iova, &range, (uint64_t)PAGE << below(m, 3));
    if (taken) {
        assert_int_equal(r, -EEXIST);
    } else if (r < 0) {
        assert_int_equal(r, -ENOSPC);
    } else {
        m->ranges[m->n++] = range;
    }
}

static void model_looks(struct model *m)
{
    uint64_t at = below(m, 300) * PAGE + below(m, PAGE);
    const struct vh_iova_range *found = vh_iova_find(m->iova, at);
    const struct vh_iova_range *guests = vh_iova_find_gpa(m->iova, at);
    unsigned n_found = 0, n_guests = 0;

    for (unsigned i = 0; i < m->n; i++) {
        const struct vh_iova_range *range = &m->ranges[i];

        if (at >= range->iova && at - range->iova < range->size) {
            assert_memory_equal(found, range, sizeof(*range));
            n_found++;
        }
        if (range->gpa != VH_IOVA_NO_GPA && at >= range->gpa &&
            at - range->gpa < range->size) {
            assert_memory_equal(guests, range, sizeof(*range));
            n_guests++;
        }
    }
    assert_int_equal(n_found, found != NULL);
    assert_int_equal(n_guests, guests != NULL);
}

static void random_ranges_never_overlap_and_are_found(void **state)
{
    struct model m = { .iova = new_map(0, 300 * PAGE - 1), .seed = 7 };

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        if (m.n < MAX_RANGES && below(&m, 2)) {
            model_adds(&m);
        } else if (m.n > 0) {
            unsigned which = below(&m, m.n);

            assert_int_equal(vh_iova_remove(m.iova, m.ranges[which].iova), 0);
            m.ranges[which] = m.ranges[--m.n];
        }
        model_looks(&m);
    }
    assert_int_equal(vh_iova_remove(m.iova, 1), -ENOENT);
    vh_iova_free(m.iova);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_range_begins_in_the_first_page),
        cmocka_unit_test(a_map_without_addresses_is_refused),
        cmocka_unit_test(the_last_address_of_all_is_used),
        cmocka_unit_test(a_guest_address_taken_is_refused),
        cmocka_unit_test(memory_with_two_guest_addresses_has_two_ranges),
        cmocka_unit_test(random_ranges_never_overlap_and_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
