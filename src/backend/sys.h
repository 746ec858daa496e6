/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls that devices in the kernel are driven by.
 *
 * The kernel and the vDPA back end call through a table that their object
 * holds, so that a test can be the kernel: see every argument byte, answer
 * as an old kernel would, and fail each call in turn.
 */
#ifndef VH_BACKEND_SYS_H
#define VH_BACKEND_SYS_H

#include <stddef.h>
#include <sys/types.h>

/** struct vh_sys - one kernel
 *
 * As the calls of those names, but that they return a negative errno, never
 * -EINTR; mmap() returns NULL, and puts the errno in *@error.  @ctx is what
 * the holder of the table was given beside it.
 */
struct vh_sys {
    int (*open)(void *ctx, const char *path, int flags);
    int (*close)(void *ctx, int fd);
    int (*ioctl)(void *ctx, int fd, unsigned long request, void *arg);
    ssize_t (*read)(void *ctx, int fd, void *data, size_t size);
    ssize_t (*write)(void *ctx, int fd, const void *data, size_t size);
    void *(*mmap)(void *ctx, size_t size, int protection, int fd, off_t offset,
                  int *error);
    int (*munmap)(void *ctx, void *addr, size_t size);
    int (*getsockopt)(void *ctx, int fd, int level, int name, int *value);
};

/** The kernel that this process runs on; its ctx is NULL. */
extern const struct vh_sys vh_sys_host;

#endif
