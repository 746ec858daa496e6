/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file server that lies, hangs or dies, at every request in turn: the driver
 * gets an error with words, within the deadline, and believes nothing.
 */
#include "driver/fs.h"
#include "fs-rig.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <linux/fuse.h>

#define SHORT_MS 60

static struct rig rig;
static uint8_t data[FUSE_FILE_MAX];

/* What leads to a request, of which there is none before in the session. */
static long ask(uint32_t opcode)
{
    struct vhost_fs_dirent entry;
    struct statvfs room;
    struct stat st;

    switch (opcode) {
    case FUSE_LOOKUP:
        return vhost_fs_stat(rig.fs, "/sub/big", &st, &rig.error);
    case FUSE_GETATTR:
        return vhost_fs_stat(rig.fs, "/", &st, &rig.error);
    case FUSE_OPEN:
        return vhost_fs_open(rig.fs, "/hello", O_RDONLY, 0, &rig.error);
    case FUSE_OPENDIR:
        return vhost_fs_open(rig.fs, "/sub", O_RDONLY, 0, &rig.error);
    case FUSE_CREATE:
        return vhost_fs_open(rig.fs, "/new", O_CREAT | O_RDWR, 0, &rig.error);
    case FUSE_MKDIR:
        return vhost_fs_mkdir(rig.fs, "/new", 0700, &rig.error);
    case FUSE_UNLINK:
        return vhost_fs_unlink(rig.fs, "/hello", &rig.error);
    case FUSE_RMDIR:
        return vhost_fs_rmdir(rig.fs, "/sub", &rig.error);
    case FUSE_READ:
        return vhost_fs_read(rig.fs, 0, data, 6, 0, &rig.error);
    case FUSE_WRITE:
        return vhost_fs_write(rig.fs, 0, data, 6, 0, &rig.error);
    case FUSE_READDIR:
        return vhost_fs_readdir(rig.fs, 1, &entry, &rig.error);
    case FUSE_RELEASE:
        return vhost_fs_close(rig.fs, 0, &rig.error);
    case FUSE_RELEASEDIR:
        return vhost_fs_close(rig.fs, 1, &rig.error);
    case FUSE_FLUSH:
        return vhost_fs_flush(rig.fs, 0, &rig.error);
    case FUSE_FSYNC:
        return vhost_fs_fsync(rig.fs, 0, true, &rig.error);
    case FUSE_FSYNCDIR:
        return vhost_fs_fsync(rig.fs, 1, true, &rig.error);
    case FUSE_SETATTR:
        return vhost_fs_truncate(rig.fs, 0, 3, &rig.error);
    case FUSE_STATFS:
        return vhost_fs_statfs(rig.fs, &room, &rig.error);
    default:
        fail();
        return 0;
    }
}

/* clang-format off */
static const struct {
    uint32_t opcode;
    bool has_body;
} questions[] = {
    { FUSE_LOOKUP, true },    { FUSE_GETATTR, true },  { FUSE_OPEN, true },
    { FUSE_OPENDIR, true },   { FUSE_CREATE, true },   { FUSE_MKDIR, true },
    { FUSE_UNLINK, false },   { FUSE_RMDIR, false },   { FUSE_READ, false },
    { FUSE_WRITE, true },     { FUSE_READDIR, false }, { FUSE_RELEASE, false },
    { FUSE_RELEASEDIR, false }, { FUSE_FLUSH, false }, { FUSE_FSYNC, false },
    { FUSE_FSYNCDIR, false }, { FUSE_SETATTR, true },  { FUSE_STATFS, true },
};
/* clang-format on */

static void up(void)
{
    rig_up(&rig, NULL);
    rig_is(&rig, vhost_fs_open(rig.fs, "/hello", O_RDWR, 0, &rig.error), 0);
    rig_is(&rig, vhost_fs_open(rig.fs, "/", O_RDONLY, 0, &rig.error), 1);
}

