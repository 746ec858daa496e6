/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a program names a back end: "KIND:WHERE".
 *
 *     user:PATH     the socket of a vhost-user back end
 *     kernel:DEVICE a device of this kernel; see vhost_kernel_new_uri()
 *     vdpa:PATH     /dev/vhost-vdpa-*
 */
#ifndef VH_DRIVER_URI_H
#define VH_DRIVER_URI_H

#include <vhost/backend.h>

struct vh_uri {
    VhostBackendType type;
    const char *path; /* inside the text that was parsed: lent with it */
};

/**
 * vh_uri_parse() - take a URI apart
 * @uri: filled in; untouched on failure
 * @text: what the user wrote
 * @errp: why it failed
 *
 * Return: 0; -EINVAL for what is no URI, with the forms that there are in the
 * words.
 */
int vh_uri_parse(struct vh_uri *uri, const char *text,
                 struct vhost_error **errp);

#endif
