/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that a program wants, in the words of SPC and SBC. */
#include <vhost/scsi.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "util/error.h"

#define INQUIRY 0x12
#define REPORT_LUNS 0xa0
#define READ_CAPACITY 0x9e /* with service action 0x10 */
#define READ_16 0x88
#define WRITE_16 0x8a
#define INQUIRY_LEN 36
#define CAPACITY_LEN 32
#define LUNS_LEN 4096
#define CHECK_CONDITION 2
#define UNIT_ATTENTION 6
#define ATTEMPTS 8

static void put32(uint8_t *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
           (uint32_t)from[2] << 8 | from[3];
}

static uint8_t sense_key(const struct vhost_scsi_command *c)
{
    bool by_descriptor = (c->sense[0] & 0x7f) >= 0x72;
    unsigned at = by_descriptor ? 1 : 2;

    return c->status == CHECK_CONDITION && c->sense_len > at
               ? c->sense[at] & 0xf
               : 0;
}

/* A unit that was reset, or is new, refuses the next command to say so. */
static int run(struct vhost_scsi *scsi, struct vhost_scsi_command *c,
               struct vhost_error **errp)
{
    for (unsigned i = 0;; i++) {
        int r = vhost_scsi_execute(scsi, c, errp);

        if (r < 0 || c->status == 0) {
            return r;
        }
        if (sense_key(c) != UNIT_ATTENTION || i == ATTEMPTS) {
            return vh_error(errp, -EIO, "scsi", VH_NO_QUEUE,
                            "unit %u of target %u answers command %02x with "
                            "status %u, sense key %u",
                            c->lun, c->target, c->cdb[0], c->status,
                            sense_key(c));
        }
    }
}

int vhost_scsi_inquiry(struct vhost_scsi *scsi, uint8_t target, uint16_t lun,
                       struct vhost_scsi_identity *identity,
                       struct vhost_error **errp)
{
    const uint8_t cdb[6] = { INQUIRY, [4] = INQUIRY_LEN };
    uint8_t data[INQUIRY_LEN] = { 0 };
    int r = run(scsi,
                &(struct vhost_scsi_command){ .target = target,
                                              .lun = lun,
                                              .cdb = cdb,
                                              .cdb_len = sizeof(cdb),
                                              .in = data,
                                              .in_len = sizeof(data) },
                errp);

    if (r < 0) {
        return r;
    }
    memset(identity, 0, sizeof(*identity));
    identity->type = data[0] & 0x1f;
    memcpy(identity->vendor, data + 8, 8);
    memcpy(identity->product, data + 16, 16);
    memcpy(identity->revision, data + 32, 4);
    return 0;
}

int vhost_scsi_report_luns(struct vhost_scsi *scsi, uint8_t target,
                           uint16_t *luns, unsigned max,
                           struct vhost_error **errp)
{
    uint8_t cdb[12] = { REPORT_LUNS };
    uint8_t data[LUNS_LEN] = { 0 };
    unsigned n;
    int r;

    put32(cdb + 6, sizeof(data));
    r = run(scsi,
            &(struct vhost_scsi_command){ .target = target,
                                          .cdb = cdb,
                                          .cdb_len = sizeof(cdb),
                                          .in = data,
                                          .in_len = sizeof(data) },
            errp);
    if (r < 0) {
        return r;
    }
    n = get32(data) / 8;
    if (n > (LUNS_LEN - 8) / 8) {
        return vh_error(errp, -EPROTO, "scsi", VH_NO_QUEUE,
                        "target %u tells of %u units", target, n);
    }
    for (unsigned i = 0; i < n && i < max; i++) {
        const uint8_t *lun = data + 8 + (size_t)i * 8;

        luns[i] = (uint16_t)((lun[0] & 0x3f) << 8 | lun[1]);
    }
    return (int)n;
}

