/* SPDX-License-Identifier: BSD-3-Clause */
/* The entropy driver on a device that gives a little, nothing, or too much. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "scripted.h"

#include <vhost/rng.h>

#define RNG 4

struct source {
    atomic_uint next;
    atomic_uint most; /* of a buffer */
};

static uint32_t on_buffer(struct scripted *s, const struct scripted_buffer *b)
{
    struct source *source = scripted_arg(s);
    uint32_t n = 0;

    if (source->most == SCRIPTED_HOLD) {
        return SCRIPTED_HOLD;
    }
    while (n < b->in_len && n < source->most) {
        b->in[n++] = (uint8_t)(source->next++ * 7);
    }
    return n;
}

static struct vhost_rng *open_rng(struct scripted *s, unsigned layout,
                                  unsigned request_ms)
{
    struct vhost_driver_options options = { .size = sizeof(options),
                                            .request_ms = request_ms,
                                            .layout = layout };
    struct vhost_error *error = NULL;
    struct vhost_rng *rng = vhost_rng_open(scripted_uri(s), &options, &error);

    if (!rng) {
        fail_msg("%s", vhost_error_message(error));
    }
    return rng;
}

static void test_reads_all_that_is_asked_for(void **state)
{
    struct source source = { .most = 1000 };
    struct scripted *s = scripted_up(RNG, 1, on_buffer, &source);
    uint8_t data[10007];

    (void)state;
    for (unsigned l = VHOST_LAYOUT_AUTO; l <= VHOST_LAYOUT_PACKED_IN_ORDER;
         l++) {
        struct vhost_rng *rng = open_rng(s, l, 0);
        unsigned from = source.next;

        assert_int_equal(vhost_rng_read(rng, data, sizeof(data), NULL), 0);
        for (unsigned i = 0; i < sizeof(data); i++) {
            assert_int_equal(data[i], (uint8_t)((from + i) * 7));
        }
        vhost_rng_close(rng);
    }
    scripted_down(s);
}

static int read_once(uint32_t most, uint32_t claim)
{
    struct source source = { .most = most };
    struct scripted *s = scripted_up(RNG, 1, on_buffer, &source);
    struct vhost_rng *rng =
        open_rng(s, VHOST_LAYOUT_AUTO, most == SCRIPTED_HOLD ? 100 : 0);
    struct vhost_error *error = NULL;
    uint8_t data[100];
    int r;

    scripted_claim(s, claim);
    r = vhost_rng_read(rng, data, sizeof(data), &error);
    assert_true(r == 0 || error);
    vhost_error_free(error);
    vhost_rng_close(rng);
    scripted_down(s);
    return r;
}

static void test_an_empty_buffer_is_a_broken_rule(void **state)
{
    (void)state;
    assert_int_equal(read_once(0, 0), -EPROTO);
}

static void test_more_than_there_is_room_for_is_a_broken_rule(void **state)
{
    (void)state;
    assert_int_equal(read_once(100, 1), -EPROTO);
}

static void test_a_device_that_holds_on_is_given_up(void **state)
{
    (void)state;
    assert_int_equal(read_once(SCRIPTED_HOLD, 0), -ETIMEDOUT);
}

static void test_nobody_there_is_an_error_with_the_uri(void **state)
{
    struct vhost_error *error = NULL;

    (void)state;
    assert_null(vhost_rng_open("user:no-such.sock", NULL, &error));
    assert_int_equal(strncmp(vhost_error_message(error), "user:no-such.sock",
                             strlen("user:no-such.sock")),
                     0);
    vhost_error_free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_all_that_is_asked_for),
        cmocka_unit_test(test_an_empty_buffer_is_a_broken_rule),
        cmocka_unit_test(test_more_than_there_is_room_for_is_a_broken_rule),
        cmocka_unit_test(test_a_device_that_holds_on_is_given_up),
        cmocka_unit_test(test_nobody_there_is_an_error_with_the_uri),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
