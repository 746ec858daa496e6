/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device behind vhost, for programs without a VM.
 *
 *     net = vhost_net_open("user:/run/net.sock", NULL, &err);
 *     rx = vhost_net_get_rx(net, 0);
 *     tx = vhost_net_get_tx(net, 0);
 *
 * Two ways to move frames.  The simple one copies:
 *
 *     n = vhost_net_read(rx, frame, sizeof(frame), 1000);
 *     vhost_net_write(tx, frame, n, 1000);
 *
 * The fast one works in bursts, and in place.  Buffers lie in memory that the
 * back end sees: from vhost_net_alloc(), or the caller's own after
 * vhost_net_map().
 *
 *     vhost_net_post(rx, buffers, n);             room to receive into
 *     n = vhost_net_receive(rx, packets, 32);     frames, in those buffers
 *     n = vhost_net_send(tx, packets, n);         as they are: no copy
 *     n = vhost_net_sent(tx, buffers, 32);        buffers back, to post again
 *
 * In a buffer, a virtio-net header of VHOST_NET_HEADER bytes stands before
 * the frame.  What was received can be sent on as it is; who makes a frame
 * leaves that much room before it.  Short frames are fastest where the frame
 * begins a cache line, so that the buffer begins VHOST_NET_HEADER bytes before
 * one: memory + 64 - VHOST_NET_HEADER, and so on in steps of an odd number of
 * lines.
 *
 * Threads: open, close, alloc, free, map, unmap, set_pairs and dispatch belong
 * to one control thread.  Each rx and each tx belongs to one thread at a time,
 * without locks.  get_info, get_rx and get_tx are for any thread.
 */
#ifndef VHOST_NET_H
#define VHOST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vhost/error.h>
#include <vhost/virtq.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_net_device;
struct vhost_net_rx;
struct vhost_net_tx;
struct virtio_net_hdr_v1; /* <linux/virtio_net.h>; fields are little-endian */

/** Bytes of the virtio-net header before a frame (virtio 1.3, 5.1.6). */
#define VHOST_NET_HEADER 12

/** The longest frame of a device without segmentation offloads. */
#define VHOST_NET_FRAME_MAX 65550

/**
 * Of struct vhost_net_packet: the header before the frame has something to
 * say: checksum or segmentation (virtio 1.3, 5.1.6.2).  Set by receive for the
 * caller, and by the caller for send, who then has filled in all of it; without
 * the flag, send clears it.  On the first packet of a frame.
 */
#define VHOST_NET_PACKET_HEADER 1

/**
 * struct vhost_net_packet - a frame, or a part of one, in a buffer
 * @buffer: as given to vhost_net_post(), or as vhost_net_sent() will return it
 * @len: bytes of the frame in this buffer
 * @offset: where they begin in it; on the first packet of a frame at least
 *     VHOST_NET_HEADER, as the header is there
 * @more: the frame goes on in the next packet of the array
 * @flags: VHOST_NET_PACKET_…
 */
struct vhost_net_packet {
    void *buffer;
    uint32_t len;
    uint16_t offset;
    uint8_t more;
    uint8_t flags;
};

/** vhost_net_data() - where the bytes of a packet are */
static inline void *vhost_net_data(const struct vhost_net_packet *packet)
{
    return (char *)packet->buffer + packet->offset;
}

/** vhost_net_header() - the header of the first packet of a frame */
static inline struct virtio_net_hdr_v1 *
vhost_net_header(const struct vhost_net_packet *packet)
{
    return (struct virtio_net_hdr_v1 *)((char *)vhost_net_data(packet) -
                                        VHOST_NET_HEADER);
}

