/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <vhost/virtq.h>

#include "cli.h"
#include "rings.h"

#define QUEUE_SIZE_MIN 4u
#define QUEUE_SIZE_MAX 32768u

enum { KEY_QUEUE_SIZE = 1000, KEY_LAYOUT };

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "queue-size", .key = KEY_QUEUE_SIZE, .arg = "N",
      .doc = "entries of each queue, a power of two from 4 to 32768 "
             "(default: 256)" },
    { .name = "layout", .key = KEY_LAYOUT, .arg = "NAME",
      .doc = "of the rings: auto, split, split-in-order, packed or "
             "packed-in-order (default: auto)" },
    { 0 },
};
/* clang-format on */

static unsigned need_layout(struct argp_state *state, const char *text)
{
    const char *name;

    for (unsigned i = 0; (name = vhost_layout_name(i)); i++) {
        if (strcmp(name, text) == 0) {
            return i;
        }
    }
    argp_error(state,
               "--layout is auto, split, split-in-order, packed or "
               "packed-in-order, not '%s'",
               text);
    return VHOST_LAYOUT_AUTO;
}

static unsigned need_queue_size(struct argp_state *state, const char *text)
{
    unsigned n = cli_need_number(state, "queue-size", text, QUEUE_SIZE_MAX);

    if (n < QUEUE_SIZE_MIN || (n & (n - 1)) != 0) {
        argp_error(state,
                   "--queue-size takes a power of two from %u to %u, not '%s'",
                   QUEUE_SIZE_MIN, QUEUE_SIZE_MAX, text);
    }
    return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct rings *rings = state->input;

    switch (key) {
    case KEY_QUEUE_SIZE:
        rings->queue_size = need_queue_size(state, arg);
        return 0;
    case KEY_LAYOUT:
        rings->layout = need_layout(state, arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp rings_argp = { .options = options, .parser = parse };
