/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file system behind vhost, for programs without a VM: FUSE over virtqueues
 * (virtio 1.3, 5.11 "File System Device"), as virtiofsd serves it.
 *
 *     fs = vhost_fs_mount("user:/run/fs.sock", NULL, &err);
 *     file = vhost_fs_open(fs, "/etc/motd", O_RDONLY, 0, &err);
 *     n = vhost_fs_read(fs, file, buf, sizeof(buf), 0, &err);
 *     vhost_fs_close(fs, file, &err);
 *     vhost_fs_unmount(fs);
 *
 * Nothing is mounted as the system knows it: the program alone sees the files.
 *
 * Every call waits for its answer, up to a deadline.  Data is copied.  Nothing
 * is cached: each call asks the back end.
 *
 * Paths begin at the root of the file system, with a slash or without.  They
 * do not follow symbolic links, and have no "..": see vhost_fs_stat().
 *
 * Open files are numbers from 0 on, the smallest that is free, as file
 * descriptors are; and each belongs to one file system.
 *
 * Errors are negative errnos, of the file system's or of the way to it, with
 * words.  Any call may return -ETIMEDOUT (no answer within options.request_ms:
 * it is not known then whether it was done, and what it opened stays open at
 * the back end), -ENOTCONN (the back end is gone), -EPROTO (it broke the rules:
 * nothing works any more but vhost_fs_unmount()) and -EBUSY (between
 * vhost_fs_save() and vhost_fs_resume()).
 *
 * Threads: a file system belongs to one thread at a time.
 */
#ifndef VHOST_FS_H
#define VHOST_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include <vhost/error.h>
#include <vhost/stream.h>
#include <vhost/virtq.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_fs;

/**
 * struct vhost_fs_options - how to take up a file system
 * @size: sizeof(struct vhost_fs_options), or 0 for the fields of this first
 *     version
 * @queue_size: entries of each queue, a power of two from 8 to 32768; 0: 128
 * @layout: an enum vhost_layout; AUTO never takes one in order, where a slow
 *     request holds up those behind it
 * @polling: wait by looking at the ring, without sleeping
 * @deadline_ms: how long to wait for the answer to a control message; 0: 5000
 * @request_ms: how long to wait for the answer to a request; 0: 30000
 * @transfer_size: bytes that one request reads or writes at most, 4096 to
 *     16 MiB; a longer read or write is split into several requests, up to four
 *     of them at a time; 0: 1 MiB.  The file system may want less
 * @huge_pages: take the memory for requests from huge pages of the default size
 * @uid: to whom belongs what is made; 0 is root.  Back ends do not ask whether
 *     he may: the caller decides who may do what
 * @gid: to which group
 * @lost: the back end is gone, @reason in words; called by
 *     vhost_fs_dispatch(); or NULL
 * @opaque: for the callback
 * @spin_us: how long to look at the ring before sleeping, microseconds, at
 *     most; less while that leads to nothing; 0: 5; VHOST_SPIN_NEVER: not at
 *     all
 */
struct vhost_fs_options {
    size_t size;
    unsigned queue_size;
    unsigned layout;
    bool polling;
    unsigned deadline_ms;
    unsigned request_ms;
    size_t transfer_size;
    bool huge_pages;
    uid_t uid;
    gid_t gid;
    void (*lost)(struct vhost_fs *fs, const char *reason, void *opaque);
    void *opaque;
    unsigned spin_us;
};

/**
 * struct vhost_fs_info - what the file system is like
 * @tag: its name; empty if the device does not tell its configuration
 * @request_queues: that the device has; 0 if it does not tell.  One is used
 * @minor: of the FUSE protocol 7 that is spoken
 * @queue_size: entries of each queue
 * @layout: of the rings, an enum vhost_layout but AUTO
 * @transfer_size: bytes that one request moves at most
 * @can_save: vhost_fs_save() works
 * @open_files: how many there are
 */
struct vhost_fs_info {
    char tag[40];
    unsigned request_queues;
    unsigned minor;
    unsigned queue_size;
    uint32_t layout;
    size_t transfer_size;
    bool can_save;
    unsigned open_files;
    uint64_t reserved[8];
};

/**
 * struct vhost_fs_dirent - an entry of a directory
 * @ino: inode number
 * @type: what it is, as in <dirent.h>: DT_REG, DT_DIR, … or DT_UNKNOWN
 * @name: without a slash; "." and ".." come too
 */
struct vhost_fs_dirent {
    uint64_t ino;
    unsigned type;
    char name[256];
};

