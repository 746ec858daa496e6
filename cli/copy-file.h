/* SPDX-License-Identifier: BSD-3-Clause */
/* The file side of copy-end.c: same contracts, e->fd instead of e->disk. */
#ifndef CLI_COPY_FILE_H
#define CLI_COPY_FILE_H

#include "copy-end.h"

bool copy_file_open_source(struct end *e);
bool copy_file_open_target(struct end *e);
bool copy_file_prepare(struct end *e, uint64_t size);
bool copy_file_close(struct end *e, bool failed);
int copy_file_read(struct end *e, uint64_t offset, void *buf, size_t len);
int copy_file_write(struct end *e, uint64_t offset, const void *buf,
                    size_t len);
int copy_file_flush(struct end *e);
uint64_t copy_file_segment(struct end *e, uint64_t pos, uint64_t align,
                           bool *is_holep);

/** copy_file_zero() - make a range read as zeroes, without writing them
 *
 * Return: false if that can't be done.
 */
bool copy_file_zero(struct end *e, uint64_t offset, uint64_t len);

#endif
