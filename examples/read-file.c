/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc read-file.c $(pkg-config --cflags --libs libvhost)
 *
 * Prints a file that a back end serves, such as virtiofsd:
 *
 *     ./a.out user:/run/fs.sock /etc/motd
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>

#include <vhost/fs.h>

int main(int argc, char **argv)
{
    struct vhost_error *error = NULL;
    struct vhost_fs *fs = vhost_fs_mount(argc > 1 ? argv[1] : "", NULL, &error);
    static char buf[65536];
    uint64_t offset = 0;
    ssize_t n = 0;
    int file = -1;

    if (fs) {
        file = vhost_fs_open(fs, argc > 2 ? argv[2] : "/", O_RDONLY, 0, &error);
    }
    while (file >= 0 && (n = vhost_fs_read(fs, file, buf, sizeof(buf), offset,
                                           &error)) > 0) {
        fwrite(buf, 1, (size_t)n, stdout);
        offset += (uint64_t)n;
    }
    if (error) {
        errx(1, "%s", vhost_error_message(error));
    }
    vhost_fs_unmount(fs); /* closes the file too */
    return 0;
}
