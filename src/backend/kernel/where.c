/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device in one line, as a program's user writes it.
 */
#include "backend/kernel/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

#define FORMS                                                        \
    "net?tap=NAME, vsock?cid=NUMBER or scsi?wwpn=NAME&tpgt=NUMBER, " \
    "with path=NODE and fork=task|kthread"

static const char *const kinds[] = {
    [VHOST_KERNEL_NET] = "net",
    [VHOST_KERNEL_VSOCK] = "vsock",
    [VHOST_KERNEL_SCSI] = "scsi",
};

static const char *const forks[] = {
    [VHOST_KERNEL_FORK_TASK] = "task",
    [VHOST_KERNEL_FORK_KTHREAD] = "kthread",
};

/* The place of @name in a list; 0: it is not in it. */
static uint32_t place_of(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (strcmp(name, list[i]) == 0) {
            return (uint32_t)i;
        }
    }
    return 0;
}

/* All digits, and not above @max. */
static bool take_number(const char *text, uint64_t max, uint64_t *number)
{
    char *end;

    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *number <= max;
}

static bool take_field(struct vhost_kernel_options *o, const char *name,
                       const char *value)
{
    uint64_t number = 0;

    if (strcmp(name, "path") == 0) {
        o->path = value;
    } else if (strcmp(name, "tap") == 0) {
        o->tap = value;
    } else if (strcmp(name, "wwpn") == 0) {
        o->wwpn = value;
    } else if (strcmp(name, "fork") == 0) {
        o->fork = place_of(value, forks, sizeof(forks) / sizeof(forks[0]));
        return o->fork != 0;
    } else if (strcmp(name, "cid") == 0) {
        return take_number(value, UINT64_MAX, &o->guest_cid);
    } else if (strcmp(name, "tpgt") == 0) {
        if (!take_number(value, UINT16_MAX, &number)) {
            return false;
        }
        o->tpgt = (uint16_t)number;
    } else if (strcmp(name, "workers") == 0) {
        if (!take_number(value, UINT16_MAX, &number)) {
            return false;
        }
        o->workers = (uint32_t)number;
    } else {
        return false;
    }
    return *value != '\0';
}

/* Writes to @text, which the options point into from then on. */
static int parse(char *text, struct vhost_kernel_options *o,
                 struct vhost_error **errp)
{
    char *fields = strchr(text, '?');
    char *save = NULL;

    if (fields) {
        *fields++ = '\0';
    }
    o->kind = place_of(text, kinds, sizeof(kinds) / sizeof(kinds[0]));
    if (o->kind == 0) {
        return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                        "kernel:%s: no device of the kernel: there are " FORMS,
                        text);
    }
    for (char *field = fields ? strtok_r(fields, "&", &save) : NULL; field;
         field = strtok_r(NULL, "&", &save)) {
        char *value = strchr(field, '=');

        if (value) {
            *value++ = '\0';
        }
        if (!value || !take_field(o, field, value)) {
            return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                            "kernel:%s: '%s%s%s' is none of its fields: there "
                            "are " FORMS,
                            text, field, value ? "=" : "", value ? value : "");
        }
    }
    return 0;
}

struct vhost_kernel *vhost_kernel_new_uri(const char *where,
                                          struct vhost_error **errp)
{
    struct vhost_kernel_options options = { .size = sizeof(options) };
    struct vhost_kernel *kernel = NULL;
    char *text = strdup(where);

    if (!text) {
        vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    if (parse(text, &options, errp) == 0) {
        kernel = vhost_kernel_new(&options, errp);
    }
    free(text);
    return kernel;
}
