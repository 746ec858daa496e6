/* SPDX-License-Identifier: BSD-3-Clause */
/* How a change of the memory map reaches a device, and what holds on to what
 * if it does not. */
#include "check.h"

#include <limits.h>

#include "lib/core-rig.h"

#define PAGE 0x1000u
#define EXTRA_GPA UINT64_C(0x800000)
#define F_SHARED 0

/* A section beside that of the rings, which tells when it is let go of. */
struct extra {
    struct vhost_memory_section memory; /* as it was allocated */
    struct vhost_memory_section section;
    const struct fake *fake;
    unsigned n_released;
    unsigned calls_before; /* its release: how much the back end had heard */
};

static void extra_release(void *opaque)
{
    struct extra *extra = opaque;

    extra->n_released++;
    extra->calls_before = extra->fake->n_calls;
}

/* Its file outlives the rig. */
static void extra_new(struct extra *extra, struct core_rig *rig, uint64_t gpa)
{
    struct vhost_error *err = NULL;

    rig->n_fds++;
    *extra = (struct extra){ .fake = &rig->fake };
    assert_int_equal(
        vhost_memory_alloc(&extra->memory, 2 * PAGE, F_SHARED, &err), 0);
    extra->section = extra->memory;
    extra->section.gpa = gpa;
    extra->section.release = extra_release;
    extra->section.opaque = extra;
}

static void extra_free(struct extra *extra)
{
    assert_int_equal(extra->n_released, 1);
    vhost_memory_free(&extra->memory);
}

static int commit(struct core_rig *rig, int expected, const char *words)
{
    struct vhost_error *err = NULL;
    int r = vhost_memory_commit(rig->map, &err);

    assert_int_equal(r, expected);
    assert_int_equal(vhost_error_code(err), expected);
    if (words) {
        assert_non_null(strstr(vhost_error_message(err), words));
    }
    vhost_error_free(err);
    return r;
}

static int add(struct core_rig *rig, const struct vhost_memory_section *s,
               int expected, const char *words)
{
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_add(rig->map, s), 0);
    return commit(rig, expected, words);
}

static int del(struct core_rig *rig, const struct vhost_memory_section *s,
               int expected, const char *words)
{
    vhost_memory_begin(rig->map);
    assert_int_equal(vhost_memory_remove(rig->map, s->gpa, s->size), 0);
    return commit(rig, expected, words);
}

static void start(struct core_rig *rig)
{
    assert_int_equal(vhost_dev_start(&rig->dev, &rig->vdev, true), 0);
    fake_forget(&rig->fake);
    rig->fake.n_tables = 0;
}

static void stop(struct core_rig *rig, int expected)
{
    assert_int_equal(vhost_dev_stop(&rig->dev, &rig->vdev, true), expected);
}

static void assert_region(const struct fake *f, unsigned i,
                          const struct vhost_memory_section *s, uint64_t size)
{
    assert_true(i < f->n_regions);
    assert_int_equal(f->regions[i].guest_phys_addr, s->gpa);
    assert_int_equal(f->regions[i].memory_size, size);
    assert_int_equal(f->regions[i].userspace_addr, (uintptr_t)s->hva);
    assert_int_equal(f->regions[i].flags_padding, 0);
}

static void test_an_idle_device_keeps_the_table_for_its_start(void **state)
{
    struct core_rig rig;
    struct extra extra;

    (void)state;
    core_rig_up(&rig, 1);
    extra_new(&extra, &rig, EXTRA_GPA);
    add(&rig, &extra.section, 0, NULL);
    assert_int_equal(rig.fake.n_tables, 0);
    assert_int_equal(rig.dev.n_mem_sections, 2);
    assert_int_equal(rig.dev.mem->nregions, 2);

    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    assert_int_equal(rig.fake.n_tables, 1);
    assert_int_equal(rig.fake.n_regions, 2);
    assert_region(&rig.fake, 0, &rig.memory, rig.memory.size);
    assert_region(&rig.fake, 1, &extra.section, 2 * PAGE);
    stop(&rig, 0);

    /* A stopped back end touches no memory: nothing to wait for. */
    fake_forget(&rig.fake);
    del(&rig, &extra.section, 0, NULL);
    assert_int_equal(extra.n_released, 1);
    assert_int_equal(rig.fake.n_calls, 0);
    core_rig_down(&rig);
    extra_free(&extra);
}

