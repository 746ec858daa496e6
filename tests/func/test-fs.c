/* SPDX-License-Identifier: BSD-3-Clause */
/* A file system over every layout, and its session at another back end. */
#include "fs-rig.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <linux/fuse.h>

#include "wire/proto.h"

static struct rig rig;
static uint8_t data[FUSE_FILE_MAX];

static int opened(const char *path, int flags)
{
    int file = vhost_fs_open(rig.fs, path, flags, 0600, &rig.error);

    rig_is(&rig, file < 0 ? file : 0, 0);
    return file;
}

static void closed(int file)
{
    rig_is(&rig, vhost_fs_close(rig.fs, file, &rig.error), 0);
}

static unsigned list(int dir, const char *wanted)
{
    struct vhost_fs_dirent entry;
    unsigned n = 0, found = 0;

    while (vhost_fs_readdir(rig.fs, dir, &entry, &rig.error) == 1) {
        n++;
        found += strcmp(entry.name, wanted) == 0;
    }
    assert_null(rig.error);
    assert_int_equal(found, 1);
    return n;
}

static void reads_and_writes(void)
{
    int file = opened("/sub/big", O_RDWR);
    struct stat st;

    rig_is(&rig, vhost_fs_read(rig.fs, file, data, sizeof(data), 0, &rig.error),
           RIG_BIG);
    assert_memory_equal(data, rig.big, RIG_BIG);
    rig_is(&rig, vhost_fs_read(rig.fs, file, data, 10, RIG_BIG, &rig.error), 0);
    rig_is(&rig, vhost_fs_read(rig.fs, file, data, 0, 0, &rig.error), 0);
    for (unsigned i = 0; i < 600000; i++) {
        data[i] = (uint8_t)(i * 7 + 3);
    }
    rig_is(&rig, vhost_fs_write(rig.fs, file, data, 600000, 99, &rig.error),
           600000);
    rig_holds(&rig, 4, 99, data, 600000);
    rig_holds(&rig, 4, 0, rig.big, 99);
    rig_is(&rig, vhost_fs_fstat(rig.fs, file, &st, &rig.error), 0);
    assert_int_equal(st.st_size, RIG_BIG);
    assert_int_equal(st.st_mtim.tv_nsec, 42);
    rig_is(&rig, vhost_fs_truncate(rig.fs, file, 5, &rig.error), 0);
    rig_has_size(&rig, 4, 5);
    rig_is(&rig, vhost_fs_fsync(rig.fs, file, false, &rig.error), 0);
    rig_is(&rig, vhost_fs_flush(rig.fs, file, &rig.error), 0);
    closed(file);
}

static void makes_and_removes(void)
{
    struct statvfs room;
    int file, dir;

    rig_is(&rig, vhost_fs_mkdir(rig.fs, "/sub/new/", 0700, &rig.error), 0);
    file = opened("/sub/new/file", O_WRONLY | O_CREAT | O_EXCL);
    rig_is(&rig, vhost_fs_write(rig.fs, file, "abc", 3, 0, &rig.error), 3);
    closed(file);
    file = opened("/sub/new/file", O_WRONLY | O_CREAT | O_APPEND);
    rig_is(&rig, vhost_fs_write(rig.fs, file, data, 400000, 0, &rig.error),
           400000);
    closed(file);
    dir = opened("sub", O_RDONLY);
    assert_int_equal(list(dir, "new"), 2);
    closed(dir);
    closed(opened("/sub/new/file", O_WRONLY | O_TRUNC));
    rig_is(&rig, vhost_fs_rmdir(rig.fs, "/sub/new/file", &rig.error), -ENOTDIR);
    rig_is(&rig, vhost_fs_unlink(rig.fs, "/sub/new/file", &rig.error), 0);
    rig_is(&rig, vhost_fs_unlink(rig.fs, "/sub/new", &rig.error), -EISDIR);
    rig_is(&rig, vhost_fs_rmdir(rig.fs, "/sub/new", &rig.error), 0);
    rig_is(&rig, vhost_fs_statfs(rig.fs, &room, &rig.error), 0);
    assert_int_equal(room.f_blocks, 1000);
}

