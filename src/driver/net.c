/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening and closing a network device (virtio 1.3, 5.1 "Network Device"), and
 * what the control thread does with it.
 *
 * Whether there is a control queue is known only after the features are; then
 * the device is taken up once more, with one queue more.  vhost-user back ends
 * seldom have one, and those that do can be connected to again.
 */
#include "driver/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_net.h>

#include "driver/again.h"
#include "driver/layout.h"
#include "driver/net-again.h"
#include "driver/options.h"
#include "ring/layout.h"
#include "util/error.h"

#define DEVICE_ID 1 /* virtio 1.3, 5.1.1 */
#define DEFAULT_QUEUE_SIZE 256
#define DEFAULT_POOL_SIZE ((size_t)64 << 20)
#define DEFAULT_BUFFER_SIZE 2048
#define BUFFER_SIZE_MIN 64
#define BUFFER_SIZE_MAX (VHOST_NET_HEADER + VHOST_NET_FRAME_MAX)
#define BUFFER_SIZE_WHOLE (VHOST_NET_HEADER + 1514)
#define QUEUE_SIZE_MIN 4
#define PAIRS_MAX 32767
#define TABLE_LEN 20 /* header and frame of 17 fragments, as Linux sends */
#define PAGE 4096

#define F(bit) (UINT64_C(1) << (bit))
#define F_VERSION_1 32
#define F_USO 56 /* VIRTIO_NET_F_HOST_USO; not in all headers */
#define F_GUEST_USO4 54
#define F_GUEST_USO6 55

#define OFFLOADS_IN                                                            \
    (F(VIRTIO_NET_F_GUEST_TSO4) | F(VIRTIO_NET_F_GUEST_TSO6) |                 \
     F(VIRTIO_NET_F_GUEST_ECN) | F(VIRTIO_NET_F_GUEST_UFO) | F(F_GUEST_USO4) | \
     F(F_GUEST_USO6))
#define OFFLOADS_OUT                                         \
    (F(VIRTIO_NET_F_HOST_TSO4) | F(VIRTIO_NET_F_HOST_TSO6) | \
     F(VIRTIO_NET_F_HOST_ECN) | F(VIRTIO_NET_F_HOST_UFO) | F(F_USO))
#define OFFLOADS                                                       \
    (F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_GUEST_CSUM) | OFFLOADS_IN | \
     OFFLOADS_OUT)
#define CONTROLLED                                             \
    (F(VIRTIO_NET_F_CTRL_VQ) | F(VIRTIO_NET_F_CTRL_MAC_ADDR) | \
     F(VIRTIO_NET_F_GUEST_ANNOUNCE))

/* All that the driver knows; trim() takes out what is not wanted. */
static const int feature_bits[] = {
    F_VERSION_1,
    VH_RING_F_INDIRECT_DESC,
    VH_RING_F_EVENT_IDX,
    VH_RING_F_PACKED,
    VH_RING_F_IN_ORDER,
    VIRTIO_NET_F_CSUM,
    VIRTIO_NET_F_GUEST_CSUM,
    VIRTIO_NET_F_MTU,
    VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_GUEST_ECN,
    VIRTIO_NET_F_GUEST_UFO,
    VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,
    VIRTIO_NET_F_HOST_ECN,
    VIRTIO_NET_F_HOST_UFO,
    VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_STATUS,
    VIRTIO_NET_F_CTRL_VQ,
    VIRTIO_NET_F_GUEST_ANNOUNCE,
    VIRTIO_NET_F_MQ,
    VIRTIO_NET_F_CTRL_MAC_ADDR,
    F_GUEST_USO4,
    F_GUEST_USO6,
    F_USO,
    VIRTIO_NET_F_SPEED_DUPLEX,
    VHOST_INVALID_FEATURE_BIT,
};

/* Frames come and go in order anyhow. */
static const unsigned best_layouts[] = {
    VHOST_LAYOUT_PACKED_IN_ORDER,
    VHOST_LAYOUT_PACKED,
    VHOST_LAYOUT_SPLIT_IN_ORDER,
    VHOST_LAYOUT_SPLIT,
};

static struct vhost_net_device *from_device(struct vh_device *device)
{
    return (
        struct vhost_net_device *)((char *)device -
                                   offsetof(struct vhost_net_device, device));
}

static void on_lost(struct vh_device *device, const char *reason)
{
    struct vhost_net_device *net = from_device(device);

    if (net->options.lost) {
        net->options.lost(net, reason, net->options.opaque);
    }
}

