/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network device of the embedded back end (virtio 1.3, 5.1), inside view:
 *
 *   net.c           the device: options, features, configuration, its queues
 *   net-peer.c      where frames go to and come from
 *   net-tap.c       a tap of this host
 *   net-receive.c   frames into the driver's buffers
 *   net-control.c   commands of the control queue
 *   net-announce.c  what the front end says of it
 */
#ifndef VH_SERVER_NET_H
#define VH_SERVER_NET_H

#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "server/device.h"
#include "server/iov.h"
#include "server/queue.h"

#define VH_NET_PAIRS_MAX 128
#define VH_NET_HEADER 12
#define VH_NET_ETH_HEADER 14
#define VH_NET_FRAME_MAX 65550
#define VH_NET_CHAINS 1024 /* in which one frame may lie */
#define VH_NET_BIT(n) (UINT64_C(1) << (n))

struct vh_net;

/* A frame to be received; the pieces are used up when it is. */
struct vh_net_frame {
    struct virtio_net_hdr_v1 header;
    struct vh_iov data;
    uint32_t len;
};

/* Buffers taken for a frame that is not yet, or not all, in them. */
struct vh_net_room {
    uint64_t len;
    unsigned n_chains;
    unsigned n_iov;
    struct {
        uint32_t len;
        uint16_t id;
        uint16_t n_iov;
    } chains[VH_NET_CHAINS];
    struct iovec iov[VH_NET_CHAINS + VH_SQUEUE_PIECES];
};

struct vh_net_pair {
    struct vh_squeue *rx; /* while it may run, or NULL */
    struct vh_net_room room;
    uint64_t n_dropped; /* since rx started */
    bool has_frame;     /* that waits for buffers */
    struct vh_net_frame frame;
    struct iovec iov; /* of frame */
    /* Of a tap: */
    int fd;
    bool attached; /* the tap gives frames to this queue of it */
    uint8_t *bounce;
};

/* One kind of peer. */
struct vh_net_peer {
    const char *prefix;
    /** @open: @arg: what follows the prefix */
    int (*open)(struct vh_net *net, const char *arg, struct vhost_error **errp);
    /** @send: a frame of a driver, header first; its pieces may be changed */
    void (*send)(struct vh_net *net, struct vh_squeue *q,
                 struct vh_chain *chain);
    /** @receive: the next into pair->frame; false if there is none */
    bool (*receive)(struct vh_net *net, struct vh_squeue *q);
    /** @rearrange: pairs came into use or went; features may be new */
    void (*rearrange)(struct vh_net *net);
    /** @flush: forget frames of before */
    void (*flush)(struct vh_net *net);
    /** @announce: a frame of ours, header first; NULL: nobody is there */
    void (*announce)(struct vh_net *net, const void *frame, size_t len);
};

struct vh_net {
    struct vhost_server_device device;
    struct vhost_server_net_options options;
    char *name;
    const struct vh_net_peer *peer;
    struct vh_net_pair *pairs;
    uint8_t mac[6];      /* as the driver has set it */
    uint64_t negotiated; /* when a queue started last */
    unsigned pairs_told; /* by the control queue; 0: nothing */
    uint16_t mtu;        /* told by the front end; 0: nothing */
    bool gone;           /* the tap was deleted */
    uint8_t *pattern;    /* of a source */
};

static inline struct vh_net *vh_net_of(struct vhost_server_device *device)
{
    return (struct vh_net *)device;
}

static inline bool vh_net_has(const struct vh_net *net, unsigned bit)
{
    return net->negotiated >> bit & 1;
}

/** vh_net_pairs_in_use() - how many may receive (virtio 1.3, 5.1.6.5.5) */
unsigned vh_net_pairs_in_use(const struct vh_net *net);

/** vh_net_open_peer() - find it by net->name, and open it */
int vh_net_open_peer(struct vh_net *net, struct vhost_error **errp);

/** vh_net_close_peer() - also one that was not opened */
void vh_net_close_peer(struct vh_net *net);

enum vh_net_received {
    VH_NET_DELIVERED,
    VH_NET_DROPPED, /* it never fits, or is not what the driver wants */
    VH_NET_NO_ROOM, /* yet; @frame is as before */
};

/** vh_net_receive() - a frame into buffers of its pair's rx queue
 * @q: that queue; it runs
 */
enum vh_net_received vh_net_receive(struct vh_net *net, struct vh_squeue *q,
                                    struct vh_net_frame *frame);

/** vh_net_control() - a command; as vh_server_device_ops.serve() */
const char *vh_net_control(struct vh_net *net, struct vh_squeue *q,
                           struct vh_chain *chain);

/** vh_net_announce(), vh_net_set_mtu() - see struct vh_server_device_ops */
void vh_net_announce(struct vhost_server_device *device, const uint8_t *mac);
const char *vh_net_set_mtu(struct vhost_server_device *device, uint64_t mtu);

#endif
