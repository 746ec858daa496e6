/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that goes between any two messages of a device's life: init,
 * start, the dirty log on, memory that comes and goes, the log off, stop.
 *
 * It goes after its first message, in the next life after its second, and so
 * on, until it outlives the device; once before the answer to that message, and
 * once behind it.  Whichever call notices fails in words, and at once, those
 * after it fail no worse, nothing is left behind, and the next back end is
 * taken up by the same owner with the same memory.
 */
#include <errno.h>
#include <stdio.h>

#include "check.h"

#include <vhost/vhost.h>

#include "lib/core-rig.h"
#include "lib/peer.h"

#define N_QUEUES 2
#define MORE_GPA UINT64_C(0x40000000)
#define MORE_SIZE 0x10000u
#define LIVES_MAX 200
#define PLAIN (RIG_F_VERSION_1 | UINT64_C(1) << 26) /* it can log */

/* What kind of back end it is: messages differ much. */
struct kind {
    uint64_t protocol;
    uint64_t features;
    size_t least;   /* messages of a whole life */
    size_t unheard; /* of these at the end, which nobody answers */
};

static const struct kind kinds[] = {
    { .features = PLAIN, .least = 20 },
    { .features = PLAIN | VH_F_PROTOCOL_FEATURES,
      .protocol = VH_PF(MQ) | VH_PF(REPLY_ACK) | VH_PF(LOG_SHMFD),
      .least = 30 },
    { .features = PLAIN | VH_F_PROTOCOL_FEATURES,
      .protocol = VH_PF(MQ) | VH_PF(REPLY_ACK) | VH_PF(LOG_SHMFD) |
                  VH_PF(CONFIGURE_MEM_SLOTS) | VH_PF(STATUS) |
                  VH_PF(BACKEND_REQ) | VH_PF(CONFIG) | VH_PF(RESET_DEVICE),
      .least = 40,
      .unheard = 1 /* SET_STATUS, that makes it forget */ },
};

struct life {
    struct core_rig rig;
    struct peer peer;
    struct vhost_user *user;
    struct vhost_memory_section more;
    bool failed; /* a call has */
};

static unsigned count_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        n += strstr(line, "memfd:") != NULL;
    }
    fclose(f);
    return n;
}

static bool is_gone(int r)
{
    return r == -ENOTCONN || r == -ECONNRESET;
}

/* A call has ended: if it failed then because the back end has gone. */
static void look(struct life *life, int r, const struct vhost_error *err)
{
    if (r == 0) {
        return;
    }
    life->failed = true;
    assert_non_null(err);
    if (!is_gone(r) || !is_gone(vhost_error_code(err))) {
        fail_msg("%d: %s", r, vhost_error_message(err));
    }
    assert_true(strlen(vhost_error_message(err)) > 15);
}

static void look_at(struct life *life, int r, struct vhost_error *err)
{
    assert_int_equal(r < 0, err != NULL);
    look(life, r, err);
    vhost_error_free(err);
}

static void change_memory(struct life *life, bool add)
{
    struct vhost_memory_map *map = life->rig.map;
    struct vhost_error *err = NULL;
    int r;

    vhost_memory_begin(map);
    r = add ? vhost_memory_add(map, &life->more)
            : vhost_memory_remove(map, MORE_GPA, MORE_SIZE);
    assert_int_equal(r, 0);
    r = vhost_memory_commit(map, &err);
    look_at(life, r, err);
}

static void switch_log(struct life *life, bool on)
{
    struct vhost_error *err = NULL;
    int r;

    if (vhost_dev_migration_blocker(&life->rig.dev)) {
        return; /* this kind can't log */
    }
    r = on ? vhost_log_start(life->rig.map, &err)
           : vhost_log_stop(life->rig.map, &err);

    look_at(life, r, err);
}

