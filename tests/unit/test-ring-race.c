/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two sides of a ring in two threads.  The device copies what it reads to
 * where it writes, the driver checks each byte; both sleep whenever the ring
 * lets them, so that a lost notification is a sleep that does not end: a
 * minute of it fails the test.  Of every layout.
 */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/uio.h>
#include <time.h>

#include "ring-duel.h"
#include "ring-rig.h"
#include "util/atomic.h"

#define SIZE 16
#define WORDS 8 /* a buffer: so many to read, as many to write */
#define LOST_S 60
#define N_DUELS 40000u

struct race {
    struct rig rig;
    uint32_t n_total;
    bool wait;  /* sleep, or spin */
    sem_t kick; /* the driver's doorbell */
    sem_t call; /* the device's */
    bool ended; /* the driver has had all */
    bool device_failed;
};

struct request {
    uint32_t *out;
    uint32_t *in;
    uint32_t number;
};

/* False if nobody rings. */
static bool sleep_on(sem_t *bell)
{
    struct timespec until;
    int r;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOST_S;
    do {
        r = sem_timedwait(bell, &until);
    } while (r < 0 && errno == EINTR);
    return r == 0;
}

/* The other one may want this CPU. */
static void spin(void)
{
    static _Thread_local unsigned n;

    if (++n % 256 == 0) {
        sched_yield();
    }
    vh_cpu_relax();
}

static void copy_words(const struct vh_chain *chain)
{
    const uint32_t *from = chain->iov[0].iov_base;
    uint32_t *to = chain->iov[1].iov_base;

    for (int i = 0; i < WORDS; i++) {
        to[i] = ~from[i];
    }
}

/* Everything there is, in one batch. */
static int device_turn(struct race *race)
{
    struct iovec iov[2];
    struct vh_chain chain = { .iov = iov, .iov_max = 2 };
    int n = 0;
    int r;

    while ((r = vh_devring_pop(race->rig.dev, &chain)) == 1) {
        copy_words(&chain);
        vh_devring_push(race->rig.dev, chain.id, chain.in_len);
        n++;
    }
    if (vh_devring_publish(race->rig.dev)) {
        sem_post(&race->call);
    }
    return r < 0 ? r : n;
}

static bool device_rest(struct race *race)
{
    bool slept = true;

    if (!race->wait) {
        spin();
    } else if (!vh_devring_enable_kick(race->rig.dev)) {
        slept = sleep_on(&race->kick);
        vh_devring_disable_kick(race->rig.dev);
    }
    return slept;
}

static void *device_thread(void *arg)
{
    struct race *race = arg;

    while (!vh_load_acquire(&race->ended)) {
        int n = device_turn(race);

        if (n < 0 || (n == 0 && !device_rest(race))) {
            vh_store_release(&race->device_failed, true);
            sem_post(&race->call);
            break;
        }
    }
    return NULL;
}

static void send_request(struct race *race, struct request *req, uint32_t n)
{
    struct vh_sg sg[2] = {
        { rig_gpa(&race->rig, req->out), WORDS * sizeof(uint32_t) },
        { rig_gpa(&race->rig, req->in), WORDS * sizeof(uint32_t) },
    };

    req->number = n;
    for (uint32_t i = 0; i < WORDS; i++) {
        req->out[i] = n * 31 + i;
        req->in[i] = 0;
    }
    assert_int_equal(vh_ring_add(race->rig.ring, sg, 1, 1, req), 0);
}

static void check_answer(const struct vh_ring_used *used)
{
    const struct request *req = used->cookie;

    assert_int_equal(used->len, WORDS * sizeof(uint32_t));
    for (uint32_t i = 0; i < WORDS; i++) {
        assert_int_equal(req->in[i], ~(req->number * 31 + i));
    }
}

static void driver_rest(struct race *race)
{
    if (!race->wait) {
        spin();
    } else if (!vh_ring_enable_call(race->rig.ring)) {
        assert_true(sleep_on(&race->call));
        vh_ring_disable_call(race->rig.ring);
    }
    assert_false(vh_load_acquire(&race->device_failed));
}

static void drive(struct race *race, struct request *reqs, unsigned n_reqs)
{
    struct request *idle[SIZE];
    unsigned n_idle = n_reqs;
    uint32_t n_sent = 0, n_done = 0;
    uint64_t random = 12345;

    for (unsigned i = 0; i < n_reqs; i++) {
        idle[i] = &reqs[i];
    }
    while (n_done < race->n_total) {
        struct vh_ring_used used[SIZE];
        uint32_t burst = 1 + rig_below(&random, n_reqs);
        int n;

        while (burst-- > 0 && n_idle > 0 && n_sent < race->n_total) {
            send_request(race, idle[--n_idle], n_sent++);
        }
        if (vh_ring_publish(race->rig.ring)) {
            sem_post(&race->kick);
        }
        n = vh_ring_take(race->rig.ring, used, 1 + rig_below(&random, SIZE));
        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
            check_answer(&used[i]);
            idle[n_idle++] = used[i].cookie;
        }
        n_done += (uint32_t)n;
        if (n == 0) {
            driver_rest(race);
        }
    }
    assert_int_equal(race->rig.ring->n_free, SIZE);
}

