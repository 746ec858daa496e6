/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One side publishes while the other goes to sleep, again and again, at the
 * same moment as nearly as can be.  Either the one is told to call, or the
 * other that there is more: if neither, the sleeper has been missed.
 *
 * Without its barrier a side may load before its store is seen.  That is soon
 * over, unless the store has to wait for others before it: so the one side, or
 * the other in the next round, first stores to lines that are in no cache,
 * while what it loads is in its own.
 */
#ifndef VH_TESTS_RING_DUEL_H
#define VH_TESTS_RING_DUEL_H

#include <pthread.h>
#include <sched.h>
#include <sys/uio.h>

#include "ring-rig.h"
#include "util/atomic.h"
#include "util/clock.h"

#define DUEL_SIZE 16
#define DUEL_ROUNDS 256 /* between two looks at the clock */

/* Stores that have to wait: so many, each to a page that was left long ago. */
#define DUEL_CLOG 16
#define DUEL_PAGE 4160 /* and a line, lest all meet in one set of the cache */
#define DUEL_PAGES 4096

struct duel {
    void (*load)(struct rig *rig); /* makes ready what publish() shows */
    bool (*publish)(struct rig *rig);
    bool (*sleep)(struct rig *rig);
    void (*clear)(struct rig *rig);
    struct rig rig;
    bool more;
    uint32_t go; /* number of the round; 0: it is over */
    uint32_t ready;
    uint32_t done;
    uint8_t *far; /* DUEL_PAGES */
    uint32_t at;
};

static inline void duel_wait(const uint32_t *counter, uint32_t not_this)
{
    for (unsigned spins = 1; vh_load_acquire(counter) == not_this; spins++) {
        if (spins % 1024 == 0) {
            sched_yield();
        }
        vh_cpu_relax();
    }
}

/* Steps far finer than vh_cpu_relax(): the moment sought is a cache miss. */
static inline void duel_dawdle(uint64_t *random)
{
    for (uint32_t n = rig_below(random, 256); n > 0; n--) {
        __asm__ volatile("" ::: "memory");
    }
}

/* The areas of the ring, so that no load has to wait. */
static inline void duel_touch(const struct rig *rig)
{
    const uint8_t *const areas[] = { (const uint8_t *)rig->desc,
                                     (const uint8_t *)rig->avail,
                                     (const uint8_t *)rig->used };

    for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
        for (size_t at = 0; at < DUEL_SIZE * sizeof(*rig->desc); at += 64) {
            (void)VH_READ_ONCE(areas[i][at]);
        }
    }
}

/* The pages are known: only the lines are not there. */
static inline void duel_aim(const struct duel *duel)
{
    for (uint32_t i = 0; i < DUEL_CLOG; i++) {
        (void)VH_READ_ONCE(
            duel->far[(size_t)(duel->at + i) * DUEL_PAGE + DUEL_PAGE / 2]);
    }
}

static inline void duel_clog(struct duel *duel)
{
    uint32_t at = duel->at;

    duel->at = (at + DUEL_CLOG) % DUEL_PAGES;
    for (uint32_t i = 0; i < DUEL_CLOG; i++) {
        VH_WRITE_ONCE(duel->far[(size_t)(at + i) * DUEL_PAGE], 1);
    }
}

static inline void *duel_sleeper(void *arg)
{
    struct duel *duel = arg;
    uint64_t random = 1234567;
    uint32_t i = 0;

    for (;;) {
        duel_wait(&duel->go, i);
        i = vh_load_acquire(&duel->go);
        if (i == 0) {
            return NULL;
        }
        if (i % 2 != 0) {
            duel_aim(duel);
        }
        duel_touch(&duel->rig);
        vh_store_release(&duel->ready, i);
        duel_dawdle(&random);
        if (i % 2 != 0) {
            duel_clog(duel);
        }
        duel->more = duel->sleep(&duel->rig);
        vh_store_release(&duel->done, i);
    }
}

