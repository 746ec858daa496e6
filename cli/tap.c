/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <vhost/net.h>

#include "out.h"
#include "tap.h"

#define TUN_PATH "/dev/net/tun"
#define F(bit) (UINT64_C(1) << (bit))

const char *tap_name_error(const char *name)
{
    if (name[0] == '\0') {
        return "a tap has a name";
    }
    if (strlen(name) >= IFNAMSIZ) {
        return "the name of a tap has at most 15 characters";
    }
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return "no tap can be called so";
    }
    for (const char *c = name; *c != '\0'; c++) {
        /* The kernel makes a number of '%d'. */
        if (isspace((unsigned char)*c) || strchr("/:%", *c)) {
            return "the name of a tap has no blanks, '/', ':' or '%'";
        }
    }
    return NULL;
}

static int complain(const char *name, int error)
{
    switch (error) {
    case EPERM:
        out_error("tap %s: no permission to use or make it; it takes "
                  "CAP_NET_ADMIN, or a tap that belongs to this user",
                  name);
        break;
    case EINVAL:
        out_error("tap %s: there is an interface of this name, and it is no "
                  "tap with one queue",
                  name);
        break;
    case EBUSY:
        out_error("tap %s: another program uses it", name);
        break;
    default:
        out_error("tap %s: %s", name, strerror(error));
        break;
    }
    return -1;
}

static int open_tun(const char *name)
{
    int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0) {
        return fd;
    }
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
        out_error("tap %s: this host has no " TUN_PATH
                  "; is the module tun loaded?",
                  name);
    } else {
        out_error("tap %s: " TUN_PATH ": %s", name, strerror(errno));
    }
    return -1;
}

int tap_open(const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int header = VHOST_NET_HEADER;
    int little_endian = 1;
    int fd = open_tun(name);

    if (fd < 0) {
        return -1;
    }
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &request) < 0 ||
        ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
        ioctl(fd, TUNSETVNETLE, &little_endian) < 0 ||
        ioctl(fd, TUNSETOFFLOAD, 0ul) < 0) {
        complain(name, errno);
        close(fd);
        return -1;
    }
    return fd;
}

bool tap_set_offloads(int fd, uint64_t features)
{
    unsigned long offloads = 0;

    if (!(features & F(VIRTIO_NET_F_CSUM))) {
        return true;
    }
    offloads |= TUN_F_CSUM;
    offloads |= features & F(VIRTIO_NET_F_HOST_TSO4) ? TUN_F_TSO4 : 0;
    offloads |= features & F(VIRTIO_NET_F_HOST_TSO6) ? TUN_F_TSO6 : 0;
    if (offloads != TUN_F_CSUM && features & F(VIRTIO_NET_F_HOST_ECN)) {
        offloads |= TUN_F_TSO_ECN;
    }
    return ioctl(fd, TUNSETOFFLOAD, offloads) == 0;
}
