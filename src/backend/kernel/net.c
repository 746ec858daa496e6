/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device: a node, and a tap or packet socket, for each pair of
 * queues.
 *
 * A queue runs from the moment that its socket is attached until it is
 * detached; nothing else starts or stops it.  So the device as a whole is
 * started by attaching what there is to each queue that has a ring; and a queue
 * that is given its ring later, while the device runs, is attached when whoever
 * did that waits for it to be done.
 *
 * Between the kernel and the socket each frame has a virtio-net header, as long
 * as the driver's; or none, and the kernel makes an empty one for the driver:
 * then it wants to be told so, by a feature bit that no driver may see.
 */
#include "backend/kernel/entries.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>

#include "backend/ops.h"
#include "util/error.h"

#define F(bit) (UINT64_C(1) << (bit))
#define F_VERSION_1 F(32)
#define F_TUNNEL (F(65 - 64) | F(67 - 64)) /* of word 1: a longer header */
#define HEADER_LEN_TUNNEL 24

/* Newer than some headers. */
#define VH_TUN_F_USO4 0x20u
#define VH_TUN_F_USO6 0x40u
#define VH_NET_F_GUEST_USO4 54
#define VH_NET_F_GUEST_USO6 55

#ifdef TUN_F_USO4
static_assert(VH_TUN_F_USO4 == TUN_F_USO4, "kernel");
static_assert(VH_TUN_F_USO6 == TUN_F_USO6, "kernel");
#endif

static int check(struct vhost_kernel *kernel)
{
    unsigned pairs = kernel->served / 2;

    if (kernel->served % 2 != 0) {
        return vh_kernel_misfit(kernel,
                                "%u queues: the kernel serves pairs; a control "
                                "queue is for the owner to serve",
                                kernel->served);
    }
    if (kernel->options.n_backends > 0 && kernel->options.n_backends != pairs) {
        return vh_kernel_misfit(kernel,
                                "%u taps or sockets for %u pairs of queues",
                                kernel->options.n_backends, pairs);
    }
    return 0;
}

/* All of a device are alike, since the features are. */
static int settle_header(struct vhost_kernel *kernel, bool header)
{
    struct vhost_dev *dev = kernel->dev;

    if (!header && !(kernel->info.features[0] & VH_KERNEL_F_NET_HDR)) {
        return vh_kernel_misfit(kernel,
                                "a tap or socket without a virtio-net header, "
                                "which this kernel can't add");
    }
    kernel->info.vnet_header = header;
    dev->backend_features &= ~VH_KERNEL_F_NET_HDR;
    dev->backend_features |= header ? 0 : VH_KERNEL_F_NET_HDR;
    return 0;
}

/* May @fd be attached to @queue, beside what the other queues have? */
static int admit(struct vhost_kernel *kernel, unsigned queue, int fd)
{
    bool alone = !kernel->running;
    bool header = true;
    int r = vh_kernel_tap_look(kernel, fd, &header);

    for (unsigned i = 0; i < kernel->served; i++) {
        alone &= i == queue || kernel->queues[i].backend < 0;
    }
    if (r < 0) {
        return r;
    }
    if (alone) {
        return settle_header(kernel, header);
    }
    if (header != kernel->info.vnet_header) {
        return vh_kernel_misfit(kernel,
                                "fd %d has %s virtio-net header, unlike the "
                                "others of the device",
                                fd, header ? "a" : "no");
    }
    return 0;
}

/* Those that were told in the options. */
static int open_taps(struct vhost_kernel *kernel)
{
    const struct vhost_kernel_options *o = &kernel->options;

    kernel->info.vnet_header = true;
    for (unsigned i = 0; (o->tap || o->n_backends) && i < kernel->n_nodes;
         i++) {
        int fd = o->tap ? vh_kernel_tap_open(kernel) : o->backends[i];
        int r = fd < 0 && o->tap ? fd : 0;

        kernel->taps[i] = o->tap ? fd : -1;
        if (r == 0) {
            r = admit(kernel, 2 * i, fd);
        }
        if (r < 0) {
            return r;
        }
        kernel->queues[2 * i].backend = kernel->queues[2 * i + 1].backend = fd;
    }
    return 0;
}

