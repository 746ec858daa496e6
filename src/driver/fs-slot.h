/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests to a FUSE server, and their answers.
 *
 *     vh_fs_call()                     one, and its answer
 *     vh_fs_begin(), vh_fs_finish()    several at a time
 *     vh_fs_forget()                   a request that has no answer
 */
#ifndef VH_DRIVER_FS_SLOT_H
#define VH_DRIVER_FS_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vhost/error.h>

struct vhost_fs;
struct fuse_in_header;

#define VH_FS_SLOTS 4    /* requests at a time */
#define VH_FS_FORGETS 32 /* on their way at a time */
#define VH_FS_FORGET_SIZE 64

/* The largest request without indirect descriptors: header, arguments, data;
 * header, data. */
#define VH_FS_PIECES 5

/**
 * struct vh_fs_call - a request
 * @what: for the words of an error
 * @opcode: FUSE_…
 * @node: that it is about
 * @args: what follows the header
 * @args_len: bytes, up to 128
 * @name: what follows that, with its NUL; or NULL
 * @data: or what follows instead; or NULL
 * @data_len: bytes, up to fs->chunk
 * @reply: where the answer goes
 * @reply_max: room there, up to fs->chunk
 * @reply_min: a shorter answer is broken
 */
struct vh_fs_call {
    const char *what;
    uint32_t opcode;
    uint64_t node;
    const void *args;
    size_t args_len;
    const char *name;
    const void *data;
    size_t data_len;
    void *reply;
    size_t reply_max;
    size_t reply_min;
};

enum vh_fs_slot_state {
    VH_FS_SLOT_FREE,
    VH_FS_SLOT_SENT,
    VH_FS_SLOT_ABANDONED, /* sent, and nobody waits for the answer any more */
    VH_FS_SLOT_ANSWERED,
};

struct vh_fs_slot {
    enum vh_fs_slot_state state;
    struct vh_fs_call call;
    uint64_t unique;
    int64_t deadline;
    uint32_t used_len;
    char *head; /* shared: headers, and what is small */
    uint64_t head_gpa;
    char *data; /* shared: what is large */
    uint64_t data_gpa;
};

/* Forgotten nodes, on their way. */
struct vh_fs_forgets {
    char *memory; /* shared */
    uint64_t gpa;
    unsigned n_free;
    void *free[VH_FS_FORGETS];
};

/** vh_fs_slots_size() - bytes of shared memory that all of this takes */
size_t vh_fs_slots_size(size_t transfer_size);

/** vh_fs_slots_open() - take that memory from the device's pool; 0 or -ENOMEM;
 *     the pool frees it
 */
int vh_fs_slots_open(struct vhost_fs *fs);

/** vh_fs_slots_busy() - is anything on its way? */
bool vh_fs_slots_busy(const struct vhost_fs *fs);

/** vh_fs_has_free_slot() - would vh_fs_begin() find room at once? */
bool vh_fs_has_free_slot(const struct vhost_fs *fs);

/**
 * vh_fs_begin() - send a request
 * @fs: a file system
 * @call: copied; what it points to is copied too, but for reply, which is lent
 *     until vh_fs_finish()
 * @slotp: filled in
 * @errp: why it failed
 *
 * Return: 0; -EBUSY, -ETIMEDOUT, -ENOTCONN, -EPROTO.
 */
int vh_fs_begin(struct vhost_fs *fs, const struct vh_fs_call *call,
                struct vh_fs_slot **slotp, struct vhost_error **errp);

/**
 * vh_fs_finish() - wait for the answer
 * @fs: a file system
 * @slot: of vh_fs_begin(); not to be used any more
 * @errp: why it failed
 *
 * Return: how many bytes of the answer are in call.reply; what the file system
 * says; -ETIMEDOUT, -ENOTCONN, -EPROTO.
 */
ssize_t vh_fs_finish(struct vhost_fs *fs, struct vh_fs_slot *slot,
                     struct vhost_error **errp);

/** vh_fs_call() - both */
ssize_t vh_fs_call(struct vhost_fs *fs, const struct vh_fs_call *call,
                   struct vhost_error **errp);

/** vh_fs_forget() - give lookups of a node back; the root has none
 *
 * Fails silently: the next request will tell.
 */
void vh_fs_forget(struct vhost_fs *fs, uint64_t node, uint64_t n);

/** vh_fs_forgets_settle() - wait until the back end has taken them all */
void vh_fs_forgets_settle(struct vhost_fs *fs);

/** vh_fs_fill_header() - of the next request, with @len bytes behind it */
void vh_fs_fill_header(struct vhost_fs *fs, struct fuse_in_header *header,
                       uint32_t opcode, uint64_t node, size_t len);

/** vh_fs_lied() - an answer makes no sense: break the session
 * @fs: a file system
 * @why: in words
 * @errp: set
 *
 * Return: -EPROTO.
 */
int vh_fs_lied(struct vhost_fs *fs, const char *why, struct vhost_error **errp);

#endif
