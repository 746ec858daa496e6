/* SPDX-License-Identifier: BSD-3-Clause */
/* What is found in tables, and how two of them differ. */
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem/table.h"
#include "mem-model.h"
#include "table-rig.h"

static void test_nothing_is_found_where_nothing_is(void **state)
{
    struct vhost_memory_section *s = pages(2, false);

    (void)state;
    assert_null(vh_mem_table_find(NULL, 0, 0, 1));
    assert_null(vh_mem_table_find(s, 2, 0, 0));
    assert_null(vh_mem_table_find(s, 2, 0, UINT64_MAX));
    /* A range that lies in two entries lies in none. */
    assert_null(vh_mem_table_find(s, 2, PAGE - 1, 2));
    assert_ptr_equal(vh_mem_table_find(s, 2, PAGE - 1, 1), &s[0]);
    assert_null(vh_mem_table_find(s + 1, 1, PAGE - 1, 1));
    free(s);
}

static void
test_each_field_that_a_back_end_sees_makes_a_difference(void **state)
{
    const struct vhost_memory_section a = {
        .gpa = PAGE,
        .size = PAGE,
        .hva = HVA(PAGE),
        .fd = 5,
        .fd_offset = PAGE,
    };
    struct vhost_memory_section b[6];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(b); i++) {
        b[i] = a;
    }
    b[0].gpa = 0;
    b[1].size = 1;
    b[2].hva = NULL;
    b[3].fd = 6;
    b[4].fd_offset = 0;
    b[5].opaque = b; /* which it does not see */
    for (size_t i = 0; i < 5; i++) {
        assert_false(vh_mem_table_same(&a, 1, &b[i], 1));
    }
    assert_true(vh_mem_table_same(&a, 1, &b[5], 1));
    assert_false(vh_mem_table_same(&a, 1, NULL, 0));
    assert_true(vh_mem_table_same(NULL, 0, NULL, 0));
}

/* What a difference did, in words of one letter and the page. */
struct diary {
    char text[256];
    int fail_at; /* the call that fails, from 1; 0: none */
    int calls;
};

static int note(struct diary *d, char what,
                const struct vhost_memory_section *s)
{
    size_t len = strlen(d->text);

    if (++d->calls == d->fail_at) {
        return -ENOSPC;
    }
    snprintf(d->text + len, sizeof(d->text) - len, "%c%d ", what,
             (int)(s->gpa / PAGE));
    return 0;
}

static int note_remove(const struct vhost_memory_section *s, void *arg)
{
    return note(arg, '-', s);
}

static int note_add(const struct vhost_memory_section *s, void *arg)
{
    return note(arg, '+', s);
}

static const char *difference(const struct vhost_memory_section *old,
                              size_t n_old,
                              const struct vhost_memory_section *new_,
                              size_t n_new)
{
    static struct diary d;

    d = (struct diary){ .fail_at = 0 };
    assert_int_equal(
        vh_mem_table_diff(old, n_old, new_, n_new, note_remove, note_add, &d),
        0);
    return d.text;
}

static void
test_a_difference_removes_from_the_last_then_adds_in_order(void **state)
{
    struct vhost_memory_section *s = pages(4, false);
    const struct vhost_memory_section even[] = { s[0], s[2] };
    const struct vhost_memory_section odd[] = { s[1], s[3] };

    (void)state;
    assert_string_equal(difference(NULL, 0, NULL, 0), "");
    assert_string_equal(difference(s, 4, s, 4), "");
    assert_string_equal(difference(NULL, 0, s, 4), "+0 +1 +2 +3 ");
    assert_string_equal(difference(s, 4, NULL, 0), "-3 -2 -1 -0 ");
    assert_string_equal(difference(even, 2, odd, 2), "-2 -0 +1 +3 ");
    assert_string_equal(difference(odd, 2, s, 4), "+0 +2 ");
    assert_string_equal(difference(s, 4, odd, 2), "-2 -0 ");
    free(s);
}