/* Only what is to hang has a short deadline: the others have their time. */
static void patience(bool short_one)
{
    rig.fs->options.request_ms = short_one ? SHORT_MS : 30000;
}

/* Nothing works any more, and nothing hangs. */
static void is_over(int code)
{
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        bool closed = questions[i].opcode == FUSE_RELEASE ||
                      questions[i].opcode == FUSE_RELEASEDIR;

        if (!closed) {
            long r = ask(questions[i].opcode);

            rig_is(&rig, r, r == -EBADF ? -EBADF : code);
        }
    }
}

static void lie(enum fuse_lie lie, uint32_t opcode)
{
    up();
    fuse_tell(rig.fuse, lie, opcode, 1);
    rig_is(&rig, ask(opcode), -EPROTO);
    is_over(-EPROTO);
    rig_down(&rig);
}

static void test_no_lie_about_an_answer_is_believed(void **state)
{
    static const enum fuse_lie lies[] = {
        FUSE_NOTHING,        FUSE_HALF_HEADER, FUSE_LEN_HUGE,
        FUSE_LEN_ONE_MORE,   FUSE_LEN_SMALL,   FUSE_OTHER_UNIQUE,
        FUSE_ERROR_POSITIVE, FUSE_ERROR_HUGE,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(lies); k++) {
            lie(lies[k], questions[i].opcode);
        }
        if (questions[i].has_body) {
            lie(FUSE_BODY_SHORT, questions[i].opcode);
            lie(FUSE_BODY_NONE, questions[i].opcode);
        }
    }
}

static void test_errors_of_files_end_nothing(void **state)
{
    struct stat st;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        up();
        fuse_tell(rig.fuse, FUSE_IO_ERROR, questions[i].opcode, 1);
        rig_is(&rig, ask(questions[i].opcode), -EIO);
        rig_is(&rig, vhost_fs_stat(rig.fs, "/link", &st, &rig.error), 0);
        rig_down(&rig);
    }
    /* This one says only that it has nothing to tell. */
    up();
    fuse_tell(rig.fuse, FUSE_NO_SYS, FUSE_FLUSH, 1);
    rig_is(&rig, ask(FUSE_FLUSH), 0);
    rig_down(&rig);
    /* A close that fails closes. */
    up();
    fuse_tell(rig.fuse, FUSE_IO_ERROR, FUSE_FLUSH, 1);
    rig_is(&rig, ask(FUSE_RELEASE), -EIO);
    rig_is(&rig, ask(FUSE_RELEASE), -EBADF);
    rig_is(&rig, ask(FUSE_RELEASEDIR), 0);
    rig_owes(rig.fuse, 0, 0);
    rig_down(&rig);
}

/* One that says so of the ring, through an eventfd. */
static void test_a_broken_ring_ends_it(void **state)
{
    (void)state;
    up();
    fuse_tell(rig.fuse, FUSE_BREAK, FUSE_READ, 1);
    rig_is(&rig, ask(FUSE_READ), -EPROTO);
    is_over(-EPROTO);
    rig_down(&rig);
}

