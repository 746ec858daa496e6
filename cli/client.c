/* SPDX-License-Identifier: BSD-3-Clause */
/* Options and arguments that several verbs have. */
#include <errno.h>
#include <string.h>

#include "cli.h"
#include "size.h"

enum { KEY_DEADLINE = 1000, KEY_JSON, KEY_RECONNECT };

/* A day: what is longer is a mistake, and fits no int of milliseconds. */
#define DEADLINE_MAX 86400000u
#define RECONNECT_MAX 86400u

static const struct argp_option options[] = {
    { .name = "deadline",
      .key = KEY_DEADLINE,
      .arg = "MS",
      .doc = "give up when the back end leaves a message or all requests "
             "unanswered for MS milliseconds (default: 5000 for messages, "
             "30000 for requests)" },
    { .name = "json",
      .key = KEY_JSON,
      .doc = "print the result as one JSON object" },
    { 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct client *client = state->input;

    switch (key) {
    case KEY_DEADLINE:
        client->deadline_ms =
            cli_need_number(state, "deadline", arg, DEADLINE_MAX);
        client->request_ms = client->deadline_ms;
        return 0;
    case KEY_JSON:
        client->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp client_argp = { .options = options, .parser = parse };

static const struct argp_option reconnect_options[] = {
    { .name = "reconnect",
      .key = KEY_RECONNECT,
      .arg = "SECONDS",
      .doc = "when the back end goes away, wait for another at the same place "
             "(default: fail at once)" },
    { 0 },
};

static error_t parse_reconnect(int key, char *arg, struct argp_state *state)
{
    struct client *client = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = client;
        return 0;
    case KEY_RECONNECT:
        client->reconnect_ms =
            cli_need_number(state, "reconnect", arg, RECONNECT_MAX) * 1000;
        return 0;
    case ARGP_KEY_END:
        /* Nothing completes while nobody is there. */
        client->request_ms += client->reconnect_ms;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child reconnect_children[] = {
    { .argp = &client_argp }, { 0 }
};

const struct argp reconnect_argp = { .options = reconnect_options,
                                     .parser = parse_reconnect,
                                     .children = reconnect_children };

const char *client_uri_path(const char *name)
{
    static const char *const schemes[] = { "user:", "kernel:", "vdpa:" };

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i]);

        if (strncmp(name, schemes[i], len) == 0) {
            return name + len;
        }
    }
    return NULL;
}

unsigned cli_need_number(struct argp_state *state, const char *option,
                         const char *text, unsigned max)
{
    uint64_t number = 0;

    if (size_parse_number(text, 1, max, &number) < 0) {
        argp_error(state, "--%s takes a number from 1 to %u, not '%s'", option,
                   max, text);
    }
    return (unsigned)number;
}

uint64_t cli_need_size(struct argp_state *state, const char *option,
                       const char *text, uint64_t min, uint64_t max)
{
    char least[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX];
    uint64_t size = 0;

    if (size_parse(text, &size) < 0 || size < min || size > max ||
        (size & (size - 1)) != 0) {
        argp_error(state,
                   "--%s takes a power of two from %s to %s, such as 4K or "
                   "1M, not '%s'",
                   option, size_format(least, (double)min),
                   size_format(most, (double)max), text);
    }
    return size;
}