static int set_backend(struct vhost_kernel *kernel, unsigned queue, int fd)
{
    struct vhost_vring_file file = {
        .index = (unsigned)kernel->dev->vq_index + queue,
        .fd = fd,
    };
    int index = (int)file.index;
    const char *hint = "";
    int r = vh_kernel_vring(kernel, VHOST_NET_SET_BACKEND, &file);

    if (r == 0) {
        kernel->queues[queue].attached = fd >= 0;
        return 0;
    }
    if (r == -EFAULT) {
        hint = "the kernel does not reach the ring in memory";
    } else if (r == -ENOTSOCK || r == -EBADF || r == -EBADFD) {
        hint = "neither a tap nor a packet socket, or one that is closed";
    }
    return vh_kernel_failed(kernel, r, "NET_SET_BACKEND", index, hint);
}

/* One that has no memory yet fails with EFAULT, but only a vhost-net does. */
static int claimed(struct vhost_kernel *kernel)
{
    for (unsigned i = 0; i < kernel->n_nodes; i++) {
        const struct vhost_vring_file none = { .fd = -1 };
        int r = vh_kernel_ioctl(kernel, kernel->nodes[i], VHOST_NET_SET_BACKEND,
                                &none);

        if (r < 0 && r != -EFAULT) {
            return vh_kernel_failed(kernel, -ENOTTY, "NET_SET_BACKEND",
                                    VH_NO_QUEUE, "not a vhost-net node");
        }
    }
    return 0;
}

static int tell_header(struct vhost_kernel *kernel, const uint64_t *features)
{
    bool modern = features[0] & (F_VERSION_1 | F(VIRTIO_NET_F_MRG_RXBUF));
    int r = 0;

    kernel->header_len = modern ? (int)sizeof(struct virtio_net_hdr_mrg_rxbuf)
                                : (int)sizeof(struct virtio_net_hdr);
    if (features[1] & F_TUNNEL) {
        kernel->header_len = HEADER_LEN_TUNNEL;
    }
    for (unsigned i = 0; r == 0 && i < kernel->served; i++) {
        int fd = kernel->queues[i].backend;
        bool seen = i % 2 == 1 && fd == kernel->queues[i - 1].backend;

        if (fd >= 0 && !seen && kernel->info.vnet_header) {
            r = vh_kernel_tap_header(kernel, fd, kernel->header_len);
        }
    }
    return r;
}

/* Those that have a ring and a socket, and do not run yet.  Any thread. */
static int attach_ready(struct vhost_kernel *kernel)
{
    int r = 0;

    pthread_mutex_lock(&kernel->lock);
    for (unsigned i = 0; r == 0 && i < kernel->served; i++) {
        const struct vh_kernel_queue *queue = &kernel->queues[i];

        if (queue->ready && !queue->attached && queue->backend >= 0) {
            vh_kernel_prime(kernel, i);
            r = set_backend(kernel, i, queue->backend);
        }
    }
    pthread_mutex_unlock(&kernel->lock);
    return r;
}

static int stop(struct vhost_kernel *kernel)
{
    int first = 0;

    pthread_mutex_lock(&kernel->lock);
    for (unsigned i = 0; i < kernel->served; i++) {
        int r = kernel->queues[i].attached ? set_backend(kernel, i, -1) : 0;

        first = first < 0 ? first : r;
    }
    pthread_mutex_unlock(&kernel->lock);
    return first;
}

/* Frames must not be queued where nobody takes them. */
static int spread(struct vhost_kernel *kernel)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < kernel->n_nodes; i++) {
        if (kernel->taps[i] >= 0 && kernel->n_nodes > 1) {
            r = vh_kernel_tap_use(kernel, kernel->taps[i],
                                  kernel->queues[2 * i].ready);
        }
    }
    return r;
}

static int start(struct vhost_kernel *kernel)
{
    int r = spread(kernel);

    if (r == 0) {
        r = attach_ready(kernel);
    }
    if (r < 0) {
        stop(kernel);
    }
    return r;
}

