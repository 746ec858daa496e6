/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A struct of options begins with its size, so that a program which was built
 * with an older header still opens devices: what it does not know of is 0,
 * which every option has for its default.
 */
#include "driver/options.h"

#include <errno.h>
#include <string.h>

#include <vhost/virtq.h>

#include "ring/layout.h"
#include "util/error.h"

static int refuse(struct vhost_error **errp, const char *why)
{
    return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE, "%s", why);
}

int vh_options_copy(void *to, size_t size, const void *from,
                    struct vhost_error **errp)
{
    size_t theirs = from ? *(const size_t *)from : 0;

    memset(to, 0, size);
    if (from) {
        memcpy(to, from, theirs == 0 || theirs > size ? size : theirs);
    }
    for (size_t i = size; i < theirs; i++) {
        if (((const char *)from)[i] != 0) {
            return refuse(errp, "options of a later version of the library");
        }
    }
    *(size_t *)to = size; /* of this copy: it may be taken again */
    return 0;
}

int vh_options_check_ring(unsigned queue_size, unsigned least, unsigned layout,
                          struct vhost_error **errp)
{
    if (queue_size < least || !vh_ring_size_is_valid(queue_size, 0)) {
        return vh_error(errp, -EINVAL, "open", VH_NO_QUEUE,
                        "the queue size is not a power of two from %u to 32768",
                        least);
    }
    if (!vhost_layout_name(layout)) {
        return refuse(errp, "no such ring layout");
    }
    return 0;
}

void vh_open_failed(const char *uri, struct vhost_error *error,
                    struct vhost_error **errp)
{
    const char *words = vhost_error_message(error);

    /* What comes from the connection names it already. */
    if (strncmp(words, uri, strlen(uri)) != 0) {
        vh_error_prefix(&error, "%s", uri);
    }
    vh_error_move(errp, &error);
}