/**
 * struct vhost_net_options - how to open a network device
 * @size: sizeof(struct vhost_net_options), or 0 for the fields of this first
 *     version
 * @pairs: queue pairs, each an rx and a tx; 0: 1
 * @queue_size: entries of each queue, a power of two up to 32768; 0: 256
 * @layout: an enum vhost_layout
 * @polling: the program polls: no eventfd is written by the back end, and the
 *     waiting calls spin
 * @spin_us: how long a waiting call looks at the ring before it sleeps,
 *     microseconds, at most; less while that leads to nothing; 0: 5;
 *     VHOST_SPIN_NEVER: not at all
 * @buffer_size: bytes of each buffer to receive into, header included, from
 *     64 to 65562 and enough for a frame of 1514 bytes if frames can't lie in
 *     several of them; 0: 2048
 * @no_mergeable: do not let a frame lie in several buffers
 *     (VIRTIO_NET_F_MRG_RXBUF)
 * @offloads: what the program can do with headers: a set of the bits
 *     VIRTIO_NET_F_CSUM, _GUEST_CSUM, _GUEST_TSO4, …, _HOST_TSO4, …, _HOST_USO
 *     of virtio 1.3, 5.1.3, as UINT64_C(1) << bit; 0: none, so that every frame
 *     that is received is whole and checked
 * @deadline_ms: how long to wait for the answer to a control message; six times
 *     that where it may take long; 0: 5000
 * @pool_size: bytes of memory for vhost_net_alloc(); see vhost_blk_options;
 *     0: 64 MiB
 * @huge_pages: take that memory from huge pages
 * @config_changed: link, MTU or pairs changed, see vhost_net_get_info(); called
 *     by vhost_net_dispatch(); or NULL
 * @lost: the back end is gone, @reason in words; called by
 *     vhost_net_dispatch(); or NULL
 * @opaque: for the callbacks
 * @reconnect_ms: how long to look for a back end that is gone, milliseconds;
 *     0: not at all; VHOST_RECONNECT_ALWAYS: until the device is closed.
 *     Meanwhile nothing fails.  Frames that the old back end had not sent are
 *     lost: their buffers come back as if they had been, and
 *     info.frames_lost tells how many.  Buffers to receive into are given to
 *     the new one.  It is looked for by vhost_net_dispatch(), and, in the
 *     thread that opened the device or that called that last, by waiting and
 *     polling.  A control queue is not used then, and all pairs are in use
 *     again afterwards
 * @resumed: after @lost: it is back, and all goes on; called as @lost is, and
 *     by the calls of queues in the thread above; or NULL
 */
struct vhost_net_options {
    size_t size;
    unsigned pairs;
    unsigned queue_size;
    unsigned layout;
    bool polling;
    bool no_mergeable;
    bool huge_pages;
    unsigned spin_us;
    unsigned buffer_size;
    uint64_t offloads;
    unsigned deadline_ms;
    size_t pool_size;
    void (*config_changed)(struct vhost_net_device *net, void *opaque);
    void (*lost)(struct vhost_net_device *net, const char *reason,
                 void *opaque);
    void *opaque;
    unsigned reconnect_ms;
    void (*resumed)(struct vhost_net_device *net, void *opaque);
};

/**
 * struct vhost_net_info - what the device is like
 * @mac: its address; all zeroes if it does not tell
 * @has_mac: it tells
 * @link_up: true also if it does not tell
 * @announce: it asks to be announced in the network, see
 *     vhost_net_announced()
 * @mtu: 0 if it does not tell
 * @speed: Mbit/s; UINT32_MAX if it does not tell
 * @pairs: set up, see vhost_net_options
 * @max_pairs: that the device has
 * @queue_size: entries of each queue
 * @layout: the one in use, an enum vhost_layout but AUTO
 * @buffer_size: bytes of a buffer to receive into
 * @mergeable: a frame may lie in several buffers
 * @control: there is a control queue
 * @features: as negotiated, bits of virtio 1.3
 * @frames_lost: that were being sent when their back end went, and were given
 *     up; see reconnect_ms of struct vhost_net_options
 */
