/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults on purpose, as people write them. */
#ifndef CLI_FAULT_H
#define CLI_FAULT_H

#include <vhost/server.h>

/** fault_parse() - read "close@20", "error@SET_MEM_TABLE", "delay=500@NAME:2"
 * @text: outlives @fault, which points into it.  Changed: a ':' that ends a
 *     name becomes the end of a string, but not if the call fails
 * @fault: filled in
 *
 * Return: 0; -EINVAL for anything else.
 */
int fault_parse(char *text, struct vhost_server_fault *fault);

#endif
