/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log that a front end gave: which pages have we written?
 *
 * A queue that runs while VHOST_F_LOG_ALL is acknowledged has a struct
 * vh_qlog, and only then: what its buffers may be written to is kept there
 * from the take to the completion, since a device that is done has forgotten.
 *
 * Threads: the server's.
 */
#ifndef VH_SERVER_LOG_H
#define VH_SERVER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/devring.h"
#include "wire/payload.h"

struct vhost_server;
struct vh_qlog;
struct vh_squeue;

struct vh_slog {
    uint8_t *bits; /* page p is bit p % 8 of byte p / 8; NULL: no log */
    uint64_t size; /* bytes */
    void *map;     /* what mmap(2) gave */
    size_t map_len;
};

/**
 * vh_slog_set() - log there from now on
 * @log: zeroed at first; the one before is unmapped
 * @area: as it came from the front end
 * @fd: lent
 * @why: set on failure: a constant string
 *
 * Return: 0; -EINVAL if it is empty, or longer than its file; or the negative
 * errno of fstat(2) or mmap(2).
 */
int vh_slog_set(struct vh_slog *log, const struct vh_log_area *area, int fd,
                const char **why);

/** vh_slog_unset() - log no more */
void vh_slog_unset(struct vh_slog *log);

/** vh_slog_mark() - @size bytes at @gpa were written */
void vh_slog_mark(const struct vh_slog *log, uint64_t gpa, uint64_t size);

/** vh_qlog_begin() - a queue starts; its ring is at @config
 * Return: 0 or -ENOMEM. */
int vh_qlog_begin(struct vh_squeue *q, const struct vh_devring_config *config);

/** vh_qlog_end() - its ring stands still; also without a log */
void vh_qlog_end(struct vh_squeue *q);

/** vh_qlog_take() - the device may write to this buffer */
void vh_qlog_take(struct vh_squeue *q, const struct vh_chain *chain);

/** vh_qlog_wrote() - it has: at most the first @len bytes that it may */
void vh_qlog_wrote(struct vh_squeue *q, uint16_t id, uint32_t len);

/** vh_qlog_published() - used entries were written */
void vh_qlog_published(struct vh_squeue *q);

/** vh_qlog_asked() - and the fields that ask for a kick, or for none */
void vh_qlog_asked(struct vh_squeue *q);

#endif
