/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes through an fd, within a deadline, whatever kind of fd it is.
 *
 * Nothing here depends on O_NONBLOCK, which is shared with whoever else has
 * the fd, and nothing raises SIGPIPE.
 */
#ifndef VH_UTIL_IO_H
#define VH_UTIL_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * vh_io_read() - some bytes
 * @len: at most so many, not 0
 * @deadline: a point of time; see util/clock.h
 *
 * Return: how many, 0 at the end, -ETIMEDOUT, or the negative errno of
 * read(2).
 */
ssize_t vh_io_read(int fd, void *data, size_t len, int64_t deadline);

/**
 * vh_io_write() - some bytes
 * @len: at most so many, not 0
 * @deadline: a point of time
 *
 * Return: how many, at least 1; -EPIPE if nobody reads any more; -ETIMEDOUT;
 * or the negative errno of write(2).
 */
ssize_t vh_io_write(int fd, const void *data, size_t len, int64_t deadline);

/** vh_io_write_all() - all of them; 0 or a negative errno, as vh_io_write() */
int vh_io_write_all(int fd, const void *data, size_t len, int64_t deadline);

#endif
