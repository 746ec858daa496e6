/* SPDX-License-Identifier: BSD-3-Clause */
/* Options of the rings, for verbs that drive a device themselves. */
#ifndef CLI_RINGS_H
#define CLI_RINGS_H

#include <argp.h>

/**
 * struct rings - how the rings of a device shall be
 * @queue_size: entries; 0: not told
 * @layout: an enum vhost_layout
 */
struct rings {
    unsigned queue_size;
    unsigned layout;
};

/* --queue-size and --layout, as a child of a verb's parser. */
extern const struct argp rings_argp;

#endif
