/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of feature bits, as the virtio and vhost-user specifications have them.
 */
#ifndef VHOST_NAMES_H
#define VHOST_NAMES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/** vhost_feature_name() - the name of a virtio feature bit
 * @device_id: virtio device type for bits 0-23 and 50-127; 0: none
 * @bit: 0 to 127
 *
 * Return: "VIRTIO_F_VERSION_1", "VIRTIO_BLK_F_FLUSH"; NULL if it has none.
 */
const char *vhost_feature_name(uint32_t device_id, unsigned bit);

/** vhost_protocol_feature_name() - the name of a vhost-user protocol feature
 * @bit: 0 to 63
 *
 * Return: "VHOST_USER_PROTOCOL_F_MQ"; NULL if it has none.
 */
const char *vhost_protocol_feature_name(unsigned bit);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
