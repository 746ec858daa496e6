/* SPDX-License-Identifier: BSD-3-Clause */
/* How tables are built. */
#include "check.h"

#include <errno.h>
#include <stdlib.h>

#include "mem/table.h"
#include "table-rig.h"

static void assert_refused(const struct vhost_memory_section *sections,
                           size_t n, const struct vh_mem_rules *rules)
{
    struct vhost_memory_section *table = NULL;
    size_t n_table = 77;
    struct vhost_error *err = NULL;

    assert_int_equal(
        vh_mem_table_build(&table, &n_table, sections, n, rules, &err),
        -EINVAL);
    assert_int_equal(vhost_error_code(err), -EINVAL);
    assert_int_equal(n_table, 77);
    free(table);
    vhost_error_free(err);
}

static void assert_entry(const struct vhost_memory_section *e, uint64_t gpa,
                         uint64_t size, uint64_t hva, uint64_t fd_offset)
{
    assert_true(e->gpa == gpa);
    assert_true(e->size == size);
    assert_true((uintptr_t)e->hva == hva);
    assert_true(e->fd_offset == fd_offset);
}

static void test_no_sections_make_no_table(void **state)
{
    struct table t = built(NULL, 0, &user);

    (void)state;
    assert_int_equal(t.n, 0);
    assert_null(t.entries);
}

static void test_sections_that_do_not_count_make_no_table(void **state)
{
    const struct vhost_memory_section sections[] = {
        { .gpa = 0, .size = PAGE, .fd = 5, .flags = VHOST_MEMORY_READ_ONLY },
        { .gpa = PAGE, .size = PAGE, .fd = 5, .flags = VHOST_MEMORY_DEVICE },
    };
    struct table t = built(sections, 2, &kernel);

    (void)state;
    assert_int_equal(t.n, 0);
    assert_null(t.entries);
}

static void test_another_process_gets_shared_files_only(void **state)
{
    const struct vhost_memory_section sections[] = {
        { .gpa = 0, .size = PAGE, .hva = HVA(0x100000), .fd = -1 },
        { .gpa = 2 * PAGE,
          .size = PAGE,
          .hva = HVA(0x200000),
          .fd = 5,
          .flags = VHOST_MEMORY_PRIVATE },
        /* fd 0 is one like any other */
        { .gpa = 4 * PAGE, .size = PAGE, .hva = HVA(0x300000), .fd = 0 },
    };
    struct table t = built(sections, 3, &user);

    (void)state;
    assert_int_equal(t.n, 1);
    assert_entry(&t.entries[0], 4 * PAGE, PAGE, 0x300000, 0);
    free(t.entries);
    t = built(sections, 3, &kernel);
    assert_int_equal(t.n, 3);
    free(t.entries);
}

static void release_nothing(void *opaque)
{
    (void)opaque;
}

static void test_an_entry_has_a_page_size_and_no_release(void **state)
{
    const struct vhost_memory_section section = {
        .size = PAGE,
        .fd = 5,
        .release = release_nothing,
        .opaque = HVA(1),
    };
    struct table t = built(&section, 1, &kernel);

    (void)state;
    assert_int_equal(t.entries[0].page_size, PAGE);
    assert_null(t.entries[0].release);
    assert_null(t.entries[0].opaque);
    free(t.entries);
}

static void test_neighbours_in_one_file_merge(void **state)
{
    const struct vhost_memory_section sections[] = {
        { .gpa = 0, .size = PAGE, .hva = HVA(0x100000), .fd = 5 },
        { .gpa = PAGE,
          .size = PAGE,
          .hva = HVA(0x101000),
          .fd = 5,
          .fd_offset = PAGE },
        { .gpa = 2 * PAGE,
          .size = 2 * PAGE,
          .hva = HVA(0x102000),
          .fd = 5,
          .fd_offset = 2 * PAGE },
    };
    struct table t = built(sections, 3, &user);

    (void)state;
    assert_int_equal(t.n, 1);
    assert_entry(&t.entries[0], 0, 4 * PAGE, 0x100000, 0);
    free(t.entries);
}

