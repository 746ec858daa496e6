/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device itself: virtio 1.3, 5.1.2 "Virtqueues", 5.1.3 "Feature bits" and
 * 5.1.4 "Device configuration layout".
 *
 * Queue 2i receives for pair i and queue 2i + 1 sends.  Where the control queue
 * is depends on what was negotiated: behind all pairs, or behind the first one
 * if the driver knows of no others.
 */
#include "server/net.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <linux/virtio_ids.h>

#include "server/server.h"
#include "util/error.h"

#define QUEUE_SIZE 1024
#define QUEUE_SIZE_MIN 4
#define MTU 1500
#define MTU_MIN 68 /* 5.1.4.2 */
#define SPEED_UNKNOWN UINT32_MAX
#define F_VERSION_1 32

enum role { RX, TX, CONTROL, NONE };

static enum role role_of(const struct vh_net *net, unsigned queue)
{
    unsigned pairs = net->options.pairs;

    if (vh_net_has(net, VIRTIO_NET_F_CTRL_VQ) &&
        queue == (vh_net_has(net, VIRTIO_NET_F_MQ) ? 2 * pairs : 2)) {
        return CONTROL;
    }
    if (queue >= 2 * pairs) {
        return NONE;
    }
    return queue % 2 ? TX : RX;
}

unsigned vh_net_pairs_in_use(const struct vh_net *net)
{
    if (net->pairs_told) {
        return net->pairs_told;
    }
    /* 5.1.6.5.5: one, until the driver says more, if it can. */
    return vh_net_has(net, VIRTIO_NET_F_CTRL_VQ) &&
                   vh_net_has(net, VIRTIO_NET_F_MQ)
               ? 1
               : net->options.pairs;
}

/* Life */

static void net_free(struct vhost_server_device *device)
{
    struct vh_net *net = vh_net_of(device);

    vh_net_close_peer(net);
    free(net->pairs);
    free(net->name);
    free(net);
}

static int check_options(struct vh_net *net, struct vhost_error **errp)
{
    struct vhost_server_net_options *o = &net->options;

    o->pairs = o->pairs ? o->pairs : 1;
    o->queue_size = o->queue_size ? o->queue_size : QUEUE_SIZE;
    if (o->pairs > VH_NET_PAIRS_MAX) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: %u queue pairs asked, at most %d", net->name,
                        o->pairs, VH_NET_PAIRS_MAX);
    }
    if (o->queue_size < QUEUE_SIZE_MIN ||
        !vh_ring_size_is_valid(o->queue_size, 0)) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: a queue size is a power of two from %d to %d, "
                        "and not %u",
                        net->name, QUEUE_SIZE_MIN, VH_RING_SIZE_MAX,
                        o->queue_size);
    }
    if (o->mtu && o->mtu < MTU_MIN) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: an MTU is at least %d, and not %u", net->name,
                        MTU_MIN, o->mtu);
    }
    if (o->mac[0] & 1) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "%s: a multicast address is no address of a device",
                        net->name);
    }
    return 0;
}

/* A random address, as one that is administered locally. */
static int choose_mac(uint8_t mac[6])
{
    static const uint8_t none[6];

    if (memcmp(mac, none, 6) != 0) {
        return 0;
    }
    if (getrandom(mac, 6, 0) != 6) {
        return -errno;
    }
    mac[0] = (uint8_t)((mac[0] & ~1u) | 2);
    return 0;
}

static int make_pairs(struct vh_net *net)
{
    net->pairs = calloc(net->options.pairs, sizeof(*net->pairs));
    if (!net->pairs) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < net->options.pairs; i++) {
        net->pairs[i].fd = -1;
    }
    return 0;
}

static int net_open(struct vhost_server_device *device,
                    struct vhost_error **errp)
{
    struct vh_net *net = vh_net_of(device);
    struct vhost_server_net_options *o = &net->options;
    int r = check_options(net, errp);

