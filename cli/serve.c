/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost serve`: the embedded back end behind a socket. */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/names.h>

#include "cli.h"
#include "fault.h"
#include "out.h"
#include "size.h"
#include "system.h"

#define POLL_US_MAX 1000000u

/* How late a signal may be noticed that arrives just before the wait. */
#define SLICE_MS 500

enum {
    KEY_SOCKET = 1000,
    KEY_POLL_US,
    KEY_HIDE,
    KEY_FEATURES,
    KEY_FAULT,
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "socket", .key = KEY_SOCKET, .arg = "PATH",
      .doc = "where front ends connect; required" },
    { .name = "poll-us", .key = KEY_POLL_US, .arg = "N",
      .doc = "look for work for N microseconds before going to sleep" },
    { .name = "hide-feature", .key = KEY_HIDE, .arg = "NAME|BIT",
      .doc = "do not offer a feature, by name or as bit of virtio; may be "
             "given several times" },
    { .name = "features", .key = KEY_FEATURES, .arg = "BITS",
      .doc = "offer only these virtio features, of those that there are: a "
             "number, hexadecimal after 0x" },
    { .name = "fault", .key = KEY_FAULT, .arg = "WHAT@WHERE",
      .doc = "go wrong on purpose, so that a front end can be tested: WHAT is "
             "delay=MS, drop, error or close; WHERE is N, the Nth request of a "
             "connection, or the NAME of a request, or NAME:N; may be given "
             "several times" },
    { .name = "verbose", .key = 'v',
      .doc = "tell of connections on standard error" },
    { 0 },
};
/* clang-format on */

static void log_line(const char *line, void *opaque)
{
    (void)opaque;
    out_error("%s", line);
}

static void hide_feature(struct argp_state *state, struct serve *s,
                         const char *what)
{
    uint64_t bit;

    if (size_parse_number(what, 0, 63, &bit) == 0) {
        s->options.hide_features |= UINT64_C(1) << bit;
        return;
    }
    for (unsigned i = 0; i < 64; i++) {
        const char *virtio = vhost_feature_name(s->device_id, i);
        const char *protocol = vhost_protocol_feature_name(i);

        if (virtio && strcmp(virtio, what) == 0) {
            s->options.hide_features |= UINT64_C(1) << i;
            return;
        }
        if (protocol && strcmp(protocol, what) == 0) {
            s->options.hide_protocol_features |= UINT64_C(1) << i;
            return;
        }
    }
    argp_error(state, "no feature is called '%s'", what);
}

static void offer_only(struct argp_state *state, struct serve *s,
                       const char *bits)
{
    unsigned long long features;
    char *end;

    errno = 0;
    features = strtoull(bits, &end, 0);
    if (errno != 0 || end == bits || *end != '\0' || bits[0] == '-') {
        argp_error(state, "--features: '%s' is no number of 64 bits", bits);
    }
    s->options.hide_features |= ~(uint64_t)features;
}

static void add_fault(struct argp_state *state, struct serve *s, char *text)
{
    struct vhost_server_fault *fault = &s->faults[s->n_faults];

    if (s->n_faults == SERVE_FAULTS_MAX) {
        argp_error(state, "--fault: more than %u", SERVE_FAULTS_MAX);
    }
    if (fault_parse(text, fault) < 0) {
        argp_error(state,
                   "--fault: '%s' is not like close@20, error@SET_MEM_TABLE or "
                   "delay=500@GET_VRING_BASE:2",
                   text);
    }
    s->n_faults++;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct serve *s = state->input;

    switch (key) {
    case KEY_SOCKET:
        s->socket = arg;
        return 0;
    case KEY_POLL_US:
        s->options.poll_us =
            cli_need_number(state, "poll-us", arg, POLL_US_MAX);
        return 0;
    case KEY_HIDE:
        hide_feature(state, s, arg);
        return 0;
    case KEY_FEATURES:
        offer_only(state, s, arg);
        return 0;
    case KEY_FAULT:
        add_fault(state, s, arg);
        return 0;
    case 'v':
        s->options.log = log_line;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp serve_argp = { .options = options, .parser = parse };

static int run_server(struct vhost_server *server)
{
    struct vhost_error *err = NULL;

    while (!system_interrupted()) {
        if (system_take_hangup() &&
            vhost_server_config_changed(server, &err) < 0) {
            out_library_error(err); /* it is as it was, so go on */
            err = NULL;
        }
        if (vhost_server_run(server, SLICE_MS, &err) < 0) {
            out_library_error(err);
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

int serve_run(const struct serve *s, struct vhost_server_device *device,
              const char *what)
{
    struct vhost_server_options all = s->options;
    struct vhost_error *err = NULL;
    struct vhost_server *server;
    int r = EXIT_FAILURE;

    all.faults = s->faults;
    all.n_faults = s->n_faults;
    system_catch_signals();
    system_catch_hangup();
    server = vhost_server_new(s->socket, device, &all, &err);
    if (!server) {
        out_library_error(err);
        return r;
    }
    printf("serving %s at %s\n", what, s->socket);
    if (system_flush() == 0) {
        r = run_server(server);
    }
    vhost_server_free(server);
    return r;
}

int serve_main(int argc, char **argv)
{
    static char name[] = "vhost serve net";

    if (argc > 1 && strcmp(argv[1], "net") == 0) {
        argv[1] = name;
        return serve_net_main(argc - 1, argv + 1);
    }
    return serve_blk_main(argc, argv);
}
