/* SPDX-License-Identifier: BSD-3-Clause */
/* Files in memory, and what requests do to them. */
#include "fuse-inside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

uint64_t fuse_add(struct fuse_store *store, uint64_t parent, const char *name,
                  uint32_t mode, const void *data, uint32_t size)
{
    uint64_t i = 0;

    while (store->nodes[i].used) {
        must(++i < FUSE_NODES);
    }
    store->nodes[i] = (struct fuse_node){
        .used = true, .parent = parent, .mode = mode, .size = size
    };
    strncpy(store->nodes[i].name, name, 255);
    store->nodes[i].data = calloc(1, FUSE_FILE_MAX);
    must(store->nodes[i].data);
    if (size > 0) {
        memcpy(store->nodes[i].data, data, size);
    }
    return i + 1;
}

void fuse_store_free(struct fuse_store *store)
{
    for (unsigned i = 0; i < FUSE_NODES; i++) {
        free(store->nodes[i].data);
    }
    memset(store, 0, sizeof(*store));
}

static struct fuse_node *node_of(struct fuse *fuse, uint64_t node)
{
    bool known = node >= 1 && node <= FUSE_NODES &&
                 fuse->store->nodes[node - 1].data != NULL;

    return known ? &fuse->store->nodes[node - 1] : NULL;
}

static uint64_t find(struct fuse *fuse, uint64_t parent, const char *name)
{
    for (uint64_t i = 1; i < FUSE_NODES; i++) {
        const struct fuse_node *n = &fuse->store->nodes[i];

        if (n->used && n->parent == parent && strcmp(n->name, name) == 0) {
            return i + 1;
        }
    }
    return 0;
}

static struct fuse_attr attr_of(struct fuse *fuse, uint64_t node)
{
    const struct fuse_node *n = node_of(fuse, node);

    return (struct fuse_attr){ .ino = node,
                               .size = n->size,
                               .mtime = 1234567890,
                               .mtimensec = 42,
                               .mode = n->mode,
                               .nlink = 1,
                               .rdev = 0x10203,
                               .blksize = 4096 };
}

static void put(struct fuse *fuse, const void *data, size_t len)
{
    must(fuse->body_len + len <= sizeof(fuse->body));
    memcpy(fuse->body + fuse->body_len, data, len);
    fuse->body_len += len;
}

static void put_entry(struct fuse *fuse, uint64_t node)
{
    struct fuse_entry_out entry = { .nodeid = node,
                                    .attr = attr_of(fuse, node) };

    fuse->lookups++;
    put(fuse, &entry, sizeof(entry));
}

static int open_handle(struct fuse *fuse, uint64_t node)
{
    struct fuse_open_out out = { 0 };

    while (fuse->handles[out.fh] != 0) {
        must(++out.fh < FUSE_HANDLES);
    }
    fuse->handles[out.fh] = node;
    fuse->n_handles++;
    put(fuse, &out, sizeof(out));
    return 0;
}

/* The arguments begin with a handle; it is of the node. */
static struct fuse_node *handled(struct fuse *fuse)
{
    uint64_t fh;

    memcpy(&fh, fuse->args, sizeof(fh));
    if (fh >= FUSE_HANDLES || fuse->handles[fh] == 0) {
        return NULL;
    }
    must(fuse->handles[fh] == fuse->header.nodeid);
    return node_of(fuse, fuse->handles[fh]);
}

static int do_init(struct fuse *fuse)
{
    struct fuse_init_out out = { .major = 7,
                                 .minor = 38,
                                 .flags = fuse->flags,
                                 .max_write = fuse->max_write,
                                 .max_pages = 256 };

    must(fuse->args_len == 16);
    put(fuse, &out, sizeof(out));
    return 0;
}