/* Bytes of an answer that must not be, and those that may. */
static void test_no_value_is_believed_that_can_not_be(void **state)
{
#define LOOKUP(field) offsetof(struct fuse_entry_out, field)
#define GETATTR(field) offsetof(struct fuse_attr_out, field)
#define DIRENT(field) offsetof(struct fuse_dirent, field)
    /* clang-format off */
    static const struct {
        uint32_t opcode;
        size_t at;
        uint64_t value;
        unsigned len;
        int result;
    } cases[] = {
        { FUSE_LOOKUP, LOOKUP(nodeid), 0, 8, -ENOENT },
        { FUSE_LOOKUP, LOOKUP(attr.mode), 0, 4, -EPROTO },
        { FUSE_LOOKUP, LOOKUP(attr.mode), 0170644, 4, -EPROTO },
        { FUSE_LOOKUP, LOOKUP(attr.size), UINT64_MAX, 8, -EPROTO },
        { FUSE_LOOKUP, LOOKUP(attr.atimensec), UINT32_MAX, 4, 0 },
        { FUSE_GETATTR, GETATTR(attr.mode), 0, 4, -EPROTO },
        { FUSE_GETATTR, GETATTR(attr.size), UINT64_C(1) << 63, 8, -EPROTO },
        { FUSE_SETATTR, GETATTR(attr.size), UINT64_C(1) << 63, 8, -EPROTO },
        { FUSE_CREATE, LOOKUP(nodeid), 0, 8, -ENOENT },
        { FUSE_CREATE, LOOKUP(attr.mode), 0, 4, -EPROTO },
        { FUSE_WRITE, 0, 7, 4, -EPROTO },
        { FUSE_WRITE, 0, UINT32_MAX, 4, -EPROTO },
        { FUSE_WRITE, 0, 5, 4, 5 },
        { FUSE_WRITE, 0, 0, 4, 0 },
        { FUSE_READDIR, DIRENT(namelen), 0, 4, -EPROTO },
        { FUSE_READDIR, DIRENT(namelen), 256, 4, -EPROTO },
        { FUSE_READDIR, DIRENT(namelen), UINT32_MAX, 4, -EPROTO },
        { FUSE_READDIR, DIRENT(namelen), UINT32_MAX - 7, 4, -EPROTO },
        { FUSE_READDIR, DIRENT(name), '/', 1, -EPROTO },
        { FUSE_READDIR, DIRENT(name) + 1, 0, 1, -EPROTO },
        { FUSE_READDIR, DIRENT(off), UINT64_MAX, 8, 1 },
        { FUSE_READDIR, DIRENT(type), UINT32_MAX, 4, 1 },
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        up();
        fuse_tell_value(rig.fuse, cases[i].opcode, (unsigned)cases[i].at,
                        cases[i].value, cases[i].len);
        rig_is(&rig, ask(cases[i].opcode), cases[i].result);
        if (cases[i].result == -EPROTO) {
            is_over(-EPROTO);
        }
        rig_down(&rig);
    }
}

/* The good ones before it are handed out, and no byte behind the end is. */
static void list_that_is_cut(enum fuse_lie lie)
{
    struct vhost_fs_dirent entry;

    up();
    fuse_tell(rig.fuse, lie, FUSE_READDIR, 1);
    for (unsigned i = 0; i < 3; i++) {
        rig_is(&rig, vhost_fs_readdir(rig.fs, 1, &entry, &rig.error), 1);
    }
    rig_is(&rig, vhost_fs_readdir(rig.fs, 1, &entry, &rig.error), -EPROTO);
    is_over(-EPROTO);
    rig_down(&rig);
}

static void test_a_list_that_is_cut_off_is_noticed(void **state)
{
    (void)state;
    list_that_is_cut(FUSE_DIRENTS_CUT);
    list_that_is_cut(FUSE_DIRENTS_CUT2);
}

static void begin(enum fuse_lie lie, unsigned at, uint64_t value, unsigned len,
                  int code)
{
    rig_prepare(&rig);
    if (lie == FUSE_BODY_VALUE) {
        fuse_tell_value(rig.fuse, FUSE_INIT, at, value, len);
    } else {
        fuse_tell(rig.fuse, lie, FUSE_INIT, 1);
    }
    rig_back_run(&rig.back);
    rig.fs =
        vhost_fs_mount(rig.back.uri,
                       &(struct vhost_fs_options){
                           .request_ms = code == -ETIMEDOUT ? SHORT_MS : 0 },
                       &rig.error);
    assert_null(rig.fs);
    assert_int_equal(vhost_error_code(rig.error), code);
    assert_non_null(strstr(vhost_error_message(rig.error), rig.back.uri));
    rig_down(&rig);
}

