/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server answers, what it refuses, and what it will not have. */
#include <fcntl.h>
#include <sys/un.h>

#include "server-rig.h"

#define F(n) (UINT64_C(1) << (n))
#define FEATURES (RIG_VERSION_1 | VH_F_PROTOCOL_FEATURES)

static int set_up(void **state)
{
    struct rig *rig = malloc(sizeof(*rig));

    assert_non_null(rig);
    rig_init(rig);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_cleanup(*state);
    free(*state);
    return 0;
}

static struct rig *serve(void **state)
{
    struct rig *rig = *state;

    rig_serve(rig, NULL, NULL, NULL);
    rig_negotiate(rig, FEATURES);
    return rig;
}

/* Offers */

static void test_offers_what_a_disk_has(void **state)
{
    struct vhost_server_blk_options options = { .queues = 3 };
    struct rig *rig = *state;

    rig_serve(rig, NULL, &options, NULL);
    assert_int_equal(rig_get(rig, VH_GET_FEATURES),
                     F(2) | F(6) | F(9) | F(10) | F(12) | F(13) | F(14) |
                         F(26) | F(28) | F(29) | F(30) | F(32) | F(34) | F(35));
    assert_int_equal(rig_get(rig, VH_GET_PROTOCOL_FEATURES), RIG_PROTOCOL);
    rig_negotiate(rig, FEATURES);
    assert_int_equal(rig_get(rig, VH_GET_QUEUE_NUM), 3);
    assert_int_equal(rig_get(rig, VH_GET_MAX_MEM_SLOTS), 509);
}

static void test_a_read_only_disk_takes_no_writes_of_any_kind(void **state)
{
    struct vhost_server_blk_options options = { .read_only = true };
    struct rig *rig = *state;
    uint64_t features;

    rig_serve(rig, NULL, &options, NULL);
    features = rig_get(rig, VH_GET_FEATURES);
    assert_int_equal(features & (F(5) | F(13) | F(14)), F(5));
}

static void test_hides_what_it_is_told_to_hide(void **state)
{
    struct vhost_server_options options = {
        .size = sizeof(options),
        .hide_features = F(9) | F(29),
        .hide_protocol_features = VH_PF(STATUS),
    };
    struct rig *rig = *state;

    rig_serve(rig, NULL, NULL, &options);
    assert_int_equal(rig_get(rig, VH_GET_FEATURES) & (F(9) | F(29)), 0);
    assert_int_equal(rig_get(rig, VH_GET_PROTOCOL_FEATURES),
                     RIG_PROTOCOL & ~VH_PF(STATUS));
}

static void
test_features_not_offered_are_refused_and_cost_features_ok(void **state)
{
    struct rig *rig = serve(state);

    assert_int_not_equal(rig_do_u64(rig, VH_SET_FEATURES, FEATURES | F(36)), 0);
    assert_int_equal(rig_do_u64(rig, VH_SET_STATUS, 11), 0);
    assert_int_equal(rig_get(rig, VH_GET_STATUS), 3);
    assert_int_equal(rig_do_u64(rig, VH_SET_FEATURES, FEATURES), 0);
    assert_int_equal(rig_get(rig, VH_GET_STATUS), 11);
}

static void test_protocol_features_not_offered_end_the_session(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg msg;

    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES,
                    RIG_PROTOCOL | UINT64_C(1) << 40);
    rig_say(rig, &msg);
    assert_true(rig_is_gone(rig));
}

/* Configuration */

static struct vh_msg ask_config(struct rig *rig, uint32_t offset, uint32_t size)
{
    struct vh_msg msg;

    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.size = 12 + size;
    msg.payload.config.offset = offset;
    msg.payload.config.size = size;
    return rig_ask(rig, &msg);
}

