/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Error objects.
 *
 * Making one needs memory, and running out of memory is one of the things to
 * be reported.  So there is one object that is not on the heap: it is what
 * *errp becomes when no other can be made, it is never written to, and every
 * function here takes it like any other.
 */
#include "util/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vhost_error {
    int code;
    int queue;
    char *operation;
    char *message;
};

static char no_memory_operation[] = "malloc";
static char no_memory_message[] = "out of memory while reporting an error";

static const struct vhost_error no_memory = {
    .code = -ENOMEM,
    .queue = VH_NO_QUEUE,
    .operation = no_memory_operation,
    .message = no_memory_message,
};

/* *errp has no const for its reader to write through, and nobody does. */
static struct vhost_error *no_memory_error(void)
{
    return (struct vhost_error *)&no_memory;
}

/* Consumes @message, which is NULL if it could not be made. */
static struct vhost_error *error_new(int code, const char *operation, int queue,
                                     char *message)
{
    struct vhost_error *err = malloc(sizeof(*err));
    char *copy = strdup(operation ? operation : "");

    if (!err || !copy || !message) {
        free(err);
        free(copy);
        free(message);
        return no_memory_error();
    }
    *err = (struct vhost_error){
        .code = code,
        .queue = queue,
        .operation = copy,
        .message = message,
    };
    return err;
}

/* vasprintf(3) leaves its result undefined when it fails. */
static char *format(const char *fmt, va_list args)
    __attribute__((format(printf, 1, 0)));

static char *format(const char *fmt, va_list args)
{
    char *text;

    return vasprintf(&text, fmt, args) < 0 ? NULL : text;
}

int vh_error(struct vhost_error **errp, int code, const char *operation,
             int queue, const char *fmt, ...)
{
    va_list args;

    assert(code < 0);
    if (!errp || *errp) {
        return code;
    }
    va_start(args, fmt);
    *errp = error_new(code, operation, queue, format(fmt, args));
    va_end(args);
    return code;
}

void vh_error_prefix(struct vhost_error **errp, const char *fmt, ...)
{
    char *prefix;
    char *message;
    va_list args;

    if (!errp || !*errp || *errp == &no_memory) {
        return;
    }
    va_start(args, fmt);
    prefix = format(fmt, args);
    va_end(args);
    /* Without memory for more words, the words so far are good enough. */
    if (prefix && asprintf(&message, "%s: %s", prefix, (*errp)->message) >= 0) {
        free((*errp)->message);
        (*errp)->message = message;
    }
    free(prefix);
}

void vh_error_move(struct vhost_error **errp, struct vhost_error **from)
{
    if (errp && !*errp) {
        *errp = *from;
    } else {
        vhost_error_free(*from);
    }
    *from = NULL;
}

void vh_error_copy(struct vhost_error **errp, const struct vhost_error *err)
{
    if (!err || !errp || *errp) {
        return;
    }
    *errp =
        error_new(err->code, err->operation, err->queue, strdup(err->message));
}

void vh_error_clear(struct vhost_error **errp)
{
    vhost_error_free(*errp);
    *errp = NULL;
}

const char *vhost_error_message(const struct vhost_error *err)
{
    return err ? err->message : "success";
}

int vhost_error_code(const struct vhost_error *err)
{
    return err ? err->code : 0;
}

const char *vhost_error_operation(const struct vhost_error *err)
{
    return err ? err->operation : "";
}

int vhost_error_queue(const struct vhost_error *err)
{
    return err ? err->queue : VH_NO_QUEUE;
}

void vhost_error_free(struct vhost_error *err)
{
    if (!err || err == &no_memory) {
        return;
    }
    free(err->operation);
    free(err->message);
    free(err);
}