struct vhost_net_info {
    uint8_t mac[6];
    bool has_mac;
    bool link_up;
    bool announce;
    bool mergeable;
    bool control;
    uint16_t mtu;
    uint32_t speed;
    unsigned pairs;
    unsigned max_pairs;
    unsigned queue_size;
    unsigned layout;
    uint32_t buffer_size;
    uint64_t features;
    uint64_t frames_lost;
    uint64_t reserved[7];
};

/** vhost_net_open() - connect, negotiate, start
 * @uri: "user:PATH", the socket of a vhost-user back end
 * @options: copied; NULL for defaults
 * @errp: why it failed; the words begin with @uri
 *
 * Return: the device, or NULL.  Codes in @errp: as vhost_blk_open(); -ENOTSUP
 * also for a layout that the back end does not offer.
 */
struct vhost_net_device *vhost_net_open(const char *uri,
                                        const struct vhost_net_options *options,
                                        struct vhost_error **errp);

/** vhost_net_close() - stop and forget a device
 * @net: its queues must not be used any more; NULL is allowed
 *
 * As vhost_blk_close(): a back end that hangs is given up within six times
 * options.deadline_ms.
 */
void vhost_net_close(struct vhost_net_device *net);

/** vhost_net_get_info() - what the device is like
 * @net: an open device
 * @info: filled in
 */
void vhost_net_get_info(const struct vhost_net_device *net,
                        struct vhost_net_info *info);

/** vhost_net_get_rx() - the receiving queue of a pair
 * @net: an open device
 * @pair: from 0 to options.pairs - 1
 *
 * Return: the queue, which lives as long as @net; NULL past the last.
 */
struct vhost_net_rx *vhost_net_get_rx(struct vhost_net_device *net,
                                      unsigned pair);

/** vhost_net_get_tx() - the sending queue of a pair
 * @net: an open device
 * @pair: from 0 to options.pairs - 1
 *
 * Return: as vhost_net_get_rx().
 */
struct vhost_net_tx *vhost_net_get_tx(struct vhost_net_device *net,
                                      unsigned pair);

/** vhost_net_alloc() - memory that the back end sees
 * @net: an open device
 * @size: bytes
 *
 * Return: as vhost_blk_alloc().
 */
void *vhost_net_alloc(struct vhost_net_device *net, size_t size);

/** vhost_net_free() - give back what vhost_net_alloc() gave
 * @net: the same device
 * @buf: no part of it is posted or being sent; NULL is allowed
 */
void vhost_net_free(struct vhost_net_device *net, void *buf);

/** vhost_net_map() - let the back end see memory of the caller
 * @net: an open device
 * @addr: page aligned, mapped MAP_SHARED from @fd
 * @size: bytes, whole pages
 * @fd: the file, open for reading and writing; may be closed afterwards
 * @fd_offset: where in the file @addr begins
 * @errp: why it failed
 *
 * Return: as vhost_blk_map().
 */
int vhost_net_map(struct vhost_net_device *net, void *addr, size_t size, int fd,
                  uint64_t fd_offset, struct vhost_error **errp);

/** vhost_net_unmap() - undo vhost_net_map()
 * @net: the same device
 * @addr: as mapped; no buffer in it is posted or being sent
 * @errp: why it failed
 *
 * Return: as vhost_blk_unmap().
 */
int vhost_net_unmap(struct vhost_net_device *net, void *addr,
                    struct vhost_error **errp);

/** vhost_net_post() - give buffers to receive into
 * @rx: queue
 * @buffers: addresses of info.buffer_size bytes each; lent until they come
 *     back in a packet
 * @n: how many
 *
 * With at most one barrier, and one doorbell.
 *
 * Return: how many were taken, from the first on; fewer than @n if the queue
 * is full, or if the back end does not see the next one; -EFAULT if that is
 * the first; -EBUSY if vhost_net_read() is in use; -EPROTO or -ENOTCONN once
 * the queue is broken.
 */
