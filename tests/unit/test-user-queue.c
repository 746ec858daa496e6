/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/vhost_types.h>

#include "lib/user-rig.h"

#define N_QUEUES 4
#define N_INIT 4 /* requests of the negotiation, with MQ */
#define STATUS_RUNNING 15u
#define STATUS_READY 11u

static const struct peer acks = {
    .features = RIG_F_VERSION_1 | RIG_F_PACKED | VH_F_PROTOCOL_FEATURES,
    .protocol = VH_PF(MQ) | VH_PF(REPLY_ACK) | VH_PF(STATUS) | VH_PF(CONFIG),
    .n_queues = N_QUEUES,
};
static const struct peer plain = { .features = RIG_F_VERSION_1 };

static void use_rules(struct rig *rig, const struct peer_rule *rules, size_t n)
{
    rig->peer.rules = rules;
    rig->peer.n_rules = n;
}

static int set_features(struct rig *rig, uint64_t low)
{
    const uint64_t features[2] = { low, 0 };

    return vh_be_set_features(&rig->dev, features);
}

static void start_queue(struct rig *rig, unsigned i, int kick, int call)
{
    struct vhost_virtqueue vq = {
        .desc_phys = 0x1000,
        .avail_phys = 0x2000,
        .used_phys = 0x3000,
        .desc = &vq,
    };
    struct vhost_vring_addr addr = { .index = i };

    assert_int_equal(vh_be_set_vring_num(&rig->dev, i, 256), 0);
    assert_int_equal(vh_be_set_vring_base(&rig->dev, i, 7), 0);
    assert_int_equal(vh_be_vq_get_addr(&rig->dev, &addr, &vq), 0);
    assert_int_equal(vh_be_set_vring_addr(&rig->dev, &addr), 0);
    assert_int_equal(vh_be_set_vring_kick(&rig->dev, i, kick), 0);
    assert_int_equal(vh_be_set_vring_call(&rig->dev, i, call), 0);
    assert_int_equal(vh_be_set_vring_err(&rig->dev, i, -1), 0);
}

static int get_bases(struct rig *rig, struct vhost_vring_state *bases,
                     int *results, unsigned n)
{
    int r = vh_be_get_vring_bases(&rig->dev, bases, results, n, true);

    return r < 0 ? r : vh_be_sync(&rig->dev);
}

static void test_starts_and_stops_in_a_round_trip_each(void **state)
{
    struct vhost_vring_state bases[N_QUEUES];
    struct rig rig = { .peer = acks, .dev.nvqs = N_QUEUES };
    int results[N_QUEUES];

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(rig_round_trips(&rig), 3);
    assert_int_equal(set_features(&rig, RIG_F_VERSION_1), 0);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        start_queue(&rig, i, -1, -1);
        rig.peer.bases[i] = 100 + i;
        bases[i].index = N_QUEUES - 1 - i;
    }
    assert_int_equal(vh_be_set_vring_enable(&rig.dev, true), 0);
    assert_int_equal(vh_be_dev_start(&rig.dev, true), 0);
    assert_int_equal(rig_round_trips(&rig), 3);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(rig_round_trips(&rig), 4);

    assert_int_equal(vh_be_dev_start(&rig.dev, false), 0);
    assert_int_equal(vh_be_set_vring_enable(&rig.dev, false), 0);
    assert_int_equal(get_bases(&rig, bases, results, N_QUEUES), 0);
    assert_int_equal(rig_round_trips(&rig), 5);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        assert_int_equal(results[i], 0);
        assert_int_equal(bases[i].num, 100 + N_QUEUES - 1 - i);
    }
    rig_down(&rig);
    rig_free(&rig);
}