static void on_resumed(struct vh_device *device)
{
    struct vhost_net_device *net = from_device(device);

    if (net->options.resumed) {
        net->options.resumed(net, net->options.opaque);
    }
}

/* What the program does not want, and what does not work without the rest
 * (virtio 1.3, 5.1.3.1). */
static uint64_t trim(struct vh_device *device, uint64_t features)
{
    const struct vhost_net_options *options = &from_device(device)->options;

    features &= ~OFFLOADS | options->offloads;
    if (options->polling) {
        features &= ~F(VH_RING_F_EVENT_IDX);
    }
    if (options->no_mergeable) {
        features &= ~F(VIRTIO_NET_F_MRG_RXBUF);
    }
    if (!(features & F(VIRTIO_NET_F_MRG_RXBUF)) &&
        options->buffer_size < BUFFER_SIZE_MAX) {
        features &= ~OFFLOADS_IN;
    }
    if (!(features & F(VIRTIO_NET_F_GUEST_CSUM))) {
        features &= ~OFFLOADS_IN;
    }
    if (!(features & F(VIRTIO_NET_F_CSUM))) {
        features &= ~OFFLOADS_OUT;
    }
    if (options->pairs == 1) {
        features &= ~F(VIRTIO_NET_F_MQ);
    }
    if (device->spec.queues == 2 * options->pairs) {
        features &= ~CONTROLLED;
    }
    return features;
}

static int refuse(struct vhost_error **errp, const char *why)
{
    return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE, "%s", why);
}

static int take_options(struct vhost_net_options *to,
                        const struct vhost_net_options *from,
                        struct vhost_error **errp)
{
    int r = vh_options_copy(to, sizeof(*to), from, errp);

    if (r < 0) {
        return r;
    }
    to->pairs = to->pairs ? to->pairs : 1;
    to->queue_size = to->queue_size ? to->queue_size : DEFAULT_QUEUE_SIZE;
    to->pool_size = to->pool_size ? to->pool_size : DEFAULT_POOL_SIZE;
    to->buffer_size = to->buffer_size ? to->buffer_size : DEFAULT_BUFFER_SIZE;
    if (to->pairs > PAIRS_MAX) {
        return refuse(errp, "more than 32767 queue pairs");
    }
    if (to->buffer_size < BUFFER_SIZE_MIN ||
        to->buffer_size > BUFFER_SIZE_MAX) {
        return refuse(errp, "buffers to receive into have 64 to 65562 bytes");
    }
    if (to->offloads & ~OFFLOADS) {
        return refuse(errp, "offloads has bits that are no offloads");
    }
    return vh_options_check_ring(to->queue_size, QUEUE_SIZE_MIN, to->layout,
                                 errp);
}

static void init_rx(struct vhost_net_device *net, unsigned pair)
{
    struct vhost_net_rx *rx = &net->rx[pair];

    rx->vq = &net->device.queues[2 * pair];
    rx->net = net;
    rx->buffer_size = net->options.buffer_size;
    rx->mergeable = vh_device_has(&net->device, VIRTIO_NET_F_MRG_RXBUF);
    rx->reads_header =
        rx->mergeable || vh_device_has(&net->device, VIRTIO_NET_F_GUEST_CSUM);
}

static void *zalloc_aligned(size_t size)
{
    void *p = aligned_alloc(64, size);

    return p ? memset(p, 0, size) : NULL;
}

static int open_queues(struct vhost_net_device *net)
{
    unsigned n = net->options.pairs;

    net->rx = zalloc_aligned(n * sizeof(*net->rx));
    net->tx = zalloc_aligned(n * sizeof(*net->tx));
    if (!net->rx || !net->tx) {
        return -ENOMEM;
    }
    if (net->options.reconnect_ms != 0 && vh_net_again_init(net) < 0) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        init_rx(net, i);
        net->tx[i].vq = &net->device.queues[2 * i + 1];
        net->tx[i].net = net;
        net->tx[i].device = net;
    }
    for (unsigned i = 0; i < n && net->rx[i].mergeable; i++) {
        net->rx[i].held =
            calloc(net->options.queue_size, sizeof(struct vhost_net_packet));
        if (!net->rx[i].held) {
            return -ENOMEM;
        }
    }
    if (net->device.spec.queues > 2 * n) {
        net->control = &net->device.queues[2 * n];
        return vh_net_control_open(net);
    }
    return 0;
}

