/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file system and its back end, in a thread.
 *
 *     struct rig rig;
 *     rig_up(&rig, NULL);
 *     … rig.fs, rig.fuse, rig_is() …
 *     rig_down(&rig);
 */
#ifndef VH_TESTS_FUNC_FS_RIG_H
#define VH_TESTS_FUNC_FS_RIG_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vhost/fs.h>

#include "check.h"
#include "fuse.h"
#include "util/clock.h"

#define RIG_BIG 700001u

struct rig_back { /* one back end */
    char socket[64];
    char uri[72];
    struct fuse *fuse;
    struct vhost_server *server;
    pthread_t thread;
    atomic_bool stop;
};

struct rig {
    struct fuse_store store;
    struct rig_back back;
    struct fuse *fuse; /* of it */
    struct vhost_fs *fs;
    struct vhost_error *error; /* of the last call */
    uint8_t big[RIG_BIG];      /* the content of /sub/big */
};

static inline void *rig_serve(void *arg)
{
    struct rig_back *back = arg;

    while (!back->stop) {
        vhost_server_run(back->server, 10, NULL);
    }
    return NULL;
}

static inline void rig_back_up(struct rig_back *back, struct fuse_store *store,
                               const char *name,
                               const struct vhost_server_options *options)
{
    snprintf(back->socket, sizeof(back->socket), "test-fs-%d-%s.sock",
             (int)getpid(), name);
    snprintf(back->uri, sizeof(back->uri), "user:%s", back->socket);
    back->fuse = fuse_new(store);
    back->stop = false;
    back->server =
        vhost_server_new(back->socket, fuse_device(back->fuse), options, NULL);
    assert_non_null(back->server);
}

static inline void rig_back_run(struct rig_back *back)
{
    assert_int_equal(pthread_create(&back->thread, NULL, rig_serve, back), 0);
}

static inline void rig_back_down(struct rig_back *back)
{
    back->stop = true;
    pthread_join(back->thread, NULL);
    vhost_server_free(back->server);
}

static inline void rig_fill(struct rig *rig)
{
    uint64_t sub;

    for (unsigned i = 0; i < RIG_BIG; i++) {
        rig->big[i] = (uint8_t)(i * 2654435761u >> 11);
    }
    memset(&rig->store, 0, sizeof(rig->store));
    pthread_mutex_init(&rig->store.lock, NULL);
    fuse_add(&rig->store, 0, "", S_IFDIR | 0755, NULL, 0);
    fuse_add(&rig->store, 1, "hello", S_IFREG | 0644, "hello\n", 6);
    sub = fuse_add(&rig->store, 1, "sub", S_IFDIR | 0755, NULL, 0);
    fuse_add(&rig->store, sub, "big", S_IFREG | 0644, rig->big, RIG_BIG);
    fuse_add(&rig->store, 1, "link", S_IFLNK | 0777, "hello", 5);
    fuse_add(&rig->store, 1, "pipe", S_IFIFO | 0644, NULL, 0);
}

/* Everything but the mount, so that lies can be told about that too. */
static inline void rig_prepare(struct rig *rig)
{
    rig_fill(rig);
    rig->error = NULL;
    rig->fs = NULL;
    rig_back_up(&rig->back, &rig->store, "a", NULL);
    rig->fuse = rig->back.fuse;
}

/* A call, its result, and words if and only if it failed. */
#define rig_is(rig, call, wanted)                                        \
    do {                                                                 \
        long is_ = (long)(call);                                         \
        if (is_ != (long)(wanted) && (rig)->error) {                     \
            print_error("%s\n", vhost_error_message((rig)->error));      \
        }                                                                \
        assert_int_equal(is_, (long)(wanted));                           \
        assert_int_equal((rig)->error != NULL, is_ < 0);                 \
        if ((rig)->error) {                                              \
            assert_int_equal(vhost_error_code((rig)->error), is_);       \
            assert_true(strlen(vhost_error_message((rig)->error)) > 10); \
        }                                                                \
        vhost_error_free((rig)->error);                                  \
        (rig)->error = NULL;                                             \
    } while (0)

/* Forgets are on their way for a while. */
static inline void rig_owes(struct fuse *fuse, int64_t lookups,
                            unsigned handles)
{
    int64_t deadline = vh_deadline_in(10000);

    while (fuse_lookups(fuse) != lookups && !vh_deadline_passed(deadline)) {
        usleep(100);
    }
    assert_int_equal(fuse_lookups(fuse), lookups);
    assert_int_equal(fuse_handles(fuse), handles);
}

static inline void rig_up(struct rig *rig,
                          const struct vhost_fs_options *options)
{
    rig_prepare(rig);
    rig_back_run(&rig->back);
    rig->fs = vhost_fs_mount(rig->back.uri, options, &rig->error);
    if (!rig->fs) {
        fail_msg("%s", vhost_error_message(rig->error));
    }
}

/* What a file holds, to the server. */
static inline void rig_holds(struct rig *rig, uint64_t node, size_t at,
                             const void *data, size_t len)
{
    pthread_mutex_lock(&rig->store.lock);
    assert_memory_equal(rig->store.nodes[node - 1].data + at, data, len);
    pthread_mutex_unlock(&rig->store.lock);
}

static inline void rig_has_size(struct rig *rig, uint64_t node, uint32_t size)
{
    pthread_mutex_lock(&rig->store.lock);
    assert_int_equal(rig->store.nodes[node - 1].size, size);
    pthread_mutex_unlock(&rig->store.lock);
}

static inline void rig_down(struct rig *rig)
{
    vhost_error_free(rig->error);
    vhost_fs_unmount(rig->fs);
    rig_back_down(&rig->back);
    fuse_store_free(&rig->store);
}

#endif
