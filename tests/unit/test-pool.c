/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "driver/pool.h"
#include "mem/map.h"

#define PAGE 4096u
#define GROW (1u << 20)

/* A device that takes a few regions, or none any more. */
struct device {
    struct vh_mem_listener listener;
    unsigned slots;
    unsigned used;
    int answer;
};

struct rig {
    struct vhost_memory_map *map;
    struct vh_pool *pool;
    struct device device;
    int fd; /* a file of 64 pages, and its mapping */
    char *file;
};

static struct device *device_of(struct vh_mem_listener *listener)
{
    return (struct device *)listener;
}

static int take(struct vh_mem_listener *listener,
                const struct vhost_memory_section *sections, size_t n,
                struct vhost_error **errp)
{
    (void)sections;
    (void)errp;
    if (device_of(listener)->answer == 0) {
        device_of(listener)->used = (unsigned)n;
    }
    return device_of(listener)->answer;
}

static unsigned slot_limit(struct vh_mem_listener *listener)
{
    return device_of(listener)->slots;
}

static unsigned slots_used(struct vh_mem_listener *listener)
{
    return device_of(listener)->used;
}

static const struct vh_mem_listener_ops listener_ops = {
    .commit = take,
    .slot_limit = slot_limit,
    .slots_used = slots_used,
};

static int up(void **state)
{
    static struct rig rig;

    memset(&rig, 0, sizeof(rig));
    rig.device.listener.ops = &listener_ops;
    rig.device.slots = 100;
    rig.map = vhost_memory_map_new();
    assert_non_null(rig.map);
    rig.pool = vh_pool_new(rig.map, GROW, false);
    assert_non_null(rig.pool);
    assert_int_equal(vh_memory_map_attach(rig.map, &rig.device.listener, NULL),
                     0);
    rig.fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(rig.fd >= 0);
    assert_int_equal(ftruncate(rig.fd, 64 * PAGE), 0);
    rig.file =
        mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, rig.fd, 0);
    assert_ptr_not_equal(rig.file, MAP_FAILED);
    *state = &rig;
    return 0;
}

static int down(void **state)
{
    struct rig *rig = *state;

    vh_memory_map_detach(rig->map, &rig->device.listener);
    vhost_memory_map_free(rig->map);
    vh_pool_free(rig->pool);
    munmap(rig->file, 64 * PAGE);
    close(rig->fd);
    return 0;
}

static int bring(struct rig *rig, unsigned page, unsigned n_pages)
{
    struct vhost_memory_section section = {
        .hva = rig->file + page * PAGE,
        .size = n_pages * PAGE,
        .fd = rig->fd,
        .fd_offset = page * PAGE,
    };

    return vh_pool_map(rig->pool, &section, NULL);
}

static int drop(struct rig *rig, unsigned page)
{
    return vh_pool_unmap(rig->pool, rig->file + page * PAGE, NULL);
}

static void test_what_is_allocated_is_seen_and_nothing_else(void **state)
{
    struct rig *rig = *state;
    struct vh_pool_hit hit = { 0 };
    char *a = vh_pool_alloc(rig->pool, 3 * PAGE, PAGE);
    char *b = vh_pool_alloc(rig->pool, PAGE, PAGE);
    uint64_t gpa_a, gpa_b, gpa;

    assert_non_null(a);
    assert_non_null(b);
    assert_true(vh_pool_find(rig->pool, &hit, a, &gpa_a) >= 3 * PAGE);
    assert_true(vh_pool_find(rig->pool, &hit, b, &gpa_b) >= PAGE);
    assert_true(gpa_a >= VH_POOL_GPA);
    assert_int_equal(gpa_b - gpa_a, (uint64_t)(b - a));
    assert_ptr_equal(vhost_memory_translate(rig->map, gpa_b, PAGE), b);
    assert_int_equal(vh_pool_find(rig->pool, &hit, rig->file, &gpa), 0);
    assert_int_equal(vh_pool_find(rig->pool, &hit, NULL, &gpa), 0);
}

static void test_the_pool_grows_and_reuses_what_was_released(void **state)
{
    struct rig *rig = *state;
    struct vh_pool_hit hit = { 0 };
    char *all = vh_pool_alloc(rig->pool, GROW, PAGE);
    char *more = vh_pool_alloc(rig->pool, 2 * GROW, PAGE);
    uint64_t gpa;

    assert_non_null(all);
    assert_non_null(more);
    assert_int_equal(rig->device.used, 2);
    assert_int_equal(vh_pool_find(rig->pool, &hit, more, &gpa), 2 * GROW);
    assert_int_equal(vh_pool_find(rig->pool, &hit, all, &gpa), GROW);
    vh_pool_release(rig->pool, all);
    assert_ptr_equal(vh_pool_alloc(rig->pool, GROW, PAGE), all);
    assert_int_equal(rig->device.used, 2);
    vh_pool_release(rig->pool, NULL);
}

static void test_sizes_that_make_no_sense_give_nothing(void **state)
{
    struct rig *rig = *state;

    assert_null(vh_pool_alloc(rig->pool, 0, PAGE));
    assert_null(vh_pool_alloc(rig->pool, SIZE_MAX, PAGE));
    assert_null(vh_pool_alloc(rig->pool, SIZE_MAX / 2 + 2, PAGE));
}

