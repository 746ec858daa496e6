/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exercises a file system through the public API of libvhost, beside the
 * directory that it shows, which is seen by the system's own calls:
 *
 *     fs-exercise tour URI DIR LAYOUT QUEUE_SIZE TRANSFER_SIZE polling|eventfd
 *     fs-exercise owners URI
 *     fs-exercise refused URI
 *     fs-exercise move URI DIR URI2 [LAYOUT]
 *     fs-exercise stay URI DIR
 *
 * A tour compares the whole tree, by names, attributes and content; then makes,
 * writes, reads back and removes files, and makes mistakes.  Owners: root's
 * files are not open to others.  A move has files and a directory open while
 * the session goes from one back end to another; or it stays after all. Ends
 * with status 0 if all is as it should be.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vhost/fs.h>

#define BIG (9u << 20)

struct tour {
    struct vhost_fs *fs;
    struct vhost_error *error;
    const char *dir; /* the same files, to the system */
    unsigned n_files;
};

/* Fails unless @r is what it should be. */
static void is(struct tour *t, long r, long wanted, const char *what)
{
    if (r != wanted) {
        errx(1, "%s: %ld, not %ld; %s", what, r, wanted,
             t->error ? vhost_error_message(t->error) : "no words");
    }
    if ((r < 0) != (t->error != NULL)) {
        errx(1, "%s: %ld %s words", what, r, r < 0 ? "without" : "with");
    }
    vhost_error_free(t->error);
    t->error = NULL;
}

static int opened(struct tour *t, const char *path, int flags)
{
    int file = vhost_fs_open(t->fs, path, flags, 0640, &t->error);

    is(t, file < 0 ? file : 0, 0, path);
    return file;
}

static void closed(struct tour *t, int file)
{
    is(t, vhost_fs_close(t->fs, file, &t->error), 0, "close");
}

static const char *there(const struct tour *t, const char *path)
{
    static char text[PATH_MAX];

    snprintf(text, sizeof(text), "%s%s", t->dir, path);
    return text;
}

static char *content_there(const struct tour *t, const char *path, size_t *len)
{
    FILE *f = fopen(there(t, path), "rb");
    char *buf = malloc(BIG + 1);

    if (!f || !buf) {
        err(1, "%s", there(t, path));
    }
    *len = fread(buf, 1, BIG + 1, f);
    fclose(f);
    return buf;
}

static void same_content(struct tour *t, const char *path)
{
    size_t len;
    char *wanted = content_there(t, path, &len);
    char *got = malloc(len + 100);
    int file = opened(t, path, O_RDONLY);

    memset(got, 0x55, len + 100);
    is(t, vhost_fs_read(t->fs, file, got, len + 100, 0, &t->error), (long)len,
       path);
    if (memcmp(got, wanted, len) != 0 || got[len] != 0x55) {
        errx(1, "%s: another content", path);
    }
    closed(t, file);
    free(got);
    free(wanted);
    t->n_files++;
}

static void same_attributes(struct tour *t, const char *path)
{
    struct stat st, wanted;

    is(t, vhost_fs_stat(t->fs, path, &st, &t->error), 0, path);
    if (lstat(there(t, path), &wanted) < 0) {
        err(1, "%s", path);
    }
    if (st.st_mode != wanted.st_mode || st.st_size != wanted.st_size ||
        st.st_uid != wanted.st_uid || st.st_nlink != wanted.st_nlink ||
        st.st_mtim.tv_sec != wanted.st_mtim.tv_sec ||
        st.st_mtim.tv_nsec != wanted.st_mtim.tv_nsec ||
        st.st_ino != wanted.st_ino) {
        errx(1, "%s: other attributes", path);
    }
}

