/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files as ends of a copy.  Holes stay holes: those of a source are not read,
 * and a target that was just emptied is only written where there is data.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy-file.h"
#include "out.h"

/* What file systems allocate at least; smaller holes save nothing. */
#define HOLE_MIN 4096u

static bool complain(const struct end *e, const char *what)
{
    out_error("%s: %s%s", e->name, what, strerror(errno));
    return false;
}

static bool look_at(struct end *e)
{
    struct stat st;
    off_t size;

    if (fstat(e->fd, &st) < 0) {
        return complain(e, "");
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        out_error("%s: neither a regular file nor a block device", e->name);
        return false;
    }
    e->is_regular = S_ISREG(st.st_mode);
    size = lseek(e->fd, 0, SEEK_END);
    if (size < 0) {
        return complain(e, "");
    }
    e->size = (uint64_t)size;
    return true;
}

bool copy_file_open_source(struct end *e)
{
    /* A FIFO without a writer would make open(2) wait for ever. */
    e->fd = open(e->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return e->fd < 0 ? complain(e, "") : look_at(e);
}

bool copy_file_open_target(struct end *e)
{
    e->fd = open(e->name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (e->fd < 0 && errno == ENOENT) {
        e->fd = open(e->name, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0666);
        e->is_created = e->fd >= 0;
    }
    return e->fd < 0 ? complain(e, "") : look_at(e);
}

bool copy_file_prepare(struct end *e, uint64_t size)
{
    if (!e->is_regular) {
        return true;
    }
    if (ftruncate(e->fd, 0) < 0 || ftruncate(e->fd, (off_t)size) < 0) {
        return complain(e, "");
    }
    e->size = size;
    e->is_empty = true;
    return true;
}

bool copy_file_close(struct end *e, bool failed)
{
    bool ok = true;

    if (e->fd >= 0) {
        /* NFS, for one, tells of a full disk no sooner. */
        ok = close(e->fd) == 0 || failed || complain(e, "close: ");
        e->fd = -1;
    }
    if (e->is_created && (failed || !ok)) {
        unlink(e->name);
    }
    return ok;
}

int copy_file_read(struct end *e, uint64_t offset, void *buf, size_t len)
{
    char *p = buf;

    while (len > 0) {
        ssize_t n = pread(e->fd, p, len, (off_t)offset);

        if (n == 0) {
            return -ENODATA; /* cut off while we read it */
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    return 1;
}

static int write_all(struct end *e, uint64_t offset, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(e->fd, p, len, (off_t)offset);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    return 1;
}

/* How many bytes from @pos on are alike: zeroes, or not, by HOLE_MIN. */
static size_t run_at(const char *buf, size_t len, size_t pos, bool *is_zerop)
{
    size_t end = pos;

    while (end < len) {
        size_t n = len - end < HOLE_MIN ? len - end : HOLE_MIN;
        bool is_zero = copy_is_zero(buf + end, n);

        if (end == pos) {
            *is_zerop = is_zero;
        } else if (is_zero != *is_zerop) {
            break;
        }
        end += n;
    }
    return end - pos;
}

int copy_file_write(struct end *e, uint64_t offset, const void *buf, size_t len)
{
    const char *p = buf;
    size_t pos = 0;

    if (!e->is_empty) {
        return write_all(e, offset, p, len);
    }
    while (pos < len) {
        bool is_zero = false;
        size_t n = run_at(p, len, pos, &is_zero);
        int r = is_zero ? 1 : write_all(e, offset + pos, p + pos, n);

        if (r < 0) {
            return r;
        }
        pos += n;
    }
    return 1;
}

bool copy_file_zero(struct end *e, uint64_t offset, uint64_t len)
{
    return e->is_empty ||
           fallocate(e->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)offset, (off_t)len) == 0;
}

int copy_file_flush(struct end *e)
{
    while (fsync(e->fd) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    /* What is read back to verify it shall come from the disk. */
    posix_fadvise(e->fd, 0, 0, POSIX_FADV_DONTNEED);
    return 1;
}

/* Sets what is known of the file from @pos on. */
static void find_extent(struct end *e, uint64_t pos)
{
    off_t data = lseek(e->fd, (off_t)pos, SEEK_DATA);
    off_t hole;

    e->extent_is_hole = false;
    e->extent_begin = pos;
    e->extent_end = e->size;
    if (data < 0) {
        /* ENXIO: holes to the end.  Else: it can't tell, so all is data. */
        e->extent_is_hole = errno == ENXIO;
        return;
    }
    if ((uint64_t)data > pos) {
        e->extent_is_hole = true;
        e->extent_end = (uint64_t)data;
        return;
    }
    hole = lseek(e->fd, (off_t)pos, SEEK_HOLE);
    if (hole > 0) {
        e->extent_end = (uint64_t)hole;
    }
}

uint64_t copy_file_segment(struct end *e, uint64_t pos, uint64_t align,
                           bool *is_holep)
{
    uint64_t end;

    if (pos < e->extent_begin || pos >= e->extent_end) {
        find_extent(e, pos);
    }
    *is_holep = e->extent_is_hole;
    if (e->extent_end >= e->size) {
        return e->size;
    }
    /* A block that is part hole and part data is data. */
    end = e->extent_end & ~(align - 1);
    if (e->extent_is_hole && end > pos) {
        return end;
    }
    *is_holep = false;
    end = (e->extent_end + align - 1) & ~(align - 1);
    return end < e->size ? end : e->size;
}