/* Two neighbours that would merge, but for one thing that @spoil changes. */
static void assert_no_merge(void (*spoil)(struct vhost_memory_section *s))
{
    struct vhost_memory_section sections[] = {
        { .gpa = 0, .size = PAGE, .hva = HVA(0x100000), .fd = 5 },
        { .gpa = PAGE,
          .size = PAGE,
          .hva = HVA(0x101000),
          .fd = 5,
          .fd_offset = PAGE },
    };
    struct table t = built(sections, 2, &kernel);

    assert_int_equal(t.n, 1);
    free(t.entries);
    spoil(sections);
    t = built(sections, 2, &kernel);
    assert_int_equal(t.n, 2);
    assert_true(vh_mem_table_same(t.entries, 2, sections, 2));
    free(t.entries);
}

static void gap_in_gpa(struct vhost_memory_section *s)
{
    s[1].gpa += PAGE;
}

static void gap_in_hva(struct vhost_memory_section *s)
{
    s[1].hva = HVA(0x102000);
}

static void gap_in_file(struct vhost_memory_section *s)
{
    s[1].fd_offset += PAGE;
}

static void same_gap_everywhere(struct vhost_memory_section *s)
{
    gap_in_gpa(s);
    gap_in_hva(s);
    gap_in_file(s);
}

static void other_file(struct vhost_memory_section *s)
{
    s[1].fd = 6;
}

static void no_file(struct vhost_memory_section *s)
{
    s[1].fd = -1;
}

static void first_unmergeable(struct vhost_memory_section *s)
{
    s[0].flags = VHOST_MEMORY_NO_MERGE;
}

static void second_unmergeable(struct vhost_memory_section *s)
{
    s[1].flags = VHOST_MEMORY_NO_MERGE;
}

static void test_neighbours_that_differ_stay_apart(void **state)
{
    (void)state;
    assert_no_merge(gap_in_gpa);
    assert_no_merge(gap_in_hva);
    assert_no_merge(gap_in_file);
    assert_no_merge(same_gap_everywhere);
    assert_no_merge(other_file);
    assert_no_merge(no_file);
    assert_no_merge(first_unmergeable);
    assert_no_merge(second_unmergeable);
}

static void test_memory_without_a_file_merges_by_address(void **state)
{
    const struct vhost_memory_section sections[] = {
        { .gpa = 0, .size = PAGE, .hva = HVA(0x100000), .fd = -1 },
        { .gpa = PAGE, .size = PAGE, .hva = HVA(0x101000), .fd = -1 },
    };
    struct table t = built(sections, 2, &kernel);

    (void)state;
    assert_int_equal(t.n, 1);
    assert_entry(&t.entries[0], 0, 2 * PAGE, 0x100000, 0);
    free(t.entries);
}

static void test_memory_at_the_very_end_is_memory(void **state)
{
    const uint64_t gpa = UINT64_MAX - 2 * PAGE + 1;
    const struct vhost_memory_section sections[] = {
        { .gpa = gpa, .size = PAGE, .hva = HVA(0x100000), .fd = 5 },
        { .gpa = gpa + PAGE,
          .size = PAGE,
          .hva = HVA(0x101000),
          .fd = 5,
          .fd_offset = PAGE },
    };
    struct table t = built(sections, 2, &user);

    (void)state;
    assert_int_equal(t.n, 1);
    assert_entry(&t.entries[0], gpa, 2 * PAGE, 0x100000, 0);
    assert_ptr_equal(vh_mem_table_find(t.entries, 1, UINT64_MAX, 1),
                     &t.entries[0]);
    assert_null(vh_mem_table_find(t.entries, 1, UINT64_MAX, 2));
    assert_null(vh_mem_table_find(t.entries, 1, gpa - 1, 1));
    free(t.entries);
}

