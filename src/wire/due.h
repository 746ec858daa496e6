/* SPDX-License-Identifier: BSD-3-Clause */
/* The answers that are due on a channel, oldest first. */
#ifndef VH_WIRE_DUE_H
#define VH_WIRE_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/chan.h"

struct vh_due {
    uint32_t request;
    bool ack;
    enum vh_patience patience;
    int queue;
    vh_chan_done_fn *done; /* or NULL */
    void *arg;
};

struct vh_due_list {
    struct vh_due *list;
    size_t size;
    size_t first; /* list[first] to list[end - 1] are due */
    size_t end;
    unsigned n_with_fds; /* that may bring fds */
};

/** vh_due_reserve() - room for one more; 0 or -ENOMEM */
int vh_due_reserve(struct vh_due_list *due);

/** vh_due_push() - add at the end, where room was reserved; copied */
void vh_due_push(struct vh_due_list *due, const struct vh_due *item);

/** vh_due_head() - the oldest, lent until the next push or pop; or NULL */
const struct vh_due *vh_due_head(const struct vh_due_list *due);

/** vh_due_pop() - take the oldest; there is one */
struct vh_due vh_due_pop(struct vh_due_list *due);

/** vh_due_may_bring_fds() - may any answer come with fds? */
bool vh_due_may_bring_fds(const struct vh_due_list *due);

/** vh_due_name() - of the request */
const char *vh_due_name(const struct vh_due *item);

/** vh_due_cleanup() - free what the list holds */
void vh_due_cleanup(struct vh_due_list *due);

#endif