static void fill_info(struct vhost_net_device *net)
{
    const struct vh_device *device = &net->device;

    net->info.pairs = net->options.pairs;
    net->info.queue_size = net->options.queue_size;
    net->info.layout = vh_layout_of(device->features);
    net->info.buffer_size = net->options.buffer_size;
    net->info.mergeable = vh_device_has(device, VIRTIO_NET_F_MRG_RXBUF);
    net->info.control = net->control != NULL;
    net->info.features = device->features;
}

static int take_up(struct vhost_net_device *net, struct vh_link link,
                   bool control, struct vhost_error **errp)
{
    const struct vhost_net_options *options = &net->options;
    const struct vh_device_spec spec = {
        .device_id = DEVICE_ID,
        .feature_bits = feature_bits,
        .trim = trim,
        .queues = 2 * options->pairs + control,
        .num_queues = options->pairs,
        .queue_size = options->queue_size,
        .control = control,
        .layout = options->layout,
        .best_layouts = best_layouts,
        .polling = options->polling,
        .spin_us = options->spin_us,
        .pool_size = options->pool_size,
        .huge_pages = options->huge_pages,
        .lost = on_lost,
        .reconnect_ms = options->reconnect_ms,
        .renew = vh_net_renew,
        .resumed = on_resumed,
    };
    int r = vh_device_open(&net->device, link, &spec, errp);

    if (r == 0) {
        r = vh_net_read_config(net, errp);
    }
    if (r == 0 && options->buffer_size < BUFFER_SIZE_WHOLE &&
        !vh_device_has(&net->device, VIRTIO_NET_F_MRG_RXBUF)) {
        r = refuse(errp, "buffers of less than 1526 bytes, and a frame can't "
                         "lie in several of them");
    }
    return r;
}

static int start(struct vhost_net_device *net, struct vhost_error **errp)
{
    int r = vh_device_start(&net->device, TABLE_LEN, PAGE, errp);

    if (r == 0 && open_queues(net) < 0) {
        r = vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
    }
    if (r == 0) {
        fill_info(net);
    }
    /* A device that has the command uses one pair until it comes (5.1.5). */
    if (r == 0 && net->control &&
        vh_device_has(&net->device, VIRTIO_NET_F_MQ)) {
        r = vhost_net_set_pairs(net, net->options.pairs, errp);
    }
    return r;
}

/* Is there a control queue, just behind the queues that we use? */
static bool wants_control(const struct vhost_net_device *net)
{
    const struct vh_device *device = &net->device;
    unsigned pairs = net->options.pairs;

    return device->offered & F(VIRTIO_NET_F_CTRL_VQ) &&
           net->options.reconnect_ms == 0 && vh_device_has_config(device) &&
           (pairs == 1 || net->info.max_pairs == pairs);
}

static struct vhost_net_device *new_device(struct vh_link link,
                                           const struct vhost_net_options *o,
                                           struct vhost_error **errp)
{
    struct vhost_net_device *net = calloc(1, sizeof(*net));

    if (!net) {
        vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
    } else if (take_options(&net->options, o, errp) < 0) {
        free(net);
        net = NULL;
    }
    if (!net) {
        vh_link_free(&link);
    }
    return net;
}

struct vhost_net_device *
vh_net_open_over(struct vh_link link, bool control,
                 const struct vhost_net_options *options,
                 struct vhost_error **errp)
{
    struct vhost_net_device *net = new_device(link, options, errp);

    if (net &&
        (take_up(net, link, control, errp) < 0 || start(net, errp) < 0)) {
        vhost_net_close(net);
        net = NULL;
    }
    return net;
}

/* Looks whether there is a control queue, and takes the device up again. */
static struct vhost_net_device *
open_uri(const char *uri, const struct vhost_net_options *options,
         struct vhost_error **errp)
{
    struct vhost_net_device *net;
    struct vh_link link;

    if (vh_link_open(&link, uri, options->deadline_ms, errp) < 0) {
        return NULL;
    }
    net = new_device(link, options, errp);
    if (!net) {
        return NULL;
    }
    if (take_up(net, link, false, errp) < 0) {
        vhost_net_close(net);
        return NULL;
    }
    if (wants_control(net)) {
        vhost_net_close(net);
        if (vh_link_open(&link, uri, options->deadline_ms, errp) < 0) {
            return NULL;
        }
        return vh_net_open_over(link, true, options, errp);
    }
    if (start(net, errp) < 0) {
        vhost_net_close(net);
        return NULL;
    }
    return net;
}