static unsigned count_there(const struct tour *t, const char *path)
{
    DIR *d = opendir(there(t, path));
    unsigned n = 0;

    while (d && readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

static void same_tree(struct tour *t, const char *path);

static void same_entry(struct tour *t, const char *dir,
                       const struct vhost_fs_dirent *entry)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", dir, entry->name);
    same_attributes(t, path);
    if (entry->type == DT_DIR) {
        same_tree(t, path);
    } else if (entry->type == DT_REG) {
        same_content(t, path);
    }
}

static void same_tree(struct tour *t, const char *path)
{
    int dir = opened(t, path, O_RDONLY | O_DIRECTORY);
    struct vhost_fs_dirent entry;
    unsigned n = 0;
    int r;

    while ((r = vhost_fs_readdir(t->fs, dir, &entry, &t->error)) == 1) {
        n++;
        if (strcmp(entry.name, ".") != 0 && strcmp(entry.name, "..") != 0) {
            same_entry(t, path, &entry);
        }
    }
    is(t, r, 0, "readdir");
    is(t, n, count_there(t, path), path);
    closed(t, dir);
}

static void fill(char *buf, size_t len, unsigned seed)
{
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        buf[i] = (char)x;
    }
}

static void writes_and_reads_back(struct tour *t)
{
    char *buf = malloc(BIG), *back = malloc(BIG);
    int file = opened(t, "/made/big", O_RDWR | O_CREAT | O_EXCL);
    struct stat st;

    fill(buf, BIG, 1);
    is(t, vhost_fs_write(t->fs, file, buf, BIG, 0, &t->error), BIG, "write");
    is(t, vhost_fs_fsync(t->fs, file, true, &t->error), 0, "fsync");
    is(t, vhost_fs_flush(t->fs, file, &t->error), 0, "flush");
    is(t, vhost_fs_fstat(t->fs, file, &st, &t->error), 0, "fstat");
    is(t, st.st_size, BIG, "size");
    is(t, st.st_mode & 07777, 0640, "mode");
    is(t, vhost_fs_read(t->fs, file, back, BIG, 0, &t->error), BIG, "read");
    is(t, memcmp(buf, back, BIG), 0, "what was written");
    /* Across the borders of requests, at odd places. */
    fill(buf + 4321, 3000001, 2);
    is(t, vhost_fs_write(t->fs, file, buf + 4321, 3000001, 4321, &t->error),
       3000001, "write inside");
    is(t, vhost_fs_read(t->fs, file, back, BIG - 17, 17, &t->error), BIG - 17,
       "read inside");
    is(t, memcmp(buf + 17, back, BIG - 17), 0, "what was written inside");
    is(t, vhost_fs_read(t->fs, file, back, 100, BIG - 1, &t->error), 1, "end");
    is(t, vhost_fs_read(t->fs, file, back, 100, BIG, &t->error), 0, "the end");
    is(t, vhost_fs_read(t->fs, file, back, BIG, BIG * 2ull, &t->error), 0,
       "behind the end");
    closed(t, file);
    same_content(t, "/made/big");
    file = opened(t, "/made/big", O_RDWR | O_CREAT);
    is(t, vhost_fs_truncate(t->fs, file, 1000, &t->error), 0, "truncate");
    closed(t, file);
    same_content(t, "/made/big");
    file = opened(t, "/made/big", O_WRONLY | O_APPEND);
    is(t, vhost_fs_write(t->fs, file, buf, BIG / 2, 0, &t->error), BIG / 2,
       "append");
    closed(t, file);
    same_content(t, "/made/big");
    closed(t, opened(t, "/made/big", O_WRONLY | O_TRUNC));
    is(t, vhost_fs_stat(t->fs, "/made/big", &st, &t->error), 0, "stat");
    is(t, st.st_size, 0, "size of what was truncated");
    is(t, vhost_fs_unlink(t->fs, "/made/big", &t->error), 0, "unlink");
    free(back);
    free(buf);
}