/** vhost_fs_mount() - connect, negotiate, start
 * @uri: "user:PATH", the socket of a vhost-user back end
 * @options: copied; NULL for defaults
 * @errp: why it failed; the words begin with @uri
 *
 * Return: the file system, or NULL.  Codes in @errp: -EINVAL for what is no
 * URI or impossible options; -ENOTSUP for a kind of back end that this build
 * lacks, a device older than virtio 1.0, or another FUSE than 7.31 or a later
 * 7; -EPROTO if the answers make no sense; -ETIMEDOUT if there are none; or
 * those of vhost_dev_init() and vhost_memory_alloc().
 */
struct vhost_fs *vhost_fs_mount(const char *uri,
                                const struct vhost_fs_options *options,
                                struct vhost_error **errp);

/** vhost_fs_unmount() - stop and forget a file system
 * @fs: NULL is allowed
 *
 * Files that are open are closed by the back end; what that fails at is not
 * told: use vhost_fs_close().  Between vhost_fs_save() and vhost_fs_resume()
 * the back end is left as it is.
 */
void vhost_fs_unmount(struct vhost_fs *fs);

/** vhost_fs_get_info() - what the file system is like
 * @fs: a file system
 * @info: filled in
 */
void vhost_fs_get_info(const struct vhost_fs *fs, struct vhost_fs_info *info);

/** vhost_fs_stat() - what a path names
 * @fs: a file system
 * @path: "/" is the root
 * @st: filled in; st_dev is 0
 * @errp: why it failed
 *
 * A symbolic link at the end of the path is described itself, as by lstat(2).
 *
 * Return: 0; of any call with a path: -ELOOP if a symbolic link is in its way,
 * -EINVAL if it has "..", -ENAMETOOLONG for a name of more than 255 bytes;
 * or what the file system says.
 */
int vhost_fs_stat(struct vhost_fs *fs, const char *path, struct stat *st,
                  struct vhost_error **errp);

/** vhost_fs_open() - open a file or a directory
 * @fs: a file system
 * @path: of it
 * @flags: of open(2): O_RDONLY, O_WRONLY or O_RDWR, with O_CREAT, O_EXCL,
 *     O_TRUNC, O_APPEND, O_DIRECTORY, O_SYNC, O_DSYNC; O_CLOEXEC, O_NOFOLLOW
 *     and O_NOCTTY mean nothing here
 * @mode: permissions of a new file; no umask applies
 * @errp: why it failed
 *
 * Return: its number; -EINVAL for other flags; -ELOOP for a symbolic link;
 * -ENXIO for what is neither file nor directory; -EISDIR for a directory to be
 * written; -EMFILE if there are too many; as vhost_fs_stat().
 */
int vhost_fs_open(struct vhost_fs *fs, const char *path, int flags, mode_t mode,
                  struct vhost_error **errp);

/** vhost_fs_close() - close a file or a directory
 * @fs: a file system
 * @file: the number; it is free after this, whatever is returned
 * @errp: why it failed
 *
 * Return: 0; -EBADF if it is not open; or what the file system says, such as
 * of data that it could not store.
 */
int vhost_fs_close(struct vhost_fs *fs, int file, struct vhost_error **errp);

/** vhost_fs_read() - read from a file
 * @fs: a file system
 * @file: open for reading
 * @buf: filled in, any memory
 * @len: bytes
 * @offset: where in the file
 * @errp: why it failed
 *
 * Return: how many were read, which is less than @len only at the end of the
 * file, or if a later part of it failed; -EBADF, -EISDIR, -EINVAL; or what the
 * file system says.
 */
ssize_t vhost_fs_read(struct vhost_fs *fs, int file, void *buf, size_t len,
                      uint64_t offset, struct vhost_error **errp);

/** vhost_fs_write() - write to a file
 * @fs: a file system
 * @file: open for writing
 * @buf: any memory
 * @len: bytes
 * @offset: where in the file; with O_APPEND, its end instead
 * @errp: why it failed
 *
 * When less than @len was written, parts of the rest may have been too.
 *
 * Return: how many were written; as vhost_fs_read().
 */
ssize_t vhost_fs_write(struct vhost_fs *fs, int file, const void *buf,
                       size_t len, uint64_t offset, struct vhost_error **errp);

/** vhost_fs_fstat() - what an open file is
 * @fs: a file system
 * @file: open
 * @st: filled in; st_dev is 0
 * @errp: why it failed
 *
 * Return: 0; -EBADF; or what the file system says.
 */
int vhost_fs_fstat(struct vhost_fs *fs, int file, struct stat *st,
                   struct vhost_error **errp);

/** vhost_fs_fsync() - wait until a file is on stable storage
 * @fs: a file system
 * @file: open
 * @datasync: only what is needed to read its data again
 * @errp: why it failed
 *
 * Return: 0; -EBADF; or what the file system says.
 */
int vhost_fs_fsync(struct vhost_fs *fs, int file, bool datasync,
                   struct vhost_error **errp);

