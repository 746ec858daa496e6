/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers in pieces, as drivers may cut them. */
#ifndef VH_SERVER_IOV_H
#define VH_SERVER_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* What is left of a vector; its iovecs change as it is used up. */
struct vh_iov {
    struct iovec *iov;
    unsigned n;
};

/** vh_iov_take() - copy @len bytes off the front; false if it has fewer */
bool vh_iov_take(struct vh_iov *from, void *to, size_t len);

/** vh_iov_put() - copy @len bytes to the front; false if there is less room */
bool vh_iov_put(struct vh_iov *to, const void *from, size_t len);

#endif
