/* SPDX-License-Identifier: BSD-3-Clause */
/* `vhost serve blk`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include <linux/virtio_ids.h>
#include <vhost/server.h>

#include "cli.h"
#include "out.h"
#include "serve.h"
#include "size.h"

#define QUEUES_MAX 256u
#define SERIAL_MAX 20u

enum {
    KEY_READONLY = 1100,
    KEY_QUEUES,
    KEY_QUEUE_SIZE,
    KEY_BLOCK_SIZE,
    KEY_DIRECT,
    KEY_SERIAL,
};

struct serve_blk {
    struct serve common;
    const char *type;
    const char *file;
    struct vhost_server_blk_options blk;
};

/* clang-format off */
static const struct argp_option options[] = {
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
    { 0 },
};
/* clang-format on */

static error_t parse_argument(struct serve_blk *s, char *arg,
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

static void check(const struct serve_blk *s, struct argp_state *state)
{
    if (!s->type) {
        argp_error(state, "what to serve? 'vhost serve blk FILE --socket S', "
                          "or 'vhost serve net --tap NAME --socket S'");
    }
    if (strcmp(s->type, "blk") != 0) {
        argp_error(state,
                   "no device type '%s'; there are blk, and net if it "
                   "comes first",
                   s->type);
    }
    if (!s->file) {
        argp_error(state, "what to serve? 'vhost serve blk FILE --socket S'");
    }
    if (!s->common.socket) {
        argp_error(state, "where? --socket PATH is required");
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct serve_blk *s = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->common;
        return 0;
    case KEY_READONLY:
        s->blk.read_only = true;
        return 0;
    case KEY_QUEUES:
        s->blk.queues = cli_need_number(state, "queues", arg, QUEUES_MAX);
        return 0;
    case KEY_QUEUE_SIZE:
        s->blk.queue_size = (unsigned)cli_need_size(state, "queue-size", arg, 1,
                                                    SERVE_QUEUE_SIZE_MAX);
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
    case ARGP_KEY_ARG:
        return parse_argument(s, arg, state);
    case ARGP_KEY_END:
        check(s, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { .argp = &serve_argp }, { 0 } };

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "blk FILE --socket PATH\nnet --tap NAME --socket PATH",
    .doc = "Serve FILE as a block device to one vhost-user front end at a "
           "time.\vFILE is a file, a block device, or null:SIZE for a device "
           "without data.  SIGINT and SIGTERM end it.\n\n"
           "'vhost serve net --help' tells of network devices.",
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

int serve_blk_main(int argc, char **argv)
{
    struct serve_blk s = {
        .common = { .device_id = VIRTIO_ID_BLOCK,
                    .options = { .size = sizeof(s.common.options) } },
        .blk = { .size = sizeof(s.blk) },
    };
    char size_text[SIZE_TEXT_MAX];
    uint64_t size = 0;
    char *path, *what;
    int r;

    argp_parse(&argp, argc, argv, 0, NULL, &s);
    path = library_path(s.file, &size);
    if (!path ||
        asprintf(&what, "%s (%s)", s.file,
                 size_format(size_text,
                             (double)(size > 0 ? size : size_of_file(path)))) <
            0) {
        out_error("out of memory");
        free(path);
        return EXIT_FAILURE;
    }
    r = serve_run(&s.common, vhost_server_blk(path, &s.blk), what);
    free(what);
    free(path);
    return r;
}
