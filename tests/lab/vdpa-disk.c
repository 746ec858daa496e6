/* SPDX-License-Identifier: BSD-3-Clause */
#include "lab/vdpa-disk.h"

#include <linux/virtio_blk.h>
#include <string.h>

#include "check.h"

void disk_fill(uint8_t *data, unsigned i, unsigned round)
{
    for (unsigned k = 0; k < DISK_DATA; k++) {
        data[k] = (uint8_t)(i * 31 + round * 7 + k + (k >> 8));
    }
}

static void give(struct guest *g, unsigned i, uint32_t type)
{
    const struct virtio_blk_outhdr header = {
        .type = type,
        .sector = i * (DISK_DATA / 512),
    };
    char *buf = guest_buf(g, 0, i % DISK_DEPTH);
    uint64_t at = guest_addr(g, 0, i % DISK_DEPTH);
    const struct vh_sg sg[] = { { at, sizeof(header) },
                                { at + GUEST_BUF - DISK_DATA, DISK_DATA },
                                { at + DISK_STATUS, 1 } };

    memcpy(buf, &header, sizeof(header));
    buf[DISK_STATUS] = 0x55;
    guest_give(g, 0, sg, type == VIRTIO_BLK_T_OUT ? 2 : 1,
               type == VIRTIO_BLK_T_OUT ? 1 : 2, i % DISK_DEPTH + 1);
}

static uint8_t *data_of(struct guest *g, unsigned i)
{
    return (uint8_t *)guest_buf(g, 0, i % DISK_DEPTH) + GUEST_BUF - DISK_DATA;
}

void disk_write(struct guest *g, unsigned i, unsigned round)
{
    disk_fill(data_of(g, i), i, round);
    give(g, i, VIRTIO_BLK_T_OUT);
}

void disk_read(struct guest *g, unsigned i)
{
    memset(data_of(g, i), 0xee, DISK_DATA);
    give(g, i, VIRTIO_BLK_T_IN);
}

int disk_done(struct guest *g, unsigned seconds)
{
    uint32_t len;
    unsigned i = (unsigned)guest_take(g, 0, &len, seconds);

    if (i == 0) {
        return -1;
    }
    assert_true(i <= DISK_DEPTH);
    assert_int_equal(((char *)guest_buf(g, 0, i - 1))[DISK_STATUS],
                     VIRTIO_BLK_S_OK);
    return (int)i - 1;
}

void disk_is(struct guest *g, unsigned i, unsigned round)
{
    uint8_t want[DISK_DATA];

    disk_fill(want, i, round);
    assert_memory_equal(data_of(g, i), want, DISK_DATA);
}

static void await_all(struct guest *g)
{
    for (unsigned i = 0; i < DISK_DEPTH; i++) {
        assert_true(disk_done(g, 0) >= 0);
    }
}

void disk_round_trip(struct guest *g, unsigned round)
{
    for (unsigned i = 0; i < DISK_DEPTH; i++) {
        disk_write(g, i, round);
    }
    await_all(g);
    disk_is_all(g, round);
}

void disk_is_all(struct guest *g, unsigned round)
{
    for (unsigned i = 0; i < DISK_DEPTH; i++) {
        disk_read(g, i);
    }
    await_all(g);
    for (unsigned i = 0; i < DISK_DEPTH; i++) {
        disk_is(g, i, round);
    }
}
