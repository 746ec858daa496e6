/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory map: its transactions, and who is told of them. */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

#include "map-rig.h"

/* The test is linked with --wrap of these two: they fail when it says so. */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);

static int calls_until_short; /* of memory; 0: never */

static bool is_short(void)
{
    return calls_until_short > 0 && --calls_until_short == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_short() ? NULL : __real_calloc(n, size);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
    return is_short() ? NULL : __real_reallocarray(old, n, size);
}

static int add(struct vhost_memory_map *map, uint64_t gpa, uint64_t size,
               uint64_t hva, int *released)
{
    struct vhost_memory_section s = rig_section(gpa, size, HVA(hva), released);

    return vhost_memory_add(map, &s);
}

/* A transaction that adds one section. */
static void put(struct vhost_memory_map *map, uint64_t gpa, uint64_t size,
                uint64_t hva, int *released)
{
    vhost_memory_begin(map);
    assert_int_equal(add(map, gpa, size, hva, released), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
}

static void drop(struct vhost_memory_map *map, uint64_t gpa, uint64_t size,
                 int result)
{
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_remove(map, gpa, size), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), result);
}

static void test_an_empty_map_translates_nothing(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();

    (void)state;
    assert_null(vhost_memory_translate(map, 0, 1));
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_remove(map, 0, PAGE), -ENOENT);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    vhost_memory_map_free(map);
    vhost_memory_map_free(NULL);
}

static void test_bad_sections_are_refused(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct vhost_memory_section s = rig_section(0, PAGE, HVA(0x10000), NULL);

    (void)state;
    vhost_memory_begin(map);
    assert_int_equal(add(map, 0, 0, 0x10000, NULL), -EINVAL);
    assert_int_equal(add(map, UINT64_MAX, 2, 0x10000, NULL), -EINVAL);
    assert_int_equal(add(map, PAGE, UINT64_MAX, 0x10000, NULL), -EINVAL);
    assert_int_equal(add(map, 0, PAGE, UINT64_MAX, NULL), -EINVAL);
    s.page_size = 3 * PAGE;
    assert_int_equal(vhost_memory_add(map, &s), -EINVAL);
    s.page_size = 0;
    s.fd_offset = UINT64_MAX;
    assert_int_equal(vhost_memory_add(map, &s), -EINVAL);
    s.fd = -1; /* no file, no offset */
    assert_int_equal(vhost_memory_add(map, &s), 0);
    vhost_memory_abort(map);
    vhost_memory_map_free(map);
}

static void test_memory_may_end_where_addresses_end(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    const uint64_t gpa = UINT64_MAX - PAGE + 1;

    (void)state;
    put(map, gpa, PAGE, 0x10000, NULL);
    assert_ptr_equal(vhost_memory_translate(map, UINT64_MAX, 1),
                     HVA(0x10000 + PAGE - 1));
    assert_null(vhost_memory_translate(map, UINT64_MAX, 2));
    assert_null(vhost_memory_translate(map, 0, 1));
    vhost_memory_begin(map);
    assert_int_equal(add(map, UINT64_MAX, 1, 0x10000, NULL), -EEXIST);
    assert_int_equal(add(map, 0, gpa + 1, 0, NULL), -EEXIST);
    assert_int_equal(add(map, 0, gpa, 0, NULL), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    vhost_memory_map_free(map);
}

static void test_overlaps_are_refused_and_neighbours_are_not(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();

    (void)state;
    vhost_memory_begin(map);
    assert_int_equal(add(map, 4 * PAGE, 2 * PAGE, 0x10000, NULL), 0);
    assert_int_equal(add(map, 4 * PAGE, 2 * PAGE, 0x10000, NULL), -EEXIST);
    assert_int_equal(add(map, 4 * PAGE, 1, 0x90000, NULL), -EEXIST);
    assert_int_equal(add(map, 6 * PAGE - 1, 1, 0x90000, NULL), -EEXIST);
    assert_int_equal(add(map, 0, 4 * PAGE + 1, 0x90000, NULL), -EEXIST);
    assert_int_equal(add(map, 0, 16 * PAGE, 0x90000, NULL), -EEXIST);
    assert_int_equal(add(map, 6 * PAGE, PAGE, 0x90000, NULL), 0);
    assert_int_equal(add(map, 0, 4 * PAGE, 0x90000, NULL), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    vhost_memory_map_free(map);
}

static void test_only_a_whole_section_can_be_removed(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();

    (void)state;
    put(map, 4 * PAGE, 2 * PAGE, 0x10000, NULL);
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_remove(map, 4 * PAGE, PAGE), -ENOENT);
    assert_int_equal(vhost_memory_remove(map, 5 * PAGE, PAGE), -ENOENT);
    assert_int_equal(vhost_memory_remove(map, 0, 2 * PAGE), -ENOENT);
    assert_int_equal(vhost_memory_remove(map, 4 * PAGE, 2 * PAGE), 0);
    assert_int_equal(vhost_memory_remove(map, 4 * PAGE, 2 * PAGE), -ENOENT);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    assert_null(vhost_memory_translate(map, 4 * PAGE, 1));
    vhost_memory_map_free(map);
}

static void test_nothing_shows_before_commit(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d = { .answer = 0 };

    (void)state;
    rig_attach(map, &d);
    assert_int_equal(d.commits, 1); /* it took up the empty map */
    vhost_memory_begin(map);
    assert_int_equal(add(map, PAGE, PAGE, 0x20000, NULL), 0);
    assert_int_equal(add(map, 0, PAGE, 0x10000, NULL), 0);
    assert_null(vhost_memory_translate(map, 0, 1));
    assert_int_equal(d.commits, 1);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    assert_int_equal(d.commits, 2);
    assert_int_equal(d.n, 2);
    assert_true(d.seen[0].gpa == 0 && d.seen[1].gpa == PAGE);
    assert_ptr_equal(vhost_memory_translate(map, PAGE + 5, 1), HVA(0x20005));
    rig_detach(map, &d);
    vhost_memory_map_free(map);
}

static void test_an_abort_forgets_all(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d = { .answer = 0 };
    int stays = 0;
    int never = 0;
    int passing = 0;

    (void)state;
    rig_attach(map, &d);
    put(map, 0, PAGE, 0x10000, &stays);
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_remove(map, 0, PAGE), 0);
    assert_int_equal(add(map, 0, PAGE, 0x20000, &never), 0);
    assert_int_equal(add(map, PAGE, PAGE, 0x30000, &passing), 0);
    assert_int_equal(vhost_memory_remove(map, PAGE, PAGE), 0);
    vhost_memory_abort(map);
    assert_int_equal(d.commits, 2);
    assert_int_equal(stays + never + passing, 0);
    assert_ptr_equal(vhost_memory_translate(map, 0, 1), HVA(0x10000));
    rig_detach(map, &d);
    vhost_memory_map_free(map);
    assert_int_equal(stays, 1);
    assert_int_equal(never + passing, 0);
}

