/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading and writing: in parts of what one request may move, several of them
 * on their way at a time, and taken up in their order.
 *
 * The first part that comes out short ends it all: the parts behind it are
 * waited for, and count for nothing.  What is appended goes part by part,
 * since each goes wherever the end is when it gets there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/error.h"

struct transfer {
    struct vhost_fs *fs;
    const struct vh_fs_file *file;
    bool write;
    char *buf; /* only read, when writing */
    uint64_t offset;
    size_t len;
    size_t begun; /* bytes in parts that are begun, or over */
    size_t done;  /* bytes without a gap */
    bool over;    /* nothing more is to begin */
    int result;   /* 0, or what went wrong */
    unsigned n;   /* parts that are begun */
    unsigned first;
    struct part {
        struct vh_fs_slot *slot;
        struct fuse_write_out wrote;
        size_t len;
    } parts[VH_FS_SLOTS];
};

static int begin_read(struct transfer *t, struct part *part,
                      struct vhost_error **errp)
{
    const struct fuse_read_in in = { .fh = t->file->fh,
                                     .offset = t->offset + t->begun,
                                     .size = (uint32_t)part->len,
                                     .flags = t->file->flags };
    const struct vh_fs_call call = { .what = "read",
                                     .opcode = FUSE_READ,
                                     .node = t->file->node,
                                     .args = &in,
                                     .args_len = sizeof(in),
                                     .reply = t->buf + t->begun,
                                     .reply_max = part->len };

    return vh_fs_begin(t->fs, &call, &part->slot, errp);
}

static int begin_write(struct transfer *t, struct part *part,
                       struct vhost_error **errp)
{
    const struct fuse_write_in in = { .fh = t->file->fh,
                                      .offset = t->offset + t->begun,
                                      .size = (uint32_t)part->len,
                                      .flags = t->file->flags };
    const struct vh_fs_call call = { .what = "write",
                                     .opcode = FUSE_WRITE,
                                     .node = t->file->node,
                                     .args = &in,
                                     .args_len = sizeof(in),
                                     .data = t->buf + t->begun,
                                     .data_len = part->len,
                                     .reply = &part->wrote,
                                     .reply_max = sizeof(part->wrote),
                                     .reply_min = sizeof(part->wrote) };

    return vh_fs_begin(t->fs, &call, &part->slot, errp);
}

static bool may_begin(const struct transfer *t)
{
    unsigned most = t->file->flags & O_APPEND ? 1 : VH_FS_SLOTS;

    if (t->over || t->begun == t->len || t->n == most) {
        return false;
    }
    /* The others may be kept by requests that were given up: those of ours
     * must be taken up then, not waited behind. */
    return t->n == 0 || vh_fs_has_free_slot(t->fs);
}

static void fail(struct transfer *t, int r)
{
    t->over = true;
    t->result = t->result < 0 ? t->result : r;
}

static void begin_part(struct transfer *t, struct vhost_error **errp)
{
    struct part *part = &t->parts[(t->first + t->n) % VH_FS_SLOTS];
    size_t left = t->len - t->begun;
    int r;

    part->len = left < t->fs->chunk ? left : t->fs->chunk;
    r = t->write ? begin_write(t, part, errp) : begin_read(t, part, errp);
    if (r < 0) {
        fail(t, r);
        return;
    }
    t->begun += part->len;
    t->n++;
}

static void finish_part(struct transfer *t, struct vhost_error **errp)
{
    struct part *part = &t->parts[t->first];
    ssize_t r = vh_fs_finish(t->fs, part->slot, t->result < 0 ? NULL : errp);
    size_t got = (size_t)r;

    t->first = (t->first + 1) % VH_FS_SLOTS;
    t->n--;
    if (r >= 0 && t->write) {
        got = part->wrote.size;
        if (got > part->len) {
            r = vh_fs_lied(t->fs, "more was written than there was", errp);
        }
    }
    if (r < 0) {
        fail(t, (int)r);
        return;
    }
    if (!t->over) {
        t->done += got;
    }
    t->over = t->over || got < part->len;
}

static ssize_t run(struct transfer *t, struct vhost_error **errp)
{
    struct vhost_error *error = NULL;

    while (t->n > 0 || may_begin(t)) {
        while (may_begin(t)) {
            begin_part(t, &error);
        }
        if (t->n > 0) {
            finish_part(t, &error);
        }
    }
    if (t->done > 0) {
        vh_error_clear(&error);
        return (ssize_t)t->done;
    }
    vh_error_move(errp, &error);
    return t->result;
}

static ssize_t transfer(struct transfer *t, int file, const char *what,
                        struct vhost_error **errp)
{
    t->file = vh_fs_file(t->fs, file, what, errp);
    if (!t->file) {
        return -EBADF;
    }
    if (t->file->is_dir) {
        return vh_error(errp, -EISDIR, what, VH_NO_QUEUE,
                        "%s: file %d is a directory", what, file);
    }
    if (t->offset > INT64_MAX || t->len > INT64_MAX - t->offset) {
        return vh_error(errp, -EINVAL, what, VH_NO_QUEUE,
                        "%s: no file reaches so far", what);
    }
    return run(t, errp);
}

ssize_t vhost_fs_read(struct vhost_fs *fs, int file, void *buf, size_t len,
                      uint64_t offset, struct vhost_error **errp)
{
    struct transfer t = { .fs = fs, .buf = buf, .offset = offset, .len = len };

    return transfer(&t, file, "read", errp);
}

ssize_t vhost_fs_write(struct vhost_fs *fs, int file, const void *buf,
                       size_t len, uint64_t offset, struct vhost_error **errp)
{
    struct transfer t = { .fs = fs,
                          .write = true,
                          .buf = (char *)buf,
                          .offset = offset,
                          .len = len };

    return transfer(&t, file, "write", errp);
}

int vhost_fs_truncate(struct vhost_fs *fs, int file, uint64_t len,
                      struct vhost_error **errp)
{
    const struct vh_fs_file *f = vh_fs_file(fs, file, "truncate", errp);

    if (!f) {
        return -EBADF;
    }
    if (f->is_dir || len > INT64_MAX) {
        return vh_error(errp, f->is_dir ? -EISDIR : -EINVAL, "truncate",
                        VH_NO_QUEUE, "truncate: %s",
                        f->is_dir ? "a directory" : "no file is so long");
    }
    return vh_fs_set_size(fs, f, len, errp);
}