/* Return: in which round the sleeper was missed; 0: in none of as many, or of
 * those that there was time for. */
static inline uint32_t duel_run(const struct duel *kind, uint64_t features,
                                uint32_t n_rounds, int64_t deadline)
{
    struct duel duel = *kind;
    uint64_t random = 7654321;
    uint32_t missed = 0;
    pthread_t thread;

    duel.far = malloc((size_t)DUEL_PAGES * DUEL_PAGE);
    assert_non_null(duel.far);
    memset(duel.far, 0, (size_t)DUEL_PAGES * DUEL_PAGE);
    rig_init(&duel.rig, DUEL_SIZE, features, vh_ring_first_base(features));
    vh_devring_disable_kick(duel.rig.dev);
    vh_ring_disable_call(duel.rig.ring);
    assert_int_equal(pthread_create(&thread, NULL, duel_sleeper, &duel), 0);
    for (uint32_t i = 1; i <= n_rounds && !missed; i++) {
        bool called;

        if (i % DUEL_ROUNDS == 0 && vh_deadline_passed(deadline)) {
            break;
        }
        duel.load(&duel.rig);
        vh_store_release(&duel.go, i);
        if (i % 2 == 0) {
            duel_aim(&duel);
        }
        duel_touch(&duel.rig);
        duel_wait(&duel.ready, i - 1);
        duel_dawdle(&random);
        if (i % 2 == 0) {
            duel_clog(&duel);
        }
        called = duel.publish(&duel.rig);
        duel_wait(&duel.done, i - 1);
        missed = called || duel.more ? 0 : i;
        duel.clear(&duel.rig);
    }
    vh_store_release(&duel.go, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig_cleanup(&duel.rig);
    free(duel.far);
    return missed;
}

static inline void duel_driver_loads(struct rig *rig)
{
    struct vh_sg sg = { rig_gpa(rig, rig->data), 1 };

    assert_int_equal(vh_ring_add(rig->ring, &sg, 1, 0, rig), 0);
}

static inline void duel_device_returns(struct rig *rig)
{
    struct iovec iov[1];
    struct vh_chain chain = { .iov = iov, .iov_max = 1 };

    assert_int_equal(vh_devring_pop(rig->dev, &chain), 1);
    vh_devring_push(rig->dev, chain.id, 0);
}

static inline void duel_device_loads(struct rig *rig)
{
    duel_driver_loads(rig);
    vh_ring_publish(rig->ring);
    duel_device_returns(rig);
}

static inline bool duel_driver_fires(struct rig *rig)
{
    return vh_ring_publish(rig->ring);
}

static inline bool duel_device_fires(struct rig *rig)
{
    return vh_devring_publish(rig->dev);
}

static inline bool duel_driver_sleeps(struct rig *rig)
{
    return vh_ring_enable_call(rig->ring);
}

static inline bool duel_device_sleeps(struct rig *rig)
{
    return vh_devring_enable_kick(rig->dev);
}

static inline void duel_driver_clears(struct rig *rig)
{
    struct vh_ring_used used[1];

    assert_int_equal(vh_ring_take(rig->ring, used, 1), 1);
    vh_ring_disable_call(rig->ring);
}

static inline void duel_device_clears(struct rig *rig)
{
    duel_device_returns(rig);
    vh_devring_publish(rig->dev);
    vh_devring_disable_kick(rig->dev);
    duel_driver_clears(rig);
}

/* The device falls asleep, as the driver publishes. */
static const struct duel duel_kick = {
    .load = duel_driver_loads,
    .publish = duel_driver_fires,
    .sleep = duel_device_sleeps,
    .clear = duel_device_clears,
};

/* The driver falls asleep, as the device publishes. */
static const struct duel duel_call = {
    .load = duel_device_loads,
    .publish = duel_device_fires,
    .sleep = duel_driver_sleeps,
    .clear = duel_driver_clears,
};

#endif
