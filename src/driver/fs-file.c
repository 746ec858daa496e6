/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open files, as numbers: what a program keeps of an open file is the same
 * wherever its session goes on.
 *
 * An open file holds a lookup of its node, since servers find the file by that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/error.h"

/* These mean nothing there. */
#define FLAGS_OURS (O_CLOEXEC | O_NOFOLLOW | O_NOCTTY)
#define FLAGS_KNOWN                                                    \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY | \
     O_SYNC | O_DSYNC | O_LARGEFILE | FLAGS_OURS)
#define N_AT_FIRST 16

/* Room for more of them.  False if memory is short. */
static bool grow(struct vhost_fs *fs, unsigned n)
{
    struct vh_fs_file *files = reallocarray(fs->files, n, sizeof(*files));

    if (!files) {
        return false;
    }
    memset(files + fs->n_files, 0, (n - fs->n_files) * sizeof(*files));
    fs->files = files;
    fs->n_files = n;
    return true;
}

struct vh_fs_file *vh_fs_file_at(struct vhost_fs *fs, unsigned number)
{
    unsigned n = fs->n_files ? fs->n_files : N_AT_FIRST;

    if (number >= VH_FS_FILES_MAX) {
        return NULL;
    }
    while (n <= number) {
        n *= 2;
    }
    if (n > fs->n_files && !grow(fs, n)) {
        return NULL;
    }
    return fs->files[number].is_open ? NULL : &fs->files[number];
}

void vh_fs_files_free(struct vhost_fs *fs)
{
    for (unsigned i = 0; i < fs->n_files; i++) {
        free(fs->files[i].entries);
    }
    free(fs->files);
    fs->files = NULL;
    fs->n_files = 0;
}

struct vh_fs_file *vh_fs_file(struct vhost_fs *fs, int number, const char *what,
                              struct vhost_error **errp)
{
    if (number >= 0 && (unsigned)number < fs->n_files &&
        fs->files[number].is_open) {
        return &fs->files[number];
    }
    vh_error(errp, -EBADF, what, VH_NO_QUEUE, "%s: no file %d is open", what,
             number);
    return NULL;
}

static int refuse(int code, const char *why, struct vhost_error **errp)
{
    return vh_error(errp, code, "open", VH_NO_QUEUE, "open: %s", why);
}

static int check_flags(int flags, struct vhost_error **errp)
{
    if (flags & ~FLAGS_KNOWN || (flags & O_ACCMODE) == O_ACCMODE) {
        return refuse(-EINVAL, "flags that are not possible here", errp);
    }
    if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) {
        return refuse(-EINVAL, "a directory is made by mkdir", errp);
    }
    return 0;
}

/* Is it of a kind that can be opened so? */
static int check_kind(mode_t mode, int flags, struct vhost_error **errp)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

    if (S_ISLNK(mode)) {
        return refuse(-ELOOP, "a symbolic link, which is not followed", errp);
    }
    if (S_ISDIR(mode)) {
        return writes ? refuse(-EISDIR, "a directory, to be written", errp) : 0;
    }
    if (flags & O_DIRECTORY) {
        return refuse(-ENOTDIR, "not a directory", errp);
    }
    if (!S_ISREG(mode)) {
        /* Opening a pipe could hang the server. */
        return refuse(-ENXIO, "neither a file nor a directory", errp);
    }
    return 0;
}

/* A file that is there. */
static int open_path(struct vhost_fs *fs, const char *path, int flags,
                     struct vh_fs_file *file, struct vhost_error **errp)
{
    struct stat st;
    int r = vh_fs_walk(fs, path, &file->node, &st, errp);

    if (r < 0) {
        return r;
    }
    r = check_kind(st.st_mode, flags, errp);
    if (r == 0) {
        file->is_dir = S_ISDIR(st.st_mode);
        file->flags = (uint32_t)flags;
        if (!(fs->flags & FUSE_ATOMIC_O_TRUNC)) {
            file->flags &= ~(uint32_t)O_TRUNC;
        }
        r = vh_fs_open_node(fs, file, errp);
    }
    if (r == 0 && (uint32_t)flags & ~file->flags & O_TRUNC) {
        r = vh_fs_set_size(fs, file, 0, errp);
        if (r < 0) {
            vh_fs_release(fs, file, NULL);
        }
    }
    if (r < 0) {
        vh_fs_forget(fs, file->node, 1);
    }
    return r;
}

static int create_path(struct vhost_fs *fs, const char *path, int flags,
                       mode_t mode, struct vh_fs_file *file,
                       struct vhost_error **errp)
{
    char name[VH_FS_NAME_MAX + 1];
    uint64_t parent;
    int r = vh_fs_walk_parent(fs, path, &parent, name, errp);

    if (r == 0) {
        file->flags = (uint32_t)flags;
        r = vh_fs_create(fs, parent, name, mode, file, errp);
        file->flags &= ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC);
        vh_fs_forget(fs, parent, 1);
    }
    return r;
}

/*
 * A name that is there is opened as any other, so that it is found out first
 * what it is; unless there must be none.  Between the two requests another
 * client may make or remove it: the server then creates, or opens, what is
 * there.
 */
static int open_any(struct vhost_fs *fs, const char *path, int flags,
                    mode_t mode, struct vh_fs_file *file,
                    struct vhost_error **errp)
{
    struct vhost_error *error = NULL;
    int plain = flags & ~(FLAGS_OURS | O_CREAT | O_EXCL);
    int r = -ENOENT;

