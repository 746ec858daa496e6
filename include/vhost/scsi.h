/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A SCSI host behind vhost, for programs without a VM.
 *
 *     scsi = vhost_scsi_open("user:/run/scsi.sock", NULL, &err);
 *     vhost_scsi_find_disk(scsi, 1, 0, &disk, &err);
 *     vhost_scsi_read(scsi, &disk, 0, buf, 4096, &err);
 *
 * One command at a time.  Threads: one at a time.
 */
#ifndef VHOST_SCSI_H
#define VHOST_SCSI_H

#include <stddef.h>
#include <stdint.h>

#include <vhost/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VHOST_SCSI_SENSE 96
#define VHOST_SCSI_CDB 32
#define VHOST_SCSI_TRANSFER ((size_t)256 << 10)

struct vhost_scsi;

/**
 * struct vhost_scsi_command - a SCSI command, and what became of it
 * @target: of the virtio SCSI host, 0 to 255
 * @lun: logical unit, up to 16383
 * @cdb: the command; lent for the call
 * @cdb_len: bytes, at most VHOST_SCSI_CDB
 * @out: data for the device, @out_len bytes; lent for the call
 * @out_len: at most VHOST_SCSI_TRANSFER
 * @in: where data from the device goes, of @in_len bytes; lent for the call
 * @in_len: at most VHOST_SCSI_TRANSFER
 * @status: filled in: SCSI status, 0 good, 2 see @sense
 * @residual: filled in: bytes of the data that were not transferred
 * @sense: filled in
 * @sense_len: filled in: bytes in @sense
 */
struct vhost_scsi_command {
    uint8_t target;
    uint16_t lun;
    const uint8_t *cdb;
    size_t cdb_len;
    const void *out;
    size_t out_len;
    void *in;
    size_t in_len;
    uint8_t status;
    uint32_t residual;
    uint8_t sense[VHOST_SCSI_SENSE];
    uint32_t sense_len;
};

/**
 * struct vhost_scsi_identity - what a logical unit says that it is
 * @type: peripheral device type, 0 for a disk
 * @vendor: as it stands there, with a NUL at the end
 * @product: likewise
 * @revision: likewise
 */
struct vhost_scsi_identity {
    uint8_t type;
    char vendor[9];
    char product[17];
    char revision[5];
};

/**
 * struct vhost_scsi_disk - a logical unit that is a disk
 * @target: of the host
 * @lun: of the target
 * @block_size: bytes
 * @blocks: how many
 */
struct vhost_scsi_disk {
    uint8_t target;
    uint16_t lun;
    uint32_t block_size;
    uint64_t blocks;
};

/** vhost_scsi_open() - connect, negotiate, start
 * @uri: "user:PATH", the socket of a vhost-user back end
 * @options: copied; NULL for defaults
 * @errp: why it failed; the words begin with @uri
 *
 * Return: the device, or NULL, with a code as of vhost_blk_open().
 */
struct vhost_scsi *vhost_scsi_open(const char *uri,
                                   const struct vhost_driver_options *options,
                                   struct vhost_error **errp);

/** vhost_scsi_close() - stop and forget a device
 * @scsi: NULL is allowed
 */
void vhost_scsi_close(struct vhost_scsi *scsi);

/** vhost_scsi_execute() - have a command carried out
 * @scsi: an open device
 * @command: what, and what became of it
 * @errp: why it failed
 *
 * Return: 0 once the device has answered, whatever the status; -ENXIO if there
 * is no such target or unit; -EINVAL for a command that can't be, -E2BIG for
 * more data than a command may have; -EIO if the device failed to carry it out;
 * -ETIMEDOUT, -EPROTO or -ENOTCONN once the device is of no more use.
 */
int vhost_scsi_execute(struct vhost_scsi *scsi,
                       struct vhost_scsi_command *command,
                       struct vhost_error **errp);

/** vhost_scsi_inquiry() - ask a logical unit what it is
 * @scsi: an open device
 * @target: of the host
 * @lun: of the target
 * @identity: filled in
 * @errp: why it failed
 *
 * Return: as vhost_scsi_execute(); -EIO also for a status that is not good.
 */
int vhost_scsi_inquiry(struct vhost_scsi *scsi, uint8_t target, uint16_t lun,
                       struct vhost_scsi_identity *identity,
                       struct vhost_error **errp);

/** vhost_scsi_report_luns() - which logical units has a target?
 * @scsi: an open device
 * @target: of the host
 * @luns: filled in
 * @max: room there
 * @errp: why it failed
 *
 * Return: how many there are, which may be more than @max; or as
 * vhost_scsi_inquiry().
 */
int vhost_scsi_report_luns(struct vhost_scsi *scsi, uint8_t target,
                           uint16_t *luns, unsigned max,
                           struct vhost_error **errp);

/** vhost_scsi_find_disk() - how large is a logical unit?
 * @scsi: an open device
 * @target: of the host
 * @lun: of the target
 * @disk: filled in; untouched on failure
 * @errp: why it failed
 *
 * Return: as vhost_scsi_inquiry(); -EPROTO if its answer makes no sense.
 */
int vhost_scsi_find_disk(struct vhost_scsi *scsi, uint8_t target, uint16_t lun,
                         struct vhost_scsi_disk *disk,
                         struct vhost_error **errp);

/** vhost_scsi_read() - read from a disk
 * @scsi: an open device
 * @disk: from vhost_scsi_find_disk()
 * @offset: bytes, whole blocks
 * @buf: filled in
 * @len: bytes, whole blocks
 * @errp: why it failed
 *
 * Return: 0; -EINVAL for what is not in whole blocks; -ERANGE past the end; or
 * as vhost_scsi_inquiry().
 */
int vhost_scsi_read(struct vhost_scsi *scsi, const struct vhost_scsi_disk *disk,
                    uint64_t offset, void *buf, size_t len,
                    struct vhost_error **errp);

/** vhost_scsi_write() - write to a disk
 * @scsi: an open device
 * @disk: from vhost_scsi_find_disk()
 * @offset: bytes, whole blocks
 * @buf: what
 * @len: bytes, whole blocks
 * @errp: why it failed
 *
 * Return: as vhost_scsi_read().
 */
int vhost_scsi_write(struct vhost_scsi *scsi,
                     const struct vhost_scsi_disk *disk, uint64_t offset,
                     const void *buf, size_t len, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
