/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine of `vhost bridge`: frames from a tap to a device and back. */
#ifndef CLI_BRIDGE_PUMP_H
#define CLI_BRIDGE_PUMP_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/net.h>

/* Bytes for any frame, with its header. */
#define BRIDGE_BUFFER_SIZE (VHOST_NET_HEADER + VHOST_NET_FRAME_MAX)

/**
 * struct bridge_way - what went one way
 * @frames: moved
 * @bytes: of them, without headers
 * @dropped: frames that the other end did not take
 */
struct bridge_way {
    uint64_t frames;
    uint64_t bytes;
    uint64_t dropped;
};

/**
 * struct bridge_counts - what went through
 * @lost: frames to the device, of those that moved, that a back end had not
 *     sent when it went
 */
struct bridge_counts {
    uint64_t lost;
    struct bridge_way to_device;
    struct bridge_way to_tap;
};

/**
 * struct bridge - what to join
 * @uri: of the device, for messages
 * @tap: its name, for messages
 * @net: opened
 * @tap_fd: does not block
 * @verbose: tell on standard error how far it is
 */
struct bridge {
    const char *uri;
    const char *tap;
    struct vhost_net_device *net;
    int tap_fd;
    bool verbose;
};

/** bridge_memory() - bytes of vhost_net_alloc() that bridge_run() needs
 * @queue_size: of the device; 0: 256
 * @buffer_size: of its rx buffers
 */
size_t bridge_memory(unsigned queue_size, uint32_t buffer_size);

/** bridge_run() - move frames until a signal, or until an end is gone
 * @b: what to join
 * @counts: zeroed; filled in, whatever happens
 *
 * Return: false after a message.
 */
bool bridge_run(const struct bridge *b, struct bridge_counts *counts);

#endif
