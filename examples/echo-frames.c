/* SPDX-License-Identifier: BSD-3-Clause */
/* Sends every frame back to where it came from.
 * cc echo-frames.c $(pkg-config --cflags --libs libvhost) */
#include <err.h>
#include <errno.h>
#include <string.h>
#include <vhost/net.h>

static void swap_addresses(unsigned char *frame)
{
    unsigned char to[6];

    memcpy(to, frame, 6);
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, to, 6);
}

int main(int argc, char **argv)
{
    struct vhost_error *error = NULL;
    struct vhost_net_device *net = vhost_net_open(argv[argc - 1], NULL, &error);
    unsigned char frame[VHOST_NET_FRAME_MAX];
    ssize_t n = 0;

    if (!net) {
        errx(1, "%s", vhost_error_message(error));
    }
    while (n >= 0 || n == -EAGAIN) { /* -EAGAIN: none for a second */
        n = vhost_net_read(vhost_net_get_rx(net, 0), frame, sizeof(frame),
                           1000);
        if (n >= 12) {
            swap_addresses(frame);
            vhost_net_write(vhost_net_get_tx(net, 0), frame, (size_t)n, 1000);
        }
    }
    warnx("%s", vhost_net_rx_error(vhost_net_get_rx(net, 0)));
    vhost_net_close(net);
    return 0;
}
