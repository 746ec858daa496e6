/* SPDX-License-Identifier: BSD-3-Clause */
/* An eventfd of the front end's, to write to. */
#ifndef VH_SERVER_BELL_H
#define VH_SERVER_BELL_H

#include <stdbool.h>

struct vh_sbell {
    int fd; /* -1: none */
    bool may_block;
    bool was_set;    /* by the front end, and be it to none */
    bool on_its_way; /* in band, see vh_server_ring() */
    bool again;
};

/** vh_sbell_ring() - without waiting, whatever it is */
void vh_sbell_ring(const struct vh_sbell *bell);

/** vh_squeue_set_bell() - replace it; @fd is given, -1: none */
void vh_squeue_set_bell(struct vh_sbell *bell, int fd);

#endif
