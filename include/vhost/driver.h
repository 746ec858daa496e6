/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the small drivers for programs without a VM are opened with: rng, scsi,
 * console and vsock.  Their calls wait for the device, and copy; where speed
 * counts, blk.h and net.h do neither.
 */
#ifndef VHOST_DRIVER_H
#define VHOST_DRIVER_H

#include <stddef.h>

#include <vhost/error.h>
#include <vhost/virtq.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vhost_driver_options - how to open a device
 * @size: sizeof(struct vhost_driver_options), or 0 for the fields of this first
 *     version
 * @queue_size: entries of each queue, a power of two from 8 to 32768; 0: 128
 * @layout: an enum vhost_layout
 * @deadline_ms: how long to wait for the answer to a control message; 0: 5000
 * @request_ms: how long to wait for the device to carry out a request; after
 *     that the queue is of no more use; 0: 30000
 */
struct vhost_driver_options {
    size_t size;
    unsigned queue_size;
    unsigned layout;
    unsigned deadline_ms;
    unsigned request_ms;
};

#ifdef __cplusplus
}
#endif

#endif
