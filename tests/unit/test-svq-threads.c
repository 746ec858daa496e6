/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest, shadow queue and device in threads of their own, that sleep on
 * eventfds: a notification that gets lost leaves all three asleep.
 */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>

#include "svq-rig.h"

#define COUNT 20000
#define PATIENCE 20000 /* ms: asleep for good */

struct world {
    struct svq_rig rig;
    bool over; /* seen by those that wake after it */
    bool stuck;
};

/* Until one of two eventfds is set; the second may be the same. */
static bool wait_for(struct world *w, int a, int b)
{
    struct pollfd fds[] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };

    if (poll(fds, 2, PATIENCE) <= 0) {
        __atomic_store_n(&w->stuck, true, __ATOMIC_RELAXED);
        return false;
    }
    return !__atomic_load_n(&w->over, __ATOMIC_ACQUIRE);
}

static void *shadow(void *arg)
{
    struct world *w = arg;

    do {
        while (vh_svq_run(w->rig.svq) > 0) {
        }
    } while (wait_for(w, w->rig.guest_kick, w->rig.device_call));
    return NULL;
}

static void *device(void *arg)
{
    struct world *w = arg;
    struct iovec iov[4];
    struct vh_chain chain = { .iov = iov, .iov_max = 4 };

    do {
        svq_rig_was_set(w->rig.device_kick);
        do {
            while (vh_devring_pop(w->rig.device, &chain) > 0) {
                vh_devring_push(w->rig.device, chain.id, 0);
                if (vh_devring_publish(w->rig.device)) {
                    eventfd_write(w->rig.device_call, 1);
                }
            }
        } while (vh_devring_enable_kick(w->rig.device));
    } while (wait_for(w, w->rig.device_kick, w->rig.device_kick));
    return NULL;
}

/* As many as there is room for; then it sleeps until some are back. */
static void guest(struct world *w)
{
    struct vh_sg sg = { SVQ_GPA_B, 64 };
    struct vh_ring_used used[8];
    unsigned n_added = 0, n_taken = 0;
    bool awake = true;

    while (n_taken < COUNT && awake) {
        int n;

        while (n_added < COUNT &&
               vh_ring_add(w->rig.driver, &sg, 1, 0, w) == 0) {
            n_added++;
        }
        if (vh_ring_publish(w->rig.driver)) {
            eventfd_write(w->rig.guest_kick, 1);
        }
        n = vh_ring_take(w->rig.driver, used, 8);
        assert_true(n >= 0);
        n_taken += (unsigned)n;
        if (n == 0 && !vh_ring_enable_call(w->rig.driver)) {
            awake = wait_for(w, w->rig.guest_call, w->rig.guest_call);
            svq_rig_was_set(w->rig.guest_call);
        }
    }
    assert_int_equal(n_taken, COUNT);
}

static void go(uint64_t guest_features, uint64_t shadow_features)
{
    struct world w = { .over = false };
    pthread_t threads[2];

    svq_rig_init(&w.rig, 16, guest_features, 8, shadow_features);
    vh_svq_set_mark(w.rig.svq, NULL, NULL);
    assert_int_equal(pthread_create(&threads[0], NULL, shadow, &w), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, device, &w), 0);
    guest(&w);
    __atomic_store_n(&w.over, true, __ATOMIC_RELEASE);
    eventfd_write(w.rig.device_kick, 1);
    eventfd_write(w.rig.device_call, 1);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_false(w.stuck);
    svq_rig_cleanup(&w.rig);
}

static void no_notification_is_lost(void **state)
{
    const uint64_t event = BIT(VH_RING_F_EVENT_IDX);
    const uint64_t packed = BIT(VH_RING_F_PACKED);

    (void)state;
    go(0, 0);
    go(event, event);
    go(packed, packed);
    go(packed | event, packed | event);
    go(event, packed | event);
    go(packed | event, event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_notification_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
