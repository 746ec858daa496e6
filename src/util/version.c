/* SPDX-License-Identifier: BSD-3-Clause */
#include <vhost/version.h>

const char *vhost_version(void)
{
    return VHOST_VERSION_STRING;
}