static void makes_and_removes(struct tour *t)
{
    struct statvfs room;

    is(t, vhost_fs_mkdir(t->fs, "/made", 0750, &t->error), 0, "mkdir");
    same_attributes(t, "/made");
    is(t, vhost_fs_mkdir(t->fs, "made//sub/", 0700, &t->error), 0, "mkdir");
    writes_and_reads_back(t);
    is(t, vhost_fs_rmdir(t->fs, "/made", &t->error), -ENOTEMPTY, "rmdir full");
    is(t, vhost_fs_unlink(t->fs, "/made/sub", &t->error), -EISDIR,
       "unlink dir");
    is(t, vhost_fs_rmdir(t->fs, "/made/sub", &t->error), 0, "rmdir");
    is(t, vhost_fs_rmdir(t->fs, "/made", &t->error), 0, "rmdir");
    is(t, access(there(t, "/made"), F_OK) < 0, 1, "what was removed");
    is(t, vhost_fs_statfs(t->fs, &room, &t->error), 0, "statfs");
    is(t, room.f_bsize > 0 && room.f_blocks > 0 && room.f_namemax == 255, 1,
       "statfs");
}

static void open_is(struct tour *t, const char *path, int flags, int code)
{
    is(t, vhost_fs_open(t->fs, path, flags, 0600, &t->error), code, path);
}

static void makes_mistakes(struct tour *t)
{
    char name[300];
    struct vhost_fs_dirent entry;
    struct stat st;
    int file;

    open_is(t, "/nothing", O_RDONLY, -ENOENT);
    open_is(t, "/nothing/there", O_RDWR | O_CREAT, -ENOENT);
    open_is(t, "/hello", O_RDONLY | O_DIRECTORY, -ENOTDIR);
    open_is(t, "/hello/there", O_RDONLY, -ENOTDIR);
    open_is(t, "/hello/", O_RDONLY, -ENOTDIR);
    open_is(t, "/hello", O_WRONLY | O_CREAT | O_EXCL, -EEXIST);
    open_is(t, "/sub", O_WRONLY, -EISDIR);
    open_is(t, "/", O_RDWR, -EISDIR);
    open_is(t, "/link", O_RDONLY, -ELOOP);
    open_is(t, "/link/deep", O_RDONLY, -ELOOP);
    open_is(t, "/pipe", O_RDONLY, -ENXIO);
    open_is(t, "/sub/../hello", O_RDONLY, -EINVAL);
    open_is(t, "/hello", O_PATH, -EINVAL);
    memset(name, 'n', sizeof(name));
    name[299] = '\0';
    open_is(t, name, O_RDONLY, -ENAMETOOLONG);
    is(t, vhost_fs_mkdir(t->fs, "/sub", 0700, &t->error), -EEXIST, "mkdir");
    is(t, vhost_fs_rmdir(t->fs, "/hello", &t->error), -ENOTDIR, "rmdir file");
    is(t, vhost_fs_unlink(t->fs, "/nothing", &t->error), -ENOENT, "unlink");
    is(t, vhost_fs_stat(t->fs, "/link", &st, &t->error), 0, "a link");
    is(t, S_ISLNK(st.st_mode), 1, "a link");
    file = opened(t, "/./sub/.//", O_RDONLY);
    is(t, vhost_fs_read(t->fs, file, name, 10, 0, &t->error), -EISDIR, "read");
    closed(t, file);
    file = opened(t, "hello", O_RDONLY);
    is(t, vhost_fs_write(t->fs, file, name, 10, 0, &t->error), -EBADF, "write");
    is(t, vhost_fs_readdir(t->fs, file, &entry, &t->error), -ENOTDIR, "list");
    closed(t, file);
    is(t, vhost_fs_read(t->fs, file, name, 10, 0, &t->error), -EBADF, "gone");
    is(t, vhost_fs_close(t->fs, 77, &t->error), -EBADF, "close");
}

