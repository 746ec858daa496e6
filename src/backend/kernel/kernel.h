/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel back end, inside view.
 *
 *   new.c       the object, and its options; where.c: in one line
 *   kernel.c    the table kernel_ops, claiming, features
 *   node.c      opening nodes, and the limits of the module behind them
 *   mem.c       memory table and dirty log
 *   queue.c     what a queue is told, and which node serves it
 *   iotlb.c     misses by read(2), translations by write(2)
 *   net.c vsock.c scsi.c    one class of devices each: what starts it
 *   tap.c       what is told by taps and packet sockets, and to them
 *   worker.c    threads that serve queues
 *
 * Nothing is ever posted: every call is answered when it returns.
 */
#ifndef VH_BACKEND_KERNEL_KERNEL_H
#define VH_BACKEND_KERNEL_KERNEL_H

#include <pthread.h>

#include <vhost/kernel.h>
#include <vhost/vhost.h>

#include "backend/kernel/uapi.h"
#include "backend/sys.h"

struct vh_kernel_queue {
    int backend;   /* network: tap or packet socket, lent; or -1 */
    bool ready;    /* it has been told of a ring */
    bool attached; /* network: the kernel runs it */
};

/**
 * struct vh_kernel_class - a kind of devices
 * @name: for messages
 * @device_id: virtio device type
 * @node, @module: where it is, and what brings it
 * @per_node: queues that one node serves; 0: all
 * @check: do options and queues make sense?  Nothing is open yet
 * @open: what it needs beside its nodes; NULL: nothing
 * @claimed: the nodes are ours; are they of this class?
 * @start: up to and including the first request; on failure nothing runs
 * @stop: not one more
 * @features: about to be told to the nodes; NULL: nothing to do
 */
struct vh_kernel_class {
    const char *name;
    uint32_t device_id;
    const char *node;
    const char *module;
    unsigned per_node;
    int (*check)(struct vhost_kernel *kernel);
    int (*open)(struct vhost_kernel *kernel);
    int (*claimed)(struct vhost_kernel *kernel);
    int (*start)(struct vhost_kernel *kernel);
    int (*stop)(struct vhost_kernel *kernel);
    int (*features)(struct vhost_kernel *kernel, const uint64_t *features);
};

/** struct vhost_kernel - a device of the kernel
 * @sys, @sys_ctx: the kernel
 * @options: with copies of all that it points to
 * @class: what kind it is
 * @name: "kernel:PATH", for messages
 * @dev: the device that uses it; NULL: none does
 * @nodes, @n_nodes: open while a device uses it
 * @served: of dev's queues, how many the kernel knows
 * @queues: that many
 * @taps: network: those that were opened by name, one for each node; or -1
 * @header_len: network: as the features have it
 * @epoll_fd: readable when a node has a message
 * @info: what there is to know; counters are counted with atomics
 * @running: started
 * @iotlb: misses are passed on
 * @answering: the node whose miss is being answered; -1: none
 * @lock: queues[].attached, which any thread that waits may change
 */
struct vhost_kernel {
    const struct vh_sys *sys;
    void *sys_ctx;
    struct vhost_kernel_options options;
    const struct vh_kernel_class *class;
    char *name;
    struct vhost_dev *dev;
    int *nodes;
    unsigned n_nodes;
    unsigned served;
    struct vh_kernel_queue *queues;
    int *taps;
    int header_len;
    int epoll_fd;
    struct vhost_kernel_info info;
    bool running;
    bool iotlb;
    int answering;
    pthread_mutex_t lock;
};

extern const struct vh_kernel_class vh_kernel_net;
extern const struct vh_kernel_class vh_kernel_vsock;
extern const struct vh_kernel_class vh_kernel_scsi;

/** vh_kernel_new() - as vhost_kernel_new(), on a kernel of the caller's own */
struct vhost_kernel *vh_kernel_new(const struct vh_sys *sys, void *sys_ctx,
                                   const struct vhost_kernel_options *options,
                                   struct vhost_error **errp);

/** vh_kernel_ioctl() - of any fd, counted; 0 or more, or a negative errno
 * without words */
int vh_kernel_ioctl(struct vhost_kernel *kernel, int fd, unsigned long request,
                    const void *arg);

/** vh_kernel_failed() - leave words: the name, the operation, the errno; @hint
 * is what to do about it, or "" */
int vh_kernel_failed(struct vhost_kernel *kernel, int r, const char *operation,
                     int queue, const char *hint);

/** vh_kernel_call() - of one node, with words in dev->error */
int vh_kernel_call(struct vhost_kernel *kernel, unsigned node,
                   const char *operation, unsigned long request,
                   const void *arg);

/** vh_kernel_call_all() - of each; the first that fails ends it */
int vh_kernel_call_all(struct vhost_kernel *kernel, const char *operation,
                       unsigned long request, const void *arg);

/** vh_kernel_enter() - for a public function: is it in use, and, if @class is
 * not NULL, of that class?  Return: 0 or -EINVAL, with words in @errp. */
int vh_kernel_enter(struct vhost_kernel *kernel, const char *operation,
                    const struct vh_kernel_class *class,
                    struct vhost_error **errp);

/** vh_kernel_leave() - and back: @r, and its words from dev->error to @errp */
int vh_kernel_leave(struct vhost_kernel *kernel, int r,
                    struct vhost_error **errp);

/** vh_kernel_misfit() - leave words for what the owner has set up wrong */
int vh_kernel_misfit(struct vhost_kernel *kernel, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
