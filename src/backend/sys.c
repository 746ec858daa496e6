/* SPDX-License-Identifier: BSD-3-Clause */
#include "backend/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int sys_open(void *ctx, const char *path, int flags)
{
    int fd;

    (void)ctx;
    do {
        fd = open(path, flags | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int sys_close(void *ctx, int fd)
{
    (void)ctx;
    /* Linux has closed it even where it says EINTR. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int sys_ioctl(void *ctx, int fd, unsigned long request, void *arg)
{
    int r;

    (void)ctx;
    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static ssize_t sys_read(void *ctx, int fd, void *data, size_t size)
{
    ssize_t n;

    (void)ctx;
    do {
        n = read(fd, data, size);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t sys_write(void *ctx, int fd, const void *data, size_t size)
{
    ssize_t n;

    (void)ctx;
    do {
        n = write(fd, data, size);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void *sys_mmap(void *ctx, size_t size, int protection, int fd,
                      off_t offset, int *error)
{
    void *addr = mmap(NULL, size, protection, MAP_SHARED, fd, offset);

    (void)ctx;
    if (addr == MAP_FAILED) {
        *error = -errno;
        return NULL;
    }
    return addr;
}

static int sys_munmap(void *ctx, void *addr, size_t size)
{
    (void)ctx;
    return munmap(addr, size) < 0 ? -errno : 0;
}

static int sys_getsockopt(void *ctx, int fd, int level, int name, int *value)
{
    socklen_t len = sizeof(*value);

    (void)ctx;
    return getsockopt(fd, level, name, value, &len) < 0 ? -errno : 0;
}

const struct vh_sys vh_sys_host = {
    .open = sys_open,
    .close = sys_close,
    .ioctl = sys_ioctl,
    .read = sys_read,
    .write = sys_write,
    .mmap = sys_mmap,
    .munmap = sys_munmap,
    .getsockopt = sys_getsockopt,
};
