/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared memory regions of a device: memory that the driver sees beside its
 * own, and that the back end fills with pieces of files (virtio 1.3, 2.10;
 * VHOST_USER_PROTOCOL_F_SHMEM).
 *
 *     size = vhost_dev_get_shmem_size(dev, 0);
 *     base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
 *                 MAP_NORESERVE, -1, 0);
 *     vhost_dev_set_shmem_window(dev, 0, base, &err);
 *     … show [base, base + size) to the guest …
 *
 * From then on the back end maps into the window, from inside whatever call
 * talks to it.  Where nothing is mapped the window can't be touched.  All is
 * taken away when the device is reset, or its back end goes.
 *
 * Threads: the control thread of the device.
 */
#ifndef VHOST_SHMEM_H
#define VHOST_SHMEM_H

#include <stdint.h>

#include <vhost/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_dev;

/** vhost_dev_get_shmem_size() - how large is a region?
 * @dev: an initialised device
 * @id: of the region
 *
 * Return: bytes, whole pages; 0: there is no such region.
 */
uint64_t vhost_dev_get_shmem_size(struct vhost_dev *dev, uint8_t id);

/** vhost_dev_set_shmem_window() - where a region lies in this process
 * @dev: an initialised device
 * @id: of the region
 * @base: lent until vhost_dev_cleanup(), or until it is replaced: as many bytes
 *     of address space as the region has, from a page's beginning, with nothing
 *     of worth in them; NULL: nowhere
 * @errp: why it failed
 *
 * What was mapped in the window before is taken away.
 *
 * Return: 0; -ENOENT if there is no such region; -EINVAL; -ENOMEM.
 */
int vhost_dev_set_shmem_window(struct vhost_dev *dev, uint8_t id, void *base,
                               struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
