/* SPDX-License-Identifier: BSD-3-Clause */
/* The SCSI driver on a small target: unit 0 and unit 300 of target 1. */
#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "scripted.h"

#include <linux/virtio_scsi.h>
#include <vhost/scsi.h>

#define SCSI 8
#define BLOCK 512
#define BLOCKS 2048
#define FAR_UNIT 300

struct target {
    uint8_t disk[BLOCK * BLOCKS];
    atomic_uint attentions; /* how often it will say that it is new */
    atomic_uchar response;
    atomic_uint resid;
    atomic_uint sense_len;
    atomic_uint block_size;
    atomic_uint luns; /* bytes of them that it tells */
};

static uint64_t be(const uint8_t *from, unsigned n)
{
    uint64_t v = 0;

    while (n-- > 0) {
        v = v << 8 | *from++;
    }
    return v;
}

static void put_be(uint8_t *to, uint64_t v, unsigned n)
{
    while (n-- > 0) {
        to[n] = (uint8_t)v;
        v >>= 8;
    }
}

/* Data of a command that reads. */
static void answer(struct target *t, const uint8_t *cdb, uint8_t *to,
                   size_t len)
{
    memset(to, 0, len);
    switch (cdb[0]) {
    case 0x12:
        memcpy(to + 8, "LIBVHOSTa test target   1.0 ", 28);
        break;
    case 0x9e:
        assert_int_equal(cdb[1], 0x10);
        put_be(to, BLOCKS - 1, 8);
        put_be(to + 8, t->block_size, 4);
        break;
    case 0xa0:
        put_be(to, t->luns, 4);
        put_be(to + 16, 0x4000 | FAR_UNIT, 2);
        break;
    case 0x88:
        assert_int_equal(be(cdb + 10, 4) * BLOCK, len);
        memcpy(to, t->disk + be(cdb + 2, 8) * BLOCK, len);
        break;
    default:
        fail_msg("command %02x", cdb[0]);
    }
}

static bool is_there(const uint8_t *lun)
{
    uint64_t unit = be(lun + 2, 2);

    return lun[0] == 1 && lun[1] == 1 && be(lun + 4, 4) == 0 &&
           (unit == 0x4000 || unit == (0x4000 | FAR_UNIT));
}

static uint32_t on_buffer(struct scripted *s, const struct scripted_buffer *b)
{
    struct target *t = scripted_arg(s);
    struct virtio_scsi_cmd_req req;
    struct virtio_scsi_cmd_resp resp = { .response = t->response,
                                         .resid = htole32(t->resid),
                                         .sense_len = htole32(t->sense_len) };

    assert_int_equal(b->queue, 2);
    assert_true(b->out_len >= sizeof(req) && b->in_len >= sizeof(resp));
    memcpy(&req, b->out, sizeof(req));
    if (!is_there(req.lun)) {
        resp.response = VIRTIO_SCSI_S_BAD_TARGET;
    } else if (t->attentions > 0) {
        t->attentions--;
        resp.status = 2;
        resp.sense_len = htole32(18);
        resp.sense[0] = 0x70;
        resp.sense[2] = 6;
    } else if (req.cdb[0] == 0x8a) {
        assert_int_equal(be(req.cdb + 10, 4) * BLOCK, b->out_len - sizeof(req));
        memcpy(t->disk + be(req.cdb + 2, 8) * BLOCK, b->out + sizeof(req),
               b->out_len - sizeof(req));
    } else {
        answer(t, req.cdb, b->in + sizeof(resp), b->in_len - sizeof(resp));
    }
    memcpy(b->in, &resp, sizeof(resp));
    return (uint32_t)b->in_len;
}

struct rig {
    struct target *target;
    struct scripted *device;
    struct vhost_scsi *scsi;
};

static void rig_up(struct rig *rig, unsigned layout)
{
    struct vhost_driver_options options = { .size = sizeof(options),
                                            .layout = layout };
    struct vhost_error *error = NULL;

    rig->target = calloc(1, sizeof(*rig->target));
    assert_non_null(rig->target);
    rig->target->block_size = BLOCK;
    rig->target->luns = 16;
    rig->device = scripted_up(SCSI, 3, on_buffer, rig->target);
    rig->scsi = vhost_scsi_open(scripted_uri(rig->device), &options, &error);
    if (!rig->scsi) {
        fail_msg("%s", vhost_error_message(error));
    }
}

static void rig_down(struct rig *rig)
{
    vhost_scsi_close(rig->scsi);
    scripted_down(rig->device);
    free(rig->target);
}