static void test_says_what_the_caller_meant(void **state)
{
    static const uint32_t expected[] = {
        VH_SET_VRING_NUM,  VH_SET_VRING_BASE, VH_SET_VRING_ADDR,
        VH_SET_VRING_KICK, VH_SET_VRING_CALL, VH_SET_VRING_ERR,
        VH_GET_FEATURES, /* which answers for those before */
    };
    struct rig rig = { .peer = acks };
    const struct peer_entry *entry;
    struct stat st;
    int kick = eventfd(0, EFD_CLOEXEC);

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    start_queue(&rig, 2, kick, -1);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);

    peer_assert_log(&rig.peer, N_INIT, expected, ARRAY_SIZE(expected));
    entry = peer_find(&rig.peer, VH_SET_VRING_NUM, 0);
    assert_int_equal(entry->state.index, 2);
    assert_int_equal(entry->state.num, 256);
    entry = peer_find(&rig.peer, VH_SET_VRING_BASE, 0);
    assert_int_equal(entry->state.index, 2);
    assert_int_equal(entry->state.num, 7);
    entry = peer_find(&rig.peer, VH_SET_VRING_ADDR, 0);
    assert_int_equal(entry->size, 40);
    assert_int_equal(entry->addr.index, 2);
    assert_int_equal(entry->addr.desc, 0x1000);
    assert_int_equal(entry->addr.avail, 0x2000);
    assert_int_equal(entry->addr.used, 0x3000);
    entry = peer_find(&rig.peer, VH_SET_VRING_KICK, 0);
    assert_int_equal(entry->u64, 2);
    assert_int_equal(entry->n_fds, 1);
    assert_int_equal(fstat(kick, &st), 0);
    assert_int_equal(entry->inodes[0], st.st_ino);
    entry = peer_find(&rig.peer, VH_SET_VRING_CALL, 0);
    assert_int_equal(entry->u64, 2 | VH_VRING_NOFD);
    assert_int_equal(entry->n_fds, 0);
    rig_free(&rig);
    close(kick);
}

static void test_sets_features_with_the_status_handshake(void **state)
{
    static const uint32_t expected[] = {
        VH_SET_FEATURES, VH_SET_STATUS, VH_GET_STATUS,
        VH_SET_STATUS,   VH_SET_STATUS,
    };
    struct rig rig = { .peer = acks };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_features(&rig, RIG_F_VERSION_1), 0);
    assert_int_equal(vh_be_dev_start(&rig.dev, true), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    /* Status 0 would make the device forget its rings: not before stop. */
    assert_int_equal(vh_be_dev_start(&rig.dev, false), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    vh_be_reset_status(&rig.dev);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);

    peer_assert_log(&rig.peer, N_INIT, expected, ARRAY_SIZE(expected));
    assert_int_equal(peer_find(&rig.peer, VH_SET_FEATURES, 0)->u64,
                     RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES);
    assert_int_equal(peer_find(&rig.peer, VH_SET_STATUS, 0)->u64, STATUS_READY);
    assert_int_equal(peer_find(&rig.peer, VH_SET_STATUS, 1)->u64,
                     STATUS_RUNNING);
    assert_int_equal(peer_find(&rig.peer, VH_SET_STATUS, 2)->u64, 0);
    rig_free(&rig);
}

static void test_tells_when_features_were_not_accepted(void **state)
{
    struct rig rig = { .peer = acks };

    (void)state;
    rig.peer.status_lost = 8;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_features(&rig, RIG_F_VERSION_1), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -ENOTSUP);
    assert_string_equal(rig_words(&rig),
                        "user:test: the back end did not accept the features "
                        "0x140000000");
    assert_true(vh_be_is_connected(&rig.dev));
    rig_down(&rig);
    rig_free(&rig);
}

static void test_enables_no_rings_without_protocol_features(void **state)
{
    struct rig rig = { .peer = plain, .dev.nvqs = 2 };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_features(&rig, RIG_F_VERSION_1), 0);
    assert_int_equal(vh_be_set_vring_enable(&rig.dev, true), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    assert_int_equal(peer_find(&rig.peer, VH_SET_FEATURES, 0)->u64,
                     RIG_F_VERSION_1);
    assert_int_equal(peer_count(&rig.peer, VH_SET_VRING_ENABLE), 0);
    rig_free(&rig);
}

