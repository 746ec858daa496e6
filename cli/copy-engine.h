/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine of `vhost copy`: many chunks under way, from end to end. */
#ifndef CLI_COPY_ENGINE_H
#define CLI_COPY_ENGINE_H

#include "copy-end.h"
#include "progress.h"

/**
 * struct engine_job - what to do
 * @src: opened
 * @dst: opened, large enough; prepared
 * @compare: do not write: read both ends, and compare
 * @depth: chunks under way
 * @chunk: bytes in each, a multiple of 4096
 * @request_ms: fail after so long without any completion
 * @progress: told of bytes done
 */
struct engine_job {
    struct end *src;
    struct end *dst;
    bool compare;
    unsigned depth;
    uint64_t chunk;
    unsigned request_ms;
    struct progress *progress;
};

/**
 * struct engine_result - what came out
 * @zero_bytes: of the source, never sent as data
 * @differs: @compare found a difference
 * @mismatch: offset of the first byte that differs
 */
struct engine_result {
    uint64_t zero_bytes;
    bool differs;
    uint64_t mismatch;
};

/** engine_run() - copy all of the source and flush, or compare all of it
 * @job: what to do
 * @result: filled in
 *
 * Return: false after a message.  A difference is not a failure here.
 */
bool engine_run(const struct engine_job *job, struct engine_result *result);

#endif