static int do_lookup(struct fuse *fuse)
{
    uint64_t node = find(fuse, fuse->header.nodeid, (const char *)fuse->args);

    must(fuse->args[fuse->args_len - 1] == 0);
    if (!S_ISDIR(node_of(fuse, fuse->header.nodeid)->mode)) {
        return -ENOTDIR;
    }
    if (node == 0) {
        return -ENOENT;
    }
    put_entry(fuse, node);
    return 0;
}

static int do_forget(struct fuse *fuse)
{
    struct fuse_forget_in in;

    memcpy(&in, fuse->args, sizeof(in));
    fuse->lookups -= (long long)in.nlookup;
    must(fuse->header.nodeid != 1);
    return 0;
}

static int do_getattr(struct fuse *fuse)
{
    struct fuse_attr_out out = { .attr = attr_of(fuse, fuse->header.nodeid) };

    put(fuse, &out, sizeof(out));
    return 0;
}

static int do_setattr(struct fuse *fuse)
{
    struct fuse_node *n = node_of(fuse, fuse->header.nodeid);
    struct fuse_setattr_in in;

    memcpy(&in, fuse->args, sizeof(in));
    must(in.valid == (FATTR_SIZE | FATTR_FH));
    if (in.size > FUSE_FILE_MAX) {
        return -EFBIG;
    }
    if (in.size > n->size) {
        memset(n->data + n->size, 0, in.size - n->size);
    }
    n->size = (uint32_t)in.size;
    return do_getattr(fuse);
}

static int do_open(struct fuse *fuse)
{
    struct fuse_node *n = node_of(fuse, fuse->header.nodeid);
    struct fuse_open_in in;

    memcpy(&in, fuse->args, sizeof(in));
    must((in.flags & (O_CREAT | O_EXCL)) == 0);
    if (in.flags & O_TRUNC) {
        must(fuse->flags & FUSE_ATOMIC_O_TRUNC);
        n->size = 0;
    }
    return open_handle(fuse, fuse->header.nodeid);
}

static int do_create(struct fuse *fuse)
{
    struct fuse_create_in in;
    const char *name = (const char *)fuse->args + sizeof(in);
    uint64_t node;

    memcpy(&in, fuse->args, sizeof(in));
    must(in.flags & O_CREAT);
    if (find(fuse, fuse->header.nodeid, name)) {
        return -EEXIST;
    }
    node = fuse_add(fuse->store, fuse->header.nodeid, name, in.mode, NULL, 0);
    put_entry(fuse, node);
    return open_handle(fuse, node);
}

static int do_mkdir(struct fuse *fuse)
{
    struct fuse_mkdir_in in;
    const char *name = (const char *)fuse->args + sizeof(in);

    memcpy(&in, fuse->args, sizeof(in));
    if (find(fuse, fuse->header.nodeid, name)) {
        return -EEXIST;
    }
    put_entry(fuse, fuse_add(fuse->store, fuse->header.nodeid, name,
                             S_IFDIR | in.mode, NULL, 0));
    return 0;
}

static int do_remove(struct fuse *fuse)
{
    uint64_t node = find(fuse, fuse->header.nodeid, (const char *)fuse->args);
    bool dir = fuse->header.opcode == FUSE_RMDIR;

    if (node == 0) {
        return -ENOENT;
    }
    if (S_ISDIR(node_of(fuse, node)->mode) != dir) {
        return dir ? -ENOTDIR : -EISDIR;
    }
    fuse->store->nodes[node - 1].used = false; /* its data stays until freed */
    fuse->store->nodes[node - 1].parent = 0;
    free(fuse->store->nodes[node - 1].data);
    fuse->store->nodes[node - 1].data = NULL;
    return 0;
}

static int do_read(struct fuse *fuse)
{
    struct fuse_node *n = handled(fuse);
    struct fuse_read_in in;

    memcpy(&in, fuse->args, sizeof(in));
    if (!n) {
        return -EBADF;
    }
    if (in.offset < n->size) {
        size_t left = n->size - in.offset;

        put(fuse, n->data + in.offset, left < in.size ? left : in.size);
    }
    return 0;
}

