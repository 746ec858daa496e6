/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/iov.h"

#include <string.h>

/* The next piece, of at most @max bytes, which are passed. */
static char *next(struct vh_iov *v, size_t max, size_t *stepp)
{
    struct iovec *iov = v->iov;
    size_t step = iov->iov_len < max ? iov->iov_len : max;
    char *at = iov->iov_base;

    iov->iov_base = at + step;
    iov->iov_len -= step;
    if (iov->iov_len == 0) {
        v->iov++;
        v->n--;
    }
    *stepp = step;
    return at;
}

bool vh_iov_take(struct vh_iov *from, void *to, size_t len)
{
    char *at = to;
    size_t step;

    for (; len > 0 && from->n > 0; len -= step, at += step) {
        const char *piece = next(from, len, &step);

        memcpy(at, piece, step);
    }
    return len == 0;
}

bool vh_iov_put(struct vh_iov *to, const void *from, size_t len)
{
    const char *at = from;
    size_t step;

    for (; len > 0 && to->n > 0; len -= step, at += step) {
        char *piece = next(to, len, &step);

        memcpy(piece, at, step);
    }
    return len == 0;
}
