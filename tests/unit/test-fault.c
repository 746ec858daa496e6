/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "fault.h"

static void test_faults_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *request;
        unsigned kind, nth, ms;
    } cases[] = {
        { "close@20", NULL, VHOST_SERVER_FAULT_CLOSE, 20, 0 },
        { "drop@1", NULL, VHOST_SERVER_FAULT_DROP, 1, 0 },
        { "error@SET_MEM_TABLE", "SET_MEM_TABLE", VHOST_SERVER_FAULT_ERROR, 0,
          0 },
        { "delay=500@GET_VRING_BASE:2", "GET_VRING_BASE",
          VHOST_SERVER_FAULT_DELAY, 2, 500 },
        { "delay=0@3", NULL, VHOST_SERVER_FAULT_DELAY, 3, 0 },
        { "delay=86400000@X", "X", VHOST_SERVER_FAULT_DELAY, 0, 86400000 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhost_server_fault fault;
        char text[64];

        strcpy(text, cases[i].text);
        assert_int_equal(fault_parse(text, &fault), 0);
        assert_int_equal(fault.kind, cases[i].kind);
        assert_int_equal(fault.nth, cases[i].nth);
        assert_int_equal(fault.delay_ms, cases[i].ms);
        if (cases[i].request) {
            assert_string_equal(fault.request, cases[i].request);
        } else {
            assert_null(fault.request);
        }
    }
}

static void test_garbage_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "close",
        "close@",
        "@1",
        "close@0",
        "close@1x",
        "close@:1",
        "close@A:0",
        "close@A:",
        "shut@1",
        "delay@1",
        "delay=@1",
        "delay=x@1",
        "close=1@1",
        "delay=86400001@1",
        "delay=1234567890123456@1",
        "closed@1",
        "close@-1x:",
        "drop@A:-1",
        "delay=-5@1",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vhost_server_fault fault;
        char text[64];

        strcpy(text, cases[i]);
        if (fault_parse(text, &fault) != -EINVAL) {
            fail_msg("'%s' is taken", cases[i]);
        }
        assert_string_equal(text, cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_are_read),
        cmocka_unit_test(test_garbage_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
