/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Features: what the back end offers, within what the device model asks for.
 *
 * Three bits of the word belong to vhost and not to virtio: 26 (log), 27 (the
 * kernel adds the net header) and 30 (vhost-user has protocol features).  The
 * guest must never see them, so they are kept out in both directions.
 */
#include <string.h>

#include "core/log.h"

#define F_IOMMU 33
#define VHOST_OWN_BITS                       \
    (UINT64_C(1) << 26 | UINT64_C(1) << 27 | \
     UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
#define N_BITS (64 * VHOST_FEATURES_WORDS)

void vh_core_features(const struct vhost_dev *dev, uint64_t *features)
{
    for (int i = 0; i < VHOST_FEATURES_WORDS; i++) {
        features[i] =
            dev->acked_features_array[i] | dev->backend_features_array[i];
    }
    if (!dev->priv->iommu) {
        /* Without an IOMMU the bit only costs IOTLB messages. */
        features[0] &= ~(UINT64_C(1) << F_IOMMU);
    }
    if (dev->log_enabled) {
        features[0] |= dev->features & VH_F_LOG_ALL;
    }
}

void vhost_get_features_ex(struct vhost_dev *hdev, const int *feature_bits,
                           uint64_t *features)
{
    for (; *feature_bits != VHOST_INVALID_FEATURE_BIT; feature_bits++) {
        unsigned bit = (unsigned)*feature_bits;
        uint64_t mask = UINT64_C(1) << (bit % 64);

        if (bit < N_BITS && !(hdev->features_array[bit / 64] & mask)) {
            features[bit / 64] &= ~mask;
        }
    }
    features[0] &= ~VHOST_OWN_BITS;
}

uint64_t vhost_get_features(struct vhost_dev *hdev, const int *feature_bits,
                            uint64_t features)
{
    uint64_t words[VHOST_FEATURES_WORDS] = { features };

    vhost_get_features_ex(hdev, feature_bits, words);
    return words[0];
}

void vhost_ack_features_ex(struct vhost_dev *hdev, const int *feature_bits,
                           const uint64_t *features)
{
    uint64_t acked[VHOST_FEATURES_WORDS] = { 0 };

    for (; *feature_bits != VHOST_INVALID_FEATURE_BIT; feature_bits++) {
        unsigned bit = (unsigned)*feature_bits;

        if (bit < N_BITS) {
            acked[bit / 64] |= UINT64_C(1) << (bit % 64);
        }
    }
    for (int i = 0; i < VHOST_FEATURES_WORDS; i++) {
        acked[i] &= features[i] & hdev->features_array[i];
    }
    acked[0] &= ~VHOST_OWN_BITS;
    memcpy(hdev->acked_features_array, acked, sizeof(acked));
}

void vhost_ack_features(struct vhost_dev *hdev, const int *feature_bits,
                        uint64_t features)
{
    const uint64_t words[VHOST_FEATURES_WORDS] = { features };

    vhost_ack_features_ex(hdev, feature_bits, words);
}
