/* SPDX-License-Identifier: BSD-3-Clause */
/* File descriptors: -1 is none, and 0 is one like any other. */
#ifndef VH_UTIL_FD_H
#define VH_UTIL_FD_H

#include <stddef.h>

/** vh_fd_close() - close *fd if it is one, and make it -1; errno survives */
void vh_fd_close(int *fd);

/** vh_fd_close_all() - the same for @n of them */
void vh_fd_close_all(int *fds, size_t n);

/** vh_fd_dup() - duplicate, close-on-exec; negative errno on failure */
int vh_fd_dup(int fd);

/** vh_fd_set_nonblock() - 0 or a negative errno */
int vh_fd_set_nonblock(int fd);

#endif
