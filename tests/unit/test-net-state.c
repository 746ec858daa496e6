/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "svq/net-state.h"

#define NOTE(state, ...)                                \
    do {                                                \
        const uint8_t bytes[] = { __VA_ARGS__ };        \
        vh_net_state_note(state, bytes, sizeof(bytes)); \
    } while (0)

#define EXPECT(state, i, ...)                                   \
    do {                                                        \
        const uint8_t bytes[] = { __VA_ARGS__ };                \
        size_t got_len = 0;                                     \
        const void *got = vh_net_state_get(state, i, &got_len); \
        assert_non_null(got);                                   \
        assert_int_equal(got_len, sizeof(bytes));               \
        assert_memory_equal(got, bytes, sizeof(bytes));         \
    } while (0)

static void expect_end(const struct vh_net_state *state, size_t n)
{
    size_t len;

    assert_null(vh_net_state_get(state, n, &len));
    assert_true(vh_net_state_is_whole(state));
}

static void test_the_last_of_each_kind_is_kept_in_order(void **arg)
{
    struct vh_net_state *state = vh_net_state_new();

    (void)arg;
    expect_end(state, 0);
    NOTE(state, 0, 0, 1);                /* promiscuous */
    NOTE(state, 1, 1, 2, 0, 0, 0, 0, 1); /* a MAC address */
    NOTE(state, 0, 1, 1);                /* all multicast */
    NOTE(state, 1, 1, 2, 0, 0, 0, 0, 2);
    NOTE(state, 0, 0, 0);
    EXPECT(state, 0, 0, 1, 1);
    EXPECT(state, 1, 1, 1, 2, 0, 0, 0, 0, 2);
    EXPECT(state, 2, 0, 0, 0);
    expect_end(state, 3);
    vh_net_state_clear(state);
    expect_end(state, 0);
    vh_net_state_free(state);
}

static void test_each_vlan_is_its_own(void **arg)
{
    struct vh_net_state *state = vh_net_state_new();

    (void)arg;
    NOTE(state, 2, 0, 5, 0);
    NOTE(state, 2, 0, 6, 0);
    NOTE(state, 2, 0, 5, 1);
    NOTE(state, 2, 1, 6, 0); /* taken back */
    NOTE(state, 2, 1, 7, 0); /* never was */
    NOTE(state, 2, 0, 5, 0); /* once more */
    EXPECT(state, 0, 2, 0, 5, 1);
    EXPECT(state, 1, 2, 0, 5, 0);
    expect_end(state, 2);
    vh_net_state_free(state);
}

static void test_pairs_and_hashing_exclude_each_other(void **arg)
{
    struct vh_net_state *state = vh_net_state_new();

    (void)arg;
    NOTE(state, 4, 0, 4, 0);
    NOTE(state, 4, 1, 1, 2, 3, 4, 5, 6, 7, 8);
    EXPECT(state, 0, 4, 1, 1, 2, 3, 4, 5, 6, 7, 8);
    expect_end(state, 1);
    NOTE(state, 4, 0, 2, 0);
    EXPECT(state, 0, 4, 0, 2, 0);
    expect_end(state, 1);
    vh_net_state_free(state);
}

static void test_moderation_is_for_a_queue_or_for_all(void **arg)
{
    struct vh_net_state *state = vh_net_state_new();

    (void)arg;
    NOTE(state, 6, 0, 1, 0, 0, 0, 2, 0, 0, 0);
    NOTE(state, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0);
    NOTE(state, 6, 2, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0);
    NOTE(state, 6, 2, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0);
    NOTE(state, 6, 3, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0); /* a question */
    EXPECT(state, 0, 6, 0, 1, 0, 0, 0, 2, 0, 0, 0);
    EXPECT(state, 1, 6, 2, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0);
    EXPECT(state, 2, 6, 2, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0);
    expect_end(state, 3);
    vh_net_state_free(state);
}

static void test_what_sets_nothing_or_is_cut_off_is_left_out(void **arg)
{
    struct vh_net_state *state = vh_net_state_new();

    (void)arg;
    vh_net_state_note(state, "", 0);
    NOTE(state, 0);
    NOTE(state, 0, 0);
    NOTE(state, 1, 1, 2, 0, 0, 0, 0);
    NOTE(state, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    NOTE(state, 2, 0, 5);
    NOTE(state, 3, 0); /* an announcement was seen */
    NOTE(state, 4, 0, 1);
    NOTE(state, 4, 77, 1, 1, 1, 1);
    NOTE(state, 5, 0, 1, 2, 3, 4);
    NOTE(state, 200, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    expect_end(state, 0);
    vh_net_state_free(state);
}

static void test_all_vlans_that_there_are(void **arg)
{
    struct vh_net_state *state = vh_net_state_new();

    (void)arg;
    for (unsigned i = 0; i < 4096; i++) {
        NOTE(state, 2, 0, (uint8_t)i, (uint8_t)(i >> 8));
    }
    EXPECT(state, 4095, 2, 0, 0xff, 0x0f);
    expect_end(state, 4096);
    vh_net_state_free(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_of_each_kind_is_kept_in_order),
        cmocka_unit_test(test_each_vlan_is_its_own),
        cmocka_unit_test(test_pairs_and_hashing_exclude_each_other),
        cmocka_unit_test(test_moderation_is_for_a_queue_or_for_all),
        cmocka_unit_test(test_what_sets_nothing_or_is_cut_off_is_left_out),
        cmocka_unit_test(test_all_vlans_that_there_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
