/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages and bytes: every one, both ways, and each way to be wrong. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden.h"

#define MSG_MAX (VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX)

/* "0a 00*3" to bytes.  Return: how many. */
static size_t from_hex(const char *hex, uint8_t *buf)
{
    size_t n = 0;

    while (*hex) {
        char *end;
        unsigned long byte;
        unsigned long times = 1;

        if (*hex == ' ') {
            hex++;
            continue;
        }
        byte = strtoul(hex, &end, 16);
        if (*end == '*') {
            times = strtoul(end + 1, &end, 10);
        }
        assert_true(byte <= 0xff && n + times <= MSG_MAX);
        memset(buf + n, (int)byte, times);
        n += times;
        hex = end;
    }
    return n;
}

/* The message as a caller would build it. */
static void build(const struct golden *g, struct vh_msg *msg)
{
    vh_msg_init(msg, g->request);
    msg->flags = g->flags;
    msg->size = g->size;
    msg->n_fds = g->n_fds;
    if (g->xen) {
        memcpy(msg->payload.raw, g->xen, g->size);
    } else {
        msg->payload = g->payload;
    }
}

/* What its receiver would ask. */
static int check(const struct golden *g, const struct vh_msg *msg)
{
    const char *why = NULL;
    int r = g->kind == GOLDEN_REQUEST
                ? vh_msg_check_request(g->dir, msg, &why)
                : vh_msg_check_reply(g->dir, g->request, g->kind == GOLDEN_ACK,
                                     msg, &why);

    assert_int_equal(r, why ? -EPROTO : 0);
    return r;
}

static void test_every_message_becomes_its_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        uint8_t want[MSG_MAX];
        uint8_t got[MSG_MAX];
        size_t len = from_hex(golden[i].hex, want);
        struct vh_msg msg;

        build(&golden[i], &msg);
        assert_int_equal(len, VH_MSG_HDR_SIZE + golden[i].size);
        assert_int_equal(vh_msg_encode(&msg, got), len);
        assert_memory_equal(got, want, len);
    }
}

static void test_every_message_comes_back_from_its_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        uint8_t bytes[MSG_MAX];
        struct vh_msg want;
        struct vh_msg got;

        memset(&got, 0xa5, sizeof(got));
        from_hex(golden[i].hex, bytes);
        build(&golden[i], &want);
        assert_int_equal(vh_msg_decode_header(&got, bytes), 0);
        vh_msg_decode_payload(&got, bytes + VH_MSG_HDR_SIZE);
        assert_int_equal(got.request, want.request);
        assert_int_equal(got.flags, want.flags);
        assert_int_equal(got.size, want.size);
        assert_memory_equal(&got.payload, &want.payload, got.size);
        got.n_fds = golden[i].n_fds;
        assert_int_equal(check(&golden[i], &got), 0);
    }
}

static bool have_golden(const struct vh_msg_row *row, enum golden_kind kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        if (golden[i].dir == row->dir && golden[i].request == row->id &&
            golden[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static void test_no_message_lacks_its_bytes(void **state)
{
    size_t n;
    const struct vh_msg_row *rows = vh_msg_rows(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        bool answers = rows[i].reply == VH_REPLY_OWN ||
                       rows[i].reply == VH_REPLY_IF_LOG_SHMFD ||
                       rows[i].reply == VH_REPLY_IF_POSTCOPY;

        if (!have_golden(&rows[i], GOLDEN_REQUEST) ||
            have_golden(&rows[i], GOLDEN_ANSWER) != answers) {
            fail_msg("%s", rows[i].name);
        }
    }
}

/* Is there a message like this one, but of this size? */
static bool size_is_golden(const struct golden *g, uint32_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        if (golden[i].dir == g->dir && golden[i].request == g->request &&
            golden[i].kind == g->kind && golden[i].size == size) {
            return true;
        }
    }
    return false;
}

/* Crypto sessions are opaque, and a configuration may have any length. */
static bool size_is_free(const struct golden *g)
{
    return g->request == VH_CREATE_CRYPTO_SESSION ||
           (g->request == VH_GET_CONFIG && g->kind == GOLDEN_ANSWER);
}

static void test_a_size_that_is_not_listed_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        const struct golden *g = &golden[i];
        struct vh_msg msg;

        build(g, &msg);
        if (g->dir == VH_FROM_FRONT && size_is_free(g)) {
            continue;
        }
        for (uint32_t size = 0; size <= VH_MSG_PAYLOAD_MAX; size++) {
            msg.size = size;
            if (!size_is_golden(g, size) && check(g, &msg) == 0) {
                fail_msg("%s of size %u passes",
                         vh_msg_name(g->dir, g->request), size);
            }
        }
    }
}

