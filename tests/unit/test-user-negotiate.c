/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/user-rig.h"
#include "wire/table.h"

#define F_IOMMU (UINT64_C(1) << 33)
/* clang-format off */
#define OURS (0 \
    | VH_PF(MQ) \
    | VH_PF(LOG_SHMFD) \
    | VH_PF(REPLY_ACK) \
    | VH_PF(BACKEND_REQ) \
    | VH_PF(PAGEFAULT) \
    | VH_PF(CONFIG) \
    | VH_PF(CONFIGURE_MEM_SLOTS) \
    | VH_PF(STATUS) \
    | VH_PF(INFLIGHT_SHMFD) \
    | VH_PF(RESET_DEVICE) \
    | VH_PF(DEVICE_STATE) \
    | VH_PF(RARP) \
    | VH_PF(NET_MTU) \
    | VH_PF(CROSS_ENDIAN) \
    | VH_PF(GPA_ADDRESSES) \
    | VH_PF(BACKEND_SEND_FD) \
    | VH_PF(HOST_NOTIFIER) \
    | VH_PF(SHMEM))
/* clang-format on */

static const struct peer full = {
    .features = RIG_F_VERSION_1 | VH_F_PROTOCOL_FEATURES,
    .protocol = OURS,
    .n_queues = 4,
    .n_slots = 32,
};

static void test_negotiates_in_three_round_trips(void **state)
{
    static const uint32_t expected[] = {
        VH_GET_FEATURES,  VH_GET_PROTOCOL_FEATURES, VH_SET_PROTOCOL_FEATURES,
        VH_GET_QUEUE_NUM, VH_GET_MAX_MEM_SLOTS,     VH_SET_BACKEND_REQ_FD,
        VH_GET_SHMEM_CONFIG, VH_SET_OWNER,
    };
    struct rig rig = { .peer = full };
    struct vhost_user_info info;
    uint64_t features[2] = { 0, 1 };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    vhost_user_get_info(rig.user, &info);
    assert_int_equal(info.round_trips, 3);
    assert_int_equal(info.features[0], full.features);
    assert_int_equal(info.max_queues, 4);
    assert_int_equal(info.max_mem_slots, 32);
    assert_int_equal(rig.dev.max_queues, 4);
    assert_int_equal(rig.dev.protocol_features, OURS);
    assert_int_equal(vh_be_memslots_limit(&rig.dev), 32);
    assert_true(vh_be_no_private_memslots(&rig.dev));
    assert_true(vh_be_is_connected(&rig.dev));
    assert_true(vh_be_get_fd(&rig.dev) >= 0);

    assert_int_equal(vh_be_get_features(&rig.dev, features), 0);
    assert_int_equal(features[0], full.features);
    assert_int_equal(features[1], 0);
    assert_int_equal(vh_be_set_owner(&rig.dev), 0);
    assert_int_equal(vh_be_sync(&rig.dev), 0);
    assert_int_equal(rig_round_trips(&rig), 3);
    rig_down(&rig);

    peer_assert_log(&rig.peer, 0, expected, ARRAY_SIZE(expected));
    rig_free(&rig);
}

static void test_needs_no_protocol_features(void **state)
{
    struct rig rig = { .peer = full };

    (void)state;
    rig.peer.features = RIG_F_VERSION_1;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(rig_round_trips(&rig), 1);
    assert_int_equal(rig.dev.max_queues, 1);
    assert_int_equal(rig.dev.protocol_features, 0);
    assert_int_equal(rig.dev.backend_features, 0);
    assert_int_equal(vh_be_memslots_limit(&rig.dev), VH_MEM_TABLE_MAX);
    rig_down(&rig);
    assert_int_equal(rig.peer.n_log, 1);
    rig_free(&rig);
}

