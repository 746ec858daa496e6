/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the drivers for programs without a VM have in common: how their
 * virtqueues are laid out, and how they wait.
 */
#ifndef VHOST_VIRTQ_H
#define VHOST_VIRTQ_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * enum vhost_layout - of the rings (virtio 1.3, 2.7 and 2.8)
 * @VHOST_LAYOUT_AUTO: the best of those that the back end offers, for the
 *     class of the device
 * @VHOST_LAYOUT_SPLIT: descriptors, available and used ring apart
 * @VHOST_LAYOUT_SPLIT_IN_ORDER: the same, where the device uses buffers in the
 *     order in which it got them (VIRTIO_F_IN_ORDER)
 * @VHOST_LAYOUT_PACKED: one ring for all (VIRTIO_F_RING_PACKED)
 * @VHOST_LAYOUT_PACKED_IN_ORDER: the same, in order
 */
enum vhost_layout {
    VHOST_LAYOUT_AUTO = 0,
    VHOST_LAYOUT_SPLIT = 1,
    VHOST_LAYOUT_SPLIT_IN_ORDER = 2,
    VHOST_LAYOUT_PACKED = 3,
    VHOST_LAYOUT_PACKED_IN_ORDER = 4,
};

/** vhost_layout_name() - what a layout is called
 * @layout: an enum vhost_layout
 *
 * Any thread.
 *
 * Return: "auto", "split", "split-in-order", "packed" or "packed-in-order";
 * NULL for what is none.
 */
const char *vhost_layout_name(unsigned layout);

/** Of reconnect_ms in the options of a device: until it is closed. */
#define VHOST_RECONNECT_ALWAYS ((unsigned)-1)

/** Of spin_us in the options of a device: sleep at once. */
#define VHOST_SPIN_NEVER ((unsigned)-1)

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