static void test_gives_as_much_configuration_as_is_asked(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg reply = ask_config(rig, 0, 8);
    uint64_t capacity;

    assert_int_equal(reply.size, 20);
    memcpy(&capacity, reply.payload.config.data, sizeof(capacity));
    assert_int_equal(capacity, RIG_DISK_SIZE / 512);

    reply = ask_config(rig, 0, 256);
    assert_int_equal(reply.size, 268);
    for (size_t i = 100; i < 256; i++) {
        assert_int_equal(reply.payload.config.data[i], 0);
    }
    reply = ask_config(rig, 1, 3);
    assert_memory_equal(reply.payload.config.data, (uint8_t *)&capacity + 1, 3);
}

static void test_configuration_beyond_its_end_is_an_empty_answer(void **state)
{
    struct rig *rig = serve(state);

    assert_int_equal(ask_config(rig, 1, 256).size, 0);
    assert_int_equal(ask_config(rig, UINT32_MAX, 8).size, 0);
}

static void test_a_part_of_a_block_at_the_end_does_not_count(void **state)
{
    struct vhost_server_blk_options options = { .block_size = 4096 };
    struct rig *rig = *state;
    uint64_t capacity;

    assert_int_equal(truncate(rig->disk, 3 * 4096 - 1), 0);
    rig_serve(rig, NULL, &options, NULL);
    rig_negotiate(rig, FEATURES);
    memcpy(&capacity, ask_config(rig, 0, 8).payload.config.data, 8);
    assert_int_equal(capacity, 16);
}

static void test_writing_configuration_is_refused(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg msg;

    vh_msg_init(&msg, VH_SET_CONFIG);
    msg.size = 12 + 1;
    msg.payload.config.offset = 32;
    msg.payload.config.size = 1;
    assert_int_not_equal(rig_do(rig, &msg), 0);
    assert_true(rig_is_quiet(rig));
    assert_non_null(strstr(rig->log, "SET_CONFIG refused"));
}

/* Acknowledgements */

static void test_acknowledges_only_where_that_was_negotiated(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;

    rig_serve(rig, NULL, NULL, NULL);
    vh_msg_init(&msg, VH_SET_OWNER);
    msg.flags |= VH_MSG_F_NEED_REPLY;
    rig_say(rig, &msg);
    assert_true(rig_is_quiet(rig));

    rig_negotiate(rig, FEATURES);
    vh_msg_init(&msg, VH_SET_OWNER);
    rig_say(rig, &msg);
    assert_true(rig_is_quiet(rig));
}

static void test_an_answer_of_its_own_is_not_acknowledged_too(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg msg;

    vh_msg_init(&msg, VH_GET_FEATURES);
    msg.flags |= VH_MSG_F_NEED_REPLY;
    rig_ask(rig, &msg);
    assert_true(rig_is_quiet(rig));
}

static void test_what_was_not_negotiated_is_refused(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg msg;

    vh_msg_init_u64(&msg, VH_NET_SET_MTU, 1500);
    assert_int_not_equal(rig_do(rig, &msg), 0);
    assert_true(rig_is_quiet(rig));

    /* Where only an answer of its own would do, there is no way to refuse. */
    vh_msg_init(&msg, VH_CREATE_CRYPTO_SESSION);
    rig_say(rig, &msg);
    assert_true(rig_is_gone(rig));
}

/* Memory */

static void test_a_region_beyond_its_file_is_refused(void **state)
{
    struct rig *rig = serve(state);
    struct vh_mem_region region = rig_region();

    region.mmap_offset = 1;
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region.mmap_offset = UINT64_MAX - 4096;
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region = rig_region();
    region.size++;
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region = rig_region();
    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
}

static void test_regions_that_overlap_or_wrap_are_refused(void **state)
{
    struct rig *rig = serve(state);
    struct vh_mem_region region = rig_region();

    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region.gpa += RIG_MEM_SIZE - 1;
    region.user_addr += RIG_MEM_SIZE;
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region.gpa += 1;
    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region.gpa = UINT64_MAX - 10;
    region.user_addr += RIG_MEM_SIZE;
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region = rig_region();
    region.gpa = 0;
    region.size = 0;
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
}