static void test_acknowledges_only_what_it_implements(void **state)
{
    struct rig rig = { .peer = full };
    struct vhost_user_info info;

    (void)state;
    rig.peer.protocol = UINT64_MAX;
    assert_int_equal(rig_up(&rig), 0);
    vhost_user_get_info(rig.user, &info);
    assert_int_equal(info.protocol_features, UINT64_MAX);
    assert_int_equal(info.acked_protocol_features, OURS);
    rig_down(&rig);
    assert_int_equal(rig.peer.acked_protocol, OURS);
    rig_free(&rig);
}

static void test_leaves_out_what_is_forbidden(void **state)
{
    struct rig rig = {
        .peer = full,
        .options.forbidden = VH_PF(MQ) | VH_PF(CONFIGURE_MEM_SLOTS),
    };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(rig.dev.max_queues, 1);
    assert_int_equal(vh_be_memslots_limit(&rig.dev), VH_MEM_TABLE_MAX);
    rig_down(&rig);
    assert_int_equal(rig.peer.acked_protocol,
                     OURS & ~(VH_PF(MQ) | VH_PF(CONFIGURE_MEM_SLOTS)));
    assert_int_equal(peer_count(&rig.peer, VH_GET_QUEUE_NUM), 0);
    assert_int_equal(peer_count(&rig.peer, VH_GET_MAX_MEM_SLOTS), 0);
    rig_free(&rig);
}

/* Init fails with a code and with words, and leaves a device as it was. */
static void assert_init_fails(struct rig *rig, int code, const char *words)
{
    assert_int_equal(rig_up(rig), code);
    assert_int_equal(vhost_error_code(rig->dev.error), code);
    if (!strstr(rig_words(rig), words)) {
        fail_msg("\"%s\" does not say \"%s\"", rig_words(rig), words);
    }
    assert_ptr_equal(strstr(rig_words(rig), "user:test"), rig_words(rig));
    assert_int_equal(rig->dev.state, VHOST_DEV_NONE);
    assert_false(vh_be_is_connected(&rig->dev));
    assert_int_equal(vh_be_sync(&rig->dev), -ENOTCONN);
    rig_down(rig);
    rig_free(rig);
}

static void test_names_what_is_required_and_missing(void **state)
{
    struct rig lacks = {
        .peer = full,
        .options.required = VH_PF(CONFIG) | VH_PF(MQ) | VH_PF(STATUS),
    };
    struct rig not_ours = {
        .peer = full,
        .options.required = UINT64_C(1) << 40,
    };

    (void)state;
    lacks.peer.protocol = VH_PF(MQ);
    assert_init_fails(&lacks, -ENOTSUP,
                      "lacks what is required: CONFIG, STATUS");
    not_ours.peer.protocol = UINT64_MAX;
    assert_init_fails(&not_ours, -ENOTSUP, "can't be used: bit 40");
}

static void test_refuses_numbers_that_make_no_sense(void **state)
{
    struct rig no_queues = { .peer = full };
    struct rig no_slots = { .peer = full };
    struct rig few = { .peer = full, .dev.num_queues = 5 };
    struct rig odd = { .peer = full };

    (void)state;
    no_queues.peer.n_queues = 0;
    assert_init_fails(&no_queues, -EPROTO, "no queues");
    no_slots.peer.n_slots = 0;
    assert_init_fails(&no_slots, -EPROTO, "no memory");
    assert_init_fails(&few, -EINVAL, "has 4 queues, the device needs 5");
    odd.peer.shmem.sizes[255] = 4097;
    assert_init_fails(&odd, -EPROTO, "region 255 has 4097 bytes");
}

static void test_caps_numbers_that_are_too_large(void **state)
{
    struct rig rig = { .peer = full };

    (void)state;
    rig.peer.n_queues = UINT64_MAX;
    rig.peer.n_slots = UINT64_MAX;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(rig.dev.max_queues, 256);
    assert_int_equal(vh_be_memslots_limit(&rig.dev), 512);
    rig_down(&rig);
    rig_free(&rig);
}