/* The size of the whole would be 2^64, which is 0. */
static void test_two_halves_of_everything_stay_two(void **state)
{
    const uint64_t half = UINT64_C(1) << 63;
    const struct vhost_memory_section sections[] = {
        { .gpa = 0, .size = half, .hva = NULL, .fd = -1 },
        { .gpa = half, .size = half, .hva = HVA(half), .fd = -1 },
    };
    const struct vhost_memory_section most = { .size = UINT64_MAX, .fd = -1 };
    struct table t = built(sections, 2, &kernel);

    (void)state;
    assert_int_equal(t.n, 2);
    assert_true(vh_mem_table_same(t.entries, 2, sections, 2));
    assert_ptr_equal(vh_mem_table_find(t.entries, 2, half, half),
                     &t.entries[1]);
    free(t.entries);
    t = built(&most, 1, &kernel);
    assert_entry(&t.entries[0], 0, UINT64_MAX, 0, 0);
    free(t.entries);
}

static void test_rounds_to_whole_pages_of_the_file(void **state)
{
    const struct vhost_memory_section section = {
        .gpa = HUGE + 0x3000,
        .size = 0x5000,
        .hva = HVA(5 * HUGE + 0x3000),
        .fd = 5,
        .fd_offset = 7 * HUGE + 0x3000,
        .page_size = HUGE,
    };
    struct table t = built(&section, 1, &user);

    (void)state;
    assert_int_equal(t.n, 1);
    assert_entry(&t.entries[0], HUGE, HUGE, 5 * HUGE, 7 * HUGE);
    free(t.entries);
    t = built(&section, 1, &kernel); /* which takes it as it is */
    assert_true(vh_mem_table_same(t.entries, t.n, &section, 1));
    free(t.entries);
}

/* Pages are those of the host: the guest may see them at any address. */
static void test_the_host_address_decides_on_pages(void **state)
{
    const struct vhost_memory_section section = {
        .gpa = HUGE + 0x1000,
        .size = HUGE,
        .hva = HVA(5 * HUGE),
        .fd = 5,
        .page_size = HUGE,
    };
    struct table t = built(&section, 1, &user);

    (void)state;
    assert_true(vh_mem_table_same(t.entries, t.n, &section, 1));
    free(t.entries);
}

/* As below and above the hole that every PC has at 640 KiB. */
static void test_one_page_on_both_sides_of_a_hole_merges(void **state)
{
    const struct vhost_memory_section sections[] = {
        { .gpa = 0,
          .size = 0xa0000,
          .hva = HVA(5 * HUGE),
          .fd = 5,
          .page_size = HUGE },
        { .gpa = 0xc0000,
          .size = 3 * HUGE - 0xc0000,
          .hva = HVA(5 * HUGE + 0xc0000),
          .fd = 5,
          .fd_offset = 0xc0000,
          .page_size = HUGE },
    };
    struct table t = built(sections, 2, &user);

    (void)state;
    assert_int_equal(t.n, 1);
    assert_entry(&t.entries[0], 0, 3 * HUGE, 5 * HUGE, 0);
    free(t.entries);
}

static void test_a_section_within_a_rounded_one_adds_nothing(void **state)
{
    const struct vhost_memory_section sections[] = {
        { .gpa = 0,
          .size = PAGE,
          .hva = HVA(5 * HUGE),
          .fd = 5,
          .page_size = HUGE },
        { .gpa = 2 * PAGE,
          .size = PAGE,
          .hva = HVA(5 * HUGE + 2 * PAGE),
          .fd = 5,
          .fd_offset = 2 * PAGE,
          .page_size = PAGE },
    };
    struct table t = built(sections, 2, &user);

    (void)state;
    assert_int_equal(t.n, 1);
    assert_entry(&t.entries[0], 0, HUGE, 5 * HUGE, 0);
    free(t.entries);
}

static void test_two_pages_at_one_address_are_refused(void **state)
{
    struct vhost_memory_section sections[] = {
        { .gpa = 0,
          .size = 0xa0000,
          .hva = HVA(5 * HUGE),
          .fd = 5,
          .page_size = HUGE },
        { .gpa = 0xc0000,
          .size = PAGE,
          .hva = HVA(9 * HUGE + 0xc0000),
          .fd = 6,
          .fd_offset = 0xc0000,
          .page_size = HUGE },
    };

    (void)state;
    assert_refused(sections, 2, &user);
    /* The lower one is rounded up into the higher. */
    sections[1].page_size = PAGE;
    assert_refused(sections, 2, &user);
    /* The higher one is rounded down, below where the lower one begins. */
    sections[0].gpa = 0xb0000;
    sections[0].size = PAGE;
    sections[0].page_size = PAGE;
    sections[1].page_size = HUGE;
    assert_refused(sections, 2, &user);
}