static void test_only_a_region_that_is_there_can_be_removed(void **state)
{
    struct rig *rig = serve(state);
    struct vh_mem_region region = rig_region();

    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    region.user_addr++;
    assert_int_not_equal(rig_region_do(rig, VH_REM_MEM_REG, &region), 0);
    region = rig_region();
    assert_int_equal(rig_region_do(rig, VH_REM_MEM_REG, &region), 0);
    assert_int_not_equal(rig_region_do(rig, VH_REM_MEM_REG, &region), 0);
}

static void test_takes_as_many_regions_as_it_says(void **state)
{
    struct rig *rig = serve(state);
    struct vh_mem_region region = rig_region();

    region.size = 4096;
    for (unsigned i = 0; i < 509; i++) {
        region.gpa = RIG_GPA + i * UINT64_C(8192);
        region.user_addr = RIG_USER + i * UINT64_C(8192);
        assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    }
    region.gpa += 8192;
    region.user_addr += 8192;
    assert_int_not_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
}

/* Queues */

static void describe_queue(struct rig *rig)
{
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, 16), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_BASE, 0, 0), 0);
    assert_int_equal(
        rig_set_addr(rig, 0, RIG_USER, RIG_USER + 4096, RIG_USER + 8192), 0);
}

static void test_a_refused_table_leaves_the_old_one(void **state)
{
    struct vh_mem_region regions[2] = { rig_region(), rig_region() };
    struct rig *rig = serve(state);
    int kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    assert_int_equal(rig_set_table(rig, regions, 1), 0);
    assert_int_not_equal(rig_set_table(rig, regions, 2), 0);
    describe_queue(rig);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(rig_do_fd(rig, VH_SET_VRING_KICK, 0, kick), 0);
    close(kick);
}

static void test_a_ring_outside_memory_does_not_start(void **state)
{
    struct rig *rig = serve(state);
    struct vh_mem_region region = rig_region();
    int kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    describe_queue(rig);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_not_equal(rig_do_fd(rig, VH_SET_VRING_KICK, 0, kick), 0);
    assert_non_null(strstr(rig->log, "memory"));

    /* The last byte of the descriptors is outside. */
    assert_int_equal(rig_region_do(rig, VH_ADD_MEM_REG, &region), 0);
    assert_int_not_equal(rig_set_addr(rig, 0,
                                      RIG_USER + RIG_MEM_SIZE - 16 * 16 + 16,
                                      RIG_USER + 4096, RIG_USER + 8192),
                         0);
    /* Not aligned. */
    assert_int_not_equal(
        rig_set_addr(rig, 0, RIG_USER + 8, RIG_USER + 4096, RIG_USER + 8192),
        0);
    assert_int_equal(
        rig_set_addr(rig, 0, RIG_USER, RIG_USER + 4096, RIG_USER + 8192), 0);
    close(kick);
}

/* As QEMU does for a network device. */
static void test_a_ring_may_be_enabled_before_the_features_are_set(void **state)
{
    struct rig *rig = *state;
    struct vh_msg msg;

    rig_serve(rig, NULL, NULL, NULL);
    vh_msg_init_u64(&msg, VH_SET_PROTOCOL_FEATURES, RIG_ACKED);
    rig_say(rig, &msg);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 0, 1), 0);
}

static void test_queues_that_can_not_be_are_refused(void **state)
{
    struct rig *rig = serve(state);

    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_NUM, 1, 16), 0);
    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, 0), 0);
    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, 15), 0);
    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, 2048), 0);
    assert_int_equal(rig_do_state(rig, VH_SET_VRING_NUM, 0, 1024), 0);
    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_BASE, 0, 65536), 0);
    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_BASE, 1, 0), 0);
    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 0, 2), 0);
    assert_int_not_equal(rig_do_state(rig, VH_SET_VRING_ENABLE, 255, 1), 0);
    assert_int_not_equal(rig_set_addr(rig, 7, RIG_USER, RIG_USER, RIG_USER), 0);
    assert_true(rig_is_quiet(rig));
}

