/* SPDX-License-Identifier: BSD-3-Clause */
/* The ends of a copy: opening and closing, and which I/O goes where. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "copy-end.h"
#include "copy-file.h"
#include "out.h"

bool copy_is_zero(const void *buf, size_t len)
{
    const char *p = buf;

    /* Each byte equals the next, and the first is zero. */
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

bool end_is_same(const char *a, const char *b)
{
    const char *path_a = client_uri_path(a);
    const char *path_b = client_uri_path(b);
    struct stat sa, sb;

    if (strcmp(a, b) == 0) {
        return true;
    }
    if (stat(path_a ? path_a : a, &sa) < 0 ||
        stat(path_b ? path_b : b, &sb) < 0) {
        return false;
    }
    if (S_ISBLK(sa.st_mode) && S_ISBLK(sb.st_mode)) {
        return sa.st_rdev == sb.st_rdev;
    }
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static bool device_open(struct end *e, const struct client *client,
                        bool is_target)
{
    struct vhost_blk_options o = {
        .size = sizeof(o),
        .queues = e->queues,
        .read_only = !is_target,
        .deadline_ms = client->deadline_ms,
        .reconnect_ms = client->reconnect_ms,
    };
    struct vhost_error *err = NULL;
    struct vhost_blk_info info;

    e->disk = vhost_blk_open(e->name, &o, &err);
    if (!e->disk) {
        out_library_error(err);
        return false;
    }
    vhost_blk_get_info(e->disk, &info);
    if (is_target && info.read_only) {
        out_error("%s: the device is read only", e->name);
        return false;
    }
    e->size = info.capacity;
    e->block = info.block_size;
    e->can_zero = info.write_zeroes;
    /* What is longer is split; one request always fits an empty queue. */
    e->max_request = (uint64_t)info.max_segments * info.max_segment_size;
    return true;
}

bool end_open(struct end *e, const char *name, const struct client *client,
              unsigned queues, bool is_target)
{
    *e = (struct end){
        .name = name,
        .block = 1,
        .max_request = UINT64_MAX,
        .zero_max = UINT64_MAX,
        .queues = queues,
        .fd = -1,
    };
    if (client_uri_path(name)) {
        return device_open(e, client, is_target);
    }
    return is_target ? copy_file_open_target(e) : copy_file_open_source(e);
}

bool end_prepare(struct end *e, uint64_t size)
{
    return e->disk || copy_file_prepare(e, size);
}

bool end_close(struct end *e, bool failed)
{
    /* To stop a device that hangs takes one more deadline, and in vain: the
     * kernel cuts the connection when the program ends. */
    if (e->disk && !e->hangs) {
        vhost_blk_close(e->disk);
        e->disk = NULL;
    }
    return copy_file_close(e, failed);
}

static struct vhost_blk_queue *queue_of(struct end *e, const struct end_io *io)
{
    return vhost_blk_get_queue(e->disk, io->lane % e->queues);
}

/* What was prepared on @q, with answer @r, goes to the device at once: next
 * to a megabyte of data a doorbell costs nothing. */
static int post(struct end *e, struct vhost_blk_queue *q, int r)
{
    if (r == -EAGAIN && e->in_flight == 0) {
        return -E2BIG; /* nothing will ever make room */
    }
    if (r < 0) {
        return r;
    }
    e->in_flight++;
    return vhost_blk_submit(q);
}

int end_read(struct end *e, const struct end_io *io, void *buf, size_t len)
{
    struct vhost_blk_queue *q;

    if (!e->disk) {
        return copy_file_read(e, io->offset, buf, len);
    }
    q = queue_of(e, io);
    return post(e, q, vhost_blk_read(q, io->offset, buf, len, io->cookie));
}

int end_write(struct end *e, const struct end_io *io, const void *buf,
              size_t len)
{
    struct vhost_blk_queue *q;

    if (!e->disk) {
        return copy_file_write(e, io->offset, buf, len);
    }
    q = queue_of(e, io);
    return post(e, q, vhost_blk_write(q, io->offset, buf, len, io->cookie));
}

/* How many pieces the library splits a range into is known to the device's
 * limits alone: ask for less until it fits. */
static int device_zero(struct end *e, const struct end_io *io, uint64_t *lenp)
{
    struct vhost_blk_queue *q = queue_of(e, io);
    uint64_t len = *lenp < e->zero_max ? *lenp : e->zero_max;
    int r;

    for (;;) {
        r = vhost_blk_write_zeroes(q, io->offset, len, true, io->cookie);
        if (r != -E2BIG || len <= e->block) {
            break;
        }
        len = len / 2 / e->block * e->block;
        e->zero_max = len;
    }
    *lenp = len;
    return post(e, q, r);
}

int end_zero(struct end *e, const struct end_io *io, const void *zeroes,
             size_t zeroes_len, uint64_t *lenp)
{
    if (!e->disk && copy_file_zero(e, io->offset, *lenp)) {
        return 1;
    }
    if (e->disk && e->can_zero) {
        return device_zero(e, io, lenp);
    }
    if (*lenp > zeroes_len) {
        *lenp = zeroes_len;
    }
    return end_write(e, io, zeroes, (size_t)*lenp);
}

int end_flush(struct end *e, const struct end_io *io)
{
    struct vhost_blk_queue *q;

    if (!e->disk) {
        return copy_file_flush(e);
    }
    q = queue_of(e, io);
    return post(e, q, vhost_blk_flush(q, io->cookie));
}

uint64_t end_segment(struct end *e, uint64_t pos, uint64_t align,
                     bool *is_holep)
{
    if (e->disk) {
        *is_holep = false;
        return e->size;
    }
    return copy_file_segment(e, pos, align, is_holep);
}

int end_reap(struct end *e, struct vhost_completion *done, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; e->disk && i < e->queues && n < max; i++) {
        struct vhost_blk_queue *q = vhost_blk_get_queue(e->disk, i);
        int r = vhost_blk_poll(q, done + n, max - n);

        if (r < 0) {
            const char *why = vhost_blk_queue_error(q);

            out_error("%s: queue %u: %s", e->name, i, why ? why : strerror(-r));
            return r;
        }
        n += (unsigned)r;
    }
    e->in_flight -= n;
    return (int)n;
}

unsigned end_add_fds(const struct end *e, struct pollfd *fds)
{
    unsigned n = 0;

    if (!e->disk) {
        return 0;
    }
    for (unsigned i = 0; i < e->queues; i++) {
        int fd = vhost_blk_queue_fd(vhost_blk_get_queue(e->disk, i));

        fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
    fds[n++] =
        (struct pollfd){ .fd = vhost_blk_get_fd(e->disk), .events = POLLIN };
    return n;
}

bool end_check(struct end *e)
{
    struct vhost_error *err = NULL;

    if (e->disk && vhost_blk_dispatch(e->disk, &err) < 0) {
        out_library_error(err);
        return false;
    }
    return true;
}
