/* SPDX-License-Identifier: BSD-3-Clause */
/* An entropy device: virtio 1.3, 5.4.  One queue, of buffers to be filled. */
#include <vhost/rng.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/plain.h"
#include "util/error.h"

#define ROOM 4096

struct vhost_rng {
    struct vh_plain plain;
    struct vh_piece room;
};

static const struct vh_plain_class class = {
    .what = "rng",
    .device_id = 4, /* virtio 1.3, 5.4.1 */
    .queues = 1,
    .memory = ROOM,
};

struct vhost_rng *vhost_rng_open(const char *uri,
                                 const struct vhost_driver_options *options,
                                 struct vhost_error **errp)
{
    struct vhost_rng *rng = calloc(1, sizeof(*rng));

    if (!rng) {
        vh_error(errp, -ENOMEM, "open", VH_NO_QUEUE, "out of memory");
        return NULL;
    }
    if (vh_plain_open(&rng->plain, &class, uri, options, errp) < 0) {
        free(rng);
        return NULL;
    }
    if (vh_plain_alloc(&rng->plain, ROOM, &rng->room, errp) < 0) {
        vhost_rng_close(rng);
        return NULL;
    }
    return rng;
}

void vhost_rng_close(struct vhost_rng *rng)
{
    if (rng) {
        vh_plain_close(&rng->plain);
        free(rng);
    }
}

int vhost_rng_read(struct vhost_rng *rng, void *buf, size_t len,
                   struct vhost_error **errp)
{
    uint8_t *to = buf;

    while (len > 0) {
        uint32_t ask = len < ROOM ? (uint32_t)len : ROOM;
        struct vh_sg sg = { rng->room.gpa, ask };
        int64_t got = vh_plain_do(&rng->plain, 0, &sg, 0, 1, errp);

        if (got < 0) {
            return (int)got;
        }
        if (got == 0) { /* 5.4.6.2: it must give at least a byte */
            return vh_error(errp, -EPROTO, "rng", 0,
                            "the device returned a buffer with nothing in it");
        }
        memcpy(to, rng->room.hva, (size_t)got);
        to += got;
        len -= (size_t)got;
    }
    return 0;
}