static void test_an_fd_that_is_no_eventfd_is_refused(void **state)
{
    static const uint32_t requests[] = { VH_SET_VRING_KICK, VH_SET_VRING_CALL,
                                         VH_SET_VRING_ERR };
    struct rig *rig = serve(state);
    int good = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        assert_int_not_equal(rig_do_fd(rig, requests[i], 0, fds[1]), 0);
        assert_int_not_equal(rig_do_fd(rig, requests[i], 0, rig->mem_fd), 0);
        assert_int_not_equal(rig_do_fd(rig, requests[i], 1, good), 0);
        assert_int_equal(rig_do_fd(rig, requests[i], 0, good), 0);
        assert_int_equal(rig_do_fd(rig, requests[i], 0, -1), 0);
    }
    close(fds[1]);
    close(good);
}

/* It stands still otherwise, and nobody knows. */
static void test_an_fd_refused_without_an_ack_ends_the_session(void **state)
{
    static const uint32_t requests[] = { VH_SET_VRING_KICK, VH_SET_VRING_CALL,
                                         VH_SET_VRING_ERR };

    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct rig *rig = serve(state);
        struct vh_msg msg;

        vh_msg_init_fd(&msg, requests[i], 0, rig->mem_fd);
        rig_say(rig, &msg);
        assert_true(rig_is_gone(rig));
        assert_non_null(
            strstr(rig->log, vh_msg_name(VH_FROM_FRONT, requests[i])));
        rig_stop(rig);
    }
}

static void test_a_queue_that_never_ran_has_the_base_it_was_given(void **state)
{
    struct rig *rig = serve(state);

    assert_int_equal(rig_do_state(rig, VH_SET_VRING_BASE, 0, 77), 0);
    assert_int_equal(rig_get_base(rig, 0), 77);
}

/* Faults */

static void test_a_message_against_the_protocol_ends_the_session(void **state)
{
    for (int fault = 0; fault < 6; fault++) {
        struct rig *rig = serve(state);
        struct vh_msg msg;

        vh_msg_init(&msg, VH_GET_FEATURES);
        switch (fault) {
        case 0:
            msg.request = 0;
            break;
        case 1:
            msg.request = VH_REQUEST_END;
            break;
        case 2:
            msg.flags = 2;
            break;
        case 3:
            msg.flags |= VH_MSG_F_REPLY;
            break;
        case 4:
            msg.size = 8;
            break;
        default:
            msg.n_fds = 1;
            msg.fds[0] = rig->mem_fd;
            break;
        }
        rig_say(rig, &msg);
        assert_true(rig_is_gone(rig));
        rig_stop(rig);
    }
}

static void test_asking_the_base_of_no_queue_ends_the_session(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg msg;

    vh_msg_init_state(&msg, VH_GET_VRING_BASE, 5, 0);
    rig_say(rig, &msg);
    assert_true(rig_is_gone(rig));
}

/* Any message in any order, each well-formed enough to get somewhere. */
static void test_survives_whatever_is_sent(void **state)
{
    unsigned short seed[3] = { 1, 2, 3 };
    int fds_before = rig_count_fds();
    int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    for (int session = 0; session < 60; session++) {
        struct rig *rig = serve(state);

        for (int i = 0; i < 200; i++) {
            uint32_t id = 1 + (uint32_t)nrand48(seed) % (VH_REQUEST_END - 1);
            const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, id);
            struct vh_msg msg;

            if (row->reply == VH_REPLY_OWN && nrand48(seed) % 8) {
                continue;
            }
            vh_msg_init(&msg, id);
            msg.flags |= nrand48(seed) % 2 ? VH_MSG_F_NEED_REPLY : 0;
            msg.size = row->size_max > 268 ? 16 : row->size_max;
            for (uint32_t at = 0; at < msg.size; at++) {
                msg.payload.raw[at] =
                    (uint8_t)(nrand48(seed) % 3 ? 0 : nrand48(seed) % 8);
            }
            if (id == VH_SET_MEM_TABLE) {
                msg.payload.table.n = (uint32_t)nrand48(seed) % 4;
                msg.size = 8 + msg.payload.table.n * 32;
            } else if (id == VH_SET_CONFIG || id == VH_GET_CONFIG) {
                msg.payload.config.size = msg.size - 12;
            }
            msg.n_fds =
                id == VH_SET_MEM_TABLE ? msg.payload.table.n : row->fds_max > 0;
            for (unsigned k = 0; k < msg.n_fds; k++) {
                msg.fds[k] = nrand48(seed) % 2 ? rig->mem_fd : event;
            }
            if (rig_say(rig, &msg) == -ENOTCONN) {
                break;
            }
        }
        rig_stop(rig);
    }
    close(event);
    assert_int_equal(rig_count_fds(), fds_before);
}

