/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session that moves to another server.
 *
 * What the server knows of it, nodes and open files by their numbers, moves as
 * the state of the device; what we know of it goes before that into the same
 * stream: what was agreed at the beginning, as no second beginning tells, and
 * the numbers.  Rings do not move: nothing is on its way in them, and those of
 * the new device are its own.
 *
 *     "vhfs"  version  FUSE minor  FUSE flags  bytes in a request  n
 *     n times: number  kind  flags  node  fh  offset
 *
 * in 32 bits each, but for the last three in 64; all big-endian.
 */
#include <errno.h>
#include <fcntl.h>

#include "driver/fs.h"
#include "driver/pause.h"
#include "util/error.h"
#include "util/stream.h"

#define MAGIC 0x76686673u
#define VERSION 1u
#define CHUNK_MIN 4096u

enum { KIND_FILE, KIND_DIRECTORY, KINDS };

/* Numbers, one after the other; the first failure stays. */
struct numbers {
    struct vhost_stream *stream;
    struct vhost_error **errp;
    int r;
};

static void put32(struct numbers *n, uint32_t value)
{
    if (n->r == 0) {
        n->r = vh_stream_put_be32(n->stream, value, n->errp);
    }
}

static void put64(struct numbers *n, uint64_t value)
{
    if (n->r == 0) {
        n->r = vh_stream_put_be64(n->stream, value, n->errp);
    }
}

static uint32_t get32(struct numbers *n)
{
    uint32_t value = 0;

    if (n->r == 0) {
        n->r = vh_stream_get_be32(n->stream, &value, n->errp);
    }
    return value;
}

static uint64_t get64(struct numbers *n)
{
    uint64_t value = 0;

    if (n->r == 0) {
        n->r = vh_stream_get_be64(n->stream, &value, n->errp);
    }
    return value;
}

static void save_file(struct numbers *n, unsigned number,
                      const struct vh_fs_file *file)
{
    put32(n, number);
    put32(n, file->is_dir ? KIND_DIRECTORY : KIND_FILE);
    put32(n, file->flags);
    put64(n, file->node);
    put64(n, file->fh);
    put64(n, file->offset);
}

static int save_session(const struct vhost_fs *fs, struct vhost_stream *stream,
                        struct vhost_error **errp)
{
    struct numbers n = { stream, errp, 0 };
    struct vhost_fs_info info;

    vhost_fs_get_info(fs, &info);
    put32(&n, MAGIC);
    put32(&n, VERSION);
    put32(&n, fs->minor);
    put32(&n, fs->flags);
    put32(&n, (uint32_t)fs->chunk);
    put32(&n, info.open_files);
    for (unsigned i = 0; i < fs->n_files; i++) {
        if (fs->files[i].is_open) {
            save_file(&n, i, &fs->files[i]);
        }
    }
    return n.r;
}

static int damaged(const char *what, struct vhost_error **errp)
{
    return vh_error(errp, -EBADMSG, "load", VH_NO_QUEUE,
                    "this is no saved session, or a damaged one: %s", what);
}

static int load_file(struct vhost_fs *fs, struct numbers *n)
{
    uint32_t number = get32(n);
    uint32_t kind = get32(n);
    struct vh_fs_file file = { .is_open = true,
                               .is_dir = kind == KIND_DIRECTORY };
    struct vh_fs_file *place;

    /* One by one: an initialiser may read them in any order. */
    file.flags = get32(n);
    file.node = get64(n);
    file.fh = get64(n);
    file.offset = get64(n);
    if (n->r < 0) {
        return n->r;
    }
    if (number >= VH_FS_FILES_MAX || kind >= KINDS || file.node == 0) {
        return damaged("an open file that can't be", n->errp);
    }
    place = vh_fs_file_at(fs, number);
    if (!place) {
        return damaged("a file that is open twice", n->errp);
    }
    *place = file;
    return 0;
}

static int load_header(struct vhost_fs *fs, struct numbers *n, uint32_t *files)
{
    uint32_t magic = get32(n);
    uint32_t version = get32(n);
    uint32_t minor = get32(n);
    uint32_t flags = get32(n);
    uint32_t chunk = get32(n);

    *files = get32(n);
    if (n->r < 0) {
        return n->r;
    }
    if (magic != MAGIC || version != VERSION) {
        return damaged("it begins with something else", n->errp);
    }
    if (chunk < CHUNK_MIN || *files > VH_FS_FILES_MAX) {
        return damaged("numbers that can't be", n->errp);
    }
    fs->minor = minor;
    fs->flags = flags;
    fs->chunk =
        chunk < fs->options.transfer_size ? chunk : fs->options.transfer_size;
    return 0;
}

int vh_fs_load_session(struct vhost_fs *fs, struct vhost_stream *stream,
                       struct vhost_error **errp)
{
    struct numbers n = { stream, errp, 0 };
    uint32_t files = 0;
    int r = load_header(fs, &n, &files);

    for (uint32_t i = 0; i < files && r == 0; i++) {
        r = load_file(fs, &n);
    }
    fs->in_session = r == 0;
    return r;
}

int vhost_fs_save(struct vhost_fs *fs, struct vhost_stream *stream,
                  struct vhost_error **errp)
{
    int r = 0;

    if (!vhost_supports_device_state(&fs->device.dev)) {
        return vh_error(errp, -ENOTSUP, "save", VH_NO_QUEUE,
                        "the back end can't give its state: it lacks "
                        "VHOST_USER_PROTOCOL_F_DEVICE_STATE");
    }
    if (!fs->is_paused) {
        /* What stays in the ring would never reach the other server. */
        vh_fs_forgets_settle(fs);
        fs->is_paused = true;
        r = vh_device_pause(&fs->device, errp);
    }
    if (r == 0) {
        r = save_session(fs, stream, errp);
    }
    if (r == 0) {
        r = vhost_save_backend_state(&fs->device.dev, stream, errp);
    }
    return r;
}

int vhost_fs_resume(struct vhost_fs *fs, struct vhost_error **errp)
{
    int r;

    if (!fs->is_paused) {
        return vh_error(errp, -EINVAL, "resume", VH_NO_QUEUE,
                        "the session was not stopped");
    }
    r = vh_device_resume(&fs->device, errp);
    if (r == 0) {
        fs->is_paused = false;
    }
    return r;
}

struct vhost_fs *vhost_fs_load(const char *uri,
                               const struct vhost_fs_options *options,
                               struct vhost_stream *stream,
                               struct vhost_error **errp)
{
    return vh_fs_mount(uri, options, stream, errp);
}
