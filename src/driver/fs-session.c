/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session: which FUSE both sides speak, and how much goes into a request.
 *
 * 7.31 is asked for.  A server that knows a later one answers with its own
 * number, and speaks ours; so the lesser of the two counts.
 */
#include <errno.h>
#include <stdio.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/error.h"

#define MAJOR 7
#define MINOR 31
#define WANTED \
    (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_MAX_PAGES)
#define PAGE 4096u
#define PAGES_DEFAULT 32u /* without FUSE_MAX_PAGES */

/* The request as it was until 7.35; later ones are longer. */
struct init {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
};

/* Up to map_alignment, which 7.31 has; what newer ones put behind it is taken
 * for its length, and not looked at. */
#define REPLY_MIN 32

static int check_version(const struct fuse_init_out *out,
                         struct vhost_error **errp)
{
    if (out->major == MAJOR && out->minor >= MINOR) {
        return 0;
    }
    return vh_error(errp, -ENOTSUP, "INIT", VH_NO_QUEUE,
                    "the file system speaks FUSE %u.%u: %u.%u or a later %u is "
                    "needed",
                    out->major, out->minor, MAJOR, MINOR, MAJOR);
}

/* How much one request may move. */
static int shape(struct vhost_fs *fs, const struct fuse_init_out *out,
                 struct vhost_error **errp)
{
    size_t pages = PAGES_DEFAULT;

    if (out->flags & FUSE_MAX_PAGES && out->max_pages > 0) {
        pages = out->max_pages;
    }
    if (out->max_write < PAGE) {
        return vh_fs_lied(fs, "less than a page can be written", errp);
    }
    fs->chunk = fs->options.transfer_size;
    if (fs->chunk > out->max_write) {
        fs->chunk = out->max_write;
    }
    if (fs->chunk > pages * PAGE) {
        fs->chunk = pages * PAGE;
    }
    return 0;
}

int vh_fs_begin_session(struct vhost_fs *fs, struct vhost_error **errp)
{
    const struct init init = { .major = MAJOR,
                               .minor = MINOR,
                               .max_readahead = UINT32_MAX,
                               .flags = WANTED };
    struct fuse_init_out out = { 0 };
    const struct vh_fs_call call = {
        .what = "INIT",
        .opcode = FUSE_INIT,
        .args = &init,
        .args_len = sizeof(init),
        .reply = &out,
        .reply_max = sizeof(out),
        .reply_min = 8, /* of another major version: the version only */
    };
    ssize_t len = vh_fs_call(fs, &call, errp);
    int r;

    if (len < 0) {
        return (int)len;
    }
    r = check_version(&out, errp);
    if (r == 0 && len < REPLY_MIN) {
        r = vh_fs_lied(fs, "an answer to INIT that is too short", errp);
    }
    if (r == 0) {
        r = shape(fs, &out, errp);
    }
    if (r == 0) {
        fs->minor = MINOR;
        fs->flags = out.flags & WANTED;
        fs->in_session = true;
    }
    return r;
}

/*
 * There are servers that give the request back without an answer: that it
 * came back is enough, so whatever it says is not looked at.
 */
void vh_fs_end_session(struct vhost_fs *fs)
{
    const struct vh_fs_call call = { .what = "DESTROY",
                                     .opcode = FUSE_DESTROY };

    if (fs->in_session && !fs->is_paused) {
        fs->in_session = false;
        vh_fs_call(fs, &call, NULL);
    }
}