    if (r < 0) {
        return r;
    }
    if (choose_mac(o->mac) < 0 || make_pairs(net) < 0) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    r = vh_net_open_peer(net, errp);
    if (r < 0) {
        return r;
    }
    memcpy(net->mac, o->mac, sizeof(net->mac));
    o->mtu = o->mtu ? o->mtu : MTU;
    device->what = net->name;
    device->n_queues = 2 * o->pairs + 1;
    device->n_queues_told = o->pairs; /* as front ends of this type count */
    device->queue_size_max = o->queue_size;
    device->features |=
        VH_NET_BIT(VIRTIO_NET_F_MAC) | VH_NET_BIT(VIRTIO_NET_F_STATUS) |
        VH_NET_BIT(VIRTIO_NET_F_MTU) | VH_NET_BIT(VIRTIO_NET_F_MRG_RXBUF) |
        VH_NET_BIT(VIRTIO_NET_F_CTRL_VQ) |
        VH_NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
    device->features |= o->pairs > 1 ? VH_NET_BIT(VIRTIO_NET_F_MQ) : 0;
    return 0;
}

static void net_get_config(struct vhost_server_device *device, uint8_t *config,
                           uint32_t size)
{
    const struct vh_net *net = vh_net_of(device);
    struct virtio_net_config c = {
        .status = htole16(VIRTIO_NET_S_LINK_UP),
        .max_virtqueue_pairs = htole16((uint16_t)net->options.pairs),
        .mtu = htole16(net->mtu ? net->mtu : net->options.mtu),
        .speed = htole32(SPEED_UNKNOWN),
        .duplex = UINT8_MAX,
    };

    memcpy(c.mac, net->mac, sizeof(c.mac));
    memset(config, 0, size);
    memcpy(config, &c, sizeof(c) < size ? sizeof(c) : size);
}

static void net_reset(struct vhost_server_device *device)
{
    struct vh_net *net = vh_net_of(device);

    net->pairs_told = 0;
    memcpy(net->mac, net->options.mac, sizeof(net->mac));
    for (unsigned i = 0; i < net->options.pairs; i++) {
        net->pairs[i].has_frame = false;
        net->pairs[i].rx = NULL; /* its queue may have another role next */
    }
    net->peer->flush(net);
}

/* What the control queue has set: u8 mac[6], u16 pairs or 0, big-endian. */
#define STATE_LEN 8

static size_t net_save(const struct vhost_server_device *device, uint8_t *body)
{
    const struct vh_net *net = (const struct vh_net *)device;
    uint16_t pairs = htobe16((uint16_t)net->pairs_told);

    memcpy(body, net->mac, sizeof(net->mac));
    memcpy(body + sizeof(net->mac), &pairs, sizeof(pairs));
    return STATE_LEN;
}

static const char *net_load(struct vhost_server_device *device,
                            const uint8_t *body, size_t len)
{
    struct vh_net *net = vh_net_of(device);
    uint16_t pairs;

    if (len != STATE_LEN) {
        return "the state of a network device has another length";
    }
    memcpy(&pairs, body + sizeof(net->mac), sizeof(pairs));
    pairs = be16toh(pairs);
    if (pairs > net->options.pairs) {
        return "the state has more queue pairs in use than there are";
    }
    memcpy(net->mac, body, sizeof(net->mac));
    net->pairs_told = pairs;
    net->peer->rearrange(net);
    return NULL;
}

/* Queues */

static int net_queue_start(struct vhost_server_device *device,
                           struct vh_squeue *queue)
{
    struct vh_net *net = vh_net_of(device);
    enum role role;

    net->negotiated = queue->srv->session.features;
    if (!vh_net_has(net, F_VERSION_1)) {
        queue->srv->session.why = "headers are those of VIRTIO_F_VERSION_1";
        return -EINVAL;
    }
    role = role_of(net, queue->index);
    if (role == NONE) {
        queue->srv->session.why = "there is no control queue";
        return -EINVAL;
    }
    if (role == RX) {
        struct vh_net_pair *pair = &net->pairs[queue->index / 2];

        pair->rx = queue;
        pair->n_dropped = 0;
        net->peer->rearrange(net);
    }
    return 0;
}

static const char *net_serve(struct vhost_server_device *device,
                             struct vh_squeue *queue, struct vh_chain *chain)
{
    struct vh_net *net = vh_net_of(device);

    if (role_of(net, queue->index) == CONTROL) {
        return vh_net_control(net, queue, chain);
    }
    if (chain->n_in > 0) {
        return "a frame to send that is to be written";
    }
    if (chain->out_len < VH_NET_HEADER) {
        return "a frame to send that is shorter than its header";
    }
    /* Others are nothing that a network could carry. */
    if (chain->out_len >= VH_NET_HEADER + VH_NET_ETH_HEADER &&
        chain->out_len <= VH_NET_HEADER + VH_NET_FRAME_MAX) {
        net->peer->send(net, queue, chain);
    }
    vh_squeue_complete(queue, chain->id, 0);
    return NULL;
}

