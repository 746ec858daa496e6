/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An entropy device behind vhost, for programs without a VM.
 *
 * Threads: one at a time.
 */
#ifndef VHOST_RNG_H
#define VHOST_RNG_H

#include <stddef.h>

#include <vhost/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_rng;

/** vhost_rng_open() - connect, negotiate, start
 * @uri: "user:PATH", the socket of a vhost-user back end
 * @options: copied; NULL for defaults
 * @errp: why it failed; the words begin with @uri
 *
 * Return: the device, or NULL, with a code as of vhost_blk_open().
 */
struct vhost_rng *vhost_rng_open(const char *uri,
                                 const struct vhost_driver_options *options,
                                 struct vhost_error **errp);

/** vhost_rng_close() - stop and forget a device
 * @rng: NULL is allowed
 */
void vhost_rng_close(struct vhost_rng *rng);

/** vhost_rng_read() - get entropy
 * @rng: an open device
 * @buf: filled in
 * @len: bytes
 * @errp: why it failed
 *
 * Return: 0 once all of @buf is filled; -ETIMEDOUT if the device is too slow;
 * -EPROTO if it breaks the rules, or gives nothing; -ENOTCONN if it is gone.
 */
int vhost_rng_read(struct vhost_rng *rng, void *buf, size_t len,
                   struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
