/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of messages, against the list in the specification. */
#include "check.h"

#include <string.h>

#include "wire/table.h"

/* Sizes and fds have their golden bytes in test-codec. */
struct fact {
    const char *name;
    unsigned id;
    int gate;
    enum vh_reply_rule reply;
    bool per_device;
};

#define NONE VH_REPLY_NONE
#define ACK VH_REPLY_ACK_WANTED
#define LATER VH_REPLY_ACK_COVERED
#define MUST VH_REPLY_ACK_ALWAYS
#define OWN VH_REPLY_OWN

/* clang-format off */
static const struct fact front[] = {
    { "GET_FEATURES",              1, VH_GATE_NONE,           OWN,  false },
    { "SET_FEATURES",              2, VH_GATE_NONE,           ACK,  false },
    { "SET_OWNER",                 3, VH_GATE_NONE,           NONE, true  },
    { "RESET_OWNER",               4, VH_GATE_NONE,           NONE, true  },
    { "SET_MEM_TABLE",             5, VH_GATE_NONE,           VH_REPLY_IF_POSTCOPY, true },
    { "SET_LOG_BASE",              6, VH_GATE_NONE,           VH_REPLY_IF_LOG_SHMFD, true },
    { "SET_LOG_FD",                7, VH_GATE_NONE,           NONE, false },
    { "SET_VRING_NUM",             8, VH_GATE_NONE,           NONE, false },
    { "SET_VRING_ADDR",            9, VH_GATE_NONE,           ACK,  false },
    { "SET_VRING_BASE",           10, VH_GATE_NONE,           NONE, false },
    { "GET_VRING_BASE",           11, VH_GATE_NONE,           OWN,  false },
    { "SET_VRING_KICK",           12, VH_GATE_NONE,           LATER, false },
    { "SET_VRING_CALL",           13, VH_GATE_NONE,           LATER, false },
    { "SET_VRING_ERR",            14, VH_GATE_NONE,           LATER, false },
    { "GET_PROTOCOL_FEATURES",    15, VH_GATE_PROTOCOL,       OWN,  false },
    { "SET_PROTOCOL_FEATURES",    16, VH_GATE_PROTOCOL,       NONE, false },
    { "GET_QUEUE_NUM",            17, 0,                      OWN,  true  },
    { "SET_VRING_ENABLE",         18, VH_GATE_PROTOCOL_ACKED, ACK,  false },
    { "SEND_RARP",                19, 2,                      NONE, false },
    { "NET_SET_MTU",              20, 4,                      ACK,  true  },
    { "SET_BACKEND_REQ_FD",       21, 5,                      ACK,  true  },
    { "IOTLB_MSG",                22, VH_GATE_IOMMU,          MUST, false },
    { "SET_VRING_ENDIAN",         23, 6,                      NONE, false },
    { "GET_CONFIG",               24, 9,                      OWN,  false },
    { "SET_CONFIG",               25, 9,                      ACK,  false },
    { "CREATE_CRYPTO_SESSION",    26, 7,                      OWN,  false },
    { "CLOSE_CRYPTO_SESSION",     27, 7,                      NONE, false },
    { "POSTCOPY_ADVISE",          28, 8,                      OWN,  false },
    { "POSTCOPY_LISTEN",          29, 8,                      MUST, false },
    { "POSTCOPY_END",             30, 8,                      MUST, false },
    { "GET_INFLIGHT_FD",          31, 12,                     OWN,  false },
    { "SET_INFLIGHT_FD",          32, 12,                     NONE, false },
    { "GPU_SET_SOCKET",           33, VH_GATE_NONE,           NONE, false },
    { "RESET_DEVICE",             34, 13,                     NONE, true  },
    { "VRING_KICK",               35, 14,                     ACK,  false },
    { "GET_MAX_MEM_SLOTS",        36, 15,                     OWN,  false },
    { "ADD_MEM_REG",              37, 15,                     VH_REPLY_IF_POSTCOPY, true },
    { "REM_MEM_REG",              38, 15,                     ACK,  true  },
    { "SET_STATUS",               39, 16,                     NONE, false },
    { "GET_STATUS",               40, 16,                     OWN,  false },
    { "GET_SHARED_OBJECT",        41, 18,                     OWN,  false },
    { "SET_DEVICE_STATE_FD",      42, 19,                     OWN,  false },
    { "CHECK_DEVICE_STATE",       43, 19,                     OWN,  false },
    { "GET_SHMEM_CONFIG",         44, 22,                     OWN,  false },
    { "GET_VRING_BASE_SKIP_DRAIN", 45, 23,                    OWN,  false },
};

static const struct fact back[] = {
    { "BACKEND_IOTLB_MSG",               1, VH_GATE_IOMMU, NONE, false },
    { "BACKEND_CONFIG_CHANGE_MSG",       2, 9,             NONE, false },
    { "BACKEND_VRING_HOST_NOTIFIER_MSG", 3, 11,            ACK,  false },
    { "BACKEND_VRING_CALL",              4, 14,            NONE, false },
    { "BACKEND_VRING_ERR",               5, 14,            NONE, false },
    { "BACKEND_SHARED_OBJECT_ADD",       6, 18,            NONE, false },
    { "BACKEND_SHARED_OBJECT_REMOVE",    7, 18,            NONE, false },
    { "BACKEND_SHARED_OBJECT_LOOKUP",    8, 18,            OWN,  false },
    { "BACKEND_SHMEM_MAP",               9, 22,            ACK,  false },
    { "BACKEND_SHMEM_UNMAP",            10, 22,            ACK,  false },
};

