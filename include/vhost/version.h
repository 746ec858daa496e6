/* SPDX-License-Identifier: BSD-3-Clause */
/* The version of these headers, and of the library that is linked. */
#ifndef VHOST_VERSION_H
#define VHOST_VERSION_H

#define VHOST_VERSION_MAJOR 0
#define VHOST_VERSION_MINOR 1
#define VHOST_VERSION_PATCH 0
#define VHOST_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/** vhost_version() - the version of the library in use
 *
 * Return: text such as "0.1.0".
 */
const char *vhost_version(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
