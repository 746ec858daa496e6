/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request is counted for is decided before it is known whether it makes
 * sense, so that the count is that of the messages on the wire.
 */
#include "server/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

#define DELAY_MS_MAX (24 * 60 * 60 * 1000u)

static bool is_request(const char *name)
{
    for (uint32_t id = 1; id < VH_REQUEST_END; id++) {
        if (strcmp(vh_msg_name(VH_FROM_FRONT, id), name) == 0) {
            return true;
        }
    }
    return false;
}

static int check(const struct vhost_server_fault *fault,
                 struct vhost_error **errp)
{
    if (fault->request && !is_request(fault->request)) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "a fault at %s: the vhost-user protocol has no such "
                        "request",
                        fault->request);
    }
    if ((unsigned)fault->kind > VHOST_SERVER_FAULT_CLOSE) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "a fault of unknown kind %u", (unsigned)fault->kind);
    }
    if (fault->delay_ms > DELAY_MS_MAX) {
        return vh_error(errp, -EINVAL, "options", VH_NO_QUEUE,
                        "a delay of %u ms: the longest is %u", fault->delay_ms,
                        DELAY_MS_MAX);
    }
    return 0;
}

/* The name is the table's own, so nothing of the owner's is kept. */
static const char *own_name(const char *name)
{
    for (uint32_t id = 1; name && id < VH_REQUEST_END; id++) {
        if (strcmp(vh_msg_name(VH_FROM_FRONT, id), name) == 0) {
            return vh_msg_name(VH_FROM_FRONT, id);
        }
    }
    return NULL;
}

int vh_faults_copy(struct vh_faults *faults,
                   const struct vhost_server_fault *list, unsigned n,
                   struct vhost_error **errp)
{
    if (n == 0) {
        return 0;
    }
    faults->list = calloc(n, sizeof(*faults->list));
    faults->seen = calloc(n, sizeof(*faults->seen));
    if (!faults->list || !faults->seen) {
        return vh_error(errp, -ENOMEM, "malloc", VH_NO_QUEUE, "out of memory");
    }
    for (unsigned i = 0; i < n; i++) {
        int r = check(&list[i], errp);

        if (r < 0) {
            return r;
        }
        faults->list[i] = list[i];
        faults->list[i].request = own_name(list[i].request);
    }
    faults->n = n;
    return 0;
}

void vh_faults_free(struct vh_faults *faults)
{
    free(faults->list);
    free(faults->seen);
}

void vh_faults_rewind(struct vh_faults *faults)
{
    for (unsigned i = 0; i < faults->n; i++) {
        faults->seen[i] = 0;
    }
}

const struct vhost_server_fault *vh_faults_next(struct vh_faults *faults,
                                                uint32_t request)
{
    const struct vhost_server_fault *found = NULL;
    const char *name = vh_msg_name(VH_FROM_FRONT, request);

    for (unsigned i = 0; i < faults->n; i++) {
        const struct vhost_server_fault *fault = &faults->list[i];

        if (fault->request && strcmp(fault->request, name) != 0) {
            continue;
        }
        faults->seen[i]++;
        if (!found && (fault->nth == 0 || fault->nth == faults->seen[i])) {
            found = fault;
        }
    }
    return found;
}

/* How the protocol says no is a matter of each; the rest gets zeroes. */
void vh_fault_answer(const struct vh_msg *msg, struct vh_msg *reply)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, msg->request);

    reply->size = row->reply_min;
    if (msg->request == VH_SET_DEVICE_STATE_FD ||
        msg->request == VH_CHECK_DEVICE_STATE) {
        reply->payload.u64 = 1;
    } else if (msg->request == VH_GET_VRING_BASE) {
        reply->payload.state.index = msg->payload.state.index;
    }
}
