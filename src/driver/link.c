/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/link.h"

#include <errno.h>
#include <limits.h>

#include <vhost/kernel.h>
#include <vhost/user.h>
#include <vhost/vdpa.h>

#include "backend/user/user.h"
#include "driver/uri.h"
#include "util/error.h"

#define LONG_FACTOR 6 /* the long deadline, in deadlines */

static unsigned long_deadline_ms(unsigned deadline_ms)
{
    return deadline_ms < UINT_MAX / LONG_FACTOR ? deadline_ms * LONG_FACTOR
                                                : UINT_MAX;
}

static void *open_user(const char *where, unsigned deadline_ms,
                       struct vhost_error **errp)
{
    const struct vhost_user_options options = {
        .size = sizeof(options),
        .path = where,
        .deadline_ms = deadline_ms,
        .long_deadline_ms = long_deadline_ms(deadline_ms),
    };

    return vhost_user_new(&options, errp);
}

static void free_user(void *opaque)
{
    vhost_user_free(opaque);
}

static bool user_has_config(const void *opaque)
{
    return vh_user_has(opaque, VH_PF_CONFIG);
}

/* The kernel answers at once, or not at all: nothing has a deadline. */
static void *open_vdpa(const char *where, unsigned deadline_ms,
                       struct vhost_error **errp)
{
    const struct vhost_vdpa_options options = { .size = sizeof(options),
                                                .path = where };

    (void)deadline_ms;
    return vhost_vdpa_new(&options, errp);
}

static void free_vdpa(void *opaque)
{
    vhost_vdpa_free(opaque);
}

static bool vdpa_has_config(const void *opaque)
{
    (void)opaque;
    return true;
}

static void *open_kernel(const char *where, unsigned deadline_ms,
                         struct vhost_error **errp)
{
    (void)deadline_ms;
    return vhost_kernel_new_uri(where, errp);
}

static void free_kernel(void *opaque)
{
    vhost_kernel_free(opaque);
}

/* It has the rings; a configuration is its owner's to make up, but for the
 * address in that of a vsock. */
static bool kernel_has_config(const void *opaque)
{
    struct vhost_kernel_info info;

    vhost_kernel_get_info(opaque, &info);
    return info.kind == VHOST_KERNEL_VSOCK;
}

static const struct kind {
    void *(*open)(const char *where, unsigned deadline_ms,
                  struct vhost_error **errp);
    void (*free)(void *opaque);
    bool (*has_config)(const void *opaque);
} kinds[] = {
    /* clang-format off */
    [VHOST_BACKEND_TYPE_USER]   = { open_user,   free_user,   user_has_config },
    [VHOST_BACKEND_TYPE_KERNEL] = { open_kernel, free_kernel, kernel_has_config },
    [VHOST_BACKEND_TYPE_VDPA]   = { open_vdpa,   free_vdpa,   vdpa_has_config },
    /* clang-format on */
};

int vh_link_open(struct vh_link *link, const char *uri, unsigned deadline_ms,
                 struct vhost_error **errp)
{
    struct vhost_error *error = NULL;
    struct vh_uri where;
    int r = vh_uri_parse(&where, uri, &error);

    *link = (struct vh_link){ .opaque = NULL };
    if (r == 0) {
        link->type = where.type;
        link->opaque = kinds[where.type].open(where.path, deadline_ms, &error);
        r = link->opaque ? 0 : vhost_error_code(error);
    }
    vh_error_move(errp, &error);
    return r;
}

struct vh_link vh_link_of_user(struct vhost_user *user)
{
    return (struct vh_link){ .type = VHOST_BACKEND_TYPE_USER, .opaque = user };
}

struct vhost_user *vh_link_user(const struct vh_link *link)
{
    return link->type == VHOST_BACKEND_TYPE_USER ? link->opaque : NULL;
}

void vh_link_free(struct vh_link *link)
{
    if (link->opaque) {
        kinds[link->type].free(link->opaque);
        link->opaque = NULL;
    }
}

bool vh_link_has_config(const struct vh_link *link)
{
    return kinds[link->type].has_config(link->opaque);
}
