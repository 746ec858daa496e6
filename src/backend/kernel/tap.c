/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taps and packet sockets: what vhost-net takes frames from and gives them to.
 *
 * Which of the two an fd is shows when it is asked as one: a tap tells its
 * flags, a socket its domain and type.  What would be attached all the same and
 * then lose or garble every frame is refused here: a tun, which has packets and
 * no frames; a tap that puts four bytes of its own before each.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/ops.h"
#include "util/error.h"

#define TUN_PATH "/dev/net/tun"
#define VH_PACKET_VNET_HDR_SZ 24 /* Linux 6.5 */
#define LEGACY_HEADER 10         /* which PACKET_VNET_HDR means */

#ifdef PACKET_VNET_HDR_SZ
static_assert(VH_PACKET_VNET_HDR_SZ == PACKET_VNET_HDR_SZ, "kernel");
#endif

static int tap_failed(struct vhost_kernel *kernel, int r, const char *operation,
                      const char *hint)
{
    const char *tap = kernel->options.tap;

    return vh_be_fail(kernel->dev, r, operation, VH_NO_QUEUE,
                      "%s: tap %s: %s: %s%s%s", kernel->name,
                      tap ? tap : "that was given", operation, strerror(-r),
                      *hint ? ": " : "", hint);
}

static int name_refused(struct vhost_kernel *kernel, int r)
{
    const char *hint = "";

    if (r == -EPERM) {
        hint = "to use or make it takes CAP_NET_ADMIN, or a tap that belongs "
               "to this user";
    } else if (r == -EBUSY) {
        hint = "another program uses it";
    } else if (r == -EINVAL) {
        hint = kernel->n_nodes > 1
                   ? "an interface of this name is there, and is no tap with "
                     "several queues: make it by ip tuntap add … multi_queue"
                   : "an interface of this name is there, and is no tap";
    } else if (r == -E2BIG) {
        hint = "it has no more queues";
    }
    return tap_failed(kernel, r, "TUNSETIFF", hint);
}

static int set_name(struct vhost_kernel *kernel, int fd, unsigned flags)
{
    struct ifreq request = { .ifr_flags = (short)flags };

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s",
             kernel->options.tap);
    return vh_kernel_ioctl(kernel, fd, TUNSETIFF, &request);
}

static int make_queue(struct vhost_kernel *kernel, int fd)
{
    unsigned can = 0;
    unsigned flags = IFF_TAP | IFF_NO_PI;
    int r = vh_kernel_ioctl(kernel, fd, TUNGETFEATURES, &can);

    if (r < 0) {
        return tap_failed(kernel, r, "TUNGETFEATURES", "");
    }
    if (kernel->n_nodes > 1 && !(can & IFF_MULTI_QUEUE)) {
        return tap_failed(kernel, -ENOTSUP, "TUNGETFEATURES",
                          "this kernel's taps have one queue");
    }
    flags |= can & IFF_VNET_HDR;
    flags |= kernel->n_nodes > 1 ? IFF_MULTI_QUEUE : 0;
    r = set_name(kernel, fd, flags);
    if (r == -EINVAL && can & IFF_MULTI_QUEUE & ~flags) {
        /* One that was made for several may be used with one. */
        r = set_name(kernel, fd, flags | IFF_MULTI_QUEUE);
    }
    if (r < 0) {
        return name_refused(kernel, r);
    }
    /* Whoever had it before may have left it otherwise. */
    r = flags & IFF_VNET_HDR ? vh_kernel_ioctl(kernel, fd, TUNSETOFFLOAD, NULL)
                             : 0;
    return r < 0 ? tap_failed(kernel, r, "TUNSETOFFLOAD", "") : 0;
}

int vh_kernel_tap_open(struct vhost_kernel *kernel)
{
    int fd = kernel->sys->open(kernel->sys_ctx, TUN_PATH, O_RDWR | O_NONBLOCK);
    int r;

    if (fd < 0) {
        return tap_failed(kernel, fd, "open " TUN_PATH,
                          fd == -EACCES || fd == -EPERM
                              ? "read and write access to it is needed"
                              : "is the module tun loaded?  modprobe tun");
    }
    r = make_queue(kernel, fd);
    if (r < 0) {
        kernel->sys->close(kernel->sys_ctx, fd);
        return r;
    }
    return fd;
}

