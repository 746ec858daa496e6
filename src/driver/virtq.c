/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One queue: where its ring lies, its doorbell, and how to wait for it.
 *
 * The ring and its indirect tables lie in one piece of shared memory, each
 * area on cache lines of its own, two by two: what the driver writes and what
 * the device writes must not travel together, and the hardware fetches lines
 * in pairs.
 *
 * Two dangers when waiting.  A call may be lost, by a back end that forgets
 * one or that was replaced: so no sleep lasts longer than WATCHDOG_MS.  And
 * the back end may be gone: the ring of a dead device is as silent as that of
 * a slow one.  So a sleeping queue also watches for the hang-up of the control
 * channel, without reading from it, and a spinning one asks every ALIVE_NS.
 * Both watch for the error eventfd too: a back end that has given up on a ring
 * is as silent.
 */
#include "driver/virtq.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <vhost/virtq.h>

#include "driver/again.h"
#include "driver/hold.h"
#include "util/atomic.h"
#include "util/clock.h"

#define LINE_PAIR 128
#define WATCHDOG_MS 100
#define ALIVE_NS 10000000
#define CONTROL_SIZE 64  /* what QEMU's devices take at most */
#define RETURN_NS 500000 /* of a back end that may return */
#define SPINS 1000       /* between two looks at the clock */
#define LOOK_NS 5000 /* before a sleep, unless the user wants it otherwise */
#define LOOKS 16     /* between two looks at the clock, before a sleep */

static size_t round_up(size_t n)
{
    return (n + LINE_PAIR - 1) & ~(size_t)(LINE_PAIR - 1);
}

size_t vh_virtq_memory(const struct vh_device *device, uint16_t indirect_len)
{
    uint32_t size = device->spec.queue_size;
    struct vh_ring_sizes sizes = vh_ring_sizes(size, device->features);

    return round_up(sizes.desc) + round_up(sizes.driver) +
           round_up(sizes.device) +
           (size_t)size * indirect_len * sizeof(struct vh_desc);
}

/* How the memory of a queue is divided: where each area begins. */
struct areas {
    size_t driver;
    size_t device;
    size_t indirect;
};

static struct areas divide(const struct vh_virtq *vq)
{
    const struct vh_device *device = vq->device;
    struct vh_ring_sizes sizes = vh_ring_sizes(vq->size, device->features);
    struct areas areas;

    areas.driver = round_up(sizes.desc);
    areas.device = areas.driver + round_up(sizes.driver);
    areas.indirect = areas.device + round_up(sizes.device);
    return areas;
}

static int make_ring(struct vh_virtq *vq)
{
    struct vh_device *device = vq->device;
    struct areas areas = divide(vq);
    char *memory = vq->memory;

    memset(memory, 0, areas.indirect);
    return vh_ring_new(
        &vq->ring,
        &(struct vh_ring_config){
            .size = vq->size,
            .features = device->features,
            .desc = memory,
            .driver = memory + areas.driver,
            .device = memory + areas.device,
            .indirect = vq->indirect_len ? memory + areas.indirect : NULL,
            .indirect_gpa = vq->desc_gpa + areas.indirect,
            .indirect_len = vq->indirect_len,
            .base = vh_ring_first_base(device->features),
        });
}

static int take_memory(struct vh_virtq *vq)
{
    struct vh_device *device = vq->device;
    struct areas areas = divide(vq);
    struct vh_pool_hit hit = { 0 };

    vq->memory = vh_pool_alloc(
        device->pool, vh_virtq_memory(device, vq->indirect_len), LINE_PAIR);
    if (!vq->memory) {
        return -ENOMEM;
    }
    if (!vh_pool_find(device->pool, &hit, vq->memory, &vq->desc_gpa)) {
        return -EFAULT;
    }
    vq->driver_gpa = vq->desc_gpa + areas.driver;
    vq->device_gpa = vq->desc_gpa + areas.device;
    return 0;
}

static void init_spin(struct vh_virtq *vq, unsigned spin_us)
{
    vq->spin_max = spin_us == VHOST_SPIN_NEVER ? 0
                   : spin_us == 0              ? LOOK_NS
                                               : spin_us * INT64_C(1000);
    vq->spin_ns = vq->spin_max;
}

