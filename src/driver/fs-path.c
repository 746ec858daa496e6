/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From paths to nodes, a lookup for each name in them.
 *
 * A symbolic link would have to be read and followed here, and lead to another
 * path, so it stops the walk; and as none is followed, ".." could only undo a
 * name before it.  Neither is ever sent.
 */
#include <errno.h>
#include <string.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/error.h"

/* The next name of a path.  Return: its length; 0 at the end. */
static size_t next_name(const char **path)
{
    for (;;) {
        size_t len;

        *path += strspn(*path, "/");
        len = strcspn(*path, "/");
        if (len != 1 || **path != '.') {
            return len;
        }
        *path += len;
    }
}

static int check_name(const char *name, size_t len, struct vhost_error **errp)
{
    if (len > VH_FS_NAME_MAX) {
        return vh_error(errp, -ENAMETOOLONG, "path", VH_NO_QUEUE,
                        "a name of %zu bytes: no more than %d are possible",
                        len, VH_FS_NAME_MAX);
    }
    if (len == 2 && memcmp(name, "..", 2) == 0) {
        return vh_error(errp, -EINVAL, "path", VH_NO_QUEUE,
                        "'..' is not possible in a path here");
    }
    return 0;
}

/* What a walk has come to. */
struct walk {
    uint64_t node;
    struct stat st;
    char name[VH_FS_NAME_MAX + 1]; /* that led there */
};

static int check_way(const struct walk *walk, struct vhost_error **errp)
{
    if (S_ISLNK(walk->st.st_mode)) {
        return vh_error(errp, -ELOOP, "lookup", VH_NO_QUEUE,
                        "'%s' is a symbolic link, which is not followed",
                        walk->name);
    }
    if (!S_ISDIR(walk->st.st_mode)) {
        return vh_error(errp, -ENOTDIR, "lookup", VH_NO_QUEUE,
                        "'%s' is not a directory", walk->name);
    }
    return 0;
}

/* One name further.  The node before it is given back. */
static int step(struct vhost_fs *fs, struct walk *walk, const char *name,
                size_t len, struct vhost_error **errp)
{
    uint64_t before = walk->node;
    int r = check_way(walk, errp);

    if (r == 0) {
        r = check_name(name, len, errp);
    }
    if (r == 0) {
        memcpy(walk->name, name, len);
        walk->name[len] = '\0';
        r = vh_fs_lookup(fs, before, walk->name, &walk->node, &walk->st, errp);
    }
    vh_fs_forget(fs, before, 1);
    return r;
}

/* Walks along the first @len bytes of a path. */
static int walk_along(struct vhost_fs *fs, const char *path, size_t len,
                      struct walk *walk, struct vhost_error **errp)
{
    const char *end = path + len;
    int r = 0;

    *walk = (struct walk){ .node = VH_FS_ROOT, .st.st_mode = S_IFDIR };
    while (r == 0) {
        size_t name_len = next_name(&path);

        if (name_len == 0 || path >= end) {
            return 0;
        }
        r = step(fs, walk, path, name_len, errp);
        path += name_len;
    }
    return r;
}

int vh_fs_walk(struct vhost_fs *fs, const char *path, uint64_t *node,
               struct stat *st, struct vhost_error **errp)
{
    size_t len = strlen(path);
    struct walk walk;
    int r = walk_along(fs, path, len, &walk, errp);

    if (r < 0) {
        return r;
    }
    if (walk.node == VH_FS_ROOT) {
        r = vh_fs_getattr(fs, VH_FS_ROOT, NULL, &walk.st, errp);
    }
    if (r == 0 && len > 0 && path[len - 1] == '/') {
        r = check_way(&walk, errp);
    }
    if (r < 0) {
        vh_fs_forget(fs, walk.node, 1);
        return r;
    }
    *node = walk.node;
    *st = walk.st;
    return 0;
}

