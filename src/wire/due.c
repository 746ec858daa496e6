/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An array with a moving beginning: answers come in the order of the
 * requests, so things are added at one end and leave at the other.  It starts
 * over whenever it is empty, which is after each wait.
 */
#include "wire/due.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64u

int vh_due_reserve(struct vh_due_list *due)
{
    size_t n = due->end - due->first;
    size_t size = due->size ? due->size * 2 : FIRST_SIZE;
    struct vh_due *list;

    if (due->end < due->size) {
        return 0;
    }
    if (due->first > n) { /* more than half is free: moving is cheap */
        memmove(due->list, due->list + due->first, n * sizeof(*list));
        due->first = 0;
        due->end = n;
        return 0;
    }
    list = realloc(due->list, size * sizeof(*list));
    if (!list) {
        return -ENOMEM;
    }
    due->list = list;
    due->size = size;
    return 0;
}

static unsigned brings_fds(const struct vh_due *item)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, item->request);

    return !item->ack && row && row->reply_fds_max > 0 ? 1 : 0;
}

void vh_due_push(struct vh_due_list *due, const struct vh_due *item)
{
    due->list[due->end++] = *item;
    due->n_with_fds += brings_fds(item);
}

const struct vh_due *vh_due_head(const struct vh_due_list *due)
{
    return due->first < due->end ? &due->list[due->first] : NULL;
}

struct vh_due vh_due_pop(struct vh_due_list *due)
{
    struct vh_due item = due->list[due->first++];

    due->n_with_fds -= brings_fds(&item);
    if (due->first == due->end) {
        due->first = 0;
        due->end = 0;
    }
    return item;
}

bool vh_due_may_bring_fds(const struct vh_due_list *due)
{
    return due->n_with_fds > 0;
}

const char *vh_due_name(const struct vh_due *item)
{
    return vh_msg_name(VH_FROM_FRONT, item->request);
}

void vh_due_cleanup(struct vh_due_list *due)
{
    free(due->list);
    *due = (struct vh_due_list){ .list = NULL };
}
