/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues are masked by any thread, while the control thread does its work.
 *
 * Once vhost_virtqueue_mask() has returned, the back end calls where it was
 * told to, whatever the control thread has done to the queue meanwhile.
 */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "lib/core-rig.h"

#define ROUNDS 400

/* Of the back end; set by both threads. */
static atomic_int call_fds[FAKE_QUEUES];
static atomic_bool masker_is_done;
static _Thread_local bool is_masker;
static _Thread_local unsigned n_calls;

static int set_vring_call(struct vhost_dev *dev, struct vhost_vring_file *file)
{
    (void)dev;
    if (is_masker && ++n_calls % 5 == 0) {
        return -EIO; /* so that both threads have words to leave */
    }
    sched_yield(); /* it is here that the other may come in between */
    atomic_store(&call_fds[file->index], file->fd);
    return 0;
}

static int wait_for_answer(struct vhost_dev *dev)
{
    (void)dev;
    sched_yield();
    return 0;
}

struct masker {
    struct core_rig *rig;
    unsigned n_wrong;
    unsigned n_lost;
    unsigned n_failed;
};

/* The back end calls while it is masked; afterwards that is pending. */
static bool call_is_kept(struct core_rig *rig)
{
    struct vhost_notifier to = { .fd = atomic_load(&call_fds[1]) };
    int r = -EIO;

    vhost_notifier_set(&to);
    while (r < 0) {
        r = vhost_virtqueue_mask(&rig->dev, &rig->vdev, 1, false);
    }
    return vhost_virtqueue_pending(&rig->dev, 1);
}

static void *mask_and_unmask(void *arg)
{
    struct masker *m = arg;
    struct core_rig *rig = m->rig;
    int kept = rig->vqs[1].masked_notifier.fd;

    is_masker = true;
    for (unsigned i = 0; i < ROUNDS; i++) {
        int r = vhost_virtqueue_mask(&rig->dev, &rig->vdev, 1, true);

        if (r < 0) {
            m->n_failed++;
            continue;
        }
        for (unsigned look = 0; look < 4; look++) {
            m->n_wrong += atomic_load(&call_fds[1]) != kept;
            sched_yield();
        }
        m->n_lost += !call_is_kept(rig);
        m->n_wrong += atomic_load(&call_fds[1]) != rig->call[1].fd;
    }
    atomic_store(&masker_is_done, true);
    return NULL;
}

/* What the control thread does to queues, and errors of its own. */
static void restart_queues(struct core_rig *rig)
{
    for (unsigned i = 0; i < 2; i++) {
        fake_forget(&rig->fake);
        assert_int_equal(
            vhost_virtqueue_stop(&rig->dev, &rig->vdev, &rig->vqs[i], i), 0);
        rig->queues[i].desc += 8;
        assert_int_equal(
            vhost_virtqueue_start(&rig->dev, &rig->vdev, &rig->vqs[i], i),
            -EINVAL);
        assert_non_null(vhost_error_message(vhost_dev_get_error(&rig->dev)));
        rig->queues[i].desc -= 8;
        assert_int_equal(
            vhost_virtqueue_start(&rig->dev, &rig->vdev, &rig->vqs[i], i), 0);
    }
}

static void test_a_mask_holds_whatever_the_control_thread_does(void **state)
{
    VhostOps ops = fake_ops;
    struct core_rig rig;
    struct masker masker = { .rig = &rig };
    pthread_t thread;

    (void)state;
    ops.vhost_set_vring_call = set_vring_call;
    ops.vhost_sync = wait_for_answer;
    core_rig_prepare(&rig, 2);
    rig.dev.vhost_ops = &ops;
    core_rig_begin(&rig);
    assert_int_equal(vhost_dev_start(&rig.dev, &rig.vdev, true), 0);
    atomic_store(&masker_is_done, false);
    assert_int_equal(pthread_create(&thread, NULL, mask_and_unmask, &masker),
                     0);
    do {
        restart_queues(&rig);
    } while (!atomic_load(&masker_is_done));
    pthread_join(thread, NULL);
    assert_int_equal(masker.n_wrong, 0);
    assert_int_equal(masker.n_lost, 0);
    assert_in_range(masker.n_failed, 1, ROUNDS / 2);
    fake_forget(&rig.fake);
    assert_int_equal(vhost_dev_stop(&rig.dev, &rig.vdev, true), 0);
    core_rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mask_holds_whatever_the_control_thread_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