int vhost_net_post(struct vhost_net_rx *rx, void *const *buffers, unsigned n);

/** vhost_net_receive() - take frames that have come, without waiting
 * @rx: queue
 * @packets: filled in; the buffers are the caller's again
 * @max: room in @packets
 *
 * Only whole frames: all packets of one, or none of them.
 *
 * Return: how many packets, 0 if none; -E2BIG if the next frame lies in more
 * than @max buffers; -EBUSY if vhost_net_read() is in use; -EPROTO if the
 * device broke the rules, -ENOTCONN if it is gone; see vhost_net_rx_error().
 */
int vhost_net_receive(struct vhost_net_rx *rx, struct vhost_net_packet *packets,
                      unsigned max);

/** vhost_net_receive_wait() - the same, waiting for the first
 * @rx: queue
 * @packets: filled in
 * @max: room in @packets
 * @timeout_ms: give up after so long; -1: never
 *
 * Return: as vhost_net_receive(); 0 only after the timeout.
 */
int vhost_net_receive_wait(struct vhost_net_rx *rx,
                           struct vhost_net_packet *packets, unsigned max,
                           int timeout_ms);

/** vhost_net_send() - send frames
 * @tx: queue
 * @packets: their parts; the buffers are lent until vhost_net_sent() returns
 *     them, and the device may read them at any time until then
 * @n: how many packets; the last one ends a frame
 *
 * Writes the VHOST_NET_HEADER bytes before each frame, but where
 * VHOST_NET_PACKET_HEADER says that the caller has.  With at most one barrier,
 * and one doorbell.
 *
 * Return: how many packets were taken, whole frames, from the first on; fewer
 * than @n if the queue is full (take what vhost_net_sent() has, then try
 * again), or if the next frame can't be sent; if that is the first: -EFAULT if
 * the back end does not see it, -EINVAL if there is no room for its header or
 * it has no end, -E2BIG if it has more parts than the queue takes; -EPROTO or
 * -ENOTCONN once the queue is broken.
 */
int vhost_net_send(struct vhost_net_tx *tx,
                   const struct vhost_net_packet *packets, unsigned n);

/** vhost_net_sent() - take back buffers that were sent, without waiting
 * @tx: queue
 * @buffers: filled in, one for each packet
 * @max: room in @buffers
 *
 * Return: how many, 0 if none; or -EPROTO or -ENOTCONN.
 */
int vhost_net_sent(struct vhost_net_tx *tx, void **buffers, unsigned max);

/** vhost_net_sent_wait() - the same, waiting for the first
 * @tx: queue
 * @buffers: filled in
 * @max: room in @buffers
 * @timeout_ms: give up after so long; -1: never
 *
 * Return: as vhost_net_sent(); 0 only after the timeout, or if nothing is
 * being sent.
 */
int vhost_net_sent_wait(struct vhost_net_tx *tx, void **buffers, unsigned max,
                        int timeout_ms);

/** vhost_net_read() - receive a frame, by copying
 * @rx: queue, which must not be used by vhost_net_post()
 * @frame: where to
 * @size: room there
 * @timeout_ms: give up after so long; 0: do not wait; -1: never give up
 *
 * Return: bytes of the frame, of which at most @size were copied: the rest is
 * lost; -EAGAIN after the timeout; -EBUSY if buffers were posted; -ENOMEM;
 * -EPROTO or -ENOTCONN.
 */
ssize_t vhost_net_read(struct vhost_net_rx *rx, void *frame, size_t size,
                       int timeout_ms);

/** vhost_net_write() - send a frame, by copying
 * @tx: queue, which must not be used by vhost_net_send()
 * @frame: without header
 * @len: bytes, at most VHOST_NET_FRAME_MAX
 * @timeout_ms: how long to wait for room in the queue, as vhost_net_read()
 *
 * Return: 0; -EAGAIN after the timeout; -EMSGSIZE; -EBUSY if vhost_net_send()
 * is in use; -ENOMEM; -EPROTO or -ENOTCONN.
 */