static void test_writes_and_reads_back_in_every_layout(void **state)
{
    static uint8_t data[BLOCK * BLOCKS], back[BLOCK * BLOCKS];

    (void)state;
    for (unsigned l = VHOST_LAYOUT_AUTO; l <= VHOST_LAYOUT_PACKED_IN_ORDER;
         l++) {
        struct vhost_scsi_disk disk;
        struct rig rig;

        rig_up(&rig, l);
        for (size_t i = 0; i < sizeof(data); i++) {
            data[i] = (uint8_t)(i * 13 + i / 777 + l);
        }
        memset(back, 0, sizeof(back));
        assert_int_equal(
            vhost_scsi_find_disk(rig.scsi, 1, FAR_UNIT, &disk, NULL), 0);
        assert_int_equal(disk.blocks, BLOCKS);
        assert_int_equal(disk.block_size, BLOCK);
        assert_int_equal(
            vhost_scsi_write(rig.scsi, &disk, 0, data, sizeof(data), NULL), 0);
        assert_memory_equal(rig.target->disk, data, sizeof(data));
        assert_int_equal(
            vhost_scsi_read(rig.scsi, &disk, 0, back, sizeof(back), NULL), 0);
        assert_memory_equal(data, back, sizeof(data));
        assert_int_equal(
            vhost_scsi_read(rig.scsi, &disk, 7 * BLOCK, back, BLOCK, NULL), 0);
        assert_memory_equal(data + 7 * BLOCK, back, BLOCK);
        rig_down(&rig);
    }
}

static void test_units_tell_who_they_are(void **state)
{
    struct vhost_scsi_identity id;
    uint16_t luns[4] = { 9, 9, 9, 9 };
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO);
    assert_int_equal(vhost_scsi_inquiry(rig.scsi, 1, 0, &id, NULL), 0);
    assert_string_equal(id.vendor, "LIBVHOST");
    assert_string_equal(id.product, "a test target   ");
    assert_string_equal(id.revision, "1.0 ");
    assert_int_equal(vhost_scsi_report_luns(rig.scsi, 1, luns, 4, NULL), 2);
    assert_int_equal(luns[0], 0);
    assert_int_equal(luns[1], FAR_UNIT);
    assert_int_equal(luns[2], 9);
    assert_int_equal(vhost_scsi_report_luns(rig.scsi, 1, luns, 1, NULL), 2);
    rig_down(&rig);
}

static void test_a_unit_that_was_reset_is_asked_again(void **state)
{
    struct vhost_scsi_disk disk;
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO);
    rig.target->attentions = 3;
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, 0, &disk, NULL), 0);
    rig.target->attentions = 1000;
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, 0, &disk, NULL), -EIO);
    rig_down(&rig);
}

static void test_what_is_not_there_is_said_to_be_so(void **state)
{
    struct vhost_scsi_disk disk = { .target = 1,
                                    .block_size = BLOCK,
                                    .blocks = BLOCKS };
    static uint8_t data[BLOCK];
    struct rig rig;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO);
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 2, 0, &disk, NULL), -ENXIO);
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, 1, &disk, NULL), -ENXIO);
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, UINT16_MAX, &disk, NULL),
                     -EINVAL);
    assert_int_equal(
        vhost_scsi_read(rig.scsi, &disk, BLOCK * BLOCKS, data, BLOCK, NULL),
        -ERANGE);
    assert_int_equal(vhost_scsi_read(rig.scsi, &disk, 1, data, BLOCK, NULL),
                     -EINVAL);
    rig_down(&rig);
}

static void test_answers_that_make_no_sense_are_refused(void **state)
{
    struct vhost_scsi_disk disk;
    struct rig rig;
    uint16_t lun;

    (void)state;
    rig_up(&rig, VHOST_LAYOUT_AUTO);
    rig.target->sense_len = VHOST_SCSI_SENSE + 1;
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, 0, &disk, NULL),
                     -EPROTO);
    rig.target->sense_len = 0;
    rig.target->resid = UINT32_MAX;
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, 0, &disk, NULL),
                     -EPROTO);
    rig.target->resid = 0;
    rig.target->block_size = 0;
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, 0, &disk, NULL),
                     -EPROTO);
    rig.target->luns = UINT32_MAX;
    assert_int_equal(vhost_scsi_report_luns(rig.scsi, 1, &lun, 1, NULL),
                     -EPROTO);
    rig.target->response = VIRTIO_SCSI_S_BUSY;
    assert_int_equal(vhost_scsi_find_disk(rig.scsi, 1, 0, &disk, NULL), -EIO);
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_and_reads_back_in_every_layout),
        cmocka_unit_test(test_units_tell_who_they_are),
        cmocka_unit_test(test_a_unit_that_was_reset_is_asked_again),
        cmocka_unit_test(test_what_is_not_there_is_said_to_be_so),
        cmocka_unit_test(test_answers_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