static void test_shows_the_iommu_bit_only_with_all_that_it_takes(void **state)
{
    static const uint64_t lacks[] = { 0, VH_PF(BACKEND_REQ), VH_PF(REPLY_ACK) };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lacks); i++) {
        struct rig rig = { .peer = full };
        struct vhost_user_info info;
        uint64_t features[2];

        rig.peer.features |= F_IOMMU;
        rig.peer.protocol &= ~lacks[i];
        assert_int_equal(rig_up(&rig), 0);
        assert_int_equal(vh_be_get_features(&rig.dev, features), 0);
        assert_int_equal(features[0], full.features | (lacks[i] ? 0 : F_IOMMU));
        vhost_user_get_info(rig.user, &info);
        assert_int_equal(info.features[0], full.features | F_IOMMU);
        rig_down(&rig);
        rig_free(&rig);
    }
}

static void test_tells_a_peer_that_speaks_something_else(void **state)
{
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static const struct peer_rule rules[] = {
        { .request = VH_GET_FEATURES,
          .act = PEER_RAW,
          .bytes = http,
          .size = sizeof(http) - 1 },
        { .request = VH_GET_FEATURES, .act = PEER_CLOSE },
    };
    struct rig garbage = { .peer = full };
    struct rig closes = { .peer = full };

    (void)state;
    garbage.peer.rules = &rules[0];
    garbage.peer.n_rules = 1;
    assert_init_fails(&garbage, -EPROTO, "does not speak vhost-user: ");
    closes.peer.rules = &rules[1];
    closes.peer.n_rules = 1;
    assert_init_fails(&closes, -ECONNRESET, "does not speak vhost-user: ");
}

static void test_does_not_wait_longer_than_the_deadline(void **state)
{
    static const struct peer_rule rule = { .request = VH_GET_PROTOCOL_FEATURES,
                                           .act = PEER_SILENT };
    struct rig rig = {
        .peer = full,
        .options.deadline_ms = 50,
    };

    (void)state;
    rig.peer.rules = &rule;
    rig.peer.n_rules = 1;
    assert_init_fails(&rig, -ETIMEDOUT,
                      "no answer to GET_PROTOCOL_FEATURES within");
}

/* Connecting: a directory of our own, and a path in it. */
struct place {
    char dir[64];
    char path[96];
};