int vhost_net_write(struct vhost_net_tx *tx, const void *frame, size_t len,
                    int timeout_ms);

/** vhost_net_rx_fd() - readable when there may be frames
 * @rx: queue
 *
 * As vhost_blk_queue_fd(): drained by the calls that take frames.
 *
 * Return: the fd, lent; -1 on a polling device.
 */
int vhost_net_rx_fd(struct vhost_net_rx *rx);

/** vhost_net_tx_fd() - readable when buffers may have been sent
 * @tx: queue
 *
 * Return: the fd, lent; -1 on a polling device.
 */
int vhost_net_tx_fd(struct vhost_net_tx *tx);

/** vhost_net_rx_error() - why a queue is broken
 * @rx: queue
 *
 * Return: words that live as long as the queue, or NULL if it is not.
 */
const char *vhost_net_rx_error(const struct vhost_net_rx *rx);

/** vhost_net_tx_error() - why a queue is broken
 * @tx: queue
 *
 * Return: words that live as long as the queue, or NULL if it is not.
 */
const char *vhost_net_tx_error(const struct vhost_net_tx *tx);

/** vhost_net_reset_rx() - take a queue away from the device, and set it up anew
 * @net: an open device
 * @rx: of it; not in use by its thread
 * @errp: why it failed
 *
 * Buffers that were posted are the caller's again; frames not yet taken are
 * lost.  It also mends a queue that is broken, if the device is not.
 *
 * Return: 0 or a negative errno.
 */
int vhost_net_reset_rx(struct vhost_net_device *net, struct vhost_net_rx *rx,
                       struct vhost_error **errp);

/** vhost_net_reset_tx() - the same for a sending queue
 * @net: an open device
 * @tx: of it; not in use by its thread
 * @errp: why it failed
 *
 * All buffers are the caller's again, whether sent or not.
 *
 * Return: 0 or a negative errno.
 */
int vhost_net_reset_tx(struct vhost_net_device *net, struct vhost_net_tx *tx,
                       struct vhost_error **errp);

/** vhost_net_set_pairs() - how many of the pairs the device may use
 * @net: an open device
 * @pairs: from 1 to options.pairs, the first ones; all of them after open
 * @errp: why it failed
 *
 * By the control queue (VIRTIO_NET_CTRL_MQ) where there is one, else by
 * disabling rings.
 *
 * Return: 0 or a negative errno.
 */
int vhost_net_set_pairs(struct vhost_net_device *net, unsigned pairs,
                        struct vhost_error **errp);

/** vhost_net_set_mac() - change the device's address
 * @net: an open device
 * @mac: six bytes
 * @errp: why it failed
 *
 * Return: 0; -ENOTSUP without a control queue that can; or another negative
 * errno.
 */
int vhost_net_set_mac(struct vhost_net_device *net, const uint8_t *mac,
                      struct vhost_error **errp);

/** vhost_net_announced() - tell the device that it was announced
 * @net: an open device whose info.announce is set
 * @errp: why it failed
 *
 * For the caller to call after he has sent the frames that tell the network
 * where the address is now (virtio 1.3, 5.1.6.5.4).
 *
 * Return: 0; -ENOTSUP without a control queue that can; or another negative
 * errno.
 */
int vhost_net_announced(struct vhost_net_device *net,
                        struct vhost_error **errp);

/** vhost_net_get_fd() - readable when vhost_net_dispatch() has work
 * @net: an open device
 *
 * Return: the fd, lent.
 */
int vhost_net_get_fd(const struct vhost_net_device *net);

/** vhost_net_dispatch() - serve the control channel, without waiting
 * @net: an open device
 * @errp: why it is of no more use
 *
 * Calls lost of the options.
 *
 * Return: 0, or a negative errno once the back end is gone or broken.
 */
int vhost_net_dispatch(struct vhost_net_device *net, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