static void test_what_changes_in_place_is_removed_and_added(void **state)
{
    struct vhost_memory_section *s = pages(3, true);
    struct vhost_memory_section grown[] = { s[0], s[1], s[2] };
    struct vhost_memory_section moved[] = { s[0], s[1], s[2] };

    (void)state;
    grown[1].size = 2 * PAGE;
    moved[1].hva = HVA(0x70000000);
    assert_string_equal(difference(s, 3, grown, 3), "-2 +2 ");
    assert_string_equal(difference(grown, 3, s, 3), "-2 +2 ");
    assert_string_equal(difference(s, 3, moved, 3), "-2 +2 ");
    free(s);
}

static void test_a_difference_ends_at_the_first_failure(void **state)
{
    struct vhost_memory_section *s = pages(4, false);

    (void)state;
    for (int fail_at = 1; fail_at <= 4; fail_at++) {
        static const char *const told[] = { "", "-1 ", "-1 -0 ", "-1 -0 +2 " };
        struct diary d = { .fail_at = fail_at };

        assert_int_equal(
            vh_mem_table_diff(s, 2, s + 2, 2, note_remove, note_add, &d),
            -ENOSPC);
        assert_int_equal(d.calls, fail_at);
        assert_string_equal(d.text, told[fail_at - 1]);
    }
    free(s);
}

/*
 * The model of a table: for each page of a small guest, which page of which
 * file it is, 0 if none.  Files are made so that neighbours often merge.
 */
#define MODEL_PAGES 96
#define MODEL_RUNS 2000

struct model {
    struct vhost_memory_section sections[MODEL_PAGES];
    size_t n;
    unsigned page[MODEL_PAGES]; /* file << 16 | page of the file | 1 << 15 */
    bool alone[MODEL_PAGES];    /* may not merge */
    bool starts[MODEL_PAGES];   /* here begins a new entry */
};

static void random_section(struct model *m, unsigned *at)
{
    unsigned len = 1 + model_random(6);
    unsigned file = model_random(3);
    unsigned offset = *at + (model_random(4) == 0);
    bool no_merge = model_random(6) == 0;
    bool left_out = model_random(8) == 0;

    len = len > MODEL_PAGES - *at ? MODEL_PAGES - *at : len;
    m->sections[m->n++] = (struct vhost_memory_section){
        .gpa = *at * PAGE,
        .size = len * PAGE,
        .hva = HVA((file + 1) * 0x10000000 + offset * PAGE),
        .fd = (int)file,
        .flags = (no_merge ? VHOST_MEMORY_NO_MERGE : 0) |
                 (left_out ? VHOST_MEMORY_READ_ONLY : 0),
        .fd_offset = offset * PAGE,
    };
    for (unsigned i = 0; i < len && !left_out; i++) {
        unsigned here = *at + i;
        unsigned page = file << 16 | 1 << 15 | (offset + i);

        m->page[here] = page;
        m->alone[here] = no_merge;
        m->starts[here] = here == 0 || m->page[here - 1] + 1 != page ||
                          (i == 0 && (m->alone[here] || m->alone[here - 1]));
    }
    *at += len;
}

static void random_model(struct model *m)
{
    unsigned at = 0;

    memset(m, 0, sizeof(*m));
    while (at < MODEL_PAGES) {
        if (model_random(4) == 0) {
            at += 1 + model_random(3);
        } else {
            random_section(m, &at);
        }
    }
}

static void check_against(const struct model *m, const struct table *t)
{
    size_t n_starts = 0;

    for (unsigned i = 0; i < MODEL_PAGES; i++) {
        const struct vhost_memory_section *e =
            vh_mem_table_find(t->entries, t->n, i * PAGE, PAGE);
        uint64_t delta = i * PAGE - (e ? e->gpa : 0);

        MODEL_CHECK((e != NULL) == (m->page[i] != 0));
        if (!e) {
            continue;
        }
        MODEL_CHECK((delta == 0) == m->starts[i]);
        n_starts += delta == 0;
        MODEL_CHECK((unsigned)e->fd == m->page[i] >> 16);
        MODEL_CHECK((e->fd_offset + delta) / PAGE == (m->page[i] & 0x7fff));
        MODEL_CHECK((uintptr_t)e->hva + delta ==
                    ((unsigned)e->fd + 1) * 0x10000000 + e->fd_offset + delta);
    }
    MODEL_CHECK(n_starts == t->n); /* none that can't be found */
}

