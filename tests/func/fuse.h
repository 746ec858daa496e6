/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file system device for the embedded back end: files in memory, and lies on
 * demand.  It counts what the driver owes it, so that what is not forgotten or
 * not closed is seen.
 *
 *     struct fuse_store store = { … };        the files, shared by devices
 *     struct fuse *fuse = fuse_new(&store);
 *     vhost_server_new(path, fuse_device(fuse), …);
 *
 * A lie is told by any thread, at any time; the counts are read by any.
 */
#ifndef VH_TESTS_FUNC_FUSE_H
#define VH_TESTS_FUNC_FUSE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <vhost/server.h>

#define FUSE_NODES 64
#define FUSE_HANDLES 64
#define FUSE_FILE_MAX (1u << 20)

enum fuse_lie {
    FUSE_TRUTH,
    FUSE_NO_ANSWER,    /* gives the buffer back only when it is stopped */
    FUSE_LATE,         /* gives it back together with the next answer */
    FUSE_NOTHING,      /* gives it back with nothing in it */
    FUSE_HALF_HEADER,  /* says that eight bytes were written */
    FUSE_LEN_HUGE,     /* in the header */
    FUSE_LEN_ONE_MORE, /* than was written */
    FUSE_LEN_SMALL,    /* than the header itself */
    FUSE_OTHER_UNIQUE,
    FUSE_ERROR_POSITIVE,
    FUSE_ERROR_HUGE,
    FUSE_BODY_SHORT, /* its last byte is missing */
    FUSE_BODY_NONE,
    FUSE_IO_ERROR,     /* no lie: -EIO */
    FUSE_NO_SYS,       /* nor this: -ENOSYS */
    FUSE_BREAK,        /* the ring, and says so */
    FUSE_BODY_VALUE,   /* @value at byte @at of the body, @len bytes of it */
    FUSE_DIRENTS_CUT,  /* in the middle of the last entry's name */
    FUSE_DIRENTS_CUT2, /* in the middle of its head */
};

struct fuse_node {
    bool used;
    uint64_t parent; /* node */
    char name[256];
    uint32_t mode;
    uint32_t size;
    uint8_t *data;
};

struct fuse_store {
    pthread_mutex_t lock; /* for the tests too, while a server runs */
    struct fuse_node nodes[FUSE_NODES]; /* node 1 is the first */
};

struct fuse;

/** fuse_new() - a device; the server frees it */
struct fuse *fuse_new(struct fuse_store *store);
struct vhost_server_device *fuse_device(struct fuse *fuse);

/** fuse_tell() - from the @nth request from now on that is of @opcode, from 1
 */
void fuse_tell(struct fuse *fuse, enum fuse_lie lie, uint32_t opcode,
               unsigned nth);

/** fuse_tell_value() - FUSE_BODY_VALUE */
void fuse_tell_value(struct fuse *fuse, uint32_t opcode, unsigned at,
                     uint64_t value, unsigned len);

/** fuse_set_max() - what INIT answers; before it is asked */
void fuse_set_max(struct fuse *fuse, uint32_t max_write, uint32_t flags);

/** fuse_count() - requests of @opcode so far */
unsigned fuse_count(struct fuse *fuse, uint32_t opcode);

/** fuse_lookups() - that were not forgotten; fuse_handles() - not closed */
int64_t fuse_lookups(struct fuse *fuse);
unsigned fuse_handles(struct fuse *fuse);

/** fuse_add() - a file or a directory; and its node */
uint64_t fuse_add(struct fuse_store *store, uint64_t parent, const char *name,
                  uint32_t mode, const void *data, uint32_t size);
void fuse_store_free(struct fuse_store *store);

#endif
