/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A console behind vhost, for programs without a VM: its first port.
 *
 * Threads: one at a time.
 */
#ifndef VHOST_CONSOLE_H
#define VHOST_CONSOLE_H

#include <stddef.h>

#include <vhost/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vhost_console;

/** vhost_console_open() - connect, negotiate, start
 * @uri: "user:PATH", the socket of a vhost-user back end
 * @options: copied; NULL for defaults
 * @errp: why it failed; the words begin with @uri
 *
 * Return: the device, or NULL, with a code as of vhost_blk_open().
 */
struct vhost_console *
vhost_console_open(const char *uri, const struct vhost_driver_options *options,
                   struct vhost_error **errp);

/** vhost_console_close() - stop and forget a device
 * @console: NULL is allowed
 */
void vhost_console_close(struct vhost_console *console);

/** vhost_console_write() - send bytes, and wait until the device has taken them
 * @console: an open device
 * @buf: what
 * @len: bytes
 * @errp: why it failed
 *
 * Return: 0; -ETIMEDOUT if the device takes them too slowly; -EPROTO if it
 * breaks the rules; -ENOTCONN if it is gone.
 */
int vhost_console_write(struct vhost_console *console, const void *buf,
                        size_t len, struct vhost_error **errp);

/** vhost_console_read() - take bytes, as soon as there are any
 * @console: an open device
 * @buf: filled in
 * @max: room there, not 0
 * @timeout_ms: give up after so long; -1: never
 * @errp: why it failed
 *
 * Return: how many; -ETIMEDOUT if none came, which harms nothing; -EPROTO or
 * -ENOTCONN once the device is of no more use.
 */
int vhost_console_read(struct vhost_console *console, void *buf, size_t max,
                       int timeout_ms, struct vhost_error **errp);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
