/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region that the back end refuses breaks the device, since nobody knows
 * what it maps from then on.  So what it would refuse for the program's fault
 * is found here, and costs nothing but the call: a file that is closed, too
 * short, of a kind without pages, or not open for writing.
 */
#include "driver/brought.h"

#include <errno.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "util/error.h"

#define PAGE 4096u

/* A file of huge pages is mapped by the back end in whole ones only. */
static uint64_t page_size_of(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC) {
        return (uint64_t)fs.f_bsize;
    }
    return PAGE;
}

/* Does the file reach so far?  What is behind its end raises SIGBUS. */
static int check_length(const struct vhost_memory_section *s,
                        struct vhost_error **errp)
{
    struct stat st;
    uint64_t end;
    uint64_t len;

    if (fstat(s->fd, &st) < 0) {
        return vh_error(errp, -errno, "fstat", VH_NO_QUEUE,
                        "the memory's file, fd %d: %s", s->fd, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return 0; /* of a device, say, whose length nobody knows */
    }
    /* A last page that the file fills in part is there as a whole. */
    len = ((uint64_t)st.st_size + s->page_size - 1) & ~(s->page_size - 1);
    if (__builtin_add_overflow(s->fd_offset, s->size, &end) || end > len) {
        return vh_error(errp, -EINVAL, "map", VH_NO_QUEUE,
                        "%llu bytes at %llu of a file that has only %llu",
                        (unsigned long long)s->size,
                        (unsigned long long)s->fd_offset,
                        (unsigned long long)st.st_size);
    }
    return 0;
}

/* Maps a page of it as the back end will. */
static int try_map(const struct vhost_memory_section *s,
                   struct vhost_error **errp)
{
    void *page = mmap(NULL, s->page_size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_NORESERVE, s->fd, (off_t)s->fd_offset);

    if (page == MAP_FAILED) {
        return vh_error(errp, -errno, "mmap", VH_NO_QUEUE,
                        "the file can't be mapped shared, for reading and "
                        "writing, as the back end must: %s",
                        strerror(errno));
    }
    munmap(page, s->page_size);
    return 0;
}

int vh_brought_check(struct vhost_memory_section *section,
                     struct vhost_error **errp)
{
    uint64_t hva = (uintptr_t)section->hva;
    uint64_t page = page_size_of(section->fd);
    int r;

    section->page_size = page;
    if (section->size == 0 || hva + section->size < hva ||
        ((hva | section->size | section->fd_offset) & (page - 1)) != 0) {
        return vh_error(errp, -EINVAL, "map", VH_NO_QUEUE,
                        "address, size and file offset must be whole pages "
                        "of %llu bytes",
                        (unsigned long long)page);
    }
    r = check_length(section, errp);
    if (r == 0) {
        r = try_map(section, errp);
    }
    /* Starts no writing (msync(2), NOTES), but says whether it is mapped. */
    if (r == 0 && msync(section->hva, section->size, MS_ASYNC) < 0) {
        r = vh_error(errp, -EFAULT, "map", VH_NO_QUEUE,
                     "no memory is mapped at some of these addresses");
    }
    return r;
}
