/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A SCSI host: virtio 1.3, 5.6.  Queue 0 is for task management, queue 1 for
 * events, the others for commands; of these one is used, and the first two only
 * lie there, as back ends expect them.
 *
 * A command is a header and data that the device reads, and a response and data
 * that it writes.  All of it lies in memory of ours: what the program gave is
 * copied, and what the device says is looked at once it is done with it.
 */
#include <vhost/scsi.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_scsi.h>

#include "driver/plain.h"
#include "util/error.h"

#define REQUESTS 2 /* the queue */
#define RESPONSE_AT 128
#define DATA_AT 512
#define LUN_MAX 0x3fff
#define ID_LUN 1  /* first byte of an address, 5.6.6.1 */
#define FLAT 0x40 /* how the unit is addressed */

struct vhost_scsi {
    struct vh_plain plain;
    struct vh_piece room;
    uint64_t tag;
};

static const struct vh_plain_class class = {
    .what = "scsi",
    .device_id = 8, /* virtio 1.3, 5.6.1 */
    .queues = REQUESTS + 1,
    .memory = DATA_AT + VHOST_SCSI_TRANSFER,
};

struct vhost_scsi *vhost_scsi_open(const char *uri,
                                   const struct vhost_driver_options *options,
                                   struct vhost_error **errp)
{
    struct vhost_scsi *scsi = calloc(1, sizeof(*scsi));

    if (!scsi) {
        vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    if (vh_plain_open(&scsi->plain, &class, uri, options, errp) < 0) {
        free(scsi);
        return NULL;
    }
    if (vh_plain_alloc(&scsi->plain, class.memory, &scsi->room, errp) < 0) {
        vhost_scsi_close(scsi);
        return NULL;
    }
    return scsi;
}

void vhost_scsi_close(struct vhost_scsi *scsi)
{
    if (scsi) {
        vh_plain_close(&scsi->plain);
        free(scsi);
    }
}

static int check(const struct vhost_scsi_command *c, struct vhost_error **errp)
{
    if (c->cdb_len == 0 || c->cdb_len > VHOST_SCSI_CDB || c->lun > LUN_MAX) {
        return vh_error(errp, -EINVAL, "scsi", REQUESTS,
                        "a command has 1 to %d bytes, a unit is at most %d",
                        VHOST_SCSI_CDB, LUN_MAX);
    }
    if (c->out_len > VHOST_SCSI_TRANSFER || c->in_len > VHOST_SCSI_TRANSFER ||
        c->out_len + c->in_len > VHOST_SCSI_TRANSFER) {
        return vh_error(errp, -E2BIG, "scsi", REQUESTS,
                        "a command moves at most %zu bytes",
                        VHOST_SCSI_TRANSFER);
    }
    return 0;
}

static void fill_request(struct vhost_scsi *scsi,
                         const struct vhost_scsi_command *c)
{
    struct virtio_scsi_cmd_req req = {
        .lun = { ID_LUN, c->target, (uint8_t)(FLAT | c->lun >> 8),
                 (uint8_t)c->lun },
        .tag = htole64(++scsi->tag),
    };

    memcpy(req.cdb, c->cdb, c->cdb_len);
    memcpy(scsi->room.hva, &req, sizeof(req));
    memset(scsi->room.hva + RESPONSE_AT, 0,
           sizeof(struct virtio_scsi_cmd_resp));
    if (c->out_len > 0) {
        memcpy(scsi->room.hva + DATA_AT, c->out, c->out_len);
    }
}

static int64_t transfer(struct vhost_scsi *scsi,
                        const struct vhost_scsi_command *c,
                        struct vhost_error **errp)
{
    uint64_t gpa = scsi->room.gpa;
    struct vh_sg sg[4];
    unsigned n = 0, n_out;

    sg[n++] = (struct vh_sg){ gpa, sizeof(struct virtio_scsi_cmd_req) };
    if (c->out_len > 0) {
        sg[n++] = (struct vh_sg){ gpa + DATA_AT, (uint32_t)c->out_len };
    }
    n_out = n;
    sg[n++] = (struct vh_sg){ gpa + RESPONSE_AT,
                              sizeof(struct virtio_scsi_cmd_resp) };
    if (c->in_len > 0) {
        sg[n++] =
            (struct vh_sg){ gpa + DATA_AT + c->out_len, (uint32_t)c->in_len };
    }
    return vh_plain_do(&scsi->plain, REQUESTS, sg, n_out, n - n_out, errp);
}

static int refused(uint8_t response, struct vhost_error **errp)
{
    switch (response) {
    case VIRTIO_SCSI_S_OK:
        return 0;
    case VIRTIO_SCSI_S_BAD_TARGET:
    case VIRTIO_SCSI_S_INCORRECT_LUN:
        return vh_error(errp, -ENXIO, "scsi", REQUESTS,
                        "there is no such target or unit");
    default:
        return vh_error(errp, -EIO, "scsi", REQUESTS,
                        "the device did not carry out a command: response %u",
                        response);
    }
}

int vhost_scsi_execute(struct vhost_scsi *scsi,
                       struct vhost_scsi_command *command,
                       struct vhost_error **errp)
{
    struct virtio_scsi_cmd_resp resp;
    int64_t r = check(command, errp);
    size_t moved = command->out_len + command->in_len;

    if (r < 0) {
        return (int)r;
    }
    fill_request(scsi, command);
    r = transfer(scsi, command, errp);
    if (r < 0) {
        return (int)r;
    }
    memcpy(&resp, scsi->room.hva + RESPONSE_AT, sizeof(resp));
    r = refused(resp.response, errp);
    if (r < 0) {
        return (int)r;
    }
    command->status = resp.status;
    command->residual = le32toh(resp.resid);
    command->sense_len = le32toh(resp.sense_len);
    if (command->sense_len > VHOST_SCSI_SENSE || command->residual > moved) {
        return vh_error(errp, -EPROTO, "scsi", REQUESTS,
                        "the device tells of more bytes than there are");
    }
    memcpy(command->sense, resp.sense, command->sense_len);
    if (command->in_len > 0) {
        memcpy(command->in, scsi->room.hva + DATA_AT + command->out_len,
               command->in_len);
    }
    return 0;
}
