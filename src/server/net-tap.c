/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel has one EINVAL for whatever is wrong with an interface that
 * exists.  What it is, and how many queues it has, is asked afterwards, so
 * that the words can be right.
 */
#include "server/net-tap.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>

#include "util/error.h"
#include "util/fd.h"

#define TUN_PATH "/dev/net/tun"
#define HEADER_LEN 12
#define FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

const char *vh_tap_check_name(const char *name)
{
    size_t len = strlen(name);

    if (len == 0) {
        return "the name of the tap is empty";
    }
    if (len >= IFNAMSIZ) {
        return "the name of a tap has at most 15 characters";
    }
    for (size_t i = 0; i < len; i++) {
        /* A '%' would make the kernel choose a name of its own. */
        if (strchr("/:%", name[i]) || !isgraph((unsigned char)name[i])) {
            return "no interface can have such a name";
        }
    }
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0
               ? "no interface can have such a name"
               : NULL;
}

static struct ifreq request(const char *name)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
    return ifr;
}

/* An ioctl of the interface itself. */
static int ask(unsigned long what, struct ifreq *ifr)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 || ioctl(fd, what, ifr) < 0 ? -errno : 0;

    vh_fd_close(&fd);
    return r;
}

uint16_t vh_tap_mtu(const char *name)
{
    struct ifreq ifr = request(name);

    if (ask(SIOCGIFMTU, &ifr) < 0 || ifr.ifr_mtu < 0 ||
        ifr.ifr_mtu > UINT16_MAX) {
        return 0;
    }
    return (uint16_t)ifr.ifr_mtu;
}

static bool is_tap(const char *name)
{
    struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
    struct ifreq ifr = request(name);

    ifr.ifr_data = (void *)&info;
    return ask(SIOCETHTOOL, &ifr) == 0 && strcmp(info.driver, "tun") == 0 &&
           strcmp(info.bus_info, "tap") == 0;
}

static const char *words(int code, const char *name, bool multi)
{
    switch (code) {
    case -EPERM:
        return if_nametoindex(name)
                   ? "may not be used: it belongs to somebody else"
                   : "is not there, and to make it needs CAP_NET_ADMIN";
    case -EINVAL:
        if (!is_tap(name)) {
            return "is an interface, but no tap";
        }
        return multi ? "has only one queue; a tap for several is made with "
                       "'multi_queue'"
                     : "can't be used";
    case -EBUSY:
        return "is in use already";
    case -E2BIG:
        return "has no more queues";
    default:
        return strerror(-code);
    }
}

static int attach_name(int fd, const char *name, int flags)
{
    struct ifreq ifr = request(name);

    ifr.ifr_flags = (short)flags;
    return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

static int set_header(int fd)
{
    int len = HEADER_LEN;
    int on = 1;

    if (ioctl(fd, TUNSETVNETHDRSZ, &len) < 0 ||
        ioctl(fd, TUNSETVNETLE, &on) < 0) {
        return -errno;
    }
    return 0;
}

int vh_tap_open(const char *name, bool multi, int *fdp,
                struct vhost_error **errp)
{
    int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int r;

    if (fd < 0) {
        return vh_error(errp, -errno, "open", VH_NO_QUEUE,
                        "tap:%s: there is no tap without %s: %s", name,
                        TUN_PATH, strerror(errno));
    }
    r = attach_name(fd, name, FLAGS | (multi ? IFF_MULTI_QUEUE : 0));
    if (r == -EINVAL && !multi) {
        /* One that is made for several takes those who say so only. */
        r = attach_name(fd, name, FLAGS | IFF_MULTI_QUEUE);
    }
    if (r < 0) {
        vh_fd_close(&fd);
        return vh_error(errp, r, "TUNSETIFF", VH_NO_QUEUE, "tap:%s: %s %s",
                        name, name, words(r, name, multi));
    }
    r = set_header(fd);
    if (r < 0) {
        vh_fd_close(&fd);
        return vh_error(errp, r, "TUNSETVNETHDRSZ", VH_NO_QUEUE,
                        "tap:%s: no headers of %d bytes: %s", name, HEADER_LEN,
                        strerror(-r));
    }
    *fdp = fd;
    return 0;
}

int vh_tap_offload(int fd, uint64_t features)
{
    static const struct {
        unsigned bit;
        unsigned flag;
    } table[] = {
        { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
        { VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
        { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
    };
    unsigned flags = 0;

    /* The others build on it, for the kernel as for virtio. */
    if (features >> VIRTIO_NET_F_GUEST_CSUM & 1) {
        flags = TUN_F_CSUM;
        for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
            flags |= features >> table[i].bit & 1 ? table[i].flag : 0;
        }
    }
    /* Congestion marks are of segments only. */
    if (!(flags & (TUN_F_TSO4 | TUN_F_TSO6))) {
        flags &= ~(unsigned)TUN_F_TSO_ECN;
    }
    return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno : 0;
}

int vh_tap_attach(int fd, bool on)
{
    struct ifreq ifr = { .ifr_flags = (short)(on ? IFF_ATTACH_QUEUE
                                                 : IFF_DETACH_QUEUE) };

    return ioctl(fd, TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}