static void live(const struct vhost_fs_options *options)
{
    struct vhost_fs_info info;

    rig_up(&rig, options);
    vhost_fs_get_info(rig.fs, &info);
    assert_string_equal(info.tag, "the-files");
    assert_int_equal(info.request_queues, 1);
    assert_int_equal(info.minor, 31);
    assert_true(info.can_save);
    assert_true(options->layout == VHOST_LAYOUT_AUTO ||
                options->layout == info.layout);
    reads_and_writes();
    makes_and_removes();
    rig_owes(rig.fuse, 0, 0);
    rig_down(&rig);
}

static void test_works_over_every_layout(void **state)
{
    (void)state;
    for (unsigned layout = 0; vhost_layout_name(layout); layout++) {
        live(&(struct vhost_fs_options){ .layout = layout });
        live(&(struct vhost_fs_options){ .layout = layout, .queue_size = 8 });
        live(&(struct vhost_fs_options){ .layout = layout, .polling = true });
        live(&(struct vhost_fs_options){ .layout = layout,
                                         .transfer_size = 4096 });
    }
}

/* What the driver asks for is not what a server wants, or has. */
static void test_moves_no_more_at_a_time_than_both_want(void **state)
{
    static const struct {
        size_t ours;
        uint32_t theirs, flags;
        size_t both;
    } cases[] = {
        { 65536, 131072, FUSE_MAX_PAGES, 65536 },
        { 1 << 20, 32768, FUSE_MAX_PAGES, 32768 },
        { 4 << 20, 4 << 20, FUSE_MAX_PAGES, 256 * 4096 },
        { 4 << 20, 4 << 20, 0, 32 * 4096 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhost_fs_options options = { .transfer_size = cases[i].ours };
        struct vhost_fs_info info;

        rig_prepare(&rig);
        fuse_set_max(rig.fuse, cases[i].theirs, cases[i].flags);
        rig_back_run(&rig.back);
        rig.fs = vhost_fs_mount(rig.back.uri, &options, NULL);
        assert_non_null(rig.fs);
        vhost_fs_get_info(rig.fs, &info);
        assert_int_equal(info.transfer_size, cases[i].both);
        reads_and_writes();
        makes_and_removes(); /* also where O_TRUNC is ours to do */
        rig_owes(rig.fuse, 0, 0);
        rig_down(&rig);
    }
}

static void test_refuses_what_it_cannot_do(void **state)
{
    struct stat st;
    char name[300];

    (void)state;
    rig_up(&rig, NULL);
#define OPEN(path, flags, wanted) \
    rig_is(&rig, vhost_fs_open(rig.fs, path, flags, 0, &rig.error), wanted)
    OPEN("/none", O_RDONLY, -ENOENT);
    OPEN("/none/none", O_CREAT | O_RDWR, -ENOENT);
    OPEN("/hello/none", O_RDONLY, -ENOTDIR);
    OPEN("/hello/none", O_CREAT | O_RDWR, -ENOTDIR);
    OPEN("/hello/", O_RDONLY, -ENOTDIR);
    OPEN("/hello", O_RDONLY | O_DIRECTORY, -ENOTDIR);
    OPEN("/hello", O_RDONLY | O_CREAT | O_EXCL, -EEXIST);
    OPEN("/sub", O_WRONLY, -EISDIR);
    OPEN("/sub", O_RDONLY | O_TRUNC, -EISDIR);
    OPEN("/", O_RDONLY | O_CREAT | O_EXCL, -EINVAL);
    OPEN("/link", O_RDONLY, -ELOOP);
    OPEN("/link/x", O_RDONLY, -ELOOP);
    OPEN("/link/x", O_CREAT | O_RDWR, -ELOOP);
    OPEN("/pipe", O_RDONLY, -ENXIO);
    OPEN("/..", O_RDONLY, -EINVAL);
    OPEN("/sub/../hello", O_RDONLY, -EINVAL);
    OPEN("/hello", O_PATH, -EINVAL);
    OPEN("/hello", O_ACCMODE, -EINVAL);
    OPEN("/hello", O_CREAT | O_DIRECTORY, -EINVAL);
    memset(name, 'x', 256);
    name[256] = '\0';
    OPEN(name, O_RDONLY, -ENAMETOOLONG);
    OPEN(name, O_CREAT | O_RDWR, -ENAMETOOLONG);
    name[255] = '\0';
    OPEN(name, O_RDONLY, -ENOENT);
    rig_is(&rig, vhost_fs_mkdir(rig.fs, "/hello", 0, &rig.error), -EEXIST);
    rig_is(&rig, vhost_fs_unlink(rig.fs, "/", &rig.error), -EINVAL);
    rig_is(&rig, vhost_fs_stat(rig.fs, "", &st, &rig.error), 0);
    rig_is(&rig, vhost_fs_stat(rig.fs, "/link", &st, &rig.error), 0);
    rig_owes(rig.fuse, 0, 0);
    rig_down(&rig);
}

static void test_refuses_what_a_file_is_not_for(void **state)
{
    struct vhost_fs_dirent entry;
    struct stat st;
    char name[2];
    int file;

    (void)state;
    rig_up(&rig, NULL);
    file = opened("/hello", O_RDONLY);
    rig_is(&rig, vhost_fs_readdir(rig.fs, file, &entry, &rig.error), -ENOTDIR);
    rig_is(&rig, vhost_fs_read(rig.fs, file, name, 2, INT64_MAX, &rig.error),
           -EINVAL);
    rig_is(&rig, vhost_fs_read(rig.fs, file, name, 2, UINT64_MAX, &rig.error),
           -EINVAL);
    rig_is(&rig, vhost_fs_truncate(rig.fs, file, UINT64_MAX, &rig.error),
           -EINVAL);
    closed(file);
    file = opened("/sub", O_RDONLY);
    rig_is(&rig, vhost_fs_read(rig.fs, file, name, 2, 0, &rig.error), -EISDIR);
    rig_is(&rig, vhost_fs_flush(rig.fs, file, &rig.error), -EISDIR);
    rig_is(&rig, vhost_fs_truncate(rig.fs, file, 0, &rig.error), -EISDIR);
    closed(file);
    for (int bad = -1; bad < 3; bad++) {
        rig_is(&rig, vhost_fs_read(rig.fs, bad, name, 1, 0, &rig.error),
               -EBADF);
        rig_is(&rig, vhost_fs_close(rig.fs, bad, &rig.error), -EBADF);
        rig_is(&rig, vhost_fs_fstat(rig.fs, bad, &st, &rig.error), -EBADF);
        rig_is(&rig, vhost_fs_fsync(rig.fs, bad, true, &rig.error), -EBADF);
        rig_is(&rig, vhost_fs_readdir(rig.fs, bad, &entry, &rig.error), -EBADF);
    }
    rig_owes(rig.fuse, 0, 0);
    rig_down(&rig);
}

static void test_refuses_impossible_options(void **state)
{
    static const struct vhost_fs_options bad[] = {
        { .queue_size = 4 },       { .queue_size = 100 },
        { .transfer_size = 4095 }, { .transfer_size = (16u << 20) + 1 },
        { .layout = 77 },
    };
    struct vhost_error *error = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_null(vhost_fs_mount("user:nowhere", &bad[i], &error));
        assert_int_equal(vhost_error_code(error), -EINVAL);
        vhost_error_free(error);
        error = NULL;
    }
    assert_null(vhost_fs_mount("user:nowhere", NULL, &error));
    assert_int_equal(vhost_error_code(error), -ENOENT);
    vhost_error_free(error);
}