static void place_make(struct place *place)
{
    strcpy(place->dir, "/tmp/vhost-test-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    snprintf(place->path, sizeof(place->path), "%s/s", place->dir);
}

static void place_remove(struct place *place)
{
    unlink(place->path);
    assert_int_equal(rmdir(place->dir), 0);
}

/* A socket bound to the path; -1 as @backlog: nobody listens. */
static int place_bind(const struct place *place, int type, int backlog)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(addr.sun_path, place->path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    if (backlog >= 0) {
        assert_int_equal(listen(fd, backlog), 0);
    }
    return fd;
}

static int place_connect(const struct place *place)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(addr.sun_path, place->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void assert_connect_fails(const struct place *place, int code,
                                 const char *words)
{
    struct vhost_user_options options = {
        .path = place->path,
        .deadline_ms = 50,
    };
    struct rig rig = { .n_fds = 0 };
    char text[256];

    rig.user = vhost_user_new(&options, NULL);
    assert_non_null(rig.user);
    assert_int_equal(rig_init(&rig), code);
    snprintf(text, sizeof(text), "user:%s: %s", place->path, words);
    assert_string_equal(rig_words(&rig), text);
    vh_be_cleanup(&rig.dev);
    vhost_user_free(rig.user);
    vh_error_clear(&rig.dev.error);
}

static void test_says_why_it_could_not_connect(void **state)
{
    struct place place;
    int fd;

    (void)state;
    place_make(&place);
    assert_connect_fails(&place, -ENOENT, "no such socket");

    fd = open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_connect_fails(&place, -ENOTSOCK, "not a socket");
    close(fd);
    unlink(place.path);

    fd = place_bind(&place, SOCK_STREAM, -1);
    assert_connect_fails(&place, -ECONNREFUSED,
                         "nobody listens on it (connection refused)");
    close(fd);
    unlink(place.path);

    fd = place_bind(&place, SOCK_DGRAM, -1);
    assert_connect_fails(&place, -EPROTOTYPE, "not a stream socket");
    close(fd);
    place_remove(&place);
}

static void test_gives_up_on_a_full_backlog(void **state)
{
    struct place place;
    int listener;
    int other;

    (void)state;
    place_make(&place);
    listener = place_bind(&place, SOCK_STREAM, 0);
    other = place_connect(&place); /* one fits in a backlog of none */
    assert_connect_fails(&place, -ETIMEDOUT,
                         "its queue of connections has been full for 0.05 s");
    close(other);
    close(listener);
    place_remove(&place);
}

static void test_refuses_a_path_that_is_too_long(void **state)
{
    struct vhost_user_options options = { .deadline_ms = 50 };
    struct rig rig = { .n_fds = 0 };
    char path[200];

    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    options.path = path;
    rig.user = vhost_user_new(&options, NULL);
    assert_int_equal(rig_init(&rig), -ENAMETOOLONG);
    assert_non_null(strstr(rig_words(&rig),
                           "a path of 199 bytes, a socket's has at most 107"));
    vhost_user_free(rig.user);
    vh_error_clear(&rig.dev.error);
}

static void test_waits_for_a_back_end_that_connects(void **state)
{
    struct place place;
    struct rig rig = { .peer = full };
    struct vhost_error *err = NULL;
    int stale;

    (void)state;
    place_make(&place);
    stale = place_bind(&place, SOCK_STREAM, 1); /* is replaced */
    rig.n_fds = peer_n_fds();
    rig.options.path = place.path;
    rig.options.listen = true;
    rig.options.deadline_ms = 5000;
    rig.user = vhost_user_new(&rig.options, &err);
    assert_non_null(rig.user);

    /* Twice: the next back end may be another, that can do less. */
    for (int i = 0; i < 2; i++) {
        rig.peer.features = i ? RIG_F_VERSION_1 : full.features;
        peer_start_on(&rig.peer, place_connect(&place));
        assert_int_equal(rig_init(&rig), 0);
        assert_int_equal(rig.dev.protocol_features, i ? 0 : OURS);
        vh_be_cleanup(&rig.dev);
        peer_stop(&rig.peer);
        peer_free(&rig.peer);
    }
    vhost_user_free(rig.user);
    assert_int_equal(peer_n_fds(), rig.n_fds);
    assert_int_equal(access(place.path, F_OK), -1);
    close(stale);
    place_remove(&place);
}

static void test_does_not_wait_for_ever_for_one_that_does_not(void **state)
{
    struct place place;
    struct rig rig = { .options.deadline_ms = 50, .options.listen = true };

    (void)state;
    place_make(&place);
    rig.options.path = place.path;
    rig.user = vhost_user_new(&rig.options, NULL);
    assert_int_equal(rig_init(&rig), -ETIMEDOUT);
    assert_non_null(
        strstr(rig_words(&rig), "no back end has connected within 0.05 s"));
    vhost_user_free(rig.user);
    vh_error_clear(&rig.dev.error);
    place_remove(&place);
}

static void test_replaces_a_socket_but_no_other_file(void **state)
{
    struct place place;
    struct vhost_user_options options = { .listen = true };
    struct vhost_error *err = NULL;
    unsigned n_fds;

    (void)state;
    place_make(&place);
    n_fds = peer_n_fds();
    close(open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    options.path = place.path;
    assert_null(vhost_user_new(&options, &err));
    assert_int_equal(vhost_error_code(err), -EEXIST);
    assert_int_equal(access(place.path, F_OK), 0);
    assert_int_equal(peer_n_fds(), n_fds);
    vhost_error_free(err);
    place_remove(&place);
}

static void test_takes_options_of_other_versions(void **state)
{
    struct {
        struct vhost_user_options options;
        uint64_t newer;
    } large = { .options = { .size = sizeof(large), .path = "x" } };
    struct vhost_user_options small = {
        .size = offsetof(struct vhost_user_options, required),
        .path = "x",
        .required = 1,
    };
    struct vhost_user *user;
    struct vhost_error *err = NULL;

    (void)state;
    user = vhost_user_new(&large.options, &err);
    assert_non_null(user);
    vhost_user_free(user);
    large.newer = 1;
    assert_null(vhost_user_new(&large.options, &err));
    assert_int_equal(vhost_error_code(err), -E2BIG);
    vhost_error_free(err);
    err = NULL;

    user = vhost_user_new(&small, &err);
    assert_non_null(user);
    vhost_user_free(user);

    assert_null(vhost_user_new(NULL, &err));
    assert_int_equal(vhost_error_code(err), -EINVAL);
    vhost_error_free(err);
}

static void test_uses_a_given_socket_once(void **state)
{
    struct vhost_error *err = NULL;
    struct rig rig = { .peer = full };
    unsigned n_fds = peer_n_fds();
    int pair[2];

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    vh_be_cleanup(&rig.dev);
    assert_int_equal(rig_init(&rig), -ENOTCONN);
    rig_down(&rig);
    rig_free(&rig);

    /* Given, so closed, also when it is no good. */
    assert_int_equal(pipe(pair), 0);
    assert_null(vhost_user_new_fd(pair[0], NULL, &err));
    assert_int_equal(vhost_error_code(err), -ENOTSOCK);
    vhost_error_free(err);
    close(pair[1]);
    assert_int_equal(peer_n_fds(), n_fds);
}

static void test_serves_one_device_at_a_time(void **state)
{
    struct vhost_dev other = {
        .vhost_ops = vh_be_ops(VHOST_BACKEND_TYPE_USER),
    };
    struct rig rig = { .peer = full };

    (void)state;
    assert_int_equal(rig_up(&rig), 0);
    assert_int_equal(vh_be_init(&other, rig.user), -EBUSY);
    vh_be_cleanup(&other);
    assert_true(vh_be_is_connected(&rig.dev));
    vh_error_clear(&other.error);
    rig_down(&rig);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_negotiates_in_three_round_trips),
        cmocka_unit_test(test_needs_no_protocol_features),
        cmocka_unit_test(test_acknowledges_only_what_it_implements),
        cmocka_unit_test(test_leaves_out_what_is_forbidden),
        cmocka_unit_test(test_names_what_is_required_and_missing),
        cmocka_unit_test(test_refuses_numbers_that_make_no_sense),
        cmocka_unit_test(test_caps_numbers_that_are_too_large),
        cmocka_unit_test(test_shows_the_iommu_bit_only_with_all_that_it_takes),
        cmocka_unit_test(test_tells_a_peer_that_speaks_something_else),
        cmocka_unit_test(test_does_not_wait_longer_than_the_deadline),
        cmocka_unit_test(test_says_why_it_could_not_connect),
        cmocka_unit_test(test_gives_up_on_a_full_backlog),
        cmocka_unit_test(test_refuses_a_path_that_is_too_long),
        cmocka_unit_test(test_waits_for_a_back_end_that_connects),
        cmocka_unit_test(test_does_not_wait_for_ever_for_one_that_does_not),
        cmocka_unit_test(test_replaces_a_socket_but_no_other_file),
        cmocka_unit_test(test_takes_options_of_other_versions),
        cmocka_unit_test(test_uses_a_given_socket_once),
        cmocka_unit_test(test_serves_one_device_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