static void test_bytes_that_are_no_message_end_the_session(void **state)
{
    struct rig *rig = serve(state);
    uint8_t bytes[64];

    memset(bytes, 0xa5, sizeof(bytes));
    assert_int_equal(send(vh_sock_fd(rig->sock), bytes, sizeof(bytes), 0), 64);
    assert_true(rig_is_gone(rig));
    assert_non_null(strstr(rig->log, "sent away"));
}

static void test_a_front_end_that_never_reads_is_sent_away(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg msg;
    int r = 0;

    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.size = 268;
    msg.payload.config.size = 256;
    for (int i = 0; i < 20000 && r == 0; i++) {
        r = rig_say(rig, &msg);
    }
    assert_int_equal(r, -ENOTCONN);
    assert_non_null(strstr(rig->log, "does not read"));
}

static void test_a_front_end_that_reads_late_gets_all_its_answers(void **state)
{
    struct rig *rig = serve(state);
    struct vh_msg msg;
    const char *why;
    int n = 0;

    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.size = 268;
    msg.payload.config.size = 256;
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(rig_say(rig, &msg), 0);
    }
    while (n < 2000 && vh_sock_receive(rig->sock, &msg, false, &why) == 1) {
        n++;
        rig_turn(rig);
    }
    assert_int_equal(n, 2000);
}

/* The socket's path */

static struct vhost_server *bind_to(struct rig *rig, const char *path,
                                    int expected)
{
    struct vhost_error *err = NULL;
    struct vhost_server *server =
        vhost_server_new(path, vhost_server_blk(rig->disk, NULL), NULL, &err);

    if (expected == 0) {
        assert_non_null(server);
        assert_null(err);
    } else {
        assert_null(server);
        assert_int_equal(vhost_error_code(err), expected);
        vhost_error_free(err);
    }
    return server;
}