static int do_write(struct fuse *fuse)
{
    struct fuse_node *n = handled(fuse);
    struct fuse_write_in in;
    struct fuse_write_out out;

    memcpy(&in, fuse->args, sizeof(in));
    must(fuse->args_len == sizeof(in) + in.size);
    if (!n) {
        return -EBADF;
    }
    if (in.flags & O_APPEND) {
        in.offset = n->size;
    }
    if (in.offset + in.size > FUSE_FILE_MAX) {
        return -EFBIG;
    }
    memcpy(n->data + in.offset, fuse->args + sizeof(in), in.size);
    if (in.offset + in.size > n->size) {
        n->size = (uint32_t)(in.offset + in.size);
    }
    out = (struct fuse_write_out){ .size = in.size };
    put(fuse, &out, sizeof(out));
    return 0;
}

static int do_readdir(struct fuse *fuse)
{
    struct fuse_node *n = handled(fuse);
    struct fuse_read_in in;

    memcpy(&in, fuse->args, sizeof(in));
    if (!n) {
        return -EBADF;
    }
    for (uint64_t i = in.offset; i < FUSE_NODES; i++) {
        const struct fuse_node *entry = &fuse->store->nodes[i];
        struct fuse_dirent d = { .ino = i + 1, .off = i + 1 };
        size_t len = strlen(entry->name), at = fuse->body_len;

        if (!entry->used || i == 0 || node_of(fuse, entry->parent) != n) {
            continue;
        }
        d.namelen = (uint32_t)len;
        d.type = entry->mode >> 12;
        if (at + FUSE_DIRENT_SIZE(&d) > in.size) {
            break;
        }
        put(fuse, &d, FUSE_NAME_OFFSET);
        fuse->last_name = fuse->body_len;
        put(fuse, entry->name, len);
        put(fuse, "\0\0\0\0\0\0\0", at + FUSE_DIRENT_SIZE(&d) - fuse->body_len);
    }
    return 0;
}

static int do_release(struct fuse *fuse)
{
    uint64_t fh;

    if (!handled(fuse)) {
        return -EBADF;
    }
    memcpy(&fh, fuse->args, sizeof(fh));
    fuse->handles[fh] = 0;
    fuse->n_handles--;
    return 0;
}

static int do_flush(struct fuse *fuse)
{
    return handled(fuse) ? 0 : -EBADF;
}

static int do_statfs(struct fuse *fuse)
{
    struct fuse_statfs_out out = {
        .st = { .blocks = 1000, .bfree = 500, .bsize = 4096, .namelen = 255 }
    };

    put(fuse, &out, sizeof(out));
    return 0;
}

static int do_nothing(struct fuse *fuse)
{
    (void)fuse;
    return 0;
}

int (*const fuse_requests[FUSE_OPCODES])(struct fuse *fuse) = {
    [FUSE_INIT] = do_init,       [FUSE_LOOKUP] = do_lookup,
    [FUSE_FORGET] = do_forget,   [FUSE_GETATTR] = do_getattr,
    [FUSE_SETATTR] = do_setattr, [FUSE_OPEN] = do_open,
    [FUSE_OPENDIR] = do_open,    [FUSE_CREATE] = do_create,
    [FUSE_MKDIR] = do_mkdir,     [FUSE_UNLINK] = do_remove,
    [FUSE_RMDIR] = do_remove,    [FUSE_READ] = do_read,
    [FUSE_WRITE] = do_write,     [FUSE_READDIR] = do_readdir,
    [FUSE_RELEASE] = do_release, [FUSE_RELEASEDIR] = do_release,
    [FUSE_FLUSH] = do_flush,     [FUSE_FSYNC] = do_flush,
    [FUSE_FSYNCDIR] = do_flush,  [FUSE_STATFS] = do_statfs,
    [FUSE_DESTROY] = do_nothing,
};