/* Nothing is under way between rounds, but the rounds must know of it. */
static bool net_submit(struct vhost_server_device *device)
{
    (void)device;
    return true;
}

static unsigned net_reap(struct vhost_server_device *device, bool wait)
{
    (void)device;
    (void)wait;
    return 0;
}

static bool net_arm(struct vhost_server_device *device)
{
    (void)device;
    return false;
}

/* Input */

static bool net_is_fed(struct vhost_server_device *device, unsigned queue)
{
    return role_of(vh_net_of(device), queue) == RX;
}

static int net_fd(struct vhost_server_device *device, unsigned queue)
{
    const struct vh_net *net = vh_net_of(device);

    return queue % 2 == 0 && queue / 2 < net->options.pairs
               ? net->pairs[queue / 2].fd
               : -1;
}

static bool net_has_input(struct vhost_server_device *device, unsigned queue)
{
    const struct vh_net *net = vh_net_of(device);
    const struct vh_net_pair *pair = &net->pairs[queue / 2];

    return queue / 2 < vh_net_pairs_in_use(net) && pair->has_frame;
}

static bool net_wake(struct vhost_server_device *device, unsigned queue)
{
    return !vh_net_of(device)->pairs[queue / 2].has_frame;
}

static bool net_feed(struct vhost_server_device *device,
                     struct vh_squeue *queue)
{
    struct vh_net *net = vh_net_of(device);
    struct vh_net_pair *pair = &net->pairs[queue->index / 2];
    unsigned n;

    if (queue->index / 2 >= vh_net_pairs_in_use(net)) {
        return false;
    }
    for (n = 0; n < VH_SQUEUE_TURN; n++) {
        enum vh_net_received r;

        if (!pair->has_frame && !net->peer->receive(net, queue)) {
            break;
        }
        r = vh_net_receive(net, queue, &pair->frame);
        pair->has_frame = r == VH_NET_NO_ROOM;
        pair->n_dropped += r == VH_NET_DROPPED;
        if (r == VH_NET_NO_ROOM) {
            break;
        }
    }
    return n > 0;
}

static unsigned net_stop(struct vhost_server_device *device,
                         struct vh_squeue *queue)
{
    struct vh_net *net = vh_net_of(device);
    struct vh_net_pair *pair = &net->pairs[queue->index / 2];
    unsigned n_held = pair->room.n_chains;

    if (pair->n_dropped > 0) {
        vh_server_log(queue->srv, "pair %u: frames dropped: %" PRIu64,
                      queue->index / 2, pair->n_dropped);
    }
    pair->room.n_chains = 0;
    pair->room.n_iov = 0;
    pair->room.len = 0;
    pair->rx = NULL;
    net->peer->rearrange(net);
    return n_held;
}

static const struct vh_server_device_ops net_ops = {
    .open = net_open,
    .free = net_free,
    .get_config = net_get_config,
    .announce = vh_net_announce,
    .set_mtu = vh_net_set_mtu,
    .save = net_save,
    .load = net_load,
    .queue_start = net_queue_start,
    .reset = net_reset,
    .serve = net_serve,
    .submit = net_submit,
    .reap = net_reap,
    .arm = net_arm,
};

static const struct vh_server_input_ops net_input_ops = {
    .is_fed = net_is_fed,
    .fd = net_fd,
    .wake = net_wake,
    .feed = net_feed,
    .has_input = net_has_input,
    .stop = net_stop,
};

struct vhost_server_device *
vhost_server_net(const char *peer,
                 const struct vhost_server_net_options *options)
{
    struct vh_net *net = calloc(1, sizeof(*net));
    size_t size = sizeof(net->options);

    if (!net) {
        return NULL;
    }
    net->name = strdup(peer);
    if (!net->name) {
        free(net);
        return NULL;
    }
    net->device.ops = &net_ops;
    net->device.type = VIRTIO_ID_NET;
    net->device.protocol = VH_PF(RARP) | VH_PF(NET_MTU);
    net->device.input = &net_input_ops;
    net->device.event_fd = -1;
    if (options) {
        if (options->size && options->size < size) {
            size = options->size;
        }
        memcpy(&net->options, options, size);
    }
    return &net->device;
}