static void test_a_started_device_has_it_when_commit_returns(void **state)
{
    struct core_rig rig;
    struct extra extra;

    (void)state;
    core_rig_up(&rig, 1);
    start(&rig);
    extra_new(&extra, &rig, EXTRA_GPA);
    add(&rig, &extra.section, 0, NULL);
    assert_int_equal(rig.fake.n_tables, 1);
    assert_int_equal(rig.fake.n_regions, 2);
    assert_region(&rig.fake, 1, &extra.section, 2 * PAGE);
    assert_int_equal(rig.fake.n_posted, 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_STARTED);

    fake_forget(&rig.fake);
    del(&rig, &extra.section, 0, NULL);
    assert_int_equal(rig.fake.n_tables, 2);
    assert_int_equal(rig.fake.n_regions, 1);
    /* Not before the back end has answered. */
    assert_true(fake_last(&rig.fake, "sync") > fake_last(&rig.fake, "set_mem"));
    assert_int_equal(extra.calls_before, rig.fake.n_calls);
    stop(&rig, 0);
    core_rig_down(&rig);
    extra_free(&extra);
}

static void test_several_edits_are_one_change(void **state)
{
    struct core_rig rig;
    struct extra extras[3];

    (void)state;
    core_rig_up(&rig, 1);
    start(&rig);
    vhost_memory_begin(rig.map);
    for (unsigned i = 0; i < 3; i++) {
        extra_new(&extras[i], &rig, EXTRA_GPA + i * 16 * PAGE);
        assert_int_equal(vhost_memory_add(rig.map, &extras[i].section), 0);
    }
    assert_int_equal(rig.fake.n_calls, 0);
    commit(&rig, 0, NULL);
    assert_int_equal(rig.fake.n_tables, 1);
    assert_int_equal(rig.fake.n_regions, 4);
    stop(&rig, 0);
    core_rig_down(&rig);
    for (unsigned i = 0; i < 3; i++) {
        extra_free(&extras[i]);
    }
}

static void test_sends_nothing_that_the_back_end_has_already(void **state)
{
    struct core_rig rig;
    struct extra rom;

    (void)state;
    core_rig_up(&rig, 1);
    start(&rig);
    /* No back end sees a ROM. */
    extra_new(&rom, &rig, EXTRA_GPA);
    rom.section.flags = VHOST_MEMORY_READ_ONLY;
    add(&rig, &rom.section, 0, NULL);
    del(&rig, &rom.section, 0, NULL);
    assert_int_equal(rom.n_released, 1);
    /* Out and in again is no change, nor for the rings that run in it. */
    vhost_memory_begin(rig.map);
    assert_int_equal(
        vhost_memory_remove(rig.map, rig.memory.gpa, rig.memory.size), 0);
    assert_int_equal(vhost_memory_add(rig.map, &rig.memory), 0);
    commit(&rig, 0, NULL);
    assert_int_equal(rig.fake.n_calls, 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_STARTED);
    stop(&rig, 0);
    core_rig_down(&rig);
    extra_free(&rom);
}

/* Two halves of one file, side by side in every respect. */
static unsigned regions_of_halves(bool shared_only, uint32_t flags)
{
    struct core_rig rig;
    struct extra extra;
    struct vhost_memory_section half;
    unsigned n;

    core_rig_prepare(&rig, 1);
    rig.fake.shared_only = shared_only;
    core_rig_begin(&rig);
    extra_new(&extra, &rig, EXTRA_GPA);
    half = extra.memory;
    half.gpa = EXTRA_GPA;
    half.size = PAGE;
    half.flags = flags;
    vhost_memory_begin(rig.map);
    assert_int_equal(vhost_memory_add(rig.map, &half), 0);
    half.gpa += PAGE;
    half.hva = (char *)half.hva + PAGE;
    half.fd_offset += PAGE;
    assert_int_equal(vhost_memory_add(rig.map, &half), 0);
    commit(&rig, 0, NULL);
    start(&rig);
    n = rig.fake.n_regions - 1;
    assert_int_equal(rig.dev.n_mem_sections, rig.fake.n_regions);
    stop(&rig, 0);
    core_rig_down(&rig);
    vhost_memory_free(&extra.memory);
    return n;
}

