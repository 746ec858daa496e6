/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nodes that are forgotten.
 *
 * The server counts the lookups of each node, and so do we: what is looked up
 * and not forgotten stays open there for as long as the session.  A request to
 * forget has no answer: its buffer comes back, and that is all.  It takes the
 * queue that does not wait behind other requests (virtio 1.3, 5.11.6.2).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <linux/fuse.h>

#include "driver/fs.h"
#include "util/clock.h"

#define TAKE 8

struct forget {
    struct fuse_in_header header;
    struct fuse_forget_in forget;
};

static_assert(sizeof(struct forget) <= VH_FS_FORGET_SIZE, "their memory");

static void collect(struct vhost_fs *fs, struct vh_virtq *vq)
{
    struct vh_ring_used used[TAKE];
    int n;

    while ((n = vh_virtq_take(vq, used, TAKE)) > 0) {
        while (n > 0) {
            fs->forgets.free[fs->forgets.n_free++] = used[--n].cookie;
        }
    }
}

static int add(struct vhost_fs *fs, struct vh_virtq *vq, uint64_t node,
               uint64_t n)
{
    struct vh_fs_forgets *forgets = &fs->forgets;
    char *place = forgets->free[forgets->n_free - 1];
    struct vh_sg sg = { forgets->gpa + (uint64_t)(place - forgets->memory),
                        sizeof(struct forget) };
    struct forget request = { .forget.nlookup = n };
    int r;

    vh_fs_fill_header(fs, &request.header, FUSE_FORGET, node,
                      sizeof(request.forget));
    memcpy(place, &request, sizeof(request));
    r = vh_ring_add(vq->ring, &sg, 1, 0, place);
    if (r == 0) {
        forgets->n_free--;
        r = vh_virtq_submit(vq);
    }
    return r;
}

void vh_fs_forget(struct vhost_fs *fs, uint64_t node, uint64_t n)
{
    struct vh_virtq *vq = &fs->device.queues[VH_FS_HIPRIO];
    int64_t deadline = vh_deadline_in(fs->options.request_ms);
    int r = fs->is_paused || node == VH_FS_ROOT ? -EINVAL : -ENOSPC;

    while (r == -ENOSPC && !vq->failed) {
        collect(fs, vq);
        if (fs->forgets.n_free > 0) {
            r = add(fs, vq, node, n);
        }
        if (r == -ENOSPC) {
            r = vh_deadline_passed(deadline)      ? -ETIMEDOUT
                : vh_virtq_wait(vq, deadline) < 0 ? -ENOTCONN
                                                  : -ENOSPC;
        }
    }
    if (r == -ETIMEDOUT) {
        vh_virtq_fail(vq, r, "nodes are not forgotten in time");
    }
}

void vh_fs_forgets_settle(struct vhost_fs *fs)
{
    struct vh_virtq *vq = &fs->device.queues[VH_FS_HIPRIO];
    int64_t deadline = vh_deadline_in(fs->options.request_ms);

    collect(fs, vq);
    while (fs->forgets.n_free < VH_FS_FORGETS && !vq->failed &&
           !vh_deadline_passed(deadline) && vh_virtq_wait(vq, deadline) == 0) {
        collect(fs, vq);
    }
}