static void test_numbers_are_the_smallest_that_are_free(void **state)
{
    int files[40];

    (void)state;
    rig_up(&rig, NULL);
    for (int i = 0; i < 40; i++) {
        files[i] = opened("/hello", O_RDONLY);
        assert_int_equal(files[i], i);
    }
    closed(17);
    closed(3);
    assert_int_equal(opened("/hello", O_RDONLY), 3);
    assert_int_equal(opened("/hello", O_RDONLY), 17);
    assert_int_equal(opened("/hello", O_RDONLY), 40);
    rig_owes(rig.fuse, 41, 41);
    for (int i = 0; i < 41; i++) {
        closed(i);
    }
    rig_owes(rig.fuse, 0, 0);
    rig_down(&rig);
}

/* Sessions that move. */

static void many_files(void)
{
    pthread_mutex_lock(&rig.store.lock);
    for (unsigned i = 0; i < 40; i++) {
        char name[40];

        snprintf(name, sizeof(name), "file %u", i);
        fuse_add(&rig.store, 1, name, S_IFREG | 0644, name, 5);
    }
    pthread_mutex_unlock(&rig.store.lock);
}

static void test_a_session_moves_with_what_is_open(void **state)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);
    struct vhost_fs_options options = { .layout = VHOST_LAYOUT_PACKED };
    struct vhost_fs_dirent entry;
    struct rig_back second;
    struct vhost_fs *first;

    (void)state;
    rig_up(&rig, &options);
    many_files();
    rig_back_up(&second, &rig.store, "b", NULL);
    rig_back_run(&second);
    assert_int_equal(opened("/hello", O_RDWR), 0);
    assert_int_equal(opened("hello", O_RDONLY), 1);
    assert_int_equal(opened("/", O_RDONLY), 2);
    closed(1);
    for (unsigned i = 0; i < 20; i++) {
        rig_is(&rig, vhost_fs_readdir(rig.fs, 2, &entry, &rig.error), 1);
    }
    rig_is(&rig, vhost_fs_save(rig.fs, stream, &rig.error), 0);
    rig_is(&rig, vhost_fs_read(rig.fs, 0, data, 1, 0, &rig.error), -EBUSY);
    rig_is(&rig, vhost_fs_close(rig.fs, 1, &rig.error), -EBADF);
    first = rig.fs;
    rig.fs = vhost_fs_load(second.uri, NULL, stream, &rig.error);
    assert_non_null(rig.fs);
    vhost_fs_unmount(first);
    assert_int_equal(fuse_count(rig.fuse, FUSE_DESTROY), 0);
    assert_int_equal(fuse_count(second.fuse, FUSE_INIT), 0);
    rig_is(&rig, vhost_fs_read(rig.fs, 0, data, 9, 0, &rig.error), 6);
    assert_memory_equal(data, "hello\n", 6);
    rig_is(&rig, vhost_fs_write(rig.fs, 0, "J", 1, 0, &rig.error), 1);
    rig_holds(&rig, 2, 0, "Jello", 5);
    assert_int_equal(list(2, "file 39"), 5 + 40 - 1 - 20);
    assert_int_equal(opened("/hello", O_RDONLY), 1);
    for (int i = 0; i < 3; i++) {
        closed(i);
    }
    rig_owes(second.fuse, 0, 0);
    vhost_fs_unmount(rig.fs);
    assert_int_equal(fuse_count(second.fuse, FUSE_DESTROY), 1);
    rig.fs = NULL;
    rig_back_down(&second);
    rig_down(&rig);
    vhost_stream_free(stream);
}