int vh_virtq_open(struct vh_virtq *vq, struct vh_device *device, unsigned index,
                  uint16_t indirect_len)
{
    int r;

    vq->device = device;
    vq->index = index;
    vq->size = device->spec.queue_size;
    if (device->spec.control && index == device->spec.queues - 1 &&
        vq->size > CONTROL_SIZE) {
        vq->size = CONTROL_SIZE;
    }
    vq->error_fd = -1;
    vq->indirect_len = indirect_len;
    init_spin(vq, device->spec.spin_us);
    r = take_memory(vq);
    if (r == 0) {
        r = make_ring(vq);
    }
    if (r == 0) {
        r = vhost_notifier_init(&vq->kick, false);
    }
    if (r == 0 && !device->spec.polling) {
        r = vhost_notifier_init(&vq->call, false);
    }
    if (r == 0) {
        vh_ring_disable_call(vq->ring);
    }
    return r;
}

int vh_virtq_renew(struct vh_virtq *vq)
{
    struct vh_ring *old = vq->ring;
    int r = make_ring(vq);

    if (r < 0) {
        return vh_virtq_fail(vq, r, "out of memory");
    }
    vh_ring_free(old);
    vh_ring_disable_call(vq->ring);
    if (vq->call.fd >= 0) {
        vhost_notifier_test_and_clear(&vq->call);
    }
    VH_WRITE_ONCE(vq->refused, 0);
    vq->failed = 0;
    vh_virtq_arm(vq);
    return 0;
}

void vh_virtq_close(struct vh_virtq *vq, struct vh_device *device)
{
    vhost_notifier_cleanup(&vq->call);
    vhost_notifier_cleanup(&vq->kick);
    vh_ring_free(vq->ring);
    vq->ring = NULL;
    vh_pool_release(device->pool, vq->memory);
    vq->memory = NULL;
}

int vh_virtq_fail(struct vh_virtq *vq, int code, const char *why)
{
    if (vq->failed == 0) {
        snprintf(vq->error, sizeof(vq->error), "queue %u: %s", vq->index, why);
        vq->failed = code;
    }
    return vq->failed;
}

static int fail_gone(struct vh_virtq *vq)
{
    return vh_virtq_fail(vq, -ENOTCONN, "the back end is gone");
}

/* What other threads have found out. */
static int check_told(struct vh_virtq *vq)
{
    if (vq->returns && vh_load_acquire(&vq->held)) {
        vh_hold_wait(vq);
    }
    if (vh_device_is_gone(vq->device)) {
        return fail_gone(vq);
    }
    if (VH_READ_ONCE(vq->refused)) {
        return vh_virtq_fail(vq, -EPROTO,
                             "the back end says that the ring is broken");
    }
    return 0;
}

/* Asks the system whether the back end is there, and content. */
static int check_peer(struct vh_virtq *vq)
{
    struct pollfd error = { .fd = vq->error_fd, .events = POLLIN };

    if (vh_again_is_ours(vq->device)) {
        vh_again_help(vq, 0);
    }
    if (!vh_device_look_alive(vq->device)) {
        return fail_gone(vq);
    }
    /* It is the control thread's to clear; either may be the first to see. */
    if (vq->error_fd >= 0 && poll(&error, 1, 0) > 0) {
        VH_WRITE_ONCE(vq->refused, 1);
    }
    return check_told(vq);
}

/* The same, but not more often than every ALIVE_NS. */
static int check_peer_sometimes(struct vh_virtq *vq, int64_t now)
{
    if (now - vq->last_alive < (vq->returns ? RETURN_NS : ALIVE_NS)) {
        return 0;
    }
    vq->last_alive = now;
    return check_peer(vq);
}

int vh_virtq_submit(struct vh_virtq *vq)
{
    if (vq->failed) {
        return vq->failed;
    }
    if (check_told(vq) < 0) {
        return vq->failed;
    }
    if (vh_ring_publish(vq->ring)) {
        vhost_notifier_set(&vq->kick);
    }
    return 0;
}

