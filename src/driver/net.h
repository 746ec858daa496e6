/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network device, inside view.
 *
 *   net.c          opening and closing
 *   net-config.c   what the device tells of itself
 *   net-rx.c       receiving in bursts
 *   net-tx.c       sending in bursts
 *   net-copy.c     the simple form, which copies
 *   net-control.c  the control queue, and what is asked through it
 *   net-again.c    queues that another back end takes over
 *
 * Queues of the device: 2i receives and 2i + 1 sends on pair i; the control
 * queue, if there is one, comes after them all (virtio 1.3, 5.1.2).
 */
#ifndef VH_DRIVER_NET_H
#define VH_DRIVER_NET_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/net.h>

#include "driver/device.h"

#define VH_NET_BURST 64
#define VH_NET_PARTS_MAX 64 /* packets in a frame that is sent */

/* How a queue is used, from its first use on. */
enum vh_net_form { VH_NET_UNUSED, VH_NET_IN_PLACE, VH_NET_COPYING };

struct vhost_net_rx {
    struct vh_virtq *vq;
    const struct vhost_net_device *net;
    enum vh_net_form form;
    uint32_t buffer_size;
    bool reads_header; /* there is something to learn from it */
    bool mergeable;
    struct vh_pool_hit hit;
    unsigned frame_left;           /* packets of a frame that has begun */
    unsigned n_held;               /* packets of one that is not whole yet */
    struct vhost_net_packet *held; /* queue_size of them; if mergeable */
    struct vhost_net_packet *kept; /* of a back end that went: queue_size */
    unsigned kept_at;              /* the next of them */
    unsigned n_kept;
    void **spare; /* buffers that wait for room, up to twice queue_size */
    unsigned n_spare;
    struct inbox *inbox; /* of the copying form */
} __attribute__((aligned(64)));

/* A frame of several packets: its buffers, until it has been sent. */
struct vh_net_frame {
    struct vh_net_frame *next; /* free */
    unsigned n;
    unsigned at; /* the first that has not been returned */
    void *buffers[VH_NET_PARTS_MAX];
};

struct vhost_net_tx {
    struct vh_virtq *vq;
    const struct vhost_net_device *net;
    struct vhost_net_device *device; /* the same, for what it counts */
    enum vh_net_form form;
    struct vh_pool_hit hit;
    unsigned n_inflight;          /* packets; in ring or returning */
    struct vh_net_frame *frames;  /* queue_size of them, made at first use */
    struct vh_net_frame *free;    /* of those */
    struct vh_net_frame *partial; /* sent, and not all of it returned */
    void **back;      /* sent, and not returned; a burst, and queue_size if the
                         back end may return */
    unsigned back_at; /* the next of them */
    unsigned n_back;
    void *copies; /* buffers of the copying form */
    void **free_copies;
    unsigned n_free_copies;
} __attribute__((aligned(64)));

struct vhost_net_device {
    struct vh_device device;
    struct vhost_net_options options;
    struct vhost_net_info info;
    struct vhost_net_rx *rx;
    struct vhost_net_tx *tx;
    uint64_t n_lost;          /* frames, in back ends that went; atomic */
    struct vh_virtq *control; /* NULL: there is none */
    uint8_t *command;         /* its buffer, which the back end sees */
    uint64_t command_gpa;
};

/** vh_net_open_over() - as vhost_net_open(), over a back end
 * @link: given, also on failure
 * @control: take the queue behind the pairs as the control queue
 * @options: copied; NULL for defaults
 * @errp: why it failed
 *
 * Return: the device, or NULL.
 */
struct vhost_net_device *
vh_net_open_over(struct vh_link link, bool control,
                 const struct vhost_net_options *options,
                 struct vhost_error **errp);

/** vh_net_read_config() - fill in net->info from the device
 *
 * Return: 0, also if the device tells nothing; or a negative errno.
 */
int vh_net_read_config(struct vhost_net_device *net, struct vhost_error **errp);

/** vh_net_rx_take() - vhost_net_receive(), whatever the form */
int vh_net_rx_take(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                   unsigned max);

/** vh_net_rx_put() - vhost_net_post(), whatever the form */
int vh_net_rx_put(struct vhost_net_rx *rx, void *const *buffers, unsigned n);

/** vh_net_tx_put() - vhost_net_send(), whatever the form */
int vh_net_tx_put(struct vhost_net_tx *tx,
                  const struct vhost_net_packet *packets, unsigned n);

/** vh_net_tx_take() - vhost_net_sent(), whatever the form */
int vh_net_tx_take(struct vhost_net_tx *tx, void **buffers, unsigned max);

/** vh_net_tx_drop() - something in the ring was not sent, and never will be */
void vh_net_tx_drop(struct vhost_net_tx *tx, void *cookie);

/** vh_net_tx_forget_sent() - what was sent and not returned never will be */
void vh_net_tx_forget_sent(struct vhost_net_tx *tx);

/** vh_net_rx_forget() - free what the copying form has; nothing is posted */
void vh_net_rx_forget(struct vhost_net_rx *rx);

/** vh_net_tx_forget() - free what the copying form has; nothing is sent */
void vh_net_tx_forget(struct vhost_net_tx *tx);

/** vh_net_control_open() - memory for its commands; 0 or -ENOMEM */
int vh_net_control_open(struct vhost_net_device *net);

#endif
