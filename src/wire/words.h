/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the channel says when something goes wrong.  @due is what is due in
 * answer, oldest first; NULL if nothing is.
 */
#ifndef VH_WIRE_WORDS_H
#define VH_WIRE_WORDS_H

#include "wire/due.h"

/** vh_words_gone() - the connection was closed */
void vh_words_gone(struct vhost_error **errp, const struct vh_due *due);

/** vh_words_framing() - what came is no message, because of @why */
void vh_words_framing(struct vhost_error **errp, const struct vh_due *due,
                      const char *why);

/** vh_words_late() - @ms milliseconds have passed */
void vh_words_late(struct vhost_error **errp, const struct vh_due *due,
                   unsigned ms);

/** vh_words_unasked() - @msg came where nothing was due */
void vh_words_unasked(struct vhost_error **errp, const struct vh_msg *msg);

/** vh_words_reply() - @msg is not the answer to @due, because of @why */
void vh_words_reply(struct vhost_error **errp, const struct vh_due *due,
                    const struct vh_msg *msg, const char *why);

/** vh_words_refused() - the acknowledgement says @code, not 0 */
void vh_words_refused(struct vhost_error **errp, const struct vh_due *due,
                      uint64_t code);

#endif