static void test_an_unchanged_map_bothers_nobody(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d = { .answer = 0 };
    int stays = 0;
    int passing = 0;

    (void)state;
    rig_attach(map, &d);
    put(map, 0, PAGE, 0x10000, &stays);
    assert_int_equal(d.commits, 2);
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    vhost_memory_begin(map);
    assert_int_equal(add(map, PAGE, PAGE, 0x30000, &passing), 0);
    assert_int_equal(vhost_memory_remove(map, PAGE, PAGE), 0);
    assert_int_equal(vhost_memory_remove(map, 0, PAGE), 0);
    assert_int_equal(add(map, 0, PAGE, 0x10000, &stays), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    assert_int_equal(d.commits, 2);
    assert_int_equal(stays, 0);
    assert_int_equal(passing, 1); /* it was never seen, but was the map's */
    rig_detach(map, &d);
    vhost_memory_map_free(map);
    assert_int_equal(stays, 1);
}

static void test_other_memory_at_the_same_place_is_a_change(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d = { .answer = 0 };
    int old = 0;
    int new_ = 0;

    (void)state;
    rig_attach(map, &d);
    put(map, 0, PAGE, 0x10000, &old);
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_remove(map, 0, PAGE), 0);
    assert_int_equal(add(map, 0, PAGE, 0x20000, &new_), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    assert_int_equal(d.commits, 3);
    assert_int_equal(d.n, 1);
    assert_ptr_equal(d.seen[0].hva, HVA(0x20000));
    assert_int_equal(old, 1);
    assert_int_equal(new_, 0);
    rig_detach(map, &d);
    vhost_memory_map_free(map);
    assert_int_equal(old, 1);
    assert_int_equal(new_, 1);
}

static void test_a_section_grows_and_shrinks_in_place(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    int small = 0;
    int large = 0;

    (void)state;
    put(map, 0, PAGE, 0x10000, &small);
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_remove(map, 0, PAGE), 0);
    assert_int_equal(add(map, 0, 2 * PAGE, 0x10000, &large), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    assert_int_equal(small, 1);
    assert_ptr_equal(vhost_memory_translate(map, 0, 2 * PAGE), HVA(0x10000));
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_remove(map, 0, 2 * PAGE), 0);
    assert_int_equal(add(map, 0, PAGE, 0x10000, &small), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    assert_int_equal(large, 1);
    assert_null(vhost_memory_translate(map, 0, 2 * PAGE));
    vhost_memory_map_free(map);
    assert_int_equal(small, 2);
}

static void test_many_sections_are_one_change(void **state)
{
    static const size_t numbers[] = { 7, 8, 9, 64, 509, 512, 600 };
    static struct rig_device d;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct vhost_memory_map *map = vhost_memory_map_new();
        size_t n = numbers[i];
        int released = 0;

        d = (struct rig_device){ .answer = 0 };
        rig_attach(map, &d);
        vhost_memory_begin(map);
        for (size_t j = n; j > 0; j--) {
            assert_int_equal(add(map, 2 * j * PAGE, PAGE, j * PAGE, &released),
                             0);
        }
        assert_int_equal(vhost_memory_commit(map, NULL), 0);
        assert_int_equal(d.commits, 2);
        assert_int_equal(d.n, n);
        for (size_t j = 1; j <= n; j++) {
            assert_true(d.seen[j - 1].gpa == 2 * j * PAGE);
            assert_ptr_equal(vhost_memory_translate(map, 2 * j * PAGE, PAGE),
                             HVA(j * PAGE));
        }
        rig_detach(map, &d);
        vhost_memory_map_free(map);
        assert_int_equal(released, n);
    }
}

