/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading directories: entries come many at a time, and are handed out one by
 * one.  Each has a number by which the next one is asked for; that of the last
 * one handed out is all that a session which moves must remember.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/error.h"

#define ENTRIES_SIZE 32768

static ssize_t fetch(struct vhost_fs *fs, struct vh_fs_file *dir,
                     struct vhost_error **errp)
{
    struct fuse_read_in in = { .fh = dir->fh,
                               .offset = dir->offset,
                               .size = ENTRIES_SIZE };
    struct vh_fs_call call = { .what = "readdir",
                               .opcode = FUSE_READDIR,
                               .node = dir->node,
                               .args = &in,
                               .args_len = sizeof(in) };
    ssize_t r;

    if (!dir->entries) {
        dir->entries = malloc(ENTRIES_SIZE);
    }
    if (!dir->entries) {
        return vh_error(errp, -ENOMEM, "readdir", VH_NO_QUEUE, "out of memory");
    }
    if (in.size > fs->chunk) {
        in.size = (uint32_t)fs->chunk;
    }
    call.reply = dir->entries;
    call.reply_max = in.size;
    r = vh_fs_call(fs, &call, errp);
    dir->at = 0;
    dir->n = r < 0 ? 0 : (size_t)r;
    return r;
}

/* Is there a whole entry here, with a name that can be one? */
static bool is_entry(const struct fuse_dirent *head, const char *name,
                     size_t left)
{
    return head->namelen > 0 && head->namelen <= VH_FS_NAME_MAX &&
           FUSE_NAME_OFFSET + head->namelen <= left &&
           !memchr(name, '/', head->namelen) &&
           !memchr(name, '\0', head->namelen);
}

static int take_entry(struct vhost_fs *fs, struct vh_fs_file *dir,
                      struct vhost_fs_dirent *entry, struct vhost_error **errp)
{
    const char *at = dir->entries + dir->at;
    const char *name = at + FUSE_NAME_OFFSET;
    size_t left = dir->n - dir->at;
    struct fuse_dirent head;
    size_t size;

    if (left < FUSE_NAME_OFFSET) {
        return vh_fs_lied(fs, "an entry of a directory that is cut off", errp);
    }
    memcpy(&head, at, FUSE_NAME_OFFSET);
    if (!is_entry(&head, name, left)) {
        return vh_fs_lied(fs, "an entry of a directory that makes no sense",
                          errp);
    }
    *entry = (struct vhost_fs_dirent){ .ino = head.ino, .type = head.type };
    memcpy(entry->name, name, head.namelen);
    size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + head.namelen);
    dir->at += size < left ? size : left; /* the last may lack its padding */
    dir->offset = head.off;
    return 1;
}

int vhost_fs_readdir(struct vhost_fs *fs, int dir,
                     struct vhost_fs_dirent *entry, struct vhost_error **errp)
{
    struct vh_fs_file *f = vh_fs_file(fs, dir, "readdir", errp);
    ssize_t n = 1;

    if (!f) {
        return -EBADF;
    }
    if (!f->is_dir) {
        return vh_error(errp, -ENOTDIR, "readdir", VH_NO_QUEUE,
                        "readdir: file %d is no directory", dir);
    }
    if (f->at == f->n) {
        n = fetch(fs, f, errp);
    }
    return n <= 0 ? (int)n : take_entry(fs, f, entry, errp);
}