/* From start to stop; each call is made, whatever became of those before. */
static void run(struct life *life)
{
    static const int bits[] = { 26, 32, VHOST_INVALID_FEATURE_BIT };
    struct vhost_dev *dev = &life->rig.dev;
    int r;

    vhost_ack_features(dev, bits, PLAIN);
    r = vhost_dev_start(dev, &life->rig.vdev, true);
    look(life, r, vhost_dev_get_error(dev));
    switch_log(life, true);
    change_memory(life, true);
    change_memory(life, false);
    switch_log(life, false);
    if (r == 0) {
        r = vhost_dev_stop(dev, &life->rig.vdev, true);
        look(life, r, vhost_dev_get_error(dev));
    }
    assert_false(dev->started || life->rig.vdev.vhost_started);
    r = vhost_dev_dispatch(dev);
    look(life, r, vhost_dev_get_error(dev));
    if (life->failed) {
        assert_int_equal(dev->state, VHOST_DEV_LOST);
        assert_int_equal(r, -ENOTCONN);
    }
}

/* One back end's time.  Return: how many messages it saw. */
static size_t live(struct life *life, const struct kind *kind,
                   size_t close_after, bool served)
{
    unsigned n_fds = peer_n_fds(), n_mappings = count_mappings();
    const struct peer_rule rules[] = {
        { .request = VH_SET_LOG_BASE,
          .act = kind->protocol & VH_PF(LOG_SHMFD) ? PEER_REPLY : PEER_OBEY,
          .bytes = &(uint64_t){ 0 },
          .size = 8 },
    };
    struct vhost_error *err = NULL;
    int r;

    life->failed = false;
    life->peer = (struct peer){ .features = kind->features,
                                .protocol = kind->protocol,
                                .n_queues = N_QUEUES,
                                .n_slots = 16,
                                .rules = rules,
                                .n_rules = ARRAY_SIZE(rules),
                                .close_after = close_after,
                                .close_served = served };
    life->user = vhost_user_new_fd(peer_start(&life->peer), NULL, &err);
    assert_non_null(life->user);
    r = vhost_dev_init(&life->rig.dev, life->user, VHOST_BACKEND_TYPE_USER, 0,
                       &err);
    look_at(life, r, err);
    if (r == 0) {
        run(life);
    }
    vhost_dev_cleanup(&life->rig.dev);
    /* As the owner had it; the cleanup zeroes. */
    life->rig.dev.vqs = life->rig.vqs;
    life->rig.dev.nvqs = N_QUEUES;
    life->rig.dev.map = life->rig.map;
    memset(life->rig.vqs, 0, sizeof(life->rig.vqs));
    vhost_user_free(life->user);
    peer_stop(&life->peer);
    peer_free(&life->peer);
    assert_int_equal(peer_n_fds(), n_fds);
    assert_int_equal(count_mappings(), n_mappings);
    return life->peer.n_log;
}

static void all_lives(const struct kind *kind, bool served)
{
    struct life life;
    size_t n, k;

    memset(&life, 0, sizeof(life));
    core_rig_prepare(&life.rig, N_QUEUES);
    life.rig.dev.vhost_ops = NULL;
    assert_int_equal(vhost_memory_alloc(&life.more, MORE_SIZE, 0, NULL), 0);
    life.more.gpa = MORE_GPA;
    n = live(&life, kind, 0, false);
    assert_false(life.failed);

    assert_true(n >= kind->least && n < LIVES_MAX);
    for (k = 1; k <= n; k++) {
        assert_int_equal(live(&life, kind, k, served), k);
        assert_true(life.failed || k + kind->unheard >= n);
        /* Whatever has happened, the next one is as good as the first. */
        assert_int_equal(live(&life, kind, 0, false), n);
        assert_false(life.failed);
    }
    vhost_memory_free(&life.more);
    core_rig_down(&life.rig);
}

static void test_before_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        all_lives(&kinds[i], false);
    }
}

static void test_after_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        all_lives(&kinds[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_its_answer),
        cmocka_unit_test(test_after_its_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