int vh_virtq_take(struct vh_virtq *vq, struct vh_ring_used *used, unsigned max)
{
    int n = vh_ring_take(vq->ring, used, max);

    if (n < 0) {
        vh_virtq_fail(vq, n,
                      vq->ring->broken ? vq->ring->broken : "ring broken");
    }
    return n;
}

/* Looks at the ring until there is something; the clock costs more than the
 * look, so it is read only now and then. */
static int spin(struct vh_virtq *vq, int64_t deadline)
{
    int64_t now = vh_clock_ns();
    int64_t until = now + WATCHDOG_MS * INT64_C(1000000);

    if (until > deadline) {
        until = deadline;
    }
    for (;;) {
        for (unsigned i = 0; i < SPINS; i++) {
            if (vh_ring_has_used(vq->ring)) {
                return 0;
            }
            vh_cpu_relax();
        }
        now = vh_clock_ns();
        if (check_peer_sometimes(vq, now) < 0) {
            return vq->failed;
        }
        if (now >= until) {
            return 0;
        }
    }
}

/*
 * To sleep and to be woken costs tens of microseconds, on this side and on
 * the other; a back end that is awake answers in a few.  So it is looked for
 * that long first.
 */
static bool look_before_sleep(const struct vh_virtq *vq)
{
    int64_t until;

    if (vq->spin_ns == 0) {
        return false;
    }
    until = vh_clock_ns() + vq->spin_ns;
    do {
        for (unsigned i = 0; i < LOOKS; i++) {
            if (vh_ring_has_used(vq->ring)) {
                return true;
            }
            vh_cpu_relax();
        }
    } while (vh_clock_ns() < until);
    return false;
}

/*
 * A look that led to nothing was for nothing: the next one is half as long,
 * down to LOOK_NS.  A sleep so short that the longest look would have done in
 * its place makes looks long again.
 */
static void learn(struct vh_virtq *vq, int64_t slept)
{
    int64_t least = vq->spin_max < LOOK_NS ? vq->spin_max : LOOK_NS;

    if (slept < vq->spin_max) {
        vq->spin_ns = vq->spin_max;
    } else {
        vq->spin_ns = vq->spin_ns / 2 > least ? vq->spin_ns / 2 : least;
    }
}

int vh_virtq_wait(struct vh_virtq *vq, int64_t deadline)
{
    struct pollfd fds[3] = {
        { .fd = vq->call.fd, .events = POLLIN },
        { .fd = vq->device->control_fd, .events = POLLRDHUP },
        { .fd = vq->error_fd, .events = POLLIN },
    };
    int ms = vh_deadline_left_ms(deadline);
    bool returns = vq->device->returns;
    int64_t asleep;

    if (check_told(vq) < 0) {
        return vq->failed;
    }
    if (vq->device->spec.polling) {
        return spin(vq, deadline);
    }
    if (look_before_sleep(vq)) {
        return 0;
    }
    /* Asking for calls comes before the last look: a buffer used in between
     * is either seen by this look, or calls. */
    if (vh_ring_enable_call(vq->ring)) {
        return 0;
    }
    if (ms < 0 || ms > WATCHDOG_MS) {
        ms = WATCHDOG_MS;
    }
    asleep = vh_clock_ns();
    if (returns && vh_again_is_ours(vq->device)) {
        vh_again_help(vq, ms);
        vhost_notifier_test_and_clear(&vq->call);
    } else if (poll(fds, returns ? 1 : 3, ms) > 0) {
        if ((fds[1].revents || fds[2].revents) && check_peer(vq) < 0) {
            return vq->failed;
        }
        vhost_notifier_test_and_clear(&vq->call);
    }
    vh_ring_disable_call(vq->ring);
    learn(vq, vh_clock_ns() - asleep);
    return 0;
}

void vh_virtq_idle(struct vh_virtq *vq)
{
    if (++vq->idle % SPINS == 0 && !vq->failed) {
        check_peer_sometimes(vq, vh_clock_ns());
    }
}

int vh_virtq_watch(struct vh_virtq *vq)
{
    vq->watched = vq->call.fd >= 0;
    vh_virtq_arm(vq);
    return vq->call.fd;
}