static void test_a_configuration_may_be_refused_but_not_cut_off(void **state)
{
    struct vh_msg msg;
    const char *why;

    (void)state;
    vh_msg_init(&msg, VH_GET_CONFIG);
    msg.flags = 5;
    for (uint32_t size = 0; size <= 300; size++) {
        bool fits = size == 0 || (size >= 12 && size <= 268);

        msg.size = size;
        assert_int_equal(
            vh_msg_check_reply(VH_FROM_FRONT, VH_GET_CONFIG, false, &msg, &why),
            fits ? 0 : -EPROTO);
    }
}

static void test_a_number_of_fds_that_is_not_listed_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        const struct golden *g = &golden[i];
        struct vh_msg msg;

        build(g, &msg);
        for (unsigned n = 0; n <= VH_MSG_FDS_MAX; n++) {
            msg.n_fds = n;
            if ((check(g, &msg) == 0) != !!(g->fds_ok & (1u << n))) {
                fail_msg("%s of size %u with %u fds",
                         vh_msg_name(g->dir, g->request), g->size, n);
            }
        }
    }
}

static void test_flags_tell_requests_from_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        const struct golden *g = &golden[i];
        struct vh_msg msg;

        build(g, &msg);
        for (uint32_t flags = 0; flags < 16; flags++) {
            bool fits = g->kind == GOLDEN_REQUEST ? !(flags & 4) : flags == 5;

            msg.flags = flags;
            assert_int_equal(check(g, &msg), fits ? 0 : -EPROTO);
        }
    }
}

static void test_the_reply_to_another_request_fails(void **state)
{
    struct vh_msg msg;
    const char *why = NULL;

    (void)state;
    vh_msg_init_u64(&msg, VH_GET_FEATURES, 1);
    msg.flags = 5;
    assert_int_equal(
        vh_msg_check_reply(VH_FROM_FRONT, VH_GET_QUEUE_NUM, false, &msg, &why),
        -EPROTO);
    assert_string_equal(why, "the reply to another request");
    assert_int_equal(
        vh_msg_check_reply(VH_FROM_FRONT, VH_GET_FEATURES, false, &msg, &why),
        0);
}

static void test_unknown_requests_fail(void **state)
{
    static const uint32_t unknown[] = { 0, VH_REQUEST_END, 1000, UINT32_MAX };
    const char *why;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        struct vh_msg msg;

        vh_msg_init(&msg, unknown[i]);
        assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why),
                         -EPROTO);
        assert_int_equal(vh_msg_check_request(VH_FROM_BACK, &msg, &why),
                         -EPROTO);
        assert_int_equal(
            vh_msg_check_reply(VH_FROM_FRONT, unknown[i], true, &msg, &why),
            -EPROTO);
    }
}

static void test_headers_of_other_versions_and_sizes_fail(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags < 16; flags++) {
        const uint32_t header[] = { 1, flags, 8 };
        uint8_t bytes[sizeof(header)];
        struct vh_msg msg;

        memcpy(bytes, header, sizeof(bytes));
        assert_int_equal(vh_msg_decode_header(&msg, bytes),
                         (flags & 3) == 1 ? 0 : -EPROTO);
    }
    for (uint64_t size = 4090; size <= UINT32_MAX; size += size / 3 * 2 + 1) {
        const uint32_t header[] = { 1, 1, (uint32_t)size };
        uint8_t bytes[sizeof(header)];
        struct vh_msg msg;

        memcpy(bytes, header, sizeof(bytes));
        assert_int_equal(vh_msg_decode_header(&msg, bytes),
                         size <= 4096 ? 0 : -EPROTO);
    }
    for (uint32_t size = 4096; size <= 4097; size++) {
        const uint32_t header[] = { 1, 1, size };
        uint8_t bytes[sizeof(header)];
        struct vh_msg msg;

        memcpy(bytes, header, sizeof(bytes));
        assert_int_equal(vh_msg_decode_header(&msg, bytes),
                         size == 4096 ? 0 : -EPROTO);
    }
}

/* Every request that names a queue, with @index for its index. */
static int check_with_index(const struct golden *g, uint64_t index)
{
    struct vh_msg msg;

    build(g, &msg);
    switch (vh_msg_row(g->dir, g->request)->payload) {
    case VH_PAYLOAD_STATE:
        msg.payload.state.index = (uint32_t)index;
        break;
    case VH_PAYLOAD_ADDR:
        msg.payload.addr.index = (uint32_t)index;
        break;
    default: /* u64 and area */
        msg.payload.u64 = (msg.payload.u64 & VH_VRING_NOFD) | index;
        break;
    }
    return check(g, &msg);
}

