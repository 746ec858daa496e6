/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared memory regions: pieces of files, mapped into windows.
 *
 * A window is the owner's address space, and stays whole: where a piece goes,
 * inaccessible memory takes its place, so that nothing else of the process can
 * come to lie there in between.
 *
 * Pieces never overlap, and are taken away as they came: the back end keeps
 * account of them, and one that asks for more or less has lost it.
 *
 * vhost-user specification, "VHOST_USER_BACKEND_SHMEM_MAP".
 */
#include "core/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vhost/shmem.h>

#include "backend/ops.h"
#include "util/error.h"

#define N_REGIONS 256
#define PIECES_MAX 8192 /* of a window: a process may have 65,530 mappings */

struct piece {
    uint64_t offset;
    uint64_t len;
};

struct vh_shmem_window {
    char *base; /* NULL: there is none */
    uint64_t size;
    struct piece *pieces; /* in order of their offsets */
    size_t n;
    size_t room;
};

/* The first piece that ends behind @offset. */
static size_t find(const struct vh_shmem_window *w, uint64_t offset)
{
    size_t low = 0;
    size_t high = w->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (w->pieces[mid].offset + w->pieces[mid].len > offset) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

static int make_room(struct vh_shmem_window *w)
{
    size_t room = w->room ? 2 * w->room : 16;
    struct piece *pieces;

    if (w->n < w->room) {
        return 0;
    }
    if (w->n >= PIECES_MAX) {
        return -ENOSPC;
    }
    pieces = realloc(w->pieces, room * sizeof(*pieces));
    if (!pieces) {
        return -ENOMEM;
    }
    w->pieces = pieces;
    w->room = room;
    return 0;
}

/* Inaccessible memory in the place of whatever is there. */
static int vacate(const struct vh_shmem_window *w, uint64_t offset,
                  uint64_t len)
{
    void *at =
        mmap(w->base + offset, len, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    return at == MAP_FAILED ? -errno : 0;
}

static void clear(struct vh_shmem_window *w)
{
    if (w->n > 0) {
        vacate(w, 0, w->size);
    }
    w->n = 0;
}

static int check(const struct vh_shmem_window *w,
                 const struct vh_shmem_piece *piece)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    if (piece->len == 0 || piece->len % page != 0 ||
        piece->offset % page != 0 || piece->fd_offset % page != 0 ||
        piece->fd_offset > INT64_MAX - (uint64_t)INT64_MAX % page) {
        return -EINVAL;
    }
    if (piece->offset > w->size || piece->len > w->size - piece->offset) {
        return -ERANGE;
    }
    return 0;
}

static int map_piece(struct vh_shmem_window *w,
                     const struct vh_shmem_piece *piece)
{
    int prot = PROT_READ | (piece->writable ? PROT_WRITE : 0);
    size_t at = find(w, piece->offset);
    int r;

    if (at < w->n && w->pieces[at].offset < piece->offset + piece->len) {
        return -EEXIST;
    }
    r = make_room(w);
    if (r < 0) {
        return r;
    }
    if (mmap(w->base + piece->offset, piece->len, prot, MAP_SHARED | MAP_FIXED,
             piece->fd, (off_t)piece->fd_offset) == MAP_FAILED) {
        r = -errno;
        vacate(w, piece->offset, piece->len); /* it may be a hole by now */
        return r;
    }
    memmove(&w->pieces[at + 1], &w->pieces[at],
            (w->n - at) * sizeof(*w->pieces));
    w->pieces[at] =
        (struct piece){ .offset = piece->offset, .len = piece->len };
    w->n++;
    return 0;
}

static int unmap_piece(struct vh_shmem_window *w,
                       const struct vh_shmem_piece *piece)
{
    size_t at = find(w, piece->offset);
    int r;

    if (at == w->n || w->pieces[at].offset != piece->offset ||
        w->pieces[at].len != piece->len) {
        return -EINVAL;
    }
    r = vacate(w, piece->offset, piece->len);
    if (r < 0) {
        return r;
    }
    w->n--;
    memmove(&w->pieces[at], &w->pieces[at + 1],
            (w->n - at) * sizeof(*w->pieces));
    return 0;
}

/* Locked; NULL, unlocked, if the region has no window. */
static struct vh_shmem_window *lock_window(struct vhost_dev *dev, uint8_t id)
{
    pthread_mutex_lock(&dev->priv->sharing);
    if (!dev->priv->shmem || !dev->priv->shmem[id].base) {
        pthread_mutex_unlock(&dev->priv->sharing);
        return NULL;
    }
    return &dev->priv->shmem[id];
}

int vh_core_shmem_map(struct vhost_dev *dev, const struct vh_shmem_piece *piece)
{
    struct vh_shmem_window *w = lock_window(dev, piece->id);
    int r;

    if (!w) {
        return -ENOENT;
    }
    r = check(w, piece);
    if (r == 0) {
        r = map_piece(w, piece);
    }
    pthread_mutex_unlock(&dev->priv->sharing);
    return r;
}

int vh_core_shmem_unmap(struct vhost_dev *dev,
                        const struct vh_shmem_piece *piece)
{
    struct vh_shmem_window *w = lock_window(dev, piece->id);
    int r;

    if (!w) {
        return -ENOENT;
    }
    r = unmap_piece(w, piece);
    pthread_mutex_unlock(&dev->priv->sharing);
    return r;
}

void vh_core_shmem_clear(struct vhost_dev *dev)
{
    struct vh_shmem_window *windows = dev->priv->shmem;

    pthread_mutex_lock(&dev->priv->sharing);
    for (unsigned id = 0; windows && id < N_REGIONS; id++) {
        clear(&windows[id]);
    }
    pthread_mutex_unlock(&dev->priv->sharing);
}

void vh_core_shmem_free(struct vhost_dev *dev)
{
    for (unsigned id = 0; dev->priv->shmem && id < N_REGIONS; id++) {
        free(dev->priv->shmem[id].pieces);
    }
    free(dev->priv->shmem);
    dev->priv->shmem = NULL;
}

uint64_t vhost_dev_get_shmem_size(struct vhost_dev *dev, uint8_t id)
{
    return vh_be_get_shmem_size(dev, id);
}

static int refuse(int r, const char *why, unsigned id,
                  struct vhost_error **errp)
{
    return vh_error(errp, r, "shared memory", VH_NO_QUEUE,
                    "shared memory region %u: %s", id, why);
}

static int set_window(struct vhost_dev *dev, uint8_t id, char *base,
                      uint64_t size)
{
    struct vh_shmem_window *w;

    if (!dev->priv->shmem) {
        dev->priv->shmem = calloc(N_REGIONS, sizeof(*dev->priv->shmem));
    }
    if (!dev->priv->shmem) {
        return -ENOMEM;
    }
    w = &dev->priv->shmem[id];
    clear(w);
    w->base = base;
    w->size = size;
    return 0;
}

int vhost_dev_set_shmem_window(struct vhost_dev *dev, uint8_t id, void *base,
                               struct vhost_error **errp)
{
    uint64_t size = vh_be_get_shmem_size(dev, id);
    int r;

    if (size == 0) {
        return refuse(-ENOENT, "the back end has no such region", id, errp);
    }
    if ((uintptr_t)base % (uintptr_t)sysconf(_SC_PAGESIZE) != 0) {
        return refuse(-EINVAL, "its window does not begin with a page", id,
                      errp);
    }
    if (size > SIZE_MAX - (uintptr_t)base) {
        return refuse(-EINVAL, "its window has no end", id, errp);
    }
    pthread_mutex_lock(&dev->priv->sharing);
    r = set_window(dev, id, base, size);
    pthread_mutex_unlock(&dev->priv->sharing);
    return r < 0 ? refuse(r, "out of memory", id, errp) : 0;
}