static void test_brought_memory_is_seen_until_it_is_unmapped(void **state)
{
    struct rig *rig = *state;
    struct vh_pool_hit hit = { 0 };
    uint64_t gpa;

    assert_int_equal(bring(rig, 8, 4), 0);
    assert_int_equal(
        vh_pool_find(rig->pool, &hit, rig->file + 9 * PAGE + 5, &gpa),
        3 * PAGE - 5);
    assert_ptr_equal(vhost_memory_translate(rig->map, gpa, 1),
                     rig->file + 9 * PAGE + 5);
    assert_int_equal(vh_pool_find(rig->pool, &hit, rig->file, &gpa), 0);
    assert_int_equal(drop(rig, 9), -ENOENT);
    assert_int_equal(drop(rig, 8), 0);
    /* The hit of before must not answer any more. */
    assert_int_equal(vh_pool_find(rig->pool, &hit, rig->file + 9 * PAGE, &gpa),
                     0);
    assert_int_equal(drop(rig, 8), -ENOENT);
}

static void test_what_can_not_be_mapped_is_refused(void **state)
{
    struct rig *rig = *state;
    struct vhost_memory_section odd = { .hva = rig->file + 1,
                                        .size = PAGE,
                                        .fd = rig->fd };
    struct vhost_error *error = NULL;

    assert_int_equal(vh_pool_map(rig->pool, &odd, &error), -EINVAL);
    assert_int_equal(vhost_error_code(error), -EINVAL);
    vhost_error_free(error);
    assert_int_equal(bring(rig, 0, 0), -EINVAL);
    assert_int_equal(bring(rig, 8, 4), 0);
    assert_int_equal(bring(rig, 11, 2), -EEXIST);
    assert_int_equal(bring(rig, 7, 2), -EEXIST);
    assert_int_equal(bring(rig, 12, 1), 0);
    assert_int_equal(bring(rig, 7, 1), 0);
}

static void test_no_region_is_added_beyond_the_slots(void **state)
{
    struct rig *rig = *state;
    struct vhost_error *error = NULL;

    rig->device.slots = 2;
    assert_int_equal(bring(rig, 0, 1), 0);
    assert_int_equal(bring(rig, 2, 1), 0);
    assert_int_equal(bring(rig, 4, 1), -ENOSPC);
    assert_null(vh_pool_alloc(rig->pool, PAGE, PAGE));
    assert_int_equal(vh_pool_reserve(rig->pool, PAGE, &error), -ENOSPC);
    assert_non_null(strstr(vhost_error_message(error), "only 2"));
    vhost_error_free(error);
    assert_int_equal(drop(rig, 0), 0);
    assert_int_equal(bring(rig, 4, 1), 0);
}

static void test_memory_that_a_device_refused_is_not_seen(void **state)
{
    struct rig *rig = *state;
    struct vh_pool_hit hit = { 0 };
    uint64_t gpa;

    rig->device.answer = -EPROTO;
    assert_int_equal(bring(rig, 0, 4), -EPROTO);
    assert_int_equal(vh_pool_find(rig->pool, &hit, rig->file, &gpa), 0);
    assert_null(vh_pool_alloc(rig->pool, PAGE, PAGE));
    rig->device.answer = 0;
    assert_int_equal(drop(rig, 0), 0);
}

/* Many regions, in no order: each byte belongs to its own. */
static void test_each_of_many_regions_is_found(void **state)
{
    struct rig *rig = *state;
    struct vh_pool_hit hit = { 0 };
    uint64_t gpa;

    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(bring(rig, i * 37 % 64, 1), 0);
    }
    for (unsigned i = 0; i < 64; i += 3) {
        assert_int_equal(drop(rig, i), 0);
    }
    for (unsigned i = 0; i < 64; i++) {
        uint64_t seen =
            vh_pool_find(rig->pool, &hit, rig->file + i * PAGE + 1, &gpa);

        assert_int_equal(seen, i % 3 == 0 ? 0 : PAGE - 1);
        if (seen) {
            assert_ptr_equal(vhost_memory_translate(rig->map, gpa, 1),
                             rig->file + i * PAGE + 1);
        }
    }
}

struct reader {
    struct rig *rig;
    int stop;
    unsigned long wrong;
};

/* Looks at a region that stays, while others come and go around it. */
static void *reader_main(void *arg)
{
    struct reader *reader = arg;
    const char *stays = reader->rig->file + 32 * PAGE;
    uint64_t first = 0;

    while (!VH_READ_ONCE(reader->stop)) {
        struct vh_pool_hit hit = { 0 };
        uint64_t gpa;

        if (vh_pool_find(reader->rig->pool, &hit, stays, &gpa) != PAGE) {
            reader->wrong++;
        }
        first = first ? first : gpa;
        reader->wrong += gpa != first;
    }
    return NULL;
}

static void test_a_change_never_misleads_a_reader(void **state)
{
    struct rig *rig = *state;
    struct reader reader = { .rig = rig };
    pthread_t thread;

    assert_int_equal(bring(rig, 32, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, reader_main, &reader), 0);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 60; i += 4) {
            if (i != 32) {
                assert_int_equal(bring(rig, i, 2), 0);
            }
        }
        for (unsigned i = 0; i < 60; i += 4) {
            if (i != 32) {
                assert_int_equal(drop(rig, i), 0);
            }
        }
    }
    VH_WRITE_ONCE(reader.stop, 1);
    pthread_join(thread, NULL);
    assert_int_equal(reader.wrong, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_allocated_is_seen_and_nothing_else),
        TEST(test_the_pool_grows_and_reuses_what_was_released),
        TEST(test_sizes_that_make_no_sense_give_nothing),
        TEST(test_brought_memory_is_seen_until_it_is_unmapped),
        TEST(test_what_can_not_be_mapped_is_refused),
        TEST(test_no_region_is_added_beyond_the_slots),
        TEST(test_memory_that_a_device_refused_is_not_seen),
        TEST(test_each_of_many_regions_is_found),
        TEST(test_a_change_never_misleads_a_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
