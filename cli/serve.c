/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost serve`: the embedded back end behind a socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include <linux/virtio_ids.h>
#include <vhost/names.h>
#include <vhost/server.h>

#include "cli.h"
#include "out.h"
#include "size.h"
#include "system.h"

#define QUEUES_MAX 256u
#define QUEUE_SIZE_MAX 32768u
#define POLL_US_MAX 1000000u
#define SERIAL_MAX 20u

/* How late a signal may be noticed that arrives just before the wait. */
#define SLICE_MS 500

enum {
    KEY_SOCKET = 1000,
    KEY_READONLY,
    KEY_QUEUES,
    KEY_QUEUE_SIZE,
    KEY_BLOCK_SIZE,
    KEY_DIRECT,
    KEY_SERIAL,
    KEY_POLL_US,
    KEY_HIDE,
};

struct serve {
    const char *type;
    const char *file;
    const char *socket;
    struct vhost_server_blk_options blk;
    struct vhost_server_options server;
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "socket", .key = KEY_SOCKET, .arg = "PATH",
      .doc = "where front ends connect; required" },
    { .name = "readonly", .key = KEY_READONLY, .doc = "take no writes" },
    { .name = "queues", .key = KEY_QUEUES, .arg = "N",
      .doc = "how many queues, up to 256 (default: 1)" },
    { .name = "queue-size", .key = KEY_QUEUE_SIZE, .arg = "N",
      .doc = "the largest queue that is accepted, a power of two "
             "(default: 1024)" },
    { .name = "block-size", .key = KEY_BLOCK_SIZE, .arg = "SIZE",
      .doc = "logical blocks of 512 or 4096 bytes (default: 512)" },
    { .name = "direct", .key = KEY_DIRECT,
      .doc = "go past the page cache (O_DIRECT)" },
    { .name = "serial", .key = KEY_SERIAL, .arg = "TEXT",
      .doc = "serial number, up to 20 characters (default: name of FILE)" },
    { .name = "poll-us", .key = KEY_POLL_US, .arg = "N",
      .doc = "look for work for N microseconds before going to sleep" },
    { .name = "hide-feature", .key = KEY_HIDE, .arg = "NAME|BIT",
      .doc = "do not offer a feature, by name or as bit of virtio; may be "
             "given several times" },
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
        s->server.hide_features |= UINT64_C(1) << bit;
        return;
    }
    for (unsigned i = 0; i < 64; i++) {
        const char *virtio = vhost_feature_name(VIRTIO_ID_BLOCK, i);
        const char *protocol = vhost_protocol_feature_name(i);

        if (virtio && strcmp(virtio, what) == 0) {
            s->server.hide_features |= UINT64_C(1) << i;
            return;
        }
        if (protocol && strcmp(protocol, what) == 0) {
            s->server.hide_protocol_features |= UINT64_C(1) << i;
            return;
        }
    }
    argp_error(state, "no feature is called '%s'", what);
}

static error_t parse_argument(struct serve *s, char *arg,
                              struct argp_state *state)
{
    switch (state->arg_num) {
    case 0:
        s->type = arg;
        return 0;
    case 1:
        s->file = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void check(const struct serve *s, struct argp_state *state)
{
    if (!s->file) {
        argp_error(state, "what to serve? 'vhost serve blk FILE --socket S'");
    }
    if (strcmp(s->type, "blk") != 0) {
        argp_error(state, "no device type '%s'; there is: blk", s->type);
    }
    if (!s->socket) {
        argp_error(state, "where? --socket PATH is required");
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct serve *s = state->input;

    switch (key) {
    case KEY_SOCKET:
        s->socket = arg;
        return 0;
    case KEY_READONLY:
        s->blk.read_only = true;
        return 0;
    case KEY_QUEUES:
        s->blk.queues = cli_need_number(state, "queues", arg, QUEUES_MAX);
        return 0;
    case KEY_QUEUE_SIZE:
        s->blk.queue_size = (unsigned)cli_need_size(state, "queue-size", arg, 1,
                                                    QUEUE_SIZE_MAX);
        return 0;
    case KEY_BLOCK_SIZE:
        s->blk.block_size =
            (unsigned)cli_need_size(state, "block-size", arg, 512, 4096);
        if (s->blk.block_size != 512 && s->blk.block_size != 4096) {
            argp_error(state, "--block-size is 512 or 4096");
        }
        return 0;
    case KEY_DIRECT:
        s->blk.direct = true;
        return 0;
    case KEY_SERIAL:
        if (strlen(arg) > SERIAL_MAX) {
            argp_error(state, "--serial takes up to %u characters", SERIAL_MAX);
        }
        s->blk.serial = arg;
        return 0;
    case KEY_POLL_US:
        s->server.poll_us = cli_need_number(state, "poll-us", arg, POLL_US_MAX);
        return 0;
    case KEY_HIDE:
        hide_feature(state, s, arg);
        return 0;
    case 'v':
        s->server.log = log_line;
        return 0;
    case ARGP_KEY_ARG:
        return parse_argument(s, arg, state);
    case ARGP_KEY_END:
        check(s, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "blk FILE --socket PATH",
    .doc = "Serve FILE as a block device to one vhost-user front end at a "
           "time.\vFILE is a file, a block device, or null:SIZE for a device "
           "without data.  SIGINT and SIGTERM end it.",
};

/* The library takes a null device's size in bytes only. */
static char *library_path(const char *file, uint64_t *sizep)
{
    static const char null_prefix[] = "null:";
    size_t len = sizeof(null_prefix) - 1;
    char *path;

    if (strncmp(file, null_prefix, len) != 0) {
        return strdup(file);
    }
    if (size_parse(file + len, sizep) < 0) {
        out_error("%s: a size such as 10G must follow 'null:'", file);
        exit(EXIT_USAGE);
    }
    return asprintf(&path, "null:%llu", (unsigned long long)*sizep) < 0 ? NULL
                                                                        : path;
}

static uint64_t size_of_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size;

    if (fd < 0) {
        return 0;
    }
    size = lseek(fd, 0, SEEK_END);
    close(fd);
    return size > 0 ? (uint64_t)size : 0;
}

static int run(struct vhost_server *server)
{
    struct vhost_error *err = NULL;

    while (!system_interrupted()) {
        if (vhost_server_run(server, SLICE_MS, &err) < 0) {
            out_library_error(err);
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

int serve_main(int argc, char **argv)
{
    struct serve s = {
        .blk = { .size = sizeof(s.blk) },
        .server = { .size = sizeof(s.server) },
    };
    struct vhost_error *err = NULL;
    struct vhost_server *server;
    char text[SIZE_TEXT_MAX];
    uint64_t size = 0;
    int r = EXIT_FAILURE;
    char *path;

    argp_parse(&argp, argc, argv, 0, NULL, &s);
    system_catch_signals();
    path = library_path(s.file, &size);
    server =
        vhost_server_new(s.socket, path ? vhost_server_blk(path, &s.blk) : NULL,
                         &s.server, &err);
    if (!server) {
        out_library_error(err);
        free(path);
        return r;
    }
    printf("serving %s (%s) at %s\n", s.file,
           size_format(text, (double)(size > 0 ? size : size_of_file(path))),
           s.socket);
    if (system_flush() == 0) {
        r = run(server);
    }
    vhost_server_free(server);
    free(path);
    return r;
}