static bool names_a_queue(const struct golden *g)
{
    const struct vh_msg_row *row = vh_msg_row(g->dir, g->request);

    return g->kind == GOLDEN_REQUEST &&
           (row->payload == VH_PAYLOAD_STATE ||
            row->payload == VH_PAYLOAD_ADDR ||
            row->payload == VH_PAYLOAD_AREA ||
            (row->payload == VH_PAYLOAD_U64 && row->fds_max > 0));
}

static void test_queues_above_255_fail(void **state)
{
    unsigned n = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        if (!names_a_queue(&golden[i])) {
            continue;
        }
        n++;
        assert_int_equal(check_with_index(&golden[i], 0), 0);
        assert_int_equal(check_with_index(&golden[i], 255), 0);
        /* 256 is the first, but in the others it is the no-fd bit */
        if (golden[i].size != 24 && golden[i].n_fds == 0 &&
            !(golden[i].payload.u64 & VH_VRING_NOFD)) {
            assert_int_equal(check_with_index(&golden[i], 256), -EPROTO);
        }
        assert_int_equal(check_with_index(&golden[i], 0x200), -EPROTO);
        assert_int_equal(check_with_index(&golden[i], 0x80000000), -EPROTO);
    }
    assert_true(n >= 20);
}

static void test_the_no_fd_bit_must_agree_with_the_fds(void **state)
{
    struct vh_msg msg;
    const char *why;

    (void)state;
    for (uint32_t id = VH_SET_VRING_KICK; id <= VH_SET_VRING_ERR; id++) {
        vh_msg_init_fd(&msg, id, 3, 0); /* 0 is an fd */
        assert_int_equal(msg.n_fds, 1);
        assert_int_equal(msg.payload.u64, 3);
        assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why), 0);
        msg.n_fds = 0;
        assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why),
                         -EPROTO);
        vh_msg_init_fd(&msg, id, 3, -1);
        assert_int_equal(msg.n_fds, 0);
        assert_int_equal(msg.payload.u64, 0x103);
        assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why), 0);
        msg.n_fds = 1;
        assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why),
                         -EPROTO);
    }
}

static void test_a_memory_table_that_lies_about_itself_fails(void **state)
{
    struct vh_msg msg;
    const char *why;

    (void)state;
    vh_msg_init(&msg, VH_SET_MEM_TABLE);
    for (uint32_t n = 0; n <= 12; n++) {
        for (uint32_t claimed = 0; claimed <= 12; claimed++) {
            bool fits = n == claimed && n <= 8;

            msg.payload.table.n = claimed;
            msg.size = 8 + 32 * n;
            msg.n_fds = n < 8 ? n : 8;
            /* 5 regions of 32 bytes are as long as 4 of Xen's 40 */
            if (n * 32 == claimed * 40 && claimed > 0) {
                msg.n_fds = claimed;
                fits = claimed <= 8;
            }
            assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why),
                             fits ? 0 : -EPROTO);
        }
    }
    msg.payload.table.n = 0x08000001; /* 32 times that wraps around to 32 */
    msg.size = 8 + 32;
    msg.n_fds = 1;
    assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why), -EPROTO);
}

static void test_a_configuration_that_lies_about_its_length_fails(void **state)
{
    struct vh_msg msg;
    const char *why;

    (void)state;
    vh_msg_init(&msg, VH_SET_CONFIG);
    msg.size = 12 + 60;
    msg.payload.config.size = 60;
    assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why), 0);
    msg.payload.config.size = 61;
    assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why), -EPROTO);
    msg.payload.config.size = 0;
    assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why), -EPROTO);
    msg.payload.config.size = 257;
    msg.size = 12 + 257;
    assert_int_equal(vh_msg_check_request(VH_FROM_FRONT, &msg, &why), -EPROTO);
}

static void test_what_a_short_payload_leaves_out_is_zero(void **state)
{
    static const uint8_t ones[VH_MSG_PAYLOAD_MAX] = { 1, 1, 1, 1 };
    static const uint8_t zeros[sizeof(struct vh_config) + 64];
    struct vh_msg msg;

    (void)state;
    for (uint32_t size = 0; size < sizeof(zeros); size++) {
        memset(&msg, 0xa5, sizeof(msg));
        msg.size = size;
        vh_msg_decode_payload(&msg, ones);
        assert_memory_equal(msg.payload.raw, ones, size);
        assert_memory_equal(msg.payload.raw + size, zeros,
                            sizeof(zeros) - size);
    }
}