/* Bit n: the name of protocol feature n. */
static const char *const features[] = {
    "MQ", "LOG_SHMFD", "RARP", "REPLY_ACK", "MTU", "BACKEND_REQ",
    "CROSS_ENDIAN", "CRYPTO_SESSION", "PAGEFAULT", "CONFIG",
    "BACKEND_SEND_FD", "HOST_NOTIFIER", "INFLIGHT_SHMFD", "RESET_DEVICE",
    "INBAND_NOTIFICATIONS", "CONFIGURE_MEM_SLOTS", "STATUS", "XEN_MMAP",
    "SHARED_OBJECT", "DEVICE_STATE", "GET_VRING_BASE_INFLIGHT",
    "GPA_ADDRESSES", "SHMEM", "GET_VRING_BASE_SKIP_DRAIN",
};
/* clang-format on */

static void check_fact(enum vh_dir dir, const struct fact *fact)
{
    const struct vh_msg_row *row = vh_msg_row(dir, fact->id);

    assert_non_null(row);
    assert_string_equal(row->name, fact->name);
    assert_string_equal(vh_msg_name(dir, fact->id), fact->name);
    assert_int_equal(row->id, fact->id);
    assert_int_equal(row->dir, dir);
    assert_int_equal(row->gate, fact->gate);
    assert_int_equal(row->reply, fact->reply);
    assert_int_equal(row->per_device, fact->per_device);
}

static void test_every_row_is_as_the_specification_has_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(front); i++) {
        check_fact(VH_FROM_FRONT, &front[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(back); i++) {
        check_fact(VH_FROM_BACK, &back[i]);
    }
    assert_int_equal(ARRAY_SIZE(front), VH_REQUEST_END - 1);
    assert_int_equal(ARRAY_SIZE(back), VH_BACK_REQUEST_END - 1);
}

static void test_unknown_ids_have_no_row(void **state)
{
    static const uint32_t ids[] = { 0, 46, 47, 1000, UINT32_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        assert_null(vh_msg_row(VH_FROM_FRONT, ids[i]));
        assert_null(vh_msg_row(VH_FROM_BACK, ids[i]));
        assert_string_equal(vh_msg_name(VH_FROM_FRONT, ids[i]),
                            "unknown request");
    }
    assert_null(vh_msg_row(VH_FROM_BACK, 11));
}

static void test_rows_are_sorted_and_all_reachable(void **state)
{
    size_t n;
    const struct vh_msg_row *rows = vh_msg_rows(&n);

    (void)state;
    assert_int_equal(n, 55);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(vh_msg_row(rows[i].dir, rows[i].id), &rows[i]);
        if (i > 0 && rows[i].dir == rows[i - 1].dir) {
            assert_true(rows[i].id > rows[i - 1].id);
        }
    }
}

static void test_bounds_are_bounds(void **state)
{
    size_t n;
    const struct vh_msg_row *rows = vh_msg_rows(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const struct vh_msg_row *row = &rows[i];

        assert_in_range(row->size_min, 0, row->size_max);
        assert_in_range(row->size_max, 0, VH_MSG_PAYLOAD_MAX);
        assert_in_range(row->fds_min, 0, row->fds_max);
        assert_in_range(row->fds_max, 0, VH_MSG_FDS_MAX);
        assert_in_range(row->reply_min, 0, row->reply_max);
        assert_in_range(row->reply_max, 0, VH_MSG_PAYLOAD_MAX);
        assert_in_range(row->reply_fds_min, 0, row->reply_fds_max);
        assert_in_range(row->reply_fds_max, 0, VH_MSG_FDS_MAX);
        assert_int_equal(row->payload == VH_PAYLOAD_NONE, row->size_max == 0);
    }
}

static void test_protocol_features_have_their_names(void **state)
{
    char name[64];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        strcpy(name, "VHOST_USER_PROTOCOL_F_");
        strcat(name, features[i]);
        assert_string_equal(vh_protocol_feature_name(i), name);
    }
    assert_null(vh_protocol_feature_name(24));
    assert_null(vh_protocol_feature_name(63));
    assert_null(vh_protocol_feature_name(UINT32_MAX));
}

/* Which bits a bit needs, by its number. */
static uint64_t needed_by(unsigned bit)
{
    switch (bit) {
    case 10:
    case 11:
    case 18:
    case 22:
        return 1u << 5;
    case 14:
        return 1u << 3 | 1u << 5;
    case 20:
        return 1u << 12;
    case 23:
        return 1u << 20;
    default:
        return 0;
    }
}

/* Take bits away until none lacks anything: as slowly as one can. */
static uint64_t usable_model(uint64_t set)
{
    for (int round = 0; round < 24; round++) {
        for (unsigned bit = 0; bit < 24; bit++) {
            if ((set >> bit & 1) && (needed_by(bit) & ~set)) {
                set &= ~(UINT64_C(1) << bit);
                break;
            }
        }
    }
    return set;
}

static void test_bits_without_what_they_need_are_dropped(void **state)
{
    (void)state;
    for (uint64_t set = 0; set < UINT64_C(1) << 24; set += 5) {
        assert_int_equal(vh_protocol_features_usable(set), usable_model(set));
    }
    assert_int_equal(vh_protocol_features_usable(UINT64_MAX), UINT64_MAX);
    assert_int_equal(vh_protocol_features_usable(0xffffff & ~(1u << 12)),
                     0xffffff & ~(1u << 12 | 1u << 20 | 1u << 23));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_as_the_specification_has_it),
        cmocka_unit_test(test_unknown_ids_have_no_row),
        cmocka_unit_test(test_rows_are_sorted_and_all_reachable),
        cmocka_unit_test(test_bounds_are_bounds),
        cmocka_unit_test(test_protocol_features_have_their_names),
        cmocka_unit_test(test_bits_without_what_they_need_are_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
