/* SPDX-License-Identifier: BSD-3-Clause */
/* Layouts are feature bits to the device (virtio 1.3, 6). */
#include "driver/layout.h"

#include <errno.h>
#include <stddef.h>

#include "ring/layout.h"
#include "util/error.h"

#define PACKED (UINT64_C(1) << VH_RING_F_PACKED)
#define IN_ORDER (UINT64_C(1) << VH_RING_F_IN_ORDER)

static const struct {
    const char *name;
    uint64_t bits;
    const char *words;
} layouts[] = {
    /* clang-format off */
    [VHOST_LAYOUT_AUTO]  = { "auto", 0, "" },
    [VHOST_LAYOUT_SPLIT] = { "split", 0, "" },
    [VHOST_LAYOUT_SPLIT_IN_ORDER] = {
        "split-in-order", IN_ORDER,
        "rings used in order (VIRTIO_F_IN_ORDER)" },
    [VHOST_LAYOUT_PACKED] = {
        "packed", PACKED, "packed rings (VIRTIO_F_RING_PACKED)" },
    [VHOST_LAYOUT_PACKED_IN_ORDER] = {
        "packed-in-order", PACKED | IN_ORDER,
        "packed rings used in order (VIRTIO_F_RING_PACKED and "
        "VIRTIO_F_IN_ORDER)" },
    /* clang-format on */
};

#define N_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

const char *vhost_layout_name(unsigned layout)
{
    return layout < N_LAYOUTS ? layouts[layout].name : NULL;
}

unsigned vh_layout_of(uint64_t features)
{
    uint64_t bits = features & (PACKED | IN_ORDER);
    unsigned layout = VHOST_LAYOUT_SPLIT;

    while (layouts[layout].bits != bits) {
        layout++;
    }
    return layout;
}

static int is_offered(unsigned layout, uint64_t features)
{
    return (features & layouts[layout].bits) == layouts[layout].bits;
}

int vh_layout_choose(unsigned layout, const unsigned *best, uint64_t *features,
                     struct vhost_error **errp)
{
    if (layout == VHOST_LAYOUT_AUTO) {
        while (!is_offered(*best, *features)) {
            best++;
        }
        layout = *best;
    }
    if (!is_offered(layout, *features)) {
        return vh_error(errp, -ENOTSUP, "open", VH_NO_QUEUE,
                        "the back end does not offer %s; choose another "
                        "layout, or auto",
                        layouts[layout].words);
    }
    *features &= ~(PACKED | IN_ORDER);
    *features |= layouts[layout].bits;
    return 0;
}