    if (!(flags & O_CREAT)) {
        return open_path(fs, path, plain, file, errp);
    }
    if (!(flags & O_EXCL)) {
        r = open_path(fs, path, plain, file, &error);
    }
    if (r == -ENOENT) {
        vh_error_clear(&error);
        r = create_path(fs, path, flags & ~FLAGS_OURS, mode, file, &error);
    }
    vh_error_move(errp, &error);
    return r;
}

static int add_file(struct vhost_fs *fs, const struct vh_fs_file *file,
                    struct vhost_error **errp)
{
    for (unsigned i = 0; i < VH_FS_FILES_MAX; i++) {
        struct vh_fs_file *place = vh_fs_file_at(fs, i);

        if (place) {
            *place = *file;
            place->is_open = true;
            return (int)i;
        }
    }
    vh_fs_release(fs, file, NULL);
    vh_fs_forget(fs, file->node, 1);
    return refuse(-EMFILE, "too many files are open", errp);
}

int vhost_fs_open(struct vhost_fs *fs, const char *path, int flags, mode_t mode,
                  struct vhost_error **errp)
{
    struct vh_fs_file file = { 0 };
    struct vhost_error *error = NULL;
    int r = check_flags(flags, &error);

    if (r == 0) {
        r = open_any(fs, path, flags, mode, &file, &error);
    }
    if (r == 0) {
        r = add_file(fs, &file, &error);
    }
    vh_error_prefix(&error, "%s", path);
    vh_error_move(errp, &error);
    return r;
}

static int flush(struct vhost_fs *fs, const struct vh_fs_file *file,
                 struct vhost_error **errp)
{
    const struct fuse_flush_in in = { .fh = file->fh };
    const struct vh_fs_call call = { .what = "flush",
                                     .opcode = FUSE_FLUSH,
                                     .node = file->node,
                                     .args = &in,
                                     .args_len = sizeof(in) };
    struct vhost_error *error = NULL;
    ssize_t r = vh_fs_call(fs, &call, &error);

    if (r == -ENOSYS) { /* it has nothing to tell */
        vh_error_clear(&error);
        return 0;
    }
    vh_error_move(errp, &error);
    return r < 0 ? (int)r : 0;
}

int vhost_fs_flush(struct vhost_fs *fs, int file, struct vhost_error **errp)
{
    const struct vh_fs_file *f = vh_fs_file(fs, file, "flush", errp);

    if (!f) {
        return -EBADF;
    }
    return f->is_dir ? vh_error(errp, -EISDIR, "flush", VH_NO_QUEUE,
                                "flush: file %d is a directory", file)
                     : flush(fs, f, errp);
}

int vhost_fs_close(struct vhost_fs *fs, int file, struct vhost_error **errp)
{
    struct vh_fs_file *f = vh_fs_file(fs, file, "close", errp);
    int flushed = 0;
    int r;

    if (!f) {
        return -EBADF;
    }
    if (!f->is_dir) {
        flushed = flush(fs, f, errp);
    }
    r = vh_fs_release(fs, f, flushed < 0 ? NULL : errp);
    vh_fs_forget(fs, f->node, 1);
    free(f->entries);
    *f = (struct vh_fs_file){ 0 };
    return flushed < 0 ? flushed : r;
}

int vhost_fs_fstat(struct vhost_fs *fs, int file, struct stat *st,
                   struct vhost_error **errp)
{
    const struct vh_fs_file *f = vh_fs_file(fs, file, "stat", errp);

    if (!f) {
        return -EBADF;
    }
    /* Servers look for the number of a directory among files, or not at all. */
    return vh_fs_getattr(fs, f->node, f->is_dir ? NULL : f, st, errp);
}

int vhost_fs_fsync(struct vhost_fs *fs, int file, bool datasync,
                   struct vhost_error **errp)
{
    const struct vh_fs_file *f = vh_fs_file(fs, file, "fsync", errp);
    struct fuse_fsync_in in = { .fsync_flags =
                                    datasync ? FUSE_FSYNC_FDATASYNC : 0 };
    struct vh_fs_call call = { .what = "fsync",
                               .args = &in,
                               .args_len = sizeof(in) };

    if (!f) {
        return -EBADF;
    }
    in.fh = f->fh;
    call.node = f->node;
    call.opcode = f->is_dir ? FUSE_FSYNCDIR : FUSE_FSYNC;
    return (int)vh_fs_call(fs, &call, errp);
}

int vhost_fs_statfs(struct vhost_fs *fs, struct statvfs *st,
                    struct vhost_error **errp)
{
    struct fuse_statfs_out out;
    const struct vh_fs_call call = { .what = "statfs",
                                     .opcode = FUSE_STATFS,
                                     .node = VH_FS_ROOT,
                                     .reply = &out,
                                     .reply_max = sizeof(out),
                                     .reply_min = sizeof(out) };
    ssize_t r = vh_fs_call(fs, &call, errp);

    if (r < 0) {
        return (int)r;
    }
    *st = (struct statvfs){
        .f_bsize = out.st.bsize,
        .f_frsize = out.st.frsize,
        .f_blocks = out.st.blocks,
        .f_bfree = out.st.bfree,
        .f_bavail = out.st.bavail,
        .f_files = out.st.files,
        .f_ffree = out.st.ffree,
        .f_favail = out.st.ffree,
        .f_namemax = out.st.namelen,
    };
    return 0;
}
