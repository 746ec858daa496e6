/* SPDX-License-Identifier: BSD-3-Clause */
/* blk-watch URI: prints the capacity of a disk, and each that it gets. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <vhost/blk.h>

static void print_capacity(struct vhost_blk *disk, void *opaque)
{
    struct vhost_blk_info info;

    (void)opaque;
    vhost_blk_get_info(disk, &info);
    printf("capacity %" PRIu64 "\n", info.capacity);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct vhost_blk_options options = { .size = sizeof(options),
                                         .config_changed = print_capacity };
    struct vhost_error *err = NULL;
    struct vhost_blk *disk =
        argc == 2 ? vhost_blk_open(argv[1], &options, &err) : NULL;

    if (!disk) {
        fprintf(stderr, "blk-watch: %s\n", vhost_error_message(err));
        return EXIT_FAILURE;
    }
    print_capacity(disk, NULL);
    for (;;) {
        struct pollfd pfd = { .fd = vhost_blk_get_fd(disk), .events = POLLIN };

        if (poll(&pfd, 1, -1) > 0 && vhost_blk_dispatch(disk, &err) < 0) {
            fprintf(stderr, "blk-watch: %s\n", vhost_error_message(err));
            return EXIT_FAILURE;
        }
    }
}