static void test_one_page_that_may_not_merge_is_refused(void **state)
{
    const struct vhost_memory_section sections[] = {
        { .gpa = 0,
          .size = 0xa0000,
          .hva = HVA(5 * HUGE),
          .fd = 5,
          .flags = VHOST_MEMORY_NO_MERGE,
          .page_size = HUGE },
        { .gpa = 0xc0000,
          .size = PAGE,
          .hva = HVA(5 * HUGE + 0xc0000),
          .fd = 5,
          .fd_offset = 0xc0000,
          .page_size = HUGE },
    };

    (void)state;
    assert_refused(sections, 2, &user);
}

static void test_pages_beyond_either_end_are_refused(void **state)
{
    const struct vhost_memory_section below = {
        .gpa = 0,
        .size = HUGE,
        .hva = HVA(5 * HUGE + PAGE),
        .fd = 5,
        .fd_offset = PAGE,
        .page_size = HUGE,
    };
    const struct vhost_memory_section above = {
        .gpa = UINT64_MAX - PAGE + 1,
        .size = PAGE,
        .hva = HVA(5 * HUGE),
        .fd = 5,
        .page_size = HUGE,
    };
    const struct vhost_memory_section before_the_file = {
        .gpa = HUGE + PAGE,
        .size = PAGE,
        .hva = HVA(5 * HUGE + PAGE),
        .fd = 5,
        .page_size = HUGE,
    };
    const struct vhost_memory_section everything = {
        .size = UINT64_MAX,
        .fd = 5,
    };

    (void)state;
    assert_refused(&below, 1, &user);
    assert_refused(&above, 1, &user);
    assert_refused(&before_the_file, 1, &user);
    assert_refused(&everything, 1, &user);
}

static void test_a_table_has_no_limit(void **state)
{
    static const size_t numbers[] = { 1, 7, 8, 9, 64, 65, 509, 510, 512, 513 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        size_t n = numbers[i];
        struct vhost_memory_section *s = pages(n, true);
        struct table t = built(s, n, &user);

        assert_true(vh_mem_table_same(t.entries, t.n, s, n));
        for (size_t j = 0; j < n; j++) {
            assert_ptr_equal(
                vh_mem_table_find(t.entries, n, s[j].gpa + 1, PAGE - 1),
                &t.entries[j]);
            assert_null(vh_mem_table_find(t.entries, n, s[j].gpa + 1, PAGE));
            assert_null(vh_mem_table_find(t.entries, n, s[j].gpa + PAGE, 1));
        }
        free(t.entries);
        free(s);
        s = pages(n, false);
        t = built(s, n, &user);
        assert_int_equal(t.n, 1);
        assert_entry(&t.entries[0], 0, n * PAGE, 0x10000000, 0);
        free(t.entries);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_sections_make_no_table),
        cmocka_unit_test(test_sections_that_do_not_count_make_no_table),
        cmocka_unit_test(test_another_process_gets_shared_files_only),
        cmocka_unit_test(test_an_entry_has_a_page_size_and_no_release),
        cmocka_unit_test(test_neighbours_in_one_file_merge),
        cmocka_unit_test(test_neighbours_that_differ_stay_apart),
        cmocka_unit_test(test_memory_without_a_file_merges_by_address),
        cmocka_unit_test(test_memory_at_the_very_end_is_memory),
        cmocka_unit_test(test_two_halves_of_everything_stay_two),
        cmocka_unit_test(test_rounds_to_whole_pages_of_the_file),
        cmocka_unit_test(test_the_host_address_decides_on_pages),
        cmocka_unit_test(test_one_page_on_both_sides_of_a_hole_merges),
        cmocka_unit_test(test_a_section_within_a_rounded_one_adds_nothing),
        cmocka_unit_test(test_two_pages_at_one_address_are_refused),
        cmocka_unit_test(test_one_page_that_may_not_merge_is_refused),
        cmocka_unit_test(test_pages_beyond_either_end_are_refused),
        cmocka_unit_test(test_a_table_has_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