static void test_merges_neighbours_and_leaves_out_what_is_private(void **state)
{
    (void)state;
    for (int shared = 0; shared <= 1; shared++) {
        assert_int_equal(regions_of_halves(shared, 0), 1);
        assert_int_equal(regions_of_halves(shared, VHOST_MEMORY_NO_MERGE), 2);
        assert_int_equal(regions_of_halves(shared, VHOST_MEMORY_DEVICE), 0);
    }
    /* Another process can't see it; the kernel can. */
    assert_int_equal(regions_of_halves(true, VHOST_MEMORY_PRIVATE), 0);
    assert_int_equal(regions_of_halves(false, VHOST_MEMORY_PRIVATE), 1);
}

static void test_a_back_end_that_maps_files_gets_whole_pages(void **state)
{
    (void)state;
    for (int shared = 0; shared <= 1; shared++) {
        struct core_rig rig;
        struct extra extra;
        struct vhost_memory_section part, whole;

        core_rig_prepare(&rig, 1);
        rig.fake.shared_only = shared;
        core_rig_begin(&rig);
        extra_new(&extra, &rig, EXTRA_GPA);
        whole = part = extra.section;
        part.gpa += 0x200;
        part.hva = (char *)part.hva + 0x200;
        part.fd_offset += 0x200;
        part.size = PAGE;
        add(&rig, &part, 0, NULL);
        start(&rig);
        if (shared) {
            assert_region(&rig.fake, 1, &whole, 2 * PAGE);
        } else {
            assert_region(&rig.fake, 1, &part, PAGE);
        }
        stop(&rig, 0);
        core_rig_down(&rig);
        extra_free(&extra);
    }
}

static void test_init_fails_with_more_sections_than_slots(void **state)
{
    struct core_rig rig;
    struct extra extra;
    struct vhost_error *err = NULL;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.fake.slots = 1;
    extra_new(&extra, &rig, EXTRA_GPA);
    add(&rig, &extra.section, 0, NULL);
    assert_int_equal(core_rig_init(&rig, &err), -ENOSPC);
    assert_string_equal(vhost_error_message(err),
                        "the memory has 2 regions, the back end takes 1");
    vhost_error_free(err);
    err = NULL;
    assert_false(rig.fake.up);
    assert_null(rig.dev.mem);

    del(&rig, &extra.section, 0, NULL);
    assert_int_equal(core_rig_init(&rig, &err), 0);
    core_rig_down(&rig);
    extra_free(&extra);
}

/* Better not to start than to run on a table that is not the guest's. */
static void test_an_idle_device_does_not_start_on_an_old_table(void **state)
{
    struct core_rig rig;
    struct extra extra;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.fake.slots = 1;
    core_rig_begin(&rig);
    extra_new(&extra, &rig, EXTRA_GPA);
    add(&rig, &extra.section, -ENOSPC, "takes 1");
    assert_int_equal(rig.dev.state, VHOST_DEV_IDLE);
    fake_forget(&rig.fake);
    core_rig_assert_error(&rig, vhost_dev_start(&rig.dev, &rig.vdev, true),
                          -ENOSPC);
    assert_int_equal(fake_count(&rig.fake, "set_mem_table"), 0);
    assert_int_equal(fake_running(&rig.fake), 0);

    del(&rig, &extra.section, 0, NULL);
    start(&rig);
    assert_int_equal(rig.fake.n_regions, 1);
    stop(&rig, 0);
    core_rig_down(&rig);
    extra_free(&extra);
}