int vhost_scsi_find_disk(struct vhost_scsi *scsi, uint8_t target, uint16_t lun,
                         struct vhost_scsi_disk *disk,
                         struct vhost_error **errp)
{
    const uint8_t cdb[16] = { READ_CAPACITY, 0x10, [13] = CAPACITY_LEN };
    uint8_t data[CAPACITY_LEN] = { 0 };
    uint64_t last;
    uint32_t size;
    int r = run(scsi,
                &(struct vhost_scsi_command){ .target = target,
                                              .lun = lun,
                                              .cdb = cdb,
                                              .cdb_len = sizeof(cdb),
                                              .in = data,
                                              .in_len = sizeof(data) },
                errp);

    if (r < 0) {
        return r;
    }
    last = (uint64_t)get32(data) << 32 | get32(data + 4);
    size = get32(data + 8);
    if (size < 512 || size > 65536 || size & (size - 1) ||
        last >= UINT64_MAX / size - 1) {
        return vh_error(errp, -EPROTO, "scsi", VH_NO_QUEUE,
                        "unit %u of target %u says it has blocks of %u bytes, "
                        "and %llu after the first",
                        lun, target, size, (unsigned long long)last);
    }
    *disk = (struct vhost_scsi_disk){ target, lun, size, last + 1 };
    return 0;
}

static int check(const struct vhost_scsi_disk *disk, uint64_t offset,
                 size_t len, struct vhost_error **errp)
{
    uint64_t size = disk->blocks * disk->block_size;

    if (offset % disk->block_size || len % disk->block_size) {
        return vh_error(errp, -EINVAL, "scsi", VH_NO_QUEUE,
                        "offset and length are not in blocks of %u bytes",
                        disk->block_size);
    }
    if (offset > size || len > size - offset) {
        return vh_error(errp, -ERANGE, "scsi", VH_NO_QUEUE,
                        "past the end of the disk");
    }
    return 0;
}

/* Of @out and @in one is NULL. */
static int move(struct vhost_scsi *scsi, const struct vhost_scsi_disk *disk,
                uint64_t offset, struct vhost_scsi_command *c,
                struct vhost_error **errp)
{
    uint8_t cdb[16] = { c->in ? READ_16 : WRITE_16 };
    uint64_t block = offset / disk->block_size;
    size_t len = c->in_len + c->out_len;
    int r;

    put32(cdb + 2, (uint32_t)(block >> 32));
    put32(cdb + 6, (uint32_t)block);
    put32(cdb + 10, (uint32_t)(len / disk->block_size));
    c->target = disk->target;
    c->lun = disk->lun;
    c->cdb = cdb;
    c->cdb_len = sizeof(cdb);
    r = run(scsi, c, errp);
    if (r == 0 && c->residual > 0) {
        r = vh_error(errp, -EIO, "scsi", VH_NO_QUEUE,
                     "%u bytes of %zu were not transferred", c->residual, len);
    }
    return r;
}

int vhost_scsi_read(struct vhost_scsi *scsi, const struct vhost_scsi_disk *disk,
                    uint64_t offset, void *buf, size_t len,
                    struct vhost_error **errp)
{
    int r = check(disk, offset, len, errp);

    for (size_t done = 0, n; r == 0 && done < len; done += n) {
        n = len - done < VHOST_SCSI_TRANSFER ? len - done : VHOST_SCSI_TRANSFER;
        r = move(scsi, disk, offset + done,
                 &(struct vhost_scsi_command){ .in = (char *)buf + done,
                                               .in_len = n },
                 errp);
    }
    return r;
}

int vhost_scsi_write(struct vhost_scsi *scsi,
                     const struct vhost_scsi_disk *disk, uint64_t offset,
                     const void *buf, size_t len, struct vhost_error **errp)
{
    int r = check(disk, offset, len, errp);

    for (size_t done = 0, n; r == 0 && done < len; done += n) {
        n = len - done < VHOST_SCSI_TRANSFER ? len - done : VHOST_SCSI_TRANSFER;
        r = move(scsi, disk, offset + done,
                 &(struct vhost_scsi_command){ .out = (const char *)buf + done,
                                               .out_len = n },
                 errp);
    }
    return r;
}