static void test_no_session_begins_with_a_lie(void **state)
{
    (void)state;
    begin(FUSE_BODY_VALUE, 0, 8, 4, -ENOTSUP);
    begin(FUSE_BODY_VALUE, 0, 6, 4, -ENOTSUP);
    begin(FUSE_BODY_VALUE, 4, 30, 4, -ENOTSUP);
    begin(FUSE_BODY_VALUE, offsetof(struct fuse_init_out, max_write), 4095, 4,
          -EPROTO);
    begin(FUSE_BODY_NONE, 0, 0, 0, -EPROTO);
    begin(FUSE_NOTHING, 0, 0, 0, -EPROTO);
    begin(FUSE_OTHER_UNIQUE, 0, 0, 0, -EPROTO);
    begin(FUSE_LEN_HUGE, 0, 0, 0, -EPROTO);
    begin(FUSE_IO_ERROR, 0, 0, 0, -EIO);
    begin(FUSE_NO_ANSWER, 0, 0, 0, -ETIMEDOUT);
}

static void test_no_request_waits_for_ever(void **state)
{
    struct stat st;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        up();
        fuse_tell(rig.fuse, FUSE_NO_ANSWER, questions[i].opcode, 1);
        patience(true);
        rig_is(&rig, ask(questions[i].opcode), -ETIMEDOUT);
        patience(false);
        /* The others go on: a slow file holds up nobody else. */
        rig_is(&rig, vhost_fs_stat(rig.fs, "/link", &st, &rig.error), 0);
        rig_down(&rig);
    }
}

/* Their memory stays theirs: so at some time there is no more. */
static void test_requests_that_hang_use_up_what_there_is(void **state)
{
    struct stat st;

    (void)state;
    up();
    for (unsigned i = 0; i < 4; i++) {
        rig_is(&rig, vhost_fs_stat(rig.fs, "/link", &st, &rig.error), 0);
        fuse_tell(rig.fuse, FUSE_NO_ANSWER, FUSE_READ, 1);
        patience(true);
        rig_is(&rig, ask(FUSE_READ), -ETIMEDOUT);
        patience(false);
    }
    patience(true);
    rig_is(&rig, vhost_fs_stat(rig.fs, "/link", &st, &rig.error), -ETIMEDOUT);
    rig_down(&rig);
}

/* With one slot left, a large transfer does not wait for the other three. */
static void test_a_large_read_needs_one_slot_only(void **state)
{
    (void)state;
    up();
    rig_is(&rig, vhost_fs_open(rig.fs, "/sub/big", O_RDONLY, 0, &rig.error), 2);
    for (unsigned i = 0; i < 3; i++) {
        fuse_tell(rig.fuse, FUSE_NO_ANSWER, FUSE_READ, 1);
        patience(true);
        rig_is(&rig, ask(FUSE_READ), -ETIMEDOUT);
        patience(false);
    }
    rig_is(&rig, vhost_fs_read(rig.fs, 2, data, sizeof(data), 0, &rig.error),
           RIG_BIG);
    assert_memory_equal(data, rig.big, RIG_BIG);
    rig_down(&rig);
}

static void test_an_answer_that_is_late_is_nobodys(void **state)
{
    uint8_t first[6], second[3];

    (void)state;
    up();
    for (unsigned i = 0; i < 20; i++) {
        memset(first, 'x', sizeof(first));
        fuse_tell(rig.fuse, FUSE_LATE, FUSE_READ, 1);
        patience(true);
        rig_is(&rig, vhost_fs_read(rig.fs, 0, first, 6, 0, &rig.error),
               -ETIMEDOUT);
        patience(false);
        rig_is(&rig, vhost_fs_read(rig.fs, 0, second, 3, 2, &rig.error), 3);
        assert_memory_equal(second, "llo", 3);
        rig_is(&rig, vhost_fs_read(rig.fs, 0, second, 3, 1, &rig.error), 3);
        assert_memory_equal(second, "ell", 3);
        assert_memory_equal(first, "xxxxxx", 6);
    }
    rig_down(&rig);
}