static void test_a_started_device_without_a_slot_left_is_broken(void **state)
{
    struct core_rig rig;
    struct extra extra;

    (void)state;
    core_rig_prepare(&rig, 1);
    rig.fake.slots = 1;
    core_rig_begin(&rig);
    start(&rig);
    extra_new(&extra, &rig, EXTRA_GPA);
    add(&rig, &extra.section, -ENOSPC,
        "the memory has 2 regions, the back end takes 1");
    assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
    assert_true(rig.dev.started);
    assert_int_equal(rig.fake.n_tables, 0);
    stop(&rig, -EPROTO);
    core_rig_down(&rig);
    extra_free(&extra);
}

static void test_counts_slots_over_all_devices(void **state)
{
    struct core_rig a, b;
    struct extra extra;

    (void)state;
    core_rig_prepare(&a, 1);
    assert_int_equal(vhost_get_max_memslots(a.map), UINT_MAX);
    assert_int_equal(vhost_get_free_memslots(a.map), UINT_MAX);
    core_rig_begin(&a);
    assert_int_equal(vhost_get_max_memslots(a.map), 8);
    assert_int_equal(vhost_get_free_memslots(a.map), 7);

    extra_new(&extra, &a, EXTRA_GPA);
    core_rig_prepare(&b, 1);
    b.fake.slots = 3;
    b.fake.shared_only = true;
    b.dev.map = a.map;
    core_rig_begin(&b);
    assert_int_equal(vhost_get_max_memslots(a.map), 3);
    assert_int_equal(vhost_get_free_memslots(a.map), 2);

    /* Private: it takes a slot of the first alone. */
    extra.section.flags = VHOST_MEMORY_PRIVATE;
    add(&a, &extra.section, 0, NULL);
    assert_int_equal(vhost_get_free_memslots(a.map), 2);
    core_rig_down(&b);
    assert_int_equal(vhost_get_max_memslots(a.map), 8);
    assert_int_equal(vhost_get_free_memslots(a.map), 6);
    vhost_dev_cleanup(&a.dev);
    assert_int_equal(vhost_get_free_memslots(a.map), UINT_MAX);
    core_rig_down(&a);
    extra_free(&extra);
}

/* The rings of a rig whose section tells when it is let go of. */
static void up_with_release(struct core_rig *rig, struct extra *rings)
{
    core_rig_prepare(rig, 2);
    *rings = (struct extra){ .fake = &rig->fake, .section = rig->memory };
    rings->section.release = extra_release;
    rings->section.opaque = rings;
    vhost_memory_begin(rig->map);
    assert_int_equal(
        vhost_memory_remove(rig->map, rig->memory.gpa, rig->memory.size), 0);
    assert_int_equal(vhost_memory_add(rig->map, &rings->section), 0);
    commit(rig, 0, NULL);
    core_rig_begin(rig);
    start(rig);
}

/* The rings of a broken device are still read, and only then let go. */
static void stop_broken(struct core_rig *rig, struct extra *rings)
{
    assert_int_equal(rig->dev.state, VHOST_DEV_BROKEN);
    assert_int_equal(rings->n_released, 0);
    core_rig_set_used_idx(rig, 1, 77);
    stop(rig, -EPROTO);
    assert_int_equal(rig->queues[1].base, 77);
    assert_int_equal(rig->queues[1].base_source, VHOST_BASE_RECOVERED);
    /* It ran when it was last heard of, and perhaps still does. */
    assert_int_equal(rings->n_released, 0);
    vhost_memory_begin(rig->map);
    commit(rig, 0, NULL);
    assert_int_equal(rings->n_released, 0);
    vhost_dev_cleanup(&rig->dev);
    assert_int_equal(rings->n_released, 1);
}

static void test_breaks_a_device_whose_running_ring_is_taken_out(void **state)
{
    struct core_rig rig;
    struct extra rings;

    (void)state;
    up_with_release(&rig, &rings);
    del(&rig, &rings.section, -ENOMEM, "of running queue 0 is no longer");
    assert_int_equal(rig.fake.n_calls, 0);
    stop_broken(&rig, &rings);
    core_rig_down(&rig);
}