static void test_the_release_waits_for_who_did_not_let_go(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device good = { .limit = 1 };
    struct rig_device bad = { .limit = 2 };
    int released = 0;

    (void)state;
    rig_attach(map, &good);
    rig_attach(map, &bad);
    put(map, 0, PAGE, 0x10000, &released);
    bad.answer = -EIO;
    drop(map, 0, PAGE, -EIO);
    assert_null(vhost_memory_translate(map, 0, 1)); /* changed in any case */
    assert_int_equal(released, 0);
    rig_detach(map, &good);
    assert_int_equal(released, 0);
    rig_detach(map, &bad);
    assert_int_equal(released, 1);
    vhost_memory_map_free(map);
    assert_int_equal(released, 1);
}

static void test_who_failed_once_may_take_the_next_change(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d = { .answer = 0 };
    int released = 0;

    (void)state;
    rig_attach(map, &d);
    put(map, 0, PAGE, 0x10000, &released);
    d.answer = -EIO;
    drop(map, 0, PAGE, -EIO);
    assert_int_equal(released, 0);
    d.answer = 0;
    put(map, PAGE, PAGE, 0x20000, NULL);
    assert_int_equal(released, 1);
    rig_detach(map, &d);
    vhost_memory_map_free(map);
    assert_int_equal(released, 1);
}

/* It may have taken the half of a change that brings the new memory. */
static void test_who_failed_keeps_what_it_was_offered(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d = { .answer = 0 };
    int released = 0;

    (void)state;
    rig_attach(map, &d);
    d.answer = -EIO;
    vhost_memory_begin(map);
    assert_int_equal(add(map, 0, PAGE, 0x10000, &released), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), -EIO);
    drop(map, 0, PAGE, -EIO);
    assert_int_equal(released, 0);
    rig_detach(map, &d);
    assert_int_equal(released, 1);
    vhost_memory_map_free(map);
}

static void test_everybody_hears_and_the_first_error_wins(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d[4] = {
        { .limit = 0 }, { .limit = 1 }, { .limit = 2 }, { .limit = 3 }
    };
    struct vhost_error *err = NULL;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        rig_attach(map, &d[i]);
    }
    d[1].answer = -EIO;
    d[2].answer = -EPROTO;
    vhost_memory_begin(map);
    assert_int_equal(add(map, 0, PAGE, 0x10000, NULL), 0);
    assert_int_equal(vhost_memory_commit(map, &err), -EIO);
    assert_int_equal(vhost_error_code(err), -EIO);
    assert_string_equal(vhost_error_message(err), "device 1 refuses");
    vhost_error_free(err);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(d[i].commits, 2);
        assert_int_equal(d[i].n, 1);
        rig_detach(map, &d[i]);
    }
    vhost_memory_map_free(map);
}

static void test_who_refuses_at_once_is_not_attached(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device d = { .listener = { .ops = &rig_ops }, .answer = -EIO };
    struct vhost_error *err = NULL;
    int released = 0;

    (void)state;
    put(map, 0, PAGE, 0x10000, &released);
    assert_int_equal(vh_memory_map_attach(map, &d.listener, &err), -EIO);
    assert_int_equal(vhost_error_code(err), -EIO);
    vhost_error_free(err);
    assert_int_equal(d.commits, 1);
    drop(map, 0, PAGE, 0);
    assert_int_equal(d.commits, 1);
    assert_int_equal(released, 1);
    vhost_memory_map_free(map);
}