int vh_fs_walk_parent(struct vhost_fs *fs, const char *path, uint64_t *node,
                      char *name, struct vhost_error **errp)
{
    const char *last = NULL;
    size_t last_len = 0;
    struct walk walk;
    int r;

    for (const char *at = path;;) {
        size_t len = next_name(&at);

        if (len == 0) {
            break;
        }
        last = at;
        last_len = len;
        at += len;
    }
    if (!last) {
        return vh_error(errp, -EINVAL, "path", VH_NO_QUEUE,
                        "the root has no name in a directory");
    }
    r = check_name(last, last_len, errp);
    if (r == 0) {
        r = walk_along(fs, path, (size_t)(last - path), &walk, errp);
    }
    if (r == 0 && check_way(&walk, errp) < 0) {
        r = S_ISLNK(walk.st.st_mode) ? -ELOOP : -ENOTDIR;
        vh_fs_forget(fs, walk.node, 1);
    }
    if (r < 0) {
        return r;
    }
    memcpy(name, last, last_len);
    name[last_len] = '\0';
    *node = walk.node;
    return 0;
}

int vhost_fs_stat(struct vhost_fs *fs, const char *path, struct stat *st,
                  struct vhost_error **errp)
{
    struct vhost_error *error = NULL;
    uint64_t node;
    int r = vh_fs_walk(fs, path, &node, st, &error);

    if (r == 0) {
        vh_fs_forget(fs, node, 1);
    }
    vh_error_prefix(&error, "%s", path);
    vh_error_move(errp, &error);
    return r;
}

/* A request about a name in a directory.  @call lacks both. */
static int name_call(struct vhost_fs *fs, const char *path,
                     struct vh_fs_call *call, struct vhost_error **errp)
{
    char name[VH_FS_NAME_MAX + 1];
    struct vhost_error *error = NULL;
    int r = vh_fs_walk_parent(fs, path, &call->node, name, &error);

    if (r == 0) {
        ssize_t n;

        call->name = name;
        n = vh_fs_call(fs, call, &error);
        r = n < 0 ? (int)n : 0;
        vh_fs_forget(fs, call->node, 1);
    }
    vh_error_prefix(&error, "%s", path);
    vh_error_move(errp, &error);
    return r;
}

int vhost_fs_mkdir(struct vhost_fs *fs, const char *path, mode_t mode,
                   struct vhost_error **errp)
{
    const struct fuse_mkdir_in in = { .mode = mode & 07777 };
    struct fuse_entry_out entry;
    struct vh_fs_call call = {
        .what = "mkdir",
        .opcode = FUSE_MKDIR,
        .args = &in,
        .args_len = sizeof(in),
        .reply = &entry,
        .reply_max = sizeof(entry),
        .reply_min = sizeof(entry),
    };
    int r = name_call(fs, path, &call, errp);

    if (r == 0 && entry.nodeid != 0) {
        vh_fs_forget(fs, entry.nodeid, 1);
    }
    return r;
}

/* There are servers that remove only what is looked up, as it is for Linux. */
static int remove_name(struct vhost_fs *fs, const char *path,
                       struct vh_fs_call *call, struct vhost_error **errp)
{
    struct vhost_error *error = NULL;
    struct stat st;
    uint64_t node;
    int r = vh_fs_walk(fs, path, &node, &st, &error);

    if (r < 0) {
        vh_error_prefix(&error, "%s", path);
        vh_error_move(errp, &error);
        return r;
    }
    r = name_call(fs, path, call, errp);
    vh_fs_forget(fs, node, 1);
    return r;
}

int vhost_fs_unlink(struct vhost_fs *fs, const char *path,
                    struct vhost_error **errp)
{
    struct vh_fs_call call = { .what = "unlink", .opcode = FUSE_UNLINK };

    return remove_name(fs, path, &call, errp);
}

int vhost_fs_rmdir(struct vhost_fs *fs, const char *path,
                   struct vhost_error **errp)
{
    struct vh_fs_call call = { .what = "rmdir", .opcode = FUSE_RMDIR };

    return remove_name(fs, path, &call, errp);
}