static void test_breaks_a_device_whose_running_ring_moves(void **state)
{
    struct core_rig rig;
    struct extra rings, other;

    (void)state;
    up_with_release(&rig, &rings);
    extra_new(&other, &rig, RIG_GPA);
    assert_true(other.section.size <= rings.section.size);
    vhost_memory_begin(rig.map);
    assert_int_equal(
        vhost_memory_remove(rig.map, rings.section.gpa, rings.section.size), 0);
    assert_int_equal(vhost_memory_add(rig.map, &other.section), 0);
    commit(&rig, -EBUSY, "descriptor area of running queue 0 has moved");
    assert_int_equal(rig.fake.n_calls, 0);
    stop_broken(&rig, &rings);
    core_rig_down(&rig);
    extra_free(&other);
}

/* Each area of each queue counts: all but the last page stays. */
static void test_looks_at_every_area_of_every_running_queue(void **state)
{
    static const struct {
        uint64_t gap; /* from here on, one page */
        const char *words;
    } cases[] = {
        { 0, "descriptor area of running queue 0" },
        { 0x3000, "driver area of running queue 1" },
        { 0x4000, "device area of running queue 1" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct core_rig rig;
        struct vhost_memory_section before, after;

        core_rig_prepare(&rig, 4);
        rig.dev.nvqs = 2;
        rig.queues[1].avail = RIG_GPA + 0x3000;
        rig.queues[1].used = RIG_GPA + 0x4000;
        core_rig_begin(&rig);
        start(&rig);
        before = after = rig.memory;
        before.size = cases[i].gap;
        after.gpa += cases[i].gap + PAGE;
        after.hva = (char *)after.hva + cases[i].gap + PAGE;
        after.fd_offset += cases[i].gap + PAGE;
        after.size -= cases[i].gap + PAGE;
        vhost_memory_begin(rig.map);
        assert_int_equal(
            vhost_memory_remove(rig.map, rig.memory.gpa, rig.memory.size), 0);
        if (before.size > 0) {
            assert_int_equal(vhost_memory_add(rig.map, &before), 0);
        }
        if (after.size > 0) {
            assert_int_equal(vhost_memory_add(rig.map, &after), 0);
        }
        commit(&rig, -ENOMEM, cases[i].words);
        stop(&rig, -EPROTO);
        core_rig_down(&rig);
    }
}

static void test_a_ring_that_does_not_run_may_go(void **state)
{
    struct core_rig rig;
    struct vhost_memory_section first;

    (void)state;
    core_rig_prepare(&rig, 2);
    rig.queues[1].desc = 0;
    core_rig_begin(&rig);
    start(&rig);
    first = rig.memory;
    first.size = RIG_PER_QUEUE;
    vhost_memory_begin(rig.map);
    assert_int_equal(
        vhost_memory_remove(rig.map, rig.memory.gpa, rig.memory.size), 0);
    assert_int_equal(vhost_memory_add(rig.map, &first), 0);
    commit(&rig, 0, NULL);
    assert_region(&rig.fake, 0, &first, RIG_PER_QUEUE);
    stop(&rig, 0);
    core_rig_down(&rig);
}

static void test_holds_both_old_and_new_after_a_refusal(void **state)
{
    (void)state;
    for (int late = 0; late <= 1; late++) {
        struct core_rig rig;
        struct extra gone, come;

        core_rig_up(&rig, 1);
        extra_new(&gone, &rig, EXTRA_GPA);
        add(&rig, &gone.section, 0, NULL);
        start(&rig);
        extra_new(&come, &rig, EXTRA_GPA + 0x100000);
        rig.fake.fail_at = 1; /* the table */
        rig.fake.late = late;
        vhost_memory_begin(rig.map);
        assert_int_equal(
            vhost_memory_remove(rig.map, gone.section.gpa, gone.section.size),
            0);
        assert_int_equal(vhost_memory_add(rig.map, &come.section), 0);
        commit(&rig, -EIO, late ? "sync" : "SET_MEM_TABLE");
        assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
        assert_int_equal(gone.n_released, 0);

        /* Who knows which of the two it has? */
        fake_forget(&rig.fake);
        del(&rig, &come.section, -EPROTO, "the device is broken");
        assert_int_equal(come.n_released, 0);
        assert_int_equal(rig.fake.n_calls, 0);
        stop(&rig, -EPROTO);
        assert_int_equal(gone.n_released + come.n_released, 0);
        vhost_dev_cleanup(&rig.dev);
        assert_int_equal(gone.n_released, 1);
        core_rig_down(&rig);
        extra_free(&gone);
        extra_free(&come);
    }
}

static void test_a_back_end_that_hangs_up_holds_no_memory(void **state)
{
    struct core_rig rig;
    struct extra rings, a, b;

    (void)state;
    up_with_release(&rig, &rings);
    extra_new(&a, &rig, EXTRA_GPA);
    extra_new(&b, &rig, EXTRA_GPA + 0x100000);
    add(&rig, &a.section, 0, NULL);
    fake_forget(&rig.fake);
    rig.fake.fail_at = 1;
    rig.fake.fail_code = -ECONNRESET;
    add(&rig, &b.section, -ECONNRESET, NULL);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);

    /* But the rings tell how far it came. */
    fake_forget(&rig.fake);
    del(&rig, &a.section, 0, NULL);
    assert_int_equal(a.n_released, 1);
    del(&rig, &rings.section, -ENOMEM, "no longer in memory");
    assert_int_equal(rings.n_released, 0);
    core_rig_set_used_idx(&rig, 0, 55);
    stop(&rig, -ENOTCONN);
    assert_int_equal(rig.queues[0].base, 55);
    assert_int_equal(rig.fake.n_calls, 0);
    del(&rig, &b.section, 0, NULL);
    assert_int_equal(rings.n_released, 1);
    core_rig_down(&rig);
    extra_free(&a);
    extra_free(&b);
}