struct vhost_net_device *vhost_net_open(const char *uri,
                                        const struct vhost_net_options *options,
                                        struct vhost_error **errp)
{
    struct vhost_net_options known;
    struct vhost_error *error = NULL;
    struct vhost_net_device *net = NULL;

    if (take_options(&known, options, &error) == 0) {
        net = open_uri(uri, &known, &error);
    }
    if (!net) {
        vh_open_failed(uri, error, errp);
    }
    return net;
}

void vhost_net_close(struct vhost_net_device *net)
{
    if (!net) {
        return;
    }
    for (unsigned i = 0; net->rx && i < net->options.pairs; i++) {
        free(net->rx[i].held);
    }
    for (unsigned i = 0; net->rx && net->tx && i < net->options.pairs; i++) {
        vh_net_rx_forget(&net->rx[i]);
        vh_net_tx_forget(&net->tx[i]);
        free(net->tx[i].frames);
    }
    if (net->rx && net->tx) {
        vh_net_again_free(net);
    }
    vh_device_close(&net->device, false);
    free(net->rx);
    free(net->tx);
    free(net);
}

void vhost_net_get_info(const struct vhost_net_device *net,
                        struct vhost_net_info *info)
{
    *info = net->info;
    info->frames_lost = __atomic_load_n(&net->n_lost, __ATOMIC_RELAXED);
}

struct vhost_net_rx *vhost_net_get_rx(struct vhost_net_device *net,
                                      unsigned pair)
{
    return pair < net->options.pairs ? &net->rx[pair] : NULL;
}

struct vhost_net_tx *vhost_net_get_tx(struct vhost_net_device *net,
                                      unsigned pair)
{
    return pair < net->options.pairs ? &net->tx[pair] : NULL;
}

void *vhost_net_alloc(struct vhost_net_device *net, size_t size)
{
    return vh_pool_alloc(net->device.pool, size, PAGE);
}

void vhost_net_free(struct vhost_net_device *net, void *buf)
{
    vh_pool_release(net->device.pool, buf);
}

int vhost_net_map(struct vhost_net_device *net, void *addr, size_t size, int fd,
                  uint64_t fd_offset, struct vhost_error **errp)
{
    return vh_device_map(&net->device, addr, size, fd, fd_offset, errp);
}

int vhost_net_unmap(struct vhost_net_device *net, void *addr,
                    struct vhost_error **errp)
{
    return vh_pool_unmap(net->device.pool, addr, errp);
}

/* Posted buffers are the caller's, and he knows them. */
static void drop_rx(void *arg, void *cookie)
{
    (void)arg;
    (void)cookie;
}

int vhost_net_reset_rx(struct vhost_net_device *net, struct vhost_net_rx *rx,
                       struct vhost_error **errp)
{
    int r =
        vh_device_reset_queue(&net->device, rx->vq->index, drop_rx, rx, errp);

    if (r == 0) {
        rx->frame_left = 0;
        rx->n_held = 0;
        vh_net_rx_forget_kept(rx);
        vh_net_rx_forget(rx);
    }
    return r;
}

static void drop_tx(void *arg, void *cookie)
{
    vh_net_tx_drop(arg, cookie);
}

int vhost_net_reset_tx(struct vhost_net_device *net, struct vhost_net_tx *tx,
                       struct vhost_error **errp)
{
    int r =
        vh_device_reset_queue(&net->device, tx->vq->index, drop_tx, tx, errp);

    if (r == 0) {
        vh_net_tx_forget_sent(tx);
        tx->n_inflight = 0;
        vh_net_tx_forget(tx);
    }
    return r;
}

int vhost_net_get_fd(const struct vhost_net_device *net)
{
    return vhost_dev_get_fd((struct vhost_dev *)&net->device.dev);
}

int vhost_net_dispatch(struct vhost_net_device *net, struct vhost_error **errp)
{
    int r = vh_device_dispatch(&net->device, errp);

    if (r < 0 || !net->device.config_changed) {
        return r;
    }
    net->device.config_changed = false;
    r = vh_net_read_config(net, errp);
    if (r < 0 && vh_again_will_do(&net->device)) {
        vh_error_clear(errp);
        return 0;
    }
    if (r == 0 && net->options.config_changed) {
        net->options.config_changed(net, net->options.opaque);
    }
    return r;
}
