/* SPDX-License-Identifier: BSD-3-Clause */
/* Each sentence names the request that was due: where to look first. */
#include "wire/words.h"

#include <errno.h>
#include <inttypes.h>

#include "util/error.h"

void vh_words_gone(struct vhost_error **errp, const struct vh_due *due)
{
    if (!due) {
        vh_error(errp, -ECONNRESET, "recvmsg", VH_NO_QUEUE,
                 "the back end closed the connection");
        return;
    }
    vh_error(errp, -ECONNRESET, vh_due_name(due), due->queue,
             "the back end closed the connection while %s was due",
             vh_due_name(due));
}

void vh_words_framing(struct vhost_error **errp, const struct vh_due *due,
                      const char *why)
{
    if (!due) {
        vh_error(errp, -EPROTO, "recvmsg", VH_NO_QUEUE,
                 "the back end broke the protocol: %s", why);
        return;
    }
    vh_error(errp, -EPROTO, vh_due_name(due), due->queue,
             "the back end broke the protocol while %s was due: %s",
             vh_due_name(due), why);
}

void vh_words_late(struct vhost_error **errp, const struct vh_due *due,
                   unsigned ms)
{
    unsigned n = ms % 1000 == 0 ? ms / 1000 : ms;
    const char *unit = ms % 1000 == 0 ? "s" : "ms";

    if (!due) {
        vh_error(errp, -ETIMEDOUT, "sendmsg", VH_NO_QUEUE,
                 "the back end took no message within %u %s", n, unit);
        return;
    }
    vh_error(errp, -ETIMEDOUT, vh_due_name(due), due->queue,
             "no answer to %s within %u %s", vh_due_name(due), n, unit);
}

void vh_words_unasked(struct vhost_error **errp, const struct vh_msg *msg)
{
    vh_error(errp, -EPROTO, vh_msg_name(VH_FROM_FRONT, msg->request),
             VH_NO_QUEUE, "a reply to request %u came where nothing was due",
             msg->request);
}

static void words_size(struct vhost_error **errp, const struct vh_due *due,
                       uint32_t size, unsigned min, unsigned max)
{
    const char *name = vh_due_name(due);

    if (min == max) {
        vh_error(errp, -EPROTO, name, due->queue,
                 "reply to %s: size %u, %u expected", name, size, min);
    } else {
        vh_error(errp, -EPROTO, name, due->queue,
                 "reply to %s: size %u, %u to %u expected", name, size, min,
                 max);
    }
}

void vh_words_reply(struct vhost_error **errp, const struct vh_due *due,
                    const struct vh_msg *msg, const char *why)
{
    const struct vh_msg_row *row = vh_msg_row(VH_FROM_FRONT, due->request);
    unsigned min = due->ack ? sizeof(uint64_t) : row->reply_min;
    unsigned max = due->ack ? sizeof(uint64_t) : row->reply_max;
    const char *name = vh_due_name(due);

    if (msg->request != due->request) {
        vh_error(errp, -EPROTO, name, due->queue,
                 "a reply to request %u came where %s was due", msg->request,
                 name);
    } else if (msg->size < min || msg->size > max) {
        words_size(errp, due, msg->size, min, max);
    } else {
        vh_error(errp, -EPROTO, name, due->queue,
                 "reply to %s: %s (flags 0x%x, size %u, %u fds)", name, why,
                 msg->flags, msg->size, msg->n_fds);
    }
}

void vh_words_refused(struct vhost_error **errp, const struct vh_due *due,
                      uint64_t code)
{
    const char *name = vh_due_name(due);

    if (due->queue < 0) {
        vh_error(errp, -EREMOTEIO, name, due->queue,
                 "the back end refused %s: error %" PRIu64, name, code);
        return;
    }
    vh_error(errp, -EREMOTEIO, name, due->queue,
             "the back end refused %s (queue %d): error %" PRIu64, name,
             due->queue, code);
}