static void test_a_session_goes_on_where_it_was_saved(void **state)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);

    (void)state;
    for (unsigned layout = 0; vhost_layout_name(layout); layout++) {
        struct vhost_fs_options options = { .layout = layout,
                                            .queue_size = 16 };

        rig_up(&rig, &options);
        assert_int_equal(opened("/hello", O_RDONLY), 0);
        rig_is(&rig, vhost_fs_resume(rig.fs, &rig.error), -EINVAL);
        for (unsigned i = 0; i < 40; i++) {
            rig_is(&rig, vhost_fs_save(rig.fs, stream, &rig.error), 0);
            rig_is(&rig, vhost_fs_resume(rig.fs, &rig.error), 0);
            rig_is(&rig, vhost_fs_read(rig.fs, 0, data, 9, 0, &rig.error), 6);
        }
        closed(0);
        rig_owes(rig.fuse, 0, 0);
        rig_down(&rig);
    }
    vhost_stream_free(stream);
}

/* A stream that was cut off anywhere, or has a byte changed. */
static void test_damaged_sessions_are_refused(void **state)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);
    struct rig_back second;
    uint8_t *saved;
    size_t len;
    const void *at;

    (void)state;
    rig_up(&rig, NULL);
    rig_back_up(&second, &rig.store, "b", NULL);
    rig_back_run(&second);
    opened("/hello", O_RDONLY);
    opened("/sub", O_RDONLY);
    rig_is(&rig, vhost_fs_save(rig.fs, stream, &rig.error), 0);
    at = vhost_stream_get_data(stream, &len);
    saved = malloc(len);
    memcpy(saved, at, len);
    vhost_stream_free(stream);
    for (size_t cut = 0; cut < len; cut += cut < 112 ? 1 : 97) {
        stream = vhost_stream_new_memory(cut ? saved : NULL, cut);
        assert_null(vhost_fs_load(second.uri, NULL, stream, &rig.error));
        assert_int_equal(vhost_error_code(rig.error), -ENODATA);
        vhost_error_free(rig.error);
        rig.error = NULL;
        vhost_stream_free(stream);
    }
    /* magic, version, size, number of files, number, kind, node, 2nd number */
    for (unsigned i = 0; i < 8; i++) {
        static const unsigned where[] = { 0, 7, 17, 20, 24, 31, 43, 63 };
        static const uint8_t what[] = { 1, 9, 0, 1, 1, 9, 0, 0 };
        uint8_t before = saved[where[i]];

        saved[where[i]] = what[i];
        stream = vhost_stream_new_memory(saved, len);
        assert_null(vhost_fs_load(second.uri, NULL, stream, &rig.error));
        assert_int_equal(vhost_error_code(rig.error), -EBADMSG);
        vhost_error_free(rig.error);
        rig.error = NULL;
        vhost_stream_free(stream);
        saved[where[i]] = before;
    }
    free(saved);
    rig_back_down(&second);
    rig_down(&rig);
}