/* A part of a large read fails: what comes before it counts, no byte behind. */
static void test_a_transfer_ends_where_a_part_fails(void **state)
{
    static const unsigned parts = (RIG_BIG + (128 << 10) - 1) / (128 << 10);

    (void)state;
    for (unsigned nth = 1; nth <= parts; nth++) {
        long before = (long)(nth - 1) * (128 << 10);

        up();
        rig_is(&rig, vhost_fs_open(rig.fs, "/sub/big", O_RDWR, 0, &rig.error),
               2);
        fuse_tell(rig.fuse, FUSE_IO_ERROR, FUSE_READ, nth);
        rig_is(&rig, vhost_fs_read(rig.fs, 2, data, RIG_BIG, 0, &rig.error),
               before ? before : -EIO);
        assert_memory_equal(data, rig.big, (size_t)before);
        fuse_tell(rig.fuse, FUSE_BODY_SHORT, FUSE_READ, nth);
        rig_is(&rig, vhost_fs_read(rig.fs, 2, data, RIG_BIG, 0, &rig.error),
               nth < parts ? before + (128 << 10) - 1 : RIG_BIG - 1);
        fuse_tell(rig.fuse, FUSE_IO_ERROR, FUSE_WRITE, nth);
        rig_is(&rig, vhost_fs_write(rig.fs, 2, rig.big, RIG_BIG, 0, &rig.error),
               before ? before : -EIO);
        rig_down(&rig);
    }
}

/* A process of its own, to be killed. */
static pid_t fork_back_end(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        rig_serve(&rig.back);
    }
    return pid;
}

static void *kill_soon(void *arg)
{
    usleep(50000);
    kill(*(pid_t *)arg, SIGKILL);
    return NULL;
}

static void on_lost(struct vhost_fs *fs, const char *reason, void *opaque)
{
    (void)fs;
    assert_true(strlen(reason) > 10);
    ++*(unsigned *)opaque;
}

static void test_a_back_end_that_dies_is_noticed_at_once(void **state)
{
    unsigned n_lost = 0;
    struct vhost_fs_options options = { .request_ms = 60000,
                                        .lost = on_lost,
                                        .opaque = &n_lost };
    pthread_t killer;
    pid_t pid;

    (void)state;
    rig_prepare(&rig);
    fuse_tell(rig.fuse, FUSE_NO_ANSWER, FUSE_READ, 1);
    pid = fork_back_end();
    rig.fs = vhost_fs_mount(rig.back.uri, &options, NULL);
    assert_non_null(rig.fs);
    rig_is(&rig, vhost_fs_open(rig.fs, "/hello", O_RDWR, 0, &rig.error), 0);
    rig_is(&rig, vhost_fs_dispatch(rig.fs, &rig.error), 0);
    pthread_create(&killer, NULL, kill_soon, &pid);
    rig_is(&rig, ask(FUSE_READ), -ENOTCONN);
    pthread_join(killer, NULL);
    waitpid(pid, NULL, 0);
    is_over(-ENOTCONN);
    assert_true(vhost_fs_dispatch(rig.fs, &rig.error) < 0);
    assert_int_equal(n_lost, 1);
    vhost_error_free(rig.error);
    vhost_fs_unmount(rig.fs);
    vhost_server_free(rig.back.server);
    fuse_store_free(&rig.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_lie_about_an_answer_is_believed),
        cmocka_unit_test(test_errors_of_files_end_nothing),
        cmocka_unit_test(test_a_broken_ring_ends_it),
        cmocka_unit_test(test_no_value_is_believed_that_can_not_be),
        cmocka_unit_test(test_a_list_that_is_cut_off_is_noticed),
        cmocka_unit_test(test_no_session_begins_with_a_lie),
        cmocka_unit_test(test_no_request_waits_for_ever),
        cmocka_unit_test(test_requests_that_hang_use_up_what_there_is),
        cmocka_unit_test(test_a_large_read_needs_one_slot_only),
        cmocka_unit_test(test_an_answer_that_is_late_is_nobodys),
        cmocka_unit_test(test_a_transfer_ends_where_a_part_fails),
        cmocka_unit_test(test_a_back_end_that_dies_is_noticed_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
