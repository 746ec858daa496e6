/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtio 1.2, section 5.2.4, "Device configuration layout": little endian,
 * and each field counts only if its feature is offered.
 */
#include <endian.h>

#include "out.h"
#include "probe.h"
#include "size.h"

#define SECTOR 512u

static bool offers(uint64_t features, unsigned bit)
{
    return (features >> bit & 1) != 0;
}

static void decode_topology(struct probe_blk *blk,
                            const struct virtio_blk_config *c)
{
    /* 2^31 blocks are more than any disk; the byte may hold anything. */
    unsigned exponent = c->physical_block_exp & 31u;

    blk->physical_block_size = blk->block_size << exponent;
    blk->min_io_size = blk->block_size * le16toh(c->min_io_size);
    blk->opt_io_size = blk->block_size * le32toh(c->opt_io_size);
}

void probe_blk_decode(struct probe_blk *blk, const struct virtio_blk_config *c,
                      uint64_t features)
{
    *blk = (struct probe_blk){
        .capacity = le64toh(c->capacity) * SECTOR,
        .block_size = SECTOR,
        .queues = 1,
        .read_only = offers(features, VIRTIO_BLK_F_RO),
        .has_cache_mode = offers(features, VIRTIO_BLK_F_CONFIG_WCE),
        .has_discard = offers(features, VIRTIO_BLK_F_DISCARD),
        .has_zeroes = offers(features, VIRTIO_BLK_F_WRITE_ZEROES),
    };
    if (offers(features, VIRTIO_BLK_F_BLK_SIZE)) {
        blk->block_size = le32toh(c->blk_size);
    }
    if (offers(features, VIRTIO_BLK_F_TOPOLOGY)) {
        decode_topology(blk, c);
    }
    if (offers(features, VIRTIO_BLK_F_MQ)) {
        blk->queues = le16toh(c->num_queues);
    }
    if (offers(features, VIRTIO_BLK_F_SEG_MAX)) {
        blk->seg_max = le32toh(c->seg_max);
    }
    if (offers(features, VIRTIO_BLK_F_SIZE_MAX)) {
        blk->size_max = le32toh(c->size_max);
    }
    blk->writeback = blk->has_cache_mode && c->wce != 0;
    if (blk->has_discard) {
        blk->discard_max = (uint64_t)le32toh(c->max_discard_sectors) * SECTOR;
        blk->discard_segments = le32toh(c->max_discard_seg);
        blk->discard_alignment =
            (uint64_t)le32toh(c->discard_sector_alignment) * SECTOR;
    }
    if (blk->has_zeroes) {
        blk->zeroes_max =
            (uint64_t)le32toh(c->max_write_zeroes_sectors) * SECTOR;
        blk->zeroes_segments = le32toh(c->max_write_zeroes_seg);
        blk->zeroes_may_unmap = c->write_zeroes_may_unmap != 0;
    }
}

static void print_number(const char *label, uint64_t value)
{
    if (value > 0) {
        out_row(label, "%llu", (unsigned long long)value);
    }
}

static void print_size(const char *label, uint64_t size)
{
    char text[SIZE_TEXT_MAX];

    if (size > 0) {
        out_row(label, "%s", size_format(text, (double)size));
    }
}

void probe_blk_print(const struct probe_blk *blk)
{
    char text[SIZE_TEXT_MAX];

    out_row("capacity", "%s (%llu bytes)",
            size_format(text, (double)blk->capacity),
            (unsigned long long)blk->capacity);
    out_row("access", "%s", blk->read_only ? "read only" : "read and write");
    print_size("block size", blk->block_size);
    print_size("physical block size", blk->physical_block_size);
    print_size("least I/O size", blk->min_io_size);
    print_size("best I/O size", blk->opt_io_size);
    print_number("queues for requests", blk->queues);
    print_number("segments a request", blk->seg_max);
    print_size("segment size", blk->size_max);
    if (blk->has_cache_mode) {
        out_row("cache", "%s", blk->writeback ? "writeback" : "writethrough");
    }
    if (blk->has_discard) {
        out_row("discard", "up to %s, %llu ranges, aligned to %llu bytes",
                size_format(text, (double)blk->discard_max),
                (unsigned long long)blk->discard_segments,
                (unsigned long long)blk->discard_alignment);
    }
    if (blk->has_zeroes) {
        out_row("write zeroes", "up to %s, %llu ranges%s",
                size_format(text, (double)blk->zeroes_max),
                (unsigned long long)blk->zeroes_segments,
                blk->zeroes_may_unmap ? ", may unmap" : "");
    }
}

static void add_discard(json_object *o, const struct probe_blk *blk)
{
    json_object *d = NULL;

    if (blk->has_discard) {
        d = json_object_new_object();
        out_json_uint(d, "max_bytes", blk->discard_max);
        out_json_uint(d, "max_segments", blk->discard_segments);
        out_json_uint(d, "alignment", blk->discard_alignment);
    }
    json_object_object_add(o, "discard", d);
}

static void add_zeroes(json_object *o, const struct probe_blk *blk)
{
    json_object *z = NULL;

    if (blk->has_zeroes) {
        z = json_object_new_object();
        out_json_uint(z, "max_bytes", blk->zeroes_max);
        out_json_uint(z, "max_segments", blk->zeroes_segments);
        out_json_bool(z, "may_unmap", blk->zeroes_may_unmap);
    }
    json_object_object_add(o, "write_zeroes", z);
}

json_object *probe_blk_json(const struct probe_blk *blk)
{
    json_object *o = json_object_new_object();

    out_json_uint(o, "capacity", blk->capacity);
    out_json_uint(o, "block_size", blk->block_size);
    out_json_uint(o, "physical_block_size", blk->physical_block_size);
    out_json_uint(o, "min_io_size", blk->min_io_size);
    out_json_uint(o, "opt_io_size", blk->opt_io_size);
    out_json_uint(o, "queues", blk->queues);
    out_json_uint(o, "seg_max", blk->seg_max);
    out_json_uint(o, "size_max", blk->size_max);
    out_json_bool(o, "read_only", blk->read_only);
    out_json_text(o, "cache",
                  !blk->has_cache_mode ? "fixed"
                  : blk->writeback     ? "writeback"
                                       : "writethrough");
    add_discard(o, blk);
    add_zeroes(o, blk);
    return o;
}