static void test_a_back_end_that_cannot_save_says_so(void **state)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);
    struct vhost_server_options options = {
        .size = sizeof(options),
        .hide_protocol_features = UINT64_C(1) << VH_PF_DEVICE_STATE,
    };
    struct vhost_fs_info info;

    (void)state;
    rig_fill(&rig);
    rig_back_up(&rig.back, &rig.store, "a", &options);
    rig.fuse = rig.back.fuse;
    rig_back_run(&rig.back);
    rig.fs = vhost_fs_mount(rig.back.uri, NULL, NULL);
    assert_non_null(rig.fs);
    vhost_fs_get_info(rig.fs, &info);
    assert_false(info.can_save);
    rig_is(&rig, vhost_fs_save(rig.fs, stream, &rig.error), -ENOTSUP);
    closed(opened("/hello", O_RDONLY)); /* and nothing has happened */
    rig_down(&rig);
    vhost_stream_free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_works_over_every_layout),
        cmocka_unit_test(test_moves_no_more_at_a_time_than_both_want),
        cmocka_unit_test(test_refuses_what_it_cannot_do),
        cmocka_unit_test(test_refuses_what_a_file_is_not_for),
        cmocka_unit_test(test_refuses_impossible_options),
        cmocka_unit_test(test_numbers_are_the_smallest_that_are_free),
        cmocka_unit_test(test_a_session_moves_with_what_is_open),
        cmocka_unit_test(test_a_session_goes_on_where_it_was_saved),
        cmocka_unit_test(test_damaged_sessions_are_refused),
        cmocka_unit_test(test_a_back_end_that_cannot_save_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
