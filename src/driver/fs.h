/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file system driver, inside view.
 *
 *   fs.c          taking a device up, and giving it back
 *   fs-slot.c     requests: where they lie, how they are sent and answered
 *   fs-forget.c   requests that have no answer
 *   fs-session.c  the first request and the last
 *   fs-node.c     requests about nodes
 *   fs-path.c     from paths to nodes
 *   fs-file.c     open files
 *   fs-data.c     reading and writing
 *   fs-dir.c      reading directories
 *   fs-state.c    saving a session, and taking it up elsewhere
 */
#ifndef VH_DRIVER_FS_H
#define VH_DRIVER_FS_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/fs.h>

#include "driver/device.h"
#include "driver/fs-slot.h"

#define VH_FS_ROOT 1 /* the node that is there without a lookup */
#define VH_FS_NAME_MAX 255
#define VH_FS_FILES_MAX 65536

/* Queues of the device (virtio 1.3, 5.11.2). */
enum { VH_FS_HIPRIO, VH_FS_REQUESTS, VH_FS_QUEUES };

struct vh_fs_file {
    bool is_open;
    bool is_dir;
    uint32_t flags; /* as it was opened */
    uint64_t node;  /* one lookup of it is ours */
    uint64_t fh;
    uint64_t offset; /* of the next entry of a directory */
    char *entries;   /* of a directory: what was read; or NULL */
    size_t at;
    size_t n; /* bytes there */
};

struct vhost_fs {
    struct vh_device device;
    struct vhost_fs_options options;
    struct vh_fs_slot slots[VH_FS_SLOTS];
    struct vh_fs_forgets forgets;
    uint64_t unique;
    uint32_t minor;
    uint32_t flags; /* FUSE_…, as negotiated */
    size_t chunk;   /* bytes that one request moves at most */
    bool in_session;
    bool is_paused;
    struct vh_fs_file *files;
    unsigned n_files; /* room there */
    char tag[37];
    uint32_t request_queues;
};

/** vh_fs_mount_over() - as vhost_fs_mount(), over a back end
 * @link: given, also on failure
 * @options: copied; NULL for defaults
 * @stream: as in vhost_fs_load(); or NULL: a new session
 * @errp: why it failed
 *
 * Return: the file system, or NULL.
 */
struct vhost_fs *vh_fs_mount_over(struct vh_link link,
                                  const struct vhost_fs_options *options,
                                  struct vhost_stream *stream,
                                  struct vhost_error **errp);

/** vh_fs_mount() - the same, by a URI; the words begin with it */
struct vhost_fs *vh_fs_mount(const char *uri,
                             const struct vhost_fs_options *options,
                             struct vhost_stream *stream,
                             struct vhost_error **errp);

/* fs-session.c: 0 or a negative errno. */
int vh_fs_begin_session(struct vhost_fs *fs, struct vhost_error **errp);
void vh_fs_end_session(struct vhost_fs *fs);

/* fs-state.c: what a stream holds of us, before the back end's state.
 * vh_fs_load_session() asks nothing of the device, and may be called first. */
int vh_fs_load_session(struct vhost_fs *fs, struct vhost_stream *stream,
                       struct vhost_error **errp);

/* fs-node.c: requests; each returns 0 or a negative errno.  What gives a node
 * gives one lookup of it, to be returned by vh_fs_forget(). */
int vh_fs_lookup(struct vhost_fs *fs, uint64_t parent, const char *name,
                 uint64_t *node, struct stat *st, struct vhost_error **errp);
int vh_fs_getattr(struct vhost_fs *fs, uint64_t node,
                  const struct vh_fs_file *file, struct stat *st,
                  struct vhost_error **errp);
int vh_fs_open_node(struct vhost_fs *fs, struct vh_fs_file *file,
                    struct vhost_error **errp);
int vh_fs_create(struct vhost_fs *fs, uint64_t parent, const char *name,
                 mode_t mode, struct vh_fs_file *file,
                 struct vhost_error **errp);
int vh_fs_release(struct vhost_fs *fs, const struct vh_fs_file *file,
                  struct vhost_error **errp);
int vh_fs_set_size(struct vhost_fs *fs, const struct vh_fs_file *file,
                   uint64_t size, struct vhost_error **errp);

/* fs-path.c */
int vh_fs_walk(struct vhost_fs *fs, const char *path, uint64_t *node,
               struct stat *st, struct vhost_error **errp);
/* To the directory that holds it; @name has VH_FS_NAME_MAX + 1 bytes. */
int vh_fs_walk_parent(struct vhost_fs *fs, const char *path, uint64_t *node,
                      char *name, struct vhost_error **errp);

/* fs-file.c: a file by its number; NULL, with words, if it is not open.  An
 * unused one; NULL if there can be no more. */
struct vh_fs_file *vh_fs_file(struct vhost_fs *fs, int number, const char *what,
                              struct vhost_error **errp);
struct vh_fs_file *vh_fs_file_at(struct vhost_fs *fs, unsigned number);
void vh_fs_files_free(struct vhost_fs *fs);

#endif
