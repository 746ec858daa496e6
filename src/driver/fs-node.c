/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests about nodes: what the server calls a file that was looked up, until
 * all lookups of it are forgotten.
 *
 * What comes back is checked for what would lead this side astray: a node of
 * number 0, which is none; a type that there is not; a size that is no file
 * offset.  Times are brought into range, as nothing depends on them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/error.h"

#define NS_PER_S 1000000000u

static struct timespec time_of(uint64_t seconds, uint32_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)seconds,
                              .tv_nsec =
                                  ns < NS_PER_S ? (long)ns : NS_PER_S - 1 };
}

/* Device numbers as Linux packs them into 32 bits. */
static dev_t device_of(uint32_t rdev)
{
    return makedev((rdev >> 8) & 0xfff,
                   (rdev & 0xff) | ((rdev >> 12) & 0xfff00));
}

static bool is_a_type(uint32_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) ||
           S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

static int take_attr(struct vhost_fs *fs, const struct fuse_attr *attr,
                     struct stat *st, struct vhost_error **errp)
{
    if (!is_a_type(attr->mode)) {
        return vh_fs_lied(fs, "a file of no type that there is", errp);
    }
    if (attr->size > INT64_MAX) {
        return vh_fs_lied(fs, "a file longer than files can be", errp);
    }
    if (st) {
        *st = (struct stat){
            .st_ino = attr->ino,
            .st_mode = attr->mode,
            .st_nlink = attr->nlink,
            .st_uid = attr->uid,
            .st_gid = attr->gid,
            .st_rdev = device_of(attr->rdev),
            .st_size = (off_t)attr->size,
            .st_blksize = (blksize_t)attr->blksize,
            .st_blocks = (blkcnt_t)(attr->blocks & INT64_MAX),
            .st_atim = time_of(attr->atime, attr->atimensec),
            .st_mtim = time_of(attr->mtime, attr->mtimensec),
            .st_ctim = time_of(attr->ctime, attr->ctimensec),
        };
    }
    return 0;
}

/* An answer that names a node.  No node: the name is known not to be there. */
static int take_entry(struct vhost_fs *fs, const struct fuse_entry_out *entry,
                      uint64_t *node, struct stat *st,
                      struct vhost_error **errp)
{
    int r;

    if (entry->nodeid == 0) {
        return vh_error(errp, -ENOENT, "lookup", VH_NO_QUEUE,
                        "lookup: No such file or directory");
    }
    r = take_attr(fs, &entry->attr, st, errp);
    if (r == 0) {
        *node = entry->nodeid;
    }
    return r;
}

int vh_fs_lookup(struct vhost_fs *fs, uint64_t parent, const char *name,
                 uint64_t *node, struct stat *st, struct vhost_error **errp)
{
    struct fuse_entry_out entry;
    const struct vh_fs_call call = {
        .what = "lookup",
        .opcode = FUSE_LOOKUP,
        .node = parent,
        .name = name,
        .reply = &entry,
        .reply_max = sizeof(entry),
        .reply_min = sizeof(entry),
    };
    ssize_t r = vh_fs_call(fs, &call, errp);

    return r < 0 ? (int)r : take_entry(fs, &entry, node, st, errp);
}

int vh_fs_getattr(struct vhost_fs *fs, uint64_t node,
                  const struct vh_fs_file *file, struct stat *st,
                  struct vhost_error **errp)
{
    const struct fuse_getattr_in in = {
        .getattr_flags = file ? FUSE_GETATTR_FH : 0,
        .fh = file ? file->fh : 0,
    };
    struct fuse_attr_out out;
    const struct vh_fs_call call = {
        .what = "stat",
        .opcode = FUSE_GETATTR,
        .node = node,
        .args = &in,
        .args_len = sizeof(in),
        .reply = &out,
        .reply_max = sizeof(out),
        .reply_min = sizeof(out),
    };
    ssize_t r = vh_fs_call(fs, &call, errp);

    return r < 0 ? (int)r : take_attr(fs, &out.attr, st, errp);
}

int vh_fs_open_node(struct vhost_fs *fs, struct vh_fs_file *file,
                    struct vhost_error **errp)
{
    struct fuse_open_in in = { .flags = file->flags };
    struct fuse_open_out out;
    const struct vh_fs_call call = {
        .what = "open",
        .opcode = file->is_dir ? FUSE_OPENDIR : FUSE_OPEN,
        .node = file->node,
        .args = &in,
        .args_len = sizeof(in),
        .reply = &out,
        .reply_max = sizeof(out),
        .reply_min = sizeof(out),
    };
    ssize_t r = vh_fs_call(fs, &call, errp);

    if (r < 0) {
        return (int)r;
    }
    file->fh = out.fh;
    return 0;
}

int vh_fs_create(struct vhost_fs *fs, uint64_t parent, const char *name,
                 mode_t mode, struct vh_fs_file *file,
                 struct vhost_error **errp)
{
    struct fuse_create_in in = { .flags = file->flags,
                                 .mode = S_IFREG | (mode & 07777) };
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out;
    const struct vh_fs_call call = {
        .what = "create",
        .opcode = FUSE_CREATE,
        .node = parent,
        .args = &in,
        .args_len = sizeof(in),
        .name = name,
        .reply = &out,
        .reply_max = sizeof(out),
        .reply_min = sizeof(out),
    };
    ssize_t r = vh_fs_call(fs, &call, errp);

    if (r >= 0) {
        r = take_entry(fs, &out.entry, &file->node, NULL, errp);
    }
    if (r < 0) {
        return (int)r;
    }
    file->fh = out.open.fh;
    return 0;
}

int vh_fs_release(struct vhost_fs *fs, const struct vh_fs_file *file,
                  struct vhost_error **errp)
{
    const struct fuse_release_in in = { .fh = file->fh, .flags = file->flags };
    const struct vh_fs_call call = {
        .what = "close",
        .opcode = file->is_dir ? FUSE_RELEASEDIR : FUSE_RELEASE,
        .node = file->node,
        .args = &in,
        .args_len = sizeof(in),
    };

    return (int)vh_fs_call(fs, &call, errp);
}

int vh_fs_set_size(struct vhost_fs *fs, const struct vh_fs_file *file,
                   uint64_t size, struct vhost_error **errp)
{
    const struct fuse_setattr_in in = { .valid = FATTR_SIZE | FATTR_FH,
                                        .fh = file->fh,
                                        .size = size };
    struct fuse_attr_out out;
    const struct vh_fs_call call = {
        .what = "truncate",
        .opcode = FUSE_SETATTR,
        .node = file->node,
        .args = &in,
        .args_len = sizeof(in),
        .reply = &out,
        .reply_max = sizeof(out),
        .reply_min = sizeof(out),
    };

    ssize_t r = vh_fs_call(fs, &call, errp);

    return r < 0 ? (int)r : take_attr(fs, &out.attr, NULL, errp);
}