struct applied {
    struct vhost_memory_section entries[2 * MODEL_PAGES];
    size_t n;
    bool adding;
    uint64_t last_gpa;
};

static int apply_remove(const struct vhost_memory_section *s, void *arg)
{
    struct applied *a = arg;
    size_t i = 0;

    MODEL_CHECK(!a->adding && s->gpa < a->last_gpa);
    a->last_gpa = s->gpa;
    while (i < a->n && a->entries[i].gpa != s->gpa) {
        i++;
    }
    MODEL_CHECK(i < a->n && vh_mem_table_same(&a->entries[i], 1, s, 1));
    a->n--;
    memmove(&a->entries[i], &a->entries[i + 1],
            (a->n - i) * sizeof(*a->entries));
    return 0;
}

static int apply_add(const struct vhost_memory_section *s, void *arg)
{
    struct applied *a = arg;
    size_t i = 0;

    MODEL_CHECK(!a->adding || s->gpa > a->last_gpa);
    a->adding = true;
    a->last_gpa = s->gpa;
    while (i < a->n && a->entries[i].gpa < s->gpa) {
        i++;
    }
    /* What is in the way was removed before. */
    MODEL_CHECK(i == a->n || s->gpa + (s->size - 1) < a->entries[i].gpa);
    memmove(&a->entries[i + 1], &a->entries[i],
            (a->n - i) * sizeof(*a->entries));
    a->entries[i] = *s;
    a->n++;
    return 0;
}

static void check_difference(const struct table *old, const struct table *new_)
{
    static struct applied a;

    a = (struct applied){ .n = old->n, .last_gpa = UINT64_MAX };
    if (old->n > 0) {
        memcpy(a.entries, old->entries, old->n * sizeof(*old->entries));
    }
    MODEL_CHECK(vh_mem_table_diff(old->entries, old->n, new_->entries, new_->n,
                                  apply_remove, apply_add, &a) == 0);
    MODEL_CHECK(vh_mem_table_same(a.entries, a.n, new_->entries, new_->n));
}

/* Other memory, none, or a slot of its own: for one section in four. */
static void change_some(struct model *m)
{
    for (size_t i = 0; i < m->n; i++) {
        switch (model_random(12)) {
        case 0:
            m->sections[i].flags ^= VHOST_MEMORY_NO_MERGE;
            break;
        case 1:
            m->sections[i].flags ^= VHOST_MEMORY_READ_ONLY;
            break;
        case 2:
            m->sections[i].hva = HVA(0x70000000 + i * HUGE);
            break;
        default:
            break;
        }
    }
}

static void test_random_tables_are_those_of_the_model(void **state)
{
    (void)state;
    for (unsigned run = 0; run < MODEL_RUNS; run++) {
        struct model m;
        struct table old;
        struct table new_;

        model_start(run);
        random_model(&m);
        old = built(m.sections, m.n, &user);
        check_against(&m, &old);
        change_some(&m);
        new_ = built(m.sections, m.n, &user);
        check_difference(&old, &new_);
        check_difference(&new_, &old);
        free(old.entries);
        free(new_.entries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_found_where_nothing_is),
        cmocka_unit_test(
            test_each_field_that_a_back_end_sees_makes_a_difference),
        cmocka_unit_test(
            test_a_difference_removes_from_the_last_then_adds_in_order),
        cmocka_unit_test(test_what_changes_in_place_is_removed_and_added),
        cmocka_unit_test(test_a_difference_ends_at_the_first_failure),
        cmocka_unit_test(test_random_tables_are_those_of_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
