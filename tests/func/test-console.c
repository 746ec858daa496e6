/* SPDX-License-Identifier: BSD-3-Clause */
/* The console driver on a device that says again what it was told. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "scripted.h"

#include <vhost/console.h>

#define CONSOLE 3
#define WAIT_MS 5000

struct echo {
    unsigned n_empty; /* buffers to return first, with nothing in them */
};

static uint32_t on_buffer(struct scripted *s, const struct scripted_buffer *b)
{
    struct echo *echo = scripted_arg(s);

    if (b->queue == 0) {
        return SCRIPTED_HOLD;
    }
    while (echo->n_empty > 0 && scripted_give(s, 0, NULL, 0)) {
        echo->n_empty--;
    }
    assert_true(scripted_give(s, 0, b->out, b->out_len));
    return 0;
}

static struct vhost_console *open_console(struct scripted *s, unsigned layout)
{
    struct vhost_driver_options options = { .size = sizeof(options),
                                            .layout = layout };
    struct vhost_error *error = NULL;
    struct vhost_console *console =
        vhost_console_open(scripted_uri(s), &options, &error);

    if (!console) {
        fail_msg("%s", vhost_error_message(error));
    }
    return console;
}

static void test_what_is_written_comes_back_in_every_layout(void **state)
{
    struct echo echo = { 0 };
    struct scripted *s = scripted_up(CONSOLE, 2, on_buffer, &echo);
    uint8_t data[9001], back[9001];

    (void)state;
    for (unsigned l = VHOST_LAYOUT_AUTO; l <= VHOST_LAYOUT_PACKED; l++) {
        struct vhost_console *console = open_console(s, l);

        for (unsigned round = 0; round < 20; round++) {
            size_t got = 0;

            for (size_t i = 0; i < sizeof(data); i++) {
                data[i] = (uint8_t)(i * 3 + i / 300 + round);
            }
            assert_int_equal(
                vhost_console_write(console, data, sizeof(data), NULL), 0);
            while (got < sizeof(back)) { /* in pieces that fit nowhere */
                size_t max =
                    sizeof(back) - got < 777 ? sizeof(back) - got : 777;
                int n =
                    vhost_console_read(console, back + got, max, WAIT_MS, NULL);

                assert_true(n > 0 && (size_t)n <= max);
                got += (size_t)n;
            }
            assert_memory_equal(data, back, sizeof(data));
        }
        vhost_console_close(console);
    }
    scripted_down(s);
}

static void test_to_wait_in_vain_harms_nothing(void **state)
{
    struct echo echo = { .n_empty = 2 };
    struct scripted *s = scripted_up(CONSOLE, 2, on_buffer, &echo);
    struct vhost_console *console = open_console(s, VHOST_LAYOUT_AUTO);
    struct vhost_error *error = NULL;
    char back[8];

    (void)state;
    assert_int_equal(
        vhost_console_read(console, back, sizeof(back), 20, &error),
        -ETIMEDOUT);
    vhost_error_free(error);
    assert_int_equal(vhost_console_write(console, "ok", 2, NULL), 0);
    assert_int_equal(
        vhost_console_read(console, back, sizeof(back), WAIT_MS, NULL), 2);
    assert_memory_equal(back, "ok", 2);
    vhost_console_close(console);
    scripted_down(s);
}

static void test_a_device_that_goes_ends_the_wait(void **state)
{
    struct echo echo = { 0 };
    struct scripted *s = scripted_up(CONSOLE, 2, on_buffer, &echo);
    struct vhost_console *console = open_console(s, VHOST_LAYOUT_AUTO);
    char back[8];

    (void)state;
    scripted_down(s);
    assert_int_equal(vhost_console_read(console, back, sizeof(back), -1, NULL),
                     -ENOTCONN);
    assert_int_equal(vhost_console_write(console, "x", 1, NULL), -ENOTCONN);
    vhost_console_close(console);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_comes_back_in_every_layout),
        cmocka_unit_test(test_to_wait_in_vain_harms_nothing),
        cmocka_unit_test(test_a_device_that_goes_ends_the_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