static void test_a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct rig *rig = *state;
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct vhost_server *server;
    char path[80];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(path, sizeof(path), "%s.sock", rig->disk);
    strcpy(addr.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    server = bind_to(rig, path, 0);
    bind_to(rig, path, -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    vhost_server_free(server);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_what_is_no_socket_is_never_removed(void **state)
{
    struct rig *rig = *state;

    bind_to(rig, rig->disk, -EEXIST);
    assert_int_equal(access(rig->disk, F_OK), 0);
}

static void test_a_path_that_others_took_over_stays(void **state)
{
    struct rig *rig = *state;
    struct vhost_server *server;
    char path[80];
    int fd;

    snprintf(path, sizeof(path), "%s.sock", rig->disk);
    server = bind_to(rig, path, 0);
    unlink(path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    vhost_server_free(server);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void test_a_path_too_long_is_said_to_be(void **state)
{
    char path[200];

    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    bind_to(*state, path, -ENAMETOOLONG);
    bind_to(*state, "", -EINVAL);
}

static void test_files_that_can_not_be_served_are_named(void **state)
{
    static const struct {
        const char *path;
        int code;
        const char *word;
    } cases[] = {
        { "/nonexistent/disk", -ENOENT, "no such file" },
        { "/", -EISDIR, "directory" },
        { "/dev/null", -EINVAL, "neither" },
        { "null:", -EINVAL, "size" },
        { "null:12x", -EINVAL, "size" },
        { "null:0", -EINVAL, "empty" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhost_error *err = NULL;
        struct vhost_server *server =
            vhost_server_new("/tmp/never-bound",
                             vhost_server_blk(cases[i].path, NULL), NULL, &err);

        assert_null(server);
        assert_int_equal(vhost_error_code(err), cases[i].code);
        assert_non_null(strstr(vhost_error_message(err), cases[i].path));
        assert_non_null(strstr(vhost_error_message(err), cases[i].word));
        vhost_error_free(err);
    }
    assert_null(vhost_server_new("/tmp/never-bound", NULL, NULL, NULL));
    assert_int_equal(access("/tmp/never-bound", F_OK), -1);
}

static int connect_to(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(addr.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void test_front_ends_are_served_one_after_another(void **state)
{
    struct rig *rig = *state;
    struct vh_sock *first, *second;
    struct vh_msg msg;
    const char *why;
    char path[80];

    snprintf(path, sizeof(path), "%s.sock", rig->disk);
    rig->server = bind_to(rig, path, 0);
    assert_int_equal(vh_sock_new(&first, connect_to(path)), 0);
    assert_int_equal(vh_sock_new(&second, connect_to(path)), 0);
    vh_msg_init(&msg, VH_GET_FEATURES);
    vh_sock_queue(first, &msg);
    vh_sock_queue(second, &msg);
    vh_sock_send(first);
    vh_sock_send(second);
    rig_turn(rig);
    assert_int_equal(vh_sock_receive(first, &msg, false, &why), 1);
    assert_int_equal(vh_sock_receive(second, &msg, false, &why), 0);
    vh_sock_free(first);
    rig_turn(rig);
    assert_int_equal(vh_sock_receive(second, &msg, false, &why), 1);
    vh_sock_free(second);
    assert_int_equal(rig_turn(rig), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_offers_what_a_disk_has),
        T(test_a_read_only_disk_takes_no_writes_of_any_kind),
        T(test_hides_what_it_is_told_to_hide),
        T(test_features_not_offered_are_refused_and_cost_features_ok),
        T(test_protocol_features_not_offered_end_the_session),
        T(test_gives_as_much_configuration_as_is_asked),
        T(test_configuration_beyond_its_end_is_an_empty_answer),
        T(test_a_part_of_a_block_at_the_end_does_not_count),
        T(test_writing_configuration_is_refused),
        T(test_acknowledges_only_where_that_was_negotiated),
        T(test_an_answer_of_its_own_is_not_acknowledged_too),
        T(test_what_was_not_negotiated_is_refused),
        T(test_a_region_beyond_its_file_is_refused),
        T(test_regions_that_overlap_or_wrap_are_refused),
        T(test_only_a_region_that_is_there_can_be_removed),
        T(test_takes_as_many_regions_as_it_says),
        T(test_a_refused_table_leaves_the_old_one),
        T(test_a_ring_outside_memory_does_not_start),
        T(test_a_ring_may_be_enabled_before_the_features_are_set),
        T(test_queues_that_can_not_be_are_refused),
        T(test_an_fd_that_is_no_eventfd_is_refused),
        T(test_an_fd_refused_without_an_ack_ends_the_session),
        T(test_a_queue_that_never_ran_has_the_base_it_was_given),
        T(test_a_message_against_the_protocol_ends_the_session),
        T(test_asking_the_base_of_no_queue_ends_the_session),
        T(test_survives_whatever_is_sent),
        T(test_bytes_that_are_no_message_end_the_session),
        T(test_a_front_end_that_never_reads_is_sent_away),
        T(test_a_front_end_that_reads_late_gets_all_its_answers),
        T(test_a_stale_socket_is_replaced_and_a_live_one_is_not),
        T(test_what_is_no_socket_is_never_removed),
        T(test_a_path_that_others_took_over_stays),
        T(test_a_path_too_long_is_said_to_be),
        T(test_files_that_can_not_be_served_are_named),
        T(test_front_ends_are_served_one_after_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
