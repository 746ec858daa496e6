/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vhost state save|load`: the state of a device to a file, and back.
 *
 * The device is initialised and never started, so it is suspended: the one
 * thing that state may be asked of.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vhost/memory.h>
#include <vhost/state.h>
#include <vhost/stream.h>
#include <vhost/user.h>
#include <vhost/vhost.h>

#include "cli.h"
#include "out.h"

struct state {
    struct client client;
    bool load;
    const char *uri;
    const char *file;
    int fd;
    uint64_t n_bytes; /* in the file */
    struct vhost_user *user;
    struct vhost_memory_map *map;
    struct vhost_virtqueue vqs[1];
    struct vhost_dev dev;
};

static const struct argp_child children[] = { { .argp = &client_argp }, { 0 } };

static void set_command(struct state *s, const char *arg,
                        struct argp_state *state)
{
    if (strcmp(arg, "load") == 0) {
        s->load = true;
    } else if (strcmp(arg, "save") != 0) {
        argp_error(state, "save or load? Not '%s'", arg);
    }
}

static void check_usage(const struct state *s, struct argp_state *state)
{
    if (!s->file) {
        argp_error(state, "save or load, a device and a file are needed");
    }
    if (strncmp(s->uri, "user:", 5) != 0) {
        argp_error(state, "which device? A URI begins with 'user:'");
    }
    if (!s->load && s->client.json && strcmp(s->file, "-") == 0) {
        argp_error(state, "standard output takes the state or the result, not "
                          "both");
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct state *s = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->client;
        return 0;
    case ARGP_KEY_ARG:
        switch (state->arg_num) {
        case 0:
            set_command(s, arg, state);
            return 0;
        case 1:
            s->uri = arg;
            return 0;
        case 2:
            s->file = arg;
            return 0;
        default:
            return ARGP_ERR_UNKNOWN;
        }
    case ARGP_KEY_END:
        check_usage(s, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse,
    .children = children,
    .args_doc = "save URI FILE\nload URI FILE",
    .doc = "Save the state of a device to a file, or load it from one.\vURI is "
           "user:PATH, the socket of a vhost-user back end; FILE may be -: "
           "standard output or input.",
};

static int open_file(struct state *s)
{
    bool dash = strcmp(s->file, "-") == 0;

    if (dash) {
        s->fd = s->load ? STDIN_FILENO : STDOUT_FILENO;
        return 0;
    }
    /* What a device remembers may be nobody else's business. */
    s->fd = s->load
                ? open(s->file, O_RDONLY | O_CLOEXEC)
                : open(s->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        out_error("%s: %s", s->file, strerror(errno));
        return -1;
    }
    return 0;
}

static int close_file(struct state *s)
{
    int fd = s->fd;

    s->fd = -1;
    if (fd > STDERR_FILENO && close(fd) < 0) {
        out_error("%s: %s", s->file, strerror(errno));
        return -1;
    }
    return 0;
}

static int init_device(struct state *s, struct vhost_error **errp)
{
    struct vhost_user_options o = {
        .size = sizeof(o),
        .path = client_uri_path(s->uri),
        .deadline_ms = s->client.deadline_ms,
        .long_deadline_ms = s->client.deadline_ms,
    };

    s->user = vhost_user_new(&o, errp);
    if (!s->user) {
        return -1;
    }
    s->map = vhost_memory_map_new();
    if (!s->map) {
        return -ENOMEM;
    }
    s->dev = (struct vhost_dev){
        .map = s->map,
        .vqs = s->vqs,
        .nvqs = 1,
        .vq_index_end = 1,
    };
    return vhost_dev_init(&s->dev, s->user, VHOST_BACKEND_TYPE_USER, 0, errp);
}

/* Counts what goes by. */
static ssize_t move(struct state *s, ssize_t n)
{
    s->n_bytes += n > 0 ? (uint64_t)n : 0;
    return n < 0 ? -errno : n;
}

static ssize_t read_file(void *opaque, void *data, size_t len, int timeout_ms)
{
    struct state *s = opaque;

    (void)timeout_ms; /* whoever gives a pipe may take his time */
    return move(s, read(s->fd, data, len));
}

static ssize_t write_file(void *opaque, const void *data, size_t len,
                          int timeout_ms)
{
    struct state *s = opaque;

    (void)timeout_ms;
    return move(s, write(s->fd, data, len));
}

static const struct vhost_stream_ops file_ops = {
    .read = read_file,
    .write = write_file,
};

static int transfer(struct state *s, struct vhost_error **errp)
{
    struct vhost_stream *stream = vhost_stream_new(&file_ops, s);
    int r;

    if (!stream) {
        return -ENOMEM;
    }
    vhost_stream_set_deadline(stream, s->client.request_ms);
    r = s->load ? vhost_load_backend_state(&s->dev, stream, errp)
                : vhost_save_backend_state(&s->dev, stream, errp);
    vhost_stream_free(stream);
    return r;
}

static void print_json(const struct state *s)
{
    json_object *o = json_object_new_object();

    out_json_text(o, "uri", s->uri);
    out_json_text(o, "file", s->file);
    out_json_uint(o, "bytes", s->n_bytes);
    out_json(o);
}

static int run(struct state *s)
{
    struct vhost_error *err = NULL;
    int r = init_device(s, &err);

    /* A file is not emptied for a device that is not there. */
    if (r == 0 && open_file(s) < 0) {
        return -1;
    }
    if (r == 0) {
        r = transfer(s, &err);
    }
    if (r < 0) {
        out_library_error(err);
        return r;
    }
    return close_file(s);
}

int state_main(int argc, char **argv)
{
    struct state s = { .client = CLIENT_DEFAULTS, .fd = -1 };
    int r;

    argp_parse(&argp, argc, argv, 0, NULL, &s);
    r = run(&s);
    if (r == 0 && s.client.json) {
        print_json(&s);
    }
    vhost_dev_cleanup(&s.dev);
    vhost_user_free(s.user);
    vhost_memory_map_free(s.map);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
