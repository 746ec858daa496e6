/* SPDX-License-Identifier: BSD-3-Clause */
/* The file system device of the tests, inside view. */
#ifndef VH_TESTS_FUNC_FUSE_INSIDE_H
#define VH_TESTS_FUNC_FUSE_INSIDE_H

#include <stdio.h>
#include <stdlib.h>
#include <linux/fuse.h>

#include "fuse.h"
#include "server/device.h"
#include "server/queue.h"

#define FUSE_IN_MAX (64 + FUSE_FILE_MAX)
#define FUSE_OPCODES 64
#define FUSE_HELD_MAX 8
#define FUSE_DONE_MAX 256

/* In the thread of the server, where cmocka must not be called. */
#define must(truth)                                                    \
    do {                                                               \
        if (!(truth)) {                                                \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
                    #truth);                                           \
            abort();                                                   \
        }                                                              \
    } while (0)

/* A buffer that is to be given back. */
struct fuse_held {
    struct vh_squeue *queue;
    uint16_t id;
    uint32_t len;
};

struct fuse {
    struct vhost_server_device device;
    struct fuse_store *store;
    atomic_uint lie;
    atomic_uint lie_opcode;
    atomic_uint lie_in; /* requests until it is told */
    atomic_uint lie_at;
    atomic_uint lie_len;
    atomic_ullong lie_value;
    atomic_uint counts[FUSE_OPCODES];
    atomic_llong lookups;
    atomic_uint n_handles;
    uint64_t handles[FUSE_HANDLES]; /* nodes; 0: free */
    uint32_t max_write;
    uint32_t flags;
    struct fuse_held done[FUSE_DONE_MAX];
    unsigned n_done;
    struct fuse_held kept[FUSE_HELD_MAX]; /* until the stop */
    unsigned n_kept;
    struct fuse_held late;
    bool has_late;
    /* The request, and the answer that is being made. */
    struct fuse_in_header header;
    const uint8_t *args;
    size_t args_len;
    uint8_t in[FUSE_IN_MAX];
    uint8_t body[FUSE_FILE_MAX];
    size_t body_len;
    size_t room;      /* for the body */
    size_t last_name; /* where in the body the last entry's name begins */
};

/* By opcode; NULL: not known.  Each returns 0 or a negative errno, and makes
 * the body of the answer. */
extern int (*const fuse_requests[FUSE_OPCODES])(struct fuse *fuse);

#endif
