/* SPDX-License-Identifier: BSD-3-Clause */
/* What opening a device of any class has in common. */
#ifndef VH_DRIVER_OPTIONS_H
#define VH_DRIVER_OPTIONS_H

#include <stddef.h>

#include <vhost/error.h>

/**
 * vh_options_copy() - take what the caller knows of a struct of options
 * @to: filled in; what the caller's struct lacks is 0
 * @size: of @to
 * @from: begins with its size_t size, where 0 stands for @size; NULL: all 0
 * @errp: why it failed
 *
 * Return: 0; -EINVAL if the caller knows of options that we do not.
 */
int vh_options_copy(void *to, size_t size, const void *from,
                    struct vhost_error **errp);

/** vh_options_check_ring() - may rings be so, for a program?
 * @queue_size: entries
 * @least: that the class needs
 * @layout: an enum vhost_layout
 * @errp: why not
 *
 * Return: 0 or -EINVAL.
 */
int vh_options_check_ring(unsigned queue_size, unsigned least, unsigned layout,
                          struct vhost_error **errp);

/** vh_open_failed() - hand on a failure in words that begin with the URI */
void vh_open_failed(const char *uri, struct vhost_error *error,
                    struct vhost_error **errp);

#endif
