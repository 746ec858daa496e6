/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc read-block.c $(pkg-config --cflags --libs libvhost)
 *
 * Prints the beginning of a disk's first block:
 *
 *     ./a.out user:/run/disk.sock
 */
#include <err.h>
#include <stdio.h>

#include <vhost/blk.h>

int main(int argc, char **argv)
{
    struct vhost_error *error = NULL;
    struct vhost_blk *disk =
        vhost_blk_open(argc > 1 ? argv[1] : "", NULL, &error);
    struct vhost_blk_queue *q;
    struct vhost_blk_info info;
    struct vhost_completion done = { .result = 0 };
    unsigned char *block;

    if (!disk) {
        errx(1, "%s", vhost_error_message(error));
    }
    vhost_blk_get_info(disk, &info);
    block = vhost_blk_alloc(disk, info.block_size);
    q = vhost_blk_get_queue(disk, 0);
    if (!block || vhost_blk_read(q, 0, block, info.block_size, NULL) < 0 ||
        vhost_blk_submit(q) < 0 || vhost_blk_wait(q, &done, 1, 1, 5000) != 1 ||
        done.result < 0) {
        errx(1, "%s: the first block can't be read", argv[1]);
    }
    for (unsigned i = 0; i < 64; i++) {
        printf("%02x%c", block[i], i % 16 == 15 ? '\n' : ' ');
    }
    vhost_blk_close(disk);
    return 0;
}
