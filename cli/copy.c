/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vhost copy`: between a file and a block device, or two block devices.
 *
 * Whatever can be checked is checked before the first byte is written: that
 * both ends open, that they are not the same, and that the sizes fit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "copy-end.h"
#include "copy-engine.h"
#include "out.h"
#include "size.h"
#include "system.h"

#define DEPTH_MAX 256u
#define CHUNK_MAX (UINT64_C(64) << 20)
#define MEMORY_MAX (UINT64_C(1) << 30)

enum {
    KEY_VERIFY = 1000,
    KEY_DEPTH,
    KEY_BLOCK_SIZE,
    KEY_QUEUES,
    KEY_FORCE,
    KEY_NO_PROGRESS,
};

struct copy {
    struct client client;
    const char *from;
    const char *to;
    unsigned depth;
    uint64_t chunk;
    unsigned queues;
    bool verify;
    bool force;
    bool no_progress;
    struct end src;
    struct end dst;
    struct engine_result copied;
    uint64_t began;
    uint64_t ended;
};

/* clang-format off */
static const struct argp_option options[] = {
    { .name = "verify", .key = KEY_VERIFY,
      .doc = "read both back afterwards, and compare" },
    { .name = "depth", .key = KEY_DEPTH, .arg = "N",
      .doc = "chunks under way at a time, up to 256 (default: 16)" },
    { .name = "block-size", .key = KEY_BLOCK_SIZE, .arg = "SIZE",
      .doc = "size of a chunk, 4K to 64M (default: 1M)" },
    { .name = "queues", .key = KEY_QUEUES, .arg = "N",
      .doc = "queues of each device to use, up to 64 (default: 1)" },
    { .name = "force", .key = KEY_FORCE,
      .doc = "copy a device to a larger one; the rest of it stays as it is" },
    { .name = "no-progress", .key = KEY_NO_PROGRESS,
      .doc = "show no progress, even on a terminal" },
    { 0 },
};
/* clang-format on */

static const struct argp_child children[] = { { .argp = &reconnect_argp }, { 0 } };

static void check(const struct copy *c, struct argp_state *state)
{
    if (!c->from || !c->to) {
        argp_error(state, "copy what, and where to?");
    }
    if (!client_uri_path(c->from) && !client_uri_path(c->to)) {
        argp_error(state, "one of the two must be a device, such as "
                          "user:/run/disk.sock");
    }
    if (c->depth * c->chunk > MEMORY_MAX) {
        argp_error(state, "--depth times --block-size is more than 1 GiB");
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct copy *c = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &c->client;
        return 0;
    case KEY_VERIFY:
        c->verify = true;
        return 0;
    case KEY_DEPTH:
        c->depth = cli_need_number(state, "depth", arg, DEPTH_MAX);
        return 0;
    case KEY_BLOCK_SIZE:
        c->chunk = cli_need_size(state, "block-size", arg, 4096, CHUNK_MAX);
        return 0;
    case KEY_QUEUES:
        c->queues = cli_need_number(state, "queues", arg, END_QUEUES_MAX);
        return 0;
    case KEY_FORCE:
        c->force = true;
        return 0;
    case KEY_NO_PROGRESS:
        c->no_progress = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1) {
            return ARGP_ERR_UNKNOWN;
        }
        *(state->arg_num == 0 ? &c->from : &c->to) = arg;
        return 0;
    case ARGP_KEY_END:
        check(c, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = children,
    .args_doc = "SRC DST",
    .doc = "Copy between a file and a block device, or two block devices."
           "\vSRC and DST are URIs of devices, such as user:PATH, or names of "
           "files.  Holes and blocks of zeroes are not copied as data.",
};

static bool sizes_fit(const struct copy *c)
{
    const struct end *src = &c->src;
    const struct end *dst = &c->dst;
    uint64_t rest = src->size % dst->block;
    uint64_t need = src->size + (rest > 0 ? dst->block - rest : 0);

    if (dst->is_regular) {
        return true;
    }
    if (dst->size < need) {
        out_error("%s has %llu bytes, %s only %llu: nothing was written",
                  src->name, (unsigned long long)src->size, dst->name,
                  (unsigned long long)dst->size);
        return false;
    }
    if (src->disk && dst->disk && dst->size > need && !c->force) {
        out_error("%s has %llu bytes, %s has %llu: nothing was written; "
                  "--force copies to a larger device",
                  src->name, (unsigned long long)src->size, dst->name,
                  (unsigned long long)dst->size);
        return false;
    }
    return true;
}

static bool run(struct copy *c, bool verify, struct engine_result *result)
{
    const char *label = verify ? "verifying" : "copying  ";
    struct progress progress;
    struct engine_job job = {
        .src = &c->src,
        .dst = &c->dst,
        .compare = verify,
        .depth = c->depth,
        .chunk = c->chunk,
        .request_ms = c->client.request_ms,
        .progress = &progress,
    };
    bool ok;

    progress_begin(&progress, c->verify ? label : NULL, c->src.size,
                   c->no_progress);
    ok = engine_run(&job, result);
    progress_end(&progress, ok && !result->differs);
    return ok;
}

static bool verify(struct copy *c)
{
    struct engine_result result;

    if (!run(c, true, &result)) {
        return false;
    }
    if (result.differs) {
        out_error("%s and %s differ at byte %llu", c->from, c->to,
                  (unsigned long long)result.mismatch);
        return false;
    }
    return true;
}

static bool copy_opened(struct copy *c)
{
    if (!sizes_fit(c) || !end_prepare(&c->dst, c->src.size)) {
        return false;
    }
    c->began = system_now();
    if (!run(c, false, &c->copied)) {
        return false;
    }
    c->ended = system_now();
    return !c->verify || verify(c);
}

static bool copy(struct copy *c)
{
    bool ok;

    if (end_is_same(c->from, c->to)) {
        out_error("%s and %s are the same", c->from, c->to);
        return false;
    }
    c->src.fd = c->dst.fd = -1;
    ok = end_open(&c->src, c->from, &c->client, c->queues, false) &&
         end_open(&c->dst, c->to, &c->client, c->queues, true) &&
         copy_opened(c);
    ok = end_close(&c->dst, !ok) && ok;
    return end_close(&c->src, !ok) && ok;
}

static void print_json(const struct copy *c)
{
    double seconds = (double)(c->ended - c->began) / 1e9;
    json_object *o = json_object_new_object();

    out_json_text(o, "source", c->from);
    out_json_text(o, "destination", c->to);
    out_json_uint(o, "bytes", c->src.size);
    out_json_uint(o, "zero_bytes", c->copied.zero_bytes);
    out_json_double(o, "seconds", seconds);
    out_json_double(o, "bytes_per_second",
                    seconds > 0 ? (double)c->src.size / seconds : 0);
    out_json_bool(o, "verified", c->verify);
    out_json(o);
}

int copy_main(int argc, char **argv)
{
    /* A device that hangs stays open: static, so it is not lost. */
    static struct copy c = {
        .client = CLIENT_DEFAULTS,
        .depth = 16,
        .chunk = UINT64_C(1) << 20,
        .queues = 1,
    };

    argp_parse(&argp, argc, argv, 0, NULL, &c);
    system_catch_signals();
    if (!copy(&c)) {
        return EXIT_FAILURE;
    }
    if (c.client.json) {
        print_json(&c);
    }
    return EXIT_SUCCESS;
}