static void test_a_new_message_is_clean(void **state)
{
    struct vh_msg msg;

    (void)state;
    memset(&msg, 0xa5, sizeof(msg));
    vh_msg_init(&msg, VH_SET_OWNER);
    assert_int_equal(msg.request, 3);
    assert_int_equal(msg.flags, 1);
    assert_int_equal(msg.size, 0);
    assert_int_equal(msg.n_fds, 0);
    for (size_t i = 0; i < ARRAY_SIZE(msg.fds); i++) {
        assert_int_equal(msg.fds[i], -1);
    }
    for (size_t i = 0; i < sizeof(msg.payload); i++) {
        assert_int_equal(msg.payload.raw[i], 0);
    }
}

static void test_short_hands_fill_in_their_payload(void **state)
{
    struct vh_msg msg;

    (void)state;
    vh_msg_init_u64(&msg, VH_SET_FEATURES, 0x123456789);
    assert_int_equal(msg.request, VH_SET_FEATURES);
    assert_int_equal(msg.size, 8);
    assert_int_equal(msg.payload.u64, 0x123456789);
    vh_msg_init_state(&msg, VH_SET_VRING_NUM, 3, 256);
    assert_int_equal(msg.size, 8);
    assert_int_equal(msg.payload.state.index, 3);
    assert_int_equal(msg.payload.state.num, 256);
    assert_int_equal(msg.n_fds, 0);
}

static void test_closing_closes_what_came(void **state)
{
    struct vh_msg msg;
    int pipes[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    vh_msg_init(&msg, VH_SET_MEM_TABLE);
    memcpy(msg.fds, pipes, sizeof(pipes));
    msg.n_fds = 2;
    vh_msg_close_fds(&msg);
    assert_int_equal(msg.n_fds, 0);
    assert_int_equal(msg.fds[0], -1);
    assert_int_equal(fcntl(pipes[0], F_GETFD), -1);
    assert_int_equal(fcntl(pipes[1], F_GETFD), -1);
    vh_msg_close_fds(&msg);
}

/* Whatever comes: what passes keeps to its row. */
static void test_random_bytes_pass_only_within_bounds(void **state)
{
    uint64_t seed = 88172645463325252u;
    struct vh_msg msg;
    unsigned passed = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        const struct vh_msg_row *row;
        const char *why = NULL;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        memset(&msg.payload, 0, 512);
        msg.request = (uint32_t)(seed % 48);
        msg.flags = 1;
        msg.size = (uint32_t)(seed >> 8) % 340;
        msg.n_fds = (unsigned)(seed >> 20) % 9;
        msg.payload.state.index = (uint32_t)(seed >> 32) % 512;
        msg.payload.config.size = (uint32_t)(seed >> 41) % 300;
        if (vh_msg_check_request(VH_FROM_FRONT, &msg, &why) < 0) {
            assert_non_null(why);
            continue;
        }
        passed++;
        row = vh_msg_row(VH_FROM_FRONT, msg.request);
        assert_non_null(row);
        assert_in_range(msg.size, row->size_min, row->size_max);
        assert_in_range(msg.n_fds, row->fds_min, row->fds_max);
    }
    assert_true(passed > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_becomes_its_bytes),
        cmocka_unit_test(test_every_message_comes_back_from_its_bytes),
        cmocka_unit_test(test_no_message_lacks_its_bytes),
        cmocka_unit_test(test_a_size_that_is_not_listed_fails),
        cmocka_unit_test(test_a_configuration_may_be_refused_but_not_cut_off),
        cmocka_unit_test(test_a_number_of_fds_that_is_not_listed_fails),
        cmocka_unit_test(test_flags_tell_requests_from_replies),
        cmocka_unit_test(test_the_reply_to_another_request_fails),
        cmocka_unit_test(test_unknown_requests_fail),
        cmocka_unit_test(test_headers_of_other_versions_and_sizes_fail),
        cmocka_unit_test(test_queues_above_255_fail),
        cmocka_unit_test(test_the_no_fd_bit_must_agree_with_the_fds),
        cmocka_unit_test(test_a_memory_table_that_lies_about_itself_fails),
        cmocka_unit_test(test_a_configuration_that_lies_about_its_length_fails),
        cmocka_unit_test(test_what_a_short_payload_leaves_out_is_zero),
        cmocka_unit_test(test_a_new_message_is_clean),
        cmocka_unit_test(test_short_hands_fill_in_their_payload),
        cmocka_unit_test(test_closing_closes_what_came),
        cmocka_unit_test(test_random_bytes_pass_only_within_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
