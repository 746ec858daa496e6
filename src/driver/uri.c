/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/uri.h"

#include <errno.h>
#include <string.h>

#include "util/error.h"

/* clang-format off */
static const struct {
    const char *prefix;
    VhostBackendType type;
} kinds[] = {
    { "user:",   VHOST_BACKEND_TYPE_USER },
    { "kernel:", VHOST_BACKEND_TYPE_KERNEL },
    { "vdpa:",   VHOST_BACKEND_TYPE_VDPA },
};
/* clang-format on */

int vh_uri_parse(struct vh_uri *uri, const char *text,
                 struct vhost_error **errp)
{
    if (!text) {
        text = "(null)";
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t len = strlen(kinds[i].prefix);

        if (strncmp(text, kinds[i].prefix, len) != 0) {
            continue;
        }
        if (text[len] == '\0') {
            return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                            "%s a path must follow", text);
        }
        uri->type = kinds[i].type;
        uri->path = text + len;
        return 0;
    }
    return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                    "%s: not a back end's name: user:PATH, kernel:DEVICE or "
                    "vdpa:PATH",
                    text);
}