static int ask_socket(struct vhost_kernel *kernel, int fd, int level, int name)
{
    int value = 0;
    int r = kernel->sys->getsockopt(kernel->sys_ctx, fd, level, name, &value);

    return r < 0 ? r : value;
}

/* Bytes of the header of a packet socket; 0: it has none. */
static int socket_header(struct vhost_kernel *kernel, int fd)
{
    int len = ask_socket(kernel, fd, SOL_PACKET, VH_PACKET_VNET_HDR_SZ);

    if (len < 0) {
        len = ask_socket(kernel, fd, SOL_PACKET, PACKET_VNET_HDR) > 0
                  ? LEGACY_HEADER
                  : 0;
    }
    return len;
}

static int look_at_socket(struct vhost_kernel *kernel, int fd, bool *headerp)
{
    if (ask_socket(kernel, fd, SOL_SOCKET, SO_DOMAIN) != AF_PACKET) {
        return vh_be_fail(
            kernel->dev, -ENOTSOCK, "NET_SET_BACKEND", VH_NO_QUEUE,
            "%s: fd %d is neither a tap nor a packet socket", kernel->name, fd);
    }
    if (ask_socket(kernel, fd, SOL_SOCKET, SO_TYPE) != SOCK_RAW) {
        return vh_kernel_misfit(kernel,
                                "fd %d is a packet socket that carries no "
                                "frames: it takes one of type SOCK_RAW",
                                fd);
    }
    *headerp = socket_header(kernel, fd) > 0;
    return 0;
}

int vh_kernel_tap_look(struct vhost_kernel *kernel, int fd, bool *headerp)
{
    struct ifreq request;
    int r;

    memset(&request, 0, sizeof(request));
    r = vh_kernel_ioctl(kernel, fd, TUNGETIFF, &request);
    if (r == -EBADFD) {
        return vh_kernel_misfit(kernel,
                                "fd %d is a tap without a name: "
                                "TUNSETIFF gives it one",
                                fd);
    }
    if (r < 0) {
        return look_at_socket(kernel, fd, headerp);
    }
    if (!(request.ifr_flags & IFF_TAP)) {
        return vh_kernel_misfit(kernel,
                                "fd %d is a tun, which carries packets and no "
                                "frames: it takes a tap",
                                fd);
    }
    if (!(request.ifr_flags & IFF_NO_PI)) {
        return vh_kernel_misfit(kernel,
                                "fd %d is a tap that has bytes of its own "
                                "before each frame: it takes one with "
                                "IFF_NO_PI",
                                fd);
    }
    *headerp = (request.ifr_flags & IFF_VNET_HDR) != 0;
    return 0;
}

int vh_kernel_tap_header(struct vhost_kernel *kernel, int fd, int len)
{
    int r = vh_kernel_ioctl(kernel, fd, TUNSETVNETHDRSZ, &len);
    int le = 1;

    if (r < 0 && socket_header(kernel, fd) == len) {
        return 0;
    }
    if (r < 0) {
        return vh_be_fail(
            kernel->dev, r, "TUNSETVNETHDRSZ", VH_NO_QUEUE,
            "%s: fd %d can't have a virtio-net header of %d "
            "bytes: %s%s",
            kernel->name, fd, len, strerror(-r),
            socket_header(kernel, fd) > 0 ? ": see PACKET_VNET_HDR_SZ" : "");
    }
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ && len > LEGACY_HEADER) {
        r = vh_kernel_ioctl(kernel, fd, TUNSETVNETLE, &le);
    }
    return r < 0 ? tap_failed(kernel, r, "TUNSETVNETLE", "") : 0;
}

int vh_kernel_tap_use(struct vhost_kernel *kernel, int fd, bool use)
{
    struct ifreq request = {
        .ifr_flags = use ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE,
    };
    int r = vh_kernel_ioctl(kernel, fd, TUNSETQUEUE, &request);

    /* It is as it should be already. */
    return r >= 0 || r == -EINVAL ? 0
                                  : tap_failed(kernel, r, "TUNSETQUEUE", "");
}