static unsigned layout_of(const char *name)
{
    unsigned layout = 0;

    while (vhost_layout_name(layout) &&
           strcmp(vhost_layout_name(layout), name) != 0) {
        layout++;
    }
    return layout;
}

static void mounted(struct tour *t, const char *uri,
                    const struct vhost_fs_options *options)
{
    struct vhost_fs_info info;

    t->fs = vhost_fs_mount(uri, options, &t->error);
    if (!t->fs) {
        errx(1, "%s", vhost_error_message(t->error));
    }
    vhost_fs_get_info(t->fs, &info);
    printf("tag '%s', %u queues for requests, FUSE 7.%u, %s, %zu bytes a "
           "request\n",
           info.tag, info.request_queues, info.minor,
           vhost_layout_name(info.layout), info.transfer_size);
}

/* What is made belongs to the one that requests are made as. */
static void respects_owners(char **argv)
{
    struct vhost_fs_options options = {
        .size = sizeof(options),
        .uid = 65534,
        .gid = 65533,
    };
    struct tour t = { .dir = "" };
    struct stat st;

    mounted(&t, argv[0], &options);
    is(&t, vhost_fs_mkdir(t.fs, "/mine", 0700, &t.error), 0, "mkdir");
    is(&t, vhost_fs_stat(t.fs, "/mine", &st, &t.error), 0, "stat");
    is(&t, st.st_uid, 65534, "owner");
    is(&t, st.st_gid, 65533, "group");
    is(&t, vhost_fs_rmdir(t.fs, "/mine", &t.error), 0, "rmdir");
    vhost_fs_unmount(t.fs);
}

static void is_refused(char **argv)
{
    struct tour t = { .dir = "" };

    mounted(&t, argv[0], NULL);
    open_is(&t, "/secret", O_RDONLY, -EACCES);
    open_is(&t, "/hello", O_RDWR, -EACCES);
    vhost_fs_unmount(t.fs);
}

static void tour(char **argv)
{
    struct vhost_fs_options options = {
        .size = sizeof(options),
        .layout = layout_of(argv[2]),
        .queue_size = (unsigned)atoi(argv[3]),
        .transfer_size = (size_t)atol(argv[4]),
        .polling = strcmp(argv[5], "polling") == 0,
    };
    struct tour t = { .dir = argv[1] };
    struct vhost_fs_info info;

    mounted(&t, argv[0], &options);
    same_tree(&t, "");
    if (t.n_files < 100) {
        errx(1, "only %u files in the tree", t.n_files);
    }
    makes_and_removes(&t);
    makes_mistakes(&t);
    vhost_fs_get_info(t.fs, &info);
    is(&t, info.open_files, 0, "open files");
    vhost_fs_unmount(t.fs);
}

/* Beside each other: what is read through either is the same. */
struct held {
    int read, written, dir, removed;
    unsigned n_listed;
};

static void hold(struct tour *t, struct held *h)
{
    struct vhost_fs_dirent entry;
    int between;

    closed(t, opened(t, "/moved", O_WRONLY | O_CREAT));
    closed(t, opened(t, "/removed", O_WRONLY | O_CREAT));
    h->read = opened(t, "/sub/big", O_RDONLY);
    between = opened(t, "/hello", O_RDONLY);
    h->dir = opened(t, "/many", O_RDONLY);
    h->written = opened(t, "/moved", O_RDWR);
    closed(t, between); /* a number is free: 1 */
    is(t, vhost_fs_write(t->fs, h->written, "before", 6, 0, &t->error), 6,
       "write");
    while (h->n_listed < 50) {
        is(t, vhost_fs_readdir(t->fs, h->dir, &entry, &t->error), 1, "readdir");
        h->n_listed++;
    }
}