static void test_the_scarcest_device_decides_on_slots(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct rig_device a = { .limit = 512, .used = 510 };
    struct rig_device b = { .limit = 8, .used = 1 };

    (void)state;
    assert_true(vh_memory_map_max_slots(map) == UINT_MAX);
    assert_true(vh_memory_map_free_slots(map) == UINT_MAX);
    rig_attach(map, &a);
    rig_attach(map, &b);
    assert_int_equal(vh_memory_map_max_slots(map), 8);
    assert_int_equal(vh_memory_map_free_slots(map), 2);
    b.used = 9;
    assert_int_equal(vh_memory_map_free_slots(map), 0);
    rig_detach(map, &b);
    assert_int_equal(vh_memory_map_max_slots(map), 512);
    rig_detach(map, &a);
    vhost_memory_map_free(map);
}

/* An owner that, told of its memory, puts other memory in its place. */
struct owner {
    struct vhost_memory_map *map;
    int released;
    int next;
};

static void replace(void *opaque)
{
    struct owner *o = opaque;

    o->released++;
    put(o->map, 0, PAGE, 0x20000, &o->next);
}

static void test_a_release_may_change_the_map(void **state)
{
    struct vhost_memory_map *map = vhost_memory_map_new();
    struct owner o = { .map = map };
    struct rig_device d = { .answer = 0 };
    struct vhost_memory_section s = rig_section(0, PAGE, HVA(0x10000), NULL);

    (void)state;
    s.release = replace;
    s.opaque = &o;
    rig_attach(map, &d);
    vhost_memory_begin(map);
    assert_int_equal(vhost_memory_add(map, &s), 0);
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    drop(map, 0, PAGE, 0);
    assert_int_equal(o.released, 1);
    assert_int_equal(o.next, 0);
    assert_int_equal(d.commits, 4);
    assert_ptr_equal(d.seen[0].hva, HVA(0x20000));
    rig_detach(map, &d);
    vhost_memory_map_free(map);
    assert_int_equal(o.next, 1);
}

/* Nine sections, one of them removed: a draft of them has to grow. */
static int edit(struct vhost_memory_map *map, int *released)
{
    int r = vhost_memory_remove(map, 0, PAGE);

    for (uint64_t i = 1; i <= 9 && r == 0; i++) {
        r = add(map, i * PAGE, PAGE, 0x20000, released);
    }
    return r;
}

static void test_short_of_memory_the_map_stays_whole(void **state)
{
    int released[2] = { 0, 0 };
    struct vhost_memory_map *map;
    int failures = 0;
    int r;

    (void)state;
    for (calls_until_short = 1;; failures++) {
        calls_until_short = failures + 1;
        map = vhost_memory_map_new();
        calls_until_short = 0;
        if (map) {
            break;
        }
    }
    assert_true(failures > 0);
    put(map, 0, PAGE, 0x10000, &released[0]);
    for (failures = 0;; failures++) {
        vhost_memory_begin(map);
        calls_until_short = failures + 1;
        r = edit(map, &released[1]);
        calls_until_short = 0;
        if (r == 0) {
            break;
        }
        assert_int_equal(r, -ENOMEM);
        vhost_memory_abort(map);
        assert_int_equal(released[0] + released[1], 0);
        assert_ptr_equal(vhost_memory_translate(map, 0, 1), HVA(0x10000));
    }
    assert_true(failures > 9);
    calls_until_short = 1; /* a commit needs none */
    assert_int_equal(vhost_memory_commit(map, NULL), 0);
    calls_until_short = 0;
    assert_int_equal(released[0], 1);
    vhost_memory_map_free(map);
    assert_int_equal(released[1], 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_map_translates_nothing),
        cmocka_unit_test(test_bad_sections_are_refused),
        cmocka_unit_test(test_memory_may_end_where_addresses_end),
        cmocka_unit_test(test_overlaps_are_refused_and_neighbours_are_not),
        cmocka_unit_test(test_only_a_whole_section_can_be_removed),
        cmocka_unit_test(test_nothing_shows_before_commit),
        cmocka_unit_test(test_an_abort_forgets_all),
        cmocka_unit_test(test_an_unchanged_map_bothers_nobody),
        cmocka_unit_test(test_other_memory_at_the_same_place_is_a_change),
        cmocka_unit_test(test_a_section_grows_and_shrinks_in_place),
        cmocka_unit_test(test_many_sections_are_one_change),
        cmocka_unit_test(test_the_release_waits_for_who_did_not_let_go),
        cmocka_unit_test(test_who_failed_once_may_take_the_next_change),
        cmocka_unit_test(test_who_failed_keeps_what_it_was_offered),
        cmocka_unit_test(test_everybody_hears_and_the_first_error_wins),
        cmocka_unit_test(test_who_refuses_at_once_is_not_attached),
        cmocka_unit_test(test_the_scarcest_device_decides_on_slots),
        cmocka_unit_test(test_a_release_may_change_the_map),
        cmocka_unit_test(test_short_of_memory_the_map_stays_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