static void test_one_device_that_fails_keeps_nothing_from_another(void **state)
{
    struct core_rig a, b;
    struct extra extra;

    (void)state;
    core_rig_prepare(&a, 1);
    extra_new(&extra, &a, EXTRA_GPA);
    core_rig_prepare(&b, 1);
    b.dev.map = a.map;
    core_rig_begin(&a);
    core_rig_begin(&b);
    add(&a, &extra.section, 0, NULL);
    start(&a);
    start(&b);
    a.fake.fail_at = 1;
    del(&a, &extra.section, -EIO, NULL);
    assert_int_equal(a.dev.state, VHOST_DEV_BROKEN);
    assert_int_equal(b.dev.state, VHOST_DEV_STARTED);
    assert_int_equal(b.fake.n_tables, 1);
    assert_int_equal(b.fake.n_regions, 1);
    assert_int_equal(extra.n_released, 0);
    stop(&a, -EPROTO);
    vhost_dev_cleanup(&a.dev);
    assert_int_equal(extra.n_released, 1);
    stop(&b, 0);
    core_rig_down(&b);
    core_rig_down(&a);
    extra_free(&extra);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_device_keeps_the_table_for_its_start),
        cmocka_unit_test(test_a_started_device_has_it_when_commit_returns),
        cmocka_unit_test(test_several_edits_are_one_change),
        cmocka_unit_test(test_sends_nothing_that_the_back_end_has_already),
        cmocka_unit_test(test_merges_neighbours_and_leaves_out_what_is_private),
        cmocka_unit_test(test_a_back_end_that_maps_files_gets_whole_pages),
        cmocka_unit_test(test_init_fails_with_more_sections_than_slots),
        cmocka_unit_test(test_an_idle_device_does_not_start_on_an_old_table),
        cmocka_unit_test(test_a_started_device_without_a_slot_left_is_broken),
        cmocka_unit_test(test_counts_slots_over_all_devices),
        cmocka_unit_test(test_breaks_a_device_whose_running_ring_is_taken_out),
        cmocka_unit_test(test_breaks_a_device_whose_running_ring_moves),
        cmocka_unit_test(test_looks_at_every_area_of_every_running_queue),
        cmocka_unit_test(test_a_ring_that_does_not_run_may_go),
        cmocka_unit_test(test_holds_both_old_and_new_after_a_refusal),
        cmocka_unit_test(test_a_back_end_that_hangs_up_holds_no_memory),
        cmocka_unit_test(test_one_device_that_fails_keeps_nothing_from_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