static void test_checks_the_base_of_a_split_ring(void **state)
{
    static const struct vh_vring_state wrong = { .index = 3, .num = 1 };
    static const struct peer_rule rule = { .request = VH_GET_VRING_BASE,
                                           .act = PEER_REPLY,
                                           .nth = 3,
                                           .bytes = &wrong,
                                           .size = sizeof(wrong) };
    struct vhost_vring_state bases[3] = { { 0, 9 }, { 1, 9 }, { 2, 9 } };
    struct rig rig = { .peer = acks };
    int results[3];

    (void)state;
    use_rules(&rig, &rule, 1);
    rig.peer.bases[0] = 0xffff;
    rig.peer.bases[1] = 0x10000;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_features(&rig, RIG_F_VERSION_1), 0);
    assert_int_equal(get_bases(&rig, bases, results, 3), -EPROTO);
    assert_int_equal(results[0], 0);
    assert_int_equal(bases[0].num, 0xffff);
    assert_int_equal(results[1], -EPROTO);
    assert_int_equal(bases[1].num, 9);
    assert_int_equal(results[2], -EPROTO);
    assert_int_equal(bases[2].num, 9);
    assert_string_equal(rig_words(&rig),
                        "user:test: GET_VRING_BASE of queue 1: the index of a "
                        "split ring has 16 bits, not 0x10000");
    assert_int_equal(vhost_error_queue(rig.dev.error), 1);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_takes_all_bits_of_the_base_of_a_packed_ring(void **state)
{
    struct vhost_vring_state base = { .index = 0 };
    struct rig rig = { .peer = acks };
    int result;

    (void)state;
    rig.peer.bases[0] = 0x80018001;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_features(&rig, RIG_F_VERSION_1 | RIG_F_PACKED), 0);
    assert_int_equal(get_bases(&rig, &base, &result, 1), 0);
    assert_int_equal(base.num, 0x80018001);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_tells_a_refusal_at_the_sync(void **state)
{
    static const struct peer_rule rule = { .request = VH_SET_VRING_ADDR,
                                           .act = PEER_REFUSE,
                                           .nth = 2 };
    struct rig rig = { .peer = acks };
    uint8_t status;

    (void)state;
    use_rules(&rig, &rule, 1);
    assert_int_equal(rig_up(&rig), 0);
    start_queue(&rig, 0, -1, -1);
    start_queue(&rig, 1, -1, -1);
    /* Waiting for something else does not swallow it. */
    assert_int_equal(vh_be_get_status(&rig.dev, &status), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -EREMOTEIO);
    assert_string_equal(
        rig_words(&rig),
        "user:test: the back end refused SET_VRING_ADDR of queue 1");
    assert_int_equal(vhost_error_queue(rig.dev.error), 1);
    vh_error_clear(&rig.dev.error);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    rig_free(&rig);
}

struct masker {
    struct rig *rig;
    int posted;
    int synced;
};

static void *mask(void *arg)
{
    struct masker *masker = arg;

    masker->posted = vh_be_set_vring_call(&masker->rig->dev, 3, -1);
    masker->synced = vh_be_sync(&masker->rig->dev);
    return NULL;
}

static struct masker mask_in_a_thread(struct rig *rig)
{
    struct masker masker = { .rig = rig };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, mask, &masker), 0);
    pthread_join(thread, NULL);
    return masker;
}

static void test_tells_each_thread_its_own_refusals(void **state)
{
    static const struct peer_rule rules[] = {
        { .request = VH_SET_VRING_ADDR, .act = PEER_REFUSE },
        { .request = VH_SET_VRING_CALL, .act = PEER_REFUSE, .nth = 2 },
    };
    struct vhost_vring_addr addr = { .index = 0 };
    struct rig rig = { .peer = acks };
    struct masker masker;

    (void)state;
    use_rules(&rig, rules, ARRAY_SIZE(rules));
    assert_int_equal(rig_up(&rig), 0);

    /* The masking thread waits for the refused address, and is not told. */
    assert_int_equal(vh_be_set_vring_addr(&rig.dev, &addr), 0);
    masker = mask_in_a_thread(&rig);
    assert_int_equal(masker.posted, 0);
    assert_int_equal(masker.synced, 0);
    assert_null(rig.dev.error);
    assert_int_equal(vh_be_sync(&rig.dev), -EREMOTEIO);
    vh_error_clear(&rig.dev.error);

    /* And the other way round. */
    assert_int_equal(vh_be_set_vring_num(&rig.dev, 0, 256), 0);
    masker = mask_in_a_thread(&rig);
    assert_int_equal(masker.synced, -EREMOTEIO);
    assert_non_null(strstr(rig_words(&rig), "refused SET_VRING_CALL"));
    assert_int_equal(vhost_error_queue(rig.dev.error), 3);
    vh_error_clear(&rig.dev.error);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    rig_free(&rig);
}

