/* SPDX-License-Identifier: BSD-3-Clause */
/* SET_LOG_BASE, and the ways in which back ends answer it. */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/user-rig.h"

static const struct peer logs = {
    .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
    .protocol = VH_PF(LOG_SHMFD) | VH_PF(REPLY_ACK),
};

static struct vhost_log a_log(void)
{
    struct vhost_log log = { .size = 512, .fd = -1 };

    log.fd = memfd_create("test-user-log", MFD_CLOEXEC);
    assert_true(log.fd >= 0);
    return log;
}

static int set_features(struct rig *rig)
{
    const uint64_t features[2] = { RIG_F_VERSION_1, 0 };

    return vh_be_set_features(&rig->dev, features);
}

static int set_log(struct rig *rig, struct vhost_log *log)
{
    return vh_be_set_log_base(&rig->dev, 0x1234, log);
}

static void test_gives_the_file_and_its_size(void **state)
{
    struct rig rig = { .peer = logs };
    const struct peer_entry *entry;
    struct vhost_log log = a_log();
    uint64_t area[2];
    struct stat st;
    uint64_t before;

    (void)state;
    rig.peer.rules = (const struct peer_rule[]){ { .request = VH_SET_LOG_BASE,
                                                   .act = PEER_REFUSE } };
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_true(vh_be_requires_shm_log(&rig.dev));
    before = rig_round_trips(&rig);
    assert_int_equal(set_log(&rig, &log), 0);
    assert_int_equal(set_features(&rig), 0);
    /* The answer is 1, as it might be the size: that is no refusal. */
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(rig_round_trips(&rig), before + 1);
    rig_down(&rig);
    entry = peer_find(&rig.peer, VH_SET_LOG_BASE, 0);
    assert_int_equal(entry->size, 16);
    assert_int_equal(entry->flags & VH_MSG_F_NEED_REPLY, 0);
    memcpy(area, &entry->u64, sizeof(area));
    assert_int_equal(area[0], 512 * sizeof(vhost_log_chunk_t));
    assert_int_equal(area[1], 0);
    assert_int_equal(entry->n_fds, 1);
    assert_int_equal(fstat(log.fd, &st), 0);
    assert_int_equal(entry->inodes[0], st.st_ino);
    rig_free(&rig);
    close(log.fd);
}

static void answered_with(const void *bytes, uint32_t size)
{
    struct peer_rule rules[] = {
        { VH_SET_LOG_BASE, PEER_REPLY, 0, bytes, size },
    };
    struct rig rig = { .peer = logs };
    struct vhost_log log = a_log();

    rig.peer.rules = rules;
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_log(&rig, &log), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(set_features(&rig), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    rig_free(&rig);
    close(log.fd);
}

static void test_takes_whatever_back_ends_answer(void **state)
{
    static const uint8_t bytes[16] = { 0, 16, 1, 2, 3, 4 };

    (void)state;
    answered_with(bytes, 0);
    answered_with(bytes, 8);
    answered_with(bytes, 16);
}

static void test_no_answer_is_a_refusal_once_others_come(void **state)
{
    static const struct peer_rule rules[] = {
        { .request = VH_SET_LOG_BASE, .act = PEER_SILENT },
    };
    struct rig rig = { .peer = logs };
    struct vhost_log log = a_log();

    (void)state;
    rig.peer.rules = rules;
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_log(&rig, &log), 0);
    assert_int_equal(set_features(&rig), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -EREMOTEIO);
    assert_non_null(strstr(rig_words(&rig), "did not answer SET_LOG_BASE"));
    vh_error_clear(&rig.dev.error);
    /* And the connection goes on. */
    assert_int_equal(set_features(&rig), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    rig_down(&rig);
    rig_free(&rig);
    close(log.fd);
}

static void test_no_answer_at_all_has_a_deadline(void **state)
{
    static const struct peer_rule rules[] = {
        { .request = VH_SET_LOG_BASE, .act = PEER_SILENT },
    };
    struct rig rig = { .peer = logs, .options = { .deadline_ms = 50 } };
    struct vhost_log log = a_log();

    (void)state;
    rig.peer.rules = rules;
    rig.peer.n_rules = 1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(set_log(&rig, &log), 0);
    assert_int_equal(vh_be_sync(&rig.dev), -ETIMEDOUT);
    assert_non_null(strstr(rig_words(&rig), "SET_LOG_BASE"));
    rig_down(&rig);
    rig_free(&rig);
    close(log.fd);
}

static void test_needs_a_back_end_that_takes_files(void **state)
{
    struct rig rig = { .peer = logs };
    struct vhost_log log = a_log();

    (void)state;
    rig.peer.protocol = VH_PF(REPLY_ACK);
    assert_int_equal(rig_up(&rig), 0);
    assert_false(vh_be_requires_shm_log(&rig.dev));
    assert_int_equal(set_log(&rig, &log), -ENOTSUP);
    assert_non_null(strstr(rig_words(&rig), "LOG_SHMFD"));
    rig_down(&rig);
    assert_int_equal(peer_count(&rig.peer, VH_SET_LOG_BASE), 0);
    rig_free(&rig);
    close(log.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_file_and_its_size),
        cmocka_unit_test(test_takes_whatever_back_ends_answer),
        cmocka_unit_test(test_no_answer_is_a_refusal_once_others_come),
        cmocka_unit_test(test_no_answer_at_all_has_a_deadline),
        cmocka_unit_test(test_needs_a_back_end_that_takes_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