/** vhost_fs_flush() - hear of errors of writes before, as close(2) would tell
 * @fs: a file system
 * @file: open; not a directory
 * @errp: why it failed
 *
 * vhost_fs_close() does so too.
 *
 * Return: 0; -EBADF, -EISDIR; or what the file system says.
 */
int vhost_fs_flush(struct vhost_fs *fs, int file, struct vhost_error **errp);

/** vhost_fs_truncate() - make a file so long
 * @fs: a file system
 * @file: open for writing
 * @len: bytes
 * @errp: why it failed
 *
 * Return: 0; -EBADF, -EISDIR; or what the file system says.
 */
int vhost_fs_truncate(struct vhost_fs *fs, int file, uint64_t len,
                      struct vhost_error **errp);

/** vhost_fs_readdir() - the next entry of a directory
 * @fs: a file system
 * @dir: an open directory
 * @entry: filled in
 * @errp: why it failed
 *
 * Return: 1; 0 at the end; -EBADF, -ENOTDIR; or what the file system says.
 */
int vhost_fs_readdir(struct vhost_fs *fs, int dir,
                     struct vhost_fs_dirent *entry, struct vhost_error **errp);

/** vhost_fs_mkdir() - make a directory
 * @fs: a file system
 * @path: of it
 * @mode: permissions; no umask applies
 * @errp: why it failed
 *
 * Return: 0; as vhost_fs_stat().
 */
int vhost_fs_mkdir(struct vhost_fs *fs, const char *path, mode_t mode,
                   struct vhost_error **errp);

/** vhost_fs_unlink() - remove a name of what is no directory
 * @fs: a file system
 * @path: the name
 * @errp: why it failed
 *
 * Return: 0; as vhost_fs_stat().
 */
int vhost_fs_unlink(struct vhost_fs *fs, const char *path,
                    struct vhost_error **errp);

/** vhost_fs_rmdir() - remove an empty directory
 * @fs: a file system
 * @path: of it
 * @errp: why it failed
 *
 * Return: 0; as vhost_fs_stat().
 */
int vhost_fs_rmdir(struct vhost_fs *fs, const char *path,
                   struct vhost_error **errp);

/** vhost_fs_statfs() - how much room there is
 * @fs: a file system
 * @st: filled in; f_fsid and f_flag are 0
 * @errp: why it failed
 *
 * Return: 0; or what the file system says.
 */
int vhost_fs_statfs(struct vhost_fs *fs, struct statvfs *st,
                    struct vhost_error **errp);

/** vhost_fs_save() - stop, and write all that makes up the session
 * @fs: a file system; of no use after this, also after a failure, but for
 *     vhost_fs_resume() and vhost_fs_unmount()
 * @stream: where to: what is open, then the back end's state as
 *     vhost_save_backend_state() writes it
 * @errp: why it failed
 *
 * The session goes on wherever vhost_fs_load() takes it up, or here after
 * vhost_fs_resume(); but at one place only.
 *
 * Return: 0; -ENOSYS or -ENOTSUP if the back end can't; as
 * vhost_save_backend_state().
 */
int vhost_fs_save(struct vhost_fs *fs, struct vhost_stream *stream,
                  struct vhost_error **errp);

/** vhost_fs_resume() - go on here, after vhost_fs_save()
 * @fs: a file system
 * @errp: why it failed
 *
 * Return: 0; -EINVAL if it was not stopped; as vhost_dev_start().
 */
int vhost_fs_resume(struct vhost_fs *fs, struct vhost_error **errp);

/** vhost_fs_load() - take up a session that was saved
 * @uri: of another back end, which serves the same files
 * @options: copied; NULL for defaults
 * @stream: as vhost_fs_save() wrote it
 * @errp: why it failed; the words begin with @uri
 *
 * What was open is open, under the same numbers.
 *
 * Return: the file system, or NULL.  Codes in @errp: -EBADMSG if the stream
 * holds no such session; as vhost_load_backend_state(); as vhost_fs_mount().
 */
struct vhost_fs *vhost_fs_load(const char *uri,
                               const struct vhost_fs_options *options,
                               struct vhost_stream *stream,
                               struct vhost_error **errp);

/** vhost_fs_get_fd() - readable when vhost_fs_dispatch() has work
 * @fs: a file system
 *
 * Return: the fd, lent.
 */
int vhost_fs_get_fd(const struct vhost_fs *fs);

/** vhost_fs_dispatch() - serve the control channel, without waiting
 * @fs: a file system
 * @errp: why it is of no more use
 *
 * Calls lost of the options.
 *
 * Return: 0, or a negative errno once the back end is gone or broken.
 */
int vhost_fs_dispatch(struct vhost_fs *fs, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