/* An assertion belongs in the main thread: this one reports. */
static void *mask_often(void *arg)
{
    struct masker *masker = arg;

    for (int i = 0; i < 100; i++) {
        struct masker once = { .rig = masker->rig };

        mask(&once);
        masker->posted |= once.posted;
        masker->synced |= once.synced;
    }
    return NULL;
}

static void test_masks_from_any_thread(void **state)
{
    struct rig rig = { .peer = acks, .dev.nvqs = N_QUEUES };
    struct masker maskers[2] = { { .rig = &rig }, { .rig = &rig } };
    pthread_t threads[2];

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, mask_often, &maskers[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        assert_int_equal(vh_be_set_vring_enable(&rig.dev, i & 1), 0);
        assert_int_equal(vh_be_sync(&rig.dev), 0);
        assert_int_equal(vh_be_dispatch(&rig.dev), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(maskers[i].posted, 0);
        assert_int_equal(maskers[i].synced, 0);
    }
    rig_down(&rig);
    assert_int_equal(peer_count(&rig.peer, VH_SET_VRING_CALL), 200);
    rig_free(&rig);
}

static bool wants_ack(struct rig *rig, uint32_t request, unsigned nth)
{
    return peer_find(&rig->peer, request, nth)->flags & VH_MSG_F_NEED_REPLY;
}

/* Of each queue that starts two acks are enough, and no barrier is needed. */
static void test_one_answer_covers_the_fds_of_a_start(void **state)
{
    static const uint32_t expected[] = {
        VH_SET_VRING_NUM,    VH_SET_VRING_BASE, VH_SET_VRING_ADDR,
        VH_SET_VRING_KICK,   VH_SET_VRING_CALL, VH_SET_VRING_ERR,
        VH_SET_VRING_ENABLE,
    };
    struct rig rig = { .peer = acks, .dev.nvqs = 1 };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    start_queue(&rig, 0, -1, -1);
    assert_int_equal(vh_be_set_vring_enable(&rig.dev, true), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    peer_assert_log(&rig.peer, N_INIT, expected, ARRAY_SIZE(expected));
    assert_true(wants_ack(&rig, VH_SET_VRING_ADDR, 0));
    assert_false(wants_ack(&rig, VH_SET_VRING_KICK, 0));
    assert_false(wants_ack(&rig, VH_SET_VRING_CALL, 0));
    assert_false(wants_ack(&rig, VH_SET_VRING_ERR, 0));
    assert_true(wants_ack(&rig, VH_SET_VRING_ENABLE, 0));
    rig_free(&rig);
}

/* To mask a queue that runs: whoever does is told if it is refused. */
static void test_the_call_fd_of_a_running_queue_has_its_own_ack(void **state)
{
    struct rig rig = { .peer = acks };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    rig.dev.started = true;
    assert_int_equal(vh_be_set_vring_call(&rig.dev, 3, -1), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig.dev.started = false;
    rig_down(&rig);
    assert_true(wants_ack(&rig, VH_SET_VRING_CALL, 0));
    rig_free(&rig);
}

/* Else a masked queue could still be called through its old fd. */
static void test_a_barrier_stands_in_for_the_ack_of_a_call_fd(void **state)
{
    static const uint32_t expected[] = { VH_SET_VRING_CALL, VH_GET_FEATURES };
    struct rig rig = { .peer = plain };
    struct masker masker;

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    masker = mask_in_a_thread(&rig);
    assert_int_equal(masker.synced, 0);
    rig_down(&rig);
    peer_assert_log(&rig.peer, 1, expected, ARRAY_SIZE(expected));
    rig_free(&rig);
}

static void test_a_lost_back_end_is_asked_no_more(void **state)
{
    static const struct peer_rule rule = { .request = VH_GET_VRING_BASE,
                                           .act = PEER_CLOSE };
    struct vhost_vring_state bases[2] = { { 0, 9 }, { 1, 9 } };
    struct rig rig = { .peer = acks };
    int results[2];

    (void)state;
    use_rules(&rig, &rule, 1);
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(get_bases(&rig, bases, results, 2), -ECONNRESET);
    assert_int_equal(results[0], -ECONNRESET);
    assert_int_equal(results[1], -ECONNRESET);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    assert_ptr_equal(strstr(rig_words(&rig), "user:test: "), rig_words(&rig));
    assert_false(vh_be_is_connected(&rig.dev));
    vh_error_clear(&rig.dev.error);

    assert_int_equal(vh_be_set_vring_num(&rig.dev, 0, 1), -ECONNRESET);
    assert_non_null(rig.dev.error);
    assert_int_equal(vh_be_sync(&rig.dev), -ECONNRESET);
    assert_int_equal(vh_be_dispatch(&rig.dev), -ENOTCONN);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_a_silent_back_end_is_lost(void **state)
{
    static const struct peer_rule rule = { .request = VH_SET_VRING_ADDR,
                                           .act = PEER_SILENT };
    struct vhost_vring_addr addr = { .index = 0 };
    struct rig rig = { .peer = acks, .options.deadline_ms = 50 };

    (void)state;
    use_rules(&rig, &rule, 1);
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_set_vring_addr(&rig.dev, &addr), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -ETIMEDOUT);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    assert_non_null(strstr(rig_words(&rig), "SET_VRING_ADDR"));
    rig_down(&rig);
    rig_free(&rig);
}

static void test_a_back_end_that_breaks_the_protocol_is_broken(void **state)
{
    static const uint64_t two[] = { 1, 2 };
    static const struct peer_rule rule = { .request = VH_SET_VRING_KICK,
                                           .act = PEER_REPLY,
                                           .bytes = two,
                                           .size = sizeof(two) };
    struct rig rig = { .peer = acks };

    (void)state;
    use_rules(&rig, &rule, 1);
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_set_vring_kick(&rig.dev, 0, -1), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -EPROTO);
    assert_int_equal(rig.dev.state, VHOST_DEV_BROKEN);
    assert_int_equal(vh_be_dispatch(&rig.dev), -EPROTO);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_dispatch_sees_that_the_back_end_is_gone(void **state)
{
    struct rig rig = { .peer = acks };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_dispatch(&rig.dev), 0);
    assert_int_equal(rig.dev.state, VHOST_DEV_NONE);
    shutdown(rig.peer.fd, SHUT_RDWR);
    assert_int_equal(vh_be_dispatch(&rig.dev), -ENOTCONN);
    assert_int_equal(rig.dev.state, VHOST_DEV_LOST);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_reads_and_writes_the_configuration(void **state)
{
    struct rig rig = { .peer = acks };
    const struct peer_entry *entry;
    uint8_t config[60];

    (void)state;
    for (unsigned i = 0; i < sizeof(config); i++) {
        rig.peer.config[i] = (uint8_t)(i + 1);
    }
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_get_config(&rig.dev, config, sizeof(config)), 0);
    assert_memory_equal(config, rig.peer.config, sizeof(config));
    assert_int_equal(vh_be_set_config(&rig.dev, config, 32, 1, 1), 0);
    assert_int_equal(rig_round_trips(&rig), 5);
    assert_int_equal(vh_be_set_config(&rig.dev, config, 0, 257, 0), -E2BIG);
    assert_int_equal(vh_be_set_config(&rig.dev, config, 1, 256, 0), -E2BIG);
    assert_int_equal(vh_be_set_config(&rig.dev, config, UINT32_MAX, 2, 0),
                     -E2BIG);
    assert_non_null(strstr(rig_words(&rig), "257 bytes at 0"));
    rig_down(&rig);

    entry = peer_find(&rig.peer, VH_GET_CONFIG, 0);
    assert_int_equal(entry->size, 12 + sizeof(config));
    entry = peer_find(&rig.peer, VH_SET_CONFIG, 0);
    assert_int_equal(entry->size, 13);
    assert_int_equal(entry->config.offset, 32);
    assert_int_equal(entry->config.size, 1);
    assert_int_equal(entry->config.flags, 1);
    assert_int_equal(entry->config.data[0], 1);
    assert_true(entry->flags & VH_MSG_F_NEED_REPLY);
    rig_free(&rig);
}

static void test_a_wrong_configuration_does_not_end_the_connection(void **state)
{
    static const struct vh_config odd = { .size = 8 };
    static const struct peer_rule rules[] = {
        { .request = VH_GET_CONFIG, .act = PEER_REPLY, .nth = 1 },
        { .request = VH_GET_CONFIG,
          .act = PEER_REPLY,
          .nth = 2,
          .bytes = &odd,
          .size = 12 + 8 },
        { .request = VH_GET_CONFIG,
          .act = PEER_REPLY,
          .nth = 3,
          .bytes = &odd,
          .size = 12 + 60 },
        { .request = VH_SET_CONFIG, .act = PEER_REFUSE },
    };
    struct rig rig = { .peer = acks };
    uint8_t config[60] = { 42 };

    (void)state;
    use_rules(&rig, rules, ARRAY_SIZE(rules));
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_get_config(&rig.dev, config, 60), -EREMOTEIO);
    assert_string_equal(
        rig_words(&rig),
        "user:test: the back end refused GET_CONFIG of 60 bytes");
    vh_error_clear(&rig.dev.error);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vh_be_get_config(&rig.dev, config, 60), -EPROTO);
        assert_string_equal(
            rig_words(&rig),
            "user:test: GET_CONFIG of 60 bytes was answered by 8");
        vh_error_clear(&rig.dev.error);
    }
    assert_int_equal(config[0], 42);
    assert_int_equal(vh_be_set_config(&rig.dev, config, 0, 1, 0), -EREMOTEIO);
    vh_error_clear(&rig.dev.error);

    assert_int_equal(rig.dev.state, VHOST_DEV_NONE);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(vh_be_get_config(&rig.dev, config, 60), 0);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_says_when_there_is_no_configuration(void **state)
{
    struct rig rig = { .peer = plain };
    uint8_t config[8];

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_get_config(&rig.dev, config, 8), -ENOSYS);
    assert_non_null(strstr(rig_words(&rig), "has no configuration space"));
    vh_error_clear(&rig.dev.error);
    assert_int_equal(vh_be_set_config(&rig.dev, config, 0, 8, 0), -ENOSYS);
    rig_down(&rig);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_and_stops_in_a_round_trip_each),
        cmocka_unit_test(test_says_what_the_caller_meant),
        cmocka_unit_test(test_sets_features_with_the_status_handshake),
        cmocka_unit_test(test_tells_when_features_were_not_accepted),
        cmocka_unit_test(test_enables_no_rings_without_protocol_features),
        cmocka_unit_test(test_checks_the_base_of_a_split_ring),
        cmocka_unit_test(test_takes_all_bits_of_the_base_of_a_packed_ring),
        cmocka_unit_test(test_tells_a_refusal_at_the_sync),
        cmocka_unit_test(test_tells_each_thread_its_own_refusals),
        cmocka_unit_test(test_masks_from_any_thread),
        cmocka_unit_test(test_one_answer_covers_the_fds_of_a_start),
        cmocka_unit_test(test_the_call_fd_of_a_running_queue_has_its_own_ack),
        cmocka_unit_test(test_a_barrier_stands_in_for_the_ack_of_a_call_fd),
        cmocka_unit_test(test_a_lost_back_end_is_asked_no_more),
        cmocka_unit_test(test_a_silent_back_end_is_lost),
        cmocka_unit_test(test_a_back_end_that_breaks_the_protocol_is_broken),
        cmocka_unit_test(test_dispatch_sees_that_the_back_end_is_gone),
        cmocka_unit_test(test_reads_and_writes_the_configuration),
        cmocka_unit_test(
            test_a_wrong_configuration_does_not_end_the_connection),
        cmocka_unit_test(test_says_when_there_is_no_configuration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