int vh_kernel_net_detach(struct vhost_kernel *kernel, unsigned queue)
{
    int r = 0;

    pthread_mutex_lock(&kernel->lock);
    if (kernel->queues[queue].attached) {
        r = set_backend(kernel, queue, -1);
    }
    /* Before it is unlocked: another thread's wait would attach it again. */
    kernel->queues[queue].ready = kernel->queues[queue].ready && r < 0;
    pthread_mutex_unlock(&kernel->lock);
    return r;
}

int vh_kernel_net_sync(struct vhost_dev *dev)
{
    struct vhost_kernel *kernel = dev->opaque;

    return kernel->running && kernel->class == &vh_kernel_net
               ? attach_ready(kernel)
               : 0;
}

/* Of a running queue; the old one goes on if the new one is refused. */
static int change_now(struct vhost_kernel *kernel, unsigned queue, int fd)
{
    int r = 0;

    if (fd >= 0 && kernel->info.vnet_header) {
        r = vh_kernel_tap_header(kernel, fd, kernel->header_len);
    }
    if (r == 0 && fd >= 0) {
        vh_kernel_prime(kernel, queue);
    }
    return r == 0 ? set_backend(kernel, queue, fd) : r;
}

int vh_kernel_net_set_backend(struct vhost_dev *dev,
                              struct vhost_vring_file *file)
{
    struct vhost_kernel *kernel = dev->opaque;
    unsigned queue = file->index - (unsigned)dev->vq_index;
    int r = 0;

    if (kernel->class != &vh_kernel_net || queue >= kernel->served) {
        return vh_kernel_misfit(kernel, "not a network device with a queue %u",
                                file->index);
    }
    if (file->fd >= 0) {
        r = admit(kernel, queue, file->fd);
    }
    pthread_mutex_lock(&kernel->lock);
    if (r == 0 && kernel->running && kernel->queues[queue].ready) {
        r = change_now(kernel, queue, file->fd);
    }
    if (r == 0) {
        kernel->queues[queue].backend = file->fd;
    }
    pthread_mutex_unlock(&kernel->lock);
    return r;
}

int vhost_kernel_get_tap(const struct vhost_kernel *kernel, unsigned pair)
{
    return pair < kernel->served / 2 ? kernel->queues[2 * pair].backend : -1;
}

int vhost_kernel_set_offloads(struct vhost_kernel *kernel, uint64_t features,
                              struct vhost_error **errp)
{
    /* clang-format off */
    static const struct { unsigned bit; unsigned flag; } bits[] = {
        { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
        { VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
        { VIRTIO_NET_F_GUEST_ECN,  TUN_F_TSO_ECN },
        { VIRTIO_NET_F_GUEST_UFO,  TUN_F_UFO },
        { VH_NET_F_GUEST_USO4,     VH_TUN_F_USO4 },
        { VH_NET_F_GUEST_USO6,     VH_TUN_F_USO6 },
    };
    /* clang-format on */
    bool sums = features & F(VIRTIO_NET_F_GUEST_CSUM);
    uintptr_t flags = sums ? TUN_F_CSUM : 0;
    int r = vh_kernel_enter(kernel, "TUNSETOFFLOAD", &vh_kernel_net, errp);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; sums && i < sizeof(bits) / sizeof(bits[0]); i++) {
        flags |= features & F(bits[i].bit) ? bits[i].flag : 0;
    }
    if (!kernel->info.vnet_header || kernel->queues[0].backend < 0) {
        r = vh_kernel_misfit(kernel, "no taps with a virtio-net header");
    }
    /* It is one setting of the interface, whichever of its queues is told. */
    for (unsigned i = 0; r == 0 && i < kernel->served; i += 2) {
        int fd = kernel->queues[i].backend;

        r = fd < 0 ? 0
                   : vh_kernel_ioctl(kernel, fd, TUNSETOFFLOAD, (void *)flags);
        if (r < 0) {
            vh_kernel_failed(kernel, r, "TUNSETOFFLOAD", (int)i, "");
        }
    }
    return vh_kernel_leave(kernel, r < 0 ? r : 0, errp);
}

const struct vh_kernel_class vh_kernel_net = {
    .name = "network",
    .device_id = 1,
    .node = "/dev/vhost-net",
    .module = "vhost_net",
    .per_node = 2,
    .check = check,
    .open = open_taps,
    .claimed = claimed,
    .start = start,
    .stop = stop,
    .features = tell_header,
};
