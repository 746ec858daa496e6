/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network driver alone: one thread, which calls the driver, then moves the
 * device's side of the rings by hand, and times only the driver.
 *
 * Three parts.  A front end is the driver to measure: alone-vhost.c is ours,
 * alone-dpdk.c that of DPDK.  alone-device.c is a vhost-user back end that
 * learns where the rings are, and alone-step.c is what it does to them.
 * alone.c calls one after the other.
 */
#ifndef ALONE_H
#define ALONE_H

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#define ALONE_BURST 32u
#define ALONE_FRAME 64u
#define ALONE_HEADER 12u /* virtio 1.3, 5.1.6: of a device of version 1 */
#define ALONE_QUEUE_SIZE 256u

enum { ALONE_RX, ALONE_TX, ALONE_QUEUES };

struct alone_variant {
    bool packed;
    bool in_order;
    bool mergeable;
    bool vector; /* only a wish: of the front ends that have both */
    unsigned cpu;
};

/* Cycles: in the driver's calls; and with what a program must do about them
 * to get buffers, describe frames and give buffers back. */
struct alone_cost {
    uint64_t driver;
    uint64_t all;
};

/* A driver to measure.  Errors end the program. */
struct alone_front {
    /* Connects, starts one queue pair; what it runs, in words. */
    const char *(*open)(const char *socket, const struct alone_variant *v);
    /* One burst; how many frames. */
    unsigned (*send)(struct alone_cost *cost);
    unsigned (*receive)(struct alone_cost *cost);
};

extern const struct alone_front alone_front;

/* What the clock itself takes, of every interval. */
extern uint64_t alone_tick;

/* Nothing before it is still being executed, nothing after it has begun. */
static inline uint64_t alone_now(void)
{
    uint64_t t;

    _mm_lfence();
    t = __rdtsc();
    _mm_lfence();
    return t;
}

static inline uint64_t alone_spent(uint64_t from, uint64_t to)
{
    return to - from > alone_tick ? to - from - alone_tick : 0;
}

/* A ring, as the front end described it. */
struct alone_queue {
    unsigned size;
    void *desc;
    void *driver;
    void *device;
    uint16_t pos; /* of the next available one; of a split ring, its index */
    bool wrap;    /* of a packed ring */
    bool started; /* atomic: by the control thread, after all the others */
};

struct alone_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t user; /* as the front end names it where it sets a ring */
    char *at;      /* our mapping */
};

#define ALONE_REGIONS 8

struct alone_device {
    struct alone_variant variant;
    uint64_t features;
    int listener;
    unsigned n_regions;
    struct alone_region regions[ALONE_REGIONS];
    struct alone_queue queues[ALONE_QUEUES];
};

/** alone_device_start() - offer a device on a socket, from a thread of its own
 * @device: its variant is filled in
 * @socket: path to bind
 */
void alone_device_start(struct alone_device *device, const char *socket);

/** alone_device_wait() - until the front end has started both rings */
void alone_device_wait(struct alone_device *device);

/** alone_step_quiet() - tell the driver to ring no doorbell */
void alone_step_quiet(struct alone_device *device);

/** alone_step_tx() - use all frames that are there to be sent
 * Return: how many.
 */
unsigned alone_step_tx(struct alone_device *device);

/** alone_step_rx() - fill up to @n buffers with a frame each
 * Return: how many.
 */
unsigned alone_step_rx(struct alone_device *device, unsigned n);

#endif