static void still_held(struct tour *t, struct held *h)
{
    struct vhost_fs_dirent entry;
    char *wanted, *got = malloc(BIG + 1);
    struct stat st;
    size_t len;

    wanted = content_there(t, "/sub/big", &len);
    is(t, vhost_fs_read(t->fs, h->read, got, BIG + 1, 0, &t->error), (long)len,
       "read");
    is(t, memcmp(got, wanted, len), 0, "what is read");
    is(t, vhost_fs_write(t->fs, h->written, " after", 6, 6, &t->error), 6,
       "write");
    is(t, vhost_fs_read(t->fs, h->written, got, 20, 0, &t->error), 12, "read");
    is(t, memcmp(got, "before after", 12), 0, "what was written");
    is(t, vhost_fs_fstat(t->fs, h->written, &st, &t->error), 0, "fstat");
    is(t, st.st_size, 12, "size");
    while (vhost_fs_readdir(t->fs, h->dir, &entry, &t->error) == 1) {
        h->n_listed++;
    }
    is(t, h->n_listed, count_there(t, "/many"), "entries");
    free(wanted);
    free(got);
}

static void let_go(struct tour *t, const struct held *h)
{
    struct vhost_fs_info info;

    is(t, opened(t, "/hello", O_RDONLY), 1, "the smallest free number");
    closed(t, 1);
    closed(t, h->read);
    closed(t, h->dir);
    closed(t, h->written);
    vhost_fs_get_info(t->fs, &info);
    is(t, info.open_files, 0, "open files");
    is(t, vhost_fs_unlink(t->fs, "/moved", &t->error), 0, "unlink");
    is(t, vhost_fs_unlink(t->fs, "/removed", &t->error), 0, "unlink");
}

static void move(char **argv)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);
    struct tour from = { .dir = argv[1] }, to = { .dir = argv[1] };
    struct vhost_fs_options options = { .size = sizeof(options) };
    struct held held = { .n_listed = 0 };
    size_t len;

    if (argv[3]) {
        options.layout = layout_of(argv[3]);
    }
    mounted(&from, argv[0], &options);
    hold(&from, &held);
    is(&from, vhost_fs_save(from.fs, stream, &from.error), 0, "save");
    vhost_stream_get_data(stream, &len);
    printf("%zu bytes of state\n", len);
    is(&from, vhost_fs_read(from.fs, held.read, &held, 1, 0, &from.error),
       -EBUSY, "read while saved");
    to.fs = vhost_fs_load(argv[2], &options, stream, &to.error);
    if (!to.fs) {
        errx(1, "%s", vhost_error_message(to.error));
    }
    vhost_fs_unmount(from.fs);
    vhost_stream_free(stream);
    still_held(&to, &held);
    let_go(&to, &held);
    vhost_fs_unmount(to.fs);
}

/* Saved for a move that did not happen. */
static void stay(char **argv)
{
    struct vhost_stream *stream = vhost_stream_new_memory(NULL, 0);
    struct tour t = { .dir = argv[1] };
    struct held held = { .n_listed = 0 };

    mounted(&t, argv[0], NULL);
    hold(&t, &held);
    is(&t, vhost_fs_save(t.fs, stream, &t.error), 0, "save");
    is(&t, vhost_fs_resume(t.fs, &t.error), 0, "resume");
    is(&t, vhost_fs_resume(t.fs, &t.error), -EINVAL, "resume twice");
    still_held(&t, &held);
    let_go(&t, &held);
    vhost_fs_unmount(t.fs);
    vhost_stream_free(stream);
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "tour") == 0) {
        tour(argv + 2);
    } else if (argc >= 5 && strcmp(argv[1], "move") == 0) {
        move(argv + 2);
    } else if (argc == 3 && strcmp(argv[1], "owners") == 0) {
        respects_owners(argv + 2);
    } else if (argc == 3 && strcmp(argv[1], "refused") == 0) {
        is_refused(argv + 2);
    } else if (argc == 4 && strcmp(argv[1], "stay") == 0) {
        stay(argv + 2);
    } else {
        errx(2, "see the beginning of fs-exercise.c");
    }
    return 0;
}