static void run_race(uint64_t features, bool wait, uint32_t n_total)
{
    bool indirect = features & BIT(VH_RING_F_INDIRECT_DESC);
    bool packed = features & BIT(VH_RING_F_PACKED);
    uint32_t base = packed ? VH_PACKED_BASE_NEW : 65500;
    struct race race = { .wait = wait, .n_total = n_total };
    struct request reqs[SIZE];
    pthread_t thread;

    rig_init(&race.rig, SIZE, features, base);
    race.rig.whole = true;
    assert_int_equal(sem_init(&race.kick, 0, 0), 0);
    assert_int_equal(sem_init(&race.call, 0, 0), 0);
    for (unsigned i = 0; i < SIZE; i++) {
        reqs[i].out = (uint32_t *)race.rig.data + (size_t)(2 * WORDS * i);
        reqs[i].in = reqs[i].out + WORDS;
    }
    assert_int_equal(pthread_create(&thread, NULL, device_thread, &race), 0);
    drive(&race, reqs, indirect ? SIZE : SIZE / 2);
    vh_store_release(&race.ended, true);
    sem_post(&race.kick);
    assert_int_equal(pthread_join(thread, NULL), 0);
    sem_destroy(&race.kick);
    sem_destroy(&race.call);
    rig_cleanup(&race.rig);
}

static void race_layouts(uint64_t features, bool wait, uint32_t n_total)
{
    for (size_t i = 0; i < RIG_LAYOUTS; i++) {
        run_race(rig_layouts[i] | features, wait, n_total);
    }
}

static void test_sleepers_are_called_with_flags(void **state)
{
    (void)state;
    race_layouts(0, true, 30000);
}

static void test_sleepers_are_called_with_event_index(void **state)
{
    (void)state;
    race_layouts(BIT(VH_RING_F_EVENT_IDX), true, 70000);
}

static void test_sleepers_are_called_with_indirect_tables(void **state)
{
    (void)state;
    race_layouts(BIT(VH_RING_F_EVENT_IDX) | BIT(VH_RING_F_INDIRECT_DESC), true,
                 30000);
}

static void test_spinners_see_whole_buffers(void **state)
{
    (void)state;
    race_layouts(0, false, 40000);
    race_layouts(BIT(VH_RING_F_INDIRECT_DESC), false, 40000);
}

/* test-ring-barrier-*.c show what these find. */
static void duel_layouts(const struct duel *kind)
{
    const int64_t never = vh_deadline_in(-1);

    for (size_t i = 0; i < RIG_LAYOUTS; i++) {
        uint64_t event = BIT(VH_RING_F_EVENT_IDX);

        assert_int_equal(duel_run(kind, rig_layouts[i], N_DUELS, never), 0);
        assert_int_equal(duel_run(kind, rig_layouts[i] | event, N_DUELS, never),
                         0);
    }
}

static void test_a_device_that_falls_asleep_is_not_missed(void **state)
{
    (void)state;
    duel_layouts(&duel_kick);
}

static void test_a_driver_that_falls_asleep_is_not_missed(void **state)
{
    (void)state;
    duel_layouts(&duel_call);
}

struct scribbler {
    struct vh_desc *desc;
    uint64_t gpa; /* of the last 4096 bytes of memory */
    bool ended;
};

/* Good and bad addresses, long and short lengths, in every mixture. */
static void *scribbler_thread(void *arg)
{
    struct scribbler *s = arg;
    uint64_t *word = (uint64_t *)s->desc;
    uint64_t random = 54321;

    while (!vh_load_acquire(&s->ended)) {
        uint32_t r = rig_random(&random);

        VH_WRITE_ONCE(word[0], vh_le64(s->gpa + (r & 1 ? 4095 : 0)));
        VH_WRITE_ONCE(word[1], vh_le64(r & 2 ? 4096 : 1));
    }
    return NULL;
}

/* However it changes, a buffer never reaches beyond memory. */
static void test_descriptors_that_change_while_they_are_read(void **state)
{
    struct scribbler s = { .ended = false };
    unsigned n_popped = 0, n_broken = 0;
    struct rig rig;
    pthread_t thread;

    (void)state;
    rig_init(&rig, SIZE, 0, 0);
    rig.whole = true;
    s.desc = &rig.desc[0];
    s.gpa = RIG_GPA + rig.mem_len - 4096;
    rig.desc[0].addr = vh_le64(s.gpa);
    rig.desc[0].len = vh_le32(1);
    assert_int_equal(pthread_create(&thread, NULL, scribbler_thread, &s), 0);
    rig.avail->idx = vh_le16(1);
    while (n_popped + n_broken < 200000) {
        struct iovec iov[1];
        struct vh_chain chain = { .iov = iov, .iov_max = 1 };

        if (vh_devring_pop(rig.dev, &chain) == 1) {
            uint64_t start = rig_gpa(&rig, iov[0].iov_base);

            assert_int_equal(iov[0].iov_len, chain.out_len);
            assert_true(start + iov[0].iov_len <= RIG_GPA + rig.mem_len);
            n_popped++;
        } else {
            n_broken++;
        }
        vh_devring_free(rig.dev);
        assert_int_equal(rig_new_device(&rig), 0);
    }
    vh_store_release(&s.ended, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(n_popped > 0);
    rig_cleanup(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sleepers_are_called_with_flags),
        cmocka_unit_test(test_sleepers_are_called_with_event_index),
        cmocka_unit_test(test_sleepers_are_called_with_indirect_tables),
        cmocka_unit_test(test_spinners_see_whole_buffers),
        cmocka_unit_test(test_a_device_that_falls_asleep_is_not_missed),
        cmocka_unit_test(test_a_driver_that_falls_asleep_is_not_missed),
        cmocka_unit_test(test_descriptors_that_change_while_they_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
