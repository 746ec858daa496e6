/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the kernel back end need of one another, and entries of
 * kernel_ops that only the table calls: those as vhost/backend.h says. */
#ifndef VH_BACKEND_KERNEL_ENTRIES_H
#define VH_BACKEND_KERNEL_ENTRIES_H

#include "backend/kernel/kernel.h"

/* node.c */
int vh_kernel_open_nodes(struct vhost_kernel *kernel);
void vh_kernel_close_nodes(struct vhost_kernel *kernel);
int vh_kernel_read_limit(struct vhost_kernel *kernel);

/* mem.c */
unsigned vh_kernel_memslots_limit(struct vhost_dev *dev);
int vh_kernel_set_mem_table(struct vhost_dev *dev, struct vhost_memory *mem);
int vh_kernel_set_log_base(struct vhost_dev *dev, uint64_t base,
                           struct vhost_log *log);

/* queue.c */

/** vh_kernel_vring() - an ioctl whose argument begins with a queue index
 * @arg: has the index of a virtio queue; it is the node's own during the call
 *
 * Return: 0, also for a queue that the kernel does not know; or a negative
 * errno, without words.
 */
int vh_kernel_vring(struct vhost_kernel *kernel, unsigned long request,
                    void *arg);
int vh_kernel_set_vring_num(struct vhost_dev *dev,
                            struct vhost_vring_state *ring);
int vh_kernel_set_vring_base(struct vhost_dev *dev,
                             struct vhost_vring_state *ring);
int vh_kernel_set_vring_endian(struct vhost_dev *dev,
                               struct vhost_vring_state *ring);
int vh_kernel_set_vring_addr(struct vhost_dev *dev,
                             struct vhost_vring_addr *addr);
int vh_kernel_set_vring_kick(struct vhost_dev *dev,
                             struct vhost_vring_file *file);
int vh_kernel_set_vring_call(struct vhost_dev *dev,
                             struct vhost_vring_file *file);
int vh_kernel_set_vring_err(struct vhost_dev *dev,
                            struct vhost_vring_file *file);
int vh_kernel_set_busyloop(struct vhost_dev *dev,
                           struct vhost_vring_state *ring);
int vh_kernel_get_vring_base(struct vhost_dev *dev,
                             struct vhost_vring_state *ring);

/* iotlb.c */
int vh_kernel_iotlb_init(struct vhost_kernel *kernel);
void vh_kernel_iotlb_cleanup(struct vhost_kernel *kernel);
/** vh_kernel_prime() - the node looks at the rings of @queue when it starts */
void vh_kernel_prime(struct vhost_kernel *kernel, unsigned queue);
int vh_kernel_get_fd(struct vhost_dev *dev);
int vh_kernel_dispatch(struct vhost_dev *dev);
void vh_kernel_set_iotlb_callback(struct vhost_dev *dev, int enabled);
int vh_kernel_send_iotlb(struct vhost_dev *dev, struct vhost_iotlb_msg *msg);

/* net.c */
int vh_kernel_net_sync(struct vhost_dev *dev);
int vh_kernel_net_set_backend(struct vhost_dev *dev,
                              struct vhost_vring_file *file);
int vh_kernel_net_detach(struct vhost_kernel *kernel, unsigned queue);

/* tap.c */

/** vh_kernel_tap_open() - one queue of the tap options.tap
 * Return: an fd, or a negative errno with words. */
int vh_kernel_tap_open(struct vhost_kernel *kernel);

/** vh_kernel_tap_look() - is it a tap or a packet socket that can be used?
 * @headerp: does it have a virtio-net header?
 * Return: 0, or a negative errno with words. */
int vh_kernel_tap_look(struct vhost_kernel *kernel, int fd, bool *headerp);

/** vh_kernel_tap_header() - how long its virtio-net header has to be */
int vh_kernel_tap_header(struct vhost_kernel *kernel, int fd, int len);

/** vh_kernel_tap_use() - does the kernel send to this queue of a tap? */
int vh_kernel_tap_use(struct vhost_kernel *kernel, int fd, bool use);

/* vsock.c, scsi.c */
int vh_kernel_vsock_set_guest_cid(struct vhost_dev *dev, uint64_t cid);
int vh_kernel_vsock_set_running(struct vhost_dev *dev, int start);
int vh_kernel_scsi_set_endpoint(struct vhost_dev *dev,
                                struct vhost_scsi_target *target);
int vh_kernel_scsi_clear_endpoint(struct vhost_dev *dev,
                                  struct vhost_scsi_target *target);
int vh_kernel_scsi_get_abi(struct vhost_dev *dev, int *version);

/* worker.c */
int vh_kernel_workers_up(struct vhost_kernel *kernel);
int vh_kernel_op_new_worker(struct vhost_dev *dev, uint32_t *id);
int vh_kernel_op_free_worker(struct vhost_dev *dev, uint32_t id);
int vh_kernel_op_attach_worker(struct vhost_dev *dev, unsigned queue,
                               uint32_t id);
int vh_kernel_op_get_worker(struct vhost_dev *dev, unsigned queue,
                            uint32_t *id);

#endif
